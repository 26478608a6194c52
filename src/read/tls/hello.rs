//! Parses ClientHellos of TLS, DTLS and QUIC.
//!
//! In:  the body of a ClientHello, which may end anywhere.
//! Out: names, protocols, versions and cipher suites offered; whether a part is missing.
//! Not: records and reassembly.
//!
//! tls-parser parses single extensions. It ignores all extensions after a malformed one without an error, and a ClientHello
//! must be complete; so the fields are parsed here, in the same way for complete and cut ones.

use super::ja4;
use crate::base::Cursor;
use crate::base::HostName;
use crate::base::Truncated;
use crate::base::WireText;
use crate::read::attributes::AttributeKey;
use crate::read::attributes::AttributeValue;
use crate::read::fact::Fact;
use crate::read::fact::NameSource;
use crate::read::reader::Emitter;
use smallvec::SmallVec;
use tls_parser::SNIType;
use tls_parser::TlsExtension;
use tls_parser::parse_tls_extension_alpn_content;
use tls_parser::parse_tls_extension_sni_content;

/// RFC 6066 §3.
pub(crate) const SERVER_NAME: u16 = 0;
/// RFC 8446 §4.2.3.
const SIGNATURE_ALGORITHMS: u16 = 13;
/// RFC 7301 §3.1.
pub(crate) const ALPN: u16 = 16;
/// RFC 8446 §4.2.11.
pub(crate) const PRE_SHARED_KEY: u16 = 41;
/// RFC 8446 §4.2.1.
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 9849 §5: encrypted_client_hello.
const ECH: u16 = 0xfe0d;
/// RFC 9849 §5: the first byte of the outer form.
const ECH_OUTER: u8 = 0;

/// Protocols kept of one ClientHello.
const ALPN_LIMIT: usize = 16;
/// Bytes kept of one protocol's name.
pub(super) const ALPN_TEXT_LIMIT: usize = 64;
/// Cipher suites kept of one ClientHello.
const CIPHER_LIMIT: usize = 256;
/// Extensions read of one ClientHello. Real ones have up to about thirty; 32 KiB could hold 8,000 empty ones.
const EXTENSION_LIMIT: usize = 256;

/// RFC 8701 §2: GREASE values, which clients send to keep servers tolerant: 0x0a0a, 0x1a1a, … 0xfafa.
pub(crate) const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// The protocol that carries a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// TLS over TCP.
    Tls,
    /// DTLS: RFC 9147 and its predecessors.
    Dtls,
    /// QUIC: RFC 9001 §4.
    Quic,
}

/// What could be read of a ClientHello.
#[derive(Clone, Debug)]
pub(crate) struct ClientHello<'a> {
    /// legacy_version.
    pub version: u16,
    /// cipher_suites, two bytes each.
    pub ciphers: &'a [u8],
    /// The types of the extensions, in order, without GREASE.
    pub extensions: SmallVec<[u16; 32]>,
    /// The highest of supported_versions, without GREASE; 0 without the extension.
    pub highest: u16,
    /// The host name in server_name.
    pub name: Option<&'a [u8]>,
    /// ALPN.
    pub protocols: SmallVec<[&'a [u8]; 8]>,
    /// signature_algorithms, two bytes each.
    pub signatures: &'a [u8],
    /// encrypted_client_hello is present in its outer form.
    pub ech: bool,
    /// Bytes are missing at the end.
    pub cut: bool,
    /// The last anomaly.
    pub anomaly: Option<&'static str>,
}

/// Parses the bytes present; `cut` means that some are missing. `None` when the bytes are no ClientHello.
pub(crate) fn parse_client_hello(body: &[u8], carrier: Carrier, cut: bool) -> Option<ClientHello<'_>> {
    let mut hello = ClientHello {
        version: 0,
        ciphers: &[],
        extensions: SmallVec::new(),
        highest: 0,
        name: None,
        protocols: SmallVec::new(),
        signatures: &[],
        ech: false,
        cut,
        anomaly: None,
    };
    let parsed = hello.parse(body, carrier);
    // RFC 8446 §4.1.2, RFC 9147 §5.3: the version is 3.x, or counts down from 254.255.
    let plausible = match carrier {
        Carrier::Dtls => matches!(hello.version, 0xfefc..=0xfeff | 0x0100),
        _ => hello.version >> 8 == 3,
    };
    if !plausible {
        return None;
    }
    if parsed.is_err() && !cut {
        hello.anomaly = hello.anomaly.or(Some("length past the end of the ClientHello"));
    }
    Some(hello)
}

impl<'a> ClientHello<'a> {
    /// RFC 8446 §4.1.2; the cookie is DTLS's (RFC 6347 §4.2.1).
    fn parse(&mut self, body: &'a [u8], carrier: Carrier) -> Result<(), Truncated> {
        let mut c = Cursor::new(body);
        self.version = c.u16("legacy_version")?;
        c.skip(32, "random")?;
        let session_len = usize::from(c.u8("legacy_session_id length")?);
        c.skip(session_len, "legacy_session_id")?;
        if carrier == Carrier::Dtls {
            let cookie_len = usize::from(c.u8("cookie length")?);
            c.skip(cookie_len, "cookie")?;
        }
        let ciphers_len = usize::from(c.u16("cipher_suites length")?);
        self.ciphers = c.take(ciphers_len, "cipher_suites")?;
        let methods_len = usize::from(c.u8("compression methods length")?);
        c.skip(methods_len, "compression methods")?;
        if c.is_empty() {
            // Clients before RFC 3546 send no extensions.
            return Ok(());
        }
        let extensions_len = usize::from(c.u16("extensions length")?);
        let missing = extensions_len > c.left();
        let mut c = Cursor::new(c.take_up_to(extensions_len));
        let mut count = 0;
        while !c.is_empty() {
            count += 1;
            if count > EXTENSION_LIMIT {
                self.anomaly = Some("more than 256 extensions");
                return Ok(());
            }
            let extension_type = c.u16("extension type")?;
            let len = c.u16("extension length")?;
            let content = c.take(usize::from(len), "extension")?;
            if !is_grease(extension_type) {
                self.extensions.push(extension_type);
                self.extension(extension_type, content);
            }
        }
        if missing { Err(Truncated { wanted: "extensions", at: body.len() }) } else { Ok(()) }
    }

    fn extension(&mut self, extension_type: u16, content: &'a [u8]) {
        match extension_type {
            SERVER_NAME if self.name.is_none() => match parse_tls_extension_sni_content(content) {
                Ok((_, TlsExtension::SNI(names))) => {
                    let host = names.iter().find(|(name_type, _)| *name_type == SNIType::HostName);
                    self.name = host.map(|(_, name)| *name).filter(|name| !name.is_empty());
                    if self.name.is_none() {
                        self.anomaly = Some("server_name without a name");
                    }
                }
                _ => self.anomaly = Some("malformed server_name"),
            },
            SERVER_NAME => self.anomaly = Some("second server_name"),
            ALPN => match parse_tls_extension_alpn_content(content) {
                Ok((_, TlsExtension::ALPN(protocols))) => {
                    self.protocols = protocols.into_iter().take(ALPN_LIMIT).collect();
                }
                _ => self.anomaly = Some("malformed application_layer_protocol_negotiation"),
            },
            SUPPORTED_VERSIONS => {
                let versions = content.get(1..).unwrap_or_default();
                let known = u16_list(versions).filter(|version| !is_grease(*version));
                // DTLS version numbers count down: the lowest number is the highest version.
                self.highest =
                    known.fold(self.highest, |best, version| match best {
                        0 => version,
                        best if is_draft(best) != is_draft(version) && best >> 8 != 0xfe => {
                            if is_draft(best) { version.max(0x0304) } else { best.max(0x0304) }
                        }
                        best if best >> 8 == 0xfe => best.min(version),
                        best => best.max(version),
                    });
            }
            SIGNATURE_ALGORITHMS => self.signatures = content.get(2..).unwrap_or_default(),
            ECH => self.ech = content.first() == Some(&ECH_OUTER),
            _ => {}
        }
    }

    /// The highest version that the client offered.
    pub(crate) fn highest_version(&self) -> u16 {
        if self.highest == 0 { self.version } else { self.highest }
    }

    /// Emits all facts.
    pub(crate) fn emit(&self, source: NameSource, carrier: Carrier, emit: &mut Emitter<'_>) {
        self.emit_name(source, emit);
        let attributes = if self.cut {
            self.attributes(carrier).into()
        } else {
            let mut key = std::mem::take(&mut emit.cache.key_buffer);
            self.cache_key(carrier, &mut key);
            let attributes = emit.cache.hellos.get_or_parse(&key, || self.attributes(carrier).into());
            emit.cache.key_buffer = key;
            attributes
        };
        emit.fact(Fact::Attributes(attributes));
        if let Some(what) = self.anomaly {
            emit.anomaly("tls", what);
        }
    }

    /// The attributes of a ClientHello.
    fn attributes(&self, carrier: Carrier) -> Vec<(AttributeKey, AttributeValue)> {
        let mut attributes = Vec::with_capacity(5);
        if !self.protocols.is_empty() {
            let protocols = self.protocols.iter().map(|name| WireText::new(name, ALPN_TEXT_LIMIT)).collect();
            attributes.push((AttributeKey::AlpnOffered, AttributeValue::List(protocols)));
        }
        attributes
            .push((AttributeKey::TlsOffered, AttributeValue::Number(u64::from(self.highest_version()))));
        let mut ciphers = Vec::with_capacity((self.ciphers.len() / 2).min(CIPHER_LIMIT));
        ciphers.extend(u16_list(self.ciphers).filter(|cipher| !is_grease(*cipher)).take(CIPHER_LIMIT));
        if !ciphers.is_empty() {
            attributes.push((AttributeKey::TlsCiphers, AttributeValue::Codes(ciphers.into())));
        }
        if self.ech {
            attributes.push((AttributeKey::Ech, AttributeValue::Yes));
        }
        if self.cut {
            attributes.push((AttributeKey::HelloCut, AttributeValue::Yes));
        } else {
            attributes.push((
                AttributeKey::Ja4,
                AttributeValue::Text(WireText::new(&ja4::fingerprint(self, carrier), ja4::LEN)),
            ));
        }
        attributes
    }

    /// All fields that the attributes are made of, as bytes: the same key means the same attributes. What clients randomise
    /// is left out: GREASE and the order of the extensions.
    fn cache_key(&self, carrier: Carrier, key: &mut Vec<u8>) {
        key.clear();
        let [high, low] = self.highest_version().to_be_bytes();
        key.extend_from_slice(&[carrier as u8, u8::from(self.ech), high, low]);
        for protocol in &self.protocols {
            key.push(protocol.len() as u8);
            key.extend_from_slice(protocol);
        }
        let mut extensions = self.extensions.clone();
        extensions.sort_unstable();
        push_list(key, u16_list(self.ciphers).filter(|cipher| !is_grease(*cipher)));
        push_list(key, extensions.into_iter());
        push_list(key, u16_list(self.signatures).filter(|value| !is_grease(*value)));
    }

    /// Emits the server name.
    pub(crate) fn emit_name(&self, source: NameSource, emit: &mut Emitter<'_>) {
        if let Some(name) = self.name.and_then(HostName::from_wire_text) {
            emit.name(source, name, None, self.ech);
        }
    }
}

/// Appends a list after its length, so that different lists never give the same key.
fn push_list(key: &mut Vec<u8>, list: impl Iterator<Item = u16>) {
    let from = key.len();
    key.extend_from_slice(&[0, 0]);
    for value in list {
        key.extend_from_slice(&value.to_be_bytes());
    }
    let len = (key.len() - from) as u16;
    if let Some(place) = key.get_mut(from..from + 2) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Drafts of TLS 1.3 are 0x7fNN (RFC 8446 drafts, §4.2.1): a high number that is not above 1.3.
const fn is_draft(version: u16) -> bool {
    version >> 8 == 0x7f || version >> 8 == 0xfb
}

/// The two-byte numbers of a list.
pub(crate) fn u16_list(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
}
