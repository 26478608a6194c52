//! What is wrong with DNS responses for documented names.
//!
//! In:  responses that audited clients received, and queries without a response.
//! Out: anomalies, unless a later response cleared them.
//! Not: the flows that follow.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::resolved_names::ResolvedBy;
use super::resolved_names::ResolvedNames;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Proof;
use crate::judge::hashed_name::ClientName;
use crate::judge::hashed_name::ClientNameRef;
use crate::judge::hashed_name::HashedName;
use crate::judge::policy::name_class::in_private_zone;
use crate::judge::policy::name_table::KnownName;
use crate::judge::vocabulary::Confidence;
use crate::read::AnswerData;
use crate::read::Resolution;
use crate::rules::Middleboxes;

/// Anomalies that are kept: seven eighths of a power of two is what a hash table holds without growing.
const MAX_ANOMALIES: usize = 7 << 10;

/// Responses that are kept to notice a second one.
const MAX_RESPONSES: usize = 7 << 8;

/// Frames of one anomaly that are kept.
const MAX_FRAMES: usize = 10;

/// Responses that race arrive together. Responses to retransmitted queries arrive as far apart as the queries, some of which the
/// capture may have missed.
const RACE_NANOS: u64 = 300_000_000;

/// A resolver may respond so late: 4 to 13 seconds were seen where servers on the path to the name's zone failed.
pub(in crate::judge) const RESPONSE_NANOS: u64 = 15_000_000_000;

/// A stub resolver repeats a query after a second or more (RFC 9715 has no number; Windows and glibc wait 1 to 5 s). Queries that
/// are closer together are duplicate frames, or one query to several ports.
const RETRANSMISSION_NANOS: u64 = 500_000_000;

/// This many queries over this time outlast two time-outs of a stub resolver, whatever the capture shows after the last one.
const GIVEN_UP_QUERIES: u32 = 3;
const GIVEN_UP_NANOS: u64 = 3_000_000_000;

/// Record types (RFC 1035 §3.2.2, RFC 3596 §2.1).
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// Response codes (RFC 1035 §4.1.1).
const NOERROR: u16 = 0;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// Extended errors of a resolver that filters (RFC 8914 §4): Forged Answer, Blocked, Censored, Filtered, Prohibited.
const FILTER_ERRORS: [u16; 5] = [4, 15, 16, 17, 18];

/// Something wrong with the responses for one name to one client.
#[derive(Clone, Debug)]
pub(in crate::judge) struct DnsAnomaly {
    pub(in crate::judge) mechanism: Mechanism,
    pub(in crate::judge) confidence: Confidence,
    pub(in crate::judge) client: Address,
    pub(in crate::judge) known: Arc<KnownName>,
    pub(in crate::judge) resolver: Endpoint,
    /// The first address of the response.
    pub(in crate::judge) address: Option<Address>,
    /// The last alias (CNAME) of the response.
    pub(in crate::judge) alias: Option<Box<HostName>>,
    /// A resolver that knew the name about that time.
    pub(in crate::judge) resolved_by: Option<ResolvedBy>,
    /// The first frames.
    first: SmallVec<[(FrameRef, Time); 2]>,
    last: (FrameRef, Time),
    count: usize,
}

impl DnsAnomaly {
    /// The frame and time of each occurrence; of those that are not kept, the last one.
    pub(in crate::judge) fn occurrences(&self) -> impl Iterator<Item = &(FrameRef, Time)> {
        (0..self.count).map(|index| self.first.get(index).unwrap_or(&self.last))
    }

    /// The times of the first and the last occurrence.
    pub(in crate::judge) fn span(&self) -> (Time, Time) {
        let (_, last) = self.last;
        (self.first.first().map_or(last, |(_, first)| *first), last)
    }

    fn add(&mut self, occurrence: (FrameRef, Time)) {
        self.count += 1;
        self.last = occurrence;
        if self.first.len() < MAX_FRAMES {
            self.first.push(occurrence);
        }
    }
}

/// Where the aliases of a response lead.
fn last_alias(resolution: &Resolution) -> Option<Box<HostName>> {
    resolution.answers.iter().rev().find_map(|answer| match &answer.data {
        AnswerData::Name(name) if answer.kind == CNAME => Some(Box::new(name.clone())),
        _ => None,
    })
}

/// What a lookup is for the problems of a live run.
#[derive(Debug)]
pub(in crate::judge) enum LookupResult<'a> {
    /// An anomaly that no later response clears.
    Final(&'a DnsAnomaly),
    /// The name was resolved.
    Resolved,
    /// Neither; or an anomaly that a later response may clear, see [`DnsAnomalies::take_fresh`].
    Nothing,
}

/// An occurrence that the next response may clear.
#[derive(Debug)]
struct FreshOccurrence {
    key: ClientName,
    mechanism: Mechanism,
    place: (FrameRef, Time),
}

/// A client that gets an error from one resolver asks the next one at once.
const FRESH_NANOS: u64 = 250_000_000;

/// Occurrences that wait. Further ones are reported at the end of the interval.
const MAX_FRESH: usize = 1 << 10;

/// Whether a later good response clears the anomaly: the resolver had failed, or is one of several and knows less.
fn is_cleared_by_success(mechanism: Mechanism) -> bool {
    mechanism.finding().entry().proof != Proof::DnsResponse
}

/// A response for a documented name, or a query without one.
pub(in crate::judge) struct DnsLookup<'a> {
    pub(in crate::judge) client: Address,
    pub(in crate::judge) resolver: Endpoint,
    /// Number of the flow.
    pub(in crate::judge) flow: u64,
    pub(in crate::judge) resolution: &'a Resolution,
    pub(in crate::judge) addresses: &'a [Address],
    pub(in crate::judge) known: &'a Arc<KnownName>,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
    /// How long the capture continues after the last query that has no response.
    pub(in crate::judge) waited_nanos: Option<u64>,
}

impl DnsLookup<'_> {
    /// The query was sent again, and either outlasted two timeouts or was followed by enough of the capture for a response.
    fn is_retransmitted_in_vain(&self) -> bool {
        let Resolution { query_count, query_time, last_query_time, .. } = self.resolution;
        let (Some(first), Some(last)) = (query_time, last_query_time) else { return false };
        let has_given_up = *query_count >= GIVEN_UP_QUERIES && last.since(*first) >= GIVEN_UP_NANOS;
        *query_count > 1
            && last.since(*first) >= RETRANSMISSION_NANOS
            && (has_given_up || self.waited_nanos.is_some_and(|waited| waited >= RESPONSE_NANOS))
    }
}

/// What has to be known about addresses.
pub(in crate::judge) struct DnsContext<'a> {
    pub(in crate::judge) middleboxes: &'a Middleboxes,
    /// Whether the site declares private endpoints at an address.
    pub(in crate::judge) is_declared_private: &'a dyn Fn(Address) -> bool,
    /// An anomaly of this lookup is reported: it belongs to the audited part of the capture.
    pub(in crate::judge) is_reported: bool,
    /// The capture lost frames at that time: silence means nothing.
    pub(in crate::judge) may_be_lost: bool,
}

/// The first response to a query.
#[derive(Debug)]
struct FirstResponse {
    /// Empty where the name does not exist.
    addresses: SmallVec<[Address; 1]>,
    /// How many more responses the captured queries allow.
    open_queries: u32,
    time: Time,
}

/// A conversation, a name and a record type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct QueryKey {
    flow: u64,
    name: HashedName,
    query_type: u16,
}

/// The same, borrowed for lookups.
#[derive(Hash)]
struct QueryKeyRef<'a> {
    flow: u64,
    name: &'a HashedName,
    query_type: u16,
}

impl hashbrown::Equivalent<QueryKey> for QueryKeyRef<'_> {
    fn equivalent(&self, key: &QueryKey) -> bool {
        self.flow == key.flow && self.query_type == key.query_type && *self.name == key.name
    }
}

/// The anomalies so far.
#[derive(Debug)]
pub(in crate::judge) struct DnsAnomalies {
    by_name: HashMap<ClientName, Vec<DnsAnomaly>, foldhash::fast::RandomState>,
    /// How many there are.
    len: usize,
    /// Occurrences that did not fit.
    missed: u64,
    /// Of a live run: occurrences that are not reported yet.
    fresh: Option<VecDeque<FreshOccurrence>>,
    responses: BoundedMap<QueryKey, FirstResponse>,
    resolved: ResolvedNames,
}

impl Default for DnsAnomalies {
    fn default() -> DnsAnomalies {
        DnsAnomalies {
            by_name: HashMap::default(),
            len: 0,
            missed: 0,
            fresh: None,
            responses: BoundedMap::new(MAX_RESPONSES),
            resolved: ResolvedNames::default(),
        }
    }
}

impl DnsAnomalies {
    /// From now on occurrences are kept for [`DnsAnomalies::take_fresh`].
    pub(in crate::judge) fn follow_fresh(&mut self) {
        self.fresh = Some(VecDeque::new());
    }

    /// The anomalies that occurred and were not cleared at once, each with the occurrence.
    pub(in crate::judge) fn take_fresh(&mut self, now: Time) -> Vec<(DnsAnomaly, (FrameRef, Time))> {
        let mut taken = Vec::new();
        while let Some(fresh) = &mut self.fresh
            && fresh.front().is_some_and(|first| now.since(first.place.1) >= FRESH_NANOS)
            && let Some(FreshOccurrence { key, mechanism, place }) = fresh.pop_front()
        {
            let anomalies = self.by_name.get(&key).into_iter().flatten();
            let found = anomalies.into_iter().find(|anomaly| anomaly.mechanism == mechanism);
            taken.extend(found.map(|anomaly| (anomaly.clone(), place)));
        }
        taken
    }

    /// Adds a lookup.
    pub(in crate::judge) fn add(
        &mut self,
        lookup: &DnsLookup<'_>,
        context: &DnsContext<'_>,
    ) -> LookupResult<'_> {
        if !lookup.known.is_documented() || !matches!(lookup.resolution.query_type, A | AAAA) {
            return LookupResult::Nothing;
        }
        let key = ClientNameRef { client: lookup.client, name: &lookup.known.name };
        let Some((mechanism, confidence)) = self.classify(lookup, context) else {
            if lookup.addresses.is_empty() {
                return LookupResult::Nothing;
            }
            self.succeeded(key);
            self.resolved.add(lookup);
            return LookupResult::Resolved;
        };
        // Silence is reported when the conversation ends: the resolver may have answered the client meanwhile.
        let is_over = mechanism == Mechanism::DnsNoAnswer && self.resolved.has_since(lookup);
        if !context.is_reported || is_over {
            return LookupResult::Nothing;
        }
        let is_full = self.len >= MAX_ANOMALIES;
        let occurrence = (lookup.frame, lookup.time);
        let is_final = !is_cleared_by_success(mechanism);
        if !is_final && let Some(fresh) = self.fresh.as_mut().filter(|fresh| fresh.len() < MAX_FRESH) {
            fresh.push_back(FreshOccurrence { key: key.to_owned(), mechanism, place: occurrence });
        }
        let place = self
            .by_name
            .get(&key)
            .and_then(|anomalies| anomalies.iter().position(|anomaly| anomaly.mechanism == mechanism));
        if place.is_none() && is_full {
            self.missed += 1;
            return LookupResult::Nothing;
        }
        self.len += usize::from(place.is_none());
        let anomalies = self.by_name.entry(key.to_owned()).or_default();
        let place = place.unwrap_or(anomalies.len());
        match anomalies.get_mut(place) {
            Some(anomaly) => anomaly.add(occurrence),
            None => anomalies.push(DnsAnomaly {
                mechanism,
                confidence,
                client: lookup.client,
                known: Arc::clone(lookup.known),
                resolver: lookup.resolver,
                address: lookup.addresses.first().copied(),
                alias: last_alias(lookup.resolution),
                resolved_by: None,
                first: SmallVec::from_iter([occurrence]),
                last: occurrence,
                count: 1,
            }),
        }
        anomalies.get(place).filter(|_| is_final).map_or(LookupResult::Nothing, LookupResult::Final)
    }

    /// The name was resolved or reached: the client was not kept from it.
    pub(in crate::judge) fn succeeded(&mut self, key: ClientNameRef<'_>) {
        let Some(anomalies) = self.by_name.get_mut(&key) else { return };
        let before = anomalies.len();
        anomalies.retain(|anomaly| !is_cleared_by_success(anomaly.mechanism));
        self.len -= before - anomalies.len();
        if anomalies.is_empty() {
            self.by_name.remove(&key);
        }
    }

    /// Occurrences that did not fit.
    pub(in crate::judge) fn missed(&self) -> u64 {
        self.missed
    }

    /// All anomalies by client and time. Starts anew.
    pub(in crate::judge) fn take(&mut self) -> Vec<DnsAnomaly> {
        (self.len, self.missed) = (0, 0);
        let mut anomalies: Vec<DnsAnomaly> =
            std::mem::take(&mut self.by_name).into_values().flatten().collect();
        let resolved = std::mem::take(&mut self.resolved);
        for anomaly in &mut anomalies {
            anomaly.resolved_by = resolved.find(anomaly);
        }
        anomalies.sort_by(|a, b| {
            let key = |anomaly: &DnsAnomaly| {
                (anomaly.client, anomaly.first.first().copied(), anomaly.mechanism.finding())
            };
            key(a).cmp(&key(b))
        });
        anomalies
    }

    /// What is wrong with a response.
    fn classify(
        &mut self,
        lookup: &DnsLookup<'_>,
        context: &DnsContext<'_>,
    ) -> Option<(Mechanism, Confidence)> {
        let resolution = lookup.resolution;
        let Some(rcode) = resolution.rcode else {
            let is_unanswered = lookup.is_retransmitted_in_vain() && !context.may_be_lost;
            return is_unanswered.then_some((Mechanism::DnsNoAnswer, Confidence::Weak));
        };
        if resolution.extended_error.as_ref().is_some_and(|(code, _)| FILTER_ERRORS.contains(code)) {
            return Some((Mechanism::DnsBlockedByResolver, Confidence::Certain));
        }
        let is_conclusive = !lookup.addresses.is_empty() || rcode == NXDOMAIN;
        if matches!(rcode, NOERROR | NXDOMAIN)
            && is_conclusive
            && let Some(confidence) = self.conflicts_with_first(lookup)
        {
            return Some((Mechanism::DnsTwoAnswers, confidence));
        }
        match rcode {
            NOERROR => classify_addresses(lookup, context),
            NXDOMAIN => Some((Mechanism::DnsNxdomain, Confidence::Weak)),
            REFUSED => Some((Mechanism::DnsRefused, Confidence::Weak)),
            SERVFAIL => Some((Mechanism::DnsServfail, Confidence::Weak)),
            _ => None,
        }
    }

    /// Confidence that this is a second, different response to the same query; `None` if it is not. A response without a query
    /// of its own is for the last one. A retransmitted query gets as many responses, each perhaps with other addresses of many.
    fn conflicts_with_first(&mut self, lookup: &DnsLookup<'_>) -> Option<Confidence> {
        let resolution = lookup.resolution;
        let (flow, name, query_type) = (lookup.flow, &lookup.known.name, resolution.query_type);
        if resolution.query_frame.is_none()
            && let Some(first) = self.responses.get(&QueryKeyRef { flow, name, query_type })
        {
            first.open_queries = first.open_queries.saturating_sub(1);
            let shares_address = first.addresses.iter().any(|address| lookup.addresses.contains(address));
            let one_denies = first.addresses.is_empty() != lookup.addresses.is_empty();
            let both_deny = first.addresses.is_empty() && lookup.addresses.is_empty();
            let is_race = lookup.time.since(first.time) <= RACE_NANOS;
            let confidence = if is_race || one_denies { Confidence::Strong } else { Confidence::Weak };
            return (first.open_queries == 0 && !shares_address && !both_deny).then_some(confidence);
        }
        // Where the query is not in the capture it is not known how often it was sent.
        let open_queries = if resolution.query_frame.is_some() { resolution.query_count } else { u32::MAX };
        let first = FirstResponse { addresses: lookup.addresses.into(), open_queries, time: lookup.time };
        self.responses.insert(QueryKey { flow, name: name.clone(), query_type }, first);
        None
    }
}

/// What is wrong with the addresses of a successful response.
fn classify_addresses(lookup: &DnsLookup<'_>, context: &DnsContext<'_>) -> Option<(Mechanism, Confidence)> {
    let DnsLookup { resolution, addresses, known, .. } = lookup;
    if addresses.iter().any(|address| is_nowhere(*address)) {
        return Some((Mechanism::DnsSinkhole, Confidence::Strong));
    }
    if addresses.iter().any(|address| context.middleboxes.sinkhole_vendor(*address).is_some()) {
        return Some((Mechanism::DnsBlockPage, Confidence::Strong));
    }
    let leads_to_sinkhole = |data: &AnswerData| match data {
        AnswerData::Name(alias) => context.middleboxes.sinkhole_vendor_of_alias(alias).is_some(),
        _ => false,
    };
    if resolution.answers.iter().any(|answer| leads_to_sinkhole(&answer.data)) {
        return Some((Mechanism::DnsSinkhole, Confidence::Strong));
    }
    let is_through_zone = || {
        let is_zone_name =
            |data: &AnswerData| matches!(data, AnswerData::Name(name) if in_private_zone(name));
        in_private_zone(&known.name) || resolution.answers.iter().any(|answer| is_zone_name(&answer.data))
    };
    // NAT64 gives the name an address of the site, in which its IPv4 address is.
    let is_undeclared = |address: &Address| {
        address.is_private()
            && !(context.is_declared_private)(*address)
            && address.translated_ipv4().is_none()
    };
    // A name that can have a private endpoint is judged by its flows, which show more.
    if !known.class.can_be_private && addresses.iter().any(is_undeclared) && !is_through_zone() {
        return Some((Mechanism::DnsPrivateAddress, Confidence::Weak));
    }
    // No AAAA record means nothing. A truncated or aliased response may continue elsewhere, but not from a private zone: an alias
    // into it without a record is the end.
    let ends_in_zone = || last_alias(resolution).is_some_and(|alias| in_private_zone(&alias));
    let is_whole =
        !resolution.truncated && !resolution.damaged && (resolution.answers.is_empty() || ends_in_zone());
    let is_empty = addresses.is_empty() && is_whole && resolution.query_type == A;
    is_empty.then_some((Mechanism::DnsEmpty, Confidence::Weak))
}

/// Addresses of no host: unspecified, loopback.
fn is_nowhere(address: Address) -> bool {
    let ip = address.to_ip();
    ip.is_unspecified() || ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WireText;
    use crate::judge::policy::Policy;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;
    use crate::judge::test_support::host;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);
    const PUBLIC: Address = Address::v4([20, 60, 0, 4]);
    const OTHER: Address = Address::v4([20, 60, 0, 5]);

    const fn at(millis: i64) -> Time {
        Time(millis * 1_000_000)
    }

    /// Lookups of one name over one flow.
    struct Client {
        anomalies: DnsAnomalies,
        policy: Policy,
        names: NameTable,
        known: Arc<KnownName>,
        may_be_lost: bool,
        waited_nanos: u64,
    }

    impl Client {
        fn of(name: &str) -> Client {
            let policy = Policy::for_tests("");
            // A small table, see `evict`.
            let mut names = NameTable::new(1 << 20);
            let known = names.look_up(&host(name), &policy);
            let anomalies = DnsAnomalies::default();
            let waited_nanos = RESPONSE_NANOS;
            Client { anomalies, policy, names, known, may_be_lost: false, waited_nanos }
        }

        /// Evicts the name from the table and looks it up again.
        fn evict(&mut self) {
            let before = self.names.evictions();
            for number in 0..2_000 {
                self.names.look_up(&host(&format!("host{number}.example")), &self.policy);
            }
            assert!(self.names.evictions() > before);
            self.known = self.names.look_up(&host(&self.known.name), &self.policy);
        }

        fn add(&mut self, time: Time, resolution: &Resolution) {
            let addresses: Vec<Address> = resolution
                .answers
                .iter()
                .filter_map(|answer| match answer.data {
                    AnswerData::Address(address) => Some(address),
                    _ => None,
                })
                .collect();
            let lookup = DnsLookup {
                client: CLIENT,
                resolver: Endpoint { address: Address::v4([10, 0, 0, 2]), port: 53 },
                flow: 1,
                resolution,
                addresses: &addresses,
                known: &self.known,
                frame: FrameRef::default(),
                time,
                waited_nanos: Some(self.waited_nanos),
            };
            let context = DnsContext {
                middleboxes: &self.policy.middleboxes,
                is_declared_private: &|_| false,
                is_reported: true,
                may_be_lost: self.may_be_lost,
            };
            self.anomalies.add(&lookup, &context);
        }

        fn check(&mut self, expected: &str) {
            let anomalies = self.anomalies.take();
            let found: Vec<String> = anomalies
                .iter()
                .map(|anomaly| format!("{} {} {}", anomaly.mechanism, anomaly.confidence, anomaly.count))
                .collect();
            assert_eq!(found.join(", "), expected);
        }
    }

    const NAME: &str = "login.microsoftonline.com";

    fn response(rcode: Option<u16>, addresses: &[Address]) -> Resolution {
        test_support::resolution(NAME, rcode, addresses)
    }

    fn check_one(resolution: &Resolution, expected: &str) {
        let mut client = Client::of(NAME);
        client.add(at(0), resolution);
        client.check(expected);
    }

    #[test]
    fn responses_by_code_and_address() {
        check_one(&response(Some(NOERROR), &[PUBLIC]), "");
        check_one(&response(Some(NXDOMAIN), &[]), "dns-nxdomain weak 1");
        check_one(&response(Some(REFUSED), &[]), "dns-refused weak 1");
        check_one(&response(Some(SERVFAIL), &[]), "dns-servfail weak 1");
        check_one(&response(Some(NOERROR), &[]), "dns-empty weak 1");
        check_one(&response(Some(NOERROR), &[Address::v4([0, 0, 0, 0])]), "dns-sinkhole strong 1");
        check_one(&response(Some(NOERROR), &[Address::v4([146, 112, 61, 106])]), "dns-block-page strong 1");
        check_one(&response(Some(NOERROR), &[Address::v4([10, 9, 9, 9])]), "dns-private-address weak 1");
        let mut filtered = response(Some(NXDOMAIN), &[]);
        filtered.extended_error = Some((15, WireText::default()));
        check_one(&filtered, "dns-blocked-by-resolver certain 1");
        let mut aaaa = response(Some(NOERROR), &[]);
        aaaa.query_type = AAAA;
        check_one(&aaaa, "");
        let mut truncated = response(Some(NOERROR), &[]);
        truncated.truncated = true;
        check_one(&truncated, "");
    }

    #[test]
    fn silence_counts_for_retransmitted_queries_in_a_reliable_capture() {
        let mut unanswered = response(None, &[]);
        check_one(&unanswered, "");
        unanswered.query_count = 3;
        (unanswered.query_time, unanswered.last_query_time) = (Some(at(0)), Some(at(3_000)));
        check_one(&unanswered, "dns-no-answer weak 1");
        let mut client = Client::of(NAME);
        client.may_be_lost = true;
        client.add(at(0), &unanswered);
        client.check("");
    }

    #[test]
    fn silence_that_is_reported_after_a_later_response_is_over() {
        let mut unanswered = response(None, &[]);
        unanswered.query_count = 3;
        (unanswered.query_time, unanswered.last_query_time) = (Some(at(10_000)), Some(at(13_000)));
        let check = |answered, expected: &str| {
            let mut client = Client::of(NAME);
            client.add(at(answered), &response(Some(NOERROR), &[PUBLIC]));
            client.add(at(10_000), &unanswered);
            client.check(expected);
        };
        check(20_000, "");
        check(5_000, "dns-no-answer weak 1");
    }

    #[test]
    fn a_query_just_before_the_end_of_the_capture_may_get_its_response_later() {
        let mut unanswered = response(None, &[]);
        unanswered.query_count = 2;
        let check = |unanswered: &Resolution, waited_nanos, expected: &str| {
            let mut client = Client::of(NAME);
            client.waited_nanos = waited_nanos;
            client.add(at(0), unanswered);
            client.check(expected);
        };
        (unanswered.query_time, unanswered.last_query_time) = (Some(at(0)), Some(at(1_000)));
        check(&unanswered, RESPONSE_NANOS - 1, "");
        check(&unanswered, RESPONSE_NANOS, "dns-no-answer weak 1");
        // Two queries within three seconds may both get their responses later, three may not.
        unanswered.last_query_time = Some(at(3_000));
        check(&unanswered, 0, "");
        unanswered.query_count = 3;
        check(&unanswered, 0, "dns-no-answer weak 1");
        // Duplicate frames are no retransmission.
        unanswered.last_query_time = Some(at(1));
        check(&unanswered, RESPONSE_NANOS, "");
    }

    #[test]
    fn a_later_good_response_clears_failures_only() {
        let mut client = Client::of(NAME);
        client.add(at(0), &response(Some(NXDOMAIN), &[]));
        client.add(at(1_000), &response(Some(NXDOMAIN), &[]));
        client.add(at(2_000), &response(Some(NOERROR), &[Address::v4([127, 0, 0, 1])]));
        client.add(at(3_000), &response(Some(NOERROR), &[PUBLIC]));
        client.check("dns-sinkhole strong 1");
        client.add(at(4_000), &response(Some(NXDOMAIN), &[]));
        client.anomalies.succeeded(ClientNameRef { client: CLIENT, name: &client.known.name });
        client.check("");
    }

    #[test]
    fn undocumented_names_have_no_anomalies() {
        let mut client = Client::of("files.example");
        client.add(at(0), &response(Some(NXDOMAIN), &[]));
        client.check("");
    }

    #[test]
    fn a_second_different_response_conflicts() {
        let second = |millis, rcode, addresses: &[Address], expected| {
            let mut client = Client::of(NAME);
            client.add(at(0), &response(Some(NOERROR), &[PUBLIC]));
            let mut resolution = response(rcode, addresses);
            resolution.query_frame = None;
            // The first response used the one captured query; the second has none.
            client.add(at(millis), &resolution);
            client.check(expected);
        };
        second(10, Some(NOERROR), &[OTHER], "dns-two-answers strong 1");
        second(5_000, Some(NOERROR), &[OTHER], "dns-two-answers weak 1");
        second(5_000, Some(NXDOMAIN), &[], "dns-two-answers strong 1");
        second(10, Some(NOERROR), &[PUBLIC, OTHER], "");
    }

    #[test]
    fn a_retransmitted_query_may_have_as_many_responses() {
        let responses = |count, expected| {
            let mut client = Client::of(NAME);
            let mut first = response(Some(NOERROR), &[PUBLIC]);
            first.query_count = 2;
            client.add(at(0), &first);
            let mut later = response(Some(NOERROR), &[OTHER]);
            later.query_frame = None;
            for _ in 1..count {
                client.add(at(10), &later);
            }
            client.check(expected);
        };
        responses(2, "");
        responses(3, "dns-two-answers strong 1");
    }

    #[test]
    fn a_name_that_was_evicted_meanwhile_is_still_cleared() {
        let mut client = Client::of(NAME);
        client.add(at(0), &response(Some(NXDOMAIN), &[]));
        client.evict();
        client.add(at(1_000), &response(Some(NOERROR), &[PUBLIC]));
        client.check("");
        client.add(at(2_000), &response(Some(NXDOMAIN), &[]));
        client.evict();
        client.add(at(3_000), &response(Some(NXDOMAIN), &[]));
        client.check("dns-nxdomain weak 2");
    }
}
