//! Words of the program in stored facts: protocols, layers, anomalies.
//!
//! In:  text of a facts file.
//! Out: the same text, valid as long as the program runs, as the facts of the readers have it.
//! Not: whether a reader emits the word.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;

/// Distinct words that are kept. The readers emit less than half as many.
const WORD_LIMIT: usize = 1024;

/// The longest word.
const LENGTH_LIMIT: usize = 80;

/// The word with this text; none if no word can have it, or if the file has too many.
pub(super) fn word(text: &str) -> Option<&'static str> {
    static WORDS: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    if !is_plain(text) || text.len() > LENGTH_LIMIT {
        return None;
    }
    let words = WORDS.get_or_init(Mutex::default);
    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(text) {
        return Some(known);
    }
    if words.len() >= WORD_LIMIT {
        return None;
    }
    let kept: &'static str = Box::leak(text.into());
    words.insert(kept);
    Some(kept)
}

/// Whether a text has only characters of the program's own words.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_once_and_control_characters_are_refused() {
        let first = word("tls").unwrap();
        assert_eq!(first, "tls");
        assert!(std::ptr::eq(first, word(&String::from("tls")).unwrap()));
        assert_eq!(word("a\u{1b}[31m"), None);
        assert_eq!(word(&"x".repeat(LENGTH_LIMIT + 1)), None);
    }
}
