//! Holds one flow's destination and port against the documents.

use std::sync::Arc;

use super::case::Case;
use super::names::Known;
use super::record::Destination;
use super::record::Documented;
use super::record::PortVerdict;
use crate::read::NameSource;
use crate::rules;
use crate::rules::Rules;

const TCP: u8 = 6;
const UDP: u8 = 17;
const HTTPS: u16 = 443;

/// What the documents say of a flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) destination: Option<Destination>,
    pub(super) port: Option<PortVerdict>,
    pub(super) documented: Option<Arc<Documented>>,
    /// The name that was judged.
    pub(super) known: Option<Arc<Known>>,
    /// The port that was judged: the proxy's target port where there is a proxy.
    pub(super) asked_port: u16,
    /// The certificate's issuer stands in no list of issuers.
    pub(super) unknown_issuer: bool,
    /// A row names the destination, and none of them has a port other than 443.
    pub(super) https_only: bool,
}

/// Judges a flow that an audited host opened. Nothing is judged about traffic inside the site that no document names, nor
/// about groups (multicast, broadcast).
pub(super) fn verdict(case: &Case, rules: &Rules) -> Verdict {
    let server = case.server();
    if server.address.is_group() {
        return Verdict::default();
    }
    let known = case.name().map(|(known, _)| known);
    let asked_port =
        case.claimed(NameSource::Connect).and_then(|claimed| claimed.port).unwrap_or(server.port);
    let inside = server.address.is_private() && case.claimed(NameSource::Connect).is_none();
    let documented = known.and_then(|known| known.documented.clone());
    if inside && documented.is_none() {
        return Verdict::default();
    }
    let protocol = case.opening.protocol;
    let (destination, port, https_only) = match known {
        Some(known) if known.documented.is_some() => {
            let destination =
                if known.broad { Destination::DocumentedBroad } else { Destination::Documented };
            let (port, https_only) = port_of(known, rules, protocol, asked_port);
            (destination, port, https_only)
        }
        Some(_) => (Destination::Unexpected, plain_port(protocol, asked_port), false),
        None => (Destination::Unidentified, plain_port(protocol, asked_port), false),
    };
    Verdict {
        destination: Some(destination),
        port: Some(port),
        documented,
        known: known.cloned(),
        asked_port,
        unknown_issuer: false,
        https_only,
    }
}

/// Whether a certificate's issuer, as text, is nobody whom a list of issuers in force names: not by name, and not by
/// organization either, since authorities are rotated without notice.
pub(super) fn is_unknown_issuer(issuer: &str, rules: &Rules) -> bool {
    let part = |key: &str| issuer.split(", ").find_map(|part| part.strip_prefix(key)).unwrap_or_default();
    rules.issuer(part("CN="), part("O=")) == rules::Issuer::Unknown
}

/// The best that any of the name's rows says of a port, and whether all of them want 443 and nothing else.
fn port_of(known: &Known, rules: &Rules, protocol: u8, port: u16) -> (PortVerdict, bool) {
    let mut best = PortVerdict::Not443;
    let mut https_only = true;
    for (id, _) in &known.rules {
        let rule = rules.rule(*id);
        match rule.allows(protocol, port) {
            rules::PortVerdict::Https => best = best.min(PortVerdict::Https),
            rules::PortVerdict::Documented | rules::PortVerdict::AsMeant => {
                best = best.min(PortVerdict::Documented)
            }
            rules::PortVerdict::Not => {}
        }
        https_only &= rule.allows(TCP, HTTPS) == rules::PortVerdict::Https
            && rule.allows(TCP, 80) == rules::PortVerdict::Not;
    }
    // HTTP/3 carries HTTPS over UDP 443: the port is the one that is demanded.
    if best == PortVerdict::Not443 && protocol == UDP && port == HTTPS && https_only {
        best = PortVerdict::Https;
    }
    (best, https_only)
}

/// Without a row only 443 is as the documents would have it.
const fn plain_port(protocol: u8, port: u16) -> PortVerdict {
    if (protocol == TCP || protocol == UDP) && port == HTTPS {
        PortVerdict::Https
    } else {
        PortVerdict::Not443
    }
}
