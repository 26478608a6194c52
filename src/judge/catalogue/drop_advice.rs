//! Where to look on the host, by the reason for which a component of it dropped a packet.
//!
//! In:  a drop reason of Packet Monitor.
//! Out: what to do, with the page of Microsoft's documentation that describes it.
//! Not: which reasons are rules; see `base::DropKind`.

use crate::base::DropReason;

/// Advice for some drop reasons of the kind `Policy`.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct DropAdvice {
    /// Numbers of `PKTMON_DROP_REASON`.
    reasons: &'static [u32],
    /// What to do, and the page that describes the commands.
    pub(in crate::judge) recommendation: &'static str,
}

/// The advice for a reason; none for reasons that need nothing but the general one.
pub(in crate::judge) fn drop_advice(reason: DropReason) -> Option<&'static DropAdvice> {
    ADVICE.iter().find(|row| row.reasons.contains(&reason.0))
}

const ADVICE: &[DropAdvice] = &[
    DropAdvice {
        // Drops in tcpip.sys: inspection at the network, transport and accept layers.
        reasons: &[909, 911, 945, 954, 979, 1207, 1231],
        recommendation: "find the filter of the Windows Filtering Platform on this host: `netsh wfp show netevents` names the filter of \
                         each drop, `netsh wfp show filters` what it belongs to; then allow the connection in Windows Firewall \
                         (`Get-NetFirewallRule`) or in the security product that added the filter. The firewall on the path is not \
                         involved; see \
                         https://learn.microsoft.com/windows/win32/fwp/auditing-and-logging",
    },
    DropAdvice {
        reasons: &[9, 10, 36, 225],
        recommendation: "compare the VLAN of the virtual network adapter with that of the packets on this host: `Get-VMNetworkAdapterVlan`, \
                         with `-ManagementOS` for the host itself; then the VLANs of the physical switch port. The firewall on the path \
                         is not involved; see \
                         https://learn.microsoft.com/powershell/module/hyper-v/get-vmnetworkadaptervlan",
    },
    DropAdvice {
        reasons: &[13],
        recommendation: "check the private VLAN of the virtual network adapter on this host: `Get-VMNetworkAdapterVlan`; an isolated port \
                         reaches promiscuous ports only; see \
                         https://learn.microsoft.com/powershell/module/hyper-v/set-vmnetworkadaptervlan",
    },
    DropAdvice {
        reasons: &[14, 30, 702, 703, 714],
        recommendation: "check the limits of the virtual network adapter on this host: `Get-VMNetworkAdapter | Format-List *` shows \
                         bandwidth and storm limit, `Get-NetQosPolicy` the policies of the host; see \
                         https://learn.microsoft.com/powershell/module/netqos/get-netqospolicy",
    },
    DropAdvice {
        reasons: &[12, 704, 705, 706, 707, 708, 716, 718],
        recommendation: "check the rules of the virtual switch port on this host: `Get-VMNetworkAdapterAcl` and \
                         `Get-VMNetworkAdapterExtendedAcl`; with a network controller, the access control lists that it applies. The \
                         firewall on the path is not involved; see \
                         https://learn.microsoft.com/powershell/module/hyper-v/get-vmnetworkadapterextendedacl",
    },
    DropAdvice {
        reasons: &[11, 16, 17, 18, 701, 709, 717],
        recommendation: "check what the virtual network adapter may send on this host: `Get-VMNetworkAdapter | Format-List \
                         MacAddressSpoofing, DhcpGuard, RouterGuard`; teaming and clusters in a virtual machine need MacAddressSpoofing; see \
                         https://learn.microsoft.com/powershell/module/hyper-v/set-vmnetworkadapter",
    },
    DropAdvice {
        reasons: &[15, 1407, 1408, 1409, 1410, 1415],
        recommendation: "check the connection security rules on this host: `Get-NetIPsecRule -PolicyStore ActiveStore`; a rule that \
                         requires IPsec drops what comes in clear text; see \
                         https://learn.microsoft.com/powershell/module/netsecurity/get-netipsecrule",
    },
    DropAdvice {
        // The component that reports it is the filter.
        reasons: &[8],
        recommendation: "check the product of the component that dropped the packets: a filter driver of a network adapter \
                         (`Get-NetAdapterBinding`) or an extension of the virtual switch (`Get-VMSwitchExtension`); see \
                         https://learn.microsoft.com/powershell/module/netadapter/get-netadapterbinding",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DropKind;

    #[test]
    fn every_rule_of_the_host_has_advice_with_a_source() {
        for number in 0..2000 {
            let advice = drop_advice(DropReason(number));
            assert_eq!(
                advice.is_some(),
                DropReason(number).kind() == DropKind::Policy,
                "{}",
                DropReason(number)
            );
            assert!(
                advice.is_none_or(|advice| advice
                    .recommendation
                    .contains("; see https://learn.microsoft.com/"))
            );
        }
    }

    #[test]
    fn advice_points_at_the_component_that_dropped_the_packet() {
        let check = |reason, command: &str| {
            let advice = drop_advice(DropReason(reason)).unwrap();
            assert!(advice.recommendation.contains(command), "{reason}: {}", advice.recommendation);
        };
        check(909, "netsh wfp show netevents");
        check(9, "Get-VMNetworkAdapterVlan");
        check(14, "Get-NetQosPolicy");
        check(12, "Get-VMNetworkAdapterExtendedAcl");
        check(1408, "Get-NetIPsecRule");
    }
}
