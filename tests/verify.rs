//! `verify` and `sign`: what is found in an evidence folder that was changed.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod support;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::prerequisites::not_run;

/// Runs the program: exit status, standard output, standard error.
fn afs_audit(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo").join(file)
}

/// The evidence of the demo, and what the run printed on standard error.
fn evidence(folder: &Path, more: &[&str]) -> (String, String) {
    let evidence = folder.join("evidence").to_str().unwrap().to_owned();
    let (capture, site) = (demo("capture.pcap"), demo("site.toml"));
    let run = ["analyze", capture.to_str().unwrap(), "--site", site.to_str().unwrap(), "-o", &evidence];
    let (status, _, messages) = afs_audit(&[run.as_slice(), &["--fail-on", "never"], more].concat());
    assert_eq!(status, Some(0), "{messages}");
    (evidence, messages)
}

#[test]
fn the_digest_that_a_run_prints_finds_a_changed_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let (evidence, messages) = evidence(folder.path(), &[]);
    let (first, advice) = messages.split_once('\n').unwrap();
    let (file, digest) = first.split_once(": ").unwrap();
    assert_eq!(file, format!("SHA-256 of {evidence}/manifest.json"));
    assert!(advice.starts_with("keep it elsewhere"), "{messages}");

    let (status, files, _) = afs_audit(&["verify", &evidence, "--digest", digest]);
    assert_eq!(status, Some(0), "{files}");
    assert!(files.contains("as given") && files.contains("input   "), "{files}");
    let manifest = Path::new(&evidence).join("manifest.json");
    let changed = fs::read_to_string(&manifest).unwrap().replace("\"rows\": 28", "\"rows\": 27");
    fs::write(&manifest, changed).unwrap();
    assert_eq!(afs_audit(&["verify", "-q", &evidence]).0, Some(0), "the hashes are right");
    let (status, files, _) = afs_audit(&["verify", &evidence, "--digest", digest]);
    assert_eq!(status, Some(1));
    assert!(files.contains("DIFFERS from the given one"), "{files}");
    let (status, _, messages) = afs_audit(&["verify", &evidence, "--digest", "af87"]);
    assert!(status == Some(2) && messages.contains("64 hexadecimal digits"), "{messages}");
}

#[test]
fn a_quiet_run_prints_no_digest() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(evidence(folder.path(), &["-q"]).1, "");
}

#[test]
fn each_difference_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (evidence, _) = evidence(folder.path(), &["-q"]);
    let path = |name: &str| Path::new(&evidence).join(name);
    let lf = fs::read_to_string(path("flows.csv")).unwrap().replace("\r\n", "\n");
    fs::write(path("flows.csv"), lf).unwrap();
    let spoilt = fs::read_to_string(path("findings.csv")).unwrap().replace("high", "low");
    fs::write(path("findings.csv"), spoilt).unwrap();
    fs::remove_file(path("dns.csv")).unwrap();
    fs::write(path("notes\u{1b}[31m.txt"), "mine").unwrap();
    let (status, files, _) = afs_audit(&["verify", &evidence]);
    assert_eq!(status, Some(1));
    for line in [
        "output  flows.csv: line endings converted to LF; the content is unchanged",
        "output  findings.csv: CHANGED: ",
        "output  requirements.csv: unchanged",
        "output  dns.csv: MISSING",
        "other   notes\\x1b[31m.txt: NOT OF THIS RUN",
    ] {
        assert!(files.contains(line), "{line}: {files}");
    }
}

/// Creates an SSH key and a list of signers that contains it; none without ssh-keygen.
fn key(folder: &Path, name: &str) -> Option<[String; 2]> {
    let path = folder.join(name);
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path.to_str().unwrap()];
    let Ok(output) = Command::new("ssh-keygen").args(arguments).output() else {
        not_run("missing programs: ssh-keygen");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    let signers = folder.join(format!("{name}-signers"));
    fs::write(&signers, format!("{name}@example.com {public}")).unwrap();
    Some([path, signers].map(|path| path.to_str().unwrap().to_owned()))
}

#[test]
fn a_signature_finds_a_changed_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let Some([key_file, signers]) = key(folder.path(), "auditor") else { return };
    let Some([_, others]) = key(folder.path(), "stranger") else { return };
    let (evidence, _) = evidence(folder.path(), &["-q"]);
    let verify = |more: &[&str]| afs_audit(&[&["verify", &evidence], more].concat());
    let (status, _, messages) = verify(&["--allowed-signers", &signers]);
    assert!(status == Some(2) && messages.contains("no such file"), "{messages}");
    let (status, printed, messages) = afs_audit(&["sign", &evidence, "--key", &key_file]);
    assert_eq!(status, Some(0), "{messages}");
    assert!(printed.ends_with("evidence/manifest.json.sig\n"), "{printed}");

    let (status, printed, messages) = verify(&["--allowed-signers", &signers]);
    assert_eq!(status, Some(0), "{messages}");
    assert!(printed.contains("signature: good, by auditor@example.com\n"), "{printed}");
    assert_eq!(verify(&["--allowed-signers", &signers, "--identity", "auditor@example.com"]).0, Some(0));
    assert_eq!(verify(&["--allowed-signers", &signers, "--identity", "stranger@example.com"]).0, Some(1));
    let (status, printed, _) = verify(&["--allowed-signers", &others]);
    assert_eq!(status, Some(1));
    assert!(printed.contains("signature: BAD: by a key that is not in "), "{printed}");
    assert!(verify(&[]).1.contains("manifest.json.sig is not checked without --allowed-signers"));

    // The signature is one that OpenSSH itself accepts.
    let manifest = Path::new(&evidence).join("manifest.json");
    let signature = format!("{evidence}/manifest.json.sig");
    let accepts = |namespace: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args([
            "-Y",
            "verify",
            "-f",
            &signers,
            "-I",
            "auditor@example.com",
            "-n",
            namespace,
            "-s",
            &signature,
        ]);
        command.stdin(fs::File::open(&manifest).unwrap()).output().unwrap().status.success()
    };
    assert!(accepts("afs-audit") && !accepts("file"));

    let changed = fs::read_to_string(&manifest).unwrap().replace("\"rows\": 28", "\"rows\": 27");
    fs::write(&manifest, changed).unwrap();
    let (status, printed, _) = verify(&["--allowed-signers", &signers]);
    assert_eq!(status, Some(1));
    assert!(printed.contains("signature: BAD: "), "{printed}");
}

#[test]
fn changed_evidence_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let Some([key, _]) = key(folder.path(), "auditor") else { return };
    let (evidence, _) = evidence(folder.path(), &["-q"]);
    fs::write(Path::new(&evidence).join("dns.csv"), "").unwrap();
    let (status, _, messages) = afs_audit(&["sign", &evidence, "--key", &key]);
    assert!(
        status == Some(2) && messages.contains("dns.csv: not as the manifest describes it"),
        "{messages}"
    );
}

#[test]
fn a_missing_ssh_keygen_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (evidence, _) = evidence(folder.path(), &["-q"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
    let output = command.args(["sign", &evidence, "--key", "key"]).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("ssh-keygen is not installed"));
}

/// Collects the keys of objects. Ids and names of counters are values.
fn keys_of(value: &serde_json::Value, keys: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => object.iter().for_each(|(key, value)| {
            let is_word = key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
            keys.extend(is_word.then(|| key.clone()));
            keys_of(value, keys);
        }),
        serde_json::Value::Array(list) => list.iter().for_each(|value| keys_of(value, keys)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_manifest_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let (evidence, _) = evidence(folder.path(), &["-q"]);
    let manifest = fs::read(Path::new(&evidence).join("manifest.json")).unwrap();
    let mut keys = std::collections::BTreeSet::new();
    keys_of(&serde_json::from_slice(&manifest).unwrap(), &mut keys);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest.md")).unwrap();
    // Verdicts and outcomes are in the reference of columns.
    let words = ["documented", "unexpected", "unidentified", "ok", "inconclusive", "443"];
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !words.contains(&key.as_str()) && !page.contains(&format!("`{key}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
