//! Writes packets as pcapng blocks.
//!
//! In:  packets in the order of time, with wall-clock times in 100 ns.
//! Out: bytes of pcapng: a section, an interface for each place where packets were logged, the packets.
//! Not: what a packet holds.
//!
//! draft-ietf-opsawg-pcapng §4; the byte order is little-endian.

use super::packets::LogPoint;
use super::packets::SentBy;
use super::packets::TracedPacket;
use crate::capture::pcapng_blocks::ENHANCED_PACKET;
use crate::capture::pcapng_blocks::HOST_DROP_OPTION;
use crate::capture::pcapng_blocks::INTERFACE_DESCRIPTION;
use crate::capture::pcapng_blocks::PROCESS_OPTION;
use crate::capture::pcapng_write::IF_NAME;
use crate::capture::pcapng_write::IF_TSRESOL;
use crate::capture::pcapng_write::pad;
use crate::capture::pcapng_write::push_block;
use crate::capture::pcapng_write::push_end_of_options;
use crate::capture::pcapng_write::push_option;
use crate::capture::pcapng_write::push_section;

/// 10^-7 s, the unit of Windows' clocks.
const HUNDRED_NANOSECONDS: u8 = 7;

/// Places where packets were logged, each an interface; packets of further places go to the last.
const INTERFACE_LIMIT: usize = 1 << 12;

/// The bytes that are made, and what they have named so far.
#[derive(Debug, Default)]
pub(super) struct PcapngOut {
    pub(super) bytes: Vec<u8>,
    interfaces: Vec<LogPoint>,
    has_section: bool,
}

impl PcapngOut {
    /// Writes a packet; `name` is the name of where it was logged.
    pub(super) fn packet(&mut self, packet: &TracedPacket, name: impl FnOnce() -> String) {
        let interface = self.interface(packet.point, name);
        push_block(&mut self.bytes, ENHANCED_PACKET, |out| {
            let [high, low] = [(packet.time >> 32) as u32, packet.time as u32];
            let logged_len = packet.bytes.len() as u32;
            for field in [interface, high, low, logged_len, packet.original_len] {
                out.extend(field.to_le_bytes());
            }
            out.extend_from_slice(&packet.bytes);
            pad(out);
            if let Some(drop) = packet.drop {
                push_option(out, HOST_DROP_OPTION, &drop.0.to_le_bytes());
            }
            if let Some(SentBy { id, name }) = &packet.process {
                push_option(out, PROCESS_OPTION, &[&id.to_le_bytes(), name.as_bytes()].concat());
            }
            if packet.drop.is_some() || packet.process.is_some() {
                push_end_of_options(out);
            }
        });
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
            push_section(&mut self.bytes, |_| ());
        }
        push_block(&mut self.bytes, INTERFACE_DESCRIPTION, |out| {
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
