//! Follows the problems of a live run: each is ongoing, has recovered, or was not seen again.
//!
//! In:  occurrences of findings, also of flows that are still open; what succeeded; the clock.
//! Out: a report when a problem begins, recovers or begins again, and once an hour while it is ongoing.
//! Not: the findings of the evidence. They start anew with each interval, problems do not.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::collector::FindingKey;
use super::collector::FindingTarget;
use super::collector::Occurrence;
use crate::base::Address;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::rows::FindingRow;
use crate::judge::vocabulary::ProblemChange;
use crate::judge::vocabulary::ProblemState;

/// Problems that are followed. At the limit, the half that did not occur for longest is dropped.
const MAX_PROBLEMS: usize = 1 << 12;

/// A problem that did not occur for so long is not ongoing. Agents of the audited products try again every few minutes.
const QUIET_NANOS: u64 = 15 * 60 * SECOND_NANOS;

/// While a problem is ongoing, it is reported so often.
const REMINDER_NANOS: u64 = 3600 * SECOND_NANOS;

/// Where a name has several addresses, one of them may work while another does not. So a success at another address counts
/// only so long after the last occurrence.
const OTHER_SERVER_NANOS: u64 = 60 * SECOND_NANOS;

/// Changes of a problem that are reported at once: it begins, recovers, begins again. Later ones are held back for a minute, and
/// twice as long each time, up to an hour: a problem that comes and goes with every connection must not flood a log.
const PROMPT_CHANGES: u32 = 3;
const FIRST_HOLD_NANOS: u64 = 60 * SECOND_NANOS;

/// Flows that are counted while they are open. The end of others is counted.
const MAX_OPEN_FLOWS: usize = 64;

const SECOND_NANOS: u64 = 1_000_000_000;

/// A finding over the time of a live run.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The finding when it first occurred.
    pub finding: Arc<FindingRow>,
    /// How it is now.
    pub state: ProblemState,
    /// The first occurrence.
    pub first_seen: Time,
    /// The last occurrence.
    pub last_seen: Time,
    /// Flows or DNS messages that showed it.
    pub count: u64,
}

/// A change of a problem.
#[derive(Clone, Debug)]
pub struct ProblemReport {
    /// What has changed.
    pub change: ProblemChange,
    /// When.
    pub time: Time,
    /// The problem after the change.
    pub problem: Problem,
}

/// The problems of a run at one time.
#[derive(Clone, Debug, Default)]
pub struct ProblemList {
    /// How many there are, in the order of [`ProblemState::ALL`].
    pub states: [u64; 3],
    /// Those that occurred or changed last, the latest last.
    pub latest: Vec<Problem>,
}

/// What succeeded: a flow, or the resolution of a name.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Success<'a> {
    pub(in crate::judge) client: Address,
    /// What a finding about it would have as target.
    pub(in crate::judge) targets: &'a [FindingTarget<'a>],
    /// The port that was requested; of a name none.
    pub(in crate::judge) port: Option<u16>,
    /// The server of the flow.
    pub(in crate::judge) server: Option<Endpoint>,
    /// When the flow or the query began.
    pub(in crate::judge) began: Time,
    pub(in crate::judge) time: Time,
}

/// Whether the flow that shows an occurrence has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum FlowStage {
    Open,
    Ended,
}

/// The problems so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    limit: usize,
    followed: Vec<FollowedProblem>,
    /// Places in `followed`.
    by_key: HashMap<FindingKey, u32, foldhash::fast::RandomState>,
    /// The same by the hash of host and target.
    by_target: HashMap<u64, SmallVec<[u32; 2]>, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    now: Time,
    reports: Vec<ProblemReport>,
}

#[derive(Debug)]
struct FollowedProblem {
    key: FindingKey,
    problem: Problem,
    /// When it last occurred or recovered, by the clock of the run: a flow may be long.
    changed: Time,
    /// The state in the last report, and the time of that report.
    reported: ProblemState,
    reported_at: Time,
    /// Reports of changes.
    changes: u32,
    /// Where it last occurred.
    server: Option<Endpoint>,
    /// Flows that were counted and have not ended.
    open_flows: SmallVec<[u64; 2]>,
}

impl Problems {
    /// No problems yet, and at most `limit`.
    pub(super) fn new(limit: usize) -> Problems {
        Problems { limit: limit.clamp(2, MAX_PROBLEMS), ..Problems::default() }
    }

    /// Adds an occurrence. `row` is called for a new problem.
    pub(super) fn occurred(
        &mut self,
        occurrence: &Occurrence<'_>,
        stage: FlowStage,
        row: impl FnOnce() -> FindingRow,
    ) {
        self.now = self.now.max(occurrence.time);
        let now = self.now;
        if let Some(place) = self.by_key.get(&occurrence.key()) {
            if let Some(followed) = self.followed.get_mut(*place as usize)
                && followed.counts(occurrence, stage)
            {
                followed.add(occurrence, now);
                self.reports.extend(followed.due_report(now));
            }
            return;
        }
        if self.followed.len() >= self.limit {
            self.drop_oldest();
        }
        let finding = Arc::new(row());
        let mut open_flows = SmallVec::new();
        open_flows.extend(occurrence.flow.filter(|_| stage == FlowStage::Open));
        let problem = Problem {
            finding,
            state: ProblemState::Ongoing,
            first_seen: occurrence.time,
            last_seen: occurrence.time,
            count: 1,
        };
        self.reports.push(ProblemReport {
            change: ProblemChange::Began,
            time: now,
            problem: problem.clone(),
        });
        self.insert(FollowedProblem {
            key: occurrence.key().to_owned(),
            problem,
            changed: now,
            reported: ProblemState::Ongoing,
            reported_at: now,
            changes: 1,
            server: occurrence.server,
            open_flows,
        });
    }

    /// A host reached something, or resolved a name.
    pub(super) fn succeeded(&mut self, success: &Success<'_>) {
        if self.followed.is_empty() {
            return;
        }
        self.now = self.now.max(success.time);
        for target in success.targets {
            let hash = self.hasher.hash_one((Some(success.client), *target));
            for place in self.by_target.get(&hash).into_iter().flatten() {
                if let Some(followed) = self.followed.get_mut(*place as usize)
                    && followed.is_cleared_by(success, *target)
                {
                    followed.problem.state = ProblemState::Recovered;
                    followed.changed = self.now;
                    self.reports.extend(followed.due_report(self.now));
                }
            }
        }
    }

    /// The clock of the run.
    pub(super) fn heartbeat(&mut self, time: Time) {
        self.now = self.now.max(time);
        for followed in &mut self.followed {
            let is_quiet = self.now.since(followed.changed) >= QUIET_NANOS;
            if is_quiet && followed.problem.state == ProblemState::Ongoing {
                followed.problem.state = ProblemState::NotSeenAgain;
                followed.reported = ProblemState::NotSeenAgain;
            }
            self.reports.extend(followed.due_report(self.now));
        }
    }

    /// The reports since the last call.
    pub(super) fn take_reports(&mut self) -> Vec<ProblemReport> {
        std::mem::take(&mut self.reports)
    }

    /// Counts, and the `len` problems that occurred or changed last.
    pub(super) fn list(&self, len: usize) -> ProblemList {
        let mut states = [0; 3];
        for followed in &self.followed {
            if let Some(count) = states.get_mut(followed.problem.state as usize) {
                *count += 1;
            }
        }
        let mut latest: Vec<(Time, usize)> =
            self.followed.iter().enumerate().map(|(place, followed)| (followed.changed, place)).collect();
        if latest.len() > len {
            let first = latest.len() - len;
            latest.select_nth_unstable(first);
            latest.drain(..first);
        }
        latest.sort_unstable();
        let problem = |(_, place): (Time, usize)| self.followed.get(place).map(|one| one.problem.clone());
        ProblemList { states, latest: latest.into_iter().filter_map(problem).collect() }
    }

    fn insert(&mut self, followed: FollowedProblem) {
        let place = self.followed.len() as u32;
        let key = followed.key.borrow();
        let hash = self.hasher.hash_one((key.audited_host, key.target));
        self.by_target.entry(hash).or_default().push(place);
        self.by_key.insert(followed.key.clone(), place);
        self.followed.push(followed);
    }

    fn drop_oldest(&mut self) {
        let mut followed = std::mem::take(&mut self.followed);
        self.by_key.clear();
        self.by_target.clear();
        followed.sort_by_key(|followed| followed.changed);
        for kept in followed.drain(self.limit / 2..) {
            self.insert(kept);
        }
    }
}

impl FollowedProblem {
    /// Whether an occurrence is another one. The end of a flow that was counted while it was open is not, nor is a DNS message
    /// that was counted before: all of an interval are added again at its end.
    fn counts(&mut self, occurrence: &Occurrence<'_>, stage: FlowStage) -> bool {
        let Some(flow) = occurrence.flow else { return occurrence.time > self.problem.last_seen };
        let place = self.open_flows.iter().position(|open| *open == flow);
        match (stage, place) {
            (FlowStage::Open, Some(_)) => false,
            (FlowStage::Open, None) if self.open_flows.len() >= MAX_OPEN_FLOWS => false,
            (FlowStage::Open, None) => {
                self.open_flows.push(flow);
                true
            }
            (FlowStage::Ended, Some(place)) => {
                self.open_flows.swap_remove(place);
                false
            }
            (FlowStage::Ended, None) => true,
        }
    }

    fn add(&mut self, occurrence: &Occurrence<'_>, now: Time) {
        let problem = &mut self.problem;
        problem.count += 1;
        problem.first_seen = problem.first_seen.min(occurrence.time);
        problem.last_seen = problem.last_seen.max(occurrence.time);
        problem.state = ProblemState::Ongoing;
        self.changed = now;
        self.server = occurrence.server;
    }

    fn is_cleared_by(&self, success: &Success<'_>, target: FindingTarget<'_>) -> bool {
        let Problem { finding, state, last_seen, .. } = &self.problem;
        let is_of_target = self.key.borrow().target == target && finding.audited_host == Some(success.client);
        // A name that was resolved says nothing about a port. A flow to the name shows that it was resolved.
        let is_of_port = self.key.borrow().port.is_none_or(|port| success.port == Some(port));
        // What only contradicts the documents does not recover by success.
        let can_recover = finding.mechanism.is_some() && *state != ProblemState::Recovered;
        let is_conclusive = success.port.is_none()
            || self.server.map(|server| server.address) == success.server.map(|server| server.address)
            || success.began.since(*last_seen) >= OTHER_SERVER_NANOS;
        is_of_target && is_of_port && can_recover && success.began > *last_seen && is_conclusive
    }

    /// The report that is due, if any.
    fn due_report(&mut self, now: Time) -> Option<ProblemReport> {
        let since_report = now.since(self.reported_at);
        let change = match (self.reported, self.problem.state) {
            (reported, state) if reported == state => {
                let is_due = state == ProblemState::Ongoing && since_report >= REMINDER_NANOS;
                is_due.then_some(ProblemChange::Lasts)?
            }
            (_, ProblemState::Ongoing) => ProblemChange::BeganAgain,
            (_, ProblemState::Recovered) => ProblemChange::Recovered,
            (_, ProblemState::NotSeenAgain) => return None,
        };
        if change != ProblemChange::Lasts {
            if since_report < self.hold_nanos() {
                return None;
            }
            self.changes += 1;
        }
        (self.reported, self.reported_at) = (self.problem.state, now);
        Some(ProblemReport { change, time: now, problem: self.problem.clone() })
    }

    /// How long after the last report a change is reported.
    fn hold_nanos(&self) -> u64 {
        match self.changes.checked_sub(PROMPT_CHANGES) {
            Some(later @ 0..6) => FIRST_HOLD_NANOS << later,
            Some(_) => REMINDER_NANOS,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HostName;
    use crate::judge::catalogue::FindingCode;
    use crate::judge::catalogue::Mechanism;
    use crate::judge::finding::collector::test_row;
    use crate::judge::policy::need::Need;
    use crate::judge::vocabulary::Severity;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);
    const SERVER: Endpoint = Endpoint { address: Address::v4([20, 60, 0, 4]), port: 443 };
    const OTHER: Endpoint = Endpoint { address: Address::v4([20, 60, 0, 5]), port: 443 };

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    fn name() -> Arc<HostName> {
        Arc::new(crate::judge::test_support::host("files.example"))
    }

    fn refused<'a>(name: &'a Arc<HostName>, flow: u64, second: i64) -> Occurrence<'a> {
        Occurrence {
            code: FindingCode::ConnectionRefused,
            mechanism: Some(Mechanism::TcpRefused),
            confidence: None,
            audited_host: Some(CLIENT),
            target: FindingTarget::Name(name),
            port: Some(443),
            issuer: None,
            shared: None,
            need: Need::Required,
            server: Some(SERVER),
            flow: Some(flow),
            proof: None,
            frames: &[],
            recommendation: None,
            at_most: Severity::High,
            may_pass: false,
            time: at(second),
            references: "",
            documents: "",
        }
    }

    /// Problems of one name.
    struct Run {
        problems: Problems,
        name: Arc<HostName>,
    }

    impl Run {
        fn new() -> Run {
            Run { problems: Problems::new(100), name: name() }
        }

        fn occur(&mut self, flow: u64, second: i64, stage: FlowStage) {
            let occurrence = refused(&self.name, flow, second);
            self.problems.occurred(&occurrence, stage, || test_row(&occurrence));
        }

        fn succeed(&mut self, server: Endpoint, port: Option<u16>, second: i64) {
            self.problems.succeeded(&Success {
                client: CLIENT,
                targets: &[FindingTarget::Name(&self.name)],
                port,
                server: Some(server),
                began: at(second),
                time: at(second),
            });
        }

        /// The changes that were reported, and the count in each.
        fn reports(&mut self) -> Vec<(ProblemChange, u64)> {
            self.problems
                .take_reports()
                .into_iter()
                .map(|report| (report.change, report.problem.count))
                .collect()
        }

        fn state(&self) -> ProblemState {
            self.problems.list(1).latest[0].state
        }
    }

    use FlowStage::Ended;
    use FlowStage::Open;
    use ProblemChange::Began;
    use ProblemChange::BeganAgain;
    use ProblemChange::Lasts;
    use ProblemChange::Recovered;

    #[test]
    fn a_problem_begins_recovers_and_begins_again() {
        let mut run = Run::new();
        run.occur(1, 100, Ended);
        run.occur(2, 110, Ended);
        assert_eq!(run.reports(), [(Began, 1)]);
        run.succeed(SERVER, Some(443), 120);
        assert_eq!(run.reports(), [(Recovered, 2)]);
        run.succeed(SERVER, Some(443), 121);
        run.occur(3, 130, Ended);
        assert_eq!(run.reports(), [(BeganAgain, 3)]);
        assert_eq!(run.problems.list(9).states, [1, 0, 0]);
    }

    #[test]
    fn a_flow_counts_once_however_often_it_is_reported() {
        let mut run = Run::new();
        for stage in [Open, Open, Ended] {
            run.occur(1, 100, stage);
        }
        run.occur(2, 101, Open);
        assert_eq!(run.problems.list(9).latest[0].count, 2);
        run.occur(2, 101, Ended);
        run.occur(3, 102, Ended);
        assert_eq!(run.problems.list(9).latest[0].count, 3);
    }

    #[test]
    fn only_a_later_success_on_the_same_port_clears_a_problem() {
        let check = |server: Endpoint, port: Option<u16>, second: i64, expected: ProblemState| {
            let mut run = Run::new();
            run.occur(1, 100, Ended);
            run.succeed(server, port, second);
            assert_eq!(run.state(), expected, "{server:?} {port:?} {second}");
        };
        check(SERVER, Some(443), 101, ProblemState::Recovered);
        // It had begun before the problem occurred.
        check(SERVER, Some(443), 99, ProblemState::Ongoing);
        check(SERVER, Some(445), 101, ProblemState::Ongoing);
        // The name was resolved.
        check(SERVER, None, 101, ProblemState::Ongoing);
        // Another address of the name works, as it may have before.
        check(OTHER, Some(443), 101, ProblemState::Ongoing);
        check(OTHER, Some(443), 160, ProblemState::Recovered);
    }

    #[test]
    fn what_contradicts_the_documents_does_not_recover() {
        let mut run = Run::new();
        let unexpected = Occurrence { mechanism: None, ..refused(&run.name, 1, 100) };
        run.problems.occurred(&unexpected, Ended, || test_row(&unexpected));
        run.succeed(SERVER, Some(443), 120);
        assert_eq!(run.state(), ProblemState::Ongoing);
    }

    #[test]
    fn a_problem_without_occurrences_is_not_seen_again() {
        let mut run = Run::new();
        run.occur(1, 100, Ended);
        run.problems.heartbeat(at(100 + 899));
        assert_eq!(run.state(), ProblemState::Ongoing);
        run.problems.heartbeat(at(100 + 900));
        assert_eq!(run.state(), ProblemState::NotSeenAgain);
        // Which is no news, but its next occurrence is.
        assert_eq!(run.reports(), [(Began, 1)]);
        run.occur(2, 5000, Ended);
        assert_eq!(run.reports(), [(BeganAgain, 2)]);
        // Success shows more than silence.
        run.problems.heartbeat(at(6000));
        run.succeed(SERVER, Some(443), 6001);
        assert_eq!(run.state(), ProblemState::Recovered);
    }

    #[test]
    fn an_ongoing_problem_is_reported_once_an_hour() {
        let mut run = Run::new();
        for minute in 0..=120 {
            run.occur(minute, 100 + 60 * minute as i64, Ended);
            run.problems.heartbeat(at(100 + 60 * minute as i64));
        }
        assert_eq!(run.reports(), [(Began, 1), (Lasts, 61), (Lasts, 121)]);
    }

    #[test]
    fn a_problem_that_comes_and_goes_is_reported_less_and_less_often() {
        let mut run = Run::new();
        // Twice a minute for a day.
        for half_minute in 0..2880 {
            let second = 100 + 30 * half_minute;
            run.occur(half_minute as u64, second, Ended);
            run.succeed(SERVER, Some(443), second + 1);
            run.problems.heartbeat(at(second + 2));
        }
        let reports = run.reports();
        assert_eq!(reports[..3], [(Began, 1), (Recovered, 1), (BeganAgain, 2)]);
        assert!((20..40).contains(&reports.len()), "{}", reports.len());
    }

    #[test]
    fn messages_of_an_interval_count_once() {
        let mut run = Run::new();
        let dns = |second| Occurrence { flow: None, port: None, ..refused(&run.name, 0, second) };
        // As they occur, and again at the end of the interval.
        for second in [100, 105, 100, 105, 110] {
            run.problems.occurred(&dns(second), Ended, || test_row(&dns(second)));
        }
        assert_eq!(run.problems.list(1).latest[0].count, 3);
        run.succeed(SERVER, None, 120);
        assert_eq!(run.state(), ProblemState::Recovered);
    }

    #[test]
    fn at_the_limit_the_oldest_half_is_dropped() {
        let mut problems = Problems::new(4);
        let names: Vec<Arc<HostName>> = (0..5)
            .map(|number| Arc::new(crate::judge::test_support::host(&format!("host{number}.example"))))
            .collect();
        for (second, name) in names.iter().enumerate() {
            let occurrence = refused(name, 1, second as i64);
            problems.occurred(&occurrence, Ended, || test_row(&occurrence));
        }
        assert_eq!(problems.list(9).states, [3, 0, 0]);
        // The indexes are those of the problems that remain.
        problems.succeeded(&Success {
            client: CLIENT,
            targets: &[FindingTarget::Name(&names[3])],
            port: Some(443),
            server: Some(SERVER),
            began: at(50),
            time: at(50),
        });
        let list = problems.list(1);
        assert_eq!((list.states, list.latest[0].last_seen), ([2, 1, 0], at(3)));
    }
}
