//! Names of event providers that traces of network problems hold.
//!
//! In:  a provider's GUID, as it is stored on disk.
//! Out: its registered name, else the GUID.
//! Not: what its events say.

use super::container::KERNEL;
use super::packets::KERNEL_PROCESS;
use super::packets::NDISCAP;
use super::packets::PKTMON;
use super::packets::guid;

/// Registered names (`logman query providers`).
const PROVIDERS: &[([u8; 16], &str)] = &[
    (NDISCAP, "Microsoft-Windows-NDIS-PacketCapture"),
    (PKTMON, "Microsoft-Windows-PktMon"),
    (KERNEL, "Windows Kernel Trace"),
    (
        guid(0x2f07_e2ee, 0x15db, 0x40f1, [0x90, 0xef, 0x9d, 0x7b, 0xa2, 0x82, 0x18, 0x8a]),
        "Microsoft-Windows-TCPIP",
    ),
    (
        guid(0xe53c_6823, 0x7bb8, 0x44bb, [0x90, 0xdc, 0x3f, 0x86, 0x09, 0x0d, 0x48, 0xa6]),
        "Microsoft-Windows-Winsock-AFD",
    ),
    (
        guid(0x50b3_e73c, 0x9370, 0x461d, [0xbb, 0x9f, 0x26, 0xf3, 0x2d, 0x68, 0x88, 0x7d]),
        "Microsoft-Windows-WebIO",
    ),
    (
        guid(0x43d1_a55c, 0x76d6, 0x4f7e, [0x99, 0x5c, 0x64, 0xc7, 0x11, 0xe5, 0xca, 0xfe]),
        "Microsoft-Windows-WinINet",
    ),
    (
        guid(0x7d44_233d, 0x3055, 0x4b9c, [0xba, 0x64, 0x0d, 0x47, 0xca, 0x40, 0xa2, 0x32]),
        "Microsoft-Windows-WinHttp",
    ),
    (
        guid(0x1c95_126e, 0x7eea, 0x49a9, [0xa3, 0xfe, 0xa3, 0x78, 0xb0, 0x3d, 0xdb, 0x4d]),
        "Microsoft-Windows-DNS-Client",
    ),
    (
        guid(0x7dd4_2a49, 0x5329, 0x4832, [0x8d, 0xfd, 0x43, 0xd9, 0x79, 0x15, 0x3a, 0x88]),
        "Microsoft-Windows-Kernel-Network",
    ),
    (KERNEL_PROCESS, "Microsoft-Windows-Kernel-Process"),
    (
        guid(0x0c47_8c5b, 0x0351, 0x41b1, [0x8c, 0x58, 0x4a, 0x67, 0x37, 0xda, 0x32, 0xe3]),
        "Microsoft-Windows-WFP",
    ),
    (
        guid(0x988c_59c5, 0x0a1c, 0x45b6, [0xa5, 0x55, 0x0c, 0x62, 0x27, 0x6e, 0x32, 0x7d]),
        "Microsoft-Windows-SMBClient",
    ),
    (
        guid(0xdd5e_f90a, 0x6398, 0x47a4, [0xad, 0x34, 0x4d, 0xce, 0xcd, 0xef, 0x79, 0x5f]),
        "Microsoft-Windows-HttpService",
    ),
];

/// The name of a provider, else its GUID.
pub(super) fn provider_name(provider: [u8; 16]) -> String {
    if let Some((_, name)) = PROVIDERS.iter().find(|(known, _)| *known == provider) {
        return (*name).to_owned();
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = provider;
    format!(
        "{{{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-{i:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_has_a_name_or_its_guid() {
        assert_eq!(provider_name(PKTMON), "Microsoft-Windows-PktMon");
        let unknown = guid(0x0102_0304, 0x0506, 0x0708, [9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(provider_name(unknown), "{01020304-0506-0708-090a-0b0c0d0e0f10}");
    }
}
