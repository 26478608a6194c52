//! What arrives by mail: archives with captures, and files that are no captures.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures");

/// Exit status, standard output and standard error of a run in a folder.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A compressed tar archive of two captures and a text.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for case in ["tcp-refused/capture.pcap", "dropped-by-host/capture.etl", "dropped-by-host/README.md"] {
        tar.append_path_with_name(Path::new(CAPTURES).join(case), case).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn an_archive_is_audited_and_verified_like_its_captures() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mail.tar.gz"), archive()).unwrap();
    let (status, summary, _) = run(folder.path(), &["analyze", "mail.tar.gz", "-o", "evidence"]);
    assert_eq!(status, Some(1), "{summary}");
    assert!(summary.starts_with("2 captures: "), "{summary}");
    let passed_over = "1 file passed over: mail.tar.gz/dropped-by-host/README.md (text file, not a capture)";
    assert!(summary.replace("\n  ", " ").contains(passed_over), "{summary}");
    let flows = std::fs::read_to_string(folder.path().join("evidence/flows.csv")).unwrap();
    assert!(flows.contains(",mail.tar.gz/tcp-refused/capture.pcap,"), "{flows}");
    assert!(folder.path().join("evidence/evidence.pcapng").is_file(), "frames are read a second time");
    let (_, verified, _) = run(folder.path(), &["verify", "evidence"]);
    assert!(verified.contains("mail.tar.gz/dropped-by-host/capture.etl: unchanged"), "{verified}");
    // A member is named like a file.
    let (status, summary, _) = run(folder.path(), &["analyze", "mail.tar.gz/tcp-refused/capture.pcap"]);
    assert_eq!(status, Some(1), "{summary}");
    assert!(summary.starts_with("mail.tar.gz/tcp-refused/capture.pcap: "), "{summary}");
}

#[test]
fn what_is_no_capture_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], expected: &str| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let (status, _, stderr) = run(folder.path(), &["analyze", name]);
        assert_eq!(status, Some(2), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    };
    check("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04", "7z archive: extract it first");
    check("a.zip", b"PK\x03\x04 cut", "zip archive: truncated: its directory is missing");
    check("fortigate.txt", b"interfaces=[any]\nfilters=[none]\n", "FortiGate");
    check("asa.txt", b"3 packets captured\n", "copy /pcap");
    check("notes.txt", b"a text\n", "text file, not a capture");
}
