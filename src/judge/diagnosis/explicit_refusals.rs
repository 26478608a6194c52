//! Explicit answers that end an attempt: TLS alerts, proxy statuses, SOCKS replies, block pages.
//!
//! In:  the assessment by packets, and what the readers reported of the payload.
//! Out: the assessment, where the payload shows more than the packets.
//! Not: what follows a finished handshake: that is encrypted, and TLS 1.3 encrypts most alerts before.

use super::AssessmentContext;
use super::block_pages::assess_response;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::port;
use crate::flow::EndReason;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::FindingCode;
use crate::judge::catalogue::InconclusiveReason as Reason;
use crate::judge::catalogue::Mechanism;
use crate::judge::flow_state::AppFacts;
use crate::judge::flow_state::FlowState;
use crate::judge::vocabulary::Confidence;
use crate::read::AppStatus;
use crate::read::NameSource;

/// Fatal alerts of the server's side (RFC 8446 §6, RFC 6066 §3). A real server sends these for reasons of its own too.
const SERVER_ALERTS: &[(u8, Mechanism, Confidence)] = &[
    (10, Mechanism::TlsAlertUnexpectedMessage, Confidence::Weak),
    (40, Mechanism::TlsAlertHandshakeFailure, Confidence::Weak),
    (47, Mechanism::TlsAlertIllegalParameter, Confidence::Weak),
    (49, Mechanism::TlsAlertAccessDenied, Confidence::Strong),
    (50, Mechanism::TlsAlertDecodeError, Confidence::Weak),
    (51, Mechanism::TlsAlertDecryptError, Confidence::Weak),
    (70, Mechanism::TlsVersionRefused, Confidence::Weak),
    (71, Mechanism::TlsCipherRefused, Confidence::Weak),
    (80, Mechanism::TlsAlertInternalError, Confidence::Weak),
    (86, Mechanism::TlsAlertInappropriateFallback, Confidence::Weak),
    (112, Mechanism::TlsAlertUnrecognizedName, Confidence::Weak),
    (120, Mechanism::TlsAlertNoApplicationProtocol, Confidence::Weak),
];

/// Alerts about the peer's certificate: no_certificate, bad, unsupported, revoked, expired, unknown certificate, unknown_ca,
/// bad_certificate_status_response; and certificate_required by a server (RFC 8446 §6.2, RFC 6066 §8).
const CERTIFICATE_ALERTS: [u8; 9] = [41, 42, 43, 44, 45, 46, 48, 113, 116];

/// access_denied: a valid certificate, and the client's access control does not continue.
const ACCESS_DENIED: u8 = 49;

/// protocol_version: the client does not support the version that was chosen.
const PROTOCOL_VERSION: u8 = 70;

/// Alerts that end a session without an error: close_notify, user_canceled.
const CLOSURE_ALERTS: [u8; 2] = [0, 90];

/// SOCKS 5: connection not allowed by ruleset (RFC 1928 §6).
const SOCKS_NOT_ALLOWED: u8 = 2;

/// No server needs longer for its reply to a ClientHello.
const MAX_HELLO_REPLY_NANOS: u64 = 5_000_000_000;

/// The assessment of a flow when its payload counts as well.
pub(super) fn assess_payload(
    flow: &FlowState,
    flow_end: &FlowEnd,
    by_packets: Assessment,
    context: &AssessmentContext<'_>,
) -> Assessment {
    let Some(facts) = flow.facts.as_deref() else { return by_packets };
    if let Some((mechanism, confidence)) = proxy_refusal(facts) {
        // A request for credentials is the first round of an authentication; the second may not be in the capture.
        return if confidence > Confidence::Weak {
            Assessment::blocked(mechanism, confidence)
        } else if flow_end.reason == EndReason::CaptureEnded {
            Assessment::inconclusive(Reason::EndedWithCapture)
        } else if has_missing_bytes(flow_end) {
            Assessment::inconclusive(Reason::FramesLost)
        } else {
            Assessment::blocked(mechanism, confidence)
        };
    }
    if let Some((mechanism, confidence)) = alert_refusal(facts, flow_end, context.has_unknown_issuer) {
        return Assessment::blocked(mechanism, confidence);
    }
    if context.has_unknown_issuer && closed_after_certificate(flow_end) {
        return Assessment::blocked(Mechanism::TlsClientGaveUpOnCertificate, Confidence::Strong);
    }
    if let Some(assessment) = assess_response(flow, context) {
        return assessment;
    }
    if has_unanswered_hello_in_tunnel(flow, facts)
        && let Some(mechanism) = end_of_tunnel(facts, flow_end)
    {
        return Assessment::blocked(mechanism, Confidence::Weak);
    }
    if flow.app != "tls" {
        return by_packets;
    }
    match by_packets {
        Assessment::Ok
        | Assessment::Inconclusive { .. }
        | Assessment::BlockedLooking { mechanism: Mechanism::ResetAfterData, .. }
            if facts.handshake_unfinished
                && let Some(mechanism) = end_of_handshake(flow_end) =>
        {
            Assessment::blocked(mechanism, Confidence::Weak)
        }
        Assessment::BlockedLooking { mechanism: Mechanism::ResetAfterRequest, confidence } => {
            Assessment::blocked(Mechanism::ResetAfterClientHello, confidence)
        }
        Assessment::BlockedLooking { mechanism: Mechanism::SilentAfterRequest, confidence } => {
            Assessment::blocked(Mechanism::SilentAfterClientHello, confidence)
        }
        Assessment::Inconclusive {
            reason: Reason::NoAnswerSeen | Reason::EndedWithCapture | Reason::FramesLost,
        } if is_hello_unanswered(flow_end) => {
            Assessment::blocked(Mechanism::SilentAfterClientHello, Confidence::Weak)
        }
        Assessment::Inconclusive { reason: Reason::NoAnswerSeen } if is_closed_after_hello(flow_end) => {
            Assessment::blocked(Mechanism::ClosedAfterClientHello, Confidence::Weak)
        }
        _ => by_packets,
    }
}

/// The frame that proves a mechanism by itself: the dropped packet, the alert, the response, or the close in place of one.
pub(in crate::judge) fn proof_frame(
    flow: &FlowState,
    flow_end: &FlowEnd,
    assessment: Assessment,
) -> Option<FrameRef> {
    let Some(mechanism) = assessment.mechanism() else { return payload_other_than_tls(flow, flow_end) };
    if let Some(frame) = flow.crossing().and_then(|crossing| crossing.frame) {
        return Some(frame);
    }
    match mechanism {
        Mechanism::DroppedByHost => return flow_end.host_drops.as_ref().map(|drops| drops.frame),
        Mechanism::ClosedAfterClientHello | Mechanism::ClosedAfterCertificate => {
            return flow_end.tcp.as_ref().and_then(|tcp| tcp.server_close_frame);
        }
        _ => {}
    }
    let statuses = &flow.facts.as_deref()?.statuses;
    let last = |is_it: fn(&AppStatus) -> bool| {
        statuses.iter().rev().find(|(status, _)| is_it(status)).map(|(_, frame)| *frame)
    };
    match mechanism.finding() {
        FindingCode::ProxyRefused | FindingCode::ProxyAuthRequired => {
            last(|status| matches!(status, AppStatus::Status { connect: true, .. } | AppStatus::Socks(_)))
                .or_else(|| last(|status| matches!(status, AppStatus::Status { .. })))
        }
        FindingCode::TlsRefusedByServer
        | FindingCode::TlsRefusedByClient
        | FindingCode::CertificateRefusedByClient => statuses
            .iter()
            .find(|(status, _)| matches!(status, AppStatus::Alert { fatal: true, .. }))
            .map(|(_, frame)| *frame),
        FindingCode::BlockPage | FindingCode::CaptivePortal | FindingCode::HttpReplyToClientHello => {
            last(|status| matches!(status, AppStatus::Status { .. }))
        }
        _ => None,
    }
}

/// The first payload on TCP port 443 that is of another protocol than TLS.
fn payload_other_than_tls(flow: &FlowState, flow_end: &FlowEnd) -> Option<FrameRef> {
    let is_other = !matches!(flow.app, "" | "tls");
    let tcp = flow_end.tcp.as_ref()?;
    tcp.first_data_frame.filter(|_| is_other && flow.server().port == port::HTTPS)
}

/// The proxy's last answer, where it is a refusal. Only the last one counts: 407 is the first round of an authentication, and a
/// refusal may follow it.
fn proxy_refusal(facts: &AppFacts) -> Option<(Mechanism, Confidence)> {
    facts.statuses.iter().rev().find_map(|(status, _)| match status {
        AppStatus::Status { code, connect: true } => Some(match code {
            200..300 => None,
            407 => Some((Mechanism::ProxyAuthRequired, Confidence::Weak)),
            403 => Some((Mechanism::ProxyRefused, Confidence::Certain)),
            _ => Some((Mechanism::ProxyRefused, Confidence::Strong)),
        }),
        AppStatus::Socks(SOCKS_NOT_ALLOWED) => Some(Some((Mechanism::ProxyRefused, Confidence::Certain))),
        AppStatus::Socks(_) => Some(Some((Mechanism::ProxyRefused, Confidence::Strong))),
        _ => None,
    })?
}

/// The first fatal alert.
fn alert_refusal(
    facts: &AppFacts,
    flow_end: &FlowEnd,
    has_unknown_issuer: bool,
) -> Option<(Mechanism, Confidence)> {
    // A server also sends an alert when the client closes in the middle of a handshake.
    let client_close = flow_end.tcp.as_ref().and_then(|tcp| tcp.client_close_frame);
    let is_after_close = |frame: &FrameRef| client_close.is_some_and(|close| close < *frame);
    let [_, by_server] = flow_end.packets;
    let (by, description) = facts.statuses.iter().find_map(|(status, frame)| match status {
        AppStatus::Alert { by: Side::Server, .. } if is_after_close(frame) => None,
        // A client that got no response closes by itself.
        AppStatus::Alert { by: Side::Client, .. } if by_server == 0 => None,
        AppStatus::Alert { by, fatal: true, description } => Some((*by, *description)),
        _ => None,
    })?;
    if CLOSURE_ALERTS.contains(&description) {
        return None;
    }
    Some(match by {
        Side::Server => server_alert(description),
        Side::Client => client_alert(description, has_unknown_issuer),
    })
}

fn server_alert(description: u8) -> (Mechanism, Confidence) {
    match SERVER_ALERTS.iter().find(|(number, ..)| *number == description) {
        Some((_, mechanism, confidence)) => (*mechanism, *confidence),
        None if CERTIFICATE_ALERTS.contains(&description) => {
            (Mechanism::TlsClientCertificateRefused, Confidence::Weak)
        }
        None => (Mechanism::TlsAlertOther, Confidence::Weak),
    }
}

fn client_alert(description: u8, has_unknown_issuer: bool) -> (Mechanism, Confidence) {
    match description {
        ACCESS_DENIED => (Mechanism::TlsClientGaveUpOnCertificate, Confidence::Weak),
        _ if CERTIFICATE_ALERTS.contains(&description) => {
            let confidence = if has_unknown_issuer { Confidence::Strong } else { Confidence::Weak };
            (Mechanism::TlsClientGaveUpOnCertificate, confidence)
        }
        PROTOCOL_VERSION => (Mechanism::TlsClientRefusedVersion, Confidence::Weak),
        _ => (Mechanism::TlsClientRefusedHandshake, Confidence::Weak),
    }
}

/// The client sent its ClientHello and nothing more, and closed: a client that pins its root closes without an alert when another
/// authority signed.
fn closed_after_certificate(flow_end: &FlowEnd) -> bool {
    flow_end.tcp.as_ref().is_some_and(|tcp| {
        let [client, _] = &tcp.sides;
        client.syns > 0 && client.data_segments == 1 && client.fins + client.resets > 0
    }) && !has_missing_bytes(flow_end)
}

/// The proxy accepted the request, the client sent a ClientHello through it, and no TLS record came.
fn has_unanswered_hello_in_tunnel(flow: &FlowState, facts: &AppFacts) -> bool {
    let sent_hello = facts.tls_offered.is_some() && flow.claim_from(NameSource::Connect).is_some();
    let is_answered = facts.tls_version.is_some() || facts.certificate_issuer().is_some();
    sent_hello && !is_answered
}

/// How a tunnel in which the ClientHello was not answered ended.
fn end_of_tunnel(facts: &AppFacts, flow_end: &FlowEnd) -> Option<Mechanism> {
    let tcp = flow_end.tcp.as_ref()?;
    let [client, server] = &tcp.sides;
    if has_missing_bytes(flow_end) {
        return None;
    }
    if server.resets > 0 {
        let is_ended_by_reset = client.fins + client.resets + server.fins == 0;
        return is_ended_by_reset.then_some(Mechanism::ResetAfterClientHello);
    }
    if tcp.handshake != Handshake::Complete || client.unacknowledged > 1 {
        return None;
    }
    let has_client_closed_first = tcp
        .client_close_frame
        .is_some_and(|client| tcp.server_close_frame.is_none_or(|server| client < server));
    let closed = if has_client_closed_first { tcp.client_close_time } else { None };
    let waited = closed.unwrap_or(flow_end.last_seen).since(facts.hello_time?);
    match (server.fins > 0 && !has_client_closed_first, waited >= MAX_HELLO_REPLY_NANOS) {
        (true, false) => Some(Mechanism::ClosedAfterClientHello),
        // A proxy closes when its own time limit for the destination is over.
        (_, true) => Some(Mechanism::SilentAfterClientHello),
        (false, false) => None,
    }
}

/// How the server's side ended a handshake in which it had sent its certificate: in time and before the client closed.
fn end_of_handshake(flow_end: &FlowEnd) -> Option<Mechanism> {
    let tcp = flow_end.tcp.as_ref()?;
    let [_, server] = &tcp.sides;
    let ended = tcp.server_close_frame?;
    let has_ended_first = tcp.client_close_frame.is_none_or(|client| ended < client);
    let is_complete =
        tcp.handshake == Handshake::Complete && !flow_end.is_cut && !has_missing_bytes(flow_end);
    if !has_ended_first || !is_complete {
        return None;
    }
    // Later, a server ends a handshake with which the client does not go on.
    let (mechanism, time) = match (server.fins, tcp.reset_time) {
        (0, Some(reset)) => (Mechanism::ResetAfterCertificate, reset),
        _ => (Mechanism::ClosedAfterCertificate, flow_end.last_seen),
    };
    (time.since(tcp.first_data_time?) < MAX_HELLO_REPLY_NANOS).then_some(mechanism)
}

/// The ClientHello was acknowledged, and no reply came for longer than any server needs.
fn is_hello_unanswered(flow_end: &FlowEnd) -> bool {
    let Some(tcp) = &flow_end.tcp else { return false };
    let ([client, server], [_, by_server]) = (&tcp.sides, flow_end.bytes);
    // A server that closes after the client did replies to that.
    let has_closed_by_itself = server.fins > 0
        && tcp
            .client_close_frame
            .is_none_or(|client| tcp.server_close_frame.is_none_or(|server| server < client));
    let is_acked =
        client.data_segments > 0 && client.unacknowledged <= 1 && server.resets == 0 && !has_closed_by_itself;
    let has_waited = tcp.first_data_time.is_some_and(|since| {
        tcp.client_close_time.unwrap_or(flow_end.last_seen).since(since) >= MAX_HELLO_REPLY_NANOS
    });
    // Bytes that the client still waits for were lost on the way to the client, not on the way to the capture.
    let is_loss_on_path = server.missing_bytes <= u64::from(server.missing_tail_bytes);
    tcp.handshake == Handshake::Complete && by_server == 0 && is_acked && has_waited && is_loss_on_path
}

/// The server acknowledged the ClientHello and closed, in time and before the client did, without any reply.
fn is_closed_after_hello(flow_end: &FlowEnd) -> bool {
    let Some(tcp) = &flow_end.tcp else { return false };
    let ([client, server], [_, by_server]) = (&tcp.sides, flow_end.bytes);
    let has_closed_first = tcp
        .server_close_frame
        .is_some_and(|server| tcp.client_close_frame.is_none_or(|client| server < client));
    // Later a server closes because its own time limit for the handshake is over.
    let is_prompt =
        tcp.first_data_time.is_some_and(|since| flow_end.last_seen.since(since) < MAX_HELLO_REPLY_NANOS);
    tcp.handshake == Handshake::Complete
        && by_server == 0
        && client.data_segments > 0
        && client.unacknowledged <= 1
        && server.fins > 0
        && server.resets == 0
        && has_closed_first
        && is_prompt
        && !has_missing_bytes(flow_end)
}

/// Whether a side sent bytes that the capture does not hold: then the payload is not complete.
fn has_missing_bytes(flow_end: &FlowEnd) -> bool {
    flow_end.tcp.as_ref().is_some_and(|tcp| tcp.sides.iter().any(|side| side.missing_bytes > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::Time;
    use crate::base::proto;
    use crate::flow::Endpoint;
    use crate::judge::test_support;
    use crate::rules::Middleboxes;

    /// A flow with these statuses and a complete handshake.
    fn flow(statuses: &[AppStatus]) -> (FlowState, FlowEnd) {
        let client = Endpoint { address: Address::v4([10, 1, 0, 4]), port: 50_000 };
        let server = Endpoint { address: Address::v4([20, 60, 0, 4]), port: 443 };
        let mut flow = test_support::flow_state(proto::TCP, client, server);
        flow.app = "tls";
        flow.facts_mut();
        for status in statuses {
            flow.add_status(status.clone(), FrameRef::default());
        }
        let mut flow_end = test_support::flow_end(Time(0), Time(10_000_000_000));
        flow_end.tcp = Some(test_support::tcp_summary(Handshake::Complete));
        (flow, flow_end)
    }

    fn check_flow((flow, flow_end): &(FlowState, FlowEnd), has_unknown_issuer: bool, expected: &str) {
        let middleboxes = Middleboxes::default();
        let context = AssessmentContext {
            has_unknown_issuer,
            middleboxes: &middleboxes,
            is_documented: &|_| false,
            expects_reply: false,
            shows_server: false,
        };
        let found = match assess_payload(flow, flow_end, Assessment::Ok, &context) {
            Assessment::Ok => "ok".to_owned(),
            Assessment::BlockedLooking { mechanism, confidence } => format!("{mechanism} {confidence}"),
            Assessment::Inconclusive { reason } => reason.to_string(),
        };
        assert_eq!(found, expected);
    }

    fn check(statuses: &[AppStatus], expected: &str) {
        check_flow(&flow(statuses), false, expected);
    }

    const fn connect(code: u16) -> AppStatus {
        AppStatus::Status { code, connect: true }
    }

    const fn alert(by: Side, description: u8) -> AppStatus {
        AppStatus::Alert { by, fatal: true, description }
    }

    #[test]
    fn the_last_answer_of_a_proxy_counts() {
        check(&[connect(403)], "proxy-refused certain");
        check(&[connect(502)], "proxy-refused strong");
        check(&[connect(407)], "proxy-auth-required weak");
        check(&[connect(407), connect(200)], "ok");
        check(&[connect(407), connect(403)], "proxy-refused certain");
        check(&[AppStatus::Socks(SOCKS_NOT_ALLOWED)], "proxy-refused certain");
        check(&[AppStatus::Socks(5)], "proxy-refused strong");
    }

    #[test]
    fn an_authentication_may_continue_outside_of_the_capture() {
        let mut ended = flow(&[connect(407)]);
        ended.1.reason = EndReason::CaptureEnded;
        check_flow(&ended, false, "ended-with-capture");
        let mut lossy = flow(&[connect(407)]);
        lossy.1.tcp.as_mut().unwrap().sides[0].missing_bytes = 1;
        check_flow(&lossy, false, "frames-lost");
    }

    #[test]
    fn alerts_by_sender_and_description() {
        check(&[alert(Side::Server, 70)], "tls-version-refused weak");
        check(&[alert(Side::Server, 49)], "tls-alert-access-denied strong");
        check(&[alert(Side::Server, 42)], "tls-client-certificate-refused weak");
        check(&[alert(Side::Server, 255)], "tls-alert-other weak");
        check(&[alert(Side::Client, 48)], "tls-client-gave-up-on-certificate weak");
        check_flow(&flow(&[alert(Side::Client, 48)]), true, "tls-client-gave-up-on-certificate strong");
        check(&[alert(Side::Client, 70)], "tls-client-refused-version weak");
        check(&[alert(Side::Client, 40)], "tls-client-refused-handshake weak");
        check(&[alert(Side::Server, 0)], "ok");
        check(&[AppStatus::Alert { by: Side::Server, fatal: false, description: 112 }], "ok");
        // A client that got no response closes by itself.
        let mut unanswered = flow(&[alert(Side::Client, 48)]);
        unanswered.1.packets = [9, 0];
        check_flow(&unanswered, false, "ok");
    }

    #[test]
    fn a_server_alert_after_the_client_closed_means_nothing() {
        let mut closed = flow(&[]);
        closed.1.tcp.as_mut().unwrap().client_close_frame =
            Some(FrameRef { number: 5, ..FrameRef::default() });
        closed.0.add_status(alert(Side::Server, 40), FrameRef { number: 6, ..FrameRef::default() });
        check_flow(&closed, false, "ok");
    }

    #[test]
    fn a_close_without_an_alert_counts_for_unknown_issuers_only() {
        let mut closed = flow(&[]);
        let client = &mut closed.1.tcp.as_mut().unwrap().sides[0];
        (client.syns, client.data_segments, client.fins) = (1, 1, 1);
        check_flow(&closed, true, "tls-client-gave-up-on-certificate strong");
        check_flow(&closed, false, "ok");
    }

    #[test]
    fn a_client_hello_has_mechanisms_of_its_own() {
        let (tls, flow_end) = flow(&[]);
        let middleboxes = Middleboxes::default();
        let context = AssessmentContext {
            has_unknown_issuer: false,
            middleboxes: &middleboxes,
            is_documented: &|_| false,
            expects_reply: false,
            shows_server: false,
        };
        let by_packets = Assessment::blocked(Mechanism::ResetAfterRequest, Confidence::Weak);
        let assessment = assess_payload(&tls, &flow_end, by_packets, &context);
        assert_eq!(assessment.mechanism(), Some(Mechanism::ResetAfterClientHello));
        let by_packets = Assessment::inconclusive(Reason::NoAnswerSeen);
        assert_eq!(assess_payload(&tls, &flow_end, by_packets, &context), by_packets);
        let (tls, mut flow_end) = flow(&[]);
        let tcp = flow_end.tcp.as_mut().unwrap();
        (tcp.sides[0].data_segments, tcp.first_data_time) = (1, Some(Time(0)));
        let assessment = assess_payload(&tls, &flow_end, by_packets, &context);
        assert_eq!(assessment.mechanism(), Some(Mechanism::SilentAfterClientHello));
    }

    #[test]
    fn a_server_that_closes_after_the_client_hello_refuses_it() {
        let closed = |change: fn(&mut FlowEnd)| {
            let (flow, mut flow_end) = flow(&[]);
            let frame = |number| Some(FrameRef { number, ..FrameRef::default() });
            let tcp = flow_end.tcp.as_mut().unwrap();
            (tcp.sides[0].data_segments, tcp.sides[0].fins, tcp.sides[1].fins) = (1, 1, 1);
            tcp.first_data_time = Some(Time(9_000_000_000));
            (tcp.server_close_frame, tcp.client_close_frame) = (frame(6), frame(7));
            change(&mut flow_end);
            let middleboxes = Middleboxes::default();
            let context = AssessmentContext {
                has_unknown_issuer: false,
                middleboxes: &middleboxes,
                is_documented: &|_| false,
                expects_reply: false,
                shows_server: false,
            };
            let by_packets = Assessment::inconclusive(Reason::NoAnswerSeen);
            assess_payload(&flow, &flow_end, by_packets, &context).mechanism()
        };
        assert_eq!(closed(|_| ()), Some(Mechanism::ClosedAfterClientHello));
        let client_first = |flow_end: &mut FlowEnd| {
            let tcp = flow_end.tcp.as_mut().unwrap();
            std::mem::swap(&mut tcp.client_close_frame, &mut tcp.server_close_frame);
        };
        assert_eq!(closed(client_first), None);
        assert_eq!(closed(|flow_end| flow_end.bytes = [500, 7]), None, "an answer");
        assert_eq!(closed(|flow_end| flow_end.last_seen = Time(15_000_000_000)), None, "a time limit");
        assert_eq!(closed(|flow_end| flow_end.tcp.as_mut().unwrap().sides[1].missing_bytes = 1), None);
    }
}
