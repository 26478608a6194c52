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

/// What is between `begin` and `end` in the source of a test: `"ip", "nft"`.
fn between<'a>(source: &'a str, begin: &str, end: &str) -> impl Iterator<Item = &'a str> {
    source.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}

/// On a new machine, a program that is not in this script is a test that does not run.
#[test]
fn each_program_that_a_test_looks_for_is_installed() {
    let script = fs::read_to_string(Path::new(REPOSITORY).join("tools/test-tools")).unwrap();
    let packages = between(&script, "<<END\n", "\nEND").next().unwrap();
    let mut known: Vec<&str> = packages.lines().filter_map(|line| line.split(' ').next()).collect();
    // Of the shell and of coreutils, which every Debian has.
    known.extend(["kill", "mkfifo"]);
    let mut found = 0;
    for file in files_below(&Path::new(REPOSITORY).join("tests")) {
        if file.extension().is_none_or(|extension| extension != "rs") || file.ends_with("install.rs") {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        let lists =
            between(&source, "root_with_tools(&[", "]").chain(between(&source, "const TOOLS: ", ";\n"));
        let listed = lists.flat_map(|list| list.split('"').skip(1).step_by(2));
        let named = between(&source, "missing programs: ", "\"").filter(|name| !name.starts_with('{'));
        for program in listed.chain(named) {
            found += 1;
            assert!(known.contains(&program), "{}: {program} is not in tools/test-tools", file.display());
        }
    }
    assert!(found > 20, "{found} programs: the lists of tests are read");
}
