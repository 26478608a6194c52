//! What the capture did not see, and what that does to conclusions that stand on silence.
//!
//! In:  conversations as they end.
//! Out: whether silence around one of them proves anything; sentences for the summary.
//! Not: what the sensor or a live source says that it lost; see `DropIntervals` in `engine`.
//!
//! A receiver that acknowledges bytes which the capture does not hold proves that frames are missing. A conversation of
//! which only one direction is there proves that the capture sees only one.

use crate::base::Address;
use crate::base::Time;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::bounded_map::BoundedMap;

/// Hosts whose missing frames are remembered.
const HOSTS: usize = 1 << 12;

/// Of so many bytes one missing is too much to believe in silence.
const ONE_IN: u64 = 100;

/// Fewer missing bytes than this are not yet a share: about ten full segments.
const FEW: u64 = 15_000;

/// Missing frames of a host cast doubt on its silence this long before and after.
const NEAR_NANOS: i64 = 5_000_000_000;

/// What is known of the capture's gaps so far.
#[derive(Debug)]
pub(in crate::judge) struct CaptureLoss {
    /// Bytes that were acknowledged and are not there, and bytes that are there.
    missed: u64,
    held: u64,
    /// Conversations with missing bytes.
    gaps: u64,
    /// Conversations that repeat bytes, and not the same.
    differing: u64,
    /// TCP conversations beyond an attempt: those of which both directions are there, the client's alone, the server's alone.
    directions: [u64; 3],
    /// TLS flows to documented names that were answered, and those of them that showed no certificate.
    tls: [u64; 2],
    /// When each host's conversations had missing bytes.
    lossy: BoundedMap<Address, (Time, Time)>,
}

impl Default for CaptureLoss {
    fn default() -> CaptureLoss {
        CaptureLoss {
            missed: 0,
            held: 0,
            gaps: 0,
            differing: 0,
            directions: [0; 3],
            tls: [0; 2],
            lossy: BoundedMap::new(HOSTS),
        }
    }
}

impl CaptureLoss {
    /// Takes a conversation in.
    pub(in crate::judge) fn add(&mut self, client: Address, flow_end: &FlowEnd) {
        let Some(tcp) = &flow_end.tcp else { return };
        let missed: u64 = tcp.sides.iter().map(|side| side.acked_unseen_bytes).sum();
        self.held += flow_end.bytes.iter().sum::<u64>();
        // A keep-alive repeats a byte, and any byte will do.
        self.differing += u64::from(tcp.sides.iter().any(|side| side.differing > side.keep_alives));
        if matches!(tcp.handshake, Handshake::Unseen | Handshake::Complete) {
            let place = match flow_end.packets {
                [_, 0] => 1,
                [0, _] => 2,
                _ => 0,
            };
            if let Some(count) = self.directions.get_mut(place) {
                *count += 1;
            }
        }
        // Where only one direction is there, all that the other acknowledges is missing: another matter.
        if missed == 0 || flow_end.packets.contains(&0) {
            return;
        }
        self.missed += missed;
        self.gaps += 1;
        match self.lossy.get(&client) {
            Some((first, last)) => {
                *first = (*first).min(flow_end.first_seen);
                *last = (*last).max(flow_end.last_seen);
            }
            None => self.lossy.put(client, (flow_end.first_seen, flow_end.last_seen)),
        }
    }

    /// A TLS flow to a documented name was answered.
    pub(in crate::judge) fn add_tls(&mut self, showed_certificate: bool) {
        let [all, hidden] = &mut self.tls;
        *all += 1;
        *hidden += u64::from(!showed_certificate);
    }

    /// Whether a client's silence from then to then may be the capture's own.
    pub(in crate::judge) fn casts_doubt(&mut self, client: Address, flow_end: &FlowEnd) -> bool {
        if self.missed >= FEW && self.missed > (self.missed + self.held) / ONE_IN {
            return true;
        }
        let begin = Time(flow_end.first_seen.0.saturating_sub(NEAR_NANOS));
        let end = Time(flow_end.last_seen.0.saturating_add(NEAR_NANOS));
        self.lossy.get(&client).is_some_and(|(first, last)| *first <= end && *last >= begin)
    }

    /// What a reader of the evidence should know, and begins anew.
    pub(in crate::judge) fn sentences(&mut self) -> Vec<String> {
        let CaptureLoss {
            missed,
            gaps,
            differing,
            directions: [both, client, server],
            tls: [all, hidden],
            ..
        } = std::mem::take(self);
        let mut said = Vec::new();
        for (one, side, other) in [(client, "client", "server"), (server, "server", "client")] {
            if one > 0 {
                let all = both + client + server;
                said.push(format!(
                    "{one} of {all} TCP flows show the {side}'s packets alone: the capture does not see the way from the {other}"
                ));
            }
        }
        if missed > 0 {
            said.push(format!(
                "{missed} bytes of {gaps} TCP flows were acknowledged and are not there: frames were lost on the way to the capture"
            ));
        }
        if differing > 0 {
            said.push(format!(
                "{differing} TCP flows repeat bytes otherwise than they were sent first: what came first counts"
            ));
        }
        if hidden > 0 {
            said.push(format!(
                "{hidden} of {all} TLS flows to documented names showed no certificate (TLS 1.3, or a resumed session): \
                 whether a box opened them is not observable"
            ));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::flow::EndReason;
    use crate::flow::SideSummary;
    use crate::flow::TcpSummary;

    const CLIENT: Address = Address(4);

    fn flow_end(seconds: [i64; 2], packets: [u64; 2], held: u64, missed: u64) -> FlowEnd {
        let [first, last] = seconds.map(|second| Time(second * 1_000_000_000));
        let server = SideSummary { acked_unseen_bytes: missed, ..SideSummary::default() };
        FlowEnd {
            reason: EndReason::Done,
            first_frame: FrameRef::default(),
            last_frame: FrameRef::default(),
            first_seen: first,
            last_seen: last,
            packets,
            bytes: [held, 0],
            tcp: Some(TcpSummary {
                handshake: Handshake::Complete,
                sides: [SideSummary::default(), server],
                syn_frame: None,
                syn_ack_frame: None,
                first_data_frame: None,
                first_data_time: None,
                client_close_time: None,
                client_close_frame: None,
                gap_time: None,
                reset_frame: None,
                reset_time: None,
                handshake_rtt: 0,
                simultaneous_open: false,
                ended_after_idle: false,
            }),
            icmp: None,
        }
    }

    #[test]
    fn missing_frames_cast_doubt_near_by() {
        let mut quality = CaptureLoss::default();
        quality.add(CLIENT, &flow_end([100, 110], [9, 9], 1_000_000, 1_460));
        let silent = |from| flow_end([from, from + 20], [3, 0], 0, 0);
        assert!(quality.casts_doubt(CLIENT, &silent(112)));
        assert!(quality.casts_doubt(CLIENT, &silent(76)));
        assert!(!quality.casts_doubt(CLIENT, &silent(200)), "long after");
        assert!(!quality.casts_doubt(Address(5), &silent(105)), "another host");
        quality.add(Address(6), &flow_end([300, 310], [9, 9], 0, 20_000));
        assert!(quality.casts_doubt(Address(5), &silent(105)), "one byte of a hundred is too much");
    }

    #[test]
    fn one_direction_is_said_and_no_loss() {
        let mut quality = CaptureLoss::default();
        quality.add(CLIENT, &flow_end([1, 2], [9, 0], 100, 50_000));
        quality.add(CLIENT, &flow_end([1, 2], [9, 9], 100, 0));
        let mut odd = flow_end([1, 2], [9, 9], 100, 0);
        if let Some(tcp) = &mut odd.tcp {
            tcp.sides[0].differing = 1;
        }
        quality.add(CLIENT, &odd);
        assert!(!quality.casts_doubt(CLIENT, &flow_end([1, 2], [3, 0], 0, 0)));
        let said = quality.sentences();
        assert_eq!(said.len(), 2);
        assert!(said[1].starts_with("1 TCP flows repeat bytes otherwise"), "{said:?}");
        assert!(said[0].starts_with("1 of 3 TCP flows show the client's packets alone"), "{said:?}");
        assert!(quality.sentences().is_empty());
    }
}
