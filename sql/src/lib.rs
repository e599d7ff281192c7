//! SQL over the log, in ksqlDB's dialect: streams and tables, queries that run for ever, queries on what is there.
//!
//! ```text
//! text ─▶ parser ─▶ ast ─▶ analysis ─▶ plan ─┬─▶ topology of columnar operators ─▶ streams   (persistent, push)
//!           │                 ▲              └─▶ rows of stores and topics                    (pull)
//!           │      catalogue, types, functions
//!           └─▶ DataFusion over stores and topics                                             (any other that ends)
//! ```
//! ```no_run
//! use millstream_log::Log;
//! use millstream_sql::{Engine, Outcome, Session, SqlConfig};
//!
//! let engine = Engine::open(Log::open("data/log")?, SqlConfig::new("data/state"))?;
//! let mut session = Session::new();
//! engine.execute(&mut session, "
//!     CREATE STREAM orders (id INT KEY, price DOUBLE)
//!         WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=1);
//!     CREATE STREAM dear AS SELECT id, price FROM orders WHERE price > 100;
//!     INSERT INTO orders VALUES (1, 120.5);")?;
//! for outcome in engine.execute(&mut session, "SELECT * FROM dear;")? {
//!     if let Outcome::Table(rows) = outcome {
//!         println!("{:?}", rows.batches);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Reading order: [`ast`] what can be said, [`parser`], [`types`], [`function`] the interface that built-in functions
//! and those of users go through, `expression` and `analysis` what a statement means, `plan`, `operator` one file per
//! columnar operator, `topology`, then [`Engine`] and what it hands out.
//!
//! Invariants: rows travel in Arrow columns and never as values of their own; an error in one row nulls that row's
//! expression, is counted and logged, and never stops a query; every statement that changes the catalogue is in
//! [`COMMAND_TOPIC`] before it is acknowledged. No thread starts before the first query.

mod analysis;
pub mod ast;
mod catalogue;
mod columnar;
mod command;
mod config;
mod connectors;
mod decimal;
mod description;
mod engine;
pub mod error;
mod error_topic;
mod expression;
pub mod function;
mod functions;
mod insert;
mod lexer;
mod operator;
pub mod parser;
mod plan;
mod print;
mod processing_log;
mod pull;
mod push;
mod query;
mod result;
mod session;
pub mod testing;
mod topology;
pub mod types;
mod with;

pub use command::COMMAND_TOPIC;
pub use config::SqlConfig;
pub use connectors::{ConnectorError, ConnectorPlugin, ConnectorSummary, Connectors};
pub use description::{
    ColumnDescription, ColumnPlace, FormatDescription, SourceDescription, WindowDescription,
};
pub use engine::{Completions, Engine, is_keyword};
pub use error::SqlError;
pub use expression::RowErrors;
pub use print::PrintQuery;
pub use push::{PushQuery, PushRows};
pub use query::QueryStatus;
pub use result::{Outcome, ResultSet};
pub use session::Session;
pub use types::SqlType;
