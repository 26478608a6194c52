//! Which flows of a live capture are checked before they end.
//!
//! In:  facts of open flows.
//! Out: flows whose names or payload have changed; what an open flow proves already; counts of open flows.
//! Not: the checks; see `finding::checks`.

use hashbrown::HashMap;

use crate::flow::At;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::flow::Slot;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Proof;
use crate::judge::catalogue::ShownBy;
use crate::judge::policy::verdict::Verdict;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Outcome;
use crate::read::Fact;

/// Flows of each kind that are checked between two heartbeats; more are judged when they end.
const MAX_FLOWS: usize = 1 << 14;

/// Open flows that are counted by verdict.
const MAX_COUNTED: usize = 1 << 16;

/// Judged flows that are open, by what is known of them so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCounts {
    /// All of them.
    pub flows: u64,
    /// By destination verdict.
    pub destinations: [u64; 5],
    /// By port verdict.
    pub ports: [u64; 3],
    /// By outcome, where it is known before the end.
    pub outcomes: [u64; 3],
}

/// What an open flow is counted by.
#[derive(Clone, Copy, Debug, Default)]
struct CountedFlow {
    destination: Option<usize>,
    port: Option<usize>,
    outcome: Option<usize>,
}

/// Why a flow is checked before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyReason {
    /// Its names or its payload have changed.
    Payload,
    /// It was closed or reset.
    Closed,
    /// An ICMP error quotes it.
    IcmpError,
    /// Its SYN was retransmitted, and there was no reply for a second.
    Silence,
    /// Its server replied, and it was not closed for a second.
    Reply,
}

impl EarlyReason {
    /// Why flow has reported a flow that is still in its table.
    pub(super) fn of(flow_end: &FlowEnd) -> EarlyReason {
        let is_unanswered =
            || flow_end.tcp.as_ref().is_some_and(|tcp| tcp.handshake == Handshake::Unanswered);
        match flow_end.reason {
            EndReason::Done => EarlyReason::Closed,
            _ if flow_end.icmp.is_some() => EarlyReason::IcmpError,
            _ if is_unanswered() => EarlyReason::Silence,
            _ => EarlyReason::Reply,
        }
    }
}

/// The flows to check at the next heartbeat.
#[derive(Debug, Default)]
pub(super) struct EarlyChecks {
    /// Flows with new names or payload; none where findings are not announced.
    changed: Option<Vec<(Slot, At)>>,
    /// Flows that flow reported, and that were checked since the last heartbeat.
    interim: usize,
    /// Open flows, by number.
    counted: HashMap<u64, CountedFlow, foldhash::fast::RandomState>,
    counts: OpenCounts,
}

impl EarlyChecks {
    pub(super) fn enable(&mut self) {
        self.changed = Some(Vec::new());
    }

    /// Notes a fact that may complete a check.
    pub(super) fn note(&mut self, slot: Slot, at: At, fact: &Fact) {
        let Some(changed) = &mut self.changed else { return };
        let may_complete = matches!(
            fact,
            Fact::NameClaimed(_) | Fact::Protocol(_) | Fact::Attribute(..) | Fact::Attributes(_)
        );
        let is_repeated = changed.last().is_some_and(|(last, _)| *last == slot);
        if may_complete && !is_repeated && changed.len() < MAX_FLOWS {
            changed.push((slot, at));
        }
    }

    /// The flows that have changed since the last heartbeat.
    pub(super) fn take_changed(&mut self) -> Vec<(Slot, At)> {
        self.interim = 0;
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether one more flow that flow reported is checked.
    pub(super) fn accepts_interim(&mut self) -> bool {
        self.interim += 1;
        self.changed.is_some() && self.interim <= MAX_FLOWS
    }

    /// A flow end for a flow that is still open.
    pub(super) fn open_flow(at: At) -> FlowEnd {
        FlowEnd {
            reason: EndReason::Idle,
            first_frame: at.frame,
            last_frame: at.frame,
            first_seen: at.time,
            last_seen: at.time,
            packets: [1, 1],
            bytes: [0, 0],
            is_cut: false,
            tcp: None,
            icmp: None,
            host_drops: None,
        }
    }

    /// What is already certain of an assessment, and the proofs that are complete.
    pub(super) fn proved(
        assessment: Assessment,
        reason: EarlyReason,
    ) -> Option<(Assessment, &'static [Proof])> {
        let shown_by = assessment.mechanism().map(|mechanism| mechanism.entry().shown_by);
        match reason {
            EarlyReason::Payload => Some((Assessment::Ok, &[Proof::Payload])),
            EarlyReason::Closed => {
                // Only the end of the flow proves silence.
                let assessment = if shown_by == Some(ShownBy::Silence) { Assessment::Ok } else { assessment };
                Some((assessment, &[Proof::Payload, Proof::Refusal, Proof::FlowEnd]))
            }
            EarlyReason::IcmpError => {
                // Weaker errors occur while an attempt still succeeds.
                (assessment.confidence() > Some(Confidence::Weak)).then_some((assessment, &[Proof::Refusal]))
            }
            EarlyReason::Silence => {
                let is_unanswered = assessment.mechanism() == Some(Mechanism::TcpUnanswered);
                is_unanswered.then_some((assessment, &[Proof::Silence]))
            }
            EarlyReason::Reply => (assessment == Assessment::Ok).then_some((assessment, &[Proof::Payload])),
        }
    }

    /// Counts an open flow anew. `outcome`: where it is known.
    pub(super) fn count(&mut self, flow: u64, verdict: &Verdict<'_>, outcome: Option<Outcome>) {
        let before = self.counted.get(&flow).copied();
        if before.is_none() && self.counted.len() >= MAX_COUNTED {
            return;
        }
        let outcome = outcome.map(|outcome| outcome as usize);
        let counted = CountedFlow {
            destination: verdict.destination.map(|verdict| verdict as usize),
            port: verdict.port.map(|verdict| verdict as usize),
            outcome: outcome.or(before.and_then(|before| before.outcome)),
        };
        self.forget(flow);
        self.counts.change(counted, |count| *count += 1);
        self.counted.insert(flow, counted);
    }

    /// A flow has ended.
    pub(super) fn forget(&mut self, flow: u64) {
        if !self.counted.is_empty()
            && let Some(counted) = self.counted.remove(&flow)
        {
            self.counts.change(counted, |count| *count -= 1);
        }
    }

    /// The counts of open flows.
    pub(super) fn counts(&self) -> OpenCounts {
        self.counts
    }
}

impl OpenCounts {
    fn change(&mut self, counted: CountedFlow, change: fn(&mut u64)) {
        fn at(counts: &mut [u64], place: Option<usize>) -> Option<&mut u64> {
            place.and_then(|place| counts.get_mut(place))
        }
        change(&mut self.flows);
        let OpenCounts { destinations, ports, outcomes, .. } = self;
        let all =
            [at(destinations, counted.destination), at(ports, counted.port), at(outcomes, counted.outcome)];
        all.into_iter().flatten().for_each(change);
    }
}
