//! What a TLS handshake tells, whatever carries its messages.
//!
//! In:  handshake messages, by side.
//! Out: names, versions, ciphers, certificates, each once.
//! Not: records, datagrams, packets.

use super::certificate;
use super::hello;
use super::hello::Carrier;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::WireText;
use crate::read::fact::AttributeKey;
use crate::read::fact::AttributeValue;
use crate::read::fact::NameSource;
use crate::read::reader::Emitter;
use tls_parser::TlsExtension;
use tls_parser::parse_tls_extension_alpn_content;
use tls_parser::parse_tls_handshake_server_hello;

/// RFC 8446 §4: handshake types.
pub(crate) const CLIENT_HELLO: u8 = 1;
/// RFC 8446 §4.
pub(crate) const SERVER_HELLO: u8 = 2;
/// RFC 8446 §4; in the clear up to TLS 1.2 only.
pub(crate) const CERTIFICATE: u8 = 11;
/// RFC 5246 §7.4.7.
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
/// RFC 8446 §4: type and 24 bits of length.
pub(crate) const HEADER_LEN: usize = 4;
/// RFC 8446 §4.1.2: the last version that is chosen without supported_versions.
const TLS12: u16 = 0x0303;
/// RFC 8446 §4.1.3: this random makes a ServerHello a HelloRetryRequest.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// Extensions walked over in a ServerHello.
const EXTENSION_LIMIT: usize = 64;

/// What was said so far.
#[derive(Debug)]
pub(crate) struct Talk {
    /// How names are called.
    source: NameSource,
    carrier: Carrier,
    /// A hash of the name of the last ClientHello; none before.
    named: Option<u64>,
    /// The version chosen.
    pub chosen: Option<u16>,
    /// A HelloRetryRequest was the last word of the server.
    pub retry: bool,
    /// The server's certificate was seen.
    pub certified: bool,
}

impl Talk {
    /// Nothing was said.
    pub(crate) fn new(carrier: Carrier) -> Talk {
        let source = if carrier == Carrier::Quic { NameSource::QuicSni } else { NameSource::Sni };
        Talk { source, carrier, named: None, chosen: None, retry: false, certified: false }
    }

    /// True once a ClientHello was told.
    pub(crate) fn greeted(&self) -> bool {
        self.named.is_some()
    }

    /// True when the server chose a version whose certificates are hidden.
    pub(crate) fn hides_certificates(&self) -> bool {
        // DTLS counts down: 1.3 is 0xfefc (RFC 9147 §5.3).
        self.chosen.is_some_and(|version| (version > TLS12 && version >> 8 != 0xfe) || version == 0xfefc)
    }

    /// A ClientHello's body; false when it is none.
    pub(crate) fn client_hello(&mut self, body: &[u8], cut: bool, emit: &mut Emitter<'_>) -> bool {
        let Some(hello) = hello::read(body, self.carrier, cut) else { return false };
        let name = hash(hello.name.unwrap_or_default());
        match self.named {
            None => hello.emit(self.source, self.carrier, emit),
            // After a HelloRetryRequest the client says the same again (RFC 8446 §4.1.2); another name would be news.
            Some(before) if before != name => hello.tell_name(self.source, emit),
            Some(_) => {}
        }
        self.named = Some(name);
        true
    }

    /// A ServerHello's whole body.
    pub(crate) fn server_hello(&mut self, body: &[u8], emit: &mut Emitter<'_>) {
        // tls-parser knows the versions of TCP; DTLS's ServerHello differs in nothing else (RFC 6347 §4.2.1).
        let mut renumbered;
        let mut parsed = parse_tls_handshake_server_hello(body);
        if let (Carrier::Dtls, [_, _, rest @ ..]) = (self.carrier, body) {
            renumbered = [3, 3].to_vec();
            renumbered.extend_from_slice(rest);
            parsed = parse_tls_handshake_server_hello(&renumbered);
        }
        let legacy = Cursor::new(body).u16("legacy_version").ok();
        let Ok((_, said)) = parsed else {
            // Drafts of TLS 1.3 before 22 put their number here and leave fields out.
            if let Some(version) = legacy {
                self.chosen = Some(version);
                emit.attribute(AttributeKey::TlsVersion, AttributeValue::Number(u64::from(version)));
            }
            return emit.anomaly("tls", "ServerHello of another shape");
        };
        let mut version = legacy.unwrap_or_default();
        let mut protocol = None;
        let mut resumed = false;
        let mut c = Cursor::new(said.ext.unwrap_or_default());
        for _ in 0..EXTENSION_LIMIT {
            let Ok((kind, content)) = extension(&mut c) else { break };
            match kind {
                hello::SUPPORTED_VERSIONS => {
                    version = Cursor::new(content).u16("selected_version").unwrap_or(version);
                }
                hello::ALPN => {
                    if let Ok((_, TlsExtension::ALPN(chosen))) = parse_tls_extension_alpn_content(content) {
                        protocol = chosen.first().map(|name| WireText::new(name, 64));
                    }
                }
                hello::PRE_SHARED_KEY => resumed = true,
                _ => {}
            }
        }
        self.retry = said.random == RETRY_RANDOM;
        if self.retry {
            return emit.attribute(AttributeKey::TlsRetry, AttributeValue::Yes);
        }
        self.chosen = Some(version);
        emit.attribute(AttributeKey::TlsVersion, AttributeValue::Number(u64::from(version)));
        emit.attribute(AttributeKey::TlsCipher, AttributeValue::Number(u64::from(said.cipher.0)));
        if let Some(protocol) = protocol {
            emit.attribute(AttributeKey::Alpn, AttributeValue::Text(protocol));
        }
        if resumed {
            emit.attribute(AttributeKey::Resumed, AttributeValue::Yes);
        }
    }

    /// A Certificate's body, which may end anywhere.
    pub(crate) fn certificate(&mut self, body: &[u8], emit: &mut Emitter<'_>) {
        if !self.certified {
            self.certified = true;
            certificate::emit(body, emit);
        }
    }

    /// The server went on to encryption: without a certificate before it, it resumed a session.
    pub(crate) fn server_encrypts(&mut self, emit: &mut Emitter<'_>) {
        if self.chosen.is_some() && !self.hides_certificates() && !self.certified {
            emit.attribute(AttributeKey::Resumed, AttributeValue::Yes);
        }
    }
}

/// RFC 8446 §4.2.
fn extension<'a>(c: &mut Cursor<'a>) -> Result<(u16, &'a [u8]), Truncated> {
    let kind = c.u16("extension type")?;
    let len = c.u16("extension length")?;
    Ok((kind, c.take(usize::from(len), "extension")?))
}

/// FNV-1a: enough to see that a client says the same name again.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
