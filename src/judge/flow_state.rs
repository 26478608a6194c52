//! What is known about the live flows.
//!
//! In:  a flow's start, names, attributes and statuses, as the readers report them.
//! Out: its state, until it ends.
//! Not: what the state means; see `diagnosis` and `policy`.

use std::sync::Arc;

use smallvec::SmallVec;

use super::conversations::SeenAt;
use super::diagnosis::crossing::Crossing;
use super::policy::Policy;
use super::policy::name_table::Contradiction;
use super::policy::name_table::DnsAttribution;
use super::policy::name_table::KnownName;
use super::rows::Http;
use super::rows::RareFacts;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;
use crate::base::WireText;
use crate::base::port;
use crate::flow::Endpoint;
use crate::flow::FlowStart;
use crate::flow::Slot;
use crate::read::AppStatus;
use crate::read::AttributeKey;
use crate::read::AttributeSet;
use crate::read::AttributeSets;
use crate::read::AttributeValue;
use crate::read::NameSource;
use crate::rules::PageField;

/// Name claims and statuses kept per flow. A conversation with more of them is malformed, not interesting.
const MAX_PER_FLOW: usize = 24;

/// A live flow. There is one of these for every live flow: keep it small.
#[derive(Debug)]
pub(super) struct FlowState {
    /// Number in order of its start, from 1.
    pub(super) number: u64,
    pub(super) flow_start: Box<FlowStart>,
    /// The application protocol; empty when unknown.
    pub(super) app: &'static str,
    /// The name that DNS last resolved to the server's address before the flow started.
    pub(super) dns: Option<DnsAttribution>,
    /// Another client received that response: this client did not query for any name of the address.
    pub(super) dns_is_other_clients: bool,
    /// What the readers reported. DNS flows and refused attempts have nothing here.
    pub(super) facts: Option<Box<AppFacts>>,
    /// What several capture points show of it, once it has ended.
    pub(super) seen_at: Option<Box<SeenAt>>,
}

/// What the readers reported of one flow.
#[derive(Debug, Default)]
pub(super) struct AppFacts {
    pub(super) claims: SmallVec<[NameClaim; 1]>,
    /// Alerts, statuses and refusals; few flows have any.
    pub(super) statuses: Vec<(AppStatus, FrameRef)>,
    pub(super) alpn: Option<WireText>,
    /// The attributes of the ClientHello and the certificates, shared with other flows.
    pub(super) attributes: AttributeSets,
    /// The version that the server chose.
    pub(super) tls_version: Option<u16>,
    /// The cipher suite that the server chose.
    pub(super) tls_cipher: Option<u16>,
    /// The highest version that the client offered.
    pub(super) tls_offered: Option<u16>,
    /// When the ClientHello was complete.
    pub(super) hello_time: Option<Time>,
    /// Lists of cipher suites of which the client offered none, as bits in the order of the policy.
    pub(super) unmatched_cipher_lists: u8,
    pub(super) http: Option<Box<Http>>,
    pub(super) ech: bool,
    pub(super) tls_resumed: bool,
    /// The server sent its certificate and never its ChangeCipherSpec.
    pub(super) handshake_unfinished: bool,
    /// The ClientHello is incomplete in the capture.
    pub(super) client_hello_cut: bool,
    pub(super) quic_version: Option<u32>,
    /// Attributes that few flows have.
    pub(super) rare: Option<Box<RareFacts>>,
    pub(super) anomalies: u32,
    /// A name that DNS resolved to the server's address before the flow started and that differs from the claimed one.
    pub(super) contradiction: Option<Contradiction>,
}

/// A name that the flow itself carries, and the frame that proves it.
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
    pub(super) fn add_attributes(&mut self, set: AttributeSet, policy: &Policy) {
        for (key, value) in set.iter() {
            self.set_attribute(*key, value, policy);
        }
        self.facts_mut().attributes.add(set);
    }

    /// Keeps the time at which the ClientHello was known.
    pub(super) fn note_hello(&mut self, time: Time) {
        if let Some(facts) = self.facts.as_deref_mut().filter(|facts| facts.tls_offered.is_some()) {
            facts.hello_time.get_or_insert(time);
        }
    }

    /// Keeps an attribute; those of sets without a field of their own stay in the set.
    pub(super) fn set_attribute(&mut self, key: AttributeKey, value: &AttributeValue, policy: &Policy) {
        use AttributeKey as Key;
        use AttributeValue as Value;
        match (key, value) {
            (Key::Alpn, Value::Text(chosen)) => self.facts_mut().alpn = Some(chosen.clone()),
            (Key::TlsVersion, Value::Number(version)) => {
                self.facts_mut().tls_version = u16::try_from(*version).ok();
            }
            (Key::TlsOffered, Value::Number(version)) => {
                self.facts_mut().tls_offered = u16::try_from(*version).ok();
            }
            (Key::TlsCiphers, Value::Codes(offered)) => {
                self.facts_mut().unmatched_cipher_lists = policy.unmatched_cipher_lists(offered);
            }
            (Key::Ech, Value::Yes) => self.facts_mut().ech = true,
            (Key::HelloCut, Value::Yes) => self.facts_mut().client_hello_cut = true,
            (Key::TlsCipher, Value::Number(cipher)) => {
                self.facts_mut().tls_cipher = u16::try_from(*cipher).ok();
            }
            (Key::Resumed, Value::Yes) => self.facts_mut().tls_resumed = true,
            (Key::HandshakeUnfinished, Value::Yes) => self.facts_mut().handshake_unfinished = true,
            (Key::QuicVersion, Value::Number(version)) => {
                self.facts_mut().quic_version = u32::try_from(*version).ok();
            }
            (Key::QuicError, Value::Number(code)) => self.rare_mut().quic_error = Some(*code),
            (Key::ProxySource, Value::Text(source)) => self.rare_mut().proxy_source = Some(source.clone()),
            (Key::HttpMethod, Value::Text(method)) => self.http_mut().method = Some(method.clone()),
            (Key::HttpStatus, Value::Number(status)) => self.http_mut().status = u16::try_from(*status).ok(),
            (Key::HttpTarget, Value::Text(target)) => self.http_mut().target = Some(target.clone()),
            (Key::HttpProxied, Value::Yes) => self.http_mut().proxied = true,
            (Key::HttpLocation, Value::Text(text)) => self.set_http_field(PageField::Location, text),
            (Key::HttpServer, Value::Text(text)) => self.set_http_field(PageField::Server, text),
            (Key::HttpVia, Value::Text(text)) => self.set_http_field(PageField::Via, text),
            (Key::HttpSquidError, Value::Text(text)) => self.set_http_field(PageField::XSquidError, text),
            (Key::HttpRequestId, Value::Text(text)) => self.set_http_field(PageField::RequestId, text),
            (Key::HttpProxyStatus, Value::Text(text)) => self.set_http_field(PageField::ProxyStatus, text),
            (Key::HttpBody, Value::Text(text)) => self.set_http_field(PageField::Body, text),
            _ => {}
        }
    }

    fn rare_mut(&mut self) -> &mut RareFacts {
        self.facts_mut().rare.get_or_insert_with(Box::default)
    }

    fn http_mut(&mut self) -> &mut Http {
        self.facts_mut().http.get_or_insert_with(Box::default)
    }

    fn set_http_field(&mut self, field: PageField, text: &WireText) {
        let fields = &mut self.http_mut().fields;
        if text.is_empty() {
            return fields.retain(|(kind, _)| *kind != field);
        }
        match fields.iter_mut().find(|(kind, _)| *kind == field) {
            Some((_, last)) => last.clone_from(text),
            None => fields.push((field, text.clone())),
        }
    }

    pub(super) fn add_claim(&mut self, claim: NameClaim) {
        let claims = &mut self.facts_mut().claims;
        let is_repeated =
            claims.iter().any(|other| other.source == claim.source && other.known == claim.known);
        if !is_repeated && claims.len() < MAX_PER_FLOW {
            claims.push(claim);
        }
    }

    pub(super) fn add_status(&mut self, status: AppStatus, frame: FrameRef) {
        let statuses = &mut self.facts_mut().statuses;
        if statuses.len() < MAX_PER_FLOW {
            statuses.push((status, frame));
        }
    }

    /// Where its packets stopped, if several capture points show it.
    pub(super) fn crossing(&self) -> Option<&Crossing> {
        self.seen_at.as_ref()?.crossing.as_ref()
    }

    /// Claims after the first: most flows have none.
    pub(super) fn further_claims(&self) -> usize {
        self.facts.as_ref().map_or(0, |facts| facts.claims.len().saturating_sub(1))
    }

    /// The claim of the strongest source, the first one among equals. A claimed address counts only where nothing else is
    /// claimed.
    pub(super) fn strongest_claim(&self) -> Option<&NameClaim> {
        self.facts.as_ref()?.claims.iter().min_by_key(|claim| (claim.known.address.is_some(), claim.source))
    }

    /// The first claim from a source.
    pub(super) fn claim_from(&self, source: NameSource) -> Option<&NameClaim> {
        self.facts.as_ref()?.claims.iter().find(|claim| claim.source == source)
    }

    /// The strongest name, and where it comes from. An address in place of a name is none.
    pub(super) fn name(&self) -> Option<(&Arc<KnownName>, NameSource)> {
        let claim = self.strongest_claim().filter(|claim| claim.known.address.is_none());
        let claimed = claim.map(|claim| (&claim.known, claim.source));
        let source = if self.dns_is_other_clients { NameSource::DnsOther } else { NameSource::Dns };
        let dns = self.dns.as_ref().map(|dns| (dns.known(), source));
        match (claimed, dns) {
            (Some(claimed), Some(dns)) => Some(if claimed.1 < dns.1 { claimed } else { dns }),
            (claimed, dns) => claimed.or(dns),
        }
    }

    /// The path of the first plain HTTP request, without its query; none where the request is not readable.
    pub(super) fn request_path(&self) -> Option<&str> {
        let target = self.request_target()?;
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => target,
        };
        path.split('?').next()
    }

    /// The port that the client requested: of the server that a proxy connects to where the request names one, else the flow's own.
    pub(super) fn requested_port(&self) -> u16 {
        let connect = self.claim_from(NameSource::Connect).and_then(|claim| claim.port);
        connect.or_else(|| self.proxied_port()).unwrap_or(self.server().port)
    }

    /// The address that the client requested: the one that it named to a proxy, else the server's.
    pub(super) fn requested_address(&self) -> Address {
        let claimed =
            self.strongest_claim().filter(|_| self.is_proxied()).and_then(|claim| claim.known.address);
        claimed.unwrap_or(self.server().address)
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

    /// The server is a proxy: names that are requested from it are not its own.
    pub(super) fn is_proxied(&self) -> bool {
        self.claim_from(NameSource::Connect).is_some()
            || self.facts.as_ref().and_then(|facts| facts.http.as_ref()).is_some_and(|http| http.proxied)
    }
}

/// The states of the live flows, by slot. The box of a flow that ended is used again by the next that starts.
#[derive(Debug, Default)]
pub(super) struct FlowStates {
    live: Vec<Option<Box<FlowState>>>,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused")]
    spare: Vec<Box<FlowState>>,
}

impl FlowStates {
    /// A flow has started.
    pub(super) fn start(&mut self, slot: Slot, state: FlowState) {
        let boxed = match self.spare.pop() {
            Some(mut spare) => {
                *spare = state;
                spare
            }
            None => Box::new(state),
        };
        self.put_back(slot, boxed);
    }

    /// Takes a state out, to be put back or released.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Box<FlowState>> {
        self.live.get_mut(slot.0 as usize)?.take()
    }

    /// Puts a state back that was taken out.
    pub(super) fn put_back(&mut self, slot: Slot, state: Box<FlowState>) {
        let index = slot.0 as usize;
        if self.live.len() <= index {
            self.live.resize_with(index + 1, || None);
        }
        if let Some(empty) = self.live.get_mut(index) {
            *empty = Some(state);
        }
    }

    /// All live flows.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FlowState> {
        self.live.iter().flatten().map(Box::as_ref)
    }

    /// Takes back the box of a flow that has ended.
    pub(super) fn release(&mut self, state: Box<FlowState>) {
        self.spare.push(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::proto;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;
    use crate::judge::test_support::host;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);
    const SERVER: Address = Address::v4([20, 60, 0, 4]);

    fn flow(port: u16) -> FlowState {
        let client = Endpoint { address: CLIENT, port: 50_000 };
        test_support::flow_state(proto::TCP, client, Endpoint { address: SERVER, port })
    }

    fn claim(source: NameSource, name: &str, port: Option<u16>, policy: &Policy) -> NameClaim {
        let known = NameTable::new(usize::MAX).look_up(&host(name), policy);
        NameClaim { source, known, port, frame: FrameRef::default() }
    }

    #[test]
    fn the_requested_port_is_the_one_that_a_proxy_is_to_connect_to() {
        let policy = Policy::for_tests("");
        let requested = |target: &str| {
            let mut flow = flow(8080);
            let target = AttributeValue::Text(WireText::printable(target.to_owned()));
            flow.set_attribute(AttributeKey::HttpTarget, &target, &policy);
            flow.requested_port()
        };
        assert_eq!(flow(8080).requested_port(), 8080);
        assert_eq!(requested("/index.html"), 8080);
        assert_eq!(requested("http://files.example/index.html"), 80);
        assert_eq!(requested("http://files.example:81/index.html"), 81);
        let mut connect = flow(8080);
        connect.add_claim(claim(NameSource::Connect, "files.example", Some(443), &policy));
        assert_eq!(connect.requested_port(), 443);
    }

    #[test]
    fn the_name_is_that_of_the_strongest_source() {
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        let response = test_support::resolution("dns.example", Some(0), &[SERVER]);
        names.add_response(CLIENT, &response, (FrameRef::default(), Time(0)), &policy);
        let mut check = |claims: &[(NameSource, &str)], is_other_clients, expected: &str| {
            let mut flow = flow(443);
            (flow.dns, _) = names.attribute(CLIENT, SERVER);
            flow.dns_is_other_clients = is_other_clients;
            for (source, name) in claims {
                flow.add_claim(claim(*source, name, None, &policy));
            }
            let (known, source) = flow.name().unwrap();
            assert_eq!(format!("{} {}", known.name.as_str(), source.as_str()), expected);
        };
        check(&[], false, "dns.example dns");
        check(&[], true, "dns.example dns-other");
        check(&[(NameSource::Certificate, "cert.example")], true, "dns.example dns-other");
        check(&[(NameSource::HttpHost, "http.example")], false, "http.example http-host");
        let claims = [(NameSource::Certificate, "cert.example"), (NameSource::Sni, "sni.example")];
        check(&claims, false, "sni.example sni");
        // An address in place of a name is none.
        check(&[(NameSource::Sni, "20.60.0.4")], false, "dns.example dns");
    }
}
