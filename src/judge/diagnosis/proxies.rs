//! Servers that are proxies, as the capture shows.
//!
//! In:  flows that ended well.
//! Out: whether a flow that requests nothing goes to a proxy: one that fell silent is known by what it did before.
//! Not: proxies that the site file declares.

use crate::base::proto;
use crate::flow::Endpoint;
use crate::flow::FlowEnd;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::flow_state::FlowState;

/// Proxies that are kept.
const MAX_PROXIES: usize = 1 << 10;

/// The proxies of which a request has succeeded.
#[derive(Debug)]
pub(in crate::judge) struct Proxies {
    known: BoundedMap<Endpoint, ()>,
}

impl Default for Proxies {
    fn default() -> Proxies {
        Proxies { known: BoundedMap::new(MAX_PROXIES) }
    }
}

impl Proxies {
    /// A flow that ended well.
    pub(in crate::judge) fn add_success(&mut self, flow: &FlowState, flow_end: &FlowEnd) {
        let has_reply = flow_end.bytes.iter().all(|bytes| *bytes > 0);
        if has_reply && flow.is_proxied() && self.known.get(&flow.server()).is_none() {
            self.known.insert(flow.server(), ());
        }
    }

    /// Whether a flow goes to a proxy and requests nothing of it.
    pub(in crate::judge) fn is_proxy_of(&self, flow: &FlowState) -> bool {
        flow.flow_start.protocol == proto::TCP
            && self.known.peek(&flow.server()).is_some()
            && !flow.is_proxied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::judge::flow_state::NameClaim;
    use crate::judge::policy::Policy;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;
    use crate::read::NameSource;

    fn flow(port: u16, is_proxied: bool) -> FlowState {
        let end = |last, port| Endpoint { address: Address::v4([10, 1, 0, last]), port };
        let mut flow = test_support::flow_state(proto::TCP, end(4, 50_000), end(8, port));
        if is_proxied {
            let name = test_support::host("files.example");
            let known = NameTable::new(usize::MAX).look_up(&name, &Policy::for_tests(""));
            let source = NameSource::Connect;
            flow.add_claim(NameClaim { source, known, port: Some(443), frame: FrameRef::default() });
        }
        flow
    }

    #[test]
    fn a_server_is_a_proxy_after_a_request_through_it_was_answered() {
        let mut flow_end = test_support::flow_end(Time(0), Time(1));
        let mut knows = |bytes, is_proxied, port| {
            let mut proxies = Proxies::default();
            flow_end.bytes = bytes;
            proxies.add_success(&flow(8080, is_proxied), &flow_end);
            proxies.is_proxy_of(&flow(port, false))
        };
        assert!(knows([100, 100], true, 8080));
        assert!(!knows([100, 100], true, 8081), "another port");
        assert!(!knows([100, 0], true, 8080), "no reply");
        assert!(!knows([100, 100], false, 8080), "no request of a proxy");
        let mut proxies = Proxies::default();
        flow_end.bytes = [100, 100];
        proxies.add_success(&flow(8080, true), &flow_end);
        assert!(!proxies.is_proxy_of(&flow(8080, true)), "what is requested is the destination");
    }
}
