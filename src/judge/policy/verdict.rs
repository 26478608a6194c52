//! Holds one flow's destination and port against the documents.

use std::sync::Arc;

use jiff::civil::Date;

use crate::base::port;
use crate::base::proto;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::Internal;
use crate::judge::policy::Policy;
use crate::judge::policy::TagSet;
use crate::judge::policy::name_table::KnownName;
use crate::judge::rows::DestinationVerdict;
use crate::judge::rows::Documented;
use crate::judge::rows::PortVerdict;
use crate::read::NameSource;
use crate::rules;
use crate::rules::RuleSet;

/// What the documents say of a flow.
#[derive(Clone, Debug, Default)]
pub(in crate::judge) struct Verdict<'a> {
    pub(in crate::judge) destination: Option<DestinationVerdict>,
    pub(in crate::judge) port: Option<PortVerdict>,
    pub(in crate::judge) documented: Option<&'a Arc<Documented>>,
    /// The name that was judged.
    pub(in crate::judge) known: Option<&'a Arc<KnownName>>,
    /// The port that was judged: the proxy's target port where there is a proxy.
    pub(in crate::judge) asked_port: u16,
    /// The certificate's issuer stands in no list of issuers.
    pub(in crate::judge) unknown_issuer: bool,
    /// A row names the destination, and none of them has a port other than 443.
    pub(in crate::judge) https_only: bool,
    /// The site's exception that allows it, by place.
    pub(in crate::judge) approved: Option<usize>,
    /// The site's exception that would allow it, had it not expired.
    pub(in crate::judge) expired: Option<usize>,
    /// Between two declared roles, and no row of the port tables has the port.
    pub(in crate::judge) internal: Option<Strange>,
}

/// Why a conversation inside the site is not in the port tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Strange {
    /// The port is there, the other way round.
    Reverse,
    /// The port is not there.
    Unknown,
}

/// Judges a flow that an audited host opened on `day`. Nothing is judged about traffic inside the site that neither a
/// document nor a port table names, nor about groups (multicast, broadcast).
pub(in crate::judge) fn verdict<'a>(
    case: &'a FlowState,
    tags: Option<&'a TagSet>,
    day: impl Fn() -> Date,
    policy: &'a Policy,
) -> Verdict<'a> {
    let server = case.server();
    if server.address.is_group() {
        return Verdict::default();
    }
    let known = case.name().map(|(known, _)| known);
    let connect = case.claimed(NameSource::Connect);
    let asked_port = case.requested_port();
    let inside = server.address.is_private() && connect.is_none();
    let documented = known.and_then(|known| known.references.documented.as_ref());
    let mut verdict = Verdict { known, asked_port, ..Verdict::default() };
    let protocol = case.flow_start.protocol;
    match known {
        _ if inside && documented.is_none() => internal(case, &mut verdict, policy),
        Some(known) if documented.is_some() => {
            let destination = if known.references.broad {
                DestinationVerdict::DocumentedBroad
            } else {
                DestinationVerdict::Documented
            };
            let port = known.references.port(&policy.rules, protocol, asked_port);
            let https_only = known.references.https_only;
            verdict = Verdict {
                destination: Some(destination),
                port: Some(port),
                documented: known.references.documented_on(&policy.rules, protocol, asked_port),
                https_only,
                ..verdict
            };
        }
        Some(_) => {
            verdict.destination = Some(DestinationVerdict::Unexpected);
            verdict.port = Some(plain_port(protocol, asked_port));
        }
        None => {
            verdict.documented = tags.and_then(|tags| tags.documented.as_ref());
            verdict.destination = Some(match verdict.documented {
                Some(_) => DestinationVerdict::Documented,
                None => DestinationVerdict::Unidentified,
            });
            verdict.port = Some(plain_port(protocol, asked_port));
        }
    }
    if verdict.documented.is_none()
        && verdict.destination.is_some()
        && let Some(documented) = policy.any_host(protocol, asked_port)
    {
        verdict.destination = Some(DestinationVerdict::Documented);
        verdict.port = Some(PortVerdict::Documented);
        verdict.documented = Some(documented);
    }
    if verdict.destination.is_some() && !policy.site.allow.is_empty() {
        except(case, day, &mut verdict, policy);
    }
    verdict
}

/// Judges a conversation between two declared roles by the port tables.
fn internal<'a>(case: &FlowState, verdict: &mut Verdict<'a>, policy: &'a Policy) {
    let (client, server) = (case.client(), case.server());
    let roles = [policy.roles(client.address), policy.roles(server.address)];
    let [Some(from), Some(to)] = roles.map(|roles| Some(roles).filter(|roles| *roles != 0)) else { return };
    let Some(found) = policy.internal(from, to, case.flow_start.protocol, server.port) else { return };
    let strange = match found {
        Internal::Allowed(documented) => {
            verdict.destination = Some(DestinationVerdict::Documented);
            verdict.port = Some(PortVerdict::Documented);
            verdict.documented = Some(documented);
            return;
        }
        // Who opened a conversation that began before the capture is a guess.
        Internal::Reverse if !case.flow_start.from_start => return,
        Internal::Reverse => Strange::Reverse,
        Internal::Unknown => Strange::Unknown,
    };
    verdict.internal = Some(strange);
    verdict.destination = Some(DestinationVerdict::Unexpected);
    verdict.port = Some(PortVerdict::Not443);
}

/// Looks for an exception of the site's own.
fn except(case: &FlowState, day: impl Fn() -> Date, verdict: &mut Verdict<'_>, policy: &Policy) {
    let wanting = verdict.destination > Some(DestinationVerdict::Documented)
        || verdict.port == Some(PortVerdict::Not443)
        || verdict.known.as_ref().is_some_and(|known| !known.class.allow.is_empty());
    if !wanting {
        return;
    }
    let name = verdict.known.as_ref().map(|known| known.name.as_str());
    let fits = |(_, allow): &(usize, &rules::Allow)| {
        allow.matches(name, case.server().address, case.flow_start.protocol, verdict.asked_port)
    };
    for (place, allow) in policy.site.allow.iter().enumerate().filter(fits) {
        if allow.expired(day()) {
            verdict.expired = Some(place);
            continue;
        }
        verdict.expired = None;
        verdict.approved = Some(place);
        if verdict.destination > Some(DestinationVerdict::Documented) {
            verdict.destination = Some(DestinationVerdict::SiteApproved);
        }
        if verdict.port == Some(PortVerdict::Not443) {
            verdict.port = Some(PortVerdict::Documented);
        }
        verdict.internal = None;
        return;
    }
}

/// Whether a certificate's issuer, as text, is nobody whom a list of issuers in force names: not by name, and not by
/// organization either, since authorities are rotated without notice.
pub(in crate::judge) fn is_unknown_issuer(issuer: &str, rules: &RuleSet) -> bool {
    let part = |key: &str| issuer.split(", ").find_map(|part| part.strip_prefix(key)).unwrap_or_default();
    rules.issuer(part("CN="), part("O=")) == rules::Issuer::Unknown
}

/// Without a row only 443 is as the documents would have it.
const fn plain_port(protocol: u8, port: u16) -> PortVerdict {
    if (protocol == proto::TCP || protocol == proto::UDP) && port == port::HTTPS {
        PortVerdict::Https
    } else {
        PortVerdict::Not443
    }
}
