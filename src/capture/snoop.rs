//! Reads snoop files, as written by Solaris.
//!
//! In:  bytes of the capture.
//! Out: frames.
//! Not: reading on after damage.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::concatenated::end_at_capture_start;
use super::frame_reader::CaptureFormat;
use super::frame_reader::DamageStart;
use super::frame_reader::FrameOut;
use super::frame_reader::FrameReader;
use super::frame_reader::InputBytes;
use super::frame_reader::OpenReader;
use super::frame_reader::RECORD_LIMIT;
use super::frame_reader::ReadStep;
use super::frame_reader::USUAL_GAP_SECS;
use super::frame_reader::four_at;
use super::frame_reader::need_record;
use crate::base::Time;

pub(super) const FORMAT: CaptureFormat = CaptureFormat { probe_len: 16, probe };

pub(super) const MAGIC: &[u8] = b"snoop\0\0\0";
const FILE_HEADER_LEN: usize = 16;
const RECORD_HEADER_LEN: usize = 24;

// RFC 1761 §4: the datalink types that have a link type.
const LINKS: &[(u32, LinkType)] = &[
    (0, LinkType::ETHERNET),
    (2, LinkType::IEEE802_5),
    (4, LinkType::ETHERNET),
    (8, LinkType::FDDI),
    // Solaris' <sys/dlpi.h>: DL_IPV4, DL_IPV6, DL_IPNET.
    (0x8000_0001, LinkType::RAW),
    (0x8000_0002, LinkType::RAW),
    (0x8000_0003, LinkType::IPNET),
];

struct Snoop {
    has_file_header: bool,
    link: LinkType,
    /// The number of its interface: after other captures in the same input, not the first.
    interface: u16,
    /// Seconds of the last record.
    last_secs: Option<u32>,
    /// Cumulative drops at the last record.
    drops: u32,
    damage: Option<DamageStart>,
}

fn probe(head: &[u8], _whole: bool) -> Option<OpenReader> {
    let snoop = Snoop {
        has_file_header: false,
        link: LinkType::UNREGISTERED,
        interface: 0,
        last_secs: None,
        drops: 0,
        damage: None,
    };
    (head.starts_with(MAGIC) && head.len() >= FILE_HEADER_LEN)
        .then(|| (Box::new(snoop) as Box<dyn FrameReader>, "snoop"))
}

/// Whether these are the first bytes of a file: its magic number and version 2 (RFC 1761 §2).
pub(super) fn is_file_header(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && u32_at(bytes, 8) == Some(2)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    four_at(bytes, at).map(u32::from_be_bytes)
}

impl FrameReader for Snoop {
    fn read_frames(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        let mut used = 0;
        if !self.has_file_header {
            self.read_file_header(input.bytes, out);
            used = FILE_HEADER_LEN;
        }
        loop {
            if let Some(damage) = self.damage {
                return damage.skip_rest(input, out);
            }
            if out.frames.len() >= out.limit {
                return ReadStep { used, need: 0 };
            }
            let rest = input.bytes.get(used..).unwrap_or_default();
            if !self.is_expected(rest)
                && let Some(step) = end_at_capture_start(input, used, out)
            {
                return step;
            }
            match self.read_record(rest, input.block_offset + used, out) {
                Ok(len) => used += len,
                Err(need) if need > RECORD_LIMIT => {
                    self.damage = Some(DamageStart::at(used, "invalid record header", input, out));
                }
                Err(need) => return need_record(need, input, used, out),
            }
        }
    }
}

impl Snoop {
    fn read_file_header(&mut self, head: &[u8], out: &mut FrameOut<'_>) {
        let number = u32_at(head, 12).unwrap_or_default();
        match LINKS.iter().find(|(datalink, _)| *datalink == number) {
            Some((_, link)) => self.link = *link,
            None => out.facts.note(format!("unknown snoop datalink type {number}")),
        }
        if let Some(version) = u32_at(head, 8).filter(|version| *version != 2) {
            out.facts.note(format!("snoop version {version}"));
        }
        self.has_file_header = true;
        self.interface = out.facts.interfaces.len().try_into().unwrap_or(u16::MAX);
        out.facts.interfaces.push(Interface::new(self.link, 0, "10^-6"));
        out.facts.overhead_bytes += FILE_HEADER_LEN as u64;
    }

    /// Whether a record with a time near the last one is here.
    fn is_expected(&self, bytes: &[u8]) -> bool {
        let near = |secs: u32| self.last_secs.is_some_and(|last| last.abs_diff(secs) <= USUAL_GAP_SECS);
        u32_at(bytes, 16).is_some_and(near)
    }

    /// The length of the record; `Err`: the bytes needed, more than any record has if the header is invalid.
    // RFC 1761 §3: original length, included length, record length, cumulative drops, seconds, microseconds.
    fn read_record(
        &mut self,
        bytes: &[u8],
        block_offset: usize,
        out: &mut FrameOut<'_>,
    ) -> Result<usize, usize> {
        let words = [0, 4, 8, 12, 16, 20].map(|at| u32_at(bytes, at));
        let [Some(wire_len), Some(captured_len), Some(len), Some(drops), Some(secs), Some(micros)] = words
        else {
            return Err(RECORD_HEADER_LEN);
        };
        let len = len as usize;
        if len < RECORD_HEADER_LEN + captured_len as usize || len > RECORD_LIMIT {
            return Err(usize::MAX);
        }
        if len > bytes.len() {
            return Err(len);
        }
        self.last_secs = Some(secs);
        let number = out.last_number() + 1;
        out.frames.push(FrameHeader {
            time: Time(i64::from(secs) * 1_000_000_000 + i64::from(micros) * 1000),
            number,
            offset: (block_offset + RECORD_HEADER_LEN) as u32,
            captured_len,
            wire_len,
            link: self.link,
            interface: self.interface,
        });
        out.facts.reported_drops += u64::from(drops.saturating_sub(self.drops));
        self.drops = drops;
        out.facts.overhead_bytes += (len - captured_len as usize) as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::CaptureBuilder;
    use super::super::test_support::read;

    fn check(bytes: &[u8], frames: usize, damage: &[&str]) -> u64 {
        let (seen, facts) = read(bytes).unwrap();
        assert_eq!(seen.len(), frames);
        let messages: Vec<&str> = facts.damage.iter().map(|damage| &*damage.message).collect();
        assert_eq!(messages, damage);
        facts.reported_drops
    }

    #[test]
    fn records_are_padded_and_report_drops() {
        let mut capture = CaptureBuilder { big_endian: true, bytes: b"snoop\0\0\0".to_vec() };
        capture.u32(2).u32(4);
        capture.u32(60).u32(3).u32(28).u32(2).u32(1).u32(5).raw(b"abc\0");
        capture.u32(4).u32(4).u32(28).u32(5).u32(2).u32(5).raw(b"defg");
        let (seen, _) = read(&capture.bytes).unwrap();
        assert_eq!(seen[0], (1, 1_000_005_000, 1, 60, b"abc".to_vec()));
        assert_eq!(check(&capture.bytes, 2, &[]), 5);
        check(&capture.bytes[..70], 1, &["truncated after frame 1"]);
        capture.u32(4).u32(400).u32(28).u32(5).u32(2).u32(5).raw(b"defg");
        check(&capture.bytes, 2, &["invalid record header after frame 2, 28 bytes skipped"]);
    }
}
