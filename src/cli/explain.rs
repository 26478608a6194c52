//! Runs `explain`: what a finding code, a mechanism or a reason for inconclusive means.

use std::io::Write;

use anstyle::Style;
use anyhow::bail;

use crate::judge::Explanation;
use crate::judge::catalogue;
use crate::judge::explanation;
use crate::judge::reason;
use crate::judge::reasons;
use crate::judge::signature;
use crate::judge::signatures;
use crate::report::severity_style;
use crate::rules::nearest;

const STRONG: Style = Style::new().bold();

/// Prints the explanation of a word, or the list of all.
pub(super) fn run(word: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(word) = word else { return list(out) };
    if let Some(entry) = explanation(word) {
        let Explanation { code, severity, title, .. } = entry;
        let style = severity_style(*severity);
        writeln!(out, "{STRONG}{code}{STRONG:#} {style}{severity}{style:#}: {title}")?;
        return print(entry, out);
    }
    let mechanism = signature(word).and_then(|found| Some((found, found.explanation()?)));
    if let Some((mechanism, entry)) = &mechanism {
        let Explanation { code, severity, title, .. } = entry;
        let style = severity_style(*severity);
        writeln!(
            out,
            "{STRONG}{}{STRONG:#}, reported as {code} {style}{severity}{style:#}: {title}",
            mechanism.word
        )?;
        print(entry, out)?;
    }
    match (mechanism, reason(word)) {
        // A word may be both.
        (Some(_), Some(meaning)) => {
            writeln!(out, "\n{STRONG}As a reason for inconclusive{STRONG:#}\n  {meaning}")?;
        }
        (Some(_), None) => {}
        (None, Some(meaning)) => writeln!(out, "{STRONG}{word}{STRONG:#}, inconclusive: {meaning}")?,
        (None, None) => {
            let codes = catalogue().map(|entry| entry.code);
            let words = signatures().map(|entry| entry.word).chain(reasons().map(|(word, _)| *word));
            match nearest(word, codes.chain(words)) {
                Some(near) => bail!("unknown finding code or mechanism `{word}`, did you mean `{near}`?"),
                None => bail!("unknown finding code or mechanism `{word}`; afs-audit explain lists all"),
            }
        }
    }
    Ok(())
}

fn list(out: &mut dyn Write) -> anyhow::Result<()> {
    for entry in catalogue() {
        let style = severity_style(entry.severity);
        let severity = entry.severity.as_str();
        writeln!(out, "{STRONG}{}{STRONG:#}  {style}{severity:<6}{style:#}  {}", entry.code, entry.title)?;
    }
    writeln!(out, "\n{STRONG}mechanism{STRONG:#} of a blocked-looking flow, and its finding code:")?;
    for entry in signatures() {
        writeln!(out, "{:<32}  {}", entry.word, entry.code)?;
    }
    writeln!(out, "\n{STRONG}inconclusive_reason{STRONG:#} of an inconclusive flow:")?;
    for (word, meaning) in reasons() {
        writeln!(out, "{word:<22}  {meaning}")?;
    }
    Ok(())
}

fn print(entry: &Explanation, out: &mut dyn Write) -> anyhow::Result<()> {
    let Explanation { looks_like, cause, action, else_could_be, .. } = entry;
    for (heading, text) in [
        ("On the wire", looks_like),
        ("Usual cause", cause),
        ("What to do", action),
        ("What else it could be", else_could_be),
    ] {
        writeln!(out, "\n{STRONG}{heading}{STRONG:#}\n  {text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        run(word, &mut out).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn words_are_explained_in_any_case() {
        check(Some("afs202"), "AFS202 high: connection attempt never answered");
        check(Some("AFS202"), "What to do\n  allow the destination");
        check(None, "AFS101  medium  destination not documented\n");
        check(Some("Reset-Injected"), "reset-injected, reported as AFS204 high: connection ended by a reset");
        check(Some("tcp-refused"), "0x80072efd");
        check(Some("lost-race"), "lost-race, inconclusive: an attempt to another address");
        check(Some("reset-after-data"), "As a reason for inconclusive\n  much was let through");
        check(None, "reset-injected                    AFS204\n");
        let check_unknown = |word, expected: &str| {
            assert_eq!(run(Some(word), &mut Vec::new()).unwrap_err().to_string(), expected);
        };
        check_unknown(
            "tcp-unansered",
            "unknown finding code or mechanism `tcp-unansered`, did you mean `tcp-unanswered`?",
        );
        check_unknown(
            "elephant",
            "unknown finding code or mechanism `elephant`; afs-audit explain lists all",
        );
    }
}
