//! Counts flows by destination, for the summary's table.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;

use super::record::DestinationTally;
use super::record::FlowRow;
use crate::base::Address;
use crate::base::HostName;

/// Distinct destinations that are counted.
const DISTINCT: usize = 1 << 14;

/// Destinations that the summary can show.
const SHOWN: usize = 50;

/// Pairs of destination and client that are told apart.
const PAIRS: usize = 1 << 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Name(Arc<HostName>),
    Address(Address),
}

/// Flows by destination and port.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    places: HashMap<(Subject, u16), usize, foldhash::fast::RandomState>,
    tallies: Vec<DestinationTally>,
    clients: HashSet<(usize, Address), foldhash::fast::RandomState>,
    missed: u64,
}

impl Destinations {
    /// Counts a judged flow.
    pub(super) fn add(&mut self, client: Address, row: &FlowRow) {
        let subject = match &row.name {
            Some(name) => Subject::Name(Arc::clone(name)),
            None => Subject::Address(row.server.address),
        };
        let key = (subject, row.server.port);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.tallies.len() >= DISTINCT => {
                self.missed += 1;
                return;
            }
            None => {
                let name = match &key.0 {
                    Subject::Name(name) => name.to_string(),
                    Subject::Address(address) => address.to_string(),
                };
                self.tallies.push(DestinationTally {
                    name,
                    server_port: row.server.port,
                    destination: row.destination,
                    port: row.port,
                    outcomes: [0; 3],
                    clients: 0,
                    bytes: 0,
                });
                self.places.insert(key, self.tallies.len() - 1);
                self.tallies.len() - 1
            }
        };
        let Some(tally) = self.tallies.get_mut(place) else {
            return;
        };
        // The worst verdict of any flow is the one to show.
        tally.destination = tally.destination.max(row.destination);
        tally.port = tally.port.max(row.port);
        if let Some(count) = tally.outcomes.get_mut(row.outcome as usize) {
            *count += 1;
        }
        tally.bytes += row.bytes.iter().sum::<u64>();
        if self.clients.len() < PAIRS && self.clients.insert((place, client)) {
            tally.clients += 1;
        }
    }

    /// The destinations with most flows, and how many flows went to destinations that did not fit.
    pub(super) fn into_top(self) -> (Vec<DestinationTally>, u64) {
        let mut tallies = self.tallies;
        let flows = |tally: &DestinationTally| tally.outcomes.iter().sum::<u64>();
        tallies.sort_by(|a, b| {
            flows(b).cmp(&flows(a)).then_with(|| a.name.cmp(&b.name)).then(a.server_port.cmp(&b.server_port))
        });
        tallies.truncate(SHOWN);
        (tallies, self.missed)
    }
}
