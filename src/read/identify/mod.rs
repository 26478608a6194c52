//! Identifies protocols by their first bytes. They are not parsed further, except SQL Server's, which encapsulates TLS.
//!
//! In:  the first bytes of a side.
//! Out: the protocol.
//! Not: its contents. A wrong protocol is worse than none, so each probe tests more than a plausible start.

mod databases;
mod network;
mod tds;
mod text;
mod windows;

pub(crate) use databases::MYSQL;
pub(crate) use databases::POSTGRES;
pub(crate) use network::DHCP;
pub(crate) use network::DHCPV6;
pub(crate) use network::ESP_UDP;
pub(crate) use network::IKE;
pub(crate) use network::NTP;
pub(crate) use network::SNMP;
pub(crate) use network::STUN;
pub(crate) use network::WIREGUARD;
pub(crate) use tds::SPEC as TDS;
pub(crate) use text::FTP;
pub(crate) use text::IMAP;
pub(crate) use text::POP3;
pub(crate) use text::SIP;
pub(crate) use text::SMTP;
pub(crate) use text::SSDP;
pub(crate) use text::SSH;
pub(crate) use text::SYSLOG;
pub(crate) use windows::DCERPC;
pub(crate) use windows::KERBEROS;
pub(crate) use windows::LDAP;
pub(crate) use windows::NBDGM;
pub(crate) use windows::NBNS;
pub(crate) use windows::RDP;
pub(crate) use windows::SMB;

use super::reader::Probe;

/// `Yes` or `No`.
const fn probe_result(matches: bool) -> Probe {
    if matches { Probe::Yes } else { Probe::No }
}

/// The big-endian number at an offset.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The big-endian number at an offset.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Parses the header of a BER element (X.690 §8.1): tag, length of its contents, length of its header.
/// `None`: incomplete, or a form that these protocols do not use.
fn ber_header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let tag = *bytes.first()?;
    let first = *bytes.get(1)?;
    if first < 0x80 {
        return Some((tag, usize::from(first), 2));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let mut len = 0usize;
    for byte in bytes.get(2..2 + count)? {
        len = len.checked_shl(8)? | usize::from(*byte);
    }
    Some((tag, len, 2 + count))
}

/// The contents present of the BER element at the start, when it has this tag.
fn ber_contents(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, len, header) = ber_header(bytes)?;
    let body = bytes.get(header..)?;
    (found == tag).then(|| body.get(..len).unwrap_or(body))
}

/// The bytes after the BER element at the start, which must be complete.
fn after_ber(bytes: &[u8]) -> Option<&[u8]> {
    let (_, len, header) = ber_header(bytes)?;
    bytes.get(header.checked_add(len)?..)
}

#[cfg(test)]
mod tests;
