//! Adds to findings what the other flows of the capture show.
//!
//! In:  all findings, and the comparison of what was blocked with what worked.
//! Out: clauses of messages, and advice that follows from them.
//! Not: the comparison itself; see `diagnosis::comparison`.

use std::sync::Arc;

use super::Findings;
use super::OwnedTarget;
use crate::base::port;
use crate::flow::Endpoint;
use crate::judge::catalogue::Compared;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::Mechanism;
use crate::judge::catalogue::Stops;
use crate::judge::diagnosis::comparison::ComparisonIndex;
use crate::judge::diagnosis::comparison::ComparisonResult;
use crate::judge::finding::dns::other_name_that_works;
use crate::judge::policy::Policy;
use crate::judge::rows::FindingRow;
use crate::judge::rows::SharedPath;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;

impl Findings {
    /// Adds to each message what the rest of the capture shows.
    pub(in crate::judge) fn compare(&mut self, comparison: &ComparisonIndex<'_>, policy: &Policy) {
        for (key, row) in &mut self.rows {
            let Some(client) = key.audited_host else { continue };
            let server = row.server;
            let result = match (key.code.entry().compared, &key.target) {
                (Compared::Nothing, _) | (_, OwnedTarget::Text(_)) => None,
                (Compared::SameName, OwnedTarget::Name(name)) => {
                    comparison.with_same_name(client, name, server)
                }
                (Compared::SameProxy, OwnedTarget::Name(name)) => comparison
                    .with_same_name(client, name, server)
                    .or_else(|| comparison.with_same_proxy(client, name, server)),
                (Compared::SameName | Compared::SameProxy, _) => None,
                (Compared::AllFlows, OwnedTarget::Name(name)) => {
                    comparison.with_all_flows(client, name, server)
                }
                (Compared::AllFlows, OwnedTarget::Address(address)) => {
                    let server = Endpoint { address: *address, port: key.port.unwrap_or_default() };
                    comparison.with_address(client, server)
                }
                (Compared::AllFlows, OwnedTarget::Service(server)) => {
                    comparison.with_address(client, *server)
                }
            };
            let result = result.or_else(|| match &key.target {
                OwnedTarget::Name(name)
                    if key.code.entry().compared == Compared::AllFlows && row.need.is_ours() =>
                {
                    let other = other_name_that_works(client, name, key.port, comparison, policy)?;
                    Some(ComparisonResult::OtherNameOfEndpoint { name: Arc::clone(other) })
                }
                _ => None,
            });
            let is_attempt =
                matches!(key.code, FindingCode::ConnectionUnanswered | FindingCode::ConnectionRefused);
            let may_be_proxied = server.is_some_and(may_be_proxied);
            let result = result.or_else(|| match &key.target {
                OwnedTarget::Name(name)
                    if is_attempt
                        && may_be_proxied
                        && row.need.is_ours()
                        && row.shared.is_none()
                        && policy.proxies.is_empty() =>
                {
                    comparison.with_proxy(client, name)
                }
                _ => None,
            });
            let other_port = || server.and_then(|server| comparison.with_other_port(client, server));
            let result = result.or_else(|| if is_attempt { other_port() } else { None });
            let other_time = || server.and_then(|server| comparison.with_other_time_server(client, server));
            let result = result.or_else(|| if is_attempt { other_time() } else { None });
            if result.is_none()
                && row.mechanism == Some(Mechanism::TcpUnanswered)
                && row.shared.is_none()
                && server.is_some_and(|server| policy.private_networks.contains(server.address))
                && !comparison.has_worked_at(client, |address| policy.private_networks.contains(address))
            {
                row.shared = Some(SharedPath::PrivateEndpoints);
            }
            if result.is_none() && is_about_silent_host(row, comparison, policy) {
                row.shared = Some(SharedPath::Host);
                if row.need.is_ours() {
                    row.recommendation = CHECK_HOST.into();
                }
            }
            if let Some(result) = result {
                add_comparison(row, &result);
                if let (ComparisonResult::WorksElsewhere { .. }, OwnedTarget::Name(name)) =
                    (&result, &key.target)
                    && row.need.is_ours()
                    && let Some(tags) = policy.tags_of_name(name)
                {
                    row.recommendation = format!(
                        "if the firewall filters by service tag, allow the whole tag {tags}: the tag of a single region does not hold \
                         the addresses of the service's global components. Otherwise allow all addresses of the name"
                    )
                    .into();
                }
            }
        }
    }
}

/// What to do where a host of the site gives no sign of itself.
const CHECK_HOST: &str = "check first that the host runs and has this address, because the capture holds no packet of it at that time. If \
                          another host reaches it, allow this protocol and port between the two hosts, and check the routes";

/// What to do about a proxy that answers at other times.
const PROXY_AT_TIMES: &str = "look for what happened to the proxy or its network at that time, such as a restart, a failover or too many \
                              connections; no rule is missing, because the server reaches it at other times";

/// Whether an attempt to reach a host of the site failed while the capture holds no packet of that host.
fn is_about_silent_host(row: &FindingRow, comparison: &ComparisonIndex<'_>, policy: &Policy) -> bool {
    let is_silence = matches!(
        row.mechanism,
        Some(
            Mechanism::TcpUnanswered
                | Mechanism::DatagramsUnanswered
                | Mechanism::EchoUnanswered
                | Mechanism::IcmpHostUnreachable
        )
    );
    let host = row.server.map(|server| server.address).filter(|host| host.is_private());
    is_silence
        && row.shared.is_none()
        && host.is_some_and(|host| {
            !policy.private_networks.contains(host)
                && comparison.is_silent(host, row.first_seen, row.last_seen)
        })
}

/// Whether a client may reach a server through a web proxy: web ports, and no address inside the site.
const fn may_be_proxied(server: Endpoint) -> bool {
    matches!(server.port, port::HTTP | port::HTTPS) && !server.address.is_private()
}

/// Adds what the rest of the capture shows.
fn add_comparison(row: &mut FindingRow, result: &ComparisonResult) {
    row.message.push_str("; ");
    row.message.push_str(&result.to_string());
    row.worked_later =
        matches!(result, ComparisonResult::WorkedLater { .. } | ComparisonResult::WorkedAtOtherTimes);
    match result {
        ComparisonResult::WorksOverIpv4 { .. } => row.shared = Some(SharedPath::Ipv6),
        ComparisonResult::OtherTimeServer { .. } => row.severity = row.severity.min(Severity::Medium),
        // Who refuses does not listen there; who drops has a rule that the documents do not ask for.
        ComparisonResult::OtherPortWorks { .. } => {
            let highest = match row.code {
                FindingCode::ConnectionRefused => Severity::Low,
                _ => Severity::Medium,
            };
            row.severity = row.severity.min(highest);
        }
        ComparisonResult::NothingWorks { .. } => {
            // Who refuses explicitly is not down.
            if row.code == FindingCode::ConnectionUnanswered {
                row.message.push_str(": possibly an outage");
            }
            row.shared = Some(SharedPath::Everything);
        }
        ComparisonResult::WorkedLater { .. }
        | ComparisonResult::WorkedBefore { .. }
        | ComparisonResult::WorkedAtOtherTimes
        | ComparisonResult::AddressWorked { .. }
            if row.shared.is_none()
                && row.mechanism.is_some_and(|mechanism| mechanism.entry().stops == Stops::Attempt) =>
        {
            row.shared = Some(SharedPath::Time);
        }
        _ => {}
    }
    if let Some(recommendation) = result.recommendation(row.mechanism)
        && row.need.is_ours()
        // A proxy that fell silent is itself to be looked at.
        && row.shared != Some(SharedPath::ToProxy)
    {
        row.recommendation = recommendation.into();
    }
    if row.shared == Some(SharedPath::ToProxy)
        && matches!(result, ComparisonResult::AddressWorked { when, .. } if when.is_at_other_times())
    {
        row.recommendation = PROXY_AT_TIMES.into();
    }
    // What a device reported itself stays certain.
    if row.confidence != Some(Confidence::Certain) {
        row.confidence = result.confidence().or(row.confidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;

    #[test]
    fn a_web_proxy_is_proposed_for_web_ports_of_public_addresses() {
        let check = |octets, port| may_be_proxied(Endpoint { address: Address::v4(octets), port });
        assert!(check([20, 60, 0, 4], 443) && check([20, 60, 0, 4], 80));
        assert!(!check([20, 60, 0, 4], 445), "SMB");
        assert!(!check([10, 9, 0, 4], 443), "a private endpoint");
    }
}
