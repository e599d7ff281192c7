//! Whole applications under a simulated disk and clock: runs that replay from a seed, deaths at every step of a commit
//! and a restore, power cuts.
//!
//! ```text
//! Scenario ─▶ World ─▶ instances (Worker over StateDisk) ─▶ Log over the log's SimDisk
//!                └ dies, starts again ─▶ at the end: outputs and state against a naive fold of the input
//! ```
//! Reading order: `workload` what the applications do and what must come of it, `scenario` what happens to them,
//! `state_disk` where their state is, `instance` one of them, `world` doing it, `check` what must hold, [`Swarm`] runs
//! of many seeds.
//! Not here: threads, RocksDB and the real disk; the tests that kill the process see to those.

mod check;
mod instance;
mod scenario;
mod state_disk;
mod swarm;
mod workload;
mod world;

pub use check::Violation;
pub use scenario::{Death, Operation, Scenario, Settings};
pub use swarm::{Failure, Report, Swarm};

#[cfg(test)]
mod tests;
