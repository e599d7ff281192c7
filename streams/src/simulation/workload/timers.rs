//! Rows counted per key until a timer in stream time says that the key has been quiet for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;

use super::{InputRow, Outcome, Workload, compare_updates, text};
use crate::batch::{Batch, downcast};
use crate::dsl::{Records, codec};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::runtime::PunctuationType;
use crate::serde::{Int64, Utf8};
use crate::store::timers::stored_timer;
use crate::store::{StoreSpec, Stores, Timer};
use crate::topology::{SourceOptions, Topology, TopologyBuilder};

const QUIET_MS: i64 = 25;

pub(super) struct Timers;

struct Sessions;

impl Processor for Sessions {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<String, String>>(batch)?;
        for row in 0..rows.len() {
            let (Some(key), time) = (&rows.keys[row], rows.timestamps[row]) else { continue };
            let mut counts = context.key_value_store::<String, i64>("sessions")?;
            counts.at(time);
            let count = counts.get(key)?.copied().unwrap_or(0) + 1;
            counts.put(key, count)?;
            context.set_timer(PunctuationType::StreamTime, "quiet", key.as_bytes(), time + QUIET_MS)?;
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: &Timer, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let key = String::from_utf8_lossy(&timer.key).into_owned();
        let mut counts = context.key_value_store::<String, i64>("sessions")?;
        let count = counts.delete(&key)?;
        let mut out = Records::<String, i64>::with_capacity(1);
        out.push(Some(key), count, timer.time, Vec::new());
        context.forward(Box::new(out))
    }
}

impl Workload for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["signals"]
    }

    fn output(&self) -> &'static str {
        "quiet"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let mut topology = TopologyBuilder::new();
        let (keys, values) = (Arc::new(Utf8), Arc::new(Utf8));
        let decoder = codec::decoder::<String, String>(keys.clone(), values, None);
        topology.add_source("signals", ["signals"], decoder, SourceOptions::default());
        let counts = topology.add_store(Stores::key_value("sessions", Utf8, Int64));
        let timers = topology.add_store(StoreSpec::timers("timers"));
        topology.add_processor("sessions", Arc::new(|| Box::new(Sessions)), &["signals"], &[counts, timers]);
        let encoder = codec::encoder::<String, i64>(keys, Arc::new(Int64));
        topology.add_sink("quiet", "quiet", encoder, &["sessions"]);
        topology.build()
    }

    fn row(&self, serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow {
        let key = format!("p{partition}-{}", rng.u8(..8));
        InputRow::text("signals", partition, time, &key, Some(serial.to_string()))
    }

    fn closing(&self, partition: u32, time: i64) -> Vec<InputRow> {
        vec![InputRow::text("signals", partition, time, &format!("p{partition}-end"), Some("end".to_owned()))]
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut left = BTreeSet::new();
        for rows in outcome.partitions("signals").into_values() {
            let mut stream_time = i64::MIN;
            let mut sessions: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            for row in rows {
                stream_time = stream_time.max(row.timestamp);
                let (count, due) = sessions.entry(text(row.key.as_deref())?).or_default();
                (*count, *due) = (*count + 1, row.timestamp + QUIET_MS);
                sessions.retain(|key, (count, due)| {
                    let is_over = *due <= stream_time;
                    if is_over {
                        expected.entry(key.clone()).or_default().push(*count);
                    }
                    !is_over
                });
            }
            left.extend(sessions.into_keys());
        }
        compare_updates(false, "sessions", &expected, &outcome.output_by_key()?)?;
        let mut stored = BTreeSet::new();
        for row in outcome.store("sessions")? {
            stored.insert(text(Some(&row.key))?);
        }
        if stored != left {
            return Err(format!("the open sessions are {stored:?} and not {left:?}"));
        }
        let timers = outcome.store("timers")?.iter().filter_map(|row| stored_timer(&row.key)).count();
        match timers == left.len() {
            true => Ok(()),
            false => Err(format!("{timers} timers are set for {} sessions", left.len())),
        }
    }
}
