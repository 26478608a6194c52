//! Derives the rows of a cloud that a document does not print.
//!
//! In:  the references of a document, and the suffixes that it says to substitute.
//! Out: the same references, each followed by those that are derived from it.
//! Not: which suffixes; they are in the rule file, with the reason.

use super::cloud::Clouds;
use super::file::SuffixShape;
use super::pattern::Pattern;
use super::reference::Reference;
use super::reference::TableKind;
use super::text::RuleText;

/// What follows the id of a derived reference.
const MARK: &str = " (derived)";

/// Adds the derived references.
pub(super) fn with_derived(references: Vec<Reference>, suffixes: &[SuffixShape]) -> Vec<Reference> {
    if suffixes.is_empty() {
        return references;
    }
    let mut all = Vec::with_capacity(references.len() * 2);
    for reference in references {
        let derived: Vec<Reference> =
            suffixes.iter().filter_map(|suffix| derive(&reference, suffix)).collect();
        all.push(reference);
        all.extend(derived);
    }
    all
}

/// The reference with the suffix of another cloud; none where it has another suffix or holds for that cloud already.
fn derive(reference: &Reference, suffix: &SuffixShape) -> Option<Reference> {
    let clouds = suffix.cloud.clouds();
    let is_derivable = matches!(reference.table.kind, TableKind::Endpoint | TableKind::PrivateLink);
    if !is_derivable || reference.clouds == Clouds::NONE || reference.clouds.intersects(clouds) {
        return None;
    }
    let host = substitute(&reference.host.as_ref()?.text, suffix)?;
    let substituted = |text: &Option<RuleText>| {
        text.as_deref().map(|text| text.replace(&suffix.printed, &suffix.becomes).into())
    };
    Some(Reference {
        id: format!("{}{MARK}", reference.id).into(),
        host: Some(Pattern::parse(&host).ok()?),
        alias: None,
        url: substituted(&reference.url),
        zone: substituted(&reference.zone),
        suffix: substituted(&reference.suffix),
        note: Some(suffix.note.as_str().into()),
        clouds,
        is_derived: true,
        ..reference.clone()
    })
}

fn substitute(host: &str, suffix: &SuffixShape) -> Option<String> {
    let front = host.strip_suffix(suffix.printed.as_str())?;
    (front.is_empty() || front.ends_with('.')).then(|| format!("{front}{}", suffix.becomes))
}
