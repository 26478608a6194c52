//! Counts flows, in total and by destination.
//!
//! In:  rows of judged flows.
//! Out: totals, and the destinations with the most flows.
//! Not: what a verdict or an outcome means.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;
use hashbrown::HashTable;

use super::rows::DestinationTally;
use super::rows::FlowRow;
use super::rows::Tally;
use super::run_result::UnfinishedFlows;
use crate::base::Address;
use crate::base::HostName;

/// Audited hosts that are counted.
const MAX_AUDITED_HOSTS: usize = 1 << 16;

/// Distinct destinations that are counted.
const MAX_DESTINATIONS: usize = 1 << 14;

/// Destinations that the summary can show.
const MAX_SHOWN: usize = 50;

/// Pairs of destination and client that are counted.
const MAX_PAIRS: usize = 1 << 16;

/// What is counted from one rotation to the next.
#[derive(Debug, Default)]
pub(super) struct RunCounts {
    pub(super) tally: Tally,
    pub(super) destinations: Destinations,
    pub(super) audited: HashSet<Address, foldhash::fast::RandomState>,
    /// Claims that were not kept.
    pub(super) missed_claims: u64,
    /// Facts about flows that had not started or had ended.
    pub(super) stray_facts: u64,
    /// DNS answers that no row lists, and rows of such responses.
    pub(super) unlisted_answers: u64,
    pub(super) rows_with_unlisted: u64,
    /// Flows that had not ended where reading ended.
    pub(super) unfinished: UnfinishedFlows,
}

impl RunCounts {
    /// Counts a judged flow.
    pub(super) fn add(&mut self, client: Address, row: &FlowRow) {
        self.tally.judged += 1;
        if self.audited.len() < MAX_AUDITED_HOSTS {
            self.audited.insert(client);
        }
        let add = |counts: &mut [u64], index: usize| {
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        };
        if let Some(destination) = row.destination_verdict {
            add(&mut self.tally.destinations, destination as usize);
            self.destinations.add(client, row);
        }
        if let Some(port) = row.port_verdict {
            add(&mut self.tally.ports, port as usize);
        }
        add(&mut self.tally.outcomes, row.assessment.outcome() as usize);
    }
}

/// What flows are counted by: a name, else an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum DestinationKey<'a> {
    Name(&'a Arc<HostName>),
    Address(Address),
}

/// Protocol, port, and whether a proxy was asked for it.
type DestinationPort = (u8, u16, bool);

const fn port_of(tally: &DestinationTally) -> DestinationPort {
    (tally.protocol, tally.server_port, tally.proxied)
}

/// One line of the table.
#[derive(Debug)]
struct CountedDestination {
    name: Option<Arc<HostName>>,
    address: Address,
    tally: DestinationTally,
}

impl CountedDestination {
    fn key(&self) -> (DestinationKey<'_>, DestinationPort) {
        let address = DestinationKey::Address(self.address);
        let destination = self.name.as_ref().map_or(address, DestinationKey::Name);
        (destination, port_of(&self.tally))
    }
}

/// Flows by destination and port.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// Indexes into `counted`, by destination and port.
    indexes: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    counted: Vec<CountedDestination>,
    /// Clients, numbered in order of appearance.
    clients: HashMap<Address, u32, foldhash::fast::RandomState>,
    /// Index of the destination and number of the client.
    pairs: HashSet<(u32, u32), foldhash::fast::RandomState>,
    missed: u64,
}

impl Destinations {
    /// Counts a judged flow.
    pub(super) fn add(&mut self, client: Address, row: &FlowRow) {
        let Some(index) = self.index_of(row) else {
            self.missed += 1;
            return;
        };
        let Some(CountedDestination { tally, .. }) = self.counted.get_mut(index) else {
            return;
        };
        // The worst verdict of any flow is the one to show.
        tally.destination_verdict = tally.destination_verdict.max(row.destination_verdict);
        tally.port_verdict = tally.port_verdict.max(row.port_verdict);
        if let Some(count) = tally.outcomes.get_mut(row.assessment.outcome() as usize) {
            *count += 1;
        }
        tally.bytes += row.bytes.iter().sum::<u64>();
        if self.pairs.len() < MAX_PAIRS {
            // Each client has at least one pair, so there are no more clients than pairs.
            let next = self.clients.len() as u32;
            let number = *self.clients.entry(client).or_insert(next);
            tally.clients += u64::from(self.pairs.insert((index as u32, number)));
        }
    }

    /// The index of a flow's destination; none where the table is full.
    fn index_of(&mut self, row: &FlowRow) -> Option<usize> {
        let address = row.server.address;
        let destination = row.name.as_ref().map_or(DestinationKey::Address(address), DestinationKey::Name);
        let key = (destination, (row.protocol, row.destination_port(), row.requested_port.is_some()));
        let Destinations { indexes, hasher, counted, .. } = self;
        let hash = hasher.hash_one(key);
        let is_it = |index: &u32| counted.get(*index as usize).is_some_and(|other| other.key() == key);
        if let Some(index) = indexes.find(hash, is_it) {
            return Some(*index as usize);
        }
        let index = counted.len();
        if index >= MAX_DESTINATIONS {
            return None;
        }
        counted.push(CountedDestination { name: row.name.clone(), address, tally: empty_tally(row) });
        let hash_of =
            |index: &u32| counted.get(*index as usize).map_or(0, |other| hasher.hash_one(other.key()));
        indexes.insert_unique(hash, index as u32, hash_of);
        Some(index)
    }

    /// The destinations with the most flows, and the number of flows to destinations that did not fit.
    pub(super) fn into_top(self) -> (Vec<DestinationTally>, u64) {
        let mut tallies: Vec<_> = self.counted.into_iter().map(|counted| counted.tally).collect();
        let flows = |tally: &DestinationTally| tally.outcomes.iter().sum::<u64>();
        tallies.sort_by(|a, b| {
            flows(b)
                .cmp(&flows(a))
                .then_with(|| a.name.cmp(&b.name))
                .then_with(|| port_of(a).cmp(&port_of(b)))
        });
        tallies.truncate(MAX_SHOWN);
        (tallies, self.missed)
    }
}

fn empty_tally(row: &FlowRow) -> DestinationTally {
    DestinationTally {
        name: row.name.as_ref().map_or_else(|| row.server.address.to_string(), |name| name.to_string()),
        protocol: row.protocol,
        server_port: row.destination_port(),
        proxied: row.requested_port.is_some(),
        destination_verdict: row.destination_verdict,
        port_verdict: row.port_verdict,
        outcomes: [0; 3],
        clients: 0,
        bytes: 0,
    }
}
