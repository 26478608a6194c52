//! One row of a documented table, with everything that evidence needs to cite it.

use std::sync::Arc;

use ipnet::IpNet;

use crate::base::port;
use crate::base::proto;

use super::cloud::Clouds;
use super::pattern::Pattern;
use super::ports::Ports;
use super::text::RuleText;

/// Roles of the port tables, as the site file names them.
pub const ROLES: [&str; 10] = [
    "servers",
    "management-system",
    "cluster-servers",
    "hyper-v-servers",
    "windows-admin-center",
    "stretched-cluster",
    "active-directory",
    "time-servers",
    "resource-bridge",
    "aks-clusters",
];

/// A reference of one [`super::RuleSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceId(pub u32);

/// The kind of a table.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// Hosts that are required or recommended.
    #[default]
    Endpoint,
    /// Regional instances of Azure File Sync.
    Region,
    /// Ports between roles inside the site.
    Port,
    /// Service tags whose address ranges must be reachable.
    ServiceTag,
    /// Names and zones of private endpoints.
    PrivateLink,
    /// Certificate authorities of the services.
    Issuer,
    /// Hosts that must resolve to public addresses, also on a site with private endpoints.
    PublicResolution,
    /// Networks that pods and services reserve, so that nothing else in them can be reached.
    ReservedNetwork,
    /// Statements that apply to the tables.
    Statement,
}

impl TableKind {
    /// The word of rule files.
    pub const fn word(self) -> &'static str {
        match self {
            TableKind::Endpoint => "endpoint",
            TableKind::Region => "region",
            TableKind::Port => "port",
            TableKind::ServiceTag => "service-tag",
            TableKind::PrivateLink => "private-link",
            TableKind::Issuer => "issuer",
            TableKind::PublicResolution => "public-resolution",
            TableKind::ReservedNetwork => "reserved-network",
            TableKind::Statement => "statement",
        }
    }
}

/// The kind of service that a row's hosts belong to. Checks compare this, never the title of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// Storage accounts: `<account>.<service>.<suffix>`.
    Storage,
    /// Azure File Sync.
    SyncService,
    /// CRL, OCSP and AIA hosts, and the pages of a certificate authority.
    Pki,
    /// Downloads of updates.
    Update,
    /// Microsoft Defender: cloud protection, SmartScreen, security intelligence.
    Antimalware,
    /// Activation and licensing of Windows.
    Activation,
    /// Connectivity tests of Windows and of installers.
    ConnectivityTest,
    /// Diagnostic data, settings and device metadata.
    Diagnostics,
}

impl ServiceKind {
    /// The word of rule files.
    pub const fn word(self) -> &'static str {
        match self {
            ServiceKind::Storage => "storage",
            ServiceKind::SyncService => "sync-service",
            ServiceKind::Pki => "pki",
            ServiceKind::Update => "update",
            ServiceKind::Antimalware => "antimalware",
            ServiceKind::Activation => "activation",
            ServiceKind::ConnectivityTest => "connectivity-test",
            ServiceKind::Diagnostics => "diagnostics",
        }
    }
}

/// How strongly a document asks for an endpoint.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementLevel {
    /// The document requires it.
    Required,
    /// Required during installation, registration or removal only.
    InstallTime,
    /// Recommended where the outbound firewall is restricted.
    Recommended,
    /// Only for a feature that a site may not use.
    #[default]
    Optional,
    /// Kept for older installations.
    Legacy,
}

impl RequirementLevel {
    /// The word of rule files.
    pub const fn word(self) -> &'static str {
        match self {
            RequirementLevel::Required => "required",
            RequirementLevel::InstallTime => "install-time",
            RequirementLevel::Recommended => "recommended",
            RequirementLevel::Optional => "optional",
            RequirementLevel::Legacy => "legacy",
        }
    }
}

/// The role of a name in a region row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionRole {
    /// The instance of the region.
    Primary,
    /// The name that is used after a failover of the region.
    Discovery,
    /// A name of the paired region that the document prints in this row.
    Paired,
}

impl RegionRole {
    /// The word of rule files.
    pub const fn word(self) -> &'static str {
        match self {
            RegionRole::Primary => "primary",
            RegionRole::Discovery => "discovery",
            RegionRole::Paired => "paired",
        }
    }
}

/// One dated document.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Document {
    /// Stable id: `azure-file-sync@2019-06-24`.
    pub id: RuleText,
    /// Short id, the first part of its references' ids.
    pub short: RuleText,
    /// Title as printed.
    pub title: RuleText,
    /// The document's own date, `2019-06-24`; empty if it has none.
    pub date: RuleText,
    /// Products that it is about.
    pub products: Box<[RuleText]>,
    /// Where it was retrieved.
    pub source: RuleText,
    /// The day on which it was retrieved.
    pub retrieved: RuleText,
    /// True for a document that is selected whatever products the site uses.
    pub always: bool,
    /// Documents that it replaces.
    pub supersedes: Box<[RuleText]>,
    /// Documents among those whose hosts stay documented, as legacy, for older installations.
    pub keeps_as_legacy: Box<[RuleText]>,
    /// Documents that are selected together with it.
    pub includes: Box<[RuleText]>,
    /// True for a document about the operating system and not about an audited product.
    pub background: bool,
    /// Suffixes of the hosts whose certificates its lists of issuers are about; empty for all.
    pub issuers_cover: Box<[RuleText]>,
    /// The region that it is for, if it is for one only.
    pub region: Option<RuleText>,
    /// The hardware vendor that it is for, if it is for one only.
    pub hardware: Option<RuleText>,
    /// The value of the site file without which it does not apply.
    pub needs_value: Option<RuleText>,
    /// Name of the rule file.
    pub file: RuleText,
    /// SHA-256 of the rule file's bytes, in hexadecimal.
    pub sha256: RuleText,
}

/// One table of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct DocumentTable {
    /// Stable id inside the document.
    pub id: RuleText,
    /// Title.
    pub title: RuleText,
    /// Section of the document that contains it.
    pub section: Option<RuleText>,
    /// Kind of its rows.
    pub kind: TableKind,
    /// Its head line as printed, if it has one.
    pub printed: Option<RuleText>,
}

/// One row of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct SourceRow {
    /// Number in the table, from 1.
    pub number: u32,
    /// The row as printed.
    pub printed: RuleText,
    /// Service or component, as printed.
    pub service: Option<RuleText>,
    /// Purpose, as printed.
    pub usage: Option<RuleText>,
    /// Service tags that the row names, each with its clouds.
    pub tags: Box<[(RuleText, Clouds)]>,
    /// Service tags of the row's service, from other tables or documents.
    pub tags_of_service: Box<[RuleText]>,
    /// True if some of the row's hosts have addresses outside those tags, such as hosts behind a CDN.
    pub partly_tagged: bool,
    /// The product version from which the row is not required any more: 2504.
    pub until_version: Option<u32>,
    /// The TLS 1.2 cipher suite that the row names, by its number (RFC 5246 §A.5).
    pub cipher_suite: Option<u16>,
    /// Line of the rule file.
    pub line: usize,
}

/// One entry of a row: a host, a port, a tag or a statement.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Reference {
    /// Stable id: `afs-2019-06-24/endpoints/6.2` is document, table, row and entry.
    pub id: RuleText,
    /// The document.
    #[serde(skip, default = "super::packed::no_document")]
    pub document: Arc<Document>,
    /// The table.
    #[serde(skip, default = "super::packed::no_table")]
    pub table: Arc<DocumentTable>,
    /// The row.
    #[serde(skip, default = "super::packed::no_row")]
    pub row: Arc<SourceRow>,
    /// The URL as printed, without markup.
    pub url: Option<RuleText>,
    /// Pattern of the URL's host.
    pub host: Option<Pattern>,
    /// The correct host, where the document prints a wrong one.
    pub alias: Option<Pattern>,
    /// Path of the URL, without the leading slash.
    pub path: Option<RuleText>,
    /// Placeholders in the host, each with the site file value that replaces it.
    pub placeholders: Box<[(RuleText, RuleText)]>,
    /// The host with its placeholders replaced by the values of the site file; empty without such values.
    pub filled: Box<[Pattern]>,
    /// Clouds that it applies to; empty if the row names none.
    pub clouds: Clouds,
    /// Ports as printed, or from the URL's scheme.
    pub ports: Ports,
    /// The correct ports, where the document prints wrong ones.
    pub corrected_ports: Ports,
    /// How many ports of `ports` are sufficient, for dynamic ranges.
    pub at_least: Option<u16>,
    /// Kind of service that its hosts belong to, if a check needs it.
    pub service_kind: Option<ServiceKind>,
    /// How strongly the document asks for it.
    pub level: RequirementLevel,
    /// Region of a region row.
    pub region: Option<RuleText>,
    /// Paired region of a region row.
    pub pair: Option<RuleText>,
    /// The role of a name in a region row.
    pub role: Option<RegionRole>,
    /// True if the document itself warns that the wildcard is too broad.
    pub broad: bool,
    /// True if the document does not print it: it follows from a row for another cloud by the substitution of suffixes.
    pub is_derived: bool,
    /// Minutes between uses in normal operation, if the document gives them.
    pub every_minutes: Option<u32>,
    /// Table and row of the statement that proves `broad` or `every_minutes`.
    pub see: Option<RuleText>,
    /// Remark of the rule file's author.
    pub note: Option<RuleText>,
    /// True if an Arc gateway carries it inside its tunnel.
    pub arc_gateway: bool,
    /// Table and row that this one is an alternative to.
    pub instead_of: Option<RuleText>,
    /// Role of the client, in a port table.
    pub source: Option<RuleText>,
    /// Role of the server, in a port table.
    pub destination: Option<RuleText>,
    /// `allow`, in a port table.
    pub action: Option<RuleText>,
    /// True if either role may be the client, in a port table.
    pub bidirectional: bool,
    /// Private DNS zone.
    pub zone: Option<RuleText>,
    /// Public suffix that the zone replaces.
    pub suffix: Option<RuleText>,
    /// Common name (CN) of a certificate authority, if the row prints more than the name.
    pub common_name: Option<RuleText>,
    /// Organization (O) of a certificate authority.
    pub organization: Option<RuleText>,
    /// Reserved networks.
    pub networks: Box<[IpNet]>,
    /// Subject of a statement.
    pub about: Option<RuleText>,
}

/// Whether a reference allows a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortMatch {
    /// TCP 443, and the row lists it.
    Https,
    /// Another port, and the row lists it.
    Documented,
    /// A port that corrects a wrongly printed one.
    Corrected,
    /// A port that the row does not list.
    Not,
}

impl Reference {
    /// Whether it allows `port` of the IP protocol `protocol`.
    pub fn allows(&self, protocol: u8, port: u16) -> PortMatch {
        if self.ports.contains(protocol, port) {
            if protocol == proto::TCP && port == port::HTTPS {
                PortMatch::Https
            } else {
                PortMatch::Documented
            }
        } else if self.corrected_ports.contains(protocol, port) {
            PortMatch::Corrected
        } else {
            PortMatch::Not
        }
    }

    /// The corrected ports, or the printed ones if they are right.
    pub fn effective_ports(&self) -> &Ports {
        if self.corrected_ports.is_empty() { &self.ports } else { &self.corrected_ports }
    }

    /// Table and row: `endpoints/6`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.table.id, self.row.number)
    }

    /// What it documents, in one word or name: host, tag, roles and ports, or statement.
    pub fn subject(&self) -> String {
        match (&self.url, self.table.kind) {
            (Some(url), _) => url.to_string(),
            (None, TableKind::Port) => format!(
                "{} -> {} {}",
                self.source.as_deref().unwrap_or_default(),
                self.destination.as_deref().unwrap_or_default(),
                self.ports
            ),
            (None, TableKind::ServiceTag) => {
                self.row.tags.iter().map(|(tag, _)| &**tag).collect::<Vec<_>>().join(", ")
            }
            (None, _) => self.row.printed.to_string(),
        }
    }
}
