//! Transactions: who may write under a `transactional.id`, and how all that was written ends together.
//!
//! ```text
//! Empty ─▶ Ongoing ─▶ PrepareCommit ─▶ (a marker in every partition) ─▶ CompleteCommit ─▶ Ongoing ...
//!                 └─▶ PrepareAbort  ─▶ (a marker in every partition) ─▶ CompleteAbort
//! ```
//! Reading order: [`state`] is what is known of one transactional id and what each request makes of it, without I/O;
//! [`record`] is how that is kept in `__transaction_state`; [`coordinator`] runs it and [`recovery`] takes it up
//! after a start; [`offsets`] and [`append`] are
//! what is written inside a transaction; [`admin`] shows and ends transactions; [`producer_ids`] hands out producer
//! ids.
//!
//! # What holds
//!
//! - Each step is a record before it takes effect. What is known is what the topic says, always: a start rebuilds it.
//! - PrepareCommit decides. It is on stable storage after all that it decides on, and before any marker. Markers and
//!   the record of completion are not synced: after a crash the prepare record has them written again.
//! - Every end raises the producer's epoch (KIP-890), markers carry the raised one. So a late request of an earlier
//!   transaction is refused, and a marker that is written again is told from one for a later transaction. For clients
//!   of the older protocol, whose epoch stays, the record of completion is synced instead.
//! - A start finishes what is decided and aborts what is not: producers in this process are gone with it, and one
//!   elsewhere is fenced. After a crash that is so for all that were there before it, since records of theirs may be
//!   lost that they think are written.
//! - A transactional id has one lock, held through each step, markers included. It is taken before a partition's.
//!
//! With `acks=all` a commit is on stable storage when it is acknowledged. With `acks=1` it survives the end of the
//! process, not of the machine: after a power loss any part of it may be missing, also in single partitions.

mod admin;
mod append;
mod coordinator;
mod offsets;
mod producer_ids;
mod record;
mod recovery;
mod request;
mod state;

#[cfg(test)]
mod tests;

pub use admin::{
    AbortSpec, HangingTransaction, ProducerDescription, TransactionDescription, TransactionFilter,
    TransactionListing,
};
pub(crate) use coordinator::{Session, Transactions};
pub(crate) use producer_ids::{FILE as PRODUCER_IDS, ProducerIds};
pub use request::{
    AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, InitProducerId, ProducerIdentity, TransactionMarker,
    TransactionResult, TransactionVersion, TxnOffsetCommit,
};
pub use state::TransactionState;
