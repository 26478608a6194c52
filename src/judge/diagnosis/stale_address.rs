//! Addresses that a client uses and DNS does not return: what an old entry in a hosts file looks like.
//!
//! In:  the DNS responses that clients received, and what worked.
//! Out: for a blocked name or address of a client, the address that DNS returns, and the host that reaches the name there.
//! Not: a certain cause: a response from before the capture that the client has cached looks the same until it expires.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;

use super::comparison::Comparison;
use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::policy::name_table::ClientAnswer;
use crate::judge::policy::name_table::NameTable;

/// Records of Azure's names expire within this time: 60 seconds for private endpoints (DOMAIN §1.4), 300 at most for others. A
/// client that uses an address for longer without a query has it from elsewhere.
const EXPIRED_NANOS: u64 = 300_000_000_000;

/// So many names may be meant by an address without a name; of more none is said.
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
struct Answer<'a> {
    address: Address,
    client: Address,
    answer: &'a ClientAnswer,
}

/// What DNS returned in the capture.
#[derive(Debug, Default)]
pub(in crate::judge) struct ReturnedAddresses<'a> {
    by_name: HashMap<Arc<HostName>, Vec<Answer<'a>>, foldhash::fast::RandomState>,
    addresses: HashSet<Address, foldhash::fast::RandomState>,
    /// Clients whose responses are in the capture.
    clients: HashSet<Address, foldhash::fast::RandomState>,
}

impl<'a> ReturnedAddresses<'a> {
    pub(in crate::judge) fn new(names: &'a NameTable) -> ReturnedAddresses<'a> {
        let mut returned = ReturnedAddresses::default();
        for (client, address, answer) in names.answers_by_address() {
            returned.addresses.insert(address);
            returned.clients.insert(client);
            let of_name = returned.by_name.entry(Arc::clone(answer.dns.known().name.shared())).or_default();
            of_name.push(Answer { address, client, answer });
        }
        // The table has no order.
        for answers in returned.by_name.values_mut() {
            answers.sort_unstable_by_key(|answer| (answer.address, answer.client));
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
        comparison: &Comparison,
    ) -> Option<StaleAddress> {
        let answers = self.by_name.get(name)?;
        // The answers for the other address family say nothing.
        let of_family = || answers.iter().filter(|answer| answer.address.is_v4() == server.address.is_v4());
        let is_returned = |answer: &Answer<'_>| answer.address == server.address || answer.client == client;
        if of_family().any(is_returned) || comparison.has_worked(client, name, server.port) {
            return None;
        }
        let (returned, host) = of_family().find_map(|answer| {
            let at = Endpoint { address: answer.address, port: server.port };
            Some((answer.address, comparison.reached_by(name, at)?))
        })?;
        let is_likely = self.clients.contains(&client) && observed_nanos >= EXPIRED_NANOS;
        Some(StaleAddress { name: name.clone(), returned, reached_by: Some(host), is_likely })
    }

    /// The names that an address without a name, which was blocked, may have been used for: DNS returns other addresses for them, and
    /// the client has no connection to them.
    pub(in crate::judge) fn of_address(
        &self,
        client: Address,
        server: Endpoint,
        comparison: &Comparison,
    ) -> Vec<StaleAddress> {
        if !self.clients.contains(&client) || self.addresses.contains(&server.address) {
            return Vec::new();
        }
        let is_alike = |answer: &&Answer<'_>| {
            answer.address.is_v4() == server.address.is_v4()
                && answer.address.is_private() == server.address.is_private()
        };
        let mut candidates: Vec<StaleAddress> = self
            .by_name
            .iter()
            .filter_map(|(name, answers)| {
                let is_used = |answer: &Answer<'_>| answer.client == client && answer.answer.used;
                let is_candidate = answers.iter().any(|answer| answer.answer.dns.known().is_documented())
                    && !answers.iter().any(is_used)
                    && !comparison.has_worked(client, name, server.port)
                    && !comparison.was_blocked(client, name);
                let mut alike = answers.iter().filter(is_alike).filter(|_| is_candidate);
                let reached = alike.clone().find_map(|answer| {
                    let at = Endpoint { address: answer.address, port: server.port };
                    Some((answer.address, Some(comparison.reached_by(name, at)?)))
                });
                let unused = || alike.find(|answer| answer.client == client).map(|own| (own.address, None));
                let (returned, reached_by) = reached.or_else(unused)?;
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

/// From the begin of the capture to a time.
pub(in crate::judge) fn observed(began: Option<Time>, last: Time) -> u64 {
    began.map_or(0, |began| last.since(began))
}
