//! Runs `allowlist`: prints the smallest rule set that a site needs.

use std::io;
use std::io::Write;

use anyhow::bail;
use serde_json::Value;

use super::args::AllowFormat;
use super::args::AllowlistArgs;
use crate::evidence::AllowOptions;
use crate::evidence::Allowlist;
use crate::evidence::DeviceFormat;
use crate::evidence::TagPrefixes;
use crate::evidence::render_rules;
use crate::evidence::write_allowlist;
use crate::report::CsvTable;
use crate::report::InputNames;
use crate::report::JsonLines;
use crate::report::StoredEvidence;
use crate::rules::Library;
use crate::rules::RuleSet;
use crate::rules::Selection;

pub(super) fn run(args: &AllowlistArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let device = match args.format {
        AllowFormat::Table | AllowFormat::Csv | AllowFormat::Jsonl => None,
        AllowFormat::AzureFirewall => Some(DeviceFormat::AzureFirewall),
        AllowFormat::Fortigate => Some(DeviceFormat::FortiGate),
        AllowFormat::PaloAlto => Some(DeviceFormat::PaloAlto),
        AllowFormat::Nftables => Some(DeviceFormat::Nftables),
        AllowFormat::Powershell => Some(DeviceFormat::PowerShell),
    };
    let needs_addresses = matches!(device, Some(DeviceFormat::Nftables | DeviceFormat::PowerShell));
    if needs_addresses && args.service_tags.is_none() {
        bail!("this format has no rules for names: name the service tag file with --service-tags");
    }
    let tags = args.service_tags.as_deref().map(TagPrefixes::load).transpose()?;
    let evidence = StoredEvidence::open(&args.folder)?;
    let options = AllowOptions {
        levels: args.levels.iter().map(|level| level.level()).collect(),
        sources: args.sources.clone(),
        with_observed: args.with_observed,
    };
    let mut list = Allowlist::new(&evidence, &options)?;
    if list.rows.is_empty() {
        bail!(
            "the evidence has no endpoint that the site needs: run `analyze` with a site file that names its products"
        );
    }
    if needs_addresses && let Some(rules) = rules_of(&evidence)? {
        list.add_service_tags(&rules);
    }
    let names = InputNames::default();
    let mut left_out = Vec::new();
    match (args.format, device) {
        (_, Some(device)) => {
            let (text, not_expressible) = render_rules(&list, device, tags.as_ref());
            out.write_all(text.as_bytes())?;
            left_out.extend(list.left_out.iter().cloned().chain(not_expressible));
        }
        (AllowFormat::Csv, None) => {
            let mut table = CsvTable::new(&mut *out)?;
            list.rows.iter().try_for_each(|row| table.write(row, &names))?;
            table.flush()?;
            left_out.clone_from(&list.left_out);
        }
        (AllowFormat::Jsonl, None) => {
            let mut lines = JsonLines::new(&mut *out);
            list.rows.iter().try_for_each(|row| lines.write(row, &names))?;
            lines.flush()?;
            left_out.clone_from(&list.left_out);
        }
        (_, None) => write_allowlist(&list, out)?,
    }
    out.flush()?;
    if args.format != AllowFormat::Table {
        for note in &list.notes {
            let _ = writeln!(io::stderr(), "afs-audit: {note}");
        }
    }
    for what in left_out {
        let _ = writeln!(io::stderr(), "afs-audit: not in the list: {what}");
    }
    Ok(())
}

/// The built-in rules of the documents that the run used; none if it used others.
fn rules_of(evidence: &StoredEvidence) -> anyhow::Result<Option<RuleSet>> {
    let documents = evidence.manifest().get("documents").and_then(Value::as_array).into_iter().flatten();
    let used: Vec<[&str; 2]> = documents
        .map(|document| {
            ["id", "sha256"].map(|key| document.get(key).and_then(Value::as_str).unwrap_or_default())
        })
        .collect();
    let library = Library::embedded()?;
    let is_built_in = |[id, sha256]: &[&str; 2]| {
        library.documents().any(|document| &*document.id == *id && &*document.sha256 == *sha256)
    };
    if used.is_empty() || !used.iter().all(is_built_in) {
        return Ok(None);
    }
    let documents = Some(used.iter().map(|[id, _]| (*id).to_owned()).collect());
    Ok(Some(library.select(&Selection { documents, ..Selection::default() })?))
}
