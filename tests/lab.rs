//! The lab of blocked and normal traffic. Each scenario has a label that is true by construction.
//!
//! `captures/lab` holds a capture of each scenario, and `labels.tsv`. Blocked traffic must be found, with the mechanism of
//! the label and at least its confidence. Normal traffic may not be reported with a higher confidence than the label
//! allows: `none`, or `weak` where the client's side cannot tell the difference.
//!
//! As root and with its programs, the whole lab is also recorded again, with the kernel of this machine.

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
    is_blocked: bool,
    /// The mechanism, or the code of a finding.
    mechanism: String,
    /// The least confidence of blocked traffic, or the highest of normal traffic.
    confidence: Option<Confidence>,
}

fn labels(folder: &Path) -> Vec<Label> {
    let text = std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    let label = |line: &str| {
        let [scenario, kind, mechanism, confidence, _, what] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            unreachable!("six columns: {line}");
        };
        assert!(!what.is_empty(), "{scenario}: no description");
        Label {
            scenario: scenario.to_owned(),
            is_blocked: kind == "blocked",
            mechanism: mechanism.to_owned(),
            confidence: [Confidence::Weak, Confidence::Strong, Confidence::Certain]
                .into_iter()
                .find(|known| known.as_str() == confidence),
        }
    };
    text.lines().skip(1).map(label).collect()
}

/// What is reported as blocked, with confidence: mechanisms of flows, codes and mechanisms of findings.
fn reported(capture: &Path) -> BTreeSet<(String, Option<Confidence>)> {
    let run = audit(&[capture.to_owned()]).unwrap();
    let blocked = run.flows.iter().filter_map(|row| Some((row.assessment.mechanism()?, row.assessment)));
    let mut reported: BTreeSet<_> =
        blocked.map(|(mechanism, by)| (mechanism.to_string(), by.confidence())).collect();
    for finding in &run.result.judgement.findings {
        let is_about_blocking =
            ["AFS109", "AFS2", "AFS3"].iter().any(|code| finding.code.as_str().starts_with(code));
        if is_about_blocking {
            reported.insert((finding.code.to_string(), finding.confidence));
            reported.extend(finding.mechanism.map(|mechanism| (mechanism.to_string(), finding.confidence)));
        }
    }
    reported
}

/// Compares every capture of a folder with its label.
fn check_labels(folder: &Path) {
    let labels = labels(folder);
    let blocked = labels.iter().filter(|label| label.is_blocked).count();
    assert!(
        labels.len() >= 60 && labels.len() - blocked >= 20,
        "{} scenarios, {blocked} blocked",
        labels.len()
    );
    let all = map_parallel(&labels, |label| reported(&folder.join(format!("{}.pcap", label.scenario))));
    let mut wrong = String::new();
    for (Label { scenario, is_blocked, mechanism, confidence }, reported) in labels.iter().zip(&all) {
        let is_right = if *is_blocked {
            reported.iter().any(|(by, sure)| by == mechanism && sure >= confidence)
        } else {
            reported.iter().all(|(_, sure)| confidence.is_some() && sure <= confidence)
        };
        if !is_right {
            let kind = if *is_blocked { "blocked" } else { "normal" };
            writeln!(wrong, "{scenario} ({kind}, {mechanism} {confidence:?}): {reported:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "other than labelled:\n{wrong}");
}

/// Other evidence that the message of a finding mentions, by scenario.
const OTHER_EVIDENCE: &[(&str, &str)] = &[
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
fn messages_mention_other_evidence_of_the_capture() {
    for (scenario, clause) in OTHER_EVIDENCE {
        let run = audit(&[lab().join(format!("{scenario}.pcap"))]).unwrap();
        let messages: Vec<&str> =
            run.result.judgement.findings.iter().map(|row| row.message.as_str()).collect();
        assert!(messages.iter().any(|message| message.contains(clause)), "{scenario}: {messages:#?}");
    }
}

/// A finding with a mechanism has the code that the mechanism belongs to.
#[test]
fn mechanisms_belong_to_their_findings() {
    for label in labels(&lab()) {
        let run = audit(&[lab().join(format!("{}.pcap", label.scenario))]).unwrap();
        for finding in &run.result.judgement.findings {
            let code = finding.mechanism.map_or(finding.code, Mechanism::finding);
            assert_eq!(code, finding.code, "{}: {}", label.scenario, finding.message);
        }
    }
}

/// Every finding, mechanism and reason is shown by a scenario of the lab, by a situation or by a case.
#[test]
fn every_finding_and_mechanism_has_a_capture() {
    let scenarios = labels(&lab()).into_iter().map(|label| lab().join(format!("{}.pcap", label.scenario)));
    let situations = lab().with_file_name("situations");
    let situations = std::fs::read_dir(situations).unwrap().map(|entry| entry.unwrap().path());
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pcap");
    let captures: Vec<PathBuf> = scenarios.chain(situations.filter(is_capture)).collect();
    let in_captures = map_parallel(&captures, |capture| {
        let run = audit(std::slice::from_ref(capture)).unwrap();
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
    let mut shown: BTreeSet<String> = in_captures.into_iter().flatten().collect();
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

/// TLS 1.3 hides the certificate, so TLS inspection cannot be ruled out: the limits of the capture mention it.
#[test]
fn hidden_certificates_are_reported_as_a_limit() {
    let gaps = |scenario: &str| {
        audit(&[lab().join(format!("{scenario}.pcap"))]).unwrap().result.judgement.gaps.join("; ")
    };
    assert!(gaps("fine-tls13").contains("cannot be ruled out"), "{}", gaps("fine-tls13"));
    assert!(gaps("intercepted").contains("1 of 2 TLS flows"), "{}", gaps("intercepted"));
}

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/lab")
}

#[test]
fn every_scenario_matches_its_label() {
    check_labels(&lab());
}

/// Programs that the recipe starts.
const TOOLS: [&str; 8] =
    ["ip", "nft", "dnsmasq", "tcpdump", "openssl", "gnutls-serv", "tinyproxy", "python3"];

#[test]
fn the_lab_recorded_again_matches_its_labels() {
    if !root_with_tools(&TOOLS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(lab().join("run")).arg("--into").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = |folder: &Path| std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
    assert_eq!(text(folder.path()), text(&lab()), "labels.tsv differs from the recipe");
    check_labels(folder.path());
}
