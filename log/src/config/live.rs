//! Settings of a topic that change while it is in use.

use std::sync::Arc;

use super::TopicConfig;
use crate::mutex::Mutex;

/// Where all partitions of a topic look for its settings, each time they need them.
#[derive(Debug)]
pub(crate) struct LiveConfig(Mutex<Arc<TopicConfig>>);

impl LiveConfig {
    pub(crate) fn new(config: TopicConfig) -> Self {
        Self(Mutex::new(Arc::new(config)))
    }

    /// The settings as they are now.
    pub(crate) fn get(&self) -> Arc<TopicConfig> {
        self.0.lock().clone()
    }

    /// Puts others in their place, seen by the next append and the next maintenance.
    pub(crate) fn set(&self, config: TopicConfig) {
        *self.0.lock() = Arc::new(config);
    }
}
