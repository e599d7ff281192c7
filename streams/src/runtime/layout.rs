//! The topology of a running application with the topics that its patterns stand for, and the plan made of it. Both are
//! made anew when the log has other topics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_log::Log;

use crate::config::StreamsConfig;
use crate::error::StreamsError;
use crate::runtime::plan::{Plan, with_topics};
use crate::topology::{NodeRole, Topology};

/// A topology with known topics, and its tasks.
pub(crate) struct Setup {
    pub(crate) topology: Topology,
    pub(crate) plan: Plan,
}

/// The setup of an instance now.
pub(crate) struct Layout(Mutex<State>);

struct State {
    setup: Arc<Setup>,
    /// When the log's topics were looked at, on its monotonic clock.
    looked_at: Duration,
}

impl Setup {
    /// The topics of the log that the topology's patterns stand for, and the plan with these.
    pub(crate) fn new(topology: &Topology, config: &StreamsConfig, log: &Log) -> Result<Self, StreamsError> {
        let topology = with_topics(topology, config, log)?;
        let plan = Plan::new(&topology, config, log)?;
        Ok(Self { topology, plan })
    }
}

impl Layout {
    pub(crate) fn new(setup: Setup, log: &Log) -> Arc<Self> {
        let looked_at = log.clock().monotonic();
        Arc::new(Self(Mutex::new(State { setup: Arc::new(setup), looked_at })))
    }

    pub(crate) fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.lock().setup)
    }

    /// Looks at the log's topics, if there are patterns and the last look was `metadata.max.age.ms` ago. Returns what
    /// the setup is then.
    pub(crate) fn look(&self, config: &StreamsConfig, log: &Log) -> Result<Arc<Setup>, StreamsError> {
        let mut state = self.lock();
        let now = log.clock().monotonic();
        if !has_patterns(&state.setup.topology)
            || now.saturating_sub(state.looked_at) < config.metadata_max_age
        {
            return Ok(Arc::clone(&state.setup));
        }
        state.looked_at = now;
        let topology = with_topics(&state.setup.topology, config, log)?;
        if topology.source_topics() != state.setup.topology.source_topics() {
            let topics = topology.source_topics().join(", ");
            tracing::info!(application = config.application_id, topics, "the topics of a pattern are others");
            let plan = Plan::new(&topology, config, log)?;
            state.setup = Arc::new(Setup { topology, plan });
        }
        Ok(Arc::clone(&state.setup))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A setup is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_patterns(topology: &Topology) -> bool {
    topology
        .nodes
        .iter()
        .any(|node| matches!(&node.role, NodeRole::Source { topics, .. } if topics.pattern.is_some()))
}
