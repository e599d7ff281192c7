//! How messages of one schema become columns: made once per schema, run for every message.
//!
//! A message is read twice. First its bytes, in which fields may come in any order, again, or not at all: the
//! place of each wanted field is noted in a *slot*, and items of lists go to their column at once. Then the
//! columns, in their order, each from its slot.

use arrow::datatypes::{DataType, Fields};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{
    scalar::Scalar,
    schema::field_name,
    shape::{self, Member, Shape},
    wire,
};
use crate::connect_schema::ConnectSchema;

/// A message that feeds the columns of a row, of a struct, or the values of a map.
pub(super) struct MessagePlan {
    /// Wanted fields, in the order of their numbers, which is how they are mostly written.
    targets: Vec<Target>,
    /// Places in `targets` by field number, for small numbers; 0 is none, others count from 1.
    places: Vec<u16>,
    pub(super) slots: usize,
    pub(super) outputs: Vec<Output>,
}

/// A wanted field.
pub(super) struct Target {
    pub(super) tag: u32,
    /// The tag of a packed list; the same as `tag` if the field cannot be packed.
    pub(super) packed: u32,
    pub(super) to: To,
}

/// Where a field goes.
pub(super) enum To {
    /// The last one counts.
    Slot(usize),
    /// A closed enum: only numbers with a symbol count.
    Known(usize, Scalar),
    /// Several are merged.
    Message(usize),
    /// A field of a oneof. The slot `chosen` says which of them is set; the one before is cleared.
    Choice { slot: usize, chosen: usize, message: bool },
    /// An item of the list in this column.
    Item(usize),
    /// An entry of the map that this slot begins.
    Entry(usize),
}

/// What a column gets.
pub(super) enum Output {
    /// The message has nothing for it.
    Null,
    Value {
        slot: usize,
        value: Value,
        absent: Absent,
    },
    List(Value),
    Map {
        slot: usize,
        entry: EntryPlan,
    },
    /// A struct of which one field is set, or none: then it is NULL.
    Oneof {
        chosen: usize,
        fields: Vec<Output>,
    },
}

/// What an absent field is.
pub(super) enum Absent {
    Null,
    Default(u64, Box<[u8]>),
}

/// What a field holds.
pub(super) enum Value {
    Scalar(Scalar),
    Wrapper(Scalar),
    Decimal,
    Date,
    Time,
    Timestamp,
    Message(MessagePlan),
}

/// Entries of a map.
pub(super) struct EntryPlan {
    /// A scalar, maybe wrapped.
    pub(super) key: Value,
    pub(super) key_slot: usize,
    /// Its only output is the value.
    pub(super) message: MessagePlan,
}

impl MessagePlan {
    /// Pairs the fields of a message with columns. A field feeds the column of its name, or of its name in upper case;
    /// of several the last. `path` is where the message is, for errors.
    pub(super) fn new(
        message: &MessageDescriptor,
        columns: &Fields,
        unwrap: bool,
        path: &str,
    ) -> Result<Self, String> {
        let mut plan = Builder { unwrap, targets: Vec::new(), slots: 0 };
        let members = shape::members(message);
        let mut chosen: Vec<Option<&Member>> = vec![None; columns.len()];
        for member in &members {
            let name = member.name();
            let find = |name: &str| columns.iter().position(|column| column.name() == name);
            if let Some(column) = find(&name).or_else(|| find(&name.to_uppercase())) {
                chosen[column] = Some(member);
            }
        }
        let mut outputs = Vec::with_capacity(columns.len());
        for (index, (member, column)) in chosen.into_iter().zip(columns).enumerate() {
            let path = format!("{path}->{}", column.name());
            outputs.push(match member {
                None => Output::Null,
                Some(Member::Field(field)) => plan.field(index, field, column.data_type(), &path)?,
                Some(Member::Oneof(oneof)) => {
                    let DataType::Struct(choices) = column.data_type() else {
                        ConnectSchema::Struct(Vec::new()).feeds(column.data_type(), &path)?;
                        unreachable!("structs feed structs")
                    };
                    plan.oneof(oneof.fields().collect(), choices, &path)?
                }
            });
        }
        Ok(plan.finish(outputs))
    }

    /// The place in `targets` of a tag.
    #[inline]
    pub(super) fn find(&self, tag: u32) -> Option<usize> {
        let number = (tag >> 3) as usize;
        let place = match self.places.get(number) {
            Some(0) => return None,
            Some(place) => usize::from(*place) - 1,
            None => self.targets.binary_search_by_key(&(tag >> 3), |target| target.tag >> 3).ok()?,
        };
        let target = &self.targets[place];
        (target.tag == tag || target.packed == tag).then_some(place)
    }

    #[inline]
    pub(super) fn target(&self, place: usize) -> Option<&Target> {
        self.targets.get(place)
    }
}

impl Value {
    fn wire_type(&self) -> u32 {
        match self {
            Self::Scalar(scalar) => scalar.wire_type(),
            _ => wire::LENGTH,
        }
    }
}

/// Field numbers below this are found by position.
const PLACES_MAX: usize = 256;

struct Builder {
    unwrap: bool,
    targets: Vec<Target>,
    slots: usize,
}

impl Builder {
    fn finish(mut self, outputs: Vec<Output>) -> MessagePlan {
        self.targets.sort_by_key(|target| target.tag >> 3);
        let numbers = || self.targets.iter().map(|target| (target.tag >> 3) as usize);
        let length = numbers().filter(|number| *number < PLACES_MAX).max().map_or(0, |number| number + 1);
        let mut places = vec![0; length];
        for (place, number) in numbers().enumerate().filter(|(_, number)| *number < length) {
            places[number] = place as u16 + 1;
        }
        MessagePlan { targets: self.targets, places, slots: self.slots, outputs }
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn field(
        &mut self,
        column: usize,
        field: &FieldDescriptor,
        data_type: &DataType,
        path: &str,
    ) -> Result<Output, String> {
        // Lists as values of a map are no map of the language, but what MAP<.., ARRAY<..>> is written as.
        let shape = match (shape::entry(field), data_type) {
            (Some((key, value)), DataType::Map(..)) => Shape::Map { key, value },
            _ => Shape::new(field, self.unwrap),
        };
        shape.connect(field).feeds(data_type, path)?;
        match (shape, data_type) {
            (Shape::List(item), DataType::List(item_field)) => {
                let path = format!("{path}->ARRAY");
                item.connect(field).feeds(item_field.data_type(), &path)?;
                let value = self.value(*item, item_field.data_type(), &path)?;
                self.target(field, value.wire_type(), To::Item(column));
                Ok(Output::List(value))
            }
            (Shape::Map { key, value }, DataType::Map(entries, _)) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    unreachable!("map entries are {entries}")
                };
                let key_path = format!("{path}->MAP_KEY");
                let key_shape = Shape::new(&key, self.unwrap);
                key_shape.connect(&key).feeds(pair[0].data_type(), &key_path)?;
                let mut plan = Self { unwrap: self.unwrap, targets: Vec::new(), slots: 0 };
                let output = plan.field(0, &value, pair[1].data_type(), &format!("{path}->MAP_VAL"))?;
                let key_slot = plan.slot();
                let key_value = self.value(key_shape, pair[0].data_type(), &key_path)?;
                plan.target(&key, key_value.wire_type(), To::Slot(key_slot));
                let slot = self.slot();
                self.target(field, wire::LENGTH, To::Entry(slot));
                let entry = EntryPlan { key: key_value, key_slot, message: plan.finish(vec![output]) };
                Ok(Output::Map { slot, entry })
            }
            (shape, _) => {
                let value = self.value(shape, data_type, path)?;
                let slot = self.slot();
                let absent = match &value {
                    Value::Scalar(scalar) if !field.field_descriptor_proto().proto3_optional() => {
                        let (bits, text) = scalar.default_of(&field.default_value());
                        Absent::Default(bits, text)
                    }
                    _ => Absent::Null,
                };
                match (&value, Scalar::new(&field.kind())) {
                    (Value::Scalar(_), Some(scalar)) if scalar.is_closed() => {
                        self.target(field, wire::VARINT, To::Known(slot, scalar));
                    }
                    (Value::Scalar(_), Some(scalar)) => {
                        self.target(field, scalar.wire_type(), To::Slot(slot));
                    }
                    _ => self.target(field, wire::LENGTH, To::Message(slot)),
                }
                Ok(Output::Value { slot, value, absent })
            }
        }
    }

    /// Every field of a oneof has a slot, wanted or not: it clears the others.
    fn oneof(
        &mut self,
        choices: Vec<FieldDescriptor>,
        columns: &Fields,
        path: &str,
    ) -> Result<Output, String> {
        let chosen = self.slot();
        let mut fields: Vec<Output> = columns.iter().map(|_| Output::Null).collect();
        for field in &choices {
            let slot = self.slot();
            let scalar = Scalar::new(&field.kind());
            let wire_type = scalar.as_ref().map_or(wire::LENGTH, Scalar::wire_type);
            self.target(field, wire_type, To::Choice { slot, chosen, message: scalar.is_none() });
            let name = field_name(field);
            let find = |name: &str| columns.iter().position(|column| column.name() == name);
            let Some(column) = find(name).or_else(|| find(&name.to_uppercase())) else { continue };
            let data_type = columns[column].data_type();
            let path = format!("{path}->{}", columns[column].name());
            let shape = Shape::new(field, self.unwrap);
            shape.connect(field).feeds(data_type, &path)?;
            let value = self.value(shape, data_type, &path)?;
            fields[column] = Output::Value { slot, value, absent: Absent::Null };
        }
        Ok(Output::Oneof { chosen, fields })
    }

    fn value(&self, shape: Shape, data_type: &DataType, path: &str) -> Result<Value, String> {
        let scalar = |kind: &Kind| Scalar::new(kind).ok_or_else(|| format!("no scalar, path: {path}"));
        Ok(match (shape, data_type) {
            (Shape::Scalar(kind), _) => Value::Scalar(scalar(&kind)?),
            (Shape::Wrapper(kind), _) => Value::Wrapper(scalar(&kind)?),
            (Shape::Decimal { .. }, _) => Value::Decimal,
            (Shape::Date, _) => Value::Date,
            (Shape::Time, _) => Value::Time,
            (Shape::Timestamp, _) => Value::Timestamp,
            (Shape::Message(message), DataType::Struct(columns)) => {
                Value::Message(MessagePlan::new(&message, columns, self.unwrap, path)?)
            }
            _ => return Err(format!("no value of this kind can be read, path: {path}")),
        })
    }

    fn target(&mut self, field: &FieldDescriptor, wire_type: u32, to: To) {
        let number = field.number() << 3;
        let repeated = matches!(to, To::Item(_));
        let packed = if repeated { number | wire::LENGTH } else { number | wire_type };
        self.targets.push(Target { tag: number | wire_type, packed, to });
    }
}
