//! Push queries: a topology of their own whose rows go to one client, until it stops or has enough.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::Duration,
};

use arrow::{
    array::{BooleanArray, RecordBatch, UInt32Array},
    datatypes::SchemaRef,
};
use millstream_log::Log;
use millstream_streams::{Streams, StreamsConfig, UncaughtResponse, full_message, store::MemoryBackend};

use crate::{
    ast::SourceKind,
    columnar::ColumnarBatch,
    engine::pushes::Registration,
    error::SqlError,
    plan::Plan,
    processing_log::ProcessingLog,
    topology::{Destination, build},
};

/// Batches that wait for a client at most.
const WAITING_BATCHES: usize = 16;

/// Rows of a stream, or changes of a table.
#[derive(Clone, Debug)]
pub struct PushRows {
    /// The rows. One that was deleted has its key columns, and NULL in the others.
    pub rows: RecordBatch,
    /// Which rows of a table were deleted; `None` if none was.
    pub deleted: Option<BooleanArray>,
}

/// A running push query. Dropping it stops it and leaves nothing behind.
pub struct PushQuery {
    id: String,
    kind: SourceKind,
    schema: SchemaRef,
    /// Gone once the query stops, so that its threads do not wait for a client any more.
    rows: Option<Receiver<ColumnarBatch>>,
    streams: Option<Streams>,
    remaining: Option<u64>,
    log: Log,
    registration: Registration,
}

impl std::fmt::Debug for PushQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushQuery").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PushQuery {
    pub(crate) fn start(
        id: String,
        plan: &Plan,
        limit: Option<u64>,
        config: StreamsConfig,
        (log, errors): (&Log, ProcessingLog),
        registration: Registration,
    ) -> Result<Self, SqlError> {
        let failed = |error| SqlError::failed("start the push query", error);
        let (client, rows) = sync_channel(WAITING_BATCHES);
        let topology = build(plan, Destination::Client(client))?;
        let backend = std::sync::Arc::new(MemoryBackend::default());
        plan.errors.set_detail(errors.detail());
        let errors = std::sync::Arc::new(errors);
        let ended = errors.clone();
        let streams = Streams::builder(topology, config, log.clone())
            .backend(backend)
            .observer(move |origin, report| errors.observe(origin, report))
            .uncaught_exception_handler(move |error| {
                ended.thread_ended(error);
                UncaughtResponse::default()
            });
        let mut streams = streams.open().map_err(failed)?;
        streams.start().map_err(failed)?;
        let schema = plan.output.schema.clone();
        Ok(Self {
            id,
            kind: plan.output.kind,
            schema,
            rows: Some(rows),
            streams: Some(streams),
            remaining: limit,
            log: log.clone(),
            registration,
        })
    }

    /// The query's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; waits up to `timeout`. `None` if none came, or if the query has [finished](Self::finished).
    ///
    pub fn next(&mut self, timeout: Duration) -> Result<Option<PushRows>, SqlError> {
        if self.registration.is_ended() {
            self.halt();
        }
        let (Some(rows), Some(streams)) = (&self.rows, &self.streams) else { return Ok(None) };
        if self.remaining == Some(0) {
            return Ok(None);
        }
        let batch = match rows.recv_timeout(timeout) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return match streams.error() {
                    Some(error) => Err(SqlError::failed(format!("run {}", self.id), full_message(&*error))),
                    None => Ok(None),
                };
            }
        };
        let (rows, deleted) = match (batch.present().cloned(), self.kind) {
            (None, _) => (batch.record_batch()?, None),
            (Some(present), SourceKind::Table) => (batch.record_batch()?, Some(!&present)),
            (Some(present), SourceKind::Stream) => {
                let live: Vec<u32> =
                    (0u32..).zip(present.iter()).filter_map(|(row, live)| live.then_some(row)).collect();
                (batch.take(&UInt32Array::from(live))?.record_batch()?, None)
            }
        };
        let count = match self.remaining {
            Some(left) => rows.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => rows.num_rows(),
        };
        self.remaining = self.remaining.map(|left| left - count as u64);
        if self.finished() {
            self.halt();
        }
        let deleted = deleted.map(|deleted| BooleanArray::new(deleted.slice(0, count), None));
        Ok((count > 0).then(|| PushRows { rows: rows.slice(0, count), deleted }))
    }

    /// Whether the LIMIT is reached, or someone ended the query.
    pub fn finished(&self) -> bool {
        self.remaining == Some(0) || self.registration.is_ended()
    }

    /// How many records have been read and how many there are to read, over all topics.
    pub fn progress(&self) -> Result<(u64, u64), SqlError> {
        let Some(streams) = &self.streams else { return Ok((0, 0)) };
        let positions = streams.positions().map_err(|error| SqlError::failed("read positions", error))?;
        Ok(positions
            .iter()
            .fold((0, 0), |(read, all), (_, position, end)| (read + position.get(), all + end.get())))
    }

    /// Ends the query and removes what it used.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.rows = None;
        let Some(streams) = self.streams.take() else { return };
        let prefix = format!("{}-", streams.config().application_id);
        drop(streams);
        remove_internal_topics(&self.log, &prefix);
    }
}

impl Drop for PushQuery {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Deletes the changelog and repartition topics of an application.
pub(crate) fn remove_internal_topics(log: &Log, prefix: &str) {
    for topic in log.topics().into_iter().filter(|topic| topic.name.starts_with(prefix)) {
        if let Err(error) = log.delete_topic(&topic.name) {
            tracing::warn!(topic = &*topic.name, %error, "could not delete an internal topic");
        }
    }
}
