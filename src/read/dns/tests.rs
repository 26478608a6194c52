use crate::base::Side;
use crate::base::Side::Client;
use crate::base::Side::Server;
use crate::read::test_harness::TestConversation;
use crate::read::test_harness::play;
use proptest::prelude::*;

/// Plays a conversation with port 53 over UDP.
fn check(talk: &[(Side, &[u8])], expected: &[&str]) {
    assert_eq!(play(TestConversation::udp(53), talk), expected);
}

/// A message: id, flags, counts, then whatever follows.
fn message(id: u16, flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut out: Vec<u8> = [id, flags].iter().chain(&counts).flat_map(|n| n.to_be_bytes()).collect();
    out.extend(body.iter().flat_map(|part| part.iter()));
    out
}

/// A record: owner, type, class IN, ttl 60, data.
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 60]);
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}

const NAME: &[u8] = b"\x03AbC\x07example\x00";
const ASK_A: &[u8] = b"\x03AbC\x07example\x00\x00\x01\x00\x01";
const ASK_HTTPS: &[u8] = b"\x03AbC\x07example\x00\x00\x41\x00\x01";
/// Points to the question's name.
const HERE: &[u8] = b"\xc0\x0c";
const QUERY: u16 = 0x0100;
const RESPONSE: u16 = 0x8180;

fn query() -> Vec<u8> {
    message(7, QUERY, [1, 0, 0, 0], &[ASK_A])
}

fn chain() -> Vec<u8> {
    // The CNAME's data begins at 12 + 17 + 2 + 10 = 41 (0x29).
    message(
        7,
        RESPONSE,
        [1, 2, 0, 0],
        &[ASK_A, &record(HERE, 5, b"\x04edge\xc0\x10"), &record(b"\xc0\x29", 1, &[192, 0, 2, 7])],
    )
}

#[test]
fn a_chain_of_names_and_an_address() {
    check(
        &[(Client, &query()), (Server, &chain())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 query=1x1 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        ],
    );
}

#[test]
fn queries_are_counted_and_matched() {
    let other = message(8, QUERY, [1, 0, 0, 0], &[ASK_HTTPS]);
    check(
        &[(Client, &query()), (Client, &query()), (Client, &other), (Server, &chain())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 query=1x2 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
            "resolved abc.example 65 unanswered query=3x1",
        ],
    );
    check(
        &[(Server, &chain())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 no-query | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        ],
    );
    // A forged answer first, the real one after it: both are told.
    let forged = message(7, RESPONSE, [1, 1, 0, 0], &[ASK_A, &record(HERE, 1, &[0, 0, 0, 0])]);
    check(
        &[(Client, &query()), (Server, &forged), (Server, &chain())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 query=1x1 | abc.example 1 0.0.0.0",
            "resolved abc.example 1 rcode=0 query=1x1 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        ],
    );
}

#[test]
fn refusals_and_empty_sections() {
    let refused = message(7, RESPONSE | 5, [1, 0, 0, 0], &[ASK_A]);
    check(
        &[(Client, &query()), (Server, &refused)],
        &["protocol dns", "resolved abc.example 1 rcode=5 query=1x1"],
    );
    let bare = message(7, RESPONSE | 1, [0, 0, 0, 0], &[]);
    check(
        &[(Client, &query()), (Server, &bare)],
        &["protocol dns", "resolved abc.example 1 rcode=1 query=1x1"],
    );
    // RFC 8914: option 15, code 15 (Blocked); the OPT's ttl carries the upper bits of rcode 16.
    let opt = b"\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x0b\x00\x0f\x00\x07\x00\x0fno\x1b!\x00";
    let blocked = message(7, RESPONSE, [1, 0, 0, 1], &[ASK_A, opt]);
    check(
        &[(Client, &query()), (Server, &blocked)],
        &["protocol dns", "resolved abc.example 1 rcode=16 query=1x1 ede=15:no\\x1b!"],
    );
}

#[test]
fn types_that_other_parsers_choke_on() {
    let https =
        [&b"\x00\x01\x00"[..], b"\x00\x01\x00\x06\x02h2\x02h3", b"\x00\x04\x00\x04\x01\x02\x03\x04"].concat();
    let response = message(
        7,
        RESPONSE,
        [1, 4, 0, 0],
        &[
            ASK_HTTPS,
            &record(HERE, 65, &https),
            &record(HERE, 46, b"\x01\x02\x03"),
            &record(HERE, 15, b"\x00\x0a\xc0\x0c"),
            &record(HERE, 16, b"\x02hi\x01\x07"),
        ],
    );
    let ask = message(7, QUERY, [1, 0, 0, 0], &[ASK_HTTPS]);
    check(
        &[(Client, &ask), (Server, &response)],
        &[
            "protocol dns",
            "resolved abc.example 65 rcode=0 query=1x1 | abc.example 65 1 . alpn=h2,h3 ipv4hint=1.2.3.4 hints=1 ech=false \
             | abc.example 46 # 3 010203 | abc.example 15 10 abc.example | abc.example 16 \"hi\" \"\\x07\"",
        ],
    );
}

#[test]
fn damage_keeps_what_came_before_it() {
    let whole = chain();
    let mut cut = TestConversation::udp(53);
    cut.send_truncated(Server, &whole[..whole.len() - 3], whole.len() as u32);
    assert_eq!(
        cut.end(),
        ["protocol dns", "resolved abc.example 1 rcode=0 no-query damaged | abc.example 5 edge.example"]
    );
    check(
        &[(Server, &whole[..whole.len() - 3])],
        &[
            "protocol dns",
            "anomaly dns: message ends before its records",
            "resolved abc.example 1 rcode=0 no-query damaged | abc.example 5 edge.example",
        ],
    );
    let looped = message(7, RESPONSE, [1, 1, 0, 0], &[ASK_A, &record(b"\xc0\x1d", 1, &[1, 2, 3, 4])]);
    check(
        &[(Server, &looped)],
        &["protocol dns", "anomaly dns: compression loop", "resolved abc.example 1 rcode=0 no-query damaged"],
    );
    let counts = message(7, RESPONSE, [1, 65535, 65535, 65535], &[ASK_A]);
    check(
        &[(Server, &counts)],
        &[
            "protocol dns",
            "anomaly dns: message ends before its records",
            "resolved abc.example 1 rcode=0 no-query damaged",
        ],
    );
}

#[test]
fn over_tcp_messages_are_cut_anywhere() {
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let asked = [framed(&query()), framed(&message(8, QUERY, [1, 0, 0, 0], &[ASK_HTTPS]))].concat();
    let answer = framed(&chain());
    let expected = [
        "protocol dns",
        "resolved abc.example 1 rcode=0 query=2x1 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        "resolved abc.example 65 unanswered query=2x1",
    ];
    let (a, b) = answer.split_at(20);
    let got = play(
        TestConversation::tcp(53),
        &[(Client, &asked[..1]), (Client, &asked[1..]), (Server, a), (Server, b)],
    );
    assert_eq!(got, expected);
    // Another port: only a whole and certain message is believed.
    assert_eq!(play(TestConversation::tcp(8053), &[(Client, &asked), (Server, &answer)])[0], "protocol dns");
    // The rest was not captured.
    let got = play(TestConversation::tcp(53), &[(Server, &answer[..answer.len() - 3])]);
    assert_eq!(
        got,
        ["protocol dns", "resolved abc.example 1 rcode=0 no-query damaged | abc.example 5 edge.example"]
    );
}

#[test]
fn relatives_and_strangers() {
    let mdns = message(0, 0x8400, [0, 1, 0, 0], &[&record(NAME, 1, &[192, 0, 2, 9])]);
    assert_eq!(
        play(TestConversation::new(17, 5353, 5353), &[(Client, &mdns)]),
        ["protocol mdns", "resolved abc.example 1 rcode=0 no-query multicast | abc.example 1 192.0.2.9"]
    );
    assert_eq!(play(TestConversation::udp(5355), &[(Client, &query())]), ["protocol llmnr"]);
    assert_eq!(play(TestConversation::udp(9999), &[(Client, &query())])[0], "protocol dns");
    let mut trailing = query();
    trailing.push(0);
    assert_eq!(play(TestConversation::udp(9999), &[(Client, &trailing)]), [""; 0]);
    // A dynamic update resolves nothing, and says so.
    let update = message(7, 0xa805, [1, 0, 0, 0], &[b"\x07example\x00\x00\x06\x00\x01"]);
    check(&[(Server, &update)], &["protocol dns", "resolved example 6 opcode=5 rcode=5 no-query"]);
}

#[test]
fn open_queries_are_bounded() {
    let mut conversation = TestConversation::udp(53);
    for id in 0..1000 {
        conversation.send(Client, &message(id, QUERY, [1, 0, 0, 0], &[ASK_A]));
    }
    assert_eq!(conversation.end().len(), 1000 + 2, "each is told, and that there were too many");
}

/// The message that dns-parser's names take milliseconds for: pointers to pointers, each record's owner one further.
#[test]
fn a_chain_of_pointers_costs_little() {
    let mut bytes = message(7, RESPONSE, [1, 400, 0, 0], &[ASK_A]);
    let mut before = 12u16;
    for _ in 0..400 {
        let here = bytes.len() as u16;
        bytes.extend(record(&(0xc000 | before).to_be_bytes(), 1, &[1, 2, 3, 4]));
        before = here;
    }
    let started = std::time::Instant::now();
    let facts = play(TestConversation::udp(53), &[(Server, &bytes)]);
    assert!(started.elapsed().as_millis() < 100);
    assert_eq!(facts[1], "anomaly dns: compression loop", "126 pointers are enough for anybody");
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), port in prop_oneof![Just(53u16), any::<u16>()]) {
        play(TestConversation::udp(port), &[(Client, &bytes), (Server, &bytes)]);
        play(TestConversation::tcp(port), &[(Client, &bytes), (Server, &bytes)]);
    }

    #[test]
    fn mutations_are_survived(at in 0usize..60, byte in any::<u8>(), len in 0usize..80) {
        let mut bytes = chain();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(len.max(1));
        play(TestConversation::udp(53), &[(Client, &query()), (Server, &bytes)]);
    }

    #[test]
    fn cutting_a_stream_anywhere_changes_nothing(cuts in proptest::collection::vec(1usize..40, 1..20)) {
        let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
        let stream = [framed(&chain()), framed(&chain()), framed(&query())].concat();
        let whole: Vec<String> = play(TestConversation::tcp(53), &[(Server, &stream)]);
        let mut conversation = TestConversation::tcp(53);
        conversation.send_split(Server, &stream, &cuts);
        let strip = |facts: Vec<String>| -> Vec<String> {
            facts.iter().map(|fact| fact.split(" query=").next().unwrap_or_default().to_string()).collect()
        };
        prop_assert_eq!(strip(conversation.end()), strip(whole));
    }
}
