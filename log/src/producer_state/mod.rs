//! What a partition knows of its idempotent and transactional producers, and the `.snapshot` files that keep it.
//!
//! Of each producer the newest five batches are known, so that one that is sent again is answered with the offsets it
//! has, not appended twice. [`states`] decides, [`window`] holds the five, [`snapshot`] is the file.

mod snapshot;
mod states;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use states::{LastBatch, ProducerState, ProducerStates, Verdict};
pub(crate) use window::wrapping_sequence;
