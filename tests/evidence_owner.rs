//! Evidence folders among folders and links of other users: needs root, which can make them.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::chown;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Command;

use support::prerequisites::root_with_tools;

const NOBODY: u32 = 65534;

/// Audits the demo into `folder`. Returns the exit status and standard error.
fn analyze(folder: &Path, options: &[&str]) -> (Option<i32>, String) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .args(["analyze", "-q", "--fail-on", "never", "-o"])
        .args([folder, &demo])
        .args(options)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn folders_and_links_of_other_users_are_refused_with_their_name() {
    if !root_with_tools(&[]) {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let stage = parent.path().join("evidence.unfinished");
    fs::create_dir(&stage).unwrap();
    chown(&stage, Some(NOBODY), None).unwrap();
    let (status, stderr) = analyze(&parent.path().join("evidence"), &[]);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("evidence.unfinished: belongs to user "), "{stderr}");
    let link = parent.path().join("link");
    std::os::unix::fs::symlink("/", &link).unwrap();
    lchown(&link, Some(NOBODY), None).unwrap();
    let (status, stderr) = analyze(&link, &["--force"]);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("link: a symbolic link of user "), "{stderr}");
}

#[test]
fn replaced_evidence_keeps_its_owner() {
    if !root_with_tools(&[]) {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("evidence");
    assert_eq!(analyze(&target, &[]).0, Some(0));
    chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
    let before = fs::metadata(&target).unwrap().ino();
    assert_eq!(analyze(&target, &["--force"]).0, Some(0));
    let after = fs::metadata(&target).unwrap();
    assert_eq!((after.uid(), after.gid()), (NOBODY, NOBODY));
    assert_ne!(after.ino(), before, "exchanged, not rewritten");
}
