//! Fraud detection: cards that are tried out with a small payment, and large payments that nobody confirms in time.
//!
//! A processor keeps what it knows of a card in a store, and a timer per card says when it is forgotten or when a
//! confirmation is overdue. Timers go by the time of the payments, so the result is the same however fast they come.
//!
//! ```sh
//! cargo run --release --example fraud_detection
//! ```

use std::time::Duration;

use millstream_examples::{Outcome, Sandbox, at, time_of_day};
use millstream_streams::dsl::{Consumed, ProcessorContext, Record, RecordProcessor, StreamsBuilder};
use millstream_streams::serde::{DefaultSerde, Int64, Json, Utf8};
use millstream_streams::store::{Stores, Timer};
use millstream_streams::{PunctuationType, StoreSpec, StreamsError, Topology};
use serde::{Deserialize, Serialize};

/// A payment of less, in cents, can be a test of a stolen card.
const SMALL: i64 = 100;
/// A payment of more has to be confirmed.
const LARGE: i64 = 50_000;
const SUSPICIOUS_FOR: Duration = Duration::from_secs(60);
const CONFIRM_WITHIN: Duration = Duration::from_secs(300);

#[derive(Clone, Serialize, Deserialize)]
enum Event {
    Payment { cents: i64 },
    Confirmation,
}

impl DefaultSerde for Event {
    type Serde = Json;
}

/// Raises alerts by card.
struct Detector;

type Alerts<'a, 'c> = ProcessorContext<'a, 'c, String, String>;

impl Detector {
    fn payment(card: &str, cents: i64, time: i64, context: &mut Alerts<'_, '_>) -> Result<(), StreamsError> {
        let card = card.to_owned();
        // What came before a small payment says nothing after the next payment.
        let small = context.key_value_store::<String, i64>("small-payments")?.delete(&card)?;
        context.cancel_timer(PunctuationType::StreamTime, "forget", &card)?;
        if cents < SMALL {
            context.key_value_store::<String, i64>("small-payments")?.put(&card, cents)?;
            let forget = time + millis(SUSPICIOUS_FOR);
            return context.set_timer(PunctuationType::StreamTime, "forget", &card, forget);
        }
        if cents <= LARGE {
            return Ok(());
        }
        if let Some(small) = small {
            let alert = format!("paid {} after a test with {}", euros(cents), euros(small));
            context.forward(Record::new(card.clone(), alert, time))?;
        }
        let overdue = time + millis(CONFIRM_WITHIN);
        context.set_timer(PunctuationType::StreamTime, "confirm", &card, overdue)
    }
}

impl RecordProcessor<String, Event> for Detector {
    type Key = String;
    type Value = String;

    fn stores() -> Vec<StoreSpec> {
        vec![Stores::key_value("small-payments", Utf8, Int64), StoreSpec::timers("card-timers")]
    }

    fn process(
        &mut self,
        record: Record<String, Event>,
        context: &mut Alerts<'_, '_>,
    ) -> Result<(), StreamsError> {
        let (Some(card), Some(event)) = (record.key, record.value) else { return Ok(()) };
        match event {
            Event::Payment { cents } => Self::payment(&card, cents, record.timestamp, context),
            Event::Confirmation => {
                context.cancel_timer(PunctuationType::StreamTime, "confirm", &card).map(drop)
            }
        }
    }

    fn on_timer(&mut self, timer: &Timer, context: &mut Alerts<'_, '_>) -> Result<(), StreamsError> {
        let card = String::from_utf8_lossy(&timer.key).into_owned();
        match timer.name.as_str() {
            "forget" => {
                context.key_value_store::<String, i64>("small-payments")?.delete(&card)?;
                Ok(())
            }
            _ => {
                let alert = "did not confirm a large payment within 5 minutes".to_owned();
                context.forward(Record::new(card, alert, timer.time))
            }
        }
    }
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, Event>("card-events", Consumed::default())
        .named("detector")
        .process(|| Detector, &[])
        .to("alerts");
    builder.build()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn euros(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn main() -> Outcome {
    let pay = |card: &str, cents, time| Record::new(card.to_owned(), Event::Payment { cents }, time);
    let confirm = |card: &str, time| Record::new(card.to_owned(), Event::Confirmation, time);
    let events = [
        // Tried out, then used.
        pay("card-1", 99, at(9, 0, 0)),
        pay("card-2", 45, at(9, 0, 10)),
        pay("card-1", 79_900, at(9, 0, 40)),
        confirm("card-1", at(9, 2, 0)),
        // Too long after the small payment to be suspicious, and confirmed.
        pay("card-2", 60_000, at(9, 3, 0)),
        confirm("card-2", at(9, 4, 0)),
        // Large, and confirmed too late.
        pay("card-3", 120_000, at(9, 5, 0)),
        pay("card-2", 1_500, at(9, 12, 0)),
        confirm("card-3", at(9, 13, 0)),
        // Large once more, and never confirmed.
        pay("card-4", 88_800, at(9, 20, 0)),
        pay("card-1", 2_000, at(9, 30, 0)),
    ];
    let sandbox = Sandbox::new(&["card-events", "alerts"], 1)?;
    sandbox.write("card-events", events)?;
    sandbox.run("fraud-detection", topology()?)?.close()?;
    for alert in sandbox.read::<String, String>("alerts")? {
        let (card, text) = (alert.key.unwrap_or_default(), alert.value.unwrap_or_default());
        println!("{} {card} {text}", time_of_day(alert.timestamp));
    }
    Ok(())
}
