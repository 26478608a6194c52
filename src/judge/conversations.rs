//! Joins the flows that several capture points show of one conversation.
//!
//! In:  flows that have ended, each with its point.
//! Out: conversations: the flow at the point nearest to the client, what the other points add, and where the packets stopped.
//! Not: how inputs became points (see `pipeline::survey`), and what a difference means (see `diagnosis::crossing`).
//!
//! Flows are one conversation if they have the same addresses and ports at overlapping times, or, after a NAT, the same initial
//! sequence number and one end in common. Where a firewall replaces the client's number, the server's and the server itself say so. UDP has no such number: a DNS transaction ID has 16 bits, and a busy resolver repeats each
//! within the minute, so joining by it would now and then hide a query that was lost. A UDP flow behind a NAT stays a flow of each
//! point, with its own addresses. A conversation that succeeded is released as soon as all points have ended it. The
//! others wait for the end of the run, when it is known how long each point captured, and which clients it saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::assessment::Assessment;
use super::bounded_map::BoundedMap;
use super::catalogue::InconclusiveReason;
use super::catalogue::ShownBy;
use super::diagnosis::crossing::Crossing;
use super::diagnosis::crossing::CrossingKind;
use super::diagnosis::crossing::PointView;
use super::diagnosis::crossing::compare_views;
use super::flow_state::FlowState;
use super::run_result::JoinedFlows;
use crate::base::Address;
use crate::base::CapturePoints;
use crate::base::Side;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::flow::FlowEnd;
use crate::flow::Handshake;

/// Flows that wait for the same conversation at another point. When there are more, the oldest are judged alone.
const HELD_LIMIT: usize = 1 << 15;

/// Flows with one key that a later flow is compared with, the newest: a scan may use one sequence number for all of its SYNs.
const SAME_KEY_LIMIT: usize = 64;

/// Clients of which it is known which points they pass.
const CLIENTS_LIMIT: usize = 1 << 14;

/// Servers of a client that are kept, to know whether its traffic passes a point.
const SERVERS_LIMIT: usize = 64;

/// A conversation starts at all points within this time: the first SYN may be lost between them.
const START_NANOS: i64 = 4_000_000_000;

/// An initial sequence number up to here may be that of a stack which does not choose it at random (RFC 6528).
const LARGEST_SIMPLE_NUMBER: u32 = 1 << 20;

/// Conversations of a client that both points must show before a missing one means anything.
const LEAST_PASSED: u32 = 3;
/// Servers of these that stand for any server: a capture filter may be the reason that a point lacks one.
const LEAST_SERVERS: usize = 3;

/// What several points show of one flow.
#[derive(Debug)]
pub(super) struct SeenAt {
    /// The names of the points, nearest to the client first, joined with `;`.
    pub(super) points: Arc<str>,
    /// Where its packets stopped.
    pub(super) crossing: Option<Crossing>,
    /// The point lacks the server's packets, and they were there.
    is_one_sided: bool,
}

impl SeenAt {
    /// What the points change about an assessment by one of them.
    pub(super) fn revise(&mut self, assessment: Assessment) -> Assessment {
        let Some(mechanism) = assessment.mechanism() else {
            self.crossing = None;
            return assessment;
        };
        match &self.crossing {
            Some(crossing) => crossing.strengthen(assessment),
            None if self.is_one_sided && mechanism.entry().shown_by == ShownBy::Silence => {
                Assessment::inconclusive(InconclusiveReason::OneSidedCapture)
            }
            None => assessment,
        }
    }
}

/// A flow that has ended at one point.
#[derive(Debug)]
pub(super) struct EndedAtPoint {
    pub(super) flow: Box<FlowState>,
    pub(super) flow_end: Box<FlowEnd>,
    point: u8,
}

/// Flows of one conversation, and those at points further from the client.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) nearest: EndedAtPoint,
    pub(super) further: SmallVec<[EndedAtPoint; 1]>,
}

type Views = SmallVec<[EndedAtPoint; 2]>;

/// What two flows of one conversation have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum JoinKey {
    Ends(Endpoint, Endpoint, u8),
    InitialNumber(Side, u32),
}

/// What passes two points of one client.
#[derive(Debug, Default)]
struct Passage {
    /// Conversations for which the first point is the nearer one.
    passed: u32,
    /// And for which it is not.
    reversed: u32,
    /// Servers of those that passed.
    servers: SmallVec<[Address; 4]>,
    /// Servers that answered at the first point, and of which the second has nothing.
    missing: SmallVec<[Address; 4]>,
}

/// Flows that wait for their counterparts.
#[derive(Debug)]
pub(super) struct Conversations {
    points: CapturePoints,
    /// By the number of their first flow.
    waiting: BTreeMap<u64, Views>,
    held: usize,
    by_key: HashMap<JoinKey, SmallVec<[u64; 1]>, foldhash::fast::RandomState>,
    passages: BoundedMap<(u8, u8, Address), Passage>,
    /// Hosts that a point holds packets to.
    receiving: BoundedMap<(u8, Address), ()>,
    /// When each point captured, by the first point's clock.
    spans: Vec<Option<(Time, Time)>>,
    /// Points that hold complete handshakes: a capture filter may let SYNs only through.
    beyond_syns: Vec<bool>,
    /// Flows at points other than the nearest, which have no row of their own.
    joined: JoinedFlows,
    alone: u64,
}

impl Conversations {
    pub(super) fn new(points: CapturePoints) -> Conversations {
        Conversations {
            spans: vec![None; points.len()],
            beyond_syns: vec![false; points.len()],
            points,
            waiting: BTreeMap::new(),
            held: 0,
            by_key: HashMap::default(),
            passages: BoundedMap::new(CLIENTS_LIMIT),
            receiving: BoundedMap::new(CLIENTS_LIMIT),
            joined: JoinedFlows::default(),
            alone: 0,
        }
    }

    /// Adds a flow that has ended; a conversation that is complete, or that there is no room for.
    pub(super) fn add(&mut self, flow: Box<FlowState>, flow_end: Box<FlowEnd>) -> Option<Conversation> {
        let point = self.points.of(flow_end.first_frame.file);
        let ended = EndedAtPoint { flow, flow_end, point };
        self.note(&ended);
        let number = self.find(&ended).unwrap_or(ended.flow.number);
        for key in join_keys(&ended) {
            let numbers = self.by_key.entry(key).or_default();
            if !numbers.contains(&number) {
                if numbers.len() >= SAME_KEY_LIMIT {
                    numbers.remove(0);
                }
                numbers.push(number);
            }
        }
        self.held += 1;
        let views = self.waiting.entry(number).or_default();
        views.push(ended);
        if views.len() == self.points.len() && views.iter().all(has_succeeded) {
            return self.take(number);
        }
        if self.held > HELD_LIMIT {
            self.alone += 1;
            let (oldest, _) = self.waiting.first_key_value()?;
            return self.take(*oldest);
        }
        None
    }

    /// What still waits at the end of the run, in order.
    pub(super) fn take_rest(&mut self, is_inside: impl Fn(Address) -> bool) -> Vec<Conversation> {
        let numbers: Vec<u64> = self.waiting.keys().copied().collect();
        for views in self.waiting.values().filter(|views| views.len() == 1) {
            if let [only] = views.as_slice()
                && has_succeeded(only)
            {
                let (client, server) = (only.flow.client().address, only.flow.server().address);
                for other in (0..self.points.len() as u8).filter(|other| *other != only.point) {
                    if covers(&self.spans, &self.points, other, only)
                        && let Some(passage) = self.passages.get(&(only.point, other, client))
                    {
                        add_server(&mut passage.missing, server);
                    }
                }
            }
        }
        let mut rest: Vec<Conversation> =
            numbers.into_iter().filter_map(|number| self.take(number)).collect();
        for conversation in &mut rest {
            let crossing = self.crossing(conversation, &is_inside);
            let Conversation { nearest, further } = conversation;
            let has_replies = self.receiving.contains(&(nearest.point, nearest.flow.client().address));
            let missed_replies =
                packets_of_server(nearest) == 0 && further.iter().any(|far| packets_of_server(far) > 0);
            if let Some(seen_at) = &mut nearest.flow.seen_at {
                seen_at.crossing = crossing;
                seen_at.is_one_sided = !has_replies || missed_replies;
            }
        }
        rest
    }

    /// Flows that were joined, and that were judged alone for lack of room.
    pub(super) fn take_counts(&mut self) -> (JoinedFlows, u64) {
        (std::mem::take(&mut self.joined), std::mem::take(&mut self.alone))
    }

    /// Notes when a point captured, and whom it holds packets to.
    fn note(&mut self, ended: &EndedAtPoint) {
        let EndedAtPoint { flow, flow_end, point } = ended;
        let time = |time| self.points.common_time(*point, time);
        let (first, last) = (time(flow_end.first_seen), time(flow_end.last_seen));
        if let Some(span) = self.spans.get_mut(usize::from(*point)) {
            *span = Some(span.map_or((first, last), |(from, to)| (from.min(first), to.max(last))));
        }
        if flow_end.tcp.as_ref().is_some_and(|tcp| tcp.handshake == Handshake::Complete)
            && let Some(beyond_syns) = self.beyond_syns.get_mut(usize::from(*point))
        {
            *beyond_syns = true;
        }
        let [from_client, from_server] = flow_end.packets;
        for (packets, host) in [(from_server, flow.client()), (from_client, flow.server())] {
            if packets > 0 && !self.receiving.contains(&(*point, host.address)) {
                self.receiving.insert((*point, host.address), ());
            }
        }
    }

    /// The conversation that waits for this flow.
    fn find(&self, ended: &EndedAtPoint) -> Option<u64> {
        let candidates = join_keys(ended).into_iter().filter_map(|key| self.by_key.get(&key)).flatten();
        candidates.copied().find(|number| {
            self.waiting.get(number).is_some_and(|views| {
                views.iter().all(|view| view.point != ended.point)
                    && views.iter().any(|view| self.are_one(view, ended))
            })
        })
    }

    /// Whether two flows are one conversation.
    fn are_one(&self, a: &EndedAtPoint, b: &EndedAtPoint) -> bool {
        let span = |ended: &EndedAtPoint| {
            let time = |time| self.points.common_time(ended.point, time).0;
            (time(ended.flow_end.first_seen), time(ended.flow_end.last_seen))
        };
        let ((a_first, a_last), (b_first, b_last)) = (span(a), span(b));
        if ends(a) == ends(b) {
            return a_first <= b_last.saturating_add(START_NANOS)
                && b_first <= a_last.saturating_add(START_NANOS);
        }
        let is_same_number = |side: Side| {
            let number = initial_number(a, side);
            number.is_some() && number == initial_number(b, side)
        };
        let ((a_client, a_server, a_protocol), (b_client, b_server, b_protocol)) = (ends(a), ends(b));
        let has_common_end =
            a_client == b_client || a_server.address == b_server.address || a_server.port == b_server.port;
        // A firewall that replaces the client's number leaves the server's. Numbers of simple stacks are small and repeat.
        let has_common_server = a_server == b_server
            && initial_number(a, Side::Server).is_some_and(|number| number > LARGEST_SIMPLE_NUMBER)
            && is_same_number(Side::Server);
        ((is_same_number(Side::Client) && has_common_end) || has_common_server)
            && a_protocol == b_protocol
            && a_first.abs_diff(b_first) <= START_NANOS.unsigned_abs()
    }

    /// Takes a conversation out, and notes which points its client passes.
    fn take(&mut self, number: u64) -> Option<Conversation> {
        let mut views = self.waiting.remove(&number)?;
        self.held -= views.len();
        for key in views.iter().flat_map(join_keys) {
            if let Some(numbers) = self.by_key.get_mut(&key) {
                numbers.retain(|known| *known != number);
                if numbers.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        self.sort_by_distance(&mut views);
        self.prefer_both_directions(&mut views);
        for (at, near) in views.iter().enumerate() {
            for far in views.iter().skip(at + 1) {
                note_passage(&mut self.passages, near, far);
            }
        }
        let names: Vec<&str> = views.iter().map(|view| self.points.name(view.point)).collect();
        let points: Arc<str> = names.join(";").into();
        let mut views = views.into_iter();
        let mut nearest = views.next()?;
        nearest.flow.seen_at = Some(Box::new(SeenAt { points, crossing: None, is_one_sided: false }));
        let further: SmallVec<[EndedAtPoint; 1]> = views.collect();
        for EndedAtPoint { flow_end, .. } in &further {
            self.joined.flows += 1;
            self.joined.packets += flow_end.packets.iter().sum::<u64>();
            self.joined.payload_bytes += flow_end.bytes.iter().sum::<u64>();
        }
        Some(Conversation { nearest, further })
    }

    /// The point nearest to the client first: each router on the way decrements the TTL. Where the flow does not show it, by other
    /// flows of the client.
    fn sort_by_distance(&self, views: &mut Views) {
        let Some(first) = views.first() else { return };
        let client = first.flow.client().address;
        let passed_before = |a: u8, b: u8| {
            self.passages.peek(&(a, b, client)).is_some_and(|passage| passage.passed > passage.reversed)
        };
        let [a, b] = views.as_slice() else {
            return views.sort_by_key(|view| (std::cmp::Reverse(client_ttl(view)), view.point));
        };
        let is_reversed = match client_ttl(a).cmp(&client_ttl(b)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal if passed_before(b.point, a.point) => true,
            std::cmp::Ordering::Equal if passed_before(a.point, b.point) => false,
            std::cmp::Ordering::Equal => b.point < a.point,
        };
        if is_reversed {
            views.reverse();
        }
    }

    /// A point that holds no packets to the client at all shows less of a conversation than the next one.
    fn prefer_both_directions(&self, views: &mut Views) {
        let [nearest, next, ..] = views.as_mut_slice() else { return };
        let has_replies = self.receiving.contains(&(nearest.point, nearest.flow.client().address));
        if !has_replies && ends(nearest) == ends(next) && packets_of_server(next) > 0 {
            std::mem::swap(nearest, next);
        }
    }

    /// Where the packets of a conversation stopped.
    fn crossing(
        &self,
        conversation: &Conversation,
        is_inside: &impl Fn(Address) -> bool,
    ) -> Option<Crossing> {
        let Conversation { nearest, further } = conversation;
        let name = |point: u8| Arc::<str>::from(self.points.name(point));
        let mut near = nearest.point;
        let mut beyond = None;
        for far in further {
            let found = compare_views(self.view(nearest, far), self.view(far, nearest));
            let crossing =
                found.map(|(kind, frame)| Crossing { kind, near: name(near), far: name(far.point), frame });
            match crossing {
                Some(crossing) if crossing.kind.is_between() => return Some(crossing),
                Some(crossing) => beyond = Some(crossing),
                None => {}
            }
            near = far.point;
        }
        self.missing_syn(nearest, further, is_inside).or(beyond)
    }

    /// A flow as its point shows it, for a comparison with another.
    fn view<'a>(&self, ended: &'a EndedAtPoint, other: &EndedAtPoint) -> PointView<'a> {
        PointView {
            flow_end: &ended.flow_end,
            has_replies: self.receiving.contains(&(ended.point, ended.flow.client().address)),
            covers: covers(&self.spans, &self.points, ended.point, other),
            beyond_syns: self.beyond_syns.get(usize::from(ended.point)).copied().unwrap_or_default(),
        }
    }

    /// A SYN that the next point lacks, although it has this client's other conversations.
    fn missing_syn(
        &self,
        nearest: &EndedAtPoint,
        further: &[EndedAtPoint],
        is_inside: &impl Fn(Address) -> bool,
    ) -> Option<Crossing> {
        let tcp = nearest.flow_end.tcp.as_ref()?;
        let [own, _] = &tcp.sides;
        let kind = match (tcp.handshake, &nearest.flow_end.icmp) {
            (Handshake::Unanswered, None) if own.syns > 1 => CrossingKind::SynDropped,
            (Handshake::Unanswered, Some(_)) | (Handshake::Refused, _) => CrossingKind::SynRejected,
            _ => return None,
        };
        let (client, server) = (nearest.flow.client().address, nearest.flow.server().address);
        let last = further.last().unwrap_or(nearest);
        let is_seen = |point: u8| point == nearest.point || further.iter().any(|view| view.point == point);
        let passage_to = |point: u8| {
            let passage = self.passages.peek(&(last.point, point, client))?;
            let is_comparable = !is_seen(point)
                && covers(&self.spans, &self.points, point, nearest)
                && passage.passed > 0
                && passage.reversed == 0;
            is_comparable.then_some(passage)
        };
        let abroad =
            |servers: &SmallVec<[Address; 4]>| servers.iter().filter(|host| !is_inside(**host)).count();
        let lacks_it = |point: &u8| {
            let Some(passage) = passage_to(*point) else { return false };
            let has_same_server = passage.servers.contains(&server) && !passage.missing.contains(&server);
            let has_all = abroad(&passage.missing) == 0;
            let has_any = !is_inside(server) && has_all && abroad(&passage.servers) >= LEAST_SERVERS;
            passage.passed >= LEAST_PASSED && ((has_same_server && has_all) || has_any)
        };
        // Fewer conversations leave room for a capture filter.
        let may_lack_it = |point: &u8| {
            !is_inside(server)
                && passage_to(*point)
                    .is_some_and(|passage| abroad(&passage.servers) > 0 && abroad(&passage.missing) == 0)
        };
        let points = 0..self.points.len() as u8;
        let (kind, far) = match points.clone().find(lacks_it) {
            Some(far) => (kind, far),
            None => (CrossingKind::SynMissing, points.clone().find(may_lack_it)?),
        };
        let name = |point: u8| Arc::<str>::from(self.points.name(point));
        Some(Crossing { kind, near: name(last.point), far: name(far), frame: None })
    }
}

/// Whether a point captured while a flow lasted at another one.
fn covers(spans: &[Option<(Time, Time)>], points: &CapturePoints, point: u8, other: &EndedAtPoint) -> bool {
    let time = |time| points.common_time(other.point, time);
    let Some(Some((first, last))) = spans.get(usize::from(point)) else { return false };
    // The way between the points takes a while.
    const WAY_NANOS: i64 = 100_000_000;
    first.0 <= time(other.flow_end.first_seen).0.saturating_add(WAY_NANOS)
        && last.0.saturating_add(WAY_NANOS) >= time(other.flow_end.last_seen).0
}

fn note_passage(
    passages: &mut BoundedMap<(u8, u8, Address), Passage>,
    near: &EndedAtPoint,
    far: &EndedAtPoint,
) {
    let client = near.flow.client().address;
    let server = near.flow.server().address;
    for (key, is_reversed) in
        [((near.point, far.point, client), false), ((far.point, near.point, client), true)]
    {
        if passages.get(&key).is_none() {
            passages.insert(key, Passage::default());
        }
        let Some(passage) = passages.get(&key) else { continue };
        match is_reversed {
            true => passage.reversed = passage.reversed.saturating_add(1),
            false => {
                passage.passed = passage.passed.saturating_add(1);
                add_server(&mut passage.servers, server);
            }
        }
    }
}

fn add_server(servers: &mut SmallVec<[Address; 4]>, server: Address) {
    if servers.len() < SERVERS_LIMIT && !servers.contains(&server) {
        servers.push(server);
    }
}

fn ends(ended: &EndedAtPoint) -> (Endpoint, Endpoint, u8) {
    (ended.flow.client(), ended.flow.server(), ended.flow.flow_start.protocol)
}

fn packets_of_server(ended: &EndedAtPoint) -> u64 {
    let [_, from_server] = ended.flow_end.packets;
    from_server
}

fn initial_number(ended: &EndedAtPoint, side: Side) -> Option<u32> {
    let initial = ended.flow_end.tcp.as_ref()?.initial;
    initial.get(side.index()).copied().flatten()
}

fn client_ttl(ended: &EndedAtPoint) -> u8 {
    ended.flow_end.tcp.as_ref().map_or(0, |tcp| tcp.client_ttl)
}

fn join_keys(ended: &EndedAtPoint) -> SmallVec<[JoinKey; 3]> {
    let (client, server, protocol) = ends(ended);
    let numbers = [Side::Client, Side::Server]
        .into_iter()
        .filter_map(|side| initial_number(ended, side).map(|number| JoinKey::InitialNumber(side, number)));
    std::iter::once(JoinKey::Ends(client, server, protocol)).chain(numbers).collect()
}

/// Whether both sides sent payload, and none a reset: nothing of it needs an explanation.
fn has_succeeded(ended: &EndedAtPoint) -> bool {
    let flow_end = &ended.flow_end;
    let has_resets = flow_end.tcp.iter().flat_map(|tcp| &tcp.sides).any(|side| side.resets > 0);
    flow_end.bytes.iter().all(|bytes| *bytes > 0) && flow_end.icmp.is_none() && !has_resets
}
