//! Cases of the other suite, `rqtt`: statements, then pull and push queries with the rows that they give.
//!
//! They run on an engine with threads and a log in memory, without the server between: what a case says of the
//! server's own bytes (Protobuf rows, ids of queries) is left out and counted.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, Schema,
    },
    temporal_conversions::{date32_to_datetime, time32ms_to_time, timestamp_ms_to_datetime},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use millstream_log::{
    ConsumerConfig, Log, NewTopic, Offset, ProducerConfig, Record, SystemClock, Timestamp, TopicPartition,
};
use millstream_sql::{
    Engine, Outcome, PushQuery, ResultSet, Session, SqlConfig, SqlError,
    ast::{SourceKind, Statement},
    function::FunctionRegistry,
    parser::parse,
};
use millstream_streams::driver::InputRecord;

use crate::{
    case::{self, Verdict, differs, full, source_of},
    functions,
    json::Json,
    registry::{self, TestRegistry},
    value::{Decimal, Value, java_double, matches},
};

/// How long a query may take to catch up, or to give its next row.
const PATIENCE: Duration = Duration::from_secs(20);

/// Settings of the suite's server.
const SETTINGS: [(&str, &str); 8] = [
    ("auto.offset.reset", "earliest"),
    ("statestore.cache.max.bytes", "0"),
    ("commit.interval.ms", "20"),
    ("poll.ms", "10"),
    ("ksql.query.pull.table.scan.enabled", "true"),
    ("ksql.query.pull.stream.enabled", "true"),
    ("ksql.query.pull.range.scan.enabled", "true"),
    ("ksql.query.pull.limit.clause.enabled", "true"),
];

/// Runs a case.
pub(crate) fn run(case: &Json) -> Verdict {
    let mut verdict = Verdict { negative: case.has("expectedError"), ..Verdict::default() };
    let outcome = catch_unwind(AssertUnwindSafe(|| judge(case, &mut verdict)));
    verdict.failure = outcome.unwrap_or_else(|panic| Err(case::panic_text(&*panic))).err();
    verdict
}

struct Server {
    engine: Engine,
    session: Session,
    registry: Arc<TestRegistry>,
    /// Where queries keep their state; removed after them.
    _dir: tempfile::TempDir,
}

fn open(case: &Json) -> Result<Server, String> {
    let text = |error: SqlError| full(&error);
    let registry = match case::needs_registry(case) {
        true => registry::seeded(case)?,
        false => Arc::default(),
    };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut functions = FunctionRegistry::builtin(Arc::new(SystemClock::new()));
    functions::register(&mut functions).map_err(text)?;
    let mut config = SqlConfig::new(dir.path()).functions(functions).schema_registry(registry.clone());
    for (name, value) in SETTINGS {
        config = config.property(name, value).map_err(text)?;
    }
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for (topic, partitions) in case::topics(case) {
        log.create_topic(NewTopic::new(topic).partitions(partitions)).map_err(|error| error.to_string())?;
    }
    let engine = Engine::open(log, config).map_err(text)?;
    let mut session = Session::new();
    for (name, value) in case.get("properties").fields() {
        let set = format!("SET '{name}'='{}';", value.text());
        engine.execute(&mut session, &set).map_err(text)?;
    }
    Ok(Server { engine, session, registry, _dir: dir })
}

fn judge(case: &Json, verdict: &mut Verdict) -> Result<(), String> {
    let mut server = open(case)?;
    let statements: Vec<&str> = case.get("statements").items().iter().filter_map(Json::as_str).collect();
    let is_query = |statement: &&str| statement.trim_start().to_uppercase().starts_with("SELECT ");
    let first = statements.iter().position(is_query).unwrap_or(statements.len());
    let (admin, queries) = statements.split_at(first);
    let expected = case.get("responses").items();
    match administrate(&mut server, &admin.join("\n")) {
        Err(error) if verdict.negative => return refused(case, verdict, &error),
        Err(error) => return Err(format!("refused: {}", full(&error))),
        Ok(_) if verdict.negative && queries.is_empty() => return Err("not refused".to_owned()),
        Ok(entities) => {
            let wanted = expected.iter().filter(|response| response.has("admin")).count();
            if entities < wanted {
                return Err(format!("{entities} answers to statements instead of {wanted}"));
            }
        }
    }
    let late = case.get("inputConditions").get("waitForActivePushQuery") == &Json::Bool(true);
    if !late {
        produce(case, &server)?;
    }
    let settle = |server: &Server| match server.engine.wait_caught_up(PATIENCE) {
        Ok(true) => Ok(()),
        Ok(false) => Err("the queries do not catch up".to_owned()),
        Err(error) => Err(full(&error)),
    };
    settle(&server)?;
    verdict.left_out += expected.iter().filter(|response| response.has("queryProto")).count();
    let mut wanted = expected.iter().filter(|response| response.has("query"));
    for (number, query) in queries.iter().enumerate() {
        let outcome = server.engine.execute(&mut server.session, query);
        let outcome = outcome.and_then(|mut outcomes| match outcomes.pop() {
            Some(Outcome::Push(push)) => {
                if late {
                    produce(case, &server).map_err(|error| SqlError::failed("produce", error))?;
                }
                rows_of_push(*push)
            }
            Some(Outcome::Table(rows)) => Ok(rows_of_pull(query, rows, &server)),
            other => Err(SqlError::failed("query", format!("{other:?}"))),
        });
        let actual = match outcome {
            Ok(actual) => actual,
            Err(error) if verdict.negative && number + 1 == queries.len() => {
                return refused(case, verdict, &error);
            }
            Err(error) => return Err(format!("query {} is refused: {}", number + 1, full(&error))),
        };
        if let Some(wanted) = wanted.next() {
            compare(wanted.get("query").items(), &actual, verdict)
                .map_err(|difference| format!("query {}: {difference}\n    found {actual:?}", number + 1))?;
        }
    }
    if verdict.negative {
        return Err("not refused".to_owned());
    }
    outputs(case, &server)
}

/// Runs the statements in front of the queries, and says how many of them are answered one by one.
fn administrate(server: &mut Server, script: &str) -> Result<usize, SqlError> {
    let statements = parse(script)?;
    server.engine.execute(&mut server.session, script)?;
    let answered = |statement: &Statement| !matches!(statement, Statement::InsertValues(_));
    Ok(statements.iter().filter(|statement| answered(&statement.node)).count())
}

fn refused(case: &Json, verdict: &mut Verdict, error: &SqlError) -> Result<(), String> {
    let wanted = case.get("expectedError").get("message").as_str().unwrap_or_default();
    verdict.message_matches = [error.to_string(), full(error)].iter().any(|text| text.contains(wanted));
    verdict.messages = Some((wanted.to_owned(), full(error)));
    match error {
        SqlError::Unsupported(_) if !verdict.message_matches => Err(format!("not supported: {error}")),
        _ => Ok(()),
    }
}

fn produce(case: &Json, server: &Server) -> Result<(), String> {
    let failed = |error: millstream_log::LogError| error.to_string();
    let sources = server.engine.sources();
    let mut producer = server.engine.log().producer(ProducerConfig::default()).map_err(failed)?;
    let inputs = case.get("inputs").items();
    let mut topics: Vec<&str> = Vec::new();
    for topic in inputs.iter().filter_map(|input| input.get("topic").as_str()) {
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    for topic in topics {
        for input in inputs.iter().filter(|input| input.get("topic").as_str() == Some(topic)) {
            let InputRecord { timestamp, key, value, headers, .. } =
                case::record(input, &sources, &server.registry)?.record;
            let record = Record {
                timestamp: Some(Timestamp::new(timestamp)),
                key: key.map(Into::into),
                value: value.map(Into::into),
                headers,
                ..Record::default()
            };
            producer.send(topic, record).map_err(failed)?;
        }
    }
    producer.flush().map(drop).map_err(failed)
}

/// What a query gave.
#[derive(Debug)]
struct Answer {
    header: String,
    rows: Vec<(Vec<Value>, bool)>,
    end: Option<&'static str>,
}

fn rows_of_pull(text: &str, result: ResultSet, server: &Server) -> Answer {
    let rows: Vec<_> = result.batches.iter().flat_map(values).map(|row| (row, false)).collect();
    let query = parse(text).ok().and_then(|mut statements| match statements.pop()?.node {
        Statement::Select(query) => Some(query),
        _ => None,
    });
    let end = query.and_then(|query| {
        let name = query.from.source.name.name;
        let source = server.engine.sources().into_iter().find(|source| source.name == name)?;
        let limited = query.limit.is_some_and(|limit| limit == rows.len() as u64);
        let end = if limited { "Limit Reached" } else { "Query Completed" };
        (source.kind == SourceKind::Stream).then_some(end)
    });
    Answer { header: header(&result.schema), rows, end }
}

fn rows_of_push(mut push: PushQuery) -> Result<Answer, SqlError> {
    let header = header(push.schema());
    let mut rows = Vec::new();
    while !push.finished() {
        let Some(changes) = push.next(PATIENCE)? else {
            return Err(SqlError::failed("read on", format!("after {rows:?}")));
        };
        let deleted = |row: usize| changes.deleted.as_ref().is_some_and(|deleted| deleted.value(row));
        rows.extend(
            values(&changes.rows).into_iter().enumerate().map(|(row, values)| (values, deleted(row))),
        );
    }
    Ok(Answer { header, rows, end: Some("Limit Reached") })
}

/// The columns of a result as the server writes them.
fn header(schema: &Schema) -> String {
    let column = |field: &arrow::datatypes::FieldRef| {
        let ty = millstream_sql::SqlType::from_arrow(field.data_type());
        let ty = ty.map_or_else(|error| error.to_string(), |ty| ty.to_string());
        let key = if ResultSet::is_key(field) { " KEY" } else { "" };
        format!("`{}` {ty}{key}", field.name())
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

fn values(batch: &RecordBatch) -> Vec<Vec<Value>> {
    let row = |row| batch.columns().iter().map(|column| value(column.as_ref(), row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// A value as the server writes it in JSON.
fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let items = |array: Arc<dyn Array>| (0..array.len()).map(|row| value(&*array, row)).collect();
    let out_of_range = || Value::Text("out of range".to_owned());
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Value::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::Float64 => {
            let text = java_double(array.as_primitive::<Float64Type>().value(row));
            Decimal::parse(&text).map_or(Value::Text(text), Value::Exact)
        }
        DataType::Decimal128(_, scale) => {
            let unscaled = array.as_primitive::<Decimal128Type>().value(row);
            Value::Exact(Decimal::new(unscaled.into(), i64::from(*scale)))
        }
        DataType::Decimal256(_, scale) => {
            let unscaled = array.as_primitive::<Decimal256Type>().value(row);
            Value::Exact(Decimal::new(unscaled, i64::from(*scale)))
        }
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Value::Text(BASE64_STANDARD.encode(array.as_binary::<i32>().value(row))),
        DataType::Date32 => {
            let date = date32_to_datetime(array.as_primitive::<Date32Type>().value(row));
            date.map_or_else(out_of_range, |date| Value::Text(date.format("%Y-%m-%d").to_string()))
        }
        DataType::Time32(_) => {
            let millis = array.as_primitive::<arrow::datatypes::Time32MillisecondType>().value(row);
            time32ms_to_time(millis).map_or_else(out_of_range, |time| {
                let format = if millis % 1000 == 0 { "%H:%M:%S" } else { "%H:%M:%S%.3f" };
                let text = time.format(format).to_string();
                Value::Text(if millis % 60_000 == 0 { text[..5].to_owned() } else { text })
            })
        }
        DataType::Timestamp(..) => {
            let millis = array.as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(row);
            timestamp_ms_to_datetime(millis).map_or_else(out_of_range, |time| {
                Value::Text(time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string())
            })
        }
        DataType::List(_) => Value::List(items(array.as_list::<i32>().value(row))),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            Value::Record(columns.map(|(column, field)| (field.name().clone(), value(column, row))).collect())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let name = |row| match value(entries.column(0), row) {
                Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            Value::Record((0..entries.len()).map(|row| (name(row), value(entries.column(1), row))).collect())
        }
        other => Value::Text(format!("a value of type {other}")),
    }
}

fn compare(expected: &[Json], actual: &Answer, verdict: &mut Verdict) -> Result<(), String> {
    let rows: Vec<&Json> = expected.iter().filter(|row| row.has("row")).map(|row| row.get("row")).collect();
    for row in expected {
        let header = row.get("header");
        verdict.left_out += usize::from(header.has("queryId|starts_with"));
        if let Some(schema) = header.get("schema").as_str().filter(|schema| *schema != actual.header) {
            return Err(format!("the columns are {} instead of {schema}", actual.header));
        }
    }
    let end = expected.iter().find_map(|row| row.get("finalMessage").as_str());
    if end != actual.end {
        return Err(format!("it ends with {:?} instead of {end:?}", actual.end));
    }
    if rows.len() != actual.rows.len() {
        return Err(format!("{} rows instead of {}", actual.rows.len(), rows.len()));
    }
    for (row, (_, deleted)) in rows.iter().zip(&actual.rows) {
        if (row.get("tombstone") == &Json::Bool(true)) != *deleted {
            return Err(format!("deleted is {deleted} instead of {row}"));
        }
    }
    // Rows have no order among each other.
    let mut left: Vec<&Vec<Value>> = actual.rows.iter().map(|(values, _)| values).collect();
    for row in rows {
        let columns = row.get("columns").items();
        let same = |values: &&Vec<Value>| {
            values.len() == columns.len()
                && values.iter().zip(columns).all(|(value, wanted)| matches(value, wanted, true))
        };
        match left.iter().position(same) {
            Some(at) => left.swap_remove(at),
            None => return Err(format!("no row is {row}")),
        };
    }
    Ok(())
}

/// Checks what the statements wrote into topics.
fn outputs(case: &Json, server: &Server) -> Result<(), String> {
    let failed = |error: millstream_log::LogError| error.to_string();
    let (sources, log) = (server.engine.sources(), server.engine.log());
    let expected = case.get("outputs").items();
    let mut topics: Vec<&str> = expected.iter().filter_map(|output| output.get("topic").as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let source = source_of(&sources, topic).ok_or_else(|| format!("{topic}: no stream or table"))?;
        let partitions =
            log.topics().into_iter().find(|known| &*known.name == topic).map_or(0, |topic| topic.partitions);
        let mut consumer = log.consumer(ConsumerConfig::default()).map_err(failed)?;
        let all: Vec<_> = (0..partitions).map(|number| TopicPartition::new(topic, number)).collect();
        consumer.assign(all.clone()).map_err(failed)?;
        for partition in &all {
            consumer.seek(partition, Offset::new(0)).map_err(failed)?;
        }
        let mut actual = Vec::new();
        loop {
            let runs = consumer.poll(Duration::ZERO).map_err(failed)?;
            if runs.is_empty() {
                break;
            }
            for record in runs.iter().flat_map(|run| run.records()) {
                let record = record.map_err(|error| error.to_string())?;
                actual.push(InputRecord {
                    partition: None,
                    timestamp: record.timestamp.get(),
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: Vec::new(),
                });
            }
        }
        let wanted: Vec<&Json> =
            expected.iter().filter(|output| output.get("topic").as_str() == Some(topic)).collect();
        if actual.len() != wanted.len() {
            return Err(format!("{topic}: {} records instead of {}", actual.len(), wanted.len()));
        }
        for (actual, wanted) in actual.iter().zip(wanted) {
            let difference = differs(actual, wanted, (source, &server.registry), true);
            if let Some(difference) = difference.unwrap_or_else(Some) {
                return Err(format!(
                    "{topic}: {difference}\n    expected {wanted}\n    found    {}",
                    case::shown(actual, source, &server.registry)
                ));
            }
        }
    }
    Ok(())
}
