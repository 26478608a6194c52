//! What a run observes of the site file: required endpoints and exceptions.
//!
//! In:  judged flows, names that did not resolve.
//! Out: requirement rows; which exceptions were used.
//! Not: findings; see `finding::run_end`.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Policy;
use super::name_table::KnownName;
use super::requirements::Attempt;
use super::requirements::AttemptResult;
use super::requirements::Observations;
use super::verdict::Verdict;
use crate::base::Address;
use crate::base::Time;
use crate::base::port;
use crate::flow::Endpoint;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::InconclusiveReason;
use crate::judge::catalogue::Stops;
use crate::judge::diagnosis::dns_anomalies::DnsAnomaly;
use crate::judge::flow_state::FlowState;
use crate::judge::rows::FlowRow;
use crate::judge::rows::RequirementRow;
use crate::judge::text::counted;
use crate::judge::text::is_or_are;
use crate::judge::vocabulary::AddressEvidence;
use crate::read::NameSource;

/// What was observed of the site file so far.
#[derive(Debug)]
pub(in crate::judge) struct SiteProgress {
    pub(in crate::judge) requirements: Observations,
    /// By exception: whether it allowed a flow, or would have before it expired.
    pub(in crate::judge) used_exceptions: Vec<bool>,
    /// First and last time of any flow.
    pub(in crate::judge) span: Option<(Time, Time)>,
    /// Required endpoints that open flows show as reached.
    reached_by_open: BTreeSet<u16>,
    /// A storage account of the site that was reached over TLS.
    reached_account: Option<Arc<KnownName>>,
    /// TLS connections to the declared proxy itself, and the first one.
    encrypted_requests: Option<(u64, Address, Endpoint)>,
}

impl SiteProgress {
    pub(in crate::judge) fn new(policy: &Policy) -> SiteProgress {
        SiteProgress {
            requirements: Observations::default(),
            used_exceptions: vec![false; policy.site.allow.len()],
            span: None,
            reached_by_open: BTreeSet::new(),
            reached_account: None,
            encrypted_requests: None,
        }
    }

    /// Adds what a flow shows of exceptions and required endpoints.
    pub(in crate::judge) fn add(
        &mut self,
        flow: &FlowState,
        row: &FlowRow,
        verdict: &Verdict<'_>,
        policy: &Policy,
    ) {
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(row.first_seen), last.max(row.last_seen)),
            None => (row.first_seen, row.last_seen),
        });
        if row.app == "tls" && !flow.is_proxied() {
            let Endpoint { address, port } = row.server;
            if policy.site.proxies.contains(&(address, port)) {
                self.encrypted_requests.get_or_insert((0, row.client.address, row.server)).0 += 1;
            }
        }
        let exception = verdict.exception.or(verdict.expired_exception);
        if let Some(used) = exception.and_then(|index| self.used_exceptions.get_mut(index)) {
            *used = true;
        }
        if let Some(known) = verdict.known.filter(|known| !known.class.required.is_empty())
            && verdict.destination.is_some()
        {
            let attempt = Attempt {
                server: row.client.address,
                result: attempt_result(flow, row, verdict),
                first: row.first_seen,
                last: row.last_seen,
                frames: &row.evidence,
            };
            let (fitting, others) = fitting_endpoints(flow, row, verdict, policy);
            self.requirements.add(fitting.into_iter(), &attempt);
            let is_reached = row.app == "tls" && matches!(attempt.result, AttemptResult::Reached { .. });
            if known.class.storage && is_reached && self.reached_account.is_none() {
                self.reached_account = Some(Arc::clone(known));
            }
            let attempt = Attempt { result: AttemptResult::NotAsDocumented, ..attempt };
            self.requirements.add(others.into_iter(), &attempt);
        }
    }

    /// Notes what an open flow shows of required endpoints: a view would otherwise lack what a connection of hours has reached.
    pub(in crate::judge) fn add_open(
        &mut self,
        flow: &FlowState,
        row: &FlowRow,
        verdict: &Verdict<'_>,
        policy: &Policy,
    ) {
        if matches!(attempt_result(flow, row, verdict), AttemptResult::Reached { .. }) {
            self.reached_by_open.extend(fitting_endpoints(flow, row, verdict, policy).0);
        }
    }

    /// Adds names that did not resolve as blocked attempts at the endpoints that they are for.
    pub(in crate::judge) fn add_anomalies<'a>(
        &mut self,
        anomalies: impl IntoIterator<Item = &'a DnsAnomaly>,
    ) {
        let blocking = anomalies.into_iter().filter(|anomaly| anomaly.mechanism.entry().stops == Stops::Name);
        for anomaly in blocking {
            for (frame, time) in anomaly.occurrences() {
                let attempt = Attempt {
                    server: anomaly.client,
                    result: AttemptResult::Blocked(anomaly.mechanism),
                    first: *time,
                    last: *time,
                    frames: std::slice::from_ref(frame),
                };
                self.requirements.add(anomaly.known.class.required.iter().copied(), &attempt);
            }
        }
    }

    /// What a capture cannot show of a storage account that was reached.
    pub(in crate::judge) fn storage_firewall(&self) -> Option<String> {
        let account = self.reached_account.as_ref()?;
        Some(format!(
            "a storage account's firewall answers inside TLS (HTTP 403), so that it cannot be seen: whether {} accepts these servers \
             is in its networking settings",
            account.name
        ))
    }

    /// What a capture cannot show of a proxy that is itself reached over TLS.
    pub(in crate::judge) fn encrypted_proxy(&self) -> Option<String> {
        let (count, client, Endpoint { address, port }) = self.encrypted_requests?;
        Some(format!(
            "{} to the declared proxy {address}:{port}, the first from {client}, {} encrypted from the start: what was requested from \
             it is not visible",
            counted(count, "connection"),
            is_or_are(count)
        ))
    }

    /// Required endpoints that a server reached, and how many there are.
    pub(in crate::judge) fn reached(&self, policy: &Policy) -> (u64, u64) {
        let mut reached = self.requirements.reached(&policy.required);
        reached.extend(self.reached_by_open.iter().filter(|place| policy.required.is_certain(**place)));
        (reached.len() as u64, policy.required.len() as u64)
    }

    /// A row for each server and required endpoint.
    pub(in crate::judge) fn into_rows(self, policy: &Policy) -> Vec<RequirementRow> {
        let (first, last) = self.span.unwrap_or_default();
        self.requirements.into_rows(&policy.required, &policy.rules, last.since(first))
    }
}

/// Places of required endpoints.
type Places = SmallVec<[u16; 2]>;

/// The required endpoints of the flow's name that a conversation on its port is for, and the others.
fn fitting_endpoints(
    flow: &FlowState,
    row: &FlowRow,
    verdict: &Verdict<'_>,
    policy: &Policy,
) -> (Places, Places) {
    let path = flow.request_path();
    let fits = |endpoint: &u16| {
        policy.required.fits(*endpoint, &policy.rules, row.protocol, verdict.requested_port, path)
    };
    let required = verdict.known.map_or(&[][..], |known| &known.class.required);
    required.iter().copied().partition(fits)
}

/// What a judged flow shows of the endpoint that it was for.
fn attempt_result(flow: &FlowState, row: &FlowRow, verdict: &Verdict<'_>) -> AttemptResult {
    let [_, by_server] = row.bytes;
    let has_reply = by_server > 0;
    match row.assessment {
        Assessment::BlockedLooking { mechanism, .. } => return AttemptResult::Blocked(mechanism),
        // A reply came, and none to what the client sent after an idle time.
        Assessment::Inconclusive { reason: InconclusiveReason::NoAnswerSeen } if has_reply => {}
        Assessment::Inconclusive { .. } => return AttemptResult::Unclear,
        Assessment::Ok => {}
    }
    if verdict.unknown_issuer {
        return AttemptResult::Intercepted;
    }
    // A handshake without payload proves that the port is open, and a ClientHello alone proves no more.
    let has_payload = row.bytes.iter().all(|bytes| *bytes > 0);
    let has_server_hello = flow.facts.as_ref().is_some_and(|facts| facts.tls_version.is_some());
    // What a proxy says of the tunnel that it opens is no reply of the server.
    let is_web_tunnel =
        flow.claim_from(NameSource::Connect).is_some() && flow.requested_port() == port::HTTPS;
    let is_tls = flow.app == "tls" || is_web_tunnel;
    if !has_payload || (is_tls && flow.flow_start.from_start && !has_server_hello) {
        return AttemptResult::Unclear;
    }
    let is_pinned = verdict.known.is_some_and(|known| known.class.pinned_to_tags);
    let is_foreign = matches!(row.address_evidence, Some(AddressEvidence::NoTag | AddressEvidence::OtherTag));
    AttemptResult::Reached { is_outside_tags: is_pinned && is_foreign }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::judge::flow_state::NameClaim;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);
    const SERVER: Address = Address::v4([20, 60, 0, 4]);

    /// A TLS flow with payload in both directions.
    fn check(change: impl FnOnce(&mut FlowState, &mut FlowRow, &mut Verdict<'_>), expected: AttemptResult) {
        let end = |address, port| Endpoint { address, port };
        let mut flow = test_support::flow_state(6, end(CLIENT, 50_000), end(SERVER, 443));
        flow.app = "tls";
        flow.facts_mut().tls_version = Some(0x0304);
        let mut row = test_support::flow_row(CLIENT, SERVER, Time(0));
        let mut verdict = Verdict::default();
        change(&mut flow, &mut row, &mut verdict);
        assert_eq!(attempt_result(&flow, &row, &verdict), expected);
    }

    #[test]
    fn an_endpoint_is_reached_where_its_server_replied() {
        let reached = AttemptResult::Reached { is_outside_tags: false };
        check(|_, _, _| (), reached);
        check(|_, row, _| row.bytes = [500, 0], AttemptResult::Unclear);
        check(|flow, _, _| flow.facts_mut().tls_version = None, AttemptResult::Unclear);
        let idle = |bytes| {
            move |_: &mut FlowState, row: &mut FlowRow, _: &mut Verdict<'_>| {
                row.assessment = Assessment::inconclusive(InconclusiveReason::NoAnswerSeen);
                row.bytes = bytes;
            }
        };
        check(idle([500, 4_000]), reached);
        check(idle([500, 0]), AttemptResult::Unclear);
        // The handshake was before the capture.
        let mid_stream = |flow: &mut FlowState, _: &mut FlowRow, _: &mut Verdict<'_>| {
            flow.facts_mut().tls_version = None;
            flow.flow_start.from_start = false;
        };
        check(mid_stream, reached);
        // A tunnel that the proxy opened, and nothing in it.
        let empty_tunnel = |flow: &mut FlowState, _: &mut FlowRow, _: &mut Verdict<'_>| {
            let policy = Policy::for_tests("");
            let known = NameTable::new(usize::MAX).look_up(&test_support::host("files.example"), &policy);
            let (source, frame) = (NameSource::Connect, FrameRef::default());
            flow.add_claim(NameClaim { source, known, port: Some(443), frame });
            (flow.app, flow.facts_mut().tls_version) = ("http", None);
        };
        check(empty_tunnel, AttemptResult::Unclear);
        check(|_, _, verdict| verdict.unknown_issuer = true, AttemptResult::Intercepted);
    }
}
