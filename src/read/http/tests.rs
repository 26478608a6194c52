use super::*;
use crate::base::Side::Client;
use crate::base::Side::Server;
use crate::read::test_harness::CLIENT_HELLO;
use crate::read::test_harness::CLIENT_HELLO_FACTS;
use crate::read::test_harness::TestConversation;
use crate::read::test_harness::play;
use proptest::prelude::*;

fn check(segments: &[(Side, &[u8])], expected: &[&str]) {
    assert_eq!(play(TestConversation::tcp(8080), segments), expected);
}

#[test]
fn two_exchanges() {
    check(
        &[
            (Client, b"GET /a?b HTTP/1.1\r\nHost: CRL.example:8080\r\n\r\n"),
            (Server, b"HTTP/1.1 302 Found\r\nServer: proxy/1\r\nLocation: http://portal/\r\nContent-Length: 2\r\n\r\nok"),
            (Client, b"GET /c HTTP/1.1\r\nHost: crl.example:8080\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\nrest"),
        ],
        &[
            "protocol http",
            "http.method=GET",
            "http.target=/a?b",
            "name http-host crl.example:8080",
            "http.body=ok",
            "status 302",
            "http.status=0x12e",
            "http.location=http://portal/",
            "http.server=proxy/1",
            "status 200",
            "http.status=0xc8",
        ],
    );
}

/// The status facts of a conversation.
fn statuses(segments: &[(Side, &[u8])]) -> Vec<String> {
    let facts = play(TestConversation::tcp(8080), segments);
    facts.into_iter().filter(|fact| fact.starts_with("http.status")).collect()
}

#[test]
fn the_response_after_a_long_body_is_read() {
    let request: (Side, &[u8]) = (Client, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let last: (Side, &[u8]) = (Server, b"HTTP/1.1 304 Not Modified\r\n\r\n");
    let body = vec![b'x'; 200_000];
    let plain = [&b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"[..], &body].concat();
    let chunked = [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n"[..],
        &body,
        b"\r\n4\r\nWiki\r\n0\r\n\r\n",
    ]
    .concat();
    for response in [plain, chunked] {
        let mut segments = vec![request];
        segments.extend(response.chunks(1400).map(|part| (Server, part)));
        segments.extend([request, last]);
        assert_eq!(statuses(&segments), ["http.status=0xc8", "http.status=0x130"]);
    }
}

#[test]
fn the_last_status_of_many_is_reported_at_the_end() {
    let request: (Side, &[u8]) = (Client, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let good: (Side, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let last: (Side, &[u8]) = (Server, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let mut segments = [request, good].repeat(usize::from(EXCHANGE_LIMIT) + 20);
    segments.extend([request, last]);
    let statuses = statuses(&segments);
    assert_eq!(statuses.len(), usize::from(EXCHANGE_LIMIT) + 1);
    assert_eq!(statuses.last().unwrap(), "http.status=0x1f7");
}

#[test]
fn a_malformed_header_line_does_not_hide_the_host() {
    check(
        &[(Client, b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: x\x01\x7f\r\nAccept: */*\r\n\r\n")],
        &["protocol http", "http.method=GET", "http.target=/", "name http-host a.example"],
    );
}

#[test]
fn spaces_in_a_target_are_escaped() {
    check(
        &[(
            Client,
            b"GET /a b  c HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
        )],
        &[
            "protocol http",
            "http.method=GET",
            "http.target=/a%20b%20c",
            "name http-host a.example",
            "name http-host b.example",
        ],
    );
    let mut expected = vec![
        "protocol http",
        "http.method=CONNECT",
        "name connect name.example:443",
        "status 200 connect",
        "http.status=0xc8",
    ];
    expected.extend(CLIENT_HELLO_FACTS);
    check(
        &[
            (Client, b"CONNECT name.example:443 / HTTP/1.0\r\n\r\n"),
            (Server, b"HTTP/1.0 200 Connection established\r\n\r\n"),
            (Client, CLIENT_HELLO),
        ],
        &expected,
    );
}

#[test]
fn connect_after_407() {
    let mut expected = vec![
        "protocol http",
        "http.method=CONNECT",
        "name connect kailani1.one.microsoft.com:443",
        "status 407 connect",
        "http.status=0x197",
        "http.via=proxy",
        "status 200 connect",
        "http.status=0xc8",
    ];
    expected.extend(CLIENT_HELLO_FACTS);
    check(
        &[
            (Client, b"CONNECT Kailani1.one.microsoft.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Server, b"HTTP/1.1 407 Auth\r\nProxy-Agent: proxy\r\nContent-Length: 3\r\n\r\nno!"),
            (Client, b"CONNECT kailani1.one.microsoft.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Server, b"HTTP/1.1 200 Connection established\r\n\r\n"),
            (Client, CLIENT_HELLO),
        ],
        &expected,
    );
    // A one-sided capture of the client.
    let mut expected = vec!["protocol http", "http.method=CONNECT", "name connect 2001:db8::1:443"];
    expected.extend(CLIENT_HELLO_FACTS);
    check(&[(Client, b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n"), (Client, CLIENT_HELLO)], &expected);
}

#[test]
fn absolute_targets_and_winrm() {
    check(
        &[(Client, b"GET http://user@ocsp.example/x HTTP/1.1\r\nHost: other\r\n\r\n")],
        &[
            "protocol http",
            "http.method=GET",
            "http.target=http://user@ocsp.example/x",
            "http.proxied=yes",
            "name http-host ocsp.example",
        ],
    );
    check(
        &[(Client, b"POST /wsman?PSVersion=5.1 HTTP/1.1\r\nHost: node1:5985\r\nContent-Length: 0\r\n\r\n")],
        &[
            "protocol http",
            "http.method=POST",
            "http.target=/wsman?PSVersion=5.1",
            "protocol winrm",
            "name http-host node1:5985",
        ],
    );
    // RTSP starts like HTTP.
    check(&[(Client, b"OPTIONS rtsp://x RTSP/1.0\r\n\r\n")], &[]);
}

#[test]
fn lenient_heads_give_their_host() {
    let host = |request: &[u8]| {
        let facts = play(TestConversation::tcp(80), &[(Client, request)]);
        facts.into_iter().find(|fact| fact.starts_with("name ")).unwrap_or_default()
    };
    let name = "name http-host name.example";
    assert_eq!(
        host(b"GET / HTTP/1.1\r\nX: a\r\n b\r\nhost: name.example\r\n\r\n"),
        name,
        "after a folded line"
    );
    assert_eq!(host(b"GET / HTTP/1.1\r\nhost: name.example\r\nX: a\r\n\tb\r\n\r\n"), name);
    assert_eq!(host(b"GET / HTTP/1.1\r\nHost: name\r\n .example\r\n\r\n"), "", "a folded host is incomplete");
    assert_eq!(host(b"\r\nGET / HTTP/1.1\r\nHost: name.example\r\n\r\n"), name, "after an empty line");
    assert_eq!(host(b"GET / HTTP/1.1\nHOST:name.example\n\n"), name);
}

#[test]
fn bodies_are_skipped() {
    check(
        &[
            (Server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1"),
            (Server, b"0\r\n0123456789abcdef\r\n0\r"),
            (Server, b"\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "protocol http",
            "http.body=3\\x0d\\x0aabc\\x0d\\x0a1",
            "status 200",
            "http.status=0xc8",
            "status 403",
            "http.status=0x193",
        ],
    );
}

#[test]
fn headers_of_a_later_refusal_replace_those_of_the_first_response() {
    let ok = b"HTTP/1.1 200 OK\r\nServer: ECS (a/1)\r\nVia: 1.1 proxy\r\nx-azure-ref: 1\r\nContent-Length: 0\r\n\r\n";
    let refused =
        b"HTTP/1.1 403 No\r\nServer: squid/6\r\nProxy-Status: p; error=x\r\nContent-Length: 0\r\n\r\n";
    check(
        &[(Server, ok), (Server, ok), (Server, refused)],
        &[
            "protocol http",
            "status 200",
            "http.status=0xc8",
            "http.server=ECS (a/1)",
            "http.via=1.1 proxy",
            "http.request-id=x-azure-ref",
            "status 200",
            "http.status=0xc8",
            "status 403",
            "http.status=0x193",
            "http.server=squid/6",
            "http.via=",
            "http.request-id=",
            "http.proxy-status=p; error=x",
        ],
    );
}

#[test]
fn the_first_text_body_is_kept_across_segments() {
    let body = |segments: &[(Side, &[u8])]| {
        play(TestConversation::tcp(80), segments).into_iter().find(|fact| fact.starts_with("http.body"))
    };
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n";
    let whole = [&head[..], b"some text"].concat();
    assert_eq!(body(&[(Server, &whole)]).as_deref(), Some("http.body=some text"));
    assert_eq!(
        body(&[(Server, head), (Server, b"some"), (Server, b" text")]).as_deref(),
        Some("http.body=some text")
    );
    assert_eq!(
        body(&[(Server, b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\nPNG!")]),
        None
    );
    // The body is missing; the head is still reported.
    let cut = play(TestConversation::tcp(80), &[(Server, head)]);
    assert!(cut.contains(&"status 200".to_owned()), "{cut:?}");
}

#[test]
fn an_incomplete_head_gives_its_complete_lines() {
    check(
        &[(Client, b"GET / HTTP/1.1\r\nHost: name.example\r\nCookie: abc")],
        &["protocol http", "http.method=GET", "http.target=/", "name http-host name.example"],
    );
    check(
        &[(Client, b"GET / HTTP/1.1\r\nHost: name.exam")],
        &["protocol http", "http.method=GET", "http.target=/"],
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), head in 0usize..4) {
        let head = [&b""[..], b"GET / HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"][head];
        let bytes = [head, &bytes].concat();
        play(TestConversation::tcp(80), &[(Client, &bytes), (Server, &bytes), (Client, &bytes)]);
    }

    #[test]
    fn segment_boundaries_do_not_change_the_facts(lens in proptest::collection::vec(1usize..30, 1..12)) {
        let stream = b"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
        let whole = play(TestConversation::tcp(80), &[(Client, stream)]);
        let mut conversation = TestConversation::tcp(80);
        conversation.send_split(Client, &stream[..], &lens);
        prop_assert_eq!(conversation.end(), whole);
    }
}
