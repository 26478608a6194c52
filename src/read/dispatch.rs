//! Gives each conversation to the reader that understands it.
//!
//! In:  what flow tells of conversations.
//! Out: [`Observation`]s, in the order of the frames.
//! Not: any protocol; those are rows of [`READERS`].

use super::box_pool;
use super::box_pool::BoxPool;
use super::fact::Fact;
use super::fact::Observation;
use super::parse_cache::ParseCache;
use super::reader::After;
use super::reader::Code;
use super::reader::Emitter;
use super::reader::Probe;
use super::reader::Reader;
use super::reader::Sample;
use super::reader::Spec;
use super::reader::Step;
use super::reader::Transport;
use super::table::READERS;
use super::tls;
use crate::base::Side;
use crate::base::port;
use crate::base::proto;
use crate::flow::Appetite;
use crate::flow::At;
use crate::flow::Endpoint;
use crate::flow::FlowEnd;
use crate::flow::FlowRef;
use crate::flow::FlowStart;
use crate::flow::StreamConsumer;
use crate::flow::StreamEnd;

/// How many bytes of a side are watched for the beginning of TLS.
const WATCH_LIMIT: usize = 16 * 1024;
/// How many pieces of a stream whose beginning was not seen are shown to all readers.
const MIDSTREAM_TRIES: u8 = 4;
/// How many datagrams are shown to all readers before a conversation stays unknown.
const DATAGRAM_TRIES: u8 = 8;
/// How deep tunnels may nest: SOCKS inside CONNECT inside CONNECT and so on.
const TUNNEL_LIMIT: u8 = 4;

/// Reads conversations, each by its reader.
#[derive(Default)]
pub struct Dispatcher {
    /// What was told and not yet taken.
    pub out: Vec<Observation>,
    /// Boxes to be used before new ones are made.
    pub box_pool: BoxPool,
    /// What the same bytes said before.
    cache: ParseCache,
}

/// What is remembered of a conversation while it is hungry.
#[derive(Default)]
pub struct ConversationState {
    /// Who reads it, once that is known.
    reader: Option<Box<dyn Reader>>,
    /// The last protocol told.
    spoken: &'static str,
    /// Bytes watched of each side.
    watched: [u16; 2],
    /// Pieces shown to all readers, of each side.
    tries: [u8; 2],
    /// Tunnels entered.
    tunnels: u8,
    /// Nothing more is wanted of either side.
    done: bool,
}

/// What the table says of a sample.
enum Detection {
    Found(&'static Spec),
    Wait(usize),
    Nobody,
}

/// The first row that says yes, unless an earlier one is still undecided.
fn meet(sample: &Sample<'_>, spoken: &'static str) -> Detection {
    let transport = if sample.datagram { Transport::Udp } else { Transport::Tcp };
    let mut wait: Option<usize> = None;
    for spec in READERS {
        if spec.transport != Transport::Both && spec.transport != transport {
            continue;
        }
        if !spec.name.is_empty() && spec.name == spoken {
            continue;
        }
        match (spec.probe)(sample) {
            Probe::No => {}
            // A datagram does not grow.
            Probe::Maybe(_) if sample.datagram => {}
            Probe::Maybe(need) => wait = Some(wait.map_or(need, |least| least.min(need))),
            Probe::Yes if wait.is_none() => return Detection::Found(spec),
            Probe::Yes => {}
        }
    }
    match wait {
        Some(need) => Detection::Wait(need),
        None => Detection::Nobody,
    }
}

fn sample<'a>(flow: &FlowRef, side: Side, bytes: &'a [u8], wire_len: usize) -> Sample<'a> {
    Sample {
        bytes,
        wire_len,
        datagram: flow.protocol != proto::TCP,
        from_port: flow.end(side).port,
        to_port: flow.end(side.other()).port,
    }
}

impl ConversationState {
    /// Shows the first bytes of a side to the readers. `None`: there is a reader now.
    fn introduce(
        &mut self,
        flow: &FlowRef,
        side: Side,
        bytes: &[u8],
        emit: &mut Emitter<'_>,
    ) -> Option<Step> {
        let sample = sample(flow, side, bytes, bytes.len());
        let limit = if flow.from_start || self.tunnels > 0 { 1 } else { MIDSTREAM_TRIES };
        let tries = self.tries.get_mut(side.index())?;
        if *tries < limit {
            match meet(&sample, self.spoken) {
                Detection::Found(spec) => {
                    *tries = limit;
                    return self.adopt(spec, &sample, emit);
                }
                Detection::Wait(need) => return Some(Step::Hungry { consumed: 0, need }),
                Detection::Nobody => *tries += 1,
            }
        }
        self.watch(&sample, side, emit)
    }

    /// Looks for TLS at the beginning of a segment.
    fn watch(&mut self, sample: &Sample<'_>, side: Side, emit: &mut Emitter<'_>) -> Option<Step> {
        match tls::probe_hello(sample) {
            Probe::Yes => return self.adopt(&tls::SPEC, sample, emit),
            Probe::Maybe(need) => return Some(Step::Hungry { consumed: 0, need }),
            Probe::No => {}
        }
        let watched = self.watched.get_mut(side.index())?;
        let total = usize::from(*watched) + sample.bytes.len();
        if total > WATCH_LIMIT {
            return Some(Step::Sated);
        }
        *watched = u16::try_from(total).unwrap_or(u16::MAX);
        Some(Step::Hungry { consumed: sample.bytes.len(), need: 0 })
    }

    fn adopt(&mut self, spec: &'static Spec, sample: &Sample<'_>, emit: &mut Emitter<'_>) -> Option<Step> {
        if !spec.name.is_empty() {
            self.spoken = spec.name;
            emit.spoke(spec.name);
        }
        match spec.code {
            Code::Read(start) => {
                self.reader = Some(start(sample));
                None
            }
            // Junk to a resolver may look like another protocol; the questions behind it count.
            Code::Name(After::Sated) if sample.datagram && sample.on(port::DNS) => {
                Some(Step::Hungry { consumed: sample.bytes.len(), need: 0 })
            }
            Code::Name(After::Sated) => {
                self.done = true;
                Some(Step::Sated)
            }
            Code::Name(After::Watch) => {
                // What the other side says belongs to the same talk: `S` is an answer there and no beginning of SSH.
                if !sample.datagram {
                    self.tries = [u8::MAX; 2];
                }
                Some(Step::Hungry { consumed: sample.bytes.len(), need: 0 })
            }
        }
    }

    /// Leaves a reader whose tunnel begins; false when they nest too deep.
    fn enter_tunnel(&mut self) -> bool {
        self.reader = None;
        self.watched = [0; 2];
        self.tries = [0; 2];
        self.spoken = "";
        self.tunnels += 1;
        self.tunnels <= TUNNEL_LIMIT
    }
}

impl Dispatcher {
    fn emit(&mut self, flow: &FlowRef, at: At) -> Emitter<'_> {
        Emitter { out: &mut self.out, at, slot: flow.slot, opened: flow.opened, cache: &mut self.cache }
    }
}

impl StreamConsumer for Dispatcher {
    type State = ConversationState;

    fn opened(&mut self, flow: &FlowRef, flow_start: FlowStart, at: At) {
        let flow_start = box_pool::fill(&mut self.box_pool.openings, flow_start);
        self.emit(flow, at).fact(Fact::FlowStarted(flow_start));
    }

    fn swapped(&mut self, flow: &FlowRef, at: At) {
        self.emit(flow, at).fact(Fact::RolesSwapped);
    }

    fn sender_is_client(&self, protocol: u8, from: Endpoint, to: Endpoint, bytes: &[u8]) -> Option<bool> {
        let sample = Sample {
            bytes,
            wire_len: bytes.len(),
            datagram: protocol != proto::TCP,
            from_port: from.port,
            to_port: to.port,
        };
        let transport = match protocol {
            proto::TCP => Transport::Tcp,
            proto::UDP => Transport::Udp,
            _ => return None,
        };
        READERS
            .iter()
            .filter(|spec| spec.transport == Transport::Both || spec.transport == transport)
            .find_map(|spec| (spec.asks)(&sample))
    }

    fn stream(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        side: Side,
        bytes: &[u8],
        at: At,
    ) -> Appetite {
        let mut emit = self.emit(flow, at);
        let mut used = 0;
        // Each turn either returns, finds a reader or enters a tunnel, and tunnels are bounded.
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if state.done {
                return Appetite::Sated;
            }
            if rest.is_empty() {
                return Appetite::Hungry { consumed: used, need: 0 };
            }
            let step = match &mut state.reader {
                Some(reader) => reader.stream(side, rest, &mut emit),
                None => match state.introduce(flow, side, rest, &mut emit) {
                    Some(step) => step,
                    None => continue,
                },
            };
            match step {
                Step::Sated | Step::Rest => return Appetite::Sated,
                Step::Hungry { consumed, need } => {
                    return Appetite::Hungry { consumed: used + consumed, need };
                }
                Step::Inside { consumed } => {
                    used += consumed;
                    if !state.enter_tunnel() {
                        state.done = true;
                        emit.odd("tunnel", "too many tunnels inside each other");
                    }
                }
            }
        }
    }

    fn stream_ended(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        side: Side,
        bytes: &[u8],
        _why: StreamEnd,
        at: At,
    ) {
        let mut emit = self.emit(flow, at);
        if state.done {
            return;
        }
        if state.reader.is_none() && !bytes.is_empty() {
            // The last look: whoever still waits for more gets no more, so the first that is sure may have it.
            let sample = sample(flow, side, bytes, bytes.len());
            if let Some(spec) = READERS.iter().find(|spec| {
                spec.transport != Transport::Udp
                    && (spec.name.is_empty() || spec.name != state.spoken)
                    && (spec.probe)(&sample) == Probe::Yes
            }) {
                state.adopt(spec, &sample, &mut emit);
            }
        }
        if let Some(reader) = &mut state.reader {
            reader.lost(side, bytes, &mut emit);
        }
    }

    fn datagram(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        side: Side,
        bytes: &[u8],
        wire_len: u32,
        at: At,
    ) -> Appetite {
        if state.done || flow.protocol != proto::UDP {
            return Appetite::Sated;
        }
        let wire_len = usize::try_from(wire_len).unwrap_or(usize::MAX).max(bytes.len());
        let mut emit = self.emit(flow, at);
        if state.reader.is_none() && !bytes.is_empty() {
            let sample = sample(flow, side, bytes, wire_len);
            if let Detection::Found(spec) = meet(&sample, state.spoken) {
                state.adopt(spec, &sample, &mut emit);
            }
            let [tries, _] = &mut state.tries;
            *tries = tries.saturating_add(1);
            if state.reader.is_none() && *tries >= DATAGRAM_TRIES {
                state.done = true;
            }
        }
        match state.reader.as_mut().map(|reader| reader.datagram(side, bytes, wire_len, &mut emit)) {
            Some(Step::Sated) => state.done = true,
            Some(Step::Rest) => return Appetite::Rest,
            _ => {}
        }
        if state.done { Appetite::Sated } else { Appetite::Hungry { consumed: bytes.len(), need: 0 } }
    }

    fn finish(&mut self, flow: &FlowRef, state: &mut ConversationState, at: At) {
        if let Some(reader) = &mut state.reader {
            reader.finish(&mut self.emit(flow, at));
        }
    }

    fn held(&self, state: &ConversationState) -> usize {
        state.reader.as_ref().map_or(0, |reader| reader.held())
    }

    fn interim(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At) {
        self.emit(flow, at).fact(Fact::Interim(Box::new(flow_end)));
    }

    fn closed(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At) {
        let flow_end = box_pool::fill(&mut self.box_pool.closings, flow_end);
        self.emit(flow, at).fact(Fact::FlowEnded(flow_end));
    }
}
