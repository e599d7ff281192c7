//! A left join of two streams, nothing of which is late: the result is that of two loops over both.

use std::time::Duration;

use fastrand::Rng;

use super::{InputRow, Outcome, Workload, compare_bags, text};
use crate::driver::OutputRecord;
use crate::dsl::{Consumed, StreamsBuilder};
use crate::error::StreamsError;
use crate::operator::JoinWindows;
use crate::serde::Utf8;
use crate::topology::Topology;

const DIFFERENCE_MS: i64 = 12;
const GRACE_MS: i64 = 600_000;
const KEYS: u32 = 6;

pub(super) struct StreamJoin;

impl Workload for StreamJoin {
    fn name(&self) -> &'static str {
        "stream join"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["left", "right"]
    }

    fn output(&self) -> &'static str {
        "joined"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
        let right = builder.stream::<String, String>("right", Consumed::with(Utf8, Utf8));
        let windows = JoinWindows::of(Duration::from_millis(DIFFERENCE_MS.unsigned_abs()))
            .grace(Duration::from_millis(GRACE_MS.unsigned_abs()));
        left.left_join_stream(
            &right,
            |left, right| format!("{left} {}", right.map_or("-", String::as_str)),
            windows,
        )
        .to("joined");
        builder.build()
    }

    fn row(&self, serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow {
        let topic = if rng.bool() { "left" } else { "right" };
        let key = format!("p{partition}-{}", rng.u32(..KEYS));
        InputRow::text(topic, partition, time, &key, Some(format!("{}{serial}", &topic[..1])))
    }

    fn closing(&self, partition: u32, time: i64) -> Vec<InputRow> {
        let row = |topic: &'static str, side: &str| {
            InputRow::text(
                topic,
                partition,
                time,
                &format!("p{partition}-end-{side}"),
                Some("end".to_owned()),
            )
        };
        vec![row("left", "left"), row("right", "right")]
    }

    fn works_at_least_once(&self) -> bool {
        true
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let (left, right) = (outcome.partitions("left"), outcome.partitions("right"));
        let mut expected = Vec::new();
        for (partition, rows) in &left {
            let others = right.get(partition).map_or(&[][..], Vec::as_slice);
            let stream_time = rows.iter().chain(others).map(|row| row.timestamp).max().unwrap_or(i64::MIN);
            for row in rows {
                let matches = |other: &&&OutputRecord| {
                    other.key == row.key && (other.timestamp - row.timestamp).abs() <= DIFFERENCE_MS
                };
                let (key, value) = (text(row.key.as_deref())?, text(row.value.as_deref())?);
                let mut is_alone = true;
                for other in others.iter().filter(matches) {
                    is_alone = false;
                    let joined = format!("{value} {}", text(other.value.as_deref())?);
                    expected.push((key.clone(), joined, row.timestamp.max(other.timestamp)));
                }
                if is_alone && row.timestamp + DIFFERENCE_MS + GRACE_MS < stream_time {
                    expected.push((key, format!("{value} -"), row.timestamp));
                }
            }
        }
        let mut found = Vec::new();
        for row in &outcome.output {
            found.push((text(row.key.as_deref())?, text(row.value.as_deref())?, row.timestamp));
        }
        if !outcome.exactly_once {
            let lost = expected.into_iter().find(|row| !found.contains(row));
            return lost.map_or(Ok(()), |row| Err(format!("{row:?} was not joined")));
        }
        compare_bags("joined rows", expected, found)
    }
}
