//! Compares the names and DNS responses found in a corpus of public captures with those that other tools found.
//!
//! Every difference is a row of `oracle-differences.tsv` with its reason. A difference without a row fails the test, and so
//! does a row whose difference no longer occurs. A record that the oracle calls disputed may be found or not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use afs_audit::base::Address;
use afs_audit::base::port;
use afs_audit::flow::Endpoint;
use afs_audit::judge::DnsRow;
use afs_audit::read::AnswerData;
use afs_audit::read::AttributeKey;
use afs_audit::read::AttributeValue;
use afs_audit::read::Fact;
use afs_audit::read::NameSource;
use serde_json::Value as Json;

use support::audit::audit;
use support::files::map_parallel;
use support::names;
use support::observe::observe;
use support::observe::open;
use support::prerequisites::shared_folder;

/// The kinds of records, and the least share of the oracle's records that must be found.
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

/// The kinds with a ClientHello.
const HELLOS: &[&str] = &["tls", "quic", "gquic", "dtls"];

/// Names of a certificate that the oracle keeps.
const CERTIFICATE_NAMES: usize = 40;

/// Largest share of names and DNS responses that no other tool found.
const INVENTED_LIMIT: f64 = 0.001;

/// Records of one kind in one file, of the oracle and ours.
#[derive(Debug, Default)]
struct Sides {
    wanted: BTreeSet<String>,
    /// Neither missed nor invented, whether found or not.
    disputed: BTreeSet<String>,
    found: BTreeSet<String>,
}

/// The records of one file, by kind.
type FileRecords = BTreeMap<&'static str, Sides>;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Difference {
    kind: String,
    file: String,
    /// `missed KEY` or `invented KEY`.
    what: String,
}

#[test]
fn records_of_other_tools_are_found() {
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
            "{kind}: {wanted} wanted, {missed} missed; {found} found, {invented} unknown to the oracle"
        );
    }
    agree(&differences);
    for (kind, least) in KINDS {
        let [wanted, missed, found, invented] = counts[kind];
        assert!((wanted - missed) as f64 >= least * wanted as f64, "{kind}: {missed} of {wanted} missed");
        let false_records = differences.iter().filter(|difference| {
            difference.kind == *kind && difference.what.starts_with("invented") && !is_present(difference)
        });
        assert!(
            false_records.count() as f64 <= INVENTED_LIMIT * found as f64,
            "{kind}: {invented} of {found} invented"
        );
    }
}

/// The known differences and their reasons.
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

/// Whether a record is listed as present in the capture, although the oracle does not have it.
fn is_present(difference: &Difference) -> bool {
    listed().get(difference).is_some_and(|reason| reason.starts_with("present: "))
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
        let _ = writeln!(wrong, "no longer differs: {kind}\t{file}\t{what}");
    }
    assert!(wrong.is_empty(), "other than in oracle-differences.tsv:\n{wrong}");
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

fn compare(path: &Path, records: &[Json]) -> FileRecords {
    let mut kinds = FileRecords::new();
    let needs_claims = wanted(records, &mut kinds);
    // A capture that cannot be opened has no records; those of the oracle are missed.
    let Ok(run) = audit(&[path.to_owned()]) else { return kinds };
    for row in &run.flows {
        if let Some(sni) = &row.sni {
            let key = format!("{} {}", our_ends(row.client, row.server), names::unescape(sni));
            // The oracle decides the kind, because versions of QUIC have several names.
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
        // A disputed frame is neutral, whatever is read in it.
        let frame = format!("{} ", row.frame.number);
        if sides.disputed.contains(&frame) {
            sides.disputed.insert(key.clone());
        }
        sides.found.insert(key);
    }
    if needs_claims {
        add_claims(path, &mut kinds);
    }
    kinds
}

/// Sorts the oracle's records by kind. True if some of them are not visible in rows.
fn wanted(records: &[Json], kinds: &mut FileRecords) -> bool {
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
            // The target of a CONNECT is a record of its own kind.
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
        // An update that deletes records has their type and no address.
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

/// The oracle has the four bits of the header only; EDNS adds the upper bits.
fn key_of(frame: u64, name: &str, rcode: u64, addresses: &[String]) -> String {
    format!("{frame} {name} {} {}", rcode & 0xf, addresses.join(" "))
}

/// Adds all names that either side claims, not only the strongest.
fn add_claims(path: &Path, kinds: &mut FileRecords) {
    let observed = observe(open(path).unwrap(), false);
    let mut ends = BTreeMap::new();
    for observation in observed.observations {
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
    keep_requests(kinds.entry("socks").or_default(), &observed.packets);
    // The oracle has only a part of these; what it lacks is not invented.
    for kind in ["connect", "socks", "http", "certificate"] {
        let sides = kinds.entry(kind).or_default();
        let found = sides.found.clone();
        sides.disputed.extend(found);
    }
}

/// Keeps the SOCKS requests: the first frame of each conversation to the proxy. The oracle has a target for every frame: for
/// replies the address in them, for SOCKS 4a the address 0.0.0.1 that precedes the name.
fn keep_requests(socks: &mut Sides, packets: &BTreeMap<u64, [(Address, u16); 2]>) {
    let frame = |key: &str| key.split(' ').next().unwrap().parse::<u64>().unwrap();
    let mut wanted: Vec<String> = socks.wanted.iter().cloned().collect();
    wanted.sort_by_key(|key| frame(key));
    let mut seen = BTreeSet::new();
    for key in wanted {
        let [from, to] = packets[&frame(&key)];
        let is_later = seen.contains(&[from, to]) || seen.contains(&[to, from]);
        if is_later || from.1 == port::SOCKS || key.contains(" 0.0.0.") {
            socks.wanted.remove(&key);
            socks.disputed.insert(key);
        }
        seen.insert([from, to]);
    }
}
