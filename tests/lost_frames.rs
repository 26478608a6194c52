//! Missing frames may only cost certainty.
//!
//! Each capture is audited whole, and again with frames missing: every nth, in bursts, one direction, the beginning or the
//! end, or with all frames cut to a snap length. Then no name may appear that the whole capture does not have, and no flow
//! and no finding may have a confidence above `weak` that the whole capture does not give it. A weak finding may appear if
//! the evidence against it is missing, such as the second step of authentication or a later success. That must be rare.
//!
//! The captures are those of this repository, generated ones, and the corpus of public captures.

#![expect(clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::Address;
use afs_audit::capture;
use afs_audit::decode;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::flow::Endpoint;
use afs_audit::judge::Assessment;
use afs_audit::judge::Confidence;
use afs_audit::judge::FindingCode;
use afs_audit::judge::InconclusiveReason;
use afs_audit::judge::Mechanism;
use afs_audit::read::Answer;
use afs_audit::read::AnswerData;
use afs_audit::read::Fact;

use support::audit::audit_bytes;
use support::capture_writer::FixedRandom;
use support::capture_writer::Record;
use support::capture_writer::pcapng;
use support::capture_writer::records;
use support::files::files_in;
use support::files::is_capture;
use support::files::map_parallel;
use support::files::own_captures;
use support::observe::observe;
use support::observe::open_bytes;
use support::prerequisites::shared_folder;

/// Largest capture of the corpus that is used, in bytes: the test has to stay quick.
const SIZE_LIMIT: u64 = 200_000;

/// Protocol and endpoints of a conversation, in either direction.
type Pair = (u8, [(Address, u16); 2]);

fn pair(protocol: u8, one: Endpoint, other: Endpoint) -> Pair {
    let mut ends = [one, other].map(|end| (end.address, end.port));
    ends.sort();
    (protocol, ends)
}

/// What a finding is about: its conversations, because their names may be missing; a DNS finding has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Flow(Pair),
    Target(Option<Address>, String),
}

/// The results for a capture.
#[derive(Debug, Default)]
struct Results {
    /// Number of flows.
    flows: usize,
    /// Conversations that look blocked, with confidence and mechanism.
    blocked: BTreeMap<Pair, (Confidence, Mechanism)>,
    /// Conversations that belong to a scan.
    scanned: BTreeSet<Pair>,
    /// Confidence of each finding, by code and what it is about.
    findings: BTreeMap<(FindingCode, About), Option<Confidence>>,
    /// Names that either side claimed, with their source, by conversation.
    claims: BTreeSet<(Pair, &'static str, String)>,
    /// Conversations with missing bytes.
    incomplete: BTreeSet<Pair>,
    /// DNS names of flows, by server address.
    dns_names: BTreeSet<(Address, String)>,
    /// Names that DNS responses resolve, by address.
    resolved: BTreeSet<(Address, String)>,
}

fn audit_records(records: &[Record]) -> Results {
    let bytes = pcapng(records);
    let mut results = Results::default();
    let run = audit_bytes(bytes.clone());
    results.flows = run.flows.len();
    let mut pairs = BTreeMap::new();
    for row in &run.flows {
        let pair = pair(row.protocol, row.client, row.server);
        pairs.insert(row.flow_id, pair);
        if let Assessment::BlockedLooking { mechanism, confidence } = row.assessment {
            let reported = results.blocked.entry(pair).or_insert((confidence, mechanism));
            *reported = (*reported).max((confidence, mechanism));
        }
        if row.assessment.reason() == Some(InconclusiveReason::Scan) {
            results.scanned.insert(pair);
        }
        if let Some(name) = &row.dns_name {
            results.dns_names.insert((row.server.address, name.to_string()));
        }
    }
    for row in &run.result.judgement.findings {
        let mut about: Vec<About> = row.flows.iter().map(|flow| About::Flow(pairs[flow])).collect();
        if about.is_empty() {
            about.push(About::Target(row.audited_host, row.target.clone()));
        }
        for about in about {
            let reported = results.findings.entry((row.code, about)).or_insert(row.confidence);
            *reported = (*reported).max(row.confidence);
        }
    }
    for row in &run.dns {
        let names = |answer: &Answer| match &answer.data {
            AnswerData::Address(_) => Some(answer.owner.to_string()),
            _ => None,
        };
        let owners: Vec<String> = row.resolution.answers.iter().filter_map(names).collect();
        for address in &row.resolved_addresses {
            results.resolved.insert((*address, row.resolution.query_name.to_string()));
            results.resolved.extend(owners.iter().map(|owner| (*address, owner.clone())));
        }
    }
    add_claims(bytes, &mut results);
    results
}

/// Adds all names that either side claims, not only the strongest.
fn add_claims(bytes: Vec<u8>, results: &mut Results) {
    let mut pairs = BTreeMap::new();
    for observation in observe(open_bytes(bytes), true).observations {
        match observation.fact {
            Fact::FlowStarted(flow_start) => {
                pairs.insert(
                    observation.opened,
                    pair(flow_start.protocol, flow_start.client, flow_start.server),
                );
            }
            Fact::NameClaimed(claim) => {
                let pair = pairs[&observation.opened];
                results.claims.insert((pair, claim.source.as_str(), claim.name.to_string()));
            }
            Fact::FlowEnded(flow_end) => {
                let sides = flow_end.tcp.iter().flat_map(|tcp| &tcp.sides);
                if sides.map(|side| side.missing_bytes).sum::<u64>() > 0 {
                    results.incomplete.insert(pairs[&observation.opened]);
                }
            }
            _ => {}
        }
    }
}

/// What `less` reports and `whole` does not, and the number of flows that look blocked weakly only in `less`.
fn unsupported(whole: &Results, less: &Results) -> (Vec<String>, usize) {
    let (mut wrong, mut weak) = (Vec::new(), 0);
    for (pair, (confidence, mechanism)) in &less.blocked {
        let before = whole.blocked.get(pair).map(|(confidence, _)| *confidence);
        if *confidence > before.unwrap_or(Confidence::Weak).max(Confidence::Weak) {
            wrong.push(format!("{pair:?}: {mechanism} is {confidence:?}, was {before:?}"));
        }
        // A failed attempt is visible whatever is missing; that it belongs to a scan is not.
        let failed =
            *mechanism == Mechanism::TcpUnanswered || mechanism.finding() == FindingCode::ConnectionRefused;
        weak += usize::from(before.is_none() && !(failed && whole.scanned.contains(pair)));
    }
    for (key, confidence) in &less.findings {
        let before = whole.findings.get(key).copied().flatten();
        // A block that is seen in less detail may have another mechanism: the status of a page whose text is cut off.
        let is_block = Mechanism::ALL.iter().any(|mechanism| mechanism.finding() == key.0);
        let of_flow = match &key.1 {
            About::Flow(pair) if is_block => whole.blocked.get(pair),
            About::Flow(_) | About::Target(..) => None,
        };
        let before = before.max(of_flow.map(|(confidence, _)| *confidence));
        if *confidence > before.max(Some(Confidence::Weak)) {
            wrong.push(format!("{key:?} is {confidence:?}, was {before:?}"));
        }
    }
    for claim in less.claims.difference(&whole.claims) {
        // If the whole capture lacks bytes too, parsing may resume at another place and find more.
        if !whole.incomplete.contains(&claim.0) {
            wrong.push(format!("{claim:?} is new"));
        }
    }
    for name in less.dns_names.difference(&whole.resolved) {
        wrong.push(format!("{name:?} is new"));
    }
    (wrong, weak)
}

/// The direction of a frame: whether the source of the innermost packet is the smaller endpoint.
fn is_from_lower(record: &Record) -> Option<bool> {
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

/// The record lists that a capture with missing frames could have, with their names.
fn reduced(records: &[Record]) -> Vec<(String, Vec<Record>)> {
    let mut lists = Vec::new();
    let keep = |test: &mut dyn FnMut(usize, &Record) -> bool| -> Vec<Record> {
        let kept = records.iter().enumerate().filter(|(number, record)| test(*number, record));
        kept.map(|(_, record)| record.clone()).collect()
    };
    for every in [2, 3, 5, 7, 11] {
        for offset in 0..every.min(4) {
            lists.push((format!("one of {every} missing"), keep(&mut |number, _| number % every != offset)));
        }
    }
    for up in [true, false] {
        lists.push(("one direction".to_owned(), keep(&mut |_, record| is_from_lower(record) != Some(up))));
    }
    let len = records.len();
    for tenths in [1, 3, 5, 7, 9] {
        let split = len * tenths / 10;
        lists.push((format!("without the first {tenths} tenths"), keep(&mut |number, _| number >= split)));
        lists.push((format!("the first {tenths} tenths"), keep(&mut |number, _| number < split)));
    }
    for seed in 0..6 {
        let mut random = FixedRandom(seed * 7919 + len as u64);
        let mut left = 0;
        let burst = keep(&mut |_, _| {
            if left == 0 && random.below(20) == 0 {
                left = 1 + random.below(8);
            }
            let is_missing = left > 0;
            left = left.saturating_sub(1);
            !is_missing
        });
        lists.push((format!("bursts missing, {seed}"), burst));
    }
    for snap_len in [54, 68, 96, 160, 300, 600, 1300] {
        let cut = records.iter().map(|record| {
            let mut record = record.clone();
            record.bytes.truncate(snap_len);
            record
        });
        lists.push((format!("cut to {snap_len}"), cut.collect()));
    }
    lists
}

/// The comparison of one capture: unsupported results, number of flows, and flows that look blocked weakly only with frames missing.
type Comparison = (Vec<String>, usize, usize);

/// Compares the chosen reduced captures with the whole one.
fn compare(records: &[Record], is_chosen: impl Fn(usize) -> bool) -> Comparison {
    let whole = audit_records(records);
    let mut comparison = Comparison::default();
    for (number, (name, less)) in reduced(records).into_iter().enumerate() {
        if is_chosen(number) {
            let less = audit_records(&less);
            let (wrong, weak) = unsupported(&whole, &less);
            comparison.0.extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
            comparison.1 += less.flows;
            comparison.2 += weak;
        }
    }
    comparison
}

#[test]
fn own_captures_lose_only_certainty() {
    let mut captures = files_in(&own_captures());
    captures.retain(|path| is_capture(path));
    assert!(captures.len() > 70);
    assert_only_certainty_is_lost(&captures, |_| |_| true);
}

#[test]
fn generated_captures_lose_only_certainty() {
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
    assert_only_certainty_is_lost(&captures, |_| |_| true);
}

#[test]
fn public_captures_lose_only_certainty() {
    let Some(folder) = shared_folder("captures") else { return };
    let mut captures = files_in(&folder);
    captures.retain(|path| is_capture(path) && std::fs::metadata(path).unwrap().len() <= SIZE_LIMIT);
    let step: usize = std::env::var("ALL_LOSSES").map_or(5, |_| 1);
    // Each capture with another part of the reductions: together, all of them occur often.
    assert_only_certainty_is_lost(&captures, |capture| move |number| (number + capture) % step == 0);
}

fn assert_only_certainty_is_lost<F: Fn(usize) -> bool>(
    captures: &[PathBuf],
    chosen: impl Fn(usize) -> F + Sync,
) {
    let numbered: Vec<(usize, &PathBuf)> = captures.iter().enumerate().collect();
    let comparisons = map_parallel(&numbered, |(number, path)| {
        let (wrong, flows, weak) = compare(&records(path), chosen(*number));
        let wrong: Vec<String> =
            wrong.into_iter().map(|what| format!("{}: {what}", path.display())).collect();
        (wrong, flows, weak)
    });
    let wrong: Vec<&str> = comparisons.iter().flat_map(|(wrong, ..)| wrong).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} unsupported results:\n{}", wrong.len(), wrong.join("\n"));
    let [flows, weak] =
        comparisons.iter().fold([0, 0], |[flows, weak], (_, more, weaker)| [flows + more, weak + weaker]);
    eprintln!("{weak} of {flows} flows look blocked weakly only because frames are missing");
    assert!(
        weak * 1_000 <= flows,
        "{weak} of {flows} flows look blocked weakly only because frames are missing"
    );
}
