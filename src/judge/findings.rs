//! Gathers findings for people: one per client, destination and code, however many flows prove it.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;
use hashbrown::hash_map::Entry as Place;

use super::catalogue::explanation;
use super::record::Confidence;
use super::record::FindingRow;
use super::record::Severity;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;

/// Flows and frames named in one finding.
const NAMED: usize = 10;

/// What a finding is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Name(&'a Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(&'a str),
}

/// The same, kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    Name(Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(Box<str>),
}

impl From<Subject<'_>> for About {
    fn from(subject: Subject<'_>) -> About {
        match subject {
            Subject::Name(name) => About::Name(Arc::clone(name)),
            Subject::Address(address) => About::Address(address),
            Subject::Service(server) => About::Service(server),
            Subject::Text(text) => About::Text(text.into()),
        }
    }
}

impl About {
    fn text(&self) -> String {
        match self {
            About::Name(name) => name.to_string(),
            About::Address(address) => address.to_string(),
            About::Text(text) => text.to_string(),
            About::Service(server) => {
                std::net::SocketAddr::new(server.address.to_ip(), server.port).to_string()
            }
        }
    }
}

/// What one flow or answer adds to a finding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign<'a> {
    pub(super) code: &'static str,
    pub(super) confidence: Option<Confidence>,
    pub(super) client: Option<Address>,
    pub(super) subject: Subject<'a>,
    pub(super) flow: Option<u64>,
    pub(super) frames: &'a [FrameRef],
    pub(super) time: Time,
    pub(super) rules: &'a str,
    pub(super) documents: &'a str,
}

/// All findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Boxed: a table that grows moves all that is in it.
    rows: HashMap<Key, Box<FindingRow>, foldhash::fast::RandomState>,
    /// Distinct findings that are kept; more are counted.
    limit: usize,
    /// Signs of findings that no longer fit.
    pub(super) missed: u64,
    texts: Texts,
    /// Who wants to be told of new findings.
    herald: Option<Herald>,
}

/// Tells each finding once, however often evidence is begun anew.
#[derive(Debug, Default)]
struct Herald {
    limit: usize,
    told: HashSet<Key, foldhash::fast::RandomState>,
    news: Vec<FindingRow>,
}

impl Herald {
    fn tell(&mut self, key: &Key, row: impl FnOnce() -> FindingRow) {
        if self.told.len() >= self.limit {
            // Some are told again; that is better than never.
            self.told.clear();
        }
        if !self.told.contains(key) {
            self.told.insert(key.clone());
            self.news.push(row());
        }
    }
}

type Key = (&'static str, Option<Address>, About);

impl Findings {
    /// None yet, and at most so many.
    pub(super) fn new(limit: usize) -> Findings {
        Findings { limit, ..Findings::default() }
    }

    /// Whether there is such a finding already.
    pub(super) fn has(&self, code: &'static str, client: Address, subject: Subject<'_>) -> bool {
        self.rows.contains_key(&(code, Some(client), About::from(subject)))
    }

    /// Adds a sign; `sentence` is asked only for a finding's first.
    pub(super) fn add(&mut self, sign: &Sign<'_>, sentence: impl FnOnce() -> String) {
        let full = self.rows.len() >= self.limit;
        let key = (sign.code, sign.client, About::from(sign.subject));
        match self.rows.entry(key) {
            Place::Occupied(mut place) => add_to(place.get_mut(), sign),
            Place::Vacant(_) if full => self.missed += 1,
            Place::Vacant(place) => {
                let row = first_row(place.key(), sign, sentence(), &mut self.texts);
                if let Some(herald) = &mut self.herald {
                    herald.tell(place.key(), || row.clone());
                }
                place.insert(Box::new(row));
            }
        }
    }

    /// From here on, new findings are told by [`Findings::news`].
    pub(super) fn announce(&mut self) {
        self.herald = Some(Herald { limit: self.limit, ..Herald::default() });
    }

    /// What is new since the last call.
    pub(super) fn news(&mut self) -> Vec<FindingRow> {
        self.herald.as_mut().map(|herald| std::mem::take(&mut herald.news)).unwrap_or_default()
    }

    /// Tells of a sign that is seen before its flow is over; nothing is gathered.
    pub(super) fn preview(&mut self, sign: &Sign<'_>, sentence: impl FnOnce() -> String) {
        if let Some(herald) = &mut self.herald {
            let key = (sign.code, sign.client, About::from(sign.subject));
            herald.tell(&key, || first_row(&key, sign, sentence(), &mut self.texts));
        }
    }

    /// Adds to what findings with such a code say of a client and a name.
    pub(super) fn amend(
        &mut self,
        codes: &[&str],
        mut says: impl FnMut(Address, &HostName) -> Option<(String, Option<Confidence>)>,
    ) {
        for ((code, client, about), row) in &mut self.rows {
            let (Some(client), About::Name(name)) = (client, about) else { continue };
            if !codes.contains(code) {
                continue;
            }
            let Some((clause, confidence)) = says(*client, name) else { continue };
            row.sentence.push_str("; ");
            row.sentence.push_str(&clause);
            // What a box said of itself stays as sure as it was.
            if row.confidence != Some(Confidence::Certain) && confidence.is_some() {
                row.confidence = confidence;
            }
        }
    }

    /// The rows, taken out: gravest first, then by code, client and subject.
    pub(super) fn take_rows(&mut self) -> Vec<FindingRow> {
        self.texts = Texts::default();
        let mut rows: Vec<FindingRow> =
            std::mem::take(&mut self.rows).into_values().map(|row| *row).collect();
        rows.sort_by(|a, b| {
            let gravest = b.severity.cmp(&a.severity).then(a.code.cmp(b.code));
            gravest.then(a.client.cmp(&b.client)).then_with(|| a.subject.cmp(&b.subject))
        });
        rows
    }
}

/// Lists of rules and documents, each once: many findings cite the same.
#[derive(Debug, Default)]
struct Texts {
    known: HashSet<Arc<str>, foldhash::fast::RandomState>,
}

impl Texts {
    fn share(&mut self, text: &str) -> Arc<str> {
        Arc::clone(self.known.get_or_insert_with(text, |text| Arc::from(text)))
    }
}

/// A finding's row at its first sign.
fn first_row(key: &Key, sign: &Sign<'_>, sentence: String, texts: &mut Texts) -> FindingRow {
    let known = explanation(sign.code);
    let (_, _, about) = key;
    FindingRow {
        code: sign.code,
        severity: known.map_or(Severity::Low, |known| known.severity),
        confidence: sign.confidence,
        client: sign.client,
        subject: about.text(),
        sentence,
        count: 1,
        first_seen: sign.time,
        last_seen: sign.time,
        flows: sign.flow.into_iter().collect(),
        frames: sign.frames.iter().copied().take(NAMED).collect(),
        rules: texts.share(sign.rules),
        documents: texts.share(sign.documents),
        action: known.map_or("", |known| known.action),
    }
}

fn add_to(row: &mut FindingRow, sign: &Sign<'_>) {
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
