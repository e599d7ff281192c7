//! Temporal join: orders are priced as of their own time, whatever the price is when they are processed.
//!
//! The price list is a versioned table: it knows what a price was at any time of the last day, also if a correction
//! comes late.
//!
//! ```sh
//! cargo run --release --example temporal_join
//! ```

use std::time::Duration;

use millstream_examples::{Outcome, Sandbox, at, time_of_day};
use millstream_streams::dsl::{Consumed, Joined, Record, StreamsBuilder};
use millstream_streams::serde::{DefaultSerde, Json};
use millstream_streams::{StreamsError, Topology};
use serde::{Deserialize, Serialize};

const HISTORY: Duration = Duration::from_secs(24 * 3600);

/// An order: so many pieces of the product that is its key.
#[derive(Clone, Serialize, Deserialize)]
struct Order {
    customer: String,
    pieces: i64,
}

impl DefaultSerde for Order {
    type Serde = Json;
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    let prices = builder.versioned_table::<String, i64>("prices", Consumed::default(), "prices", HISTORY);
    builder
        .stream::<String, Order>("orders", Consumed::default())
        .left_join_versioned(
            &prices,
            |order, cents| match cents {
                Some(cents) => {
                    let total = order.pieces * cents;
                    format!("{} pays {}.{:02}", order.customer, total / 100, total % 100)
                }
                None => format!("{} ordered before there was a price", order.customer),
            },
            Joined::default(),
        )
        .to("invoices");
    builder.build()
}

fn main() -> Outcome {
    let price = |product: &str, cents: i64, time| Record::new(product.to_owned(), cents, time);
    let order = |product: &str, customer: &str, pieces, time| {
        Record::new(product.to_owned(), Order { customer: customer.to_owned(), pieces }, time)
    };
    let sandbox = Sandbox::new(&["prices", "orders", "invoices"], 1)?;
    let prices = [
        price("tea", 400, at(8, 0, 0)),
        price("tea", 450, at(12, 0, 0)),
        price("tea", 500, at(16, 0, 0)),
        // Comes last and holds from eleven to twelve.
        price("tea", 425, at(11, 0, 0)),
    ];
    sandbox.write("prices", prices)?;
    // All prices are known before the first order comes, and each order still gets the one of its own time.
    sandbox.run("temporal-join", topology()?)?.close()?;
    let orders = [
        order("tea", "ann", 1, at(7, 30, 0)),
        order("tea", "bob", 2, at(10, 59, 59)),
        order("tea", "cyd", 2, at(11, 0, 0)),
        order("tea", "dan", 2, at(12, 30, 0)),
        order("tea", "eve", 2, at(17, 0, 0)),
        order("tea", "fay", 3, at(9, 0, 0)),
    ];
    sandbox.write("orders", orders)?;
    sandbox.run("temporal-join", topology()?)?.close()?;
    for invoice in sandbox.read::<String, String>("invoices")? {
        println!("{} {}", time_of_day(invoice.timestamp), invoice.value.unwrap_or_default());
    }
    Ok(())
}
