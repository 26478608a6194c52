//! Revocation and certificate hosts that are blocked while the services themselves are reached.
//!
//! In:  judged flows as they end.
//! Out: a finding per client, which names the error that the server's administrator sees.
//! Not: flows to other names on port 80.

use std::sync::Arc;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::port;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::finding::collector::Findings;
use crate::judge::finding::collector::Occurrence;
use crate::judge::finding::collector::Target;
use crate::judge::policy::name_table::NameReferences;
use crate::judge::rows::Confidence;
use crate::judge::rows::Documented;
use crate::judge::rows::FlowRow;
use crate::judge::rows::Outcome;
use crate::rules::RuleSet;
use crate::rules::ServiceKind;

/// Clients remembered.
const CLIENTS: usize = 1 << 12;

/// Names told of one client.
const NAMES: usize = 6;

/// What a client's flows came to.
#[derive(Debug, Default)]
struct Came {
    services: bool,
    revocation: bool,
    stopped: Vec<Stopped>,
}

/// A host of certificates that was stopped.
#[derive(Debug)]
struct Stopped {
    name: Arc<HostName>,
    documented: Arc<Documented>,
    flow: u64,
    frame: FrameRef,
    time: Time,
}

/// What is known of all clients.
#[derive(Debug)]
pub(in crate::judge) struct Revocation(BoundedMap<Address, Came>);

impl Default for Revocation {
    fn default() -> Revocation {
        Revocation(BoundedMap::new(CLIENTS))
    }
}

/// True when a row for CRL, OCSP or AIA hosts names a host.
pub(in crate::judge) fn is_of_certificates(standing: &NameReferences, rules: &RuleSet) -> bool {
    standing.rules.iter().any(|id| rules.reference(*id).service_kind == Some(ServiceKind::Pki))
}

impl Revocation {
    /// Takes a judged flow in; `of_certificates` says that rows about certificates name it.
    pub(in crate::judge) fn add(&mut self, row: &FlowRow, of_certificates: bool) {
        let client = row.client.address;
        let stopped = row.outcome == Outcome::BlockedLooking;
        match (row.server.port, of_certificates) {
            (port::HTTP, true) => {}
            // That services are reached matters only where something else is not.
            (port::HTTPS, _) if !stopped && self.0.get(&client).is_none_or(|came| !came.services) => {}
            _ => return,
        }
        if self.0.get(&client).is_none() {
            self.0.put(client, Came::default());
        }
        let Some(came) = self.0.get(&client) else { return };
        let answered = row.outcome == Outcome::Ok && row.bytes.iter().all(|bytes| *bytes > 0);
        match (row.server.port, &row.name, &row.documented) {
            (port::HTTPS, ..) => came.services |= answered && row.documented.is_some(),
            (_, Some(name), Some(documented)) if stopped => {
                if came.stopped.len() < NAMES && !came.stopped.iter().any(|other| other.name == *name) {
                    came.stopped.push(Stopped {
                        name: Arc::clone(name),
                        documented: Arc::clone(documented),
                        flow: row.flow_id,
                        frame: row.first_frame,
                        time: row.first_seen,
                    });
                }
            }
            _ => came.revocation |= answered,
        }
    }

    /// A finding for each client that reaches services and no host of certificates; begins anew.
    pub(in crate::judge) fn finish(&mut self, findings: &mut Findings) {
        let came = std::mem::take(self);
        let mut all: Vec<(Address, Came)> = came.0.into_entries().collect();
        all.sort_by_key(|(client, _)| *client);
        for (client, came) in all {
            if came.revocation || !came.services {
                continue;
            }
            let names =
                came.stopped.iter().map(|stopped| stopped.name.as_str()).collect::<Vec<_>>().join(", ");
            for stopped in &came.stopped {
                let sign = Occurrence {
                    code: "AFS209",
                    mechanism: "pki-blocked",
                    // More than one host of certificates fails, and nothing else: no accident.
                    confidence: Some(if came.stopped.len() > 1 {
                        Confidence::Strong
                    } else {
                        Confidence::Weak
                    }),
                    client: Some(client),
                    subject: Target::Text("PKI"),
                    server: None,
                    flow: Some(stopped.flow),
                    frames: std::slice::from_ref(&stopped.frame),
                    time: stopped.time,
                    rules: &stopped.documented.references,
                    documents: &stopped.documented.documents,
                };
                findings.add(&sign, || {
                    format!("{client} reaches services on port 443 and none of the hosts that certificates are checked at ({names})")
                });
            }
        }
    }
}
