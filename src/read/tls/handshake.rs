//! Reads TLS handshakes over TCP, DTLS and QUIC.
//!
//! In:  handshake messages, by side.
//! Out: names, versions, cipher suites, certificates, each once.
//! Not: records, datagrams, packets.

use super::certificate;
use super::hello;
use super::hello::Carrier;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::WireText;
use crate::read::attributes::AttributeKey;
use crate::read::attributes::AttributeValue;
use crate::read::fact::NameSource;
use crate::read::reader::Emitter;
use tls_parser::TlsExtension;
use tls_parser::parse_tls_extension_alpn_content;
use tls_parser::parse_tls_handshake_server_hello;

/// RFC 8446 §4: handshake types.
pub(crate) const CLIENT_HELLO: u8 = 1;
/// RFC 8446 §4.
pub(crate) const SERVER_HELLO: u8 = 2;
/// RFC 8446 §4; unencrypted up to TLS 1.2 only.
pub(crate) const CERTIFICATE: u8 = 11;
/// RFC 5246 §7.4.7.
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
/// RFC 8446 §4: type and 24-bit length.
pub(crate) const HEADER_LEN: usize = 4;
/// RFC 8446 §4.1.2: the last version that is negotiated without supported_versions.
const TLS12: u16 = 0x0303;
/// RFC 8446 §4.1.3: this random makes a ServerHello a HelloRetryRequest.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// Extensions read of a ServerHello.
const EXTENSION_LIMIT: usize = 64;

/// The state of a handshake.
#[derive(Debug)]
pub(crate) struct TlsHandshake {
    source: NameSource,
    carrier: Carrier,
    /// A hash of the server name in the last ClientHello; none before the first.
    name_hash: Option<u64>,
    /// The version that the server chose.
    pub chosen: Option<u16>,
    /// The server's last message was a HelloRetryRequest.
    pub retry: bool,
    /// The server's certificate was seen.
    pub certificate_seen: bool,
    /// The server's ChangeCipherSpec was seen, or it was reported that there is none.
    is_over: bool,
}

impl TlsHandshake {
    /// A handshake before its first message.
    pub(crate) fn new(carrier: Carrier) -> TlsHandshake {
        let source = if carrier == Carrier::Quic { NameSource::QuicSni } else { NameSource::Sni };
        TlsHandshake {
            source,
            carrier,
            name_hash: None,
            chosen: None,
            retry: false,
            certificate_seen: false,
            is_over: false,
        }
    }

    /// True once a ClientHello was read.
    pub(crate) fn has_client_hello(&self) -> bool {
        self.name_hash.is_some()
    }

    /// True when the server chose a version that encrypts certificates.
    pub(crate) fn encrypts_certificates(&self) -> bool {
        // DTLS counts down: 1.3 is 0xfefc (RFC 9147 §5.3).
        self.chosen.is_some_and(|version| (version > TLS12 && version >> 8 != 0xfe) || version == 0xfefc)
    }

    /// Reads a ClientHello's body; false when it is none.
    pub(crate) fn client_hello(&mut self, body: &[u8], cut: bool, emit: &mut Emitter<'_>) -> bool {
        let Some(hello) = hello::parse_client_hello(body, self.carrier, cut) else { return false };
        let name_hash = fnv1a(hello.name.unwrap_or_default());
        match self.name_hash {
            None => hello.emit(self.source, self.carrier, emit),
            // After a HelloRetryRequest the client repeats its hello (RFC 8446 §4.1.2); only another name is emitted.
            Some(before) if before != name_hash => hello.emit_name(self.source, emit),
            Some(_) => {}
        }
        self.name_hash = Some(name_hash);
        true
    }

    /// Reads a complete ServerHello's body.
    pub(crate) fn server_hello(&mut self, body: &[u8], emit: &mut Emitter<'_>) {
        // tls-parser accepts the version numbers of TLS; a ServerHello of DTLS differs in nothing else (RFC 6347 §4.2.1).
        let mut renumbered;
        let mut parsed = parse_tls_handshake_server_hello(body);
        if let (Carrier::Dtls, [_, _, rest @ ..]) = (self.carrier, body) {
            renumbered = [3, 3].to_vec();
            renumbered.extend_from_slice(rest);
            parsed = parse_tls_handshake_server_hello(&renumbered);
        }
        let legacy = Cursor::new(body).u16("legacy_version").ok();
        let Ok((_, hello)) = parsed else {
            // Drafts of TLS 1.3 before 22 have their number here and omit fields.
            if let Some(version) = legacy {
                self.chosen = Some(version);
                emit.attribute(AttributeKey::TlsVersion, AttributeValue::Number(u64::from(version)));
            }
            return emit.anomaly("tls", "ServerHello of an unknown format");
        };
        let mut version = legacy.unwrap_or_default();
        let mut protocol = None;
        let mut resumed = false;
        let mut c = Cursor::new(hello.ext.unwrap_or_default());
        for _ in 0..EXTENSION_LIMIT {
            let Ok((extension_type, content)) = parse_extension(&mut c) else { break };
            match extension_type {
                hello::SUPPORTED_VERSIONS => {
                    version = Cursor::new(content).u16("selected_version").unwrap_or(version);
                }
                hello::ALPN => {
                    if let Ok((_, TlsExtension::ALPN(chosen))) = parse_tls_extension_alpn_content(content) {
                        protocol = chosen.first().map(|name| WireText::new(name, hello::ALPN_TEXT_LIMIT));
                    }
                }
                hello::PRE_SHARED_KEY => resumed = true,
                _ => {}
            }
        }
        self.retry = hello.random == RETRY_RANDOM;
        if self.retry {
            return;
        }
        self.chosen = Some(version);
        emit.attribute(AttributeKey::TlsVersion, AttributeValue::Number(u64::from(version)));
        emit.attribute(AttributeKey::TlsCipher, AttributeValue::Number(u64::from(hello.cipher.0)));
        if let Some(protocol) = protocol {
            emit.attribute(AttributeKey::Alpn, AttributeValue::Text(protocol));
        }
        if resumed {
            emit.attribute(AttributeKey::Resumed, AttributeValue::Yes);
        }
    }

    /// Reads a Certificate's body, which may end anywhere.
    pub(crate) fn certificate(&mut self, body: &[u8], emit: &mut Emitter<'_>) {
        if !self.certificate_seen {
            self.certificate_seen = true;
            certificate::emit(body, emit);
        }
    }

    /// The server changed to encryption; without a certificate before, it resumed a session.
    pub(crate) fn server_encryption_starts(&mut self, emit: &mut Emitter<'_>) {
        self.is_over = true;
        if self.chosen.is_some() && !self.encrypts_certificates() && !self.certificate_seen {
            emit.attribute(AttributeKey::Resumed, AttributeValue::Yes);
        }
    }

    /// The handshake is over: reports, once, a full one in which the server has not sent its ChangeCipherSpec.
    pub(crate) fn ended(&mut self, emit: &mut Emitter<'_>) {
        let was_over = std::mem::replace(&mut self.is_over, true);
        if self.certificate_seen && !self.encrypts_certificates() && !was_over {
            emit.attribute(AttributeKey::HandshakeUnfinished, AttributeValue::Yes);
        }
    }
}

/// RFC 8446 §4.2: type, length, content.
fn parse_extension<'a>(c: &mut Cursor<'a>) -> Result<(u16, &'a [u8]), Truncated> {
    let extension_type = c.u16("extension type")?;
    let len = c.u16("extension length")?;
    Ok((extension_type, c.take(usize::from(len), "extension")?))
}

/// FNV-1a: enough to recognise the same name.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
