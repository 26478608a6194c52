//! `manifest.json`: what was read, by what it was judged, what was written, and what was not understood.
//!
//! Everything outside of `run` depends only on inputs, rules, site file and version of the tool.

use serde::Deserialize;
use serde::Serialize;

use super::facts::Accounting;
use super::facts::Document;
use super::facts::RunFacts;
use super::facts::Source;
use super::facts::TagSource;
use crate::base::Time;
use crate::judge::Tally;

/// The name that a manifest of ours carries under `tool`.
pub(super) const TOOL: &str = "afs-audit";

/// The file's name in an evidence folder.
pub const MANIFEST: &str = "manifest.json";

/// When and how the tool was run: the only facts that differ between two runs over the same input.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The arguments as typed.
    pub arguments: Vec<String>,
    /// Wall-clock time of the start.
    pub started: Time,
    /// Wall-clock time of the end.
    pub ended: Time,
}

/// An output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name in the folder.
    pub name: String,
    /// How many rows it has; its header is not one.
    pub rows: u64,
    /// How long it is.
    pub bytes: u64,
    /// Hash of its bytes.
    pub sha256: String,
}

/// The manifest as it is printed.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    manifest: u32,
    tool: Tool,
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_because: Option<&'a str>,
    inputs: &'a [serde_json::Value],
    damage: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a Source>,
    documents: &'a [Document],
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tags: Option<&'a TagSource>,
    warnings: &'a [String],
    accounting: &'a Accounting,
    bounds: &'a [String],
    tally: &'a Tally,
    requirements: Requirements,
    statistics: &'a std::collections::BTreeMap<String, u64>,
    csv: Format,
    outputs: &'a [Output],
    run: &'a Run,
}

#[derive(Debug, Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
    features: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct Requirements {
    reached: u64,
    blocked: u64,
    partly_blocked: u64,
    not_observed: u64,
}

/// What a reader of the tables must know to take them apart again.
#[derive(Debug, Serialize)]
struct Format {
    time_zone: &'static str,
    formula_guard: bool,
    list_separator: &'static str,
    list_separator_in_text: &'static str,
    missing: &'static str,
}

/// What this binary was built with.
pub const FEATURES: &[&str] = if cfg!(feature = "live") { &["live"] } else { &[] };

impl<'a> Manifest<'a> {
    /// The manifest of a run that left `outputs`.
    pub fn new(facts: &'a RunFacts, run: &'a Run, outputs: &'a [Output]) -> Manifest<'a> {
        let [reached, blocked, partly_blocked, not_observed] = facts.requirement_counts();
        Manifest {
            manifest: 1,
            tool: Tool { name: TOOL, version: env!("CARGO_PKG_VERSION"), features: FEATURES },
            partial: facts.partial.is_some(),
            partial_because: facts.partial.as_deref(),
            inputs: &facts.inputs,
            damage: &facts.damage,
            first_seen: facts.first_seen,
            last_seen: facts.last_seen,
            rules: facts.rules.as_ref(),
            documents: &facts.documents,
            site: facts.site.as_ref(),
            service_tags: facts.service_tags.as_ref(),
            warnings: &facts.warnings,
            accounting: &facts.accounting,
            bounds: &facts.limits_reached,
            tally: &facts.tally,
            requirements: Requirements { reached, blocked, partly_blocked, not_observed },
            statistics: &facts.statistics,
            csv: Format {
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

    /// As the file holds it.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and maps with text keys: nothing here can fail to be JSON.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// What `verify` and an overwriting run need of a manifest on the disk. It may have been changed: believe nothing.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    pub(super) tool: WrittenTool,
    #[serde(default)]
    pub(super) partial: bool,
    #[serde(default)]
    pub(super) inputs: Vec<serde_json::Value>,
    #[serde(default)]
    pub(super) outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WrittenTool {
    pub(super) name: String,
}

impl Written {
    /// A manifest that we wrote; none where it is something else.
    pub(super) fn parse(json: &[u8]) -> Option<Written> {
        serde_json::from_slice::<Written>(json).ok().filter(|manifest| manifest.tool.name == TOOL)
    }
}
