//! Messages into the columns of a batch.

use std::{collections::BTreeMap, mem, slice, sync::Arc};

use arrow::datatypes::Fields;

use super::{
    generate::generate,
    plan::{Absent, EntryPlan, MessagePlan, Output, To, Value},
    scalar::{Scalar, time_of_day},
    schema::Proto,
    shape::unwraps,
    wire::{self, Fault},
};
use crate::{
    FormatError, FormatSpec, RegistryError, ResolvedSchema, SchemaRegistry, Subject,
    column::{Column, Decimals, Maps, Variable},
    decimal::Unscaled,
    decoder::Row,
    registry::split_header,
};

/// Plans kept; a topic with more schemas in use than this makes them anew now and then.
const PLANS_MAX: usize = 256;
/// Schemas that the registry is asked for in one batch without having them.
const MISSING_MAX: usize = 32;
/// A message is nested this deep in others of its file at most.
const INDEXES_MAX: i64 = 64;

/// Reads payloads into columns.
pub(crate) struct ProtobufReader {
    source: Source,
    scratch: Scratch,
}

enum Source {
    /// All messages are of the schema that follows from the columns.
    Generated(MessagePlan),
    /// Each message says which schema it is of.
    Registered(Registered),
}

struct Registered {
    registry: Arc<dyn SchemaRegistry>,
    columns: Fields,
    unwrap: bool,
    known: Vec<Known>,
    /// The plan of the message before, in `known`.
    last: usize,
    /// Schemas that the registry did not give in this batch: they are asked for once.
    missing: BTreeMap<i32, String>,
    /// The last row that looked for a schema; a smaller one begins another batch.
    asked: usize,
}

/// A schema and message that payloads were seen of.
struct Known {
    /// Magic byte, schema id and message indexes, as they are written.
    header: Vec<u8>,
    plan: Result<MessagePlan, String>,
}

/// Room that is used again for every message.
#[derive(Default)]
struct Scratch {
    /// Of the messages being read, the outermost first.
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    merged: Vec<Vec<u8>>,
}

/// Where the value of a field is.
#[derive(Clone, Copy)]
struct Slot {
    state: State,
    /// The value, or where its bytes start in the message; for maps the first entry and the last.
    bits: u64,
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Set,
    /// Several messages, joined in [`Scratch::merged`].
    Merged,
}

/// An entry of a map: where it is in its message, and the next of the same map.
struct Entry {
    start: u32,
    length: u32,
    next: u32,
}

impl Slot {
    const ABSENT: Self = Self { state: State::Absent, bits: 0, length: 0 };

    fn bytes(self, message: &[u8]) -> &[u8] {
        &message[self.bits as usize..][..self.length as usize]
    }

    /// The bytes of text or bytes; other scalars have none.
    #[inline]
    fn text<'a>(self, scalar: &Scalar, message: &'a [u8]) -> &'a [u8] {
        if scalar.wire_type() == wire::LENGTH { self.bytes(message) } else { &[] }
    }
}

impl ProtobufReader {
    pub(crate) fn registered(
        spec: &FormatSpec,
        fields: &Fields,
        picked: &[usize],
        subject: &Subject,
    ) -> Result<Self, FormatError> {
        let columns = picked.iter().map(|index| Arc::clone(&fields[*index])).collect();
        let source = Source::Registered(Registered {
            registry: Arc::clone(&subject.registry),
            columns,
            unwrap: unwraps(spec),
            known: Vec::new(),
            last: 0,
            missing: BTreeMap::new(),
            asked: 0,
        });
        Ok(Self { source, scratch: Scratch::default() })
    }

    pub(crate) fn generated(
        spec: &FormatSpec,
        fields: &Fields,
        picked: &[usize],
    ) -> Result<Self, FormatError> {
        let schema = generate(spec, fields, None)?;
        let message = Proto::compile(&ResolvedSchema { schema, references: Vec::new() })?.message(None)?;
        let columns: Fields = picked.iter().map(|index| Arc::clone(&fields[*index])).collect();
        let plan = MessagePlan::new(&message, &columns, unwraps(spec), "").map_err(FormatError::Schema)?;
        Ok(Self { source: Source::Generated(plan), scratch: Scratch::default() })
    }

    /// Reads one payload as row `row` of `columns`.
    pub(crate) fn read(&mut self, bytes: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, String> {
        let (plan, message) = match &mut self.source {
            Source::Generated(plan) => (&*plan, bytes),
            Source::Registered(registered) => registered.plan(bytes, row)?,
        };
        self.scratch.clear();
        plan.read(message, &mut self.scratch, columns).map_err(Fault::message)?;
        Ok(Row::Present)
    }
}

impl Registered {
    /// The plan for a payload, and its message.
    fn plan<'a, 'b>(
        &'a mut self,
        payload: &'b [u8],
        row: usize,
    ) -> Result<(&'a MessagePlan, &'b [u8]), String> {
        let same = self.known.get(self.last).is_some_and(|known| payload.starts_with(&known.header));
        if !same {
            self.last = self.find(payload, row)?;
        }
        let known = &self.known[self.last];
        match &known.plan {
            Ok(plan) => Ok((plan, &payload[known.header.len()..])),
            Err(message) => Err(message.clone()),
        }
    }

    #[cold]
    fn find(&mut self, payload: &[u8], row: usize) -> Result<usize, String> {
        if let Some(place) = self.known.iter().position(|known| payload.starts_with(&known.header)) {
            return Ok(place);
        }
        let (id, rest) = split_header(payload).ok_or(
            "Unknown magic byte! A PROTOBUF message begins with a zero byte and the id of its schema",
        )?;
        let (indexes, used) = message_indexes(rest)?;
        let schema = self.fetch(id, row)?;
        let plan =
            Proto::compile(&schema).map_err(|error| format!("schema {id}: {error}")).and_then(|proto| {
                let message = proto.message_at(&indexes);
                let message = message
                    .ok_or_else(|| format!("schema {id} has no message at the indexes {indexes:?}"))?;
                MessagePlan::new(&message, &self.columns, self.unwrap, "")
            });
        if self.known.len() >= PLANS_MAX {
            self.known.clear();
        }
        self.known.push(Known { header: payload[..payload.len() - rest.len() + used].to_vec(), plan });
        Ok(self.known.len() - 1)
    }
}

impl Registered {
    /// A schema, with what it refers to. One that is not there may be registered later, so the next batch asks
    /// again.
    fn fetch(&mut self, id: i32, row: usize) -> Result<ResolvedSchema, String> {
        if row <= self.asked {
            self.missing.clear();
        }
        self.asked = row;
        if let Some(message) = self.missing.get(&id) {
            return Err(message.clone());
        }
        if self.missing.len() >= MISSING_MAX {
            return Err(format!(
                "schema {id} is not asked for: {MISSING_MAX} others of this batch do not exist"
            ));
        }
        let schema = self.registry.schema(id).and_then(|schema| self.registry.resolve(&schema));
        schema.map_err(|RegistryError { code, message }| {
            let message =
                format!("Error retrieving Protobuf schema for id {id}: {message}; error code: {code}");
            self.missing.insert(id, message.clone());
            message
        })
    }
}

/// The path to the message in its schema that a PROTOBUF payload has behind its header, and the message; `None` if there
/// is no such path.
pub fn split_message_indexes(body: &[u8]) -> Option<(Vec<i32>, &[u8])> {
    let (indexes, used) = message_indexes(body).ok()?;
    Some((indexes, &body[used..]))
}

/// The indexes behind a schema id, and the bytes that they take.
pub(super) fn message_indexes(bytes: &[u8]) -> Result<(Vec<i32>, usize), String> {
    let mut at = 0;
    let mut next = || wire::varint(bytes, &mut at).map(wire::unzigzag).map_err(Fault::message);
    let indexes = match next()? {
        0 => vec![0],
        count @ 1..=INDEXES_MAX => {
            let index = |_| next().and_then(|index| i32::try_from(index).map_err(|_| bad_indexes()));
            (0..count).map(index).collect::<Result<_, _>>()?
        }
        _ => return Err(bad_indexes()),
    };
    Ok((indexes, at))
}

fn bad_indexes() -> String {
    "the message indexes behind the schema id are out of range".into()
}

impl Scratch {
    fn clear(&mut self) {
        self.slots.clear();
        self.entries.clear();
        self.merged.clear();
    }
}

impl MessagePlan {
    /// Pushes a message to the columns of its fields.
    fn read(&self, message: &[u8], scratch: &mut Scratch, columns: &mut [Column]) -> Result<(), Fault> {
        let base = scratch.slots.len();
        self.scan(message, scratch, base, columns)?;
        for (output, column) in self.outputs.iter().zip(columns) {
            // Scalars that are there, which most are, go the short way.
            if let Output::Value { slot, value: Value::Scalar(scalar), .. } = output {
                let found = scratch.slots[base + slot];
                if found.state == State::Set {
                    scalar.push(found.bits, found.text(scalar, message), column)?;
                    continue;
                }
            }
            output.push(message, scratch, base, column)?;
        }
        scratch.slots.truncate(base);
        Ok(())
    }

    /// Notes where the fields are, and pushes the items of lists.
    fn scan(
        &self,
        message: &[u8],
        scratch: &mut Scratch,
        base: usize,
        columns: &mut [Column],
    ) -> Result<(), Fault> {
        scratch.slots.resize(base + self.slots, Slot::ABSENT);
        let mut at = 0;
        let mut guess = 0;
        while at < message.len() {
            let tag = wire::tag(message, &mut at)?;
            let target = match self.target(guess) {
                Some(target) if target.tag == tag => target,
                _ => match self.find(tag).and_then(|place| Some((place, self.target(place)?))) {
                    Some((place, target)) => {
                        guess = place;
                        target
                    }
                    None => {
                        wire::skip(tag, message, &mut at)?;
                        continue;
                    }
                },
            };
            let found = take(tag, message, &mut at)?;
            match &target.to {
                To::Slot(slot) => {
                    scratch.slots[base + slot] = found;
                    guess += 1;
                }
                To::Known(slot, scalar) => {
                    if scalar.knows(found.bits) {
                        scratch.slots[base + slot] = found;
                    }
                    guess += 1;
                }
                To::Message(slot) => {
                    scratch.merge(base + slot, found, message);
                    guess += 1;
                }
                To::Choice { slot, chosen, message: merges } => {
                    let before = scratch.slots[base + chosen];
                    if before.state == State::Set && before.bits != *slot as u64 {
                        scratch.slots[base + before.bits as usize] = Slot::ABSENT;
                    }
                    scratch.slots[base + chosen] = Slot { state: State::Set, bits: *slot as u64, length: 0 };
                    if *merges {
                        scratch.merge(base + slot, found, message);
                    } else {
                        scratch.slots[base + slot] = found;
                    }
                }
                To::Item(column) => {
                    let (Output::List(value), Column::Array(lists)) =
                        (&self.outputs[*column], &mut columns[*column])
                    else {
                        unreachable!("items go to lists")
                    };
                    if tag == target.tag {
                        value.push_item(found, message, scratch, &mut lists.item)?;
                    } else if let Value::Scalar(scalar) = value {
                        push_packed(scalar, found.bytes(message), &mut lists.item)?;
                    }
                }
                To::Entry(slot) => scratch.add_entry(base + slot, found),
            }
        }
        Ok(())
    }
}

/// Takes the value behind a tag.
#[inline(always)]
fn take(tag: u32, message: &[u8], at: &mut usize) -> Result<Slot, Fault> {
    let mut slot = Slot { state: State::Set, bits: 0, length: 0 };
    match tag & 7 {
        wire::VARINT => slot.bits = wire::varint(message, at)?,
        wire::FIXED64 => slot.bits = wire::fixed64(message, at)?,
        wire::FIXED32 => slot.bits = u64::from(wire::fixed32(message, at)?),
        _ => {
            let (start, length) = wire::span(message, at)?;
            (slot.bits, slot.length) = (start as u64, length as u32);
        }
    }
    Ok(slot)
}

fn push_packed(scalar: &Scalar, packed: &[u8], items: &mut Column) -> Result<(), Fault> {
    let mut at = 0;
    while at < packed.len() {
        let bits = scalar.take(packed, &mut at)?;
        if scalar.knows(bits) {
            scalar.push(bits, &[], items)?;
        }
    }
    Ok(())
}

impl Scratch {
    /// A message that comes in parts is what the joined parts say.
    #[inline]
    fn merge(&mut self, slot: usize, found: Slot, message: &[u8]) {
        let before = self.slots[slot];
        self.slots[slot] = match before.state {
            State::Absent => found,
            State::Set => {
                self.merged.push([before.bytes(message), found.bytes(message)].concat());
                Slot { state: State::Merged, bits: self.merged.len() as u64 - 1, length: 0 }
            }
            State::Merged => {
                self.merged[before.bits as usize].extend_from_slice(found.bytes(message));
                before
            }
        };
    }

    fn add_entry(&mut self, slot: usize, found: Slot) {
        let new = self.entries.len() as u32;
        self.entries.push(Entry { start: found.bits as u32, length: found.length, next: u32::MAX });
        let slot = &mut self.slots[slot];
        if slot.state == State::Absent {
            *slot = Slot { state: State::Set, bits: u64::from(new) << 32, length: 0 };
        } else {
            self.entries[slot.bits as u32 as usize].next = new;
        }
        slot.bits = slot.bits & !u64::from(u32::MAX) | u64::from(new);
        slot.length += 1;
    }
}

impl Output {
    fn push(
        &self,
        message: &[u8],
        scratch: &mut Scratch,
        base: usize,
        column: &mut Column,
    ) -> Result<(), Fault> {
        match (self, column) {
            (Self::Null, column) => column.push_null(),
            (Self::Value { slot, value, absent }, column) => {
                let found = scratch.slots[base + slot];
                match found.state {
                    State::Set => value.push(found, message, scratch, column)?,
                    State::Absent => match (absent, value) {
                        (Absent::Default(bits, text), Value::Scalar(scalar)) => {
                            scalar.push(*bits, text, column)?;
                        }
                        _ => column.push_null(),
                    },
                    State::Merged => {
                        let merged = mem::take(&mut scratch.merged[found.bits as usize]);
                        let whole = Slot { state: State::Set, bits: 0, length: merged.len() as u32 };
                        value.push(whole, &merged, scratch, column)?;
                    }
                }
            }
            (Self::List(_), Column::Array(lists)) => lists.end(true),
            (Self::Map { slot, entry }, Column::Map(maps)) => {
                let found = scratch.slots[base + slot];
                entry.push(found, message, scratch, maps, &[])?;
                let repeated = if found.length > 1 { maps.repeated_keys() } else { Vec::new() };
                if !repeated.is_empty() {
                    maps.reopen();
                    entry.push(found, message, scratch, maps, &repeated)?;
                }
                maps.end(true);
            }
            (Self::Oneof { chosen, fields }, column) => {
                if scratch.slots[base + chosen].state == State::Absent {
                    column.push_null();
                    return Ok(());
                }
                let Column::Struct(structs) = column else { unreachable!("oneofs are structs") };
                for (field, column) in fields.iter().zip(&mut structs.columns) {
                    field.push(message, scratch, base, column)?;
                }
                structs.end();
            }
            (Self::List(_) | Self::Map { .. }, _) => unreachable!("plans follow the columns"),
        }
        Ok(())
    }
}

impl EntryPlan {
    /// Pushes the entries that begin with `first`, without those whose positions are in `skipped`.
    fn push(
        &self,
        first: Slot,
        message: &[u8],
        scratch: &mut Scratch,
        maps: &mut Maps,
        skipped: &[usize],
    ) -> Result<(), Fault> {
        let mut next = (first.bits >> 32) as usize;
        for position in 0..first.length as usize {
            let Entry { start, length, next: following } = scratch.entries[next];
            next = following as usize;
            if skipped.binary_search(&position).is_ok() {
                continue;
            }
            let entry = &message[start as usize..][..length as usize];
            let values = slice::from_mut(&mut *maps.values);
            let base = scratch.slots.len();
            self.message.scan(entry, scratch, base, values)?;
            let key = scratch.slots[base + self.key_slot];
            self.key.push_key(key, entry, &mut maps.keys)?;
            for (output, column) in self.message.outputs.iter().zip(values) {
                output.push(entry, scratch, base, column)?;
            }
            scratch.slots.truncate(base);
        }
        Ok(())
    }
}

impl Value {
    /// Pushes an item of a list. An item with a number that is no value is none.
    #[inline]
    fn push_item(
        &self,
        slot: Slot,
        message: &[u8],
        scratch: &mut Scratch,
        items: &mut Column,
    ) -> Result<(), Fault> {
        match self {
            Self::Scalar(scalar) if !scalar.knows(slot.bits) => Ok(()),
            _ => self.push(slot, message, scratch, items),
        }
    }

    /// Pushes a key of a map.
    fn push_key(&self, slot: Slot, entry: &[u8], keys: &mut Variable) -> Result<(), Fault> {
        match self {
            Self::Scalar(scalar) => scalar.push_text(slot.bits, slot.text(scalar, entry), keys),
            Self::Wrapper(scalar) => {
                let inner = slot.bytes(entry);
                let slot = wrapped(scalar, inner)?;
                scalar.push_text(slot.bits, slot.text(scalar, inner), keys)
            }
            _ => unreachable!("keys are scalars"),
        }
    }

    #[inline]
    fn push(
        &self,
        slot: Slot,
        message: &[u8],
        scratch: &mut Scratch,
        column: &mut Column,
    ) -> Result<(), Fault> {
        if let Self::Scalar(scalar) = self {
            return scalar.push(slot.bits, slot.text(scalar, message), column);
        }
        let inner = slot.bytes(message);
        match (self, column) {
            (Self::Wrapper(scalar), column) => {
                let slot = wrapped(scalar, inner)?;
                scalar.push(slot.bits, slot.text(scalar, inner), column)?;
            }
            (Self::Decimal, Column::Decimal(decimals)) => push_decimal(inner, decimals)?,
            (Self::Decimal, Column::WideDecimal(decimals)) => push_decimal(inner, decimals)?,
            (Self::Date, Column::Date(days)) => days.push(date(inner)?),
            (Self::Time, Column::Time(times)) => {
                let [hours, minutes, seconds, nanos] = small_message(inner)?;
                let ms = ((i128::from(hours) * 60 + i128::from(minutes)) * 60 + i128::from(seconds)) * 1000;
                let ms = ms + i128::from(nanos / 1_000_000);
                times.push(time_of_day(i64::try_from(ms).unwrap_or(i64::MAX))?);
            }
            (Self::Timestamp, Column::Timestamp(times)) => {
                let [seconds, nanos] = small_message(inner)?;
                let ms = i128::from(seconds) * 1000 + i128::from(nanos / 1_000_000);
                times.push(i64::try_from(ms).map_err(|_| out_of_range("timestamp"))?);
            }
            (Self::Message(plan), Column::Struct(structs)) => {
                plan.read(inner, scratch, &mut structs.columns)?;
                structs.end();
            }
            _ => unreachable!("plans follow the columns"),
        }
        Ok(())
    }
}

/// The value in a wrapper message; zero if it is not there.
fn wrapped(scalar: &Scalar, message: &[u8]) -> Result<Slot, Fault> {
    let wanted = 1 << 3 | scalar.wire_type();
    let mut found = Slot::ABSENT;
    let mut at = 0;
    while at < message.len() {
        let tag = wire::tag(message, &mut at)?;
        if tag == wanted {
            found = take(tag, message, &mut at)?;
        } else {
            wire::skip(tag, message, &mut at)?;
        }
    }
    Ok(found)
}

/// The fields 1 to N of a message of integers.
fn small_message<const N: usize>(message: &[u8]) -> Result<[i64; N], Fault> {
    let mut values = [0; N];
    let mut at = 0;
    while at < message.len() {
        let tag = wire::tag(message, &mut at)?;
        match values.get_mut((tag >> 3) as usize - 1) {
            Some(value) if tag & 7 == wire::VARINT => *value = wire::varint(message, &mut at)? as i64,
            _ => wire::skip(tag, message, &mut at)?,
        }
    }
    Ok(values)
}

fn out_of_range(what: &str) -> Fault {
    Fault::Value(format!("a {what} is out of range").into())
}

/// Days since the epoch of a `google.type.Date`.
fn date(message: &[u8]) -> Result<i32, Fault> {
    let [year, month, day] = small_message(message)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || i32::try_from(year).is_err() {
        return Err(Fault::Value(format!("{year}-{month}-{day} is not a date").into()));
    }
    // Years are counted from March, so that the day that not every year has is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).map_err(|_| out_of_range("date"))
}

/// Pushes a `confluent.type.Decimal`, whose scale may be another than the column's.
fn push_decimal<N: Unscaled>(message: &[u8], decimals: &mut Decimals<N>) -> Result<(), Fault> {
    let (mut unscaled, mut scale) = (&message[..0], 0);
    let mut at = 0;
    while at < message.len() {
        let tag = wire::tag(message, &mut at)?;
        match (tag >> 3, tag & 7) {
            (1, wire::LENGTH) => {
                let (start, length) = wire::span(message, &mut at)?;
                unscaled = &message[start..start + length];
            }
            (3, wire::VARINT) => scale = wire::varint(message, &mut at)? as i32,
            _ => wire::skip(tag, message, &mut at)?,
        }
    }
    decimals.push_signed(unscaled, scale).map_err(|message| Fault::Value(message.into()))
}
