//! From a host name to every rule that matches it, most specific first.
//!
//! In:  patterns with their rules.
//! Out: matches; the time does not grow with the number of rows.
//!
//! The rows stand in a hash map under the last labels of their pattern that have no `*`; a look-up asks for the
//! name's own suffixes, from the whole name to the shortest suffix that any row has.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::pattern::Pattern;
use super::reference::ReferenceId;

/// How a name matches a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchKind {
    /// The row has this very name.
    Exact,
    /// The row has a wildcard `*.` before so many labels.
    Wildcard(u8),
    /// The row has a `*` inside a label.
    Glob,
    /// The row has a placeholder that the site file does not fill; any name of its form matches.
    Placeholder,
}

/// One row that a name matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReferenceMatch {
    /// The rule.
    pub rule: ReferenceId,
    /// How.
    pub how: MatchKind,
    /// True when the name is what the row means, and not what it prints.
    pub as_meant: bool,
    /// Place among all patterns: lower is more specific.
    order: u32,
}

impl ReferenceMatch {
    /// A match that has not found its place yet.
    pub(super) const fn new(rule: ReferenceId, how: MatchKind, as_meant: bool) -> ReferenceMatch {
        ReferenceMatch { rule, how, as_meant, order: 0 }
    }
}

/// Matches of one name; a name seldom has more.
pub type ReferenceMatches = SmallVec<[ReferenceMatch; 20]>;

#[derive(Debug)]
struct Entry {
    found: ReferenceMatch,
    /// The pattern, where the tail alone does not decide.
    pattern: Option<Box<Pattern>>,
}

/// Every pattern, by its tail.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_tail: HashMap<Box<str>, Vec<Entry>, FixedState>,
    /// Labels of the longest tail.
    longest: usize,
    /// One bit for each mark that a tail has: most suffixes of a name are no tail, and the bit says so without a hash.
    marks: Marks,
}

/// A small filter: no false "no", few false "maybe".
#[derive(Debug)]
struct Marks([u64; 64]);

impl Default for Marks {
    fn default() -> Marks {
        Marks([0; 64])
    }
}

impl Marks {
    /// Word and bit of a tail: its length and two of its bytes tell nearly all of them apart.
    #[inline]
    fn place(tail: &[u8]) -> (usize, u64) {
        let byte = |at: usize| tail.get(at).map_or(0, |byte| usize::from(*byte));
        let mark = tail.len() * 67 + byte(0) * 31 + byte(tail.len() / 2) * 7;
        ((mark >> 6) & 63, 1 << (mark & 63))
    }

    fn set(&mut self, tail: &str) {
        let (word, bit) = Marks::place(tail.as_bytes());
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn may_hold(&self, tail: &str) -> bool {
        let (word, bit) = Marks::place(tail.as_bytes());
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl Names {
    /// Builds the index.
    pub(super) fn new(patterns: Vec<(&Pattern, ReferenceMatch)>) -> Names {
        let mut patterns = patterns;
        patterns.sort_by(|(a, found_a), (b, found_b)| {
            let rank = b.rank().cmp(&a.rank());
            rank.then(found_a.as_meant.cmp(&found_b.as_meant)).then(found_a.rule.cmp(&found_b.rule))
        });
        let mut names = Names::default();
        for (order, (pattern, found)) in (0..).zip(patterns) {
            names.longest = names.longest.max(pattern.tail.split('.').count());
            names.marks.set(&pattern.tail);
            let pattern_needed = (!pattern.is_exact()).then(|| Box::new(pattern.clone()));
            let entry = Entry { found: ReferenceMatch { order, ..found }, pattern: pattern_needed };
            names.by_tail.entry(pattern.tail.clone()).or_default().push(entry);
        }
        names
    }

    /// Every row that `name` matches, most specific first; case and a final dot are of no account.
    pub(super) fn find(&self, name: &str) -> ReferenceMatches {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find_lower(&name.to_ascii_lowercase());
        }
        self.find_lower(name)
    }

    fn find_lower(&self, name: &str) -> ReferenceMatches {
        // Where the suffixes begin, from the shortest: no row has a tail of more labels than the longest.
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
            let tail = name.get(start..).filter(|tail| self.marks.may_hold(tail));
            let Some(entries) = tail.and_then(|tail| self.by_tail.get(tail)) else { continue };
            let front = name.get(..start.saturating_sub(1)).unwrap_or_default();
            for entry in entries {
                let matches = match &entry.pattern {
                    None => start == 0,
                    Some(pattern) => pattern.front_matches(front),
                };
                if matches {
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

    fn names(patterns: &[&str]) -> (Vec<Pattern>, Names) {
        let parsed: Vec<Pattern> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let found = |rule| ReferenceMatch::new(ReferenceId(rule), MatchKind::Exact, false);
        let names =
            Names::new(parsed.iter().zip(0..).map(|(pattern, rule)| (pattern, found(rule))).collect());
        (parsed, names)
    }

    fn check(patterns: &[&str], name: &str, expected: &[&str]) {
        let (_, names) = names(patterns);
        let found: Vec<&str> = names.find(name).iter().map(|m| patterns[m.rule.0 as usize]).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn all_rows_are_found_most_specific_first() {
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
        fn finds_what_a_walk_over_all_patterns_finds(
            patterns in proptest::collection::vec("(\\*\\.)?([ab*]{1,2}\\.){0,2}[ab]{1,2}\\.[ab]\\.[ab]", 1..40),
            name in "([ab]{1,2}\\.){0,5}[ab]",
        ) {
            let texts: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let (parsed, names) = names(&texts);
            let found: Vec<u32> = names.find(&name).iter().map(|m| m.rule.0).collect();
            let mut expected: Vec<(_, u32)> = parsed.iter().zip(0..).filter(|(p, _)| p.matches(&name))
                .map(|(p, i)| (std::cmp::Reverse(p.rank()), i)).collect();
            expected.sort();
            prop_assert_eq!(found, expected.into_iter().map(|(_, i)| i).collect::<Vec<_>>());
        }
    }
}
