//! `evidence.pcapng` of every case in captures/: its comments are those of findings.csv, its frames those of the inputs, and
//! tshark reads it.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::evidence_frames::Content;
use support::evidence_frames::comments;
use support::evidence_frames::frames;

/// The evidence of captures; none where the run wrote no `evidence.pcapng`.
fn analyze(captures: &[PathBuf], arguments: &[&str], folder: &Path) -> Option<PathBuf> {
    let output = folder.join("evidence");
    let status = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .arg("analyze")
        .args(captures)
        .args(["-q", "-o"])
        .arg(&output)
        .args(arguments)
        .output()
        .unwrap();
    assert!(status.status.code() < Some(2), "{}", String::from_utf8_lossy(&status.stderr));
    let frames = output.join("evidence.pcapng");
    frames.is_file().then_some(frames)
}

/// The number and the input in `frame 3 of a.pcap`.
fn place(comments: &[String]) -> (String, usize) {
    let (number, file) = comments.last().unwrap().strip_prefix("frame ").unwrap().split_once(" of ").unwrap();
    (file.to_owned(), number.parse().unwrap())
}

#[test]
fn comments_are_the_findings_and_frames_are_the_original_ones() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut folders: Vec<PathBuf> = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut checked = 0;
    for case in folders.iter().filter(|folder| folder.join("expected.rows").is_file()) {
        let is_capture = |path: &PathBuf| {
            path.file_name().unwrap().to_string_lossy().starts_with("capture") && path.is_file()
        };
        let captures: Vec<PathBuf> =
            fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).filter(is_capture).collect();
        let site = case.join("site.toml");
        let site: Vec<&str> =
            if site.is_file() { vec!["--site", site.to_str().unwrap()] } else { Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        if captures.is_empty() {
            continue;
        }
        let Some(evidence) = analyze(&captures, &site, folder.path()) else { continue };
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let Some(comments) = comments(&evidence) else { return };
        let copied = frames(&evidence);
        assert_eq!(comments.len(), copied.len(), "{name}");
        assert!(copied.is_sorted_by_key(|frame| frame.0), "{name}: order of time");
        let originals: BTreeMap<String, Vec<Content>> = captures
            .iter()
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), frames(path)))
            .collect();
        let mut by_place = BTreeMap::new();
        for (comments, copied) in comments.iter().zip(&copied) {
            let (file, number) = place(comments);
            assert_eq!(copied, &originals[&file][number - 1], "{name}: frame {number} of {file}");
            by_place.insert((file, number), comments.clone());
        }
        let mut findings = csv::Reader::from_path(evidence.with_file_name("findings.csv")).unwrap();
        let headers = findings.headers().unwrap().clone();
        for row in findings.records().map(Result::unwrap) {
            let value = |column: &str| &row[headers.iter().position(|name| name == column).unwrap()];
            let expected = format!("{} {}", value("code"), value("message"));
            for frame in value("frames").split(';').filter(|frame| !frame.is_empty()) {
                let (file, number) = frame.rsplit_once('#').unwrap_or((value("file"), frame));
                let found = &by_place[&(file.to_owned(), number.parse().unwrap())];
                assert!(found.contains(&expected), "{name}: {expected}: {found:?}");
            }
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked} cases have findings");
}

#[test]
fn context_adds_frames_and_the_snap_length_cuts_them() {
    let demo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap")];
    let folder = || tempfile::tempdir().unwrap();
    let (plain, near, cut, small) = (folder(), folder(), folder(), folder());
    let plain = frames(&analyze(&demo, &[], plain.path()).unwrap());
    let near = frames(&analyze(&demo, &["--evidence-context", "2"], near.path()).unwrap());
    assert!(near.len() > plain.len(), "{} of {}", plain.len(), near.len());
    let cut = frames(&analyze(&demo, &["--evidence-snaplen", "64"], cut.path()).unwrap());
    for (cut, whole) in cut.iter().zip(&plain) {
        assert_eq!((cut.0, cut.1, cut.2), (whole.0, whole.1, whole.2));
        assert!(cut.3.len() <= 64 && whole.3.starts_with(&cut.3));
    }
    let path = analyze(&demo, &["--evidence-size", "4k"], small.path()).unwrap();
    assert!(frames(&path).len() < plain.len());
    let manifest = fs::read_to_string(path.with_file_name("manifest.json")).unwrap();
    assert!(manifest.contains("did not fit into evidence.pcapng"), "what does not fit is counted");
}
