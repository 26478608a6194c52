//! The scripts that build and install.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

mod support;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

fn install_files(arguments: &[&str]) -> Output {
    let script = Path::new(REPOSITORY).join("tools/install-files");
    let output = Command::new(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn files_are_installed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    install_files(&[env!("CARGO_BIN_EXE_afs-audit"), "/opt/afs", root]);
    let installed = |path: &str| folder.path().join("opt/afs").join(path);
    for path in [
        "bin/afs-audit",
        "share/man/man1/afs-audit.1",
        "share/man/man1/afs-audit-rules-show.1",
        "share/bash-completion/completions/afs-audit",
        "share/zsh/site-functions/_afs-audit",
        "share/fish/vendor_completions.d/afs-audit.fish",
        "share/doc/afs-audit/LICENSE-MIT",
    ] {
        assert!(fs::metadata(installed(path)).unwrap().len() > 0, "{path}");
    }
    assert_eq!(fs::metadata(installed("bin/afs-audit")).unwrap().permissions().mode() & 0o777, 0o755);
    let unit = fs::read_to_string(installed("lib/systemd/system/afs-audit.service")).unwrap();
    assert!(unit.contains("ExecStart=/opt/afs/bin/afs-audit live -i "), "{unit}");

    let other = installed("bin/other");
    fs::write(&other, "").unwrap();
    install_files(&["--remove", "/opt/afs", root]);
    assert_eq!(files_below(folder.path()), [other], "files of others are kept");
}

/// A machine without a C compiler and without apt-get.
#[test]
fn a_missing_compiler_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["sh", "make", "dirname", "mktemp", "rm", "id", "test", "echo", "true"] {
        let found = ["/usr/bin", "/bin"]
            .map(|bin| Path::new(bin).join(program))
            .into_iter()
            .find(|path| path.exists());
        let Some(found) = found else {
            return support::prerequisites::not_run(&format!("{program} is missing"));
        };
        symlink(found, folder.path().join(program)).unwrap();
    }
    let output = Command::new(folder.path().join("make"))
        .args(["-C", REPOSITORY, "build", "CARGO=/bin/true"])
        .env("PATH", folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("missing packages: gcc libc6-dev\n"), "{stderr}");
    assert!(stderr.contains("no C compiler found: Rust needs one to link programs\n"), "{stderr}");
    assert!(!stderr.contains("libpcap"), "nothing else is tried: {stderr}");
}
