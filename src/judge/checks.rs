//! The checks: each looks at one finished flow and may add a finding.

use std::sync::Arc;

use smallvec::SmallVec;

use super::case::Case;
use super::court::Scope;
use super::findings::Findings;
use super::findings::Sign;
use super::names::Known;
use super::record::Destination;
use super::record::FlowRow;
use super::record::Outcome;
use super::record::PortVerdict;
use super::verdict::Verdict;
use crate::flow::Closing;
use crate::flow::Handshake;
use crate::read::NameSource;

/// A flow with all that is known of it.
struct Seen<'a> {
    case: &'a Case,
    closing: &'a Closing,
    verdict: &'a Verdict,
    scope: &'a Scope,
    row: &'a FlowRow,
}

/// What a check found: a code, its own subject where it is not the destination, and one sentence.
struct Found {
    code: &'static str,
    subject: Option<String>,
    sentence: String,
}

/// One check. It must be cheap where it finds nothing.
type Check = fn(&Seen<'_>) -> Option<Found>;

const CHECKS: &[Check] = &[
    not_documented,
    too_broad,
    not_on_443,
    cleartext,
    inbound,
    nameless,
    contradiction,
    refused,
    unanswered,
];

/// Runs all checks over a finished flow, notes their codes in its row, and adds the findings.
pub(super) fn run(
    case: &Case,
    closing: &Closing,
    verdict: &Verdict,
    scope: &Scope,
    row: &mut FlowRow,
    findings: &mut Findings,
) {
    let mut found: SmallVec<[Found; 2]> = SmallVec::new();
    let seen = Seen { case, closing, verdict, scope, row };
    for check in CHECKS {
        found.extend(check(&seen));
    }
    for Found { code, subject, sentence } in found {
        row.findings.push(code);
        let destination =
            row.name.as_ref().map_or_else(|| row.server.address.to_string(), |name| name.to_string());
        let documented = row.documented.as_deref();
        let sign = Sign {
            code,
            severity: None,
            // Only what looks blocked is more or less sure; the other findings are plain to see.
            confidence: row.confidence.filter(|_| code.starts_with("AFS2")),
            client: Some(row.client.address),
            subject: subject.as_deref().unwrap_or(&destination),
            flow: Some(row.flow_id),
            frames: &row.evidence,
            time: row.first_seen,
            rules: documented.map_or("", |documented| &documented.rules),
            documents: documented.map_or("", |documented| &documented.documents),
        };
        findings.add(sign, || sentence);
    }
}

fn found(code: &'static str, sentence: String) -> Option<Found> {
    Some(Found { code, subject: None, sentence })
}

fn name_of(known: &Option<Arc<Known>>) -> &str {
    known.as_ref().map_or("", |known| &known.name)
}

fn not_documented(seen: &Seen<'_>) -> Option<Found> {
    if seen.verdict.destination != Some(Destination::Unexpected) {
        return None;
    }
    let name = name_of(&seen.verdict.known);
    found(
        "AFS101",
        format!("{} connected to {name}, which no document in force names", seen.row.client.address),
    )
}

fn too_broad(seen: &Seen<'_>) -> Option<Found> {
    if seen.verdict.destination != Some(Destination::DocumentedBroad) {
        return None;
    }
    let name = name_of(&seen.verdict.known);
    found("AFS102", format!("{name} is documented only by a wildcard that its document calls too broad"))
}

fn not_on_443(seen: &Seen<'_>) -> Option<Found> {
    let documented =
        matches!(seen.verdict.destination, Some(Destination::Documented | Destination::DocumentedBroad));
    if !documented || seen.verdict.port != Some(PortVerdict::Not443) || cleartext(seen).is_some() {
        return None;
    }
    let (name, port) = (name_of(&seen.verdict.known), seen.verdict.asked_port);
    let protocol = crate::decode::protocol_name(seen.row.protocol);
    found(
        "AFS103",
        format!(
            "{} used {name} on {protocol} port {port}; its rows do not give that port",
            seen.row.client.address
        ),
    )
}

fn cleartext(seen: &Seen<'_>) -> Option<Found> {
    let said = seen.case.claimed(NameSource::HttpHost)?;
    if !seen.verdict.https_only || seen.row.app != "http" {
        return None;
    }
    let (client, name) = (seen.row.client.address, &said.known.name);
    found("AFS104", format!("{client} sent unencrypted HTTP to {name}, which is documented for HTTPS only"))
}

fn inbound(seen: &Seen<'_>) -> Option<Found> {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    let audited = if seen.scope.servers.is_empty() { server.is_private() } else { seen.scope.audits(server) };
    if !audited || client.is_private() || client.is_group() || !seen.case.opening.from_start {
        return None;
    }
    let connected = match &seen.closing.tcp {
        Some(story) => story.handshake == Handshake::Complete || story.handshake == Handshake::HalfOpen,
        None => false,
    };
    if !connected {
        return None;
    }
    Some(Found {
        code: "AFS105",
        subject: Some(format!("{server}:{}", seen.row.server.port)),
        sentence: format!(
            "{client} outside connected to {server} port {}; no document has an inbound connection",
            seen.row.server.port
        ),
    })
}

fn nameless(seen: &Seen<'_>) -> Option<Found> {
    // DNS and NTP go to addresses by configuration, and have no name of their own.
    if seen.verdict.destination != Some(Destination::Unidentified) || matches!(seen.row.app, "dns" | "ntp") {
        return None;
    }
    let Some(story) = &seen.closing.tcp else {
        return None;
    };
    if story.handshake == Handshake::Unseen {
        return None;
    }
    let (client, server) = (seen.row.client.address, seen.row.server);
    found(
        "AFS106",
        format!(
            "{client} connected to {} port {}, and nothing in the capture names it",
            server.address, server.port
        ),
    )
}

fn contradiction(seen: &Seen<'_>) -> Option<Found> {
    let row = seen.row;
    seen.verdict.destination?;
    let said = seen.case.said.as_ref()?;
    if let (Some(connect), Some(sni)) =
        (seen.case.claimed(NameSource::Connect), seen.case.claimed(NameSource::Sni))
        && !Arc::ptr_eq(&connect.known, &sni.known)
    {
        return found(
            "AFS107",
            format!(
                "{} asked its proxy for {} and then named {} in TLS",
                row.client.address, connect.known.name, sni.known.name
            ),
        );
    }
    let other = said.contradicts.as_ref()?;
    let claimed = seen.case.strongest()?;
    found(
        "AFS107",
        format!(
            "the flow names {} ({}), while DNS gave {} to this client as {}",
            claimed.known.name,
            claimed.source.as_str(),
            row.server.address,
            other.name
        ),
    )
}

fn refused(seen: &Seen<'_>) -> Option<Found> {
    let row = seen.row;
    if row.destination.is_none()
        || row.outcome != Outcome::BlockedLooking
        || row.signature == "tcp-unanswered"
    {
        return None;
    }
    let by = match &seen.closing.icmp {
        Some(error) => {
            format!("an ICMP error from {} (type {}, code {})", error.from, error.kind, error.code)
        }
        None => "a reset".to_owned(),
    };
    found(
        "AFS201",
        format!("{} could not use {} port {}: {by}", row.client.address, subject(row), row.server.port),
    )
}

fn unanswered(seen: &Seen<'_>) -> Option<Found> {
    let row = seen.row;
    if row.destination.is_none() || row.signature != "tcp-unanswered" {
        return None;
    }
    let tries = seen.closing.tcp.as_ref().map_or(0, |story| story.sides.first().map_or(0, |side| side.syns));
    found(
        "AFS202",
        format!(
            "{} tried {} port {} with {tries} SYN and nothing came back",
            row.client.address,
            subject(row),
            row.server.port
        ),
    )
}

fn subject(row: &FlowRow) -> String {
    match &row.name {
        Some(name) => format!("{name} ({})", row.server.address),
        None => row.server.address.to_string(),
    }
}
