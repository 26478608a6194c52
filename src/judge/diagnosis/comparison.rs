//! Compares what was stopped with what was let through in the same capture.
//!
//! In:  judged flows as they end.
//! Out: for a client and a name that was stopped, what else of the same capture says about it.
//! Not: what one flow shows by itself.
//!
//! Another name at the same address works: the name is filtered. The name works at another address, or several names fail at
//! one: the address is filtered. The name worked before, or works later: something changed.
//! Nothing else of the client works: no filter, an outage. Tables are bounded and forget what was used longest ago.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::finding::collector::Target;
use crate::judge::rows::Confidence;
use crate::judge::rows::FlowRow;
use crate::judge::rows::Outcome;

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

impl Stopped {
    fn join(&mut self, other: &Stopped) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Worked {
    /// When it worked, against when it was stopped; what works at times was stopped by accident, perhaps.
    fn before_or_after(&self, stopped: &Stopped) -> (String, Option<Confidence>) {
        if self.first > stopped.last {
            (format!("it worked later, from {} on", self.first), Some(Confidence::Weak))
        } else if self.last < stopped.first {
            (format!("it had worked until {}", self.last), None)
        } else {
            ("at other times it worked".to_owned(), Some(Confidence::Weak))
        }
    }
}

/// What worked and what did not.
#[derive(Debug)]
pub(in crate::judge) struct Comparison {
    /// By client and server.
    worked: BoundedMap<(Address, Address), Worked>,
    /// Clients of which anything worked.
    clients: BoundedMap<Address, ()>,
    stopped: BoundedMap<(Address, HostName), Stopped>,
    /// By client and server, where nothing named it.
    stopped_unnamed: BoundedMap<(Address, Address), Stopped>,
    /// Names that were stopped, by client.
    failures: BoundedMap<Address, u32>,
    /// The same, by client and server; no more than [`FEW`].
    fails_at: BoundedMap<(Address, Address), SmallVec<[Arc<HostName>; 1]>>,
    /// Where names worked, by client; put together when it is asked for.
    elsewhere: HashMap<(Address, Arc<HostName>), Address, foldhash::fast::RandomState>,
}

/// So many names that fail at one address speak against the address.
const FEW: usize = 2;

/// So many names of a client must fail, and none work, before it is called an outage.
const OUTAGE: u32 = 3;

impl Default for Comparison {
    fn default() -> Comparison {
        Comparison {
            worked: BoundedMap::new(KEPT),
            clients: BoundedMap::new(KEPT),
            stopped: BoundedMap::new(KEPT),
            stopped_unnamed: BoundedMap::new(KEPT),
            failures: BoundedMap::new(KEPT),
            fails_at: BoundedMap::new(KEPT),
            elsewhere: HashMap::default(),
        }
    }
}

impl Comparison {
    /// Takes a judged flow in.
    pub(in crate::judge) fn add(&mut self, row: &FlowRow) {
        let (client, server, time) = (row.client.address, row.server.address, row.first_seen);
        match row.outcome {
            Outcome::Ok if row.destination_verdict.is_some() && row.bytes.iter().all(|bytes| *bytes > 0) => {
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
                let stopped = Stopped { server, first: time, last: time };
                let Some(name) = &row.name else {
                    match self.stopped_unnamed.get(&(client, server)) {
                        Some(before) => before.join(&stopped),
                        None => self.stopped_unnamed.put((client, server), stopped),
                    }
                    return;
                };
                match self.fails_at.get(&(client, server)) {
                    Some(names) if names.len() < FEW && !names.contains(name) => names.push(Arc::clone(name)),
                    Some(_) => {}
                    None => self.fails_at.put((client, server), SmallVec::from_iter([Arc::clone(name)])),
                }
                let key = (client, (**name).clone());
                match self.stopped.get(&key) {
                    Some(before) => before.join(&stopped),
                    None => {
                        self.stopped.put(key, stopped);
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

    /// Puts together what [`Comparison::says`] needs.
    pub(in crate::judge) fn prepare(&mut self) {
        self.elsewhere.clear();
        for ((client, server), worked) in self.worked.entries() {
            for name in [&worked.name, &worked.other].into_iter().flatten() {
                let place = self.elsewhere.entry((*client, Arc::clone(name))).or_insert(*server);
                // The table has no order.
                *place = (*place).min(*server);
            }
        }
    }

    /// What the capture says besides of a client and a name or server that was stopped, and how sure that makes it.
    pub(in crate::judge) fn says(
        &self,
        client: Address,
        subject: Target<'_>,
    ) -> Option<(String, Option<Confidence>)> {
        match subject {
            Target::Name(name) => self.says_of_name(client, name),
            Target::Service(server) => self.says_of_address(client, server.address),
            Target::Address(server) => self.says_of_address(client, server),
            Target::Text(_) => None,
        }
    }

    /// The same, as far as the very name worked at other times at the address where it was stopped.
    pub(in crate::judge) fn says_when(
        &self,
        client: Address,
        subject: Target<'_>,
    ) -> Option<(String, Option<Confidence>)> {
        let Target::Name(name) = subject else { return None };
        let stopped = *self.stopped.peek(&(client, (**name).clone()))?;
        let worked = self.worked.peek(&(client, stopped.server))?;
        if worked.name.as_ref() == Some(name) {
            return Some(worked.before_or_after(&stopped));
        }
        let other = worked.other.as_ref() == Some(name);
        other.then(|| ("at other times it worked".to_owned(), Some(Confidence::Weak)))
    }

    fn says_of_address(&self, client: Address, server: Address) -> Option<(String, Option<Confidence>)> {
        let stopped = *self.stopped_unnamed.peek(&(client, server))?;
        let worked = self.worked.peek(&(client, server))?;
        let (mut what, _) = worked.before_or_after(&stopped);
        if let (Some(name), None) = (&worked.name, &worked.other) {
            what.push_str(&format!(", as {name}"));
        }
        // Perhaps another service, or another name: it proves less than a name does.
        Some((what, None))
    }

    fn says_of_name(&self, client: Address, name: &Arc<HostName>) -> Option<(String, Option<Confidence>)> {
        let stopped = *self.stopped.peek(&(client, (**name).clone()))?;
        let server = stopped.server;
        if let Some(worked) = self.worked.peek(&(client, server)) {
            let is_it = |known: &Option<Arc<HostName>>| known.as_ref() == Some(name);
            if is_it(&worked.name) {
                return Some(worked.before_or_after(&stopped));
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
        if let Some(other) = self.elsewhere.get(&(client, Arc::clone(name))) {
            // A server that is down looks the same.
            let what = format!("it works at {other}: the address seems to be filtered, or its server down");
            return Some((what, None));
        }
        let works = self.clients.has(&client);
        if works && self.fails_at.peek(&(client, server)).is_some_and(|names| names.len() >= FEW) {
            let what = format!(
                "other names fail at {server} as well: the address seems to be filtered, or its server down"
            );
            return Some((what, None));
        }
        let failures = self.failures.peek(&client).copied().unwrap_or_default();
        let outage = failures >= OUTAGE && !self.clients.has(&client);
        outage.then(|| (format!("none of the {failures} names that it tried works: perhaps an outage"), None))
    }
}
