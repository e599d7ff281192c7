//! One Avro payload into the columns of a batch, by the plan of its schema.

use arrow::datatypes::Fields;

use crate::{
    FormatSpec, Subject,
    avro::{
        fault::Fault,
        input::Input,
        read_plan::{Entries, KeySlot, Members, Plan, Root, Slot, Step, Text, Value},
        schema::{AvroSchema, Place},
        skip::{Skips, no_branch},
    },
    column::{Column, Maps, Variable},
    decoder::Row,
    java,
    registry::{Plans, split_header},
};

/// Reads payloads of one layout. Every payload is read with the schema that it was written with, and fields
/// find their columns by name.
pub(crate) struct AvroReader {
    wrapped: bool,
    fields: Fields,
    picked: Vec<usize>,
    plans: Plans<Plan>,
}

impl AvroReader {
    pub(crate) fn new(spec: &FormatSpec, fields: &Fields, picked: &[usize], subject: &Subject) -> Self {
        Self {
            wrapped: spec.wrapped,
            fields: fields.clone(),
            picked: picked.to_vec(),
            plans: Plans::new(&subject.registry, "Avro"),
        }
    }

    /// Reads one payload as row `row` of `columns`.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, String> {
        let Some((id, body)) = split_header(bytes) else {
            return Err("Unknown magic byte! The payload does not begin with 0 and the id of a schema".into());
        };
        let plan = self.plans.get(id, row, |resolved| {
            AvroSchema::parse(resolved)
                .map(|schema| Plan::new(&schema, self.wrapped, &self.fields, &self.picked))
        })?;
        plan.read(&mut Input::new(body), columns).map_err(Fault::message)
    }
}

impl Plan {
    #[inline]
    fn read(&self, input: &mut Input<'_>, columns: &mut [Column]) -> Result<Row, Fault> {
        match &self.root {
            Root::Wrapped { place, members } => {
                if is_null(*place, input)? {
                    return Ok(Row::Null);
                }
                return Run { skips: &self.skips }.members(members, input, columns);
            }
            Root::Bare(slot) => Run { skips: &self.skips }.slot(slot, input, &mut columns[0])?,
            Root::Unwanted(node) => self.skips.run(*node, input)?,
            Root::Refused(message) => return Err(Fault::complete(message)),
        }
        Ok(Row::Present)
    }
}

/// Whether a value is the null of its union; if not, it follows.
#[inline]
fn is_null(place: Place, input: &mut Input<'_>) -> Result<bool, Fault> {
    match place {
        Place::Bare => Ok(false),
        Place::Branch { value, null } => {
            let index = input.index()?;
            if index == value {
                Ok(false)
            } else if Some(index) == null {
                Ok(true)
            } else {
                Err(no_branch(index))
            }
        }
    }
}

/// A plan at work.
#[derive(Clone, Copy)]
struct Run<'p> {
    skips: &'p Skips,
}

impl Run<'_> {
    /// The null of a union pushes nothing.
    #[inline]
    fn members(self, members: &Members, input: &mut Input<'_>, columns: &mut [Column]) -> Result<Row, Fault> {
        match members {
            Members::Record { steps, absent } => {
                for step in steps {
                    match step {
                        Step::Read { column, name, slot } => self
                            .slot(slot, input, &mut columns[*column])
                            .map_err(|fault| fault.inside(name))?,
                        Step::Skip(node) => self.skips.run(*node, input)?,
                    }
                }
                for column in absent {
                    columns[*column].push_null();
                }
            }
            Members::Union { branches, null, columns: count } => {
                let index = input.index()?;
                if Some(index) == *null {
                    return Ok(Row::Null);
                }
                let mut read = None;
                match branches.get(index).ok_or_else(|| no_branch(index))? {
                    Step::Read { column, name, slot } => {
                        self.slot(slot, input, &mut columns[*column]).map_err(|fault| fault.inside(name))?;
                        read = Some(*column);
                    }
                    Step::Skip(node) => self.skips.run(*node, input)?,
                }
                for column in (0..*count).filter(|column| Some(*column) != read) {
                    columns[column].push_null();
                }
            }
        }
        Ok(Row::Present)
    }

    #[inline]
    fn slot(self, slot: &Slot, input: &mut Input<'_>, column: &mut Column) -> Result<(), Fault> {
        if let Value::Refused(message) = &slot.value {
            return Err(Fault::complete(message));
        }
        if is_null(slot.place, input)? {
            column.push_null();
            return Ok(());
        }
        match (&slot.value, column) {
            (Value::Int, Column::Int(column) | Column::Time(column) | Column::Date(column)) => {
                column.push(input.int()?);
            }
            (Value::Int, Column::BigInt(column)) => column.push(i64::from(input.int()?)),
            (Value::Long, Column::BigInt(column) | Column::Timestamp(column)) => column.push(input.long()?),
            (Value::Double, Column::Double(column)) => column.push(input.double()?),
            (Value::Float, Column::Double(column)) => column.push(f64::from(input.float()?)),
            (Value::Boolean, Column::Boolean(column)) => column.push(input.boolean()?),
            (Value::Text(Text::String), Column::String(column)) => read_string(input, column)?,
            (Value::Text(text), Column::String(column)) => read_text(text, input, column)?,
            (Value::Bytes, Column::Bytes(column)) => column.push(input.bytes()?),
            (value, column) => self.nested(value, input, column)?,
        }
        Ok(())
    }

    fn nested(self, value: &Value, input: &mut Input<'_>, column: &mut Column) -> Result<(), Fault> {
        match (value, column) {
            (Value::Fixed(size), Column::Bytes(column)) => column.push(input.take(*size)?),
            (Value::Decimal { fixed, scale }, column) => {
                let bytes = match fixed {
                    Some(size) => input.take(*size)?,
                    None => input.bytes()?,
                };
                let scale = i32::from(*scale);
                let pushed = match column {
                    Column::Decimal(column) => column.push_signed(bytes, scale),
                    Column::WideDecimal(column) => column.push_signed(bytes, scale),
                    _ => unreachable!("plans follow the columns"),
                };
                pushed.map_err(Fault::new)?;
            }
            (Value::Array(item), Column::Array(column)) => {
                each_item(input, |input| {
                    self.slot(item, input, &mut column.item).map_err(|fault| fault.inside("ARRAY"))
                })?;
                column.end(true);
            }
            (Value::Map(slot, node), Column::Map(column)) => self.map(input, column, |input, column| {
                let Some(column) = column else {
                    input.bytes()?;
                    return self.skips.run(*node, input);
                };
                read_string(input, &mut column.keys).map_err(|fault| fault.inside("MAP_KEY"))?;
                self.slot(slot, input, &mut column.values).map_err(|fault| fault.inside("MAP_VAL"))
            })?,
            (Value::Entries(entries), Column::Map(column)) => {
                self.map(input, column, |input, column| self.entry(entries, input, column))?;
            }
            (Value::Struct(members), Column::Struct(column)) => {
                match self.members(members, input, &mut column.columns)? {
                    Row::Present => column.end(),
                    Row::Null => column.push_null(),
                }
            }
            _ => unreachable!("a plan is made for its columns"),
        }
        Ok(())
    }

    /// Reads the entries of a map; of repeated keys the last one counts. `entry` reads one, or passes over it if
    /// it is given no column.
    fn map<'a>(
        self,
        input: &mut Input<'a>,
        column: &mut Maps,
        entry: impl Fn(&mut Input<'a>, Option<&mut Maps>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut again = input.clone();
        each_item(input, |input| entry(input, Some(column)))?;
        let repeated = column.repeated_keys();
        if !repeated.is_empty() {
            column.reopen();
            let mut position = 0;
            each_item(&mut again, |input| {
                let counts = repeated.binary_search(&position).is_err();
                position += 1;
                entry(input, counts.then_some(&mut *column))
            })?;
        }
        column.end(true);
        Ok(())
    }

    fn entry(self, entries: &Entries, input: &mut Input<'_>, column: Option<&mut Maps>) -> Result<(), Fault> {
        if is_null(entries.place, input)? {
            return Err(Fault::new("an entry of a MAP is NULL"));
        }
        let Some(column) = column else { return self.skips.run(entries.record, input) };
        if entries.key_first {
            read_key(&entries.key, input, &mut column.keys)?;
        }
        self.slot(&entries.value, input, &mut column.values).map_err(|fault| fault.inside("MAP_VAL"))?;
        if !entries.key_first {
            read_key(&entries.key, input, &mut column.keys)?;
        }
        Ok(())
    }
}

#[inline]
fn each_item<'a>(
    input: &mut Input<'a>,
    mut read: impl FnMut(&mut Input<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    loop {
        let count = input.block()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            read(input)?;
        }
    }
}

#[inline]
fn read_string(input: &mut Input<'_>, column: &mut Variable) -> Result<(), Fault> {
    let bytes = input.bytes()?;
    if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
        return Err(Fault::new("a string that is not UTF-8"));
    }
    column.push(bytes);
    Ok(())
}

/// Keys of maps are text and never NULL.
fn read_key(key: &KeySlot, input: &mut Input<'_>, column: &mut Variable) -> Result<(), Fault> {
    let text = key.text.as_ref().map_err(Fault::complete)?;
    if is_null(key.place, input)? {
        return Err(Fault::new("a key of a MAP is NULL").inside("MAP_KEY"));
    }
    read_text(text, input, column).map_err(|fault| fault.inside("MAP_KEY"))
}

/// A value as the text that Java makes of it.
fn read_text(text: &Text, input: &mut Input<'_>, column: &mut Variable) -> Result<(), Fault> {
    let mut whole = itoa::Buffer::new();
    let written: &[u8] = match text {
        Text::String => return read_string(input, column),
        Text::Boolean => {
            if input.boolean()? {
                b"true"
            } else {
                b"false"
            }
        }
        Text::Int => whole.format(input.int()?).as_bytes(),
        Text::Long => whole.format(input.long()?).as_bytes(),
        Text::Symbols(symbols) => {
            let index = input.index()?;
            symbols.get(index).ok_or_else(|| no_branch(index))?.as_bytes()
        }
        Text::Float => {
            let value = input.float()?;
            return push_text(column, |out| java::push_float(out, value));
        }
        Text::Double => {
            let value = input.double()?;
            return push_text(column, |out| java::push_double(out, value));
        }
    };
    push_text(column, |out| out.extend_from_slice(written))
}

/// Text may be longer than the bytes it was made of, and a column holds 2 GiB.
fn push_text(column: &mut Variable, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Fault> {
    write(&mut column.bytes);
    if i32::try_from(column.bytes.len()).is_err() {
        return Err(Fault::new("the text of one batch passes 2 GiB: decode fewer rows at a time"));
    }
    column.end();
    Ok(())
}
