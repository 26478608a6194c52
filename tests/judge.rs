//! `judge` gives what `analyze` would give: over the cases in captures/, and over the public captures.
//!
//! The public captures are a sample by default; `JUDGE_CORPUS=all` takes each of them.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use afs_audit::facts::FactsHeader;
use afs_audit::facts::FactsWriter;
use serde_json::Value;
use support::files::files_in;
use support::files::is_capture;
use support::files::map_parallel;
use support::files::own_captures;
use support::golden::capture_files;
use support::golden::cases;
use support::prerequisites::shared_folder;

/// One in so many public captures.
const SAMPLE: usize = 150;

/// What only the captures can give, where findings are proved by frames that the earlier run did not copy.
const LACKING: &str = "evidence.pcapng lacks ";

fn afs_audit(command: &str, arguments: &[&Path]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    program.arg(command).args(["-q", "--fail-on", "never"]).args(arguments).output().unwrap()
}

/// The evidence of a run in `output`; none if the run wrote none.
fn run(
    command: &str,
    inputs: &[&Path],
    policy: &[&Path],
    output: &Path,
) -> Option<BTreeMap<String, Vec<u8>>> {
    let arguments: Vec<&Path> = [inputs, policy, &[Path::new("-o"), output]].concat();
    let done = afs_audit(command, &arguments);
    let evidence = output.is_dir().then(|| evidence(output));
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(command == "analyze" || evidence.is_some(), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    evidence
}

/// The files of an evidence folder; of the manifest what does not depend on how the program was run.
fn evidence(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read =
        |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap());
    let mut files: BTreeMap<String, Vec<u8>> = files_in(folder).into_iter().map(read).collect();
    let mut manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    manifest.as_object_mut().unwrap().remove("run").unwrap();
    files.insert("manifest.json".to_owned(), serde_json::to_vec_pretty(&manifest).unwrap());
    files
}

/// Whether the judged evidence lacks frames.
fn lacks_frames(files: &BTreeMap<String, Vec<u8>>) -> bool {
    String::from_utf8_lossy(&files["manifest.json"]).contains(LACKING)
}

/// Removes what frames that are lacking change: the frames, the warning, and the page that shows it.
fn without_frames(files: &mut BTreeMap<String, Vec<u8>>) {
    files.remove("evidence.pcapng");
    files.remove("report.html");
    let mut manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let is_kept = |output: &Value| output["name"] != "evidence.pcapng" && output["name"] != "report.html";
    manifest["outputs"].as_array_mut().unwrap().retain(is_kept);
    let is_other = |warning: &Value| !warning.as_str().unwrap().starts_with(LACKING);
    manifest["warnings"].as_array_mut().unwrap().retain(is_other);
    files.insert("manifest.json".to_owned(), serde_json::to_vec_pretty(&manifest).unwrap());
}

/// Compares two evidence folders file by file; the first file that differs, with the lines.
fn difference(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    let [expected_names, found_names] = [expected, found].map(|files| files.keys().collect::<Vec<_>>());
    if expected_names != found_names {
        return Some(format!("files {expected_names:?} expected, {found_names:?} found"));
    }
    let (name, expected, found) = expected
        .iter()
        .zip(found.values())
        .map(|((name, expected), found)| (name, expected, found))
        .find(|(_, expected, found)| expected != found)?;
    let [expected, found] = [expected, found].map(|bytes| String::from_utf8_lossy(bytes));
    let lines = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    Some(format!("{name}: {lines:?}"))
}

/// Analyzes without and with a policy, and judges the facts of the first run with it. Whether frames were lacking.
fn check(captures: &[&Path], policy: &[&Path]) -> Result<bool, String> {
    let folder = tempfile::tempdir().unwrap();
    let [plain, other, judged] = ["plain", "other", "judged"].map(|name| folder.path().join(name));
    if run("analyze", captures, &[], &plain).is_none() {
        return Ok(false);
    }
    let mut expected = run("analyze", captures, policy, &other).unwrap();
    let mut found = run("judge", &[&plain], policy, &judged).unwrap();
    let is_lacking = lacks_frames(&found);
    if is_lacking {
        without_frames(&mut expected);
        without_frames(&mut found);
    }
    match difference(&expected, &found) {
        Some(difference) => Err(format!("{captures:?}: judged with {policy:?}: {difference}")),
        None => Ok(is_lacking),
    }
}

/// Analyzes, and judges the facts with the same policy: also the frames that prove findings are the same.
fn check_same(captures: &[&Path]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let [plain, again] = ["plain", "again"].map(|name| folder.path().join(name));
    let expected = run("analyze", captures, &[], &plain)?;
    let difference = difference(&expected, &run("judge", &[&plain], &[], &again).unwrap())?;
    Some(format!("{captures:?}: judged as it was analyzed: {difference}"))
}

/// The policies that the captures are judged with: other documents, another site.
fn documents() -> [&'static Path; 4] {
    ["--documents", "azure-file-sync@2019-06-24", "--server", "10.0.0.0/8"].map(Path::new)
}

#[test]
fn the_cases_are_judged_as_they_are_analyzed() {
    let cases = cases();
    let results = map_parallel(&cases, |case| {
        let captures = capture_files(case);
        let captures: Vec<&Path> = captures.iter().map(PathBuf::as_path).collect();
        let site = case.join("site.toml");
        let policy = [Path::new("--site"), &site];
        let policy = if site.exists() { &policy[..] } else { &documents()[..] };
        check(&captures, policy)
    });
    let errors: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let lacking = results.iter().filter(|result| matches!(result, Ok(true))).count();
    assert!(lacking < cases.len() / 4, "{lacking} of {} lack frames", cases.len());
}

#[test]
fn public_captures_are_judged_as_they_are_analyzed() {
    let Some(folder) = shared_folder("captures") else { return };
    let is_whole = std::env::var_os("JUDGE_CORPUS").is_some_and(|value| value == "all");
    let captures: Vec<PathBuf> = files_in(&folder).into_iter().filter(|path| is_capture(path)).collect();
    let step = if is_whole { 1 } else { SAMPLE };
    let sample: Vec<PathBuf> = captures.into_iter().step_by(step).collect();
    assert!(sample.len() > 10, "{} captures", sample.len());
    let results = map_parallel(&sample, |path| [check_same(&[path]), check(&[path], &documents()).err()]);
    let errors: Vec<String> = results.into_iter().flatten().flatten().collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// The demo, analyzed.
fn demo(folder: &Path) -> PathBuf {
    let evidence = folder.join("evidence");
    let capture = own_captures().join("demo/capture.pcap");
    run("analyze", &[&capture], &[], &evidence).unwrap();
    evidence
}

#[test]
fn judged_evidence_can_be_judged_again_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let evidence_folder = demo(folder.path());
    let before = evidence(&evidence_folder);
    let judged = folder.path().join("judged");
    run("judge", &[&evidence_folder], &documents(), &judged).unwrap();
    let again = folder.path().join("again");
    let mut found = run("judge", &[&judged], &[], &again).unwrap();
    // The frames that only the first policy needs were not copied the first time.
    let mut expected = before.clone();
    without_frames(&mut expected);
    without_frames(&mut found);
    assert_eq!(difference(&expected, &found), None);
    let force = [evidence_folder.as_path(), Path::new("--force")];
    let replaced = run("judge", &force, &[], &evidence_folder).unwrap();
    assert_eq!(difference(&before, &replaced), None);
    let verified = afs_audit("verify", &[]).status;
    assert!(!verified.success(), "verify needs a folder");
    let verify = Command::new(env!("CARGO_BIN_EXE_afs-audit")).arg("verify").arg(&judged).output().unwrap();
    let printed = String::from_utf8(verify.stdout).unwrap();
    assert!(printed.contains("facts.lz4: unchanged"), "{printed}");
}

#[test]
fn facts_that_are_altered_or_missing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = demo(folder.path());
    let refused = |expected: &str| {
        let done = afs_audit("judge", &[&evidence]);
        let errors = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    };
    let facts = evidence.join("facts.lz4");
    let whole = fs::read(&facts).unwrap();
    fs::write(&facts, &whole[..whole.len() / 2]).unwrap();
    refused("evidence/facts.lz4: not as the manifest describes it");
    fs::remove_file(&facts).unwrap();
    refused("evidence/facts.lz4: not as the manifest describes it");
    // Evidence of a version that stored no facts.
    let path = evidence.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["outputs"].as_array_mut().unwrap().retain(|output| output["name"] != "facts.lz4");
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    refused("it has no facts.lz4: analyze the captures again with -o");
}

/// The facts of a busy capture are a small part of its rows.
#[test]
fn facts_do_not_depend_on_threads_and_are_smaller_than_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<PathBuf> = cases().iter().flat_map(|case| capture_files(case)).collect();
    let captures: Vec<&Path> = cases.iter().map(PathBuf::as_path).collect();
    let of = |threads: &str| {
        let output = folder.path().join(threads);
        run("analyze", &captures, &["--threads", threads].map(Path::new), &output).unwrap()
    };
    let [one, three] = ["1", "4"].map(of);
    assert_eq!(one["facts.lz4"], three["facts.lz4"]);
    let [facts, flows] = ["facts.lz4", "flows.csv"].map(|name| one[name].len());
    assert!(facts * 2 < flows, "facts {facts} bytes, flows.csv {flows}");
}

/// Facts with bytes that no run wrote, and a correct checksum: refused or judged, never a panic.
#[test]
fn altered_facts_are_refused_or_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.lz4");
    let mut random = 1_u64;
    let mut next = move |below: usize| {
        // Numerical Recipes' generator: the same bytes are altered in every run.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let (mut refused, mut judged) = (0, 0);
    for case in ["demo", "dropped-by-host", "icmp-admin-prohibited", "quic", "dns-https"] {
        let evidence = folder.path().join(case);
        let captures = capture_files(&own_captures().join(case));
        let captures: Vec<&Path> = captures.iter().map(PathBuf::as_path).collect();
        run("analyze", &captures, &[], &evidence).unwrap();
        let chunk = records(&evidence.join("facts.lz4"));
        for _ in 0..150 {
            let mut altered = chunk.clone();
            for _ in 0..=next(3) {
                let at = next(altered.len());
                altered[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)];
            }
            let mut writer = FactsWriter::new(Vec::new(), &FactsHeader::default()).unwrap();
            writer.chunk(&altered).unwrap();
            fs::write(&path, writer.finish(&()).unwrap()).unwrap();
            match support::audit::replay(&path) {
                Ok(_) => judged += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 50 && judged > 50, "refused {refused}, judged {judged}");
}

/// The records of a facts file.
fn records(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let mut decoder = lz4_flex::frame::FrameDecoder::new(fs::File::open(path).unwrap());
    std::io::Read::read_to_end(&mut decoder, &mut content).unwrap();
    let (mut rest, mut records) = (&content[8..], Vec::new());
    while let Some((&[kind, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
        let (part, after) = after.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
        if kind == b'F' {
            records.extend_from_slice(part);
        }
        rest = after;
    }
    records
}
