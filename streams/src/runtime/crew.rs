//! A stream thread as a member of its application's group: what it says, and how it takes tasks and gives them up.
//!
//! ```text
//! subscription  1 u8 | instance u64 | host | owned tasks | lags: count u32 | count * (task, u64)
//! assignment    1 u8 | active tasks | standby tasks | warm-up tasks | clients: count u32 | count * ..
//! tasks         count u32 | count * (sub-topology u32 | partition u32)
//! ```
//! These are the user data of Kafka's subscription and assignment, whose topics and partitions tools can show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use millstream_log::group::{Assignment, Subscription};
use millstream_log::{GroupMember, GroupProtocol, MemberEvent, PartitionId};

use crate::crash::CrashPoint;
use crate::error::{StreamsError, full_message};
use crate::processor::TaskId;
use crate::runtime::assignor::{MemberState, Problem};
use crate::runtime::instances;
use crate::runtime::layout::Setup;
use crate::runtime::plan::TaskPlan;
use crate::runtime::shared::{ClientMetadata, ThreadState, thread_name};
use crate::runtime::tasks::lag;
use crate::runtime::thread::Seat;
use crate::runtime::worker::Worker;

/// The name of the protocol, as Kafka Streams' assignor has it.
const PROTOCOL: &str = "stream";
const VERSION: u8 = 1;
/// Time between looks at the changelogs of standbys.
const STANDBY_INTERVAL: Duration = Duration::from_millis(100);

/// The membership of a stream thread.
pub(crate) struct Crew {
    member: GroupMember,
    talk: Talk,
    /// What the leader has given and was not taken yet.
    pending: Option<Given>,
    /// Tasks that are to come here once their state has.
    warmups: BTreeSet<TaskId>,
    updated_at: Duration,
    /// Whether the other threads were told that the group divides its work.
    has_rung: bool,
}

/// What one thread says to the others.
struct Talk {
    seat: Arc<Seat>,
    setup: Arc<Setup>,
    owned: BTreeSet<TaskId>,
}

/// What a member says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    state: MemberState,
    host: String,
}

/// What the leader gives to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Given {
    active: BTreeSet<TaskId>,
    standby: BTreeSet<TaskId>,
    warmup: BTreeSet<TaskId>,
    clients: Vec<ClientMetadata>,
}

impl Crew {
    /// Begins to join.
    pub(crate) fn new(seat: &Arc<Seat>, worker: &Worker) -> Result<Self, StreamsError> {
        let config = &seat.shared.config;
        let client = match &config.client_id {
            Some(client) => thread_name(client, seat.number),
            None => seat.name(),
        };
        let waker = worker.consumer.waker();
        let member = GroupMember::new(
            &seat.log,
            &config.application_id,
            &client,
            PROTOCOL,
            config.max_poll_interval,
            waker,
        );
        let talk = Talk { seat: Arc::clone(seat), setup: seat.layout.setup(), owned: worker.owned() };
        Ok(Self {
            member,
            talk,
            pending: None,
            warmups: BTreeSet::new(),
            updated_at: Duration::ZERO,
            has_rung: false,
        })
    }

    /// Whether it divides the tasks of this setup.
    pub(crate) fn goes_by(&self, setup: &Arc<Setup>) -> bool {
        Arc::ptr_eq(&self.talk.setup, setup)
    }

    /// Whether commits count now.
    pub(crate) fn is_member(&self) -> bool {
        self.member.is_member()
    }

    /// Leaves the group.
    pub(crate) fn leave(&mut self) -> Result<(), StreamsError> {
        self.member.leave()?;
        self.ring();
        Ok(())
    }

    /// Does this thread's part in the group: joins, gives up tasks with a commit, takes others with their state.
    pub(crate) fn attend(&mut self, worker: &mut Worker) -> Result<(), StreamsError> {
        self.talk.owned = worker.owned();
        let was_member = self.member.is_member();
        while let Some(event) = self.member.poll(&mut self.talk)? {
            match event {
                MemberEvent::Assigned(bytes) => {
                    self.pending = Some(Given::decode(&bytes).unwrap_or_default())
                }
                MemberEvent::Lost => self.lose(worker)?,
            }
        }
        worker.group = self.member.metadata().clone();
        worker.may_commit = self.member.is_member();
        let seat = Arc::clone(&self.talk.seat);
        if !self.member.is_member() {
            // The others have to join too, and need not find out by themselves.
            if !std::mem::replace(&mut self.has_rung, true) {
                self.ring();
            }
            if was_member {
                seat.shared.set_thread_state(seat.number, ThreadState::Rebalancing);
            }
            return Ok(());
        }
        self.has_rung = false;
        let all_joined = seat.shared.joined(seat.number);
        match self.pending.take() {
            Some(given) if all_joined => self.take(worker, given),
            pending => {
                self.pending = pending;
                Ok(())
            }
        }
    }

    fn ring(&self) {
        instances::wake_all(&self.talk.seat.log, &self.talk.seat.shared.config.application_id);
    }

    /// Lets go of tasks that are others' by now.
    pub(crate) fn lose(&mut self, worker: &mut Worker) -> Result<(), StreamsError> {
        tracing::warn!(thread = self.talk.seat.name(), "the group has given this thread's tasks to others");
        worker.abandon()?;
        self.talk.owned.clear();
        self.pending = None;
        Ok(())
    }

    /// Brings standbys up to date now and then, and tells the group when a task can come.
    pub(crate) fn update_standbys(&mut self, worker: &mut Worker) -> Result<(), StreamsError> {
        let seat = Arc::clone(&self.talk.seat);
        let now = seat.log.clock().monotonic();
        if worker.standbys.is_empty() || now.saturating_sub(self.updated_at) < STANDBY_INTERVAL {
            return Ok(());
        }
        self.updated_at = now;
        worker.update_standbys()?;
        let acceptable = seat.shared.config.acceptable_recovery_lag;
        let has_come = |task: &TaskId| {
            let Setup { topology, plan } = &*self.talk.setup;
            lag(topology, plan.task(*task)?, &seat.shared, &seat.log).ok()?.filter(|lag| *lag <= acceptable)
        };
        if self.warmups.iter().any(|task| has_come(task).is_some()) {
            self.warmups.clear();
            self.member.rebalance();
        }
        Ok(())
    }

    fn take(&mut self, worker: &mut Worker, given: Given) -> Result<(), StreamsError> {
        let seat = Arc::clone(&self.talk.seat);
        let owned = worker.owned();
        let revoked: BTreeSet<TaskId> = owned.difference(&given.active).copied().collect();
        if !revoked.is_empty() {
            if worker.has_moved() {
                worker.commit()?;
            }
            seat.shared.reach(CrashPoint::BeforeRevoke)?;
            worker.revoke(&revoked)?;
            // They go to others in the next generation.
            self.member.rebalance();
        }
        let setup = Arc::clone(&self.talk.setup);
        let plans = |tasks: &BTreeSet<TaskId>| -> Vec<TaskPlan> {
            tasks.iter().filter_map(|task| setup.plan.task(*task)).cloned().collect()
        };
        let added: BTreeSet<TaskId> = given.active.difference(&owned).copied().collect();
        if !added.is_empty() {
            seat.shared.set_thread_state(seat.number, ThreadState::Restoring);
            match worker.assign(&plans(&added)).and_then(|()| worker.restore()) {
                Err(error) if error.is_retriable() => {
                    tracing::info!(error = full_message(&error), "tasks cannot be taken over yet");
                    worker.revoke(&added)?;
                    self.pending = Some(given);
                    seat.shared.pause(seat.number, seat.shared.config.retry_backoff);
                    return Ok(());
                }
                outcome => outcome?,
            }
        }
        let standby: BTreeSet<TaskId> = given.standby.union(&given.warmup).copied().collect();
        worker.stand_by(&plans(&standby))?;
        self.warmups = given.warmup;
        self.talk.owned = worker.owned();
        seat.shared.set_tasks(seat.number, worker.owned(), standby);
        seat.shared.set_clients(given.clients);
        seat.shared.set_thread_state(seat.number, ThreadState::Running);
        Ok(())
    }
}

impl GroupProtocol for Talk {
    fn metadata(&mut self) -> Bytes {
        let (seat, Setup { topology, plan: plans }) = (&self.seat, &*self.setup);
        let mut lags = BTreeMap::new();
        for plan in &plans.tasks {
            match lag(topology, plan, &seat.shared, &seat.log) {
                Ok(lag) => lags.extend(lag.map(|lag| (plan.id, lag))),
                Err(error) => tracing::warn!(error = full_message(&error), "the lag of a task is not known"),
            }
        }
        let state = MemberState { instance: seat.instance, owned: self.owned.clone(), lags };
        let said = Said { state, host: seat.shared.config.application_server.clone() };
        let topics: BTreeSet<String> = plans.inputs().map(|partition| partition.topic.to_string()).collect();
        let owned = self.owned.iter().filter_map(|task| plans.task(*task));
        let owned = owned.flat_map(|plan| &plan.inputs).map(|input| input.partition.clone()).collect();
        let user_data = Some(said.encode());
        Subscription { topics: topics.into_iter().collect(), user_data, owned, ..Subscription::default() }
            .encode()
    }

    fn assign(&mut self, members: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
        let (Setup { topology, plan }, config) = (&*self.setup, &self.seat.shared.config);
        let said = members.into_iter().filter_map(|(id, bytes)| {
            let said =
                Subscription::decode(&bytes).and_then(|it| it.user_data).and_then(|it| Said::decode(&it));
            if said.is_none() {
                tracing::warn!(member = id, "what a member of the application says cannot be understood");
            }
            Some((id, said?))
        });
        let said: BTreeMap<String, Said> = said.collect();
        let tasks = plan.tasks.iter().map(|task| {
            let stores = &topology.sub_topologies[task.id.sub_topology as usize].stores;
            (task.id, stores.iter().any(|store| topology.stores[store.0].changelog))
        });
        let problem = Problem {
            tasks: tasks.collect(),
            members: said.iter().map(|(id, said)| (id.clone(), said.state.clone())).collect(),
            standbys: config.standby_replicas,
            acceptable_lag: config.acceptable_recovery_lag,
            warmups_max: config.warmup_replicas_max,
        };
        let shares = problem.assign();
        let mut clients: BTreeMap<u64, ClientMetadata> = BTreeMap::new();
        for (id, share) in &shares {
            let client = clients.entry(said[id].state.instance).or_default();
            client.host.clone_from(&said[id].host);
            client.active.extend(&share.active);
            client.standby.extend(share.standby.union(&share.warmup));
        }
        let clients: Vec<ClientMetadata> = clients.into_values().collect();
        let encoded = shares.into_iter().map(|(id, share)| {
            let partitions = share.active.iter().filter_map(|task| plan.task(*task));
            let partitions =
                partitions.flat_map(|plan| &plan.inputs).map(|input| input.partition.clone()).collect();
            let given = Given {
                active: share.active,
                standby: share.standby,
                warmup: share.warmup,
                clients: clients.clone(),
            };
            (id, Assignment { partitions, user_data: Some(given.encode()) }.encode())
        });
        encoded.collect()
    }
}

impl Said {
    fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.put_u64(self.state.instance);
        put_text(&mut out, &self.host);
        put_tasks(&mut out, &self.state.owned);
        put_count(&mut out, self.state.lags.len());
        for (task, lag) in &self.state.lags {
            put_task(&mut out, *task);
            out.put_u64(*lag);
        }
        out.into()
    }

    fn decode(mut input: &[u8]) -> Option<Self> {
        let input = &mut input;
        input.try_get_u8().ok().filter(|version| *version == VERSION)?;
        let instance = input.try_get_u64().ok()?;
        let (host, owned) = (get_text(input)?, get_tasks(input)?);
        let mut lags = BTreeMap::new();
        for _ in 0..input.try_get_u32().ok()? {
            lags.insert(get_task(input)?, input.try_get_u64().ok()?);
        }
        Some(Self { state: MemberState { instance, owned, lags }, host })
    }
}

impl Given {
    fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        for tasks in [&self.active, &self.standby, &self.warmup] {
            put_tasks(&mut out, tasks);
        }
        put_count(&mut out, self.clients.len());
        for client in &self.clients {
            put_text(&mut out, &client.host);
            put_tasks(&mut out, &client.active);
            put_tasks(&mut out, &client.standby);
        }
        out.into()
    }

    /// From the whole assignment.
    fn decode(assignment: &[u8]) -> Option<Self> {
        let user_data = Assignment::decode(assignment)?.user_data?;
        let input = &mut &*user_data;
        input.try_get_u8().ok().filter(|version| *version == VERSION)?;
        let (active, standby, warmup) = (get_tasks(input)?, get_tasks(input)?, get_tasks(input)?);
        let mut clients = Vec::new();
        for _ in 0..input.try_get_u32().ok()? {
            let (host, active, standby) = (get_text(input)?, get_tasks(input)?, get_tasks(input)?);
            clients.push(ClientMetadata { host, active, standby });
        }
        Some(Self { active, standby, warmup, clients })
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).expect("an application has fewer than 2^32 tasks and instances"));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.put_slice(text.as_bytes());
}

fn put_task(out: &mut Vec<u8>, task: TaskId) {
    out.put_u32(task.sub_topology);
    out.put_u32(task.partition.get());
}

fn put_tasks(out: &mut Vec<u8>, tasks: &BTreeSet<TaskId>) {
    put_count(out, tasks.len());
    tasks.iter().for_each(|task| put_task(out, *task));
}

fn get_text(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(input.try_get_u32().ok()?).ok()?;
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    String::from_utf8(text.to_vec()).ok()
}

fn get_task(input: &mut &[u8]) -> Option<TaskId> {
    let sub_topology = input.try_get_u32().ok()?;
    Some(TaskId { sub_topology, partition: PartitionId::new(input.try_get_u32().ok()?) })
}

fn get_tasks(input: &mut &[u8]) -> Option<BTreeSet<TaskId>> {
    (0..input.try_get_u32().ok()?).map(|_| get_task(input)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_tasks() -> impl Strategy<Value = BTreeSet<TaskId>> {
        let task = (0u32..9, 0u32..9).prop_map(|(sub_topology, partition)| TaskId {
            sub_topology,
            partition: PartitionId::new(partition),
        });
        prop::collection::btree_set(task, 0..6)
    }

    proptest! {
        #[test]
        fn what_is_said_survives_its_encoding(
            owned in any_tasks(), lagging in any_tasks(), lag in any::<u64>(), instance in any::<u64>(),
            host in ".{0,9}", cut in any::<prop::sample::Index>(),
        ) {
            let lags = lagging.iter().map(|task| (*task, lag)).collect();
            let said = Said { state: MemberState { instance, owned: owned.clone(), lags }, host: host.clone() };
            let bytes = said.encode();
            prop_assert_eq!(Said::decode(&bytes), Some(said));
            prop_assert_eq!(Said::decode(&bytes[..cut.index(bytes.len())]), None);
            let clients = vec![ClientMetadata { host, active: owned.clone(), standby: lagging.clone() }];
            let given = Given { active: owned, standby: lagging, clients, ..Given::default() };
            let assignment = Assignment { user_data: Some(given.encode()), ..Assignment::default() }.encode();
            prop_assert_eq!(Given::decode(&assignment), Some(given));
        }
    }
}
