//! A file that grows in step with offsets.
//!
//! Beside the file stands `<file>.offsets`: the length up to which the file is whole, and the offsets up to
//! which it holds the records. It is replaced atomically after the file was synced. After a crash the file is
//! cut back to that length and reading goes on at those offsets, so that no line is lost or doubled.
//!
//! ```json
//! {"connector": "late", "length": 4711, "offsets": {"LATE": {"0": 17, "1": 4}}}
//! ```

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use millstream_log::{Offset, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::{connector::SinkOffsets, error::ConnectError};

/// The open file.
pub(super) struct Output {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    connector: String,
    /// Offsets of all partitions ever flushed, those of other tasks' partitions too.
    offsets: BTreeMap<String, BTreeMap<u32, u64>>,
}

#[derive(Serialize, Deserialize)]
struct Sidecar {
    connector: String,
    length: u64,
    offsets: BTreeMap<String, BTreeMap<u32, u64>>,
}

impl Output {
    /// Opens or creates the file, and cuts off what was not flushed.
    pub(super) fn open(path: &Path, connector: &str) -> Result<Self, ConnectError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(ConnectError::file("open", path))?;
        let length = file.metadata().map_err(ConnectError::file("open", path))?.len();
        let sidecar = read_sidecar(path)?.unwrap_or_else(|| Sidecar {
            connector: connector.to_owned(),
            length,
            offsets: BTreeMap::new(),
        });
        let fault = |reason: String| Err(ConnectError::Content { path: path.into(), reason });
        let beside = sidecar_path(path);
        if sidecar.connector != connector {
            return fault(format!(
                "connector {:?} writes it: choose another file, or delete {} to take it over",
                sidecar.connector,
                beside.display()
            ));
        }
        if length < sidecar.length {
            return fault(format!(
                "it has {length} bytes, but {} were written: restore it, or delete {} too",
                sidecar.length,
                beside.display()
            ));
        }
        file.set_len(sidecar.length).map_err(ConnectError::file("truncate", path))?;
        file.seek(SeekFrom::End(0)).map_err(ConnectError::file("open", path))?;
        let mut output = Self {
            path: path.into(),
            file: BufWriter::with_capacity(256 * 1024, file),
            length: sidecar.length,
            connector: sidecar.connector,
            offsets: sidecar.offsets,
        };
        // From here on a crash leads back to this length.
        output.flush(&Vec::new())?;
        Ok(output)
    }

    /// Where reading goes on for those of `partitions` that were flushed before.
    pub(super) fn committed(&self, partitions: &[TopicPartition]) -> SinkOffsets {
        let offset = |partition: &TopicPartition| {
            let offset = self.offsets.get(&*partition.topic)?.get(&partition.partition.get())?;
            Some((partition.clone(), Offset::new(*offset)))
        };
        partitions.iter().filter_map(offset).collect()
    }

    /// Bytes in the file, those not yet flushed too.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(ConnectError::file("write", &self.path))
    }

    /// Syncs the file, then replaces the offsets beside it.
    pub(super) fn flush(&mut self, offsets: &SinkOffsets) -> Result<(), ConnectError> {
        self.file.flush().map_err(ConnectError::file("write", &self.path))?;
        self.file.get_ref().sync_data().map_err(ConnectError::file("sync", &self.path))?;
        for (partition, offset) in offsets {
            let partitions = self.offsets.entry(partition.topic.to_string()).or_default();
            partitions.insert(partition.partition.get(), offset.get());
        }
        let sidecar =
            Sidecar { connector: self.connector.clone(), length: self.length, offsets: self.offsets.clone() };
        write_sidecar(&self.path, &sidecar)
    }
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".offsets");
    name.into()
}

fn read_sidecar(path: &Path) -> Result<Option<Sidecar>, ConnectError> {
    let path = sidecar_path(path);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConnectError::file("read", path)(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| ConnectError::Content {
        reason: format!("it does not hold the offsets of a file sink ({error}): delete it to start from the group's offsets"),
        path,
    })
}

fn write_sidecar(path: &Path, sidecar: &Sidecar) -> Result<(), ConnectError> {
    let target = sidecar_path(path);
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let bytes = serde_json::to_vec(sidecar).expect("texts and numbers are JSON");
    let mut file = File::create(&temporary).map_err(ConnectError::file("create", &temporary))?;
    file.write_all(&bytes).map_err(ConnectError::file("write", &temporary))?;
    file.sync_data().map_err(ConnectError::file("sync", &temporary))?;
    fs::rename(&temporary, &target).map_err(ConnectError::file("replace", &target))?;
    // Sync the directory too, or a crash may lose the new name.
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(ConnectError::file("sync", directory))
}

#[cfg(test)]
mod tests {
    use millstream_log::PartitionId;

    use super::*;

    #[test]
    fn what_was_not_flushed_is_cut_off() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("out.txt");
        fs::write(&path, "before\n").expect("writable");
        let partition = TopicPartition { topic: "t".into(), partition: PartitionId::new(0) };
        let mut output = Output::open(&path, "c").expect("opens");
        output.write(b"one\n").expect("writable");
        output.flush(&vec![(partition.clone(), Offset::new(1))]).expect("writable");
        output.write(b"two\n").expect("writable");
        output.file.flush().expect("writable");
        drop(output);

        let output = Output::open(&path, "c").expect("opens again");
        assert_eq!(output.committed(std::slice::from_ref(&partition)), [(partition, Offset::new(1))]);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "before\none\n");
        drop(output);

        let error = Output::open(&path, "other").err().expect("another connector's file");
        assert!(error.to_string().contains("connector \"c\" writes it"), "{error}");
        fs::write(&path, "cut").expect("writable");
        let error = Output::open(&path, "c").err().expect("too short");
        assert!(error.to_string().contains("it has 3 bytes, but 11 were written"), "{error}");
    }
}
