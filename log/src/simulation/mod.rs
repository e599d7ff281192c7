//! The whole engine under a simulated disk and clock: runs that replay from a seed, crashes after any disk operation.
//!
//! ```text
//! Scenario ─▶ World ─▶ Log over SimDisk ─▶ Snapshot ─ crash ─▶ Log again ─▶ check against the History
//! ```
//! Reading order: [`disk`](SimDisk) what a disk may do, `crash` what it may forget, `scenario` what is done to the log,
//! `history` what the log answered, `world` doing it (`members` of groups, `topic_settings`, and `rot`, which ends some
//! runs), `check` what must hold, `swarm` random runs, `exhaustive` all
//! short ones.
//! Not here: clients on other threads and the real disk; the tests that kill the program see to those.

mod check;
mod crash;
mod disk;
mod exhaustive;
mod history;
mod members;
mod rot;
mod scenario;
mod shrink;
mod swarm;
mod topic_settings;
mod world;

pub use check::Violation;
pub use crash::{CrashMode, Snapshot};
pub use disk::{Faults, SimDisk};
pub use exhaustive::{Exhaustive, Step};
pub use scenario::{Operation, Scenario, Settings};
pub use swarm::{Failure, Report, Swarm};
pub use topic_settings::Setting;
