//! All orders of events of a small group, up to a depth: three members, a few partitions, and whatever each of them may
//! do next. Members follow the protocol as consumers do, each step taken at any time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;

use super::assignor::Candidate;
use super::protocol::*;
use super::*;
use crate::types::{Timestamp, TopicPartition};

const MEMBERS: usize = 3;
const SESSION: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Client {
    id: String,
    generation: i32,
    place: Place,
    /// What it reads now, and since which generation.
    owned: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Place {
    #[default]
    Out,
    Joining,
    Joined,
    Syncing,
    Stable,
    MustJoin,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    /// Half a session passes, or a quarter of the time that is left to join.
    Wait,
    Write(bool),
}

#[derive(Clone)]
struct World {
    coordinator: GroupCoordinator,
    time: Duration,
    next: RequestId,
    /// Who waits for which answer.
    parked: BTreeMap<RequestId, usize>,
    clients: Vec<Client>,
    led: BTreeMap<usize, Joined>,
    writes: Vec<WriteId>,
    assignor: Assignor,
    partitions: u32,
}

impl World {
    fn new(assignor: Assignor, partitions: u32) -> Self {
        Self {
            coordinator: GroupCoordinator::new(GroupConfig::default(), fastrand::Rng::with_seed(1)),
            time: Duration::from_secs(100),
            next: 0,
            parked: BTreeMap::new(),
            clients: vec![Client::default(); MEMBERS],
            led: BTreeMap::new(),
            writes: Vec::new(),
            assignor,
            partitions,
        }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.time, wall: Timestamp::new(0) }
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, client) in self.clients.iter().enumerate() {
            match client.place {
                Place::Out => events.push(Event::Join(at)),
                // It may take its time to join again, and still be alive.
                Place::MustJoin => events.extend([Event::Join(at), Event::Heartbeat(at)]),
                Place::Joined => events.push(Event::Sync(at)),
                Place::Stable => events.push(Event::Heartbeat(at)),
                Place::Joining | Place::Syncing => {}
            }
            if !client.id.is_empty() && client.place != Place::Out {
                events.push(Event::Leave(at));
            }
        }
        if self.clients.iter().any(|client| !client.id.is_empty()) {
            events.push(Event::Wait);
        }
        if !self.writes.is_empty() {
            events.extend([Event::Write(true), Event::Write(false)]);
        }
        events
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Join(at) => {
                let client = &mut self.clients[at];
                if !self.assignor.is_cooperative() {
                    client.owned.clear();
                }
                client.place = Place::Joining;
                let partitions: Vec<_> =
                    client.owned.iter().map(|number| TopicPartition::new("t", *number)).collect();
                let subscription = Subscription {
                    topics: vec!["t".to_owned()],
                    user_data: self.assignor.user_data(&partitions, client.generation),
                    owned: partitions,
                    generation: Some(client.generation).filter(|generation| *generation > 0),
                    rack: None,
                };
                let request = JoinRequest {
                    group_id: "g".to_owned(),
                    member_id: client.id.clone(),
                    instance_id: None,
                    client_id: at.to_string(),
                    client_host: "/h".to_owned(),
                    origin: MemberOrigin::Remote,
                    session_timeout: SESSION,
                    rebalance_timeout: 2 * SESSION,
                    protocol_type: "consumer".to_owned(),
                    protocols: vec![Protocol {
                        name: self.assignor.name().to_owned(),
                        metadata: subscription.encode(),
                    }],
                    requires_known_member_id: at == 2,
                    supports_skipping_assignment: true,
                };
                let to = self.park(at);
                self.step(Input::Join { to, request });
            }
            Event::Sync(at) => {
                let client = &self.clients[at];
                let assignments = self.led.remove(&at).map_or_else(Vec::new, |joined| self.assign(&joined));
                let request = SyncRequest {
                    group_id: "g".to_owned(),
                    member: MemberIdentity { member_id: client.id.clone(), instance_id: None },
                    generation: client.generation,
                    protocol_type: None,
                    protocol_name: None,
                    assignments,
                };
                self.clients[at].place = Place::Syncing;
                let to = self.park(at);
                self.step(Input::Sync { to, request });
            }
            Event::Heartbeat(at) => {
                let (now, client) = (self.now(), self.clients[at].clone());
                let member = MemberIdentity { member_id: client.id, instance_id: None };
                match self.coordinator.heartbeat(now, "g", &member, client.generation) {
                    Ok(()) => {}
                    Err(error) => self.refuse(at, error),
                }
            }
            Event::Leave(at) => {
                let member_id = std::mem::take(&mut self.clients[at]).id;
                self.led.remove(&at);
                self.parked.retain(|_, client| *client != at);
                let members = vec![MemberIdentity { member_id, instance_id: None }];
                self.next += 1;
                let request = LeaveRequest { group_id: "g".to_owned(), members };
                self.step(Input::Leave { to: self.next, request });
            }
            Event::Wait => {
                self.time += SESSION / 2;
                self.step(Input::Tick);
            }
            Event::Write(is_written) => {
                let write = self.writes.remove(0);
                self.step(Input::Written { group_id: "g".to_owned(), write, is_written });
            }
        }
    }

    fn park(&mut self, at: usize) -> RequestId {
        self.next += 1;
        self.parked.insert(self.next, at);
        self.next
    }

    fn assign(&self, joined: &Joined) -> Vec<(String, Bytes)> {
        let candidate = |member: &JoinedMember| {
            let subscription = Subscription::decode(&member.metadata).unwrap();
            (member.member_id.clone(), Candidate { instance_id: None, subscription })
        };
        let members = joined.members.iter().map(candidate).collect();
        let counts = BTreeMap::from([("t".to_owned(), self.partitions)]);
        let encode = |(id, partitions)| (id, Assignment { partitions, user_data: None }.encode());
        self.assignor.assign(&counts, &members).into_iter().map(encode).collect()
    }

    fn step(&mut self, input: Input) {
        for output in self.coordinator.step(self.now(), input) {
            match output {
                Output::Joined { to, reply } => {
                    let Some(at) = self.parked.remove(&to) else { continue };
                    match reply.outcome {
                        Ok(joined) => {
                            let client = &mut self.clients[at];
                            client.id = reply.member_id;
                            client.generation = joined.generation;
                            client.place = Place::Joined;
                            if joined.leader == client.id {
                                self.led.insert(at, joined);
                            }
                        }
                        Err(GroupError::MemberIdRequired) => {
                            self.clients[at].id = reply.member_id;
                            self.clients[at].place = Place::MustJoin;
                        }
                        Err(error) => self.refuse(at, error),
                    }
                }
                Output::Synced { to, reply } => {
                    let Some(at) = self.parked.remove(&to) else { continue };
                    match reply {
                        Ok(synced) => {
                            let assigned = Assignment::decode(&synced.assignment).unwrap().partitions;
                            let client = &mut self.clients[at];
                            let owned: Vec<_> = assigned.iter().map(|id| id.partition.get()).collect();
                            let revokes = client.owned.iter().any(|number| !owned.contains(number));
                            client.owned = owned;
                            client.place = if revokes { Place::MustJoin } else { Place::Stable };
                        }
                        Err(error) => self.refuse(at, error),
                    }
                }
                Output::Write { write, .. } => self.writes.push(write),
                Output::Left { .. } | Output::Rebalancing { .. } => {}
            }
        }
    }

    fn refuse(&mut self, at: usize, error: GroupError) {
        self.led.remove(&at);
        match error {
            GroupError::UnknownMemberId | GroupError::IllegalGeneration => {
                self.clients[at] = Client::default()
            }
            GroupError::RebalanceInProgress | GroupError::CoordinatorNotAvailable => {
                self.clients[at].place = Place::MustJoin;
            }
            other => panic!("client {at} is refused with {other:?}"),
        }
    }

    /// Nobody reads a partition that another member the group knows, of the same generation or with what it kept, reads.
    fn check(&self, trace: &[Event]) {
        let group = self.coordinator.find("g");
        let mut owners = BTreeMap::new();
        for (at, client) in self.clients.iter().enumerate() {
            let is_known = group.is_some_and(|group| group.members.contains_key(&client.id));
            if !is_known {
                continue; // expired, and fenced from commits; it finds out with its next heartbeat
            }
            for number in &client.owned {
                if let Some(other) = owners.insert(*number, at) {
                    panic!("t-{number} is read by {other} and {at} after {trace:?}: {:?}", self.clients);
                }
            }
        }
        let Some(group) = group else { return };
        let ids: BTreeSet<_> = group.members.keys().collect();
        if group.state == GroupState::Empty {
            assert!(ids.is_empty(), "{trace:?}");
        } else if let Some(leader) = &group.leader {
            assert!(ids.is_empty() || ids.contains(leader), "{trace:?}");
        }
        // What the group hands out is given to one member each.
        let mut given = BTreeSet::new();
        if group.state == GroupState::Stable {
            for member in group.members.values() {
                for partition in Assignment::decode(&member.assignment).unwrap().partitions {
                    assert!(given.insert(partition.clone()), "{partition} is given twice after {trace:?}");
                }
            }
        }
    }

    /// What decides about the future, without the names that differ from run to run.
    fn fingerprint(&self) -> String {
        let mut text = format!("{:?}{:?}", self.coordinator.find("g"), self.clients);
        text.push_str(&format!("{:?}{:?}{:?}", self.parked.values(), self.writes.len(), self.led.keys()));
        text
    }

    /// From here on everyone behaves: the group must come to rest with every partition read by one of the living.
    fn settle(mut self, trace: &[Event]) {
        for _ in 0..60 {
            while !self.writes.is_empty() {
                self.take(Event::Write(true));
            }
            let places: Vec<_> = self.clients.iter().map(|client| client.place).collect();
            for (at, place) in places.into_iter().enumerate() {
                match place {
                    Place::Out | Place::MustJoin => self.take(Event::Join(at)),
                    Place::Joined => self.take(Event::Sync(at)),
                    Place::Stable => self.take(Event::Heartbeat(at)),
                    Place::Joining | Place::Syncing => {}
                }
            }
            self.time += SESSION / 4;
            self.step(Input::Tick);
            self.check(trace);
        }
        let mut read: Vec<_> = self.clients.iter().flat_map(|client| client.owned.clone()).collect();
        read.sort_unstable();
        let is_at_rest = self.clients.iter().all(|client| client.place == Place::Stable);
        assert!(
            is_at_rest && read == (0..self.partitions).collect::<Vec<_>>(),
            "no rest after {trace:?}: {:?}",
            self.clients
        );
    }
}

fn explore(
    world: &World,
    depth: usize,
    trace: &mut Vec<Event>,
    seen: &mut HashSet<(usize, String)>,
) -> usize {
    world.check(trace);
    if !seen.insert((depth, world.fingerprint())) {
        return 0;
    }
    if depth == 0 {
        world.clone().settle(trace);
        return 1;
    }
    let mut ends = 0;
    for event in world.events() {
        let mut next = world.clone();
        next.take(event);
        trace.push(event);
        ends += explore(&next, depth - 1, trace, seen);
        trace.pop();
    }
    ends
}

#[test]
fn no_order_of_events_gives_a_partition_to_two_members() {
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let ends = explore(&World::new(assignor, 3), 6, &mut Vec::new(), &mut HashSet::new());
        assert!(ends > 1000, "{ends} ends are not all");
    }
}

/// Longer runs than can be tried one and all, from seeds.
#[test]
fn long_runs_of_events_do_not_either() {
    for seed in 0..2000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let assignor = Assignor::ALL[rng.usize(..6).min(3)];
        let (mut world, mut trace) = (World::new(assignor, rng.u32(1..6)), Vec::new());
        for _ in 0..150 {
            let events = world.events();
            let mut event = events[rng.usize(..events.len())];
            // Mostly forward, or the group would seldom get anywhere.
            while matches!(event, Event::Leave(_) | Event::Write(false)) && rng.u8(..10) < 8 {
                event = events[rng.usize(..events.len())];
            }
            world.take(event);
            trace.push(event);
            world.check(&trace);
        }
        world.settle(&trace);
    }
}
