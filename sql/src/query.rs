//! Persistent queries: what they are made of, and how they start and end.

use std::{fs, sync::Arc};

use millstream_log::Log;
use millstream_streams::{Metrics, State, StoreView, Streams, Topology, UncaughtResponse, full_message};

use crate::{
    catalogue::Source,
    config::{Properties, SqlConfig},
    error::SqlError,
    error_topic::ErrorTopic,
    plan::{Plan, RowTime},
    processing_log::ProcessingLog,
    pull::Stored,
    push::remove_internal_topics,
    topology::{Destination, build},
};

/// Where the rows of a persistent query go.
pub(crate) enum Target {
    /// To the topic of a stream or table.
    Topic {
        /// The stream or table.
        sink: Arc<Source>,
        /// The column that becomes the records' time.
        time: Option<RowTime>,
    },
    /// Only to a store, which holds the rows of the table that the query reads.
    Store {
        /// The table.
        table: Arc<Source>,
    },
}

/// A persistent query as an engine keeps it.
pub(crate) struct PersistentQuery {
    /// `CSAS_..`, `CTAS_..`, `CST_..` or `INSERTQUERY_..`.
    pub(crate) id: String,
    /// The number of its statement: queries were made in this order.
    pub(crate) number: u64,
    /// Its statement.
    pub(crate) statement: String,
    /// What it does.
    pub(crate) plan: Plan,
    /// How it keeps the rows of its table, if it does.
    stored: Option<Arc<Stored>>,
    /// Where its rows go, or with `stored_only` the table whose rows it keeps.
    pub(crate) sink: Arc<Source>,
    /// The column that becomes the records' time.
    pub(crate) time: Option<RowTime>,
    /// Properties of the session that made it.
    pub(crate) properties: Properties,
    stored_only: bool,
    paused: bool,
    run: Run,
}

enum Run {
    /// Not yet.
    Waiting,
    /// The threads are there, whatever their state.
    Started { streams: Box<Streams>, log: Arc<ProcessingLog> },
    /// It could not be started.
    Refused(String),
}

/// How a persistent query is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryStatus {
    /// Its id.
    pub id: String,
    /// RUNNING, ERROR, or a state on the way there.
    pub state: String,
    /// What it reads.
    pub sources: Vec<String>,
    /// What it writes.
    pub sink: String,
    /// Its statement.
    pub statement: String,
    /// Records read.
    pub records_in: u64,
    /// Records written to the sink.
    pub records_out: u64,
    /// Records left out: not readable, or without the key they need.
    pub skipped: u64,
    /// Rows that came after their window had closed.
    pub late: u64,
    /// Rows of which a part could not be computed.
    pub failed: u64,
    /// Why it stopped.
    pub error: Option<String>,
}

impl PersistentQuery {
    /// A query that is not started.
    pub(crate) fn new(
        id: String,
        number: u64,
        statement: String,
        plan: Plan,
        target: Target,
        properties: Properties,
    ) -> Self {
        let stored_only = matches!(target, Target::Store { .. });
        let (sink, time) = match target {
            Target::Topic { sink, time } => (sink, time),
            Target::Store { table } => (table, None),
        };
        let (paused, run) = (false, Run::Waiting);
        let stored = Stored::of(&plan).map(Arc::new);
        Self { id, number, statement, plan, stored, sink, time, properties, stored_only, paused, run }
    }

    /// Where its topology ends.
    pub(crate) fn destination(&self) -> Destination<'_> {
        match self.stored_only {
            true => Destination::Nowhere,
            false => Destination::Sink { sink: &self.sink, time: self.time.clone() },
        }
    }

    /// Lets it process nothing, or go on. What it has stays either way.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        if let Some(streams) = self.streams() {
            match paused {
                true => streams.pause(),
                false => streams.resume(),
            }
        }
    }

    /// Whether it was told to pause.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether it writes to no topic.
    pub(crate) fn is_stored_only(&self) -> bool {
        self.stored_only
    }

    /// The `application.id` of its threads.
    pub(crate) fn application(&self) -> String {
        format!("_millstream-query-{}", self.id)
    }

    /// Opens its topology and starts the threads. An error stays with the query too.
    /// Errors of rows are written to `errors` too.
    pub(crate) fn start(
        &mut self,
        log: &Log,
        config: &SqlConfig,
        errors: Option<Arc<ErrorTopic>>,
    ) -> Result<(), SqlError> {
        match self.open(log, config, errors) {
            Ok(run) => {
                self.run = run;
                Ok(())
            }
            Err(error) => {
                self.run = Run::Refused(error.to_string());
                Err(error)
            }
        }
    }

    fn open(&self, log: &Log, config: &SqlConfig, errors: Option<Arc<ErrorTopic>>) -> Result<Run, SqlError> {
        let failed = |error| SqlError::failed(format!("start query {}", self.id), error);
        let topology = self.topology()?;
        let streams = config.persistent(&self.application(), &self.properties)?;
        let rows = Arc::new(ProcessingLog::new(&self.id, log.clock().clone(), errors));
        self.plan.errors.set_detail(rows.detail());
        let (observed, ended) = (rows.clone(), rows.clone());
        let mut streams = Streams::builder(topology, streams, log.clone())
            .observer(move |origin, report| observed.observe(origin, report))
            .uncaught_exception_handler(move |error| {
                ended.thread_ended(error);
                UncaughtResponse::default()
            })
            .open()
            .map_err(failed)?;
        if self.paused {
            streams.pause();
        }
        streams.start().map_err(failed)?;
        Ok(Run::Started { streams: Box::new(streams), log: rows })
    }

    /// Its processors.
    pub(crate) fn topology(&self) -> Result<Topology, SqlError> {
        build(&self.plan, self.destination())
    }

    /// The threads, if they are there.
    pub(crate) fn streams(&self) -> Option<&Streams> {
        match &self.run {
            Run::Started { streams, .. } => Some(streams),
            Run::Waiting | Run::Refused(_) => None,
        }
    }

    /// What went wrong with single rows lately.
    pub(crate) fn recent_reports(&self) -> Vec<String> {
        match &self.run {
            Run::Started { log, .. } => log.recent(),
            Run::Waiting | Run::Refused(_) => Vec::new(),
        }
    }

    /// The committed rows of its table, and how they are kept; `None` if it keeps none.
    pub(crate) fn table(&self) -> Result<Option<(StoreView, Arc<Stored>)>, SqlError> {
        let (Some(stored), Some(streams)) = (&self.stored, self.streams()) else { return Ok(None) };
        let view = streams.store(stored.store());
        view.map(|view| Some((view, Arc::clone(stored))))
            .map_err(|error| SqlError::failed("open the table's state", error))
    }

    /// Ends the threads, with a commit.
    pub(crate) fn close(&mut self) {
        if let Run::Started { streams, .. } = std::mem::replace(&mut self.run, Run::Waiting)
            && let Err(error) = streams.close()
        {
            tracing::warn!(query = self.id, "the query had failed: {}", full_message(&error));
        }
    }

    /// Ends the query for good: its state and internal topics go.
    pub(crate) fn remove(&mut self, log: &Log, config: &SqlConfig) {
        self.close();
        let application = self.application();
        remove_internal_topics(log, &format!("{application}-"));
        let directory = config.state_dir().join(&application);
        if directory.exists()
            && let Err(error) = fs::remove_dir_all(&directory)
        {
            tracing::warn!(directory = %directory.display(), %error, "could not remove the state of a query");
        }
    }

    /// How it is.
    pub(crate) fn status(&self) -> QueryStatus {
        let (state, metrics, error) = match &self.run {
            Run::Waiting => ("CREATED".to_owned(), Metrics::default(), None),
            Run::Refused(error) => ("ERROR".to_owned(), Metrics::default(), Some(error.clone())),
            Run::Started { streams, .. } => {
                let state = match streams.state() {
                    State::Running if self.paused => "PAUSED".to_owned(),
                    State::Restoring => "RESTORING".to_owned(),
                    other => other.to_string(),
                };
                (state, streams.metrics(), streams.error().map(|error| full_message(&*error)))
            }
        };
        QueryStatus {
            id: self.id.clone(),
            state,
            sources: self.plan.sources(),
            sink: self.sink.name.clone(),
            statement: self.statement.clone(),
            records_in: metrics.records_in,
            records_out: metrics.sink_records,
            skipped: metrics.skipped,
            late: metrics.late,
            failed: metrics.failed,
            error,
        }
    }
}
