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
use afs_audit::judge::FindingCode;
use afs_audit::judge::InconclusiveReason;
use afs_audit::judge::Mechanism;

use support::audit::audit;
use support::files::map_parallel;
use support::golden;
use support::golden::cases;
use support::prerequisites::root_with_tools;

/// A row of `labels.tsv`.
struct Label {
    scenario: String,
    is_guilty: bool,
    /// The mechanism, or the code of a finding.
    mechanism: String,
    /// At least so sure, or at most; none for not at all.
    confidence: Option<Confidence>,
}

fn labels(folder: &Path) -> Vec<Label> {
    let text = std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    let label = |line: &str| {
        let [scenario, kind, mechanism, confidence, _, what] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            unreachable!("six columns: {line}");
        };
        assert!(!what.is_empty(), "{scenario}: no word about it");
        Label {
            scenario: scenario.to_owned(),
            is_guilty: kind == "guilty",
            mechanism: mechanism.to_owned(),
            confidence: [Confidence::Weak, Confidence::Strong, Confidence::Certain]
                .into_iter()
                .find(|known| known.as_str() == confidence),
        }
    };
    text.lines().skip(1).map(label).collect()
}

/// Mechanisms of flows, codes and mechanisms of findings about blocking, each with its confidence.
fn accusations(capture: &Path) -> BTreeSet<(String, Option<Confidence>)> {
    let run = audit(&[capture.to_owned()]).unwrap();
    let blocked = run.flows.iter().filter_map(|row| Some((row.assessment.mechanism()?, row.assessment)));
    let mut said: BTreeSet<_> =
        blocked.map(|(mechanism, by)| (mechanism.to_string(), by.confidence())).collect();
    for finding in &run.result.judgement.findings {
        let is_about_blocking =
            ["AFS109", "AFS2", "AFS3"].iter().any(|code| finding.code.as_str().starts_with(code));
        if is_about_blocking {
            said.insert((finding.code.to_string(), finding.confidence));
            said.extend(finding.mechanism.map(|mechanism| (mechanism.to_string(), finding.confidence)));
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
    for (Label { scenario, is_guilty, mechanism, confidence }, said) in labels.iter().zip(&all) {
        let is_right = if *is_guilty {
            said.iter().any(|(by, sure)| by == mechanism && sure >= confidence)
        } else {
            said.iter().all(|(_, sure)| confidence.is_some() && sure <= confidence)
        };
        if !is_right {
            let kind = if *is_guilty { "guilty" } else { "innocent" };
            writeln!(wrong, "{scenario} ({kind}, {mechanism} {confidence:?}): {said:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "not as labelled:\n{wrong}");
}

/// What findings say besides, for scenarios that were made to show it.
const SAID: &[(&str, &str)] = &[
    ("address-filter", "the address seems to be filtered"),
    ("reset-after-hello", "so the name seems to be filtered"),
    ("worked-then-stopped", "it had worked until"),
    ("unreachable-once", "it worked later"),
    ("reject-admin-prohibited", "an ICMP error from 10.9."),
    ("injected-reset", "a different TTL or hop limit"),
    ("block-page-vendor", "a page of Squid"),
    ("version-refused-by-client", "chose a TLS version older than 1.2 (0x0301)"),
];

#[test]
fn findings_say_what_else_the_capture_shows() {
    for (scenario, clause) in SAID {
        let run = audit(&[shipped().join(format!("{scenario}.pcap"))]).unwrap();
        let said: Vec<&str> = run.result.judgement.findings.iter().map(|row| row.message.as_str()).collect();
        assert!(said.iter().any(|sentence| sentence.contains(clause)), "{scenario}: {said:#?}");
    }
}

/// A finding with a mechanism has the code that the mechanism belongs to.
#[test]
fn mechanisms_belong_to_their_findings() {
    for label in labels(&shipped()) {
        let run = audit(&[shipped().join(format!("{}.pcap", label.scenario))]).unwrap();
        for finding in &run.result.judgement.findings {
            let code = finding.mechanism.map_or(finding.code, Mechanism::finding);
            assert_eq!(code, finding.code, "{}: {}", label.scenario, finding.message);
        }
    }
}

/// Each finding, mechanism and reason occurs in a capture, of the lab or of those beside it.
#[test]
fn each_finding_mechanism_and_reason_has_a_capture() {
    let labels = labels(&shipped());
    let of_the_lab = map_parallel(&labels, |label| {
        let run = audit(&[shipped().join(format!("{}.pcap", label.scenario))]).unwrap();
        let mut words: Vec<&str> = Vec::new();
        for row in &run.result.judgement.findings {
            words.push(row.code.as_str());
            words.extend(row.mechanism.map(Mechanism::as_str));
        }
        for row in &run.flows {
            words.extend(row.assessment.mechanism().map(Mechanism::as_str));
            words.extend(row.assessment.reason().map(InconclusiveReason::as_str));
        }
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    let mut shown: BTreeSet<String> = of_the_lab.into_iter().flatten().collect();
    for row in cases().iter().flat_map(|case| golden::expected(case)) {
        shown.extend(["code", "mechanism", "inconclusive_reason"].map(|column| row.cell(column).to_owned()));
    }
    let codes = FindingCode::ALL.iter().map(|code| code.as_str());
    let mechanisms = Mechanism::ALL.iter().map(|mechanism| mechanism.as_str());
    let reasons = InconclusiveReason::ALL.iter().map(|reason| reason.as_str());
    let words = codes.chain(mechanisms).chain(reasons);
    let missing: Vec<&str> = words.filter(|word| !shown.contains(*word)).collect();
    assert!(missing.is_empty(), "no capture shows {missing:?}");
}

/// In TLS 1.3 the certificate is encrypted, so that TLS inspection cannot be ruled out.
#[test]
fn flows_without_a_visible_certificate_are_counted() {
    let gaps = |scenario: &str| {
        audit(&[shipped().join(format!("{scenario}.pcap"))]).unwrap().result.judgement.gaps.join("; ")
    };
    assert!(gaps("fine-tls13").contains("cannot be ruled out"), "{}", gaps("fine-tls13"));
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
