//! Any commands in any order: both kinds of registry answer the same, and what is read back is what was there, also when
//! compaction has left of the topic what it may.

use std::sync::Arc;

use millstream_log::{Log, ManualClock, NewTopic, Timestamp, TopicPartition};
use proptest::{collection::vec, option::of, prelude::*};

use super::super::{
    Compatibility, Deleted, Mode, RegistryError, SCHEMAS_TOPIC, Schema, SchemaRegistry, SchemaType, Scope,
    SubjectConfig, VersionSpec,
};
use super::{EmbeddedRegistry, Registration};

const SUBJECTS: [&str; 3] = ["a", "b", ":.c:a"];
const TEXTS: [&str; 4] = [r#""int""#, r#""long""#, r#""string""#, r#""bytes""#];
const MODES: [Mode; 3] = [Mode::ReadWrite, Mode::ReadOnly, Mode::Import];

#[derive(Clone, Copy, Debug)]
enum Command {
    Register(usize, usize),
    Import(usize, usize, i32, Option<i32>),
    RemoveVersion(usize, i32, bool),
    RemoveSubject(usize, bool),
    Config(Option<usize>, Option<bool>),
    Mode(Option<usize>, Option<usize>, bool),
    Compact,
}

fn command() -> impl Strategy<Value = Command> {
    let subject = 0..SUBJECTS.len();
    let text = 0..TEXTS.len();
    prop_oneof![
        6 => (subject.clone(), text.clone()).prop_map(|(subject, text)| Command::Register(subject, text)),
        2 => (subject.clone(), text, 1..9, of(1..6))
            .prop_map(|(subject, text, id, version)| Command::Import(subject, text, id, version)),
        3 => (subject.clone(), 1..6, any::<bool>())
            .prop_map(|(subject, number, permanent)| Command::RemoveVersion(subject, number, permanent)),
        3 => (subject.clone(), any::<bool>())
            .prop_map(|(subject, permanent)| Command::RemoveSubject(subject, permanent)),
        1 => (of(subject.clone()), of(any::<bool>()))
            .prop_map(|(subject, normalize)| Command::Config(subject, normalize)),
        2 => (of(subject), of(0..MODES.len()), any::<bool>())
            .prop_map(|(subject, mode, force)| Command::Mode(subject, mode, force)),
        1 => Just(Command::Compact),
    ]
}

fn partition() -> TopicPartition {
    TopicPartition::new(SCHEMAS_TOPIC, 0)
}

/// A log whose topic of schemas can be compacted up to the last records, tombstones included. A segment holds what one
/// command can write at most: tombstones for all that was deleted before.
fn log() -> Log {
    let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(1_000))));
    let topic = NewTopic::new(SCHEMAS_TOPIC)
        .partitions(1)
        .config("cleanup.policy", "compact")
        .config("segment.bytes", "5000")
        .config("delete.retention.ms", "0");
    log.create_topic(topic).unwrap();
    log
}

/// A registry in which any schema may follow any other.
fn lenient(registry: EmbeddedRegistry) -> EmbeddedRegistry {
    let config = SubjectConfig { compatibility: Some(Compatibility::None), ..SubjectConfig::default() };
    registry.set_config(None, config).unwrap();
    registry
}

/// What a command answers, refusals included.
fn run(registry: &EmbeddedRegistry, command: Command) -> Result<String, RegistryError> {
    let schema = |text: usize| Schema::new(SchemaType::Avro, TEXTS[text]);
    let named = |subject: Option<usize>| subject.map(|subject| SUBJECTS[subject]);
    Ok(match command {
        Command::Register(subject, text) => {
            format!("{:?}", registry.register(SUBJECTS[subject], &schema(text))?)
        }
        Command::Import(subject, text, id, version) => {
            let how = Registration { id: Some(id), version, normalize: false };
            format!("{:?}", registry.register_as(SUBJECTS[subject], &schema(text), how)?)
        }
        Command::RemoveVersion(subject, number, permanent) => {
            let version = VersionSpec::Number(number);
            format!("{:?}", registry.remove_version(SUBJECTS[subject], version, permanent)?)
        }
        Command::RemoveSubject(subject, permanent) => {
            format!("{:?}", registry.remove_subject(SUBJECTS[subject], permanent)?)
        }
        Command::Config(subject, normalize @ Some(_)) => {
            let config = SubjectConfig { normalize, ..SubjectConfig::default() };
            format!("{:?}", registry.set_config(named(subject), config)?)
        }
        Command::Config(subject, None) => match named(subject) {
            Some(subject) => format!("{:?}", registry.delete_config(Some(subject))?),
            // The global one keeps the others comparable.
            None => String::new(),
        },
        Command::Mode(subject, Some(mode), force) => {
            format!("{:?}", registry.set_mode(named(subject), MODES[mode], force)?)
        }
        Command::Mode(subject, None, _) => format!("{:?}", registry.delete_mode(named(subject))?),
        Command::Compact => String::new(),
    })
}

/// All that can be seen from outside.
fn contents(registry: &EmbeddedRegistry) -> String {
    let scopes = SUBJECTS.map(Some).into_iter().chain([None]);
    let settings: Vec<_> =
        scopes.map(|scope| (registry.config(scope, Scope::Own), registry.mode(scope, Scope::Own))).collect();
    let list = registry.list(":*:", Deleted::Include, false);
    format!("{list:#?} {settings:#?} {:?}", registry.contexts())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn what_is_read_back_is_what_was_there(commands in vec(command(), 1..60)) {
        let log = log();
        let memory = lenient(EmbeddedRegistry::new());
        let kept = lenient(EmbeddedRegistry::open(&log).unwrap());
        for command in commands {
            if let Command::Compact = command {
                log.clean(&partition()).unwrap();
            }
            prop_assert_eq!(run(&kept, command), run(&memory, command), "{:?}", command);
        }
        prop_assert_eq!(contents(&kept), contents(&memory));
        prop_assert_eq!(contents(&EmbeddedRegistry::open(&log).unwrap()), contents(&memory), "as it is");
        log.clean(&partition()).unwrap();
        prop_assert_eq!(contents(&EmbeddedRegistry::open(&log).unwrap()), contents(&memory), "compacted");
    }
}
