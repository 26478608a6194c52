//! Reads ERF files, as Endace cards and some sensors write them.
//!
//! In:  bytes of the capture.
//! Out: frames; records of a type that holds no frame we can name are handed on whole, as link type ERF.
//! Not: multi-channel and ATM records; recovery after damage, it ends there.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::format::Cut;
use super::format::Format;
use super::format::Lost;
use super::format::Out;
use super::format::Reader;
use super::format::Step;
use super::format::View;
use super::format::cut_short;
use crate::base::Time;

/// There is no magic number, so that a run of records has to agree.
pub(super) const FORMAT: Format = Format { wanted: 32 << 10, probe };

const HEADER_LEN: usize = 16;
/// So many records must agree, or all that there are.
const PROBED_RECORDS: usize = 16;
/// Extension headers of one record; Wireshark's limit.
const EXTENSION_LIMIT: usize = 16;
/// Records of a probed run may lie so far apart in time.
const PROBED_SECS: u64 = 30 * 86_400;

/// What lies in a record, by its type: how its frame begins, and bytes before it.
struct Kind {
    number: u8,
    link: LinkType,
    pad_len: usize,
}

// Endace ERF Types Reference Guide; Wireshark's wiretap/erf.h.
const KINDS: &[Kind] = &[
    Kind { number: 1, link: LinkType::C_HDLC, pad_len: 0 },
    // An offset and a pad byte come before Ethernet, so that the IP header is aligned.
    Kind { number: 2, link: LinkType::ETHERNET, pad_len: 2 },
    Kind { number: 10, link: LinkType::C_HDLC, pad_len: 0 },
    Kind { number: 11, link: LinkType::ETHERNET, pad_len: 2 },
    Kind { number: 15, link: LinkType::C_HDLC, pad_len: 0 },
    Kind { number: 16, link: LinkType::ETHERNET, pad_len: 2 },
    Kind { number: 19, link: LinkType::C_HDLC, pad_len: 0 },
    Kind { number: 20, link: LinkType::ETHERNET, pad_len: 2 },
    Kind { number: 22, link: LinkType::RAW, pad_len: 0 },
    Kind { number: 23, link: LinkType::RAW, pad_len: 0 },
];
const LAST_KIND: u8 = 27;
const PAD: u8 = 48;

struct Erf {
    /// Our interface for each of a card's ports and each link type met.
    interfaces: Vec<(u8, LinkType)>,
    lost: Option<Lost>,
}

/// A record's header.
struct Record {
    stamp: u64,
    kind: u8,
    port: u8,
    len: usize,
    drops: u16,
    wire_len: u16,
}

fn record(bytes: &[u8]) -> Option<Record> {
    let (stamp, rest) = bytes.split_first_chunk::<8>()?;
    let [kind, flags, l0, l1, d0, d1, w0, w1] = *rest.first_chunk::<8>()?;
    Some(Record {
        stamp: u64::from_le_bytes(*stamp),
        kind,
        port: flags & 3,
        len: usize::from(u16::from_be_bytes([l0, l1])),
        drops: u16::from_be_bytes([d0, d1]),
        wire_len: u16::from_be_bytes([w0, w1]),
    })
}

/// Bytes before the frame: header, extension headers, pad; `None` if they are more than the record has.
fn head_len(record: &Record, bytes: &[u8], pad_len: usize) -> Option<usize> {
    let mut len = HEADER_LEN;
    let mut more = record.kind & 0x80 != 0;
    for _ in 0..EXTENSION_LIMIT {
        if !more {
            break;
        }
        more = bytes.get(len)? & 0x80 != 0;
        len += 8;
    }
    (!more && len + pad_len <= record.len).then_some(len + pad_len)
}

fn probe(head: &[u8], whole: bool) -> Option<Reader> {
    let mut rest = head;
    let mut before: Option<u64> = None;
    for count in 0..PROBED_RECORDS {
        let Some(found) = record(rest) else {
            // One record alone proves too little, unless the file ends exactly behind it.
            let enough = count > 1 || (count == 1 && rest.is_empty());
            return (whole && enough).then(reader);
        };
        let kind = found.kind & 0x7f;
        let secs = found.stamp >> 32;
        let near = before.is_none_or(|before| before.abs_diff(secs) <= PROBED_SECS);
        let known = (1..=LAST_KIND).contains(&kind) || kind == PAD;
        // One byte over and over is no record: seconds and their fraction would agree.
        let same = found.stamp != 0 && secs == found.stamp & 0xffff_ffff;
        if !known || same || found.len < HEADER_LEN || !near || (found.wire_len == 0 && kind != PAD) {
            return None;
        }
        before = Some(secs);
        match rest.get(found.len..) {
            Some(next) => rest = next,
            // Cut inside a record: the records before it decide.
            None => return (count > 1).then(reader),
        }
    }
    Some(reader())
}

fn reader() -> Reader {
    (Box::new(Erf { interfaces: Vec::new(), lost: None }), "erf")
}

impl Cut for Erf {
    fn cut(&mut self, view: View<'_>, out: &mut Out<'_>) -> Step {
        let mut used = 0;
        while self.lost.is_none() {
            if out.frames.len() >= out.room {
                return Step { used, need: 0 };
            }
            let rest = view.bytes.get(used..).unwrap_or_default();
            let need = match record(rest) {
                None => HEADER_LEN,
                Some(found) if found.len < HEADER_LEN => {
                    let at = view.position + used as u64;
                    self.lost = Some(Lost { at, after_frame: out.frames_before(), why: "unsound record" });
                    continue;
                }
                Some(found) => match rest.get(..found.len) {
                    None => found.len,
                    Some(bytes) => {
                        self.frame(&found, bytes, view.base + used, out);
                        used += found.len;
                        continue;
                    }
                },
            };
            if view.last {
                cut_short(view, used, out);
                return Step { used: view.bytes.len(), need: 0 };
            }
            return Step { used, need };
        }
        if let (Some(lost), true) = (self.lost, view.last) {
            lost.found(view.position + view.bytes.len() as u64, out.facts);
        }
        Step { used: view.bytes.len(), need: 1 }
    }
}

impl Erf {
    fn frame(&mut self, record: &Record, bytes: &[u8], base: usize, out: &mut Out<'_>) {
        let kind = record.kind & 0x7f;
        if kind == PAD {
            out.facts.passed_over += 1;
            out.facts.overhead_bytes += record.len as u64;
            return;
        }
        // Colour and hash types keep other things in the loss counter's place.
        if matches!(kind, 1 | 2 | 22 | 23) {
            out.facts.lost += u64::from(record.drops);
        }
        let known = KINDS.iter().find(|row| row.number == kind);
        let begin = known.and_then(|row| Some((row.link, head_len(record, bytes, row.pad_len)?)));
        let (link, begin) = begin.unwrap_or((LinkType::ERF, 0));
        let held = record.len - begin;
        // The wire length counts the Ethernet checksum, and the record is padded to 8 bytes. The checksum stays: some
        // writers leave it out, and what follows the IP packet is no part of it.
        let wire_len = if begin == 0 { held } else { usize::from(record.wire_len) };
        let captured_len = held.min(wire_len);
        let number = out.frames_before() + 1;
        let interface = self.interface(record.port, link, out);
        // ERF: 32 bits of seconds and 32 bits of a second's fraction.
        let nanos = (u128::from(record.stamp) * 1_000_000_000) >> 32;
        out.frames.push(FrameHeader {
            time: Time(nanos as i64),
            number,
            offset: (base + begin) as u32,
            captured_len: captured_len as u32,
            wire_len: wire_len as u32,
            link,
            interface,
        });
        out.facts.overhead_bytes += (record.len - captured_len) as u64;
    }

    fn interface(&mut self, port: u8, link: LinkType, out: &mut Out<'_>) -> u16 {
        if let Some(place) = self.interfaces.iter().position(|known| *known == (port, link)) {
            return place as u16;
        }
        self.interfaces.push((port, link));
        let mut interface = Interface::new(link, 0, "2^-32");
        interface.name = Some(crate::base::WireText::new(format!("port {port}").as_bytes(), 16));
        out.facts.interfaces.push(interface);
        (self.interfaces.len() - 1) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::read;

    fn record(kind: u8, flags: u8, stamp: u64, wire_len: u16, body: &[u8]) -> Vec<u8> {
        let len = (16 + body.len()).next_multiple_of(8) as u16;
        let mut bytes = stamp.to_le_bytes().to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(len.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(wire_len.to_be_bytes());
        bytes.extend(body);
        bytes.resize(usize::from(len), 0);
        bytes
    }

    fn check(records: &[Vec<u8>], expected: &[(i64, u16, u32, &[u8])]) {
        let (seen, facts) = read(&records.concat()).unwrap();
        let seen: Vec<(i64, u16, u32, &[u8])> =
            seen.iter().map(|one| (one.1, one.2, one.3, &*one.4)).collect();
        assert_eq!(seen, expected);
        assert_eq!(facts.format, Some("erf"));
    }

    #[test]
    fn records_of_every_kind() {
        let stamp = (7 << 32) | (1 << 31);
        let time = 7_500_000_000;
        let ethernet = record(2, 4, stamp, 4, b"\0\0abcd");
        let extended = record(0x82, 5, stamp, 4, &[&[0x83; 8][..], &[3; 8], b"\0\0efgh"].concat());
        let hdlc = record(1, 4, stamp, 900, b"ijklmnop");
        let ip = record(22, 4, stamp, 2, b"qr");
        let atm = record(3, 4, stamp, 52, b"");
        check(
            &[ethernet, extended, hdlc, record(48, 0, stamp, 0, b""), ip, atm.clone()],
            &[
                (time, 1, 4, b"abcd"),
                (time, 1, 4, b"efgh"),
                (time, 104, 900, b"ijklmnop"),
                (time, 101, 2, b"qr"),
                (time, 197, 16, &atm),
            ],
        );
    }

    #[test]
    fn other_bytes_are_not_taken_for_records() {
        assert!(read(&[0; 4096]).is_err());
        assert!(read(&[2; 4096]).is_err());
        let mut bytes = record(2, 4, 7 << 32, 4, b"\0\0abcd");
        bytes.extend([0x55; 200]);
        assert!(read(&bytes).is_err(), "one record and something else");
    }
}
