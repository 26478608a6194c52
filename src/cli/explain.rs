//! `explain`: the meaning of a finding code, a mechanism or a reason for `inconclusive`.
//!
//! In:  a word, or none for the list of all.
//! Out: its explanation.
//! Not: when a finding applies; see `judge`.

use std::io::Write;

use anstyle::Style;
use anyhow::bail;

use crate::judge::FindingCode;
use crate::judge::InconclusiveReason;
use crate::judge::Mechanism;
use crate::judge::Texts;
use crate::report::severity_style;
use crate::rules::nearest;

const STRONG: Style = Style::new().bold();

/// Prints the explanation of a word, or the list of all words.
pub(super) fn run(word: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(word) = word else { return list(out) };
    if let Some(code) = FindingCode::parse(word) {
        print_heading(code, "", out)?;
        return print_texts(&code.entry().texts, out);
    }
    // A word may be both.
    let (mechanism, reason) = (Mechanism::parse(word), InconclusiveReason::parse(word));
    if let Some(mechanism) = mechanism {
        print_heading(mechanism.finding(), &format!("{STRONG}{mechanism}{STRONG:#}, of "), out)?;
        print_texts(&mechanism.texts(), out)?;
    }
    match (mechanism, reason) {
        (Some(_), Some(reason)) => {
            writeln!(out, "\n{STRONG}As a reason for inconclusive{STRONG:#}\n  {}", reason.text())?;
        }
        (None, Some(reason)) => {
            writeln!(out, "{STRONG}{reason}{STRONG:#}, inconclusive: {}", reason.text())?;
        }
        (Some(_), None) => {}
        (None, None) => {
            let words = FindingCode::ALL.iter().map(|code| code.as_str());
            let words = words.chain(Mechanism::ALL.iter().map(|mechanism| mechanism.as_str()));
            let words = words.chain(InconclusiveReason::ALL.iter().map(|reason| reason.as_str()));
            match nearest(word, words) {
                Some(near) => bail!("unknown finding code or mechanism `{word}`, did you mean `{near}`?"),
                None => bail!("unknown finding code or mechanism `{word}`; afs-audit explain lists all"),
            }
        }
    }
    Ok(())
}

fn list(out: &mut dyn Write) -> anyhow::Result<()> {
    for code in FindingCode::ALL {
        let entry = code.entry();
        let style = severity_style(entry.severity);
        let severity = entry.severity.as_str();
        writeln!(out, "{STRONG}{code}{STRONG:#}  {style}{severity:<6}{style:#}  {}", entry.title)?;
    }
    writeln!(out, "\n{STRONG}mechanism{STRONG:#} of a blocked-looking flow, and its finding:")?;
    for mechanism in Mechanism::ALL {
        writeln!(out, "{:<33}  {}", mechanism.as_str(), mechanism.finding())?;
    }
    writeln!(out, "\n{STRONG}inconclusive_reason{STRONG:#} of an inconclusive flow:")?;
    for reason in InconclusiveReason::ALL {
        writeln!(out, "{:<22}  {}", reason.as_str(), reason.text())?;
    }
    Ok(())
}

fn print_heading(code: FindingCode, prefix: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let entry = code.entry();
    let style = severity_style(entry.severity);
    let severity = entry.severity;
    writeln!(out, "{prefix}{STRONG}{code}{STRONG:#} {style}{severity}{style:#}: {}", entry.title)?;
    Ok(())
}

fn print_texts(texts: &Texts, out: &mut dyn Write) -> anyhow::Result<()> {
    for (heading, text) in [
        ("What it looks like", texts.looks_like),
        ("What usually causes it", texts.cause),
        ("What to do", texts.recommendation),
        ("What else it could be", texts.alternatives),
    ] {
        writeln!(out, "\n{STRONG}{heading}{STRONG:#}\n  {text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        run(code, &mut out).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn words_are_explained_in_either_case() {
        check(Some("afs202"), "AFS202 high: connection attempt or request never answered");
        check(Some("AFS202"), "What to do\n  allow the destination");
        check(None, "AFS101  medium  destination not documented\n");
        check(Some("Reset-Injected"), "reset-injected, of AFS204 high: connection ended by a reset");
        check(Some("tcp-refused"), "0x80072efd");
        check(Some("lost-race"), "lost-race, inconclusive: an attempt to another address");
        check(Some("reset-after-data"), "As a reason for inconclusive\n  a reset after much payload");
        check(None, "reset-injected                     AFS204\n");
        let error = run(Some("AFS999"), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "unknown finding code or mechanism `AFS999`, did you mean `AFS109`?");
    }
}
