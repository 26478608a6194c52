//! The facts of a run, for the manifest and the summary.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::human::count;
use super::human::duration;
use super::human::grouped;
use super::registry;
use crate::base::Time;
use crate::capture::LinkType;
use crate::capture::SeekPoints;
use crate::capture::link_type_name;
use crate::judge::FindingRows;
use crate::judge::RequirementRow;
use crate::judge::Tally;
use crate::judge::words;

/// Everything about a run that is not a row of a table.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// The inputs as the manifest prints them, by `FileId`.
    ///
    /// `verify` reads these keys of each: `path` (as given), `bytes`, and `sha256` or `blake3` in hexadecimal.
    pub inputs: Vec<serde_json::Value>,
    /// Where each input can be read again from, by `FileId`. Not in the manifest.
    pub seek_points: Vec<SeekPoints>,
    /// Captures after the first one of an input: files were concatenated.
    pub further_captures: u64,
    /// The capture points, if the inputs are from several.
    pub points: Option<PointFacts>,
    /// The part of the inputs that is reported, if it is not all of them.
    pub window: Option<WindowFacts>,
    /// Damage of the inputs, one line each: `office.pcapng: truncated after frame 1812`.
    pub damage: Vec<String>,
    /// Time of the earliest frame.
    pub first_seen: Option<Time>,
    /// Time of the latest frame.
    pub last_seen: Option<Time>,
    /// What became of every frame.
    pub accounting: Accounting,
    /// Counts of flows by verdict, outcome and destination.
    pub tally: Tally,
    /// The findings, in the order of their rows.
    pub findings: FindingRows,
    /// Documented endpoints that the site needs.
    pub requirements: Vec<RequirementRow>,
    /// What the site file leaves open, one sentence each.
    pub site_warnings: Vec<String>,
    /// What makes results less certain, one sentence each.
    pub warnings: Vec<String>,
    /// Limits that were reached, one sentence each.
    pub limits_reached: Vec<String>,
    /// Where the rules came from.
    pub rules: Option<PolicySource>,
    /// The documents that flows were compared with.
    pub documents: Vec<UsedDocument>,
    /// The documented rows that findings and requirements cite, by id.
    pub cited: BTreeMap<String, CitedRow>,
    /// The site file.
    pub site: Option<PolicySource>,
    /// The service tag file.
    pub service_tags: Option<TagSource>,
    /// Other counters, by name: `fragment.reassembled`.
    pub statistics: BTreeMap<String, u64>,
    /// Why the run did not read all of its input: `interrupted`, `frame limit reached`.
    pub partial: Option<String>,
    /// Parts of the job that were not done, one sentence each: an unreadable input, an interruption. The exit status is 2.
    pub not_done: Vec<String>,
}

words! {
    /// What a sentence about the limits of a run is about.
    LimitKind {
        /// The site file.
        SiteFile => "site-file",
        /// What makes results less certain.
        Warning => "warning",
        /// Damage of an input.
        Damage => "damage",
        /// A limit of the program that was reached.
        LimitReached => "limit-reached",
    }
}

impl RunFacts {
    /// Everything that limits the results, one sentence each.
    pub fn limits(&self) -> impl Iterator<Item = (LimitKind, &str)> {
        let lists = [
            (LimitKind::SiteFile, &self.site_warnings),
            (LimitKind::Warning, &self.warnings),
            (LimitKind::Damage, &self.damage),
            (LimitKind::LimitReached, &self.limits_reached),
        ];
        lists.into_iter().flat_map(|(kind, list)| list.iter().map(move |text| (kind, text.as_str())))
    }

    /// The times of the earliest and the latest frame.
    pub fn span(&self) -> Option<(Time, Time)> {
        self.first_seen.zip(self.last_seen)
    }

    /// How many required endpoints are reached, blocked, partly blocked, not observed.
    pub fn requirement_counts(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        for row in &self.requirements {
            if let Some(count) = counts.get_mut(row.state as usize) {
                *count += 1;
            }
        }
        counts
    }
}

/// The part of the inputs that is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowFacts {
    /// Where it begins; none for the beginning of the capture.
    pub from: Option<Time>,
    /// The first time after it; none for the end of the capture.
    pub until: Option<Time>,
    /// Seconds that were read before and after it.
    pub lead_in_secs: u64,
    /// Frames in it.
    pub frames: u64,
    /// Flows of it that had not ended where reading ended.
    pub unfinished: u64,
    /// The first of them, as in the column `flow_id`.
    pub unfinished_flows: Vec<u64>,
}

impl WindowFacts {
    /// The longest time after which an idle flow is closed: with a shorter lead-in a flow may have a row in two windows.
    const LONGEST_IDLE_SECS: u64 = 3600;

    /// What is not reported, and what may differ from a run over the whole capture, a sentence each.
    pub fn warnings(&self, accounting: &Accounting) -> Vec<String> {
        let from = self.from.map(|from| format!(" from {from}")).unwrap_or_default();
        let until = self.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let [before, after] = [accounting.before_window, accounting.after_window];
        let mut warnings = vec![format!(
            "only flows and DNS responses{from}{until} are reported; {} before and {} after what is read for them were not audited",
            count(before, "frame"),
            count(after, "frame"),
        )];
        if self.unfinished > 0 && after > 0 {
            warnings.push(format!(
                "{} had not ended {} after the window: their rows lack what follows",
                count(self.unfinished, "flow"),
                duration(self.lead_in_secs.saturating_mul(1_000_000_000)),
            ));
        }
        if before > 0 && self.lead_in_secs < WindowFacts::LONGEST_IDLE_SECS {
            warnings.push(format!(
                "the lead-in of {} is shorter than an hour: a flow that was idle for longer is reported as if it began after it",
                duration(self.lead_in_secs.saturating_mul(1_000_000_000)),
            ));
        }
        warnings
    }
}

/// Several capture points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointFacts {
    /// Each point, in the order of the first frames of their inputs.
    pub points: Vec<PointFact>,
    /// Flows that a further point shows too. They have no row of their own.
    pub joined_flows: u64,
    /// The packets of these flows.
    pub joined_packets: u64,
    /// Their payload bytes.
    pub joined_payload_bytes: u64,
}

/// One of several capture points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointFact {
    /// Its name.
    pub name: String,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// Nanoseconds by which its clock is ahead of the first point's; none if no packet of both shows it.
    pub clock_ahead_nanos: Option<i64>,
    /// Packets at the beginning of its inputs that another point has too.
    pub common_packets: u64,
}

impl PointFacts {
    /// The points as a line of the summary.
    pub fn text(&self) -> String {
        let names: Vec<&str> = self.points.iter().map(|point| point.name.as_str()).collect();
        let mut text = format!("{}: {}", count(names.len() as u64, "capture point"), names.join(", "));
        let first = names.first().copied().unwrap_or_default();
        for point in self.points.iter().skip(1) {
            let name = &point.name;
            text.push_str(&match point.clock_ahead_nanos {
                None => format!("; no packet of {first} is recognized at {name}: they are not compared"),
                Some(nanos) if nanos.unsigned_abs() < 1_000_000 => {
                    format!("; the clocks of {first} and {name} differ by less than 1 ms")
                }
                Some(nanos) => {
                    let how = if nanos < 0 { "behind" } else { "ahead of" };
                    format!(
                        "; the clock of {name} is {} {how} that of {first}",
                        short_time(nanos.unsigned_abs())
                    )
                }
            });
        }
        let flows = match self.joined_flows {
            0 => "no flow is".to_owned(),
            1 => "1 flow is".to_owned(),
            flows => format!("{} are", count(flows, "flow")),
        };
        text + &format!("; {flows} seen at more than one point, and counted once")
    }
}

/// `35 ms`, `12.3 s`.
fn short_time(nanos: u64) -> String {
    match nanos {
        0..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// Rules or a site file, with the hash that identifies the version.
#[derive(Clone, Debug, Serialize)]
pub struct PolicySource {
    /// As given on the command line; `built in` for the built-in rules.
    pub path: String,
    /// SHA-256 of its bytes; empty for rules, whose documents have hashes.
    pub sha256: String,
    /// Proxies that the site file declares, as `address:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<String>,
}

/// The service tag file that addresses were looked up in.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TagSource {
    /// Its name.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// The date in its file name; empty if there is none.
    pub date: String,
    /// Its change number.
    pub change_number: u64,
    /// Its cloud.
    pub cloud: String,
}

impl TagSource {
    /// A sentence if the file is much older or newer than the capture: service tags change every week.
    pub fn warning(&self, span: Option<(Time, Time)>) -> Option<String> {
        const WEEKS: i64 = 8;
        const WEEK_SECS: i64 = 7 * 24 * 3600;
        let date: jiff::civil::Date = self.date.parse().ok()?;
        let file = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        let (first, last) = span?;
        let (weeks, how) = if file < first.secs() {
            ((first.secs() - file) / WEEK_SECS, "older")
        } else {
            ((file - last.secs()) / WEEK_SECS, "newer")
        };
        (weeks >= WEEKS)
            .then(|| format!("service tags of {} are {weeks} weeks {how} than the capture", self.date))
    }
}

/// A document that flows were compared with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UsedDocument {
    /// Its id, `azure-file-sync@2019-06-24`.
    pub id: String,
    /// SHA-256 of its rule file.
    pub sha256: String,
    /// Its title as printed.
    pub title: String,
    /// Its own date; empty if it has none.
    pub date: String,
    /// Where it was retrieved.
    pub source: String,
    /// When it was retrieved.
    pub retrieved: String,
}

/// A documented row that a finding or a requirement cites, so that the evidence can be read without the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CitedRow {
    /// The id of its document.
    pub document: String,
    /// The title of its table.
    pub table: String,
    /// Its number in the table.
    pub row: u32,
    /// The row as printed.
    pub printed: String,
    /// The service that it is for, as printed.
    pub service: String,
    /// The kind of that service, in the word of rule files; empty if no check needs it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_kind: String,
    /// How strongly the document asks for it.
    pub level: String,
    /// Names or patterns, corrected where the document prints a wrong one, with the values of the site file.
    pub hosts: Vec<String>,
    /// Ports, corrected where the document prints wrong ones.
    pub ports: String,
    /// The document itself calls the wildcard too broad.
    pub broad: bool,
    /// Service tags of the row.
    pub service_tags: Vec<String>,
}

/// What became of every frame that was read.
///
/// The manifest has names beside the numbers. Stored facts have the numbers alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// Bytes read from the inputs, as stored.
    pub bytes: u64,
    /// Frames read.
    pub frames: u64,
    /// Of these: rejected by the capture filter.
    pub filtered: u64,
    /// Decoded to a packet.
    pub packets: u64,
    /// Duplicates of packets just before.
    pub duplicates: u64,
    /// Packets that the host itself dropped, by the reason that its event trace gives.
    pub host_drops: BTreeMap<String, u64>,
    /// Fragments other than the one that completed its datagram.
    pub fragments: u64,
    /// Not IP, by EtherType.
    pub not_ip: BTreeMap<u16, u64>,
    /// Of an unknown link type, by number.
    pub unknown_link: BTreeMap<u16, u64>,
    /// Recognised but not readable, by protocol: `MACsec`.
    pub unreadable: BTreeMap<String, u64>,
    /// Truncated or malformed, by layer and field: `ipv4: header length truncated`.
    pub damaged: BTreeMap<String, u64>,
    /// Before the window and its lead-in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before_window: u64,
    /// After the window, and further than its lead-in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after_window: u64,
    /// Flows that the packets belong to.
    pub flows: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// From this part of the frames on (a tenth), frames of another link type are damage of the capture.
const ANOTHER_LINK_SHARE: u64 = 10;

impl Accounting {
    /// Adds the account of further frames.
    pub fn add(&mut self, other: &Accounting) {
        let Accounting { bytes, frames, filtered, packets, duplicates, fragments, flows, .. } = other;
        let numbers = [
            (&mut self.before_window, &other.before_window),
            (&mut self.after_window, &other.after_window),
            (&mut self.bytes, bytes),
            (&mut self.frames, frames),
            (&mut self.filtered, filtered),
            (&mut self.packets, packets),
            (&mut self.duplicates, duplicates),
            (&mut self.fragments, fragments),
            (&mut self.flows, flows),
        ];
        for (number, more) in numbers {
            *number += more;
        }
        for (numbers, more) in
            [(&mut self.not_ip, &other.not_ip), (&mut self.unknown_link, &other.unknown_link)]
        {
            more.iter().for_each(|(key, count)| *numbers.entry(*key).or_default() += count);
        }
        let by_text = [
            (&mut self.host_drops, &other.host_drops),
            (&mut self.unreadable, &other.unreadable),
            (&mut self.damaged, &other.damaged),
        ];
        for (numbers, more) in by_text {
            more.iter().for_each(|(key, count)| *numbers.entry(key.clone()).or_default() += count);
        }
    }

    /// Frames that are accounted for. Equal to `frames` unless there is a bug.
    pub fn accounted(&self) -> u64 {
        let by_number = self.not_ip.values().chain(self.unknown_link.values());
        let by_text = self.unreadable.values().chain(self.damaged.values());
        by_number.chain(by_text).sum::<u64>()
            + self.filtered
            + self.packets
            + self.duplicates
            + self.host_drops.values().sum::<u64>()
            + self.fragments
            + self.before_window
            + self.after_window
    }

    /// Whether frames were read, and none of them could be decoded. Frames of known protocols other than IP, such as ARP, are
    /// decoded as far as they matter.
    pub fn is_undecodable(&self) -> bool {
        /// IEEE 802.2, which has a length in place of an EtherType.
        const LLC: u16 = 0;
        let is_known = |number: u16| number == LLC || crate::decode::ether_type_name(number).is_some();
        let known = self.not_ip.iter().filter(|(number, _)| is_known(**number));
        let known: u64 = known.map(|(_, count)| count).sum();
        let packets = self.packets + self.duplicates + self.host_drops.values().sum::<u64>();
        let understood = packets + self.fragments + known;
        self.frames > self.filtered + self.before_window + self.after_window && understood == 0
    }

    /// Why the capture, or a large part of it, could not be decoded; none where it could.
    pub fn undecoded_reason(&self) -> Option<String> {
        let total = count(self.frames, "frame");
        let of_another: Vec<(&str, u64)> = self
            .unreadable
            .iter()
            .filter(|(reason, _)| reason.starts_with(crate::decode::ANOTHER_LINK))
            .map(|(reason, frames)| (reason.as_str(), *frames))
            .collect();
        let frames: u64 = of_another.iter().map(|(_, frames)| frames).sum();
        if let Some((reason, _)) = of_another.iter().max_by_key(|(_, frames)| *frames)
            && (self.is_undecodable() || frames * ANOTHER_LINK_SHARE >= self.frames)
        {
            let looks = match reason.strip_prefix("another link type: ") {
                Some(link) => format!("they look like {link}"),
                None => "IP comes after other headers in them".to_owned(),
            };
            let advice = crate::decode::editcap_name(reason).map_or_else(
                || "look for the header that the capture device adds, and remove it (`editcap -C`)".to_owned(),
                |name| format!("if that is so, write a file with this type (`editcap -T {name} FILE NEW`) and audit it"),
            );
            let subject = if self.is_undecodable() {
                format!("none of the {total} could be decoded")
            } else {
                format!("{} of {total} could not be decoded", grouped(frames))
            };
            return Some(format!(
                "{subject}: the link type in the file seems to be wrong, {looks}; {advice}"
            ));
        }
        if !self.is_undecodable() {
            return None;
        }
        let mut unreadable: Vec<&str> = self.unreadable.keys().map(String::as_str).collect();
        if !unreadable.is_empty() && self.unreadable.values().sum::<u64>() * 2 > self.frames {
            unreadable.truncate(3);
            return Some(format!("none of the {total} could be decoded: {}", unreadable.join(", ")));
        }
        Some(format!(
            "none of the {total} could be decoded: the link type in the file may be wrong, as for raw IP packets in a file of link type \
             Ethernet"
        ))
    }
}

/// An account as the manifest prints it, numbers with their names: `0x0806 ARP`.
#[derive(Debug)]
pub(super) struct LabelledAccounting<'a>(pub(super) &'a Accounting);

impl Serialize for LabelledAccounting<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let accounting = self.0;
        #[derive(Serialize)]
        struct Labelled<'a> {
            bytes: u64,
            frames: u64,
            filtered: u64,
            packets: u64,
            duplicates: u64,
            host_drops: &'a BTreeMap<String, u64>,
            fragments: u64,
            not_ip: BTreeMap<String, u64>,
            unknown_link: BTreeMap<String, u64>,
            unreadable: &'a BTreeMap<String, u64>,
            damaged: &'a BTreeMap<String, u64>,
            #[serde(skip_serializing_if = "is_zero")]
            before_window: u64,
            #[serde(skip_serializing_if = "is_zero")]
            after_window: u64,
            flows: u64,
        }
        Labelled {
            bytes: accounting.bytes,
            frames: accounting.frames,
            filtered: accounting.filtered,
            packets: accounting.packets,
            duplicates: accounting.duplicates,
            host_drops: &accounting.host_drops,
            fragments: accounting.fragments,
            not_ip: accounting.not_ip.iter().map(|(number, count)| (ether_type(*number), *count)).collect(),
            unknown_link: accounting
                .unknown_link
                .iter()
                .map(|(number, count)| (link(*number), *count))
                .collect(),
            unreadable: &accounting.unreadable,
            damaged: &accounting.damaged,
            before_window: accounting.before_window,
            after_window: accounting.after_window,
            flows: accounting.flows,
        }
        .serialize(serializer)
    }
}

/// `0x0806 ARP`.
pub(super) fn ether_type(number: u16) -> String {
    registry::ether_type(number)
        .map_or_else(|| format!("0x{number:04x}"), |name| format!("0x{number:04x} {name}"))
}

/// `147 USER0`.
pub(super) fn link(number: u16) -> String {
    let name = link_type_name(LinkType(number));
    name.map_or_else(|| number.to_string(), |name| format!("{number} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_without_a_decoded_frame_is_undecodable() {
        let of = |packets, not_ip| {
            let frames = packets + 2;
            Accounting { frames, packets, not_ip: [(not_ip, 2)].into(), ..Accounting::default() }
                .is_undecodable()
        };
        assert!(of(0, 0x4500), "no such EtherType: the frames are not Ethernet");
        assert!(!of(0, 0x0806), "ARP");
        assert!(!of(0, 0), "spanning tree");
        assert!(!of(1, 0x4500));
        assert!(!Accounting::default().is_undecodable());
    }

    #[test]
    fn frames_that_could_not_be_decoded_have_a_reason() {
        let of = |packets, reason: &str, count| {
            let unreadable = [(reason.to_owned(), count)].into();
            Accounting { frames: packets + count, packets, unreadable, ..Accounting::default() }
                .undecoded_reason()
        };
        let reason = of(16, "another link type: Ethernet", 16).unwrap();
        assert!(reason.starts_with("16 of 32 frames could not be decoded: the link type"), "{reason}");
        assert!(reason.contains("`editcap -T ether FILE NEW`"), "{reason}");
        assert_eq!(of(100, "another link type: Ethernet", 2), None, "a few are a limit of the capture");
        assert_eq!(of(0, "macsec", 5).unwrap(), "none of the 5 frames could be decoded: macsec");
        assert_eq!(of(1, "macsec", 5), None);
    }

    #[test]
    fn numbers_are_printed_with_their_names() {
        let accounting = Accounting {
            frames: 12,
            packets: 5,
            filtered: 1,
            fragments: 1,
            not_ip: [(0x0806, 2), (0x4242, 1)].into(),
            unknown_link: [(147, 1)].into(),
            damaged: [("ipv4: header length truncated".into(), 1)].into(),
            ..Accounting::default()
        };
        assert_eq!(accounting.accounted(), accounting.frames);
        let json = serde_json::to_value(LabelledAccounting(&accounting)).unwrap();
        assert_eq!(json["not_ip"], serde_json::json!({"0x0806 ARP": 2, "0x4242": 1}));
        assert_eq!(json["unknown_link"], serde_json::json!({"147 USER0": 1}));
    }
}
