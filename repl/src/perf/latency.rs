//! Latencies, counted to within a thousandth of themselves.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer ones count as an hour.
const MICROS_MAX: u64 = 3_600_000_000;

/// Latencies of records.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    micros: Histogram<u64>,
}

impl Latencies {
    /// No latencies yet.
    pub(super) fn new() -> Self {
        Self { micros: Histogram::new_with_max(MICROS_MAX, 3).expect("the bounds are valid") }
    }

    /// Counts a latency for so many records.
    pub(super) fn record(&mut self, latency: Duration, records: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.micros.saturating_record_n(micros, records);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.micros.reset();
    }

    /// Number of records.
    pub(super) fn count(&self) -> u64 {
        self.micros.len()
    }

    /// Mean in milliseconds.
    pub(super) fn mean_ms(&self) -> f64 {
        self.micros.mean() / 1000.0
    }

    /// Largest in milliseconds.
    pub(super) fn max_ms(&self) -> f64 {
        self.micros.max() as f64 / 1000.0
    }

    /// What this share of the records (0 to 1) does not exceed, in milliseconds.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        self.micros.value_at_quantile(share) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut latencies = Latencies::new();
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis), 2);
        }
        assert_eq!(latencies.count(), 2000);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = latencies.quantile_ms(share);
            assert!((found - expected).abs() <= expected / 500.0, "{share}: {found}");
        }
        assert!((latencies.mean_ms() - 500.5).abs() < 1.0);
        latencies.clear();
        assert_eq!((latencies.count(), latencies.max_ms()), (0, 0.0));
    }
}
