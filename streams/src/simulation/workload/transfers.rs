//! Transfers between accounts of a partition, by a processor with a store: refused if they would overdraw, so the
//! result depends on every single row before.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::{InputRow, Outcome, Rows, Workload, compare_updates, number, text};
use crate::batch::{Batch, downcast};
use crate::dsl::{Records, codec};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::serde::{Int64, Utf8};
use crate::store::Stores;
use crate::topology::{SourceOptions, Topology, TopologyBuilder};

/// What is on an account that nobody has used.
const OPENING: i64 = 100;
const ACCOUNTS: u8 = 5;

pub(super) struct Transfers;

/// Writes the new balances of both accounts, or -1 for the one that has too little.
struct Bank;

/// Payer, receiver, amount.
fn parse(order: &str) -> Option<(&str, &str, i64)> {
    let (from, rest) = order.split_once(' ')?;
    let (to, amount) = rest.split_once(' ')?;
    Some((from, to, amount.parse().ok()?))
}

impl Processor for Bank {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let orders = downcast::<Records<String, String>>(batch)?;
        let mut out = Records::<String, i64>::with_capacity(orders.len() * 2);
        let mut balances = context.key_value_store::<String, i64>("balances")?;
        for row in 0..orders.len() {
            let (order, time) = (orders.values[row].as_deref().unwrap_or_default(), orders.timestamps[row]);
            let Some((from, to, amount)) = parse(order) else { continue };
            let (from, to) = (from.to_owned(), to.to_owned());
            balances.at(time);
            let left = balances.get(&from)?.copied().unwrap_or(OPENING) - amount;
            if left < 0 {
                out.push(Some(from), Some(-1), time, Vec::new());
                continue;
            }
            balances.put(&from, left)?;
            let grown = balances.get(&to)?.copied().unwrap_or(OPENING) + amount;
            balances.put(&to, grown)?;
            out.push(Some(from), Some(left), time, Vec::new());
            out.push(Some(to), Some(grown), time, Vec::new());
        }
        context.forward(Box::new(out))
    }
}

impl Workload for Transfers {
    fn name(&self) -> &'static str {
        "transfers"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["orders"]
    }

    fn output(&self) -> &'static str {
        "balances"
    }

    fn topology(&self) -> Result<Topology, StreamsError> {
        let mut topology = TopologyBuilder::new();
        let (keys, orders) = (Arc::new(Utf8), Arc::new(Utf8));
        let decoder = codec::decoder::<String, String>(keys.clone(), orders, None);
        topology.add_source("orders", ["orders"], decoder, SourceOptions::default());
        let store = topology.add_store(Stores::key_value("balances", Utf8, Int64));
        topology.add_processor("bank", Arc::new(|| Box::new(Bank)), &["orders"], &[store]);
        let encoder = codec::encoder::<String, i64>(keys, Arc::new(Int64));
        topology.add_sink("balances", "balances", encoder, &["bank"]);
        topology.build()
    }

    fn row(&self, _serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow {
        let account = |rng: &mut Rng| format!("p{partition}-{}", rng.u8(..ACCOUNTS));
        let order = format!("{} {} {}", account(rng), account(rng), rng.u8(..80));
        InputRow::text("orders", partition, time, "", Some(order))
    }

    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let mut balances: BTreeMap<String, i64> = BTreeMap::new();
        let mut updates: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for order in outcome.input("orders") {
            let order = text(order.value.as_deref())?;
            let (from, to, amount) = parse(&order).ok_or("an order that nobody wrote")?;
            if balances.get(from).copied().unwrap_or(OPENING) < amount {
                updates.entry(from.to_owned()).or_default().push(-1);
                continue;
            }
            for (account, change) in [(from, -amount), (to, amount)] {
                let balance = balances.entry(account.to_owned()).or_insert(OPENING);
                *balance += change;
                updates.entry(account.to_owned()).or_default().push(*balance);
            }
        }
        compare_updates(false, "balances", &updates, &outcome.output_by_key()?)?;
        let mut stored = BTreeMap::new();
        for row in outcome.store("balances")? {
            stored.insert(text(Some(&row.key))?, number(Some(&row.value))?);
        }
        if stored != balances {
            return Err(format!("the store has {stored:?} and not {balances:?}"));
        }
        Ok(())
    }

    fn check_committed(&self, rows: &Rows) -> Result<(), String> {
        let mut sum = 0;
        for row in rows.get("balances").into_iter().flatten() {
            sum += number(Some(&row.value))? - OPENING;
        }
        if sum == 0 { Ok(()) } else { Err(format!("the accounts have {sum} more than there is")) }
    }
}
