//! Compares what was stopped with what was let through in the same capture.
//!
//! In:  judged flows as they end.
//! Out: for a client and a name that was stopped, what else of the same capture says about it.
//! Not: what one flow shows by itself.
//!
//! Another name at the same address works: the name is filtered. The name worked before, or works later: something changed.
//! Nothing else of the client works: no filter, an outage. Tables are bounded and forget what was used longest ago.

use std::sync::Arc;

use super::recent::Recent;
use super::record::Confidence;
use super::record::FlowRow;
use super::record::Outcome;
use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;

/// Entries of each table: seven eighths of a power of two is what a hash table holds without growing.
const KEPT: usize = 7 << 10;

/// What worked at a server, first and last.
#[derive(Debug)]
struct Worked {
    name: Option<Arc<HostName>>,
    first: Time,
    last: Time,
    /// A name besides `name`.
    other: Option<Arc<HostName>>,
}

/// Where and when a name was stopped.
#[derive(Clone, Copy, Debug)]
struct Stopped {
    server: Address,
    first: Time,
    last: Time,
}

/// What worked and what did not.
#[derive(Debug)]
pub(super) struct Compare {
    /// By client and server.
    worked: Recent<(Address, Address), Worked>,
    /// Clients of which anything worked.
    clients: Recent<Address, ()>,
    stopped: Recent<(Address, HostName), Stopped>,
    /// Names that were stopped, by client.
    failures: Recent<Address, u32>,
}

/// So many names of a client must fail, and none work, before it is called an outage.
const OUTAGE: u32 = 3;

impl Default for Compare {
    fn default() -> Compare {
        Compare {
            worked: Recent::new(KEPT),
            clients: Recent::new(KEPT),
            stopped: Recent::new(KEPT),
            failures: Recent::new(KEPT),
        }
    }
}

impl Compare {
    /// Takes a judged flow in.
    pub(super) fn add(&mut self, row: &FlowRow) {
        let (client, server, time) = (row.client.address, row.server.address, row.first_seen);
        match row.outcome {
            Outcome::Ok if row.destination.is_some() && row.bytes.iter().all(|bytes| *bytes > 0) => {
                match self.worked.get(&(client, server)) {
                    Some(worked) if worked.name == row.name => {
                        worked.first = worked.first.min(time);
                        worked.last = worked.last.max(time);
                    }
                    Some(worked) => worked.other.clone_from(&row.name),
                    None => {
                        let name = row.name.clone();
                        self.worked
                            .put((client, server), Worked { name, first: time, last: time, other: None });
                        self.clients.put(client, ());
                    }
                }
            }
            Outcome::BlockedLooking => {
                let Some(name) = row.name.as_deref() else { return };
                let key = (client, name.clone());
                match self.stopped.get(&key) {
                    Some(stopped) => {
                        stopped.first = stopped.first.min(time);
                        stopped.last = stopped.last.max(time);
                    }
                    None => {
                        self.stopped.put(key, Stopped { server, first: time, last: time });
                        match self.failures.get(&client) {
                            Some(names) => *names += 1,
                            None => self.failures.put(client, 1),
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// What the capture says besides of a client's name that was stopped, and how sure that makes it.
    pub(super) fn says(&mut self, client: Address, name: &HostName) -> Option<(String, Option<Confidence>)> {
        let Stopped { server, first, last } = *self.stopped.get(&(client, name.clone()))?;
        if let Some(worked) = self.worked.get(&(client, server)) {
            let is_it = |known: &Option<Arc<HostName>>| known.as_deref() == Some(name);
            if is_it(&worked.name) {
                return Some(if worked.first > last {
                    (format!("it worked later, from {} on", worked.first), Some(Confidence::Weak))
                } else if worked.last < first {
                    (format!("it had worked until {}", worked.last), None)
                } else {
                    ("at other times it worked".to_owned(), Some(Confidence::Weak))
                });
            }
            if is_it(&worked.other) {
                return Some(("at other times it worked".to_owned(), Some(Confidence::Weak)));
            }
            if let Some(other) = &worked.name {
                let what =
                    format!("{other} at the same address works, so that the name seems to be filtered");
                return Some((what, Some(Confidence::Strong)));
            }
        }
        let failures = self.failures.get(&client).copied().unwrap_or_default();
        let outage = failures >= OUTAGE && self.clients.get(&client).is_none();
        outage.then(|| (format!("none of the {failures} names that it tried works: perhaps an outage"), None))
    }
}
