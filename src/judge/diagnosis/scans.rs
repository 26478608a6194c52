//! Scans: somebody tries one port of a host after the other, or one port of many hosts.
//!
//! In:  attempts as they begin, and those that led to a talk.
//! Out: whether an attempt is one of many.
//! Not: slow scans: they look like programs.
//!
//! At the ports of the web services are reached, many at once where a client begins its day. There only attempts at addresses that
//! nothing names count, and of hosts only those of one network.

use std::hash::Hash;

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::Time;
use crate::base::port;
use crate::flow::FlowStart;
use crate::judge::bounded_map::BoundedMap;

/// Hosts remembered with what they try.
const KEPT: usize = 7 << 8;

/// So many ports of one host, within this time, are no program's needs: a client of a cluster asks for a few.
const PORTS: usize = 8;
/// So many hosts at one port: a cluster has sixteen.
const HOSTS: usize = 24;
const TOGETHER_NANOS: u64 = 10_000_000_000;

/// The ports of the web.
const WEB: [u16; 2] = [port::HTTP, port::HTTPS];

/// An attempt.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Attempt {
    pub(in crate::judge) client: Address,
    pub(in crate::judge) server: Address,
    pub(in crate::judge) port: u16,
    /// Something names the server.
    pub(in crate::judge) is_named: bool,
}

impl Attempt {
    pub(in crate::judge) const fn of(flow_start: &FlowStart, is_named: bool) -> Attempt {
        let FlowStart { client, server, .. } = flow_start;
        Attempt { client: client.address, server: server.address, port: server.port, is_named }
    }

    /// It could be one of a scan, by where it goes.
    fn is_suspect(&self) -> bool {
        !(self.is_named && WEB.contains(&self.port))
    }

    /// What one scan of many hosts has in common: the port, and where services are reached the network (256 hosts; of IPv6 one
    /// link, RFC 4291 §2.5.1).
    fn sweep(&self) -> (Address, u16, Address) {
        let host_bits = if self.server.is_v4() { 8 } else { 64 };
        let network = if WEB.contains(&self.port) { self.server.0 >> host_bits } else { 0 };
        (self.client, self.port, Address(network))
    }
}

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
struct Tries<K, T>(BoundedMap<K, Tried<T>>);

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

    fn answered(&mut self, key: K, one: &T) {
        if let Some(tried) = self.0.get(&key) {
            tried.what.retain(|other| other != one);
        }
    }

    fn holds(&mut self, key: K, began: Time) -> bool {
        let scanned = self.0.get(&key).and_then(|tried| tried.scanned);
        scanned.is_some_and(|time| time.since(began).max(began.since(time)) <= TOGETHER_NANOS)
    }
}

/// The attempts of late.
#[derive(Debug)]
pub(in crate::judge) struct Scans {
    /// Ports by client and server.
    ports: Tries<(Address, Address), u16>,
    /// Servers by what a scan of many has in common.
    hosts: Tries<(Address, u16, Address), Address>,
}

impl Default for Scans {
    fn default() -> Scans {
        Scans { ports: Tries(BoundedMap::new(KEPT)), hosts: Tries(BoundedMap::new(KEPT)) }
    }
}

impl Scans {
    /// An attempt begins.
    pub(in crate::judge) fn begin(&mut self, attempt: &Attempt, time: Time) {
        if attempt.is_suspect() {
            let Attempt { client, server, port, .. } = *attempt;
            self.ports.begin((client, server), port, PORTS, time);
            self.hosts.begin(attempt.sweep(), server, HOSTS, time);
        }
    }

    /// An attempt led to a talk: who has one with each of many services needs them.
    pub(in crate::judge) fn answered(&mut self, attempt: &Attempt) {
        if attempt.is_suspect() {
            self.ports.answered((attempt.client, attempt.server), &attempt.port);
            self.hosts.answered(attempt.sweep(), &attempt.server);
        }
    }

    /// Whether an attempt that began then was one of a scan.
    pub(in crate::judge) fn hold(&mut self, attempt: &Attempt, began: Time) -> bool {
        attempt.is_suspect()
            && (self.ports.holds((attempt.client, attempt.server), began)
                || self.hosts.holds(attempt.sweep(), began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn attempt(server: u128, port: u16) -> Attempt {
        Attempt { client: Address(1), server: Address(server), port, is_named: false }
    }

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    fn named(attempt: Attempt) -> Attempt {
        Attempt { is_named: true, ..attempt }
    }

    #[test]
    fn many_ports_at_once_are_a_scan() {
        let mut scans = Scans::default();
        for port in 20..27 {
            scans.begin(&attempt(2, port), at(100));
        }
        scans.begin(&named(attempt(2, 443)), at(101));
        assert!(!scans.hold(&attempt(2, 20), at(100)), "seven are not enough");
        scans.begin(&attempt(2, 27), at(101));
        assert!(scans.hold(&attempt(2, 20), at(100)));
        assert!(scans.hold(&attempt(2, 443), at(101)));
        assert!(!scans.hold(&named(attempt(2, 443)), at(101)), "what a service is reached at");
        assert!(!scans.hold(&attempt(3, 20), at(100)));
        assert!(!scans.hold(&attempt(2, 445), at(400)), "long after");
        for port in 30..60 {
            scans.begin(&attempt(3, port), at(1_000 + 2 * i64::from(port)));
        }
        assert!(!scans.hold(&attempt(3, 59), at(1_118)), "one after the other, as a program does");
    }

    #[test]
    fn one_port_of_many_hosts_is_a_scan() {
        let mut scans = Scans::default();
        for host in 0..16 {
            scans.begin(&attempt(100 + host, 445), at(0));
        }
        assert!(!scans.hold(&attempt(100, 445), at(0)), "a cluster");
        for host in 0..30 {
            scans.begin(&attempt(200 + host, 445), at(1));
        }
        assert!(scans.hold(&attempt(100, 445), at(0)));
        assert!(!scans.hold(&Attempt { client: Address(2), ..attempt(100, 445) }, at(0)), "somebody else");
    }

    #[test]
    fn services_that_answer_are_no_scan() {
        let mut scans = Scans::default();
        for number in 0..40_u16 {
            for attempt in [attempt(2, 80 + number), attempt(200 + u128::from(number), 445)] {
                scans.begin(&attempt, at(0));
                scans.answered(&attempt);
            }
        }
        scans.begin(&attempt(2, 445), at(1));
        scans.begin(&attempt(999, 445), at(1));
        assert!(!scans.hold(&attempt(2, 445), at(1)), "a domain controller, and one of its ports is shut");
        assert!(!scans.hold(&attempt(999, 445), at(1)), "all servers of a network, and one is cut off");
    }

    #[test]
    fn where_services_are_reached_only_a_network_is_scanned() {
        let v4 = |network: u8, host: u8| Address::v4([20, 60, network, host]).0;
        let mut scans = Scans::default();
        for host in 0..30 {
            scans.begin(&attempt(v4(host, 1), 443), at(0));
            scans.begin(&named(attempt(v4(77, host), 443)), at(0));
        }
        assert!(!scans.hold(&attempt(v4(7, 1), 443), at(0)), "services of many networks");
        assert!(!scans.hold(&attempt(v4(77, 7), 443), at(0)), "they have names");
        for host in 0..30 {
            scans.begin(&attempt(v4(99, host), 443), at(0));
        }
        assert!(scans.hold(&attempt(v4(99, 7), 443), at(0)));
        assert!(!scans.hold(&attempt(v4(99, 7), 80), at(0)), "another port");
    }
}
