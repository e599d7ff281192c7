//! Makes a failing run shorter: operations, crashes and faults are left out as long as the same rule breaks.

use super::check::Violation;
use super::crash::CrashMode;
use super::disk::Faults;
use super::scenario::Scenario;
use super::swarm::run;

/// How many runs are tried.
const RUNS_MAX: usize = 3000;

/// The shortest run found that breaks the same rule, and how.
pub(super) fn shrink(scenario: Scenario, violation: Violation) -> (Scenario, Violation) {
    let mut search = Search { best: scenario, violation, runs: 0 };
    loop {
        let before = (search.best.operations.len(), search.best.crashes.len());
        search.leave_out_operations();
        search.leave_out_crashes();
        search.leave_out_faults();
        if (search.best.operations.len(), search.best.crashes.len()) == before || search.runs >= RUNS_MAX {
            return (search.best, search.violation);
        }
    }
}

struct Search {
    best: Scenario,
    violation: Violation,
    runs: usize,
}

impl Search {
    /// Takes a candidate if it fails the same way.
    fn attempt(&mut self, candidate: &Scenario) -> bool {
        self.runs += 1;
        match run(candidate) {
            Err(violation) if violation.rule == self.violation.rule && self.runs < RUNS_MAX => {
                self.violation = violation;
                self.best = candidate.clone();
                true
            }
            _ => false,
        }
    }

    /// Leaves out ever shorter stretches of operations. When the machine stops counts in operations of the disk, so the
    /// first crash is tried earlier too.
    fn leave_out_operations(&mut self) {
        let mut length = self.best.operations.len();
        while length > 0 {
            let mut at = 0;
            while at < self.best.operations.len() && self.runs < RUNS_MAX {
                let mut candidate = self.best.clone();
                candidate.operations.drain(at..(at + length).min(candidate.operations.len()));
                if !(self.attempt(&candidate) || self.attempt_other_crashes(&candidate)) {
                    at += length;
                }
            }
            length /= 2;
        }
    }

    fn attempt_other_crashes(&mut self, candidate: &Scenario) -> bool {
        let Some(first) = candidate.crashes.first() else { return false };
        let most = first.after;
        (1..=40).any(|earlier| {
            let mut candidate = candidate.clone();
            candidate.crashes[0].after = most.saturating_sub(earlier).max(1);
            self.attempt(&candidate)
        })
    }

    fn leave_out_crashes(&mut self) {
        for at in (0..self.best.crashes.len()).rev() {
            let mut candidate = self.best.clone();
            candidate.crashes.remove(at);
            if self.attempt(&candidate) {
                continue;
            }
            for mode in [CrashMode::KeepAll, CrashMode::DropAll] {
                let mut candidate = self.best.clone();
                if candidate.crashes.get(at).is_some_and(|crash| crash.mode != mode) {
                    candidate.crashes[at].mode = mode;
                    if self.attempt(&candidate) {
                        break;
                    }
                }
            }
        }
    }

    fn leave_out_faults(&mut self) {
        let calm: [fn(&mut Faults); 5] = [
            |faults| faults.write_error = 0.0,
            |faults| faults.sync_error = 0.0,
            |faults| faults.read_error = 0.0,
            |faults| faults.name_error = 0.0,
            |faults| faults.stale_read = 0.0,
        ];
        for calm in calm {
            let mut candidate = self.best.clone();
            calm(&mut candidate.settings.faults);
            if candidate != self.best {
                self.attempt(&candidate);
            }
        }
    }
}
