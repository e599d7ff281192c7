//! Queries on the calling thread, record by record: for tests of SQL.
//!
//! A [`TestEngine`] runs statements as an [`Engine`] does, on a log in memory, but no query starts. Its queries are
//! stepped by [`TestEngine::process`]: every record goes through all of a query before the next one comes, all topics
//! that a query sees have one partition, every update comes out, and the wall clock of the queries stands still.
//! Outputs therefore have one order, whatever the partition counts that the statements declare.

mod expression;
mod script;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use millstream_formats::EmbeddedRegistry;
use millstream_log::{
    Clock, ConsumerConfig, Isolation, Log, ManualClock, NewTopic, Offset, OffsetSpec, SystemClock, Timestamp,
    TopicPartition,
};
use millstream_streams::{
    ProcessingGuarantee, ReportOrigin, RowReport, TopologyTestDriver, driver::InputRecord, full_message,
};

use crate::{
    Engine, Outcome, Session, SourceDescription, SqlConfig, SqlError,
    ast::{Spanned, Statement},
    config::Properties,
    parser::parse,
    query::PersistentQuery,
};

pub use expression::TestExpression;
pub use script::{ReadScript, ScriptOutcome, run_script};

/// A record with the topic it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The topic.
    pub topic: String,
    /// Key, value, time in ms and headers. The partition is ignored.
    pub record: InputRecord,
}

/// An engine whose queries run when they are told to.
pub struct TestEngine {
    engine: Engine,
    session: Session,
    inserted: Inserted,
    /// What topics hold, in the order it was written.
    topics: BTreeMap<String, Vec<InputRecord>>,
    /// Topics between the tasks of queries that got records.
    internal: BTreeSet<String>,
    reports: Vec<String>,
}

impl TestEngine {
    /// An engine with nothing in it. Queries take their settings from `config`, but have no cache. Schemas are kept in
    /// memory, unless `config` has a registry.
    pub fn open(config: SqlConfig) -> Result<Self, SqlError> {
        let config = match config.schemas() {
            Some(_) => config,
            None => config.schema_registry(Arc::new(EmbeddedRegistry::new())),
        };
        let log = Log::in_memory(Arc::new(SystemClock::new()));
        Ok(Self {
            engine: Engine::planning(log, config)?,
            session: Session::new(),
            inserted: Inserted::default(),
            topics: BTreeMap::new(),
            internal: BTreeSet::new(),
            reports: Vec::new(),
        })
    }

    /// Creates a topic, as statements see it.
    pub fn create_topic(&mut self, name: &str, partitions: u32) -> Result<(), SqlError> {
        let created = self.engine.log().create_topic(NewTopic::new(name).partitions(partitions));
        created.map_err(|error| SqlError::failed(format!("create topic {name}"), error))?;
        Ok(())
    }

    /// Runs a script, up to the first statement that fails.
    pub fn execute(&mut self, text: &str) -> Result<Vec<Outcome>, SqlError> {
        parse(text)?.iter().map(|statement| self.execute_statement(statement)).collect()
    }

    /// Runs one statement of a script.
    pub fn execute_statement(&mut self, statement: &Spanned<Statement>) -> Result<Outcome, SqlError> {
        let outcome = self.engine.execute_one(&mut self.session, statement)?;
        for TopicRecord { topic, record } in self.inserted.poll(self.engine.log())? {
            self.topics.entry(topic).or_default().push(record);
        }
        Ok(outcome)
    }

    /// The engine, for what can be asked of it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The session of the statements.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Streams and tables, by name.
    pub fn sources(&self) -> Vec<SourceDescription> {
        self.engine.sources()
    }

    /// Writes records, then lets the queries process them, one query after another in the order of their creation.
    ///
    /// A query that reads topics of `records` gets those records in their order, and of these topics no others. From
    /// its other topics it gets what is there. Fails when a query stops; what is written until then stays.
    pub fn process(&mut self, records: &[TopicRecord]) -> Result<(), SqlError> {
        for TopicRecord { topic, record } in records {
            self.topics.entry(topic.clone()).or_default().push(record.clone());
        }
        let runs = self.engine.planned(|query| Run::new(query, self.engine.config()))?;
        for run in runs {
            self.run(run, records)?;
        }
        Ok(())
    }

    fn run(&mut self, mut run: Run, records: &[TopicRecord]) -> Result<(), SqlError> {
        let given: BTreeSet<&str> = records.iter().map(|record| record.topic.as_str()).collect();
        for TopicRecord { topic, record } in records {
            if run.sources.contains(topic) {
                run.pipe(topic, record)?;
            }
        }
        for topic in run.sources.clone() {
            if !given.contains(topic.as_str()) {
                for record in self.topics.get(&topic).into_iter().flatten() {
                    run.pipe(&topic, record)?;
                }
            }
        }
        let (written, internal) = run.finish()?;
        self.topics.entry(written.0).or_default().extend(written.1);
        self.internal.extend(internal);
        let reports = run.reports.lock().unwrap_or_else(PoisonError::into_inner);
        self.reports.extend(reports.iter().cloned());
        Ok(())
    }

    /// What a topic holds, in the order it was written.
    pub fn records(&self, topic: &str) -> &[InputRecord] {
        self.topics.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Topics between the tasks of a query that got records: those through which rows went to other keys.
    pub fn internal_topics(&self) -> impl Iterator<Item = &str> {
        self.internal.iter().map(String::as_str)
    }

    /// What was wrong with single rows, in order.
    pub fn reports(&self) -> &[String] {
        &self.reports
    }
}

impl std::fmt::Debug for TestEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestEngine").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// How far the records that statements wrote to the engine's log are known.
#[derive(Default)]
struct Inserted {
    positions: BTreeMap<TopicPartition, Offset>,
}

impl Inserted {
    /// What was written since the last time. Partitions have no order among each other.
    fn poll(&mut self, log: &Log) -> Result<Vec<TopicRecord>, SqlError> {
        let mut records = Vec::new();
        for topic in log.topics().iter().filter(|topic| !topic.name.starts_with('_')) {
            for number in 0..topic.partitions {
                let partition = TopicPartition::new(&*topic.name, number);
                let end = log.offsets(&partition, OffsetSpec::Latest).map_err(unreadable)?;
                let from = self.positions.insert(partition.clone(), end).unwrap_or(Offset::new(0));
                if from < end {
                    records.extend(read_from(log, partition, from)?);
                }
            }
        }
        Ok(records)
    }
}

fn read_from(log: &Log, partition: TopicPartition, from: Offset) -> Result<Vec<TopicRecord>, SqlError> {
    let consumer = log.consumer(ConsumerConfig::default().isolation(Isolation::ReadUncommitted));
    let mut consumer = consumer.map_err(unreadable)?;
    consumer.assign(vec![partition.clone()]).map_err(unreadable)?;
    consumer.seek(&partition, from).map_err(unreadable)?;
    let mut records = Vec::new();
    loop {
        let runs = consumer.poll(Duration::ZERO).map_err(unreadable)?;
        if runs.is_empty() {
            return Ok(records);
        }
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record.map_err(unreadable)?;
            let record = InputRecord {
                partition: None,
                timestamp: record.timestamp.get(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers().to_owned().map_err(unreadable)?,
            };
            records.push(TopicRecord { topic: partition.topic.to_string(), record });
        }
    }
}

fn unreadable(error: millstream_log::LogError) -> SqlError {
    SqlError::failed("read what statements wrote", error)
}

/// One query and the log that it alone sees.
struct Run {
    id: String,
    driver: TopologyTestDriver,
    sources: Vec<String>,
    sink: String,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Run {
    fn new(query: &PersistentQuery, config: &SqlConfig) -> Result<Self, SqlError> {
        let failed = |error: &dyn std::fmt::Display| {
            SqlError::failed(format!("start query {}", query.id), error.to_string())
        };
        let topology = query.topology()?;
        let mut properties: Properties = query.properties.clone();
        properties.insert("statestore.cache.max.bytes".to_owned(), "0".to_owned());
        let mut streams = config.persistent(&query.application(), &properties)?;
        // What is seen is the same, and commits are cheaper.
        streams.processing_guarantee = ProcessingGuarantee::AtLeastOnce;
        let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
        let log = Log::in_memory(clock.clone() as Arc<dyn Clock>);
        let sources: Vec<String> = topology.source_topics().iter().map(|topic| topic.to_string()).collect();
        let topics: BTreeSet<&String> = sources.iter().chain([&query.sink.topic]).collect();
        for topic in topics {
            log.create_topic(NewTopic::new(topic)).map_err(|error| failed(&error))?;
        }
        let reports = Arc::new(Mutex::new(Vec::new()));
        let (seen, id) = (reports.clone(), query.id.clone());
        let observer = move |_: &ReportOrigin<'_>, report: &RowReport<'_>| {
            let report = format!("{id}: {:?}: {}", report.kind, report.message);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        };
        let driver = TopologyTestDriver::with_observer(topology, streams, log, clock, observer)
            .map_err(|error| failed(&full_message(&error)))?;
        Ok(Self { id: query.id.clone(), driver, sources, sink: query.sink.topic.clone(), reports })
    }

    fn pipe(&mut self, topic: &str, record: &InputRecord) -> Result<(), SqlError> {
        let piped = self.driver.pipe_all(topic, std::slice::from_ref(record));
        piped.map_err(|error| SqlError::failed(format!("run query {}", self.id), full_message(&error)))
    }

    /// What the query wrote to its sink, and the internal topics that it used.
    #[expect(clippy::type_complexity, reason = "two lists")]
    fn finish(&mut self) -> Result<((String, Vec<InputRecord>), Vec<String>), SqlError> {
        let failed =
            |error| SqlError::failed(format!("read what query {} wrote", self.id), full_message(&error));
        let written = self.driver.read(&self.sink).map_err(failed)?;
        let written = written
            .into_iter()
            .map(|record| InputRecord {
                partition: None,
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
            })
            .collect();
        let log = self.driver.log();
        let mut internal = Vec::new();
        for topic in log.topics() {
            let name = topic.name.to_string();
            let end = log.offsets(&TopicPartition::new(&*name, 0), OffsetSpec::Latest).map_err(unreadable)?;
            if end.get() > 0 && !self.sources.contains(&name) && name != self.sink && !name.starts_with("__")
            {
                internal.push(name);
            }
        }
        Ok(((self.sink.clone(), written), internal))
    }
}
