//! The table of servers and required endpoints.
//!
//! In:  endpoints with their state for each server.
//! Out: a table with a row for each endpoint and a column for each server; servers with the same states share a column.
//! Not: which endpoints a site needs.

use std::collections::BTreeMap;
use std::collections::HashMap;

use maud::Markup;
use maud::html;

use super::super::human::count;
use super::super::human::date_and_time;
use super::PageLinks;
use super::escape::shown;
use super::model::EndpointState;
use super::model::PageEndpoint;
use super::model::Server;
use crate::base::Time;

/// Columns and rows of the table.
const COLUMNS: usize = 8;
const ROWS: usize = 120;

/// Servers of a column that are named.
const NAMED_SERVERS: usize = 24;

/// Servers with the same states.
struct ServerGroup {
    servers: Vec<Server>,
    blocked: usize,
}

/// The section's content.
pub(super) fn markup(endpoints: &[PageEndpoint], links: &PageLinks) -> Markup {
    if endpoints.is_empty() {
        return html! {
            p { "No site file names the products in use, so the endpoints that this site needs are not known. Create one with "
                code { "afs-audit site init" } ", and run the audit again with " code { "--site" } "." }
        };
    }
    let groups = server_groups(endpoints);
    let shown_groups: Vec<&ServerGroup> = groups.iter().take(COLUMNS).collect();
    html! {
        p { "One row for each documented endpoint that the site needs, blocked ones first. Times are UTC." }
        div.scroll tabindex="0" role="region" aria-label="Required endpoints by server" {
            table.matrix {
                caption { "Required endpoints by server" }
                thead { tr {
                    th scope="col" { "endpoint" }
                    @for (at, group) in shown_groups.iter().enumerate() { th scope="col" { (heading(at, group)) } }
                } }
                tbody {
                    @for endpoint in endpoints.iter().take(ROWS) {
                        tr {
                            th scope="row" {
                                strong { (shown(&endpoint.service)) } " " span.muted { (shown(&endpoint.level)) }
                                br; code { (shown(&endpoint.documented_as.join("; "))) }
                                @for reference in endpoint.references.iter().take(3) { " " (links.reference(reference)) }
                            }
                            @for group in &shown_groups { (cell(endpoint, group)) }
                        }
                    }
                }
            }
        }
        @if endpoints.len() > ROWS { p.muted { (count((endpoints.len() - ROWS) as u64, "more endpoint")) " in requirements.csv." } }
        @if groups.len() > COLUMNS {
            @let servers: usize = groups.iter().skip(COLUMNS).map(|group| group.servers.len()).sum();
            p.muted { (count(servers as u64, "more server")) " with other states in requirements.csv." }
        }
        @if groups.iter().any(|group| group.servers.len() > 1) {
            dl {
                @for (at, group) in shown_groups.iter().enumerate().filter(|(_, group)| group.servers.len() > 1) {
                    dt { (heading(at, group)) }
                    dd { (server_list(&group.servers)) }
                }
            }
        }
        @let notes = notes(endpoints);
        @if !notes.is_empty() {
            ul { @for (note, times) in notes.iter().take(12) { li { (shown(note)) " (" (count(*times, "endpoint")) ")" } } }
        }
    }
}

fn heading(at: usize, group: &ServerGroup) -> String {
    match group.servers.as_slice() {
        [None] => "site".to_owned(),
        [Some(server)] => server.to_string(),
        servers => format!("group {}: {} servers", at + 1, servers.len()),
    }
}

fn server_list(servers: &[Server]) -> String {
    let mut names: Vec<String> =
        servers.iter().flatten().take(NAMED_SERVERS).map(ToString::to_string).collect();
    if servers.len() > NAMED_SERVERS {
        names.push(format!("{} more in requirements.csv", servers.len() - NAMED_SERVERS));
    }
    names.join(", ")
}

fn cell(endpoint: &PageEndpoint, group: &ServerGroup) -> Markup {
    let states: Vec<&EndpointState> =
        group.servers.iter().filter_map(|server| endpoint.by_server.get(server)).collect();
    let Some(first) = states.first() else { return html! { td.muted { "not needed" } } };
    let last: Option<Time> = states.iter().filter_map(|state| state.last_reached).max();
    html! {
        td.(class_of(&first.state)) {
            span.state { (shown(&first.state).replace('-', " ")) }
            @if !first.mechanism.is_empty() { br; (shown(&first.mechanism)) }
            @if let Some(last) = last { br; span.muted { "last success " (date_and_time(last)) } }
            @else if first.is_blocked() { br; span.muted { "no success" } }
        }
    }
}

/// The class of a state; a word of the table only, because a stored state may be anything.
fn class_of(state: &str) -> &'static str {
    match state {
        "reached" => "reached",
        "blocked" => "blocked",
        "partly-blocked" => "partly-blocked",
        _ => "not-observed",
    }
}

/// Servers by their states: those with the most blocked endpoints first, then the largest group.
fn server_groups(endpoints: &[PageEndpoint]) -> Vec<ServerGroup> {
    let mut by_server: BTreeMap<Server, Vec<(usize, &str, &str)>> = BTreeMap::new();
    for (at, endpoint) in endpoints.iter().enumerate() {
        for (server, state) in &endpoint.by_server {
            by_server.entry(*server).or_default().push((at, &state.state, &state.mechanism));
        }
    }
    let mut groups: Vec<ServerGroup> = Vec::new();
    let mut known: HashMap<Vec<(usize, &str, &str)>, usize> = HashMap::new();
    for (server, states) in by_server {
        let blocked =
            states.iter().filter(|(_, state, _)| matches!(*state, "blocked" | "partly-blocked")).count();
        let at = *known.entry(states).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.servers.push(server),
            None => groups.push(ServerGroup { servers: vec![server], blocked }),
        }
    }
    // Stable: groups of the same order stay in the order of their first server.
    groups.sort_by_key(|group| std::cmp::Reverse((group.blocked, group.servers.len())));
    groups
}

/// What states mean, and of how many endpoints; the most frequent first.
fn notes(endpoints: &[PageEndpoint]) -> Vec<(&str, u64)> {
    let mut notes: BTreeMap<&str, u64> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.note.is_empty()) {
        *notes.entry(&endpoint.note).or_default() += 1;
    }
    let mut notes: Vec<(&str, u64)> = notes.into_iter().collect();
    notes.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    notes
}
