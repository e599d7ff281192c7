//! The events of the shared benchmarks.

use arrow::datatypes::{DataType, Field, Fields};

/// In a batch.
pub const ROWS: usize = 8192;

/// The events as JSON documents.
pub fn events() -> Vec<String> {
    let kinds = ["buy", "sell", "view", "click"];
    (0..ROWS)
        .map(|n| {
            let (key, kind, cents, quantity) = (n * 7919 % 1000, kinds[n % 4], n * 37 % 100_000, n % 9 + 1);
            let ts = 1_700_000_000_001u64 + n as u64;
            format!(
                r#"{{"ID":{n},"TS":{ts},"KEY":"k{key:08}","KIND":"{kind}","PRICE":{}.{:02},"QTY":{quantity},"NOTE":"alpha-kilo"}}"#,
                cents / 100,
                cents % 100,
            )
        })
        .collect()
}

/// Their columns.
pub fn fields() -> Fields {
    let columns = [
        ("ID", DataType::Int64),
        ("TS", DataType::Int64),
        ("KEY", DataType::Utf8),
        ("KIND", DataType::Utf8),
        ("PRICE", DataType::Float64),
        ("QTY", DataType::Int32),
        ("NOTE", DataType::Utf8),
    ];
    columns.map(|(name, data_type)| Field::new(name, data_type, true)).into_iter().collect()
}
