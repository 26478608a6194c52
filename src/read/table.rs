//! The table of readers.
//!
//! In:  nothing.
//! Out: one row for each protocol.
//! Not: how a protocol is read.
//!
//! Each row is probed before the rows below it, so specific probes come first, and of these the frequent protocols.

use super::dns;
use super::http;
use super::identify;
use super::proxy_protocol;
use super::quic;
use super::reader::ReaderSpec;
use super::socks;
use super::tls;

/// All readers, in the order in which they are probed.
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
