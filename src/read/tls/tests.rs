use crate::base::Side;
use crate::base::Side::Client;
use crate::base::Side::Server;
use crate::read::test_harness::TestConversation;
use crate::read::test_harness::play;
use proptest::prelude::*;

/// Compares the facts of a TCP connection, without fingerprints and cipher suites.
fn check(port: u16, sent: &[(Side, &[u8])], expected: &[&str]) {
    assert_eq!(brief(play(TestConversation::tcp(port), sent)), expected);
}

fn brief(facts: Vec<String>) -> Vec<String> {
    facts.into_iter().filter(|fact| !fact.starts_with("ja4=") && !fact.starts_with("tls.ciphers=")).collect()
}

fn vector(len_bytes: usize, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    [&len[4 - len_bytes..], body].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &vector(2, body)].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(3, body)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, body)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat()))
}

/// A ClientHello message with these extensions.
fn hello_with(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(vector(1, &[9; 32]));
    body.extend(vector(2, &[0x1a, 0x1a, 0x13, 0x01, 0xc0, 0x30]));
    body.extend([1, 0]);
    body.extend(vector(2, &extensions.concat()));
    handshake(1, &body)
}

fn modern() -> Vec<Vec<u8>> {
    vec![
        extension(0x3a3a, &[]),
        server_name(b"Kailani1.ONE.microsoft.com"),
        extension(43, b"\x06\x4a\x4a\x03\x04\x03\x03"),
        extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
        extension(51, &[5; 1300]),
    ]
}

const NAME: &str = "name sni kailani1.one.microsoft.com";
const MODERN: &[&str] = &["protocol tls", NAME, "alpn.offered=h2;http/1.1", "tls.offered=0x304"];

/// A ServerHello with these extensions.
fn server_hello(version: u16, random: [u8; 32], extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend(random);
    body.extend(vector(1, &[9; 32]));
    body.extend([0xc0, 0x30, 0]);
    body.extend(vector(2, &extensions.concat()));
    handshake(2, &body)
}

/// RFC 8446 §4.1.3.
const RETRY: [u8; 32] = *b"\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\
    \xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c";

#[test]
fn a_client_hello_in_several_segments_and_records() {
    let hello = hello_with(&modern());
    let whole = record(22, &hello);
    check(443, &[(Client, &whole)], MODERN);
    check(12345, &[(Client, &whole)], MODERN);
    let (a, b) = whole.split_at(700);
    check(443, &[(Client, a), (Client, b)], MODERN);
    let records: Vec<u8> = hello.chunks(100).flat_map(|part| record(22, part)).collect();
    check(8443, &[(Client, &records)], MODERN);
    let tiny: Vec<u8> = hello.chunks(1).flat_map(|part| record(22, part)).collect();
    check(8443, &[(Client, &tiny)], MODERN);
    let bytes: Vec<(Side, &[u8])> = tiny.chunks(1).map(|byte| (Client, byte)).collect();
    check(8443, &bytes, MODERN);
    let facts = play(TestConversation::tcp(443), &[(Client, &whole)]);
    assert!(facts.contains(&"tls.ciphers=1301;c030".to_string()), "without GREASE: {facts:?}");
}

#[test]
fn the_server_chooses_version_cipher_and_alpn() {
    let hello = record(22, &hello_with(&modern()));
    let tls13 = record(22, &server_hello(0x0303, [1; 32], &[extension(43, &[3, 4]), extension(41, &[0, 0])]));
    let expected = [MODERN, &["tls.version=0x304", "tls.cipher=0xc030", "tls.resumed=yes"]].concat();
    check(443, &[(Client, &hello), (Server, &tls13), (Server, &record(23, &[0; 40]))], &expected);

    let tls12 = record(22, &server_hello(0x0303, [1; 32], &[extension(16, b"\x00\x03\x02h2")]));
    let resumed = [tls12.clone(), record(20, &[1]), record(22, &[0xaa; 40])].concat();
    let expected =
        [MODERN, &["tls.version=0x303", "tls.cipher=0xc030", "alpn=h2", "tls.resumed=yes"]].concat();
    check(443, &[(Client, &hello), (Server, &resumed)], &expected);
    // A one-sided capture of the server.
    check(
        443,
        &[(Server, &tls13)],
        &["protocol tls", "tls.version=0x304", "tls.cipher=0xc030", "tls.resumed=yes"],
    );
}

#[test]
fn a_second_client_hello_is_reported_only_with_another_name() {
    let hello = record(22, &hello_with(&modern()));
    let retry =
        [record(22, &server_hello(0x0303, RETRY, &[extension(43, &[3, 4])])), record(20, &[1])].concat();
    let second = [record(20, &[1]), hello.clone()].concat();
    let chosen = record(22, &server_hello(0x0303, [1; 32], &[extension(43, &[3, 4])]));
    let expected = [MODERN, &["tls.version=0x304", "tls.cipher=0xc030"]].concat();
    check(443, &[(Client, &hello), (Server, &retry), (Client, &second), (Server, &chosen)], &expected);
    let other = [record(20, &[1]), record(22, &hello_with(&[server_name(b"other.example")]))].concat();
    let expected = [MODERN, &["name sni other.example"]].concat();
    check(443, &[(Client, &hello), (Server, &retry), (Client, &other)], &expected);
}

#[test]
fn unencrypted_alerts_are_reported() {
    let hello = record(22, &hello_with(&modern()));
    let expected = [MODERN, &["alert Server fatal 112"]].concat();
    check(443, &[(Client, &hello), (Server, &record(21, &[2, 112]))], &expected);
    let tls12 = record(22, &server_hello(0x0303, [1; 32], &[]));
    let expected = [MODERN, &["tls.version=0x303", "tls.cipher=0xc030", "alert Client fatal 48"]].concat();
    check(443, &[(Client, &hello), (Server, &tls12), (Client, &record(21, &[2, 48]))], &expected);
    // An encrypted alert is longer, or follows ChangeCipherSpec.
    let expected = [MODERN, &["tls.version=0x303", "tls.cipher=0xc030"]].concat();
    let encrypted = [record(20, &[1]), record(21, &[2, 48])].concat();
    check(443, &[(Client, &hello), (Server, &tls12), (Client, &encrypted)], &expected);
    check(443, &[(Client, &hello), (Server, &tls12), (Client, &record(21, &[0; 26]))], &expected);
}

#[test]
fn an_encrypted_client_hello_has_an_outer_name() {
    let outer = hello_with(&[server_name(b"outer.example"), extension(0xfe0d, &[0, 0, 1, 0, 1, 5])]);
    let expected = ["protocol tls", "name sni outer.example outer", "tls.offered=0x303", "ech=yes"];
    check(443, &[(Client, &record(22, &outer))], &expected);
    let inner = hello_with(&[server_name(b"name.example"), extension(0xfe0d, &[1])]);
    check(
        443,
        &[(Client, &record(22, &inner))],
        &["protocol tls", "name sni name.example", "tls.offered=0x303"],
    );
}

#[test]
fn a_cut_client_hello_gives_its_whole_name_or_none() {
    let whole = record(22, &hello_with(&modern()));
    let names = |facts: &[String]| -> Vec<String> {
        facts.iter().filter(|fact| fact.starts_with("name ")).cloned().collect()
    };
    let mut named_from = None;
    for len in 11..whole.len() {
        let facts = play(TestConversation::tcp(443), &[(Client, &whole[..len])]);
        assert!(facts.contains(&"tls.hello-cut=yes".to_string()) || len < 45, "{len}: {facts:?}");
        match names(&facts).as_slice() {
            [] => assert_eq!(named_from, None, "at {len}"),
            [name] if name == NAME => {
                named_from.get_or_insert(len);
            }
            other => panic!("{other:?} at {len}"),
        }
    }
    assert!(named_from.unwrap() < 200);
}

#[test]
fn a_malformed_extension_does_not_hide_the_name() {
    let name = || server_name(b"name.example");
    let long = [&[0, 99, 0xff, 0xff][..], &[1, 2]].concat();
    let server_name_fact = "name sni name.example";
    for (extensions, anomaly) in [
        (vec![name(), long.clone()], "anomaly tls: length past the end of the ClientHello"),
        (
            vec![extension(16, &[0, 9, 1]), name()],
            "anomaly tls: malformed application_layer_protocol_negotiation",
        ),
        (vec![extension(43, &[]), name(), server_name(b"b.example")], "anomaly tls: second server_name"),
    ] {
        check(
            443,
            &[(Client, &record(22, &hello_with(&extensions)))],
            &["protocol tls", server_name_fact, "tls.offered=0x303", anomaly],
        );
    }
    let overlong = extension(0, b"\x00\x0f\x00\x00\x20name.example");
    let expected = ["protocol tls", "tls.offered=0x303", "anomaly tls: server_name without a name"];
    check(443, &[(Client, &record(22, &hello_with(&[overlong])))], &expected);
    let many = record(22, &hello_with(&[[0, 99, 0, 0].repeat(4000), name()]));
    check(
        443,
        &[(Client, &many)],
        &["protocol tls", "tls.offered=0x303", "anomaly tls: more than 256 extensions"],
    );
}

#[test]
fn a_client_hello_is_read_up_to_the_limit() {
    let mut extensions = modern();
    extensions.push(extension(21, &[0; 40_000]));
    let records: Vec<u8> = hello_with(&extensions).chunks(16_000).flat_map(|part| record(22, part)).collect();
    let mut expected = MODERN.to_vec();
    expected.push("tls.hello-cut=yes");
    check(443, &[(Client, &records)], &expected);
}

#[test]
fn a_hello_in_the_format_of_ssl_2() {
    // RFC 5246 appendix E.2: two cipher suites, one of them of SSL 2.0; a challenge of 16 bytes.
    let hello = b"\x80\x1f\x01\x03\x01\x00\x06\x00\x00\x00\x10\x00\x00\x2f\x07\x00\xc0CHALLENGECHALLEN";
    let facts = play(TestConversation::tcp(443), &[(Client, hello)]);
    assert_eq!(facts, ["protocol tls", "tls.offered=0x301", "tls.ciphers=002f"]);
    let mut broken = hello.to_vec();
    broken[1] = 0x20;
    assert_eq!(play(TestConversation::tcp(443), &[(Client, &broken)]), [""; 0]);
}

#[test]
fn tls_starts_after_another_protocol_or_midstream() {
    let hello = record(22, &hello_with(&modern()));
    let segments: &[(Side, &[u8])] = &[
        (Server, b"* something ready\r\n"),
        (Client, b"a1 STARTTLS\r\n"),
        (Server, b"a1 go\r\n"),
        (Client, &hello),
        (Server, &record(21, &[2, 40])),
    ];
    let facts = brief(play(TestConversation::tcp(9143), segments));
    assert_eq!(facts, [MODERN, &["alert Server fatal 40"]].concat());
    // Midstream, on a TLS port and on another.
    let data = [record(23, &[0; 40]), record(23, &[0; 40])].concat();
    assert_eq!(play(TestConversation::tcp(443).midstream(), &[(Client, &data[..20])]), ["protocol tls"]);
    assert_eq!(play(TestConversation::tcp(4000).midstream(), &[(Client, &data)]), ["protocol tls"]);
    assert_eq!(play(TestConversation::tcp(4000).midstream(), &[(Client, &data[..20])]), [""; 0]);
}

#[test]
fn dtls_client_hellos() {
    let hello = |cookie: &[u8]| {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0]);
        body.extend(vector(1, cookie));
        body.extend(vector(2, &[0xc0, 0x30]));
        body.extend([1, 0]);
        body.extend(vector(2, &server_name(b"name.example")));
        body
    };
    let fragment = |body: &[u8], sequence: u8, from: usize, to: usize| {
        let len = (body.len() as u32).to_be_bytes();
        let mut out = vec![1, len[1], len[2], len[3], 0, sequence];
        out.extend([0, (from >> 8) as u8, from as u8]);
        out.extend(vector(3, &body[from..to]));
        [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, sequence][..], &vector(2, &out)].concat()
    };
    let first = hello(b"");
    let second = hello(b"cookie");
    let expected = ["protocol dtls", "name sni name.example", "tls.offered=0xfefd"];
    let whole = fragment(&first, 0, 0, first.len());
    let retried = fragment(&second, 1, 0, second.len());
    let facts = play(TestConversation::udp(4433), &[(Client, &whole), (Client, &retried)]);
    assert_eq!(brief(facts), expected);
    let (a, b) = (fragment(&first, 0, 0, 20), fragment(&first, 0, 20, first.len()));
    assert_eq!(brief(play(TestConversation::udp(4433), &[(Client, &a), (Client, &b)])), expected);
    assert_eq!(brief(play(TestConversation::udp(4433), &[(Client, &b), (Client, &a)])), expected);
    let mut cut = TestConversation::udp(4433);
    cut.send_truncated(Client, &whole[..50], whole.len() as u32);
    assert_eq!(cut.end(), ["protocol dtls", "tls.offered=0xfefd", "tls.hello-cut=yes"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        head in prop_oneof![Just(&b""[..]), Just(&b"\x16\x03\x01"[..]), Just(&b"\x16\x03\x01\x00\xa0\x01\x00\x00\x90\x03\x03"[..]), Just(&b"\x16\xfe\xff"[..])],
    ) {
        let bytes = [head, &bytes].concat();
        play(TestConversation::tcp(443), &[(Client, &bytes), (Server, &bytes)]);
        play(TestConversation::udp(443), &[(Client, &bytes), (Server, &bytes)]);
    }

    #[test]
    fn mutated_client_hellos_do_not_panic(at in 0usize..400, byte in any::<u8>(), len in 12usize..1600) {
        let mut bytes = record(22, &hello_with(&modern()));
        bytes[at] = byte;
        bytes.truncate(len);
        play(TestConversation::tcp(443), &[(Client, &bytes), (Server, &bytes)]);
    }

    #[test]
    fn segment_boundaries_do_not_change_the_facts(lens in proptest::collection::vec(1usize..300, 1..20), tiny in 1usize..50) {
        let hello = hello_with(&modern());
        let stream: Vec<u8> = hello.chunks(tiny).flat_map(|part| record(22, part)).collect();
        let whole = play(TestConversation::tcp(4430), &[(Client, &stream)]);
        let mut conversation = TestConversation::tcp(4430);
        conversation.send_split(Client, &stream[..], &lens);
        prop_assert_eq!(conversation.end(), whole);
    }
}

/// A self-signed certificate made for this test: `O=Example, CN=edge.example`, two DNS names and an address.
const CERTIFICATE: &[u8] = include_bytes!("testdata/edge.example.der");

#[test]
fn an_unencrypted_certificate() {
    let hello = record(22, &hello_with(&modern()));
    let chain = [vector(3, CERTIFICATE), vector(3, CERTIFICATE)].concat();
    let certificate = handshake(11, &vector(3, &chain));
    let chosen = server_hello(0x0303, [1; 32], &[]);
    // ServerHello and Certificate in one record, and the rest of the server's flight.
    let flight =
        [record(22, &[chosen.clone(), certificate.clone()].concat()), record(22, &handshake(14, &[]))]
            .concat();
    let server_facts = [
        "tls.version=0x303",
        "tls.cipher=0xc030",
        "name certificate edge.example",
        "certificate.names=edge.example;*.edge.example",
        "certificate.subject=O=Example, CN=edge.example",
        "certificate.issuer=O=Example, CN=edge.example",
        "certificate.chain=O=Example, CN=edge.example",
    ];
    let expected = [MODERN, &server_facts].concat();
    let encryption_starts = record(20, &[1]);
    check(443, &[(Client, &hello), (Server, &flight), (Server, &encryption_starts)], &expected);
    const UNFINISHED: &[&str] = &["tls.handshake-unfinished=yes"];
    check(443, &[(Client, &hello), (Server, &flight)], &[&expected, UNFINISHED].concat());
    let (a, b) = flight.split_at(500);
    check(
        443,
        &[(Client, &hello), (Server, a), (Server, b), (Client, &record(21, &[2, 48]))],
        &[&expected[..], &["alert Client fatal 48"], UNFINISHED].concat(),
    );
    // Cut in the chain: the server's own certificate is complete.
    let cut = &flight[..flight.len() - 40];
    let mut expected = expected[..expected.len() - 1].to_vec();
    expected.insert(MODERN.len() + 6, "anomaly tls: certificate cut");
    check(443, &[(Client, &hello), (Server, cut)], &[&expected, UNFINISHED].concat());
    // The client's certificate is not the server's.
    check(443, &[(Client, &hello), (Client, &record(22, &certificate))], MODERN);
    // A certificate before ChangeCipherSpec: the session was not resumed.
    let full = [flight, record(20, &[1])].concat();
    let facts = play(TestConversation::tcp(443), &[(Client, &hello), (Server, &full)]);
    assert!(!facts.contains(&"tls.resumed=yes".to_string()));
}
