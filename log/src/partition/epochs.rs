//! Which leader wrote what: `leader-epoch-checkpoint`, as Kafka writes it. Here there is one leader, whose epoch is 0,
//! or the last one of the files that it goes on with.
//!
//! ```text
//! 0            version
//! 1            entries
//! 0 0          epoch, first offset
//! ```

use std::path::Path;

use crate::checkpoint::read_text;
use crate::error::{IoContext, LogError, Result};
use crate::storage::{self, OpenMode, Storage};
use crate::types::Offset;

/// Name of the file in a partition's directory.
pub(crate) const FILE: &str = "leader-epoch-checkpoint";

/// Epochs and the offsets they start at, both ascending; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaderEpochs(Box<[(i32, Offset)]>);

impl LeaderEpochs {
    /// Reads the file in `dir`. Without one that makes sense, all there is counts as written in epoch `last`.
    pub(super) fn open(
        storage: &dyn Storage,
        dir: &Path,
        start: Offset,
        end: Offset,
        last: i32,
    ) -> Result<Self> {
        let path = dir.join(FILE);
        let text = match read_text(storage, &path) {
            Err(LogError::InvalidFile { .. }) => None,
            text => text?,
        };
        let found = text.as_deref().and_then(Self::parse);
        let epochs = match &found {
            // An epoch that starts behind the end was cut off with its batches.
            Some(Self(entries)) => entries.iter().filter(|(_, from)| *from <= end).copied().collect(),
            None => vec![(last, start)],
        };
        let mut epochs = Self(epochs.into());
        if epochs.0.is_empty() {
            epochs = Self(Box::new([(last, start)]));
        }
        if found.as_ref() != Some(&epochs) {
            // A crash may lose it again, as it may lose the batches.
            let file = storage.open(&path, OpenMode::Truncate).context("create", &path)?;
            file.write_at(0, epochs.to_text().as_bytes()).context("write", &path)?;
        }
        Ok(epochs)
    }

    /// The epoch of what is appended now.
    pub(super) fn last(&self) -> i32 {
        self.0.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Forgets the epochs whose batches all lie below the log start; says whether that changed anything.
    pub(super) fn start_at(&mut self, start: Offset) -> bool {
        let first = self.0.partition_point(|(_, from)| *from <= start).saturating_sub(1);
        if first == 0 && self.0.first().is_none_or(|(_, from)| *from >= start) {
            return false;
        }
        let mut kept = self.0[first..].to_vec();
        kept[0].1 = kept[0].1.max(start);
        self.0 = kept.into();
        true
    }

    /// Replaces the file in `dir`.
    pub(super) fn write(&self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        storage::replace(storage, &path, self.to_text().as_bytes()).context("write", &path)
    }

    fn to_text(&self) -> String {
        let lines = self.0.iter().map(|(epoch, from)| format!("{epoch} {from}\n"));
        format!("0\n{}\n{}", self.0.len(), lines.collect::<String>())
    }

    fn parse(text: &str) -> Option<Self> {
        let (head, lines) = text.split_once('\n')?;
        let (count, lines) = lines.split_once('\n')?;
        let entry = |line: &str| {
            let (epoch, from) = line.split_once(' ')?;
            Some((epoch.parse().ok()?, Offset::new(from.parse().ok()?)))
        };
        let entries: Vec<_> = lines.lines().map(entry).collect::<Option<_>>()?;
        let is_sound = head == "0"
            && count.parse() == Ok(entries.len())
            && entries.is_sorted_by(|a: &(i32, Offset), b| a.0 < b.0 && a.1 <= b.1);
        is_sound.then(|| Self(entries.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn epochs_read_as_kafka_writes_them() {
        let storage = MemoryStorage::new();
        let dir = Path::new("d");
        storage.create_dir(dir).unwrap();
        let write = |text: &str| {
            let file = storage.open(&dir.join(FILE), OpenMode::Truncate).unwrap();
            file.write_at(0, text.as_bytes()).unwrap();
        };
        let open = |last| LeaderEpochs::open(&storage, dir, Offset::new(5), Offset::new(50), last).unwrap();
        assert_eq!(open(0).to_text(), "0\n1\n0 5\n");
        write("0\n3\n2 5\n4 20\n7 60\n");
        let mut epochs = open(4);
        assert_eq!((epochs.last(), epochs.to_text().as_str()), (4, "0\n2\n2 5\n4 20\n"));
        assert!(!epochs.start_at(Offset::new(5)));
        assert!(epochs.start_at(Offset::new(10)));
        assert_eq!(epochs.to_text(), "0\n2\n2 10\n4 20\n");
        assert!(epochs.start_at(Offset::new(30)));
        assert_eq!(epochs.to_text(), "0\n1\n4 30\n");
        for broken in ["", "0\n", "1\n0\n", "0\n2\n0 0\n", "0\n1\nx y\n", "0\n2\n3 0\n2 9\n"] {
            write(broken);
            assert_eq!(open(3).to_text(), "0\n1\n3 5\n", "{broken:?}");
        }
    }
}
