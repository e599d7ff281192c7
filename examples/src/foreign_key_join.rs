//! Foreign-key join: every order with the product that it names, and again whenever either of them changes.
//!
//! Both are tables with keys of their own. Orders subscribe to their product, so a change of one product updates its
//! orders and no others.
//!
//! ```sh
//! cargo run --release --example foreign_key_join
//! ```

use millstream_examples::{Outcome, Sandbox};
use millstream_streams::dsl::{Consumed, Materialized, Record, StreamsBuilder, TableJoined};
use millstream_streams::serde::{DefaultSerde, Json};
use millstream_streams::{StreamsError, Topology};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    product: Option<i64>,
    pieces: i64,
}

impl DefaultSerde for Order {
    type Serde = Json;
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    let orders = builder.table::<String, Order>("orders", Consumed::default());
    let products = builder.table::<i64, String>("products", Consumed::default());
    orders
        .left_join_foreign_with(
            &products,
            |_, order| order.product,
            |order, product| {
                let product = product.map_or("an unknown product", String::as_str);
                format!("{} x {product}", order.pieces)
            },
            TableJoined::named("product-of-order"),
            Materialized::named("order-lines"),
        )
        .to_stream()
        .to("order-lines");
    builder.build()
}

fn main() -> Outcome {
    let sandbox = Sandbox::new(&["orders", "products", "order-lines"], 4)?;
    let order = |name: &str, product, pieces| Record::new(name.to_owned(), Order { product, pieces }, 0);
    let product = |number: i64, name: &str| Record::new(number, name.to_owned(), 0);
    let deleted = |name: &str| Record { value: None, ..order(name, None, 0) };
    let show = |title: &str| -> Outcome {
        let app = sandbox.run("foreign-key-join", topology()?)?;
        let mut lines = Vec::new();
        for row in app.store("order-lines")?.key_value::<String, String>()?.all()? {
            let (name, line) = row?;
            lines.push(format!("  {name}: {}", line.value));
        }
        app.close()?;
        lines.sort();
        println!("{title}\n{}", lines.join("\n"));
        Ok(())
    };

    sandbox.write("products", [product(1, "tea"), product(2, "coffee")])?;
    let orders = [order("order-1", Some(1), 2), order("order-2", Some(2), 1), order("order-3", Some(3), 5)];
    sandbox.write("orders", orders)?;
    show("three orders:")?;
    sandbox.write("products", [product(1, "green tea"), product(3, "cocoa")])?;
    show("a product has another name, and a new one comes:")?;
    sandbox.write("orders", [order("order-1", Some(3), 2), deleted("order-2")])?;
    show("an order names another product, and one is deleted:")?;
    Ok(())
}
