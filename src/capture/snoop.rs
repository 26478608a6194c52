//! Reads snoop files, as Solaris writes them.
//!
//! In:  bytes of the capture.
//! Out: frames.
//! Not: recovery after damage; it ends there.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::format::Cut;
use super::format::Format;
use super::format::Lost;
use super::format::Out;
use super::format::RECORD_LIMIT;
use super::format::Reader;
use super::format::Step;
use super::format::View;
use super::format::cut_short;
use super::format::four;
use crate::base::Time;

pub(super) const FORMAT: Format = Format { wanted: 16, probe };

const MAGIC: &[u8] = b"snoop\0\0\0";
const FILE_HEADER_LEN: usize = 16;
const RECORD_HEADER_LEN: usize = 24;

// RFC 1761 §4: datalink types, as far as the registry of link types has them.
const LINKS: &[(u32, LinkType)] = &[
    (0, LinkType::ETHERNET),
    (2, LinkType(6)),
    (4, LinkType::ETHERNET),
    (8, LinkType(10)),
    // Solaris' <sys/dlpi.h>: DL_IPV4, DL_IPV6, DL_IPNET.
    (0x8000_0001, LinkType::RAW),
    (0x8000_0002, LinkType::RAW),
    (0x8000_0003, LinkType(226)),
];

struct Snoop {
    begun: bool,
    link: LinkType,
    drops: u32,
    lost: Option<Lost>,
}

fn probe(head: &[u8], _whole: bool) -> Option<Reader> {
    let snoop = Snoop { begun: false, link: LinkType::UNREGISTERED, drops: 0, lost: None };
    (head.starts_with(MAGIC) && head.len() >= FILE_HEADER_LEN)
        .then(|| (Box::new(snoop) as Box<dyn Cut>, "snoop"))
}

fn field(bytes: &[u8], at: usize) -> Option<u32> {
    four(bytes, at).map(u32::from_be_bytes)
}

impl Cut for Snoop {
    fn cut(&mut self, view: View<'_>, out: &mut Out<'_>) -> Step {
        let mut used = 0;
        if !self.begun {
            self.begin(view.bytes, out);
            used = FILE_HEADER_LEN;
        }
        while self.lost.is_none() {
            if out.frames.len() >= out.room {
                return Step { used, need: 0 };
            }
            let rest = view.bytes.get(used..).unwrap_or_default();
            let need = match self.record(rest, view.base + used, out) {
                Ok(len) => {
                    used += len;
                    continue;
                }
                Err(need) => need,
            };
            if need > RECORD_LIMIT {
                let at = view.position + used as u64;
                self.lost = Some(Lost { at, after_frame: out.frames_before(), why: "unsound record" });
            } else if view.last {
                cut_short(view, used, out);
                return Step { used: view.bytes.len(), need: 0 };
            } else {
                return Step { used, need };
            }
        }
        if let (Some(lost), true) = (self.lost, view.last) {
            lost.found(view.position + view.bytes.len() as u64, out.facts);
        }
        Step { used: view.bytes.len(), need: 1 }
    }
}

impl Snoop {
    fn begin(&mut self, head: &[u8], out: &mut Out<'_>) {
        let number = field(head, 12).unwrap_or_default();
        match LINKS.iter().find(|(theirs, _)| *theirs == number) {
            Some((_, link)) => self.link = *link,
            None => out.facts.note(format!("snoop data link {number} is not known")),
        }
        if let Some(version) = field(head, 8).filter(|version| *version != 2) {
            out.facts.note(format!("version {version} of the format"));
        }
        self.begun = true;
        out.facts.interfaces.push(Interface::new(self.link, 0, "10^-6"));
        out.facts.overhead_bytes += FILE_HEADER_LEN as u64;
    }

    // RFC 1761 §3: original length, included length, record length, cumulative drops, seconds, microseconds.
    fn record(&mut self, bytes: &[u8], base: usize, out: &mut Out<'_>) -> Result<usize, usize> {
        let words = [0, 4, 8, 12, 16, 20].map(|at| field(bytes, at));
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
        let number = out.frames_before() + 1;
        out.frames.push(FrameHeader {
            time: Time(i64::from(secs) * 1_000_000_000 + i64::from(micros) * 1000),
            number,
            offset: (base + RECORD_HEADER_LEN) as u32,
            captured_len,
            wire_len,
            link: self.link,
            interface: 0,
        });
        out.facts.lost += u64::from(drops.saturating_sub(self.drops));
        self.drops = drops;
        out.facts.overhead_bytes += (len - captured_len as usize) as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::Craft;
    use super::super::test_support::read;

    fn check(bytes: &[u8], frames: usize, damage: &[&str]) -> u64 {
        let (seen, facts) = read(bytes).unwrap();
        assert_eq!(seen.len(), frames);
        let told: Vec<&str> = facts.damage.iter().map(|damage| &*damage.what).collect();
        assert_eq!(told, damage);
        facts.lost
    }

    #[test]
    fn records_are_padded_and_count_drops() {
        let mut craft = Craft { big: true, bytes: b"snoop\0\0\0".to_vec() };
        craft.u32(2).u32(4);
        craft.u32(60).u32(3).u32(28).u32(2).u32(1).u32(5).raw(b"abc\0");
        craft.u32(4).u32(4).u32(28).u32(5).u32(2).u32(5).raw(b"defg");
        let (seen, _) = read(&craft.bytes).unwrap();
        assert_eq!(seen[0], (1, 1_000_005_000, 1, 60, b"abc".to_vec()));
        assert_eq!(check(&craft.bytes, 2, &[]), 5);
        check(&craft.bytes[..70], 1, &["cut after frame 1"]);
        craft.u32(4).u32(400).u32(28).u32(5).u32(2).u32(5).raw(b"defg");
        check(&craft.bytes, 2, &["unsound record after frame 2, 28 bytes skipped"]);
    }
}
