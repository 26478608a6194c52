//! The cost of judging: compared with extraction, by number of rules, and by size of a service tag file.
//!
//! ```text
//! cargo bench --bench judge            100,000 flows
//! cargo bench --bench judge -- FILE…   your own captures
//! ```
//!
//! Extraction (capture, decode, flow, read) and judging alternate on one thread, chunk by chunk, so that both run under the
//! same load. Judging uses all documents of all products, a site file and real service tags.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use afs_audit::base::Address;
use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::capture::InputHash;
use afs_audit::capture::InputPlan;
use afs_audit::decode;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::flow;
use afs_audit::flow::At;
use afs_audit::flow::FlowTable;
use afs_audit::judge::DnsRow;
use afs_audit::judge::Engine;
use afs_audit::judge::FlowRow;
use afs_audit::judge::Policy;
use afs_audit::judge::RowSink;
use afs_audit::judge::Scope;
use afs_audit::read::Dispatcher;
use afs_audit::rules::Library;
use afs_audit::rules::Selection;
use afs_audit::rules::Site;
use afs_audit::rules::Tags;

/// The allocator of the program.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each measurement, of which the median counts.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").map(PathBuf::from).collect();
    names();
    tags();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let captures = if arguments.is_empty() { vec![folder.join("flows.pcap")] } else { arguments };
    for capture in captures {
        if capture.exists() {
            shares(&capture);
        } else {
            eprintln!("NOT RUN: {} is not there; `cargo bench --bench audit` makes it", capture.display());
        }
    }
}

/// A name lookup among a hundred, a thousand and ten thousand rows.
fn names() {
    println!("name looked up among so many rows, half of them found:");
    for rows in [100, 1_000, 10_000] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("many.toml"), document(rows)).unwrap();
        let library = Library::from_dir(folder.path()).unwrap();
        let rules = library.select(&Selection::default()).unwrap();
        let names: Vec<String> = (0..20_000)
            .map(|number| {
                let row = number * 7919 % rows;
                match number % 4 {
                    0 => format!("host{row}.example"),
                    1 => format!("x{number}.wild{row}.example"),
                    2 => format!("x{number}.unknown{row}.example"),
                    _ => format!("vendor{number}.other.test"),
                }
            })
            .collect();
        let nanos = median(|| {
            let begun = Instant::now();
            for name in &names {
                black_box(rules.match_host(black_box(name)));
            }
            begun.elapsed().as_nanos() as f64 / names.len() as f64
        });
        println!("  {rows:>6} rows  {nanos:>6.0} ns");
    }
}

/// A document with this many rows, half of them wildcards.
fn document(rows: usize) -> String {
    let mut text = String::from(
        "[document]\nid = \"many@2026-01-01\"\nshort = \"many\"\ntitle = \"Many rows\"\ndate = 2026-01-01\n\
         products = [\"azure-file-sync\"]\nsource = \"made for a bench\"\nlooked = 2026-01-01\n\n\
         [[table]]\nid = \"endpoints\"\ntitle = \"Endpoints\"\nkind = \"endpoint\"\nsection = \"All\"\n\
         printed = \"| Row |\"\nneed = \"required\"\nports = \"443\"\n",
    );
    for row in 0..rows {
        let host = if row % 2 == 0 { format!("host{row}.example") } else { format!("*.wild{row}.example") };
        write!(
            text,
            "\n[[table.row]]\nnumber = {}\nprinted = \"| {host} |\"\npublic = [\"{host}\"]\n",
            row + 1
        )
        .unwrap();
    }
    text
}

/// Loading a real service tag file, and address lookups in it.
fn tags() {
    println!("service tags:");
    let Some(file) = tag_file() else {
        eprintln!("NOT RUN: no file of service tags beside the project");
        return;
    };
    let bytes = std::fs::read(&file).unwrap();
    let load = median(|| {
        let begun = Instant::now();
        black_box(Tags::parse("tags.json", black_box(&bytes)).unwrap());
        begun.elapsed().as_secs_f64() * 1e3
    });
    let tags = Tags::parse("tags.json", &bytes).unwrap();
    let prefixes: usize = bytes.windows(1).filter(|byte| *byte == b"/").count();
    let addresses: Vec<Address> = (0..100_000u32)
        .map(|number| Address::from(IpAddr::V4(number.wrapping_mul(2_654_435_761).into())))
        .collect();
    let ask = median(|| {
        let begun = Instant::now();
        for address in &addresses {
            black_box(tags.lookup(black_box(*address)));
        }
        begun.elapsed().as_nanos() as f64 / addresses.len() as f64
    });
    println!("  about {prefixes} prefixes loaded in {load:.0} ms; {ask:.0} ns a look-up");
}

fn tag_file() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/service-tags");
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.filter(|file| file.to_string_lossy().contains("_Public_")).max()
}

#[derive(Default)]
struct Rows(u64);

impl RowSink for Rows {
    fn flow(&mut self, row: FlowRow) {
        self.0 += black_box(row).packets.iter().sum::<u64>();
    }

    fn dns(&mut self, row: DnsRow) {
        black_box(row);
    }
}

/// Times of extraction and judging for one capture.
fn shares(capture: &Path) {
    let library = Library::embedded().unwrap();
    let ids: Vec<String> = library.documents().map(|document| document.id.to_string()).collect();
    let text = "[site]\nproducts = [\"azure-file-sync\", \"azure-stack-hci\"]\n\
                [azure-file-sync]\nregion = \"West Europe\"\nredundancy = \"GRS\"\nstorage-accounts = [\"stafs00001\"]\n\
                [private-endpoints]\nnetworks = [\"10.9.0.0/16\"]\n[proxy]\naddresses = [\"10.1.0.8:8080\"]\n\
                [dns]\nresolvers = [\"10.1.255.53\"]\n[roles]\nservers = [\"10.1.0.0/24\"]\n";
    let site = Site::read("site.toml", text, &library).unwrap();
    let all = Selection { documents: Some(ids), ..site.selection() };
    let rules = Arc::new(library.select(&all).unwrap());
    let tags = tag_file().map(|file| Arc::new(Tags::load(&file).unwrap()));
    let policy = Arc::new(Policy::new(rules, site, tags));
    let mut extraction = Vec::new();
    let mut judging = Vec::new();
    let mut flows = 0;
    for _ in 0..3 {
        let (extracted, judged, count) = run(capture, &policy);
        extraction.push(extracted.as_secs_f64());
        judging.push(judged.as_secs_f64());
        flows = count;
    }
    let (extraction, judging) = (middle(extraction), middle(judging));
    println!(
        "{}: {flows} flows, all documents, site file and tags\n  extraction {extraction:.2} s, judging {judging:.2} s: {:.2} of it",
        capture.display(),
        judging / extraction
    );
}

fn run(path: &Path, policy: &Arc<Policy>) -> (Duration, Duration, u64) {
    let mut capture = Capture::open(InputPlan {
        inputs: vec![Input::named(path.as_os_str().to_owned())],
        hash: InputHash::None,
        ..InputPlan::default()
    })
    .unwrap();
    let mut decoder = Decoder::new(decode::FragmentLimits::default());
    let mut table = FlowTable::new(flow::FlowLimits::default());
    let mut dispatcher = Dispatcher::default();
    let mut engine =
        Engine::new(Arc::clone(policy), Scope::default(), afs_audit::judge::JudgeLimits::default());
    let (mut rows, mut chunk) = (Rows::default(), Chunk::default());
    let (mut extraction, mut judging) = (Duration::ZERO, Duration::ZERO);
    let (mut order, mut second) = (0, i64::MIN);
    let mut last = At { order: 0, frame: Default::default(), time: Default::default() };
    loop {
        let begun = Instant::now();
        let more = capture.next(&mut chunk);
        if more {
            for header in &chunk.frames {
                let frame = chunk.frame(header);
                order += 2;
                last = At { order, frame: frame.frame_ref, time: frame.time };
                if frame.time.secs() > second {
                    second = frame.time.secs();
                    table.tick(second, last, &mut dispatcher);
                }
                if let Decoded::Packet(packet) = &decoder.decode(&frame) {
                    table.accept(packet, last, &mut dispatcher);
                }
            }
        } else {
            table.finish(last, &mut dispatcher);
        }
        extraction += begun.elapsed();
        let begun = Instant::now();
        for observation in dispatcher.out.drain(..) {
            engine.accept(observation, &mut rows);
        }
        judging += begun.elapsed();
        if !more {
            break;
        }
    }
    black_box(engine.rotate());
    (extraction, judging, table.counts().opened)
}

fn median(measure: impl Fn() -> f64) -> f64 {
    middle((0..RUNS).map(|_| measure()).collect())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
