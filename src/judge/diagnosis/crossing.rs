//! What two captures of one conversation say about the path between them.
//!
//! In:  the conversation as the point nearer to the client shows it, and as a point further away does.
//! Out: a [`Crossing`]: a packet that one point has and the other lacks, and what follows from it.
//! Not: which flows are one conversation (see `judge::conversations`), and whether the conversation failed.
//!
//! A packet that is missing at a point has harmless reasons too: the point sees one direction only, its capture was not running
//! yet or any more, lost frames, or another path. So each claim needs a point that shows other packets of the same direction of
//! the same conversation, or of the same client at that time.

use std::sync::Arc;

use crate::base::FrameRef;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::assessment::Assessment;
use crate::judge::vocabulary::Confidence;

/// What the points show of a conversation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) struct Crossing {
    pub(in crate::judge) kind: CrossingKind,
    /// The nearer point.
    pub(in crate::judge) near: Arc<str>,
    /// The point further away.
    pub(in crate::judge) far: Arc<str>,
    /// The frame of the point further away that shows it.
    pub(in crate::judge) frame: Option<FrameRef>,
}

/// What was seen at one point and not at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum CrossingKind {
    /// The client's SYN reached the nearer point only.
    SynDropped,
    /// The same, and something between the points rejected it.
    SynRejected,
    /// The server's SYN-ACK reached the point further away only.
    SynAckDropped,
    /// The client's payload reached the nearer point only.
    RequestDropped,
    /// The server's payload reached the point further away only.
    ResponseDropped,
    /// A reset in the server's name was seen at the nearer point only.
    ResetBetween,
    /// The client's packets reached both points, and no reply the one further away.
    SilentBeyond,
    /// A reset in the server's name was seen at both points.
    ResetBeyond,
    /// The client's SYN reached the nearer point; the other has too little of this client to say whether it should have it.
    SynMissing,
}

impl CrossingKind {
    /// Whether something between the two points did it.
    pub(in crate::judge) const fn is_between(self) -> bool {
        !self.is_beyond() && !matches!(self, CrossingKind::SynMissing)
    }

    /// Whether something further away did it.
    pub(in crate::judge) const fn is_beyond(self) -> bool {
        matches!(self, CrossingKind::SilentBeyond | CrossingKind::ResetBeyond)
    }
}

impl Crossing {
    /// As a clause of a message.
    pub(in crate::judge) fn clause(&self) -> String {
        let Crossing { kind, near, far, .. } = self;
        let dropped = "it was dropped between these two points";
        match kind {
            CrossingKind::SynDropped => format!("the SYN was seen at {near} and not at {far}: {dropped}"),
            CrossingKind::SynRejected => {
                format!(
                    "the SYN was seen at {near} and not at {far}: it was rejected between these two points"
                )
            }
            CrossingKind::SynAckDropped => {
                format!("the SYN-ACK was seen at {far} and not at {near}: {dropped}")
            }
            CrossingKind::RequestDropped => {
                format!("the client's payload was seen at {near} and not at {far}: {dropped}")
            }
            CrossingKind::ResponseDropped => {
                format!("the server's payload was seen at {far} and not at {near}: {dropped}")
            }
            CrossingKind::ResetBetween => {
                format!("the reset was seen at {near} and not at {far}: it was sent between these two points")
            }
            CrossingKind::SilentBeyond => {
                format!(
                    "the client's packets were seen at {far} too, and no reply there: not dropped between {near} and {far}"
                )
            }
            CrossingKind::ResetBeyond => {
                format!("the reset was seen at {far} too: not sent between {near} and {far}")
            }
            CrossingKind::SynMissing => {
                format!(
                    "the SYN is not in the capture of {far}, which has too few other connections of this client to prove that it was \
                     dropped on the way there"
                )
            }
        }
    }

    /// The assessment, with what the points add to its confidence.
    pub(in crate::judge) fn strengthen(&self, assessment: Assessment) -> Assessment {
        let Assessment::BlockedLooking { mechanism, confidence } = assessment else { return assessment };
        let shown = match self.kind {
            // The packet is missing at a point that shows nothing else of the conversation.
            CrossingKind::SynDropped | CrossingKind::SynRejected => Confidence::Strong,
            CrossingKind::SilentBeyond | CrossingKind::ResetBeyond | CrossingKind::SynMissing => confidence,
            _ => Confidence::Certain,
        };
        Assessment::blocked(mechanism, confidence.max(shown))
    }
}

/// A conversation as one point shows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct PointView<'a> {
    pub(in crate::judge) flow_end: &'a FlowEnd,
    /// The point holds packets to this client.
    pub(in crate::judge) has_replies: bool,
    /// The point captured before the conversation began elsewhere, and after it ended there.
    pub(in crate::judge) covers: bool,
    /// The point holds more than SYNs: a capture filter may let nothing else through.
    pub(in crate::judge) beyond_syns: bool,
}

/// What the view of a point further away adds to that of the nearer one.
pub(in crate::judge) fn compare_views(
    near: PointView<'_>,
    far: PointView<'_>,
) -> Option<(CrossingKind, Option<FrameRef>)> {
    let (near_tcp, far_tcp) = (near.flow_end.tcp.as_ref()?, far.flow_end.tcp.as_ref()?);
    let ([client, server], [far_client, far_server]) = (&near_tcp.sides, &far_tcp.sides);
    let is_lossy =
        |end: &FlowEnd| end.tcp.iter().flat_map(|tcp| &tcp.sides).any(|side| side.acked_unseen_bytes > 0);
    if !far.covers || is_lossy(near.flow_end) || is_lossy(far.flow_end) {
        return None;
    }
    // A SYN in both is the client's way; its packets of the same connection take it too.
    let is_client_seen = client.syns > 0 && far_client.syns > 0;
    if server.resets > 0 && client.syns > 0 {
        return match far_server.resets {
            0 if far.has_replies && far.beyond_syns && is_client_seen => {
                Some((CrossingKind::ResetBetween, None))
            }
            0 => None,
            _ => Some((CrossingKind::ResetBeyond, far_tcp.reset_frame)),
        };
    }
    let [sent, received] = near.flow_end.bytes;
    let [far_sent, far_received] = far.flow_end.bytes;
    match (near_tcp.handshake, far_tcp.handshake) {
        // A client that had received it would not retransmit its SYN, and would acknowledge it.
        (Handshake::Unanswered, Handshake::HalfOpen)
            if near.has_replies && client.syns > 1 && far_server.syns > 0 =>
        {
            Some((CrossingKind::SynAckDropped, far_tcp.syn_ack_frame))
        }
        (Handshake::Unanswered, Handshake::Unanswered) if is_client_seen && far.has_replies => {
            Some((CrossingKind::SilentBeyond, far_tcp.syn_frame))
        }
        (Handshake::Complete, Handshake::Complete | Handshake::HalfOpen)
            if is_client_seen && sent > 0 && received == 0 && server.syns > 0 =>
        {
            match (far_sent, far_received) {
                (0, 0) if client.retransmissions > 0 && far.beyond_syns => {
                    Some((CrossingKind::RequestDropped, far_tcp.syn_ack_frame.or(far_tcp.syn_frame)))
                }
                (0, _) => None,
                (_, 0) if far_server.syns > 0 => Some((CrossingKind::SilentBeyond, far_tcp.first_data_frame)),
                (_, 0) => None,
                (_, _) => Some((CrossingKind::ResponseDropped, Some(far.flow_end.last_frame))),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::judge::catalogue::Mechanism;
    use crate::judge::test_support;

    /// How a flow looks at a point: handshake, SYNs and resets of client and server, bytes of both.
    fn flow_end(handshake: Handshake, syns: [u16; 2], resets: [u16; 2], bytes: [u64; 2]) -> FlowEnd {
        let mut tcp = test_support::tcp_summary(handshake);
        for (side, index) in tcp.sides.iter_mut().zip(0..) {
            (side.syns, side.resets) = (syns[index], resets[index]);
        }
        tcp.sides[0].retransmissions = 2;
        let mut end = test_support::flow_end(Time(0), Time(9));
        (end.tcp, end.bytes) = (Some(tcp), bytes);
        end
    }

    fn view(flow_end: &FlowEnd) -> PointView<'_> {
        PointView { flow_end, has_replies: true, covers: true, beyond_syns: true }
    }

    fn check(near: &FlowEnd, far: &FlowEnd, expected: Option<CrossingKind>) {
        assert_eq!(compare_views(view(near), view(far)).map(|(kind, _)| kind), expected, "{near:?} {far:?}");
    }

    use CrossingKind as Kind;
    use Handshake as Shake;

    #[test]
    fn a_packet_at_one_point_only_was_dropped_between() {
        let silent = flow_end(Shake::Unanswered, [5, 0], [0, 0], [0, 0]);
        check(&silent, &flow_end(Shake::HalfOpen, [5, 5], [0, 0], [0, 0]), Some(Kind::SynAckDropped));
        check(&silent, &silent, Some(Kind::SilentBeyond));
        let asked = flow_end(Shake::Complete, [1, 1], [0, 0], [517, 0]);
        check(&asked, &flow_end(Shake::Complete, [1, 1], [0, 0], [0, 0]), Some(Kind::RequestDropped));
        check(&asked, &flow_end(Shake::Complete, [1, 1], [0, 0], [517, 0]), Some(Kind::SilentBeyond));
        check(&asked, &flow_end(Shake::Complete, [1, 1], [0, 0], [517, 900]), Some(Kind::ResponseDropped));
    }

    #[test]
    fn a_reset_at_the_nearer_point_only_was_sent_between() {
        let refused = flow_end(Shake::Refused, [1, 0], [0, 1], [0, 0]);
        check(&refused, &flow_end(Shake::Unanswered, [1, 0], [0, 0], [0, 0]), Some(Kind::ResetBetween));
        check(&refused, &refused, Some(Kind::ResetBeyond));
        let reset = flow_end(Shake::Complete, [1, 1], [0, 1], [517, 0]);
        check(&reset, &flow_end(Shake::Complete, [1, 1], [1, 0], [0, 0]), Some(Kind::ResetBetween));
    }

    #[test]
    fn a_point_that_could_not_have_the_packet_shows_nothing() {
        let silent = flow_end(Shake::Unanswered, [5, 0], [0, 0], [0, 0]);
        let answered = flow_end(Shake::HalfOpen, [5, 5], [0, 0], [0, 0]);
        let refused = flow_end(Shake::Refused, [1, 0], [0, 1], [0, 0]);
        let check = |near, far| assert_eq!(compare_views(near, far), None);
        // One direction only.
        check(PointView { has_replies: false, ..view(&silent) }, view(&answered));
        check(view(&silent), PointView { has_replies: false, ..view(&silent) });
        check(view(&refused), PointView { has_replies: false, ..view(&silent) });
        // The capture was not running.
        check(view(&silent), PointView { covers: false, ..view(&answered) });
        // A filter for SYNs lets neither resets nor payload through.
        fn only_syns(flow_end: &FlowEnd) -> PointView<'_> {
            PointView { beyond_syns: false, ..view(flow_end) }
        }
        let unanswered = flow_end(Shake::Unanswered, [1, 0], [0, 0], [0, 0]);
        check(view(&refused), only_syns(&unanswered));
        let asked = flow_end(Shake::Complete, [1, 1], [0, 0], [517, 0]);
        let half_open = flow_end(Shake::HalfOpen, [1, 1], [0, 0], [0, 0]);
        check(view(&asked), only_syns(&half_open));
        // The client acknowledged the SYN-ACK: it arrived, and the nearer point missed it.
        let acknowledged = flow_end(Shake::Complete, [1, 1], [0, 0], [0, 0]);
        check(view(&silent), view(&acknowledged));
        // Frames are missing.
        let mut lossy = answered.clone();
        lossy.tcp.as_mut().unwrap().sides[1].acked_unseen_bytes = 100;
        check(view(&silent), view(&lossy));
    }

    #[test]
    fn what_both_points_show_makes_a_mechanism_certain() {
        let crossing = |kind| Crossing { kind, near: "inside".into(), far: "outside".into(), frame: None };
        let weak = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
        let strengthened = |kind| crossing(kind).strengthen(weak).confidence();
        assert_eq!(strengthened(Kind::SynAckDropped), Some(Confidence::Certain));
        assert_eq!(strengthened(Kind::SynDropped), Some(Confidence::Strong));
        assert_eq!(strengthened(Kind::SilentBeyond), Some(Confidence::Weak));
        assert_eq!(crossing(Kind::SynAckDropped).strengthen(Assessment::Ok), Assessment::Ok);
        assert_eq!(
            crossing(Kind::SynAckDropped).clause(),
            "the SYN-ACK was seen at outside and not at inside: it was dropped between these two points"
        );
    }
}
