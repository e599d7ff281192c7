//! Latencies in buckets whose width grows with the value.

/// Counts of values in microseconds, each kept to within 1/64 of itself.
///
/// ```text
/// 0..64       a bucket per microsecond
/// 64..128     64 buckets of 1     128..256  64 of 2     256..512  64 of 4     and so on
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

const BUCKETS_PER_POWER: usize = 64;
const BITS: u32 = BUCKETS_PER_POWER.trailing_zeros();

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS_PER_POWER * (64 - BITS as usize + 1)], count: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts `times` values of so many microseconds.
    pub(crate) fn record(&mut self, micros: u64, times: u64) {
        self.counts[bucket(micros)] += times;
        self.count += times;
        self.sum += u128::from(micros) * u128::from(times);
        self.max = self.max.max(micros);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum, self.max) = (0, 0, 0);
    }

    /// Number of values.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Mean in milliseconds.
    pub(crate) fn mean_ms(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 / 1000.0 }
    }

    /// Largest value in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        self.max as f64 / 1000.0
    }

    /// The value in milliseconds that this share of the values (0 to 1) does not exceed.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound(index).min(self.max) as f64 / 1000.0;
            }
        }
        self.max_ms()
    }
}

fn bucket(value: u64) -> usize {
    if value < BUCKETS_PER_POWER as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - BITS;
    // The leading one of the shifted value says which power it is, the bits behind it which bucket.
    BUCKETS_PER_POWER * shift as usize + (value >> shift) as usize
}

fn upper_bound(index: usize) -> u64 {
    if index < 2 * BUCKETS_PER_POWER {
        return index as u64;
    }
    let shift = (index / BUCKETS_PER_POWER - 1) as u32;
    let mantissa = (BUCKETS_PER_POWER + index % BUCKETS_PER_POWER) as u64;
    (mantissa << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_within_a_64th_of_its_values() {
        let mut last = 0;
        for value in (0..4096).chain([1 << 20, (1 << 40) + 12345, u64::MAX / 2, u64::MAX]) {
            let index = bucket(value);
            assert!(index >= last, "{value}");
            last = index;
            let upper = upper_bound(index);
            assert!(upper >= value && upper - value <= value / 64, "{value} in bucket {index} up to {upper}");
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        for value in 1..=1000 {
            histogram.record(value * 1000, 1);
        }
        assert_eq!(histogram.count(), 1000);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_ms(share);
            assert!((found - expected).abs() <= expected / 60.0, "{share}: {found}");
        }
        assert_eq!(histogram.mean_ms(), 500.5);
    }
}
