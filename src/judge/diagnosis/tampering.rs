//! At which stage a connection ended, in the vocabulary of "Global, Passive Detection of Connection Tampering"
//! (Sundara Raman et al., SIGCOMM 2023, table 1).
//!
//! In:  a TCP conversation that has ended.
//! Out: the client's last step, `>`, and what ended it: `psh>rst+ack`.
//! Not: whether it was tampering; nothing else is concluded from it.

use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::flow::ResetKinds;
use crate::flow::SideSummary;

/// The stage of a conversation that ended by resets or in silence; none for all others.
pub(in crate::judge) fn tampering_stage(flow_end: &FlowEnd) -> Option<&'static str> {
    let tcp = flow_end.tcp.as_ref()?;
    let [client, server] = &tcp.sides;
    let [_, by_server] = flow_end.bytes;
    let client_step = match tcp.handshake {
        Handshake::Unseen | Handshake::HalfOpen => return None,
        Handshake::Unanswered | Handshake::Refused => 0,
        Handshake::Complete if client.data_segments == 0 => 1,
        // All segments before the server's first payload count as the client's first data.
        Handshake::Complete if by_server == 0 => 2,
        Handshake::Complete => 3,
    };
    let ending = ending_of(server);
    // A flow that was answered or closed in order did not end in silence.
    if ending == 0 && (by_server > 0 || server.fins > 0) {
        return None;
    }
    STAGES.get(client_step)?.get(ending).copied()
}

/// How the server's side ended it: an index into [`STAGES`].
fn ending_of(server: &SideSummary) -> usize {
    let kinds = server.reset_kinds;
    let [plain, with_ack] = [ResetKinds::PLAIN, ResetKinds::WITH_ACK].map(|kind| kinds.has(kind));
    match (server.resets, plain, with_ack) {
        (0, ..) => 0,
        (1, _, true) => 2,
        (1, ..) => 1,
        (_, true, true) => 3,
        (_, false, true) => 4,
        _ if kinds.has(ResetKinds::ZERO) && kinds.has(ResetKinds::DIFFERING) => 7,
        _ if kinds.has(ResetKinds::DIFFERING) => 6,
        _ => 5,
    }
}

/// By the client's last step, and by what ended it: nothing, RST, RST+ACK, both, several RST+ACK, several RST with one
/// acknowledgement number, with different ones, with one of them 0.
const STAGES: [[&str; 8]; 4] = [
    [
        "syn>nothing",
        "syn>rst",
        "syn>rst+ack",
        "syn>rst;rst+ack",
        "syn>rst+ack;rst+ack",
        "syn>rst=rst",
        "syn>rst!=rst",
        "syn>rst;rst(0)",
    ],
    [
        "ack>nothing",
        "ack>rst",
        "ack>rst+ack",
        "ack>rst;rst+ack",
        "ack>rst+ack;rst+ack",
        "ack>rst=rst",
        "ack>rst!=rst",
        "ack>rst;rst(0)",
    ],
    [
        "psh>nothing",
        "psh>rst",
        "psh>rst+ack",
        "psh>rst;rst+ack",
        "psh>rst+ack;rst+ack",
        "psh>rst=rst",
        "psh>rst!=rst",
        "psh>rst;rst(0)",
    ],
    [
        "data>nothing",
        "data>rst",
        "data>rst+ack",
        "data>rst;rst+ack",
        "data>rst+ack;rst+ack",
        "data>rst=rst",
        "data>rst!=rst",
        "data>rst;rst(0)",
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::judge::test_support;

    fn check(
        handshake: Handshake,
        bytes: [u64; 2],
        change: impl FnOnce(&mut [SideSummary; 2]),
        expected: &str,
    ) {
        let mut tcp = test_support::tcp_summary(handshake);
        change(&mut tcp.sides);
        let mut flow_end = test_support::flow_end(Time(0), Time(1));
        (flow_end.bytes, flow_end.tcp) = (bytes, Some(tcp));
        assert_eq!(tampering_stage(&flow_end).unwrap_or("none"), expected);
    }

    #[test]
    fn stages_by_client_step_and_ending() {
        check(Handshake::Unanswered, [0, 0], |_| (), "syn>nothing");
        check(Handshake::Complete, [0, 0], |_| (), "ack>nothing");
        check(Handshake::Complete, [9, 9], |_| (), "none");
        check(Handshake::HalfOpen, [0, 0], |_| (), "none");
        let reset = |sides: &mut [SideSummary; 2]| {
            sides[0].data_segments = 1;
            sides[1].resets = 1;
            sides[1].reset_kinds = ResetKinds::WITH_ACK;
        };
        check(Handshake::Complete, [9, 0], reset, "psh>rst+ack");
        check(Handshake::Complete, [9, 9], reset, "data>rst+ack");
    }
}
