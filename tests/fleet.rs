//! The audit of many sites on Spark, in contrib/spark, gives the rows of `analyze`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::path::Path;
use std::process::Command;

use support::prerequisites::not_run;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Runs tests of contrib/spark/tests/test_fleet.py with a real Spark.
fn run(tests: &[&str]) {
    let made = Command::new(Path::new(REPOSITORY).join("tools/spark-venv")).output().unwrap();
    if !made.status.success() {
        let message =
            String::from_utf8_lossy(&made.stderr).trim().lines().next_back().unwrap_or_default().to_owned();
        return not_run(&format!("no Spark: {message}"));
    }
    let python = String::from_utf8(made.stdout).unwrap();
    let output = Command::new(python.trim())
        .args(["-W", "ignore", "-m", "unittest", "-v"])
        .args(tests)
        .current_dir(Path::new(REPOSITORY).join("contrib/spark"))
        .env("AFS_AUDIT", env!("CARGO_BIN_EXE_afs-audit"))
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One after the other: each takes all cores, and both make the same environment.
#[test]
fn rows_on_spark_are_those_of_one_machine() {
    run(&["tests.test_fleet.WithoutSpark", "tests.test_fleet.LocalMode", "tests.test_fleet.Submitted"]);
    run(&["tests.test_fleet.LocalCluster"]);
}
