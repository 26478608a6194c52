//! The lab: was it blocked, how, and how sure are we. Every scenario is labelled by how it was made.
//!
//! `captures/lab` holds a capture of each scenario and `labels.tsv`. A guilty one must be found, by the mechanism of its
//! label and at least as surely; an innocent one may not be accused more surely than its label allows: `none`, or `weak`
//! where nobody on the client's side can tell the difference.
//!
//! The whole lab is also made anew, with this machine's kernel, where that is possible: as root, with the tools. Under CI it
//! must be.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::judge::Confidence;
use afs_audit::judge::Outcome;
use afs_audit::judge::catalogue;
use afs_audit::judge::reason;
use afs_audit::judge::reasons;
use afs_audit::judge::signature;
use afs_audit::judge::signatures;

use support::audit::audit;
use support::files::map_parallel;
use support::golden;
use support::golden::cases;
use support::prerequisites::root_with_tools;

/// A row of `labels.tsv`.
struct Label {
    scenario: String,
    is_guilty: bool,
    /// The signature, or the code of a finding.
    signature: String,
    /// At least so sure, or at most; none for not at all.
    confidence: Option<Confidence>,
}

fn labels(folder: &Path) -> Vec<Label> {
    let text = std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    let label = |line: &str| {
        let [scenario, kind, signature, confidence, _, what] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            unreachable!("six columns: {line}");
        };
        assert!(!what.is_empty(), "{scenario}: no word about it");
        Label {
            scenario: scenario.to_owned(),
            is_guilty: kind == "guilty",
            signature: signature.to_owned(),
            confidence: [Confidence::Weak, Confidence::Strong, Confidence::Certain]
                .into_iter()
                .find(|known| known.as_str() == confidence),
        }
    };
    text.lines().skip(1).map(label).collect()
}

/// What a capture is accused of, and how surely: signatures of flows, codes of findings, signatures that findings name.
fn accusations(capture: &Path) -> BTreeSet<(String, Option<Confidence>)> {
    let run = audit(&[capture.to_owned()]).unwrap();
    let blocked = run.flows.iter().filter(|row| row.outcome == Outcome::BlockedLooking);
    let mut said: BTreeSet<_> = blocked.map(|row| (row.signature.to_owned(), row.confidence)).collect();
    for finding in &run.result.judgement.findings {
        let is_about_blocking = ["AFS109", "AFS2", "AFS3"].iter().any(|code| finding.code.starts_with(code));
        if is_about_blocking {
            said.insert((finding.code.to_owned(), finding.confidence));
            said.insert((finding.mechanism.to_owned(), finding.confidence));
        }
    }
    said
}

/// Holds every capture of a folder against its label.
fn judge(folder: &Path) {
    let labels = labels(folder);
    let guilty = labels.iter().filter(|label| label.is_guilty).count();
    assert!(labels.len() >= 60 && labels.len() - guilty >= 20, "{} scenarios, {guilty} guilty", labels.len());
    let all = map_parallel(&labels, |label| accusations(&folder.join(format!("{}.pcap", label.scenario))));
    let mut wrong = String::new();
    for (Label { scenario, is_guilty, signature, confidence }, said) in labels.iter().zip(&all) {
        let is_right = if *is_guilty {
            said.iter().any(|(by, sure)| by == signature && sure >= confidence)
        } else {
            said.iter().all(|(_, sure)| confidence.is_some() && sure <= confidence)
        };
        if !is_right {
            let kind = if *is_guilty { "guilty" } else { "innocent" };
            writeln!(wrong, "{scenario} ({kind}, {signature} {confidence:?}): {said:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "not as labelled:\n{wrong}");
}

/// What findings say besides, for scenarios that were made to show it.
const SAID: &[(&str, &str)] = &[
    ("address-filter", "the address seems to be filtered"),
    ("reset-after-hello", "so that the name seems to be filtered"),
    ("worked-then-stopped", "it had worked until"),
    ("unreachable-once", "it worked later"),
    ("reject-admin-prohibited", "an ICMP error from 10.9."),
    ("injected-reset", "another hop limit"),
    ("block-page-vendor", "a page of Squid"),
    ("version-refused-by-client", "chose a TLS older than 1.2 (0x0301)"),
];

#[test]
fn findings_say_what_else_the_capture_shows() {
    for (scenario, clause) in SAID {
        let run = audit(&[shipped().join(format!("{scenario}.pcap"))]).unwrap();
        let said: Vec<&str> = run.result.judgement.findings.iter().map(|row| row.message.as_str()).collect();
        assert!(said.iter().any(|sentence| sentence.contains(clause)), "{scenario}: {said:#?}");
    }
}

/// Whatever a row says in `signature` can be asked of `explain`, and each signature is of the finding that names it.
#[test]
fn every_signature_is_explained() {
    for label in labels(&shipped()) {
        let run = audit(&[shipped().join(format!("{}.pcap", label.scenario))]).unwrap();
        for row in &run.flows {
            let known = match row.outcome {
                Outcome::Ok => row.signature.is_empty(),
                Outcome::BlockedLooking => signature(row.signature).is_some(),
                Outcome::Inconclusive => reason(row.signature).is_some(),
            };
            assert!(known, "{}: {}", label.scenario, row.signature);
        }
        for finding in run.result.judgement.findings.iter().filter(|finding| !finding.mechanism.is_empty()) {
            let of = signature(finding.mechanism).map(|known| known.code);
            assert_eq!(of, Some(finding.code), "{}: {}", label.scenario, finding.mechanism);
        }
    }
    for known in signatures() {
        let explained = known.explanation().unwrap();
        for text in [explained.looks_like, explained.cause, explained.action, explained.else_could_be] {
            assert!(!text.is_empty(), "{}", known.word);
        }
    }
}

/// Whatever the tool can find is found in some capture, of the lab or of those beside it.
#[test]
fn every_finding_and_every_signature_has_a_capture() {
    let labels = labels(&shipped());
    let of_the_lab = map_parallel(&labels, |label| {
        let run = audit(&[shipped().join(format!("{}.pcap", label.scenario))]).unwrap();
        let findings = run.result.judgement.findings.iter().flat_map(|row| [row.code, row.mechanism]);
        findings.chain(run.flows.iter().map(|row| row.signature)).map(str::to_owned).collect::<Vec<_>>()
    });
    let mut shown: BTreeSet<String> = of_the_lab.into_iter().flatten().collect();
    for row in cases().iter().flat_map(|case| golden::expected(case)) {
        shown.extend(["code", "mechanism", "inconclusive_reason"].map(|column| row.cell(column).to_owned()));
    }
    let codes = catalogue().map(|known| known.code);
    let words = signatures().map(|known| known.word).chain(reasons().map(|(word, _)| *word));
    let missing: Vec<&str> = codes.chain(words).filter(|known| !shown.contains(*known)).collect();
    assert!(missing.is_empty(), "no capture shows {missing:?}");
}

/// Under TLS 1.3 nobody can see whether a box opened it: said, and never called clean.
#[test]
fn what_cannot_be_observed_is_said() {
    let gaps = |scenario: &str| {
        audit(&[shipped().join(format!("{scenario}.pcap"))]).unwrap().result.judgement.gaps.join("; ")
    };
    assert!(gaps("fine-tls13").contains("not observable"), "{}", gaps("fine-tls13"));
    assert!(gaps("intercepted").contains("1 of 2 TLS flows"), "{}", gaps("intercepted"));
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/lab")
}

#[test]
fn every_scenario_is_judged_as_it_was_made() {
    judge(&shipped());
}

/// Everything that the recipe runs.
const TOOLS: [&str; 8] =
    ["ip", "nft", "dnsmasq", "tcpdump", "openssl", "gnutls-serv", "tinyproxy", "python3"];

#[test]
fn the_lab_made_anew_is_judged_the_same() {
    if !root_with_tools(&TOOLS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(shipped().join("run")).arg("--into").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = |folder: &Path| std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    assert_eq!(text(folder.path()), text(&shipped()), "labels.tsv is the recipe's");
    judge(folder.path());
}
