//! `explain`: what a finding means.

use std::io::Write;

use anstyle::Style;
use anyhow::bail;

use crate::judge::Explanation;
use crate::judge::catalogue;
use crate::judge::explanation;
use crate::report::severity_style;

const STRONG: Style = Style::new().bold();

/// Prints the explanation of a code, or the list of all codes.
pub(super) fn explain(code: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
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
        return Ok(());
    };
    match explanation(code) {
        Some(entry) => print(entry, out),
        None => bail!("no such finding (afs-audit explain lists all): {code}"),
    }
}

fn print(entry: &Explanation, out: &mut dyn Write) -> anyhow::Result<()> {
    let style = severity_style(entry.severity);
    let Explanation { code, severity, title, looks_like, cause, action, else_could_be } = entry;
    writeln!(out, "{STRONG}{code}{STRONG:#} {style}{severity}{style:#}: {title}")?;
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
        explain(code, &mut out).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn codes_are_explained_whatever_their_case() {
        check(Some("afs202"), "AFS202 high: connection attempt never answered");
        check(Some("AFS202"), "What to do\n  allow the destination");
        check(None, "AFS101  medium  destination not documented\n");
        let error = explain(Some("AFS999"), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "no such finding (afs-audit explain lists all): AFS999");
    }
}
