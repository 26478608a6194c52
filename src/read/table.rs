//! The table of readers: one row each, the most specific first, and of these the frequent ones: a row costs all behind it.

use super::dns;
use super::http;
use super::proxy_protocol;
use super::quic;
use super::reader::Spec;
use super::socks;
use super::speech;
use super::tls;

/// All readers. The first row that is sure of a conversation reads it.
pub const READERS: &[Spec] = &[
    tls::SPEC,
    dns::SPEC,
    tls::DTLS,
    quic::SPEC,
    http::SPEC,
    http::HTTP2,
    proxy_protocol::SPEC,
    socks::SPEC,
    speech::SMB,
    speech::RDP,
    speech::KERBEROS,
    speech::LDAP,
    speech::DCERPC,
    speech::SSH,
    speech::SMTP,
    speech::FTP,
    speech::IMAP,
    speech::POP3,
    speech::SIP,
    speech::MYSQL,
    speech::POSTGRES,
    speech::TDS,
    speech::NBNS,
    speech::NTP,
    speech::DHCP,
    speech::DHCPV6,
    speech::IKE,
    speech::ESP_UDP,
    speech::WIREGUARD,
    speech::STUN,
    speech::SNMP,
    speech::SSDP,
    speech::SYSLOG,
    speech::NBDGM,
];
