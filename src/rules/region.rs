//! Names of Azure regions.
//!
//! In:  a region's name as typed, and the documented names.
//! Out: its form in host names; the documented name that a misspelt one most likely means.
//! Not: which endpoints a region has.

/// The order of the words in a region's name varies; no name has more words than this.
const WORDS: usize = 4;

/// Words that are never a misspelling of each other.
const DIRECTIONS: [&str; 9] =
    ["north", "south", "east", "west", "central", "northeast", "southeast", "northwest", "southwest"];

/// A region's name as it appears in host names: `westus2` for `West US 2`.
pub fn region_slug(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The region of `regions` that `text` most likely means: the same words in any order, at most one of them misspelt. Never
/// a region whose direction, country or number differs.
pub fn nearest_region<'a>(text: &str, regions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let regions: Vec<(&str, Vec<String>)> = regions.map(|region| (region, words(region))).collect();
    let is_known = |word: &str| {
        DIRECTIONS.contains(&word) || regions.iter().any(|(_, words)| words.iter().any(|known| known == word))
    };
    let (typed, slug) = (words(text), region_slug(text));
    let distances = regions.iter().filter_map(|(region, words)| {
        let orders = permutations(words);
        let by_word = orders.iter().filter_map(|order| word_distance(&typed, order, is_known)).min();
        let by_slug = orders.iter().filter_map(|order| slug_distance(&slug, &order.concat())).min();
        Some((by_word.into_iter().chain(by_slug).min()?, *region))
    });
    distances.min().map(|(_, region)| region)
}

/// The words and numbers of a name, in lower case.
fn words(name: &str) -> Vec<String> {
    let bytes: Vec<char> = name.to_lowercase().chars().collect();
    let kind = |c: &char| (c.is_alphabetic(), c.is_ascii_digit());
    bytes
        .chunk_by(|a, b| kind(a) == kind(b))
        .filter(|chunk| chunk.iter().all(|c| c.is_alphanumeric()))
        .map(|chunk| chunk.iter().collect())
        .take(WORDS)
        .collect()
}

/// Letters that differ between two lists of words; `None` if they are different names. One word may be misspelt, unless it
/// is a word of another region's name.
fn word_distance(typed: &[String], known: &[&str], is_known: impl Fn(&str) -> bool) -> Option<usize> {
    let mut differing = typed.iter().zip(known).filter(|(typed, known)| typed != *known);
    let first = differing.next();
    if typed.len() != known.len() || differing.next().is_some() {
        return None;
    }
    let Some((typed, known)) = first else { return Some(0) };
    let distance = strsim::damerau_levenshtein(typed, known);
    let allowed = if known.len() < 7 { 1 } else { 2 };
    let is_number = typed.bytes().any(|byte| byte.is_ascii_digit());
    (distance <= allowed && !is_number && !is_known(typed)).then_some(distance)
}

/// Letters that differ between two slugs; `None` if they are different names.
fn slug_distance(typed: &str, known: &str) -> Option<usize> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let distance = strsim::damerau_levenshtein(typed, known);
    (distance <= 1 && digits(typed) == digits(known)).then_some(distance)
}

fn permutations(words: &[String]) -> Vec<Vec<&str>> {
    let [first, rest @ ..] = words else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for order in permutations(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, first);
            all.push(order);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONS: [&str; 9] = [
        "Central India",
        "East US",
        "East US 2",
        "Germany West Central",
        "South India",
        "US Gov Virginia",
        "West Europe",
        "West US",
        "West US 2",
    ];

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(nearest_region(text, REGIONS.into_iter()), expected, "{text}");
    }

    #[test]
    fn the_words_of_a_region_may_be_in_any_order() {
        check("india central", Some("Central India"));
        check("indiacentral", Some("Central India"));
        check("Europe West", Some("West Europe"));
        check("us-west-2", Some("West US 2"));
        check("2 us west", Some("West US 2"));
        check("Virginia US Gov", Some("US Gov Virginia"));
    }

    #[test]
    fn one_word_may_be_misspelt() {
        check("Wset US", Some("West US"));
        check("wsetus2", Some("West US 2"));
        check("Germany West Centrall", Some("Germany West Central"));
        check("Virgina US Gov", Some("US Gov Virginia"));
    }

    #[test]
    fn another_region_is_never_suggested() {
        check("West US 3", None);
        check("EastUS3", None);
        check("North Europe", None);
        check("East Europe", None);
        check("North India", None);
        check("Jio India West", None);
        check("Italy North", None);
        check("South US", None);
        check("", None);
    }
}
