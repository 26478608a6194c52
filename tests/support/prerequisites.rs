//! What a test needs beyond this repository.
//!
//! A test that cannot run is recorded in `target/tmp/tests-not-run.tsv`. `make test` prints and counts these tests at its
//! end. With `CI` set, such a test fails.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Records that the current test, or the named part of it, did not run.
pub fn not_run(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed");
    let line = format!("{}\t{test}\t{reason}\n", env!("CARGO_CRATE_NAME"));
    let record = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tests-not-run.tsv");
    // One write per line: test processes append at the same time.
    OpenOptions::new().create(true).append(true).open(record).unwrap().write_all(line.as_bytes()).unwrap();
    eprintln!("not run: {reason}");
    assert!(std::env::var_os("CI").is_none(), "not run in CI: {reason}");
}

/// The folder `name` of the shared data next to the repository: the corpus of public captures, the generator, ….
pub fn shared_folder(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    not_run(&format!("no folder ../shared/{name}"));
    None
}

/// Whether the test runs as root and finds these programs.
pub fn root_with_tools(tools: &[&str]) -> bool {
    let shell = |command: &str| Command::new("sh").args(["-c", command]).output().unwrap();
    let is_root = shell("id -u").stdout == b"0\n";
    let found =
        |tool: &&&str| shell(&format!("PATH=$PATH:/usr/sbin:/sbin command -v {tool}")).status.success();
    let missing: Vec<&str> = tools.iter().filter(|tool| !found(tool)).copied().collect();
    if !is_root {
        not_run("needs root");
    } else if !missing.is_empty() {
        not_run(&format!("missing programs: {}", missing.join(", ")));
    }
    is_root && missing.is_empty()
}
