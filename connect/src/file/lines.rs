//! Lines of text, for `FileStreamSource`.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::StringBuilder,
    datatypes::{DataType, Field},
};

use crate::{
    batch::{BadRecord, Polled, SourceBatch, SourceOffset, SourcePartition, SourceSchema, ValueShape},
    connector::{SourceProgress, SourceTask},
    error::ConnectError,
    file::input::{Input, partition, resume},
    settings::Settings,
};

/// Reads a file line by line. The offset is Kafka Connect's: `{"position": n}`.
pub(super) struct LineTask {
    path: PathBuf,
    topic: String,
    rows_max: usize,
    follow: bool,
    input: Option<Input>,
}

impl LineTask {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            path: settings.path("file"),
            topic: settings.text("topic").to_owned(),
            rows_max: settings.count("batch.size"),
            follow: settings.truth("follow"),
            input: None,
        }
    }
}

impl SourceTask for LineTask {
    fn partition(&self) -> SourcePartition {
        partition(&self.path)
    }

    fn start(&mut self, offset: Option<&SourceOffset>) -> Result<SourceSchema, ConnectError> {
        self.input = Some(resume(&self.path, offset)?);
        let value = ValueShape::Single(Arc::new(Field::new("line", DataType::Utf8, true)));
        Ok(SourceSchema { topic: self.topic.clone(), key: None, value })
    }

    fn poll(&mut self) -> Result<Polled, ConnectError> {
        let input = self.input.as_mut().expect("tasks are started before they are polled");
        let start = input.position();
        let mut lines = StringBuilder::new();
        let mut bad = Vec::new();
        let mut rows = 0;
        while rows < self.rows_max {
            let Some((line, used)) = next_line(input, self.follow)? else { break };
            match line.to_str() {
                Ok(text) => {
                    lines.append_value(text);
                    rows += 1;
                }
                Err(error) => bad.push(BadRecord {
                    place: format!("{} at position {}", self.path.display(), input.position()),
                    reason: format!("not UTF-8: {error}"),
                }),
            }
            input.consume(used);
        }
        if input.position() == start {
            return Ok(if self.follow { Polled::Idle } else { Polled::End });
        }
        let mut offset = SourceOffset::new();
        offset.insert("position".into(), input.position().into());
        let columns = vec![Arc::new(lines.finish()) as _];
        Ok(Polled::Batch(SourceBatch { rows, columns, key: None, timestamps: None, offset, bad }))
    }

    fn progress(&self) -> SourceProgress {
        self.input.as_ref().map(Input::progress).unwrap_or_default()
    }
}

/// A line in the input's buffer, without its end.
pub(super) struct Line<'a>(&'a [u8]);

impl Line<'_> {
    pub(super) fn to_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(self.0)
    }
}

/// The next line and the bytes it takes with its end, `\n` or `\r\n`. A last line without an end counts
/// unless more may come (`follow`).
pub(super) fn next_line(input: &mut Input, follow: bool) -> Result<Option<(Line<'_>, usize)>, ConnectError> {
    let mut searched = 0;
    let (end, used) = loop {
        if let Some(found) = memchr::memchr(b'\n', &input.bytes()[searched..]) {
            break (searched + found, searched + found + 1);
        }
        searched = input.bytes().len();
        if !input.fill()? {
            if follow || searched == 0 {
                return Ok(None);
            }
            break (searched, searched);
        }
    };
    let line = &input.bytes()[..end];
    Ok(Some((Line(line.strip_suffix(b"\r").unwrap_or(line)), used)))
}
