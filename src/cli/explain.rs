//! `explain`: what a finding means, and each word of the column `signature`.

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

const STRONG: Style = Style::new().bold();

/// Prints the explanation of a code or signature, or the list of all.
pub(super) fn run(code: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(code) = code else {
        for entry in catalogue() {
            let style = severity_style(entry.severity);
            let severity = entry.severity.as_str();
            writeln!(
                out,
                "{STRONG}{}{STRONG:#}  {style}{severity:<6}{style:#}  {}",
                entry.code, entry.title
            )?;
        }
        writeln!(out, "\n{STRONG}signature{STRONG:#}, for what looks blocked, and its finding:")?;
        for entry in signatures() {
            writeln!(out, "{:<32}  {}", entry.word, entry.code)?;
        }
        writeln!(out, "\n{STRONG}signature{STRONG:#}, for what is inconclusive:")?;
        for (word, why) in reasons() {
            writeln!(out, "{word:<22}  {why}")?;
        }
        return Ok(());
    };
    if let Some(entry) = explanation(code) {
        let Explanation { code, severity, title, .. } = entry;
        let style = severity_style(*severity);
        writeln!(out, "{STRONG}{code}{STRONG:#} {style}{severity}{style:#}: {title}")?;
        return print(entry, out);
    }
    if let Some((signature, entry)) = signature(code).and_then(|found| Some((found, found.explanation()?))) {
        let style = severity_style(entry.severity);
        let Explanation { code, severity, title, .. } = entry;
        writeln!(out, "{STRONG}{}{STRONG:#}, of {code} {style}{severity}{style:#}: {title}", signature.word)?;
        print(&entry, out)?;
    } else if let Some(why) = reason(code) {
        writeln!(out, "{STRONG}{code}{STRONG:#}, inconclusive: {why}")?;
    } else {
        bail!("no such finding (afs-audit explain lists all): {code}");
    }
    // A word may stand for both.
    if let (Some(_), Some(why)) = (signature(code), reason(code)) {
        writeln!(out, "\n{STRONG}Where it is inconclusive{STRONG:#}\n  {why}")?;
    }
    Ok(())
}

fn print(entry: &Explanation, out: &mut dyn Write) -> anyhow::Result<()> {
    let Explanation { looks_like, cause, action, else_could_be, .. } = entry;
    for (what, text) in [
        ("What it looks like", looks_like),
        ("What usually causes it", cause),
        ("What to do", action),
        ("What else it could be", else_could_be),
    ] {
        writeln!(out, "\n{STRONG}{what}{STRONG:#}\n  {text}")?;
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
    fn codes_are_explained_whatever_their_case() {
        check(Some("afs202"), "AFS202 high: connection attempt never answered");
        check(Some("AFS202"), "What to do\n  allow the destination");
        check(None, "AFS101  medium  destination not documented\n");
        check(Some("Reset-Injected"), "reset-injected, of AFS204 high: connection ended by a reset");
        check(Some("tcp-refused"), "0x80072efd");
        check(Some("lost-race"), "lost-race, inconclusive: an attempt to another address");
        check(Some("reset-after-data"), "Where it is inconclusive\n  much was let through");
        check(None, "reset-injected                    AFS204\n");
        let error = run(Some("AFS999"), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "no such finding (afs-audit explain lists all): AFS999");
    }
}
