//! The documents mention only files and tests that exist.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

use std::path::Path;
use std::path::PathBuf;

const FOLDERS: [&str; 12] = [
    "src/",
    "tests/",
    "captures/",
    "examples/",
    "benches/",
    "fuzz/",
    "tools/",
    "docs/",
    "rules/",
    "contrib/",
    ".ci/",
    "target/tmp/",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: &str| std::fs::read_dir(repository().join(folder)).unwrap();
    let files = in_folder("").chain(in_folder("docs")).map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn paths_in_documents_exist() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        // Every second part is between backticks.
        for quoted in text.split('`').skip(1).step_by(2) {
            let quoted = quoted.split("::").next().unwrap();
            let is_path = FOLDERS.iter().any(|folder| quoted.starts_with(folder))
                && !quoted.contains(['<', '…', '*', ' ', '\n'])
                && !quoted.starts_with("target/");
            if is_path && !repository().join(quoted).exists() {
                missing.push(format!("{}: {quoted}", document.display()));
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !link.contains("://") && !path.is_empty() && !document.parent().unwrap().join(path).exists() {
                missing.push(format!("{}: link to {link}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// `docs/promises.md` names tests as `file::test`.
#[test]
fn named_tests_exist() {
    let text = std::fs::read_to_string(repository().join("docs/promises.md")).unwrap();
    let named: Vec<(&str, &str)> =
        text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(".rs::")).collect();
    assert!(named.len() > 50, "tests are named: {}", named.len());
    let missing = |(file, test): &&(&str, &str)| {
        let source = std::fs::read_to_string(repository().join(format!("{file}.rs"))).unwrap_or_default();
        !source.contains(&format!("fn {test}("))
    };
    let missing: Vec<_> = named.iter().filter(missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Each subject of the documents' statements is cited by a check or left out for a stated reason.
#[test]
fn every_statement_has_a_check_or_a_reason() {
    let listed = std::fs::read_to_string(repository().join("docs/statements.md")).unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(subject) = line.strip_prefix("about = \"").and_then(|rest| rest.strip_suffix('"'))
            else {
                continue;
            };
            count += 1;
            if !listed.contains(&format!("`{subject}`")) {
                missing.push(format!("{}: {subject}", path.display()));
            }
        }
    }
    assert!(count > 50, "statements are found: {count}");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Findings of group AFS4 compare traffic with the site file.
#[test]
fn each_finding_about_a_site_is_explained_with_its_section() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_afs-audit")).arg("explain").output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let page = std::fs::read_to_string(repository().join("docs/site-file.md")).unwrap();
    let codes: Vec<&str> = listed.split_whitespace().filter(|word| word.starts_with("AFS4")).collect();
    assert!(codes.len() > 15, "{listed}");
    for code in codes {
        assert!(page.contains(code), "docs/site-file.md does not name {code}");
    }
}
