//! What a registry answers, in memory and on a log alike, and what is left after a restart.

use std::sync::Arc;

use millstream_log::{Log, ManualClock, NewTopic, Timestamp};

use super::super::{
    Compatibility, Deleted, Mode, Reference, RegistryError, SCHEMAS_TOPIC, Schema, SchemaRegistry,
    SchemaType, Scope, SubjectConfig, VersionSpec,
};
use super::{EmbeddedRegistry, Registration};

fn log() -> Log {
    Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(1_000))))
}

/// Runs a test on both kinds of registry, and then compares the one on the log with itself after a restart.
fn on_both(test: impl Fn(&EmbeddedRegistry)) {
    test(&EmbeddedRegistry::new());
    let log = log();
    let registry = EmbeddedRegistry::open(&log).unwrap();
    test(&registry);
    let reopened = EmbeddedRegistry::open(&log).unwrap();
    let contents = |registry: &EmbeddedRegistry| registry.list(":*:", Deleted::Include, false);
    assert_eq!(contents(&reopened), contents(&registry));
    assert_eq!(reopened.contexts(), registry.contexts());
    for subject in registry.subjects_with_prefix(":*:", Deleted::Include) {
        let subject = Some(subject.as_str());
        assert_eq!(reopened.config(subject, Scope::Effective), registry.config(subject, Scope::Effective));
        assert_eq!(reopened.mode(subject, Scope::Effective), registry.mode(subject, Scope::Effective));
    }
}

fn avro(text: &str) -> Schema {
    Schema::new(SchemaType::Avro, text)
}

fn record(name: &str, fields: &[&str]) -> Schema {
    let fields: Vec<String> =
        fields.iter().map(|field| format!(r#"{{"name":"{field}","type":"int"}}"#)).collect();
    avro(&format!(r#"{{"type":"record","name":"{name}","fields":[{}]}}"#, fields.join(",")))
}

fn code<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> u32 {
    result.unwrap_err().code
}

fn level(level: Compatibility) -> SubjectConfig {
    SubjectConfig { compatibility: Some(level), ..SubjectConfig::default() }
}

const LATEST: VersionSpec = VersionSpec::Latest;

fn number(version: i32) -> VersionSpec {
    VersionSpec::Number(version)
}

#[test]
fn the_same_schema_has_one_id() {
    on_both(|registry| {
        assert_eq!(registry.register("a", &avro(r#""int""#)), Ok(1));
        assert_eq!(registry.register("a", &avro(r#"  { "type" : "int" } "#)), Ok(1), "the same schema");
        assert_eq!(registry.register("b", &avro(r#""int""#)), Ok(1), "under another subject");
        assert_eq!(registry.register("a", &avro(r#""long""#)), Ok(2));
        assert_eq!(registry.versions_of("a", Deleted::Exclude), Ok(vec![1, 2]));
        assert_eq!(registry.latest("a").unwrap().version, 2);
        assert_eq!(registry.schema(1), Ok(avro(r#""int""#)));
        assert_eq!(registry.lookup("a", &avro(r#"{"type":"int"}"#)).unwrap().version, 1);
        assert_eq!(registry.subjects(), Ok(vec!["a".into(), "b".into()]));
        let uses = registry.uses_of_id(1, None, Deleted::Exclude);
        assert_eq!(uses, Ok(vec![("a".into(), 1), ("b".into(), 1)]));
    });
}

#[test]
fn refusals_have_the_codes_of_the_original() {
    on_both(|registry| {
        registry.register("a", &avro(r#""int""#)).unwrap();
        assert_eq!(code(registry.schema(2)), 40403);
        assert_eq!(code(registry.latest("b")), 40401);
        assert_eq!(code(registry.version("a", 2)), 40402);
        assert_eq!(code(registry.lookup("b", &avro(r#""int""#))), 40401);
        assert_eq!(code(registry.lookup("a", &avro(r#""long""#))), 40403);
        assert_eq!(code(registry.register("a", &avro(""))), 42201);
        assert_eq!(code(registry.register("a", &avro("{"))), 42201);
        assert_eq!(code(registry.register("", &avro(r#""int""#))), 42208);
        let refused = registry.register("a", &avro(r#""string""#)).unwrap_err();
        assert_eq!(refused.code, 409);
        let start =
            "Schema being registered is incompatible with an earlier schema for subject \"a\", details: [{";
        assert!(refused.message.starts_with(start), "{refused}");
        for text in ["0", "-2", "x", "", "2147483648"] {
            assert_eq!(code(text.parse::<VersionSpec>()), 42202, "{text}");
        }
    });
}

#[test]
fn versions_are_deleted_softly_and_then_for_good() {
    on_both(|registry| {
        registry.register("a", &avro(r#""int""#)).unwrap();
        registry.register("a", &avro(r#""long""#)).unwrap();
        assert_eq!(code(registry.remove_version("a", number(3), false)), 40402);
        assert_eq!(code(registry.remove_version("b", LATEST, false)), 40401);
        assert_eq!(code(registry.remove_version("a", number(1), true)), 40407);
        assert_eq!(registry.remove_version("a", number(1), false), Ok(1));
        assert_eq!(code(registry.remove_version("a", number(1), false)), 40406);
        assert_eq!(code(registry.version("a", 1)), 40402);
        assert_eq!(registry.get("a", number(1), Deleted::Include).unwrap().id, 1);
        assert_eq!(registry.versions_of("a", Deleted::Only), Ok(vec![1]));
        assert_eq!(registry.schema(1), Ok(avro(r#""int""#)), "the id stays readable");
        assert_eq!(registry.remove_version("a", number(1), true), Ok(1));
        assert_eq!(code(registry.schema(1)), 40403);
        assert_eq!(registry.versions_of("a", Deleted::Include), Ok(vec![2]));
    });
}

#[test]
fn subjects_are_deleted_softly_and_then_for_good() {
    on_both(|registry| {
        registry.register("a", &avro(r#""int""#)).unwrap();
        registry.register("a", &avro(r#""long""#)).unwrap();
        let none = level(Compatibility::None);
        registry.set_config(Some("a"), none).unwrap();
        assert_eq!(code(registry.delete_subject("b", false)), 40401);
        assert_eq!(code(registry.delete_subject("a", true)), 40405);
        assert_eq!(registry.delete_subject("a", false), Ok(vec![1, 2]));
        assert_eq!(code(registry.config(Some("a"), Scope::Own)), 40408, "settings went along");
        assert_eq!(code(registry.delete_subject("a", false)), 40404);
        assert_eq!(registry.subjects(), Ok(vec![]));
        assert_eq!(registry.subjects_with_prefix("", Deleted::Include), ["a"]);
        assert!(registry.schema(2).is_ok(), "ids stay readable");
        // What comes again has its id, but a version of its own.
        assert_eq!(registry.register("a", &avro(r#""int""#)), Ok(1));
        assert_eq!(registry.versions_of("a", Deleted::Exclude), Ok(vec![3]));
        assert_eq!(registry.versions_of("a", Deleted::Include), Ok(vec![2, 3]), "its old version is gone");
        assert_eq!(registry.delete_subject("a", false), Ok(vec![3]));
        assert_eq!(registry.delete_subject("a", true), Ok(vec![2, 3]));
        assert_eq!(code(registry.schema(2)), 40403);
        assert_eq!(registry.register("a", &avro(r#""int""#)), Ok(3), "ids are not given out twice");
        assert_eq!(registry.versions_of("a", Deleted::Include), Ok(vec![1]));
    });
}

#[test]
fn what_is_referred_to_is_not_deleted() {
    on_both(|registry| {
        registry.register("item", &record("Item", &["n"])).unwrap();
        let mut order = avro(r#"{"type":"record","name":"Order","fields":[{"name":"item","type":"Item"}]}"#);
        assert_eq!(code(registry.register("order", &order)), 42201, "nothing defines Item");
        let reference = |version| Reference { name: "Item".into(), subject: "item".into(), version };
        order.references = vec![reference(2)];
        assert_eq!(code(registry.register("order", &order)), 42201, "there is no such version");
        order.references = vec![reference(-1)];
        let id = registry.register("order", &order).unwrap();
        order.references = vec![reference(1)];
        assert_eq!(registry.schema(id).unwrap().references, order.references, "-1 is the newest");
        assert_eq!(registry.register("order", &order), Ok(id));
        assert_eq!(registry.referenced_by("item", LATEST), Ok(vec![id]));
        assert_eq!(code(registry.remove_version("item", number(1), false)), 42206);
        assert_eq!(code(registry.delete_subject("item", false)), 42206);
        registry.delete_subject("order", false).unwrap();
        assert_eq!(registry.referenced_by("item", LATEST), Ok(vec![]));
        registry.delete_subject("item", false).unwrap();
        let resolved = registry.resolve(&registry.schema(id).unwrap()).unwrap();
        assert_eq!(resolved.references.len(), 1, "deleted schemas still explain old data");
    });
}

#[test]
fn levels_decide_what_may_follow() {
    on_both(|registry| {
        let set = |subject, level| {
            let config = self::level(level);
            registry.set_config(subject, config).unwrap()
        };
        let narrow = record("R", &["a"]);
        let wide = record("R", &["a", "b"]);
        registry.register("s", &narrow).unwrap();
        assert_eq!(code(registry.register("s", &wide)), 409, "BACKWARD, the default");
        assert!(!registry.check_compatibility("s", &wide, None, false).unwrap().is_empty());
        assert!(!registry.check_compatibility("s", &wide, Some(LATEST), false).unwrap().is_empty());
        assert_eq!(registry.check_compatibility("other", &wide, Some(LATEST), false), Ok(vec![]));
        assert_eq!(code(registry.check_compatibility("s", &wide, Some(number(2)), false)), 40402);
        set(None, Compatibility::Full);
        assert_eq!(code(registry.register("s", &wide)), 409);
        set(Some("s"), Compatibility::Forward);
        assert_eq!(registry.register("s", &wide), Ok(2), "the subject's level goes before the global one");
        assert_eq!(
            registry.config(Some("t"), Scope::Effective).unwrap().compatibility,
            Some(Compatibility::Full)
        );
        assert_eq!(registry.delete_config(Some("s")).unwrap().compatibility, Some(Compatibility::Forward));
        assert_eq!(code(registry.delete_config(Some("s"))), 40401);
        registry.delete_config(None).unwrap();
        let global = registry.config(None, Scope::Own).unwrap();
        assert_eq!(global.compatibility, Some(Compatibility::Backward));
    });
}

#[test]
fn modes_say_who_may_write() {
    on_both(|registry| {
        let int = avro(r#""int""#);
        registry.register("a", &int).unwrap();
        registry.set_mode(Some("a"), Mode::ReadOnly, false).unwrap();
        assert_eq!(code(registry.register("a", &avro(r#""long""#))), 42205);
        assert_eq!(code(registry.delete_subject("a", false)), 42205);
        assert_eq!(code(registry.mode(Some("b"), Scope::Own)), 40409);
        assert_eq!(registry.mode(Some("b"), Scope::Effective), Ok(Mode::ReadWrite));
        assert_eq!(registry.register("b", &int), Ok(1), "another subject");
        assert_eq!(registry.delete_mode(Some("a")), Ok(Mode::ReadOnly));
        assert_eq!(registry.register("a", &avro(r#""long""#)), Ok(2));
        registry.set_mode(None, Mode::ReadOnlyOverride, false).unwrap();
        registry.set_mode(Some("a"), Mode::ReadWrite, false).unwrap();
        assert_eq!(code(registry.register("a", &avro(r#""double""#))), 42205, "whatever the subject says");
        registry.set_mode(None, Mode::ReadWrite, false).unwrap();
        assert_eq!(registry.register("a", &avro(r#""double""#)), Ok(3));
        assert_eq!(code("SOMETIMES".parse::<Mode>()), 42204);
    });
}

#[test]
fn ids_and_versions_are_kept_in_an_import() {
    on_both(|registry| {
        let how = |id, version| Registration { id: Some(id), version, ..Registration::default() };
        let (int, long) = (avro(r#""int""#), avro(r#""long""#));
        assert_eq!(code(registry.register_as("a", &int, how(7, None))), 42205, "not in mode IMPORT");
        registry.register("there", &int).unwrap();
        assert_eq!(code(registry.set_mode(None, Mode::Import, false)), 42205, "there are schemas");
        registry.set_mode(Some("a"), Mode::Import, false).unwrap();
        assert_eq!(code(registry.register("a", &int)), 42205, "only with an id");
        let registered = registry.register_as("a", &long, how(7, Some(4))).unwrap();
        assert_eq!((registered.id, registered.version), (7, 4));
        assert_eq!(registry.register_as("a", &long, how(7, Some(2))).unwrap().version, 2, "in any order");
        assert_eq!(code(registry.register_as("a", &int, how(7, None))), 42205, "the id has another schema");
        assert_eq!(registry.versions_of("a", Deleted::Exclude), Ok(vec![2, 4]));
        registry.set_mode(Some("a"), Mode::ReadWrite, false).unwrap();
        assert_eq!(registry.register("a", &avro(r#""double""#)), Ok(8), "ids go on behind the largest");
        registry.set_mode(None, Mode::Import, true).unwrap();
    });
}

#[test]
fn contexts_count_their_own_ids() {
    on_both(|registry| {
        let (int, long) = (avro(r#""int""#), avro(r#""long""#));
        assert_eq!(registry.register("a", &int), Ok(1));
        assert_eq!(registry.register(":.c:a", &long), Ok(1));
        assert_eq!(registry.register(":.c:b", &int), Ok(2));
        assert_eq!(registry.register(":.:a", &long), Ok(2), "the default context by its name");
        assert_eq!(registry.contexts(), [".", ".c"]);
        assert_eq!(registry.subjects_with_prefix("", Deleted::Exclude), ["a"]);
        assert_eq!(registry.subjects_with_prefix(":.c:", Deleted::Exclude), [":.c:a", ":.c:b"]);
        assert_eq!(registry.subjects_with_prefix(":*:", Deleted::Exclude), [":.c:a", ":.c:b", "a"]);
        let text = |id, subject| registry.schema_by_id(id, subject).map(|schema| schema.schema.text);
        assert_eq!(text(1, None).as_deref(), Ok(r#""int""#));
        assert_eq!(text(1, Some(":.c:")).as_deref(), Ok(r#""long""#));
        assert_eq!(text(2, Some(":.c:b")).as_deref(), Ok(r#""int""#));
        assert_eq!(registry.id_max(Some(":.c:a")), 2);
        // Settings of a context hold for its subjects.
        let none = level(Compatibility::None);
        registry.set_config(Some(":.c:"), none).unwrap();
        assert!(registry.register(":.c:a", &avro(r#""string""#)).is_ok());
        assert_eq!(code(registry.register("a", &avro(r#""string""#))), 409);
    });
}

#[test]
fn normalised_schemas_are_the_same_in_any_order() {
    on_both(|registry| {
        let one = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#;
        let other = r#"{"properties":{"b":{"type":"string"},"a":{"type":"string"}},"type":"object"}"#;
        let json = |text: &str| Schema::new(SchemaType::Json, text);
        let normalize = Registration { normalize: true, ..Registration::default() };
        let id = registry.register_as("s", &json(one), normalize).unwrap().id;
        assert_eq!(registry.register_as("s", &json(other), normalize).unwrap().id, id);
        assert_eq!(registry.lookup_as("s", &json(other), true, Deleted::Exclude).unwrap().id, id);
        let config = SubjectConfig { normalize: Some(true), ..SubjectConfig::default() };
        registry.set_config(Some("s"), config).unwrap();
        assert_eq!(registry.lookup("s", &json(other)).unwrap().id, id, "the subject is set to it");
    });
}

#[test]
fn a_topic_that_would_forget_is_refused() {
    let log = log();
    let topic = millstream_log::NewTopic::new(SCHEMAS_TOPIC).partitions(1);
    log.create_topic(topic).unwrap();
    assert_eq!(code(EmbeddedRegistry::open(&log)), 50001);
}

#[test]
fn a_record_that_means_nothing_is_passed_over() {
    let log = log();
    EmbeddedRegistry::open(&log).unwrap().register("a", &avro(r#""int""#)).unwrap();
    let mut producer = log.producer(millstream_log::ProducerConfig::default()).unwrap();
    let record = millstream_log::Record { key: Some("?".into()), ..millstream_log::Record::default() };
    producer.send(SCHEMAS_TOPIC, record).unwrap();
    producer.flush().unwrap();
    let registry = EmbeddedRegistry::open(&log).unwrap();
    assert_eq!(registry.subjects(), Ok(vec!["a".into()]));
}

#[test]
fn a_log_without_schemas_gets_no_topic() {
    let log = log();
    let registry = EmbeddedRegistry::open(&log).unwrap();
    assert_eq!(registry.subjects(), Ok(vec![]));
    assert!(log.describe_topic(SCHEMAS_TOPIC).is_err());
    registry.register("a", &avro(r#""int""#)).unwrap();
    assert_eq!(log.describe_topic(SCHEMAS_TOPIC).unwrap().configs["cleanup.policy"], "compact");
}

#[test]
fn what_could_not_be_kept_does_not_count() {
    let log = log();
    let registry = EmbeddedRegistry::open(&log).unwrap();
    registry.register("a", &avro(r#""int""#)).unwrap();
    log.delete_topic(SCHEMAS_TOPIC).unwrap();
    assert_eq!(code(registry.register("b", &avro(r#""int""#))), 50001);
    assert_eq!(code(registry.delete_subject("a", false)), 50001);
    assert_eq!(code(registry.set_mode(None, Mode::ReadOnly, false)), 50001);
    assert_eq!(registry.subjects(), Ok(vec!["a".into()]));
    assert_eq!(registry.mode(None, Scope::Own), Ok(Mode::ReadWrite));
}

#[test]
fn those_who_register_at_once_agree() {
    let log = log();
    let registry = EmbeddedRegistry::open(&log).unwrap();
    let ids: Vec<Vec<i32>> = std::thread::scope(|scope| {
        let registry = &registry;
        let work = |who: usize| {
            move || {
                let schema = |n: usize| record(&format!("R{n}"), &["a"]);
                // Each begins elsewhere in the same ten.
                let mut ids: Vec<(usize, i32)> = (0..10)
                    .map(|n| (n + who) % 10)
                    .map(|n| (n, registry.register(&format!("s{n}"), &schema(n)).unwrap()))
                    .collect();
                ids.sort_unstable();
                ids.into_iter().map(|(_, id)| id).collect()
            }
        };
        let threads: Vec<_> = (0..4).map(|who| scope.spawn(work(who))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|other| *other == ids[0]), "{ids:?}");
    let mut all = ids[0].clone();
    all.sort_unstable();
    assert_eq!(all, (1..=10).collect::<Vec<i32>>());
    assert_eq!(EmbeddedRegistry::open(&log).unwrap().list("", Deleted::Include, false).len(), 10);
}

#[test]
fn more_tombstones_than_a_batch_holds() {
    let log = log();
    let topic = NewTopic::new(SCHEMAS_TOPIC)
        .partitions(1)
        .config("cleanup.policy", "compact")
        .config("max.message.bytes", "1000");
    log.create_topic(topic).unwrap();
    let registry = EmbeddedRegistry::open(&log).unwrap();
    registry.set_config(None, level(Compatibility::None)).unwrap();
    for subject in ["a", "b"] {
        for size in 1..60 {
            let text = format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#);
            registry.register(subject, &avro(&text)).unwrap();
        }
        registry.remove_subject(subject, false).unwrap();
    }
    assert_eq!(registry.remove_subject("b", true).unwrap().len(), 59);
    assert_eq!(registry.set_mode(None, Mode::Import, false), Ok(()));
    for registry in [registry, EmbeddedRegistry::open(&log).unwrap()] {
        assert!(registry.subjects_with_prefix(":*:", Deleted::Include).is_empty());
        assert_eq!(registry.mode(None, Scope::Own), Ok(Mode::Import));
    }
    let text = format!(r#"{{"type":"fixed","name":"F","size":1,"doc":"{}"}}"#, "x".repeat(1000));
    let registry = EmbeddedRegistry::open(&log).unwrap();
    let how = Registration { id: Some(1), ..Registration::default() };
    assert_eq!(code(registry.register_as("a", &avro(&text), how)), 42209, "one record is not divided");
}
