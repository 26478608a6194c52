//! `compare`: what changed between two runs of the program.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::browser::check_in_browser;
use support::prerequisites::shared_folder;

const SERVERS: [[u8; 4]; 2] = [[10, 1, 0, 4], [10, 1, 0, 5]];

/// The two sync endpoints that 10.1.0.5 cannot reach in the demo.
const WEST: [u8; 4] = [52, 138, 0, 20];
const NORTH: [u8; 4] = [52, 138, 0, 21];

fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo").join(file)
}

/// Runs the program: exit status, standard output, standard error.
fn afs_audit(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The frames of the demo, with source and destination address.
fn demo_frames() -> Vec<(Vec<u8>, [[u8; 4]; 2])> {
    let capture = fs::read(demo("capture.pcap")).unwrap();
    let mut rest = &capture[24..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = 16 + u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let address =
            |at: usize| rest.get(16 + at..16 + at + 4).map_or([0; 4], |bytes| bytes.try_into().unwrap());
        frames.push((rest[..len].to_vec(), [address(26), address(30)]));
        rest = &rest[len..];
    }
    frames
}

/// Writes the frames that `change` returns for each frame of the demo, and audits them.
fn audit_changed(folder: &Path, name: &str, change: impl Fn(&[u8], [[u8; 4]; 2]) -> Vec<Vec<u8>>) -> PathBuf {
    let mut capture = fs::read(demo("capture.pcap")).unwrap()[..24].to_vec();
    for (frame, addresses) in demo_frames() {
        capture.extend(change(&frame, addresses).concat());
    }
    let (path, evidence) = (folder.join(format!("{name}.pcap")), folder.join(name));
    fs::write(&path, capture).unwrap();
    analyze(&path, &demo("site.toml"), &evidence);
    evidence
}

fn analyze(capture: &Path, site: &Path, evidence: &Path) {
    let [capture, site, evidence] = [capture, site, evidence].map(|path| path.to_str().unwrap());
    let run = ["analyze", capture, "--site", site, "-o", evidence, "-q", "--fail-on", "never"];
    let (status, _, messages) = afs_audit(&run);
    assert_eq!(status, Some(0), "{messages}");
}

fn audit_demo(folder: &Path) -> PathBuf {
    audit_changed(folder, "demo", |frame, _| vec![frame.to_vec()])
}

/// The demo after a rule was added that lets 10.1.0.5 reach West Europe, as 10.1.0.4 does.
fn audit_allowed(folder: &Path) -> PathBuf {
    let [reaches, blocked] = SERVERS;
    audit_changed(folder, "allowed", |frame, addresses| {
        let is = |server, other| addresses.contains(&server) && addresses.contains(&other);
        if is(blocked, WEST) {
            return Vec::new();
        }
        let mut frames = vec![frame.to_vec()];
        if is(reaches, WEST) {
            let mut other = frame.to_vec();
            let at = if addresses[0] == reaches { 16 + 26 } else { 16 + 30 };
            other[at..at + 4].copy_from_slice(&blocked);
            frames.push(other);
        }
        frames
    })
}

fn compare(before: &Path, after: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    afs_audit(&[&["compare", before.to_str().unwrap(), after.to_str().unwrap()], more].concat())
}

/// The rows as `change subject target`, for one server.
fn rows_of(text: &str, server: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|column| column == name).unwrap();
    let columns = ["change", "subject", "target"].map(at);
    let of_server = |row: &csv::StringRecord| row[at("server")] == *server;
    reader
        .records()
        .map(Result::unwrap)
        .filter(of_server)
        .map(|row| columns.map(|column| row[column].to_owned()).join(" "))
        .collect()
}

#[test]
fn a_run_compared_with_itself_has_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = audit_demo(folder.path());
    let (status, table, messages) = compare(&evidence, &evidence, &[]);
    assert_eq!((status, messages.as_str()), (Some(0), ""));
    assert!(table.starts_with("2 servers compared (10.1.0.4, 10.1.0.5): no change\n"), "{table}");
    assert!(table.contains("unchanged: 60 endpoints, 10 findings, 11 destinations"), "{table}");
    assert_eq!(compare(&evidence, &evidence, &["--format", "jsonl"]).1, "");
    assert_eq!(compare(&evidence, &evidence, &["--format", "csv"]).1.lines().count(), 1, "the header");
    let all = compare(&evidence, &evidence, &["--format", "csv", "-v"]).1;
    assert_eq!(all.lines().count(), 1 + 60 + 10 + 11);
}

#[test]
fn a_server_that_was_allowed_is_fixed_and_the_way_back_is_worse() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (audit_demo(folder.path()), audit_allowed(folder.path()));
    let (status, rows, _) = compare(&before, &after, &["--format", "csv"]);
    assert_eq!(status, Some(0));
    assert_eq!(
        rows_of(&rows, "10.1.0.5"),
        ["fixed requirement Azure File Sync in West Europe", "gone finding westeurope01.afs.azure.net"]
    );
    assert_eq!(rows_of(&rows, "10.1.0.4"), [""; 0]);
    assert!(rows.contains("westeurope01.afs.azure.net:443/tcp"), "the destination: {rows}");

    let (status, table, _) = compare(&after, &before, &[]);
    assert_eq!(status, Some(1));
    assert!(
        table.contains("reached -> blocked")
            && table.contains("new finding, required: 10.1.0.5 westeurope01"),
        "{table}"
    );
    let (status, rows, _) = compare(&after, &before, &["--format", "csv", "--fail-on", "never"]);
    assert_eq!(status, Some(1), "a required endpoint that is blocked now, whatever the severity of findings");
    assert!(
        rows_of(&rows, "10.1.0.5").contains(&"worse requirement Azure File Sync in West Europe".to_owned())
    );
    assert_eq!(compare(&after, &before, &["-q"]), (Some(1), String::new(), String::new()));
}

#[test]
fn a_blocked_endpoint_that_is_not_contacted_again_is_not_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let before = audit_demo(folder.path());
    let after = audit_changed(folder.path(), "quiet", |frame, addresses| {
        let is_blocked = addresses.contains(&WEST) || addresses.contains(&NORTH);
        if is_blocked { Vec::new() } else { vec![frame.to_vec()] }
    });
    let (status, rows, _) = compare(&before, &after, &["--format", "csv"]);
    assert_eq!(status, Some(0));
    let changed = rows_of(&rows, "10.1.0.5");
    assert_eq!(changed.len(), 4, "{changed:?}");
    assert!(changed.iter().all(|row| row.starts_with("not-seen-again ")), "{changed:?}");
    let (_, table, _) = compare(&before, &after, &[]);
    assert!(table.contains("not seen again, which proves nothing: "), "{table}");
    assert!(!table.contains("better") && !table.contains("fixed"), "{table}");
}

#[test]
fn what_limits_the_comparison_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let before = audit_demo(folder.path());
    let [alone, site] = ["alone", "other.toml"].map(|name| folder.path().join(name));
    fs::write(&site, "[site]\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nregion = \"West Europe\"\nredundancy = \"LRS\"\n")
        .unwrap();
    let more = ["--site", site.to_str().unwrap(), "--server", "10.1.0.4", "-c", "60"];
    let run = ["analyze", demo("capture.pcap").to_str().unwrap(), "-o", alone.to_str().unwrap(), "-q"]
        .map(str::to_owned);
    let run: Vec<&str> = run.iter().map(String::as_str).chain(more).collect();
    afs_audit(&run);
    let (_, table, _) = compare(&before, &alone, &[]);
    for expected in [
        "servers of one run only: before 10.1.0.5; they are not compared",
        "site file: before ",
        "run not complete: after ",
        "endpoints that one run needs: before ",
    ] {
        let heading = table.find("what limits the comparison").unwrap();
        assert!(table.find(expected).unwrap() > heading, "{expected}: {table}");
    }
    let records = compare(&before, &alone, &["--format", "jsonl"]).1;
    let first: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!((first["record"].as_str(), first["subject"].as_str()), (Some("change"), Some("condition")));
}

#[test]
fn runs_that_cannot_be_compared_end_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let before = audit_demo(folder.path());
    let [one, other] = SERVERS.map(|server| {
        let name = format!("server-{}", server[3]);
        audit_changed(folder.path(), &name, |frame, addresses| {
            if addresses.contains(&server) { vec![frame.to_vec()] } else { Vec::new() }
        })
    });
    let (status, _, messages) = compare(&one, &other, &[]);
    assert_eq!(status, Some(2));
    let expected = "no server was audited in both runs; before: 10.1.0.4; after: 10.1.0.5\n";
    assert!(messages.ends_with(expected), "{messages}");
    let (status, _, messages) = compare(&before, &folder.path().join("nothing"), &[]);
    assert!(status == Some(2) && messages.contains("no such file or folder"), "{messages}");
    let findings = before.join("findings.csv");
    fs::write(&findings, fs::read_to_string(&findings).unwrap().replace("high", "low")).unwrap();
    let (status, _, messages) = compare(&before, &before, &[]);
    assert!(
        status == Some(2) && messages.contains("findings.csv: not as the manifest describes it"),
        "{messages}"
    );
}

#[test]
fn problems_from_the_field_before_and_after_are_compared() {
    let Some(field) = shared_folder("field") else { return };
    let folder = tempfile::tempdir().unwrap();
    let audit = |case: &str| {
        let (case, evidence) = (field.join(case), folder.path().join(case));
        analyze(&case.join("capture.pcap"), &case.join("site.toml"), &evidence);
        evidence
    };
    let (blocked, allowed) = (audit("c25b-noise-blocked"), audit("c25-windows-noise"));
    let (_, table, _) = compare(&blocked, &allowed, &[]);
    assert!(
        table.contains("fixed requirement, required: 10.1.0.4 Azure File Sync in West Europe"),
        "{table}"
    );
    assert!(table.contains("gone finding, required: 10.1.0.4 westeurope01.afs.azure.net"), "{table}");
    // Certificate revocation lists on port 80 are blocked after.
    let (status, table, _) = compare(&audit("c16-pkiops-port-80"), &audit("c16b-pkiops-blocked"), &[]);
    assert_eq!(status, Some(1));
    assert!(
        table.contains("worse requirement: 10.1.0.4 oneocsp.microsoft.com: reached -> blocked"),
        "{table}"
    );
}

#[test]
fn the_page_of_a_comparison_opens_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (audit_demo(folder.path()), audit_allowed(folder.path()));
    let [page, again] = ["page.html", "again.html"].map(|name| folder.path().join(name));
    for path in [&page, &again] {
        assert_eq!(compare(&before, &after, &["-q", "--html", path.to_str().unwrap()]).0, Some(0));
    }
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(text, fs::read_to_string(&again).unwrap());
    for expected in
        ["Nothing got worse", "fixed requirement: Azure File Sync in West Europe", "blocked (tcp-unanswered)"]
    {
        assert!(text.contains(expected), "{expected}");
    }
    check_in_browser(&page);
    assert_eq!(compare(&after, &before, &["-q", "--html", page.to_str().unwrap()]).0, Some(1));
    let text = fs::read_to_string(&page).unwrap();
    let worse = "Azure File Sync in West Europe, from 10.1.0.5: reached before, blocked (tcp-unanswered) now";
    assert!(text.contains(worse), "{text}");
}
