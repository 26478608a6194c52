//! What happens between flows: heartbeats of a live capture, rotations of the evidence, the end of the run.
//!
//! In:  the clock of a live capture, and the end of an interval.
//! Out: new findings as they occur; the result of the interval.
//! Not: rows of flows and DNS responses.

use super::Engine;
use super::RowSink;
use super::early_checks::EarlyChecks;
use super::early_checks::EarlyReason;
use super::early_checks::OpenCounts;
use crate::base::Address;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::conversations::Conversations;
use crate::judge::diagnosis::dns_anomalies::DnsAnomaly;
use crate::judge::diagnosis::own_addresses::OwnAddress;
use crate::judge::diagnosis::unused_answers::UnusedName;
use crate::judge::finding;
use crate::judge::finding::problems::ProblemList;
use crate::judge::policy::site::SiteProgress;
use crate::judge::rows::Tally;
use crate::judge::run_result::JudgeResult;
use crate::judge::tally::RunCounts;
use crate::judge::text::counted;
use crate::judge::text::was_or_were;

/// Addresses of servers that are named; the others are counted.
const MAX_NAMED: usize = 8;

/// What to add to the site file, a sentence each.
fn own_address_sentences<'a>(found: impl Iterator<Item = &'a OwnAddress>) -> Vec<String> {
    let found: Vec<&OwnAddress> = found.collect();
    let sentence = |own: &&OwnAddress| {
        let OwnAddress { address, server, flows, evidence } = own;
        format!(
            "{address} was not audited ({}): it seems to be a further address of {server}, as {evidence}. If it is, add \"{address}\" to \
             servers under [roles] in the site file, or to --server",
            counted(*flows, "flow")
        )
    };
    let mut sentences: Vec<String> = found.iter().take(MAX_NAMED).map(sentence).collect();
    let more = found.len().saturating_sub(MAX_NAMED) as u64;
    if more > 0 {
        let addresses =
            if more == 1 { "1 more address".to_owned() } else { format!("{more} more addresses") };
        sentences.push(format!("{addresses} of audited servers {} not audited", was_or_were(more)));
    }
    sentences
}

impl Engine {
    /// The capture device dropped so many packets that silence proves nothing.
    pub fn doubt(&mut self) {
        self.diagnosis.capture_loss.distrust_silence();
    }

    /// From now on problems are reported while they occur; see [`RowSink::problem`].
    pub fn follow_problems(&mut self) {
        self.early.enable();
        self.diagnosis.dns.follow_fresh();
        self.findings.follow_problems();
    }

    /// The clock of a live capture: `lost` frames were dropped since the heartbeat before.
    pub fn heartbeat(&mut self, time: Time, lost: u64, sink: &mut impl RowSink) {
        self.diagnosis.capture_loss.heartbeat(time, lost);
        for (slot, at) in self.early.take_changed() {
            if let Some(flow) = self.flows.take(slot) {
                // A name by DNS alone may be replaced by a name that the flow claims.
                if self.is_judged(&flow) && flow.strongest_claim().is_some() {
                    self.check_early(&flow, &EarlyChecks::open_flow(at), EarlyReason::Payload);
                }
                self.flows.put_back(slot, flow);
            }
        }
        for (anomaly, occurrence) in self.diagnosis.dns.take_fresh(time) {
            // A capture without any packet to the client may be one-sided.
            let is_silence = anomaly.mechanism == Mechanism::DnsNoAnswer;
            if is_silence && !self.diagnosis.receives_packets(anomaly.client) {
                continue;
            }
            finding::dns::announce(&anomaly, &occurrence, &self.policy, &mut self.findings);
        }
        self.findings.heartbeat(time);
        self.send_problem_reports(sink);
    }

    /// The problems of a live run now, `len` of them with all that is known.
    pub fn problems(&self, len: usize) -> ProblemList {
        self.findings.problems(len)
    }

    /// Judged flows that are open.
    pub fn open_counts(&self) -> OpenCounts {
        self.early.counts()
    }

    /// Requirements of the site that were reached since the last rotation, and how many there are.
    pub fn met(&self) -> (u64, u64) {
        self.site.reached(&self.policy)
    }

    /// How often half of a name table was evicted, and occurrences of findings since the last rotation that did not fit.
    pub fn pressed(&self) -> (u64, u64) {
        (self.names.evictions(), self.findings.missed + self.diagnosis.dns.missed())
    }

    /// Counts since the last rotation, without the destinations.
    pub fn tally(&self) -> &Tally {
        &self.counts.tally
    }

    /// Ends the evidence so far and starts anew; flows and names are kept.
    pub fn rotate(&mut self) -> JudgeResult {
        let mut bounds = self.limit_sentences();
        let RunCounts { mut tally, destinations, audited, unfinished, .. } = std::mem::take(&mut self.counts);
        (tally.top, tally.top_missed) = destinations.into_top();
        tally.audited_hosts = audited.len() as u64;
        tally.audited = audited.iter().copied().collect();
        tally.audited.sort_unstable();
        let silent_servers = self.scope.networks_without(&tally.audited);
        tally.audited.truncate(Tally::MAX_AUDITED);
        let mut site = std::mem::replace(&mut self.site, SiteProgress::new(&self.policy));
        // A connection that is still open uses its address, whenever its name was resolved.
        for flow in self.flows.iter() {
            self.names.mark_used(flow.client().address, flow.server().address, self.now);
        }
        let (joined, alone) = self.conversations.as_mut().map(Conversations::take_counts).unwrap_or_default();
        if alone > 0 {
            let (flows, were) = (counted(alone, "flow"), was_or_were(alone));
            bounds.push(format!(
                "capture points: {flows} {were} judged at one point: too many waited for the other"
            ));
        }
        let Engine { diagnosis, findings, names, policy, .. } = self;
        let mut anomalies = diagnosis.dns.take();
        anomalies.retain(|anomaly| {
            anomaly.mechanism != Mechanism::DnsNoAnswer || diagnosis.receives_packets(anomaly.client)
        });
        let comparison = diagnosis.comparison.index();
        finding::dns::add_anomalies(&anomalies, &comparison, policy, findings);
        // An endpoint that the client reaches by another of its names is not blocked.
        let works = |anomaly: &&DnsAnomaly| {
            let (client, name) = (anomaly.client, &anomaly.known.name);
            finding::dns::other_name_that_works(client, name, None, &comparison, policy).is_some()
        };
        site.add_anomalies(anomalies.iter().filter(|anomaly| !works(anomaly)));
        let unused = diagnosis.name_use.unused_names(|| names.client_answers(), self.now);
        let window = self.window;
        // Nobody connects to the address of a sinkhole.
        let is_misled = |name: &UnusedName<'_>| {
            let is_it = |anomaly: &&DnsAnomaly| {
                anomaly.client == name.client && anomaly.known.name == name.known.name
            };
            anomalies.iter().filter(is_it).any(|anomaly| anomaly.mechanism.entry().stops == Stops::Name)
        };
        let unused = unused
            .into_iter()
            .filter(|name| audited.contains(&name.client) && window.contains(name.last) && !is_misled(name));
        finding::dns::add_unused_names(unused, policy, findings);
        let mut blocked_pki = diagnosis.revocation.take();
        blocked_pki.iter_mut().for_each(|(_, hosts)| hosts.retain(|host| window.contains(host.time)));
        finding::run_end::add_blocked_revocation(&blocked_pki, findings);
        finding::run_end::add_blocked_ipv6(&comparison, &window, findings);
        findings.compare(&comparison, policy);
        let is_unknown = |client, server: Endpoint| {
            diagnosis.name_use.uses_proxy(client) || policy.proxies.contains(server.address)
        };
        findings.compare_addresses(names, &comparison, is_unknown, diagnosis.began);
        findings.explain_causes();
        let is_reported = |client, time| audited.contains(&client) && window.contains(time);
        finding::run_end::add_shared_endpoints(names, is_reported, policy, findings);
        finding::run_end::add_exceptions(&site, policy, findings);
        if site.requirements.missed > 0 {
            let missed = site.requirements.missed;
            let (attempts, were) = (counted(missed, "attempt"), was_or_were(missed));
            bounds.push(format!("requirements: {attempts} of further servers {were} not counted"));
        }
        let mut gaps = diagnosis.capture_loss.take_sentences();
        // Findings say what is known of IPv6 that gets no reply.
        let blocked_ipv6 = comparison.blocked_ipv6();
        let mut unheard = std::mem::take(&mut diagnosis.unheard);
        gaps.extend(unheard.take_sentences(|host| {
            diagnosis.receives_packets(host) || blocked_ipv6.iter().any(|blocked| blocked.client == host)
        }));
        gaps.extend(policy.required.remark.clone());
        gaps.extend(site.storage_firewall());
        gaps.extend(site.encrypted_proxy());
        let is_declared = |address: Address| {
            self.scope.audits(address)
                || policy.port_tables.roles(address) != 0
                || policy.proxies.contains(address)
                || policy.resolvers.contains(address)
        };
        let own =
            std::mem::take(&mut diagnosis.own_addresses).found(names, |address| self.scope.audits(address));
        let site_hints = own_address_sentences(own.iter().filter(|own| !is_declared(own.address)));
        let absent_hosts = self.declared.absent(&policy.site);
        let requirements = site.into_rows(policy);
        JudgeResult {
            findings: findings.take_rows(),
            tally,
            requirements,
            bounds,
            gaps,
            site_hints,
            silent_servers,
            absent_hosts,
            joined,
            unfinished,
        }
    }

    /// The limits that were reached since the last rotation.
    fn limit_sentences(&mut self) -> Vec<String> {
        let mut sentences = Vec::new();
        let missed = std::mem::take(&mut self.findings.missed) + self.diagnosis.dns.missed();
        if missed > 0 {
            let occurrences = counted(missed, "occurrence");
            sentences.push(format!("findings: {occurrences} of further findings did not fit the table"));
        }
        let all = self.names.evictions();
        let evictions = all - std::mem::replace(&mut self.evictions_before, all);
        if evictions > 0 {
            let times = counted(evictions, "time");
            sentences
                .push(format!("names: the least recently used half of a name table was evicted {times}"));
        }
        let missed = self.counts.missed_claims;
        if missed > 0 {
            let names = counted(missed, "further name");
            let were = was_or_were(missed);
            sentences.push(format!("names: {names} of flows that had one {were} not kept"));
        }
        let unlisted = self.counts.unlisted_answers;
        if unlisted > 0 {
            let (answers, were) = (counted(unlisted, "answer"), was_or_were(unlisted));
            let responses = counted(self.counts.rows_with_unlisted, "long response");
            sentences.push(format!("dns: {answers} of {responses} {were} not listed"));
        }
        let stray = self.counts.stray_facts;
        if stray > 0 {
            let (facts, were) = (counted(stray, "fact"), was_or_were(stray));
            sentences.push(format!("flows: {facts} without a flow {were} discarded"));
        }
        sentences
    }
}
