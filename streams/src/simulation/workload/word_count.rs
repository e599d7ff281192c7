//! Words counted behind a repartition topic.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::{InputRow, Outcome, Workload, compare_updates, number, text};
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::error::StreamsError;
use crate::serde::Utf8;
use crate::topology::Topology;

pub(super) struct WordCount;

impl Workload for WordCount {
    fn name(&self) -> &'static str {
        "word count"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["lines"]
    }

    fn output(&self) -> &'static str {
        "counted"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("lines", Consumed::with(Utf8, Utf8))
            .flat_map_values(|_, line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .group_by(|_, word| word.clone())
            .count(Materialized::named("counts"))
            .to_stream()
            .to("counted");
        builder.build()
    }

    fn row(&self, serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow {
        let words: Vec<String> = (0..rng.usize(1..4)).map(|_| format!("w{}", rng.u8(..6))).collect();
        InputRow::text("lines", partition, time, &serial.to_string(), Some(words.join(" ")))
    }

    fn works_at_least_once(&self) -> bool {
        true
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for line in outcome.input("lines") {
            for word in text(line.value.as_deref())?.split(' ') {
                let (count, latest) = counts.entry(word.to_owned()).or_insert((0, i64::MIN));
                (*count, *latest) = (*count + 1, line.timestamp.max(*latest));
            }
        }
        let mut stored = BTreeMap::new();
        for row in outcome.store("counts")? {
            stored.insert(text(Some(&row.key))?, (number(Some(&row.value))?, row.timestamp));
        }
        if !outcome.exactly_once {
            let lost =
                counts.iter().find(|(word, (count, _))| stored.get(*word).is_none_or(|it| it.0 < *count));
            return match lost {
                None => Ok(()),
                Some((word, (count, _))) => {
                    Err(format!("{word} came {count} times, and {:?} are counted", stored.get(word)))
                }
            };
        }
        if stored != counts {
            return Err(format!("the store has {stored:?} and not {counts:?}"));
        }
        let updates = counts.into_iter().map(|(word, (count, _))| (word, (1..=count).collect())).collect();
        compare_updates(outcome.caching, "counts", &updates, &outcome.output_by_key()?)
    }
}
