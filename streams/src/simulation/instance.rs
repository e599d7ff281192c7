//! One instance of the application, with one thread that is moved by hand.

use std::sync::Arc;

use millstream_log::Log;

use super::state_disk::StateDisk;
use crate::config::StreamsConfig;
use crate::crash::Plot;
use crate::error::StreamsError;
use crate::runtime::crew::Crew;
use crate::runtime::layout::{Layout, Setup};
use crate::runtime::shared::{Components, Shared};
use crate::runtime::thread::{Seat, is_lost};
use crate::runtime::worker::Worker;
use crate::topology::Topology;

/// What a process that runs the application has in memory.
pub(super) struct Instance {
    pub(super) setup: Arc<Setup>,
    pub(super) shared: Arc<Shared>,
    /// Its place among the instances, which names its transactions.
    pub(super) slot: u32,
    /// How often the group gave its tasks to others without asking.
    pub(super) lost: u64,
    worker: Worker,
    crew: Crew,
}

/// What an instance is made for.
pub(super) struct Place<'a> {
    pub(super) topology: &'a Topology,
    pub(super) config: &'a StreamsConfig,
    pub(super) log: &'a Log,
    pub(super) state: &'a Arc<StateDisk>,
    pub(super) plot: &'a Arc<Plot>,
    pub(super) slot: u32,
    /// Different for each instance that there ever was.
    pub(super) number: u64,
}

impl Instance {
    /// Opens the application; its tasks come by the group. Whoever was in the same slot is fenced from here on.
    pub(super) fn open(place: &Place<'_>) -> Result<Self, StreamsError> {
        let Place { topology, config, log, slot, number, .. } = *place;
        let layout = Layout::new(Setup::new(topology, config, log)?, log);
        let components = Components { crash: Some(place.plot.hook()), ..Components::default() };
        let state = Arc::clone(place.state) as _;
        let shared = Arc::new(Shared::in_slot(config.clone(), state, components, slot));
        shared.add_thread(0);
        let seat = Arc::new(Seat::new(0, number, &layout, log, &shared));
        let worker = seat.worker()?;
        let crew = Crew::new(&seat, &worker)?;
        Ok(Self { setup: layout.setup(), shared, slot, lost: 0, worker, crew })
    }

    /// Does what its thread would do in so many rounds.
    pub(super) fn work(&mut self, rounds: u8) -> Result<(), StreamsError> {
        for _ in 0..rounds {
            let turned = self.turn();
            self.go_on(turned)?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), StreamsError> {
        self.crew.attend(&mut self.worker)?;
        self.crew.update_standbys(&mut self.worker)?;
        self.worker.round().map(drop)
    }

    /// Commits, if there is anything to commit, without a look at the group first.
    pub(super) fn commit(&mut self) -> Result<(), StreamsError> {
        if !self.worker.may_commit || !self.worker.has_moved() {
            return Ok(());
        }
        let committed = self.worker.commit();
        self.go_on(committed)
    }

    /// As a thread does, which joins the group again when that has forgotten it.
    fn go_on(&mut self, outcome: Result<(), StreamsError>) -> Result<(), StreamsError> {
        match outcome {
            Err(error) if is_lost(&error) => {
                self.lost += 1;
                self.crew.lose(&mut self.worker)
            }
            outcome => outcome,
        }
    }

    /// Ends as a thread does after an error.
    pub(super) fn end(mut self) -> Result<(), StreamsError> {
        self.worker.abort()?;
        self.crew.leave()
    }

    /// Whether it has tasks, and all that they did is committed.
    pub(super) fn is_settled(&self) -> bool {
        self.crew.is_member()
            && self.worker.tasks.iter().all(|task| task.is_running)
            && !self.worker.has_moved()
    }

    /// Whether it has all tasks.
    pub(super) fn has_all(&self) -> bool {
        self.worker.owned().len() == self.setup.plan.tasks.len()
    }
}
