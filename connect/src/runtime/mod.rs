//! Running connectors: one thread per task, their state, and the topics that remember configs and offsets.

mod class;
mod handle;
mod sink_loop;
mod source_loop;
mod topics;
mod worker;

pub use handle::{ConnectorHandle, ConnectorKind, ConnectorStatus, Progress, State, TaskStatus};
pub use topics::{CONFIGS_TOPIC, OFFSETS_TOPIC};
pub use worker::{Worker, WorkerConfig};
