//! `evidence.pcapng` of a live run, from the files that its frames are saved in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::testbed::Mount;
use super::testbed::PROGRAM;
use super::testbed::SERVER;
use super::testbed::Testbed;
use super::testbed::interval_folders;
use super::testbed::run;
use super::testbed::text;
use super::testbed::verified_manifest;
use super::testbed::wait_until;
use crate::support::evidence_frames::Content;
use crate::support::evidence_frames::comments;
use crate::support::evidence_frames::frames;
use crate::support::prerequisites::not_run;

/// The testbed; none where it cannot be made or there is no tshark.
fn testbed() -> Option<Testbed> {
    if Command::new("tshark").arg("--version").output().is_err() {
        not_run("missing programs: tshark");
        return None;
    }
    Testbed::new()
}

/// Saved files that exist, `NAME-00001.pcapng` and so on.
fn saved_files(testbed: &Testbed, name: &str) -> Vec<PathBuf> {
    let numbered = (1..100).map(|number| testbed.path(&format!("{name}-{number:05}.pcapng")));
    numbered.filter(|path| path.is_file()).collect()
}

/// Checks that the frames of a folder are those of the saved files, and that each finding is a comment of its frames. Returns the
/// numbers of its frames in the run.
fn check_copied(folder: &Path, saved: &[PathBuf], device: &str) -> Vec<u64> {
    let evidence = folder.join("evidence.pcapng");
    let (comments, copied) = (comments(&evidence).unwrap(), frames(&evidence));
    assert_eq!(comments.len(), copied.len());
    let saved: BTreeMap<String, Vec<Content>> = saved
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), frames(path)))
        .collect();
    let mut by_number = BTreeMap::new();
    for (comments, copied) in comments.iter().zip(&copied) {
        let place = |text: &str, before: &str| {
            let (number, file) = text.strip_prefix(before).unwrap().split_once(" of ").unwrap();
            (number.parse::<u64>().unwrap(), file.to_owned())
        };
        let [.., saved_as, of_run] = comments.as_slice() else { panic!("{comments:?}") };
        let (in_file, file) = place(saved_as, "saved as frame ");
        let (number, input) = place(of_run, "frame ");
        assert_eq!(input, device);
        let before: usize = saved.range(..file.clone()).map(|(_, frames)| frames.len()).sum();
        assert_eq!(number, before as u64 + in_file, "no frame was lost: {comments:?}");
        assert_eq!(copied, &saved[&file][in_file as usize - 1], "{comments:?}");
        by_number.insert(number, comments.clone());
    }
    let mut findings = csv::Reader::from_path(folder.join("findings.csv")).unwrap();
    let headers = findings.headers().unwrap().clone();
    for row in findings.records().map(Result::unwrap) {
        let value = |column: &str| &row[headers.iter().position(|name| name == column).unwrap()];
        let expected = format!("{} {}", value("code"), value("message"));
        for frame in value("frames").split(';').filter(|frame| !frame.is_empty()) {
            let number = frame.rsplit_once('#').map_or(frame, |(_, number)| number);
            let found = &by_number[&number.parse().unwrap()];
            assert!(found.contains(&expected), "{expected}: {found:?}");
        }
    }
    by_number.into_keys().collect()
}

fn warnings(manifest: &serde_json::Value) -> String {
    manifest["warnings"].to_string()
}

#[test]
fn the_frames_that_prove_findings_are_copied_from_the_saved_ones() {
    let Some(mut testbed) = testbed() else { return };
    testbed.start_servers();
    let run = |name: &str, more: &[&str]| {
        let (evidence, frames) = (testbed.path(name), testbed.path(&format!("{name}.pcapng")));
        let rotated = ["--rotate-size", "4K"];
        let live = testbed.live().saving(&frames).evidence(&evidence).with(&SERVER);
        let mut live = live.with(&rotated).with(more).start();
        testbed.traffic(&["connect", "10.77.0.2", "one.example.com", "login.microsoftonline.com"]);
        testbed.traffic(&["datagrams", "10.77.0.2", "50", "0"]);
        testbed.traffic(&["refused", "203.0.113.6", "3"]);
        wait_until("the last attempt is captured", || live.stdout().contains("AFS201"));
        live.signal("TERM");
        live.assert_exits(0);
        let manifest = verified_manifest(&evidence);
        let lacks = warnings(&manifest);
        assert!(!lacks.contains("evidence.pcapng lacks"), "{lacks}");
        let files = saved_files(&testbed, name);
        assert!(files.len() >= 3, "{files:?}");
        (evidence, files, manifest)
    };
    let (evidence, files, _) = run("plain", &[]);
    let plain = check_copied(&evidence, &files, &testbed.device);
    assert!(plain.len() >= 6, "attempts and their refusals: {plain:?}");

    let (evidence, files, _) = run("near", &["--evidence-context", "2"]);
    let near = check_copied(&evidence, &files, &testbed.device);
    assert!(near.len() > plain.len(), "{plain:?} {near:?}");

    let (evidence, _, _) = run("cut", &["--evidence-snaplen", "64"]);
    let cut = frames(&evidence.join("evidence.pcapng"));
    assert!(cut.iter().all(|(_, _, _, bytes)| bytes.len() <= 64));
    assert!(cut.iter().any(|(_, _, wire_len, bytes)| bytes.len() == 64 && *wire_len > 64), "{cut:?}");

    let (evidence, _, manifest) = run("small", &["--evidence-size", "1K"]);
    assert_eq!(frames(&evidence.join("evidence.pcapng")).len(), 3);
    let limits = manifest["limits_reached"].to_string();
    assert!(limits.contains("did not fit into evidence.pcapng; --evidence-size permits more"), "{limits}");
}

#[test]
fn each_interval_has_the_frames_of_its_findings() {
    let Some(testbed) = testbed() else { return };
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let every = ["--every", "1s", "--rotate-size", "2K"];
    let mut live = testbed.live().saving(&frames).evidence(&evidence).with(&SERVER).with(&every).start();
    let complete = || -> Vec<PathBuf> {
        let all = interval_folders(&evidence);
        all.into_iter().filter(|folder| folder.join("evidence.pcapng").is_file()).collect()
    };
    for port in 444..447 {
        let before = interval_folders(&evidence).len();
        testbed.traffic(&["refused", "203.0.113.6", "3", &port.to_string()]);
        wait_until("its interval ends", || interval_folders(&evidence).len() > before + 1);
    }
    // A row is written some seconds after its connection ended, that of the last attempts at the latest when the run ends.
    wait_until("two have frames", || complete().len() >= 2);
    live.stop(0);
    let files = saved_files(&testbed, "frames");
    let mut numbers = Vec::new();
    for folder in complete() {
        verified_manifest(&folder);
        numbers.extend(check_copied(&folder, &files, &testbed.device));
    }
    assert!(numbers.len() >= 18 && numbers.is_sorted(), "numbers go on: {numbers:?}");

    // The frames of all intervals are those of the judged run.
    let judged = testbed.path("judged");
    let output = Command::new(PROGRAM)
        .arg("judge")
        .args(interval_folders(&evidence))
        .args(["-q", "--fail-on", "never", "-o", text(&judged)])
        .args(SERVER)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(check_copied(&judged, &files, &testbed.device), numbers);
}

#[test]
fn frames_of_deleted_files_are_counted() {
    let Some(testbed) = testbed() else { return };
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let mut live = testbed
        .live()
        .saving(&frames)
        .evidence(&evidence)
        .with(&SERVER)
        .with(&["--rotate-size", "1K"])
        .start();
    testbed.traffic(&["refused", "203.0.113.6", "3"]);
    testbed.traffic(&["datagrams", "10.77.0.2", "50", "0"]);
    testbed.traffic(&["refused", "203.0.113.6", "3", "445"]);
    wait_until("the last attempt is captured", || live.stdout().matches("AFS201").count() >= 2);
    wait_until("it is saved", || saved_files(&testbed, "frames").len() > 3);
    fs::remove_file(testbed.path("frames-00001.pcapng")).unwrap();
    live.stop(0);
    let warnings = warnings(&verified_manifest(&evidence));
    let expected = "the file is gone or was changed: frames-00001.pcapng";
    assert!(warnings.contains("evidence.pcapng lacks ") && warnings.contains(expected), "{warnings}");
    let left = comments(&evidence.join("evidence.pcapng")).unwrap();
    assert!(
        left.len() >= 6 && left.iter().flatten().all(|comment| !comment.contains("frames-00001")),
        "{left:?}"
    );
}

#[test]
fn frames_that_were_not_saved_are_counted() {
    let Some(testbed) = testbed() else { return };
    let (disk, evidence) = (testbed.path("disk"), testbed.path("evidence"));
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "afl", text(&disk)]);
    let _mounted = Mount(&disk);
    let frames = disk.join("frames.pcapng");
    let mut live = testbed.live().saving(&frames).evidence(&evidence).with(&SERVER).start();
    // Fills the rest of the disk; the write error is expected.
    let _ = fs::write(disk.join("ballast"), vec![0; 1 << 20]);
    testbed.traffic(&["datagrams", "10.77.0.2", "50", "0"]);
    wait_until("the disk is full", || live.stderr().contains("no space left on the disk"));
    testbed.traffic(&["refused", "203.0.113.6", "3"]);
    wait_until("the last attempt is captured", || live.stdout().contains("AFS201"));
    live.stop(2);
    let warnings = warnings(&verified_manifest(&evidence));
    assert!(
        warnings.contains("evidence.pcapng lacks ")
            && warnings.contains(" that prove findings: they were not saved"),
        "{warnings}"
    );
    assert!(!evidence.join("evidence.pcapng").exists());
}

#[test]
fn without_saved_frames_there_is_no_evidence_capture() {
    let Some(testbed) = testbed() else { return };
    let evidence = testbed.path("evidence");
    let mut live = testbed.live().evidence(&evidence).with(&SERVER).start();
    testbed.traffic(&["refused", "203.0.113.6", "3"]);
    wait_until("the attempt is captured", || live.stdout().contains("AFS201"));
    live.stop(0);
    assert!(!warnings(&verified_manifest(&evidence)).contains("evidence.pcapng"));
    assert!(!evidence.join("evidence.pcapng").exists());
}
