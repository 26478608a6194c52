//! Scans: somebody tries one port of a host after the other, or one port of many hosts.
//!
//! In:  attempts as they begin.
//! Out: whether an attempt is one of many.
//! Not: attempts at the ports of the web, which services are reached at, and slow scans: they look like programs.

use std::hash::Hash;

use smallvec::SmallVec;

use super::recent::Recent;
use crate::base::Address;
use crate::base::Time;

/// Hosts remembered with what they try.
const KEPT: usize = 7 << 8;

/// So many ports of one host, within this time, are no program's needs: a client of a cluster asks for a few.
const PORTS: usize = 8;
/// So many hosts at one port: a cluster has sixteen.
const HOSTS: usize = 24;
const TOGETHER_NANOS: u64 = 10_000_000_000;

/// The ports of the web.
const WEB: [u16; 2] = [80, 443];

/// What was tried, and since when.
#[derive(Debug)]
struct Tried<T> {
    what: SmallVec<[T; PORTS]>,
    since: Time,
    /// When there last were enough of them.
    scanned: Option<Time>,
}

/// Who tried how many.
#[derive(Debug)]
struct Tries<K, T>(Recent<K, Tried<T>>);

impl<K: Copy + Hash + Eq, T: PartialEq> Tries<K, T> {
    fn begin(&mut self, key: K, one: T, enough: usize, time: Time) {
        let Some(tried) = self.0.get(&key) else {
            let tried = Tried { what: SmallVec::from_iter([one]), since: time, scanned: None };
            return self.0.put(key, tried);
        };
        if time.since(tried.since) > TOGETHER_NANOS {
            tried.what.clear();
            tried.since = time;
        }
        if tried.what.len() < enough && !tried.what.contains(&one) {
            tried.what.push(one);
        }
        if tried.what.len() == enough {
            tried.scanned = Some(time);
        }
    }

    fn holds(&mut self, key: K, began: Time) -> bool {
        let scanned = self.0.get(&key).and_then(|tried| tried.scanned);
        scanned.is_some_and(|time| time.since(began).max(began.since(time)) <= TOGETHER_NANOS)
    }
}

/// The attempts of late.
#[derive(Debug)]
pub(super) struct Scans {
    /// Ports by client and server.
    ports: Tries<(Address, Address), u16>,
    /// Servers by client and port.
    hosts: Tries<(Address, u16), Address>,
}

impl Default for Scans {
    fn default() -> Scans {
        Scans { ports: Tries(Recent::new(KEPT)), hosts: Tries(Recent::new(KEPT)) }
    }
}

impl Scans {
    /// An attempt begins.
    pub(super) fn begin(&mut self, client: Address, server: Address, port: u16, time: Time) {
        if !WEB.contains(&port) {
            self.ports.begin((client, server), port, PORTS, time);
            self.hosts.begin((client, port), server, HOSTS, time);
        }
    }

    /// Whether an attempt that began then was one of a scan.
    pub(super) fn holds(&mut self, client: Address, server: Address, port: u16, began: Time) -> bool {
        !WEB.contains(&port)
            && (self.ports.holds((client, server), began) || self.hosts.holds((client, port), began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ports_at_once_are_a_scan() {
        let (client, server, other) = (Address(1), Address(2), Address(3));
        let second = |second: i64| Time(second * 1_000_000_000);
        let mut scans = Scans::default();
        for port in 20..27 {
            scans.begin(client, server, port, second(100));
        }
        assert!(!scans.holds(client, server, 20, second(100)), "seven are not enough");
        scans.begin(client, server, 27, second(101));
        scans.begin(client, server, 443, second(101));
        assert!(scans.holds(client, server, 20, second(100)));
        assert!(!scans.holds(client, server, 443, second(101)), "what a service is reached at");
        assert!(!scans.holds(client, other, 20, second(100)));
        assert!(!scans.holds(client, server, 445, second(400)), "long after");
        for port in 30..60 {
            scans.begin(client, other, port, second(1_000 + 2 * i64::from(port)));
        }
        assert!(!scans.holds(client, other, 59, second(1_118)), "one after the other, as a program does");
    }

    #[test]
    fn one_port_of_many_hosts_is_a_scan() {
        let client = Address(1);
        let mut scans = Scans::default();
        for host in 0..16 {
            scans.begin(client, Address(100 + host), 445, Time(0));
        }
        assert!(!scans.holds(client, Address(100), 445, Time(0)), "a cluster");
        for host in 0..30 {
            scans.begin(client, Address(200 + host), 445, Time(1_000_000_000));
            scans.begin(client, Address(200 + host), 443, Time(1_000_000_000));
        }
        assert!(scans.holds(client, Address(100), 445, Time(0)));
        assert!(!scans.holds(client, Address(200), 443, Time(0)), "what a service is reached at");
        assert!(!scans.holds(Address(2), Address(100), 445, Time(0)), "somebody else");
    }
}
