//! Rows counted in tumbling windows: every change of a window comes out, and its result once more when it closes. Times
//! lie at the edges of the windows, and some rows are late.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::{InputRow, Outcome, Workload, compare_updates, number, text};
use crate::dsl::{Consumed, Materialized, Produced, StreamsBuilder};
use crate::error::StreamsError;
use crate::operator::{EmitStrategy, TimeWindows};
use crate::serde::{Int64, Utf8};
use crate::topology::Topology;

const SIZE_MS: i64 = 10;
const GRACE_MS: i64 = 6;

pub(super) struct Windows;

impl Workload for Windows {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["clicks"]
    }

    fn output(&self) -> &'static str {
        "clicked"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let ms = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let windows = TimeWindows::of(ms(SIZE_MS)).grace(ms(GRACE_MS));
        let builder = StreamsBuilder::new();
        let clicks = builder.stream::<String, String>("clicks", Consumed::with(Utf8, Utf8));
        let all = [("update", EmitStrategy::OnWindowUpdate), ("close", EmitStrategy::OnWindowClose)];
        for (name, emit) in all {
            clicks
                .group_by_key()
                .windowed_by(windows)
                .emit_strategy(emit)
                .count(Materialized::named(name))
                .to_stream()
                .map(move |window, count| {
                    (window.map_or_else(String::new, |it| format!("{name} {} {}", it.key, it.start)), *count)
                })
                .to_with("clicked", Produced::with(Utf8, Int64));
        }
        builder.build()
    }

    fn row(&self, serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow {
        let near = (time / SIZE_MS + rng.i64(-2..=1)) * SIZE_MS;
        let time = if rng.bool() { time } else { near + rng.i64(-1..=1) };
        let key = format!("p{partition}-{}", rng.u8(..3));
        InputRow::text("clicks", partition, time, &key, Some(serial.to_string()))
    }

    fn closing(&self, partition: u32, time: i64) -> Vec<InputRow> {
        vec![InputRow::text("clicks", partition, time, &format!("p{partition}-end"), Some("end".to_owned()))]
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let mut updates: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut closed: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut open = BTreeMap::new();
        for rows in outcome.partitions("clicks").into_values() {
            let mut stream_time = i64::MIN;
            let mut windows: BTreeMap<(String, i64), i64> = BTreeMap::new();
            for row in rows {
                stream_time = stream_time.max(row.timestamp);
                let start = row.timestamp.div_euclid(SIZE_MS) * SIZE_MS;
                if start + SIZE_MS > stream_time - GRACE_MS {
                    let key = text(row.key.as_deref())?;
                    let count = windows.entry((key.clone(), start)).or_default();
                    *count += 1;
                    updates.entry(format!("update {key} {start}")).or_default().push(*count);
                }
            }
            for ((key, start), count) in windows {
                if start + SIZE_MS <= stream_time - GRACE_MS {
                    closed.insert(format!("close {key} {start}"), vec![count]);
                } else {
                    open.insert((key, start), count);
                }
            }
        }
        let (found_closed, found_updates) =
            outcome.output_by_key()?.into_iter().partition(|(key, _)| key.starts_with("close"));
        compare_updates(outcome.caching, "counts", &updates, &found_updates)?;
        compare_updates(false, "final counts", &closed, &found_closed)?;
        for store in ["update", "close"] {
            let mut stored = BTreeMap::new();
            for row in outcome.store(store)? {
                stored.insert(
                    (text(Some(&row.key))?, row.window_start.unwrap_or(0)),
                    number(Some(&row.value))?,
                );
            }
            stored.retain(|window, _| open.contains_key(window));
            if stored != open {
                return Err(format!("the open windows in {store} are {stored:?} and not {open:?}"));
            }
        }
        Ok(())
    }
}
