//! Writes packets as pcapng blocks.
//!
//! In:  packets in the order of time, with wall-clock times in 100 ns.
//! Out: bytes of pcapng: a section, an interface for each place where packets were logged, the packets.
//! Not: what a packet holds.
//!
//! draft-ietf-opsawg-pcapng §4; the byte order is little-endian.

use std::io;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use super::packets::LogPoint;
use super::packets::SentBy;
use super::packets::TracedPacket;
use crate::capture::pcapng_blocks::ENHANCED_PACKET;
use crate::capture::pcapng_blocks::HOST_DROP_OPTION;
use crate::capture::pcapng_blocks::INTERFACE_DESCRIPTION;
use crate::capture::pcapng_blocks::PROCESS_OPTION;
use crate::capture::pcapng_blocks::TRANSLATED_OPTION;
use crate::capture::pcapng_write::IF_NAME;
use crate::capture::pcapng_write::IF_TSRESOL;
use crate::capture::pcapng_write::push_block;
use crate::capture::pcapng_write::push_end_of_options;
use crate::capture::pcapng_write::push_option;
use crate::capture::pcapng_write::push_section;

/// 10^-7 s, the unit of Windows' clocks.
const HUNDRED_NANOSECONDS: u8 = 7;

/// Places where packets were logged, each an interface; packets of further places go to the last.
const INTERFACE_LIMIT: usize = 1 << 12;

/// A packet block is so long without packet and options: type, length, five fields, and the length again.
const PACKET_BLOCK_LEN: usize = 32;

/// What was written, and what did not fit.
#[derive(Debug, Default)]
pub(super) struct PcapngOut {
    /// Blocks that wait for room.
    waiting: Vec<u8>,
    /// Bytes of them that were handed on.
    written: usize,
    /// Options of the packet that is written.
    options: Vec<u8>,
    interfaces: Vec<LogPoint>,
    has_section: bool,
}

impl PcapngOut {
    /// Moves blocks that waited into `room`, as far as they fit; true if none waits any more.
    pub(super) fn write_waiting(&mut self, room: &mut &mut [u8]) -> bool {
        let ready = self.waiting.get(self.written..).unwrap_or_default();
        // Writing to a slice ends where it is full.
        self.written += room.write(ready).unwrap_or(0);
        if self.written < self.waiting.len() {
            return false;
        }
        self.waiting.clear();
        self.written = 0;
        true
    }

    /// Writes a packet to `room`, or lets it wait if it does not fit; `name` is the name of where it was logged.
    pub(super) fn packet(
        &mut self,
        packet: &TracedPacket,
        bytes: &[u8],
        name: impl FnOnce() -> String,
        room: &mut &mut [u8],
    ) {
        let interface = self.interface(packet.point, name);
        self.options.clear();
        if let Some(drop) = packet.drop {
            push_option(&mut self.options, HOST_DROP_OPTION, &drop.0.to_le_bytes());
        }
        if let Some(SentBy { id, name }) = &packet.process {
            push_option(&mut self.options, PROCESS_OPTION, &[&id.to_le_bytes(), name.as_bytes()].concat());
        }
        if let Some(ends) = packet.translated.as_deref() {
            let end = |end: SocketAddr| (ipv6(end.ip()).octets(), end.port().to_be_bytes());
            let ((source, source_port), (destination, port)) = (end(ends.source), end(ends.destination));
            let value = [&source[..], &source_port, &destination, &port].concat();
            push_option(&mut self.options, TRANSLATED_OPTION, &value);
        }
        if !self.options.is_empty() {
            push_end_of_options(&mut self.options);
        }
        let len = PACKET_BLOCK_LEN + bytes.len().next_multiple_of(4) + self.options.len();
        let [high, low] = [(packet.time >> 32) as u32, packet.time as u32];
        let logged_len = bytes.len() as u32;
        let fields = [len as u32, interface, high, low, logged_len, packet.original_len];
        // Neither a vector nor a slice with room enough refuses bytes.
        let _ = if self.waiting.is_empty() && len <= room.len() {
            write_packet(room, fields, bytes, &self.options)
        } else {
            write_packet(&mut self.waiting, fields, bytes, &self.options)
        };
    }

    /// The number of the interface of a place; described before it is used.
    fn interface(&mut self, point: LogPoint, name: impl FnOnce() -> String) -> u32 {
        if let Some(number) = self.interfaces.iter().position(|known| *known == point) {
            return number as u32;
        }
        if self.interfaces.len() >= INTERFACE_LIMIT {
            return INTERFACE_LIMIT as u32 - 1;
        }
        if !self.has_section {
            self.has_section = true;
            push_section(&mut self.waiting, |_| ());
        }
        push_block(&mut self.waiting, INTERFACE_DESCRIPTION, |out| {
            out.extend(point.link.0.to_le_bytes());
            out.extend([0; 6]);
            push_option(out, IF_NAME, name().as_bytes());
            push_option(out, IF_TSRESOL, &[HUNDRED_NANOSECONDS]);
            push_end_of_options(out);
        });
        self.interfaces.push(point);
        self.interfaces.len() as u32 - 1
    }
}

fn write_packet(out: &mut impl Write, fields: [u32; 6], bytes: &[u8], options: &[u8]) -> io::Result<()> {
    let [len, ..] = fields;
    let [a, b, c, d, e, f] = fields.map(u32::to_le_bytes);
    out.write_all([ENHANCED_PACKET.to_le_bytes(), a, b, c, d, e, f].as_flattened())?;
    out.write_all(bytes)?;
    let padding = bytes.len().next_multiple_of(4) - bytes.len();
    out.write_all([0; 3].get(..padding).unwrap_or_default())?;
    out.write_all(options)?;
    out.write_all(&len.to_le_bytes())
}

const fn ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
