//! SQL scripts as tests: statements, what must come out of them, and what must be refused.
//!
//! ```sql
//! --@test: counts per key
//! CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
//! CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
//! INSERT INTO s (k, v) VALUES ('a', 1);
//! ASSERT VALUES c (k, n) VALUES ('a', 1);
//!
//! --@test: tables have keys
//! --@expected.error: KsqlException
//! --@expected.message: Tables require a PRIMARY KEY
//! CREATE TABLE t (v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
//! ```
//! Every test starts with nothing. Each row that is inserted goes through all queries before the next statement.
//! `ASSERT VALUES` and `ASSERT NULL VALUES` look at the next record of the source's topic, from its beginning;
//! columns that they do not name may hold anything. `ASSERT STREAM` and `ASSERT TABLE` compare what they say of a source.
//! With `--@expected.error` a statement of the test must be refused, with `--@expected.message` in words that contain
//! these; the kind of error is not looked at. Statements in front of the first `--@test` are a test of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use arrow::array::{Array, ArrayRef, Int64Array};
use millstream_streams::driver::InputRecord;

use super::{Run, TestEngine, TopicRecord};
use crate::{
    SqlConfig, SqlError,
    ast::{
        Assertion, ColumnConstraint, CreateSource, Ident, InsertValues, Span, Spanned, Statement,
        quote_if_needed,
    },
    catalogue::{Column, Columns, HeaderColumn, Source},
    expression::{Compiler, cast::write_value},
    insert::convert,
    parser::{Piece, parse_piece, split},
    types::SqlType,
    with::With,
};

/// How deep scripts may run scripts.
const DEPTH_MAX: usize = 16;

/// Reads the file of a RUN SCRIPT.
pub type ReadScript<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// How one test of a script went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// Its name.
    pub name: String,
    /// The line it begins at.
    pub line: u32,
    /// What was not as it must be.
    pub failure: Option<String>,
}

impl fmt::Display for ScriptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "ok: {}", self.name),
            Some(failure) => write!(f, "FAILED: {} (line {})\n{failure}", self.name, self.line),
        }
    }
}

/// Runs the tests of a script, each on an engine of its own. Fails if the script cannot be cut into tests.
pub fn run_script(
    text: &str,
    config: &SqlConfig,
    read: ReadScript<'_>,
) -> Result<Vec<ScriptOutcome>, SqlError> {
    let mut outcomes = Vec::new();
    for test in tests(text)? {
        let failure = test.run(config, read).err();
        outcomes.push(ScriptOutcome { name: test.name, line: test.line, failure });
    }
    Ok(outcomes)
}

/// A test of a script.
struct Test {
    name: String,
    line: u32,
    pieces: Vec<Piece>,
    /// A statement must be refused, with a message that contains this.
    refused: Option<String>,
}

/// Cuts a script at its `--@test` lines.
fn tests(text: &str) -> Result<Vec<Test>, SqlError> {
    let unnamed = Test { name: "script".to_owned(), line: 1, pieces: Vec::new(), refused: None };
    let mut tests = vec![unnamed];
    let mut pieces = VecDeque::from(split(text)?);
    for (number, line) in (1u32..).zip(text.lines()) {
        let Some(directive) = line.trim().strip_prefix("--@") else { continue };
        // What stands in front of the line belongs to the test before.
        while pieces.front().is_some_and(|piece| piece.start.line < number) {
            let last = tests.last_mut().expect("there is at least the unnamed one");
            last.pieces.extend(pieces.pop_front());
        }
        let (name, value) = directive.split_once(':').unwrap_or((directive, ""));
        let (name, value) = (name.trim(), value.trim());
        let last = tests.last_mut().expect("there is at least the unnamed one");
        match name {
            "test" => {
                tests.push(Test { name: value.to_owned(), line: number, pieces: Vec::new(), refused: None });
            }
            "expected.error" => drop(last.refused.get_or_insert_default()),
            "expected.message" => last.refused = Some(value.to_owned()),
            _ => {
                return Err(SqlError::malformed(format!("unknown directive --@{name}"))
                    .at(Span { line: number, column: 1, ..Span::default() })
                    .hint("there are --@test, --@expected.error and --@expected.message"));
            }
        }
    }
    tests.last_mut().expect("there is at least the unnamed one").pieces.extend(pieces);
    if tests[0].pieces.is_empty() {
        tests.remove(0);
    }
    Ok(tests)
}

impl Test {
    fn run(&self, config: &SqlConfig, read: ReadScript<'_>) -> Result<(), String> {
        let engine = TestEngine::open(config.clone()).map_err(|error| error.to_string())?;
        let mut script = Script { engine, runs: Vec::new(), history: Vec::new(), next: BTreeMap::new() };
        let outcome = self.pieces.iter().try_for_each(|piece| script.piece(piece, read, 0));
        match (&self.refused, outcome) {
            (None, Ok(())) => Ok(()),
            (None, Err(failure)) => Err(failure),
            (Some(expected), Ok(())) => Err(format!("nothing was refused; expected: {expected}")),
            (Some(expected), Err(failure)) if failure.contains(expected) => Ok(()),
            (Some(expected), Err(failure)) => {
                Err(format!("refused in other words\n  expected: {expected}\n  found:    {failure}"))
            }
        }
    }
}

/// A test that runs.
struct Script {
    engine: TestEngine,
    /// The queries in the order of their creation, with their statements.
    runs: Vec<(String, String, Run)>,
    /// All records of all topics, in the order they were written.
    history: Vec<TopicRecord>,
    /// How many records of each topic were asserted.
    next: BTreeMap<String, usize>,
}

impl Script {
    fn piece(&mut self, piece: &Piece, read: ReadScript<'_>, depth: usize) -> Result<(), String> {
        let place = format!("line {}", piece.start.line);
        if let Some(file) = piece.run_script() {
            if depth == DEPTH_MAX {
                return Err(format!("{place}: scripts run scripts more than {DEPTH_MAX} deep"));
            }
            let text = read(&file).map_err(|error| format!("{place}: could not read {file}: {error}"))?;
            let pieces = split(&text).map_err(|error| format!("{file}: {error}"))?;
            return pieces.iter().try_for_each(|piece| {
                self.piece(piece, read, depth + 1).map_err(|failure| format!("{file}: {failure}"))
            });
        }
        let said = |error: SqlError| match error.problem() {
            // It names its place itself.
            Some(problem) if problem.span.is_some() => error.to_string(),
            _ => format!("{place}: {error}"),
        };
        let text = self.engine.session().substitute(piece).map_err(said)?;
        let piece = Piece { text, start: piece.start };
        for statement in parse_piece(&piece).map_err(said)? {
            self.statement(&statement).map_err(|failure| match failure {
                Failure::Refused(error) => said(error),
                Failure::Differs(difference) => format!("{place}: {difference}"),
            })?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Spanned<Statement>) -> Result<(), Failure> {
        match &statement.node {
            Statement::Assert(Assertion::Values(values)) => self.assert_row(values, false),
            Statement::Assert(Assertion::Tombstone(values)) => self.assert_row(values, true),
            Statement::Assert(Assertion::Source(source)) => self.assert_source(source),
            _ => {
                self.engine.execute_statement(statement)?;
                self.settle()?;
                Ok(())
            }
        }
    }

    /// Takes up new queries, and lets all process what was inserted.
    fn settle(&mut self) -> Result<(), SqlError> {
        let config = self.engine.engine.config().clone();
        let planned = self.engine.engine.planned(|query| Ok((query.id.clone(), query.statement.clone())))?;
        self.runs.retain(|(id, statement, _)| planned.iter().any(|(i, s)| i == id && s == statement));
        let known: Vec<String> = self.runs.iter().map(|(id, _, _)| id.clone()).collect();
        let fresh = self.engine.engine.planned(|query| {
            let is_known = known.contains(&query.id);
            Ok((!is_known).then(|| (query.id.clone(), query.statement.clone(), Run::new(query, &config))))
        })?;
        let mut waiting = VecDeque::new();
        for (id, statement, run) in fresh.into_iter().flatten() {
            let mut run = run?;
            for TopicRecord { topic, record } in &self.history {
                if run.sources.contains(topic) {
                    run.pipe(topic, record)?;
                }
            }
            let ((topic, written), _) = run.finish()?;
            waiting.extend(written.into_iter().map(|record| TopicRecord { topic: topic.clone(), record }));
            self.runs.push((id, statement, run));
        }
        waiting.extend(self.inserted());
        while let Some(TopicRecord { topic, record }) = waiting.pop_front() {
            for (_, _, run) in &mut self.runs {
                if run.sources.contains(&topic) {
                    run.pipe(&topic, &record)?;
                    let ((sink, written), _) = run.finish()?;
                    waiting.extend(
                        written.into_iter().map(|record| TopicRecord { topic: sink.clone(), record }),
                    );
                }
            }
            self.history.push(TopicRecord { topic, record });
        }
        Ok(())
    }

    /// What statements wrote since the last time.
    fn inserted(&mut self) -> Vec<TopicRecord> {
        let topics = std::mem::take(&mut self.engine.topics).into_iter();
        topics
            .flat_map(|(topic, records)| {
                records.into_iter().map(move |record| TopicRecord { topic: topic.clone(), record })
            })
            .collect()
    }

    /// The next record of a source's topic must be this row, or with `deleted` the deletion of it.
    fn assert_row(&mut self, expected: &InsertValues, deleted: bool) -> Result<(), Failure> {
        let source = self.engine.engine.source(&expected.target)?;
        let names: Vec<Ident> = match expected.columns.is_empty() {
            false => expected.columns.clone(),
            true if deleted => source.columns.key.iter().map(|column| Ident::new(&column.name)).collect(),
            true => {
                let stored = source.columns.key.iter().chain(&source.columns.value);
                stored.map(|column| Ident::new(&column.name)).collect()
            }
        };
        if names.len() != expected.values.len() {
            return Err(Failure::Differs(format!(
                "{} columns of {} need a value each, but there are {} values",
                names.len(),
                source.name,
                expected.values.len()
            )));
        }
        let position = self.next.entry(source.topic.clone()).or_default();
        let number = *position + 1;
        let records = self.history.iter().filter(|record| record.topic == source.topic);
        let Some(record) = records.map(|record| &record.record).nth(*position) else {
            return Err(Failure::Differs(format!(
                "{} has {} records, so there is no record {number}",
                source.name, *position
            )));
        };
        *position += 1;
        let found = Row::decode(&source, record)?;
        if found.deleted != deleted {
            let is = if found.deleted { "is a deletion" } else { "is no deletion" };
            return Err(Failure::Differs(format!("record {number} of {} {is}", source.name)));
        }
        let compiler = Compiler::constants(self.engine.engine.functions());
        let mut differences = Vec::new();
        for (name, value) in names.iter().zip(&expected.values) {
            let (column, actual) = found.column(name)?;
            let wanted = convert(value, &column, &compiler)?;
            if wanted.as_ref() != actual.as_ref() {
                differences.push(format!(
                    "  {}: expected {}, found {}",
                    quote_if_needed(&column.name),
                    shown(&wanted),
                    shown(&actual)
                ));
            }
        }
        match differences.is_empty() {
            true => Ok(()),
            false => Err(Failure::Differs(format!(
                "record {number} of {} differs\n{}\n  found: {found}",
                source.name,
                differences.join("\n")
            ))),
        }
    }

    /// A source must be what is said of it.
    fn assert_source(&self, expected: &CreateSource) -> Result<(), Failure> {
        let source = self.engine.engine.source(&expected.name)?;
        let mut differences = Vec::new();
        let mut compare = |what: &str, wanted: Option<String>, found: String| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                differences.push(format!("  {what}: expected {wanted}, found {found}"));
            }
        };
        compare("kind", Some(expected.kind.to_string()), source.kind.to_string());
        if !expected.columns.is_empty() {
            let columns = self.columns(expected)?;
            compare("columns", Some(columns.to_string()), source.columns.to_string());
        }
        let with = With::of_create(&expected.with)?;
        compare("KAFKA_TOPIC", with.topic.clone(), source.topic.clone());
        let format = |format: Option<millstream_formats::Format>| format.map(|format| format.to_string());
        compare("KEY_FORMAT", format(with.key_format), source.key_format.format.to_string());
        compare("VALUE_FORMAT", format(with.value_format), source.value_format.format.to_string());
        let window = |window: Option<crate::catalogue::Windowing>| {
            window.map(|window| match window.size_ms() {
                Some(size) => format!("{} of {size} ms", window.name()),
                None => window.name().to_owned(),
            })
        };
        compare("windows", window(with.window), window(source.window).unwrap_or("none".to_owned()));
        let time = with.timestamp(&source.columns)?.map(|time| time.column);
        let found = source.timestamp.as_ref().map_or("none".to_owned(), |time| time.column.clone());
        compare("TIMESTAMP", time, found);
        match differences.is_empty() {
            true => Ok(()),
            false => Err(Failure::Differs(format!("{} differs\n{}", source.name, differences.join("\n")))),
        }
    }

    fn columns(&self, expected: &CreateSource) -> Result<Columns, SqlError> {
        let mut columns = Columns::default();
        for declared in &expected.columns {
            let ty = self.engine.engine.resolve_type(&declared.ty)?;
            let column = Column::new(&declared.name.name, ty);
            match &declared.constraint {
                None => columns.value.push(column),
                Some(ColumnConstraint::Key | ColumnConstraint::PrimaryKey) => columns.key.push(column),
                Some(ColumnConstraint::Headers) => {
                    columns.headers.push(HeaderColumn { column, header: None });
                }
                Some(ColumnConstraint::Header(key)) => {
                    columns.headers.push(HeaderColumn { column, header: Some(key.clone()) });
                }
            }
        }
        Ok(columns)
    }
}

/// Why a test stops.
enum Failure {
    /// A statement was refused.
    Refused(SqlError),
    /// Something is not as it must be.
    Differs(String),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

/// A record, decoded.
struct Row {
    deleted: bool,
    /// Key columns, value columns unless it is a deletion, ROWTIME and window bounds.
    columns: Vec<(Column, ArrayRef)>,
}

impl Row {
    fn decode(source: &Source, record: &InputRecord) -> Result<Self, SqlError> {
        let unreadable =
            |message: String| SqlError::failed(format!("read a record of {}", source.name), message);
        let mut key = record.key.as_deref();
        let mut bounds = None;
        if let (Some(window), Some(bytes)) = (source.window, key) {
            let tail = if window.size_ms().is_some() { 8 } else { 16 };
            let split = bytes.len().checked_sub(tail).map(|length| bytes.split_at(length));
            let (inner, times) = split.ok_or_else(|| unreadable("its key has no window".to_owned()))?;
            let time = |bytes: &[u8]| bytes.try_into().map_or(0, i64::from_be_bytes);
            bounds = Some(match window.size_ms() {
                Some(size) => (time(times), time(times).saturating_add(size)),
                None => (time(&times[8..]), time(&times[..8])),
            });
            key = Some(inner);
        }
        let mut columns = Vec::new();
        let sides = [
            (key, &source.columns.key, source.key_decoder(None)),
            (record.value.as_deref(), &source.columns.value, source.value_decoder(None)),
        ];
        for (side, (bytes, declared, decoder)) in sides.into_iter().enumerate() {
            if declared.is_empty() || (side == 1 && bytes.is_none()) {
                continue;
            }
            let mut decoder = decoder.map_err(|error| unreadable(error.to_string()))?;
            let decoded = decoder.decode(&[bytes]);
            if let Some(error) = decoded.errors.first() {
                return Err(unreadable(error.message.to_string()));
            }
            columns.extend(declared.iter().cloned().zip(decoded.columns));
        }
        let time = |name: &str, time: i64| {
            (Column::new(name, SqlType::Bigint), Arc::new(Int64Array::from(vec![time])) as ArrayRef)
        };
        columns.push(time("ROWTIME", record.timestamp));
        if let Some((start, end)) = bounds {
            columns.push(time("WINDOWSTART", start));
            columns.push(time("WINDOWEND", end));
        }
        Ok(Self { deleted: record.value.is_none(), columns })
    }

    fn column(&self, name: &Ident) -> Result<(Column, ArrayRef), SqlError> {
        let names: Vec<&str> = self.columns.iter().map(|(column, _)| column.name.as_str()).collect();
        self.columns.iter().find(|(column, _)| column.name == name.name).cloned().ok_or_else(|| {
            SqlError::invalid(format!("the record has no column {name}")).at(name.span).hint_nearest(
                &name.name,
                &names,
                "its columns are",
            )
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self
            .columns
            .iter()
            .map(|(column, value)| format!("{}={}", quote_if_needed(&column.name), shown(value)));
        f.write_str(&cells.collect::<Vec<_>>().join(", "))
    }
}

/// The only value of a column as text.
fn shown(value: &ArrayRef) -> String {
    if value.is_null(0) {
        return "NULL".to_owned();
    }
    let mut text = String::new();
    write_value(value.as_ref(), 0, &mut text);
    text
}

#[cfg(test)]
mod tests;
