//! What a host reports of the packets that it captured: that it dropped one and why, who sent it, that it translates it.
//!
//! In:  numbers of Packet Monitor.
//! Out: a drop reason's name, and what kind of reason it is.
//! Not: what a report means for a flow.

use serde::Deserialize;
use serde::Serialize;

use super::Address;
use super::WireText;
use DropKind::Connection;
use DropKind::NotForHost;
use DropKind::Other;
use DropKind::Policy;

/// A packet's drop by a component of the host that captured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDrop {
    /// The component's name.
    pub component: WireText,
    /// Why it dropped the packet.
    pub reason: DropReason,
}

/// What the host that captured a frame reports of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostReport {
    /// It dropped the packet.
    pub drop: Option<HostDrop>,
    /// The process that sent the packet.
    pub process: Option<Process>,
    /// The ends that the packet has where the host logged it before or after a translation.
    pub translated: Option<TranslatedEnds>,
}

/// Addresses and ports of a packet before or after the host that captured it translated them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslatedEnds {
    /// Sender and its port.
    pub source: (Address, u16),
    /// Receiver and its port.
    pub destination: (Address, u16),
}

/// A process of the host that captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// The file name of its program; empty where the trace does not have it.
    pub name: WireText,
}

/// `4711 FileSyncSvc.exe`, or `4711`.
impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "{}", self.id),
            name => write!(f, "{} {name}", self.id),
        }
    }
}

/// A drop reason, by its number (`PKTMON_DROP_REASON`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DropReason(pub u32);

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropKind {
    /// A configured rule: a filter of the Windows Filtering Platform, a policy of the virtual switch, VLAN, QoS.
    Policy,
    /// The packet has no receiver on this host: another address, a multicast group or a port without a listener.
    NotForHost,
    /// The connection's own rules discard the packet: a duplicate, a segment outside the window, a reset.
    Connection,
    /// Damage, missing resources, hardware, a reason that is not known.
    Other,
}

impl DropReason {
    /// The host does not say why.
    pub const UNKNOWN: DropReason = DropReason(0);

    /// Its name in Packet Monitor's output; none for a number that is not known.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|(_, name, _)| *name)
    }

    /// What kind of reason it is.
    pub fn kind(self) -> DropKind {
        self.row().map_or(Other, |(_, _, kind)| *kind)
    }

    fn row(self) -> Option<&'static (u32, &'static str, DropKind)> {
        let index = REASONS.binary_search_by_key(&self.0, |(number, ..)| *number).ok()?;
        REASONS.get(index)
    }
}

/// `NL_InspectionDrop`, or `drop reason 4711`.
impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "drop reason {}", self.0),
        }
    }
}

// `PKTMON_DROP_REASON` of the Windows SDK (pktmonclnt.h), as of 2024; `pktmon` prints these names. Sorted by number. Reasons of
// HTTP.sys (from 3000) are about requests and not about packets, and stay numbers.
#[rustfmt::skip]
const REASONS: &[(u32, &str, DropKind)] = &[
    (0, "Unknown", Other),
    (1, "InvalidData", Other),
    (2, "InvalidPacket", Other),
    (3, "Resources", Other),
    (4, "NotReady", Other),
    (5, "Disconnected", Other),
    (6, "NotAccepted", Other),
    (7, "Busy", Other),
    (8, "Filtered", Policy),
    (9, "FilteredVLAN", Policy),
    (10, "UnauthorizedVLAN", Policy),
    (11, "UnauthorizedMAC", Policy),
    (12, "FailedSecurityPolicy", Policy),
    (13, "FailedPvlanSetting", Policy),
    (14, "Qos", Policy),
    (15, "Ipsec", Policy),
    (16, "MacSpoofing", Policy),
    (17, "DhcpGuard", Policy),
    (18, "RouterGuard", Policy),
    (19, "BridgeReserved", Other),
    (20, "VirtualSubnetId", Other),
    (21, "RequiredExtensionMissing", Other),
    (22, "InvalidConfig", Other),
    (23, "MTUMismatch", Other),
    (24, "NativeFwdingReq", Other),
    (25, "InvalidVlanFormat", Other),
    (26, "InvalidDestMac", Other),
    (27, "InvalidSourceMac", Other),
    (28, "InvalidFirstNBTooSmall", Other),
    (29, "Wnv", Other),
    (30, "StormLimit", Policy),
    (31, "InjectedIcmp", Other),
    (32, "FailedDestinationListUpdate", Other),
    (33, "NicDisabled", Other),
    (34, "FailedPacketFilter", NotForHost),
    (35, "SwitchDataFlowDisabled", Other),
    (36, "FilteredIsolationUntagged", Policy),
    (37, "InvalidPDQueue", Other),
    (38, "LowPower", Other),
    (201, "Pause", Other),
    (202, "Reset", Other),
    (203, "SendAborted", Other),
    (204, "ProtocolNotBound", Other),
    (205, "Failure", Other),
    (206, "InvalidLength", Other),
    (207, "HostOutOfMemory", Other),
    (208, "FrameTooLong", Other),
    (209, "FrameTooShort", Other),
    (210, "FrameLengthError", Other),
    (211, "CrcError", Other),
    (212, "BadFrameChecksum", Other),
    (213, "FcsError", Other),
    (214, "SymbolError", Other),
    (215, "HeadQTimeout", Other),
    (216, "StalledDiscard", Other),
    (217, "RxQFull", Other),
    (218, "PhysLayerError", Other),
    (219, "DmaError", Other),
    (220, "FirmwareError", Other),
    (221, "DecryptionFailed", Other),
    (222, "BadSignature", Other),
    (223, "CoalescingError", Other),
    (225, "VlanSpoofing", Policy),
    (226, "UnallowedEtherType", Other),
    (227, "VportDown", Other),
    (228, "SteeringMismatch", Other),
    (401, "MicroportError", Other),
    (402, "VfNotReady", Other),
    (403, "MicroportNotReady", Other),
    (404, "VMBusError", Other),
    (601, "FL_LoopbackPacket", NotForHost),
    (602, "FL_InvalidSnapHeader", Other),
    (603, "FL_InvalidEthernetType", Other),
    (604, "FL_InvalidPacketLength", Other),
    (605, "FL_HeaderNotContiguous", Other),
    (606, "FL_InvalidDestinationType", Other),
    (607, "FL_InterfaceNotReady", Other),
    (608, "FL_ProviderNotReady", Other),
    (609, "FL_InvalidLsoInfo", Other),
    (610, "FL_InvalidUsoInfo", Other),
    (611, "FL_InvalidMedium", Other),
    (612, "FL_InvalidArpHeader", Other),
    (613, "FL_NoClientInterface", Other),
    (614, "FL_TooManyNetBuffers", Other),
    (615, "FL_FlsNpiClientDrop", Other),
    (701, "ArpGuard", Policy),
    (702, "ArpLimiter", Policy),
    (703, "DhcpLimiter", Policy),
    (704, "BlockBroadcast", Policy),
    (705, "BlockNonIp", Policy),
    (706, "ArpFilter", Policy),
    (707, "Ipv4Guard", Policy),
    (708, "Ipv6Guard", Policy),
    (709, "MacGuard", Policy),
    (710, "BroadcastNoDestinations", NotForHost),
    (711, "UnicastNoDestination", NotForHost),
    (712, "UnicastPortNotReady", Other),
    (713, "SwitchCallbackFailed", Other),
    (714, "Icmpv6Limiter", Policy),
    (715, "Intercept", Other),
    (716, "InterceptBlock", Policy),
    (717, "NDPGuard", Policy),
    (718, "PortBlocked", Policy),
    (719, "NicSuspended", Other),
    (901, "NL_BadSourceAddress", Other),
    (902, "NL_NotLocallyDestined", NotForHost),
    (903, "NL_ProtocolUnreachable", NotForHost),
    (904, "NL_PortUnreachable", NotForHost),
    (905, "NL_BadLength", Other),
    (906, "NL_MalformedHeader", Other),
    (907, "NL_NoRoute", Other),
    (908, "NL_BeyondScope", Other),
    (909, "NL_InspectionDrop", Policy),
    (910, "NL_TooManyDecapsulations", Other),
    (911, "NL_AdministrativelyProhibited", Policy),
    (912, "NL_BadChecksum", Other),
    (913, "NL_ReceivePathMax", Other),
    (914, "NL_HopLimitExceeded", Other),
    (915, "NL_AddressUnreachable", Other),
    (916, "NL_RscPacket", Other),
    (917, "NL_ForwardPathMax", Other),
    (918, "NL_ArbitrationUnhandled", NotForHost),
    (919, "NL_InspectionAbsorb", Other),
    (920, "NL_DontFragmentMtuExceeded", Other),
    (921, "NL_BufferLengthExceeded", Other),
    (922, "NL_AddressResolutionTimeout", Other),
    (923, "NL_AddressResolutionFailure", Other),
    (924, "NL_IpsecFailure", Other),
    (925, "NL_ExtensionHeadersFailure", Other),
    (926, "NL_IpsnpiClientDrop", Other),
    (927, "NL_UnsupportedOffload", Other),
    (928, "NL_RoutingFailure", Other),
    (929, "NL_AncillaryDataFailure", Other),
    (930, "NL_RawDataFailure", Other),
    (931, "NL_SessionStateFailure", Other),
    (932, "NL_IpsnpiModifiedButNotForwarded", Other),
    (933, "NL_IpsnpiNoNextHop", Other),
    (934, "NL_IpsnpiNoCompartment", Other),
    (935, "NL_IpsnpiNoInterface", Other),
    (936, "NL_IpsnpiNoSubInterface", Other),
    (937, "NL_IpsnpiInterfaceDisabled", Other),
    (938, "NL_IpsnpiSegmentationFailed", Other),
    (939, "NL_IpsnpiNoEthernetHeader", Other),
    (940, "NL_IpsnpiUnexpectedFragment", Other),
    (941, "NL_IpsnpiUnsupportedInterfaceType", Other),
    (942, "NL_IpsnpiInvalidLsoInfo", Other),
    (943, "NL_IpsnpiInvalidUsoInfo", Other),
    (944, "NL_InternalError", Other),
    (945, "NL_AdministrativelyConfigured", Policy),
    (946, "NL_BadOption", Other),
    (947, "NL_LoopbackDisallowed", NotForHost),
    (948, "NL_SmallerScope", Other),
    (949, "NL_QueueFull", Other),
    (950, "NL_InterfaceDisabled", Other),
    (951, "NL_IcmpGeneric", Other),
    (952, "NL_IcmpTruncatedHeader", Other),
    (953, "NL_IcmpInvalidChecksum", Other),
    (954, "NL_IcmpInspection", Policy),
    (979, "NL_IcmpDisallowed", Policy),
    (991, "NL_IcmpNotLocallyDestined", NotForHost),
    (992, "NL_ArpInvalidSource", Other),
    (993, "NL_ArpInvalidTarget", Other),
    (994, "NL_ArpDlSourceIsLocal", Other),
    (995, "NL_ArpNotLocallyDestined", NotForHost),
    (996, "NL_NlClientDiscard", Other),
    (997, "NL_IpsnpiUroSegmentSizeExceedsMtu", Other),
    (998, "NL_IcmpFragmentedPacket", Other),
    (999, "NL_FirstFragmentIncomplete", Other),
    (1000, "NL_SourceViolation", Other),
    (1001, "NL_IcmpJumbogram", Other),
    (1002, "NL_SwUsoFailure", Other),
    (1200, "INET_SourceUnspecified", Other),
    (1201, "INET_DestinationMulticast", NotForHost),
    (1202, "INET_HeaderInvalid", Other),
    (1203, "INET_ChecksumInvalid", Other),
    (1204, "INET_EndpointNotFound", NotForHost),
    (1205, "INET_ConnectedPath", Connection),
    (1206, "INET_SessionState", Connection),
    (1207, "INET_ReceiveInspection", Policy),
    (1208, "INET_AckInvalid", Connection),
    (1209, "INET_ExpectedSyn", Connection),
    (1210, "INET_Rst", Connection),
    (1211, "INET_SynRcvdSyn", Connection),
    (1212, "INET_SimultaneousConnect", Connection),
    (1213, "INET_PawsFailed", Connection),
    (1214, "INET_LandAttack", Connection),
    (1215, "INET_MissedReset", Connection),
    (1216, "INET_OutsideWindow", Connection),
    (1217, "INET_DuplicateSegment", Connection),
    (1218, "INET_ClosedWindow", Connection),
    (1219, "INET_TcbRemoved", Connection),
    (1220, "INET_FinWait2", Connection),
    (1221, "INET_ReassemblyConflict", Connection),
    (1222, "INET_FinReceived", Connection),
    (1223, "INET_ListenerInvalidFlags", Connection),
    (1224, "INET_TcbNotInTcbTable", Connection),
    (1225, "INET_TimeWaitTcbReceivedRstOutsideWindow", Connection),
    (1226, "INET_TimeWaitTcbSynAndOtherFlags", Connection),
    (1227, "INET_TimeWaitTcb", Connection),
    (1228, "INET_SynAckWithFastopenCookieRequest", Connection),
    (1229, "INET_PauseAccept", Connection),
    (1230, "INET_SynAttack", Connection),
    (1231, "INET_AcceptInspection", Policy),
    (1232, "INET_AcceptRedirection", Other),
    (1401, "Ipsec_BadSpi", Other),
    (1402, "Ipsec_SALifetimeExpired", Other),
    (1403, "Ipsec_WrongSA", Other),
    (1404, "Ipsec_ReplayCheckFailed", Other),
    (1405, "Ipsec_InvalidPacket", Other),
    (1406, "Ipsec_IntegrityCheckFailed", Other),
    (1407, "Ipsec_ClearTextDrop", Policy),
    (1408, "Ipsec_AuthFirewallDrop", Policy),
    (1409, "Ipsec_ThrottleDrop", Policy),
    (1410, "Ipsec_Dosp_Block", Policy),
    (1411, "Ipsec_Dosp_ReceivedMulticast", Other),
    (1412, "Ipsec_Dosp_InvalidPacket", Other),
    (1413, "Ipsec_Dosp_StateLookupFailed", Other),
    (1414, "Ipsec_Dosp_MaxEntries", Other),
    (1415, "Ipsec_Dosp_KeymodNotAllowed", Policy),
    (1416, "Ipsec_Dosp_MaxPerIpRateLimitQueues", Other),
    (1417, "Ipsec_NoMemory", Other),
    (1418, "Ipsec_Unsuccessful", Other),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_names_and_kinds() {
        let check = |number, text: &str, kind| {
            let reason = DropReason(number);
            assert_eq!((reason.to_string().as_str(), reason.kind()), (text, kind));
        };
        check(909, "NL_InspectionDrop", Policy);
        check(9, "FilteredVLAN", Policy);
        check(14, "Qos", Policy);
        check(1204, "INET_EndpointNotFound", NotForHost);
        check(1217, "INET_DuplicateSegment", Connection);
        check(217, "RxQFull", Other);
        check(4711, "drop reason 4711", Other);
        assert!(REASONS.is_sorted_by(|one, other| one.0 < other.0), "names are found by binary search");
    }
}
