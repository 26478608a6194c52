//! Counts flows by destination, for the summary's table.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;
use hashbrown::HashTable;

use crate::base::Address;
use crate::base::HostName;
use crate::judge::rows::DestinationTally;
use crate::judge::rows::FlowRow;

/// Distinct destinations that are counted.
const DISTINCT: usize = 1 << 14;

/// Destinations that the summary can show.
const SHOWN: usize = 50;

/// Pairs of destination and client that are told apart.
const PAIRS: usize = 1 << 16;

/// What is counted: a name, else an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject<'a> {
    Name(&'a Arc<HostName>),
    Address(Address),
}

/// One line of the table, and its name where it has one.
#[derive(Debug)]
struct Counted {
    name: Option<Arc<HostName>>,
    address: Address,
    tally: DestinationTally,
}

impl Counted {
    fn subject(&self) -> (Subject<'_>, u16) {
        let address = Subject::Address(self.address);
        (self.name.as_ref().map_or(address, Subject::Name), self.tally.server_port)
    }
}

/// Flows by destination and port.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// Places in `counted`, by subject and port.
    places: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    counted: Vec<Counted>,
    /// Clients, numbered as they come.
    clients: HashMap<Address, u32, foldhash::fast::RandomState>,
    /// Places in `counted` with numbers of clients.
    pairs: HashSet<(u32, u32), foldhash::fast::RandomState>,
    missed: u64,
}

impl Destinations {
    /// Counts a judged flow.
    pub(super) fn add(&mut self, client: Address, row: &FlowRow) {
        let Some(place) = self.place(row) else {
            self.missed += 1;
            return;
        };
        let Some(Counted { tally, .. }) = self.counted.get_mut(place) else {
            return;
        };
        // The worst verdict of any flow is the one to show.
        tally.destination_verdict = tally.destination_verdict.max(row.destination_verdict);
        tally.port_verdict = tally.port_verdict.max(row.port_verdict);
        if let Some(count) = tally.outcomes.get_mut(row.outcome as usize) {
            *count += 1;
        }
        tally.bytes += row.bytes.iter().sum::<u64>();
        if self.pairs.len() < PAIRS {
            // Each client has a pair at least, so that there are no more of them.
            let next = self.clients.len() as u32;
            let number = *self.clients.entry(client).or_insert(next);
            tally.clients += u64::from(self.pairs.insert((place as u32, number)));
        }
    }

    /// The place of a flow's destination; none where it does not fit.
    fn place(&mut self, row: &FlowRow) -> Option<usize> {
        let address = row.server.address;
        let subject = row.name.as_ref().map_or(Subject::Address(address), Subject::Name);
        let key = (subject, row.server.port);
        let Destinations { places, hasher, counted, .. } = self;
        let hash = hasher.hash_one(key);
        let is_it = |place: &u32| counted.get(*place as usize).is_some_and(|other| other.subject() == key);
        if let Some(place) = places.find(hash, is_it) {
            return Some(*place as usize);
        }
        let place = counted.len();
        if place >= DISTINCT {
            return None;
        }
        counted.push(Counted { name: row.name.clone(), address, tally: first(row) });
        let hash_of =
            |place: &u32| counted.get(*place as usize).map_or(0, |other| hasher.hash_one(other.subject()));
        places.insert_unique(hash, place as u32, hash_of);
        Some(place)
    }

    /// The destinations with most flows, and how many flows went to destinations that did not fit.
    pub(super) fn into_top(self) -> (Vec<DestinationTally>, u64) {
        let mut tallies: Vec<_> = self.counted.into_iter().map(|counted| counted.tally).collect();
        let flows = |tally: &DestinationTally| tally.outcomes.iter().sum::<u64>();
        tallies.sort_by(|a, b| {
            flows(b).cmp(&flows(a)).then_with(|| a.name.cmp(&b.name)).then(a.server_port.cmp(&b.server_port))
        });
        tallies.truncate(SHOWN);
        (tallies, self.missed)
    }
}

/// Nothing counted yet.
fn first(row: &FlowRow) -> DestinationTally {
    DestinationTally {
        name: row.name.as_ref().map_or_else(|| row.server.address.to_string(), |name| name.to_string()),
        server_port: row.server.port,
        destination_verdict: row.destination_verdict,
        port_verdict: row.port_verdict,
        outcomes: [0; 3],
        clients: 0,
        bytes: 0,
    }
}
