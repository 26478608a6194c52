use crate::base::Side;
use crate::base::Side::Client;
use crate::base::Side::Server;
use crate::read::test_harness::TestConversation;
use crate::read::test_harness::play;
use proptest::prelude::*;

/// Compares the facts of a conversation with port 53 over UDP.
fn check(sent: &[(Side, &[u8])], expected: &[&str]) {
    assert_eq!(play(TestConversation::udp(53), sent), expected);
}

/// A message: ID, flags, counts, body.
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
const QUESTION_A: &[u8] = b"\x03AbC\x07example\x00\x00\x01\x00\x01";
const QUESTION_HTTPS: &[u8] = b"\x03AbC\x07example\x00\x00\x41\x00\x01";
/// A pointer to the question's name.
const QUESTION_NAME: &[u8] = b"\xc0\x0c";
const QUERY: u16 = 0x0100;
const RESPONSE: u16 = 0x8180;

fn query() -> Vec<u8> {
    message(7, QUERY, [1, 0, 0, 0], &[QUESTION_A])
}

fn cname_response() -> Vec<u8> {
    // The CNAME's data starts at 12 + 17 + 2 + 10 = 41 (0x29).
    message(
        7,
        RESPONSE,
        [1, 2, 0, 0],
        &[
            QUESTION_A,
            &record(QUESTION_NAME, 5, b"\x04edge\xc0\x10"),
            &record(b"\xc0\x29", 1, &[192, 0, 2, 7]),
        ],
    )
}

#[test]
fn a_cname_and_its_address() {
    check(
        &[(Client, &query()), (Server, &cname_response())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 query=1x1 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        ],
    );
}

#[test]
fn queries_are_counted_and_matched_with_responses() {
    let other = message(8, QUERY, [1, 0, 0, 0], &[QUESTION_HTTPS]);
    check(
        &[(Client, &query()), (Client, &query()), (Client, &other), (Server, &cname_response())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 query=1x2 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
            "resolved abc.example 65 unanswered query=3x1",
        ],
    );
    check(
        &[(Server, &cname_response())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 no-query | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        ],
    );
    // A forged response first, the real one after it: both are reported.
    let forged = message(7, RESPONSE, [1, 1, 0, 0], &[QUESTION_A, &record(QUESTION_NAME, 1, &[0, 0, 0, 0])]);
    check(
        &[(Client, &query()), (Server, &forged), (Server, &cname_response())],
        &[
            "protocol dns",
            "resolved abc.example 1 rcode=0 query=1x1 | abc.example 1 0.0.0.0",
            "resolved abc.example 1 rcode=0 query=1x1 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        ],
    );
}

#[test]
fn errors_and_empty_sections() {
    let refused = message(7, RESPONSE | 5, [1, 0, 0, 0], &[QUESTION_A]);
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
    let blocked = message(7, RESPONSE, [1, 0, 0, 1], &[QUESTION_A, opt]);
    check(
        &[(Client, &query()), (Server, &blocked)],
        &["protocol dns", "resolved abc.example 1 rcode=16 query=1x1 ede=15:no\\x1b!"],
    );
}

#[test]
fn types_that_dns_parser_rejects() {
    let https =
        [&b"\x00\x01\x00"[..], b"\x00\x01\x00\x06\x02h2\x02h3", b"\x00\x04\x00\x04\x01\x02\x03\x04"].concat();
    let response = message(
        7,
        RESPONSE,
        [1, 4, 0, 0],
        &[
            QUESTION_HTTPS,
            &record(QUESTION_NAME, 65, &https),
            &record(QUESTION_NAME, 46, b"\x01\x02\x03"),
            &record(QUESTION_NAME, 15, b"\x00\x0a\xc0\x0c"),
            &record(QUESTION_NAME, 16, b"\x02hi\x01\x07"),
        ],
    );
    let https_query = message(7, QUERY, [1, 0, 0, 0], &[QUESTION_HTTPS]);
    check(
        &[(Client, &https_query), (Server, &response)],
        &[
            "protocol dns",
            "resolved abc.example 65 rcode=0 query=1x1 | abc.example 65 1 . alpn=h2,h3 ipv4hint=1.2.3.4 hints=1 ech=false \
             | abc.example 46 # 3 010203 | abc.example 15 10 abc.example | abc.example 16 \"hi\" \"\\x07\"",
        ],
    );
}

#[test]
fn records_before_a_fault_are_kept() {
    let whole = cname_response();
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
    let looped = message(7, RESPONSE, [1, 1, 0, 0], &[QUESTION_A, &record(b"\xc0\x1d", 1, &[1, 2, 3, 4])]);
    check(
        &[(Server, &looped)],
        &[
            "protocol dns",
            "anomaly dns: more than 16 pointers in a name",
            "resolved abc.example 1 rcode=0 no-query damaged",
        ],
    );
    let counts = message(7, RESPONSE, [1, 65535, 65535, 65535], &[QUESTION_A]);
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
fn tcp_segments_may_split_messages_anywhere() {
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let queries = [framed(&query()), framed(&message(8, QUERY, [1, 0, 0, 0], &[QUESTION_HTTPS]))].concat();
    let answer = framed(&cname_response());
    let expected = [
        "protocol dns",
        "resolved abc.example 1 rcode=0 query=2x1 | abc.example 5 edge.example | edge.example 1 192.0.2.7",
        "resolved abc.example 65 unanswered query=2x1",
    ];
    let (a, b) = answer.split_at(20);
    let got = play(
        TestConversation::tcp(53),
        &[(Client, &queries[..1]), (Client, &queries[1..]), (Server, a), (Server, b)],
    );
    assert_eq!(got, expected);
    // On another port the first segment must hold a valid message.
    assert_eq!(
        play(TestConversation::tcp(8053), &[(Client, &queries), (Server, &answer)])[0],
        "protocol dns"
    );
    // The last bytes were not captured.
    let got = play(TestConversation::tcp(53), &[(Server, &answer[..answer.len() - 3])]);
    assert_eq!(
        got,
        ["protocol dns", "resolved abc.example 1 rcode=0 no-query damaged | abc.example 5 edge.example"]
    );
}

#[test]
fn mdns_llmnr_other_ports_and_updates() {
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
    // A dynamic update resolves nothing.
    let update = message(7, 0xa805, [1, 0, 0, 0], &[b"\x07example\x00\x00\x06\x00\x01"]);
    check(&[(Server, &update)], &["protocol dns", "resolved example 6 opcode=5 rcode=5 no-query"]);
}

#[test]
fn open_queries_are_limited() {
    let mut conversation = TestConversation::udp(53);
    for id in 0..1000 {
        conversation.send(Client, &message(id, QUERY, [1, 0, 0, 0], &[QUESTION_A]));
    }
    assert_eq!(conversation.end().len(), 1000 + 2, "each query, the protocol and the anomaly");
}

/// The answers of a message that its reader kept, those that it only counted, and whether the rest cost too much.
fn answers_kept(message: &[u8]) -> (usize, usize, bool) {
    let facts = play(TestConversation::udp(53), &[(Server, message)]);
    let resolved = facts.last().unwrap();
    let unread = resolved.split(" unread=").nth(1).map_or("0", |rest| rest.split(' ').next().unwrap());
    let is_given_up = facts.iter().any(|fact| fact == "anomaly dns: more name bytes than a message may cost");
    (resolved.matches(" | ").count(), unread.parse().unwrap(), is_given_up)
}

/// Of names and text, what a row does not list is not read. Addresses and SRV records are: later connections go to these hosts.
#[test]
fn answers_that_no_row_lists_are_counted_and_addresses_are_read() {
    let mut records = Vec::new();
    for index in 0..50u8 {
        records.extend(record(
            QUESTION_NAME,
            5,
            &[&[2, b'a' + index / 26, b'a' + index % 26][..], b"\xc0\x0c"].concat(),
        ));
        records.extend(record(QUESTION_NAME, 1, &[192, 0, 2, index]));
        // The domain controllers of a large domain.
        records.extend(record(QUESTION_NAME, 33, &[&[0, 0, 0, 100, 1, 133][..], QUESTION_NAME].concat()));
    }
    let bytes = message(7, RESPONSE, [1, 150, 0, 0], &[QUESTION_A, &records]);
    assert_eq!(answers_kept(&bytes), (16 + 50 + 50, 34, false));
    // An answer that is not whole is damage, not one more.
    assert_eq!(answers_kept(&bytes[..bytes.len() - 1]), (16 + 50 + 49, 34, false));
    let facts = play(TestConversation::udp(53), &[(Server, &bytes)]);
    assert!(facts.last().unwrap().contains(" 1 192.0.2.49"), "{facts:?}");
}

/// A large domain has more controllers than a row lists. Clients connect to the addresses that the response adds (RFC 2782).
#[test]
fn the_addresses_of_all_hosts_of_srv_records_are_read() {
    let host = |n: u8| [&[3, b'd', b'0' + n / 10, b'0' + n % 10][..], b"\xc0\x0c"].concat();
    let (mut services, mut addresses) = (Vec::new(), Vec::new());
    for n in 0..60 {
        services.extend(record(QUESTION_NAME, 33, &[&[0, 0, 0, 100, 1, 133][..], &host(n)].concat()));
        addresses.extend(record(&host(n), 1, &[192, 0, 2, n]));
    }
    let bytes = message(7, RESPONSE, [1, 60, 0, 60], &[QUESTION_A, &services, &addresses]);
    assert_eq!(answers_kept(&bytes), (60 + 60, 0, false));
}

/// Owners that point to the owner before: each would be one pointer longer, if the name before was not known.
#[test]
fn growing_chains_of_pointers_are_read() {
    let mut bytes = message(7, RESPONSE, [1, 400, 0, 0], &[QUESTION_A]);
    let mut before = 12u16;
    for _ in 0..400 {
        let here = bytes.len() as u16;
        bytes.extend(record(&(0xc000 | before).to_be_bytes(), 1, &[1, 2, 3, 4]));
        before = here;
    }
    assert_eq!(answers_kept(&bytes), (400, 0, false));
}

/// A chain of pointers in the data of a record of another type; each leads to the one before, the first to the question's name.
fn chain(pointers: u16) -> Vec<u8> {
    let pointer = |target: u16| (0xc000 | target).to_be_bytes();
    let data: Vec<u8> = (0..pointers).flat_map(|n| pointer(if n == 0 { 12 } else { 39 + 2 * n })).collect();
    record(QUESTION_NAME, 1234, &data)
}

/// Records whose owner and target are the same chain of 15 pointers, which is followed once.
#[test]
fn a_chain_of_pointers_is_followed_once() {
    let last = (0xc000 | (41 + 2 * 13u16)).to_be_bytes();
    let mut records = chain(14);
    for _ in 0..80 {
        records.extend(record(&last, 5, &last));
    }
    let bytes = message(7, RESPONSE, [1, 81, 0, 0], &[QUESTION_A, &records]);
    assert_eq!(answers_kept(&bytes), (32, 49, false));
}

/// Compressed names of 252 bytes, of which a row lists 2048 bytes.
#[test]
fn many_long_names_are_not_read() {
    let label = |len: u8| [vec![len], vec![b'x'; usize::from(len)]].concat();
    let long = [label(63), label(63), label(63), label(44), QUESTION_NAME.to_vec()].concat();
    // The first record's data starts at 41.
    let mut records = record(QUESTION_NAME, 5, &long);
    for _ in 0..60 {
        records.extend(record(b"\x01a\xc0\x29", 5, b"\x01b\xc0\x29"));
    }
    let bytes = message(7, RESPONSE, [1, 61, 0, 0], &[QUESTION_A, &records]);
    assert_eq!(bytes.len(), 1360);
    assert_eq!(answers_kept(&bytes), (9, 52, false));
}

/// Names of many labels that begin inside of the names before, so that none is known: a label costs 4.
#[test]
fn many_labels_are_given_up() {
    let long: Vec<u8> = [1, b'x'].repeat(100).into_iter().chain(*b"\xc0\x0c").collect();
    let mut records = record(QUESTION_NAME, 5, &long);
    for index in 0..60u16 {
        let inside = (0xc000 | (41 + 2 * index)).to_be_bytes();
        records.extend(record(&inside, 5, &inside));
    }
    let bytes = message(7, RESPONSE, [1, 61, 0, 0], &[QUESTION_A, &records]);
    assert_eq!(answers_kept(&bytes), (7, 0, true));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), port in prop_oneof![Just(53u16), any::<u16>()]) {
        play(TestConversation::udp(port), &[(Client, &bytes), (Server, &bytes)]);
        play(TestConversation::tcp(port), &[(Client, &bytes), (Server, &bytes)]);
    }

    #[test]
    fn mutated_responses_do_not_panic(at in 0usize..60, byte in any::<u8>(), len in 0usize..80) {
        let mut bytes = cname_response();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(len.max(1));
        play(TestConversation::udp(53), &[(Client, &query()), (Server, &bytes)]);
    }

    #[test]
    fn segment_boundaries_do_not_change_the_facts(lens in proptest::collection::vec(1usize..40, 1..20)) {
        let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
        let stream = [framed(&cname_response()), framed(&cname_response()), framed(&query())].concat();
        let whole: Vec<String> = play(TestConversation::tcp(53), &[(Server, &stream)]);
        let mut conversation = TestConversation::tcp(53);
        conversation.send_split(Server, &stream, &lens);
        let strip = |facts: Vec<String>| -> Vec<String> {
            facts.iter().map(|fact| fact.split(" query=").next().unwrap_or_default().to_string()).collect()
        };
        prop_assert_eq!(strip(conversation.end()), strip(whole));
    }
}
