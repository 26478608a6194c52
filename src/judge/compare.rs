//! Compares what was stopped with what was let through in the same capture.
//!
//! In:  judged flows as they end.
//! Out: for a client and a name that was stopped, what else of the same capture says about it.
//! Not: what one flow shows by itself.
//!
//! Another name at the same address works: the name is filtered. The name worked before, or works later: something changed.
//! Nothing else of the client works: no filter, an outage. Tables are bounded and forget what was used longest ago.

use super::names::Recent;
use super::record::Confidence;
use super::record::FlowRow;
use super::record::Outcome;
use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;

/// Entries of each table.
const KEPT: usize = 1 << 13;

/// What worked, first and last.
#[derive(Clone, Copy, Debug)]
struct Worked {
    first: Time,
    last: Time,
}

impl Worked {
    fn again(&mut self, time: Time) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
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
    /// By client and server: the name that worked there last.
    servers: Recent<(Address, Address), Option<HostName>>,
    /// By client and name.
    names: Recent<(Address, HostName), Worked>,
    /// By client.
    clients: Recent<Address, Worked>,
    stopped: Recent<(Address, HostName), Stopped>,
    /// Names that were stopped, by client.
    failures: Recent<Address, u32>,
}

/// So many names of a client must fail, and none work, before it is called an outage.
const OUTAGE: u32 = 3;

impl Default for Compare {
    fn default() -> Compare {
        Compare {
            servers: Recent::new(KEPT),
            names: Recent::new(KEPT),
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
        let name = row.name.as_deref();
        match row.outcome {
            Outcome::Ok if row.destination.is_some() && row.bytes.iter().all(|bytes| *bytes > 0) => {
                let now = Worked { first: time, last: time };
                match self.servers.get(&(client, server)) {
                    Some(known) if known.as_ref() == name => {}
                    _ => self.servers.put((client, server), name.cloned()),
                }
                match self.clients.get(&client) {
                    Some(worked) => worked.again(time),
                    None => self.clients.put(client, now),
                }
                let Some(name) = name else { return };
                let key = (client, name.clone());
                match self.names.get(&key) {
                    Some(worked) => worked.again(time),
                    None => self.names.put(key, now),
                }
            }
            Outcome::BlockedLooking => {
                let Some(name) = name else { return };
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
        let key = (client, name.clone());
        let Stopped { server, first, last } = *self.stopped.get(&key)?;
        if let Some(worked) = self.names.get(&key) {
            return Some(if worked.first > last {
                (format!("it worked later, from {} on", worked.first), Some(Confidence::Weak))
            } else if worked.last < first {
                (format!("it had worked until {}", worked.last), None)
            } else {
                ("at other times it worked".to_owned(), Some(Confidence::Weak))
            });
        }
        if let Some(Some(other)) = self.servers.get(&(client, server))
            && other != name
        {
            let what = format!("{other} at the same address works, so that the name seems to be filtered");
            return Some((what, Some(Confidence::Strong)));
        }
        let failures = self.failures.get(&client).copied().unwrap_or_default();
        let outage = failures >= OUTAGE && self.clients.get(&client).is_none();
        outage.then(|| (format!("none of the {failures} names that it tried works: perhaps an outage"), None))
    }
}
