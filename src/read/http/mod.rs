//! Reads plain HTTP/1: what is asked of whom, through which proxy, and what the answer says.
//!
//! In:  both sides' bytes, in order.
//! Out: hosts, CONNECT targets, methods, statuses, redirects, names of boxes on the path.
//! Not: bodies beyond the first bytes of the first text, nor what a CONNECT tunnel carries: its bytes go back to the desk.

mod head;
mod mend;
mod probe;
#[cfg(test)]
mod tests;

use super::fact::AppStatus;
use super::fact::AttributeKey;
use super::fact::AttributeValue;
use super::fact::Fact;
use super::fact::NameSource;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::Reader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use super::tls;
use crate::base::HostName;
use crate::base::Side;
use crate::base::WireText;
use httparse::Header;
use httparse::Request;
use httparse::Response;
use httparse::Status;

use head::Body;
use head::authority;
use head::body;
use head::split_port;
use head::value;
use mend::mended;
pub(crate) use probe::begins;
use probe::probe_request;

/// Exchanges read of one connection; later ones are like the first.
const EXCHANGE_LIMIT: u8 = 8;
/// A head is read as far as this.
const HEAD_LIMIT: usize = 32 * 1024;
/// Header lines of a head.
const HEADER_LIMIT: usize = 96;
/// A body longer than this ends the reading of its side.
const BODY_LIMIT: u64 = 64 * 1024;
/// Bytes kept of header values.
const TEXT_LIMIT: usize = 300;

/// Bytes kept of the first text: enough to tell a page of a box by.
const PAGE_LIMIT: usize = 300;

/// RFC 9110 §15.3.
const SUCCESS: std::ops::Range<u16> = 200..300;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "http",
    transport: ReaderTransport::Tcp,
    probe: probe::probe,
    sender_is_client: probe::sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(Http::default())),
};

/// HTTP/2 without TLS: RFC 9113 §3.4.
pub(crate) const HTTP2: ReaderSpec = ReaderSpec {
    name: "http2",
    transport: ReaderTransport::Tcp,
    probe: |sample| begins(sample.bytes, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    sender_is_client: |sample| (sample.bytes.starts_with(b"PRI * HTTP/2.0\r\n")).then_some(true),
    on_match: OnMatch::Stop,
};

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
    fn held_bytes(&self) -> usize {
        size_of::<Http>() + self.named.as_ref().map_or(0, |(name, _)| name.as_str().len())
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let mut used = 0;
        // Every turn takes a body's bytes or a head, or returns.
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match self.pass_body(side, rest) {
                Passed::All => return StreamStep::need_more(bytes.len(), 0),
                Passed::Wait { taken, need } => return StreamStep::need_more(used + taken, need),
                Passed::Endless => return StreamStep::DONE,
                Passed::Done(taken) => used += taken,
            }
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return StreamStep::need_more(used, 0);
            }
            let count = if side == Side::Client { self.requests } else { self.responses };
            if count >= EXCHANGE_LIMIT && !self.connecting {
                return StreamStep::DONE;
            }
            let turn = match side {
                Side::Client => self.client(rest, emit),
                Side::Server => self.server(rest, false, emit),
            };
            match turn {
                Turn::Head(len) => used += len,
                Turn::Tunnel(len) => return StreamStep::Tunnel { consumed: used + len },
                Turn::Wait(need) => return StreamStep::need_more(used, need),
                Turn::Stop => return StreamStep::DONE,
            }
        }
    }

    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        // A head that is cut: its whole lines still count.
        if let (Side::Client, Some(end)) = (side, bytes.iter().rposition(|byte| *byte == b'\n')) {
            let mut whole = bytes.get(..=end).unwrap_or_default().to_vec();
            whole.extend_from_slice(b"\r\n");
            if self.bodies == [Body::None; 2] && whole.len() <= HEAD_LIMIT {
                self.client(&whole, emit);
            }
        } else if side == Side::Server && self.bodies == [Body::None; 2] {
            let mut whole = bytes.to_vec();
            if let Some(end) = whole.iter().rposition(|byte| *byte == b'\n') {
                whole.truncate(end + 1);
                whole.extend_from_slice(b"\r\n");
                self.server(&whole, true, emit);
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
    fn client(&mut self, bytes: &[u8], emit: &mut Emitter<'_>) -> Turn {
        match self.request(bytes, emit) {
            Turn::Stop => {
                // One line may break a head; the others were said all the same, and servers and proxies are lenient.
                let Some((head, len)) = mended(bytes) else { return Turn::Stop };
                match self.request(&head, emit) {
                    Turn::Head(_) => len.map_or(Turn::Stop, Turn::Head),
                    _ => Turn::Stop,
                }
            }
            turn => turn,
        }
    }

    fn request(&mut self, bytes: &[u8], emit: &mut Emitter<'_>) -> Turn {
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
            emit.attribute(
                AttributeKey::HttpMethod,
                AttributeValue::Text(WireText::new(method.as_bytes(), TEXT_LIMIT)),
            );
        }
        self.connecting = method == "CONNECT";
        self.head_only = method == "HEAD";
        if self.connecting {
            self.name(NameSource::Connect, target.as_bytes(), emit);
            return Turn::Head(len);
        }
        let absolute = authority(target);
        if self.requests == 1 {
            emit.attribute(
                AttributeKey::HttpTarget,
                AttributeValue::Text(WireText::new(target.as_bytes(), TEXT_LIMIT)),
            );
            if absolute.is_some() {
                emit.attribute(AttributeKey::HttpProxied, AttributeValue::Yes);
            }
            // DSP0226 and MS-WSMV §2.2.1: the path of Windows remote management.
            if target.split('?').next().is_some_and(|path| path.eq_ignore_ascii_case("/wsman")) {
                emit.protocol("winrm");
            }
        }
        // RFC 9112 §3.2.2: an absolute target overrules Host.
        if let Some(name) = absolute.map(str::as_bytes).or(host) {
            self.name(NameSource::HttpHost, name, emit);
        }
        self.set_body(Side::Client, body(request.headers, Body::None));
        Turn::Head(len)
    }

    /// `whole`: no more bytes will come.
    fn server(&mut self, bytes: &[u8], whole: bool, emit: &mut Emitter<'_>) -> Turn {
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
                Some(Page::Text(text)) => emit
                    .attribute(AttributeKey::HttpBody, AttributeValue::Text(WireText::new(text, PAGE_LIMIT))),
            }
        }
        self.responses = self.responses.saturating_add(1);
        tell_response(code, connect, response.headers, self.responses == 1, emit);
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
    fn name(&mut self, source: NameSource, text: &[u8], emit: &mut Emitter<'_>) {
        let Some((name, port)) = split_port(text) else { return };
        let Some(name) = HostName::from_wire_text(name) else { return };
        let named = Some((name.clone(), port));
        if self.named != named || (source == NameSource::Connect && self.requests == 1) {
            self.named = named;
            emit.name(source, name, port, false);
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

/// Tells a response's status and what its header says of the path.
pub(crate) fn tell_response(
    code: u16,
    connect: bool,
    headers: &[Header<'_>],
    first: bool,
    emit: &mut Emitter<'_>,
) {
    emit.fact(Fact::Status(AppStatus::Status { code, connect }));
    emit.attribute(AttributeKey::HttpStatus, AttributeValue::Number(u64::from(code)));
    let text = |value: &[u8]| AttributeValue::Text(WireText::new(value, TEXT_LIMIT));
    if let Some(location) = value(headers, "location") {
        emit.attribute(AttributeKey::HttpLocation, text(location));
    }
    if let Some(server) = value(headers, "server").filter(|_| first) {
        emit.attribute(AttributeKey::HttpServer, text(server));
    }
    if let Some(error) = value(headers, "x-squid-error").filter(|_| first) {
        emit.attribute(AttributeKey::HttpSquidError, text(error));
    }
    if let Some(via) = value(headers, "via").or_else(|| value(headers, "proxy-agent")).filter(|_| first) {
        emit.attribute(AttributeKey::HttpVia, text(via));
    }
}

/// The answer in plain HTTP to something that was not HTTP: its length, when its head is whole.
pub(crate) fn tell_plain_answer(bytes: &[u8], emit: &mut Emitter<'_>) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut response = Response::new(&mut headers);
    let Ok(Status::Complete(len)) = response.parse(bytes) else { return None };
    tell_response(response.code.unwrap_or_default(), false, response.headers, true, emit);
    Some(len)
}
