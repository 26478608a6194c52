//! The command line from outside: exit status, and what goes where.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use assert_cmd::assert::OutputAssertExt as _;

fn afs_audit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_afs-audit"))
}

/// Runs it, and checks its status and that `expected` is on standard output (0 and 1) or standard error (2), alone.
fn check(arguments: &[&str], status: i32, expected: &str) -> String {
    let output = afs_audit().args(arguments).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(status), "{stdout}{stderr}");
    let (said, silent) = if status == 2 { (stderr, stdout) } else { (stdout, stderr) };
    assert!(said.contains(expected), "{said}");
    assert_eq!(silent, "");
    said
}

#[test]
fn help_is_for_standard_output() {
    check(&["--help"], 0, "Exit status:");
    check(&["analyze", "--help"], 0, "[default: sha256]");
    check(&["--version"], 0, "afs-audit ");
    for command in ["analyze", "explain", "rules", "verify", "completions", "man"] {
        check(&[command, "-h"], 0, "Usage: afs-audit");
    }
}

#[test]
fn what_cannot_be_done_is_2() {
    check(&[], 2, "Usage:");
    check(&["analyse"], 2, "analyze");
    check(&["analyze"], 2, "<FILE>");
    check(&["analyze", "x.pcap", "--format", "xml"], 2, "jsonl");
    check(&["analyze", "x.pcap", "--threads", "0"], 2, "--threads");
    check(&["analyze", "x.pcap", "--force"], 2, "--output");
    check(&["analyze", "x.pcap"], 2, "afs-audit: cannot read capture: x.pcap: no such file or folder\n");
    check(&["explain", "AFS999"], 2, "AFS999\n");
    check(&["verify", "no/such/folder"], 2, "no such file or folder\n");
    check(&["man", "nothing"], 2, "no such command: nothing\n");
}

#[test]
fn an_unwritable_output_is_said_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    check(&["analyze", "Cargo.toml", "-o", &path(&file)], 2, "cannot write evidence: ");
    check(&["analyze", "Cargo.toml", "-o", &path(&file.join("below"))], 2, "cannot write evidence: ");
    let said = check(&["analyze", "Cargo.toml", "-o", &path(folder.path())], 2, "--force");
    assert!(said.contains("not written by afs-audit"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn findings_are_explained() {
    let said = check(&["explain", "afs202"], 0, "AFS202 high: connection attempt never answered");
    assert!(!said.contains('\x1b'), "no colour in a pipe");
    let said = check(&["explain", "--color", "always"], 0, "AFS101");
    assert!(said.contains('\x1b'));
}

#[test]
fn completions_and_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        check(&["completions", shell], 0, "fail-on");
    }
    check(&["man"], 0, ".TH afs-audit 1");
    check(&["man", "analyze"], 0, ".TH afs-audit-analyze 1");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for arguments in [["completions", "bash"].as_slice(), &["man", "analyze"], &["explain"], &["--help"]] {
        let mut child =
            afs_audit().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        output.assert().success().stderr("");
    }
}

/// `/dev/full` says what a full disk says.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_2() {
    for arguments in [["explain"].as_slice(), &["man"], &["completions", "bash"], &["--help"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = afs_audit().args(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        if arguments != ["--help"] {
            output.assert().stderr("afs-audit: cannot write: standard output: no space left on the disk\n");
        }
    }
}
