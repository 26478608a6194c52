//! Defines attributes: properties of a conversation that readers emit.
//!
//! In:  nothing.
//! Out: keys, values, and sets that many conversations share.
//! Not: names and DNS answers, which are facts of their own.

use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use smallvec::SmallVec;

use crate::base::WireText;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeValue {
    /// True.
    Yes,
    /// A number.
    Number(u64),
    /// Text from the wire.
    Text(WireText),
    /// Several texts, in wire order.
    List(Arc<[WireText]>),
    /// Several two-byte numbers, in wire order.
    Codes(Arc<[u16]>),
}

/// Attributes parsed from one message, shared by all conversations in which the same message was sent.
pub type AttributeSet = Arc<[(AttributeKey, AttributeValue)]>;

/// The attribute sets of one conversation: of its ClientHello and its certificates.
#[derive(Clone, Debug, Default)]
pub struct AttributeSets(SmallVec<[AttributeSet; 2]>);

impl AttributeSets {
    /// Adds a set.
    pub fn add(&mut self, set: AttributeSet) {
        self.0.push(set);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last text of an attribute.
    pub fn text(&self, key: AttributeKey) -> Option<&WireText> {
        match self.value(key)? {
            AttributeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The last list of an attribute.
    pub fn list(&self, key: AttributeKey) -> Option<&Arc<[WireText]>> {
        match self.value(key)? {
            AttributeValue::List(list) => Some(list),
            _ => None,
        }
    }

    fn value(&self, key: AttributeKey) -> Option<&AttributeValue> {
        let values = self.0.iter().rev().flat_map(|set| set.iter());
        values.filter(|(other, _)| *other == key).map(|(_, value)| value).next()
    }
}

/// Declares the attribute keys: variant, name, column of `flows.csv` (empty where only checks use it), description.
macro_rules! keys {
    ($($variant:ident, $name:literal, $column:literal, $about:literal;)*) => {
        /// The attributes that readers emit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AttributeKey { $(#[doc = $about] $variant,)* }

        impl AttributeKey {
            /// All keys, in the order of their declaration.
            pub const ALL: &[AttributeKey] = &[$(AttributeKey::$variant,)*];

            /// The name in the reference.
            pub const fn name(self) -> &'static str {
                match self { $(AttributeKey::$variant => $name,)* }
            }

            /// The column of `flows.csv`; empty where only checks use it.
            pub const fn column(self) -> &'static str {
                match self { $(AttributeKey::$variant => $column,)* }
            }

            /// The description in the reference.
            pub const fn about(self) -> &'static str {
                match self { $(AttributeKey::$variant => $about,)* }
            }
        }
    };
}

keys! {
    TlsVersion, "tls.version", "tls_version", "TLS version that the server chose, by number";
    TlsOffered, "tls.offered", "", "highest TLS version that the client offered, by number";
    TlsCipher, "tls.cipher", "tls_cipher", "cipher suite that the server chose, by number";
    TlsCiphers, "tls.ciphers", "", "cipher suites that the client offered, by number, without GREASE";
    AlpnOffered, "alpn.offered", "alpn", "application protocols that the client offered, in its order";
    Alpn, "alpn", "alpn", "application protocol that the server chose, where it is not encrypted";
    Ech, "ech", "ech", "the ClientHello is the outer one of an encrypted ClientHello";
    HelloCut, "tls.hello-cut", "client_hello_cut", "the ClientHello is incomplete in the capture, and so may be its attributes";
    CertificateSubject, "certificate.subject", "certificate_subject", "subject of the server's certificate";
    CertificateIssuer, "certificate.issuer", "certificate_issuer", "issuer of the server's certificate";
    CertificateNames, "certificate.names", "certificate_names", "DNS names in the server's certificate";
    CertificateChain, "certificate.chain", "certificate_chain", "subjects of the certificates sent after the server's own";
    Resumed, "tls.resumed", "tls_resumed", "the session was resumed, so the server sent no certificate";
    HttpMethod, "http.method", "http_method", "method of the first request";
    HttpTarget, "http.target", "", "target of the first request, as sent: a path, or a URL in a request to a proxy";
    HttpProxied, "http.proxied", "", "the request was sent to a proxy: its target is a URL";
    HttpStatus, "http.status", "http_status", "status code of the last response";
    HttpServer, "http.server", "http_server", "Server header of the first response, and of later ones that fail";
    HttpLocation, "http.location", "http_location", "Location header of the last redirect";
    HttpVia, "http.via", "http_server", "Via or Proxy-Agent header of the same responses as `http.server`: the name of a proxy";
    HttpSquidError, "http.squid-error", "", "X-Squid-Error header of the same responses as `http.server`: why a proxy refused";
    HttpBody, "http.body", "", "first bytes of the first response's body, where it is text";
    QuicVersion, "quic.version", "quic_version", "QUIC version of the first long header, by number";
    QuicError, "quic.error", "quic_error", "error code of a CONNECTION_CLOSE in Initial packets, where it is not a TLS alert";
    Ja4, "ja4", "ja4", "JA4 fingerprint of the ClientHello";
    ProxySource, "proxy.source", "proxy_source", "client address in a PROXY protocol header";
    HandshakeUnfinished, "tls.handshake-unfinished", "", "the server sent its certificate and, to the end of the conversation, no ChangeCipherSpec: up to TLS 1.2 the handshake was not completed";
    HttpRequestId, "http.request-id", "", "name of a header by which a service identifies a request, such as `x-azure-ref`, in the same responses as `http.server`";
    HttpProxyStatus, "http.proxy-status", "", "Proxy-Status header of the same responses as `http.server`: what a proxy did with the request";
}
