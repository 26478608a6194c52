//! Follows every flow from its opening to its row.
//!
//! In:  observations in frame order.
//! Out: rows to a [`RowSink`]; findings at the end.
//! Not: the order of frames; whoever calls has put the observations in order.

use std::sync::Arc;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;
use crate::base::WireText;
use crate::base::proto;
use crate::flow::FlowEnd;
use crate::flow::FlowStart;
use crate::flow::Handshake;
use crate::flow::Slot;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::diagnosis::capture_loss::CaptureLoss;
use crate::judge::diagnosis::comparison::Comparison;
use crate::judge::diagnosis::dns_anomalies::DnsAnomalies;
use crate::judge::diagnosis::dns_anomalies::DnsLookup;
use crate::judge::diagnosis::drop_intervals::DropIntervals;
use crate::judge::diagnosis::explicit_refusals::with_words;
use crate::judge::diagnosis::happy_eyeballs::HappyEyeballs;
use crate::judge::diagnosis::outcome::Ending;
use crate::judge::diagnosis::outcome::is_at_the_door;
use crate::judge::diagnosis::outcome::is_doubtful;
use crate::judge::diagnosis::outcome::is_silence;
use crate::judge::diagnosis::outcome::outcome;
use crate::judge::diagnosis::revocation::Revocation;
use crate::judge::diagnosis::scans::Attempt;
use crate::judge::diagnosis::scans::Scans;
use crate::judge::diagnosis::unused_answers as unused;
use crate::judge::finding::checks;
use crate::judge::finding::checks::Proof;
use crate::judge::finding::collector::Findings;
use crate::judge::flow_row::row;
use crate::judge::flow_state::AppFacts;
use crate::judge::flow_state::FlowState;
use crate::judge::flow_state::NameClaim;
use crate::judge::flow_states::FlowStates;
use crate::judge::policy::Policy;
use crate::judge::policy::TagSet;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::name_table::Names;
use crate::judge::policy::scope::Scope;
use crate::judge::policy::site;
use crate::judge::policy::site::SiteState;
use crate::judge::policy::site::day;
use crate::judge::policy::verdict::Verdict;
use crate::judge::policy::verdict::is_unknown_issuer;
use crate::judge::policy::verdict::verdict;
use crate::judge::rows::Confidence;
use crate::judge::rows::DnsRow;
use crate::judge::rows::FindingRow;
use crate::judge::rows::FlowRow;
use crate::judge::rows::Outcome;
use crate::judge::rows::Tally;
use crate::judge::run_result::JudgeResult;
use crate::judge::tally::Destinations;
use crate::read::AttributeKey;
use crate::read::AttributeValue;
use crate::read::Claim;
use crate::read::Fact;
use crate::read::NameSource;
use crate::read::Observation;
use crate::read::Resolution;
use hashbrown::HashSet;

/// Findings about flows that were stopped: what else the capture shows is held against them.
const STOPPED: &[&str] = &["AFS201", "AFS202", "AFS203", "AFS204", "AFS205", "AFS206", "AFS207", "AFS211"];

/// Findings of which it only matters when the same name worked: a proxy, a portal or a certificate speaks for itself.
const REFUSED: &[&str] = &["AFS212", "AFS213", "AFS221", "AFS222", "AFS223"];

/// Takes the rows as flows end and answers arrive.
pub trait RowSink {
    /// A flow has ended.
    fn flow(&mut self, row: FlowRow);
    /// A DNS answer arrived, or will not.
    fn dns(&mut self, row: DnsRow);
    /// Something is wrong that was not before; told only where [`Engine::announce`] asked for it. What is told here are
    /// the first signs: the finding's own row comes at the end.
    fn news(&mut self, _: &FindingRow) {}
}

type Hosts = HashSet<Address, foldhash::fast::RandomState>;

/// What may be remembered.
#[derive(Clone, Copy, Debug)]
pub struct JudgeLimits {
    /// Distinct findings that are kept; more are counted.
    pub findings: usize,
    /// Bytes of names, about: those that DNS gave and those that were claimed.
    pub name_bytes: usize,
}

impl Default for JudgeLimits {
    fn default() -> JudgeLimits {
        JudgeLimits { findings: 10_000, name_bytes: 256 << 20 }
    }
}

/// Datagrams further apart than this are another conversation.
const DATAGRAMS_NANOS: u64 = 60_000_000_000;

/// What a claim beyond a flow's first may cost.
const CLAIM_BYTES: usize = 512;

/// Names remembered that were reached at other addresses than DNS gave.
const ELSEWHERE: usize = 1 << 12;

/// Judges flows.
#[derive(Debug)]
pub struct Engine {
    limits: JudgeLimits,
    policy: Arc<Policy>,
    scope: Scope,
    /// What was seen against the site's own facts.
    site: SiteState,
    cases: FlowStates,
    names: Names,
    /// Issuers of certificates, and whether they are unknown.
    issuers: BoundedMap<WireText, bool>,
    /// Lists of protocols that clients offered, each kept so that its place in memory stands for it, and as one text.
    offers: BoundedMap<usize, (Arc<[WireText]>, WireText)>,
    findings: Findings,
    destinations: Destinations,
    /// Audited hosts that packets were seen to reach.
    hearing: BoundedMap<Address, ()>,
    audited: Hosts,
    tally: Tally,
    /// Flows opened since the beginning.
    opened: u64,
    /// How often name tables had forgotten at the last turn.
    forgotten: u64,
    losses: DropIntervals,
    /// Time of the first flow.
    began: Option<Time>,
    quality: CaptureLoss,
    races: HappyEyeballs,
    scans: Scans,
    lookups: DnsAnomalies,
    compare: Comparison,
    revocation: Revocation,
    /// Clients that go through a proxy; and names that were reached at other addresses than DNS gave.
    proxied: BoundedMap<Address, ()>,
    elsewhere: BoundedMap<(Address, usize), Arc<KnownName>>,
    /// The last moment seen.
    now: Time,
    /// Flows that have said something since the last pulse; only where news are wanted.
    fresh: Option<Vec<(Slot, crate::flow::At)>>,
    /// Flows looked at since the last pulse because they were ended or rejected.
    looked: usize,
    /// Claims beyond the first of their flow that are kept now, and those since the last turn that were not.
    claims: usize,
    claims_missed: u64,
}

/// Flows of each kind looked at anew between two pulses; those beyond it are judged when they end.
const FRESH: usize = 1 << 14;

/// Hosts remembered. One that was forgotten counts as one that hears nothing, which costs certainty and nothing else.
const HOSTS: usize = 1 << 16;

impl Engine {
    /// A court for a site.
    pub fn new(policy: Arc<Policy>, scope: Scope, limits: JudgeLimits) -> Engine {
        Engine {
            limits,
            site: SiteState::new(&policy),
            policy,
            scope,
            cases: FlowStates::default(),
            names: Names::new(limits.name_bytes),
            issuers: BoundedMap::new(1 << 10),
            offers: BoundedMap::new(1 << 10),
            findings: Findings::new(limits.findings),
            destinations: Destinations::default(),
            hearing: BoundedMap::new(HOSTS),
            audited: Hosts::default(),
            tally: Tally::default(),
            opened: 0,
            forgotten: 0,
            losses: DropIntervals::default(),
            began: None,
            quality: CaptureLoss::default(),
            races: HappyEyeballs::default(),
            scans: Scans::default(),
            lookups: DnsAnomalies::default(),
            compare: Comparison::default(),
            revocation: Revocation::default(),
            proxied: BoundedMap::new(HOSTS),
            elsewhere: BoundedMap::new(ELSEWHERE),
            now: Time::MIN,
            fresh: None,
            looked: 0,
            claims: 0,
            claims_missed: 0,
        }
    }

    /// The sensor lost so much that silence means nothing.
    pub fn doubt(&mut self) {
        self.losses.always = true;
    }

    /// Tells findings when their first sign is seen, besides at the end.
    pub fn announce(&mut self) {
        self.fresh = Some(Vec::new());
        self.findings.announce();
    }

    /// The clock of a live capture: `lost` frames are missing since the pulse before.
    pub fn heartbeat(&mut self, time: Time, lost: u64, sink: &mut impl RowSink) {
        self.losses.heartbeat(time, lost);
        let Some(mut fresh) = self.fresh.take() else { return };
        for (slot, at) in fresh.drain(..) {
            self.look(slot, at);
        }
        self.fresh = Some(fresh);
        self.looked = 0;
        self.tell_news(sink);
    }

    fn tell_news(&mut self, sink: &mut impl RowSink) {
        for row in self.findings.news() {
            sink.news(&row);
        }
    }

    /// What a flow's words prove already, though it goes on.
    fn look(&mut self, slot: Slot, at: crate::flow::At) {
        let Some(case) = self.cases.take(slot) else { return };
        // A name by DNS alone may give way to what the flow says of itself.
        if self.is_judged(&case) && case.strongest().is_some() {
            let flow_end = FlowEnd {
                reason: crate::flow::EndReason::Idle,
                first_frame: at.frame,
                last_frame: at.frame,
                first_seen: at.time,
                last_seen: at.time,
                packets: [1, 1],
                bytes: [0, 0],
                tcp: None,
                icmp: None,
            };
            self.preview(&case, &flow_end, (Outcome::Ok, "", None), &[Proof::Words]);
        }
        self.cases.put(slot, case);
    }

    /// What is proved already of a flow that was ended or rejected, though it is not closed.
    fn interim(&mut self, slot: Slot, flow_end: &FlowEnd) {
        self.looked += 1;
        if self.fresh.is_none() || self.looked > FRESH {
            return;
        }
        let Some(case) = self.cases.take(slot) else { return };
        let [by_client, _] = flow_end.packets;
        if by_client > 0 && self.is_judged(&case) {
            let ending = outcome(flow_end, case.server().address, true);
            let (_, signature, confidence) = ending;
            if flow_end.reason == crate::flow::EndReason::Done {
                let ending = if is_silence(signature) { (Outcome::Inconclusive, "", None) } else { ending };
                self.preview(&case, flow_end, ending, &[Proof::Words, Proof::Refusal, Proof::End]);
            } else if confidence > Some(Confidence::Weak) {
                // Weaker errors come and go while an attempt still succeeds.
                self.preview(&case, flow_end, ending, &[Proof::Refusal]);
            }
        }
        self.cases.put(slot, case);
    }

    fn preview(&mut self, case: &FlowState, flow_end: &FlowEnd, ending: Ending, there: &[Proof]) {
        let policy = &*Arc::clone(&self.policy);
        let tags = self.site.tags(case.server().address, policy);
        let verdict = self.verdict(case, flow_end, tags.as_deref(), policy);
        let row = row(case, flow_end, &verdict, tags.as_deref(), ending, policy);
        let seen = checks::Seen { case, flow_end, verdict: &verdict, scope: &self.scope, policy, row: &row };
        checks::preview(&seen, there, &mut self.findings);
    }

    /// SiteRequirements of the site that were reached since the last turn, and how many there are.
    pub fn met(&self) -> (u64, u64) {
        self.site.met(&self.policy)
    }

    /// How often a table of names has forgotten its older half, and signs of findings since the last turn that did not fit.
    pub fn pressed(&self) -> (u64, u64) {
        (self.names.dropped(), self.findings.missed)
    }

    /// What was counted since the last turn; without the destinations.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Ends the evidence so far and begins anew; flows and names are remembered.
    pub fn rotate(&mut self) -> JudgeResult {
        let mut bounds = Vec::new();
        let missed = std::mem::take(&mut self.findings.missed);
        if missed > 0 {
            bounds.push(format!("findings: {missed} signs of further findings did not fit the table"));
        }
        let forgotten = self.names.dropped();
        let dropped = forgotten - std::mem::replace(&mut self.forgotten, forgotten);
        if dropped > 0 {
            bounds.push(format!("names: the least used half of a name table was forgotten {dropped} times"));
        }
        let missed = std::mem::take(&mut self.claims_missed);
        if missed > 0 {
            bounds.push(format!("names: {missed} further names of flows that had one were not kept"));
        }
        let mut tally = std::mem::take(&mut self.tally);
        (tally.top, tally.top_missed) = std::mem::take(&mut self.destinations).into_top();
        self.lookups.finish(&mut self.findings, &mut self.site.requirements);
        let Engine { findings, compare, names, proxied, elsewhere, audited, .. } = self;
        let goes = |client: Address, known: &Arc<KnownName>| {
            let key = (client, Arc::as_ptr(known).addr());
            audited.contains(&client) && !proxied.has(&client) && !elsewhere.has(&key)
        };
        unused::finish(|| names.given(), goes, self.now, findings);
        self.revocation.finish(findings);
        let mut audited: Vec<Address> = std::mem::take(audited).into_iter().collect();
        audited.sort_unstable();
        tally.audited_hosts = audited.len() as u64;
        audited.truncate(Tally::MAX_AUDITED);
        tally.audited = audited;
        compare.prepare();
        findings.amend(STOPPED, |client, subject| compare.says(client, subject));
        findings.amend(REFUSED, |client, subject| compare.says_when(client, subject));
        let site = std::mem::replace(&mut self.site, SiteState::new(&self.policy));
        let missed = site.requirements.missed;
        if missed > 0 {
            bounds.push(format!("requirements: {missed} attempts of further servers were not counted"));
        }
        let mut gaps = self.quality.sentences();
        gaps.extend(self.policy.required.remark.clone());
        let requirements = site.finish(&self.policy, &mut self.findings);
        JudgeResult { findings: self.findings.take_rows(), tally, requirements, bounds, gaps }
    }

    /// Takes the next observation in.
    pub fn accept(&mut self, observation: Observation, sink: &mut impl RowSink) {
        let Observation { at, slot, fact, .. } = observation;
        if let Some(fresh) = &mut self.fresh
            && matches!(
                fact,
                Fact::NameClaimed(_) | Fact::Protocol(_) | Fact::Attribute(..) | Fact::Attributes(_)
            )
            && fresh.len() < FRESH
            && fresh.last().is_none_or(|(last, _)| *last != slot)
        {
            fresh.push((slot, at));
        }
        match fact {
            Fact::FlowStarted(flow_start) => self.open(slot, flow_start, at.time),
            Fact::RolesSwapped => {
                let Some(case) = self.cases.get_mut(slot) else {
                    return;
                };
                let FlowStart { client, server, .. } = case.flow_start.as_mut();
                std::mem::swap(client, server);
                (case.dns, case.dns_is_others) = self.names.when_opened(client.address, server.address);
            }
            Fact::Protocol(app) => {
                if let Some(case) = self.cases.get_mut(slot) {
                    case.app = app.0;
                    // Who speaks was let in.
                    if case.flow_start.protocol == proto::TCP {
                        if let Some(named) = &case.dns {
                            self.races.arrive(case.client().address, named.known(), case.number);
                        }
                        self.scans.answered(&Attempt::of(&case.flow_start, case.dns.is_some()));
                    }
                }
            }
            Fact::NameClaimed(claim) => self.claim(slot, &claim, at.frame),
            Fact::DnsResolved(resolution) => self.resolved(slot, &at, resolution, sink),
            Fact::Status(ending) => {
                if let Some(case) = self.cases.get_mut(slot) {
                    case.end(ending, at.frame);
                }
            }
            Fact::Attributes(profile) => {
                if let Some(case) = self.cases.get_mut(slot) {
                    case.note_set(profile, &self.policy);
                }
            }
            Fact::Attribute(key, value) => {
                if let Some(case) = self.cases.get_mut(slot) {
                    case.note(key, &value, &self.policy);
                }
            }
            Fact::Anomaly(anomaly) => {
                self.tally.odd(anomaly.layer, anomaly.what);
                if let Some(case) = self.cases.get_mut(slot) {
                    case.facts_mut().anomalies += 1;
                }
            }
            Fact::Interim(flow_end) => self.interim(slot, &flow_end),
            Fact::FlowEnded(flow_end) => self.closed(slot, &flow_end, sink),
        }
    }

    /// All is over.
    pub fn finish(mut self) -> JudgeResult {
        self.rotate()
    }

    /// A flow opens.
    fn open(&mut self, slot: Slot, flow_start: Box<FlowStart>, time: Time) {
        self.opened += 1;
        self.began.get_or_insert(time);
        let client = flow_start.client.address;
        let server = flow_start.server.address;
        let (dns, dns_is_others) = self.names.when_opened(client, server);
        if flow_start.protocol == proto::TCP && flow_start.from_start {
            if let Some(named) = &dns {
                self.races.begin(client, named.known(), self.opened, server, time);
            }
            self.scans.begin(&Attempt::of(&flow_start, dns.is_some()), time);
        }
        let case = FlowState { number: self.opened, flow_start, app: "", dns, dns_is_others, facts: None };
        self.cases.open(slot, case);
    }

    /// A flow says a name.
    fn claim(&mut self, slot: Slot, claim: &Claim, frame: FrameRef) {
        let known = self.names.know(&claim.name, &self.policy);
        let ends = self.cases.get_mut(slot).map(|case| (case.client().address, case.server().address));
        let contradicts = match (claim.source, ends) {
            (NameSource::Certificate, _) | (_, None) => None,
            (_, Some((client, server))) => self.names.contradicts(client, server, &known),
        };
        let is_full = self.claims > self.limits.name_bytes / 4 / CLAIM_BYTES;
        let mut added = 0;
        if let Some(case) = self.cases.get_mut(slot) {
            if claim.outer {
                case.note(AttributeKey::Ech, &AttributeValue::Yes, &self.policy);
            }
            let before = case.more_claims();
            if is_full && case.facts.is_some() {
                self.claims_missed += 1;
            } else {
                case.claim(NameClaim { source: claim.source, known, port: claim.port, frame });
            }
            added = case.more_claims() - before;
            if contradicts.is_some() {
                case.facts_mut().contradicts = contradicts;
            }
        }
        self.claims += added;
    }

    fn resolved(
        &mut self,
        slot: Slot,
        at: &crate::flow::At,
        resolution: Box<Resolution>,
        sink: &mut impl RowSink,
    ) {
        let Some(case) = self.cases.get(slot) else {
            return;
        };
        if resolution.multicast {
            return;
        }
        let (client, resolver, protocol) = (case.client(), case.server(), case.flow_start.protocol);
        let flow = case.number;
        let answered = self.names.resolved(client.address, &resolution, (at.frame, at.time), &self.policy);
        let (frame, time) = match (resolution.rcode, resolution.query_frame, resolution.query_time) {
            (None, Some(frame), Some(time)) => (frame, time),
            _ => (at.frame, at.time),
        };
        self.tally.dns += 1;
        self.tally.dns_unanswered += u64::from(resolution.rcode.is_none());
        if resolution.rcode.is_some() {
            self.hearing.put(client.address, ());
        }
        if resolution.opcode == 0 && self.scope.audits(client.address) {
            let asked = site::Asked { client, resolver, frame, time };
            let known =
                answered.known.unwrap_or_else(|| self.names.know(&resolution.query_name, &self.policy));
            site::asked(&asked, &known, &self.policy, &mut self.findings);
            let lookup = DnsLookup {
                client: client.address,
                resolver: resolver.address,
                flow,
                resolution: &resolution,
                resolved: &answered.addresses,
                known: &known,
                frame,
                time,
                hears: self.hearing.get(&client.address).is_some() && !self.losses.touch(time, time),
            };
            self.lookups.add(&lookup, &self.policy, &mut self.findings);
        }
        let resolved_addresses = answered.addresses;
        let row = DnsRow { frame, time, client, resolver, protocol, resolution, resolved_addresses };
        sink.dns(row);
    }

    fn closed(&mut self, slot: Slot, flow_end: &FlowEnd, sink: &mut impl RowSink) {
        let Some(mut case) = self.cases.take(slot) else {
            return;
        };
        let client = case.client().address;
        let [by_client, by_server] = flow_end.packets;
        self.tally.flows += 1;
        self.now = self.now.max(flow_end.last_seen);
        self.claims -= case.more_claims();
        let hears = self.hearing.get(&client).is_some();
        if by_server > 0 && !hears {
            self.hearing.put(client, ());
        }
        let mut ending = outcome(flow_end, case.server().address, hears || by_server > 0);
        ending = self.weigh(&case, flow_end, ending);
        let judged = by_client > 0 && self.is_judged(&case);
        let policy = &*Arc::clone(&self.policy);
        let tags = self.site.tags(case.server().address, policy);
        let tags = tags.as_deref();
        let verdict = if judged { self.verdict(&case, flow_end, tags, policy) } else { Verdict::default() };
        let mut row = row(&case, flow_end, &verdict, tags, ending, policy);
        self.site.add(&case, &row, &verdict, policy);
        if judged {
            self.count(client, &row);
            self.compare.add(&row);
            let of_certificates = verdict.known.as_ref().is_some_and(|known| known.class.of_certificates);
            self.revocation.add(&row, of_certificates);
            self.note_ways(&case, client);
            if row.app == "tls" && row.documented.is_some() && row.outcome == Outcome::Ok {
                let said = case.facts.as_ref();
                self.quality.add_tls(said.is_some_and(|said| said.certificate_issuer().is_some()));
            }
            if row.outcome == Outcome::Ok
                && let Some(known) = &verdict.known
            {
                self.lookups.reached(client, known);
            }
        }
        let seen =
            checks::Seen { case: &case, flow_end, verdict: &verdict, scope: &self.scope, policy, row: &row };
        row.findings = checks::run(&seen, &mut self.findings);
        case.dns = None;
        if let Some(said) = case.facts.take() {
            self.quote(*said, &mut row);
        }
        sink.flow(row);
        self.tell_news(sink);
        self.cases.close(case);
    }

    /// Notes what a name that nobody seems to use may have been used by.
    fn note_ways(&mut self, case: &FlowState, client: Address) {
        let Some(claimed) = case.strongest() else { return };
        if claimed.source == NameSource::Connect {
            self.proxied.put(client, ());
        }
        if case.dns.as_ref().is_none_or(|named| !Arc::ptr_eq(named.known(), &claimed.known)) {
            let key = (client, Arc::as_ptr(&claimed.known).addr());
            if claimed.known.references.documented.is_some() && self.elsewhere.get(&key).is_none() {
                self.elsewhere.put(key, Arc::clone(&claimed.known));
            }
        }
    }

    /// Between declared roles both ways are judged, whichever of the two is audited.
    fn is_judged(&self, case: &FlowState) -> bool {
        let (client, server) = (case.client().address, case.server().address);
        let in_roles = self.policy.roles(client) != 0 && self.policy.roles(server) != 0;
        in_roles || self.scope.audits(client)
    }

    /// What the documents say of a flow that is judged.
    fn verdict<'a>(
        &mut self,
        case: &'a FlowState,
        flow_end: &FlowEnd,
        tags: Option<&'a TagSet>,
        policy: &'a Policy,
    ) -> Verdict<'a> {
        let mut verdict = verdict(case, tags, || day(flow_end.first_seen), policy);
        if verdict.documented.is_some()
            && let Some(issuer) = case.facts.as_ref().and_then(|said| said.certificate_issuer())
        {
            verdict.unknown_issuer = self.is_unknown_issuer(issuer);
        }
        verdict
    }

    /// What the rest of the capture does to what a flow looks like by itself.
    fn weigh(&mut self, case: &FlowState, flow_end: &FlowEnd, ending: Ending) -> Ending {
        let client = case.client().address;
        self.quality.add(client, flow_end);
        // The lists of issuers speak of documented names only.
        let documented = case.name().is_some_and(|(known, _)| known.references.documented.is_some());
        let said = case.facts.as_ref().filter(|_| documented);
        let issuer = said.and_then(|said| said.certificate_issuer());
        let unknown_issuer = issuer.is_some_and(|issuer| self.is_unknown_issuer(issuer));
        let ending = with_words(case, flow_end, unknown_issuer, ending, &self.policy);
        let (_, signature, _) = ending;
        if let (Some(named), Some(tcp)) = (&case.dns, &flow_end.tcp) {
            let name = named.known();
            match tcp.handshake {
                Handshake::Complete => self.races.arrive(client, name, case.number),
                // Who lost a race gives up; who goes on asking was not answered.
                Handshake::Unanswered
                    if ending.0 == Outcome::Inconclusive && self.races.lost(client, name, case.number) =>
                {
                    return (Outcome::Inconclusive, "lost-race", None);
                }
                _ => {}
            }
        }
        let attempt = || Attempt::of(&case.flow_start, case.name().is_some());
        if ending.0 == Outcome::BlockedLooking
            && is_at_the_door(signature)
            && self.scans.hold(&attempt(), flow_end.first_seen)
        {
            return (Outcome::Inconclusive, "scan", None);
        }
        let lost = |engine: &mut Engine| {
            engine.losses.touch(flow_end.first_seen, flow_end.last_seen)
                || engine.quality.casts_doubt(client, flow_end)
        };
        if is_doubtful(signature) && lost(self) {
            return (Outcome::Inconclusive, "frames-lost", None);
        }
        // A host whose kernel says that nothing listens is asked by scans and traceroutes too; a box in front of it is another.
        let by_itself = flow_end.icmp.as_ref().is_some_and(|icmp| icmp.from == case.server().address);
        if flow_end.tcp.is_none() && by_itself && ending.2 == Some(Confidence::Strong) {
            return (ending.0, ending.1, Some(Confidence::Weak));
        }
        // Datagrams that nobody knows may be the end of a talk that was answered before the capture began.
        let began = self.began.is_some_and(|began| flow_end.first_seen.since(began) < DATAGRAMS_NANOS);
        if flow_end.tcp.is_none() && case.app.is_empty() && began && ending.2 == Some(Confidence::Strong) {
            return (ending.0, ending.1, Some(Confidence::Weak));
        }
        ending
    }

    /// Looks an issuer up once.
    fn is_unknown_issuer(&mut self, issuer: &WireText) -> bool {
        if let Some(known) = self.issuers.get(issuer) {
            return *known;
        }
        let unknown = is_unknown_issuer(issuer, &self.policy.rules);
        self.issuers.put(issuer.clone(), unknown);
        unknown
    }

    /// Puts into a row what was said in the flow, which is over.
    fn quote(&mut self, said: AppFacts, row: &mut FlowRow) {
        row.alpn = match said.alpn {
            Some(chosen) => Some(chosen),
            None => said.attributes.list(AttributeKey::AlpnOffered).map(|offered| self.offer(offered)),
        };
        row.tls_version = said.tls_version;
        row.ech = said.ech;
        row.attributes = said.attributes;
        row.tls_cipher = said.tls_cipher;
        row.tls_resumed = said.tls_resumed;
        row.client_hello_cut = said.client_hello_cut;
        row.quic_version = said.quic_version;
        row.rare = said.rare;
        row.http = said.http;
    }

    /// Puts the protocols that a client offered into one text, once.
    fn offer(&mut self, offered: &Arc<[WireText]>) -> WireText {
        let place = offered.as_ptr().addr();
        if let Some((_, text)) = self.offers.get(&place) {
            return text.clone();
        }
        let text = joined(offered);
        self.offers.put(place, (Arc::clone(offered), text.clone()));
        text
    }

    fn count(&mut self, client: Address, row: &FlowRow) {
        self.tally.judged += 1;
        if self.audited.len() < HOSTS {
            self.audited.insert(client);
        }
        let add = |counts: &mut [u64], place: usize| {
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        };
        if let Some(destination) = row.destination_verdict {
            add(&mut self.tally.destinations, destination as usize);
        }
        if let Some(port) = row.port_verdict {
            add(&mut self.tally.ports, port as usize);
        }
        add(&mut self.tally.outcomes, row.outcome as usize);
        if row.destination_verdict.is_some() {
            self.destinations.add(client, row);
        }
    }
}

/// Protocols that a client offered, as one text.
fn joined(offered: &[WireText]) -> WireText {
    let offered: Vec<&str> = offered.iter().map(WireText::as_str).collect();
    WireText::printable(offered.join(";"))
}
