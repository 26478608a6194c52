//! Names of the numbers of public registries.
//!
//! A number without a name stays a number.

use std::borrow::Cow;

use tls_parser::TlsCipherSuite;

/// A DNS record type (IANA, "Resource Record (RR) TYPEs"); `TYPE65280` if it has no name (RFC 3597 §5).
pub fn dns_type(number: u16) -> Cow<'static, str> {
    find(DNS_TYPES, number).map_or_else(|| format!("TYPE{number}").into(), Cow::Borrowed)
}

/// A DNS response code (IANA, "DNS RCODEs").
pub fn rcode(number: u16) -> Cow<'static, str> {
    find(RCODES, number).map_or_else(|| number.to_string().into(), Cow::Borrowed)
}

/// The meaning of an extended DNS error (RFC 8914 §4); none if the number is not registered.
pub fn extended_error(number: u16) -> Option<&'static str> {
    find(EXTENDED_ERRORS, number)
}

/// A TLS or DTLS version; `0xNNNN` if it has no name.
pub fn tls_version(number: u16) -> Cow<'static, str> {
    find(TLS_VERSIONS, number).map_or_else(|| format!("0x{number:04x}").into(), Cow::Borrowed)
}

/// A TLS cipher suite (IANA, "TLS Cipher Suites"); `0xNNNN` where it has no name.
pub fn cipher_suite(number: u16) -> Cow<'static, str> {
    TlsCipherSuite::from_id(number)
        .map_or_else(|| format!("0x{number:04x}").into(), |suite| suite.name.into())
}

/// A QUIC version; `0xNNNNNNNN` where it has no name.
pub fn quic_version(number: u32) -> Cow<'static, str> {
    match number.to_be_bytes() {
        [0, 0, 0, 1] => "1".into(),
        // RFC 9369 §3.1.
        [0x6b, 0x33, 0x43, 0xcf] => "2".into(),
        [0xff, 0, 0, draft] => format!("draft-{draft}").into(),
        // Google's versions are four characters.
        [family @ (b'Q' | b'T'), digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            let text: String = [family].into_iter().chain(digits).map(char::from).collect();
            text.into()
        }
        _ => format!("0x{number:08x}").into(),
    }
}

/// A QUIC transport error (IANA, "QUIC Transport Error Codes"); `0xN` where it has no name.
pub fn quic_error(code: u64) -> Cow<'static, str> {
    let known = u16::try_from(code).ok().and_then(|code| find(QUIC_ERRORS, code));
    known.map_or_else(|| format!("0x{code:x}").into(), Cow::Borrowed)
}

/// An EtherType (IANA, "IEEE 802 Numbers"), if it is common on site networks.
pub fn ether_type(number: u16) -> Option<&'static str> {
    find(ETHER_TYPES, number)
}

fn find(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    let at = table.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    table.get(at).map(|(_, name)| *name)
}

const TLS_VERSIONS: &[(u16, &str)] = &[
    (0x0002, "SSL 2.0"),
    (0x0300, "SSL 3.0"),
    (0x0301, "TLS 1.0"),
    (0x0302, "TLS 1.1"),
    (0x0303, "TLS 1.2"),
    (0x0304, "TLS 1.3"),
    (0xfefc, "DTLS 1.3"),
    (0xfefd, "DTLS 1.2"),
    (0xfeff, "DTLS 1.0"),
];

const QUIC_ERRORS: &[(u16, &str)] = &[
    (0x00, "NO_ERROR"),
    (0x01, "INTERNAL_ERROR"),
    (0x02, "CONNECTION_REFUSED"),
    (0x03, "FLOW_CONTROL_ERROR"),
    (0x04, "STREAM_LIMIT_ERROR"),
    (0x05, "STREAM_STATE_ERROR"),
    (0x06, "FINAL_SIZE_ERROR"),
    (0x07, "FRAME_ENCODING_ERROR"),
    (0x08, "TRANSPORT_PARAMETER_ERROR"),
    (0x09, "CONNECTION_ID_LIMIT_ERROR"),
    (0x0a, "PROTOCOL_VIOLATION"),
    (0x0b, "INVALID_TOKEN"),
    (0x0c, "APPLICATION_ERROR"),
    (0x0d, "CRYPTO_BUFFER_EXCEEDED"),
    (0x0e, "KEY_UPDATE_ERROR"),
    (0x0f, "AEAD_LIMIT_REACHED"),
    (0x10, "NO_VIABLE_PATH"),
    (0x11, "VERSION_NEGOTIATION_ERROR"),
];

const RCODES: &[(u16, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (11, "DSOTYPENI"),
    (16, "BADVERS"),
    (17, "BADKEY"),
    (18, "BADTIME"),
    (19, "BADMODE"),
    (20, "BADNAME"),
    (21, "BADALG"),
    (22, "BADTRUNC"),
    (23, "BADCOOKIE"),
];

const EXTENDED_ERRORS: &[(u16, &str)] = &[
    (0, "Other"),
    (1, "Unsupported DNSKEY Algorithm"),
    (2, "Unsupported DS Digest Type"),
    (3, "Stale Answer"),
    (4, "Forged Answer"),
    (5, "DNSSEC Indeterminate"),
    (6, "DNSSEC Bogus"),
    (7, "Signature Expired"),
    (8, "Signature Not Yet Valid"),
    (9, "DNSKEY Missing"),
    (10, "RRSIGs Missing"),
    (11, "No Zone Key Bit Set"),
    (12, "NSEC Missing"),
    (13, "Cached Error"),
    (14, "Not Ready"),
    (15, "Blocked"),
    (16, "Censored"),
    (17, "Filtered"),
    (18, "Prohibited"),
    (19, "Stale NXDOMAIN Answer"),
    (20, "Not Authoritative"),
    (21, "Not Supported"),
    (22, "No Reachable Authority"),
    (23, "Network Error"),
    (24, "Invalid Data"),
    (25, "Signature Expired before Valid"),
    (26, "Too Early"),
    (27, "Unsupported NSEC3 Iterations Value"),
    (28, "Unable to conform to policy"),
    (29, "Synthesized"),
    (30, "Invalid Query Type"),
];

const DNS_TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP-PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (56, "NINFO"),
    (57, "RKEY"),
    (58, "TALINK"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (66, "DSYNC"),
    (67, "HHIT"),
    (68, "BRID"),
    (99, "SPF"),
    (100, "UINFO"),
    (101, "UID"),
    (102, "GID"),
    (103, "UNSPEC"),
    (104, "NID"),
    (105, "L32"),
    (106, "L64"),
    (107, "LP"),
    (108, "EUI48"),
    (109, "EUI64"),
    (128, "NXNAME"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
    (258, "AVC"),
    (259, "DOA"),
    (260, "AMTRELAY"),
    (261, "RESINFO"),
    (262, "WALLET"),
    (263, "CLA"),
    (264, "IPN"),
    (32768, "TA"),
    (32769, "DLV"),
];

const ETHER_TYPES: &[(u16, &str)] = &[
    (0x0000, "LLC"),
    (0x0800, "IPv4"),
    (0x0806, "ARP"),
    (0x0842, "Wake-on-LAN"),
    (0x22f0, "AVTP"),
    (0x22f3, "TRILL"),
    (0x6003, "DECnet"),
    (0x8035, "RARP"),
    (0x809b, "AppleTalk"),
    (0x8100, "VLAN"),
    (0x8137, "IPX"),
    (0x86dd, "IPv6"),
    (0x8808, "Ethernet flow control"),
    (0x8809, "LACP and other slow protocols"),
    (0x8847, "MPLS"),
    (0x8848, "MPLS multicast"),
    (0x8863, "PPPoE discovery"),
    (0x8864, "PPPoE session"),
    (0x886f, "Microsoft NLB"),
    (0x888e, "EAPOL"),
    (0x8892, "PROFINET"),
    (0x88a4, "EtherCAT"),
    (0x88a8, "provider bridging"),
    (0x88b8, "GOOSE"),
    (0x88cc, "LLDP"),
    (0x88d9, "LLTD"),
    (0x88e5, "MACsec"),
    (0x88f7, "PTP"),
    (0x8902, "CFM"),
    (0x8906, "FCoE"),
    (0x8914, "FCoE initialization"),
    (0x8915, "RoCE"),
    (0x9000, "loopback test"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        for table in [TLS_VERSIONS, RCODES, EXTENDED_ERRORS, DNS_TYPES, ETHER_TYPES] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn numbers_without_a_name_stay_numbers() {
        assert_eq!((dns_type(65), dns_type(65280)), ("HTTPS".into(), "TYPE65280".into()));
        assert_eq!((rcode(3), rcode(24)), ("NXDOMAIN".into(), "24".into()));
        assert_eq!((tls_version(0x0304), tls_version(0x7f1c)), ("TLS 1.3".into(), "0x7f1c".into()));
        assert_eq!(cipher_suite(0xc030), "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
        assert_eq!(
            (cipher_suite(0x1301), cipher_suite(0xeeee)),
            ("TLS_AES_128_GCM_SHA256".into(), "0xeeee".into())
        );
        let versions = [1, 0x6b33_43cf, 0xff00_001d, 0x5130_3436, 0xface_b001].map(quic_version);
        assert_eq!(versions, ["1", "2", "draft-29", "Q046", "0xfaceb001"]);
        assert_eq!((quic_error(2), quic_error(0x1234)), ("CONNECTION_REFUSED".into(), "0x1234".into()));
    }
}
