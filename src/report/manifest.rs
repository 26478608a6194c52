//! `manifest.json`: inputs, rules, outputs, and what was not understood.
//!
//! Everything outside of `run` depends only on the inputs, the rules, the site file and the version of the tool.

use serde::Deserialize;
use serde::Serialize;

use super::facts::CitedRow;
use super::facts::LabelledAccounting;
use super::facts::PointFacts;
use super::facts::PolicySource;
use super::facts::RunFacts;
use super::facts::TagSource;
use super::facts::UsedDocument;
use super::facts::WindowFacts;
use crate::base::Time;
use crate::judge::Tally;

/// The value of `tool.name`, by which a manifest of this program is recognised.
pub(super) const TOOL: &str = "afs-audit";

/// The version of the format. 2: the keys of release 0.2.
pub(super) const MANIFEST_VERSION: u32 = 2;

/// The file's name in an evidence folder.
pub const MANIFEST: &str = "manifest.json";

/// The longest manifest that is read.
pub(super) const MANIFEST_LIMIT: u64 = 64 << 20;

/// When and how the program was run: all that differs between two runs over the same input.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Invocation {
    /// The arguments.
    pub arguments: Vec<String>,
    /// The folder that relative paths of inputs start from; empty if no input is a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_directory: String,
    /// Wall-clock time of the start.
    pub started: Time,
    /// Wall-clock time of the end.
    pub ended: Time,
}

/// A file of the evidence folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Its name.
    pub name: String,
    /// Its rows, without the header.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// The manifest as it is written.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    manifest: u32,
    tool: ToolInfo,
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_because: Option<&'a str>,
    not_done: &'a [String],
    inputs: &'a [serde_json::Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    capture_points: Option<&'a PointFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<&'a WindowFacts>,
    damage: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a PolicySource>,
    documents: &'a [UsedDocument],
    cited: &'a std::collections::BTreeMap<String, CitedRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a PolicySource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tags: Option<&'a TagSource>,
    warnings: Vec<&'a String>,
    accounting: LabelledAccounting<'a>,
    limits_reached: &'a [String],
    tally: &'a Tally,
    requirements: RequirementCounts,
    statistics: &'a std::collections::BTreeMap<String, u64>,
    csv: CsvFormat,
    outputs: &'a [OutputFile],
    run: &'a Invocation,
}

#[derive(Debug, Serialize)]
struct ToolInfo {
    name: &'static str,
    version: &'static str,
    features: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct RequirementCounts {
    reached: u64,
    blocked: u64,
    partly_blocked: u64,
    not_observed: u64,
}

/// How the CSV files are to be parsed.
#[derive(Debug, Serialize)]
struct CsvFormat {
    time_zone: &'static str,
    formula_guard: bool,
    list_separator: &'static str,
    list_separator_in_text: &'static str,
    missing: &'static str,
}

/// Features that this binary was built with.
pub const FEATURES: &[&str] = if cfg!(feature = "live") { &["live"] } else { &[] };

impl<'a> Manifest<'a> {
    /// The manifest of a run that wrote `outputs`.
    pub fn new(facts: &'a RunFacts, run: &'a Invocation, outputs: &'a [OutputFile]) -> Manifest<'a> {
        let [reached, blocked, partly_blocked, not_observed] = facts.requirement_counts();
        Manifest {
            manifest: MANIFEST_VERSION,
            tool: ToolInfo { name: TOOL, version: env!("CARGO_PKG_VERSION"), features: FEATURES },
            partial: facts.partial.is_some(),
            partial_because: facts.partial.as_deref(),
            not_done: &facts.not_done,
            inputs: &facts.inputs,
            capture_points: facts.points.as_ref(),
            window: facts.window.as_ref(),
            damage: &facts.damage,
            first_seen: facts.first_seen,
            last_seen: facts.last_seen,
            rules: facts.rules.as_ref(),
            documents: &facts.documents,
            cited: &facts.cited,
            site: facts.site.as_ref(),
            service_tags: facts.service_tags.as_ref(),
            warnings: facts.site_warnings.iter().chain(&facts.warnings).collect(),
            accounting: LabelledAccounting(&facts.accounting),
            limits_reached: &facts.limits_reached,
            tally: &facts.tally,
            requirements: RequirementCounts { reached, blocked, partly_blocked, not_observed },
            statistics: &facts.statistics,
            csv: CsvFormat {
                time_zone: "UTC",
                formula_guard: true,
                list_separator: ";",
                list_separator_in_text: "\\x3b",
                missing: "",
            },
            outputs,
            run,
        }
    }

    /// The content of the file.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and maps with string keys: serialisation cannot fail.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// What `verify` and an overwriting run read of a manifest. It is untrusted: anybody may have changed it.
#[derive(Debug, Deserialize)]
pub(super) struct StoredManifest {
    pub(super) tool: StoredTool,
    #[serde(default)]
    pub(super) partial: bool,
    #[serde(default)]
    pub(super) inputs: Vec<serde_json::Value>,
    #[serde(default)]
    pub(super) outputs: Vec<OutputFile>,
    /// Numbers of requirements by state.
    #[serde(default)]
    pub(super) requirements: std::collections::BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) run: serde_json::Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredTool {
    pub(super) name: String,
}

impl StoredManifest {
    /// Parses a manifest of this program; none for any other file.
    pub(super) fn parse(json: &[u8]) -> Option<StoredManifest> {
        serde_json::from_slice::<StoredManifest>(json).ok().filter(|manifest| manifest.tool.name == TOOL)
    }
}
