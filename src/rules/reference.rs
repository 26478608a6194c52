//! What a documented row says, with everything that evidence needs to quote it.

use std::sync::Arc;

use crate::base::port;
use crate::base::proto;

use super::cloud::Clouds;
use super::pattern::Pattern;
use super::ports::Ports;

/// Roles of the port tables, as the site file names them.
pub const ROLES: [&str; 8] = [
    "servers",
    "management-system",
    "cluster-servers",
    "hyper-v-servers",
    "windows-admin-center",
    "stretched-cluster",
    "active-directory",
    "time-servers",
];

/// A rule among those of one [`super::RuleSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceId(pub u32);

/// What kind of table a row stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// Hosts that are needed or recommended.
    Endpoint,
    /// Regional instances of Azure File Sync.
    Region,
    /// Ports between roles inside the site.
    Port,
    /// Service tags whose address ranges are needed.
    ServiceTag,
    /// Names and zones of private endpoints.
    PrivateLink,
    /// Authorities that sign the services' certificates.
    Issuer,
    /// Sentences that bind the tables.
    Statement,
}

/// What kind of service a row's hosts belong to. Checks ask for this and never for the title of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
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
}

impl ServiceKind {
    /// The word of rule files.
    pub const fn word(self) -> &'static str {
        match self {
            ServiceKind::Storage => "storage",
            ServiceKind::SyncService => "sync-service",
            ServiceKind::Pki => "pki",
            ServiceKind::Update => "update",
        }
    }
}

/// Whether a row must be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementLevel {
    /// The document requires it.
    Required,
    /// Required while something is installed, registered or removed; not every day.
    InstallTime,
    /// Recommended where the outbound firewall is restricted.
    Recommended,
    /// Only for a feature that the site may not use.
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

/// What a name of a region row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionRole {
    /// The instance of the region.
    Primary,
    /// The name that follows a failover of the region.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Stable name: `azure-file-sync@2019-06-24`.
    pub id: Box<str>,
    /// Short name, the first part of its rules' ids.
    pub short: Box<str>,
    /// Title as printed.
    pub title: Box<str>,
    /// The date the document gives itself, `2019-06-24`; empty where it has none.
    pub date: Box<str>,
    /// Products it speaks of.
    pub products: Box<[Box<str>]>,
    /// Where it was read.
    pub source: Box<str>,
    /// When we looked, as a date.
    pub looked: Box<str>,
    /// True for a document that holds whatever products the site uses.
    pub always: bool,
    /// Documents that this one replaces.
    pub supersedes: Box<[Box<str>]>,
    /// Documents among those whose hosts still count, as legacy, for older installations.
    pub keeps: Box<[Box<str>]>,
    /// Documents that belong to this one and are selected with it.
    pub includes: Box<[Box<str>]>,
    /// The one region that it is for, where it is for one.
    pub region: Option<Box<str>>,
    /// Name of the rule file.
    pub file: Box<str>,
    /// SHA-256 of the rule file's bytes, in hexadecimal.
    pub sha256: Box<str>,
}

/// One table of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentTable {
    /// Stable name inside the document.
    pub id: Box<str>,
    /// Title.
    pub title: Box<str>,
    /// Section of the document that holds it.
    pub section: Option<Box<str>>,
    /// Kind of its rows.
    pub kind: TableKind,
    /// Its head line as printed, where it has one.
    pub printed: Option<Box<str>>,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Place in the table, from 1.
    pub number: u32,
    /// The row as printed.
    pub printed: Box<str>,
    /// Service or component that it belongs to, as printed.
    pub service: Option<Box<str>>,
    /// What it is for, as printed.
    pub usage: Option<Box<str>>,
    /// Service tags that the row names, each for some clouds.
    pub tags: Box<[(Box<str>, Clouds)]>,
    /// Service tags that the documents give for the row's service as a whole.
    pub tags_of_service: Box<[Box<str>]>,
    /// True where some of the row's hosts have addresses outside those tags, as hosts behind a CDN do.
    pub partly_tagged: bool,
    /// The TLS 1.2 cipher suite that the row names, by its number (RFC 5246 §A.5).
    pub cipher_suite: Option<u16>,
    /// Line of the rule file.
    pub line: usize,
}

/// One entry of a row: a host, a port, a tag or a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Stable text: `afs-2019-06-24/endpoints/6.2` is document, table, row and entry.
    pub id: Box<str>,
    /// The document.
    pub document: Arc<Document>,
    /// The table.
    pub table: Arc<DocumentTable>,
    /// The row.
    pub row: Arc<SourceRow>,
    /// The entry as printed, without the markup of the page.
    pub url: Option<Box<str>>,
    /// What the url's host matches.
    pub host: Option<Pattern>,
    /// What was meant, where the print is wrong.
    pub as_meant: Option<Pattern>,
    /// Path of the url, without the leading slash.
    pub path: Option<Box<str>>,
    /// Words of the host that stand for the site's own, each with the fact that fills it.
    pub placeholders: Box<[(Box<str>, Box<str>)]>,
    /// The host with its placeholders filled from the site file; empty where the site does not say.
    pub filled: Box<[Pattern]>,
    /// Clouds it holds for; none where the row does not say.
    pub clouds: Clouds,
    /// Ports as printed, or as the url's scheme says.
    pub ports: Ports,
    /// Ports that were meant, where the print is wrong.
    pub ports_as_meant: Ports,
    /// How many ports out of `ports` are enough, for dynamic ranges.
    pub at_least: Option<u16>,
    /// Kind of service that its hosts belong to, where a check needs to know.
    pub service_kind: Option<ServiceKind>,
    /// Whether it must be seen.
    pub need: RequirementLevel,
    /// Region of a region row.
    pub region: Option<Box<str>>,
    /// Paired region of a region row.
    pub pair: Option<Box<str>>,
    /// What a name of a region row is for.
    pub role: Option<RegionRole>,
    /// True when the document itself warns that the wildcard is too broad.
    pub broad: bool,
    /// How often it is used in normal operation, where the document says so.
    pub every_minutes: Option<u32>,
    /// Id of the sentence that says so.
    pub see: Option<Box<str>>,
    /// Our remark.
    pub note: Option<Box<str>>,
    /// True for what an Arc gateway hides in its tunnel.
    pub arc_gateway: bool,
    /// Id (table and row) of the row that this one stands in for.
    pub instead_of: Option<Box<str>>,
    /// Role that opens the conversation, in a port table.
    pub source: Option<Box<str>>,
    /// Role that answers, in a port table.
    pub destination: Option<Box<str>>,
    /// `allow`, in a port table.
    pub action: Option<Box<str>>,
    /// Private DNS zone.
    pub zone: Option<Box<str>>,
    /// Public suffix that the zone shadows.
    pub suffix: Option<Box<str>>,
    /// Organization (O) of a certificate authority, whose common name the row prints.
    pub organization: Option<Box<str>>,
    /// What a sentence is about.
    pub about: Option<Box<str>>,
}

/// Does a row allow a port?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortVerdict {
    /// TCP 443, and the row says 443.
    Https,
    /// Another port that the row says.
    Documented,
    /// A port that the row means though it prints another.
    AsMeant,
    /// A port that the row does not have.
    Not,
}

impl Reference {
    /// Does this row allow `port` of the IP protocol `protocol`?
    pub fn allows(&self, protocol: u8, port: u16) -> PortVerdict {
        if self.ports.holds(protocol, port) {
            if protocol == proto::TCP && port == port::HTTPS {
                PortVerdict::Https
            } else {
                PortVerdict::Documented
            }
        } else if self.ports_as_meant.holds(protocol, port) {
            PortVerdict::AsMeant
        } else {
            PortVerdict::Not
        }
    }

    /// The ports that count: those meant, where the print is wrong.
    pub fn true_ports(&self) -> &Ports {
        if self.ports_as_meant.is_empty() { &self.ports } else { &self.ports_as_meant }
    }

    /// Table and row: `endpoints/6`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.table.id, self.row.number)
    }

    /// What the rule is about in one word or name: host, tag, roles and ports, or sentence.
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
