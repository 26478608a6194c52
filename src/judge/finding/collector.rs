//! Gathers findings for people: one per client, destination, code and mechanism, however many flows prove it.

use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::Equivalent;
use hashbrown::HashMap;
use hashbrown::HashSet;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::catalogue::explanation;
use crate::judge::rows::Confidence;
use crate::judge::rows::FindingRow;
use crate::judge::rows::FindingRows;
use crate::judge::rows::Severity;

/// Flows and frames named in one finding.
const NAMED: usize = 10;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::judge) enum Target<'a> {
    Name(&'a Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(&'a str),
}

/// The same, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedTarget {
    Name(Arc<HostName>),
    Address(Address),
    Service(Endpoint),
    Text(Box<str>),
}

impl From<Target<'_>> for OwnedTarget {
    fn from(subject: Target<'_>) -> OwnedTarget {
        match subject {
            Target::Name(name) => OwnedTarget::Name(Arc::clone(name)),
            Target::Address(address) => OwnedTarget::Address(address),
            Target::Service(server) => OwnedTarget::Service(server),
            Target::Text(text) => OwnedTarget::Text(text.into()),
        }
    }
}

impl OwnedTarget {
    fn subject(&self) -> Target<'_> {
        match self {
            OwnedTarget::Name(name) => Target::Name(name),
            OwnedTarget::Address(address) => Target::Address(*address),
            OwnedTarget::Service(server) => Target::Service(*server),
            OwnedTarget::Text(text) => Target::Text(text),
        }
    }

    fn text(&self) -> String {
        match self {
            OwnedTarget::Name(name) => name.to_string(),
            OwnedTarget::Address(address) => address.to_string(),
            OwnedTarget::Text(text) => text.to_string(),
            OwnedTarget::Service(server) => {
                std::net::SocketAddr::new(server.address.to_ip(), server.port).to_string()
            }
        }
    }
}

/// What one flow or answer adds to a finding.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Occurrence<'a> {
    pub(in crate::judge) code: &'static str,
    /// How it was stopped, for what looks blocked: a finding for each mechanism.
    pub(in crate::judge) mechanism: &'static str,
    pub(in crate::judge) confidence: Option<Confidence>,
    pub(in crate::judge) client: Option<Address>,
    pub(in crate::judge) subject: Target<'a>,
    /// The destination of the flow that adds it.
    pub(in crate::judge) server: Option<Endpoint>,
    pub(in crate::judge) flow: Option<u64>,
    pub(in crate::judge) frames: &'a [FrameRef],
    pub(in crate::judge) time: Time,
    pub(in crate::judge) rules: &'a str,
    pub(in crate::judge) documents: &'a str,
}

/// All findings so far.
#[derive(Debug, Default)]
pub(in crate::judge) struct Findings {
    /// Boxed: a table that grows moves all that is in it.
    rows: HashMap<Key, Box<FindingRow>, foldhash::fast::RandomState>,
    /// Distinct findings that are kept; more are counted.
    limit: usize,
    /// Signs of findings that no longer fit.
    pub(in crate::judge) missed: u64,
    texts: Texts,
    /// Who wants to be told of new findings.
    herald: Option<Announcer>,
}

/// Tells each finding once, however often evidence is begun anew.
#[derive(Debug, Default)]
struct Announcer {
    limit: usize,
    told: HashSet<Key, foldhash::fast::RandomState>,
    news: Vec<FindingRow>,
}

impl Announcer {
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
    about: OwnedTarget,
}

/// The same, to ask with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked<'a> {
    code: &'static str,
    mechanism: &'static str,
    client: Option<Address>,
    subject: Target<'a>,
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

impl<'a> Occurrence<'a> {
    fn asks(&self) -> Asked<'a> {
        Asked { code: self.code, mechanism: self.mechanism, client: self.client, subject: self.subject }
    }
}

impl Findings {
    /// None yet, and at most so many.
    pub(in crate::judge) fn new(limit: usize) -> Findings {
        Findings { limit, ..Findings::default() }
    }

    /// Adds a sign to its finding, or counts it where no more findings fit; false where the finding would be new.
    pub(in crate::judge) fn gather(&mut self, sign: &Occurrence<'_>) -> bool {
        if let Some(row) = self.rows.get_mut(&sign.asks()) {
            add_to(row, sign);
            return true;
        }
        let is_full = self.rows.len() >= self.limit;
        self.missed += u64::from(is_full);
        is_full
    }

    /// Adds a sign; `sentence` is asked only for a finding's first.
    pub(in crate::judge) fn add(&mut self, sign: &Occurrence<'_>, sentence: impl FnOnce() -> String) {
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
    pub(in crate::judge) fn announce(&mut self) {
        self.herald = Some(Announcer { limit: self.limit, ..Announcer::default() });
    }

    /// What is new since the last call.
    pub(in crate::judge) fn news(&mut self) -> Vec<FindingRow> {
        self.herald.as_mut().map(|herald| std::mem::take(&mut herald.news)).unwrap_or_default()
    }

    /// Tells of a sign that is seen before its flow is over; nothing is gathered.
    pub(in crate::judge) fn preview(&mut self, sign: &Occurrence<'_>, sentence: impl FnOnce() -> String) {
        if let Some(herald) = &mut self.herald {
            let key = sign.asks().kept();
            herald.tell(&key, || first_row(&key, sign, sentence(), &mut self.texts));
        }
    }

    /// Adds to what findings with such a code say of a client and what it wanted.
    pub(in crate::judge) fn amend(
        &mut self,
        codes: &[&str],
        mut says: impl FnMut(Address, Target<'_>) -> Option<(String, Option<Confidence>)>,
    ) {
        for (Key { code, client, about, .. }, row) in &mut self.rows {
            let Some(client) = client else { continue };
            if !codes.contains(code) {
                continue;
            }
            let Some((clause, confidence)) = says(*client, about.subject()) else { continue };
            row.message.push_str("; ");
            row.message.push_str(&clause);
            // What a box said of itself stays as sure as it was.
            if row.confidence != Some(Confidence::Certain) && confidence.is_some() {
                row.confidence = confidence;
            }
        }
    }

    /// The rows, taken out: gravest first, then by code, client and subject.
    pub(in crate::judge) fn take_rows(&mut self) -> FindingRows {
        self.texts = Texts::default();
        let mut rows: FindingRows = std::mem::take(&mut self.rows).into_values().collect();
        rows.sort_unstable_by(|a, b| {
            let gravest = b.severity.cmp(&a.severity).then(a.code.cmp(b.code));
            gravest
                .then(a.audited_host.cmp(&b.audited_host))
                .then_with(|| a.target.cmp(&b.target))
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
fn first_row(key: &Key, sign: &Occurrence<'_>, message: String, texts: &mut Texts) -> FindingRow {
    let known = explanation(sign.code);
    FindingRow {
        code: sign.code,
        mechanism: sign.mechanism,
        severity: known.map_or(Severity::Low, |known| known.severity),
        confidence: sign.confidence,
        audited_host: sign.client,
        target: key.about.text(),
        name: match &key.about {
            OwnedTarget::Name(name) => Some(Arc::clone(name)),
            OwnedTarget::Address(_) | OwnedTarget::Service(_) | OwnedTarget::Text(_) => None,
        },
        server: sign.server,
        message,
        count: 1,
        first_seen: sign.time,
        last_seen: sign.time,
        flows: sign.flow.into_iter().collect(),
        frames: sign.frames.iter().copied().take(NAMED).collect(),
        references: texts.share(sign.rules),
        documents: texts.share(sign.documents),
        recommendation: known.map_or("", |known| known.action),
    }
}

fn add_to(row: &mut FindingRow, sign: &Occurrence<'_>) {
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
