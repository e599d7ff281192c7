//! The one place of this crate that starts a thread: the sender of a producer that threads share.

use std::path::Path;
use std::thread;

use crate::config::ProducerConfig;
use crate::engine::Log;
use crate::error::{IoContext, Result};
use crate::producer::SharedProducer;

impl SharedProducer {
    /// A producer with a thread that writes what is sent, until it is closed or the last handle is dropped.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream_log::*;
    /// let log = Log::in_memory(Arc::new(SystemClock::new()));
    /// let producer = SharedProducer::start(&log, ProducerConfig::default())?;
    /// let delivery = producer.send("orders", Record { value: Some("book".into()), ..Record::default() })?;
    /// assert_eq!(delivery.wait().expect("written").offset.get(), 0);
    /// # Ok::<(), LogError>(())
    /// ```
    pub fn start(log: &Log, config: ProducerConfig) -> Result<Self> {
        let (producer, sender) = Self::open(log, config, Vec::new())?;
        thread::Builder::new()
            .name("millstream-producer".to_owned())
            .spawn(move || sender.run())
            .context("start a thread for a producer of", Path::new("the log"))?;
        Ok(producer)
    }
}
