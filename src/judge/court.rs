//! Follows every flow from its opening to its row.
//!
//! In:  observations in frame order.
//! Out: rows to a [`Docket`]; findings at the end.
//! Not: the order of frames; whoever calls has put the observations in order.

use std::sync::Arc;

use hashbrown::HashSet;
use ipnet::IpNet;
use smallvec::SmallVec;

use super::case::Case;
use super::case::Claimed;
use super::case::Said;
use super::checks;
use super::findings::Findings;
use super::ground::Ground;
use super::names::Names;
use super::names::Recent;
use super::outcome::outcome;
use super::record::DnsRow;
use super::record::FindingRow;
use super::record::FlowRow;
use super::record::RequirementRow;
use super::record::Tally;
use super::site;
use super::site::SiteCourt;
use super::site::day;
use super::tally::Destinations;
use super::verdict::Verdict;
use super::verdict::is_unknown_issuer;
use super::verdict::verdict;
use crate::base::Address;
use crate::base::WireText;
use crate::flow::Closing;
use crate::flow::Opening;
use crate::flow::Slot;
use crate::read::Fact;
use crate::read::Key;
use crate::read::NameSource;
use crate::read::Observation;
use crate::read::Resolution;
use crate::read::Value;

/// Takes the rows as flows end and answers arrive.
pub trait Docket {
    /// A flow has ended.
    fn flow(&mut self, row: &FlowRow);
    /// A DNS answer arrived, or will not.
    fn dns(&mut self, row: &DnsRow);
}

/// Which hosts are audited.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Audited networks; without any, every private address that opens connections.
    pub servers: Vec<IpNet>,
}

impl Scope {
    /// Whether flows that `client` opens are judged.
    pub fn audits(&self, client: Address) -> bool {
        if self.servers.is_empty() {
            client.is_private()
        } else {
            let ip = client.to_ip();
            self.servers.iter().any(|network| network.contains(&ip))
        }
    }
}

/// What judge says when all is over.
#[derive(Debug)]
pub struct Judgement {
    /// Gravest first.
    pub findings: Vec<FindingRow>,
    /// What was counted.
    pub tally: Tally,
    /// What the site needs, in the order of the documents.
    pub requirements: Vec<RequirementRow>,
    /// Bounds that bit, as sentences.
    pub bounds: Vec<String>,
}

type Hosts = HashSet<Address, foldhash::fast::RandomState>;

/// Judges flows.
#[derive(Debug)]
pub struct Court {
    ground: Arc<Ground>,
    scope: Scope,
    /// What was seen against the site's own facts.
    site: SiteCourt,
    /// By slot.
    cases: Vec<Option<Box<Case>>>,
    names: Names,
    /// Issuers of certificates, and whether they are unknown.
    issuers: Recent<WireText, bool>,
    findings: Findings,
    destinations: Destinations,
    /// Audited hosts that packets were seen to reach.
    hearing: Hosts,
    audited: Hosts,
    tally: Tally,
}

/// Hosts remembered; beyond it a new host counts as one that hears nothing, which costs certainty and nothing else.
const HOSTS: usize = 1 << 16;

impl Court {
    /// A court for a site.
    pub fn new(ground: Arc<Ground>, scope: Scope) -> Court {
        Court {
            site: SiteCourt::new(&ground),
            ground,
            scope,
            cases: Vec::new(),
            names: Names::new(),
            issuers: Recent::new(1 << 10),
            findings: Findings::default(),
            destinations: Destinations::default(),
            hearing: Hosts::default(),
            audited: Hosts::default(),
            tally: Tally::default(),
        }
    }

    /// Takes the next observation in.
    pub fn accept(&mut self, observation: Observation, docket: &mut impl Docket) {
        let Observation { at, slot, fact, .. } = observation;
        match fact {
            Fact::Opened(opening) => {
                self.tally.flows += 1;
                let client = opening.client.address;
                let server = opening.server.address;
                let (dns, dns_is_others) = self.names.when_opened(client, server);
                let case =
                    Case { number: self.tally.flows, opening, app: "", dns, dns_is_others, said: None };
                self.put(slot, case);
            }
            Fact::Swapped => {
                let Some(case) = self.cases.get_mut(slot.0 as usize).and_then(Option::as_deref_mut) else {
                    return;
                };
                let Opening { client, server, .. } = case.opening.as_mut();
                std::mem::swap(client, server);
                (case.dns, case.dns_is_others) = self.names.when_opened(client.address, server.address);
            }
            Fact::Spoke(app) => {
                if let Some(case) = self.case(slot) {
                    case.app = app.0;
                }
            }
            Fact::Claimed(claim) => {
                let known = self.names.know(claim.name, &self.ground);
                let ends = self.case(slot).map(|case| (case.client().address, case.server().address));
                let contradicts = match (claim.source, ends) {
                    (NameSource::Certificate, _) | (_, None) => None,
                    (_, Some((client, server))) => self.names.contradicts(client, server, &known),
                };
                if let Some(case) = self.case(slot) {
                    if claim.outer {
                        case.note(Key::Ech, &Value::Yes);
                    }
                    case.claim(Claimed { source: claim.source, known, port: claim.port, frame: at.frame });
                    if contradicts.is_some() {
                        case.said().contradicts = contradicts;
                    }
                }
            }
            Fact::Resolved(resolution) => self.resolved(slot, &at, *resolution, docket),
            Fact::Ended(ending) => {
                if let Some(case) = self.case(slot) {
                    case.said().endings.push((ending, at.frame));
                }
            }
            Fact::Profile(profile) => {
                if let Some(case) = self.case(slot) {
                    for (key, value) in profile.iter() {
                        case.note(*key, value);
                    }
                }
            }
            Fact::Noted(key, value) => {
                if let Some(case) = self.case(slot) {
                    case.note(key, &value);
                }
            }
            Fact::Odd(oddity) => {
                self.tally.odd(oddity.layer, oddity.what);
                if let Some(case) = self.case(slot) {
                    case.said().oddities += 1;
                }
            }
            Fact::Closed(closing) => self.closed(slot, &closing, docket),
        }
    }

    /// All is over.
    pub fn finish(mut self) -> Judgement {
        let mut bounds = Vec::new();
        if self.findings.missed > 0 {
            bounds.push(format!(
                "findings: {} signs of further findings did not fit the table",
                self.findings.missed
            ));
        }
        let dropped = self.names.dropped();
        if dropped > 0 {
            bounds.push(format!("names: the least used half of a name table was forgotten {dropped} times"));
        }
        (self.tally.top, self.tally.top_missed) = self.destinations.into_top();
        self.tally.audited_hosts = self.audited.len() as u64;
        let requirements = self.site.finish(&self.ground, &mut self.findings);
        Judgement { findings: self.findings.into_rows(), tally: self.tally, requirements, bounds }
    }

    fn put(&mut self, slot: Slot, case: Case) {
        let place = slot.0 as usize;
        if self.cases.len() <= place {
            self.cases.resize_with(place + 1, || None);
        }
        if let Some(empty) = self.cases.get_mut(place) {
            *empty = Some(Box::new(case));
        }
    }

    fn case(&mut self, slot: Slot) -> Option<&mut Case> {
        self.cases.get_mut(slot.0 as usize)?.as_deref_mut()
    }

    fn resolved(
        &mut self,
        slot: Slot,
        at: &crate::flow::At,
        resolution: Resolution,
        docket: &mut impl Docket,
    ) {
        let Some(case) = self.cases.get(slot.0 as usize).and_then(Option::as_deref) else {
            return;
        };
        if resolution.multicast {
            return;
        }
        let (client, resolver, protocol) = (case.client(), case.server(), case.opening.protocol);
        let resolved = self.names.resolved(client.address, &resolution, at.frame, &self.ground);
        let (frame, time) = match (resolution.rcode, resolution.query_frame, resolution.query_time) {
            (None, Some(frame), Some(time)) => (frame, time),
            _ => (at.frame, at.time),
        };
        self.tally.dns += 1;
        if self.scope.audits(client.address) {
            let asked = site::Asked { client, resolver, frame, time };
            let known = self.names.know(resolution.query_name.clone(), &self.ground);
            site::asked(&asked, &known, &self.ground, &mut self.findings);
        }
        let row =
            DnsRow { frame, time, client, resolver, protocol, resolution: Arc::new(resolution), resolved };
        docket.dns(&row);
    }

    fn closed(&mut self, slot: Slot, closing: &Closing, docket: &mut impl Docket) {
        let Some(case) = self.cases.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        let client = case.client().address;
        let [by_client, by_server] = closing.packets;
        if by_server > 0 && self.hearing.len() < HOSTS {
            self.hearing.insert(client);
        }
        let (outcome, signature, confidence) = outcome(closing, self.hearing.contains(&client));
        let judged = by_client > 0 && self.scope.audits(client);
        let tags = self.site.tags(case.server().address, &self.ground);
        let day = || day(closing.first_seen);
        let mut verdict =
            if judged { verdict(&case, tags.as_deref(), day, &self.ground) } else { Verdict::default() };
        if verdict.documented.is_some()
            && let Some(issuer) = case.said.as_ref().and_then(|said| said.certificate_issuer.as_ref())
        {
            verdict.unknown_issuer = self.is_unknown_issuer(issuer);
        }
        let said = case.said.as_deref();
        let dns = case.dns.as_ref();
        let (name, name_source) = match case.name() {
            Some((known, source)) => (Some(known), Some(source)),
            None => (None, tags.is_some().then_some(NameSource::ServiceTag)),
        };
        let sni = case.claimed(NameSource::Sni).or_else(|| case.claimed(NameSource::QuicSni));
        let mut row = FlowRow {
            flow_id: case.number,
            first_frame: closing.first_frame,
            last_frame: closing.last_frame,
            first_seen: closing.first_seen,
            last_seen: closing.last_seen,
            protocol: case.opening.protocol,
            client: case.client(),
            server: case.server(),
            vlan: case.opening.vlan.clone(),
            tunnel: case.opening.tunnel.clone(),
            app: case.app,
            name: name.map(|known| Arc::clone(&known.name)),
            name_source,
            sni: sni.map(|claimed| Arc::clone(&claimed.known.name)),
            dns_name: dns.map(|named| Arc::clone(&named.known.name)),
            alpn: said.and_then(alpn),
            tls_version: said.and_then(|said| said.tls_version),
            ech: said.is_some_and(|said| said.ech),
            certificate_issuer: said.and_then(|said| said.certificate_issuer.clone()),
            ja4: said.and_then(|said| said.ja4.clone()),
            packets: closing.packets,
            bytes: closing.bytes,
            destination: verdict.destination,
            port: verdict.port,
            outcome,
            signature,
            confidence,
            documented: verdict.documented.clone(),
            findings: SmallVec::new(),
            evidence: evidence(&case, closing),
            service_tags: tags.as_ref().map(|tags| Arc::clone(&tags.text)),
            address_evidence: site::support(&verdict, tags.as_deref(), case.server().address, &self.ground),
        };
        self.site.saw(&row, &verdict);
        if judged {
            self.count(client, &row);
        }
        let (ground, scope) = (&*self.ground, &self.scope);
        let seen = checks::Seen { case: &case, closing, verdict: &verdict, scope, ground, row: &row };
        row.findings = checks::run(&seen, &mut self.findings);
        docket.flow(&row);
    }

    /// Looks an issuer up once.
    fn is_unknown_issuer(&mut self, issuer: &WireText) -> bool {
        if let Some(known) = self.issuers.get(issuer) {
            return *known;
        }
        let unknown = is_unknown_issuer(issuer, &self.ground.rules);
        self.issuers.put(issuer.clone(), unknown);
        unknown
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
        if let Some(destination) = row.destination {
            add(&mut self.tally.destinations, destination as usize);
        }
        if let Some(port) = row.port {
            add(&mut self.tally.ports, port as usize);
        }
        add(&mut self.tally.outcomes, row.outcome as usize);
        if row.destination.is_some() {
            self.destinations.add(client, row);
        }
    }
}

/// The protocol that the server chose, else those that the client offered.
fn alpn(said: &Said) -> Option<WireText> {
    if said.alpn.is_some() {
        return said.alpn.clone();
    }
    let offered: Vec<&str> = said.alpn_offered.as_ref()?.iter().map(WireText::as_str).collect();
    Some(WireText::printable(offered.join(";")))
}

/// The frames that prove what a flow's row says: its beginning, its answer, its name, its end.
fn evidence(case: &Case, closing: &Closing) -> SmallVec<[crate::base::FrameRef; 6]> {
    let mut frames = SmallVec::new();
    if let Some(named) = &case.dns {
        frames.push(named.frame);
    }
    if let Some(story) = &closing.tcp {
        frames.extend([story.syn_frame, story.syn_ack_frame].into_iter().flatten());
    }
    if let Some(claimed) = case.strongest() {
        frames.push(claimed.frame);
    }
    if let Some(story) = &closing.tcp {
        frames.extend(story.reset_frame);
    }
    frames.extend(closing.icmp.as_ref().map(|error| error.frame));
    if frames.is_empty() {
        frames.push(closing.first_frame);
    }
    frames.sort_unstable();
    frames.dedup();
    frames
}

impl Tally {
    fn odd(&mut self, layer: &'static str, what: &'static str) {
        *self.oddities.entry(format!("{layer}: {what}")).or_default() += 1;
    }
}
