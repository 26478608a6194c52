//! Reads plain HTTP/1.
//!
//! In:  both sides' bytes, in order.
//! Out: hosts, CONNECT targets, methods, status codes, redirects, names of proxies and middleboxes.
//! Not: bodies, except the first bytes of the first text; nor the contents of a CONNECT tunnel, which the dispatcher gets.

mod head;
mod lenient;
mod probe;
#[cfg(test)]
mod tests;

use super::attributes::AttributeKey;
use super::attributes::AttributeValue;
use super::fact::AppStatus;
use super::fact::Fact;
use super::fact::NameSource;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::ProtocolReader;
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

use head::BodyFraming;
use head::authority;
use head::body_framing;
use head::header_value;
use head::split_port;
use lenient::repair_head;
use probe::probe_request;
pub(crate) use probe::probe_start;

/// Exchanges reported of one connection; later ones rarely have another host. Of these only the last status is.
const EXCHANGE_LIMIT: u8 = 8;
/// Bytes read of a head.
const HEAD_LIMIT: usize = 32 * 1024;
/// Header lines read of a head.
const HEADER_LIMIT: usize = 96;
/// Bytes kept of a header value.
const TEXT_LIMIT: usize = 300;
/// Bytes kept of the first text body: enough to recognise a block page.
const PREVIEW_LIMIT: usize = 300;

/// Headers by which services and content delivery networks identify a request. Filters and proxies on the path set none of them.
const REQUEST_ID_HEADERS: [&str; 4] = ["x-azure-ref", "x-ms-request-id", "x-amz-request-id", "x-amz-cf-id"];

/// Headers that show who sent a response.
const SENDER_HEADERS: usize = 5;

/// Statuses that servers send, and proxies and filters in place of them: who did is in the headers.
const fn may_be_of_middlebox(code: u16) -> bool {
    matches!(code, 403 | 407 | 451 | 502..=504)
}

/// RFC 9110 §15.3.
const SUCCESS: std::ops::Range<u16> = 200..300;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "http",
    transport: ReaderTransport::Tcp,
    probe: probe::probe,
    sender_is_client: probe::sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(HttpReader::default())),
};

/// HTTP/2 without TLS: RFC 9113 §3.4.
pub(crate) const HTTP2: ReaderSpec = ReaderSpec {
    name: "http2",
    transport: ReaderTransport::Tcp,
    probe: |sample| probe_start(sample.bytes, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    sender_is_client: |sample| (sample.bytes.starts_with(b"PRI * HTTP/2.0\r\n")).then_some(true),
    on_match: OnMatch::Stop,
};

#[derive(Default)]
struct HttpReader {
    /// The rest of the current body, by side.
    bodies: [BodyFraming; 2],
    requests: u8,
    responses: u8,
    /// The last name emitted, with its port.
    named: Option<(HostName, Option<u16>)>,
    /// The last request was a CONNECT without a response so far.
    connecting: bool,
    /// The last request was a HEAD, whose response has no body.
    no_body: bool,
    /// The status of the last response, where it was not reported because there were too many.
    last_status: Option<u16>,
    /// Which headers that show who sent a response were emitted of an earlier one.
    shown: [bool; SENDER_HEADERS],
}

impl ProtocolReader for HttpReader {
    fn held_bytes(&self) -> usize {
        size_of::<HttpReader>() + self.named.as_ref().map_or(0, |(name, _)| name.as_str().len())
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let mut used = 0;
        // Each iteration takes bytes of a body or a head, or returns.
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match self.skip_body(side, rest) {
                BodySkip::Continues => return StreamStep::need_more(bytes.len(), 0),
                BodySkip::NeedMore { skipped, need } => return StreamStep::need_more(used + skipped, need),
                BodySkip::UntilClose => return StreamStep::DONE,
                BodySkip::Ended(skipped) => used += skipped,
            }
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return StreamStep::need_more(used, 0);
            }
            let head = match side {
                Side::Client => self.request(rest, emit),
                Side::Server => self.response(rest, false, emit),
            };
            match head {
                HeadResult::Head(len) => used += len,
                HeadResult::Tunnel(len) => return StreamStep::Tunnel { consumed: used + len },
                HeadResult::NeedMore(need) => return StreamStep::need_more(used, need),
                HeadResult::Malformed => return StreamStep::DONE,
            }
        }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        if let Some(code) = self.last_status {
            emit.fact(Fact::Status(AppStatus::Status { code, connect: false }));
            emit.attribute(AttributeKey::HttpStatus, AttributeValue::Number(u64::from(code)));
        }
    }

    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        // The complete lines of an incomplete head are read as a head.
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return };
        if self.bodies != [BodyFraming::None; 2] {
            return;
        }
        let mut head = bytes.get(..=end).unwrap_or_default().to_vec();
        head.extend_from_slice(b"\r\n");
        match side {
            Side::Client if head.len() <= HEAD_LIMIT => _ = self.request(&head, emit),
            Side::Client => {}
            Side::Server => _ = self.response(&head, true, emit),
        }
    }
}

/// The result of reading a head.
enum HeadResult {
    /// It was read and has this length.
    Head(usize),
    /// A tunnel starts after this many bytes.
    Tunnel(usize),
    /// This many bytes are needed.
    NeedMore(usize),
    Malformed,
}

/// The result of skipping a body.
enum BodySkip {
    /// It ended after this many bytes.
    Ended(usize),
    /// All bytes belong to it, and it continues.
    Continues,
    /// `skipped` bytes belong to it; `need` bytes must follow them.
    NeedMore { skipped: usize, need: usize },
    /// It ends with the connection, or where it ends is not known.
    UntilClose,
}

impl HttpReader {
    fn skip_body(&mut self, side: Side, bytes: &[u8]) -> BodySkip {
        let Some(body) = self.bodies.get_mut(side.index()) else { return BodySkip::UntilClose };
        match *body {
            BodyFraming::None => BodySkip::Ended(0),
            BodyFraming::UntilClose => BodySkip::UntilClose,
            BodyFraming::Length(left) => match usize::try_from(left) {
                Ok(left) if left <= bytes.len() => {
                    *body = BodyFraming::None;
                    BodySkip::Ended(left)
                }
                _ => {
                    *body = BodyFraming::Length(left.saturating_sub(bytes.len() as u64));
                    BodySkip::Continues
                }
            },
            BodyFraming::Chunked | BodyFraming::ChunkData(_) => skip_chunks(body, bytes),
        }
    }

    /// Reads a request's head, repaired where its grammar is broken: servers and proxies are lenient, too.
    fn request(&mut self, bytes: &[u8], emit: &mut Emitter<'_>) -> HeadResult {
        match self.valid_request(bytes, emit) {
            HeadResult::Malformed => {
                let Some((head, len)) = repair_head(bytes) else { return HeadResult::Malformed };
                match self.valid_request(&head, emit) {
                    HeadResult::Head(_) => len.map_or(HeadResult::Malformed, HeadResult::Head),
                    _ => HeadResult::Malformed,
                }
            }
            result => result,
        }
    }

    fn valid_request(&mut self, bytes: &[u8], emit: &mut Emitter<'_>) -> HeadResult {
        if self.connecting {
            // The client did not wait for the response, or the response was not captured: TLS follows at once.
            let sample = Sample { bytes, wire_len: bytes.len(), datagram: false, from_port: 0, to_port: 0 };
            match tls::probe_hello(&sample) {
                Probe::Yes => return HeadResult::Tunnel(0),
                Probe::Maybe(need) => return HeadResult::NeedMore(need),
                Probe::No => {}
            }
            // Another request follows a refusal; other bytes belong to the tunnel and are kept until the response.
            match probe_request(bytes) {
                Probe::Yes => {}
                Probe::Maybe(need) => return HeadResult::NeedMore(need),
                Probe::No => return HeadResult::NeedMore(bytes.len() + 1),
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut request = Request::new(&mut headers);
        let len = match request.parse(bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if bytes.len() < HEAD_LIMIT => return HeadResult::NeedMore(bytes.len() + 1),
            _ => return HeadResult::Malformed,
        };
        self.requests = self.requests.saturating_add(1);
        let method = request.method.unwrap_or_default();
        let target = request.path.unwrap_or_default();
        let host = header_value(request.headers, "host");
        if self.requests == 1 {
            emit.attribute(
                AttributeKey::HttpMethod,
                AttributeValue::Text(WireText::new(method.as_bytes(), TEXT_LIMIT)),
            );
        }
        self.connecting = method == "CONNECT";
        self.no_body = method == "HEAD";
        if self.connecting {
            self.emit_name(NameSource::Connect, target.as_bytes(), emit);
            return HeadResult::Head(len);
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
            // DSP0226 and [MS-WSMV] §2.2.1: the path of Windows Remote Management.
            if target.split('?').next().is_some_and(|path| path.eq_ignore_ascii_case("/wsman")) {
                emit.protocol("winrm");
            }
        }
        // RFC 9112 §3.2.2: a target in absolute form overrides Host.
        if let Some(name) = absolute.map(str::as_bytes).or(host) {
            self.emit_name(NameSource::HttpHost, name, emit);
        }
        self.set_body(Side::Client, body_framing(request.headers, BodyFraming::None));
        HeadResult::Head(len)
    }

    /// Reads a response's head; `ended`: no more bytes will arrive.
    fn response(&mut self, bytes: &[u8], ended: bool, emit: &mut Emitter<'_>) -> HeadResult {
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
            Ok(Status::Partial) if bytes.len() < HEAD_LIMIT => return HeadResult::NeedMore(bytes.len() + 1),
            _ => return HeadResult::Malformed,
        };
        let code = response.code.unwrap_or_default();
        // RFC 9110 §15.2: interim responses; after 101 another protocol follows.
        if code == 101 {
            return HeadResult::Tunnel(len);
        }
        if code < 200 {
            return HeadResult::Head(len);
        }
        // RFC 9112 §6.3: without a length the body ends with the connection, unless it cannot have one.
        let no_body = self.no_body || code == 204 || code == 304;
        let body =
            if no_body { BodyFraming::None } else { body_framing(response.headers, BodyFraming::UntilClose) };
        let connect = self.connecting;
        let preview = body_preview(bytes.get(len..).unwrap_or_default(), response.headers, body);
        if self.responses == 0 && !connect {
            match preview {
                Some(BodyPreview::NeedMore(need)) if !ended => return HeadResult::NeedMore(len + need),
                Some(BodyPreview::NeedMore(_)) | None => {}
                Some(BodyPreview::Text(text)) => emit.attribute(
                    AttributeKey::HttpBody,
                    AttributeValue::Text(WireText::new(text, PREVIEW_LIMIT)),
                ),
            }
        }
        let is_reported = self.responses < EXCHANGE_LIMIT || connect;
        self.responses = self.responses.saturating_add(1);
        self.last_status = (!is_reported).then_some(code);
        if is_reported {
            emit_response(code, connect, response.headers, emit);
        }
        if self.responses == 1 || may_be_of_middlebox(code) {
            emit_sender(response.headers, &mut self.shown, emit);
        }
        if connect && SUCCESS.contains(&code) {
            return HeadResult::Tunnel(len);
        }
        self.connecting = false;
        self.set_body(Side::Server, body);
        HeadResult::Head(len)
    }

    fn set_body(&mut self, side: Side, body: BodyFraming) {
        if let Some(slot) = self.bodies.get_mut(side.index()) {
            *slot = body;
        }
    }

    /// Emits a name with its port, unless it is the same as before or one of too many.
    fn emit_name(&mut self, source: NameSource, text: &[u8], emit: &mut Emitter<'_>) {
        if self.requests > EXCHANGE_LIMIT && source != NameSource::Connect {
            return;
        }
        let Some((name, port)) = split_port(text) else { return };
        let Some(name) = HostName::from_wire_text(name) else { return };
        let named = Some((name.clone(), port));
        if self.named != named || (source == NameSource::Connect && self.requests == 1) {
            self.named = named;
            emit.name(source, name, port, false);
        }
    }
}

/// Skips chunks (RFC 9112 §7.1). Each has at least four bytes.
fn skip_chunks(body: &mut BodyFraming, bytes: &[u8]) -> BodySkip {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if let BodyFraming::ChunkData(left) = *body {
            if left > rest.len() as u64 {
                *body = BodyFraming::ChunkData(left - rest.len() as u64);
                return BodySkip::Continues;
            }
            at += usize::try_from(left).unwrap_or_default();
            *body = BodyFraming::Chunked;
            continue;
        }
        match httparse::parse_chunk_size(rest) {
            Ok(Status::Complete((head, 0))) => {
                // Trailers are rare; without them an empty line follows.
                let end = at + head + 2;
                if end > bytes.len() {
                    return BodySkip::NeedMore { skipped: at, need: head + 2 };
                }
                *body = BodyFraming::None;
                return BodySkip::Ended(end);
            }
            Ok(Status::Complete((head, len))) => {
                at += head;
                *body = BodyFraming::ChunkData(len.saturating_add(2));
            }
            Ok(Status::Partial) => return BodySkip::NeedMore { skipped: at, need: rest.len() + 1 },
            Err(_) => return BodySkip::UntilClose,
        }
    }
}

/// The first bytes of a text body.
enum BodyPreview<'a> {
    Text(&'a [u8]),
    /// This many bytes of the body are needed.
    NeedMore(usize),
}

/// The first bytes of a response's body, where it is text without a content coding.
fn body_preview<'a>(bytes: &'a [u8], headers: &[Header<'_>], body: BodyFraming) -> Option<BodyPreview<'a>> {
    let is_text = header_value(headers, "content-type")
        .is_none_or(|kind| kind.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/")));
    if !is_text || header_value(headers, "content-encoding").is_some() {
        return None;
    }
    let want = match body {
        BodyFraming::Length(len) => usize::try_from(len).unwrap_or(PREVIEW_LIMIT).min(PREVIEW_LIMIT),
        // Without a length, the bytes that arrived with the head are taken.
        BodyFraming::UntilClose | BodyFraming::Chunked | BodyFraming::ChunkData(_) => 1,
        BodyFraming::None => return None,
    };
    if bytes.len() < want {
        return Some(BodyPreview::NeedMore(want));
    }
    Some(BodyPreview::Text(bytes.get(..PREVIEW_LIMIT).unwrap_or(bytes)))
}

/// Emits a response's status and where it redirects to.
fn emit_response(code: u16, connect: bool, headers: &[Header<'_>], emit: &mut Emitter<'_>) {
    emit.fact(Fact::Status(AppStatus::Status { code, connect }));
    emit.attribute(AttributeKey::HttpStatus, AttributeValue::Number(u64::from(code)));
    if let Some(location) = header_value(headers, "location") {
        emit.attribute(AttributeKey::HttpLocation, AttributeValue::Text(WireText::new(location, TEXT_LIMIT)));
    }
}

/// Emits the headers that show who sent a response. An empty value takes back that of an earlier response.
fn emit_sender(headers: &[Header<'_>], shown: &mut [bool; SENDER_HEADERS], emit: &mut Emitter<'_>) {
    let request_id = REQUEST_ID_HEADERS.iter().find(|name| header_value(headers, name).is_some());
    let via = header_value(headers, "via").or_else(|| header_value(headers, "proxy-agent"));
    let values: [_; SENDER_HEADERS] = [
        (AttributeKey::HttpServer, header_value(headers, "server")),
        (AttributeKey::HttpSquidError, header_value(headers, "x-squid-error")),
        (AttributeKey::HttpVia, via),
        (AttributeKey::HttpRequestId, request_id.map(|name| name.as_bytes())),
        (AttributeKey::HttpProxyStatus, header_value(headers, "proxy-status")),
    ];
    for ((key, value), shown) in values.into_iter().zip(shown) {
        if value.is_some() || *shown {
            let text = WireText::new(value.unwrap_or_default(), TEXT_LIMIT);
            emit.attribute(key, AttributeValue::Text(text));
        }
        *shown = value.is_some();
    }
}

/// Emits a plain HTTP response to a request of another protocol; returns the length of its head, when that is complete.
pub(crate) fn emit_plain_response(bytes: &[u8], emit: &mut Emitter<'_>) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut response = Response::new(&mut headers);
    let Ok(Status::Complete(len)) = response.parse(bytes) else { return None };
    emit_response(response.code.unwrap_or_default(), false, response.headers, emit);
    emit_sender(response.headers, &mut [false; SENDER_HEADERS], emit);
    Some(len)
}
