//! Host patterns of the documents: `name`, `*.suffix`, `azgn*.suffix`.
//!
//! In:  a pattern as written in a rule file.
//! Out: whether a name matches, and how specific the pattern is.
//! Not: which reference it belongs to.
//!
//! A leading `*.` matches one or more labels: the documents also mean names with two labels before the suffix, unlike a
//! certificate (RFC 6125 §6.4.3). A `*` inside a label matches any characters of that label.

use super::text::RuleText;

/// A host pattern, in lower case and without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Pattern {
    /// The pattern as text.
    pub text: RuleText,
    /// The last labels of the pattern that have no `*`: what a name must end with. May be empty.
    pub tail: RuleText,
    /// The labels with a `*` and those before them, from left to right, without the leading `*.`.
    pub head: Box<[RuleText]>,
    /// True if the pattern begins with `*.`.
    pub any_front: bool,
}

impl Pattern {
    /// Parses a pattern; the error is the reason.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (any_front, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        if rest.is_empty() || rest.len() > 253 {
            return Err(format!("not a host pattern: `{text}`"));
        }
        let labels: Vec<&str> = rest.split('.').collect();
        for label in &labels {
            check_label(label).map_err(|why| format!("not a host pattern: `{text}`: {why}"))?;
        }
        let literal = labels.iter().rev().take_while(|label| !label.contains('*')).count();
        if literal < 2 && (any_front || literal < labels.len()) {
            return Err(format!("not a host pattern: `{text}`: a wildcard needs two labels after it"));
        }
        let (head, tail) = labels.split_at(labels.len() - literal);
        Ok(Pattern {
            tail: tail.join(".").into(),
            head: head.iter().map(|label| RuleText::from(*label)).collect(),
            any_front,
            text: text.into(),
        })
    }

    /// True if the pattern matches one name only.
    pub fn is_exact(&self) -> bool {
        !self.any_front && self.head.is_empty()
    }

    /// True if `name`, in lower case and without a final dot, matches.
    pub fn matches(&self, name: &str) -> bool {
        let Some(front) = name.strip_suffix(&*self.tail) else { return false };
        match front.strip_suffix('.') {
            Some(front) => !front.is_empty() && self.front_matches(front),
            None => front.is_empty() && self.front_matches(front),
        }
    }

    /// True if `front`, the part of a name before the tail and its dot, matches the part of the pattern before its tail.
    #[inline]
    pub fn front_matches(&self, front: &str) -> bool {
        if self.head.is_empty() {
            return front.is_empty() != self.any_front;
        }
        // Too few labels is the common case for services whose rows have globs, so it is tested first.
        let labels = front.bytes().filter(|byte| *byte == b'.').count() + usize::from(!front.is_empty());
        if labels < self.head.len() + usize::from(self.any_front) {
            return false;
        }
        let mut rest = Some(front).filter(|front| !front.is_empty());
        for glob in self.head.iter().rev() {
            let Some(text) = rest else { return false };
            let (before, label) = match text.rsplit_once('.') {
                Some((before, label)) => (Some(before), label),
                None => (None, text),
            };
            if !label_matches(glob, label) {
                return false;
            }
            rest = before;
        }
        rest.is_some() == self.any_front
    }

    /// Greater is more specific: an exact name, then more labels, then more letters, then no leading wildcard.
    pub fn rank(&self) -> u32 {
        let labels = self.head.len() + self.tail.bytes().filter(|byte| *byte == b'.').count() + 1;
        let letters = self.text.bytes().filter(|byte| *byte != b'*').count();
        // A name has at most 127 labels and 253 letters.
        let size = (labels as u32) << 9 | (letters as u32) << 1;
        u32::from(self.is_exact()) << 31 | size | u32::from(!self.any_front)
    }

    /// True if a name may match both and neither is more specific.
    pub fn ties(&self, other: &Pattern) -> bool {
        self.rank() == other.rank() && self.text != other.text && self.overlaps(other)
    }

    fn overlaps(&self, other: &Pattern) -> bool {
        self.any_front == other.any_front
            && self.tail == other.tail
            && self.head.len() == other.head.len()
            && self.head.iter().zip(&other.head).all(|(a, b)| labels_overlap(a, b))
    }
}

fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("an empty label");
    }
    if label.len() > 63 {
        return Err("a label longer than 63 characters");
    }
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*')) {
        return Err("a character that is not allowed in names");
    }
    Ok(())
}

/// True if `label` matches `glob`, where each `*` matches any characters or none.
fn label_matches(glob: &str, label: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = label.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The leftmost occurrence leaves the most text for the parts that follow.
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// True if one label may match both. Compares the text before the first and after the last `*`, so it has no false
/// negatives.
fn labels_overlap(a: &str, b: &str) -> bool {
    let ends = |glob: &str| -> Option<(String, String)> {
        let (before, _) = glob.split_once('*')?;
        let (_, after) = glob.rsplit_once('*')?;
        Some((before.to_owned(), after.to_owned()))
    };
    match (ends(a), ends(b)) {
        (None, None) => a == b,
        (None, Some(_)) => label_matches(b, a),
        (Some(_), None) => label_matches(a, b),
        (Some((a_front, a_back)), Some((b_front, b_back))) => {
            (a_front.starts_with(&b_front) || b_front.starts_with(&a_front))
                && (a_back.ends_with(&b_back) || b_back.ends_with(&a_back))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} and {name}");
    }

    #[test]
    fn a_leading_wildcard_matches_one_or_more_labels() {
        check("*.afs.azure.net", "westus01.afs.azure.net", true);
        check("*.afs.azure.net", "mysyncservicesyncp.westus2.afs.azure.net", true);
        check("*.afs.azure.net", "afs.azure.net", false);
        check("*.afs.azure.net", ".afs.azure.net", false);
        check("*.afs.azure.net", "evilafs.azure.net", false);
        check("*.afs.azure.net", "afs.azure.net.evil.example", false);
        check("*.AFS.azure.NET.", "a.afs.azure.net", true);
    }

    #[test]
    fn a_star_inside_a_label_matches_within_the_label() {
        check("azgn*.servicebus.windows.net", "azgnrelay-eastus-l1.servicebus.windows.net", true);
        check("azgn*.servicebus.windows.net", "azgn.servicebus.windows.net", true);
        check("azgn*.servicebus.windows.net", "azgn.b.servicebus.windows.net", false);
        check("azgn*.servicebus.windows.net", "xazgn1.servicebus.windows.net", false);
        check("*.*.arcdataservices.com", "san.eastus.arcdataservices.com", true);
        check("*.*.arcdataservices.com", "eastus.arcdataservices.com", false);
        check("san-af-*-prod.azurewebsites.net", "san-af-eastus-prod.azurewebsites.net", true);
        check("a*b*c.example.com", "abbc.example.com", true);
        check("a*b*c.example.com", "acb.example.com", false);
        check("aa*aa.example.com", "aaa.example.com", false);
    }

    #[test]
    fn invalid_patterns_are_rejected_with_a_reason() {
        let check = |text: &str, expected: &str| assert_eq!(Pattern::parse(text).unwrap_err(), expected);
        check("", "not a host pattern: ``");
        check("*.com", "not a host pattern: `*.com`: a wildcard needs two labels after it");
        check("a*", "not a host pattern: `a*`: a wildcard needs two labels after it");
        check("a..b.c", "not a host pattern: `a..b.c`: an empty label");
        check(
            "a b.example.com",
            "not a host pattern: `a b.example.com`: a character that is not allowed in names",
        );
    }

    #[test]
    fn more_specific_patterns_rank_higher() {
        let rank = |text: &str| Pattern::parse(text).unwrap().rank();
        assert!(rank("a.core.windows.net") > rank("azgn*.servicebus.windows.net"));
        assert!(rank("azgn*.servicebus.windows.net") > rank("*.servicebus.windows.net"));
        assert!(rank("*.blob.core.windows.net") > rank("*.core.windows.net"));
        assert!(rank("*.core.windows.net") > rank("*.windows.net"));
    }

    #[test]
    fn only_overlapping_patterns_tie() {
        let ties = |a: &str, b: &str| Pattern::parse(a).unwrap().ties(&Pattern::parse(b).unwrap());
        assert!(ties("a*.example.com", "*a.example.com"));
        assert!(!ties("ab*.example.com", "cd*.example.com"));
        assert!(!ties("ab*.example.com", "a*.example.com"));
    }

    proptest! {
        #[test]
        fn a_wildcard_matches_exactly_the_longer_names_at_a_label_boundary(
            suffix in "[a-z]{1,4}\\.[a-z]{1,4}(\\.[a-z]{1,3})?",
            name in "([a-z]{1,3}\\.){0,3}[a-z]{1,4}\\.[a-z]{1,4}(\\.[a-z]{1,3})?",
            front in "([a-z0-9-]{1,5}\\.){0,3}",
        ) {
            let pattern = Pattern::parse(&format!("*.{suffix}")).unwrap();
            let labels = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
            for name in [name, format!("{front}{suffix}"), format!("x{suffix}")] {
                let (ours, theirs) = (labels(&suffix), labels(&name));
                let expected = theirs.len() > ours.len() && theirs.ends_with(&ours);
                prop_assert_eq!(pattern.matches(&name), expected, "*.{} and {}", suffix, name);
            }
        }

        #[test]
        fn no_input_panics(text in ".{0,80}", name in ".{0,80}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = pattern.matches(&name);
            }
        }
    }
}
