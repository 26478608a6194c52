//! Reads plain HTTP/1: what is asked of whom, through which proxy, and what the answer says.
//!
//! In:  both sides' bytes, in order.
//! Out: hosts, CONNECT targets, methods, statuses, redirects, names of boxes on the path.
//! Not: bodies beyond the first bytes of the first text, nor what a CONNECT tunnel carries: its bytes go back to the desk.

use super::fact::Ending;
use super::fact::Fact;
use super::fact::Key;
use super::fact::NameSource;
use super::fact::Value;
use super::reader::Code;
use super::reader::Probe;
use super::reader::Reader;
use super::reader::Sample;
use super::reader::Spec;
use super::reader::Step;
use super::reader::Tell;
use super::reader::Transport;
use super::tls;
use crate::base::HostName;
use crate::base::Side;
use crate::base::WireText;
use httparse::Header;
use httparse::Request;
use httparse::Response;
use httparse::Status;

/// Exchanges read of one connection; later ones are like the first.
const EXCHANGE_LIMIT: u8 = 8;
/// A head is read as far as this.
const HEAD_LIMIT: usize = 32 * 1024;
/// A request line without an end is waited for as far as this.
const LINE_LIMIT: usize = 8 * 1024;
/// Header lines of a head.
const HEADER_LIMIT: usize = 96;
/// A body longer than this ends the reading of its side.
const BODY_LIMIT: u64 = 64 * 1024;
/// Bytes kept of header values.
const TEXT_LIMIT: usize = 300;

/// Bytes kept of the first text: enough to tell a page of a box by.
const PAGE_LIMIT: usize = 300;

/// RFC 9110 §9.3 and §16.1, RFC 4918 §9, RFC 5789, and Windows remote management's neighbours.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"CONNECT ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"MERGE ",
    b"BITS_POST ",
    b"RPC_IN_DATA ",
    b"RPC_OUT_DATA ",
    b"RDG_IN_DATA ",
    b"RDG_OUT_DATA ",
    b"M-SEARCH ",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"PURGE ",
    b"CCM_POST ",
];
/// RFC 9112 §4.
const RESPONSE_START: &[u8] = b"HTTP/1.";
/// RFC 9112 §3: what ends a request line, before the minor version.
const REQUEST_END: &[u8] = b" HTTP/1.";
/// RFC 9110 §15.3.
const SUCCESS: std::ops::Range<u16> = 200..300;

/// The reader's row.
pub(crate) const SPEC: Spec = Spec {
    name: "http",
    transport: Transport::Tcp,
    probe,
    asks,
    code: Code::Read(|_| Box::new(Http::default())),
};

/// HTTP/2 without TLS: RFC 9113 §3.4.
pub(crate) const HTTP2: Spec = Spec {
    name: "http2",
    transport: Transport::Tcp,
    probe: |sample| begins(sample.bytes, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    asks: |sample| (sample.bytes.starts_with(b"PRI * HTTP/2.0\r\n")).then_some(true),
    code: Code::Name(super::reader::After::Sated),
};

/// Whether `bytes` begin with `start`.
pub(crate) fn begins(bytes: &[u8], start: &[u8]) -> Probe {
    if bytes.starts_with(start) {
        Probe::Yes
    } else if start.starts_with(bytes) {
        Probe::Maybe(start.len())
    } else {
        Probe::No
    }
}

fn probe(sample: &Sample<'_>) -> Probe {
    match begins(sample.bytes, RESPONSE_START) {
        Probe::No => probe_request(sample.bytes),
        probe => probe,
    }
}

/// A method and a line that ends in HTTP's version: SIP and RTSP look alike up to there.
fn probe_request(bytes: &[u8]) -> Probe {
    // RFC 9112 §2.2: an empty line in front of a request is a leftover.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut wait = None;
    let mut known = false;
    for method in METHODS {
        match begins(bytes, method) {
            Probe::Yes => known = true,
            Probe::Maybe(need) => wait = Some(wait.map_or(need, |least: usize| least.min(need))),
            Probe::No => {}
        }
    }
    if !known {
        return wait.map_or(Probe::No, Probe::Maybe);
    }
    match bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default();
            // The version's minor number and a carriage return may stand behind it.
            let tail = line.get(line.len().saturating_sub(REQUEST_END.len() + 2)..).unwrap_or_default();
            if tail.windows(REQUEST_END.len()).any(|part| part == REQUEST_END) {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        None if bytes.len() >= LINE_LIMIT || bytes.iter().any(|byte| *byte < b' ' && *byte != b'\r') => {
            Probe::No
        }
        None => Probe::Maybe(bytes.len() + 1),
    }
}

fn asks(sample: &Sample<'_>) -> Option<bool> {
    if sample.bytes.starts_with(RESPONSE_START) {
        Some(false)
    } else {
        (probe_request(sample.bytes) == Probe::Yes).then_some(true)
    }
}

/// How a message's body ends: RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    /// So many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked,
    /// With the connection.
    Rest,
}

#[derive(Default)]
struct Http {
    /// What is left of the body on each side.
    bodies: [Body; 2],
    requests: u8,
    responses: u8,
    /// The last host or target claimed, with its port.
    named: Option<(HostName, Option<u16>)>,
    /// The last request was a CONNECT and is not answered.
    connecting: bool,
    /// The last request was a HEAD: its response has no body.
    head_only: bool,
}

impl Reader for Http {
    fn held(&self) -> usize {
        size_of::<Http>() + self.named.as_ref().map_or(0, |(name, _)| name.as_str().len())
    }

    fn stream(&mut self, side: Side, bytes: &[u8], tell: &mut Tell<'_>) -> Step {
        let mut used = 0;
        // Every turn takes a body's bytes or a head, or returns.
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match self.pass_body(side, rest) {
                Passed::All => return Step::Hungry { consumed: bytes.len(), need: 0 },
                Passed::Wait { taken, need } => return Step::Hungry { consumed: used + taken, need },
                Passed::Endless => return Step::Sated,
                Passed::Done(taken) => used += taken,
            }
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return Step::Hungry { consumed: used, need: 0 };
            }
            let count = if side == Side::Client { self.requests } else { self.responses };
            if count >= EXCHANGE_LIMIT && !self.connecting {
                return Step::Sated;
            }
            let turn = match side {
                Side::Client => self.client(rest, tell),
                Side::Server => self.server(rest, false, tell),
            };
            match turn {
                Turn::Head(len) => used += len,
                Turn::Tunnel(len) => return Step::Inside { consumed: used + len },
                Turn::Wait(need) => return Step::Hungry { consumed: used, need },
                Turn::Stop => return Step::Sated,
            }
        }
    }

    fn lost(&mut self, side: Side, bytes: &[u8], tell: &mut Tell<'_>) {
        // A head that is cut: its whole lines still count.
        if let (Side::Client, Some(end)) = (side, bytes.iter().rposition(|byte| *byte == b'\n')) {
            let mut whole = bytes.get(..=end).unwrap_or_default().to_vec();
            whole.extend_from_slice(b"\r\n");
            if self.bodies == [Body::None; 2] && whole.len() <= HEAD_LIMIT {
                self.client(&whole, tell);
            }
        } else if side == Side::Server && self.bodies == [Body::None; 2] {
            let mut whole = bytes.to_vec();
            if let Some(end) = whole.iter().rposition(|byte| *byte == b'\n') {
                whole.truncate(end + 1);
                whole.extend_from_slice(b"\r\n");
                self.server(&whole, true, tell);
            }
        }
    }
}

/// What a head led to.
enum Turn {
    /// It was read, and is so long.
    Head(usize),
    /// A tunnel begins behind so many bytes.
    Tunnel(usize),
    /// More bytes are needed.
    Wait(usize),
    /// Nothing that can be read.
    Stop,
}

/// What became of a body.
enum Passed {
    /// It ended behind so many bytes.
    Done(usize),
    /// All bytes are in it, and it goes on.
    All,
    /// `taken` are in it; to go on `need` more are needed.
    Wait { taken: usize, need: usize },
    /// It is not worth following.
    Endless,
}

impl Http {
    fn pass_body(&mut self, side: Side, bytes: &[u8]) -> Passed {
        let Some(body) = self.bodies.get_mut(side.index()) else { return Passed::Endless };
        match *body {
            Body::None => Passed::Done(0),
            Body::Rest => Passed::Endless,
            Body::Length(left) if left > BODY_LIMIT => Passed::Endless,
            Body::Length(left) => match usize::try_from(left) {
                Ok(left) if left <= bytes.len() => {
                    *body = Body::None;
                    Passed::Done(left)
                }
                _ => {
                    *body = Body::Length(left.saturating_sub(bytes.len() as u64));
                    Passed::All
                }
            },
            Body::Chunked => {
                let mut at = 0;
                // RFC 9112 §7.1. Each chunk takes at least four bytes.
                loop {
                    match httparse::parse_chunk_size(bytes.get(at..).unwrap_or_default()) {
                        Ok(Status::Complete((head, 0))) => {
                            // Trailers are rare; without them an empty line ends the body.
                            let end = at + head + 2;
                            if end > bytes.len() {
                                return Passed::Wait { taken: at, need: head + 2 };
                            }
                            *body = Body::None;
                            return Passed::Done(end);
                        }
                        Ok(Status::Complete((head, len))) if len <= BODY_LIMIT => {
                            let chunk = head + usize::try_from(len).unwrap_or_default() + 2;
                            if at + chunk > bytes.len() {
                                return Passed::Wait { taken: at, need: chunk };
                            }
                            at += chunk;
                        }
                        Ok(Status::Partial) => {
                            return Passed::Wait { taken: at, need: bytes.len().saturating_sub(at) + 1 };
                        }
                        _ => return Passed::Endless,
                    }
                }
            }
        }
    }

    /// A request's head.
    fn client(&mut self, bytes: &[u8], tell: &mut Tell<'_>) -> Turn {
        match self.request(bytes, tell) {
            Turn::Stop => {
                // One line may break a head; the others were said all the same, and servers and proxies are lenient.
                let Some((head, len)) = mended(bytes) else { return Turn::Stop };
                match self.request(&head, tell) {
                    Turn::Head(_) => len.map_or(Turn::Stop, Turn::Head),
                    _ => Turn::Stop,
                }
            }
            turn => turn,
        }
    }

    fn request(&mut self, bytes: &[u8], tell: &mut Tell<'_>) -> Turn {
        if self.connecting {
            // A client that does not wait for the answer, or whose answer was not captured, begins with TLS at once.
            let sample = Sample { bytes, wire_len: bytes.len(), datagram: false, from_port: 0, to_port: 0 };
            match tls::probe_hello(&sample) {
                Probe::Yes => return Turn::Tunnel(0),
                Probe::Maybe(need) => return Turn::Wait(need),
                Probe::No => {}
            }
            // After a refusal it asks again; anything else belongs to the tunnel and waits for the answer.
            match probe_request(bytes) {
                Probe::Yes => {}
                Probe::Maybe(need) => return Turn::Wait(need),
                Probe::No => return Turn::Wait(bytes.len() + 1),
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut request = Request::new(&mut headers);
        let len = match request.parse(bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if bytes.len() < HEAD_LIMIT => return Turn::Wait(bytes.len() + 1),
            _ => return Turn::Stop,
        };
        self.requests = self.requests.saturating_add(1);
        let method = request.method.unwrap_or_default();
        let target = request.path.unwrap_or_default();
        let host = value(request.headers, "host");
        if self.requests == 1 {
            tell.note(Key::HttpMethod, Value::Text(WireText::new(method.as_bytes(), TEXT_LIMIT)));
        }
        self.connecting = method == "CONNECT";
        self.head_only = method == "HEAD";
        if self.connecting {
            self.name(NameSource::Connect, target.as_bytes(), tell);
            return Turn::Head(len);
        }
        let absolute = authority(target);
        if self.requests == 1 {
            tell.note(Key::HttpTarget, Value::Text(WireText::new(target.as_bytes(), TEXT_LIMIT)));
            if absolute.is_some() {
                tell.note(Key::HttpProxied, Value::Yes);
            }
            // DSP0226 and MS-WSMV §2.2.1: the path of Windows remote management.
            if target.split('?').next().is_some_and(|path| path.eq_ignore_ascii_case("/wsman")) {
                tell.spoke("winrm");
            }
        }
        // RFC 9112 §3.2.2: an absolute target overrules Host.
        if let Some(name) = absolute.map(str::as_bytes).or(host) {
            self.name(NameSource::HttpHost, name, tell);
        }
        self.set_body(Side::Client, body(request.headers, Body::None));
        Turn::Head(len)
    }

    /// `whole`: no more bytes will come.
    fn server(&mut self, bytes: &[u8], whole: bool, tell: &mut Tell<'_>) -> Turn {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut response = Response::new(&mut headers);
        let len = match httparse::ParserConfig::default()
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, bytes)
        {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if bytes.len() < HEAD_LIMIT => return Turn::Wait(bytes.len() + 1),
            _ => return Turn::Stop,
        };
        let code = response.code.unwrap_or_default();
        // RFC 9110 §15.2: interim responses; 101 changes the protocol, and what follows is read afresh.
        if code == 101 {
            return Turn::Tunnel(len);
        }
        if code < 200 {
            return Turn::Head(len);
        }
        // RFC 9112 §6.3: without a length the body ends with the connection, unless it cannot have one.
        let none = self.head_only || code == 204 || code == 304;
        let body = if none { Body::None } else { body(response.headers, Body::Rest) };
        let connect = self.connecting;
        let page = page(bytes.get(len..).unwrap_or_default(), response.headers, body);
        if self.responses == 0 && !connect {
            match page {
                Some(Page::Wait(need)) if !whole => return Turn::Wait(len + need),
                Some(Page::Wait(_)) | None => {}
                Some(Page::Text(text)) => {
                    tell.note(Key::HttpBody, Value::Text(WireText::new(text, PAGE_LIMIT)))
                }
            }
        }
        self.responses = self.responses.saturating_add(1);
        tell_response(code, connect, response.headers, self.responses == 1, tell);
        if connect && SUCCESS.contains(&code) {
            return Turn::Tunnel(len);
        }
        self.connecting = false;
        self.set_body(Side::Server, body);
        Turn::Head(len)
    }

    fn set_body(&mut self, side: Side, body: Body) {
        if let Some(slot) = self.bodies.get_mut(side.index()) {
            *slot = body;
        }
    }

    /// Tells a name with its port, once.
    fn name(&mut self, source: NameSource, text: &[u8], tell: &mut Tell<'_>) {
        let Some((name, port)) = split_port(text) else { return };
        let Some(name) = HostName::from_wire_text(name) else { return };
        let named = Some((name.clone(), port));
        if self.named != named || (source == NameSource::Connect && self.requests == 1) {
            self.named = named;
            tell.claim(source, name, port, false);
        }
    }
}

/// What there is of a page.
enum Page<'a> {
    Text(&'a [u8]),
    /// So many bytes of it are wanted.
    Wait(usize),
}

/// The beginning of a response's body, where it is text that nobody packed.
fn page<'a>(bytes: &'a [u8], headers: &[Header<'_>], body: Body) -> Option<Page<'a>> {
    let is_text = value(headers, "content-type")
        .is_none_or(|kind| kind.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/")));
    if !is_text || value(headers, "content-encoding").is_some() {
        return None;
    }
    let want = match body {
        Body::Length(len) => usize::try_from(len).unwrap_or(PAGE_LIMIT).min(PAGE_LIMIT),
        // A page without a length comes with its head, or is read as far as it came.
        Body::Rest | Body::Chunked => 1,
        Body::None => return None,
    };
    if bytes.len() < want {
        return Some(Page::Wait(want));
    }
    Some(Page::Text(bytes.get(..PAGE_LIMIT).unwrap_or(bytes)))
}

/// A request's head with a target without blanks and the header lines that can be read, and where the head ends, when it is
/// whole.
fn mended(bytes: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let mut head = Vec::new();
    let (mut at, mut last) = (0, 0);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(HEADER_LIMIT);
    for line in lines.take_while(|line| line.ends_with(b"\n")) {
        let text = line.trim_ascii_end();
        at += line.len();
        if head.is_empty() {
            push_request_line(&mut head, text)?;
        } else if text.is_empty() {
            head.extend_from_slice(b"\r\n");
            return Some((head, Some(at)));
        } else if matches!(text, [b' ' | b'\t', ..]) {
            // RFC 9112 §5.2: a line that begins with a blank goes on with the one before, whose value is only begun there.
            let begun = head.get(last..).unwrap_or_default();
            if begun.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) {
                head.truncate(last);
            }
        } else if head.len() + line.len() > HEAD_LIMIT {
            break;
        } else if is_header(text) {
            last = head.len();
            head.extend_from_slice(line);
        }
    }
    (!head.is_empty()).then(|| {
        head.extend_from_slice(b"\r\n");
        (head, None)
    })
}

/// A name, a colon and a value: RFC 9110 §5.1 and §5.5.
fn is_header(line: &[u8]) -> bool {
    let is_sound = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    line.iter().position(|byte| *byte == b':').is_some_and(|colon| {
        let (name, value) = line.split_at(colon);
        !name.is_empty() && name.iter().all(is_name) && value.iter().all(is_sound)
    })
}

/// The request line with a target that holds no blanks: what CONNECT wants ends at the first.
fn push_request_line(head: &mut Vec<u8>, line: &[u8]) -> Option<()> {
    let (method, rest) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    let (target, version) = rest.split_at(rest.iter().rposition(|byte| *byte == b' ')?);
    let mut words = target.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    head.extend_from_slice(method);
    head.push(b' ');
    head.extend_from_slice(words.next()?);
    if method != b"CONNECT" {
        for word in words {
            head.extend_from_slice(b"%20");
            head.extend_from_slice(word);
        }
    }
    head.extend_from_slice(version);
    head.extend_from_slice(b"\r\n");
    Some(())
}

/// Tells a response's status and what its header says of the path.
pub(crate) fn tell_response(
    code: u16,
    connect: bool,
    headers: &[Header<'_>],
    first: bool,
    tell: &mut Tell<'_>,
) {
    tell.fact(Fact::Ended(Ending::Status { code, connect }));
    if !connect {
        tell.note(Key::HttpStatus, Value::Number(u64::from(code)));
    }
    let text = |value: &[u8]| Value::Text(WireText::new(value, TEXT_LIMIT));
    if let Some(location) = value(headers, "location") {
        tell.note(Key::HttpLocation, text(location));
    }
    if let Some(server) = value(headers, "server").filter(|_| first) {
        tell.note(Key::HttpServer, text(server));
    }
    if let Some(error) = value(headers, "x-squid-error").filter(|_| first) {
        tell.note(Key::HttpSquidError, text(error));
    }
    if let Some(via) = value(headers, "via").or_else(|| value(headers, "proxy-agent")).filter(|_| first) {
        tell.note(Key::HttpVia, text(via));
    }
}

fn value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
        .filter(|value| !value.is_empty())
}

fn body(headers: &[Header<'_>], without: Body) -> Body {
    if value(headers, "transfer-encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().ends_with(b"chunked"))
    {
        return Body::Chunked;
    }
    match value(headers, "content-length") {
        Some(len) => match std::str::from_utf8(len).ok().and_then(|len| len.parse().ok()) {
            Some(0) => Body::None,
            Some(len) => Body::Length(len),
            None => Body::Rest,
        },
        None => without,
    }
}

/// The authority of an absolute target: RFC 9112 §3.2.2, RFC 3986 §3.2.
fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then_some(host)
}

/// Host and port: RFC 3986 §3.2.2 puts IPv6 addresses in brackets.
fn split_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    if let Some(inner) = text.strip_prefix(b"[") {
        let end = inner.iter().position(|byte| *byte == b']')?;
        let port = inner.get(end + 1..).and_then(|rest| rest.strip_prefix(b":")).and_then(number);
        return Some((inner.get(..end)?, port));
    }
    match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text.get(..colon)?.contains(&b':') => {
            Some((text.get(..colon)?, text.get(colon + 1..).and_then(number)))
        }
        _ => Some((text, None)),
    }
}

/// The answer in plain HTTP to something that was not HTTP: its length, when its head is whole.
pub(crate) fn tell_plain_answer(bytes: &[u8], tell: &mut Tell<'_>) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut response = Response::new(&mut headers);
    let Ok(Status::Complete(len)) = response.parse(bytes) else { return None };
    tell_response(response.code.unwrap_or_default(), false, response.headers, true, tell);
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side::Client;
    use crate::base::Side::Server;
    use crate::read::driver::Driver;
    use crate::read::driver::play;
    use proptest::prelude::*;

    fn check(talk: &[(Side, &[u8])], expected: &[&str]) {
        assert_eq!(play(Driver::tcp(8080), talk), expected);
    }

    /// A ClientHello without extensions, in a record.
    const HELLO: &[u8] = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03RANDOMRANDOMRANDOMRANDOMRANDOM12\x00\x00\x02\xc0\x30\x01\x00\x00\x00";
    const HELLO_FACTS: [&str; 4] =
        ["spoke tls", "tls.offered=0x303", "tls.ciphers=c030", "ja4=t12i010000_a17193ba21fd_000000000000"];

    #[test]
    fn an_exchange() {
        check(
            &[
                (Client, b"GET /a?b HTTP/1.1\r\nHost: CRL.example:8080\r\n\r\n"),
                (Server, b"HTTP/1.1 302 Found\r\nServer: box/1\r\nLocation: http://portal/\r\nContent-Length: 2\r\n\r\nok"),
                (Client, b"GET /c HTTP/1.1\r\nHost: crl.example:8080\r\n\r\n"),
                (Server, b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\nrest"),
            ],
            &[
                "spoke http",
                "http.method=GET",
                "http.target=/a?b",
                "claimed http-host crl.example:8080",
                "http.body=ok",
                "status 302",
                "http.status=0x12e",
                "http.location=http://portal/",
                "http.server=box/1",
                "status 200",
                "http.status=0xc8",
            ],
        );
    }

    #[test]
    fn a_broken_line_does_not_hide_those_before_it() {
        check(
            &[(Client, b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: x\x01\x7f\r\nAccept: */*\r\n\r\n")],
            &["spoke http", "http.method=GET", "http.target=/", "claimed http-host a.example"],
        );
    }

    #[test]
    fn blanks_in_a_target_hide_nothing() {
        check(
            &[(
                Client,
                b"GET /a b  c HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
            )],
            &[
                "spoke http",
                "http.method=GET",
                "http.target=/a%20b%20c",
                "claimed http-host a.example",
                "claimed http-host b.example",
            ],
        );
        let mut expected = vec![
            "spoke http",
            "http.method=CONNECT",
            "claimed connect name.example:443",
            "status 200 connect",
        ];
        expected.extend(HELLO_FACTS);
        check(
            &[
                (Client, b"CONNECT name.example:443 / HTTP/1.0\r\n\r\n"),
                (Server, b"HTTP/1.0 200 Connection established\r\n\r\n"),
                (Client, HELLO),
            ],
            &expected,
        );
    }

    #[test]
    fn a_tunnel_is_asked_for_twice() {
        let mut expected = vec![
            "spoke http",
            "http.method=CONNECT",
            "claimed connect kailani1.one.microsoft.com:443",
            "status 407 connect",
            "http.via=box",
            "status 200 connect",
        ];
        expected.extend(HELLO_FACTS);
        check(
            &[
                (Client, b"CONNECT Kailani1.one.microsoft.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
                (Server, b"HTTP/1.1 407 Auth\r\nProxy-Agent: box\r\nContent-Length: 3\r\n\r\nno!"),
                (Client, b"CONNECT kailani1.one.microsoft.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
                (Server, b"HTTP/1.1 200 Connection established\r\n\r\n"),
                (Client, HELLO),
            ],
            &expected,
        );
        // The proxy's side is not in the capture.
        let mut expected = vec!["spoke http", "http.method=CONNECT", "claimed connect 2001:db8::1:443"];
        expected.extend(HELLO_FACTS);
        check(&[(Client, b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n"), (Client, HELLO)], &expected);
    }

    #[test]
    fn absolute_targets_and_remote_management() {
        check(
            &[(Client, b"GET http://user@ocsp.example/x HTTP/1.1\r\nHost: other\r\n\r\n")],
            &[
                "spoke http",
                "http.method=GET",
                "http.target=http://user@ocsp.example/x",
                "http.proxied=yes",
                "claimed http-host ocsp.example",
            ],
        );
        check(
            &[(
                Client,
                b"POST /wsman?PSVersion=5.1 HTTP/1.1\r\nHost: node1:5985\r\nContent-Length: 0\r\n\r\n",
            )],
            &[
                "spoke http",
                "http.method=POST",
                "http.target=/wsman?PSVersion=5.1",
                "spoke winrm",
                "claimed http-host node1:5985",
            ],
        );
        // Not HTTP, though it begins like it.
        check(&[(Client, b"OPTIONS rtsp://x RTSP/1.0\r\n\r\n")], &[]);
    }

    #[test]
    fn odd_heads_still_name_their_host() {
        let told = |request: &[u8]| {
            let facts = play(Driver::tcp(80), &[(Client, request)]);
            facts.into_iter().find(|fact| fact.starts_with("claimed")).unwrap_or_default()
        };
        let name = "claimed http-host name.example";
        assert_eq!(
            told(b"GET / HTTP/1.1\r\nX: a\r\n b\r\nhost: name.example\r\n\r\n"),
            name,
            "behind a folded line"
        );
        assert_eq!(told(b"GET / HTTP/1.1\r\nhost: name.example\r\nX: a\r\n\tb\r\n\r\n"), name);
        assert_eq!(told(b"GET / HTTP/1.1\r\nHost: name\r\n .example\r\n\r\n"), "", "half a name is none");
        assert_eq!(told(b"\r\nGET / HTTP/1.1\r\nHost: name.example\r\n\r\n"), name, "behind an empty line");
        assert_eq!(told(b"GET / HTTP/1.1\nHOST:name.example\n\n"), name);
    }

    #[test]
    fn bodies_are_passed_over() {
        check(
            &[
                (Server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1"),
                (Server, b"0\r\n0123456789abcdef\r\n0\r"),
                (Server, b"\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[
                "spoke http",
                "http.body=3\\x0d\\x0aabc\\x0d\\x0a1",
                "status 200",
                "http.status=0xc8",
                "status 403",
                "http.status=0x193",
            ],
        );
    }

    #[test]
    fn the_first_text_is_kept_whichever_way_it_comes() {
        let told = |talk: &[(Side, &[u8])]| {
            play(Driver::tcp(80), talk).into_iter().find(|fact| fact.starts_with("http.body"))
        };
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n";
        let whole = [&head[..], b"some text"].concat();
        assert_eq!(told(&[(Server, &whole)]).as_deref(), Some("http.body=some text"));
        assert_eq!(
            told(&[(Server, head), (Server, b"some"), (Server, b" text")]).as_deref(),
            Some("http.body=some text")
        );
        assert_eq!(
            told(&[(Server, b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\nPNG!")]),
            None
        );
        // What never came is no text, and its head still counts.
        let cut = play(Driver::tcp(80), &[(Server, head)]);
        assert!(cut.contains(&"status 200".to_owned()), "{cut:?}");
    }

    #[test]
    fn a_cut_head_still_names_its_host() {
        check(
            &[(Client, b"GET / HTTP/1.1\r\nHost: name.example\r\nCookie: abc")],
            &["spoke http", "http.method=GET", "http.target=/", "claimed http-host name.example"],
        );
        check(
            &[(Client, b"GET / HTTP/1.1\r\nHost: name.exam")],
            &["spoke http", "http.method=GET", "http.target=/"],
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80), head in 0usize..4) {
            let head = [&b""[..], b"GET / HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"][head];
            let bytes = [head, &bytes].concat();
            play(Driver::tcp(80), &[(Client, &bytes), (Server, &bytes), (Client, &bytes)]);
        }

        #[test]
        fn cutting_a_stream_anywhere_changes_nothing(cuts in proptest::collection::vec(1usize..30, 1..12)) {
            let stream = b"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
            let whole = play(Driver::tcp(80), &[(Client, stream)]);
            let mut driver = Driver::tcp(80);
            let mut rest = &stream[..];
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                driver.say(Client, head);
                rest = tail;
            }
            driver.say(Client, rest);
            prop_assert_eq!(driver.end(), whole);
        }
    }
}
