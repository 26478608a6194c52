//! Which resolver returned an address for a documented name, and to which host.
//!
//! In:  lookups that succeeded.
//! Out: for a name that did not resolve, a resolver that knew it about that time.
//! Not: why the other lookup failed; see `diagnosis::dns_anomalies`.

use smallvec::SmallVec;

use super::dns_anomalies::DnsAnomaly;
use super::dns_anomalies::DnsLookup;
use crate::base::Address;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::hashed_name::HashedName;

/// Names that are kept: seven eighths of a power of two is what a hash table holds without growing.
const MAX_NAMES: usize = 7 << 9;

/// Pairs of a resolver and a host that are kept for each name.
const MAX_PAIRS: usize = 4;

/// Responses so far apart say little of each other: the name or the resolver may have changed.
const SAME_TIME_NANOS: u64 = 600_000_000_000;

/// A resolver that returned an address for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum ResolvedBy {
    /// The same resolver, to another host.
    SameResolver {
        /// The host.
        host: Address,
    },
    /// Another resolver.
    OtherResolver {
        /// The resolver.
        resolver: Address,
        /// The host that it returned an address to.
        host: Address,
    },
}

/// Successful lookups of one host at one resolver.
#[derive(Debug)]
struct Resolved {
    host: Address,
    resolver: Address,
    first: Time,
    last: Time,
}

/// The successful lookups of each name.
#[derive(Debug)]
pub(super) struct ResolvedNames(BoundedMap<HashedName, SmallVec<[Resolved; 1]>>);

impl Default for ResolvedNames {
    fn default() -> ResolvedNames {
        ResolvedNames(BoundedMap::new(MAX_NAMES))
    }
}

impl ResolvedNames {
    /// Adds a lookup that returned an address.
    pub(super) fn add(&mut self, lookup: &DnsLookup<'_>) {
        let (host, resolver, time) = (lookup.client, lookup.resolver.address, lookup.time);
        let resolved = Resolved { host, resolver, first: time, last: time };
        let name = &lookup.known.name;
        let Some(known) = self.0.get(name) else {
            return self.0.insert(name.clone(), SmallVec::from_iter([resolved]));
        };
        let is_same = |known: &&mut Resolved| (known.host, known.resolver) == (host, resolver);
        if let Some(known) = known.iter_mut().find(is_same) {
            known.last = known.last.max(time);
        } else if known.len() < MAX_PAIRS {
            known.push(resolved);
        }
    }

    /// Whether the same resolver has returned an address for the name to the same host since the lookup.
    pub(super) fn has_since(&self, lookup: &DnsLookup<'_>) -> bool {
        let known = self.0.peek(&lookup.known.name);
        known.into_iter().flatten().any(|known| {
            (known.host, known.resolver) == (lookup.client, lookup.resolver.address)
                && known.last >= lookup.time
        })
    }

    /// Who resolved the name of an anomaly about that time: the same resolver for another host, else another resolver.
    pub(super) fn find(&self, anomaly: &DnsAnomaly) -> Option<ResolvedBy> {
        let known = self.0.peek(&anomaly.known.name)?;
        let (first, last) = anomaly.span();
        let is_near = |known: &&Resolved| {
            known.first.since(last) <= SAME_TIME_NANOS && first.since(known.last) <= SAME_TIME_NANOS
        };
        let is_same = |known: &&Resolved| known.resolver == anomaly.resolver.address;
        let near = || known.iter().filter(is_near);
        let same = near().filter(is_same).find(|known| known.host != anomaly.client);
        let by_same = same.map(|known| ResolvedBy::SameResolver { host: known.host });
        by_same.or_else(|| {
            let other = near().find(|known| !is_same(known))?;
            Some(ResolvedBy::OtherResolver { resolver: other.resolver, host: other.host })
        })
    }
}
