//! What a comparison shows.
//!
//! In:  the result of a comparison.
//! Out: its sentence in a finding, its effect on the confidence, what to do.
//! Not: the comparison itself.

use std::sync::Arc;

use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;
use crate::flow::Endpoint;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::vocabulary::Confidence;

/// What the other flows show about something that was blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) enum ComparisonResult {
    /// It worked, but only after it was blocked.
    WorkedLater { from: Time },
    /// It worked, but only before it was blocked.
    WorkedBefore { until: Time },
    /// It worked before and after, or in between.
    WorkedAtOtherTimes,
    /// The address, which no name was known for when it was blocked, worked; with the one name that it had then.
    AddressWorked { when: Box<ComparisonResult>, name: Option<Arc<HostName>> },
    /// Another name works at the same address.
    OtherNameWorks { name: Arc<HostName> },
    /// Another name works through the same proxy.
    OtherNameThroughProxy { name: Arc<HostName> },
    /// The name works through a proxy.
    WorksThroughProxy { proxy: Endpoint },
    /// The client reaches other names through a proxy.
    OthersThroughProxy { proxy: Endpoint, client: Address },
    /// Another audited host reaches the name at the same address.
    OtherHostReachesIt { host: Address, client: Address },
    /// Another audited host reaches the name through the same proxy.
    OtherHostThroughProxy { host: Address, client: Address },
    /// The name works at another address.
    WorksElsewhere { server: Address },
    /// The name works over IPv4, and nowhere over IPv6.
    WorksOverIpv4 { server: Address },
    /// Other names fail at the same address, while something else works.
    OtherNamesFail { server: Address },
    /// Another documented name of the same endpoint, such as an older one, works.
    OtherNameOfEndpoint { name: Arc<HostName> },
    /// The server serves the same on another port, which works.
    OtherPortWorks { port: u16 },
    /// Another time server answers the client.
    OtherTimeServer { server: Address },
    /// Nothing that the client tried works.
    NothingWorks { names: u32, client: Address },
}

impl ComparisonResult {
    /// Whether it works after it had failed.
    pub(in crate::judge) const fn is_at_other_times(&self) -> bool {
        matches!(self, ComparisonResult::WorkedLater { .. } | ComparisonResult::WorkedAtOtherTimes)
    }

    /// What it does to the confidence; none where it proves nothing about the mechanism.
    pub(in crate::judge) fn confidence(&self) -> Option<Confidence> {
        match self {
            ComparisonResult::OtherNameWorks { .. } => Some(Confidence::Strong),
            // What works at times may have been stopped by accident.
            ComparisonResult::WorkedLater { .. } | ComparisonResult::WorkedAtOtherTimes => {
                Some(Confidence::Weak)
            }
            ComparisonResult::WorkedBefore { .. }
            // It may have been another service, or another name.
            | ComparisonResult::AddressWorked { .. }
            // Another host may use another path.
            | ComparisonResult::OtherHostReachesIt { .. }
            | ComparisonResult::OtherHostThroughProxy { .. }
            | ComparisonResult::WorksThroughProxy { .. }
            | ComparisonResult::OthersThroughProxy { .. }
            // The destination may have refused it, and not the proxy.
            | ComparisonResult::OtherNameThroughProxy { .. }
            | ComparisonResult::WorksOverIpv4 { .. }
            // A server that is down looks the same.
            | ComparisonResult::WorksElsewhere { .. }
            | ComparisonResult::OtherNamesFail { .. }
            | ComparisonResult::OtherNameOfEndpoint { .. }
            | ComparisonResult::OtherPortWorks { .. }
            | ComparisonResult::OtherTimeServer { .. }
            | ComparisonResult::NothingWorks { .. } => None,
        }
    }
}

/// Whether a mechanism looks like a filter that inspects names or requests, which lets through always or never what it allows.
pub(in crate::judge) const fn suggests_filter_of_names(mechanism: Mechanism) -> bool {
    matches!(
        mechanism,
        Mechanism::SilentAfterClientHello
            | Mechanism::SilentAfterRequest
            | Mechanism::ResetAfterClientHello
            | Mechanism::ClosedAfterClientHello
            | Mechanism::ResetAfterCertificate
            | Mechanism::ClosedAfterCertificate
            | Mechanism::ResetAfterRequest
            | Mechanism::BlockPage
    )
}

/// What to do where IPv6 gets no reply and IPv4 works.
pub(in crate::judge) const RECOMMENDATION_FOR_IPV6: &str = "allow the name over IPv6 as well, or stop announcing an IPv6 route to the internet that \
                                              cannot be used: until then, each connection waits for the attempt over IPv6 to time out";

impl ComparisonResult {
    /// What to do about a finding with this mechanism, where the comparison shows it.
    pub(in crate::judge) fn recommendation(&self, mechanism: Option<Mechanism>) -> Option<String> {
        // What worked may be stopped later by a rule, but not by a rule that was missing. A conversation that was accepted has
        // advice of its own.
        let is_attempt = mechanism.is_some_and(|mechanism| mechanism.entry().stops == Stops::Attempt);
        let may_be_filtered = mechanism.is_some_and(suggests_filter_of_names);
        match self {
            ComparisonResult::AddressWorked { when, .. } if is_attempt => when.recommendation(mechanism),
            ComparisonResult::WorkedLater { .. } if is_attempt => Some(
                "look for what changed at that time, such as a rule, a route or an outage; it works now, so that no rule is missing any \
                 more"
                    .to_owned(),
            ),
            ComparisonResult::WorkedBefore { .. } if is_attempt => Some(
                "look for what changed after that time in the firewall's rules and in the routes; allow the destination again if a rule \
                 stops it"
                    .to_owned(),
            ),
            ComparisonResult::WorkedAtOtherTimes if is_attempt => Some(
                "look for an outage at that time, for a rule with a schedule, for routes that change, for a NAT without free ports, and for \
                 one of several firewalls that lacks the rule: the destination is allowed at other times"
                    .to_owned(),
            ),
            ComparisonResult::WorkedBefore { .. } if mechanism == Some(Mechanism::BlockPage) => Some(
                "compare the requests that get the page with those that did not: their paths, programs and users; if the same request \
                 worked before, look for what changed after that time in the rules of the device that inspects requests"
                    .to_owned(),
            ),
            ComparisonResult::WorkedBefore { .. } if may_be_filtered => Some(
                "look for what changed after that time in the rules of the device that inspects names or requests; allow the name there \
                 again if a rule stops it"
                    .to_owned(),
            ),
            // Who sends a page has decided.
            ComparisonResult::WorkedLater { .. } | ComparisonResult::WorkedAtOtherTimes
                if mechanism == Some(Mechanism::BlockPage) =>
            {
                Some(
                    "compare the requests that get the page with those that do not: their times, paths, programs and users; the name is let \
                     through at other times"
                        .to_owned(),
                )
            }
            ComparisonResult::WorkedLater { .. } | ComparisonResult::WorkedAtOtherTimes if may_be_filtered => Some(
                "compare the connections that fail with those that work: their times, programs and requests. Look for an overloaded server \
                 or device on the path; no rule for the name is missing, because it is let through at other times"
                    .to_owned(),
            ),
            ComparisonResult::NothingWorks { client, .. } if is_attempt => Some(format!(
                "look first for one cause of all: the default gateway and routes of {client}, and whether the firewall has any rule for \
                 it; then allow the single destinations"
            )),
            ComparisonResult::OtherHostReachesIt { host, client } => Some(format!(
                "compare the firewall rules and routes of {client} with those of {host}, which reaches the same address: {client} \
                 seems to be missing from the rule"
            )),
            ComparisonResult::OtherHostThroughProxy { host, client } => Some(format!(
                "compare what the proxy's rules say of {client} with what they say of {host}: {client} seems to be missing from them"
            )),
            ComparisonResult::WorksThroughProxy { .. } | ComparisonResult::OthersThroughProxy { .. } => Some(
                "set the proxy for the program that connects directly; or, if it cannot use one, allow the destination in the firewall"
                    .to_owned(),
            ),
            ComparisonResult::WorksElsewhere { .. } if is_attempt => Some(
                "where the firewall's rule lists addresses, allow all addresses of the name; where it lists the name, no rule is missing, \
                 because another address works: look for a server that is down or an address that is no longer in use"
                    .to_owned(),
            ),
            ComparisonResult::WorksOverIpv4 { .. } => Some(RECOMMENDATION_FOR_IPV6.to_owned()),
            ComparisonResult::OtherTimeServer { .. } => Some(
                "decide which time server the host is to use: in a domain it is the domain controller. Allow the documented one where the \
                 host has to use it; the clock is set meanwhile"
                    .to_owned(),
            ),
            ComparisonResult::OtherPortWorks { port } => Some(format!(
                "nothing has to be done while port {port} is enough. If the site has to use this port, check that the service listens \
                 on it, and allow it between the two hosts"
            )),
            _ => None,
        }
    }
}

/// As a clause of a finding's message.
impl std::fmt::Display for ComparisonResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ComparisonResult::WorkedLater { from } => {
                write!(f, "it worked later, from {} UTC on", from.date_and_time())
            }
            ComparisonResult::WorkedBefore { until } => {
                write!(f, "it had worked until {} UTC", until.date_and_time())
            }
            ComparisonResult::WorkedAtOtherTimes => write!(f, "it worked at other times"),
            ComparisonResult::AddressWorked { when, name: None } => write!(f, "{when}"),
            ComparisonResult::AddressWorked { when, name: Some(name) } => write!(f, "{when}, as {name}"),
            ComparisonResult::OtherNameWorks { name } => {
                write!(f, "{name} at the same address works, so the name seems to be filtered")
            }
            ComparisonResult::WorksThroughProxy { proxy: Endpoint { address, port } } => {
                write!(f, "it works through the proxy {address}:{port}: a program seems not to use it")
            }
            ComparisonResult::OthersThroughProxy { proxy: Endpoint { address, port }, client } => {
                write!(f, "{client} reaches other names through the proxy {address}:{port}")
            }
            ComparisonResult::OtherNameThroughProxy { name } => {
                write!(f, "{name} works through the same proxy")
            }
            ComparisonResult::OtherHostReachesIt { host, .. } => {
                write!(f, "{host} reaches it at the same address")
            }
            ComparisonResult::WorksOverIpv4 { server } => {
                write!(f, "it works over IPv4 at {server}: IPv6 seems to be blocked")
            }
            ComparisonResult::OtherHostThroughProxy { host, .. } => {
                write!(f, "{host} reaches it through the same proxy")
            }
            ComparisonResult::WorksElsewhere { server } => {
                write!(f, "it works at {server}: the address seems to be filtered, or its server is down")
            }
            ComparisonResult::OtherNamesFail { server } => write!(
                f,
                "other names fail at {server} as well: the address seems to be filtered, or its server is down"
            ),
            ComparisonResult::OtherNameOfEndpoint { name } => {
                write!(f, "{name}, another documented name of the same endpoint, works")
            }
            ComparisonResult::OtherTimeServer { server } => write!(f, "{server} gives it the time"),
            ComparisonResult::OtherPortWorks { port } => {
                write!(f, "port {port} of the same host works, which serves the same")
            }
            ComparisonResult::NothingWorks { names, .. } => {
                write!(f, "none of the {names} names that the client tried works")
            }
        }
    }
}
