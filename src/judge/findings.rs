//! Gathers findings for people: one per client, destination and code, however many flows prove it.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use smallvec::SmallVec;

use super::catalogue::Explanation;
use super::catalogue::explanation;
use super::record::Confidence;
use super::record::FindingRow;
use super::record::Severity;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;

/// Distinct findings that are kept; more are counted.
const DISTINCT: usize = 100_000;

/// Flows and frames named in one finding.
const NAMED: usize = 10;

/// What one flow or answer adds to a finding.
#[derive(Clone, Debug)]
pub(super) struct Sign<'a> {
    pub(super) code: &'static str,
    /// Another severity than the catalogue's.
    pub(super) severity: Option<Severity>,
    pub(super) confidence: Option<Confidence>,
    pub(super) client: Option<Address>,
    pub(super) subject: &'a str,
    pub(super) flow: Option<u64>,
    pub(super) frames: &'a [FrameRef],
    pub(super) time: Time,
    pub(super) rules: &'a str,
    pub(super) documents: &'a str,
}

/// All findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    rows: HashMap<(&'static str, Option<Address>, Box<str>), FindingRow>,
    /// Signs of findings that no longer fit.
    pub(super) missed: u64,
}

impl Findings {
    /// Adds a sign; `sentence` is asked only for a finding's first.
    pub(super) fn add(&mut self, sign: Sign<'_>, sentence: impl FnOnce() -> String) {
        let full = self.rows.len() >= DISTINCT;
        let known: Option<&Explanation> = explanation(sign.code);
        match self.rows.entry((sign.code, sign.client, sign.subject.into())) {
            Place::Occupied(mut place) => {
                let row = place.get_mut();
                row.count += 1;
                row.first_seen = row.first_seen.min(sign.time);
                row.last_seen = row.last_seen.max(sign.time);
                row.confidence = row.confidence.max(sign.confidence);
                if let Some(flow) = sign.flow.filter(|_| row.flows.len() < NAMED) {
                    row.flows.push(flow);
                }
                for frame in sign.frames {
                    if row.frames.len() < NAMED && !row.frames.contains(frame) {
                        row.frames.push(*frame);
                    }
                }
            }
            Place::Vacant(_) if full => self.missed += 1,
            Place::Vacant(place) => {
                place.insert(FindingRow {
                    code: sign.code,
                    severity: sign.severity.or(known.map(|known| known.severity)).unwrap_or(Severity::Low),
                    confidence: sign.confidence,
                    client: sign.client,
                    subject: sign.subject.to_owned(),
                    sentence: sentence(),
                    count: 1,
                    first_seen: sign.time,
                    last_seen: sign.time,
                    flows: sign.flow.into_iter().collect(),
                    frames: sign.frames.iter().copied().take(NAMED).collect::<SmallVec<_>>(),
                    rules: sign.rules.to_owned(),
                    documents: sign.documents.to_owned(),
                    action: known.map(|known| known.action.to_owned()).unwrap_or_default(),
                });
            }
        }
    }

    /// The rows: gravest first, then by code, client and subject.
    pub(super) fn into_rows(self) -> Vec<FindingRow> {
        let mut rows: Vec<FindingRow> = self.rows.into_values().collect();
        rows.sort_by(|a, b| {
            let gravest = b.severity.cmp(&a.severity).then(a.code.cmp(b.code));
            gravest.then(a.client.cmp(&b.client)).then_with(|| a.subject.cmp(&b.subject))
        });
        rows
    }
}
