//! Port scans: one port of a host after the other, or one port of many hosts.
//!
//! In:  attempts as they start, and those that led to a conversation.
//! Out: whether an attempt is part of a scan.
//! Not: slow scans: they look like ordinary programs.
//!
//! Ports 80 and 443 see bursts of legitimate connections when a client starts up, so only unnamed addresses of one network
//! count as a scan there.

use std::hash::Hash;

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::Time;
use crate::base::port;
use crate::flow::FlowStart;
use crate::judge::bounded_map::BoundedMap;

/// Clients and servers that are kept.
const MAX_TARGETS: usize = 7 << 8;

/// No program needs this many ports of one host within [`SCAN_NANOS`]; a cluster node uses a few.
const MIN_PORTS: usize = 8;
/// No program needs one port of this many hosts; a cluster has up to sixteen.
const MIN_HOSTS: usize = 24;
const SCAN_NANOS: u64 = 10_000_000_000;

const WEB_PORTS: [u16; 2] = [port::HTTP, port::HTTPS];

/// One attempt to connect.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectAttempt {
    pub(super) client: Address,
    pub(super) server: Address,
    pub(super) port: u16,
    /// A name of the server is known.
    pub(super) is_named: bool,
}

impl ConnectAttempt {
    pub(super) const fn new(flow_start: &FlowStart, is_named: bool) -> ConnectAttempt {
        let FlowStart { client, server, .. } = flow_start;
        ConnectAttempt { client: client.address, server: server.address, port: server.port, is_named }
    }

    /// Whether it can be part of a scan.
    fn is_candidate(&self) -> bool {
        !(self.is_named && WEB_PORTS.contains(&self.port))
    }

    /// What the attempts of a host scan have in common: client and port, and for web ports the network (256 hosts; in IPv6 one
    /// link, RFC 4291 §2.5.1).
    fn host_scan_key(&self) -> (Address, u16, Address) {
        let host_bits = if self.server.is_v4() { 8 } else { 64 };
        let network = if WEB_PORTS.contains(&self.port) { self.server.0 >> host_bits } else { 0 };
        (self.client, self.port, Address(network))
    }
}

/// The distinct ports or hosts that were tried within [`SCAN_NANOS`].
#[derive(Debug)]
struct RecentTargets<T> {
    targets: SmallVec<[T; MIN_PORTS]>,
    since: Time,
    /// When they were last enough for a scan.
    scanned: Option<Time>,
}

/// Recent targets by what the attempts have in common.
#[derive(Debug)]
struct ScanDetector<K, T> {
    recent: BoundedMap<K, RecentTargets<T>>,
    min_targets: usize,
}

impl<K: Copy + Hash + Eq, T: PartialEq> ScanDetector<K, T> {
    fn new(min_targets: usize) -> ScanDetector<K, T> {
        ScanDetector { recent: BoundedMap::new(MAX_TARGETS), min_targets }
    }

    fn add(&mut self, key: K, target: T, time: Time) {
        let Some(recent) = self.recent.get(&key) else {
            let targets = SmallVec::from_iter([target]);
            return self.recent.insert(key, RecentTargets { targets, since: time, scanned: None });
        };
        if time.since(recent.since) > SCAN_NANOS {
            recent.targets.clear();
            recent.since = time;
        }
        if recent.targets.len() < self.min_targets && !recent.targets.contains(&target) {
            recent.targets.push(target);
        }
        if recent.targets.len() == self.min_targets {
            recent.scanned = Some(time);
        }
    }

    fn remove(&mut self, key: K, target: &T) {
        if let Some(recent) = self.recent.get(&key) {
            recent.targets.retain(|other| other != target);
        }
    }

    fn is_scan(&mut self, key: K, started: Time) -> bool {
        let scanned = self.recent.get(&key).and_then(|recent| recent.scanned);
        scanned.is_some_and(|time| time.since(started).max(started.since(time)) <= SCAN_NANOS)
    }
}

/// The recent attempts.
#[derive(Debug)]
pub(super) struct Scans {
    /// Ports by client and server.
    ports: ScanDetector<(Address, Address), u16>,
    /// Servers by [`ConnectAttempt::host_scan_key`].
    hosts: ScanDetector<(Address, u16, Address), Address>,
}

impl Default for Scans {
    fn default() -> Scans {
        Scans { ports: ScanDetector::new(MIN_PORTS), hosts: ScanDetector::new(MIN_HOSTS) }
    }
}

impl Scans {
    /// An attempt starts.
    pub(super) fn add(&mut self, attempt: &ConnectAttempt, time: Time) {
        if attempt.is_candidate() {
            let ConnectAttempt { client, server, port, .. } = *attempt;
            self.ports.add((client, server), port, time);
            self.hosts.add(attempt.host_scan_key(), server, time);
        }
    }

    /// An attempt led to a conversation: a client that uses each of many services does not scan them.
    pub(super) fn answered(&mut self, attempt: &ConnectAttempt) {
        if attempt.is_candidate() {
            self.ports.remove((attempt.client, attempt.server), &attempt.port);
            self.hosts.remove(attempt.host_scan_key(), &attempt.server);
        }
    }

    /// Whether an attempt that started at this time is part of a scan.
    pub(super) fn contains(&mut self, attempt: &ConnectAttempt, started: Time) -> bool {
        attempt.is_candidate()
            && (self.ports.is_scan((attempt.client, attempt.server), started)
                || self.hosts.is_scan(attempt.host_scan_key(), started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn attempt(server: u128, port: u16) -> ConnectAttempt {
        ConnectAttempt { client: Address(1), server: Address(server), port, is_named: false }
    }

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    fn named(attempt: ConnectAttempt) -> ConnectAttempt {
        ConnectAttempt { is_named: true, ..attempt }
    }

    #[test]
    fn many_ports_at_once_are_a_scan() {
        let mut scans = Scans::default();
        for port in 20..27 {
            scans.add(&attempt(2, port), at(100));
        }
        scans.add(&named(attempt(2, 443)), at(101));
        assert!(!scans.contains(&attempt(2, 20), at(100)), "seven are not enough");
        scans.add(&attempt(2, 27), at(101));
        assert!(scans.contains(&attempt(2, 20), at(100)));
        assert!(scans.contains(&attempt(2, 443), at(101)));
        assert!(!scans.contains(&named(attempt(2, 443)), at(101)), "a named web service");
        assert!(!scans.contains(&attempt(3, 20), at(100)));
        assert!(!scans.contains(&attempt(2, 445), at(400)), "long after");
        for port in 30..60 {
            scans.add(&attempt(3, port), at(1_000 + 2 * i64::from(port)));
        }
        assert!(!scans.contains(&attempt(3, 59), at(1_118)), "one after the other, like a program");
    }

    #[test]
    fn one_port_of_many_hosts_is_a_scan() {
        let mut scans = Scans::default();
        for host in 0..16 {
            scans.add(&attempt(100 + host, 445), at(0));
        }
        assert!(!scans.contains(&attempt(100, 445), at(0)), "a cluster");
        for host in 0..30 {
            scans.add(&attempt(200 + host, 445), at(1));
        }
        assert!(scans.contains(&attempt(100, 445), at(0)));
        assert!(
            !scans.contains(&ConnectAttempt { client: Address(2), ..attempt(100, 445) }, at(0)),
            "another client"
        );
    }

    #[test]
    fn services_that_answer_are_not_a_scan() {
        let mut scans = Scans::default();
        for number in 0..40_u16 {
            for attempt in [attempt(2, 80 + number), attempt(200 + u128::from(number), 445)] {
                scans.add(&attempt, at(0));
                scans.answered(&attempt);
            }
        }
        scans.add(&attempt(2, 445), at(1));
        scans.add(&attempt(999, 445), at(1));
        assert!(!scans.contains(&attempt(2, 445), at(1)), "a domain controller with one closed port");
        assert!(
            !scans.contains(&attempt(999, 445), at(1)),
            "all servers of a network, one of them unreachable"
        );
    }

    #[test]
    fn at_web_ports_only_unnamed_addresses_of_one_network_count() {
        let v4 = |network: u8, host: u8| Address::v4([20, 60, network, host]).0;
        let mut scans = Scans::default();
        for host in 0..30 {
            scans.add(&attempt(v4(host, 1), 443), at(0));
            scans.add(&named(attempt(v4(77, host), 443)), at(0));
        }
        assert!(!scans.contains(&attempt(v4(7, 1), 443), at(0)), "services of many networks");
        assert!(!scans.contains(&attempt(v4(77, 7), 443), at(0)), "they have names");
        for host in 0..30 {
            scans.add(&attempt(v4(99, host), 443), at(0));
        }
        assert!(scans.contains(&attempt(v4(99, 7), 443), at(0)));
        assert!(!scans.contains(&attempt(v4(99, 7), 80), at(0)), "another port");
    }
}
