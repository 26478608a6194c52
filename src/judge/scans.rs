//! Scans: somebody tries one port of a host after the other.
//!
//! In:  attempts as they begin.
//! Out: whether an attempt is one of many.
//! Not: attempts at the ports of the web, which services are reached at, and slow scans: they look like programs.

use smallvec::SmallVec;

use super::recent::Recent;
use crate::base::Address;
use crate::base::Time;

/// Pairs of hosts remembered.
const PAIRS: usize = 7 << 8;

/// So many ports of one host, within this time, are no program's needs: a client of a cluster asks for a few.
const PORTS: usize = 8;
const TOGETHER_NANOS: u64 = 10_000_000_000;

/// The ports of the web.
const WEB: [u16; 2] = [80, 443];

/// Ports that one host tried of another, and since when.
#[derive(Debug)]
struct Tried {
    ports: SmallVec<[u16; PORTS]>,
    since: Time,
    /// When there last were enough of them.
    scanned: Option<Time>,
}

/// The attempts of late.
#[derive(Debug)]
pub(super) struct Scans(Recent<(Address, Address), Tried>);

impl Default for Scans {
    fn default() -> Scans {
        Scans(Recent::new(PAIRS))
    }
}

impl Scans {
    /// An attempt begins.
    pub(super) fn begin(&mut self, client: Address, server: Address, port: u16, time: Time) {
        if WEB.contains(&port) {
            return;
        }
        let Some(tried) = self.0.get(&(client, server)) else {
            let tried = Tried { ports: SmallVec::from_slice(&[port]), since: time, scanned: None };
            return self.0.put((client, server), tried);
        };
        if time.since(tried.since) > TOGETHER_NANOS {
            tried.ports.clear();
            tried.since = time;
        }
        if tried.ports.len() < PORTS && !tried.ports.contains(&port) {
            tried.ports.push(port);
        }
        if tried.ports.len() == PORTS {
            tried.scanned = Some(time);
        }
    }

    /// Whether an attempt that began then was one of a scan.
    pub(super) fn holds(&mut self, client: Address, server: Address, port: u16, began: Time) -> bool {
        let scanned = self.0.get(&(client, server)).and_then(|tried| tried.scanned);
        let near = |time: Time| time.since(began).max(began.since(time)) <= TOGETHER_NANOS;
        !WEB.contains(&port) && scanned.is_some_and(near)
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
}
