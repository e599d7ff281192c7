//! What one row does to the stores of a join, whichever side it is of.

use crate::batch::Batch;
use crate::error::StreamsError;
use crate::operator::stream_join::{
    Dropped, Half, JoinedRow, JoinedStream, OUTPUT_ROWS, Pair, Side, StreamJoin, Unmatched,
};
use crate::store::{Arena, HashedKey, OrderedStore, StreamRows, TaskStore};

/// A join at work: what has come of the rows so far.
pub(super) struct Joining {
    join: StreamJoin,
    pub(super) joined: Vec<JoinedRow>,
    waiting_key: Vec<u8>,
}

/// The stores as a side sees them.
pub(super) struct Seen<'a, T: Arena, O: Arena> {
    pub(super) this: &'a mut StreamRows<T>,
    pub(super) other: &'a mut StreamRows<O>,
    pub(super) waiting: Option<&'a mut OrderedStore>,
}

/// A row on its way, with the stream time that it makes.
struct Row<'a> {
    side: Side,
    number: u32,
    key: HashedKey<'a>,
    time: i64,
    stream_time: i64,
}

impl Joining {
    pub(super) fn new(join: StreamJoin) -> Self {
        Self { join, joined: Vec::new(), waiting_key: Vec::new() }
    }

    /// Takes a row of this side. Returns false, with the row not taken, if enough has come out for one batch before.
    pub(super) fn row<S: JoinedStream, O: Arena>(
        &mut self,
        side: Side,
        stream: &S,
        (input, row): (&S::Input, usize),
        half: &mut Half,
        stores: &mut Seen<'_, S::Rows, O>,
    ) -> Result<bool, StreamsError> {
        let time = input.timestamps()[row];
        let number = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
        stores.this.observe(time);
        let own_time = stores.this.stream_time();
        let stream_time = own_time.max(stores.other.stream_time());
        if time == stream_time && !self.close(side, number, stream_time, stores)? {
            return Ok(false);
        }
        let stored = half.stored.rows.len();
        if !stream.has_value(input, row) {
            half.dropped.without_value += 1;
        } else if let Some(key) = half.keys.get(row) {
            let key = HashedKey::new(key);
            let row = Row { side, number, key, time, stream_time };
            let (waits, live) = self.join_row(&row, &mut half.dropped, stores)?;
            if live {
                let place = stores.this.find_or_make(key)?;
                let kept = stores.this.insert(place, time, !waits);
                half.stored.push(number, kept);
                if waits && let Some(waiting) = &mut stores.waiting {
                    self.write_waiting_key(side, key.bytes(), time, kept.sequence);
                    waiting.put(&self.waiting_key, &[], time);
                }
            }
        } else if self.join.keeps(side) {
            self.joined.push(JoinedRow { row: number, side, time, pair: Pair::Alone });
        } else {
            half.dropped.without_key += 1;
        }
        if time == own_time && half.stored.rows.len() == stored {
            half.dropped.time = half.dropped.time.max(Some(time));
        }
        Ok(true)
    }

    /// Joins a row with those of the other side. Returns whether it waits for a match, and whether it is to be kept.
    fn join_row<T: Arena, O: Arena>(
        &mut self,
        row: &Row<'_>,
        dropped: &mut Dropped,
        stores: &mut Seen<'_, T, O>,
    ) -> Result<(bool, bool), StreamsError> {
        let matched = self.look_up(row, stores)?;
        let live = row.time >= stores.this.first_live();
        dropped.late += usize::from(!live);
        if matched || !self.join.keeps(row.side) {
            return Ok((false, live));
        }
        let windows = self.join.windows;
        let passed = match self.join.unmatched {
            Unmatched::Eager => true,
            Unmatched::Closed => row.time.saturating_add(windows.seen_from(row.side).1) < row.stream_time,
            Unmatched::Final => windows.close(row.side, row.time) < row.stream_time,
        };
        if passed {
            let (number, side, time) = (row.number, row.side, row.time);
            self.joined.push(JoinedRow { row: number, side, time, pair: Pair::Alone });
        }
        Ok((!passed, live && !(passed && self.join.unmatched == Unmatched::Final)))
    }

    /// Joins a row with those of the other side. Returns whether there were any.
    fn look_up<T: Arena, O: Arena>(
        &mut self,
        row: &Row<'_>,
        stores: &mut Seen<'_, T, O>,
    ) -> Result<bool, StreamsError> {
        let Some(place) = stores.other.find(row.key)? else { return Ok(false) };
        let (before, after) = self.join.windows.seen_from(row.side);
        let (from, to) = (row.time.saturating_sub(before), row.time.saturating_add(after));
        let range = stores.other.range(place, from, to);
        let matched = !range.is_empty();
        for index in range {
            let found = stores.other.row(place, index);
            self.joined.push(JoinedRow {
                row: row.number,
                side: row.side,
                time: row.time.max(found.time),
                pair: Pair::Matched(found.slot),
            });
            if !found.settled
                && let Some(waiting) = &mut stores.waiting
            {
                let other = row.side.other();
                if self.join.keeps(other) {
                    self.write_waiting_key(other, row.key.bytes(), found.time, found.sequence);
                    waiting.remove(&self.waiting_key, row.time)?;
                }
                stores.other.settle(place, index);
            }
        }
        Ok(matched)
    }

    /// Lets rows come out whose windows have passed without match. Returns whether that is done; if not, enough has
    /// come out for one batch. `row` is the one of `side` because of which they come.
    pub(super) fn close<T: Arena, O: Arena>(
        &mut self,
        side: Side,
        row: u32,
        stream_time: i64,
        stores: &mut Seen<'_, T, O>,
    ) -> Result<bool, StreamsError> {
        loop {
            let Some(waiting) = &mut stores.waiting else { return Ok(true) };
            let Some((first, _)) = waiting.first()? else { return Ok(true) };
            let due = split_waiting(first).ok_or_else(|| StreamsError::CorruptState {
                store: "rows that wait for a match".to_owned(),
                reason: format!("a key has {} bytes and not 21 or more", first.len()),
            })?;
            if due.close >= stream_time {
                return Ok(true);
            }
            if self.joined.len() >= OUTPUT_ROWS {
                return Ok(false);
            }
            self.waiting_key.clear();
            self.waiting_key.extend_from_slice(first);
            let due = Waiting { key: &self.waiting_key[WAITING_HEAD..self.waiting_key.len() - 4], ..due };
            waiting.remove(&self.waiting_key, due.time)?;
            let remove = self.join.unmatched == Unmatched::Final;
            let taken = match due.side == side {
                true => take(stores.this, &due, remove)?,
                false => take(stores.other, &due, remove)?,
            };
            self.joined.extend(taken.map(|(place, slot)| {
                let pair = match due.side {
                    Side::Left => Pair::LeftAlone(place, slot),
                    Side::Right => Pair::RightAlone(place, slot),
                };
                JoinedRow { row, side, time: due.time, pair }
            }));
        }
    }

    fn write_waiting_key(&mut self, side: Side, key: &[u8], time: i64, sequence: u32) {
        let out = &mut self.waiting_key;
        out.clear();
        out.extend_from_slice(&self.join.windows.close(side, time).to_be_bytes());
        out.extend_from_slice(&time.to_be_bytes());
        out.push(side.byte());
        out.extend_from_slice(key);
        out.extend_from_slice(&sequence.to_be_bytes());
    }
}

/// A row that waits: close 8, time 8, side 1, key, sequence 4, numbers big endian.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    close: i64,
    time: i64,
    side: Side,
    key: &'a [u8],
    sequence: u32,
}

const WAITING_HEAD: usize = 17;

fn split_waiting(bytes: &[u8]) -> Option<Waiting<'_>> {
    let (close, rest) = bytes.split_first_chunk::<8>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (side, rest) = rest.split_first()?;
    let (key, sequence) = rest.split_last_chunk::<4>()?;
    Some(Waiting {
        close: i64::from_be_bytes(*close),
        time: i64::from_be_bytes(*time),
        side: if *side == Side::Left.byte() { Side::Left } else { Side::Right },
        key,
        sequence: u32::from_be_bytes(*sequence),
    })
}

/// The place of the key and the slot of a row that waited; the row is removed if that is wanted.
fn take<A: Arena>(
    rows: &mut StreamRows<A>,
    due: &Waiting<'_>,
    remove: bool,
) -> Result<Option<(u32, u32)>, StreamsError> {
    let Some(place) = rows.find(HashedKey::new(due.key))? else { return Ok(None) };
    let Some(index) = rows.index_of(place, due.time, due.sequence) else { return Ok(None) };
    let slot = rows.row(place, index).slot;
    if remove {
        rows.remove(place, index);
    } else {
        rows.settle(place, index);
    }
    Ok(Some((place, slot)))
}
