//! `explain`: the meaning of a finding code, a mechanism or a reason for `inconclusive`.
//!
//! In:  a word, or none for the list of all; the columns of a line.
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
use crate::report::wrap;
use crate::rules::nearest;

const STRONG: Style = Style::new().bold();

/// Prints the explanation of a word, or the list of all words.
pub(super) fn run(word: Option<&str>, width: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(word) = word else { return list(width, out) };
    if let Some(code) = FindingCode::parse(word) {
        print_heading(code, "", out)?;
        return print_texts(&code.entry().texts, width, out);
    }
    // A word may be both.
    let (mechanism, reason) = (Mechanism::parse(word), InconclusiveReason::parse(word));
    if let Some(mechanism) = mechanism {
        print_heading(mechanism.finding(), &format!("{STRONG}{mechanism}{STRONG:#}, of "), out)?;
        print_texts(&mechanism.texts(), width, out)?;
    }
    match (mechanism, reason) {
        (Some(_), Some(reason)) => {
            writeln!(out, "\n{STRONG}As a reason for inconclusive{STRONG:#}")?;
            write_indented(reason.text(), "  ", width, out)?;
        }
        (None, Some(reason)) => {
            writeln!(out, "{STRONG}{reason}{STRONG:#}, a reason for inconclusive")?;
            write_indented(reason.text(), "  ", width, out)?;
        }
        (Some(_), None) => {}
        (None, None) => match nearest(word, words()) {
            Some(near) => bail!("unknown finding code, mechanism or reason `{word}`, did you mean `{near}`?"),
            None => {
                bail!("unknown finding code, mechanism or reason `{word}`; afs-audit explain lists all")
            }
        },
    }
    Ok(())
}

/// Everything that has an explanation.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    let codes = FindingCode::ALL.iter().map(|code| code.as_str());
    let mechanisms = Mechanism::ALL.iter().map(|mechanism| mechanism.as_str());
    codes.chain(mechanisms).chain(InconclusiveReason::ALL.iter().map(|reason| reason.as_str()))
}

fn list(width: usize, out: &mut dyn Write) -> anyhow::Result<()> {
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
        let mut lines = wrap(reason.text(), width.saturating_sub(24).max(20)).into_iter();
        writeln!(out, "{:<22}  {}", reason.as_str(), lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(out, "{:<22}  {line}", "")?;
        }
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

fn print_texts(texts: &Texts, width: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    for (heading, text) in [
        ("What it looks like", texts.looks_like),
        ("What usually causes it", texts.cause),
        ("What to do", texts.recommendation),
        ("What else it could be", texts.alternatives),
    ] {
        writeln!(out, "\n{STRONG}{heading}{STRONG:#}")?;
        write_indented(text, "  ", width, out)?;
    }
    Ok(())
}

fn write_indented(text: &str, indent: &str, width: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    for line in wrap(text, width.saturating_sub(indent.len()).max(20)) {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        run(code, 80, &mut out).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert!(text.contains(expected), "{text}");
        assert!(code.is_none() || text.lines().skip(1).all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn words_are_explained_in_either_case() {
        check(Some("afs202"), "AFS202 high: connection attempt or request never answered");
        check(Some("AFS202"), "What to do\n  allow the destination");
        check(None, "AFS101  medium  destination not documented\n");
        check(Some("Reset-Injected"), "reset-injected, of AFS204 high: connection ended by a reset");
        check(Some("tcp-refused"), "0x80072efd");
        check(Some("lost-race"), "lost-race, a reason for inconclusive\n  an attempt to another address");
        check(Some("reset-after-data"), "As a reason for inconclusive\n  a reset after much payload");
        check(None, "reset-injected                     AFS204\n");
        let error = run(Some("AFS999"), 80, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown finding code, mechanism or reason `AFS999`, did you mean `AFS109`?"
        );
    }
}
