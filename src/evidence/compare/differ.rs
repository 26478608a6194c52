//! Finds what changed between two runs.
//!
//! In:  the requirements, findings and destinations of both, for servers that were audited in both.
//! Out: a row for each, also for what did not change.
//! Not: the order of the rows.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;

use super::rows::Change;
use super::rows::ChangeNeed;
use super::rows::ChangeRow;
use super::rows::Subject;
use super::run::ComparedRequirement;
use super::run::ComparedRun;
use super::run::Contact;
use super::run::Finding;
use crate::judge::RequirementState;
use crate::judge::Severity;
use crate::report::count;
use crate::report::grouped;

/// Servers of a destination that are named.
const NAMED_SERVERS: usize = 4;

/// How much the site needs a documented row, by its id.
pub(super) struct Needs<'a> {
    by_reference: HashMap<&'a str, ChangeNeed>,
}

impl<'a> Needs<'a> {
    /// From the requirements of both runs.
    pub(super) fn of(runs: [&'a ComparedRun; 2]) -> Needs<'a> {
        let mut by_reference: HashMap<&str, ChangeNeed> = HashMap::new();
        for requirement in runs.iter().flat_map(|run| &run.requirements) {
            let need = need_of(requirement);
            for reference in &requirement.references {
                let known = by_reference.entry(id_of(reference)).or_insert(need);
                *known = need.min(*known);
            }
        }
        Needs { by_reference }
    }

    fn of_references(&self, references: &[String]) -> ChangeNeed {
        let needs = references.iter().filter_map(|id| self.by_reference.get(id_of(id)).copied());
        needs.min().unwrap_or(ChangeNeed::None)
    }
}

fn need_of(requirement: &ComparedRequirement) -> ChangeNeed {
    if requirement.is_required { ChangeNeed::Required } else { ChangeNeed::Documented }
}

/// The id of a reference without the remark that follows it.
fn id_of(reference: &str) -> &str {
    reference.split_whitespace().next().unwrap_or_default()
}

/// Two runs, and what is compared of them.
pub(super) struct Differ<'a> {
    pub(super) before: &'a ComparedRun,
    pub(super) after: &'a ComparedRun,
    /// Audited in both; sorted.
    pub(super) servers: &'a [IpAddr],
    /// The least severity at which a new finding is worse.
    pub(super) fail_on: Option<Severity>,
}

impl<'a> Differ<'a> {
    /// Whether a row of this server is compared. Rows of no server are about the site.
    fn is_compared(&self, server: Option<IpAddr>) -> bool {
        server.is_none_or(|server| self.servers.binary_search(&server).is_ok())
    }

    /// Documented endpoints that changed state.
    pub(super) fn requirements(&self) -> Vec<ChangeRow> {
        let list = |run: &'a ComparedRun| {
            run.requirements.iter().filter(|row| self.is_compared(row.server)).collect()
        };
        let mut matched = Matched { pairs: Vec::new(), before: list(self.before), after: list(self.after) };
        let rows = |row: &'a ComparedRequirement| (row.server, row.references.join(";"));
        matched.pair_by(|row| (rows(row), row.service.as_str()));
        // Under other documents an endpoint has other rows, under another version it may have another text.
        matched.pair_by(|row| (row.server, row.service.as_str()));
        matched.pair_by(rows);
        let mut rows: Vec<ChangeRow> =
            matched.pairs.iter().filter_map(|(old, new)| requirement_row(Some(old), new)).collect();
        let is_observed = |row: &&&ComparedRequirement| row.state != Some(RequirementState::NotObserved);
        rows.extend(matched.after.iter().filter(is_observed).filter_map(|new| requirement_row(None, new)));
        let only = [matched.before.len(), matched.after.len()];
        if only != [0, 0] {
            let [before, after] = only.map(|endpoints| grouped(endpoints as u64));
            let message =
                "those of the run before, and those not observed after, are not compared".to_owned();
            let row = ChangeRow::new(Subject::Condition, Change::Differs, "endpoints that one run needs");
            rows.push(ChangeRow { before, after, message, ..row });
        }
        rows
    }

    /// Findings that are new, gone, or changed.
    pub(super) fn findings(&self, needs: &Needs<'_>) -> Vec<ChangeRow> {
        let list =
            |run: &'a ComparedRun| run.findings.iter().filter(|row| self.is_compared(row.server)).collect();
        let mut matched = Matched { pairs: Vec::new(), before: list(self.before), after: list(self.after) };
        let about = |row: &'a Finding| (row.server, row.target.as_str(), row.port);
        matched.pair_by(|row| (about(row), row.code.as_str(), row.mechanism.as_str()));
        // Blocked in another way is still blocked.
        matched.pair_by(|row| (about(row), row.code.as_str(), !row.mechanism.is_empty()));
        matched.pair_blocked_by(about);
        // Only a blocked endpoint is a need that is not met.
        let need = |finding: &Finding| match finding.mechanism.as_str() {
            "" => ChangeNeed::None,
            _ => needs.of_references(&finding.references),
        };
        let mut rows = Vec::new();
        for (old, new) in &matched.pairs {
            rows.push(ChangeRow { need: need(old).min(need(new)), ..self.finding_in_both(old, new) });
        }
        for old in &matched.before {
            let mut row = ChangeRow::new(Subject::Finding, Change::NotSeenAgain, &old.target);
            if let Some(how) = self.seen_again(old) {
                row.change = Change::Gone;
                row.after = how;
            }
            (row.severity, row.need) = (old.severity, need(old));
            rows.push(with_finding(row, Some(old), None));
        }
        for new in &matched.after {
            let mut row = ChangeRow::new(Subject::Finding, Change::New, &new.target);
            (row.severity, row.need) = (new.severity, need(new));
            row.is_worse = self.is_failure(new.severity);
            rows.push(with_finding(row, None, Some(new)));
        }
        rows
    }

    fn is_failure(&self, severity: Option<Severity>) -> bool {
        self.fail_on.is_some_and(|least| severity >= Some(least))
    }

    fn finding_in_both(&self, old: &Finding, new: &Finding) -> ChangeRow {
        let is_more = new.severity > old.severity;
        let change = match () {
            () if is_more => Change::Worse,
            () if new.severity < old.severity => Change::Better,
            () if (&old.code, &old.mechanism) != (&new.code, &new.mechanism) => Change::Changed,
            () => Change::Unchanged,
        };
        let mut row = ChangeRow::new(Subject::Finding, change, &new.target);
        row.severity = new.severity;
        row.is_worse = is_more && self.is_failure(new.severity) && !self.is_failure(old.severity);
        with_finding(row, Some(old), Some(new))
    }

    /// How the destination of a finding was used after, if it was used and the finding could have been seen again. A flow
    /// without a conclusion shows nothing, and one that looks blocked does not show that blocking ended.
    fn seen_again(&self, finding: &Finding) -> Option<String> {
        if finding.destination.is_empty() {
            return Some(String::new());
        }
        let server = finding.server?;
        if finding.mechanism.starts_with("dns-") {
            let has_address = *self.after.resolved.get(&(server, finding.destination.clone()))?;
            return has_address.then(|| "resolved".to_owned());
        }
        let [ok, blocked, inconclusive] = self.after.outcomes_of(server, &finding.destination, finding.port);
        let is_seen = if finding.mechanism.is_empty() { ok + blocked > 0 } else { ok > 0 && blocked == 0 };
        is_seen.then(|| format!("{} without the finding", count(ok + blocked + inconclusive, "flow")))
    }

    /// Destinations that are new, not seen again, or have another verdict or outcome.
    pub(super) fn destinations(&self, needs: &Needs<'_>) -> Vec<ChangeRow> {
        let mut all: BTreeMap<String, [ComparedDestination; 2]> = BTreeMap::new();
        for (at, run) in [self.before, self.after].into_iter().enumerate() {
            for (key, contact) in run.contacts.iter().filter(|(key, _)| self.is_compared(Some(key.server))) {
                let target = match key.transport.as_str() {
                    "tcp" | "udp" | "sctp" => {
                        let proxy = if contact.requested_port.is_some() { " (proxy)" } else { "" };
                        let port = contact.requested_port.unwrap_or(key.port);
                        format!("{}:{port}/{}{proxy}", key.destination, key.transport)
                    }
                    other => format!("{} {other}", key.destination),
                };
                if let Some(side) = all.entry(target).or_default().get_mut(at) {
                    side.add(key.server, contact);
                }
            }
        }
        let rows = all.into_iter().map(|(target, [old, new])| {
            let change = old.change_to(&new);
            let side = if new.servers.is_empty() { &old } else { &new };
            let mut row = ChangeRow::new(Subject::ComparedDestination, change, &target);
            row.references.clone_from(&side.contact.references);
            row.need = needs.of_references(&row.references);
            row.message = format!("from {}", servers_text(&side.servers));
            (row.before, row.after) = (old.text(), new.text());
            row
        });
        rows.collect()
    }
}

/// Rows of both runs that are about the same thing, and the rest.
struct Matched<'a, T> {
    pairs: Vec<(&'a T, &'a T)>,
    before: Vec<&'a T>,
    after: Vec<&'a T>,
}

impl<'a, T> Matched<'a, T> {
    /// Pairs rows with the same key, in order.
    fn pair_by<K: Ord>(&mut self, key: impl Fn(&'a T) -> K) {
        let mut waiting: BTreeMap<K, VecDeque<usize>> = BTreeMap::new();
        for (at, row) in self.after.iter().enumerate() {
            waiting.entry(key(row)).or_default().push_back(at);
        }
        let mut taken = vec![false; self.after.len()];
        let (pairs, after) = (&mut self.pairs, &self.after);
        self.before.retain(|old| {
            let Some(at) = waiting.get_mut(&key(old)).and_then(VecDeque::pop_front) else { return true };
            let (Some(new), Some(taken)) = (after.get(at), taken.get_mut(at)) else { return true };
            *taken = true;
            pairs.push((*old, *new));
            false
        });
        let mut taken = taken.into_iter();
        self.after.retain(|_| taken.next() != Some(true));
    }
}

impl<'a> Matched<'a, Finding> {
    /// Pairs findings of blocked attempts.
    fn pair_blocked_by<K: Ord>(&mut self, key: impl Fn(&'a Finding) -> K) {
        let split = |rows: &mut Vec<&'a Finding>| -> Vec<&'a Finding> {
            let (blocked, others) = rows.iter().partition(|row| !row.mechanism.is_empty());
            *rows = others;
            blocked
        };
        let (before, after) = (split(&mut self.before), split(&mut self.after));
        let mut blocked = Matched { pairs: std::mem::take(&mut self.pairs), before, after };
        blocked.pair_by(key);
        self.pairs = blocked.pairs;
        self.before.extend(blocked.before);
        self.after.extend(blocked.after);
    }
}

/// The row of an endpoint; none if its state is unknown.
fn requirement_row(old: Option<&&ComparedRequirement>, new: &ComparedRequirement) -> Option<ChangeRow> {
    let change = match old {
        Some(old) => match state_change(old.state?, new.state?) {
            Change::Unchanged if old.mechanism != new.mechanism => Change::Changed,
            change => change,
        },
        None => Change::New,
    };
    let message = match (change, old) {
        (_, None) => "needed by the run after only".to_owned(),
        (Change::NotSeenAgain, _) => new.note.clone(),
        _ => String::new(),
    };
    Some(ChangeRow {
        is_worse: change == Change::Worse,
        need: old.map_or(ChangeNeed::None, |old| need_of(old)).min(need_of(new)),
        server: new.server,
        before: old.map(|row| state_text(row)).unwrap_or_default(),
        after: state_text(new),
        message,
        references: new.references.clone(),
        before_frames: old.map(|row| row.shown_by.clone()).unwrap_or_default(),
        after_frames: new.shown_by.clone(),
        ..ChangeRow::new(Subject::ComparedRequirement, change, &new.service)
    })
}

/// What became of an endpoint. `not-observed` after any other state says nothing about the endpoint.
fn state_change(old: RequirementState, new: RequirementState) -> Change {
    use RequirementState::Blocked;
    use RequirementState::NotObserved;
    use RequirementState::PartlyBlocked;
    use RequirementState::Reached;
    match (old, new) {
        (NotObserved, NotObserved)
        | (Reached, Reached)
        | (Blocked, Blocked)
        | (PartlyBlocked, PartlyBlocked) => Change::Unchanged,
        (NotObserved, _) => Change::New,
        (_, NotObserved) => Change::NotSeenAgain,
        (Reached, _) | (PartlyBlocked, Blocked) => Change::Worse,
        (_, Reached) => Change::Fixed,
        (Blocked, PartlyBlocked) => Change::Better,
    }
}

/// `blocked (tcp-unanswered)`.
fn state_text(row: &ComparedRequirement) -> String {
    let state = row.state.map_or("", RequirementState::as_str);
    if row.mechanism.is_empty() { state.to_owned() } else { format!("{state} ({})", row.mechanism) }
}

/// Adds what the findings of a row say.
fn with_finding(row: ChangeRow, old: Option<&Finding>, new: Option<&Finding>) -> ChangeRow {
    let either = new.or(old);
    // `high AFS202 (tcp-unanswered)`.
    let text = |finding: &Finding| {
        let severity = finding.severity.map_or("", Severity::as_str);
        match finding.mechanism.as_str() {
            "" => format!("{severity} {}", finding.code),
            mechanism => format!("{severity} {} ({mechanism})", finding.code),
        }
    };
    ChangeRow {
        server: either.and_then(|finding| finding.server),
        before: old.map(text).unwrap_or_default(),
        after: new.map(text).unwrap_or(row.after),
        message: either.map(|finding| finding.message.clone()).unwrap_or_default(),
        references: either.map(|finding| finding.references.clone()).unwrap_or_default(),
        before_frames: old.map(|finding| finding.shown_by.clone()).unwrap_or_default(),
        after_frames: new.map(|finding| finding.shown_by.clone()).unwrap_or_default(),
        ..row
    }
}

/// A destination of the compared servers in one run.
#[derive(Default)]
struct ComparedDestination {
    servers: Vec<IpAddr>,
    contact: Contact,
}

impl ComparedDestination {
    fn add(&mut self, server: IpAddr, contact: &Contact) {
        if let Err(at) = self.servers.binary_search(&server) {
            self.servers.insert(at, server);
        }
        let all = &mut self.contact;
        all.destination_verdict = all.destination_verdict.max(contact.destination_verdict);
        all.port_verdict = all.port_verdict.max(contact.port_verdict);
        for (sum, flows) in all.outcomes.iter_mut().zip(contact.outcomes) {
            *sum += flows;
        }
        // The contacts come in no order.
        if all.references.is_empty()
            || (!contact.references.is_empty() && contact.references < all.references)
        {
            all.references.clone_from(&contact.references);
        }
    }

    /// `documented, port not-443`.
    fn verdict(&self) -> String {
        let destination = self.contact.destination_verdict.map_or("", |verdict| verdict.as_str());
        let port = self.contact.port_verdict.map_or("", |verdict| verdict.as_str());
        if port.is_empty() { destination.to_owned() } else { format!("{destination}, port {port}") }
    }

    /// ok, blocked-looking, or both; empty if no flow has a known outcome.
    fn outcome(&self) -> &'static str {
        match self.contact.outcomes {
            [0, 0, _] => "",
            [_, 0, _] => "ok",
            [0, _, _] => "blocked-looking",
            _ => "partly blocked-looking",
        }
    }

    fn change_to(&self, after: &ComparedDestination) -> Change {
        match (self.outcome(), after.outcome()) {
            _ if self.servers.is_empty() => Change::New,
            _ if after.servers.is_empty() => Change::NotSeenAgain,
            _ if self.verdict() != after.verdict() => Change::Changed,
            // Without a known outcome there is nothing to compare.
            ("", _) | (_, "") => Change::Unchanged,
            (old, new) if old == new => Change::Unchanged,
            (_, "ok") => Change::Fixed,
            ("blocked-looking", _) => Change::Better,
            _ => Change::Worse,
        }
    }

    fn text(&self) -> String {
        match (self.servers.is_empty(), self.outcome()) {
            (true, _) => String::new(),
            (_, "") => format!("{}, inconclusive", self.verdict()),
            (_, outcome) => format!("{}, {outcome}", self.verdict()),
        }
    }
}

/// `10.1.0.4, 10.1.0.5 and 12 more`.
pub(super) fn servers_text(servers: &[IpAddr]) -> String {
    let named: Vec<String> = servers.iter().take(NAMED_SERVERS).map(ToString::to_string).collect();
    match servers.len().saturating_sub(NAMED_SERVERS) {
        0 => named.join(", "),
        more => format!("{} and {} more", named.join(", "), grouped(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> IpAddr {
        IpAddr::from([10, 1, 0, 4])
    }

    fn requirement(state: RequirementState, mechanism: &str) -> ComparedRequirement {
        ComparedRequirement {
            server: Some(server()),
            service: "sync".into(),
            references: vec!["doc/row/1".into()],
            is_required: true,
            state: Some(state),
            mechanism: mechanism.into(),
            note: String::new(),
            shown_by: Default::default(),
        }
    }

    fn finding(code: &str, mechanism: &str, severity: Severity) -> Finding {
        Finding {
            server: Some(server()),
            code: code.into(),
            mechanism: mechanism.into(),
            target: "sync.example".into(),
            severity: Some(severity),
            message: String::new(),
            references: vec!["doc/row/1 (as meant)".into()],
            destination: "sync.example".into(),
            port: 443,
            shown_by: Default::default(),
        }
    }

    fn contact(run: &mut ComparedRun, outcomes: [u64; 3]) {
        let key = super::super::run::ContactKey {
            server: server(),
            destination: "sync.example".into(),
            port: 443,
            transport: "tcp".into(),
        };
        run.contacts.insert(key, Contact { outcomes, ..Contact::default() });
    }

    /// The changes of the findings of two runs, and whether each is worse.
    fn changes(before: &ComparedRun, after: &ComparedRun) -> Vec<(Change, bool)> {
        let differ = Differ { before, after, servers: &[server()], fail_on: Some(Severity::Medium) };
        let rows = differ.findings(&Needs::of([before, after]));
        rows.iter().map(|row| (row.change, row.is_worse)).collect()
    }

    #[test]
    fn every_pair_of_states_has_one_meaning() {
        use RequirementState::*;
        let words = |old: RequirementState| {
            [Reached, PartlyBlocked, Blocked, NotObserved].map(|new| state_change(old, new).as_str())
        };
        assert_eq!(words(Reached), ["unchanged", "worse", "worse", "not-seen-again"]);
        assert_eq!(words(PartlyBlocked), ["fixed", "unchanged", "worse", "not-seen-again"]);
        assert_eq!(words(Blocked), ["fixed", "better", "unchanged", "not-seen-again"]);
        assert_eq!(words(NotObserved), ["new", "new", "new", "unchanged"]);
    }

    #[test]
    fn an_endpoint_blocked_in_another_way_is_changed() {
        let [old, new] = ["tcp-unanswered", "tcp-refused"]
            .map(|mechanism| requirement(RequirementState::Blocked, mechanism));
        let row = requirement_row(Some(&&old), &new).unwrap();
        assert_eq!((row.change, row.is_worse), (Change::Changed, false));
        assert_eq!(
            (row.before.as_str(), row.after.as_str()),
            ("blocked (tcp-unanswered)", "blocked (tcp-refused)")
        );
    }

    #[test]
    fn a_finding_is_gone_only_if_its_destination_works() {
        let mut before = ComparedRun::default();
        before.findings.push(finding("AFS202", "tcp-unanswered", Severity::High));
        let mut after = ComparedRun::default();
        assert_eq!(changes(&before, &after), [(Change::NotSeenAgain, false)], "not contacted");
        for (outcomes, expected) in
            [([0, 0, 3], Change::NotSeenAgain), ([1, 1, 0], Change::NotSeenAgain), ([1, 0, 3], Change::Gone)]
        {
            contact(&mut after, outcomes);
            assert_eq!(changes(&before, &after), [(expected, false)], "{outcomes:?}");
        }
    }

    #[test]
    fn a_name_is_fixed_when_it_resolves() {
        let mut before = ComparedRun::default();
        before.findings.push(Finding { port: 53, ..finding("AFS301", "dns-nxdomain", Severity::High) });
        let mut after = ComparedRun::default();
        for (answer, expected) in
            [(None, Change::NotSeenAgain), (Some(false), Change::NotSeenAgain), (Some(true), Change::Gone)]
        {
            if let Some(answer) = answer {
                after.resolved.insert((server(), "sync.example".into()), answer);
            }
            assert_eq!(changes(&before, &after), [(expected, false)], "{answer:?}");
        }
    }

    #[test]
    fn new_findings_are_worse_from_a_severity_on() {
        let run = |findings: Vec<Finding>| ComparedRun { findings, ..ComparedRun::default() };
        let (none, low) = (run(vec![]), run(vec![finding("AFS101", "", Severity::Low)]));
        let high = run(vec![finding("AFS101", "", Severity::High)]);
        assert_eq!(changes(&none, &low), [(Change::New, false)]);
        assert_eq!(changes(&none, &high), [(Change::New, true)]);
        assert_eq!(changes(&low, &high), [(Change::Worse, true)]);
        assert_eq!(changes(&high, &low), [(Change::Better, false)]);
        assert_eq!(changes(&high, &high), [(Change::Unchanged, false)]);
    }

    #[test]
    fn a_refusal_in_place_of_silence_is_no_new_finding() {
        let run = |code, mechanism| ComparedRun {
            findings: vec![finding(code, mechanism, Severity::High)],
            ..ComparedRun::default()
        };
        let (silent, refused) = (run("AFS202", "tcp-unanswered"), run("AFS201", "tcp-refused"));
        assert_eq!(changes(&silent, &refused), [(Change::Changed, false)]);
        let other = run("AFS101", "");
        assert_eq!(changes(&silent, &other), [(Change::NotSeenAgain, false), (Change::New, true)]);
    }

    #[test]
    fn a_finding_about_a_required_endpoint_has_its_need() {
        let mut run = ComparedRun::default();
        run.requirements.push(requirement(RequirementState::Blocked, "tcp-unanswered"));
        run.findings.push(finding("AFS202", "tcp-unanswered", Severity::High));
        run.findings.push(finding("AFS403", "", Severity::High));
        let empty = ComparedRun::default();
        let differ = Differ { before: &empty, after: &run, servers: &[server()], fail_on: None };
        let rows = differ.findings(&Needs::of([&empty, &run]));
        let need_of = |code: &str| rows.iter().find(|row| row.after.contains(code)).map(|row| row.need);
        assert_eq!(need_of("AFS202"), Some(ChangeNeed::Required));
        assert_eq!(need_of("AFS403"), Some(ChangeNeed::None), "it was reached");
    }

    #[test]
    fn destinations_compare_known_outcomes_only() {
        let of = |outcomes: [u64; 3]| {
            let mut destination = ComparedDestination::default();
            destination.add(server(), &Contact { outcomes, ..Contact::default() });
            destination
        };
        let check = |old, new, expected| assert_eq!(of(old).change_to(&of(new)), expected, "{old:?} {new:?}");
        check([1, 0, 0], [0, 1, 0], Change::Worse);
        check([1, 0, 0], [1, 1, 0], Change::Worse);
        check([0, 1, 0], [1, 1, 0], Change::Better);
        check([0, 1, 0], [1, 0, 0], Change::Fixed);
        check([0, 1, 0], [0, 0, 1], Change::Unchanged);
        assert_eq!(of([0, 1, 0]).change_to(&ComparedDestination::default()), Change::NotSeenAgain);
        assert_eq!(ComparedDestination::default().change_to(&of([0, 1, 0])), Change::New);
    }
}
