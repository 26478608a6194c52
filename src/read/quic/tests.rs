use super::*;
use crate::base::FrameRef;
use crate::base::Side::Client;
use crate::base::Side::Server;
use crate::base::Time;
use crate::flow::At;
use crate::flow::Slot;
use crate::read::parse_cache::ParseCache;
use crate::read::test_harness::TestConversation;
use crate::read::test_harness::play;
use proptest::prelude::*;

/// Compares the facts of datagrams with port 443, without fingerprints and ciphers.
fn check(sent: &[(Side, &[u8])], expected: &[&str]) {
    assert_eq!(brief(play(TestConversation::udp(443), sent)), expected);
}

fn brief(facts: Vec<String>) -> Vec<String> {
    facts.into_iter().filter(|fact| !fact.starts_with("ja4=") && !fact.starts_with("tls.ciphers=")).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The protected client Initial packets of the RFCs' appendices: the same ClientHello for example.com.
const RFC9001_A2: &str = include_str!("testdata/rfc9001-a2.hex");
const RFC9369_A2: &str = include_str!("testdata/rfc9369-a2.hex");

#[test]
fn the_example_packets_of_the_rfcs() {
    let facts = ["name quic-sni example.com", "alpn.offered=alpn", "tls.offered=0x304"];
    let v1 = [&["protocol quic", "quic.version=0x1"][..], &facts].concat();
    check(&[(Client, &hex(RFC9001_A2))], &v1);
    let v2 = [&["protocol quic", "quic.version=0x6b3343cf"][..], &facts].concat();
    check(&[(Client, &hex(RFC9369_A2))], &v2);
    // The server's Initial packets, appendix A.3.
    let answered = |facts: &[&'static str]| [facts, &["tls.version=0x304", "tls.cipher=0x1301"]].concat();
    let a3 = hex(include_str!("testdata/rfc9001-a3.hex"));
    check(&[(Client, &hex(RFC9001_A2)), (Server, &a3)], &answered(&v1));
    let a3 = hex(include_str!("testdata/rfc9369-a3.hex"));
    check(&[(Client, &hex(RFC9369_A2)), (Server, &a3)], &answered(&v2));
    // Any changed bit fails authentication; the version is still read.
    let mut changed = hex(RFC9001_A2);
    changed[600] ^= 1;
    check(&[(Client, &changed)], &["protocol quic", "quic.version=0x1"]);
    // The orientation of the flow may be wrong.
    check(&[(Server, &hex(RFC9001_A2))], &v1);
}

/// Encrypts frames as an Initial packet.
fn initial(version: u32, id: &[u8], number: u8, sender: Sender, token: &[u8], frames: &[u8]) -> Vec<u8> {
    initial_with_salt(0, version, id, number, sender, token, frames)
}

/// The same, with one of the salts that the version may have.
fn initial_with_salt(
    salt: usize,
    version: u32,
    id: &[u8],
    number: u8,
    sender: Sender,
    token: &[u8],
    frames: &[u8],
) -> Vec<u8> {
    let v2 = version == QuicVersion::V2;
    let mut out = vec![if v2 { 0xd0 } else { 0xc0 }];
    out.extend(version.to_be_bytes());
    let destination: &[u8] = if sender == Sender::Client { id } else { b"" };
    if QuicVersion(version).packs_lengths() {
        out.push(destination.len().saturating_sub(3).wrapping_shl(4) as u8);
        out.extend(destination);
    } else {
        out.push(destination.len() as u8);
        out.extend(destination);
        out.push(0);
    }
    out.push(token.len() as u8);
    out.extend(token);
    let len = 1 + frames.len() + 16;
    out.extend((0x4000 | len as u16).to_be_bytes());
    let client = Keys::client_candidates(QuicVersion(version), id).nth(salt).unwrap();
    let keys = if sender == Sender::Client { client } else { client.server_keys(id).unwrap() };
    keys.encrypt(&mut out, number, frames);
    out
}

fn hello(name: &[u8], filler: usize) -> Vec<u8> {
    let sized = |len: usize, body: &[u8]| [&(body.len() as u32).to_be_bytes()[4 - len..], body].concat();
    let entry = sized(2, &[&[0][..], &sized(2, name)].concat());
    let extensions = [&[0, 0][..], &sized(2, &entry), &[0, 21], &sized(2, &vec![0; filler])].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(sized(2, &extensions));
    [&[1][..], &sized(3, &body)].concat()
}

fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    let number = |n: usize| (0x4000 | n as u16).to_be_bytes();
    [&[6][..], &number(offset), &number(data.len()), data].concat()
}

const ID: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
const HELLO_FACTS: [&str; 4] =
    ["protocol quic", "quic.version=0x1", "name quic-sni name.example", "tls.offered=0x303"];

#[test]
fn a_client_hello_in_several_packets_out_of_order() {
    let hello = hello(b"name.example", 1700);
    let (a, b) = (&hello[..300], &hello[300..1300]);
    let c = &hello[1300..];
    let first = initial(1, ID, 0, Sender::Client, b"", &[crypto(300, b), vec![0; 30], vec![1]].concat());
    // ACK: largest 1, delay 0, one more range; then CRYPTO in two pieces; two packets in one datagram.
    let ack = vec![2, 1, 0, 1, 0, 0, 0];
    let second = [
        initial(1, ID, 1, Sender::Client, b"", &[ack, crypto(1300, c)].concat()),
        initial(1, ID, 2, Sender::Client, b"", &crypto(0, a)),
    ]
    .concat();
    check(&[(Client, &first), (Client, &second)], &HELLO_FACTS);
    check(&[(Client, &second), (Client, &first)], &HELLO_FACTS);
    // The middle of the hello is missing.
    let expected = [&HELLO_FACTS[..], &["tls.hello-cut=yes"]].concat();
    check(&[(Client, &second)], &expected);
}

#[test]
fn version_numbers_that_do_not_show_their_draft() {
    let frames = crypto(0, &hello(b"name.example", 10));
    let many = [
        (0xff00_0012, 1),
        (0xff00_0015, 1),
        (0xff00_0016, 1),
        (0xff00_001b, 1),
        (0xface_b001, 2),
        (0xface_b00e, 3),
        (0x1a2a_3a4a, 3),
        (0x5147_4fff, 3),
    ];
    for (version, salts) in many {
        for salt in 0..salts {
            let version_fact = format!("quic.version={version:#x}");
            let expected = [&["protocol quic", &version_fact][..], &HELLO_FACTS[2..]].concat();
            check(
                &[(Client, &initial_with_salt(salt, version, ID, 0, Sender::Client, b"", &frames))],
                &expected,
            );
        }
    }
}

#[test]
fn version_negotiation_changes_the_keys() {
    let hello = hello(b"name.example", 10);
    // Part of a hello in a version that the server does not support; then all of it with the same connection ID.
    let first = initial(0x1a2a_3a4a, ID, 0, Sender::Client, b"", &crypto(0, &hello[..20]));
    let negotiation = b"\x80\x00\x00\x00\x00\x00\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\x00\x00\x00\x01";
    let again = initial(1, ID, 0, Sender::Client, b"", &crypto(0, &hello));
    let expected = [&["protocol quic", "quic.version=0x1a2a3a4a"], &HELLO_FACTS[2..]].concat();
    check(&[(Client, &first), (Server, negotiation), (Client, &again)], &expected);
}

#[test]
fn a_retry_changes_the_keys() {
    let hello = hello(b"name.example", 10);
    let first = initial(1, ID, 0, Sender::Client, b"", &crypto(0, &hello[..20]));
    let retry = [&b"\xf0\x00\x00\x00\x01\x00\x04abcd"[..], &[9; 40]].concat();
    let again = initial(1, b"abcd", 1, Sender::Client, b"token", &crypto(0, &hello));
    check(&[(Client, &first), (Server, &retry), (Client, &again)], &HELLO_FACTS);
}

/// A long ClientHello takes many packets, and all of them twice where the server requires a token.
#[test]
fn a_long_client_hello_is_answered_after_a_retry() {
    let hello = hello(b"name.example", 10_000);
    let packets = |id: &[u8], token: &[u8]| -> Vec<Vec<u8>> {
        let pieces = hello.chunks(1_100).zip(0..);
        pieces
            .map(|(piece, n)| {
                initial(1, id, n, Sender::Client, token, &crypto(usize::from(n) * 1_100, piece))
            })
            .collect()
    };
    let retry = [&b"\xf0\x00\x00\x00\x01\x00\x08abcdefgh"[..], &[9; 40]].concat();
    let answer = initial(1, b"abcdefgh", 7, Sender::Server, b"", &crypto(0, &server_hello()));
    let mut datagrams: Vec<(Side, &[u8])> = Vec::new();
    let (first, second) = (packets(ID, b""), packets(b"abcdefgh", b"token"));
    datagrams.extend(first.iter().map(|packet| (Client, packet.as_slice())));
    datagrams.push((Server, &retry));
    datagrams.extend(second.iter().map(|packet| (Client, packet.as_slice())));
    datagrams.push((Server, &answer));
    let facts = [&HELLO_FACTS[..], &["tls.version=0x304", "tls.cipher=0x1301"]].concat();
    check(&datagrams, &facts);
}

/// A ServerHello.
fn server_hello() -> Vec<u8> {
    let mut message = vec![2, 0, 0, 46, 3, 3];
    message.extend([1; 32]);
    message.extend(b"\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04");
    message
}

#[test]
fn the_server_answers_or_closes() {
    let hello = hello(b"name.example", 10);
    let first = initial(1, ID, 0, Sender::Client, b"", &crypto(0, &hello));
    let answer = initial(1, ID, 0, Sender::Server, b"", &crypto(0, &server_hello()));
    let expected = [&HELLO_FACTS[..], &["tls.version=0x304", "tls.cipher=0x1301"]].concat();
    check(&[(Client, &first), (Server, &answer)], &expected);
    // RFC 9001 §4.8: handshake_failure.
    let refusal = initial(1, ID, 0, Sender::Server, b"", b"\x1c\x41\x28\x06\x00");
    let expected = [&HELLO_FACTS[..], &["alert Server fatal 40"]].concat();
    check(&[(Client, &first), (Server, &refusal)], &expected);
    let other = initial(1, ID, 0, Sender::Server, b"", b"\x1c\x02\x06\x00");
    let expected = [&HELLO_FACTS[..], &["quic.error=0x2"]].concat();
    check(&[(Client, &first), (Server, &other)], &expected);
}

#[test]
fn versions_with_unknown_keys() {
    let mut unknown = hex(RFC9001_A2);
    unknown[1..5].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    check(&[(Client, &unknown)], &["protocol quic", "quic.version=0x12345678"]);
    assert_eq!(play(TestConversation::udp(9999), &[(Client, &unknown)]), [""; 0]);
    // RFC 9000 §17.2.1: version negotiation.
    let negotiation = b"\x80\x00\x00\x00\x00\x04abcd\x00\x00\x00\x00\x01\x6b\x33\x43\xcf";
    check(&[(Server, negotiation)], &["protocol quic"]);
}

#[test]
fn a_packet_cut_by_the_snap_length_is_reported() {
    let whole = hex(RFC9001_A2);
    let mut conversation = TestConversation::udp(443);
    conversation.send_truncated(Client, &whole[..200], whole.len() as u32);
    assert_eq!(conversation.end(), ["protocol quic", "quic.version=0x1", "tls.hello-cut=yes"]);
}

#[test]
fn a_gquic_client_hello() {
    // Q043: flags, connection id, version, packet number, hash, a stream frame, the hello with two tags.
    let hello = [
        &b"\x0dCONNIDCIQ043\x01HASHHASHHASH\xa0\x01\x04CHLO\x02\x00\x00\x00"[..],
        b"PAD\x00\x04\x00\x00\x00SNI\x00\x10\x00\x00\x00----name.example",
    ]
    .concat();
    let expected = ["protocol quic", "quic.version=0x51303433", "name quic-sni name.example"];
    check(&[(Client, &hello)], &expected);
    // The name is incomplete.
    check(&[(Client, &hello[..hello.len() - 1])], &expected[..2]);
}

/// Random bytes after a valid long header, each with another connection ID: few of them cost a key derivation.
#[test]
fn packets_that_do_not_decrypt_are_given_up() {
    let mut out = Vec::new();
    let at = At { order: 0, frame: FrameRef::default(), time: Time::default() };
    let mut cache = ParseCache::default();
    let mut emit = Emitter { out: &mut out, at, slot: Slot(0), opened: 0, cache: &mut cache };
    let mut quic = QuicReader::new();
    for number in 0..DATAGRAM_LIMIT {
        let mut packet = initial(1, &[number; 8], 0, Sender::Client, b"", &[0; 1100]);
        packet[100] ^= 1;
        quic.datagram(Client, &packet, packet.len(), &mut emit);
    }
    assert_eq!((quic.initials, quic.failures), ([INITIAL_LIMIT, 0], [FAILURE_LIMIT, 0]));
}

proptest! {
    #[test]
    fn arbitrary_datagrams_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        head in 0usize..4,
    ) {
        let head = [&b""[..], b"\xc0\x00\x00\x00\x01\x08IDIDIDID\x00\x00", b"\xd0\x6b\x33\x43\xcf", b"\x09CONNIDCIQ039\x01CHLO"][head];
        let bytes = [head, &bytes].concat();
        play(TestConversation::udp(443), &[(Client, &bytes), (Server, &bytes)]);
    }

    #[test]
    fn arbitrary_frames_do_not_panic(frames in proptest::collection::vec(any::<u8>(), 4..100), at in 0usize..20, byte in any::<u8>()) {
        let mut packet = initial(1, ID, 0, Sender::Client, b"", &frames);
        play(TestConversation::udp(443), &[(Client, &packet)]);
        packet[at] = byte;
        play(TestConversation::udp(443), &[(Client, &packet)]);
    }

    #[test]
    fn a_cut_datagram_gives_no_name(len in 1usize..1200) {
        let whole = hex(RFC9001_A2);
        let mut conversation = TestConversation::udp(443);
        conversation.send_truncated(Client, &whole[..len], whole.len() as u32);
        prop_assert!(conversation.end().iter().all(|fact| !fact.starts_with("name ")));
    }
}
