//! The table of readers: one row each, the most specific first, and of these the frequent ones: a row costs all behind it.

use super::dns;
use super::http;
use super::identify;
use super::proxy_protocol;
use super::quic;
use super::reader::ReaderSpec;
use super::socks;
use super::tls;

/// All readers. The first row that is sure of a conversation reads it.
pub const READERS: &[ReaderSpec] = &[
    tls::SPEC,
    dns::SPEC,
    tls::DTLS,
    quic::SPEC,
    http::SPEC,
    http::HTTP2,
    proxy_protocol::SPEC,
    socks::SPEC,
    identify::SMB,
    identify::RDP,
    identify::KERBEROS,
    identify::LDAP,
    identify::DCERPC,
    identify::SSH,
    identify::SMTP,
    identify::FTP,
    identify::IMAP,
    identify::POP3,
    identify::SIP,
    identify::MYSQL,
    identify::POSTGRES,
    identify::TDS,
    identify::NBNS,
    identify::NTP,
    identify::DHCP,
    identify::DHCPV6,
    identify::IKE,
    identify::ESP_UDP,
    identify::WIREGUARD,
    identify::STUN,
    identify::SNMP,
    identify::SSDP,
    identify::SYSLOG,
    identify::NBDGM,
];
