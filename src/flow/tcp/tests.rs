//! Tests of the TCP state machine.

use super::*;
use crate::base::proto;
use crate::decode::Transport;
use crate::flow::FlowLimits;
use crate::flow::Handshake;
use crate::flow::test_support::CLIENT;
use crate::flow::test_support::SERVER;
use crate::flow::test_support::TestTable;
use crate::flow::test_support::fields;
use crate::flow::test_support::packet;
use crate::flow::test_support::summary;
use crate::flow::test_support::tcp_summary;

/// Client's initial sequence number 100, server's 500.
const HANDSHAKE: &str = "c S 100\n s SA 500 101\n c A 101 501\n";

/// Plays a script; `client` and `server` are the counters of each side that are not 0.
fn check(script: &str, client: &str, server: &str) {
    let [c, s] = tcp_summary(script).sides;
    assert_eq!((fields(&c).as_str(), fields(&s).as_str()), (client, server), "{script}");
}

fn check_established(script: &str, client: &str, server: &str) {
    let [c, s] = tcp_summary(&(HANDSHAKE.to_owned() + script)).sides;
    let expected = (format!("syns=1 {client}"), format!("syns=1 {server}"));
    assert_eq!(
        (fields(&c), fields(&s)),
        (expected.0.trim().to_owned(), expected.1.trim().to_owned()),
        "{script}"
    );
}

fn check_handshake(script: &str, expected: Handshake) {
    assert_eq!(tcp_summary(script).handshake, expected, "{script}");
}

#[test]
fn how_far_the_handshake_came() {
    check_handshake("c S 100", Handshake::Unanswered);
    check_handshake("c S 100\n c S 100", Handshake::Unanswered);
    check_handshake("c S 100\n s RA 0 101", Handshake::Refused);
    // TCP Fast Open: payload in the SYN (RFC 7413), refused.
    check_handshake("c S 100 0 \"GET\"\n s RA 0 104", Handshake::Refused);
    check_handshake("c S 100\n s SA 500 101", Handshake::HalfOpen);
    check_handshake("c S 100\n s SA 500 101\n c R 101", Handshake::HalfOpen);
    check_handshake(HANDSHAKE, Handshake::Complete);
    check_handshake("c S 100\n s SA 500 101\n c A 101 501\n s RA 501 101", Handshake::Complete);
    // The capture missed the SYN-ACK.
    check_handshake("c S 100\n c A 101 501\n s RA 501 101", Handshake::Complete);
    check_handshake("c A 101 501", Handshake::Unseen);
    check_handshake("c R 101", Handshake::Unseen);
}

#[test]
fn a_one_sided_capture_shows_the_handshake_of_its_side() {
    check_handshake("c S 100\n c A 101 501", Handshake::Complete);
    check_handshake("s SA 500 101", Handshake::HalfOpen);
    check_handshake("s SA 500 101\n s A 501 101 \"200\"", Handshake::Complete);
    check("c S 100\n c A 101 501 \"GET\"", "syns=1 data=1 unacked=4", "");
}

#[test]
fn segments_in_order_are_counted_and_acked() {
    check_established(
        "c A 101 501 \"abc\"\n s A 501 104\n c A 104 501 \"de\"\n s A 501 106",
        "data=2 acked=5",
        "",
    );
    check_established("c A 101 501 \"abc\"\n s A 501 103", "data=1 unacked=1 acked=2", "");
    check_established("c A 101 501 \"abc\"\n c FA 104 501\n s A 501 105", "fins=1 data=1 acked=4", "");
}

#[test]
fn a_retransmission_has_no_new_bytes() {
    check_established(
        "c A 101 501 \"abc\"\n c A 101 501 \"abc\"",
        "unacked_repeats=1 data=2 retransmissions=1 unacked=3",
        "",
    );
    // One new byte is enough to be none.
    check_established("c A 101 501 \"abc\"\n c A 101 501 \"abcd\"", "data=2 unacked=4", "");
    // Once it is ACKed, its retransmissions were not in vain.
    check_established(
        "c A 101 501 \"abc\"\n c A 101 501 \"abc\"\n s A 501 104",
        "data=2 retransmissions=1 acked=3",
        "",
    );
}

#[test]
fn repeats_without_an_ack_are_those_of_one_segment() {
    let repeat = "c A 101 501 \"abc\"\n";
    check_established(
        &format!("{repeat}{repeat}s A 501 101\n{repeat}"),
        "unacked_repeats=2 peer_packets=1 data=3 retransmissions=2 unacked=3",
        "",
    );
    check_established(
        &format!("{repeat}c A 104 501 \"de\"\n{repeat}c A 104 501 \"de\""),
        "data=4 retransmissions=2 unacked=5",
        "",
    );
}

#[test]
fn a_segment_that_fills_a_gap_is_out_of_order() {
    check_established("c A 104 501 \"def\"", "data=1 missing=3 unacked=6 missing_tail=3", "");
    check_established("c A 104 501 \"def\"\n c A 101 501 \"abc\"", "data=2 out_of_order=1 unacked=6", "");
    // Only a part of the gap is filled.
    check_established(
        "c A 104 501 \"def\"\n c A 102 501 \"b\"",
        "data=2 out_of_order=1 missing=2 unacked=6 missing_tail=1",
        "",
    );
    // What was skipped is ACKed: the capture missed it.
    check_established("c A 104 501 \"def\"\n s A 501 107", "data=1 acked_unseen=3 missing=3 acked=6", "");
    // Half of the gap and two known bytes: out of order, and not retransmitted.
    check_established(
        "c A 101 501 \"ab\"\n c A 105 501 \"ef\"\n c A 102 501 \"bc\"",
        "data=3 out_of_order=1 missing=1 unacked=6",
        "",
    );
}

#[test]
fn an_ack_of_unseen_bytes_is_a_gap_of_the_capture() {
    check_established("s A 501 111", "acked_unseen=10 missing=10 acked=10", "");
    // The segment shows later, as mirror ports reorder.
    check_established("s A 501 104\n c A 101 501 \"abc\"", "data=1 out_of_order=1 acked=3", "");
    // Further than any window: ignored.
    check_established("s A 501 1073742000", "", "");
}

#[test]
fn an_ack_of_bytes_that_were_never_sent_is_no_gap() {
    // A server that has an earlier connection answers a SYN with a challenge ACK.
    check("c S 100\n s A 7000 5000\n c R 5000", "syns=1 resets=1 unacked=1", "");
    // Both sides of a firewall that rewrites sequence numbers.
    check_established(
        "c A 101 501 \"abc\"\n s A 900000000 700000000 \"ok\"\n s A 501 104 \"ok\"\n s FA 900000002 700000000",
        "data=1 acked=3",
        "data=1 unacked=2",
    );
    // The sender's own segments show a gap of any size.
    check_established(
        "c A 16777317 501 \"abc\"",
        "data=1 missing=16777216 unacked=16777219 missing_tail=16777216",
        "",
    );
}

#[test]
fn the_ack_of_a_fin_may_come_first() {
    check_established("s A 501 102\n c FA 101 501", "fins=1 acked=1", "");
}

#[test]
fn a_syn_after_its_syn_ack_is_of_the_same_connection() {
    check("s SA 500 101\n c S 100\n c A 101 501 \"GET\"\n s A 501 104", "syns=1 data=1 acked=3", "syns=1");
    check_handshake("s SA 500 101\n c A 101 501 \"GET\"\n c S 100", Handshake::Complete);
}

#[test]
fn a_refused_syn_that_is_retransmitted_may_succeed() {
    let refused = "c S 100\n s RA 0 101\n +1\n c S 100\n";
    check_handshake(refused, Handshake::Refused);
    check_handshake(&format!("{refused}s SA 500 101\n c A 101 501"), Handshake::Complete);
    check(&format!("{refused}s SA 500 101\n c A 101 501"), "syns=2", "syns=1");
    // The client resets what the server took for an earlier connection.
    let challenged =
        "c S 100\n s A 3700000000 1116180385\n c R 1116180385\n +3\n c S 100\n s SA 500 101\n c A 101 501";
    check(challenged, "syns=2", "syns=1");
    check_handshake(challenged, Handshake::Complete);
}

#[test]
fn the_text_of_a_reset_is_no_data() {
    check_handshake("c S 100\n s RA 0 101 \"go away\"", Handshake::Refused);
    let tcp = tcp_summary("c S 100\n s RA 0 101 \"go away\"");
    assert_eq!(tcp.sides[1].data_segments, 0);
}

#[test]
fn numbers_wrap() {
    check(
        "c S 4294967294\n s SA 500 4294967295\n c A 4294967295 501 \"abc\"\n c A 5 501 \"x\"\n s A 501 2",
        "syns=1 data=2 missing=3 unacked=4 acked=3 missing_tail=3",
        "syns=1",
    );
}

#[test]
fn keep_alives_and_closed_windows_are_no_data() {
    check_established("c A 100 501\n s A 501 101", "keep_alives=1", "");
    check_established("c A 101 501 \"abc\"\n c A 103 501 \"c\"", "data=2 keep_alives=1 unacked=3", "");
    check_established("c A 101 501 \"abc\"\n c A 103 501 \"cd\"", "data=2 unacked=4", "");
    check_established("s A 501 101 win=0\n s A 501 101 win=0", "", "zero_windows=2");
    check_established("s RA 501 101 win=0", "", "resets=1");
}

#[test]
fn a_sack_reports_what_the_peer_received() {
    check_established(
        "c A 101 501 \"abc\"\n s A 501 101 sack=104-110\n s A 501 101 sack=104-120",
        "sack_acks=2 sack_span=16 data=1 unacked=3",
        "",
    );
}

#[test]
fn a_reset_beyond_the_seen_bytes_moves_no_numbers() {
    // The server resets after it got 10 bytes that the capture does not have; the client resets 5 bytes ahead.
    check_established("s RA 501 111", "missing=10", "resets=1");
    check_established("c R 106\n c A 101 501 \"abc\"", "resets=1 data=1 missing=5 unacked=3", "");
    // One byte is missing as well.
    check_established("s RA 501 102", "missing=1", "resets=1");
    check_established("s RA 501 101", "", "resets=1");
}

#[test]
fn the_first_reset_and_the_first_close_of_the_client_are_reported() {
    // Frames 1 to 3 are the handshake.
    let frames = |script: &str| {
        let tcp = tcp_summary(&(HANDSHAKE.to_owned() + script));
        [tcp.reset_frame, tcp.client_close_frame].map(|frame| frame.map(|frame| frame.number))
    };
    assert_eq!(frames("s RA 501 101\n s RA 501 101\n c R 101"), [Some(4), Some(6)]);
    assert_eq!(frames("s FA 501 101\n c A 101 502"), [None, None]);
    assert_eq!(frames("s FA 501 101\n c FA 101 502\n c R 102"), [Some(6), Some(5)]);
}

#[test]
fn the_first_syn_and_syn_ack_are_reported_and_time_the_handshake() {
    let tcp = tcp_summary("c S 100\n +1\n c S 100\n +0.5\n s SA 500 101\n +1\n s SA 500 101");
    let frames = [tcp.syn_frame, tcp.syn_ack_frame].map(|frame| frame.map(|frame| frame.number));
    assert_eq!((frames, tcp.handshake_rtt), ([Some(1), Some(3)], 1_500_000_000));
}

#[test]
fn the_time_of_the_last_gap_is_reported() {
    let end = summary(&format!("{HANDSHAKE}c A 104 501 \"d\"\n +2\n c A 107 501 \"g\"\n +1\n s A 501 101"));
    let gap_time = end.tcp.unwrap().gap_time.unwrap();
    assert_eq!(
        (gap_time.since(end.first_seen), end.last_seen.since(gap_time)),
        (2_000_000_000, 1_000_000_000)
    );
}

#[test]
fn the_first_payload_of_the_client_is_reported() {
    let frame = |script: &str| {
        tcp_summary(&(HANDSHAKE.to_owned() + script)).first_data_frame.map(|frame| frame.number)
    };
    assert_eq!(frame("c A 101 501 \"abc\"\n c A 104 501 \"de\"\n c A 104 501 \"de\""), Some(4));
    assert_eq!(frame("s A 501 101 \"220\"\n c A 101 504 \"abc\""), Some(5));
    assert_eq!(frame("s A 501 101 \"220\""), None);
}

#[test]
fn a_server_that_lost_its_state_is_renumbered() {
    check(
        "c S 100\n s SA 500 101\n c S 100\n s SA 900 101\n c A 101 901\n s A 901 101 \"200\"\n c A 101 904",
        "syns=2",
        "syns=2 data=1 acked=3",
    );
}

#[test]
fn both_sides_may_open() {
    let script = "c S 100\n s S 500\n c SA 100 501\n s SA 500 101\n c A 101 501 \"GET\"";
    let tcp = tcp_summary(script);
    assert!(tcp.simultaneous_open);
    assert_eq!(tcp.handshake, Handshake::Complete);
    check(script, "syns=2 data=1 unacked=3", "syns=2");
    assert!(!tcp_summary("c S 100\n s SA 500 101").simultaneous_open);
    // Midstream there was a handshake before.
    assert!(!tcp_summary("c A 101 501\n s S 900").simultaneous_open);
}

#[test]
fn a_connection_that_ends_after_an_idle_pause() {
    let pause = "c A 101 501 \"abc\"\n s A 501 104\n +31\n";
    let ended_after_idle =
        |script: &str| tcp_summary(&format!("{HANDSHAKE}{pause}{script}")).ended_after_idle;
    assert!(ended_after_idle("c A 104 501 \"de\"\n s R 501"));
    assert!(ended_after_idle("c A 104 501 \"de\"\n c A 104 501 \"de\""));
    assert!(!ended_after_idle("c A 104 501 \"de\"\n s A 501 106\n s R 501"));
    // 31 s without an ACK is no pause.
    let waits = "c A 101 501 \"abc\"\n +31\n c A 101 501 \"abc\"\n s R 501";
    assert!(!tcp_summary(&format!("{HANDSHAKE}{waits}")).ended_after_idle);
}

#[test]
fn any_numbers_cost_no_more_than_a_short_list_of_gaps() {
    // Multiplicative congruence: numbers without a pattern.
    let number = |index: u32| index.wrapping_mul(2_654_435_761).rotate_left(7);
    let mut table = TestTable::new(FlowLimits::default());
    table.play(HANDSHAKE);
    for index in 0..20_000 {
        let header = TcpHeader {
            seq: number(index),
            ack: number(index ^ 0x5555),
            flags: TcpHeader::ACK,
            window: 1,
            options: &[],
        };
        let (from, to) = if index % 2 == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let transport = Transport::Tcp(header);
        table.accept(&Packet { transport, payload: b"abc", payload_len: 3, ..packet(from, to, proto::TCP) });
    }
    // That the list is short and in order is tested in `gaps`.
    table.finish();
    let [client, server] = table.recorder.ends.pop().unwrap().tcp.unwrap().sides;
    assert!(client.missing_bytes > 1 << 32 && server.missing_bytes > 1 << 32);
    assert!(client.acked_unseen_bytes <= client.missing_bytes);
}
