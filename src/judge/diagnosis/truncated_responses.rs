//! Resolvers that sent truncated responses: the client asks again over TCP (RFC 7766 §5).
//!
//! In:  DNS responses over UDP with the TC bit.
//! Out: whether a TCP connection to a resolver is that second attempt.
//! Not: what the responses say.

use crate::base::Address;
use crate::base::port;
use crate::base::proto;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::flow_state::FlowState;

/// Clients with a resolver that are kept: seven eighths of a power of two is what a hash table holds without growing.
const MAX_RESOLVERS: usize = 7 << 7;

/// Clients, each with a resolver whose response was truncated.
#[derive(Debug)]
pub(in crate::judge) struct TruncatedResponses(BoundedMap<(Address, Address), ()>);

impl Default for TruncatedResponses {
    fn default() -> TruncatedResponses {
        TruncatedResponses(BoundedMap::new(MAX_RESOLVERS))
    }
}

impl TruncatedResponses {
    /// A truncated response.
    pub(in crate::judge) fn add(&mut self, client: Address, resolver: Address) {
        if self.0.get(&(client, resolver)).is_none() {
            self.0.insert((client, resolver), ());
        }
    }

    /// Whether a flow is DNS over TCP to a resolver that sent its client a truncated response.
    pub(in crate::judge) fn is_completed_by(&self, flow: &FlowState) -> bool {
        flow.flow_start.protocol == proto::TCP
            && flow.server().port == port::DNS
            && self.0.peek(&(flow.client().address, flow.server().address)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Endpoint;
    use crate::judge::test_support;

    #[test]
    fn dns_over_tcp_completes_a_truncated_response() {
        let (client, resolver) = (Address::v4([10, 1, 0, 4]), Address::v4([10, 1, 0, 53]));
        let mut truncated = TruncatedResponses::default();
        truncated.add(client, resolver);
        truncated.add(client, resolver);
        let completes = |protocol, client, port| {
            let client = Endpoint { address: client, port: 50_000 };
            let server = Endpoint { address: resolver, port };
            truncated.is_completed_by(&test_support::flow_state(protocol, client, server))
        };
        assert!(completes(proto::TCP, client, 53));
        assert!(!completes(proto::UDP, client, 53));
        assert!(!completes(proto::TCP, client, 853));
        assert!(!completes(proto::TCP, Address::v4([10, 1, 0, 5]), 53), "another client");
    }
}
