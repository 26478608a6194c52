//! Writes captures of Ethernet frames.
//!
//! In:  addresses, ports, numbers, payload.
//! Out: a pcap file.
//! Not: what an attack sends; see `attacks`.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write as _;
use std::path::Path;

/// TCP flags (RFC 9293 §3.1).
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

/// Protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The MTU of Ethernet.
const MAX_PACKET: usize = 1_500;

/// An IPv4 address and a port.
#[derive(Clone, Copy)]
pub(crate) struct End(pub(crate) [u8; 4], pub(crate) u16);

/// Packets of a capture, and their bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct CaptureSize {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Writes frames, a microsecond apart unless the clock is set.
pub(crate) struct CaptureWriter {
    file: BufWriter<File>,
    size: CaptureSize,
    pub(crate) micros: u64,
    random: u64,
}

impl CaptureWriter {
    pub(crate) fn create(path: &Path) -> CaptureWriter {
        let mut file = BufWriter::new(File::create(path).unwrap());
        // Microseconds, version 2.4, Ethernet.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            file.write_all(&word.to_le_bytes()).unwrap();
        }
        CaptureWriter { file, size: CaptureSize::default(), micros: 1_700_000_000_000_000, random: 1 }
    }

    /// Ends the file; returns how much it holds.
    pub(crate) fn finish(mut self) -> CaptureSize {
        self.file.flush().unwrap();
        self.size
    }

    /// A number without a pattern, the same in every run (SplitMix64).
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Bytes without a pattern.
    pub(crate) fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.random() as u8).collect()
    }

    pub(crate) fn tcp(&mut self, from: End, to: End, flags: u8, seq: u32, ack: u32, payload: &[u8]) {
        let mut segment = ports(from, to);
        segment.extend(seq.to_be_bytes());
        segment.extend(ack.to_be_bytes());
        // Twenty bytes of header, a window, no checksum.
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(payload);
        self.ip(from.0, to.0, TCP, 0, &segment);
    }

    pub(crate) fn udp(&mut self, from: End, to: End, payload: &[u8]) {
        self.ip(from.0, to.0, UDP, 0, &datagram(from, to, payload));
    }

    /// An ICMP error that quotes the first bytes of a segment.
    pub(crate) fn icmp_error(&mut self, router: [u8; 4], from: End, to: End, seq: u32) {
        let mut quoted = ports(from, to);
        quoted.extend(seq.to_be_bytes());
        // Destination unreachable, communication administratively prohibited.
        let mut message = vec![3, 13, 0, 0, 0, 0, 0, 0];
        message.extend(ip_header(from.0, to.0, TCP, 0, 20));
        message.extend(quoted);
        self.ip(router, from.0, ICMP, 0, &message);
    }

    /// One fragment of a datagram: its offset in units of eight bytes, and the bit for more.
    pub(crate) fn fragment(&mut self, from: [u8; 4], to: [u8; 4], id: u16, field: u16, body: &[u8]) {
        let words = u32::from(id) << 16 | u32::from(field);
        self.ip(from, to, UDP, words, body);
    }

    fn ip(&mut self, from: [u8; 4], to: [u8; 4], protocol: u8, fragment: u32, body: &[u8]) {
        assert!(body.len() + 20 <= MAX_PACKET);
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend(ip_header(from, to, protocol, fragment, body.len()));
        frame.extend(body);
        let [seconds, micros] = [self.micros / 1_000_000, self.micros % 1_000_000].map(|part| part as u32);
        for word in [seconds, micros, frame.len() as u32, frame.len() as u32] {
            self.file.write_all(&word.to_le_bytes()).unwrap();
        }
        self.file.write_all(&frame).unwrap();
        self.size.packets += 1;
        self.size.bytes += frame.len() as u64;
        self.micros += 1;
    }
}

fn ports(from: End, to: End) -> Vec<u8> {
    [from.1.to_be_bytes(), to.1.to_be_bytes()].concat()
}

/// A UDP header without a checksum, and its payload.
fn datagram(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports(from, to);
    datagram.extend((payload.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn ip_header(from: [u8; 4], to: [u8; 4], protocol: u8, fragment: u32, len: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((len as u16 + 20).to_be_bytes());
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(from);
    header.extend(to);
    header
}
