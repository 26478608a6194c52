//! `report.html`: one page about a run, for people.
//!
//! In:  an evidence folder.
//! Out: one file of HTML that needs no other file, no network and no script. The same folder gives the same bytes.
//! Not: verdicts, and not all rows: the page counts what it leaves out.

mod causes;
mod escape;
mod matrix;
mod model;
mod page;
mod provenance;
mod timeline;

use std::collections::BTreeSet;
use std::collections::HashSet;

use maud::Markup;
use maud::html;
use serde_json::Value;

use super::human::count;
use super::human::date_and_time;
use super::human::duration;
use super::human::grouped;
use super::human::size;
use super::human::verb;
use super::input_names::InputNames;
use super::stored::ReadError;
use super::stored::StoredEvidence;
use super::stored::parse_time;
pub(crate) use escape::shown;
pub(super) use model::CaptureSpan;
use model::DestinationCounts;
use model::PageEndpoint;
pub(super) use model::PageModel;
use model::Server;
pub(crate) use page::HtmlPage;
pub(crate) use page::Tone;

/// The file's name in an evidence folder.
pub const REPORT: &str = "report.html";

/// Destinations of a verdict that are shown.
const DESTINATIONS: usize = 40;

/// Servers that the first sentence names.
const NAMED_SERVERS: usize = 3;

/// Blocked endpoints that the second sentence names.
const NAMED_ENDPOINTS: usize = 2;

/// The page of an evidence folder.
pub fn render_report(evidence: &StoredEvidence) -> Result<String, ReadError> {
    let manifest = evidence.manifest();
    let time = |key: &str| manifest.get(key)?.as_str().and_then(parse_time);
    let model = PageModel::read(evidence, time("first_seen").zip(time("last_seen")))?;
    Ok(render(manifest, &model))
}

/// The page of what was read from the tables.
pub(super) fn render(manifest: &Value, model: &PageModel) -> String {
    let links = PageLinks::of(manifest);
    let all_inputs = manifest.get("inputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let timeline = model.timeline.as_ref().and_then(|timeline| timeline.markup(all_inputs));
    let sections = [
        ("causes", "Causes", causes::markup(&model.causes, &links)),
        ("endpoints", "Required endpoints", matrix::markup(&model.endpoints, &links)),
        (
            "timeline",
            "Attempts over time",
            timeline
                .unwrap_or_else(|| html! { p { "No attempt to reach a required endpoint was observed." } }),
        ),
        ("destinations", "Destinations", destinations(model)),
        (
            "limits",
            "What the capture could not show",
            provenance::limits(manifest, &model.inconclusive, model.rows_left_out),
        ),
        ("provenance", "What this report is made from", provenance::provenance(manifest, &links)),
        ("explanations", "Explanations", causes::explanations(&model.causes)),
    ];
    page(manifest, model, &sections).into_string()
}

fn page(manifest: &Value, model: &PageModel, sections: &[(&str, &str, Markup)]) -> Markup {
    let tone = if model.high_findings > 0 || model.blocked_endpoints().next().is_some() {
        Tone::Bad
    } else if model.findings > 0 {
        Tone::Neutral
    } else {
        Tone::Good
    };
    HtmlPage {
        title: "afs-audit report",
        heading: "Traffic audit: Azure File Sync and Azure Local",
        tone,
        lead: html! {
            p { (captured(manifest)) }
            p { (wrong(manifest, model)) }
            p { (first_step(manifest, model)) }
        },
        sections,
        footer: html! {
            p { "Written by afs-audit " (shown(text_of(manifest.get("tool"), "version"))) ". The rows are in the CSV files beside this page; " code { "afs-audit verify" } " checks them." }
        },
    }
    .markup()
}

/// What was captured.
fn captured(manifest: &Value) -> String {
    let number = |object: &str, key: &str| {
        manifest.get(object).and_then(|value| value.get(key)).and_then(Value::as_u64).unwrap_or_default()
    };
    let inputs = manifest.get("inputs").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let time = |key: &str| manifest.get(key).and_then(Value::as_str).and_then(parse_time);
    let span = match (time("first_seen"), time("last_seen")) {
        (Some(first), Some(last)) => format!(
            " from {} to {} UTC ({})",
            date_and_time(first),
            date_and_time(last),
            duration(last.since(first))
        ),
        _ => String::new(),
    };
    let servers = number("tally", "audited_hosts");
    let named: Vec<&str> = manifest
        .get("tally")
        .and_then(|tally| tally.get("audited"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .take(NAMED_SERVERS)
        .collect();
    let named = match servers.saturating_sub(named.len() as u64) {
        _ if named.is_empty() => String::new(),
        0 => format!(" ({})", named.join(", ")),
        more => format!(" ({} and {} more)", named.join(", "), grouped(more)),
    };
    shown(&format!(
        "{} with {}{span} {} {} of {}{named}.",
        count(inputs, "capture"),
        count(number("accounting", "frames"), "frame"),
        verb(inputs, "shows", "show"),
        count(number("tally", "judged"), "flow"),
        count(servers, "audited server"),
    ))
}

/// What is wrong.
fn wrong(manifest: &Value, model: &PageModel) -> Markup {
    let servers = manifest
        .get("tally")
        .and_then(|tally| tally.get("audited_hosts"))
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let required: Vec<&PageEndpoint> =
        model.blocked_endpoints().filter(|endpoint| endpoint.is_required()).collect();
    let blocked = model.blocked_endpoints().count() as u64;
    let findings = match (model.findings, model.high_findings) {
        (0, _) if servers == 0 => "nothing was audited".to_owned(),
        (0, _) => "there are no findings".to_owned(),
        (all, 0) => {
            format!("there {} {}, none of high severity", verb(all, "is", "are"), count(all, "finding"))
        }
        (all, high) => format!(
            "there {} {}, {} of high severity",
            verb(all, "is", "are"),
            count(all, "finding"),
            grouped(high)
        ),
    };
    html! {
        @if servers == 0 { "No audited server is in the captures, so nothing was judged." }
        @else if !required.is_empty() {
            strong.bad { (count(required.len() as u64, "required endpoint")) " " (verb(required.len() as u64, "looks", "look")) " blocked" }
            " for " (server_names(&servers_of(&required))) ": " (shown(&endpoint_names(&required))) "; " (findings) "."
        }
        @else if blocked > 0 { "No required endpoint looks blocked, but " (count(blocked, "other needed endpoint")) " " (verb(blocked, "does", "do")) "; " (findings) "." }
        @else if model.endpoints.is_empty() { "The endpoints that this site needs are not known without a site file; " (findings) "." }
        @else { "No endpoint that the site needs looks blocked; " (findings) "." }
    }
}

fn servers_of(endpoints: &[&PageEndpoint]) -> BTreeSet<Server> {
    endpoints.iter().flat_map(|endpoint| endpoint.blocked_servers()).collect()
}

/// `10.1.0.4, 10.1.0.5`; of more servers than are named, their number.
fn server_names(servers: &BTreeSet<Server>) -> String {
    let named: Vec<String> = servers.iter().flatten().map(ToString::to_string).collect();
    match named.len() {
        1..=NAMED_SERVERS => named.join(", "),
        _ => count(servers.len() as u64, "server"),
    }
}

/// The first endpoints by name, and the number of the others.
fn endpoint_names(endpoints: &[&PageEndpoint]) -> String {
    let named: Vec<&str> =
        endpoints.iter().take(NAMED_ENDPOINTS).map(|endpoint| endpoint.service.as_str()).collect();
    match endpoints.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {} more", named.join(", "), grouped(more as u64)),
    }
}

/// What to do first.
fn first_step(manifest: &Value, model: &PageModel) -> Markup {
    let not_observed = model
        .endpoints
        .iter()
        .filter(|endpoint| {
            endpoint.is_required() && endpoint.by_server.values().all(|state| state.state == "not-observed")
        })
        .count() as u64;
    let not_done = manifest
        .get("not_done")
        .and_then(Value::as_array)
        .and_then(|list| list.first())
        .and_then(Value::as_str);
    let finding =
        model.causes.first().and_then(|cause| cause.findings.first().map(|finding| (cause, finding)));
    html! {
        strong { "First: " }
        @if let Some(why) = not_done { "complete the run, because a part was not done: " (shown(why)) "." }
        @else if let Some((cause, finding)) = finding {
            (shown(&finding.recommendation)) " (" (shown(&cause.code)) ": " (shown(&finding.message)) ")."
        }
        @else if not_observed > 0 {
            "capture for longer, because " (count(not_observed, "required endpoint")) " " (verb(not_observed, "was", "were")) " not observed."
        }
        @else { "nothing needs to be done." }
    }
}

/// Destinations by verdict.
fn destinations(model: &PageModel) -> Markup {
    html! {
        @if model.destinations.by_verdict.iter().all(|(_, list)| list.is_empty()) { p { "No audited server opened a flow." } }
        @for (verdict, list) in model.destinations.by_verdict.iter().filter(|(_, list)| !list.is_empty()) {
            div.scroll tabindex="0" role="region" aria-label={ "Destinations: " (verdict) } {
                table {
                    caption { (verdict) ": " (count(list.len() as u64, "destination")) }
                    thead { tr {
                        th scope="col" { "destination" }
                        @for head in ["port", "port verdict", "ok", "blocked-looking", "inconclusive", "servers", "payload"] { th.number scope="col" { (head) } }
                    } }
                    tbody { @for destination in list.iter().take(DESTINATIONS) { (destination_row(destination)) } }
                }
            }
            @if list.len() > DESTINATIONS { p.muted { (count((list.len() - DESTINATIONS) as u64, "more destination")) " in flows.csv." } }
        }
        @if model.destinations.missed > 0 { p.muted { (count(model.destinations.missed, "flow")) " to further destinations in flows.csv." } }
    }
}

fn destination_row(destination: &DestinationCounts) -> Markup {
    let [ok, blocked, inconclusive] = destination.outcomes;
    html! {
        tr {
            th scope="row" { (shown(&destination.name)) }
            td.number { (shown(&destination.port)) }
            td.number { (shown(&destination.port_verdict)) }
            td.number { (grouped(ok)) }
            td.number.blocked[blocked > 0] { (grouped(blocked)) }
            td.number { (grouped(inconclusive)) }
            td.number { (grouped(destination.clients)) }
            td.number { (size(destination.bytes)) }
        }
    }
}

/// What the page can link to.
struct PageLinks {
    /// The names of the inputs in rows.
    inputs: Vec<String>,
    /// Ids of the cited rows that the page shows.
    cited: HashSet<String>,
}

impl PageLinks {
    fn of(manifest: &Value) -> PageLinks {
        let inputs = manifest.get("inputs").and_then(Value::as_array);
        let paths: Vec<_> =
            inputs.into_iter().flatten().map(|input| text_of(Some(input), "path").into()).collect();
        let cited = manifest.get("cited").and_then(Value::as_object);
        let shown_rows = cited.into_iter().flat_map(|rows| rows.keys()).take(provenance::CITED_ROWS);
        PageLinks { inputs: InputNames::of(&paths).files, cited: shown_rows.cloned().collect() }
    }

    /// The name of an input, with a link to its row.
    fn input(&self, name: &str) -> Markup {
        match self.inputs.iter().position(|known| known == name) {
            Some(at) if at < provenance::INPUTS => html! { a href={ "#input-" (at) } { (shown(name)) } },
            _ => html! { (shown(name)) },
        }
    }

    /// The id of a cited row, with a link to it.
    fn reference(&self, reference: &str) -> Markup {
        let id = model::id_of(reference);
        match self.cited.contains(id) {
            true => html! { a href={ "#" (cited_anchor(id)) } { (shown(reference)) } },
            false => html! { (shown(reference)) },
        }
    }
}

/// The anchor of a cited row.
fn cited_anchor(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
    format!("row-{}", id.chars().take(120).map(plain).collect::<String>())
}

/// A text of a JSON object; empty if it is missing.
fn text_of<'a>(object: Option<&'a Value>, key: &str) -> &'a str {
    object.and_then(|object| object.get(key)).and_then(Value::as_str).unwrap_or_default()
}
