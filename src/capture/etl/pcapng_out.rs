//! Writes packets as pcapng blocks.
//!
//! In:  packets in the order of time, with wall-clock times in 100 ns.
//! Out: bytes of pcapng: a section, an interface for each place where packets were logged, the packets.
//! Not: what a packet holds.
//!
//! draft-ietf-opsawg-pcapng §4; the byte order is little-endian.

use super::packets::LogPoint;
use super::packets::TracedPacket;

const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Options of an interface: its name, and the resolution of its time stamps.
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
/// 10^-7 s, the unit of Windows' clocks.
const HUNDRED_NANOSECONDS: u8 = 7;

/// A packet's option for local use (§3.5.2: codes with the highest bit set): the host dropped the packet. Reason, location
/// and component, each four bytes.
const HOST_DROP_OPTION: u16 = 0x8001;

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
    pub(super) fn packet(&mut self, packet: &TracedPacket, unix_100ns: u64, name: impl FnOnce() -> String) {
        let interface = self.interface(packet.point, name);
        self.block(ENHANCED_PACKET, |out| {
            let [high, low] = [(unix_100ns >> 32) as u32, unix_100ns as u32];
            let logged_len = packet.bytes.len() as u32;
            for field in [interface, high, low, logged_len, packet.original_len] {
                out.extend(field.to_le_bytes());
            }
            out.extend_from_slice(&packet.bytes);
            out.resize(out.len().next_multiple_of(4), 0);
            if let Some(drop) = packet.drop {
                let value =
                    [drop.reason, drop.location, packet.point.component].map(u32::to_le_bytes).concat();
                option(out, HOST_DROP_OPTION, &value);
                option(out, 0, &[]);
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
            self.block(SECTION, |out| {
                out.extend(BYTE_ORDER.to_le_bytes());
                // Version 1.0, and a section whose length is not known.
                out.extend([1, 0, 0, 0]);
                out.extend((-1i64).to_le_bytes());
            });
        }
        self.block(INTERFACE, |out| {
            out.extend(point.link.0.to_le_bytes());
            out.extend([0; 6]);
            option(out, IF_NAME, name().as_bytes());
            option(out, IF_TSRESOL, &[HUNDRED_NANOSECONDS]);
            option(out, 0, &[]);
        });
        self.interfaces.push(point);
        self.interfaces.len() as u32 - 1
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        // Offsets in a block count from its beginning, and so does the padding: the buffer always ends at a multiple of 4.
        let begin = self.bytes.len();
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend([0; 4]);
        body(&mut self.bytes);
        let len = (self.bytes.len() - begin + 4) as u32;
        self.bytes.extend(len.to_le_bytes());
        if let Some(field) = self.bytes.get_mut(begin + 4..begin + 8) {
            field.copy_from_slice(&len.to_le_bytes());
        }
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}
