//! The order in which rows of two inputs take turns.

/// Rows of two inputs, the lower of the two heads first. So a row that is older than the one before it comes right after
/// that one, and what counts is the highest timestamp that an input has reached.
pub(crate) struct Turns<'a> {
    times: [&'a [i64]; 2],
    next: [usize; 2],
    highest: [i64; 2],
    /// The input that goes first at equal timestamps.
    first: usize,
}

impl<'a> Turns<'a> {
    /// Rows with these timestamps; `left_first` says whether input 0 goes first at equal ones.
    pub(crate) fn new(times: [&'a [i64]; 2], left_first: bool) -> Self {
        Self { times, next: [0; 2], highest: [i64::MIN; 2], first: usize::from(!left_first) }
    }

    /// The input whose turn it is, and its row.
    #[inline]
    pub(crate) fn peek(&self) -> Option<(usize, usize)> {
        let input = match (self.head(self.first), self.head(1 - self.first)) {
            (Some(first), Some(second)) if second < first => 1 - self.first,
            (Some(_), _) => self.first,
            (None, Some(_)) => 1 - self.first,
            (None, None) => return None,
        };
        Some((input, self.next[input]))
    }

    /// Goes on behind the next row of this input.
    #[inline]
    pub(crate) fn take(&mut self, input: usize) {
        self.highest[input] = self.head(input).unwrap_or(i64::MAX);
        self.next[input] += 1;
    }

    /// How many rows each input has given.
    pub(crate) fn taken(&self) -> [usize; 2] {
        self.next
    }

    fn head(&self, input: usize) -> Option<i64> {
        self.times[input].get(self.next[input]).map(|time| self.highest[input].max(*time))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(times: [&[i64]; 2], left_first: bool) -> Vec<(usize, usize)> {
        let mut turns = Turns::new(times, left_first);
        std::iter::from_fn(|| {
            let next = turns.peek()?;
            turns.take(next.0);
            Some(next)
        })
        .collect()
    }

    #[test]
    fn rows_come_by_time() {
        assert_eq!(order([&[1, 3, 3], &[2, 3]], true), [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)]);
        assert_eq!(order([&[1, 3, 3], &[2, 3]], false), [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2)]);
        // What is late comes right after the row before it.
        assert_eq!(order([&[5, 1], &[2, 6]], true), [(1, 0), (0, 0), (0, 1), (1, 1)]);
        assert_eq!(order([&[], &[7]], true), [(1, 0)]);
    }

    proptest! {
        #[test]
        fn the_lower_head_goes_first(
            left in proptest::collection::vec(0i64..20, 0..20),
            right in proptest::collection::vec(0i64..20, 0..20),
            left_first in any::<bool>(),
        ) {
            let times = [left.as_slice(), right.as_slice()];
            let mut next = [0; 2];
            for (input, row) in order(times, left_first) {
                prop_assert_eq!(row, next[input]);
                let heads = [0, 1].map(|input| times[input].get(next[input]));
                if let [Some(own), Some(other)] = [heads[input], heads[1 - input]] {
                    prop_assert!(own < other || own == other && (input == 0) == left_first, "{:?}", heads);
                }
                next[input] += 1;
            }
            prop_assert_eq!(next, [left.len(), right.len()]);
        }
    }
}
