//! Small text files at the top of the log's directory: one offset per partition, as Kafka writes them.
//!
//! ```text
//! 0                  version
//! 2                  entries
//! orders 0 1200      topic partition offset
//! orders 1 980
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, LogError, Result};
use crate::storage::{self, OpenMode, Storage};
use crate::types::{Offset, TopicPartition};

/// Everything below is on stable storage.
pub(crate) const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
/// Log start offsets. Kafka writes those that are not the first segment's base only, and reads both.
pub(crate) const LOG_START: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub(crate) const HIGH_WATERMARK: &str = "replication-offset-checkpoint";

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, Offset>;

/// Reads a checkpoint; a missing file is empty.
pub(crate) fn read(storage: &dyn Storage, path: &Path) -> Result<Offsets> {
    let Some(text) = read_text(storage, path)? else { return Ok(Offsets::new()) };
    parse(&text)
        .map_err(|reason| LogError::InvalidFile { path: path.to_path_buf(), reason: reason.to_owned() })
}

/// The same, but one that cannot be understood counts as empty: then a start looks at everything.
pub(crate) fn read_or_none(storage: &dyn Storage, path: &Path) -> Result<Offsets> {
    match read(storage, path) {
        Err(error @ LogError::InvalidFile { .. }) => {
            tracing::error!(%error, "left out of account");
            Ok(Offsets::new())
        }
        outcome => outcome,
    }
}

/// Replaces a checkpoint as a whole.
pub(crate) fn write(storage: &dyn Storage, path: &Path, offsets: &Offsets) -> Result<()> {
    storage::replace(storage, path, to_text(offsets).as_bytes()).context("write", path)
}

/// The same on a full disk: in the space of the spare file, which becomes the checkpoint. Fails with
/// [`LogError::DiskFull`] if there is none, or it is too small.
pub(crate) fn write_in_spare(storage: &dyn Storage, path: &Path, offsets: &Offsets) -> Result<()> {
    let (spare, text) = (spare_of(path), to_text(offsets));
    let full = || LogError::io("write", path, io::ErrorKind::StorageFull.into());
    let file = match storage.open(&spare, OpenMode::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(full()),
        file => file.context("open", &spare)?,
    };
    if file.size().context("read the size of", &spare)? < text.len() as u64 {
        return Err(full());
    }
    file.write_at(0, text.as_bytes()).context("write", &spare)?;
    file.truncate(text.len() as u64).context("cut", &spare)?;
    file.sync().context("sync", &spare)?;
    drop(file);
    storage.rename(&spare, path).context("rename", &spare)?;
    path.parent().map_or(Ok(()), |dir| storage.sync_dir(dir).context("sync", dir))
}

/// Sees to it that the spare file, of `known` bytes as far as is known, has room for twice what is in the checkpoint.
/// Returns its bytes, 0 if it could not be written: then a full disk leaves no room for the checkpoint.
pub(crate) fn keep_spare(storage: &dyn Storage, path: &Path, offsets: &Offsets, known: u64) -> u64 {
    let wanted = (to_text(offsets).len() * 2).next_multiple_of(SPARE_BYTES);
    if known >= wanted as u64 {
        return known;
    }
    let spare = spare_of(path);
    let keep = || -> io::Result<u64> {
        let file = storage.open(&spare, OpenMode::OrCreate)?;
        let size = file.size()?;
        if size >= wanted as u64 {
            return Ok(size);
        }
        file.write_at(0, &vec![b'\n'; wanted])?;
        file.sync()?;
        Ok(wanted as u64)
    };
    keep().unwrap_or_else(|error| {
        tracing::warn!(path = %spare.display(), %error, "no space is kept for a full disk");
        0
    })
}

/// The spare file grows by so much.
const SPARE_BYTES: usize = 4096;

fn spare_of(path: &Path) -> PathBuf {
    path.with_extension("spare")
}

fn to_text(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (id, offset) in offsets {
        text.push_str(&format!("{} {} {offset}\n", id.topic, id.partition));
    }
    text
}

/// Reads a small text file, `None` if it is missing.
pub(crate) fn read_text(storage: &dyn Storage, path: &Path) -> Result<Option<String>> {
    let file = match storage.open(path, OpenMode::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.context("open", path)?,
    };
    let bytes = storage::read_all(&*file).context("read", path)?;
    let invalid = |_| LogError::InvalidFile { path: path.to_path_buf(), reason: "it is not text".to_owned() };
    String::from_utf8(bytes).map(Some).map_err(invalid)
}

fn parse(text: &str) -> Result<Offsets, &'static str> {
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err("its version is not 0");
    }
    let count: usize =
        lines.next().and_then(|count| count.parse().ok()).ok_or("its second line is not a count")?;
    let mut offsets = Offsets::new();
    for line in lines {
        let mut words = line.split(' ');
        let mut entry = || {
            let topic = words.next()?;
            let partition = words.next()?.parse().ok()?;
            let offset: u64 = words.next()?.parse().ok()?;
            Some((TopicPartition::new(topic, partition), Offset::new(offset)))
        };
        let (id, offset) = entry().ok_or("a line is not a topic, a partition and an offset")?;
        offsets.insert(id, offset);
    }
    if offsets.len() != count {
        return Err("it has not as many entries as its second line says");
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn a_checkpoint_reads_as_written() {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("d")).unwrap();
        let path = Path::new("d/checkpoint");
        assert_eq!(read(&storage, path).unwrap(), Offsets::new());
        let offsets = Offsets::from([
            (TopicPartition::new("a", 0), Offset::new(7)),
            (TopicPartition::new("b-c", 11), Offset::new(0)),
        ]);
        write(&storage, path, &offsets).unwrap();
        assert_eq!(read_text(&storage, path).unwrap().unwrap(), "0\n2\na 0 7\nb-c 11 0\n");
        assert_eq!(read(&storage, path).unwrap(), offsets);
    }

    #[test]
    fn damage_is_named() {
        for (text, reason) in [
            ("1\n0\n", "its version is not 0"),
            ("0\nx\n", "its second line is not a count"),
            ("0\n1\na 0\n", "a line is not a topic, a partition and an offset"),
            ("0\n2\na 0 1\n", "it has not as many entries as its second line says"),
        ] {
            assert_eq!(parse(text), Err(reason), "{text:?}");
        }
    }
}
