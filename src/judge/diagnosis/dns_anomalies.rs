//! Judges what DNS said of documented names.
//!
//! In:  answers that audited clients received, and queries that never got one.
//! Out: findings about names that did not resolve as they should, unless a later answer cleared them.
//! Not: the flows that follow.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as PageField;
use smallvec::SmallVec;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::finding::collector::Findings;
use crate::judge::finding::collector::Occurrence;
use crate::judge::finding::collector::Target;
use crate::judge::policy::Policy;
use crate::judge::policy::name_class::in_private_zone;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::requirements::Attempt;
use crate::judge::policy::requirements::AttemptResult;
use crate::judge::policy::requirements::Observations;
use crate::judge::rows::Confidence;
use crate::read::AnswerData;
use crate::read::Resolution;

/// Suspicions that are kept; more are not. Seven eighths of a power of two is what a hash table holds without growing.
const DOUBTS: usize = 7 << 10;

/// Answers that are remembered to notice a second one.
const ANSWERED: usize = 7 << 8;

/// Record types (RFC 1035 §3.2.2, RFC 3596 §2.1).
const A: u16 = 1;
const AAAA: u16 = 28;

/// Response codes (RFC 1035 §4.1.1).
const NOERROR: u16 = 0;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// Extended errors by which a resolver says that it is in the way (RFC 8914 §4): forged, blocked, censored, filtered,
/// prohibited.
const IN_THE_WAY: [u16; 5] = [4, 15, 16, 17, 18];

/// One suspicion: what it is, and where it was seen first.
#[derive(Clone, Debug)]
struct Suspicion {
    signature: &'static Signature,
    confidence: Confidence,
    known: Arc<KnownName>,
    resolver: Address,
    /// The first ones, and the last.
    signs: SmallVec<[(FrameRef, Time); 2]>,
    last: (FrameRef, Time),
    count: usize,
}

/// Signs of one suspicion whose frames are kept.
const SIGNS: usize = 10;

/// Findings of this kind, their words and how sure they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    code: &'static str,
    word: &'static str,
    confidence: Confidence,
    sentence: &'static str,
    /// A later good answer clears it: a resolver that failed, or one of several that knows less.
    clears: bool,
    /// A client with this answer cannot reach the name.
    blocks: bool,
}

const fn signature(
    code: &'static str,
    word: &'static str,
    confidence: Confidence,
    sentence: &'static str,
    clears: bool,
) -> Signature {
    Signature { code, word, confidence, sentence, clears, blocks: true }
}

impl Signature {
    /// It, and how sure it is by itself.
    fn suspected(&'static self) -> (&'static Signature, Confidence) {
        (self, self.confidence)
    }
}

static NO_SUCH_NAME: Signature =
    signature("AFS301", "dns-nxdomain", Confidence::Weak, "was told that the name does not exist", true);
static REFUSAL: Signature =
    signature("AFS302", "dns-refused", Confidence::Weak, "was refused an answer", true);
static FAILURE: Signature =
    signature("AFS303", "dns-servfail", Confidence::Weak, "was told that the resolver failed", true);
static EMPTY: Signature =
    signature("AFS304", "dns-empty", Confidence::Weak, "got an answer without an address", true);
static NO_ANSWER: Signature =
    signature("AFS305", "dns-no-answer", Confidence::Weak, "asked again and again and got no answer", true);
static SINKHOLE: Signature =
    signature("AFS306", "dns-sinkhole", Confidence::Strong, "was led to an address that is nobody's", false);
static BLOCK_PAGE: Signature =
    signature("AFS311", "dns-block-page", Confidence::Strong, "was led to an address of a block page", false);
static PRIVATE: Signature = Signature {
    blocks: false,
    ..signature(
        "AFS307",
        "dns-private-address",
        Confidence::Weak,
        "was led to a private address without a private zone",
        false,
    )
};
static IN_WAY: Signature = signature(
    "AFS308",
    "dns-blocked-by-resolver",
    Confidence::Certain,
    "was told by the resolver that it blocks or forges the name",
    false,
);
static TWO_ANSWERS: Signature = Signature {
    blocks: false,
    ..signature(
        "AFS310",
        "dns-two-answers",
        Confidence::Strong,
        "got two answers to one question, with other addresses each",
        false,
    )
};

/// Where an answer led. Its name is kept so that its place in memory stands for it.
#[derive(Debug)]
struct Answered {
    _known: Arc<KnownName>,
    /// None where the name was said not to exist.
    addresses: SmallVec<[Address; 1]>,
    /// How often the question was sent, and may be answered.
    asked: u32,
    time: Time,
}

/// Answers that race come together; those to a question that was repeated come as far apart as the questions, and the
/// capture may have missed one of these.
const RACE_NANOS: u64 = 300_000_000;

/// What DNS said so far.
#[derive(Debug)]
pub(in crate::judge) struct DnsAnomalies {
    /// By client and name, whose place in memory stands for it: the doubt keeps it there.
    doubts: HashMap<(Address, usize), Vec<Suspicion>, foldhash::fast::RandomState>,
    /// How many there are.
    held: usize,
    /// By conversation, name and type of question.
    answered: BoundedMap<(u64, usize, u16), Answered>,
}

impl Default for DnsAnomalies {
    fn default() -> DnsAnomalies {
        DnsAnomalies { doubts: HashMap::default(), held: 0, answered: BoundedMap::new(ANSWERED) }
    }
}

/// An answer, or none, to a documented name.
pub(in crate::judge) struct DnsLookup<'a> {
    pub(in crate::judge) client: Address,
    pub(in crate::judge) resolver: Address,
    /// The conversation's number.
    pub(in crate::judge) flow: u64,
    pub(in crate::judge) resolution: &'a Resolution,
    pub(in crate::judge) resolved: &'a [Address],
    pub(in crate::judge) known: &'a Arc<KnownName>,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
    /// The capture shows packets towards this client: its silence means something.
    pub(in crate::judge) hears: bool,
}

impl DnsAnomalies {
    /// Takes a look-up in.
    pub(in crate::judge) fn add(&mut self, lookup: &DnsLookup<'_>, policy: &Policy, findings: &mut Findings) {
        let DnsLookup { client, known, .. } = *lookup;
        if known.references.documented.is_none() || !matches!(lookup.resolution.query_type, A | AAAA) {
            return;
        }
        let found = self.look(lookup, policy);
        if found.is_none() && !lookup.resolved.is_empty() {
            self.reached(client, known);
        }
        let Some((signature, confidence)) = found else { return };
        let (key, full) = ((client, Arc::as_ptr(known).addr()), self.held >= DOUBTS);
        if full && !self.doubts.contains_key(&key) {
            findings.missed += 1;
            return;
        }
        let doubts = self.doubts.entry(key).or_default();
        match doubts.iter_mut().find(|doubt| doubt.signature.code == signature.code) {
            Some(doubt) => {
                doubt.count += 1;
                doubt.last = (lookup.frame, lookup.time);
                if doubt.signs.len() < SIGNS {
                    doubt.signs.push(doubt.last);
                }
            }
            None if full => findings.missed += 1,
            None => {
                let doubt = Suspicion {
                    signature,
                    confidence,
                    known: Arc::clone(known),
                    resolver: lookup.resolver,
                    signs: SmallVec::from_iter([(lookup.frame, lookup.time)]),
                    last: (lookup.frame, lookup.time),
                    count: 1,
                };
                if !signature.clears {
                    findings.preview(&doubt.sign(client, &doubt.last), || doubt.sentence(client));
                }
                doubts.push(doubt);
                self.held += 1;
            }
        }
    }

    /// Whoever was answered well at last, or reached the name, was not kept from it.
    pub(in crate::judge) fn reached(&mut self, client: Address, known: &Arc<KnownName>) {
        if self.doubts.is_empty() {
            return;
        }
        let PageField::Occupied(mut place) = self.doubts.entry((client, Arc::as_ptr(known).addr())) else {
            return;
        };
        let before = place.get().len();
        place.get_mut().retain(|doubt| !doubt.signature.clears);
        self.held -= before - place.get().len();
        if place.get().is_empty() {
            place.remove();
        }
    }

    /// What is wrong with an answer, and how sure that is.
    fn look(&mut self, lookup: &DnsLookup<'_>, policy: &Policy) -> Option<(&'static Signature, Confidence)> {
        let resolution = lookup.resolution;
        let Some(rcode) = resolution.rcode else {
            return (resolution.query_count > 1 && lookup.hears).then(|| NO_ANSWER.suspected());
        };
        if resolution.extended_error.as_ref().is_some_and(|(code, _)| IN_THE_WAY.contains(code)) {
            return Some(IN_WAY.suspected());
        }
        let tells = !lookup.resolved.is_empty() || rcode == NXDOMAIN;
        if matches!(rcode, NOERROR | NXDOMAIN)
            && tells
            && let Some(confidence) = self.second(lookup)
        {
            return Some((&TWO_ANSWERS, confidence));
        }
        match rcode {
            NOERROR => {}
            NXDOMAIN => return Some(NO_SUCH_NAME.suspected()),
            REFUSED => return Some(REFUSAL.suspected()),
            SERVFAIL => return Some(FAILURE.suspected()),
            _ => return None,
        }
        if lookup.resolved.iter().any(|address| is_nowhere(*address)) {
            return Some(SINKHOLE.suspected());
        }
        if lookup.resolved.iter().any(|address| policy.middleboxes.sinkhole_vendor(*address).is_some()) {
            return Some(BLOCK_PAGE.suspected());
        }
        let zoned = || {
            let leads = |data: &AnswerData| matches!(data, AnswerData::Name(name) if in_private_zone(name));
            in_private_zone(&lookup.known.name) || resolution.answers.iter().any(|answer| leads(&answer.data))
        };
        let inside = |address: &Address| address.is_private() && !policy.private_networks.hold(*address);
        // Of names that can have a private endpoint the flow is judged, which says more.
        let can_be_private = lookup.known.class.can_be_private;
        if !can_be_private && lookup.resolved.iter().any(inside) && !zoned() {
            return Some(PRIVATE.suspected());
        }
        // Without an address of the sixth version a name is as good as any; a cut or chained answer may go on elsewhere.
        let whole = !resolution.truncated && !resolution.damaged && resolution.answers.is_empty();
        (lookup.resolved.is_empty() && whole && resolution.query_type == A).then(|| EMPTY.suspected())
    }

    /// How sure it is that the same question was answered before, and otherwise. What has no question of its own answers the last one; a
    /// question that was repeated is answered as often, and each time perhaps by other addresses of many.
    fn second(&mut self, lookup: &DnsLookup<'_>) -> Option<Confidence> {
        let resolution = lookup.resolution;
        let key = (lookup.flow, Arc::as_ptr(lookup.known).addr(), resolution.query_type);
        if resolution.query_frame.is_none()
            && let Some(first) = self.answered.get(&key)
        {
            first.asked = first.asked.saturating_sub(1);
            let agrees = first.addresses.iter().any(|address| lookup.resolved.contains(address));
            let both_deny = first.addresses.is_empty() && lookup.resolved.is_empty();
            let close = lookup.time.since(first.time) <= RACE_NANOS;
            let denied = first.addresses.is_empty() != lookup.resolved.is_empty();
            let confidence = if close || denied { Confidence::Strong } else { Confidence::Weak };
            return (first.asked == 0 && !agrees && !both_deny).then_some(confidence);
        }
        let (known, time) = (Arc::clone(lookup.known), lookup.time);
        // Of a question that the capture does not hold nobody knows how often it was sent.
        let asked = if resolution.query_frame.is_some() { resolution.query_count } else { u32::MAX };
        self.answered.put(key, Answered { _known: known, addresses: lookup.resolved.into(), asked, time });
        None
    }

    /// What remains becomes findings, and blocked attempts at the endpoints that the names are for; begins anew.
    pub(in crate::judge) fn finish(&mut self, findings: &mut Findings, requirements: &mut Observations) {
        self.held = 0;
        let doubts = std::mem::take(&mut self.doubts).into_iter();
        let mut doubts: Vec<(Address, Suspicion)> = doubts
            .flat_map(|((client, _), doubts)| doubts.into_iter().map(move |doubt| (client, doubt)))
            .collect();
        doubts.sort_by(|(a, first), (b, second)| {
            let key = |doubt: &Suspicion| (doubt.signs.first().copied(), doubt.signature.code);
            a.cmp(b).then_with(|| key(first).cmp(&key(second)))
        });
        for (client, doubt) in doubts {
            for number in 0..doubt.count {
                let place = doubt.signs.get(number).unwrap_or(&doubt.last);
                findings.add(&doubt.sign(client, place), || doubt.sentence(client));
                if doubt.signature.blocks {
                    let (frame, time) = place;
                    let attempt = Attempt {
                        server: client,
                        result: AttemptResult::Blocked(doubt.signature.word),
                        first: *time,
                        last: *time,
                        frames: std::slice::from_ref(frame),
                    };
                    requirements.add(doubt.known.class.required.iter().copied(), &attempt);
                }
            }
        }
    }
}

impl Suspicion {
    fn sign<'a>(&'a self, client: Address, (frame, time): &'a (FrameRef, Time)) -> Occurrence<'a> {
        let documented = self.known.references.documented.as_deref();
        Occurrence {
            code: self.signature.code,
            mechanism: self.signature.word,
            confidence: Some(self.confidence),
            client: Some(client),
            subject: Target::Name(&self.known.name),
            server: None,
            flow: None,
            frames: std::slice::from_ref(frame),
            time: *time,
            rules: documented.map_or("", |said| &said.references),
            documents: documented.map_or("", |said| &said.documents),
        }
    }

    fn sentence(&self, client: Address) -> String {
        let Signature { word, sentence, .. } = self.signature;
        format!("{client} asked {} for {} and {sentence} ({word})", self.resolver, self.known.name)
    }
}

/// Addresses that lead to no host: unspecified, loopback.
fn is_nowhere(address: Address) -> bool {
    let ip = address.to_ip();
    ip.is_unspecified() || ip.is_loopback()
}
