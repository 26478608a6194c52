//! Finds every reference that matches a host name, most specific first.
//!
//! In:  patterns with their references.
//! Out: matches; the time does not grow with the number of references.
//! Not: whether the match allows a port.
//!
//! A hash map has the patterns by their last labels without `*`. A lookup tries the suffixes of the name, from the whole
//! name to the shortest suffix of any pattern.

use std::cmp::Reverse;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::pattern::Pattern;
use super::reference::ReferenceId;
use super::text::RuleText;

/// How a name matches a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchKind {
    /// The reference has this name.
    Exact,
    /// The reference has a wildcard `*.` before this number of labels.
    Wildcard(u8),
    /// The reference has a `*` inside a label.
    Glob,
    /// The reference has a placeholder without a value in the site file; any label matches.
    Placeholder,
}

/// One reference that a name matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReferenceMatch {
    /// The reference.
    pub id: ReferenceId,
    /// How it matches.
    pub kind: MatchKind,
    /// True if the name matches the alias and not the printed host.
    pub is_alias: bool,
    /// Rank among all patterns; lower is more specific.
    order: u32,
}

impl ReferenceMatch {
    /// A match that is not ranked yet.
    pub(super) const fn new(id: ReferenceId, kind: MatchKind, is_alias: bool) -> ReferenceMatch {
        ReferenceMatch { id, kind, is_alias, order: 0 }
    }
}

/// Matches of one name; a name rarely has more.
pub type ReferenceMatches = SmallVec<[ReferenceMatch; 20]>;

#[derive(Debug)]
struct TailEntry {
    found: ReferenceMatch,
    front: PatternFront,
}

/// What a pattern asks of the part of a name before the tail.
#[derive(Debug)]
enum PatternFront {
    /// There is none.
    Empty,
    /// There is one.
    Any,
    /// It matches the labels of the pattern.
    Labels(Box<Pattern>),
}

impl PatternFront {
    fn of(pattern: &Pattern) -> PatternFront {
        match (pattern.head.is_empty(), pattern.any_front) {
            (true, false) => PatternFront::Empty,
            (true, true) => PatternFront::Any,
            (false, _) => PatternFront::Labels(Box::new(pattern.clone())),
        }
    }

    #[inline]
    fn matches(&self, front: Option<&str>) -> bool {
        match self {
            PatternFront::Empty => front.is_none(),
            PatternFront::Any => front.is_some_and(|front| !front.is_empty()),
            PatternFront::Labels(pattern) => pattern.front_matches(front.unwrap_or_default()),
        }
    }
}

/// Every pattern, by its tail.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    by_tail: HashMap<RuleText, Vec<TailEntry>, FixedState>,
    /// Labels of the longest tail.
    longest: usize,
    /// Most suffixes of a name are no tail; the filter rejects them without computing a hash.
    filter: TailFilter,
}

/// A small Bloom filter: no false negatives, few false positives.
#[derive(Debug)]
struct TailFilter([u64; 64]);

impl Default for TailFilter {
    fn default() -> TailFilter {
        TailFilter([0; 64])
    }
}

impl TailFilter {
    /// Word and bit of a tail, from its length and two of its bytes, which differ for nearly all tails.
    #[inline]
    fn place(tail: &[u8]) -> (usize, u64) {
        let byte = |at: usize| tail.get(at).map_or(0, |byte| usize::from(*byte));
        let mark = tail.len() * 67 + byte(0) * 31 + byte(tail.len() / 2) * 7;
        ((mark >> 6) & 63, 1 << (mark & 63))
    }

    fn set(&mut self, tail: &str) {
        let (word, bit) = TailFilter::place(tail.as_bytes());
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn may_hold(&self, tail: &str) -> bool {
        let (word, bit) = TailFilter::place(tail.as_bytes());
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl NameIndex {
    /// Builds the index.
    pub(super) fn new(patterns: Vec<(&Pattern, ReferenceMatch)>) -> NameIndex {
        let mut patterns = patterns;
        patterns.sort_by_cached_key(|(pattern, found)| (Reverse(pattern.rank()), found.is_alias, found.id));
        let mut names = NameIndex::default();
        for (order, (pattern, found)) in (0..).zip(patterns) {
            names.longest = names.longest.max(pattern.tail.split('.').count());
            names.filter.set(&pattern.tail);
            let entry =
                TailEntry { found: ReferenceMatch { order, ..found }, front: PatternFront::of(pattern) };
            names.by_tail.entry(pattern.tail.clone()).or_default().push(entry);
        }
        names
    }

    /// Every reference that matches `name`, most specific first, ignoring case and a final dot.
    pub(super) fn find(&self, name: &str) -> ReferenceMatches {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find_lower(&name.to_ascii_lowercase());
        }
        self.find_lower(name)
    }

    fn find_lower(&self, name: &str) -> ReferenceMatches {
        // Offsets of the suffixes, shortest first; no tail has more labels than `longest`.
        let mut starts: SmallVec<[usize; 8]> = SmallVec::new();
        for (at, byte) in name.bytes().enumerate().rev() {
            if byte == b'.' {
                starts.push(at + 1);
                if starts.len() >= self.longest {
                    break;
                }
            }
        }
        if starts.len() < self.longest {
            starts.push(0);
        }
        let mut found = ReferenceMatches::new();
        let mut in_order = true;
        for start in starts.into_iter().rev() {
            let tail = name.get(start..).filter(|tail| self.filter.may_hold(tail));
            let Some(entries) = tail.and_then(|tail| self.by_tail.get(tail)) else { continue };
            let front = start.checked_sub(1).and_then(|dot| name.get(..dot));
            for entry in entries {
                if entry.front.matches(front) {
                    in_order &= found.last().is_none_or(|last| last.order < entry.found.order);
                    found.push(entry.found);
                }
            }
        }
        // Only a glob can outrank what a longer tail found.
        if !in_order {
            found.sort_unstable_by_key(|found| found.order);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(patterns: &[&str]) -> (Vec<Pattern>, NameIndex) {
        let parsed: Vec<Pattern> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let found = |reference| ReferenceMatch::new(ReferenceId(reference), MatchKind::Exact, false);
        let names = NameIndex::new(
            parsed.iter().zip(0..).map(|(pattern, reference)| (pattern, found(reference))).collect(),
        );
        (parsed, names)
    }

    fn check(patterns: &[&str], name: &str, expected: &[&str]) {
        let (_, names) = names(patterns);
        let found: Vec<&str> = names.find(name).iter().map(|m| patterns[m.id.0 as usize]).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn all_matches_are_found_most_specific_first() {
        let rows = [
            "*.core.windows.net",
            "*.servicebus.windows.net",
            "azgn*.servicebus.windows.net",
            "x.blob.core.windows.net",
            "*.blob.core.windows.net",
            "*management.*.afs.azure.net",
            "*.westus2.afs.azure.net",
            "*.afs.azure.net",
        ];
        check(
            &rows,
            "X.blob.core.Windows.net.",
            &["x.blob.core.windows.net", "*.blob.core.windows.net", "*.core.windows.net"],
        );
        check(
            &rows,
            "azgn1.servicebus.windows.net",
            &["azgn*.servicebus.windows.net", "*.servicebus.windows.net"],
        );
        check(
            &rows,
            "smanagement.westus2.afs.azure.net",
            &["*management.*.afs.azure.net", "*.westus2.afs.azure.net", "*.afs.azure.net"],
        );
        check(&rows, "core.windows.net", &[]);
        check(&rows, "net", &[]);
        check(&rows, "", &[]);
        check(&[], "a.example.com", &[]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_linear_search(
            patterns in proptest::collection::vec("(\\*\\.)?([ab*]{1,2}\\.){0,2}[ab]{1,2}\\.[ab]\\.[ab]", 1..40),
            name in "([ab]{1,2}\\.){0,5}[ab]",
        ) {
            let texts: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let (parsed, names) = names(&texts);
            let found: Vec<u32> = names.find(&name).iter().map(|m| m.id.0).collect();
            let mut expected: Vec<(_, u32)> = parsed.iter().zip(0..).filter(|(p, _)| p.matches(&name))
                .map(|(p, i)| (std::cmp::Reverse(p.rank()), i)).collect();
            expected.sort();
            prop_assert_eq!(found, expected.into_iter().map(|(_, i)| i).collect::<Vec<_>>());
        }
    }
}
