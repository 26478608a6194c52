//! Audits mutated captures with the whole program, many in one run. It must not panic, hang or need more memory than allowed; its
//! exit status must be one of those documented, its evidence must be one that `verify` accepts, and its manifest must list every
//! input.
//!
//! ```text
//! cargo bench --bench mutated                     20,000 files
//! cargo bench --bench mutated -- 1000000          so many
//! cargo bench --bench mutated -- 1000000 7        with another seed: other mutations
//! PROGRAM=target/debug/afs-audit cargo bench …    another build, such as one with overflow checks
//! ```
//!
//! The originals are the captures of this repository, and those beside it in `../shared` where that is. The facts and the
//! manifest of each evidence folder are mutated, too, and read by `judge`, `report` and `verify`. Files that fail are kept in
//! `target/bench/mutated/failed`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// Files of one run of the program. It opens all of them.
const FILES: usize = 200;

/// Larger captures are not mutated: a mutation of a small one reaches more of the program in the same time.
const LARGEST: u64 = 64 << 10;

/// A run of so many small files takes a second. One that takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// Memory that any run may use, in KiB.
const MEMORY_KIB: i64 = 1 << 20;

/// Numbers at the borders of types, and sizes that many limits have.
const BORDERS: &[u64] =
    &[0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let wanted = numbers.first().map_or(20_000, |count| *count as usize);
    let mut random = Random(numbers.get(1).copied().unwrap_or(1));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/mutated");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("failed")).unwrap();
    let originals = originals();
    println!("originals: {}", originals.len());
    let mut tally = Tally::default();
    let begun = Instant::now();
    while tally.files < wanted {
        let inputs = write_mutated(&folder, &originals, FILES.min(wanted - tally.files), &mut random);
        audit(&folder, &inputs, &mut random, &mut tally);
        if tally.runs % 100 == 0 {
            println!("{} files, {} failed, {} s", tally.files, tally.failed, begun.elapsed().as_secs());
        }
    }
    println!(
        "{} files in {} runs, {} s; peak memory of a run {} MB; exit statuses {:?}",
        tally.files,
        tally.runs,
        begun.elapsed().as_secs(),
        peak_kib() / 1024,
        tally.statuses
    );
    assert!(peak_kib() <= MEMORY_KIB, "a run used more memory than allowed");
    assert_eq!(tally.failed, 0, "failed runs: their files are in {}", folder.join("failed").display());
}

#[derive(Default)]
struct Tally {
    files: usize,
    runs: usize,
    failed: usize,
    /// How often each command ended with each status.
    statuses: BTreeMap<(&'static str, i32), usize>,
}

/// Numbers without a pattern, the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`; 0 if that is 0.
    fn below(&mut self, limit: usize) -> usize {
        self.next().checked_rem(limit as u64).unwrap_or_default() as usize
    }
}

/// The files that are no text.
fn originals() -> Vec<Vec<u8>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["captures", "../shared/captures", "../shared/field", "../shared/etl"] {
        collect(&repository.join(folder), &mut files);
    }
    files.sort();
    let read = files.iter().map(|file| std::fs::read(file).unwrap());
    let captures: Vec<Vec<u8>> = read.filter(|bytes| std::str::from_utf8(bytes).is_err()).collect();
    assert!(!captures.is_empty());
    captures
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            collect(&entry.path(), files);
        } else if metadata.is_file() && metadata.len() <= LARGEST {
            files.push(entry.path());
        }
    }
}

/// Writes so many mutated originals.
fn write_mutated(folder: &Path, originals: &[Vec<u8>], count: usize, random: &mut Random) -> Vec<PathBuf> {
    let inputs = folder.join("inputs");
    let _ = std::fs::remove_dir_all(&inputs);
    std::fs::create_dir(&inputs).unwrap();
    let pick = |random: &mut Random| originals.get(random.below(originals.len())).unwrap();
    (0..count)
        .map(|index| {
            let mut bytes = pick(random).clone();
            for _ in 0..=random.below(8) {
                let other = pick(random);
                mutate(&mut bytes, other, random);
            }
            let file = inputs.join(format!("{index:03}"));
            std::fs::write(&file, bytes).unwrap();
            file
        })
        .collect()
}

/// Changes some bytes; `other` gives bytes of another file.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let len = bytes.len();
    // Headers are at the beginning: they are changed more often than their share.
    let near = if random.below(3) == 0 { len.min(64) } else { len };
    let at = random.below(near);
    let range = |random: &mut Random, len: usize| at..(at + 1 + random.below(64)).min(len);
    match random.below(8) {
        0 => {
            let bit = 1 << random.below(8);
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
        }
        1 => {
            let value = random.next() as u8;
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
        }
        2 | 3 => {
            let border = BORDERS.get(random.below(BORDERS.len())).copied().unwrap_or_default() as u32;
            let width = [1, 2, 4].get(random.below(3)).copied().unwrap_or(1);
            let encoded = match random.below(2) {
                0 => border.to_le_bytes(),
                _ => border.rotate_left(32 - 8 * width as u32).to_be_bytes(),
            };
            for (byte, value) in bytes.iter_mut().skip(at).take(width).zip(encoded) {
                *byte = value;
            }
        }
        4 => {
            let range = range(random, len);
            bytes.drain(range.start.min(range.end)..range.end);
        }
        5 => {
            let range = range(random, len);
            let copied = bytes.get(range).unwrap_or_default().to_vec();
            bytes.splice(at..at, copied);
        }
        6 => {
            let from = random.below(other.len());
            let range = from..(from + 1 + random.below(512)).min(other.len());
            let inserted = other.get(range).unwrap_or_default().to_vec();
            bytes.splice(at..at, inserted);
        }
        // Every prefix of a capture is one that a full disk leaves.
        _ => bytes.truncate(at),
    }
}

/// Audits the files, then uses the evidence; after that the same with mutated evidence.
fn audit(folder: &Path, inputs: &[PathBuf], random: &mut Random, tally: &mut Tally) {
    tally.files += inputs.len();
    tally.runs += 1;
    let evidence = folder.join("evidence");
    let threads = ["1", "3"].get(tally.runs % 2).unwrap();
    let failure = analyze(&evidence, inputs, threads, tally).err();
    if let Some(reason) = failure {
        report_failure(folder, inputs, threads, &reason, tally);
        return;
    }
    let mut used = use_evidence(folder, &evidence, false, tally);
    for file in ["facts.lz4", "manifest.json"] {
        let path = evidence.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let other = bytes.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &other, random);
        }
        std::fs::write(&path, bytes).unwrap();
        used = used.and_then(|()| use_evidence(folder, &evidence, true, tally));
    }
    if let Err(reason) = used {
        tally.failed += 1;
        let kept = folder.join("failed").join(format!("evidence-{}", tally.runs));
        println!("{}: {reason}", kept.display());
        let _ = std::fs::rename(&evidence, kept);
    }
}

fn analyze(evidence: &Path, inputs: &[PathBuf], threads: &str, tally: &mut Tally) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(evidence);
    let mut arguments: Vec<OsString> =
        ["analyze", "--fail-on", "never", "--threads", threads, "-o"].map(Into::into).into();
    arguments.push(evidence.into());
    arguments.extend(inputs.iter().map(Into::into));
    // 2: an input that cannot be read any more.
    run("analyze", &arguments, &[0, 2], tally)?;
    let manifest =
        std::fs::read_to_string(evidence.join("manifest.json")).map_err(|error| error.to_string())?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).map_err(|error| error.to_string())?;
    let listed = manifest.get("inputs").and_then(|list| list.as_array()).map_or(0, Vec::len);
    // An archive is as many inputs as it has files, but at least one.
    let missing = inputs.len().saturating_sub(listed);
    if missing > 0 { Err(format!("{missing} inputs are not in the manifest")) } else { Ok(()) }
}

/// Verifies, judges and reports an evidence folder.
fn use_evidence(folder: &Path, evidence: &Path, mutated: bool, tally: &mut Tally) -> Result<(), String> {
    let statuses: &[i32] = if mutated { &[0, 1, 2] } else { &[0] };
    run("verify", &["verify".as_ref(), evidence.as_os_str()], statuses, tally)?;
    let (judged, page) = (folder.join("judged"), folder.join("page.html"));
    let _ = std::fs::remove_dir_all(&judged);
    let _ = std::fs::remove_file(&page);
    let output = |command: &'static str, to: &Path| -> Vec<OsString> {
        vec![command.into(), evidence.into(), "-o".into(), to.into()]
    };
    run("judge", &output("judge", &judged), &[0, 1, 2], tally)?;
    run("report", &output("report", &page), &[0, 1, 2], tally)
}

/// Runs the program; an error says what is wrong.
fn run<A: AsRef<OsStr>>(
    command: &'static str,
    arguments: &[A],
    statuses: &[i32],
    tally: &mut Tally,
) -> Result<(), String> {
    let program = std::env::var_os("PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_afs-audit").into());
    let errors = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/mutated/stderr");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if begun.elapsed() > LONGEST {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("{command} had not ended after {} s", LONGEST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let printed = std::fs::read(&errors).unwrap();
    let printed = String::from_utf8_lossy(&printed);
    let code = ended.code().unwrap_or(-1);
    *tally.statuses.entry((command, code)).or_default() += 1;
    if let Some(line) = printed.lines().find(|line| line.contains("panicked")) {
        return Err(format!("{command}: {line}"));
    }
    if statuses.contains(&code) { Ok(()) } else { Err(format!("{command}: {ended}: {}", tail(&printed))) }
}

fn tail(text: &str) -> &str {
    text.lines().next_back().unwrap_or_default()
}

/// Keeps the files of a run that failed: each that fails alone, or else all.
fn report_failure(folder: &Path, inputs: &[PathBuf], threads: &str, reason: &str, tally: &mut Tally) {
    tally.failed += 1;
    println!("run {}: {reason}", tally.runs);
    let failed = folder.join("failed");
    let mut alone = 0;
    for input in inputs {
        let one = std::slice::from_ref(input);
        if let Err(reason) = analyze(&folder.join("alone"), one, threads, &mut Tally::default()) {
            alone += 1;
            let kept = failed.join(format!("run-{}-{}", tally.runs, input.file_name().unwrap().display()));
            println!("  {}: {reason}", kept.display());
            std::fs::copy(input, kept).unwrap();
        }
    }
    if alone == 0 {
        let kept = failed.join(format!("run-{}", tally.runs));
        println!("  only together: {}", kept.display());
        std::fs::rename(folder.join("inputs"), kept).unwrap();
    }
}

/// The most memory that any child process has used.
#[cfg(unix)]
fn peak_kib() -> i64 {
    use nix::sys::resource::UsageWho;
    use nix::sys::resource::getrusage;
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss()
}

/// Not known on other systems.
#[cfg(not(unix))]
fn peak_kib() -> i64 {
    0
}
