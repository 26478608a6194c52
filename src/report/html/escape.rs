//! Makes stored text safe to show.
//!
//! In:  text of an evidence folder, which may hold anything.
//! Out: text without control characters and characters that change how others are shown, and of bounded length.
//! Not: markup; `maud` escapes it.

use crate::base::is_deceptive;

/// Characters of a text that are shown; names and messages are shorter unless they were made long on purpose.
const TEXT_LIMIT: usize = 400;

/// The text as it is shown.
pub(crate) fn shown(text: &str) -> String {
    shown_up_to(text, TEXT_LIMIT)
}

/// At most `limit` characters of the text as it is shown; `…` marks an omission.
pub(super) fn shown_up_to(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (at, c) in text.chars().enumerate() {
        if at == limit {
            out.push('…');
            break;
        }
        match c {
            c if c.is_control() || is_deceptive(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_written_out() {
        assert_eq!(shown("a\u{202e}b\u{7}\u{ad}"), "a\\u{202e}b\\u{7}\\u{ad}");
        assert_eq!(shown("日本<b>"), "日本<b>");
        assert_eq!(shown_up_to("abcdef", 3), "abc…");
    }
}
