//! What is remembered over a whole run for the sake of the site: needs, exceptions, service tags.
//!
//! In:  judged flows, DNS questions.
//! Out: requirement rows, findings about questions and exceptions.
//! Not: findings about a single flow; those are checks.

use std::sync::Arc;

use hashbrown::HashMap;
use jiff::civil::Date;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::finding::collector::Findings;
use crate::judge::finding::collector::Occurrence;
use crate::judge::finding::collector::Target;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::Policy;
use crate::judge::policy::TagSet;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::requirements::Attempt;
use crate::judge::policy::requirements::AttemptResult;
use crate::judge::policy::requirements::Observations;
use crate::judge::policy::verdict::Verdict;
use crate::judge::rows::FlowRow;
use crate::judge::rows::Outcome;
use crate::judge::rows::RequirementRow;

/// What a run has seen of the site's own facts.
#[derive(Debug)]
pub(in crate::judge) struct SiteState {
    pub(in crate::judge) requirements: Observations,
    /// Exceptions that allowed something, or would have.
    used: Vec<bool>,
    span: Option<(Time, Time)>,
    /// One for each list of tags; the key is the list's place in its table.
    tag_sets: HashMap<(usize, usize), Arc<TagSet>, foldhash::fast::RandomState>,
}

/// A question to a resolver.
pub(in crate::judge) struct Asked {
    pub(in crate::judge) client: Endpoint,
    pub(in crate::judge) resolver: Endpoint,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
}

impl SiteState {
    pub(in crate::judge) fn new(policy: &Policy) -> SiteState {
        SiteState {
            requirements: Observations::default(),
            used: vec![false; policy.site.allow.len()],
            span: None,
            tag_sets: HashMap::default(),
        }
    }

    /// The service tags of a public address.
    pub(in crate::judge) fn tags(&mut self, address: Address, policy: &Policy) -> Option<Arc<TagSet>> {
        let tags = policy.tags.as_ref().filter(|_| !address.is_private())?;
        let list = tags.lookup(address);
        if list.is_empty() {
            return None;
        }
        let key = (list.as_ptr().addr(), list.len());
        let set = self.tag_sets.entry(key).or_insert_with(|| Arc::new(policy.tag_set(tags, list)));
        Some(Arc::clone(set))
    }

    /// Counts what a flow shows of exceptions and required endpoints.
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
        if let Some(used) = verdict.approved.or(verdict.expired).and_then(|place| self.used.get_mut(place)) {
            *used = true;
        }
        if let Some(known) = verdict.known.as_ref().filter(|known| !known.class.required.is_empty())
            && verdict.destination.is_some()
        {
            let attempt = Attempt {
                server: row.client.address,
                result: attempt_result(flow, row, verdict),
                first: row.first_seen,
                last: row.last_seen,
                frames: &row.evidence,
            };
            let path = flow.request_path();
            let fits = |place: &u16| {
                policy.required.fits(*place, &policy.rules, row.protocol, verdict.asked_port, path)
            };
            self.requirements.add(known.class.required.iter().copied().filter(fits), &attempt);
        }
    }

    /// Required endpoints that some server reached, and how many there are.
    pub(in crate::judge) fn met(&self, policy: &Policy) -> (u64, u64) {
        (self.requirements.reached(), policy.required.len() as u64)
    }

    /// Says what became of needs and exceptions.
    pub(in crate::judge) fn finish(self, policy: &Policy, findings: &mut Findings) -> Vec<RequirementRow> {
        let (first, last) = self.span.unwrap_or_default();
        for (allow, used) in policy.site.allow.iter().zip(&self.used) {
            let what = match (&allow.name, &allow.network) {
                (Some(name), Some(network)) => format!("{} in {network}", name.text),
                (Some(name), None) => name.text.to_string(),
                (None, network) => network.map(|network| network.to_string()).unwrap_or_default(),
            };
            let subject = format!("[[allow]] {what}, line {}", allow.line);
            let line = format!("line {}", allow.line);
            let about = |code| Occurrence {
                code,
                mechanism: "",
                confidence: None,
                client: None,
                subject: Target::Text(&subject),
                server: None,
                flow: None,
                frames: &[],
                time: last,
                rules: &line,
                documents: policy.site.file_name(),
            };
            if self.span.is_some() && allow.expired(day(last)) {
                let how = if *used { "traffic still needs it" } else { "no traffic needed it" };
                let sentence = || format!("the exception for {what} ended on {}; {how}", allow.expires);
                findings.add(&about("AFS451"), sentence);
            } else if !used {
                findings.add(&about("AFS452"), || {
                    format!("the exception for {what} allowed nothing in this capture")
                });
            }
        }
        self.requirements.into_rows(&policy.required, &policy.rules, last.since(first))
    }
}

/// What a judged flow shows of the endpoint that it was for.
fn attempt_result(flow: &FlowState, row: &FlowRow, verdict: &Verdict<'_>) -> AttemptResult {
    match row.outcome {
        Outcome::BlockedLooking => return AttemptResult::Blocked(row.signature),
        Outcome::Inconclusive => return AttemptResult::Unclear,
        Outcome::Ok => {}
    }
    if verdict.unknown_issuer {
        return AttemptResult::Intercepted;
    }
    // A bare handshake proves that the port is open, and a ClientHello alone proves no more.
    let has_payload = row.bytes.iter().all(|bytes| *bytes > 0);
    let has_server_hello = flow.facts.as_ref().is_some_and(|facts| facts.tls_version.is_some());
    if !has_payload || (flow.app == "tls" && flow.flow_start.from_start && !has_server_hello) {
        return AttemptResult::Unclear;
    }
    let is_pinned = verdict.known.as_ref().is_some_and(|known| known.class.pinned);
    AttemptResult::Reached {
        is_outside_tags: is_pinned && matches!(row.address_evidence, "no-tag" | "other-tag"),
    }
}

/// The day of a frame, UTC: exceptions end by the capture's time and never by the clock.
pub(in crate::judge) fn day(time: Time) -> Date {
    let stamp = jiff::Timestamp::from_second(time.secs()).unwrap_or_default();
    stamp.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// How the service tags speak for a documented name.
pub(in crate::judge) fn support(
    verdict: &Verdict<'_>,
    tags: Option<&TagSet>,
    server: Address,
    policy: &Policy,
) -> &'static str {
    let Some(known) = verdict.known.as_ref().filter(|known| known.references.documented.is_some()) else {
        return "";
    };
    if policy.tags.is_none()
        || verdict.destination.is_none()
        || server.is_private()
        || policy.proxies.hold(server)
    {
        return "";
    }
    match tags {
        Some(tags) if tags.rows & known.class.tags != 0 => "row-tag",
        Some(_) => "other-tag",
        None => "no-tag",
    }
}

/// Judges a question that an audited host asked.
pub(in crate::judge) fn asked(asked: &Asked, known: &KnownName, policy: &Policy, findings: &mut Findings) {
    let (client, resolver) = (asked.client.address, asked.resolver.address);
    let documented = known.references.documented.as_deref();
    let sign = |code, subject| Occurrence {
        code,
        mechanism: "",
        confidence: None,
        client: Some(client),
        subject,
        server: None,
        flow: None,
        frames: std::slice::from_ref(&asked.frame),
        time: asked.time,
        rules: documented.map_or("", |said| &said.references),
        documents: documented.map_or("", |said| &said.documents),
    };
    if !policy.resolvers.is_empty() && !policy.resolvers.hold(resolver) && !policy.resolvers.hold(client) {
        let plain = Occurrence {
            rules: "[dns]",
            documents: policy.site.file_name(),
            ..sign("AFS431", Target::Address(resolver))
        };
        findings.add(&plain, || {
            format!("{client} asked {resolver} for {}; the site does not name it as a resolver", known.name)
        });
    }
    let may_ask = known.class.can_be_private && !policy.private_networks.is_empty();
    if !policy.proxies.is_empty() && documented.is_some() && !may_ask && !policy.proxies.hold(client) {
        findings.add(&sign("AFS422", Target::Name(&known.name)), || {
            format!(
                "{client} looked {} up itself; with the declared proxy only the proxy needs to",
                known.name
            )
        });
    }
}
