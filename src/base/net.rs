//! Numbers assigned by IANA that more than one module needs.

/// IP protocol numbers (IANA, "Protocol Numbers").
pub mod proto {
    /// IPv6 hop-by-hop options header.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// DCCP.
    pub const DCCP: u8 = 33;
    /// IPv6 in IP.
    pub const IPV6: u8 = 41;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// IPsec ESP (RFC 4303 §2).
    pub const ESP: u8 = 50;
    /// IPsec AH (RFC 4302 §2).
    pub const AH: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options header.
    pub const DESTINATION: u8 = 60;
    /// KA9Q's IP in IP.
    pub const IPIP: u8 = 94;
    /// Ethernet in IP, with a header (RFC 3378).
    pub const ETHER_IP: u8 = 97;
    /// L2TP version 3.
    pub const L2TP: u8 = 115;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// IPv6 mobility header.
    pub const MOBILITY: u8 = 135;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
    /// MPLS in IP.
    pub const MPLS: u8 = 137;
    /// Host Identity Protocol.
    pub const HIP: u8 = 139;
    /// Shim6.
    pub const SHIM6: u8 = 140;
    /// Ethernet without a header of its own (RFC 8986).
    pub const ETHERNET: u8 = 143;

    /// The name of a transport protocol in output; `None` for all that are not in this list.
    pub const fn name(number: u8) -> Option<&'static str> {
        match number {
            ICMP => Some("icmp"),
            TCP => Some("tcp"),
            UDP => Some("udp"),
            ICMPV6 => Some("icmp6"),
            SCTP => Some("sctp"),
            _ => None,
        }
    }
}

/// Well-known ports (IANA, "Service Name and Transport Protocol Port Number Registry").
pub mod port {
    /// DNS (RFC 1035 §4.2).
    pub const DNS: u16 = 53;
    /// Network Time Protocol.
    pub const NTP: u16 = 123;
    /// HTTP.
    pub const HTTP: u16 = 80;
    /// NetBIOS datagram service.
    pub const NETBIOS_DATAGRAM: u16 = 138;
    /// HTTPS: HTTP over TLS, and over QUIC.
    pub const HTTPS: u16 = 443;
    /// SMB directly over TCP.
    pub const SMB: u16 = 445;
    /// DNS over TLS (RFC 7858 §3.1) and over QUIC (RFC 9250 §4.1.1).
    pub const DNS_OVER_TLS: u16 = 853;
    /// SOCKS (RFC 1928 §3).
    pub const SOCKS: u16 = 1080;
    /// Multicast DNS (RFC 6762 §5).
    pub const MDNS: u16 = 5353;
}
