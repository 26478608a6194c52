//! Draws attempts to reach the endpoints that a site needs over the time of the captures, as SVG.
//!
//! In:  flows, and the first and last attempts of each requirement.
//! Out: one row for each endpoint: attempts that succeeded above the line, attempts that look blocked below it. Times without a
//!      capture, and captures with dropped packets, are shaded.
//! Not: single attempts; a column counts those of an interval.

use hashbrown::HashMap;
use maud::Markup;
use maud::html;
use serde_json::Value;

use super::super::human::count;
use super::super::human::date_and_time;
use super::super::human::duration;
use super::super::stored::StoredRow;
use super::super::stored::parse_time;
use super::escape::shown;
use super::escape::shown_up_to;
use super::model::PageEndpoint;
use super::model::id_of;
use crate::base::Time;

/// Intervals of the time axis.
const INTERVALS: usize = 120;

/// Endpoints that are drawn.
const ROWS: usize = 24;

/// Lists of references that are remembered.
const LISTS: usize = 4096;

/// Captures that are compared for gaps.
const SPANS: usize = 4096;

const LABEL_WIDTH: usize = 270;
const COLUMN_WIDTH: usize = 6;
const ROW_HEIGHT: usize = 30;
const TOP: usize = 26;

/// Attempts by endpoint and interval.
pub(super) struct Timeline {
    first: Time,
    last: Time,
    rows: Vec<TimelineRow>,
    /// Rows by reference id.
    by_reference: HashMap<String, Vec<usize>>,
    /// Rows by list of references: thousands of flows cite the same list.
    by_list: HashMap<String, Vec<usize>>,
    more: usize,
}

struct TimelineRow {
    label: String,
    /// Names that a flow must have; empty: any name of the references.
    names: Vec<String>,
    /// Succeeded and blocked, by interval.
    counts: Vec<[u64; 2]>,
    /// The same over all, as the requirement counts them.
    attempts: [u64; 2],
}

impl Timeline {
    /// A timeline of the endpoints with attempts, in the order of the page.
    pub(super) fn new(first: Time, last: Time, endpoints: &[PageEndpoint]) -> Timeline {
        let tried: Vec<&PageEndpoint> = tried(endpoints).collect();
        let mut uses: HashMap<&str, u32> = HashMap::new();
        for reference in endpoints.iter().flat_map(|endpoint| &endpoint.references) {
            *uses.entry(id_of(reference)).or_default() += 1;
        }
        let mut by_reference: HashMap<String, Vec<usize>> = HashMap::new();
        let mut rows = Vec::new();
        for (at, endpoint) in tried.iter().take(ROWS).enumerate() {
            let is_shared = endpoint.references.iter().any(|id| uses.get(id_of(id)) > Some(&1));
            for reference in &endpoint.references {
                by_reference.entry(id_of(reference).to_owned()).or_default().push(at);
            }
            rows.push(TimelineRow {
                label: endpoint.service.clone(),
                names: match (endpoint.name.is_empty(), is_shared) {
                    (false, _) => vec![endpoint.name.clone()],
                    (true, true) => endpoint.documented_as.clone(),
                    (true, false) => Vec::new(),
                },
                counts: vec![[0; 2]; INTERVALS],
                attempts: endpoint.attempts,
            });
        }
        let more = tried.len().saturating_sub(ROWS);
        Timeline { first, last, rows, by_reference, by_list: HashMap::new(), more }
    }

    /// Counts a flow; `outcome` 0 succeeded, 1 looks blocked.
    pub(super) fn add(&mut self, row: &StoredRow<'_>, outcome: usize) {
        // A flow on another port than the documented ones is no attempt to use the endpoint.
        if outcome > 1 || self.rows.is_empty() || row.raw("port_verdict") == "not-443" {
            return;
        }
        let by_reference = &self.by_reference;
        let rows_of_list = || {
            let mut counted = Vec::new();
            for reference in row.elements("references") {
                for at in by_reference.get(id_of(&reference)).into_iter().flatten() {
                    if !counted.contains(at) {
                        counted.push(*at);
                    }
                }
            }
            counted
        };
        let list = row.raw("references");
        if self.by_list.len() >= LISTS && !self.by_list.contains_key(list) {
            self.by_list.clear();
        }
        let counted = self.by_list.entry_ref(list).or_insert_with(rows_of_list).clone();
        if counted.is_empty() {
            return;
        }
        let Some(interval) = row.time("first_seen").map(|time| self.interval(time)) else { return };
        for at in counted {
            let Some(timeline_row) = self.rows.get_mut(at) else { continue };
            // A flow that succeeded is no use of the endpoint if, say, a proxy only asked for credentials in it.
            let has_such = timeline_row.attempts.get(outcome).is_some_and(|attempts| *attempts > 0);
            let is_meant = timeline_row.names.is_empty()
                || timeline_row
                    .names
                    .iter()
                    .any(|name| name.contains(['*', '<', '[']) || name == row.text("name"));
            if let Some(counts) = timeline_row.counts.get_mut(interval).filter(|_| has_such && is_meant) {
                add_to(counts, outcome, |count| count + 1);
            }
        }
    }

    /// Adds the first and last attempts of each requirement that no flow shows: a name that did not resolve has no flow. The last
    /// time of an attempt that a flow shows may be in a later interval than its first: it is no attempt of its own.
    pub(super) fn add_single_attempts(&mut self, endpoints: &[PageEndpoint]) {
        for (at, endpoint) in tried(endpoints).take(ROWS).enumerate() {
            for (outcome, attempts) in endpoint.attempts.into_iter().enumerate() {
                let of_outcome = |counts: &[u64; 2]| counts.get(outcome).copied().unwrap_or_default();
                let counted = self.rows.get(at).map(|row| row.counts.iter().map(of_outcome).sum::<u64>());
                let mut missing = attempts.saturating_sub(counted.unwrap_or(attempts));
                let times = endpoint.by_server.values().flat_map(|state| match outcome {
                    0 => state.reached,
                    _ => state.blocked,
                });
                for time in times.flatten() {
                    let interval = self.interval(time);
                    let counts = self.rows.get_mut(at).and_then(|row| row.counts.get_mut(interval));
                    if let Some(counts) = counts.filter(|counts| missing > 0 && of_outcome(counts) == 0) {
                        add_to(counts, outcome, |count| count + 1);
                        missing -= 1;
                    }
                }
            }
        }
    }

    fn interval(&self, time: Time) -> usize {
        let length = self.last.since(self.first).max(1);
        let at = u128::from(time.since(self.first)) * INTERVALS as u128 / u128::from(length);
        (at as usize).min(INTERVALS - 1)
    }

    /// The section's content; none without an attempt.
    pub(super) fn markup(&self, inputs: &[Value]) -> Option<Markup> {
        if self.rows.is_empty() {
            return None;
        }
        let most =
            self.rows.iter().flat_map(|row| row.counts.iter().flatten()).max().copied().unwrap_or(1).max(1);
        let (width, height) =
            (LABEL_WIDTH + INTERVALS * COLUMN_WIDTH + 10, TOP + self.rows.len() * ROW_HEIGHT + 24);
        let bottom = TOP + self.rows.len() * ROW_HEIGHT;
        let shaded = self.shaded(inputs);
        let (first, last) = (date_and_time(self.first), date_and_time(self.last));
        let interval = duration(self.last.since(self.first) / INTERVALS as u64);
        Some(html! {
            p {
                "Each column is " (interval) ". Bars above the line are attempts that succeeded, bars below it attempts that look blocked. "
                @if !shaded.is_empty() { "Shaded: no capture, or a capture that dropped packets." }
            }
            svg viewBox={ "0 0 " (width) " " (height) } role="img" aria-labelledby="timeline-title timeline-text" {
                title id="timeline-title" { "Attempts to reach the endpoints over time" }
                desc id="timeline-text" {
                    @for row in &self.rows {
                        (shown(&row.label)) ": " (sentence(row)) ". "
                    }
                }
                @for (at, row) in self.rows.iter().enumerate() {
                    @let middle = TOP + at * ROW_HEIGHT + ROW_HEIGHT / 2;
                    @if at % 2 == 0 {
                        rect.row x="0" y=(TOP + at * ROW_HEIGHT) width=(width) height=(ROW_HEIGHT) {}
                    }
                    text x="4" y=(middle + 4) { (shown_up_to(&row.label, 40)) }
                    line.axis x1=(LABEL_WIDTH) x2=(LABEL_WIDTH + INTERVALS * COLUMN_WIDTH) y1=(middle) y2=(middle) {}
                    @for (column, counts) in row.counts.iter().enumerate() {
                        @if counts[0] > 0 {
                            @let bar = bar_height(counts[0], most);
                            rect.ok x=(LABEL_WIDTH + column * COLUMN_WIDTH) y=(middle - bar) width=(COLUMN_WIDTH - 1) height=(bar) {}
                        }
                        @if counts[1] > 0 {
                            rect.blocked x=(LABEL_WIDTH + column * COLUMN_WIDTH) y=(middle + 1) width=(COLUMN_WIDTH - 1) height=(bar_height(counts[1], most)) {}
                        }
                    }
                }
                @for (from, to) in &shaded {
                    rect.loss x=(LABEL_WIDTH + from * COLUMN_WIDTH) y=(TOP) width=((to - from) * COLUMN_WIDTH) height=(bottom - TOP) {}
                }
                text x=(LABEL_WIDTH) y="16" { (first) " UTC" }
                text x=(LABEL_WIDTH + INTERVALS * COLUMN_WIDTH) y="16" text-anchor="end" { (last) " UTC" }
                rect.ok x=(LABEL_WIDTH) y=(bottom + 8) width="10" height="10" {}
                text x=(LABEL_WIDTH + 15) y=(bottom + 17) { "succeeded" }
                rect.blocked x=(LABEL_WIDTH + 110) y=(bottom + 8) width="10" height="10" {}
                text x=(LABEL_WIDTH + 125) y=(bottom + 17) { "looks blocked" }
                @if !shaded.is_empty() {
                    rect.loss x=(LABEL_WIDTH + 240) y=(bottom + 8) width="10" height="10" {}
                    text x=(LABEL_WIDTH + 255) y=(bottom + 17) { "no capture or packets dropped" }
                }
            }
            @if self.more > 0 {
                p.muted { (count(self.more as u64, "more endpoint")) " in requirements.csv." }
            }
        })
    }

    /// Ranges of intervals in which no input has frames, or an input with dropped packets has.
    fn shaded(&self, inputs: &[Value]) -> Vec<(usize, usize)> {
        let mut is_covered = [false; INTERVALS];
        let mut is_lossy = [false; INTERVALS];
        for input in inputs.iter().take(SPANS) {
            let time = |key: &str| input.get(key)?.as_str().and_then(parse_time);
            let (Some(from), Some(to)) = (time("earliest"), time("latest")) else { continue };
            let number =
                |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or_default();
            let interfaces = input.get("interfaces").and_then(Value::as_array);
            let dropped = number(input, "reported_drops")
                + interfaces
                    .into_iter()
                    .flatten()
                    .map(|interface| number(interface, "dropped").max(number(interface, "dropped_by_system")))
                    .sum::<u64>();
            for interval in self.interval(from)..=self.interval(to) {
                if let (Some(covered), Some(lossy)) =
                    (is_covered.get_mut(interval), is_lossy.get_mut(interval))
                {
                    *covered = true;
                    *lossy |= dropped > 0;
                }
            }
        }
        if inputs.len() > SPANS {
            is_covered = [true; INTERVALS];
        }
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for (at, (covered, lossy)) in is_covered.iter().zip(is_lossy).enumerate() {
            if *covered && !lossy {
                continue;
            }
            match ranges.last_mut() {
                Some((_, end)) if *end == at => *end += 1,
                _ => ranges.push((at, at + 1)),
            }
        }
        ranges
    }
}

/// Endpoints with an attempt.
fn tried(endpoints: &[PageEndpoint]) -> impl Iterator<Item = &PageEndpoint> {
    endpoints.iter().filter(|endpoint| endpoint.attempts != [0; 2])
}

/// The root makes few attempts visible beside many.
fn bar_height(attempts: u64, most: u64) -> usize {
    let share = (attempts as f64 / most as f64).sqrt();
    ((share * 13.0).round() as usize).max(3)
}

/// `12 attempts succeeded, 3 look blocked`.
fn sentence(row: &TimelineRow) -> String {
    let [ok, blocked] = row.attempts;
    format!("{} succeeded, {blocked} looked blocked", count(ok, "attempt"))
}

fn add_to(counts: &mut [u64; 2], outcome: usize, change: impl Fn(u64) -> u64) {
    if let Some(count) = counts.get_mut(outcome) {
        *count = change(*count);
    }
}
