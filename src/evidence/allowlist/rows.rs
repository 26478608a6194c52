//! The row of a rule set, and its columns.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::judge::words;
use crate::report::Cell;
use crate::report::Column;
use crate::report::ColumnType;
use crate::report::ColumnType::Enum;
use crate::report::ColumnType::Flag;
use crate::report::ColumnType::Integer;
use crate::report::ColumnType::List;
use crate::report::ColumnType::Text;
use crate::report::InputNames;
use crate::report::TableRow;
use crate::report::TextOrigin;
use crate::report::columns;

words! {
    /// How strongly the documents ask for an endpoint, from the strongest level on.
    AllowLevel {
        /// A document requires it.
        Required => "required",
        /// Required during installation, registration or removal only.
        InstallTime => "install-time",
        /// Recommended where the outbound firewall is restricted.
        Recommended => "recommended",
        /// For a feature that a site may not use.
        Optional => "optional",
        /// For older installations.
        Legacy => "legacy",
    }
}

words! {
    /// What the capture shows of a destination, over all servers.
    Observed {
        /// A server reached it.
        Reached => "reached",
        /// It looks blocked for every server that tried.
        Blocked => "blocked",
        /// No server tried it, as far as the capture shows.
        NotObserved => "not-observed",
    }
}

/// A destination to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowRow {
    /// Servers, or the networks that were given for them.
    pub sources: Vec<IpNet>,
    /// A name, or a pattern such as `*.update.microsoft.com`.
    pub destination: String,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// First port.
    pub first_port: u16,
    /// Last port.
    pub last_port: u16,
    /// The strongest level of the documented rows.
    pub level: AllowLevel,
    /// What the capture shows.
    pub observed: Observed,
    /// The document itself calls the wildcard too broad.
    pub is_broad: bool,
    /// Purpose.
    pub service: String,
    /// Documented rows.
    pub references: Vec<String>,
    /// Documents that contain them; the date is part of the id.
    pub documents: Vec<String>,
    /// Service tags of the documented rows.
    pub service_tags: Vec<String>,
    /// The site file has the name.
    pub is_declared: bool,
    /// Regions that its addresses are in, as in names of service tags (`westeurope`); empty where they may be in any region.
    pub regions: BTreeSet<String>,
}

impl AllowRow {
    /// Whether the destination is a pattern.
    pub fn is_wildcard(&self) -> bool {
        self.destination.contains('*')
    }

    /// `443` or `30300-30310`.
    pub fn ports(&self) -> String {
        match self.first_port == self.last_port {
            true => self.first_port.to_string(),
            false => format!("{}-{}", self.first_port, self.last_port),
        }
    }
}

impl TableRow for AllowRow {
    const RECORD: &'static str = "allow";
    const FILE: &'static str = "the output of `allowlist`";
    const COLUMNS: &'static [Column<AllowRow>] = ALLOW;
}

const TEXTS: ColumnType = List(&Text);

const ALLOW: &[Column<AllowRow>] = columns! { AllowRow;
    "sources": optional TEXTS, "servers that need the destination, or the networks of `--source`; for TCP, the proxy inside the site that the site file declares",
        |row, _, cell| cell.list(&row.sources, |cell, source| untrusted(&source_text(source), cell));
    "destination": required Text, "name as documented, or as the site file fills a placeholder; a pattern where a document gives no name",
        |row, _, cell| untrusted(&row.destination, cell);
    "wildcard": optional Flag, "the destination is a pattern",
        |row, _, cell| cell.flag(row.is_wildcard());
    "broad": optional Flag, "the document itself calls the pattern too broad",
        |row, _, cell| cell.flag(row.is_broad);
    "protocol": required Enum(|| vec!["tcp", "udp"]), "transport protocol",
        |row, _, cell| cell.word(row.protocol);
    "first_port": required Integer, "port, or the first one of a range",
        |row, _, cell| cell.number(row.first_port);
    "last_port": required Integer, "the last port of the range; the same for a single port",
        |row, _, cell| cell.number(row.last_port);
    "level": required Enum(|| AllowLevel::ALL.iter().map(|word| word.as_str()).collect()), "requirement level, the strongest of the documented rows",
        |row, _, cell| cell.word(row.level.as_str());
    "observed": required Enum(|| Observed::ALL.iter().map(|word| word.as_str()).collect()), "what the capture shows: a server reached the destination on this port, it looks blocked, or no server tried it, as far as the capture shows",
        |row, _, cell| cell.word(row.observed.as_str());
    "service": optional Text, "purpose of the endpoint",
        |row, _, cell| untrusted(&row.service, cell);
    "references": required TEXTS, "documented rows",
        |row, _, cell| cell.list(&row.references, |cell, id| untrusted(id, cell));
    "documents": required TEXTS, "documents that contain them, each with its date",
        |row, _, cell| cell.list(&row.documents, |cell, id| untrusted(id, cell));
    "service_tags": optional TEXTS, "service tags of the documented rows",
        |row, _, cell| cell.list(&row.service_tags, |cell, tag| untrusted(tag, cell));
};

fn untrusted(text: &str, cell: &mut Cell) {
    cell.text(text, TextOrigin::Untrusted);
}

/// A server without a prefix length, a network with it.
pub(super) fn source_text(source: &IpNet) -> String {
    match source.prefix_len() == source.max_prefix_len() {
        true => source.addr().to_string(),
        false => source.to_string(),
    }
}
