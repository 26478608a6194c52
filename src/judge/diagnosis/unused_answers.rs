//! Names that were resolved and never connected to: the effect of a firewall on the host itself.
//!
//! In:  the DNS responses that clients received, and which addresses they used.
//! Out: documented names that a client resolved repeatedly and never connected to.
//! Not: names resolved once: browsers resolve in advance, and so do monitors.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::flow_state::FlowState;
use crate::judge::hashed_name::ClientName;
use crate::judge::hashed_name::ClientNameRef;
use crate::judge::policy::name_table::ClientAnswer;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::name_table::seconds;
use crate::read::NameSource;

/// A client that needs a name resolves it again after a while; a stub resolver queries for A and AAAA at once.
const MIN_APART_SECS: u32 = 1;

/// A client connects within this time of the response.
const CONNECT_NANOS: u64 = 5_000_000_000;

/// Clients of proxies that are kept.
const MAX_CLIENTS: usize = 1 << 16;

/// Names at other addresses that are kept.
const MAX_NAMES: usize = 1 << 12;

/// A name that a client resolved and did not connect to.
pub(in crate::judge) struct UnusedName<'a> {
    pub(in crate::judge) client: Address,
    pub(in crate::judge) known: &'a Arc<KnownName>,
    /// The last response.
    pub(in crate::judge) last: Time,
    pub(in crate::judge) frame: FrameRef,
}

/// What names without a connection may have been used by.
#[derive(Debug)]
pub(in crate::judge) struct NameUse {
    /// Clients that use a proxy.
    proxied: BoundedMap<Address, ()>,
    /// Names that clients used at other addresses than DNS resolved, or without a query of their own.
    elsewhere: BoundedMap<ClientName, ()>,
}

impl Default for NameUse {
    fn default() -> NameUse {
        NameUse { proxied: BoundedMap::new(MAX_CLIENTS), elsewhere: BoundedMap::new(MAX_NAMES) }
    }
}

impl NameUse {
    /// Adds a judged flow that has ended.
    pub(in crate::judge) fn add(&mut self, flow: &FlowState) {
        let client = flow.client().address;
        if flow.strongest_claim().is_some_and(|claim| claim.source == NameSource::Connect) {
            self.proxied.insert(client, ());
        }
        let Some((known, _)) = flow.name() else { return };
        let is_resolved =
            !flow.dns_is_other_clients && flow.dns.as_ref().is_some_and(|dns| dns.known() == known);
        if !is_resolved && known.is_documented() {
            let key = ClientNameRef { client, name: &known.name };
            if self.elsewhere.get(&key).is_none() {
                self.elsewhere.insert(key.to_owned(), ());
            }
        }
    }

    /// Whether a client uses a proxy.
    pub(in crate::judge) fn uses_proxy(&self, client: Address) -> bool {
        self.proxied.contains(&client)
    }

    /// Whether a name may have been used without a connection to its addresses.
    fn explains(&self, name: &UnusedName<'_>) -> bool {
        let key = ClientNameRef { client: name.client, name: &name.known.name };
        self.proxied.contains(&name.client)
            || self.elsewhere.contains(&key)
            || self.is_used_over_other_family(name)
    }

    /// Whether a host with an address of the other family used the name without a query of its own: it may be the same host, which
    /// sends its queries over IPv4 and connects over IPv6.
    fn is_used_over_other_family(&self, name: &UnusedName<'_>) -> bool {
        self.elsewhere
            .iter()
            .any(|(key, ())| key.name == name.known.name && key.client.is_v4() != name.client.is_v4())
    }

    /// The unused names, by client and name. `answers` returns the responses that clients received; `now` is the last time of the
    /// capture.
    pub(in crate::judge) fn unused_names<'a, I>(
        &self,
        answers: impl Fn() -> I,
        now: Time,
    ) -> Vec<UnusedName<'a>>
    where
        I: Iterator<Item = (Address, &'a ClientAnswer)>,
    {
        // Few names are resolved again and not used. A name whose addresses change every time is not noticed.
        let is_repeated =
            |answer: &ClientAnswer| seconds(answer.last).saturating_sub(answer.first_secs) >= MIN_APART_SECS;
        let is_candidate =
            |answer: &ClientAnswer| !answer.used && is_repeated(answer) && answer.dns.known().is_documented();
        let mut names: BTreeMap<(Address, &HostName), UnusedName<'_>> = BTreeMap::new();
        for (client, answer) in answers().filter(|(_, answer)| is_candidate(answer)) {
            let known = answer.dns.known();
            let (last, frame) = (answer.last, answer.dns.frame());
            let name =
                names.entry((client, &known.name)).or_insert(UnusedName { client, known, last, frame });
            (name.last, name.frame) = (name.last, name.frame).max((last, frame));
        }
        // One used address is enough. Few clients have unused names, and most answers are used.
        let clients: HashSet<Address> = names.keys().map(|(client, _)| *client).collect();
        for (client, answer) in answers().filter(|(client, answer)| answer.used && clients.contains(client)) {
            names.remove(&(client, &*answer.dns.known().name));
        }
        let names = names.into_values();
        names.filter(|name| now.since(name.last) >= CONNECT_NANOS && !self.explains(name)).collect()
    }
}
