//! What a capture did not see may cost certainty and nothing else.
//!
//! Each capture is read whole, and again with frames lost: every nth, in bursts, one direction, the beginning or the end,
//! or all of them cut to a snap length. Then no name may be there that the whole capture does not have, and no flow and no
//! finding may be accused more surely than weakly where the whole capture does not accuse it as surely. A weak sign may
//! appear where what spoke against it was lost: a second leg, a later success. It must be rare.
//!
//! The captures are those of this repository, a generated one, and the corpus beside it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::Address;
use afs_audit::capture;
use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::decode;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::decode::Dedup;
use afs_audit::flow::At;
use afs_audit::flow::Endpoint;
use afs_audit::flow::FlowLimits;
use afs_audit::flow::FlowTable;
use afs_audit::judge::Assessment;
use afs_audit::judge::Confidence;
use afs_audit::judge::FindingCode;
use afs_audit::judge::InconclusiveReason;
use afs_audit::judge::Mechanism;
use afs_audit::read::Answer;
use afs_audit::read::AnswerData;
use afs_audit::read::Dispatcher;
use afs_audit::read::Fact;

use support::audit::audit_bytes;
use support::files::files_in;
use support::files::is_capture;
use support::files::map_parallel;
use support::files::own_captures;
use support::prerequisites::shared_folder;

/// Larger captures of the corpus are left out, so that the test stays quick.
const LARGEST: u64 = 200_000;

/// One captured record.
#[derive(Clone, Debug)]
struct Record {
    nanos: i64,
    link: u16,
    wire_len: u32,
    bytes: Vec<u8>,
}

/// The records of a capture, in order of time; empty where it cannot be read.
fn records(path: &Path) -> Vec<Record> {
    let plan = capture::InputPlan {
        inputs: vec![Input::Path(path.to_owned())],
        hash: capture::InputHash::None,
        ..capture::InputPlan::default()
    };
    let (mut records, mut chunk) = (Vec::new(), Chunk::default());
    let Ok(mut capture) = Capture::open(plan) else { return records };
    while capture.next(&mut chunk) {
        records.extend(chunk.frames().map(|frame| Record {
            nanos: frame.time.0,
            link: frame.link.0,
            wire_len: frame.wire_len,
            bytes: frame.bytes.to_vec(),
        }));
    }
    records
}

/// A pcapng block.
fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(len.to_le_bytes());
}

/// A capture of these records, with an interface for each link type and nanoseconds.
fn pcapng(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    block(
        &mut out,
        0x0a0d_0d0a,
        &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
    );
    let links: BTreeSet<u16> = records.iter().map(|record| record.link).collect();
    for link in &links {
        let [low, high] = link.to_le_bytes();
        // if_tsresol: 10^-9.
        block(&mut out, 1, &[low, high, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    }
    for record in records {
        let place = links.iter().position(|link| *link == record.link).unwrap() as u32;
        let nanos = record.nanos as u64;
        let mut body = Vec::new();
        for word in [place, (nanos >> 32) as u32, nanos as u32, record.bytes.len() as u32, record.wire_len] {
            body.extend(word.to_le_bytes());
        }
        body.extend(&record.bytes);
        block(&mut out, 6, &body);
    }
    out
}

/// A conversation, whoever opened it.
type Pair = (u8, [(Address, u16); 2]);

fn pair(protocol: u8, one: Endpoint, other: Endpoint) -> Pair {
    let mut ends = [one, other].map(|end| (end.address, end.port));
    ends.sort();
    (protocol, ends)
}

/// What a finding is about: its conversations, since their names may be lost; look-ups have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Flow(Pair),
    Subject(Option<Address>, String),
}

/// What a capture says.
#[derive(Debug, Default)]
struct Said {
    /// Flows in all.
    flows: usize,
    /// Conversations that look blocked, and how sure that is.
    blocked: BTreeMap<Pair, (Confidence, Mechanism)>,
    /// Attempts of a scan.
    scanned: BTreeSet<Pair>,
    /// Findings and how sure they are, by what they are about.
    findings: BTreeMap<(FindingCode, About), Option<Confidence>>,
    /// Names that were claimed, by conversation.
    claims: BTreeSet<(Pair, &'static str, String)>,
    /// Conversations of which bytes are missing.
    holed: BTreeSet<Pair>,
    /// Names that flows have by DNS, by their servers' addresses.
    dns_names: BTreeSet<(Address, String)>,
    /// All names that answers lead from to an address, by address.
    resolved: BTreeSet<(Address, String)>,
}

fn said(records: &[Record]) -> Said {
    let bytes = pcapng(records);
    let mut said = Said::default();
    let run = audit_bytes(bytes.clone());
    said.flows = run.flows.len();
    let mut pairs = BTreeMap::new();
    for row in &run.flows {
        let pair = pair(row.protocol, row.client, row.server);
        pairs.insert(row.flow_id, pair);
        if let Assessment::BlockedLooking { mechanism, confidence } = row.assessment {
            let accused = said.blocked.entry(pair).or_insert((confidence, mechanism));
            *accused = (*accused).max((confidence, mechanism));
        }
        if row.assessment.reason() == Some(InconclusiveReason::Scan) {
            said.scanned.insert(pair);
        }
        if let Some(name) = &row.dns_name {
            said.dns_names.insert((row.server.address, name.to_string()));
        }
    }
    for row in &run.result.judgement.findings {
        let mut about: Vec<About> = row.flows.iter().map(|flow| About::Flow(pairs[flow])).collect();
        if about.is_empty() {
            about.push(About::Subject(row.audited_host, row.target.clone()));
        }
        for about in about {
            let accused = said.findings.entry((row.code, about)).or_insert(row.confidence);
            *accused = (*accused).max(row.confidence);
        }
    }
    for row in &run.dns {
        let names = |answer: &Answer| match &answer.data {
            AnswerData::Address(_) => Some(answer.owner.to_string()),
            _ => None,
        };
        let owners: Vec<String> = row.resolution.answers.iter().filter_map(names).collect();
        for address in &row.resolved_addresses {
            said.resolved.insert((*address, row.resolution.query_name.to_string()));
            said.resolved.extend(owners.iter().map(|owner| (*address, owner.clone())));
        }
    }
    claims(bytes, &mut said);
    said
}

/// All names that the sides of conversations claim, not the strongest alone.
fn claims(bytes: Vec<u8>, said: &mut Said) {
    let mut capture =
        Capture::from_reader("claims", Box::new(std::io::Cursor::new(bytes)), capture::InputHash::None)
            .unwrap();
    let (mut decoder, mut table) =
        (Decoder::new(decode::FragmentLimits::default()), FlowTable::new(FlowLimits::default()));
    let (mut dispatcher, mut chunk, mut copies) = (Dispatcher::default(), Chunk::default(), Dedup::default());
    let mut at = At { order: 0, frame: Default::default(), time: Default::default() };
    while capture.next(&mut chunk) {
        for frame in chunk.frames() {
            at = At { order: at.order + 1, frame: frame.frame_ref, time: frame.time };
            if let Decoded::Packet(packet) = decoder.decode(&frame)
                && !copies.is_duplicate(&packet, frame.time)
            {
                table.accept(&packet, at, &mut dispatcher);
            }
        }
    }
    table.finish(at, &mut dispatcher);
    let mut pairs = BTreeMap::new();
    for observation in dispatcher.out {
        match observation.fact {
            Fact::FlowStarted(flow_start) => {
                pairs.insert(
                    observation.opened,
                    pair(flow_start.protocol, flow_start.client, flow_start.server),
                );
            }
            Fact::NameClaimed(claim) => {
                let pair = pairs[&observation.opened];
                said.claims.insert((pair, claim.source.as_str(), claim.name.to_string()));
            }
            Fact::FlowEnded(flow_end) => {
                let story = flow_end.tcp.iter().flat_map(|story| &story.sides);
                if story.map(|side| side.missing_bytes).sum::<u64>() > 0 {
                    said.holed.insert(pairs[&observation.opened]);
                }
            }
            _ => {}
        }
    }
}

/// What `less` says too much against `whole`, and how many flows it accuses weakly that the whole does not.
fn too_much(whole: &Said, less: &Said) -> (Vec<String>, usize) {
    let (mut wrong, mut weak) = (Vec::new(), 0);
    for (pair, (confidence, mechanism)) in &less.blocked {
        let before = whole.blocked.get(pair).map(|(confidence, _)| *confidence);
        if *confidence > before.unwrap_or(Confidence::Weak).max(Confidence::Weak) {
            wrong.push(format!("{pair:?}: {mechanism} is {confidence:?}, was {before:?}"));
        }
        // That an attempt failed is seen, whatever else is missing; that it is part of a scan is not.
        let failed =
            *mechanism == Mechanism::TcpUnanswered || mechanism.finding() == FindingCode::ConnectionRefused;
        weak += usize::from(before.is_none() && !(failed && whole.scanned.contains(pair)));
    }
    for (key, confidence) in &less.findings {
        let before = whole.findings.get(key).copied().flatten();
        if *confidence > before.max(Some(Confidence::Weak)) {
            wrong.push(format!("{key:?} is {confidence:?}, was {before:?}"));
        }
    }
    for claim in less.claims.difference(&whole.claims) {
        // Where even the whole lacks bytes, reading may begin elsewhere when more are missing, and see more.
        if !whole.holed.contains(&claim.0) {
            wrong.push(format!("{claim:?} is new"));
        }
    }
    for name in less.dns_names.difference(&whole.resolved) {
        wrong.push(format!("{name:?} is new"));
    }
    (wrong, weak)
}

/// Which way a frame goes: whether its innermost sender's address is the smaller one.
fn goes_up(record: &Record) -> Option<bool> {
    let frame = capture::Frame {
        frame_ref: Default::default(),
        time: Default::default(),
        link: capture::LinkType(record.link),
        wire_len: record.wire_len,
        bytes: &record.bytes,
    };
    match Decoder::new(decode::FragmentLimits::default()).decode(&frame) {
        Decoded::Packet(packet) => Some((packet.src, packet.src_port) < (packet.dst, packet.dst_port)),
        _ => None,
    }
}

/// Numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The ways in which a capture can see less.
fn losses(records: &[Record]) -> Vec<(String, Vec<Record>)> {
    let mut made = Vec::new();
    let keep = |test: &mut dyn FnMut(usize, &Record) -> bool| -> Vec<Record> {
        let kept = records.iter().enumerate().filter(|(number, record)| test(*number, record));
        kept.map(|(_, record)| record.clone()).collect()
    };
    for every in [2, 3, 5, 7, 11] {
        for offset in 0..every.min(4) {
            made.push((format!("one of {every} lost"), keep(&mut |number, _| number % every != offset)));
        }
    }
    for up in [true, false] {
        made.push(("one direction".to_owned(), keep(&mut |_, record| goes_up(record) != Some(up))));
    }
    let len = records.len();
    for tenths in [1, 3, 5, 7, 9] {
        let place = len * tenths / 10;
        made.push((format!("without the first {tenths} tenths"), keep(&mut |number, _| number >= place)));
        made.push((format!("the first {tenths} tenths"), keep(&mut |number, _| number < place)));
    }
    for seed in 0..6 {
        let mut dice = Dice(seed * 7919 + len as u64);
        let mut left = 0;
        let burst = keep(&mut |_, _| {
            if left == 0 && dice.next(20) == 0 {
                left = 1 + dice.next(8);
            }
            let lost = left > 0;
            left = left.saturating_sub(1);
            !lost
        });
        made.push((format!("bursts lost, {seed}"), burst));
    }
    for snap_len in [54, 68, 96, 160, 300, 600, 1300] {
        let cut = records.iter().map(|record| {
            let mut record = record.clone();
            record.bytes.truncate(snap_len);
            record
        });
        made.push((format!("cut to {snap_len}"), cut.collect()));
    }
    made
}

/// What became of one capture: what was said too much, the flows in all, and those accused weakly by a loss.
type Held = (Vec<String>, usize, usize);

/// Holds the ways against the whole.
fn hold(records: &[Record], which: impl Fn(usize) -> bool) -> Held {
    let whole = said(records);
    let mut held = Held::default();
    for (number, (name, less)) in losses(records).into_iter().enumerate() {
        if which(number) {
            let less = said(&less);
            let (wrong, weak) = too_much(&whole, &less);
            held.0.extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
            held.1 += less.flows;
            held.2 += weak;
        }
    }
    held
}

#[test]
fn captures_of_this_repository() {
    let mut captures = files_in(&own_captures());
    captures.retain(|path| is_capture(path));
    assert!(captures.len() > 70);
    report(&captures, |_| |_| true);
}

#[test]
fn a_generated_capture() {
    let Some(generator) = shared_folder("bench") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut captures = Vec::new();
    for seed in ["3", "4"] {
        let capture = folder.path().join(format!("mixed-{seed}.pcap"));
        let made = Command::new("python3")
            .arg(generator.join("gen_capture.py"))
            .args(["--shape", "mixed", "--flows", "150", "--duration", "60", "--seed", seed, "--out"])
            .arg(&capture)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        captures.push(capture);
    }
    report(&captures, |_| |_| true);
}

#[test]
fn captures_of_others() {
    let Some(folder) = shared_folder("captures") else { return };
    let mut captures = files_in(&folder);
    captures.retain(|path| is_capture(path) && std::fs::metadata(path).unwrap().len() <= LARGEST);
    let step: usize = std::env::var("ALL_LOSSES").map_or(5, |_| 1);
    // Of each capture another part of the ways: together they see all of them often.
    report(&captures, |place| move |number| (number + place) % step == 0);
}

fn report<F: Fn(usize) -> bool>(captures: &[PathBuf], which: impl Fn(usize) -> F + Sync) {
    let numbered: Vec<(usize, &PathBuf)> = captures.iter().enumerate().collect();
    let held = map_parallel(&numbered, |(place, path)| {
        let (wrong, flows, weak) = hold(&records(path), which(*place));
        let wrong: Vec<String> =
            wrong.into_iter().map(|what| format!("{}: {what}", path.display())).collect();
        (wrong, flows, weak)
    });
    let wrong: Vec<&str> = held.iter().flat_map(|(wrong, ..)| wrong).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} too much:\n{}", wrong.len(), wrong.join("\n"));
    let [flows, weak] =
        held.iter().fold([0, 0], |[flows, weak], (_, more, weaker)| [flows + more, weak + weaker]);
    eprintln!("{weak} of {flows} flows are accused weakly by a loss alone");
    assert!(weak * 1_000 <= flows, "{weak} of {flows} flows are accused weakly by a loss alone");
}
