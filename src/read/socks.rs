//! Reads SOCKS: the target that a client requests from a proxy.
//!
//! In:  both sides' bytes, in order.
//! Out: the target; a refusal.
//! Not: passwords; nor the contents of the tunnel, which the dispatcher gets.

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
use crate::base::Address;
use crate::base::Cursor;
use crate::base::HostName;
use crate::base::Side;
use crate::base::Truncated;
use crate::base::port;

/// The version byte of SOCKS 4 and 4A (www.openssh.com/txt/socks4.protocol and socks4a.protocol).
const V4: u8 = 4;
/// RFC 1928 §3.
const V5: u8 = 5;
/// RFC 1929 §2: the version byte of the user name and password.
const PASSWORD: u8 = 1;
/// RFC 1928 §4.
const CONNECT: u8 = 1;
/// RFC 1928 §3: no method was acceptable.
const NO_METHOD: u8 = 0xff;
/// SOCKS 4: request granted.
const GRANTED: u8 = 90;
/// Bytes read of a user name or host name of SOCKS 4 until its zero byte.
const STRING_LIMIT: usize = 256;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "socks",
    transport: ReaderTransport::Tcp,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(SocksReader::default())),
};

fn probe(sample: &Sample<'_>) -> Probe {
    match sample.bytes.first() {
        Some(&V5) => probe_greeting(sample.bytes),
        Some(&V4) => probe_v4(sample),
        _ => Probe::No,
    }
}

/// RFC 1928 §3: version, count, methods. Only the next message of a client that does not wait may follow.
fn probe_greeting(bytes: &[u8]) -> Probe {
    let Some(count) = bytes.get(1).copied().map(usize::from) else { return Probe::Maybe(3) };
    // Nine methods are assigned; private ones are rare.
    if count == 0 || count > 10 {
        return Probe::No;
    }
    let Some(methods) = bytes.get(2..2 + count) else { return Probe::Maybe(2 + count) };
    let mut seen = 0u16;
    for method in methods {
        // 4 is unassigned; a method is offered once.
        let bit = if *method >= 0x80 { 15 } else { *method };
        if *method == 4 || *method == NO_METHOD || (bit > 9 && bit != 15) || seen & (1 << bit) != 0 {
            return Probe::No;
        }
        seen |= 1 << bit;
    }
    match bytes.get(2 + count) {
        None | Some(&V5) | Some(&PASSWORD) => Probe::Yes,
        Some(_) => Probe::No,
    }
}

/// Version, command, port, address, user name, zero. The user name must be printable and the port not zero; on other ports
/// nothing may follow.
fn probe_v4(sample: &Sample<'_>) -> Probe {
    match parse_request_v4(sample.bytes) {
        Ok(Some(request)) => {
            let printable = |text: &[u8]| text.iter().all(u8::is_ascii_graphic);
            let plausible = request.port > 0 && printable(request.user) && request.name.is_none_or(printable);
            let whole = request.len == sample.bytes.len() || sample.has_port(port::SOCKS);
            if plausible && whole && request.ip != [0; 4] { Probe::Yes } else { Probe::No }
        }
        Ok(None) => Probe::No,
        Err(_) => Probe::Maybe(sample.bytes.len().max(8) + 1),
    }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    (probe(sample) == Probe::Yes).then_some(true)
}

struct RequestV4<'a> {
    connect: bool,
    port: u16,
    ip: [u8; 4],
    user: &'a [u8],
    name: Option<&'a [u8]>,
    len: usize,
}

/// Parses a request; `Ok(None)`: another protocol.
fn parse_request_v4(bytes: &[u8]) -> Result<Option<RequestV4<'_>>, Truncated> {
    let mut c = Cursor::new(bytes);
    let version = c.u8("version")?;
    let command = c.u8("command")?;
    if version != V4 || !matches!(command, 1 | 2) {
        return Ok(None);
    }
    let port = c.u16("port")?;
    let ip = c.array("address")?;
    let Some(user) = parse_string(&mut c)? else { return Ok(None) };
    // 4A: an address 0.0.0.x other than 0.0.0.0 means that a host name follows the user name.
    let named = matches!(ip, [0, 0, 0, last] if last != 0);
    let name = if named { parse_string(&mut c)? } else { None };
    if named && name.is_none_or(<[u8]>::is_empty) {
        return Ok(None);
    }
    Ok(Some(RequestV4 { connect: command == CONNECT, port, ip, user, name, len: c.at() }))
}

/// Parses a string up to its zero byte; `Ok(None)` when it is too long.
fn parse_string<'a>(c: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, Truncated> {
    match c.rest().iter().take(STRING_LIMIT).position(|byte| *byte == 0) {
        Some(len) => {
            let text = c.take(len, "string")?;
            c.skip(1, "zero")?;
            Ok(Some(text))
        }
        None if c.left() >= STRING_LIMIT => Ok(None),
        None => Err(Truncated { wanted: "zero", at: c.at() }),
    }
}

#[derive(Default)]
struct SocksReader {
    /// 4 or 5; 0 while unknown.
    version: u8,
    /// The server has chosen a method.
    method_chosen: bool,
    /// The server requires a password and has not answered it.
    password_pending: bool,
    /// The client has offered its methods.
    methods_offered: bool,
    /// The client has requested a target.
    requested: bool,
    /// The request was CONNECT, not BIND or UDP ASSOCIATE.
    connect: bool,
}

impl SocksReader {
    fn emit_target(&mut self, name: Option<HostName>, port: u16, emit: &mut Emitter<'_>) {
        self.requested = true;
        if let Some(name) = name {
            emit.name(NameSource::Connect, name, Some(port), false);
        }
    }

    /// Reads one message of the client; `Ok(false)`: it cannot be read.
    fn client_message(&mut self, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> Result<bool, Truncated> {
        if self.version == 0 {
            self.version = c.rest().first().copied().unwrap_or_default();
        }
        if self.version == V4 {
            let Some(request) = parse_request_v4(c.rest())? else { return Ok(false) };
            c.skip(request.len, "request")?;
            self.connect = request.connect;
            let name = match request.name {
                Some(name) => HostName::from_wire_text(name),
                None => HostName::from_wire_text(Address::v4(request.ip).to_string().as_bytes()),
            };
            self.emit_target(name, request.port, emit);
            return Ok(true);
        }
        let version = c.u8("version")?;
        if !self.methods_offered {
            let count = c.u8("method count")?;
            c.skip(usize::from(count), "methods")?;
            self.methods_offered = true;
            return Ok(version == V5);
        }
        if version == PASSWORD {
            // RFC 1929 §2.
            for _ in 0..2 {
                let len = c.u8("length")?;
                c.skip(usize::from(len), "user name, password")?;
            }
            return Ok(true);
        }
        // RFC 1928 §4.
        let command = c.u8("command")?;
        c.skip(1, "reserved")?;
        let name = parse_address(c)?;
        let port = c.u16("port")?;
        let Some(name) = name.filter(|_| version == V5) else { return Ok(false) };
        self.connect = command == CONNECT;
        self.emit_target(HostName::from_wire_text(&name), port, emit);
        Ok(true)
    }

    /// Reads one message of the server.
    fn server_message(&mut self, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> Result<Reply, Truncated> {
        let version = c.u8("version")?;
        if self.version == V4 || (self.version == 0 && version == 0) {
            let code = c.u8("code")?;
            if version == V5 && code == NO_METHOD {
                // A proxy that supports only version 5 refuses in that version.
                emit.fact(Fact::Status(AppStatus::Socks(NO_METHOD)));
                return Ok(Reply::Stop);
            }
            c.skip(6, "port and address")?;
            return Ok(self.reply(version == 0, code, GRANTED, emit));
        }
        if self.password_pending {
            self.password_pending = false;
            let status = c.u8("status")?;
            if status != 0 {
                emit.fact(Fact::Status(AppStatus::Socks(NO_METHOD)));
                return Ok(Reply::Stop);
            }
            return Ok(Reply::Next);
        }
        if version != V5 {
            return Ok(Reply::Stop);
        }
        if !self.method_chosen {
            self.method_chosen = true;
            return Ok(match c.u8("method")? {
                0 => Reply::Next,
                2 => {
                    self.password_pending = true;
                    Reply::Next
                }
                NO_METHOD => {
                    emit.fact(Fact::Status(AppStatus::Socks(NO_METHOD)));
                    Reply::Stop
                }
                // GSS-API (RFC 1961) encapsulates all further bytes.
                _ => Reply::Stop,
            });
        }
        // RFC 1928 §6.
        let code = c.u8("reply")?;
        c.skip(1, "reserved")?;
        parse_address(c)?;
        c.skip(2, "port")?;
        Ok(self.reply(true, code, 0, emit))
    }

    /// Reads a reply's code; any other than `success` is a refusal.
    fn reply(&self, valid: bool, code: u8, success: u8, emit: &mut Emitter<'_>) -> Reply {
        match code {
            _ if !valid => Reply::Stop,
            code if code == success && self.connect => Reply::Tunnel,
            code if code == success => Reply::Stop,
            code => {
                emit.fact(Fact::Status(AppStatus::Socks(code)));
                Reply::Stop
            }
        }
    }
}

/// What follows a message of the server.
enum Reply {
    Next,
    Tunnel,
    Stop,
}

/// Parses an address or host name: RFC 1928 §5. `Ok(None)`: an unknown address type.
fn parse_address(c: &mut Cursor<'_>) -> Result<Option<Vec<u8>>, Truncated> {
    let address_type = c.u8("address type")?;
    Ok(match address_type {
        1 => Some(Address::v4(c.array("address")?).to_string().into_bytes()),
        3 => {
            let len = c.u8("name length")?;
            Some(c.take(usize::from(len), "name")?.to_vec())
        }
        4 => Some(Address::v6(c.array("address")?).to_string().into_bytes()),
        _ => None,
    })
}

impl ProtocolReader for SocksReader {
    fn held_bytes(&self) -> usize {
        size_of::<SocksReader>()
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let mut c = Cursor::new(bytes);
        // Each iteration takes at least one byte, or returns.
        while !c.is_empty() {
            let start = c.at();
            let need_more = StreamStep::need_more(start, bytes.len() - start + 1);
            match side {
                Side::Client if self.requested => {
                    // The tunnel's bytes wait for the server's reply, unless they are TLS.
                    let rest = c.rest();
                    let sample = Sample {
                        bytes: rest,
                        wire_len: rest.len(),
                        datagram: false,
                        from_port: 0,
                        to_port: 0,
                    };
                    return match tls::probe_hello(&sample) {
                        Probe::Yes => StreamStep::Tunnel { consumed: start },
                        _ => need_more,
                    };
                }
                Side::Client => match self.client_message(&mut c, emit) {
                    Ok(true) => {}
                    Ok(false) => return StreamStep::DONE,
                    Err(_) => return need_more,
                },
                Side::Server => {
                    let before = (self.method_chosen, self.password_pending);
                    match self.server_message(&mut c, emit) {
                        Ok(Reply::Next) => {}
                        Ok(Reply::Tunnel) => return StreamStep::Tunnel { consumed: c.at() },
                        Ok(Reply::Stop) => return StreamStep::DONE,
                        Err(_) => {
                            (self.method_chosen, self.password_pending) = before;
                            return need_more;
                        }
                    }
                }
            }
        }
        StreamStep::need_more(c.at(), 0)
    }

    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        self.stream(side, bytes, emit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side::Client;
    use crate::base::Side::Server;
    use crate::read::test_harness::TestConversation;
    use crate::read::test_harness::play;
    use proptest::prelude::*;

    fn check(sent: &[(Side, &[u8])], expected: &[&str]) {
        assert_eq!(play(TestConversation::tcp(1080), sent), expected);
    }

    #[test]
    fn version_5() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        check(
            &[
                (Client, b"\x05\x02\x00\x02"),
                (Server, b"\x05\x02"),
                (Client, b"\x01\x01u\x02pw"),
                (Server, b"\x01\x00"),
                (Client, b"\x05\x01\x00\x03\x0cName.example\x01\xbb"),
                (Server, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"),
                (Client, request),
            ],
            &[
                "protocol socks",
                "name connect name.example:443",
                "protocol http",
                "http.method=GET",
                "http.target=/",
                "name http-host a",
            ],
        );
        check(
            &[
                (Client, b"\x05\x01\x00"),
                (Server, b"\x05\x00"),
                (Client, b"\x05\x01\x00\x01\x0a\x00\x00\x08\x01\xbb"),
                (Server, b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"),
            ],
            &["protocol socks", "name connect 10.0.0.8:443", "socks 2"],
        );
        check(&[(Client, b"\x05\x01\x02"), (Server, b"\x05\xff")], &["protocol socks", "socks 255"]);
    }

    #[test]
    fn version_4() {
        check(
            &[
                (Client, b"\x04\x01\x01\xbb\xc0\x00\x02\x07me\x00"),
                (Server, b"\x00\x5b\x00\x00\x00\x00\x00\x00"),
            ],
            &["protocol socks", "name connect 192.0.2.7:443", "socks 91"],
        );
        check(
            &[(Client, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00name.example\x00")],
            &["protocol socks", "name connect name.example:443"],
        );
        // The proxy supports only version 5.
        check(
            &[(Client, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00name.example\x00"), (Server, b"\x05\xff")],
            &["protocol socks", "name connect name.example:443", "socks 255"],
        );
    }

    #[test]
    fn other_protocols_are_not_socks() {
        check(&[(Client, b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00")], &[]);
        check(&[(Client, b"\x05\x01\x77")], &[]);
        check(&[(Client, b"\x04\x01\x00\x00\x01\x02\x03\x04\x00")], &[]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), head in 0usize..3) {
            let head = [&b"\x05\x01\x00"[..], b"\x04\x01\x01\xbb\x01\x02\x03\x04\x00", b"\x05\x01\x00\x05\x01\x00"][head];
            let bytes = [head, &bytes].concat();
            play(TestConversation::tcp(1080), &[(Client, &bytes), (Server, &bytes), (Client, &bytes)]);
        }
    }
}
