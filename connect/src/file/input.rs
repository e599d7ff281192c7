//! The bytes of a file, plain or gzipped, with the position and line at which they stand.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::{
    batch::{SourceOffset, SourcePartition},
    connector::SourceProgress,
    error::ConnectError,
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Longest record. Beyond it something else is wrong, such as a quote that does not end.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An open file. Bytes are read into a buffer, looked at there and then consumed; the position is that of the
/// first byte not yet consumed, in uncompressed bytes.
pub(super) struct Input {
    path: PathBuf,
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    position: u64,
    line: u64,
    ended: bool,
}

enum Stream {
    Plain(File),
    Gzip { decoder: Box<MultiGzDecoder<BufReader<Counted>>>, read: Arc<AtomicU64>, total: u64 },
}

/// Counts the compressed bytes, which are what progress is measured in.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Whether a file is read through gzip, by its name.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// The source partition of a file: `{"filename": "..."}`, as Kafka Connect's.
pub(super) fn partition(path: &Path) -> SourcePartition {
    let mut partition = SourcePartition::new();
    partition.insert("filename".into(), path.display().to_string().into());
    partition
}

/// The offset behind what is consumed: `{"position": bytes, "line": n}`.
pub(super) fn offset(input: &Input) -> SourceOffset {
    let mut offset = SourceOffset::new();
    offset.insert("position".into(), input.position.into());
    offset.insert("line".into(), input.line.into());
    offset
}

/// Opens a file where an [`offset`] says, or at its start.
pub(super) fn resume(path: &Path, offset: Option<&SourceOffset>) -> Result<Input, ConnectError> {
    let number = |key: &str| offset.and_then(|offset| offset.get(key)).and_then(Value::as_u64);
    match number("position") {
        Some(position) => Input::open_at(path, position, number("line").unwrap_or(1)),
        None => Input::open(path),
    }
}

impl Input {
    /// Opens a file at its start.
    pub(super) fn open(path: &Path) -> Result<Self, ConnectError> {
        let file = File::open(path).map_err(ConnectError::file("open", path))?;
        let total = file.metadata().map_err(ConnectError::file("open", path))?.len();
        let stream = if is_gzip(path) {
            let read = Arc::new(AtomicU64::new(0));
            let counted = BufReader::with_capacity(64 * 1024, Counted { file, read: Arc::clone(&read) });
            Stream::Gzip { decoder: Box::new(MultiGzDecoder::new(counted)), read, total }
        } else {
            Stream::Plain(file)
        };
        Ok(Self {
            path: path.into(),
            stream,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            line: 1,
            ended: false,
        })
    }

    /// Opens a file at a position that an earlier run had consumed, on the line it had then.
    pub(super) fn open_at(path: &Path, position: u64, line: u64) -> Result<Self, ConnectError> {
        let mut input = Self::open(path)?;
        let reached = match &mut input.stream {
            Stream::Plain(file) => {
                let length = file.metadata().map_err(ConnectError::file("read", path))?.len();
                file.seek(SeekFrom::Start(position)).map_err(ConnectError::file("read", path))?;
                length
            }
            Stream::Gzip { decoder, .. } => io::copy(&mut decoder.take(position), &mut io::sink())
                .map_err(ConnectError::file("read", path))?,
        };
        if reached < position {
            return Err(ConnectError::Content {
                path: path.into(),
                reason: format!(
                    "it is shorter than the {position} bytes read earlier: it is another file now, so use another \
                     connector name, or restore it"
                ),
            });
        }
        input.position = position;
        input.line = line;
        Ok(input)
    }

    /// Bytes read and not yet consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads more. `false` at the end of the file, where a later call may find more.
    pub(super) fn fill(&mut self) -> Result<bool, ConnectError> {
        if self.bytes().len() >= RECORD_BYTES_MAX {
            return Err(ConnectError::Content {
                path: self.path.clone(),
                reason: format!(
                    "line {} starts a record of more than {RECORD_BYTES_MAX} bytes: does a quote end?",
                    self.line
                ),
            });
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let path = &self.path;
        let stream: &mut dyn Read = match &mut self.stream {
            Stream::Plain(file) => file,
            Stream::Gzip { decoder, .. } => decoder,
        };
        let bytes = stream
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut self.buffer)
            .map_err(ConnectError::file("read", path))?;
        self.ended = bytes == 0;
        Ok(bytes > 0)
    }

    /// Whether the last [`Input::fill`] found the end.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes bytes off the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.bytes()[..bytes]).count() as u64;
        self.start += bytes;
        self.position += bytes as u64;
    }

    /// Position of the first byte not consumed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Its line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn progress(&self) -> SourceProgress {
        match &self.stream {
            Stream::Plain(file) => SourceProgress {
                bytes_done: self.position,
                bytes_total: file.metadata().ok().map(|metadata| metadata.len()),
            },
            Stream::Gzip { read, total, .. } => {
                let read = read.load(Ordering::Relaxed);
                let done = if self.ended && self.bytes().is_empty() { *total } else { read };
                SourceProgress { bytes_done: done, bytes_total: Some(*total) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn check(path: &Path, text: &str) {
        let mut input = Input::open(path).expect("the file is there");
        while input.fill().expect("readable") {}
        assert_eq!(input.bytes(), text.as_bytes());
        input.consume(4);
        assert_eq!((input.position(), input.line()), (4, 3));
        let mut again = Input::open_at(path, 4, 3).expect("four bytes are there");
        assert!(again.fill().expect("readable"));
        assert_eq!((again.bytes(), again.line()), (&text.as_bytes()[4..], 3));
        let error = Input::open_at(path, 1000, 1).err().expect("too short");
        assert!(error.to_string().contains("is shorter than the 1000 bytes read earlier"), "{error}");
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let text = "a\nb\nc,d\n";
        let plain = dir.path().join("a.csv");
        std::fs::write(&plain, text).expect("writable");
        check(&plain, text);
        let gzipped = dir.path().join("a.csv.gz");
        let mut encoder = GzEncoder::new(File::create(&gzipped).expect("writable"), Compression::default());
        encoder.write_all(text.as_bytes()).expect("writable");
        encoder.finish().expect("writable");
        check(&gzipped, text);
    }
}
