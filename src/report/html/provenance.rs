//! What the capture could not show, and what the report is made from.
//!
//! In:  the manifest.
//! Out: limits, warnings, damage; inputs, documents, cited rows, versions.
//! Not: the outputs of the run and its times: the page must not depend on them.

use std::collections::BTreeMap;

use maud::Markup;
use maud::html;
use serde_json::Value;

use super::super::human::count;
use super::super::human::grouped;
use super::super::human::size;
use super::PageLinks;
use super::cited_anchor;
use super::escape::shown;
use super::escape::shown_up_to;
use super::text_of;

/// Lines of a list, inputs, documents and cited rows that are shown.
const LINES: usize = 30;
pub(super) const INPUTS: usize = 200;
const DOCUMENTS: usize = 60;
pub(super) const CITED_ROWS: usize = 300;

/// What makes the results less certain.
pub(super) fn limits(manifest: &Value, inconclusive: &BTreeMap<String, u64>, rows_left_out: u64) -> Markup {
    let lists = [
        ("Not done", "not_done"),
        ("Limits reached", "limits_reached"),
        ("Damage of the inputs", "damage"),
        ("Warnings", "warnings"),
    ];
    let total: u64 = inconclusive.values().sum();
    let frames = unread_frames(manifest);
    let has_lists = lists.iter().any(|(_, key)| !strings(manifest, key).is_empty());
    html! {
        @if let Some(why) = manifest.get("partial_because").and_then(Value::as_str) { p.bad { "The run is partial: " (shown(why)) "." } }
        @for (heading, key) in lists {
            @let lines = strings(manifest, key);
            @if !lines.is_empty() {
                h3 { (heading) }
                ul { @for line in lines.iter().take(LINES) { li { (shown(line)) } } }
                @if lines.len() > LINES { p.muted { (grouped((lines.len() - LINES) as u64)) " more in manifest.json." } }
            }
        }
        @if total > 0 {
            h3 { "Flows without a conclusion" }
            table {
                caption { (count(total, "inconclusive flow")) " by reason" }
                thead { tr { th scope="col" { "reason" } th scope="col" { "meaning" } th.number scope="col" { "flows" } } }
                tbody { @for (reason, flows) in inconclusive.iter().take(LINES) { tr {
                    th scope="row" { (shown(reason)) }
                    td { (crate::judge::InconclusiveReason::parse(reason).map_or("", crate::judge::InconclusiveReason::text)) }
                    td.number { (grouped(*flows)) }
                } } }
            }
        }
        @if !frames.is_empty() {
            h3 { "Frames that were not read as packets" }
            ul { @for (what, number) in frames.iter().take(LINES) { li { (shown(what)) ": " (count(*number, "frame")) } } }
            @if frames.len() > LINES { p.muted { (grouped((frames.len() - LINES) as u64)) " more kinds in manifest.json." } }
        }
        @if rows_left_out > 0 { p { (count(rows_left_out, "row")) " of the tables are not in this page." } }
        @if !has_lists && total == 0 && frames.is_empty() && rows_left_out == 0 { p { "Nothing was left out." } }
        p.muted { "A capture shows what passed its place in the network. An endpoint that was not observed is neither reached nor blocked." }
    }
}

fn strings<'a>(manifest: &'a Value, key: &str) -> Vec<&'a str> {
    manifest.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Frames that are not packets, by what they are.
fn unread_frames(manifest: &Value) -> Vec<(String, u64)> {
    let accounting = manifest.get("accounting");
    let kinds = [
        ("not_ip", "not IP: "),
        ("unknown_link", "unknown link type: "),
        ("unreadable", ""),
        ("damaged", ""),
    ];
    kinds
        .iter()
        .filter_map(|(key, prefix)| Some((accounting?.get(key)?.as_object()?, prefix)))
        .flat_map(|(object, prefix)| {
            object
                .iter()
                .map(move |(what, number)| (format!("{prefix}{what}"), number.as_u64().unwrap_or_default()))
        })
        .collect()
}

/// What the report is made from.
pub(super) fn provenance(manifest: &Value, links: &PageLinks) -> Markup {
    let array =
        |key: &str| manifest.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (documents, all_inputs) = (array("documents"), array("inputs"));
    let tool = manifest.get("tool");
    html! {
        dl {
            dt { "Program" }
            dd { (shown(text_of(tool, "name"))) " " (shown(text_of(tool, "version"))) }
            @if let Some(site) = manifest.get("site") {
                dt { "Site file" } dd { (shown(text_of(Some(site), "path"))) ", SHA-256 " code { (shown(text_of(Some(site), "sha256"))) } }
            }
            @if let Some(tags) = manifest.get("service_tags") {
                dt { "Service tags" }
                dd { (shown(text_of(Some(tags), "file"))) ", " (shown(text_of(Some(tags), "date"))) ", SHA-256 " code { (shown(text_of(Some(tags), "sha256"))) } }
            }
            @if let Some(rules) = manifest.get("rules") { dt { "Rules" } dd { (shown(text_of(Some(rules), "path"))) } }
        }
        h3 { "Inputs" }
        div.scroll tabindex="0" role="region" aria-label="Inputs" { table {
            caption { "Captures that were read" }
            thead { tr {
                @for head in ["file", "format", "frames", "size", "first frame (UTC)", "last frame (UTC)", "hash"] { th scope="col" { (head) } }
            } }
            tbody { @for (at, input) in all_inputs.iter().take(INPUTS).enumerate() { (input_row(at, input, links)) } }
        } }
        @if all_inputs.len() > INPUTS { p.muted { (grouped((all_inputs.len() - INPUTS) as u64)) " more in manifest.json." } }
        h3 { "Documents" }
        div.scroll tabindex="0" role="region" aria-label="Documents" { table.documents {
            caption { "Documents that flows were compared with" }
            thead { tr { @for head in ["document", "title", "date", "source", "retrieved", "SHA-256 of the rule file"] { th scope="col" { (head) } } } }
            tbody { @for document in documents.iter().take(DOCUMENTS) {
                @let field = |key: &str| text_of(Some(document), key);
                tr {
                    th scope="row" { (shown(field("id"))) }
                    td { (shown(field("title"))) }
                    td.date { (if field("date").is_empty() { "undated".to_owned() } else { shown(field("date")) }) }
                    td { (source_markup(field("source"))) }
                    td.date { (shown(field("retrieved"))) }
                    td { code { (shown_up_to(field("sha256"), 16)) } }
                }
            } }
        } }
        @if documents.len() > DOCUMENTS { p.muted { (grouped((documents.len() - DOCUMENTS) as u64)) " more in manifest.json." } }
        (cited_rows(manifest))
    }
}

fn input_row(at: usize, input: &Value, links: &PageLinks) -> Markup {
    let field = |key: &str| text_of(Some(input), key);
    let number = |key: &str| input.get(key).and_then(Value::as_u64).unwrap_or_default();
    let time = |key: &str| field(key).get(..19).unwrap_or_default().replace('T', " ");
    let (algorithm, hash) = match (field("sha256"), field("blake3")) {
        ("", blake3) if !blake3.is_empty() => ("BLAKE3 ", blake3),
        ("", _) => ("", "none"),
        (sha256, _) => ("SHA-256 ", sha256),
    };
    html! {
        tr id={ "input-" (at) } {
            th scope="row" { (shown(links.inputs.get(at).map_or("", String::as_str))) @if field("outcome") != "read" { " (" (shown(field("outcome"))) ")" } }
            td { (shown(field("format"))) @if !field("compression").is_empty() { ", " (shown(field("compression"))) } }
            td.number { (grouped(number("frames"))) }
            td.number { (size(number("bytes"))) }
            td { (shown(&time("first_seen"))) }
            td { (shown(&time("last_seen"))) }
            td { (algorithm) code { (shown(hash)) } }
        }
    }
}

/// A source with a link, where it names a file of a public repository: `owner/name path @commit`.
fn source_markup(source: &str) -> Markup {
    let link = || {
        let (place, commit) = source.rsplit_once(" @")?;
        let (repository, path) = place.split_once(' ')?;
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
        let is_file =
            is_commit && is_plain(repository) && is_plain(path) && repository.matches('/').count() == 1;
        is_file.then(|| format!("https://github.com/{repository}/blob/{commit}/{path}"))
    };
    match link() {
        Some(url) => html! { a href=(url) rel="noreferrer" { (shown(source)) } },
        None => html! { (shown(source)) },
    }
}

/// The cited rows by what the documents print: a printed row with several names is several rows.
fn cited_rows(manifest: &Value) -> Markup {
    let empty = serde_json::Map::new();
    let cited = manifest.get("cited").and_then(Value::as_object).unwrap_or(&empty);
    let rows: Vec<(&String, &Value)> = cited.iter().take(CITED_ROWS).collect();
    let printed = |(_, row): &(&String, &Value)| {
        ["document", "table", "printed"].map(|key| text_of(Some(row), key).to_owned())
    };
    html! {
        h3 { "Document rows" }
        @if cited.is_empty() { p { "No finding or requirement cites a row." } }
        @else {
            table.cited {
                caption { "Rows that findings and requirements cite, as the documents print them" }
                thead { tr { @for head in ["row", "document and table", "as printed"] { th scope="col" { (head) } } } }
                tbody { @for same in rows.chunk_by(|one, other| printed(one) == printed(other)) {
                    @let [document, table, text] = same.first().map(printed).unwrap_or_default();
                    tr {
                        th scope="row" { @for (id, _) in same { div id=(cited_anchor(id)) { (shown(id)) } } }
                        td { (shown(&document)) ", " (shown(&table)) }
                        td { code { (shown_up_to(&text, 700)) } }
                    }
                } }
            }
            @if cited.len() > CITED_ROWS { p.muted { (grouped((cited.len() - CITED_ROWS) as u64)) " more in manifest.json." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_repository_has_a_link_and_other_text_has_none() {
        let commit = "051e1364185335a6f97734e2a73e0b385ee7ebb3";
        let link = source_markup(&format!("MicrosoftDocs/azure-docs articles/a.md @{commit}")).into_string();
        assert!(
            link.contains(&format!(
                "href=\"https://github.com/MicrosoftDocs/azure-docs/blob/{commit}/articles/a.md\""
            )),
            "{link}"
        );
        for text in [
            "a handbook, 2021",
            "owner/name HCI/*x*/y.md @051e1364185335a6f97734e2a73e0b385ee7ebb3",
            "javascript:alert(1)",
        ] {
            assert!(!source_markup(text).into_string().contains("href"), "{text}");
        }
    }
}
