//! Tests of the flow table: expiry, eviction, reuse of ports.

use super::*;
use crate::base::Address;
use crate::base::Side;
use crate::flow::ReadProgress;
use crate::flow::test_support::CLIENT;
use crate::flow::test_support::SERVER;
use crate::flow::test_support::TestTable;
use crate::flow::test_support::packet;

const HANDSHAKE: &str = "c S 100\n s SA 500 101\n c A 101 501\n";

/// Plays a script; `expected` is how flows open and close, and what else a consumer gets.
fn check(limits: FlowLimits, script: &str, expected: &[&str]) {
    let mut table = TestTable::new(limits);
    table.play(script);
    assert_eq!(table.finish().lines().collect::<Vec<_>>(), expected, "{script}");
}

fn check_default(script: &str, expected: &[&str]) {
    check(FlowLimits::default(), script, expected);
}

/// The idle time-out after the last packet, and the reason for the flow's end. Whole seconds round it up by two at most.
fn check_timeout(script: &str, seconds: i64, reason: &str) {
    for (pass, expected) in [(seconds, 1), (seconds + 2, 0)] {
        let mut table = TestTable::new(FlowLimits::default());
        table.play(script);
        table.pass(pass * 1_000_000_000);
        assert_eq!(table.table.live(), expected, "{script} +{pass}");
        assert!(expected == 1 || table.finish().ends_with(&format!("closed {reason}")), "{script}");
    }
}

#[test]
fn each_phase_has_its_timeout() {
    check_timeout("c S 100", 60, "Idle");
    check_timeout(HANDSHAKE, 3600, "Idle");
    check_timeout("c A 101 501", 3600, "Idle");
    check_timeout(&format!("{HANDSHAKE}c FA 101 501"), 300, "Idle");
    check_timeout(&format!("{HANDSHAKE}c FA 101 501\n s FA 501 102"), 10, "Done");
    check_timeout(&format!("{HANDSHAKE}s R 501"), 10, "Done");
    check_timeout("c udp \"abc\"", 60, "Idle");
}

#[test]
fn packets_postpone_the_timeout() {
    check_timeout("c udp \"abc\"\n +60\n s udp \"abc\"\n +60\n c udp \"abc\"", 60, "Idle");
    check_timeout(&format!("{HANDSHAKE}+3600\n c A 101 501"), 3600, "Idle");
    // Retransmissions after the end belong to the flow.
    check_timeout(&format!("{HANDSHAKE}s R 501\n +9\n c A 101 501 \"abc\""), 10, "Done");
}

#[test]
fn a_datagram_flow_without_an_outstanding_response_ends_sooner() {
    let mut table = TestTable::new(FlowLimits::default());
    table.recorder.progress = |bytes| match bytes {
        b"query" => ReadProgress::NeedMore { consumed: 0, need: 0 },
        _ => ReadProgress::Idle,
    };
    table.play("c udp \"query\"\n s udp \"response\"\n +11");
    assert_eq!(table.table.live(), 1);
    // The next query waits for a response again.
    table.play("c udp \"query\"\n +60");
    assert_eq!(table.table.live(), 1);
    table.play("s udp \"response\"\n +12");
    assert_eq!(table.table.live(), 0);
}

#[test]
fn flows_expire_in_the_order_of_opening() {
    let mut table = TestTable::new(FlowLimits::default());
    for port in [9, 3, 7, 5] {
        let client = Endpoint { port, ..CLIENT };
        table.accept(&packet(client, SERVER, proto::UDP));
    }
    let orders: Vec<u64> = {
        table.pass(62_000_000_000);
        table.recorder.ends.iter().map(|end| end.first_frame.number).collect()
    };
    assert_eq!(orders, [1, 2, 3, 4]);
}

#[test]
fn a_clock_that_was_set_back_neither_expires_nor_keeps_flows() {
    // An hour back: live for its time-out by the new clock, after the minute in which the clock settles.
    let mut table = TestTable::new(FlowLimits::default());
    table.play("c udp \"abc\"\n +-3600\n c udp \"abc\"\n +60\n");
    assert_eq!(table.table.live(), 1);
    table.play("+61");
    assert_eq!(table.table.live(), 1);
    table.play("+1");
    assert_eq!(table.table.live(), 0);
}

#[test]
fn checks_for_expiry_are_at_most_as_many_as_packets() {
    // Frame times in 1970 and 2106 in turns; set back with every frame; an hour forward with every frame.
    let clocks: [fn(i64) -> i64; 3] =
        [|number| (number % 2) << 32, |number| -700 * number, |number| 3600 * number];
    for seconds in clocks {
        let mut table = TestTable::new(FlowLimits::default());
        let mut second = 0;
        for number in 0..3_000 {
            table.pass((seconds(number) - second) * 1_000_000_000);
            second = seconds(number);
            // Half of the packets are of the same five flows.
            let port = if number % 2 == 0 { number % 10 } else { number } as u16;
            let client = Endpoint { port, ..CLIENT };
            table.accept(&packet(client, SERVER, proto::UDP));
        }
        assert!(table.table.checks <= 3_000, "{}", table.table.checks);
    }
}

#[test]
fn a_reused_port_is_another_flow() {
    let flow = ["opened by c", "closed Reused", "opened by c", "closed CaptureEnded"];
    check_default(&format!("{HANDSHAKE}c FA 101 501\n s FA 501 102\n c S 9000"), &flow);
    check_default(&format!("{HANDSHAKE}s R 501\n c S 9000"), &flow);
    // The client restarted, and does not know the connection any more.
    check_default(&format!("{HANDSHAKE}c S 9000"), &flow);
    check_default("c S 100\n +5\n c S 9000", &flow);
    // The response to a SYN that was not captured.
    let midstream = ["opened by c", "closed Reused", "opened by c midstream", "closed CaptureEnded"];
    check_default(&format!("{HANDSHAKE}s R 501\n s SA 7000 9001"), &midstream);
}

#[test]
fn a_retransmitted_syn_is_of_the_same_flow() {
    let one = ["opened by c", "closed CaptureEnded"];
    check_default("c S 100\n +1\n c S 100\n +2\n c S 100\n s SA 500 101", &one);
    check_default(&format!("{HANDSHAKE}c S 100\n s SA 500 101"), &one);
    check_default("c S 100\n s SA 500 101\n s SA 900 101", &one);
    // Simultaneous open.
    check_default("c S 100\n s S 500\n c SA 100 501", &one);
}

#[test]
fn a_full_shard_evicts_its_longest_idle_flows() {
    // At least 64 flows per shard. All are of one pair of addresses, and so of one shard.
    let mut table = TestTable::new(FlowLimits { flows: 1, ..FlowLimits::default() });
    for port in 0..64 {
        table.accept(&packet(Endpoint { port, ..CLIENT }, SERVER, proto::UDP));
        table.pass(1_000_000);
    }
    assert_eq!((table.table.live(), table.recorder.ends.len()), (64, 0));
    // The first flow is not idle any more.
    table.accept(&packet(Endpoint { port: 0, ..CLIENT }, SERVER, proto::UDP));
    table.pass(1_000_000);
    for port in [64, 65] {
        table.accept(&packet(Endpoint { port, ..CLIENT }, SERVER, proto::UDP));
    }
    assert_eq!((table.table.live(), table.table.counts().evicted), (64, 2));
    let evicted: Vec<_> =
        table.recorder.ends.iter().map(|end| (end.reason, end.first_frame.number)).collect();
    assert_eq!(evicted, [(EndReason::Evicted, 2), (EndReason::Evicted, 3)]);
    assert_eq!(table.table.counts().peak, 64);
}

#[test]
fn reassembly_stops_for_the_longest_idle_flows() {
    // Each flow holds a KiB and some; a shard may hold four.
    let held = 4 << 10;
    let mut table = TestTable::new(FlowLimits { held_bytes: held * SHARDS, ..FlowLimits::default() });
    table.recorder.progress = |_| ReadProgress::NeedMore { consumed: 0, need: 0 };
    for port in 1..=4 {
        let payload = [b'0' + port as u8; 1 << 10];
        let header = TcpHeader { seq: 1, ack: 1, flags: TcpHeader::ACK, window: 1, options: &[] };
        let transport = Transport::Tcp(header);
        let client = Endpoint { port, ..CLIENT };
        table.accept(&Packet {
            transport,
            payload: &payload,
            payload_len: payload.len() as u32,
            ..packet(client, SERVER, proto::TCP)
        });
        table.pass(1_000_000);
    }
    let ended: Vec<&str> = table
        .recorder
        .calls
        .iter()
        .filter_map(|call| call.split_once("LimitReached \"").and_then(|(_, bytes)| bytes.get(..1)))
        .collect();
    // The fourth is one too many. Two end, until an eighth is free.
    let counts = table.table.counts();
    assert_eq!((ended, counts.reassembly_stopped, counts.capped_streams), (vec!["1", "2"], 2, 2));
    assert_eq!(table.table.live(), 4);
}

#[test]
fn an_icmp_error_is_attached_to_the_flow_that_it_quotes() {
    let icmp = |script: &str| {
        let mut table = TestTable::new(FlowLimits::default());
        table.play(script);
        table.finish();
        let error = table.recorder.ends.first().unwrap().icmp.clone();
        (error.map(|error| (error.about, error.kind, error.code, error.count)), table.recorder.ends.len())
    };
    let check = |script: &str, expected: Option<(Side, u8, u8, u32)>, flows: usize| {
        assert_eq!(icmp(script), (expected, flows), "{script}");
    };
    check("c S 100\n s icmp 3 13 100", Some((Side::Client, 3, 13, 1)), 1);
    // The one that reports a rule is kept, in whichever order they come; otherwise the first.
    check("c S 100\n s icmp 3 13 100\n s icmp 3 1 100", Some((Side::Client, 3, 13, 2)), 1);
    check("c S 100\n s icmp 3 1 100\n s icmp 3 13 100", Some((Side::Client, 3, 13, 2)), 1);
    check("c S 100\n s icmp 3 3 100\n s icmp 3 2 100", Some((Side::Client, 3, 3, 2)), 1);
    // About the response; it does not replace one about the client's packet.
    check("c S 100\n s SA 500 101\n c icmp 3 3 500", Some((Side::Server, 3, 3, 1)), 1);
    check("c S 100\n s icmp 11 0 100\n s SA 500 101\n c icmp 3 3 500", Some((Side::Client, 11, 0, 2)), 1);
    // It quotes bytes that were not sent: a flow of its own, of ICMP.
    check("c S 100\n s icmp 3 13 102", None, 2);
    check("c S 100\n s icmp 3 13 101", Some((Side::Client, 3, 13, 1)), 1);
    // No flow.
    check("s icmp 3 13 100", None, 1);
}

#[test]
fn an_icmp_error_postpones_the_timeout() {
    check_timeout("c S 100\n +60\n s icmp 3 13 100", 60, "Idle");
}

#[test]
fn a_closed_or_rejected_flow_is_reported_at_once_if_wanted() {
    let limits = FlowLimits { report_interim: true, ..FlowLimits::default() };
    check(
        limits,
        &format!("{HANDSHAKE}s R 501\n c A 101 501"),
        &["opened by c", "interim Done", "closed Done"],
    );
    check(
        limits,
        "c S 100\n s icmp 3 13 100\n s icmp 3 13 100",
        &["opened by c", "interim Idle", "closed CaptureEnded"],
    );
    check_default(&format!("{HANDSHAKE}s R 501"), &["opened by c", "closed Done"]);
}

#[test]
fn an_open_flow_is_reported_after_its_first_reply_and_each_retransmitted_syn() {
    let limits = FlowLimits { report_interim: true, ..FlowLimits::default() };
    let check_after = |script: &str, expected: &[&str]| {
        let mut table = TestTable::new(limits);
        table.play(script);
        let interim = |call: &&String| call.starts_with("interim");
        let calls: Vec<&String> = table.recorder.calls.iter().filter(interim).collect();
        assert_eq!(calls, expected, "{script}");
    };
    check_after("c S 100\n +9", &[]);
    check_after("c S 100\n +1\n c S 100\n +1", &[]);
    check_after("c S 100\n +1\n c S 100\n +2", &["interim Idle"]);
    // Reported all the same: only the judge knows what it means.
    check_after("c S 100\n +1\n c S 100\n s SA 500 101\n +9", &["interim Idle"]);
    check_after(&format!("{HANDSHAKE}+9"), &[]);
    let reply = format!("{HANDSHAKE}c A 101 501 \"abc\"\n s A 501 104 \"de\"");
    check_after(&format!("{reply}\n s A 503 104 \"fg\"\n +9"), &["interim Idle"]);
    // It was reset meanwhile.
    check_after(&format!("{reply}\n s R 503\n +5"), &["interim Done"]);
    check_after("c udp \"abc\"\n s udp \"de\"\n +3", &["interim Idle"]);
    // A server that speaks first has replied to nothing.
    check_after(&format!("{HANDSHAKE}s A 501 101 \"de\"\n +9"), &[]);
}

#[test]
fn packets_of_both_directions_are_of_one_shard_and_flow() {
    let mut table = TestTable::new(FlowLimits::default());
    table.play(&format!("{HANDSHAKE}s A 501 101 \"abc\"\n c A 101 504 \"de\""));
    table.finish();
    let end = table.recorder.ends.pop().unwrap();
    assert_eq!((end.packets, end.bytes), ([3, 2], [2, 3]));
    // Another encapsulation is another flow.
    let mut table = TestTable::new(FlowLimits::default());
    for scope in [0, 1, 0] {
        table.accept(&Packet { scope, ..packet(CLIENT, SERVER, proto::UDP) });
    }
    let other = Endpoint { address: Address::v4([192, 0, 2, 2]), ..SERVER };
    table.accept(&packet(CLIENT, other, proto::UDP));
    assert_eq!(table.table.live(), 3);
}
