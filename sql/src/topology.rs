//! From a plan to a topology of columnar processors.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use millstream_log::PartitionRecords;
use millstream_streams::{
    Batch, Context, Decoded, Decoder, Encoder, Processor, RecordSink, Reporter, SourceOptions, StoreHandle,
    StoreSpec, StreamsError, Topology, TopologyBuilder,
    operator::{
        AggregateProcessor, EmitStrategy, JoinProcessor, JoinWindows, MissingKey, SessionProcessor,
        SessionWindows, Side, StreamJoin as JoinRules, StreamJoinProcessor, TableProcessor, TimeWindows,
        Unmatched,
        foreign_key::{
            ForeignJoin as ForeignRules, ForeignTableProcessor, ResponseResolver, SubscriptionArena,
            SubscriptionReceiver, SubscriptionSender, message_decoder, message_encoder,
        },
        stream_join::JoinStores,
    },
    topology::RepartitionNames,
};

use crate::{
    ast::JoinKind,
    catalogue::Source,
    columnar::ColumnarBatch,
    error::SqlError,
    expression::{bind, bind_condition},
    operator::{
        aggregate::{AggregateArena, ColumnarAggregator},
        collect::CollectProcessor,
        cut::CutProcessor,
        explode::ExplodeProcessor,
        filter::FilterProcessor,
        foreign_key::{ForeignLeft, ForeignResult, ForeignRight},
        join::ColumnarJoiner,
        keys::Keys,
        pair_join::PairJoiner,
        project::ProjectProcessor,
        rekey::RekeyEncoder,
        rows::RowArena,
        session::ColumnarSessions,
        shared::{PickProcessor, SharedDecoder},
        sink::SinkEncoder,
        source::SourceDecoder,
        stream_join::ColumnarStreamJoiner,
        table::ColumnarTable,
    },
    plan::{
        Aggregate, Branch, ForeignJoin, Materialize, PairJoin, Plan, Rekey, RowTime, SessionWindow,
        SourceStep, Step, StreamJoin, TableJoin, TimeWindow, Window,
    },
};

/// Where the rows of a query go.
pub(crate) enum Destination<'a> {
    /// To the topic of a stream or table.
    Sink {
        /// The stream or table.
        sink: &'a Arc<Source>,
        /// The column that becomes the records' time.
        time: Option<RowTime>,
    },
    /// No further than the last store.
    Nowhere,
    /// To a client.
    Client(SyncSender<ColumnarBatch>),
}

/// Builds the topology of a plan.
pub(crate) fn build(plan: &Plan, destination: Destination<'_>) -> Result<Topology, SqlError> {
    let mut assembly = Assembly { plan, builder: TopologyBuilder::new(), nodes: 0 };
    let source = assembly.source(&plan.source)?;
    let (last, _) = assembly.steps(source, &plan.source.schema, &plan.steps)?;
    assembly.end(&last, destination)?;
    assembly.builder.build().map_err(|error| SqlError::failed("build the topology", error))
}

struct Assembly<'a> {
    plan: &'a Plan,
    builder: TopologyBuilder,
    /// Numbers nodes that would have the same name.
    nodes: usize,
}

/// A node's parts are made once here, so that what is wrong with them shows before the query starts, and again per task.
fn prepared<T: 'static, E: std::error::Error + Send + Sync + 'static>(
    make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
) -> Result<impl Fn() -> T + Send + Sync + 'static, SqlError> {
    make().map_err(|error| SqlError::failed("prepare the query", error))?;
    Ok(move || make().unwrap_or_else(|error| unreachable!("it was made before: {error}")))
}

impl Assembly<'_> {
    fn source(&mut self, step: &SourceStep) -> Result<String, SqlError> {
        let name = format!("Source-{}", step.source.name);
        let topic = step.source.topic.as_str();
        let sharing: Vec<&SourceStep> =
            self.plan.source_steps().filter(|other| other.source.topic == topic).collect();
        let place = sharing.iter().position(|other| other.source.name == step.source.name).unwrap_or(0);
        if sharing.len() == 1 {
            let decoder = self.decoder(step)?;
            self.builder.add_source(&name, [topic], decoder, SourceOptions::default());
            return Ok(name);
        }
        // A topic is read once, whoever wants its records.
        let names: Vec<&str> = sharing.iter().map(|other| other.source.name.as_str()).collect();
        let shared = format!("Shared-{}", names.join("-"));
        if place == 0 {
            let decoder = self.shared_decoder(&sharing)?;
            self.builder.add_source(&shared, [topic], decoder, SourceOptions::default());
        }
        Ok(self.processor(&name, &[&shared], move || PickProcessor::new(place), &[]))
    }

    /// Adds what is joined; returns its last node and the layout of its rows.
    fn branch(&mut self, branch: &Branch) -> Result<(String, SchemaRef), SqlError> {
        let source = self.source(&branch.source)?;
        self.steps(source, &branch.source.schema, &branch.steps)
    }

    fn steps(
        &mut self,
        mut last: String,
        layout: &SchemaRef,
        steps: &[Step],
    ) -> Result<(String, SchemaRef), SqlError> {
        let mut layout = layout.clone();
        for step in steps {
            last = self.step(&last, step, &layout)?;
            layout = step.layout(&layout).clone();
        }
        Ok((last, layout))
    }

    fn decoder(
        &self,
        step: &SourceStep,
    ) -> Result<Arc<dyn Fn() -> Box<dyn Decoder> + Send + Sync>, SqlError> {
        let (step, errors) = (step.clone(), self.plan.errors.clone());
        let make = move || SourceDecoder::new(&step, &errors);
        make().map_err(|error| SqlError::failed("prepare the query", error))?;
        Ok(Arc::new(move || match make() {
            Ok(decoder) => Box::new(decoder) as Box<dyn Decoder>,
            Err(error) => Box::new(Unprepared(error.to_string())),
        }))
    }

    /// Decodes records for several sources.
    fn shared_decoder(
        &self,
        steps: &[&SourceStep],
    ) -> Result<Arc<dyn Fn() -> Box<dyn Decoder> + Send + Sync>, SqlError> {
        let steps: Vec<SourceStep> = steps.iter().copied().cloned().collect();
        let errors = self.plan.errors.clone();
        let make =
            move || steps.iter().map(|step| SourceDecoder::new(step, &errors)).collect::<Result<Vec<_>, _>>();
        make().map_err(|error| SqlError::failed("prepare the query", error))?;
        Ok(Arc::new(move || match make() {
            Ok(parts) => Box::new(SharedDecoder::new(parts)) as Box<dyn Decoder>,
            Err(error) => Box::new(Unprepared(error.to_string())),
        }))
    }

    /// Adds a processor below a node; returns its name.
    fn processor<P: Processor + 'static>(
        &mut self,
        name: &str,
        parents: &[&str],
        make: impl Fn() -> P + Send + Sync + 'static,
        stores: &[StoreHandle],
    ) -> String {
        let supplier = Arc::new(move || Box::new(make()) as Box<dyn Processor>);
        self.builder.add_processor(name, supplier, parents, stores);
        name.to_owned()
    }

    fn numbered(&mut self, name: &str) -> String {
        self.nodes += 1;
        format!("{name}-{}", self.nodes)
    }

    /// Adds a step below a node; returns the node that the next one follows.
    fn step(&mut self, last: &str, step: &Step, input: &SchemaRef) -> Result<String, SqlError> {
        let errors = self.plan.errors.clone();
        match step {
            Step::Filter(filter) => {
                let (condition, step) = (bind_condition(&filter.condition, input)?, filter.clone());
                let make = move || FilterProcessor::new(condition.clone(), &step, errors.clone());
                let name = self.numbered("Filter");
                Ok(self.processor(&name, &[last], make, &[]))
            }
            Step::Project(project) => {
                let exprs: Vec<_> =
                    project.exprs.iter().map(|expr| bind(expr, input)).collect::<Result<_, _>>()?;
                let step = project.clone();
                let make = move || ProjectProcessor::new(exprs.clone(), &step, errors.clone());
                let name = self.numbered("Project");
                Ok(self.processor(&name, &[last], make, &[]))
            }
            Step::Explode(explode) => {
                let lists: Vec<_> =
                    explode.lists.iter().map(|list| bind(list, input)).collect::<Result<_, _>>()?;
                let step = explode.clone();
                let make = move || ExplodeProcessor::new(lists.clone(), &step, errors.clone());
                let name = self.numbered("FlatMap");
                Ok(self.processor(&name, &[last], make, &[]))
            }
            Step::Rekey(rekey) => self.rekey(last, rekey, input),
            Step::Join(join) => self.join(last, join, input),
            Step::StreamJoin(join) => self.stream_join(last, join, input),
            Step::PairJoin(join) => self.pair_join(last, join, input),
            Step::ForeignJoin(join) => self.foreign_join(last, join, input),
            Step::Aggregate(aggregate) => self.aggregate(last, aggregate, input),
            Step::Materialize(materialize) => Ok(self.materialize(last, materialize, input)?.0),
        }
    }

    /// Keeps the rows of a table; returns the node and the store.
    fn materialize(
        &mut self,
        last: &str,
        step: &Materialize,
        input: &SchemaRef,
    ) -> Result<(String, StoreHandle), SqlError> {
        let store = self.builder.add_store(StoreSpec::key_value(&step.store, RowArena::default));
        let (table, layout) = (step.clone(), input.clone());
        let make = prepared(move || ColumnarTable::new(&table, &layout))?;
        let make = move || TableProcessor::new(make(), store);
        Ok((self.processor(&step.store, &[last], make, &[store]), store))
    }

    fn rekey(&mut self, last: &str, rekey: &Rekey, input: &SchemaRef) -> Result<String, SqlError> {
        let (step, layout, errors) = (rekey.clone(), input.clone(), self.plan.errors.clone());
        let make = prepared(move || RekeyEncoder::new(&step, &layout, &errors))?;
        let encoder = Arc::new(move || Box::new(make()) as Box<dyn Encoder>);
        let decoder = self.decoder(&rekey.read)?;
        Ok(self.builder.add_repartition(&rekey.name, None, encoder, decoder, &[last]))
    }

    fn join(&mut self, last: &str, join: &TableJoin, input: &SchemaRef) -> Result<String, SqlError> {
        let (table, layout) = self.branch(&join.table)?;
        let (_, store) = self.materialize(&table, &join.rows, &layout)?;
        self.builder.copartition(&[last, &table]);
        let missing_key = if join.kind == JoinKind::Left { MissingKey::Keep } else { MissingKey::Drop };
        let (step, layout) = (join.clone(), input.clone());
        let make = prepared(move || ColumnarJoiner::new(&step, &layout))?;
        let make = move || JoinProcessor::new(make(), store, missing_key);
        let name = self.numbered("Join");
        Ok(self.processor(&name, &[last], make, &[store]))
    }

    fn stream_join(&mut self, last: &str, join: &StreamJoin, left: &SchemaRef) -> Result<String, SqlError> {
        let (other, right) = self.branch(&join.right)?;
        self.builder.copartition(&[last, &other]);
        let windows = JoinWindows::of(Duration::ZERO).bounds_ms(join.before_ms, join.after_ms);
        let rules = JoinRules {
            windows: windows.grace(millis(join.grace_ms.unwrap_or(DEFAULT_GRACE_MS))),
            keeps_left: matches!(join.kind, JoinKind::Left | JoinKind::Full),
            keeps_right: matches!(join.kind, JoinKind::Right | JoinKind::Full),
            unmatched: if join.grace_ms.is_some() { Unmatched::Closed } else { Unmatched::Eager },
        };
        let retention = rules.windows.retention();
        let mut rows = |side: &str| {
            let name = format!("{}-{side}", join.name);
            self.builder.add_store(StoreSpec::stream_rows(&name, retention, RowArena::default))
        };
        let (of_left, of_right) = (rows("left"), rows("right"));
        let waiting = rules
            .waits()
            .then(|| self.builder.add_store(StoreSpec::ordered(&format!("{}-waiting", join.name))));
        let stores = JoinStores { left: of_left, right: of_right, waiting };
        let connected: Vec<StoreHandle> = [of_left, of_right].into_iter().chain(waiting).collect();
        let mut sides = Vec::new();
        for (side, parent) in [(Side::Left, last), (Side::Right, other.as_str())] {
            let (step, left, right) = (join.clone(), left.clone(), right.clone());
            let make = prepared(move || ColumnarStreamJoiner::new(&step, &left, &right))?;
            let name = if side == Side::Left { "JoinThis" } else { "JoinOther" };
            let make = move || StreamJoinProcessor::new(make(), side, rules, stores);
            let name = self.numbered(name);
            sides.push(self.processor(&name, &[parent], make, &connected));
        }
        self.builder.pair(&sides[0], &sides[1]);
        let name = self.numbered("Merge");
        Ok(self.processor(&name, &[&sides[0], &sides[1]], || PassProcessor, &[]))
    }

    fn pair_join(&mut self, last: &str, join: &PairJoin, left: &SchemaRef) -> Result<String, SqlError> {
        let (other, right) = self.branch(&join.right)?;
        self.builder.copartition(&[last, &other]);
        let (left_table, left_store) = self.materialize(last, &join.left_rows, left)?;
        let (right_table, right_store) = self.materialize(&other, &join.right_rows, &right)?;
        let mut sides = Vec::new();
        for side in [Side::Left, Side::Right] {
            let (step, left, right) = (join.clone(), left.clone(), right.clone());
            let make = prepared(move || match side {
                Side::Left => PairJoiner::new(&step, side, &left, &right),
                Side::Right => PairJoiner::new(&step, side, &right, &left),
            })?;
            let (parent, store, name) = match side {
                Side::Left => (left_table.as_str(), right_store, "JoinThis"),
                Side::Right => (right_table.as_str(), left_store, "JoinOther"),
            };
            let make = move || JoinProcessor::new(make(), store, MissingKey::Drop);
            let name = self.numbered(name);
            sides.push(self.processor(&name, &[parent], make, &[store]));
        }
        let name = self.numbered("Merge");
        Ok(self.processor(&name, &[&sides[0], &sides[1]], || PassProcessor, &[]))
    }

    fn foreign_join(&mut self, last: &str, join: &ForeignJoin, left: &SchemaRef) -> Result<String, SqlError> {
        let (other, right) = self.branch(&join.right)?;
        let (left_table, left_store) = self.materialize(last, &join.left_rows, left)?;
        let (right_table, right_store) = self.materialize(&other, &join.right_rows, &right)?;
        let rules = if join.kind == JoinKind::Left { ForeignRules::Left } else { ForeignRules::Inner };
        let named = |part: &str| format!("{}-{part}", join.name);
        let subscriptions = StoreSpec::key_value(&named("subscription-store"), SubscriptionArena::default);
        let subscriptions = self.builder.add_store(subscriptions);

        let (step, layout) = (join.clone(), left.clone());
        let make = prepared(move || ForeignLeft::new(&step, &layout))?;
        let make = move || SubscriptionSender::new(make(), rules);
        let sender = self.processor(&named("subscription"), &[&left_table], make, &[]);
        let registered = self.messages(&named("subscription-registration"), &[&sender]);
        let make = move || SubscriptionReceiver::<RowArena>::new(subscriptions, right_store);
        let receiver =
            self.processor(&named("receiver"), &[&registered], make, &[subscriptions, right_store]);
        let (step, layout) = (join.clone(), right.clone());
        let make = prepared(move || ForeignRight::new(&step, &layout))?;
        let make = move || ForeignTableProcessor::new(make(), subscriptions);
        let teller = self.processor(&named("foreign"), &[&right_table], make, &[subscriptions]);
        let answered = self.messages(&named("subscription-response"), &[&receiver, &teller]);
        let (step, left, right) = (join.clone(), left.clone(), right.clone());
        let make = prepared(move || ForeignResult::new(&step, &left, &right))?;
        let make = move || ResponseResolver::new(make(), rules, left_store);
        let resolver = self.processor(&named("resolver"), &[&answered], make, &[left_store]);
        self.builder.copartition(&[&other, &registered]).copartition(&[last, &answered]);
        Ok(resolver)
    }

    /// An internal topic of messages between the sides of a foreign-key join; returns the node that reads it.
    fn messages(&mut self, name: &str, parents: &[&str]) -> String {
        let topic = format!("{name}-topic");
        let (sink, source) = (format!("{topic}-sink"), format!("{topic}-source"));
        let names = RepartitionNames { topic, sink, source };
        self.builder.add_named_repartition(names, None, message_encoder(), message_decoder(), parents)
    }

    fn aggregate(
        &mut self,
        last: &str,
        aggregate: &Aggregate,
        input: &SchemaRef,
    ) -> Result<String, SqlError> {
        let functions: Vec<_> = aggregate.calls.iter().map(|call| call.function.clone()).collect();
        let having = aggregate.having.is_some();
        let arena = prepared(move || AggregateArena::new(&functions, having))?;
        let name = &aggregate.store;
        let spec = match aggregate.window {
            None => StoreSpec::key_value(name, arena),
            Some(Window::Time(window)) => {
                StoreSpec::window(name, millis(window.size_ms), millis(window.retention_ms), arena)
            }
            Some(Window::Session(window)) => StoreSpec::session(name, millis(window.retention_ms), arena),
        };
        let store = self.builder.add_store(spec);
        let emit = match aggregate.emits_final {
            true => EmitStrategy::OnWindowClose,
            false => EmitStrategy::OnWindowUpdate,
        };
        let (step, layout, errors) = (aggregate.clone(), input.clone(), self.plan.errors.clone());
        let windows = match aggregate.window {
            None => None,
            Some(Window::Time(window)) => Some(window),
            Some(Window::Session(window)) => {
                let make = prepared(move || ColumnarSessions::new(&step, &layout, &errors))?;
                let windows = session_windows(window);
                let make = move || SessionProcessor::new(make(), store, windows).emit(emit);
                return Ok(self.processor(name, &[last], make, &[store]));
            }
        };
        let mut last = last.to_owned();
        if let Some(window) = windows.filter(|_| aggregate.emits_final) {
            let (cut, keys, layout) = (self.numbered("Cut"), aggregate.keys.clone(), input.clone());
            let make = prepared(move || Keys::new(&keys, &layout))?;
            last = self.processor(&cut, &[&last], move || CutProcessor::new(make(), window), &[]);
        }
        let make = prepared(move || ColumnarAggregator::new(&step, &layout, &errors))?;
        let make = move || AggregateProcessor::new(make(), store, windows.map(time_windows)).emit(emit);
        Ok(self.processor(name, &[&last], make, &[store]))
    }

    fn end(&mut self, last: &str, destination: Destination<'_>) -> Result<(), SqlError> {
        match destination {
            Destination::Nowhere => {}
            Destination::Client(client) => {
                let make = move || CollectProcessor::new(client.clone());
                self.processor("Client", &[last], make, &[]);
            }
            Destination::Sink { sink, time } => {
                let (target, output) = (sink.clone(), self.plan.output.clone());
                let errors = self.plan.errors.clone();
                let make = move || SinkEncoder::new(&target, &output, time.as_ref(), &errors);
                make().map_err(|error| SqlError::failed("prepare the query", error))?;
                let encoder = Arc::new(move || match make() {
                    Ok(encoder) => Box::new(encoder) as Box<dyn Encoder>,
                    Err(error) => Box::new(Unprepared(error.to_string())),
                });
                let name = format!("Sink-{}", sink.name);
                self.builder.add_sink(&name, &sink.topic, encoder, &[last]);
            }
        }
        Ok(())
    }
}

/// How long rows are kept for late ones where a join does not say: a day.
const DEFAULT_GRACE_MS: i64 = 24 * 60 * 60 * 1000;

/// Stands for what could be made when the query was planned and not when a task was: a registry may be gone by then.
struct Unprepared(String);

impl Decoder for Unprepared {
    fn decode(
        &mut self,
        _records: &PartitionRecords,
        _report: &mut dyn Reporter,
    ) -> Result<Decoded, StreamsError> {
        Err(StreamsError::Failed(self.0.clone()))
    }
}

impl Encoder for Unprepared {
    fn encode(
        &mut self,
        _batch: Box<dyn Batch>,
        _out: &mut RecordSink<'_>,
        _report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        Err(StreamsError::Failed(self.0.clone()))
    }
}

/// Where the two sides of a join become one.
struct PassProcessor;

impl Processor for PassProcessor {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        context.forward(batch)
    }

    fn can_fail(&self) -> bool {
        false
    }
}

fn time_windows(window: TimeWindow) -> TimeWindows {
    TimeWindows::of(millis(window.size_ms))
        .advance_by(millis(window.advance_ms))
        .grace(millis(window.grace_ms))
}

fn session_windows(window: SessionWindow) -> SessionWindows {
    SessionWindows::of(millis(window.gap_ms)).grace(millis(window.grace_ms))
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}
