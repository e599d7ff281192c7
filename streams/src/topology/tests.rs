//! The checks of the builder, sub-topologies, and the description.

use std::sync::Arc;

use crate::batch::{Batch, Decoded, Decoder, Encoder, RecordSink};
use crate::dsl::{Consumed, Grouped, KStream, Materialized, StreamsBuilder};
use crate::error::StreamsError;
use crate::operator::TimeWindows;
use crate::processor::{Context, Processor};
use crate::report::Reporter;
use crate::serde::Utf8;
use crate::topology::*;

struct Nothing;

impl Decoder for Nothing {
    fn decode(
        &mut self,
        _records: &millstream_log::PartitionRecords,
        _report: &mut dyn Reporter,
    ) -> Result<Decoded, StreamsError> {
        Err(StreamsError::Failed("this graph is never run".to_owned()))
    }
}

impl Encoder for Nothing {
    fn encode(
        &mut self,
        _batch: Box<dyn Batch>,
        _out: &mut RecordSink<'_>,
        _report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        Ok(())
    }
}

impl Processor for Nothing {
    fn process(&mut self, _batch: Box<dyn Batch>, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        Ok(())
    }
}

/// Builds a graph from lines like `source a`, `a > b`, `b > sink c`.
fn check(lines: &[&str]) -> Result<Topology, String> {
    let mut builder = TopologyBuilder::new();
    for line in lines {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["source", name] => {
                let decoder: DecoderSupplier = Arc::new(|| Box::new(Nothing));
                builder.add_source(name, [&format!("{name}-topic")], decoder, SourceOptions::default())
            }
            [parent, ">", "sink", name] => {
                let encoder: EncoderSupplier = Arc::new(|| Box::new(Nothing));
                builder.add_sink(name, "out", encoder, &[parent])
            }
            ["pair", left, right] => builder.pair(left, right),
            [parents, ">", name] => {
                let parents: Vec<&str> = parents.split('+').filter(|parent| *parent != "-").collect();
                builder.add_processor(name, Arc::new(|| Box::new(Nothing)), &parents, &[])
            }
            other => panic!("not a line of a graph: {other:?}"),
        };
    }
    builder.build().map_err(|error| error.to_string())
}

#[test]
fn mistakes_are_told() {
    for (lines, message) in [
        (&["source a", "source a"][..], "the topology is not valid: two nodes are named a"),
        (&["b > c"], "the topology is not valid: c names the node b, which was not added"),
        (&["- > c"], "the topology is not valid: node c has no parents"),
        (&["source a", "a+c > b", "b > c"], "the topology is not valid: these nodes form a cycle: b, c"),
        (&["source a", "a > sink s", "s > c"], "the topology is not valid: sink s cannot be the parent of c"),
        (
            &["source a", "a > b", "a > c", "c > d", "pair b c"],
            "the topology is not valid: the nodes b and c are no pair: give two processors the same stores and children",
        ),
        (
            &["source a", "a > b", "pair b c"],
            "the topology is not valid: a pair names the node c, which was not added",
        ),
        (
            &["source a/b"],
            "the topology is not valid: \"a/b\" is not a name: use 1 to 249 of the characters A-Z a-z 0-9 . _ -",
        ),
    ] {
        assert_eq!(check(lines).err().as_deref(), Some(message), "{lines:?}");
    }
}

#[test]
fn rows_that_can_meet_again_go_one_by_one() {
    for (lines, meet) in [
        (&["source a", "a > b", "b > sink s"][..], false),
        (&["source a", "a > b", "a > c"], false),
        (&["source a", "a > b", "a > c", "b+c > d"], true),
        (&["source a", "a > b", "a > c", "b > sink s", "c > sink t"], true), // both sinks write the same topic
        (&["source a", "source b", "a+b > c"], false),
    ] {
        assert_eq!(check(lines).unwrap().ways_meet(0), meet, "{lines:?}");
    }
}

#[test]
fn rows_of_two_sources_meet_in_a_pair_and_nowhere_else() {
    let pair = ["source a", "source b", "a > c", "c > l", "b > r", "l+r > m", "m > sink s", "pair l r"];
    let with = |more: &[&'static str]| check(&[&pair, more].concat()).unwrap();
    for (more, only) in [
        (&[][..], true),
        (&["a > x", "b > y"], true),
        (&["source z", "z > x"], true),
        (&["a+b > x"], false),
        (&["a > x", "b > y", "x+y > z"], false),
        (&["a > x", "x+m > y"], true),
        (&["a > sink t"], false), // all sinks write the same topic
    ] {
        let topology = with(more);
        let node = |name: &str| topology.nodes.iter().position(|node| *node.name == *name).unwrap();
        assert_eq!(topology.meet_only_in(topology.pairs[0], [node("a"), node("b")]), only, "{more:?}");
        assert_eq!(topology.way_to(node("l")), Some((node("a"), vec![node("c")])));
        assert_eq!(topology.way_to(node("m")), None);
    }
}

fn words(builder: &StreamsBuilder) -> KStream<String, String> {
    builder
        .stream::<String, String>("lines", Consumed::with(Utf8, Utf8))
        .flat_map_values(|_, line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn word_count_is_described_as_kafka_does() {
    let builder = StreamsBuilder::new();
    words(&builder)
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    let expected = "\
Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [lines])
      --> KSTREAM-FLATMAPVALUES-0000000001
    Processor: KSTREAM-FLATMAPVALUES-0000000001 (stores: [])
      --> KSTREAM-KEY-SELECT-0000000002
      <-- KSTREAM-SOURCE-0000000000
    Processor: KSTREAM-KEY-SELECT-0000000002 (stores: [])
      --> KSTREAM-FILTER-0000000005
      <-- KSTREAM-FLATMAPVALUES-0000000001
    Processor: KSTREAM-FILTER-0000000005 (stores: [])
      --> KSTREAM-SINK-0000000004
      <-- KSTREAM-KEY-SELECT-0000000002
    Sink: KSTREAM-SINK-0000000004 (topic: counts-repartition)
      <-- KSTREAM-FILTER-0000000005

   Sub-topology: 1
    Source: KSTREAM-SOURCE-0000000006 (topics: [counts-repartition])
      --> KSTREAM-AGGREGATE-0000000003
    Processor: KSTREAM-AGGREGATE-0000000003 (stores: [counts])
      --> KTABLE-TOSTREAM-0000000007
      <-- KSTREAM-SOURCE-0000000006
    Processor: KTABLE-TOSTREAM-0000000007 (stores: [])
      --> KSTREAM-SINK-0000000008
      <-- KSTREAM-AGGREGATE-0000000003
    Sink: KSTREAM-SINK-0000000008 (topic: out)
      <-- KTABLE-TOSTREAM-0000000007

";
    assert_eq!(builder.build().unwrap().describe(), expected);
}

#[test]
fn names_are_given_or_generated() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("names", Consumed::with(Utf8, Utf8));
    let grouped = Grouped::with(Utf8, Utf8).named("by-word");
    let windows = TimeWindows::of(std::time::Duration::from_secs(1));
    words(&builder)
        .group_by_with(|_, word| word.clone(), grouped)
        .windowed_by(windows)
        .count(Materialized::default());
    words(&builder).join(&table, |line, name| format!("{line}{name}")).for_each(|_, _| ());
    let topology = builder.build().unwrap();
    let stores: Vec<&str> = topology.stores().collect();
    assert_eq!(stores, ["KSTREAM-AGGREGATE-STATE-STORE-0000000006", "names-STATE-STORE-0000000000"]);
    let text = topology.describe();
    assert!(text.contains("Sink: by-word-repartition-sink (topic: by-word-repartition)"), "{text}");
    // Both streams of the topic begin at one source, and so does the table that one of them is joined with.
    assert_eq!(topology.sub_topologies.len(), 2, "{text}");
}
