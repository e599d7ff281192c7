//! Two tables joined, and the result summed by group: a change takes the old row out of its group and the new one in, so
//! whatever is done twice or not at all stays in the sums.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::{InputRow, Outcome, Workload, number, text};
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::error::StreamsError;
use crate::serde::Utf8;
use crate::topology::Topology;

const KEYS: u32 = 5;

pub(super) struct Tables;

/// Team and points.
fn parse(row: &str) -> (String, i64) {
    let (team, points) = row.split_once(' ').unwrap_or((row, "0"));
    (team.to_owned(), points.parse().unwrap_or(0))
}

impl Workload for Tables {
    fn name(&self) -> &'static str {
        "tables"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["teams", "points"]
    }

    fn output(&self) -> &'static str {
        "totals"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let builder = StreamsBuilder::new();
        let teams = builder.table::<String, String>("teams", Consumed::with(Utf8, Utf8));
        let points = builder.table::<String, String>("points", Consumed::with(Utf8, Utf8));
        teams
            .join(&points, |team, points| format!("{team} {points}"))
            .group_by(|_, row| parse(row))
            .aggregate(
                || 0,
                |_, points, sum| sum + points,
                |_, points, sum| sum - points,
                Materialized::<i64>::named("sums"),
            )
            .to_stream()
            .to("totals");
        builder.build()
    }

    fn row(&self, _serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow {
        let key = format!("p{partition}-{}", rng.u32(..KEYS));
        let is_gone = rng.u8(..6) == 0;
        match rng.bool() {
            true => {
                let team = format!("team{}", rng.u8(..3));
                InputRow::text("teams", partition, time, &key, (!is_gone).then_some(team))
            }
            false => {
                let points = rng.u8(1..50).to_string();
                InputRow::text("points", partition, time, &key, (!is_gone).then_some(points))
            }
        }
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let latest = |topic| -> Result<BTreeMap<String, String>, String> {
            let mut rows = BTreeMap::new();
            for record in outcome.input(topic) {
                let key = text(record.key.as_deref())?;
                match &record.value {
                    Some(value) => drop(rows.insert(key, text(Some(value))?)),
                    None => drop(rows.remove(&key)),
                }
            }
            Ok(rows)
        };
        let (teams, points) = (latest("teams")?, latest("points")?);
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for (key, team) in &teams {
            if let Some(points) = points.get(key) {
                *sums.entry(team.clone()).or_default() += points.parse::<i64>().unwrap_or(0);
            }
        }
        let mut stored = BTreeMap::new();
        for row in outcome.store("sums")? {
            stored.insert(text(Some(&row.key))?, number(Some(&row.value))?);
        }
        let written: BTreeMap<String, i64> = outcome
            .output_by_key()?
            .into_iter()
            .filter_map(|(team, sums)| Some((team, *sums.last()?)))
            .collect();
        for (what, found) in [("the store has", &stored), ("last written were", &written)] {
            // A team that has lost all its members keeps a sum of 0.
            let found: BTreeMap<&String, &i64> = found.iter().filter(|(_, sum)| **sum != 0).collect();
            if found != sums.iter().collect() {
                return Err(format!("{what} {found:?} and not {sums:?}"));
            }
        }
        Ok(())
    }
}
