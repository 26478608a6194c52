//! Certificate revocation hosts that are blocked while the services themselves are reached.
//!
//! In:  judged flows as they end.
//! Out: per client, the PKI hosts that were blocked.
//! Not: flows to other names on port 80.

use std::sync::Arc;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::port;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::catalogue::Mechanism;
use crate::judge::rows::Documented;
use crate::judge::rows::FlowRow;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Outcome;

/// Clients that are kept.
const MAX_CLIENTS: usize = 1 << 12;

/// Blocked hosts that are kept for one client.
const MAX_HOSTS: usize = 6;

/// What the flows of one client show.
#[derive(Debug, Default)]
struct Reachability {
    services: bool,
    pki: bool,
    blocked: Vec<BlockedPkiHost>,
}

/// A PKI host that looks blocked.
#[derive(Debug)]
pub(in crate::judge) struct BlockedPkiHost {
    pub(in crate::judge) name: Arc<HostName>,
    pub(in crate::judge) documented: Arc<Documented>,
    pub(in crate::judge) flow: u64,
    pub(in crate::judge) frame: FrameRef,
    pub(in crate::judge) time: Time,
    /// A response in plain HTTP that the host itself may have sent.
    is_doubtful: bool,
}

/// What the flows of all clients show.
#[derive(Debug)]
pub(in crate::judge) struct Revocation(BoundedMap<Address, Reachability>);

impl Default for Revocation {
    fn default() -> Revocation {
        Revocation(BoundedMap::new(MAX_CLIENTS))
    }
}

impl Revocation {
    /// Adds a judged flow. `requested_port`: the server's, or the one that was requested from a proxy. `is_pki`: a row for CRL, OCSP
    /// or AIA hosts names its destination.
    pub(in crate::judge) fn add(&mut self, row: &FlowRow, requested_port: u16, is_pki: bool) {
        let client = row.client.address;
        let outcome = row.assessment.outcome();
        let is_blocked = outcome == Outcome::BlockedLooking;
        match (requested_port, is_pki) {
            (port::HTTP, true) => {}
            // The first reached service is enough.
            (port::HTTPS, _) if !is_blocked && self.0.get(&client).is_none_or(|known| !known.services) => {}
            _ => return,
        }
        if self.0.get(&client).is_none() {
            self.0.insert(client, Reachability::default());
        }
        let Some(reachability) = self.0.get(&client) else { return };
        let is_answered = outcome == Outcome::Ok && row.bytes.iter().all(|bytes| *bytes > 0);
        match (requested_port, &row.name, &row.documented) {
            (port::HTTPS, ..) => reachability.services |= is_answered && row.documented.is_some(),
            (_, Some(name), Some(documented)) if is_blocked => {
                let is_known = reachability.blocked.iter().any(|other| other.name == *name);
                if reachability.blocked.len() < MAX_HOSTS && !is_known {
                    reachability.blocked.push(BlockedPkiHost {
                        name: Arc::clone(name),
                        documented: Arc::clone(documented),
                        flow: row.flow_id,
                        frame: row.first_frame,
                        time: row.first_seen,
                        is_doubtful: is_response(row)
                            && row.assessment.confidence() == Some(Confidence::Weak),
                    });
                }
            }
            _ => reachability.pki |= is_answered,
        }
    }

    /// The blocked hosts of each client that reaches services and no PKI host, by client. Starts anew.
    pub(in crate::judge) fn take(&mut self) -> Vec<(Address, Vec<BlockedPkiHost>)> {
        let all = std::mem::take(self).0.into_entries();
        // One response that the host itself may have sent shows nothing of the others.
        let shows_block =
            |hosts: &[BlockedPkiHost]| hosts.len() != 1 || hosts.iter().any(|host| !host.is_doubtful);
        let blocked = all.filter(|(_, reachability)| {
            reachability.services && !reachability.pki && shows_block(&reachability.blocked)
        });
        let mut blocked: Vec<_> =
            blocked.map(|(client, reachability)| (client, reachability.blocked)).collect();
        blocked.sort_by_key(|(client, _)| *client);
        blocked
    }
}

/// Whether a response in plain HTTP is what looks blocked.
fn is_response(row: &FlowRow) -> bool {
    matches!(row.assessment.mechanism(), Some(Mechanism::BlockPage | Mechanism::ProxyRefused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::assessment::Assessment;
    use crate::judge::test_support;

    const SERVICE: &str = "westus01.afs.azure.net:443";

    /// The blocked hosts of a client with these flows: `name:port`, and `+` if it worked, `-` if it was blocked, `=` if it was
    /// connected without payload. Names with `pki` are revocation hosts; names with `other` are not documented.
    fn blocked(flows: &[(&str, char)]) -> Vec<String> {
        let mut revocation = Revocation::default();
        for (destination, outcome) in flows {
            let (name, port) = destination.split_once(':').unwrap();
            let client = Address::v4([10, 1, 0, 4]);
            let mut row = test_support::flow_row(client, Address::v4([20, 60, 0, 4]), Time(0));
            row.server.port = port.parse().unwrap();
            row.name = Some(Arc::new(test_support::host(name)));
            row.documented = (!name.contains("other")).then(Arc::default);
            match outcome {
                '-' => row.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak),
                '?' => row.assessment = Assessment::blocked(Mechanism::ProxyRefused, Confidence::Weak),
                '=' => row.bytes = [0, 0],
                _ => {}
            }
            revocation.add(&row, row.server.port, name.contains("pki"));
        }
        let all = revocation.take().into_iter().flat_map(|(_, hosts)| hosts);
        all.map(|host| host.name.to_string()).collect()
    }

    #[test]
    fn revocation_hosts_are_blocked_where_services_are_reached() {
        let none: [&str; 0] = [];
        let hosts = ["a.pki.example", "b.pki.example"];
        let both = [("a.pki.example:80", '-'), (SERVICE, '+'), ("b.pki.example:80", '-')];
        assert_eq!(blocked(&both), hosts);
        assert_eq!(blocked(&[both.as_slice(), &both].concat()), hosts);
        assert_eq!(blocked(&[both.as_slice(), &[("c.pki.example:80", '+')]].concat()), none);
        // A connection without payload shows neither.
        assert_eq!(blocked(&[both.as_slice(), &[("c.pki.example:80", '=')]].concat()), hosts);
        assert_eq!(blocked(&[("a.pki.example:80", '-'), (SERVICE, '=')]), none);
        assert_eq!(blocked(&[("a.pki.example:80", '-'), (SERVICE, '-')]), none);
        assert_eq!(blocked(&[("a.pki.example:80", '-'), ("other.example:443", '+')]), none);
        assert_eq!(blocked(&[("www.example:80", '-'), (SERVICE, '+')]), none);
        // The host itself may have sent the response; several hosts do not by chance.
        assert_eq!(blocked(&[("a.pki.example:80", '?'), (SERVICE, '+')]), none);
        let both = [("a.pki.example:80", '?'), (SERVICE, '+'), ("b.pki.example:80", '?')];
        assert_eq!(blocked(&both), hosts);
    }
}
