//! Gathers findings for people: one per client, destination, code and mechanism, however many flows prove it.

use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::Equivalent;
use hashbrown::HashMap;
use hashbrown::HashSet;

use super::catalogue::explanation;
use super::record::Confidence;
use super::record::FindingRow;
use super::record::FindingRows;
use super::record::Severity;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;

/// Flows and frames named in one finding.
const NAMED: usize = 10;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject<'a> {
    Name(&'a Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(&'a str),
}

/// The same, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    fn subject(&self) -> Subject<'_> {
        match self {
            About::Name(name) => Subject::Name(name),
            About::Address(address) => Subject::Address(*address),
            About::Service(server) => Subject::Service(*server),
            About::Text(text) => Subject::Text(text),
        }
    }

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
    /// How it was stopped, for what looks blocked: a finding for each mechanism.
    pub(super) mechanism: &'static str,
    pub(super) confidence: Option<Confidence>,
    pub(super) client: Option<Address>,
    pub(super) subject: Subject<'a>,
    /// The destination of the flow that adds it.
    pub(super) server: Option<Endpoint>,
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

/// What tells findings apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    code: &'static str,
    mechanism: &'static str,
    client: Option<Address>,
    about: About,
}

/// The same, to ask with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked<'a> {
    code: &'static str,
    mechanism: &'static str,
    client: Option<Address>,
    subject: Subject<'a>,
}

impl Key {
    fn asked(&self) -> Asked<'_> {
        Asked {
            code: self.code,
            mechanism: self.mechanism,
            client: self.client,
            subject: self.about.subject(),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.asked()
    }
}

impl Asked<'_> {
    fn kept(self) -> Key {
        Key { code: self.code, mechanism: self.mechanism, client: self.client, about: self.subject.into() }
    }
}

impl<'a> Sign<'a> {
    fn asks(&self) -> Asked<'a> {
        Asked { code: self.code, mechanism: self.mechanism, client: self.client, subject: self.subject }
    }
}

impl Findings {
    /// None yet, and at most so many.
    pub(super) fn new(limit: usize) -> Findings {
        Findings { limit, ..Findings::default() }
    }

    /// Adds a sign to its finding, or counts it where no more findings fit; false where the finding would be new.
    pub(super) fn gather(&mut self, sign: &Sign<'_>) -> bool {
        if let Some(row) = self.rows.get_mut(&sign.asks()) {
            add_to(row, sign);
            return true;
        }
        let is_full = self.rows.len() >= self.limit;
        self.missed += u64::from(is_full);
        is_full
    }

    /// Adds a sign; `sentence` is asked only for a finding's first.
    pub(super) fn add(&mut self, sign: &Sign<'_>, sentence: impl FnOnce() -> String) {
        if self.gather(sign) {
            return;
        }
        let key = sign.asks().kept();
        let row = first_row(&key, sign, sentence(), &mut self.texts);
        if let Some(herald) = &mut self.herald {
            herald.tell(&key, || row.clone());
        }
        self.rows.insert(key, Box::new(row));
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
            let key = sign.asks().kept();
            herald.tell(&key, || first_row(&key, sign, sentence(), &mut self.texts));
        }
    }

    /// Adds to what findings with such a code say of a client and what it wanted.
    pub(super) fn amend(
        &mut self,
        codes: &[&str],
        mut says: impl FnMut(Address, Subject<'_>) -> Option<(String, Option<Confidence>)>,
    ) {
        for (Key { code, client, about, .. }, row) in &mut self.rows {
            let Some(client) = client else { continue };
            if !codes.contains(code) {
                continue;
            }
            let Some((clause, confidence)) = says(*client, about.subject()) else { continue };
            row.sentence.push_str("; ");
            row.sentence.push_str(&clause);
            // What a box said of itself stays as sure as it was.
            if row.confidence != Some(Confidence::Certain) && confidence.is_some() {
                row.confidence = confidence;
            }
        }
    }

    /// The rows, taken out: gravest first, then by code, client and subject.
    pub(super) fn take_rows(&mut self) -> FindingRows {
        self.texts = Texts::default();
        let mut rows: FindingRows = std::mem::take(&mut self.rows).into_values().collect();
        rows.sort_unstable_by(|a, b| {
            let gravest = b.severity.cmp(&a.severity).then(a.code.cmp(b.code));
            gravest
                .then(a.client.cmp(&b.client))
                .then_with(|| a.subject.cmp(&b.subject))
                .then_with(|| a.mechanism.cmp(b.mechanism))
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
    FindingRow {
        code: sign.code,
        mechanism: sign.mechanism,
        severity: known.map_or(Severity::Low, |known| known.severity),
        confidence: sign.confidence,
        client: sign.client,
        subject: key.about.text(),
        name: match &key.about {
            About::Name(name) => Some(Arc::clone(name)),
            About::Address(_) | About::Service(_) | About::Text(_) => None,
        },
        server: sign.server,
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
