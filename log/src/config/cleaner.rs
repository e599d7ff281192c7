//! Settings of compaction, `log.cleaner.*`.

use std::time::Duration;

use super::value::Setting;
use crate::error::Result;

/// How compaction works, the same for all topics.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`: whether [`Log::clean_next`](crate::Log::clean_next) does anything. Default true.
    pub enable: bool,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of one round. Default 128 MiB.
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`: how full that memory gets. Default 0.9.
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`: memory for what is written. Default 512 KiB.
    pub io_buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`: bytes read and written per second. Default no limit.
    pub io_bytes_per_second_max: Option<f64>,
    /// `log.cleaner.backoff.ms`: how long to wait when there is nothing to clean. Default 15 s.
    pub backoff: Duration,
}

impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            enable: true,
            dedupe_buffer_bytes: 128 << 20,
            load_factor: 0.9,
            io_buffer_bytes: 512 << 10,
            io_bytes_per_second_max: None,
            backoff: Duration::from_secs(15),
        }
    }
}

impl CleanerConfig {
    /// Sets one of the `log.cleaner.*` keys. False if it is none of them.
    pub(super) fn set(&mut self, setting: Setting<'_>) -> Result<bool> {
        match setting.key {
            "log.cleaner.backoff.ms" => self.backoff = setting.millis()?,
            "log.cleaner.dedupe.buffer.size" => {
                self.dedupe_buffer_bytes = setting.integer(1 << 20..=i64::MAX)? as usize;
            }
            "log.cleaner.enable" => self.enable = setting.boolean()?,
            "log.cleaner.io.buffer.load.factor" => {
                self.load_factor = match setting.value.trim().parse::<f64>() {
                    Ok(factor) if factor > 0.0 && factor <= 1.0 => factor,
                    _ => return Err(setting.invalid("it takes a number above 0 and up to 1")),
                }
            }
            "log.cleaner.io.buffer.size" => self.io_buffer_bytes = setting.size(1)?,
            "log.cleaner.io.max.bytes.per.second" => {
                self.io_bytes_per_second_max = match setting.value.trim().parse::<f64>() {
                    Ok(rate) if rate >= 1.0 => (rate < f64::MAX).then_some(rate),
                    _ => return Err(setting.invalid("it takes a number of bytes, at least 1")),
                }
            }
            // Rounds are run one at a time, by whoever calls for them.
            "log.cleaner.threads" => drop(setting.integer(0..=i64::from(i32::MAX))?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
