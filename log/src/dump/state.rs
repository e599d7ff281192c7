//! The small files of a partition and of the log: producer snapshots, aborted transactions, checkpoints.

use std::path::Path;

use super::Dump;
use super::line::{Line, ProducerBatch, ProducerLine};
use crate::error::Result;

const SNAPSHOT_HEAD_BYTES: usize = 10;
const PRODUCER_BYTES: usize = 46;
const ABORTED_BYTES: usize = 34;

impl Dump<'_> {
    pub(super) fn snapshot(&mut self, path: &Path) -> Result<()> {
        let bytes = self.bytes_of(path)?;
        if bytes.len() < SNAPSHOT_HEAD_BYTES {
            self.problems.damage(path, 0, "its header is cut off");
            return Ok(());
        }
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        if version != 1 {
            self.problems.damage(path, 0, format!("its version is {version}, not 1"));
            return Ok(());
        }
        let stored = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
        let computed = crc32c::crc32c(&bytes[6..]);
        if stored != computed {
            let reason = format!("its CRC is {stored}, that of its bytes is {computed}");
            self.problems.damage(path, 2, reason);
            return Ok(());
        }
        let count = u32::from_be_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]) as usize;
        let (entries, rest) = bytes[SNAPSHOT_HEAD_BYTES..].as_chunks::<PRODUCER_BYTES>();
        if entries.len() != count || !rest.is_empty() {
            let reason =
                format!("it says that it has {count} producers and has the bytes of {}", entries.len());
            self.problems.damage(path, 6, reason);
        }
        entries.iter().try_for_each(|entry| self.print(&Line::Producer(producer_line(entry))))
    }

    pub(super) fn aborted(&mut self, path: &Path) -> Result<()> {
        let bytes = self.bytes_of(path)?;
        let (entries, rest) = bytes.as_chunks::<ABORTED_BYTES>();
        let mut previous = -1;
        for (at, entry) in entries.iter().enumerate() {
            let version = i16::from_be_bytes([entry[0], entry[1]]);
            let last_offset = long(entry, 18);
            let position = (at * ABORTED_BYTES) as u64;
            if version != 0 {
                self.problems.damage(path, position, format!("the version of an entry is {version}, not 0"));
            }
            if last_offset <= previous {
                let reason = format!("the last offset {last_offset} of an entry is not behind {previous}");
                self.problems.damage(path, position, reason);
            }
            previous = last_offset;
            self.print(&Line::Aborted {
                version,
                producer_id: long(entry, 2),
                first_offset: long(entry, 10),
                last_offset,
                last_stable_offset: long(entry, 26),
            })?;
        }
        if !rest.is_empty() {
            self.problems.damage(path, (bytes.len() - rest.len()) as u64, "its last entry is cut off");
        }
        Ok(())
    }

    /// `topic partition offset` lines.
    pub(super) fn checkpoint(&mut self, path: &Path) -> Result<()> {
        self.entry_lines(path, |words| {
            let [topic, partition, offset] = words else { return None };
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            Some(Line::Checkpoint { topic, partition, offset })
        })
    }

    /// `epoch offset` lines.
    pub(super) fn leader_epochs(&mut self, path: &Path) -> Result<()> {
        self.entry_lines(path, |words| {
            let [epoch, start_offset] = words else { return None };
            let (epoch, start_offset) = (epoch.parse().ok()?, start_offset.parse().ok()?);
            Some(Line::LeaderEpoch { epoch, start_offset })
        })
    }

    /// `name: value` lines.
    pub(super) fn properties(&mut self, path: &Path) -> Result<()> {
        let text = self.text_of(path)?;
        for line in text.lines() {
            match line.split_once(':') {
                Some((name, value)) => {
                    self.print(&Line::Property { name: name.trim(), value: value.trim() })?
                }
                None => self.problems.damage(path, 0, format!("the line {line:?} is not a name and a value")),
            }
        }
        Ok(())
    }

    /// The entries of a checkpoint: a version, a count and so many lines.
    fn entry_lines(
        &mut self,
        path: &Path,
        parse: impl for<'l> Fn(&[&'l str]) -> Option<Line<'l>>,
    ) -> Result<()> {
        let text = self.text_of(path)?;
        let mut lines = text.lines();
        if lines.next() != Some("0") {
            self.problems.damage(path, 0, "its version is not 0");
            return Ok(());
        }
        let count: Option<usize> = lines.next().and_then(|count| count.parse().ok());
        let mut found = 0;
        for line in lines {
            found += 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            match parse(&words) {
                Some(line) => self.print(&line)?,
                None => self.problems.damage(path, 0, format!("the line {line:?} is not an entry")),
            }
        }
        if count != Some(found) {
            let reason = format!("it has {found} entries, and its second line says otherwise");
            self.problems.damage(path, 0, reason);
        }
        Ok(())
    }

    fn text_of(&self, path: &Path) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes_of(path)?).into_owned())
    }
}

fn producer_line(entry: &[u8; PRODUCER_BYTES]) -> ProducerLine {
    let int = |at: usize| i32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes"));
    let (last_sequence, last_offset, offset_delta) = (int(10), long(entry, 14), int(22));
    let start = long(entry, 38);
    ProducerLine {
        producer_id: long(entry, 0),
        producer_epoch: i16::from_be_bytes([entry[8], entry[9]]),
        coordinator_epoch: int(34),
        current_txn_first_offset: (start >= 0).then_some(start),
        last_timestamp: long(entry, 26),
        batch: (last_offset >= 0).then(|| ProducerBatch {
            first_sequence: first_sequence(last_sequence, offset_delta),
            last_sequence,
            last_offset,
            offset_delta,
        }),
    }
}

/// The sequence `delta` before `last`; before 0 comes 2^31 - 1.
fn first_sequence(last: i32, delta: i32) -> i32 {
    let first = i64::from(last) - i64::from(delta);
    if first >= 0 || last < 0 { first as i32 } else { (first + (1 << 31)) as i32 }
}

fn long(entry: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"))
}
