//! A reminder for every row, by a timer in wall-clock time: it comes once, whoever has the row's task by then.

use std::sync::Arc;

use fastrand::Rng;

use super::{InputRow, Outcome, Rows, Workload, compare_bags, text};
use crate::batch::{Batch, downcast};
use crate::dsl::{Records, codec};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::runtime::PunctuationType;
use crate::serde::Utf8;
use crate::store::{StoreSpec, Timer};
use crate::topology::{SourceOptions, Topology, TopologyBuilder};

const LATER_MS: i64 = 20;

pub(super) struct Reminders;

struct Remind;

impl Processor for Remind {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<String, String>>(batch)?;
        let due = context.wall_clock().get() + LATER_MS;
        for key in rows.keys.iter().flatten() {
            context.set_timer(PunctuationType::WallClockTime, "later", key.as_bytes(), due)?;
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: &Timer, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let key = String::from_utf8_lossy(&timer.key).into_owned();
        let mut out = Records::<String, String>::with_capacity(1);
        out.push(Some(key), Some(String::new()), timer.time, Vec::new());
        context.forward(Box::new(out))
    }
}

impl Workload for Reminders {
    fn name(&self) -> &'static str {
        "reminders"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["notes"]
    }

    fn output(&self) -> &'static str {
        "reminders"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let mut topology = TopologyBuilder::new();
        let (keys, values) = (Arc::new(Utf8), Arc::new(Utf8));
        let decoder = codec::decoder::<String, String>(keys.clone(), values.clone(), None);
        topology.add_source("notes", ["notes"], decoder, SourceOptions::default());
        let timers = topology.add_store(StoreSpec::timers("timers"));
        topology.add_processor("remind", Arc::new(|| Box::new(Remind)), &["notes"], &[timers]);
        let encoder = codec::encoder::<String, String>(keys, values);
        topology.add_sink("reminders", "reminders", encoder, &["remind"]);
        topology.build()
    }

    fn row(&self, serial: u64, partition: u32, time: i64, _rng: &mut Rng) -> InputRow {
        InputRow::text("notes", partition, time, &serial.to_string(), Some(String::new()))
    }

    fn is_over(&self, rows: &Rows) -> bool {
        rows.values().all(Vec::is_empty)
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let keys = |records: &[crate::driver::OutputRecord]| {
            records.iter().map(|record| text(record.key.as_deref())).collect::<Result<Vec<String>, String>>()
        };
        compare_bags("reminders", keys(outcome.input("notes"))?, keys(&outcome.output)?)
    }
}
