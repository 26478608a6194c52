//! Finding codes: one row each, with everything that a code implies. What `explain` prints is in `texts`.

use super::entry::Compared;
use super::entry::ConfidenceSource;
use super::entry::FindingEntry;
use super::entry::Proof;
use super::entry::TargetKind;
use super::statement_subject::StatementSubject;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;
use ConfidenceSource::Fixed;
use ConfidenceSource::Observed;
use ConfidenceSource::OfMechanism;
use StatementSubject::Allowlist;
use StatementSubject::Broad;
use StatementSubject::Encryption;
use StatementSubject::HostsFile;
use StatementSubject::Inspection;
use StatementSubject::NoSmb;
use StatementSubject::OutboundOnly;
use StatementSubject::Port;
use StatementSubject::PrivateLink;
use StatementSubject::Proxy;
use StatementSubject::PublicResolution;
use StatementSubject::Routing;
use StatementSubject::SameRegion;
use StatementSubject::Tunnel;

/// Declares the codes. A row that lacks a field does not compile.
macro_rules! findings {
    ($($name:ident = $code:literal, $severity:ident, $title:literal {
        cites: $cites:expr,
        proof: $proof:ident,
        confidence: $confidence:expr,
        target: $target:ident,
        compared: $compared:ident,
    })*) => {
        /// A finding code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingCode {
            $(#[doc = $title] $name,)*
        }

        impl FindingCode {
            /// All codes, in ascending order.
            pub const ALL: &[FindingCode] = &[$(FindingCode::$name,)*];

            /// What the code implies.
            pub const fn entry(self) -> &'static FindingEntry {
                match self {
                    $(FindingCode::$name => const {
                        &FindingEntry {
                            code: $code,
                            severity: Severity::$severity,
                            title: $title,
                            texts: FindingCode::$name.texts(),
                            cites: $cites,
                            proof: Proof::$proof,
                            confidence: $confidence,
                            target: TargetKind::$target,
                            compared: Compared::$compared,
                        }
                    },)*
                }
            }
        }
    };
}

findings! {
    UndocumentedDestination = "AFS101", Medium, "destination not documented" {
        cites: Some(Allowlist),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    BroadWildcardOnly = "AFS102", Low, "documented only by a row that covers more than the product" {
        cites: Some(Broad),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UndocumentedPort = "AFS103", High, "documented name on an undocumented port" {
        cites: Some(Port),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    CleartextHttp = "AFS104", High, "unencrypted HTTP to a sync or storage name" {
        cites: Some(Encryption),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    InboundConnection = "AFS105", High, "inbound connection from outside" {
        cites: Some(OutboundOnly),
        proof: FlowEnd,
        confidence: Observed,
        target: Service,
        compared: Nothing,
    }
    UnidentifiedDestination = "AFS106", Low, "no name known for a destination" {
        cites: Some(Allowlist),
        proof: FlowEnd,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    NameContradiction = "AFS107", Medium, "two sources name a flow differently" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    NotTlsOn443 = "AFS108", Medium, "not TLS on port 443" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UnknownIssuer = "AFS109", High, "certificate of an unknown issuer" {
        cites: Some(Inspection),
        proof: Payload,
        confidence: Fixed(Confidence::Strong),
        target: Destination,
        compared: Nothing,
    }
    ClientTlsTooOld = "AFS110", High, "client offers no TLS version that the services accept" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    NoAcceptedCipherSuite = "AFS111", High, "client offers none of the accepted cipher suites" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    ServerTlsTooOld = "AFS112", High, "server chose a TLS version that the services no longer use" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UndocumentedTransport = "AFS113", Low, "UDP 443 to a name documented for TCP 443" {
        cites: Some(Port),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    MalformedName = "AFS114", Medium, "malformed host name" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    DocumentedElsewhere = "AFS115", Low, "documented, but not for this site" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    ConnectionRefused = "AFS201", High, "connection refused" {
        cites: None,
        proof: Refusal,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    ConnectionUnanswered = "AFS202", High, "connection attempt or request never answered" {
        cites: None,
        proof: Silence,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    ConnectionReset = "AFS203", High, "connection reset or closed after ClientHello or first request" {
        cites: None,
        proof: Refusal,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    InjectedReset = "AFS204", High, "connection ended by a reset that the peer did not send" {
        cites: None,
        proof: Refusal,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    PathMtuBlackHole = "AFS205", High, "only small packets get through" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    HttpReplyToClientHello = "AFS206", High, "ClientHello answered in plain HTTP" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    BlockPage = "AFS207", High, "block page returned instead of the documented host's response" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    DroppedByHost = "AFS208", High, "packets dropped by the host that captured them" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    RevocationHostsBlocked = "AFS209", High, "certificate revocation hosts are blocked while the services are reached" {
        cites: None,
        proof: RunEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    TlsRefusedByServer = "AFS211", High, "TLS refused by the server's side" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: AllFlows,
    }
    CertificateRefusedByClient = "AFS212", High, "certificate refused by the client" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: SameName,
    }
    TlsRefusedByClient = "AFS213", Medium, "TLS refused by the client" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: SameName,
    }
    ProxyRefused = "AFS221", High, "proxy refused the destination" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: SameProxy,
    }
    ProxyAuthRequired = "AFS222", High, "proxy requires authentication that the client does not complete" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: SameProxy,
    }
    CaptivePortal = "AFS223", High, "captive portal on the path" {
        cites: None,
        proof: FlowEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: SameName,
    }
    NameDoesNotExist = "AFS301", High, "documented name does not resolve" {
        cites: None,
        proof: RunEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    ResolverRefused = "AFS302", High, "resolver refuses a documented name" {
        cites: None,
        proof: RunEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    ResolverFailed = "AFS303", High, "resolver fails on a documented name" {
        cites: None,
        proof: RunEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    NoAddress = "AFS304", High, "documented name without an address" {
        cites: None,
        proof: RunEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    QueryUnanswered = "AFS305", High, "query for a documented name never answered" {
        cites: None,
        proof: Silence,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    Sinkhole = "AFS306", High, "documented name resolved to a sinkhole address" {
        cites: None,
        proof: DnsResponse,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    PrivateAddress = "AFS307", Medium, "documented name at a private address without a private zone" {
        cites: None,
        proof: DnsResponse,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    BlockedByResolver = "AFS308", High, "resolver reports that it blocks a documented name" {
        cites: None,
        proof: DnsResponse,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    ResolvedNeverConnected = "AFS309", Medium, "documented name resolved repeatedly and never connected to" {
        cites: None,
        proof: RunEnd,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    ConflictingResponses = "AFS310", High, "two different responses to one query" {
        cites: None,
        proof: DnsResponse,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    DnsBlockPage = "AFS311", High, "documented name resolved to a block page" {
        cites: None,
        proof: DnsResponse,
        confidence: OfMechanism,
        target: Destination,
        compared: Nothing,
    }
    OtherRegion = "AFS401", High, "another region's instance" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UnlistedRegion = "AFS402", Info, "region documented by a wildcard only" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    OtherStorageAccount = "AFS403", High, "storage account that is not the site's" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    InternetRouting = "AFS404", Medium, "storage name routed over the internet" {
        cites: Some(Routing),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    SmbToStorage = "AFS405", Medium, "SMB from a sync server to storage" {
        cites: Some(NoSmb),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    OtherCloud = "AFS406", High, "another cloud's endpoint" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    StorageInOtherRegion = "AFS407", Medium, "storage account in another region than the sync service" {
        cites: Some(SameRegion),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    PrivateEndpointBypassed = "AFS411", High, "private endpoint not used: public address reached" {
        cites: Some(PrivateLink),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UnexplainedPrivateAddress = "AFS412", Low, "private address that nothing explains" {
        cites: Some(HostsFile),
        proof: Payload,
        confidence: Fixed(Confidence::Weak),
        target: Destination,
        compared: Nothing,
    }
    PublicDespitePrivateEndpoints = "AFS413", High, "public address although private endpoints are declared" {
        cites: Some(PrivateLink),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    PrivateAddressOfPublicName = "AFS414", High, "private address of a name that must be public" {
        cites: Some(PublicResolution),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    SharedEndpointAddress = "AFS415", Medium, "two endpoints of a sync service at one private address" {
        cites: Some(PrivateLink),
        proof: RunEnd,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    ProxyBypassed = "AFS421", Medium, "proxy bypassed" {
        cites: Some(Proxy),
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    DirectLookup = "AFS422", Low, "direct DNS lookup although a proxy is declared" {
        cites: None,
        proof: DnsResponse,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UndeclaredResolver = "AFS431", Medium, "query to a resolver that is not the site's" {
        cites: None,
        proof: DnsResponse,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    UndocumentedRolePort = "AFS441", Low, "undocumented port between two roles" {
        cites: None,
        proof: FlowEnd,
        confidence: Observed,
        target: Service,
        compared: Nothing,
    }
    ExceptionExpired = "AFS451", Medium, "exception has expired" {
        cites: None,
        proof: RunEnd,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    ExceptionUnused = "AFS452", Info, "exception was never used" {
        cites: None,
        proof: RunEnd,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    OpaqueTunnel = "AFS461", Low, "tunnel whose contents cannot be audited" {
        cites: Some(Tunnel),
        proof: FlowEnd,
        confidence: Observed,
        target: Service,
        compared: Nothing,
    }
    NameAtForeignAddress = "AFS471", High, "documented name at a foreign address" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    NameOutsideServiceTags = "AFS472", Info, "documented name outside every service tag" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
    NameOutsideItsTags = "AFS473", Medium, "documented name outside the service tags of its row" {
        cites: None,
        proof: Payload,
        confidence: Observed,
        target: Destination,
        compared: Nothing,
    }
}

impl FindingCode {
    /// The stable code, `AFS…`.
    pub const fn as_str(self) -> &'static str {
        self.entry().code
    }

    /// The code of this text, in upper or lower case.
    pub fn parse(text: &str) -> Option<FindingCode> {
        FindingCode::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether it counts DNS messages, not flows.
    pub fn is_about_dns(self) -> bool {
        (FindingCode::NameDoesNotExist..=FindingCode::DnsBlockPage).contains(&self)
            || matches!(
                self,
                FindingCode::SharedEndpointAddress
                    | FindingCode::DirectLookup
                    | FindingCode::UndeclaredResolver
            )
    }
}

impl std::fmt::Display for FindingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
