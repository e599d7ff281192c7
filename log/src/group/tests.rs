//! The coordinator as members see it, on a clock that the test moves.

use std::time::Duration;

use bytes::Bytes;

use super::coordinator::{IN_PROCESS_HOST, StoredGroup};
use super::*;
use crate::group::protocol::*;
use crate::types::Timestamp;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A coordinator, its clock, and what it said.
struct Bench {
    coordinator: GroupCoordinator,
    time: Duration,
    next: RequestId,
    replies: Vec<Output>,
    /// Whether records are written at once; otherwise they wait in `unwritten`.
    writes: bool,
    unwritten: Vec<WriteId>,
    stored: Option<StoredGroup>,
    rebalances: usize,
}

impl Bench {
    fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    fn with(config: GroupConfig) -> Self {
        Self {
            coordinator: GroupCoordinator::new(config, fastrand::Rng::with_seed(7)),
            time: Duration::from_secs(1000),
            next: 0,
            replies: Vec::new(),
            writes: true,
            unwritten: Vec::new(),
            stored: None,
            rebalances: 0,
        }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.time, wall: Timestamp::new(self.time.as_millis() as i64) }
    }

    fn step(&mut self, input: Input) {
        for output in self.coordinator.step(self.now(), input) {
            match output {
                Output::Write { write, stored, .. } => {
                    self.stored = Some(stored);
                    if self.writes { self.written(write, true) } else { self.unwritten.push(write) }
                }
                Output::Rebalancing { .. } => self.rebalances += 1,
                reply => self.replies.push(reply),
            }
        }
    }

    fn written(&mut self, write: WriteId, is_written: bool) {
        self.step(Input::Written { group_id: "g".to_owned(), write, is_written });
    }

    fn advance(&mut self, time: Duration) {
        self.time += time;
        self.step(Input::Tick);
    }

    fn request(&self, member_id: &str) -> JoinRequest {
        JoinRequest {
            group_id: "g".to_owned(),
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            origin: MemberOrigin::Remote,
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol("range", "topics")],
            requires_known_member_id: false,
            supports_skipping_assignment: true,
        }
    }

    fn static_request(&self, instance: &str, member_id: &str) -> JoinRequest {
        JoinRequest { instance_id: Some(instance.to_owned()), ..self.request(member_id) }
    }

    fn join(&mut self, request: JoinRequest) -> RequestId {
        self.next += 1;
        self.step(Input::Join { to: self.next, request });
        self.next
    }

    /// The answer to a join, if it has come.
    fn joined(&mut self, request: RequestId) -> Option<JoinReply> {
        let at = self
            .replies
            .iter()
            .position(|reply| matches!(reply, Output::Joined { to, .. } if *to == request))?;
        match self.replies.remove(at) {
            Output::Joined { reply, .. } => Some(reply),
            _ => None,
        }
    }

    fn join_now(&mut self, request: JoinRequest) -> (String, Joined) {
        let to = self.join(request);
        let reply = self.joined(to).expect("an answer at once");
        (reply.member_id, reply.outcome.expect("a place in the group"))
    }

    fn refused(&mut self, request: JoinRequest) -> GroupError {
        let to = self.join(request);
        self.joined(to).expect("an answer at once").outcome.expect_err("a refusal")
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> RequestId {
        self.next += 1;
        let assignments = assignments
            .iter()
            .map(|(id, assignment)| ((*id).to_owned(), Bytes::copy_from_slice(assignment.as_bytes())))
            .collect();
        let request = SyncRequest {
            group_id: "g".to_owned(),
            member: identity(member),
            generation,
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments,
        };
        self.step(Input::Sync { to: self.next, request });
        self.next
    }

    fn synced(&mut self, request: RequestId) -> Option<Result<String, GroupError>> {
        let at = self
            .replies
            .iter()
            .position(|reply| matches!(reply, Output::Synced { to, .. } if *to == request))?;
        match self.replies.remove(at) {
            Output::Synced { reply, .. } => {
                Some(reply.map(|synced| String::from_utf8(synced.assignment.to_vec()).unwrap()))
            }
            _ => None,
        }
    }

    fn sync_now(
        &mut self,
        member: &str,
        generation: i32,
        all: &[(&str, &str)],
    ) -> Result<String, GroupError> {
        let to = self.sync(member, generation, all);
        self.synced(to).expect("an answer at once")
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let now = self.now();
        self.coordinator.heartbeat(now, "g", &identity(member), generation)
    }

    fn leave(&mut self, members: &[MemberIdentity]) -> Vec<Result<(), GroupError>> {
        self.next += 1;
        let request = LeaveRequest { group_id: "g".to_owned(), members: members.to_vec() };
        self.step(Input::Leave { to: self.next, request });
        match self.replies.pop() {
            Some(Output::Left { reply, .. }) => reply.into_iter().map(|(_, outcome)| outcome).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> GroupState {
        self.coordinator.find("g").map_or(GroupState::Dead, |group| group.state)
    }

    /// Two members, the first leading, in a stable generation.
    fn stable_pair(&mut self) -> (String, String, i32) {
        let (a, _) = self.join_now(self.request(""));
        let joining = self.join(self.request(""));
        let again = self.join(self.request(&a));
        let a_joined = self.joined(again).unwrap().outcome.unwrap();
        let b = self.joined(joining).unwrap().member_id;
        let generation = a_joined.generation;
        assert_eq!((a_joined.leader.as_str(), a_joined.members.len()), (a.as_str(), 2));
        assert_eq!(self.sync_now(&a, generation, &[(&a, "one"), (&b, "two")]).unwrap(), "one");
        assert_eq!(self.sync_now(&b, generation, &[]).unwrap(), "two");
        (a, b, generation)
    }
}

fn protocol(name: &str, metadata: &str) -> Protocol {
    Protocol { name: name.to_owned(), metadata: Bytes::copy_from_slice(metadata.as_bytes()) }
}

fn identity(member: &str) -> MemberIdentity {
    MemberIdentity { member_id: member.to_owned(), instance_id: None }
}

fn static_identity(instance: &str, member: &str) -> MemberIdentity {
    MemberIdentity { member_id: member.to_owned(), instance_id: Some(instance.to_owned()) }
}

#[test]
fn a_first_member_leads_at_once_and_gets_what_it_assigns() {
    let mut bench = Bench::new();
    let (id, joined) = bench.join_now(bench.request(""));
    assert!(id.starts_with("c-") && id.len() == 38, "{id}");
    assert_eq!((joined.generation, &joined.leader, &*joined.protocol_name), (1, &id, "range"));
    assert_eq!(joined.members[0].metadata, "topics");
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    assert_eq!(bench.sync_now(&id, 1, &[(&id, "all")]), Ok("all".to_owned()));
    assert_eq!(bench.state(), GroupState::Stable);
    assert_eq!(bench.heartbeat(&id, 1), Ok(()));
    let stored = bench.stored.take().unwrap();
    assert_eq!((stored.generation, stored.members[0].assignment.as_ref()), (1, &b"all"[..]));
    assert_eq!(bench.leave(&[identity(&id)]), [Ok(())]);
    assert_eq!(bench.state(), GroupState::Empty);
    assert_eq!(bench.stored.take().unwrap().members, []);
}

#[test]
fn a_second_member_waits_until_the_first_has_joined_again() {
    let mut bench = Bench::new();
    let (a, b, generation) = bench.stable_pair();
    assert_eq!(generation, 2);
    assert_eq!((bench.heartbeat(&a, 2), bench.heartbeat(&b, 2)), (Ok(()), Ok(())));
    assert_eq!(bench.heartbeat(&b, 1), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.heartbeat("x", 2), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_storm_of_joins_ends_in_one_generation() {
    let mut bench = Bench::new();
    let (first, _) = bench.join_now(bench.request(""));
    let waiting: Vec<_> = (0..50).map(|_| bench.join(bench.request(""))).collect();
    assert!(bench.replies.is_empty());
    assert_eq!(bench.heartbeat(&first, 1), Err(GroupError::RebalanceInProgress));
    let again = bench.join(bench.request(&first));
    assert_eq!(bench.joined(again).unwrap().outcome.unwrap().members.len(), 51);
    for to in waiting {
        let joined = bench.joined(to).unwrap().outcome.unwrap();
        assert_eq!((joined.generation, joined.members.len()), (2, 0));
    }
}

#[test]
fn a_delay_gathers_a_groups_first_members() {
    let delay = Duration::from_secs(3);
    let mut bench = Bench::with(GroupConfig { initial_rebalance_delay: delay, ..GroupConfig::default() });
    let a = bench.join(bench.request(""));
    bench.advance(Duration::from_secs(2));
    let b = bench.join(bench.request(""));
    // A newcomer makes it wait for another round.
    bench.advance(Duration::from_secs(1));
    assert!(bench.replies.is_empty());
    bench.advance(Duration::from_secs(3));
    let (a, b) = (bench.joined(a).unwrap().outcome.unwrap(), bench.joined(b).unwrap().outcome.unwrap());
    assert_eq!((a.generation, b.generation, a.members.len() + b.members.len()), (1, 1, 2));
}

#[test]
fn a_newcomer_may_have_to_come_again_with_its_id() {
    let mut bench = Bench::new();
    let ask = || JoinRequest { requires_known_member_id: true, ..Bench::new().request("") };
    let to = bench.join(ask());
    let reply = bench.joined(to).unwrap();
    assert_eq!(reply.outcome, Err(GroupError::MemberIdRequired));
    let (id, joined) =
        bench.join_now(JoinRequest { requires_known_member_id: true, ..bench.request(&reply.member_id) });
    assert_eq!((&id, joined.generation), (&reply.member_id, 1));
    // An id that is not used is forgotten after a session, and until then everyone waits for it.
    let to = bench.join(ask());
    let unused = bench.joined(to).unwrap().member_id;
    bench.sync_now(&id, 1, &[]).unwrap();
    let again = bench.join(bench.request(&id));
    assert_eq!(bench.joined(again), None);
    bench.advance(SESSION);
    assert_eq!(bench.joined(again).unwrap().outcome.unwrap().generation, 2);
    assert_eq!(bench.refused(bench.request(&unused)), GroupError::UnknownMemberId);
}

#[test]
fn what_does_not_fit_is_refused_by_kafkas_names() {
    let mut bench = Bench::with(GroupConfig { max_size: 2, ..GroupConfig::default() });
    let request = bench.request("");
    for (request, expected) in [
        (JoinRequest { group_id: String::new(), ..request.clone() }, GroupError::InvalidGroupId),
        (
            JoinRequest { session_timeout: Duration::from_secs(1), ..request.clone() },
            GroupError::InvalidSessionTimeout(Duration::from_secs(1)),
        ),
        (
            JoinRequest { session_timeout: Duration::from_secs(1801), ..request.clone() },
            GroupError::InvalidSessionTimeout(Duration::from_secs(1801)),
        ),
        (JoinRequest { member_id: "x".to_owned(), ..request.clone() }, GroupError::UnknownMemberId),
        (JoinRequest { protocols: Vec::new(), ..request.clone() }, GroupError::InconsistentGroupProtocol),
        (
            JoinRequest { protocol_type: String::new(), ..request.clone() },
            GroupError::InconsistentGroupProtocol,
        ),
    ] {
        assert_eq!(bench.refused(request), expected);
        assert_eq!(bench.state(), GroupState::Dead, "nothing stays behind");
    }
    let (a, _, generation) = bench.stable_pair();
    for (request, expected) in [
        (
            JoinRequest { protocol_type: "connect".to_owned(), ..request.clone() },
            GroupError::GroupMaxSizeReached,
        ),
        (
            JoinRequest { member_id: a.clone(), protocol_type: "connect".to_owned(), ..request.clone() },
            GroupError::InconsistentGroupProtocol,
        ),
        (
            JoinRequest { member_id: a.clone(), protocols: vec![protocol("sticky", "")], ..request },
            GroupError::InconsistentGroupProtocol,
        ),
    ] {
        assert_eq!(bench.refused(request), expected);
    }
    assert_eq!(bench.sync_now(&a, generation - 1, &[]), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.sync_now("x", generation, &[]), Err(GroupError::UnknownMemberId));
    bench.next += 1;
    let (to, request) = (
        bench.next,
        SyncRequest {
            group_id: "g".to_owned(),
            member: identity(&a),
            generation,
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("sticky".to_owned()),
            assignments: Vec::new(),
        },
    );
    bench.step(Input::Sync { to, request });
    assert_eq!(bench.synced(to), Some(Err(GroupError::InconsistentGroupProtocol)));
}

#[test]
fn the_protocol_most_members_prefer_wins_among_the_common_ones() {
    let mut bench = Bench::new();
    let offer = |names: &[&str]| names.iter().map(|name| protocol(name, name)).collect::<Vec<_>>();
    let (a, _) =
        bench.join_now(JoinRequest { protocols: offer(&["x", "range", "sticky"]), ..bench.request("") });
    let b = bench.join(JoinRequest { protocols: offer(&["sticky", "range"]), ..bench.request("") });
    let c = bench.join(JoinRequest { protocols: offer(&["sticky", "x", "range"]), ..bench.request("") });
    let again = bench.join(JoinRequest { protocols: offer(&["x", "range", "sticky"]), ..bench.request(&a) });
    let joined = bench.joined(again).unwrap().outcome.unwrap();
    assert_eq!(joined.protocol_name, "sticky");
    assert!(joined.members.iter().all(|member| member.metadata == "sticky"));
    assert!(bench.joined(b).is_some() && bench.joined(c).is_some());
}

#[test]
fn joining_again_only_rebalances_if_it_changes_something() {
    let mut bench = Bench::new();
    let (a, b, generation) = bench.stable_pair();
    let before = bench.rebalances;
    let (_, joined) = bench.join_now(bench.request(&b));
    assert_eq!((joined.generation, joined.members.len(), bench.rebalances), (generation, 0, before));
    // The leader does so to start a rebalance.
    let leading = bench.join(bench.request(&a));
    assert_eq!((bench.joined(leading), bench.rebalances), (None, before + 1));
    let following =
        bench.join(JoinRequest { protocols: vec![protocol("range", "other")], ..bench.request(&b) });
    let members = bench.joined(leading).unwrap().outcome.unwrap().members;
    assert!(members.iter().any(|member| member.metadata == "other"));
    assert!(bench.joined(following).is_some());
    // While the leader assigns, the same again gets the same answer.
    let (_, joined) = bench.join_now(bench.request(&a));
    assert_eq!((joined.generation, joined.members.len()), (generation + 1, 2));
}

#[test]
fn syncs_wait_for_the_leaders_assignments_to_be_written() {
    let mut bench = Bench::new();
    let (a, b, _) = bench.stable_pair();
    let joining = bench.join(bench.request(&a));
    bench.join(bench.request(&b));
    let generation = bench.joined(joining).unwrap().outcome.unwrap().generation;
    bench.writes = false;
    let follower = bench.sync(&b, generation, &[]);
    let leader = bench.sync(&a, generation, &[(&b, "everything")]);
    assert_eq!((bench.synced(follower), bench.synced(leader)), (None, None));
    let now = bench.now();
    let commit = bench.coordinator.check_commit(now, "g", &identity(&a), generation, false);
    assert_eq!(commit, Err(GroupError::RebalanceInProgress));
    let write = bench.unwritten.pop().unwrap();
    bench.written(write, true);
    assert_eq!(bench.synced(follower), Some(Ok("everything".to_owned())));
    assert_eq!(bench.synced(leader), Some(Ok(String::new())));
}

#[test]
fn assignments_that_cannot_be_written_are_not_handed_out() {
    let mut bench = Bench::new();
    bench.writes = false;
    let (a, joined) = bench.join_now(bench.request(""));
    let sync = bench.sync(&a, joined.generation, &[(&a, "all")]);
    let write = bench.unwritten.pop().unwrap();
    bench.written(write, false);
    assert_eq!(bench.synced(sync), Some(Err(GroupError::CoordinatorNotAvailable)));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_leader_lost_while_it_assigns_is_replaced() {
    let mut bench = Bench::new();
    let (a, b, _) = bench.stable_pair();
    let joining = bench.join(bench.request(&a));
    bench.join(bench.request(&b));
    let generation = bench.joined(joining).unwrap().outcome.unwrap().generation;
    let waiting = bench.sync(&b, generation, &[]);
    bench.advance(SESSION);
    assert_eq!(
        bench.synced(waiting),
        Some(Err(GroupError::RebalanceInProgress)),
        "the leader's session ended"
    );
    let (id, joined) = bench.join_now(bench.request(&b));
    assert_eq!((&joined.leader, joined.generation), (&id, generation + 1));
    assert_eq!(bench.sync_now(&b, generation + 1, &[(&b, "all")]), Ok("all".to_owned()));
    assert_eq!(bench.heartbeat(&a, generation + 1), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_member_that_never_syncs_is_removed() {
    let mut bench = Bench::new();
    let (a, b, _) = bench.stable_pair();
    let joining = bench.join(bench.request(&a));
    bench.join(bench.request(&b));
    let generation = bench.joined(joining).unwrap().outcome.unwrap().generation;
    assert!(bench.sync_now(&a, generation, &[]).is_ok());
    for _ in 0..12 {
        bench.advance(SESSION / 2);
        let _ = (bench.heartbeat(&a, generation), bench.heartbeat(&b, generation));
    }
    assert_eq!(bench.heartbeat(&b, generation), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.heartbeat(&a, generation), Err(GroupError::RebalanceInProgress));
}

#[test]
fn members_that_are_silent_or_do_not_join_again_are_removed() {
    let mut bench = Bench::new();
    let (a, b, generation) = bench.stable_pair();
    bench.advance(SESSION / 2);
    bench.heartbeat(&a, generation).unwrap();
    bench.advance(SESSION / 2);
    assert_eq!(bench.heartbeat(&b, generation), Err(GroupError::UnknownMemberId), "its session ended");
    // The other one shows signs of life, but does not join within its rebalance timeout.
    assert_eq!(bench.heartbeat(&a, generation), Err(GroupError::RebalanceInProgress));
    let c = bench.join(bench.request(""));
    for _ in 0..11 {
        bench.advance(SESSION / 2);
        assert_eq!(bench.heartbeat(&a, generation), Err(GroupError::RebalanceInProgress));
    }
    assert_eq!(bench.joined(c), None);
    bench.advance(SESSION / 2);
    assert_eq!(bench.joined(c).unwrap().outcome.unwrap().generation, generation + 1);
    assert_eq!(bench.heartbeat(&a, generation), Err(GroupError::UnknownMemberId));
}

#[test]
fn one_that_leaves_lets_the_others_rebalance() {
    let mut bench = Bench::new();
    let (a, b, generation) = bench.stable_pair();
    assert_eq!(bench.leave(&[identity(&a), identity("x")]), [Ok(()), Err(GroupError::UnknownMemberId)]);
    assert_eq!(bench.heartbeat(&b, generation), Err(GroupError::RebalanceInProgress));
    let (id, joined) = bench.join_now(bench.request(&b));
    assert_eq!((&joined.leader, joined.members.len()), (&id, 1));
    // The last one leaves while others are waited for.
    let c = bench.join(bench.request(""));
    assert_eq!(bench.leave(&[identity(&b)]), [Ok(())]);
    assert_eq!(bench.joined(c).unwrap().outcome.unwrap().members.len(), 1);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut bench = Bench::new();
    let (a, joined) = bench.join_now(bench.static_request("i", ""));
    assert!(a.starts_with("i-"));
    bench.sync_now(&a, joined.generation, &[(&a, "all")]).unwrap();
    let before = bench.rebalances;
    let (b, again) = bench.join_now(bench.static_request("i", ""));
    assert_ne!(a, b);
    assert_eq!((again.generation, bench.rebalances), (joined.generation, before));
    assert_eq!((&again.leader, again.skip_assignment, again.members.len()), (&b, true, 1));
    assert_eq!(bench.stored.as_ref().unwrap().members[0].member_id, b);
    assert_eq!(bench.sync_now(&b, again.generation, &[]), Ok("all".to_owned()));
    // The one before it is fenced, whatever it asks; the order of the checks is Kafka's.
    let now = bench.now();
    for (member, generation, expected) in [
        (static_identity("i", &a), 1, GroupError::FencedInstanceId),
        (static_identity("i", &a), 9, GroupError::FencedInstanceId),
        (static_identity("j", &b), 1, GroupError::UnknownMemberId),
        (identity(&a), 1, GroupError::UnknownMemberId),
        (static_identity("i", &b), 9, GroupError::IllegalGeneration),
    ] {
        let outcome = bench.coordinator.heartbeat(now, "g", &member, generation);
        assert_eq!(outcome, Err(expected));
        let outcome = bench.coordinator.check_commit(now, "g", &member, generation, false);
        assert_eq!(outcome, Err(expected));
    }
    assert_eq!(bench.refused(bench.static_request("i", &a)), GroupError::FencedInstanceId);
    assert_eq!(bench.leave(&[static_identity("i", &a)]), [Err(GroupError::FencedInstanceId)]);
    // An administrator names the instance alone.
    assert_eq!(bench.leave(&[static_identity("i", "")]), [Ok(())]);
    assert_eq!(bench.leave(&[static_identity("i", "")]), [Err(GroupError::UnknownMemberId)]);
}

#[test]
fn a_client_that_cannot_skip_is_not_told_that_it_leads() {
    let mut bench = Bench::new();
    let (a, joined) = bench.join_now(bench.static_request("i", ""));
    bench.sync_now(&a, joined.generation, &[]).unwrap();
    let old = JoinRequest { supports_skipping_assignment: false, ..bench.static_request("i", "") };
    let (b, again) = bench.join_now(old);
    assert_eq!((&again.leader, again.skip_assignment, again.members.len()), (&a, false, 0));
    assert_ne!(a, b);
}

#[test]
fn a_static_member_whose_return_cannot_be_written_is_as_before() {
    let mut bench = Bench::new();
    let (a, joined) = bench.join_now(bench.static_request("i", ""));
    bench.sync_now(&a, joined.generation, &[]).unwrap();
    bench.writes = false;
    let back = bench.join(bench.static_request("i", ""));
    let write = bench.unwritten.pop().unwrap();
    bench.written(write, false);
    assert_eq!(bench.joined(back).unwrap().outcome, Err(GroupError::CoordinatorNotAvailable));
    let now = bench.now();
    assert_eq!(bench.coordinator.heartbeat(now, "g", &static_identity("i", &a), 1), Ok(()));
}

#[test]
fn static_members_are_waited_for_and_parked_ones_fenced() {
    let mut bench = Bench::new();
    let (a, joined) = bench.join_now(bench.static_request("i", ""));
    bench.sync_now(&a, joined.generation, &[]).unwrap();
    let b = bench.join(bench.request(""));
    let parked = bench.join(bench.static_request("i", &a));
    assert!(bench.joined(b).is_some() && bench.joined(parked).is_some());
    let c = bench.join(bench.request(""));
    let parked = bench.join(bench.static_request("i", &a));
    let back = bench.join(bench.static_request("i", ""));
    assert_eq!(bench.joined(parked).unwrap().outcome, Err(GroupError::FencedInstanceId));
    assert_eq!(bench.joined(c), None, "the second one has not joined again");
    // It never does; the static one stays a member whether it joins or not.
    bench.advance(REBALANCE);
    assert!(bench.joined(c).is_some() && bench.joined(back).is_some());
    assert_eq!(bench.coordinator.find("g").unwrap().members.len(), 2);
}

#[test]
fn offsets_are_taken_from_members_of_this_generation_only() {
    let mut bench = Bench::new();
    let commit = |bench: &mut Bench, group: &str, member: &str, generation, is_transactional| {
        let now = bench.now();
        bench.coordinator.check_commit(now, group, &identity(member), generation, is_transactional)
    };
    assert_eq!(commit(&mut bench, "", "", -1, false), Err(GroupError::InvalidGroupId));
    assert_eq!(commit(&mut bench, "g", "", -1, false), Ok(()));
    assert_eq!(commit(&mut bench, "g", "x", 3, false), Err(GroupError::GroupIdNotFound));
    assert_eq!(commit(&mut bench, "g", "x", 3, true), Err(GroupError::IllegalGeneration));
    let (a, b, generation) = bench.stable_pair();
    assert_eq!(commit(&mut bench, "g", "", -1, false), Err(GroupError::UnknownMemberId));
    assert_eq!(commit(&mut bench, "g", "", -1, true), Ok(()));
    assert_eq!(commit(&mut bench, "g", &a, generation - 1, false), Err(GroupError::IllegalGeneration));
    assert_eq!(commit(&mut bench, "g", "x", generation, true), Err(GroupError::UnknownMemberId));
    // While others join, the last generation may still commit, which is a sign of life.
    bench.join(bench.request(""));
    bench.advance(SESSION - Duration::from_secs(1));
    assert_eq!(commit(&mut bench, "g", &a, generation, false), Ok(()));
    bench.advance(SESSION - Duration::from_secs(1));
    assert_eq!(commit(&mut bench, "g", &a, generation, false), Ok(()));
    assert_eq!(commit(&mut bench, "g", &b, generation, false), Err(GroupError::UnknownMemberId));
    bench.leave(&[identity(&a)]);
    assert_eq!(commit(&mut bench, "g", &a, generation, false), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_stored_group_goes_on_after_a_restart() {
    let mut bench = Bench::new();
    let (a, b, generation) = bench.stable_pair();
    let stored = bench.stored.clone();
    let mut after = Bench::new();
    let now = after.now();
    after.coordinator.load(now, "g", stored.clone());
    assert_eq!(after.state(), GroupState::Stable);
    assert_eq!((after.heartbeat(&a, generation), after.heartbeat(&b, generation)), (Ok(()), Ok(())));
    assert_eq!(after.sync_now(&b, generation, &[]), Ok("two".to_owned()));
    // Sessions run from the start.
    after.advance(SESSION);
    assert_eq!(after.state(), GroupState::Empty);
    assert_eq!(after.coordinator.find("g").unwrap().generation, generation + 1);
    after.coordinator.load(now, "g", None);
    assert_eq!(after.state(), GroupState::Dead);

    // Members in the process that has ended are gone; others divide their work at once.
    let mut stored = stored.unwrap();
    stored.members.iter_mut().find(|member| member.member_id == a).unwrap().client_host =
        IN_PROCESS_HOST.to_owned();
    let mut after = Bench::new();
    after.coordinator.load(now, "g", Some(stored.clone()));
    assert_eq!(after.heartbeat(&b, generation), Err(GroupError::RebalanceInProgress));
    let (id, joined) = after.join_now(after.request(&b));
    assert_eq!((&joined.leader, joined.generation), (&id, generation + 1));
    stored.members.iter_mut().for_each(|member| member.client_host = IN_PROCESS_HOST.to_owned());
    after.coordinator.load(now, "g", Some(stored));
    assert_eq!(after.state(), GroupState::Empty);
}
