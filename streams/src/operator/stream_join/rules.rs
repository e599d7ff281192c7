//! What a stream-stream join joins: how far apart rows may be, and which come out without match.

use std::time::Duration;

use crate::store::spec::millis;

/// How far apart in time two rows may be to be joined, in ms. As Kafka's `JoinWindows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before_ms: i64,
    after_ms: i64,
    grace_ms: i64,
}

impl JoinWindows {
    /// Rows whose times differ by at most `difference`, without grace.
    pub fn of(difference: Duration) -> Self {
        let difference = millis(difference);
        Self { before_ms: difference, after_ms: difference, grace_ms: 0 }
    }

    /// Right rows may be this much older than the left row.
    #[must_use]
    pub fn before(self, before: Duration) -> Self {
        self.bounds_ms(millis(before), self.after_ms)
    }

    /// Right rows may be this much newer than the left row.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        self.bounds_ms(self.before_ms, millis(after))
    }

    /// Both bounds in ms. A negative bound excludes rows at the time of the left row: with -5 and 10, right rows
    /// must be 5 to 10 ms newer. `after_ms` is raised to `-before_ms` if it is less, where the window is a point.
    #[must_use]
    pub fn bounds_ms(mut self, before_ms: i64, after_ms: i64) -> Self {
        self.before_ms = before_ms.max(-i64::MAX);
        self.after_ms = after_ms.max(-self.before_ms);
        self
    }

    /// Takes rows for this long after the end of their window, in stream time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace_ms = millis(grace);
        self
    }

    /// How long a row is kept for rows that come late.
    pub fn retention(&self) -> Duration {
        // As in Kafka, but a row is never gone before it can be told that it has no match.
        let span = self.before_ms.max(1).saturating_add(self.after_ms.max(1));
        Duration::from_millis(span.saturating_add(self.grace_ms).unsigned_abs())
    }

    /// The bounds as a side sees them: how much older and newer rows of the other side may be.
    pub(crate) fn seen_from(&self, side: Side) -> (i64, i64) {
        match side {
            Side::Left => (self.before_ms, self.after_ms),
            Side::Right => (self.after_ms, self.before_ms),
        }
    }

    /// The stream time that a row of this side has to wait for before it is known to stay without match; it is known
    /// when the stream time has passed it.
    pub(crate) fn close(&self, side: Side, time: i64) -> i64 {
        time.saturating_add(self.seen_from(side).1).saturating_add(self.grace_ms)
    }
}

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The stream that joins.
    Left,
    /// The stream that is joined.
    Right,
}

impl Side {
    /// In keys of waiting rows; as Kafka's, so the right side comes first at equal times.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 0,
        }
    }

    /// The side across.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// When rows without match come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// Once their window and its grace have passed; they never join from then on, so no row comes out both with and
    /// without match.
    Final,
    /// Once their window and its grace have passed, or at once if they come when their window has passed. They can
    /// still be joined by rows that come late. As Kafka's joins with grace.
    Closed,
    /// At once, and again with each match that comes later. As Kafka's joins before there was grace.
    Eager,
}

/// What is joined, and which rows come out without match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamJoin {
    /// How far apart rows may be.
    pub windows: JoinWindows,
    /// Whether left rows come out without match: left and outer joins.
    pub keeps_left: bool,
    /// Whether right rows come out without match: outer joins.
    pub keeps_right: bool,
    /// When rows without match come out.
    pub unmatched: Unmatched,
}

impl StreamJoin {
    pub(crate) fn keeps(&self, side: Side) -> bool {
        match side {
            Side::Left => self.keeps_left,
            Side::Right => self.keeps_right,
        }
    }

    /// Whether a row of this side that stays without match and is not kept comes out alone.
    pub(crate) fn closes_alone(&self, side: Side, time: i64, stream_time: i64) -> bool {
        self.keeps(side) && self.windows.close(side, time) < stream_time
    }

    /// Whether every row that is kept lies in its own window.
    pub(crate) fn includes_itself(&self) -> bool {
        self.windows.before_ms >= 0 && self.windows.after_ms >= 0
    }

    /// Whether rows wait for their window to pass, so that the join needs a store for them.
    pub fn waits(&self) -> bool {
        (self.keeps_left || self.keeps_right) && self.unmatched != Unmatched::Eager
    }
}
