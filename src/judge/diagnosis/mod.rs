//! What the packets show about success and failure.
//!
//! In:  flows as they start and end, what the readers reported of them, DNS responses.
//! Out: assessments, DNS anomalies, comparisons between flows, what the capture lacks.
//! Not: documents, requirements and the site file. What a diagnosis needs to know of them is passed in as yes or no.

pub(super) mod app_label;
pub(super) mod block_pages;
pub(super) mod capture_loss;
pub(super) mod comparison;
pub(super) mod crossing;
pub(super) mod dns_anomalies;
pub(super) mod explicit_refusals;
pub(super) mod happy_eyeballs;
mod host_drops;
pub(super) mod outcome;
pub(super) mod own_addresses;
pub(super) mod proxies;
pub(super) mod resolved_names;
pub(super) mod revocation;
pub(super) mod scans;
pub(super) mod sign_ins;
pub(super) mod stale_address;
pub(super) mod tampering;
pub(super) mod truncated_responses;
pub(super) mod unheard_hosts;
pub(super) mod unused_answers;

use self::capture_loss::CaptureLoss;
use self::comparison::Comparison;
use self::dns_anomalies::DnsAnomalies;
use self::happy_eyeballs::HappyEyeballs;
use self::happy_eyeballs::NamedAttempt;
use self::own_addresses::OwnAddresses;
use self::proxies::Proxies;
use self::revocation::Revocation;
use self::scans::ConnectAttempt;
use self::scans::Scans;
use self::sign_ins::SignIns;
use self::truncated_responses::TruncatedResponses;
use self::unheard_hosts::UnheardHosts;
use self::unused_answers::NameUse;
use super::assessment::Assessment;
use super::bounded_map::BoundedMap;
use super::catalogue::InconclusiveReason;
use super::catalogue::Mechanism;
use super::catalogue::ShownBy;
use super::catalogue::Stops;
use super::flow_state::FlowState;
use super::hashed_name::ClientNameRef;
use super::vocabulary::Confidence;
use crate::base::Address;
use crate::base::HostName;
use crate::base::Time;
use crate::base::proto;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::rules::Middleboxes;

/// Hosts that are kept. For a host that was evicted silence is inconclusive.
const MAX_HOSTS: usize = 1 << 16;

/// Datagrams further apart than this belong to different conversations.
const DATAGRAM_IDLE_NANOS: u64 = 60_000_000_000;

/// What an assessment has to know about a flow's destination.
pub(super) struct AssessmentContext<'a> {
    /// The destination is documented, and its certificate's issuer is on no list of issuers.
    pub(super) has_unknown_issuer: bool,
    /// How known middleboxes identify themselves.
    pub(super) middleboxes: &'a Middleboxes,
    /// Whether any document has a name.
    pub(super) is_documented: &'a dyn Fn(&HostName) -> bool,
    /// The documents give the protocol between these two hosts, and it has replies: silence means something.
    pub(super) expects_reply: bool,
    /// Both hosts have roles at the site, and the capture holds packets of the server: it would hold its replies.
    pub(super) shows_server: bool,
}

/// What is known across flows.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) capture_loss: CaptureLoss,
    pub(super) dns: DnsAnomalies,
    pub(super) comparison: Comparison,
    pub(super) revocation: Revocation,
    pub(super) name_use: NameUse,
    pub(super) proxies: Proxies,
    pub(super) truncated: TruncatedResponses,
    pub(super) sign_ins: SignIns,
    pub(super) own_addresses: OwnAddresses,
    pub(super) unheard: UnheardHosts,
    happy_eyeballs: HappyEyeballs,
    scans: Scans,
    /// Hosts that the capture holds packets to.
    receiving_hosts: BoundedMap<Address, ()>,
    /// Hosts with a role that the capture holds packets of.
    sending_hosts: BoundedMap<Address, ()>,
    /// Start of the first flow.
    pub(super) began: Option<Time>,
}

impl Default for Diagnosis {
    fn default() -> Diagnosis {
        Diagnosis {
            capture_loss: CaptureLoss::default(),
            dns: DnsAnomalies::default(),
            comparison: Comparison::default(),
            revocation: Revocation::default(),
            name_use: NameUse::default(),
            proxies: Proxies::default(),
            truncated: TruncatedResponses::default(),
            sign_ins: SignIns::default(),
            own_addresses: OwnAddresses::default(),
            unheard: UnheardHosts::default(),
            happy_eyeballs: HappyEyeballs::default(),
            scans: Scans::default(),
            receiving_hosts: BoundedMap::new(MAX_HOSTS),
            sending_hosts: BoundedMap::new(MAX_HOSTS),
            began: None,
        }
    }
}

impl Diagnosis {
    /// A flow has started.
    pub(super) fn flow_started(&mut self, flow: &FlowState, time: Time) {
        self.began.get_or_insert(time);
        if flow.flow_start.protocol != proto::TCP || !flow.flow_start.from_start {
            return;
        }
        if let Some(key) = dns_key(flow) {
            let attempt = NamedAttempt { flow: flow.number, server: flow.server().address, started: time };
            self.happy_eyeballs.start(key, attempt);
        }
        self.scans.add(&ConnectAttempt::new(&flow.flow_start, flow.dns.is_some()), time);
    }

    /// The application protocol of a flow is known: both sides accepted the connection.
    pub(super) fn app_identified(&mut self, flow: &FlowState) {
        if flow.flow_start.protocol != proto::TCP {
            return;
        }
        if let Some(key) = dns_key(flow) {
            self.happy_eyeballs.answered(key, flow.number);
        }
        self.scans.answered(&ConnectAttempt::new(&flow.flow_start, flow.dns.is_some()));
    }

    /// The capture holds a packet to this host.
    pub(super) fn packet_received(&mut self, host: Address) {
        if self.receiving_hosts.get(&host).is_none() {
            self.receiving_hosts.insert(host, ());
        }
    }

    /// A host with a role has opened a flow.
    pub(super) fn packet_sent(&mut self, host: Address) {
        if self.sending_hosts.get(&host).is_none() {
            self.sending_hosts.insert(host, ());
        }
    }

    /// Whether the capture holds packets of this host, which has a role.
    pub(super) fn sends_packets(&self, host: Address) -> bool {
        self.sending_hosts.peek(&host).is_some()
    }

    /// The capture holds a packet to this host: its silence means something.
    pub(super) fn receives_packets(&self, host: Address) -> bool {
        self.receiving_hosts.peek(&host).is_some()
    }

    /// The assessment of a flow that has ended. Takes note of what the flow shows about others.
    pub(super) fn assess(
        &mut self,
        flow: &FlowState,
        flow_end: &FlowEnd,
        context: &AssessmentContext<'_>,
    ) -> Assessment {
        let [_, by_server] = flow_end.packets;
        if by_server > 0 {
            self.packet_received(flow.client().address);
        }
        self.capture_loss.add(flow.client().address, flow_end);
        let is_complete = flow_end.tcp.as_ref().is_some_and(|tcp| tcp.handshake == Handshake::Complete);
        // Where the application is known, that is known already.
        if is_complete
            && flow.app.is_empty()
            && let Some(key) = dns_key(flow)
        {
            self.happy_eyeballs.answered(key, flow.number);
        }
        self.assess_open(flow, flow_end, context)
    }

    /// The assessment of a flow as it is now.
    pub(super) fn assess_open(
        &mut self,
        flow: &FlowState,
        flow_end: &FlowEnd,
        context: &AssessmentContext<'_>,
    ) -> Assessment {
        let (client, server) = (flow.client().address, flow.server().address);
        let [_, by_server] = flow_end.packets;
        let receives_packets =
            by_server > 0 || context.shows_server || self.receiving_hosts.get(&client).is_some();
        if let Some(assessment) = host_drops::assess_host_drops(flow_end) {
            return assessment;
        }
        let mut by_packets = outcome::assess_packets(flow_end, server, receives_packets);
        if context.expects_reply && receives_packets {
            by_packets = outcome::assess_datagrams(flow.flow_start.protocol, flow_end, by_packets);
        }
        let assessment = explicit_refusals::assess_payload(flow, flow_end, by_packets, context);
        self.compare_with_other_flows(flow, flow_end, assessment)
    }

    /// What other flows and the state of the capture change about an assessment.
    fn compare_with_other_flows(
        &mut self,
        flow: &FlowState,
        flow_end: &FlowEnd,
        assessment: Assessment,
    ) -> Assessment {
        // A client that continues to retransmit has not been answered elsewhere.
        if let (Some(key), Some(tcp)) = (dns_key(flow), &flow_end.tcp)
            && tcp.handshake == Handshake::Unanswered
            && assessment.reason().is_some()
            && self.happy_eyeballs.has_lost(key, flow.number)
        {
            return Assessment::inconclusive(InconclusiveReason::LostRace);
        }
        let client = flow.client().address;
        let Assessment::BlockedLooking { mechanism, confidence } = assessment else {
            // Where frames are missing it is not known how much payload passed before the reset.
            let rests_on_payload = assessment.reason() == Some(InconclusiveReason::ResetAfterData);
            return if rests_on_payload && self.capture_loss.may_have_lost(client, flow_end) {
                Assessment::inconclusive(InconclusiveReason::FramesLost)
            } else {
                assessment
            };
        };
        // A round of an authentication, as on one connection.
        if mechanism == Mechanism::ProxyAuthRequired && self.sign_ins.has_followed(flow, flow_end) {
            return Assessment::Ok;
        }
        let entry = mechanism.entry();
        let attempt = || ConnectAttempt::new(&flow.flow_start, flow.name().is_some());
        if entry.stops == Stops::Attempt && self.scans.contains(&attempt(), flow_end.first_seen) {
            return Assessment::inconclusive(InconclusiveReason::Scan);
        }
        if entry.shown_by != ShownBy::Presence && self.capture_loss.may_have_lost(client, flow_end) {
            return Assessment::inconclusive(InconclusiveReason::FramesLost);
        }
        if flow_end.tcp.is_none() && confidence == Confidence::Strong && self.may_be_ordinary(flow, flow_end)
        {
            return Assessment::blocked(mechanism, Confidence::Weak);
        }
        assessment
    }

    /// Whether an ICMP error about datagrams has an ordinary cause.
    fn may_be_ordinary(&self, flow: &FlowState, flow_end: &FlowEnd) -> bool {
        // A host reports its own closed ports to port scans and traceroute too; a filter in front of it is another host.
        let is_from_server = flow_end.icmp.as_ref().is_some_and(|icmp| icmp.from == flow.server().address);
        // Unidentified datagrams may belong to a conversation that was answered before the capture began.
        let is_at_begin =
            self.began.is_some_and(|began| flow_end.first_seen.since(began) < DATAGRAM_IDLE_NANOS);
        is_from_server || (flow.app.is_empty() && is_at_begin)
    }
}

/// The client and the name that DNS resolved to the server.
fn dns_key(flow: &FlowState) -> Option<ClientNameRef<'_>> {
    let known = flow.dns.as_ref()?.known();
    Some(ClientNameRef { client: flow.client().address, name: &known.name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::flow::Endpoint;
    use crate::judge::policy::Policy;
    use crate::judge::policy::name_table::NameTable;
    use crate::judge::test_support;

    const CLIENT: Address = Address::v4([10, 1, 0, 4]);

    fn server(last: u8) -> Address {
        Address::v4([20, 60, 0, last])
    }

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    fn flow(number: u64, server: Address, port: u16) -> FlowState {
        let end = |address, port| Endpoint { address, port };
        let flow = test_support::flow_state(proto::TCP, end(CLIENT, 50_000), end(server, port));
        FlowState { number, ..flow }
    }

    /// A flow from second 100 to second 110.
    fn flow_end(packets: [u64; 2], handshake: Handshake) -> FlowEnd {
        let mut flow_end = test_support::flow_end(at(100), at(110));
        let mut tcp = test_support::tcp_summary(handshake);
        tcp.sides[0].syns = 3;
        (flow_end.packets, flow_end.tcp) = (packets, Some(tcp));
        flow_end
    }

    fn assess(diagnosis: &mut Diagnosis, flow: &FlowState, flow_end: &FlowEnd) -> String {
        let middleboxes = Middleboxes::default();
        let context = AssessmentContext {
            has_unknown_issuer: false,
            expects_reply: false,
            shows_server: false,
            middleboxes: &middleboxes,
            is_documented: &|_| false,
        };
        match diagnosis.assess(flow, flow_end, &context) {
            Assessment::Ok => "ok".to_owned(),
            Assessment::BlockedLooking { mechanism, .. } => mechanism.to_string(),
            Assessment::Inconclusive { reason } => reason.to_string(),
        }
    }

    fn unanswered() -> FlowEnd {
        flow_end([3, 0], Handshake::Unanswered)
    }

    #[test]
    fn silence_counts_where_the_capture_has_packets_to_the_client_and_lost_none() {
        let mut diagnosis = Diagnosis::default();
        assert_eq!(assess(&mut diagnosis, &flow(1, server(1), 443), &unanswered()), "one-sided-capture");
        diagnosis.packet_received(CLIENT);
        assert_eq!(assess(&mut diagnosis, &flow(2, server(1), 443), &unanswered()), "tcp-unanswered");
        let mut lossy = flow_end([9, 9], Handshake::Complete);
        lossy.tcp.as_mut().unwrap().sides[1].acked_unseen_bytes = 1_460;
        assess(&mut diagnosis, &flow(3, server(2), 443), &lossy);
        assert_eq!(assess(&mut diagnosis, &flow(4, server(1), 443), &unanswered()), "frames-lost");
        // A refusal is a packet: none is missing for it.
        let refused = flow_end([1, 1], Handshake::Refused);
        assert_eq!(assess(&mut diagnosis, &flow(5, server(1), 443), &refused), "tcp-refused");
    }

    #[test]
    fn attempts_of_a_port_scan_are_not_blocked() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.packet_received(CLIENT);
        for port in 1..=8 {
            diagnosis.flow_started(&flow(port.into(), server(1), port), at(100));
        }
        assert_eq!(assess(&mut diagnosis, &flow(1, server(1), 1), &unanswered()), "scan");
        assert_eq!(assess(&mut diagnosis, &flow(9, server(2), 1), &unanswered()), "tcp-unanswered");
    }

    #[test]
    fn an_attempt_that_lost_to_a_parallel_one_is_not_blocked() {
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        let addresses = [server(1), server(2)];
        let response = test_support::resolution("files.example", Some(0), &addresses);
        names.add_response(CLIENT, &response, (FrameRef::default(), at(99)), &policy);
        let [lost, won] = [1, 2].map(|number| {
            let mut flow = flow(number, server(number as u8), 443);
            (flow.dns, _) = names.attribute(CLIENT, server(number as u8));
            flow
        });
        let mut diagnosis = Diagnosis::default();
        diagnosis.packet_received(CLIENT);
        diagnosis.flow_started(&lost, at(100));
        diagnosis.flow_started(&won, at(101));
        let mut once = unanswered();
        once.tcp.as_mut().unwrap().sides[0].syns = 1;
        assert_eq!(assess(&mut diagnosis, &lost, &once), "single-attempt");
        assert_eq!(assess(&mut diagnosis, &won, &flow_end([9, 9], Handshake::Complete)), "ok");
        assert_eq!(assess(&mut diagnosis, &lost, &once), "lost-race");
        // It was retransmitted although the other attempt was answered.
        assert_eq!(assess(&mut diagnosis, &lost, &unanswered()), "tcp-unanswered");
    }
}
