//! Addresses that a client uses and DNS does not return: what an old entry in a hosts file looks like.
//!
//! In:  the DNS responses that clients received, and what worked.
//! Out: for a blocked name or address of a client, the address that DNS returns, and the host that reaches the name there.
//! Not: a certain cause: a response from before the capture that the client has cached looks the same until it expires.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;

use super::comparison::ComparisonIndex;
use super::comparison::ComparisonResult;
use crate::base::Address;
use crate::base::HostName;
use crate::flow::Endpoint;
use crate::judge::policy::name_table::ClientAnswer;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::name_table::NameTable;

/// Records of Azure's names expire within this time: 60 seconds for private endpoints, 300 at most for others. A client that uses an
/// address for longer than this, and for longer than the records that the capture shows, has it from elsewhere.
const EXPIRED_SECS: u16 = 300;

/// An address without a name may be for one of this many names; where there are more, none is reported.
const MAX_CANDIDATES: usize = 3;

/// A name that DNS resolves to another address than the client uses.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::judge) struct StaleAddress {
    pub(in crate::judge) name: HostName,
    /// What DNS returns.
    pub(in crate::judge) returned: Address,
    /// The host that reaches the name there.
    pub(in crate::judge) reached_by: Option<Address>,
    /// The client would have had to query for the name.
    pub(in crate::judge) is_likely: bool,
}

/// A response for one name and client.
#[derive(Debug)]
struct KnownAnswer<'a> {
    address: Address,
    client: Address,
    answer: &'a ClientAnswer,
}

/// The responses for one name, in no order, and the addresses in them.
#[derive(Debug, Default)]
struct NameAnswers<'a> {
    answers: Vec<KnownAnswer<'a>>,
    addresses: BTreeSet<Address>,
}

/// Some hosts: clients or servers.
pub(in crate::judge) type Hosts = HashSet<Address, foldhash::fast::RandomState>;

/// What questions will be about.
#[derive(Debug, Default)]
pub(in crate::judge) struct Questioned {
    pub(in crate::judge) clients: Hosts,
    pub(in crate::judge) servers: Hosts,
}

/// What DNS returned in the capture.
#[derive(Debug, Default)]
pub(in crate::judge) struct ReturnedAddresses<'a> {
    /// The names that are of interest.
    by_name: HashMap<Arc<HostName>, NameAnswers<'a>, foldhash::fast::RandomState>,
    /// Of the questioned servers, those that responses have.
    addresses: Hosts,
    /// Of the questioned clients, those whose responses are in the capture.
    clients: Hosts,
}

impl<'a> ReturnedAddresses<'a> {
    /// `is_wanted`: a question will be about this name.
    pub(in crate::judge) fn new(
        names: &'a NameTable,
        questioned: &Questioned,
        is_wanted: impl Fn(&KnownName) -> bool,
    ) -> ReturnedAddresses<'a> {
        let mut returned = ReturnedAddresses::default();
        for (client, address, answer) in names.answers_by_address() {
            if questioned.servers.contains(&address) {
                returned.addresses.insert(address);
            }
            if questioned.clients.contains(&client) {
                returned.clients.insert(client);
            }
            let known = answer.dns.known();
            if is_wanted(known) {
                let of_name = returned.by_name.entry(Arc::clone(known.name.shared())).or_default();
                of_name.answers.push(KnownAnswer { address, client, answer });
                of_name.addresses.insert(address);
            }
        }
        returned
    }

    /// A name that was blocked at `server`, where DNS returns other addresses and another host reaches the name at one of them.
    /// `observed_nanos`: from the begin of the capture to the client's last attempt.
    pub(in crate::judge) fn of_name(
        &self,
        client: Address,
        name: &HostName,
        server: Endpoint,
        observed_nanos: u64,
        comparison: &ComparisonIndex<'_>,
    ) -> Option<StaleAddress> {
        let NameAnswers { answers, addresses } = self.by_name.get(name)?;
        // The answers for the other address family say nothing.
        let is_of_family = |address: Address| address.is_v4() == server.address.is_v4();
        let is_own = |answer: &KnownAnswer<'_>| answer.client == client && is_of_family(answer.address);
        if addresses.contains(&server.address)
            || answers.iter().any(is_own)
            || comparison.has_worked(client, name, server.port)
        {
            return None;
        }
        let of_family = addresses.iter().copied().filter(|address| is_of_family(*address));
        let (returned, host) = reached_at(of_family, name, server.port, comparison)?;
        // A client that queried nothing for so long would have had to.
        let lifetime = answers.iter().map(|answer| answer.answer.ttl_secs).max().unwrap_or_default();
        let expired_nanos = u64::from(lifetime.max(EXPIRED_SECS)) * 1_000_000_000;
        let is_likely = self.clients.contains(&client) && observed_nanos >= expired_nanos;
        Some(StaleAddress { name: name.clone(), returned, reached_by: Some(host), is_likely })
    }

    /// The names that an address without a name, which was blocked, may have been used for: DNS returns other addresses for them, and
    /// the client has no connection to them.
    pub(in crate::judge) fn of_address(
        &self,
        client: Address,
        server: Endpoint,
        comparison: &ComparisonIndex<'_>,
    ) -> Vec<StaleAddress> {
        if !self.clients.contains(&client) || self.addresses.contains(&server.address) {
            return Vec::new();
        }
        let is_alike = |address: &Address| {
            address.is_v4() == server.address.is_v4() && address.is_private() == server.address.is_private()
        };
        let works_through_proxy = |name: &HostName| {
            matches!(comparison.with_proxy(client, name), Some(ComparisonResult::WorksThroughProxy { .. }))
        };
        let mut candidates: Vec<StaleAddress> = self
            .by_name
            .iter()
            .filter_map(|(name, NameAnswers { answers, addresses })| {
                let is_used = |answer: &KnownAnswer<'_>| answer.client == client && answer.answer.used;
                let is_candidate = answers.iter().any(|answer| answer.answer.dns.known().is_documented())
                    && !answers.iter().any(is_used)
                    && !comparison.has_worked(client, name, server.port)
                    && !works_through_proxy(name)
                    && !comparison.was_blocked(client, name);
                if !is_candidate {
                    return None;
                }
                let alike = addresses.iter().copied().filter(is_alike);
                let reached = reached_at(alike, name, server.port, comparison);
                let unused = || {
                    let own = answers.iter().filter(|answer| answer.client == client);
                    own.map(|answer| answer.address).filter(is_alike).min().map(|own| (own, None))
                };
                let (returned, reached_by) =
                    reached.map(|(address, host)| (address, Some(host))).or_else(unused)?;
                Some(StaleAddress { name: HostName::clone(name), returned, reached_by, is_likely: false })
            })
            .collect();
        candidates.sort_by(|a, b| a.name.cmp(&b.name));
        if candidates.len() > MAX_CANDIDATES {
            candidates.clear();
        }
        candidates
    }
}

/// The first of the addresses at which a host reaches the name, and the host.
fn reached_at(
    mut addresses: impl Iterator<Item = Address>,
    name: &HostName,
    port: u16,
    comparison: &ComparisonIndex<'_>,
) -> Option<(Address, Address)> {
    addresses.find_map(|address| Some((address, comparison.reached_by(name, Endpoint { address, port })?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::judge::assessment::Assessment;
    use crate::judge::catalogue::Mechanism;
    use crate::judge::diagnosis::comparison::Comparison;
    use crate::judge::policy::Policy;
    use crate::judge::test_support;
    use crate::judge::vocabulary::Confidence;

    const ONE: Address = Address::v4([10, 1, 0, 4]);
    const TWO: Address = Address::v4([10, 1, 0, 5]);
    const NAME: &str = "westus01.afs.azure.net";

    /// The last byte of the address of a proxy.
    const PROXY: u8 = 200;

    fn at(last: u8) -> Endpoint {
        Endpoint { address: Address::v4([20, 60, 0, last]), port: 443 }
    }

    /// What is known after responses (client, name, last byte of the address) whose records live for `ttl` seconds, flows that worked,
    /// and flows that were blocked.
    fn check<T>(
        ttl: u32,
        responses: &[(Address, &str, u8)],
        worked: &[(Address, &str, u8)],
        question: impl FnOnce(&ReturnedAddresses<'_>, &ComparisonIndex<'_>) -> T,
    ) -> T {
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        for (client, name, last) in responses {
            let mut response = test_support::resolution(name, Some(0), &[at(*last).address]);
            response.answers.iter_mut().for_each(|answer| answer.ttl = ttl);
            names.add_response(*client, &response, (FrameRef::default(), Time(0)), &policy);
        }
        let mut comparison = Comparison::default();
        for (client, name, last) in worked {
            let mut row = test_support::flow_row(*client, at(*last).address, Time(0));
            row.name = Some(Arc::new(test_support::host(name)));
            comparison.add(&row, *last == PROXY);
        }
        let mut blocked = test_support::flow_row(ONE, at(9).address, Time(0));
        blocked.name = Some(Arc::new(test_support::host("other.example")));
        blocked.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
        comparison.add(&blocked, false);
        let questioned =
            Questioned { clients: Hosts::from_iter([ONE]), servers: Hosts::from_iter([at(9).address]) };
        question(&ReturnedAddresses::new(&names, &questioned, |_| true), &comparison.index())
    }

    /// Whether an old address is the likely cause where `ONE` was blocked at address 9; none where it is not.
    fn of_name(
        responses: &[(Address, &str, u8)],
        worked: &[(Address, &str, u8)],
        seconds: u64,
    ) -> Option<bool> {
        of_name_with_ttl(60, responses, worked, seconds)
    }

    fn of_name_with_ttl(
        ttl: u32,
        responses: &[(Address, &str, u8)],
        worked: &[(Address, &str, u8)],
        seconds: u64,
    ) -> Option<bool> {
        check(ttl, responses, worked, |returned, comparison| {
            let nanos = seconds * 1_000_000_000;
            let found = returned.of_name(ONE, &test_support::host(NAME), at(9), nanos, comparison)?;
            assert_eq!((found.returned, found.reached_by), (at(1).address, Some(TWO)));
            Some(found.is_likely)
        })
    }

    #[test]
    fn another_host_reaches_the_name_at_the_address_that_dns_returns() {
        let (other, own) = ((TWO, NAME, 1), (ONE, "login.windows.net", 2));
        let worked = [(TWO, NAME, 1)];
        assert_eq!(of_name(&[other, own], &worked, 300), Some(true));
        assert_eq!(of_name(&[other, own], &worked, 299), Some(false), "a response may be cached");
        assert_eq!(of_name(&[other], &worked, 300), Some(false), "the capture has no DNS of the client");
        let with_hour = |seconds| of_name_with_ttl(3600, &[other, own], &worked, seconds);
        assert_eq!((with_hour(3599), with_hour(3600)), (Some(false), Some(true)), "records that live longer");
        assert_eq!(of_name(&[other, own], &[], 300), None, "nobody reaches it");
        assert_eq!(of_name(&[other, own, (TWO, NAME, 9)], &worked, 300), None, "DNS returns it as well");
        assert_eq!(of_name(&[other, own, (ONE, NAME, 1)], &worked, 300), None, "the client queried");
        assert_eq!(
            of_name(&[other, own], &[(TWO, NAME, 1), (ONE, NAME, 3)], 300),
            None,
            "it works elsewhere"
        );
    }

    fn of_address(responses: &[(Address, &str, u8)], worked: &[(Address, &str, u8)]) -> Vec<String> {
        check(60, responses, worked, |returned, comparison| {
            let found = returned.of_address(ONE, at(9), comparison);
            found
                .into_iter()
                .map(|stale| format!("{} {:?}", stale.name, stale.reached_by.is_some()))
                .collect()
        })
    }

    #[test]
    fn an_address_without_a_name_may_be_one_that_others_have_and_the_client_lacks() {
        let (other, own) = ((TWO, NAME, 1), (ONE, "login.windows.net", 2));
        let worked = [(TWO, NAME, 1), (ONE, "login.windows.net", 2)];
        let none: [&str; 0] = [];
        assert_eq!(of_address(&[other, own], &worked), ["westus01.afs.azure.net true"]);
        assert_eq!(of_address(&[(ONE, NAME, 1)], &[]), ["westus01.afs.azure.net false"]);
        let through_proxy = [(ONE, NAME, PROXY)];
        assert_eq!(of_address(&[(ONE, NAME, 1)], &through_proxy), none, "it works through a proxy");
        assert_eq!(of_address(&[other], &worked), none, "the capture has no DNS of the client");
        assert_eq!(of_address(&[other, own, (TWO, "files.example", 9)], &worked), none, "it has a name");
        assert_eq!(of_address(&[(TWO, "files.example", 1), own], &worked), none, "no document has the name");
    }
}
