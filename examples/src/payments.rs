//! Payments, exactly once: money moves between accounts while the application crashes, and no cent is lost or doubled.
//!
//! An order is debited at the account that pays, and the amount travels to the other one through a topic, so that both
//! accounts can be on different threads or machines. The new balance, the credit on its way and the offset of the order
//! are committed together or not at all.
//!
//! ```sh
//! cargo run --release --example payments
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_examples::{Outcome, Sandbox};
use millstream_streams::dsl::{Consumed, ProcessorContext, Record, RecordProcessor, StreamsBuilder};
use millstream_streams::serde::{DefaultSerde, Int64, Json, Utf8};
use millstream_streams::store::Stores;
use millstream_streams::{StoreSpec, StreamsError, Topology};
use serde::{Deserialize, Serialize};

const ACCOUNTS: i64 = 8;
const OPENING_CENTS: i64 = 1_000_000;
const ORDERS: i64 = 40_000;

/// What happens at an account, which is the key.
#[derive(Clone, Serialize, Deserialize)]
enum Event {
    /// Pay to another account.
    Pay { to: String, cents: i64 },
    /// Money that arrives.
    Credit { cents: i64 },
}

impl DefaultSerde for Event {
    type Serde = Json;
}

/// Keeps the balances.
struct Ledger;

impl RecordProcessor<String, Event> for Ledger {
    type Key = String;
    type Value = Event;

    fn stores() -> Vec<StoreSpec> {
        vec![Stores::key_value("balances", Utf8, Int64)]
    }

    fn process(
        &mut self,
        record: Record<String, Event>,
        context: &mut ProcessorContext<'_, '_, String, Event>,
    ) -> Result<(), StreamsError> {
        let (Some(account), Some(event)) = (record.key, record.value) else { return Ok(()) };
        let mut balances = context.key_value_store::<String, i64>("balances")?;
        let balance = balances.get(&account)?.copied().unwrap_or(0);
        match event {
            Event::Credit { cents } => balances.put(&account, balance + cents),
            Event::Pay { to, cents } if cents <= balance => {
                balances.put(&account, balance - cents)?;
                context.forward_to("credits", Record::new(to, Event::Credit { cents }, record.timestamp))
            }
            refused @ Event::Pay { .. } => {
                context.forward_to("refused", Record::new(account, refused, record.timestamp))
            }
        }
    }

    /// It asks for nothing that is different from row to row, so rows may come in runs.
    fn row_by_row(&self) -> bool {
        false
    }
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    let ledger = builder
        .stream::<String, Event>(["orders", "credits"], Consumed::default())
        .named("ledger")
        .process(|| Ledger, &[]);
    ledger.named("credits").to("credits");
    ledger.named("refused").to("refused");
    builder.build()
}

/// The orders: all can be paid but every 10,000th.
fn orders() -> impl Iterator<Item = (String, String, i64)> {
    (1..=ORDERS).map(|number| {
        let account = |number: i64| format!("account-{}", number % ACCOUNTS + 1);
        let cents = if number % 10_000 == 0 { i64::MAX } else { number % 7 * 5 + 1 };
        (account(number), account(number * 3 + number / ACCOUNTS + 1), cents)
    })
}

fn main() -> Outcome {
    let sandbox = Sandbox::new(&["orders", "credits", "refused"], 4)?;
    let mut expected = BTreeMap::new();
    for number in 1..=ACCOUNTS {
        expected.insert(format!("account-{number}"), OPENING_CENTS);
    }
    let opening = |account: &String| Record::new(account.clone(), Event::Credit { cents: OPENING_CENTS }, 0);
    sandbox.write("credits", expected.keys().map(opening))?;
    // The opening balances have to be there before the first order.
    sandbox.run("payments", topology()?)?.close()?;

    let order = |(time, (from, to, cents))| Record::new(from, Event::Pay { to, cents }, time);
    sandbox.write("orders", (1i64..).zip(orders()).map(order))?;
    for (from, to, cents) in orders().filter(|(_, _, cents)| *cents < i64::MAX) {
        *expected.entry(from).or_default() -= cents;
        *expected.entry(to).or_default() += cents;
    }
    for crash in 1..=3 {
        let app = sandbox.start("payments", topology()?)?;
        let enough = u64::try_from(ORDERS / 8)?;
        while app.metrics().records_in < enough && !app.wait_caught_up(Duration::from_millis(1))? {}
        // Without a last commit, as if the process had been killed.
        drop(app);
        println!("crash {crash}");
    }
    let app = sandbox.run("payments", topology()?)?;
    let mut balances = BTreeMap::new();
    for row in app.store("balances")?.key_value::<String, i64>()?.all()? {
        let (account, balance) = row?;
        balances.insert(account, balance.value);
    }
    app.close()?;
    for (account, cents) in &balances {
        println!("{account} {:>9}.{:02}", cents / 100, cents % 100);
    }
    let sum: i64 = balances.values().sum();
    println!("in all    {:>9}.{:02}", sum / 100, sum % 100);
    println!("refused   {:>9}", sandbox.read::<String, Event>("refused")?.len());
    match balances == expected {
        true => println!("as if there had been no crash"),
        false => return Err(format!("the balances should be {expected:?}").into()),
    }
    Ok(())
}
