//! One case: its statements, records and expectations, and how it goes.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use millstream_formats::SchemaRegistry;
use millstream_log::{Header, SystemClock};
use millstream_sql::{
    ColumnDescription, ColumnPlace, FormatDescription, SourceDescription, SqlConfig, SqlError,
    ast::{ColumnConstraint, CreateSource, Literal, SourceKind, Statement},
    function::FunctionRegistry,
    parser::parse,
    testing::{TestEngine, TopicRecord},
};
use millstream_streams::driver::InputRecord;

use crate::{
    functions,
    json::Json,
    registry::{self, TestRegistry},
    value::{Side, Value, base64, decode, encode, matches, subject},
};

/// Settings that change no result here.
const WITHOUT_EFFECT: [&str; 3] = [
    "ksql.new.query.planner.enabled",
    "ksql.streams.topology.optimization",
    "ksql.streams.__emit.interval.ms.kstreams.windowed.aggregation__",
];

/// A setting of the comparison, not of the engine.
const EXACT: &str = "use.exact.numeric.comparison";

/// How a case went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// What differs, if the case failed.
    pub(crate) failure: Option<String>,
    /// Whether the case expects an error.
    pub(crate) negative: bool,
    /// Whether the error says what it should; judged apart.
    pub(crate) message_matches: bool,
    /// What was expected to be said, and what was.
    pub(crate) messages: Option<(String, String)>,
    /// Checks that were left out, since they are about another runtime.
    pub(crate) left_out: usize,
}

/// Whether a case uses a format that keeps its schemas in a registry.
pub(crate) fn needs_registry(case: &Json) -> bool {
    let text = format!("{} {} {}", case.get("statements"), case.get("properties"), case.get("topics"));
    let text = text.to_uppercase();
    [
        "'AVRO'",
        "'PROTOBUF'",
        "'PROTOBUF_NOSR'",
        "\"JSON_SR\"",
        "'JSON_SR'",
        "\"AVRO\"",
        "\"PROTOBUF\"",
        "SCHEMA\":",
        "SCHEMA_ID",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// Runs a case.
pub(crate) fn run(case: &Json) -> Verdict {
    let mut verdict = Verdict { negative: case.has("expectedException"), ..Verdict::default() };
    let outcome = catch_unwind(AssertUnwindSafe(|| match verdict.negative {
        true => refuse(case, &mut verdict),
        false => accept(case, &mut verdict),
    }));
    verdict.failure = match outcome {
        Ok(result) => result.err(),
        Err(panic) => Some(panic_text(&*panic)),
    };
    verdict
}

/// What a case says that panicked.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("PANIC: {}", text.unwrap_or("without a text"))
}

/// A case as its statements find it.
struct Bench {
    engine: TestEngine,
    registry: Arc<TestRegistry>,
}

fn open(case: &Json) -> Result<Bench, String> {
    let registry = match needs_registry(case) {
        true => registry::seeded(case)?,
        false => Arc::default(),
    };
    Ok(Bench { engine: engine(case, registry.clone())?, registry })
}

/// An engine with the settings and topics of a case.
pub(crate) fn engine(case: &Json, registry: Arc<TestRegistry>) -> Result<TestEngine, String> {
    let text = |error: SqlError| error.to_string();
    let mut functions = FunctionRegistry::builtin(Arc::new(SystemClock::new()));
    functions::register(&mut functions).map_err(text)?;
    let mut config = SqlConfig::new("unused").functions(functions).schema_registry(registry);
    for (name, value) in case.get("properties").fields() {
        if name != EXACT && !WITHOUT_EFFECT.contains(&name.as_str()) {
            config = config.property(name, &value.text()).map_err(text)?;
        }
    }
    let mut engine = TestEngine::open(config).map_err(text)?;
    for (topic, partitions) in topics(case) {
        engine.create_topic(&topic, partitions).map_err(text)?;
    }
    Ok(engine)
}

/// The topics that are there before the first statement, with their partitions.
pub(crate) fn topics(case: &Json) -> Vec<(String, u32)> {
    let mut topics: Vec<(String, u32)> = Vec::new();
    let mut add = |name: &str, partitions: u32| {
        if !name.is_empty() && !topics.iter().any(|(known, _)| known == name) {
            topics.push((name.to_owned(), partitions));
        }
    };
    // Statements are checked against topics that are as they want them, unless the case says how these are.
    let (mut declared, mut wanted) = (Vec::new(), Vec::new());
    for statement in case.get("statements").items().iter().filter_map(Json::as_str) {
        for statement in parse(statement).into_iter().flatten() {
            if let Statement::CreateSource(CreateSource { with, .. }) = statement.node
                && let Some(Literal::String(topic)) = with.get("KAFKA_TOPIC").map(|topic| &topic.value)
            {
                let partitions = with.get("PARTITIONS").and_then(|count| count.integer().ok());
                wanted.extend(partitions.and_then(|count| Some((topic.clone(), u32::try_from(count).ok()?))));
                declared.push(topic.clone());
            }
        }
    }
    let wanted = |name: &str| wanted.iter().find(|(topic, _)| topic == name).map(|(_, count)| *count);
    for topic in case.get("topics").items() {
        let name = topic.get("name").as_str().unwrap_or_default();
        let partitions = topic.get("partitions").as_i64().map(|count| count as u32);
        add(name, partitions.or_else(|| wanted(name)).unwrap_or(1));
    }
    for name in &declared {
        add(name, wanted(name).unwrap_or(4));
    }
    for record in case.get("inputs").items() {
        add(record.get("topic").as_str().unwrap_or_default(), 4);
    }
    topics
}

fn script(case: &Json) -> String {
    let statements: Vec<&str> = case.get("statements").items().iter().filter_map(Json::as_str).collect();
    statements.join("\n")
}

/// Runs a case that expects records.
fn accept(case: &Json, verdict: &mut Verdict) -> Result<(), String> {
    let mut bench = open(case)?;
    for statement in parse(&script(case)).map_err(|error| format!("refused: {error}"))? {
        bench
            .engine
            .execute_statement(&statement)
            .map_err(|error| format!("refused: {}: {}", full(&error), statement.text))?;
    }
    if bench.engine.engine().queries().is_empty() {
        return Err("the case has no query".to_owned());
    }
    process(case, &mut bench)?;
    compare(case, &bench)?;
    post(case, &bench, verdict)
}

pub(crate) fn full(error: &SqlError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

fn process(case: &Json, bench: &mut Bench) -> Result<(), String> {
    let records = records(case, bench)?;
    bench.engine.process(&records).map_err(|error| format!("stopped: {}", full(&error)))
}

/// The inputs of a case as bytes.
fn records(case: &Json, bench: &Bench) -> Result<Vec<TopicRecord>, String> {
    let sources = bench.engine.sources();
    case.get("inputs").items().iter().map(|input| record(input, &sources, &bench.registry)).collect()
}

pub(crate) fn source_of<'a>(sources: &'a [SourceDescription], topic: &str) -> Option<&'a SourceDescription> {
    sources.iter().find(|source| source.topic == topic)
}

pub(crate) fn record(
    input: &Json,
    sources: &[SourceDescription],
    registry: &TestRegistry,
) -> Result<TopicRecord, String> {
    let topic = input.get("topic").as_str().unwrap_or_default().to_owned();
    let source = source_of(sources, &topic);
    let mut key = encode(input.get("key"), source, Side::Key, registry)?;
    let window = input.get("window");
    if !window.is_null() {
        let time = |name: &str| window.get(name).as_i64().ok_or_else(|| format!("the window has no {name}"));
        let bytes = key.get_or_insert_default();
        if window.get("type").as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("session")) {
            bytes.extend(time("end")?.to_be_bytes());
        }
        bytes.extend(time("start")?.to_be_bytes());
    }
    let value = encode(input.get("value"), source, Side::Value, registry)?;
    let timestamp = input.get("timestamp").as_i64().unwrap_or(0);
    let record = InputRecord { partition: None, timestamp, key, value, headers: headers(input)? };
    Ok(TopicRecord { topic, record })
}

fn headers(record: &Json) -> Result<Vec<Header>, String> {
    let header = |header: &Json| {
        let key = header.get("KEY").as_str().unwrap_or_default().to_owned();
        Ok(Header { key, value: base64(header.get("VALUE"))?.map(Into::into) })
    };
    record.get("headers").items().iter().map(header).collect()
}

fn compare(case: &Json, Bench { engine, registry }: &Bench) -> Result<(), String> {
    let sources = engine.sources();
    let exact = case.get("properties").get(EXACT).text().to_lowercase() != "false";
    let outputs = case.get("outputs").items();
    let mut topics: Vec<&str> = outputs.iter().filter_map(|output| output.get("topic").as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let source = source_of(&sources, topic).ok_or_else(|| format!("{topic}: no stream or table"))?;
        let expected: Vec<&Json> =
            outputs.iter().filter(|output| output.get("topic").as_str() == Some(topic)).collect();
        let actual = engine.records(topic);
        for (number, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            let difference = differs(actual, expected, (source, registry), exact);
            if let Some(difference) = difference.unwrap_or_else(Some) {
                return Err(format!(
                    "{topic}[{number}]: {difference}\n    expected {expected}\n    found    {}{}",
                    shown(actual, source, registry),
                    reports(engine)
                ));
            }
        }
        if actual.len() != expected.len() {
            let next = actual.get(expected.len()).map(|actual| shown(actual, source, registry));
            let next = next.or_else(|| expected.get(actual.len()).map(|expected| expected.to_string()));
            return Err(format!(
                "{topic}: {} records instead of {}; the first too many or missing: {}{}",
                actual.len(),
                expected.len(),
                next.unwrap_or_default(),
                reports(engine)
            ));
        }
    }
    Ok(())
}

fn reports(engine: &TestEngine) -> String {
    engine.reports().iter().take(3).map(|report| format!("\n    row error: {report}")).collect()
}

pub(crate) fn shown(record: &InputRecord, source: &SourceDescription, registry: &TestRegistry) -> String {
    let text = |bytes: &Option<Vec<u8>>, side| match bytes {
        Some(bytes) => match decode(Some(bytes), source, side, registry) {
            Ok(Value::Text(_) | Value::List(_) | Value::Record(_)) if bytes.first() != Some(&0) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            decoded => format!("{decoded:?}"),
        },
        None => "null".to_owned(),
    };
    let headers = if record.headers.is_empty() { String::new() } else { format!(" {:?}", record.headers) };
    format!(
        "{} -> {} @{}{headers}",
        text(&record.key, Side::Key),
        text(&record.value, Side::Value),
        record.timestamp
    )
}

/// What differs between a record and the expected one.
pub(crate) fn differs(
    actual: &InputRecord,
    expected: &Json,
    (source, registry): (&SourceDescription, &TestRegistry),
    exact: bool,
) -> Result<Option<String>, String> {
    let window = expected.get("window");
    let mut key = actual.key.as_deref();
    match (source.window, key) {
        (Some(description), Some(bytes)) => {
            let session = description.size_ms.is_none();
            let tail = if session { 16 } else { 8 };
            let (inner, bounds) = bytes
                .split_at_checked(bytes.len().wrapping_sub(tail))
                .ok_or("the key is too short for a window")?;
            let time = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).unwrap_or(i64::MIN);
            let (start, end) = match description.size_ms {
                None => (time(&bounds[8..]), time(&bounds[..8])),
                Some(size) => (time(bounds), time(bounds).saturating_add(size)),
            };
            let kind = if session { "session" } else { "time" };
            let same = window.get("start").as_i64() == Some(start)
                && window.get("end").as_i64() == Some(end)
                && window.get("type").as_str().is_some_and(|given| given.eq_ignore_ascii_case(kind));
            if !same {
                return Ok(Some(format!("the {kind} window is {start} to {end}")));
            }
            key = Some(inner);
        }
        _ if !window.is_null() => return Ok(Some("the key is not windowed".to_owned())),
        _ => {}
    }
    for (what, bytes, side) in [("key", key, Side::Key), ("value", actual.value.as_deref(), Side::Value)] {
        let value = decode(bytes, source, side, registry).map_err(|error| format!("{what}: {error}"))?;
        if !matches(&value, expected.get(what), exact) {
            return Ok(Some(format!("{what} differs")));
        }
    }
    if let Some(timestamp) = expected.get("timestamp").as_i64()
        && timestamp != actual.timestamp
    {
        return Ok(Some(format!("timestamp is {}", actual.timestamp)));
    }
    if headers(expected)? != actual.headers {
        return Ok(Some("headers differ".to_owned()));
    }
    Ok(None)
}

/// Checks what must hold after the last record.
fn post(case: &Json, Bench { engine, registry }: &Bench, verdict: &mut Verdict) -> Result<(), String> {
    let sources = engine.sources();
    for expected in case.get("post").get("sources").items() {
        let name = expected.get("name").as_str().unwrap_or_default();
        let source = sources.iter().find(|source| source.name == name);
        let source = source.ok_or_else(|| format!("post: there is no {name}"))?;
        if let Some(difference) = source_differs(source, expected)? {
            return Err(format!("post: {name}: {difference}; expected {expected}"));
        }
    }
    let topics = case.get("post").get("topics");
    if topics.get("blacklist").as_str() == Some(".*-repartition")
        && let Some(topic) = engine.internal_topics().find(|topic| topic.ends_with("-repartition"))
    {
        return Err(format!("post: rows went through {topic}"));
    }
    for expected in topics.get("topics").items() {
        let name = expected.get("name").as_str().unwrap_or_default();
        if name.contains("-repartition") || name.contains("-changelog") {
            verdict.left_out += 1;
            continue;
        }
        let source = source_of(&sources, name).ok_or_else(|| format!("post: nothing is in topic {name}"))?;
        for side in [Side::Key, Side::Value] {
            if let Some(difference) = side_differs(source, side, expected, registry)? {
                return Err(format!("post: {name}: {difference}"));
            }
        }
        if let Some(partitions) = expected.get("partitions").as_i64() {
            // The suite knows the partitions of topics that are there before the first statement; of others it has this.
            let known = self::topics(case).into_iter().find(|(topic, _)| topic == name);
            let found = known.map_or(4, |(_, partitions)| partitions);
            if i64::from(found) != partitions {
                return Err(format!("post: {name} has {found} partitions instead of {partitions}"));
            }
        }
    }
    Ok(())
}

/// What differs between one side of a topic and what is expected of it.
fn side_differs(
    source: &SourceDescription,
    side: Side,
    expected: &Json,
    registry: &TestRegistry,
) -> Result<Option<String>, String> {
    let (what, found) = match side {
        Side::Key => ("key", &source.key_format),
        Side::Value => ("value", &source.value_format),
    };
    let wanted = expected.get(&format!("{what}Format"));
    if let Some(format) = wanted.get("format").as_str() {
        if format != found.spec.format.to_string() {
            return Ok(Some(format!("the {what} format is {}", found.spec.format)));
        }
        let mut properties: Vec<(String, String)> =
            found.properties().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        properties.sort_unstable();
        let given = wanted.get("properties").fields();
        let mut given: Vec<(String, String)> =
            given.iter().map(|(name, value)| (name.clone(), value.text())).collect();
        given.sort_unstable();
        if given != properties {
            return Ok(Some(format!("the {what} format has {properties:?} instead of {given:?}")));
        }
        let given: Vec<&str> = wanted.get("features").items().iter().filter_map(Json::as_str).collect();
        if given != features(found) {
            return Ok(Some(format!("the {what} format has features {:?}", features(found))));
        }
    }
    let schema = expected.get(&format!("{what}Schema"));
    if schema.is_null() {
        return Ok(None);
    }
    let latest = registry.latest(&subject(&source.topic, side)).map_err(|error| error.to_string())?;
    let text = latest.schema.text;
    let same = match schema {
        Json::String(expected) => *expected == text,
        expected => {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            parse(&expected.to_string()) == parse(&text)
        }
    };
    Ok((!same).then(|| format!("the {what} schema is {text}\n    instead of {}", schema.text())))
}

/// What a source says about how single columns are written.
fn features(description: &FormatDescription) -> &'static [&'static str] {
    match (description.explicit_wrapping, description.spec.wrapped) {
        (false, _) => &[],
        (true, true) => &["WRAP_SINGLES"],
        (true, false) => &["UNWRAP_SINGLES"],
    }
}

fn source_differs(source: &SourceDescription, expected: &Json) -> Result<Option<String>, String> {
    let kind = if source.kind == SourceKind::Stream { "stream" } else { "table" };
    if expected.get("type").as_str().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(kind)) {
        return Ok(Some(format!("it is a {kind}")));
    }
    if let Some(schema) = expected.get("schema").as_str() {
        let wanted = columns(schema)?;
        if wanted != listed(&source.columns) {
            return Ok(Some(format!("the columns are {:?}", listed(&source.columns))));
        }
    }
    if expected.has("keyFormat") {
        let key = expected.get("keyFormat");
        let format = source.key_format.spec.format.to_string();
        if key.get("format").as_str().is_some_and(|wanted| wanted != format) {
            return Ok(Some(format!("the key format is {format}")));
        }
        let kind = source.window.map(|window| window.kind);
        let size = source.window.and_then(|window| window.size_ms);
        if key.get("windowType").as_str() != kind || key.get("windowSize").as_i64() != size {
            return Ok(Some(format!("the window is {:?}", source.window)));
        }
    }
    let format = source.value_format.spec.format.to_string();
    if expected.get("valueFormat").as_str().is_some_and(|wanted| wanted != format) {
        return Ok(Some(format!("the value format is {format}")));
    }
    for (name, description) in [("keyFeatures", &source.key_format), ("valueFeatures", &source.value_format)]
    {
        let found = features(description);
        let wanted: Vec<&str> = expected.get(name).items().iter().filter_map(Json::as_str).collect();
        if expected.has(name) && wanted != found {
            return Ok(Some(format!("{name} are {found:?}")));
        }
    }
    if expected.get("isSource") == &Json::Bool(!source.read_only) {
        return Ok(Some(format!("isSource is {}", source.read_only)));
    }
    Ok(None)
}

/// Columns as they are compared: by place, then in their order.
fn listed(columns: &[ColumnDescription]) -> Vec<String> {
    let of = |place: fn(&ColumnPlace) -> bool| columns.iter().filter(move |column| place(&column.place));
    of(|place| *place == ColumnPlace::Key)
        .chain(of(|place| *place != ColumnPlace::Key))
        .map(|column| format!("`{}` {} {:?}", column.name, column.ty, column.place))
        .collect()
}

/// The columns of an expected schema.
fn columns(schema: &str) -> Result<Vec<String>, String> {
    let schema = schema.replace("PRIMARY KEY", "KEY");
    let text = format!("CREATE STREAM EXPECTED ({schema}) WITH (KAFKA_TOPIC='expected');");
    let statements = parse(&text).map_err(|error| format!("post: {schema}: {error}"))?;
    let Some(Statement::CreateSource(create)) = statements.into_iter().next().map(|statement| statement.node)
    else {
        return Err(format!("post: {schema} is no list of columns"));
    };
    let columns: Result<Vec<ColumnDescription>, String> = (create.columns.iter())
        .map(|column| {
            let place = match &column.constraint {
                Some(ColumnConstraint::PrimaryKey | ColumnConstraint::Key) => ColumnPlace::Key,
                Some(ColumnConstraint::Headers) => ColumnPlace::Headers,
                Some(ColumnConstraint::Header(name)) => ColumnPlace::Header(name.clone()),
                None => ColumnPlace::Value,
            };
            let ty = column.ty.resolve_builtin().map_err(|error| error.to_string())?;
            Ok(ColumnDescription { name: column.name.name.clone(), ty, place })
        })
        .collect();
    Ok(listed(&columns?))
}

/// Runs a case that expects an error.
fn refuse(case: &Json, verdict: &mut Verdict) -> Result<(), String> {
    let expected = case.get("expectedException");
    let kind = expected.get("type").as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
    let wanted = expected.get("message").as_str().unwrap_or_default();
    let mut judge = |error: &SqlError, statement: &str| {
        let bare = error.problem().map_or_else(|| full(error), |problem| problem.message.clone());
        let forms = [bare.clone(), error.to_string(), full(error)];
        verdict.message_matches = forms
            .iter()
            .any(|text| text.contains(wanted) || format!("{text}\nStatement: {statement}").contains(wanted));
        verdict.messages = Some((wanted.to_owned(), error.to_string()));
        match error {
            SqlError::Unsupported(_) if !verdict.message_matches => Err(format!("not supported: {error}")),
            _ => Ok(()),
        }
    };
    let mut bench = open(case)?;
    let script = script(case);
    let statements = match parse(&script) {
        Ok(statements) => statements,
        // A script that cannot be read is refused as a whole.
        Err(error) => return judge(&error, &script),
    };
    let count = statements.len();
    for (number, statement) in statements.iter().enumerate() {
        match bench.engine.execute_statement(statement) {
            Ok(_) => {}
            Err(error) if number + 1 == count && kind != "StreamsException" => {
                return judge(&error, &statement.text);
            }
            Err(error) => {
                return Err(format!("statement {} is refused already: {}", number + 1, full(&error)));
            }
        }
    }
    let records = records(case, &bench)?;
    match bench.engine.process(&records) {
        Err(error) => judge(&error, ""),
        Ok(()) => Err(format!("not refused; expected: {wanted}")),
    }
}
