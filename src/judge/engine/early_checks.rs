//! Which flows of a live capture are checked before they end.
//!
//! In:  facts of open flows.
//! Out: flows whose names or payload have changed; what a refused or closed flow proves already.
//! Not: the checks; see `finding::checks`.

use crate::flow::At;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::flow::Slot;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::Proof;
use crate::judge::catalogue::ShownBy;
use crate::judge::diagnosis::outcome::assess_packets;
use crate::judge::flow_state::FlowState;
use crate::judge::vocabulary::Confidence;
use crate::read::Fact;

/// Flows of each kind that are checked between two heartbeats; more are judged when they end.
const MAX_FLOWS: usize = 1 << 14;

/// The flows to check at the next heartbeat.
#[derive(Debug, Default)]
pub(super) struct EarlyChecks {
    /// Flows with new names or payload; none where findings are not announced.
    changed: Option<Vec<(Slot, At)>>,
    /// Refused or closed flows that were checked since the last heartbeat.
    interim: usize,
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

    /// Whether one more refused or closed flow is checked.
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

    /// The assessment of a flow that has not ended, and the proofs that are complete. `refused`: why it was reported, where it
    /// was refused or closed.
    pub(super) fn assess(
        flow: &FlowState,
        flow_end: &FlowEnd,
        refused: Option<EndReason>,
    ) -> Option<(Assessment, &'static [Proof])> {
        let Some(reason) = refused else { return Some((Assessment::Ok, &[Proof::Payload])) };
        let assessment = assess_packets(flow_end, flow.server().address, true);
        let shown_by = assessment.mechanism().map(|mechanism| mechanism.entry().shown_by);
        if reason == EndReason::Done {
            // Only the end of the flow proves silence.
            let assessment = if shown_by == Some(ShownBy::Silence) { Assessment::Ok } else { assessment };
            Some((assessment, &[Proof::Payload, Proof::Refusal, Proof::FlowEnd]))
        } else {
            // Weaker errors occur while an attempt still succeeds.
            (assessment.confidence() > Some(Confidence::Weak)).then_some((assessment, &[Proof::Refusal]))
        }
    }
}
