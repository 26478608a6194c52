//! Proxies that ask for credentials on one connection and accept them on the next.
//!
//! In:  responses of proxies as they arrive, and flows that ended with a request for credentials.
//! Out: whether the client's next request for the same name was let through: then the first was a round of the authentication.
//! Not: rounds on one connection; there the last response counts.
//!
//! A proxy that closes the connection after 407 makes every request take two of them (RFC 9110 §11.7.1 leaves that to the proxy).

use crate::base::Time;
use crate::flow::FlowEnd;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::flow_state::FlowState;
use crate::judge::hashed_name::ClientName;
use crate::judge::hashed_name::ClientNameRef;
use crate::read::AppStatus;
use crate::read::NameSource;

/// Names of clients that are kept: seven eighths of a power of two is what a hash table holds without growing.
const MAX_NAMES: usize = 7 << 10;

/// Proxy authentication required (RFC 9110 §15.5.8).
const AUTHENTICATION_REQUIRED: u16 = 407;

/// When a proxy last let a request through, by client and name.
#[derive(Debug)]
pub(in crate::judge) struct SignIns(BoundedMap<ClientName, Time>);

impl Default for SignIns {
    fn default() -> SignIns {
        SignIns(BoundedMap::new(MAX_NAMES))
    }
}

impl SignIns {
    /// A response has arrived.
    pub(in crate::judge) fn add_response(&mut self, flow: &FlowState, status: &AppStatus, time: Time) {
        let is_accepted = match status {
            AppStatus::Status { code, connect: true } => (200..300).contains(code),
            // Whatever the response is, the proxy did not ask for credentials.
            AppStatus::Status { code, connect: false } => {
                *code != AUTHENTICATION_REQUIRED && requests_page_of_proxy(flow)
            }
            _ => false,
        };
        if !is_accepted {
            return;
        }
        let Some(key) = requested(flow) else { return };
        match self.0.get(&key) {
            Some(last) => *last = time,
            None => self.0.insert(key.to_owned(), time),
        }
    }

    /// Whether a request for the same name was let through since a flow began that ended with a request for credentials. Flow keeps a
    /// closed flow for ten seconds, so that what is let through much later is not known yet.
    pub(super) fn has_followed(&self, flow: &FlowState, flow_end: &FlowEnd) -> bool {
        let accepted = requested(flow).and_then(|key| self.0.peek(&key));
        accepted.is_some_and(|accepted| *accepted >= flow_end.first_seen)
    }
}

/// Whether a flow requests a page of plain HTTP from a proxy.
fn requests_page_of_proxy(flow: &FlowState) -> bool {
    flow.facts.as_ref().and_then(|facts| facts.http.as_ref()).is_some_and(|http| http.proxied)
}

/// The client, and the name that it requested from a proxy.
fn requested(flow: &FlowState) -> Option<ClientNameRef<'_>> {
    let claim = flow.claim_from(NameSource::Connect).or_else(|| flow.claim_from(NameSource::HttpHost))?;
    Some(ClientNameRef { client: flow.client().address, name: &claim.known.name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::FrameRef;
    use crate::base::proto;
    use crate::flow::Endpoint;
    use crate::judge::flow_state::NameClaim;
    use crate::judge::policy::Policy;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;

    const OK: AppStatus = AppStatus::Status { code: 200, connect: true };
    const CHALLENGE: AppStatus = AppStatus::Status { code: 407, connect: true };

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    #[test]
    fn a_request_for_credentials_is_a_round_where_the_next_request_is_let_through() {
        let mut names = NameTable::new(usize::MAX);
        let mut flow = |name: &str| {
            let end = |last, port| Endpoint { address: Address::v4([10, 1, 0, last]), port };
            let mut flow = test_support::flow_state(proto::TCP, end(4, 50_000), end(8, 8080));
            let known = names.look_up(&test_support::host(name), &Policy::for_tests(""));
            let source = NameSource::Connect;
            flow.add_claim(NameClaim { source, known, port: Some(443), frame: FrameRef::default() });
            flow
        };
        let (one, other) = (flow("files.example"), flow("other.example"));
        let challenged = test_support::flow_end(at(100), at(101));
        let check = |name: &FlowState, status: &AppStatus, second| {
            let mut sign_ins = SignIns::default();
            sign_ins.add_response(name, status, at(second));
            sign_ins.has_followed(&one, &challenged)
        };
        assert!(check(&one, &OK, 102));
        assert!(!check(&one, &CHALLENGE, 102), "asked again");
        assert!(!check(&one, &OK, 99), "before");
        assert!(check(&one, &OK, 112), "the next of many requests came before the flow was judged");
        assert!(!check(&other, &OK, 102), "a program that has credentials, for another name");
    }
}
