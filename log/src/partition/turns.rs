//! Who syncs a partition, and who waits for which sync.
//!
//! ```text
//! turn 7   Running(up to 500)    waits for it: who wrote below 500
//! turn 8   not claimed yet       waits for it: who wrote at 500 and above, and who wants the claim itself
//! ```
//! When a turn ends, those whose batches it covered go on, all at once, and one of those who wait for the next turn is
//! woken to take it. Nobody else is, since they would only look and wait again: with many producers on few processors,
//! waking up is most of what an acknowledged batch costs.

use std::sync::Condvar;

use crate::mutex::Mutex;
use crate::types::Offset;

/// How far a partition is on stable storage, and whether somebody is at work on that.
#[derive(Debug)]
pub(super) struct Syncing {
    state: Mutex<State>,
    /// Those who wait for turns with an even number, and with an odd one.
    waiting: [Condvar; 2],
}

#[derive(Debug)]
struct State {
    /// Everything below is on stable storage.
    durable: Offset,
    /// Number of the turn that goes on, or else of the next one.
    turn: usize,
    phase: Phase,
}

/// How far the turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has claimed it.
    Free,
    /// Somebody has, and will look how far the partition is written.
    Claimed,
    /// They have looked: what lies below is going to be on stable storage at the end of this turn.
    Running(Offset),
}

/// The right to sync a partition, which one caller at a time has.
#[derive(Debug)]
pub(super) struct Claim<'a>(&'a Syncing);

/// No sync gets as far.
const ANY: Offset = Offset::new(u64::MAX);

impl Syncing {
    pub(super) fn new(durable: Offset) -> Self {
        let state = State { durable, turn: 0, phase: Phase::Free };
        Self { state: Mutex::new(state), waiting: [Condvar::new(), Condvar::new()] }
    }

    pub(super) fn durable(&self) -> Offset {
        self.state.lock().durable
    }

    /// Waits for the sync that is running.
    pub(super) fn claim(&self) -> Claim<'_> {
        self.claim_up_to(ANY).expect("no offset is beyond this one")
    }

    /// The same, unless everything below `end`, all of which is written, is on stable storage by then.
    pub(super) fn claim_up_to(&self, end: Offset) -> Option<Claim<'_>> {
        let mut state = self.state.lock();
        while state.durable < end {
            let turn = match state.phase {
                Phase::Free => {
                    state.phase = Phase::Claimed;
                    return Some(Claim(self));
                }
                // What is written by now is seen by whoever is still to look.
                Phase::Claimed if end < ANY => state.turn,
                Phase::Running(covered) if end <= covered => state.turn,
                Phase::Claimed | Phase::Running(_) => state.turn + 1,
            };
            state = Mutex::<State>::wait(&self.waiting[turn % 2], state);
        }
        None
    }
}

impl Claim<'_> {
    /// Everything below `end`, the end as it is published now, is going to be on stable storage. Called before the end can
    /// move, so that whoever writes beyond knows that it is not.
    pub(super) fn cover(&self, end: Offset) {
        self.0.state.lock().phase = Phase::Running(end);
    }

    /// Everything below `end` is on stable storage now.
    pub(super) fn finish(self, end: Offset) {
        let mut state = self.0.state.lock();
        assert!(state.durable <= end, "the durable end goes back from {} to {end}", state.durable);
        state.durable = end;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let turn = state.turn;
        (state.turn, state.phase) = (turn + 1, Phase::Free);
        drop(state);
        // The disk is idle until somebody takes the next turn, so they come first.
        self.0.waiting[(turn + 1) % 2].notify_one();
        self.0.waiting[turn % 2].notify_all();
    }
}
