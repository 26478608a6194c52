//! How many instructions an audit takes: the one measure of speed that does not depend on the machine.
//!
//! Callgrind counts them for a small capture, which is mostly the start of the program, and for several hundred short flows. The
//! counts of `budget.tsv` are those of unoptimised code, because that is what tests build; an algorithm that has become slower
//! shows there as well. `BLESS=1 cargo test --test budget` records new counts. For the optimised program see `make profile`.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::prerequisites::not_run;
use support::prerequisites::shared_folder;

/// Parts of a hundred by which a count may differ.
const TOLERANCE: u64 = 3;

/// The same where another compiler built the program.
const TOLERANCE_OF_OTHER_COMPILERS: u64 = 30;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/budget.tsv");

#[test]
fn audits_stay_within_their_instructions() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        not_run("missing programs: valgrind");
        return;
    }
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    let mut counted = vec![("demo", instructions(&demo))];
    if let Some(flows) = generated_flows() {
        counted.push(("flows", instructions(&flows)));
    }
    if std::env::var_os("BLESS").is_some() {
        let rows = counted.iter().map(|(name, count)| format!("{name}\t{count}\t{}\n", compiler()));
        let text = format!("capture\tinstructions\tcompiler\n{}", rows.collect::<String>());
        std::fs::write(BUDGET, text).unwrap();
        return;
    }
    let budget = std::fs::read_to_string(BUDGET).unwrap();
    for (name, count) in counted {
        let row: Vec<&str> = budget
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .find(|row| row.first() == Some(&name))
            .unwrap();
        let [_, recorded, by] = row.as_slice() else { panic!("{BUDGET}: a row has three columns") };
        let recorded: u64 = recorded.parse().unwrap();
        let percent = if *by == compiler() { TOLERANCE } else { TOLERANCE_OF_OTHER_COMPILERS };
        assert!(
            count.abs_diff(recorded) * 100 <= recorded * percent,
            "{name}: {count} instructions, recorded are {recorded}: find out why (make profile), or record the new count"
        );
    }
}

/// Several hundred short flows as a span port shows them.
fn generated_flows() -> Option<PathBuf> {
    let script = shared_folder("bench")?.join("gen_capture.py");
    let capture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("budget.pcap");
    let mut generator = Command::new("python3");
    generator.arg(script).args(["--shape", "flows", "--flows", "300", "--out"]).arg(&capture);
    assert!(generator.output().unwrap().status.success());
    Some(capture)
}

fn instructions(capture: &Path) -> u64 {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            env!("CARGO_BIN_EXE_afs-audit"),
            "analyze",
        ])
        .args(["--quiet", "--format", "csv", "--fail-on", "never", "--threads", "1"])
        .arg(capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stderr).unwrap();
    let line = printed.lines().find_map(|line| line.split_once("refs:")).unwrap();
    line.1.trim().replace(',', "").parse().unwrap()
}

fn compiler() -> String {
    let version = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into())).arg("--version").output();
    String::from_utf8(version.unwrap().stdout).unwrap().trim().to_owned()
}
