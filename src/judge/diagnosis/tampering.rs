//! Where a connection stopped, and by what, in the vocabulary of "Global, Passive Detection of Connection Tampering"
//! (Sundara Raman et al., SIGCOMM 2023, table 1).
//!
//! In:  a closed TCP conversation.
//! Out: what the client had sent, `>`, and what came back to end it: `psh>rst+ack`.
//! Not: whether it was tampering; an attribute, from which nothing is concluded here.

use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::flow::ResetKinds;
use crate::flow::SideSummary;

/// The stage, for conversations that ended by resets or in silence; none for all others.
pub(in crate::judge) fn stage(flow_end: &FlowEnd) -> Option<&'static str> {
    let tcp = flow_end.tcp.as_ref()?;
    let [client, server] = &tcp.sides;
    let [_, by_server] = flow_end.bytes;
    let place = match tcp.handshake {
        Handshake::Unseen | Handshake::HalfOpen => return None,
        Handshake::Unanswered | Handshake::Refused => 0,
        Handshake::Complete if client.data_segments == 0 => 1,
        // However many segments they came in: those are the client's first words.
        Handshake::Complete if by_server == 0 => 2,
        Handshake::Complete => 3,
    };
    let end = ends(server);
    // Who was answered, or took leave in order, was not silenced.
    if end == 0 && (by_server > 0 || server.fins > 0) {
        return None;
    }
    STAGES.get(place)?.get(end).copied()
}

/// What the server's side ended it with, by place in [`STAGES`].
fn ends(server: &SideSummary) -> usize {
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

/// By what the client had sent, and by what ended it: nothing, RST, RST+ACK, both, several RST+ACK, several RST with one
/// acknowledgement field, with different ones, with one of them 0.
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
