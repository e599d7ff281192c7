//! Rows of columns as Avro payloads, by the plan of one schema.

use arrow::{
    array::{ListArray, MapArray, StringArray},
    buffer::BooleanBuffer,
    datatypes::Fields,
};

use crate::{
    FormatError, FormatSpec, Payloads, Subject,
    avro::{
        fault::Fault,
        generate::generate,
        input::{push_bytes, push_long},
        schema::AvroSchema,
        write_columns::write_records,
        write_plan::{Branches, Entries, Member, Null, Root, Slot, Write},
    },
    cells::Cells,
    decimal::{self, Unscaled},
    registry::write_header,
};

/// Writes rows with one registered schema.
pub(crate) struct AvroWriter {
    /// Stands before every row: the header, and the branch of the record if it is in a union.
    prefix: Vec<u8>,
    root: Root,
}

impl AvroWriter {
    /// Takes the schema with the subject's id, or generates one and registers it.
    pub(crate) fn new(spec: &FormatSpec, fields: &Fields, subject: &Subject) -> Result<Self, FormatError> {
        let registry = &subject.registry;
        let (id, schema) = match subject.schema_id {
            Some(id) => (id, registry.schema(id)?),
            None => {
                let schema = generate(spec, fields, subject.full_name.as_deref())?;
                (registry.register(&subject.name, &schema)?, schema)
            }
        };
        let schema = AvroSchema::parse(&registry.resolve(&schema)?)?;
        let root = Root::new(&schema, spec.wrapped, fields)?;
        let mut prefix = Vec::new();
        write_header(id, &mut prefix);
        if let Root::Wrapped { branch, .. } = &root {
            prefix.extend(branch);
        }
        Ok(Self { prefix, root })
    }

    /// Appends the rows; those that are not present, and a bare NULL, are NULL payloads.
    ///
    /// Fails at the first row that the schema does not take, with the rows before written.
    pub(crate) fn write(
        &self,
        columns: &[Cells<'_>],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut Payloads,
    ) -> Result<(), FormatError> {
        if let Root::Wrapped { write: Write::Struct(members), .. } = &self.root {
            return write_records(&self.prefix, members, columns, rows, present, out);
        }
        for row in 0..rows {
            let written = present.is_none_or(|bits| bits.value(row)) && self.write_row(columns, row, out)?;
            out.end_row(written);
        }
        Ok(())
    }

    fn write_row(&self, columns: &[Cells<'_>], row: usize, out: &mut Payloads) -> Result<bool, FormatError> {
        let start = out.len_bytes();
        let out = out.buffer();
        out.extend_from_slice(&self.prefix);
        let written = match &self.root {
            Root::Wrapped { write: Write::Branches(branches), .. } => {
                write_branches(branches, columns, row, out)
            }
            Root::Wrapped { .. } => unreachable!("columns are written as a record or a union"),
            Root::Bare(_) if columns[0].is_null(row) => {
                out.truncate(start);
                return Ok(false);
            }
            Root::Bare(slot) => write_slot(slot, &columns[0], row, out),
        };
        written.map_err(|fault| {
            out.truncate(start);
            FormatError::from(fault)
        })?;
        Ok(true)
    }
}

#[inline]
fn write_members(
    members: &[Member],
    columns: &[Cells<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    for member in members {
        match member {
            Member::Column(column, name, slot) => {
                write_slot(slot, &columns[*column], row, out).map_err(|fault| fault.inside(name))?;
            }
            Member::Constant(bytes) => out.extend_from_slice(bytes),
            Member::Missing(message) => return Err(Fault::complete(message)),
        }
    }
    Ok(())
}

fn write_branches(
    branches: &Branches,
    columns: &[Cells<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    match branches.columns.iter().find(|(column, ..)| !columns[*column].is_null(row)) {
        Some((column, index, slot)) => {
            push_long(out, *index);
            write_slot(slot, &columns[*column], row, out)
        }
        None => write_null(&branches.null, out),
    }
}

fn write_null(null: &Null, out: &mut Vec<u8>) -> Result<(), Fault> {
    match null {
        Null::Bytes(bytes) => out.extend_from_slice(bytes),
        Null::Refused(message) => return Err(Fault::complete(message)),
    }
    Ok(())
}

/// Appends one cell.
#[inline]
pub(crate) fn write_slot(slot: &Slot, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if cells.is_null(row) {
        return write_null(&slot.null, out);
    }
    if let Some(branch) = slot.branch {
        out.push(branch);
    }
    match (cells, &slot.write) {
        (Cells::Boolean(array), _) => out.push(u8::from(array.value(row))),
        (Cells::Int(array), _) => push_long(out, i64::from(array.value(row))),
        (Cells::Date(array), _) => push_long(out, i64::from(array.value(row))),
        (Cells::Time(array), _) => push_long(out, i64::from(array.value(row))),
        (Cells::BigInt(array), _) => push_long(out, array.value(row)),
        (Cells::Timestamp(array), _) => push_long(out, array.value(row)),
        (Cells::Double(array), Write::Float) => {
            out.extend_from_slice(&(array.value(row) as f32).to_le_bytes());
        }
        (Cells::Double(array), _) => out.extend_from_slice(&array.value(row).to_le_bytes()),
        (Cells::String(array), Write::String) => push_bytes(out, array.value(row).as_bytes()),
        (Cells::String(array), Write::Symbols(symbols)) => {
            let symbol = array.value(row);
            let index = symbols.get(symbol);
            let index = index.ok_or_else(|| Fault::new(format!("'{symbol}' is no symbol of the enum")))?;
            push_long(out, *index);
        }
        (Cells::Bytes(array), Write::Fixed(size)) => {
            let bytes = array.value(row);
            if bytes.len() != *size {
                return Err(Fault::new(format!("{} bytes where a fixed has {size}", bytes.len())));
            }
            out.extend_from_slice(bytes);
        }
        (Cells::Bytes(array), _) => push_bytes(out, array.value(row)),
        (Cells::Decimal(array, scale), Write::Decimal { fixed, scale: wanted }) => {
            write_decimal(array.value(row), *scale, *wanted, *fixed, out)?;
        }
        (Cells::WideDecimal(array, scale), Write::Decimal { fixed, scale: wanted }) => {
            write_decimal(array.value(row), *scale, *wanted, *fixed, out)?;
        }
        (Cells::Array(lists, items), Write::Array(slot)) => write_list(slot, lists, items, row, out)?,
        (Cells::Map(maps, keys, values), Write::Map(slot)) => {
            write_map(maps, row, out, |entry, out| {
                push_bytes(out, keys.value(entry).as_bytes());
                write_slot(slot, values, entry, out).map_err(|fault| fault.inside("MAP_VAL"))
            })?;
        }
        (Cells::Map(maps, keys, values), Write::Entries(entries)) => {
            write_map(maps, row, out, |entry, out| write_entry(entries, keys, values, entry, out))?;
        }
        (Cells::Struct(_, columns), Write::Struct(members)) => write_members(members, columns, row, out)?,
        (Cells::Struct(_, columns), Write::Branches(branches)) => {
            write_branches(branches, columns, row, out)?;
        }
        _ => unreachable!("a plan is made for its columns"),
    }
    Ok(())
}

fn write_list(
    slot: &Slot,
    lists: &ListArray,
    items: &Cells<'_>,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let offsets = lists.value_offsets();
    let (start, end) = (offsets[row], offsets[row + 1]);
    if end > start {
        push_long(out, i64::from(end - start));
        for item in start..end {
            write_slot(slot, items, item as usize, out).map_err(|fault| fault.inside("ARRAY"))?;
        }
    }
    out.push(0);
    Ok(())
}

fn write_map(
    maps: &MapArray,
    row: usize,
    out: &mut Vec<u8>,
    write: impl Fn(usize, &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let offsets = maps.value_offsets();
    let (start, end) = (offsets[row], offsets[row + 1]);
    if end > start {
        push_long(out, i64::from(end - start));
        for entry in start..end {
            write(entry as usize, out)?;
        }
    }
    out.push(0);
    Ok(())
}

fn write_entry(
    entries: &Entries,
    keys: &StringArray,
    values: &Cells<'_>,
    entry: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let key = |out: &mut Vec<u8>| {
        out.extend(entries.key_branch);
        push_bytes(out, keys.value(entry).as_bytes());
    };
    out.extend(entries.branch);
    if entries.key_first {
        key(out);
    }
    write_slot(&entries.value, values, entry, out).map_err(|fault| fault.inside("MAP_VAL"))?;
    if !entries.key_first {
        key(out);
    }
    Ok(())
}

/// Writes the value at the schema's scale in two's complement: as few bytes as hold it, or those of the fixed.
fn write_decimal<N: Unscaled>(
    unscaled: N,
    scale: i8,
    wanted: i8,
    fixed: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if scale == wanted {
        return decimal::with_signed(unscaled, |bytes| push_signed(bytes, fixed, out));
    }
    let unscaled = decimal::rescale(unscaled.widen(), scale, wanted).ok_or_else(|| {
        Fault::new(format!("a DECIMAL of scale {scale} does not fit the schema's scale {wanted}"))
    })?;
    decimal::with_signed(unscaled, |bytes| push_signed(bytes, fixed, out))
}

fn push_signed(bytes: &[u8], fixed: Option<usize>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match fixed {
        None => push_bytes(out, bytes),
        Some(size) if bytes.len() <= size => {
            let sign = if bytes[0] >= 0x80 { 0xff } else { 0 };
            out.resize(out.len() + size - bytes.len(), sign);
            out.extend_from_slice(bytes);
        }
        Some(size) => {
            return Err(Fault::new(format!("a DECIMAL of {} bytes where a fixed has {size}", bytes.len())));
        }
    }
    Ok(())
}
