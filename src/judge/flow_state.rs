//! All that is known of one live flow.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::FrameRef;
use crate::base::WireText;
use crate::base::port;
use crate::flow::Endpoint;
use crate::flow::FlowStart;
use crate::judge::policy::Policy;
use crate::judge::policy::name_table::Contradiction;
use crate::judge::policy::name_table::DnsAttribution;
use crate::judge::policy::name_table::KnownName;
use crate::judge::rows::Http;
use crate::judge::rows::RareFacts;
use crate::read::AppStatus;
use crate::read::AttributeKey;
use crate::read::AttributeSet;
use crate::read::AttributeSets;
use crate::read::AttributeValue;
use crate::read::NameSource;
use crate::rules::PageField;

/// Claims kept per flow. A conversation that says more is odd, not interesting.
const KEPT: usize = 24;

/// A live flow, from its opening until it is judged. There is one for every live flow: keep it small.
#[derive(Debug)]
pub(super) struct FlowState {
    /// Number in the order of opening, from 1.
    pub(super) number: u64,
    pub(super) flow_start: Box<FlowStart>,
    /// What the bytes are.
    pub(super) app: &'static str,
    /// The name that DNS last gave the server's address when the flow began.
    pub(super) dns: Option<DnsAttribution>,
    /// Another client received that answer: this one asked for none.
    pub(super) dns_is_others: bool,
    /// What was said; most flows of DNS and of refused attempts say nothing.
    pub(super) facts: Option<Box<AppFacts>>,
}

/// What was said in a flow.
#[derive(Debug, Default)]
pub(super) struct AppFacts {
    pub(super) claims: SmallVec<[NameClaim; 1]>,
    /// How the two sides ended attempts; few flows have any.
    pub(super) endings: Vec<(AppStatus, FrameRef)>,
    pub(super) alpn: Option<WireText>,
    /// The attributes of the ClientHello and the certificates, shared with other flows.
    pub(super) attributes: AttributeSets,
    pub(super) tls_version: Option<u16>,
    /// The cipher suite that the server chose.
    pub(super) tls_cipher: Option<u16>,
    /// The highest version that the client offered.
    pub(super) tls_offered: Option<u16>,
    /// Lists of cipher suites of which the client offered none, as bits in the order of the policy.
    pub(super) unmatched_cipher_lists: u8,
    /// What plain HTTP said beside names and statuses.
    pub(super) http: Option<Box<Http>>,
    pub(super) ech: bool,
    pub(super) tls_resumed: bool,
    /// The ClientHello is incomplete in the capture.
    pub(super) client_hello_cut: bool,
    pub(super) quic_version: Option<u32>,
    /// Attributes that few flows have.
    pub(super) rare: Option<Box<RareFacts>>,
    pub(super) anomalies: u32,
    /// A name that DNS had given the server's address when the flow began and that differs from what was claimed.
    pub(super) contradicts: Option<Contradiction>,
}

/// A claimed name, with its rules and the frame that proves it.
#[derive(Clone, Debug)]
pub(super) struct NameClaim {
    pub(super) source: NameSource,
    pub(super) known: Arc<KnownName>,
    pub(super) port: Option<u16>,
    pub(super) frame: FrameRef,
}

impl AppFacts {
    pub(super) fn alpn_offered(&self) -> Option<&Arc<[WireText]>> {
        self.attributes.list(AttributeKey::AlpnOffered)
    }

    pub(super) fn certificate_issuer(&self) -> Option<&WireText> {
        self.attributes.text(AttributeKey::CertificateIssuer)
    }
}

impl FlowState {
    pub(super) fn client(&self) -> Endpoint {
        self.flow_start.client
    }

    pub(super) fn server(&self) -> Endpoint {
        self.flow_start.server
    }

    pub(super) fn facts_mut(&mut self) -> &mut AppFacts {
        self.facts.get_or_insert_with(Box::default)
    }

    /// Keeps a set of attributes, and those of them that are needed before the row is built.
    pub(super) fn note_set(&mut self, set: AttributeSet, policy: &Policy) {
        for (key, value) in set.iter() {
            self.note(*key, value, policy);
        }
        self.facts_mut().attributes.add(set);
    }

    /// Keeps an attribute; those of sets without a field of their own stay in the set.
    pub(super) fn note(&mut self, key: AttributeKey, value: &AttributeValue, policy: &Policy) {
        match (key, value) {
            (AttributeKey::Alpn, AttributeValue::Text(chosen)) => {
                self.facts_mut().alpn = Some(chosen.clone())
            }
            (AttributeKey::TlsVersion, AttributeValue::Number(version)) => {
                self.facts_mut().tls_version = u16::try_from(*version).ok()
            }
            (AttributeKey::TlsOffered, AttributeValue::Number(version)) => {
                self.facts_mut().tls_offered = u16::try_from(*version).ok()
            }
            (AttributeKey::TlsCiphers, AttributeValue::Codes(offered)) => {
                self.facts_mut().unmatched_cipher_lists = policy.unmatched_cipher_lists(offered)
            }
            (AttributeKey::Ech, AttributeValue::Yes) => self.facts_mut().ech = true,
            (AttributeKey::HelloCut, AttributeValue::Yes) => self.facts_mut().client_hello_cut = true,
            (AttributeKey::TlsCipher, AttributeValue::Number(cipher)) => {
                self.facts_mut().tls_cipher = u16::try_from(*cipher).ok()
            }
            (AttributeKey::Resumed, AttributeValue::Yes) => self.facts_mut().tls_resumed = true,
            (AttributeKey::QuicVersion, AttributeValue::Number(version)) => {
                self.facts_mut().quic_version = u32::try_from(*version).ok()
            }
            (AttributeKey::QuicError, AttributeValue::Number(code)) => self.rare().quic_error = Some(*code),
            (AttributeKey::ProxySource, AttributeValue::Text(source)) => {
                self.rare().proxy_source = Some(source.clone())
            }
            (AttributeKey::HttpMethod, AttributeValue::Text(method)) => {
                self.http().method = Some(method.clone())
            }
            (AttributeKey::HttpStatus, AttributeValue::Number(status)) => {
                self.http().status = u16::try_from(*status).ok()
            }
            (AttributeKey::HttpTarget, AttributeValue::Text(target)) => {
                self.http().target = Some(target.clone())
            }
            (AttributeKey::HttpProxied, AttributeValue::Yes) => self.http().proxied = true,
            (AttributeKey::HttpLocation, AttributeValue::Text(text)) => self.show(PageField::Location, text),
            (AttributeKey::HttpServer, AttributeValue::Text(text)) => self.show(PageField::Server, text),
            (AttributeKey::HttpVia, AttributeValue::Text(text)) => self.show(PageField::Via, text),
            (AttributeKey::HttpSquidError, AttributeValue::Text(text)) => {
                self.show(PageField::XSquidError, text)
            }
            (AttributeKey::HttpBody, AttributeValue::Text(text)) => self.show(PageField::Body, text),
            _ => {}
        }
    }

    fn rare(&mut self) -> &mut RareFacts {
        self.facts_mut().rare.get_or_insert_with(Box::default)
    }

    fn http(&mut self) -> &mut Http {
        self.facts_mut().http.get_or_insert_with(Box::default)
    }

    fn show(&mut self, place: PageField, text: &WireText) {
        let shown = &mut self.http().shown;
        match shown.iter_mut().find(|(at, _)| *at == place) {
            Some((_, last)) => last.clone_from(text),
            None => shown.push((place, text.clone())),
        }
    }

    pub(super) fn claim(&mut self, claimed: NameClaim) {
        let claims = &mut self.facts_mut().claims;
        let known = claims
            .iter()
            .any(|other| other.source == claimed.source && Arc::ptr_eq(&other.known, &claimed.known));
        if !known && claims.len() < KEPT {
            claims.push(claimed);
        }
    }

    /// Keeps how one side ended an attempt.
    pub(super) fn end(&mut self, ending: AppStatus, frame: FrameRef) {
        let endings = &mut self.facts_mut().endings;
        if endings.len() < KEPT {
            endings.push((ending, frame));
        }
    }

    /// Claims beyond the first: most flows have none.
    pub(super) fn more_claims(&self) -> usize {
        self.facts.as_ref().map_or(0, |said| said.claims.len().saturating_sub(1))
    }

    /// The strongest claim, first come first among equals; one of an address only where there is no other.
    pub(super) fn strongest(&self) -> Option<&NameClaim> {
        self.facts.as_ref()?.claims.iter().min_by_key(|claimed| (claimed.known.is_address, claimed.source))
    }

    /// The server is a proxy: names that are asked of it are not its own.
    pub(super) fn is_proxied(&self) -> bool {
        self.claimed(NameSource::Connect).is_some()
            || self.facts.as_ref().and_then(|said| said.http.as_ref()).is_some_and(|http| http.proxied)
    }

    /// The path of the first plain HTTP request, without its query; none for requests that cannot be read.
    pub(super) fn request_path(&self) -> Option<&str> {
        let target = self.request_target()?;
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => target,
        };
        path.split('?').next()
    }

    /// The port that the client asked for: of the server behind a proxy where the request names one, else the flow's own.
    pub(super) fn requested_port(&self) -> u16 {
        let connect = self.claimed(NameSource::Connect).and_then(|claimed| claimed.port);
        connect.or_else(|| self.proxied_port()).unwrap_or(self.server().port)
    }

    /// The port in the absolute URL of a request to a proxy (RFC 9112 §3.2.2); 80 where the URL has none.
    fn proxied_port(&self) -> Option<u16> {
        let rest = self.request_target()?.strip_prefix("http://")?;
        let authority = rest.split(['/', '?']).next()?;
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(port.unwrap_or(port::HTTP))
    }

    fn request_target(&self) -> Option<&str> {
        let target = self.facts.as_ref()?.http.as_ref()?.target.as_ref()?;
        Some(target.as_str())
    }

    /// The strongest name, and where it comes from.
    pub(super) fn name(&self) -> Option<(&Arc<KnownName>, NameSource)> {
        let claimed = self.strongest().map(|claimed| (&claimed.known, claimed.source));
        let source = if self.dns_is_others { NameSource::DnsOther } else { NameSource::Dns };
        let dns = self.dns.as_ref().map(|named| (named.known(), source));
        match (claimed, dns) {
            (Some(claimed), Some(dns)) => Some(if claimed.1 < dns.1 { claimed } else { dns }),
            (claimed, dns) => claimed.or(dns),
        }
    }

    /// The first claim from a source.
    pub(super) fn claimed(&self, source: NameSource) -> Option<&NameClaim> {
        self.facts.as_ref()?.claims.iter().find(|claimed| claimed.source == source)
    }
}
