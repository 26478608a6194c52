//! Compares what we find in a corpus of public captures with what other tools found there.
//!
//! Every difference is a row of `oracle-differences.tsv` with its reason: one that is not there fails, and so does a row
//! whose difference no longer occurs. Where the oracle calls a record disputed, either answer is right.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use afs_audit::base::Address;
use afs_audit::base::port;
use afs_audit::capture;
use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::decode;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::flow::At;
use afs_audit::flow::Endpoint;
use afs_audit::flow::FlowLimits;
use afs_audit::flow::FlowTable;
use afs_audit::judge::DnsRow;
use afs_audit::read::AnswerData;
use afs_audit::read::AttributeKey;
use afs_audit::read::AttributeValue;
use afs_audit::read::Dispatcher;
use afs_audit::read::Fact;
use afs_audit::read::NameSource;
use serde_json::Value as Json;

use support::audit::audit;
use support::files::map_parallel;
use support::names;
use support::prerequisites::shared_folder;

/// What is compared, and the least share of the oracle's records that must be found.
const KINDS: &[(&str, f64)] = &[
    ("tls", 0.995),
    ("quic", 0.99),
    ("gquic", 0.99),
    ("dtls", 0.99),
    ("dns", 0.995),
    ("connect", 0.99),
    ("socks", 0.99),
    ("http", 0.99),
    ("certificate", 0.99),
];

/// Those of them that carry a ClientHello.
const HELLOS: &[&str] = &["tls", "quic", "gquic", "dtls"];

/// The oracle keeps so many names of a certificate.
const CERTIFICATE_NAMES: usize = 40;

/// The largest share of names and DNS answers that nobody else saw.
const INVENTED: f64 = 0.001;

/// One kind of record in one file: what the oracle has, where it doubts itself, and what we have.
#[derive(Debug, Default)]
struct Sides {
    wanted: BTreeSet<String>,
    /// Found or not, it counts for nothing.
    disputed: BTreeSet<String>,
    found: BTreeSet<String>,
}

/// All kinds of one file.
type Compared = BTreeMap<&'static str, Sides>;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Difference {
    kind: String,
    file: String,
    /// `missed KEY` or `invented KEY`.
    what: String,
}

#[test]
fn what_others_found_is_found() {
    let Some(folder) = shared_folder("captures") else { return };
    let records = records(&folder);
    let files: Vec<&String> = records.keys().collect();
    let compared = map_parallel(&files, |file| compare(&folder.join(file), &records[*file]));

    let mut differences = Vec::new();
    let mut counts: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (file, kinds) in files.iter().zip(compared) {
        for (kind, sides) in kinds {
            let [wanted, missed, found, invented] = counts.entry(kind).or_default();
            let mut differ = |what: String| {
                differences.push(Difference { kind: kind.to_owned(), file: file.to_string(), what });
            };
            *wanted += sides.wanted.len();
            *found += sides.found.len();
            for key in sides.wanted.difference(&sides.found) {
                *missed += 1;
                differ(format!("missed {key}"));
            }
            let known: BTreeSet<String> = sides.wanted.union(&sides.disputed).cloned().collect();
            for key in sides.found.difference(&known) {
                *invented += 1;
                differ(format!("invented {key}"));
            }
        }
    }
    for (kind, [wanted, missed, found, invented]) in &counts {
        eprintln!(
            "{kind}: {wanted} wanted, {missed} missed; {found} found, {invented} that the oracle has not"
        );
    }
    agree(&differences);
    for (kind, least) in KINDS {
        let [wanted, missed, found, invented] = counts[kind];
        assert!((wanted - missed) as f64 >= least * wanted as f64, "{kind}: {missed} of {wanted} missed");
        let in_truth_there = differences.iter().filter(|difference| {
            difference.kind == *kind && difference.what.starts_with("invented") && !is_there(difference)
        });
        assert!(
            in_truth_there.count() as f64 <= INVENTED * found as f64,
            "{kind}: {invented} of {found} invented"
        );
    }
}

/// The rows of the file of differences: what differs, and why.
fn listed() -> BTreeMap<Difference, String> {
    let mut listed = BTreeMap::new();
    for line in include_str!("oracle-differences.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [kind, file, what, reason] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else {
            unreachable!("four columns: {line}");
        };
        assert!(!reason.is_empty(), "{line}: no reason");
        let difference = Difference { kind: kind.into(), file: file.into(), what: what.into() };
        assert!(listed.insert(difference, reason.to_owned()).is_none(), "{line}: twice");
    }
    listed
}

/// Listed as something that is in the capture and that the oracle does not have.
fn is_there(difference: &Difference) -> bool {
    listed().get(difference).is_some_and(|reason| reason.starts_with("is there: "))
}

fn agree(differences: &[Difference]) {
    let listed = listed();
    let mut wrong = String::new();
    for difference in differences.iter().filter(|difference| !listed.contains_key(difference)) {
        let Difference { kind, file, what } = difference;
        let _ = writeln!(wrong, "{kind}\t{file}\t{what}\t");
    }
    for (Difference { kind, file, what }, _) in
        listed.iter().filter(|(difference, _)| !differences.contains(difference))
    {
        let _ = writeln!(wrong, "does not differ any more: {kind}\t{file}\t{what}");
    }
    assert!(wrong.is_empty(), "not as oracle-differences.tsv says:\n{wrong}");
}

fn records(folder: &Path) -> BTreeMap<String, Vec<Json>> {
    let mut records: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("oracle.jsonl")).unwrap().lines() {
        let record: Json = serde_json::from_str(line).unwrap();
        records.entry(text(&record["file"])).or_default().push(record);
    }
    records
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ends(record: &Json) -> String {
    let ip = |ip: &str| match text(&record[ip]).parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => text(&record[ip]),
    };
    let end = |address: &str, port: &str| format!("{} {}", ip(address), record[port]);
    format!("{} > {}", end("src_ip", "src_port"), end("dst_ip", "dst_port"))
}

fn our_ends(client: Endpoint, server: Endpoint) -> String {
    format!("{} {} > {} {}", client.address, client.port, server.address, server.port)
}

fn compare(path: &Path, records: &[Json]) -> Compared {
    let mut kinds = Compared::new();
    let needs_claims = wanted(records, &mut kinds);
    // A capture that cannot be opened has nothing in it; the oracle says what is missed.
    let Ok(run) = audit(&[path.to_owned()]) else { return kinds };
    for row in &run.flows {
        if let Some(sni) = &row.sni {
            let key = format!("{} {}", our_ends(row.client, row.server), names::unescape(sni));
            // What the name came in is the oracle's to say: versions of QUIC have several names.
            let has = |kind: &&&str| {
                kinds
                    .get(**kind)
                    .is_some_and(|sides| sides.wanted.contains(&key) || sides.disputed.contains(&key))
            };
            let kind = HELLOS.iter().find(has).unwrap_or(&"tls");
            kinds.entry(kind).or_default().found.insert(key);
        }
    }
    for row in run.dns.iter().filter(|row| row.resolution.rcode.is_some() && !row.resolution.multicast) {
        let sides = kinds.entry("dns").or_default();
        let key = dns_key(row);
        // A frame that the oracle is not sure of is neutral whatever we read in it.
        let frame = format!("{} ", row.frame.number);
        if sides.disputed.contains(&frame) {
            sides.disputed.insert(key.clone());
        }
        sides.found.insert(key);
    }
    if needs_claims {
        claimed(path, &mut kinds);
    }
    kinds
}

/// Sorts the oracle's records by kind; true where there are some that the rows do not show.
fn wanted(records: &[Json], kinds: &mut Compared) -> bool {
    let mut needs_claims = false;
    for record in records {
        let disputed = record.get("dispute").is_some() || record["seen_by"] == "same-datagram";
        let mut want = |kind: &'static str, key: String, disputed: bool| {
            let sides = kinds.entry(kind).or_default();
            if disputed { &mut sides.disputed } else { &mut sides.wanted }.insert(key);
        };
        match record["type"].as_str().unwrap() {
            "client_hello" => {
                let proto = record["proto"].as_str().unwrap();
                let kind = KINDS.iter().find(|(kind, _)| *kind == proto).unwrap().0;
                for name in record["snis"].as_array().unwrap() {
                    let name = names::from_tshark(&text(name));
                    if !name.is_empty() {
                        want(kind, format!("{} {name}", ends(record)), disputed);
                    }
                }
            }
            "dns" if record["response"] == true => {
                let disputed = disputed || record["app"] != "dns";
                want(
                    "dns",
                    if disputed { format!("{} ", record["frame"]) } else { oracle_dns_key(record) },
                    disputed,
                );
            }
            "connect" => {
                needs_claims = true;
                let target = text(&record["target"]);
                let (name, port) = target.rsplit_once(':').unwrap_or((&target, ""));
                want("connect", format!("{} {}:{port}", ends(record), names::from_tshark(name)), disputed);
            }
            "socks" => {
                needs_claims = true;
                want(
                    "socks",
                    format!("{} {}", record["frame"], names::from_tshark(&text(&record["target"]))),
                    disputed,
                );
            }
            // The target of a CONNECT is its own kind of record.
            "http" if record["method"] != "CONNECT" => {
                needs_claims = true;
                let host = host_of(&text(&record["host"]));
                if !host.is_empty() {
                    want("http", format!("{} {host}", ends(record)), disputed);
                }
            }
            "certificate" => {
                needs_claims = true;
                let names = record["dns_names"].as_array().unwrap();
                let names: Vec<String> = names
                    .iter()
                    .take(CERTIFICATE_NAMES)
                    .map(|name| names::from_tshark(&text(name)))
                    .collect();
                if !names.is_empty() {
                    want("certificate", format!("{} {}", ends(record), names.join(" ")), disputed);
                }
            }
            _ => {}
        }
    }
    needs_claims
}

fn host_of(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    names::from_tshark(name.trim_matches(['[', ']']))
}

fn oracle_dns_key(record: &Json) -> String {
    let mut addresses: Vec<String> = record["answers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|answer| answer["type"] == 1 || answer["type"] == 28)
        .map(|answer| text(&answer["data"]))
        // An update that takes records away names their type and no address.
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort();
    let name = names::from_tshark(&text(&record["qname"]));
    key_of(record["frame"].as_u64().unwrap(), &name, record["rcode"].as_u64().unwrap(), &addresses)
}

fn dns_key(row: &DnsRow) -> String {
    let mut addresses: Vec<String> = row
        .resolution
        .answers
        .iter()
        .filter_map(|answer| match answer.data {
            AnswerData::Address(address) => Some(Address::to_string(&address)),
            _ => None,
        })
        .collect();
    addresses.sort();
    let name = names::unescape(row.resolution.query_name.trim_end_matches('.'));
    key_of(row.frame.number, &name, row.resolution.rcode.unwrap().into(), &addresses)
}

/// The oracle knows only the four bits of the header; EDNS adds the upper ones.
fn key_of(frame: u64, name: &str, rcode: u64, addresses: &[String]) -> String {
    format!("{frame} {name} {} {}", rcode & 0xf, addresses.join(" "))
}

/// What sides said of names, before the strongest was chosen.
fn claimed(path: &Path, kinds: &mut Compared) {
    let plan = capture::InputPlan {
        inputs: vec![Input::Path(path.to_owned())],
        hash: capture::InputHash::None,
        ..capture::InputPlan::default()
    };
    let mut capture = Capture::open(plan).unwrap();
    let (mut decoder, mut table) =
        (Decoder::new(decode::FragmentLimits::default()), FlowTable::new(FlowLimits::default()));
    let (mut dispatcher, mut chunk, mut order) = (Dispatcher::default(), Chunk::default(), 0);
    let mut last = None;
    let mut packets: BTreeMap<u64, [(Address, u16); 2]> = BTreeMap::new();
    while capture.next(&mut chunk) {
        for frame in chunk.frames() {
            order += 1;
            let at = At { order, frame: frame.frame_ref, time: frame.time };
            last = Some(at);
            if let Decoded::Packet(packet) = decoder.decode(&frame) {
                packets.insert(
                    frame.frame_ref.number,
                    [(packet.src, packet.src_port), (packet.dst, packet.dst_port)],
                );
                table.accept(&packet, at, &mut dispatcher);
            }
        }
    }
    if let Some(at) = last {
        table.finish(at, &mut dispatcher);
    }
    let mut ends = BTreeMap::new();
    for observation in dispatcher.out {
        let mut find = |kind: &'static str, key: String| kinds.entry(kind).or_default().found.insert(key);
        match observation.fact {
            Fact::FlowStarted(flow_start) => {
                ends.insert(observation.opened, (flow_start.client, flow_start.server));
            }
            Fact::RolesSwapped => {
                let (client, server) = ends[&observation.opened];
                ends.insert(observation.opened, (server, client));
            }
            Fact::NameClaimed(claim) => {
                let (client, server) = ends[&observation.opened];
                let name = names::unescape(&claim.name);
                let ends = our_ends(client, server);
                match claim.source {
                    NameSource::Connect => {
                        let port = claim.port.map(|port| port.to_string()).unwrap_or_default();
                        find("connect", format!("{ends} {name}:{port}"));
                        find("socks", format!("{} {name}", observation.at.frame.number));
                    }
                    NameSource::HttpHost => {
                        find("http", format!("{ends} {name}"));
                    }
                    _ => {}
                }
            }
            Fact::Attributes(profile) => {
                for (key, value) in profile.iter() {
                    let (AttributeKey::CertificateNames, AttributeValue::List(names)) = (key, value) else {
                        continue;
                    };
                    let (client, server) = ends[&observation.opened];
                    let names: Vec<String> =
                        names.iter().take(CERTIFICATE_NAMES).map(|name| names::unescape(name)).collect();
                    find("certificate", format!("{} {}", our_ends(server, client), names.join(" ")));
                }
            }
            _ => {}
        }
    }
    only_requests(kinds.entry("socks").or_default(), &packets);
    // The oracle has these only in part; what it lacks is not invented.
    for kind in ["connect", "socks", "http", "certificate"] {
        let sides = kinds.entry(kind).or_default();
        let found = sides.found.clone();
        sides.disputed.extend(found);
    }
}

/// The oracle has a SOCKS target for every frame of the conversation: for replies the address in them, and for SOCKS 4a the
/// address 0.0.0.1 that stands for the name behind it. The target is what the first frame towards the proxy says.
fn only_requests(socks: &mut Sides, packets: &BTreeMap<u64, [(Address, u16); 2]>) {
    let frame = |key: &str| key.split(' ').next().unwrap().parse::<u64>().unwrap();
    let mut wanted: Vec<String> = socks.wanted.iter().cloned().collect();
    wanted.sort_by_key(|key| frame(key));
    let mut seen = BTreeSet::new();
    for key in wanted {
        let [from, to] = packets[&frame(&key)];
        let again = seen.contains(&[from, to]) || seen.contains(&[to, from]);
        if again || from.1 == port::SOCKS || key.contains(" 0.0.0.") {
            socks.wanted.remove(&key);
            socks.disputed.insert(key);
        }
        seen.insert([from, to]);
    }
}
