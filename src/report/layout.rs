//! Fits text into the columns of a terminal. Lines break between words; nothing is left out but where `truncate` marks it.

use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

/// Breaks text into lines of at most `width` columns. A word that is wider than a line is broken too.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let mut rest = word;
        while line.width() + rest.width() > width {
            let at = end_of(rest, width.max(2));
            let (part, after) = rest.split_at(at);
            lines.push(std::mem::take(&mut line) + part);
            rest = after;
        }
        line.push_str(rest);
    }
    lines.push(line);
    lines
}

/// Text of at most `width` columns, for a display that is redrawn. An ellipsis marks what was left out, if possible after a word.
#[cfg(any(feature = "live", test))]
pub(crate) fn truncate(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let fitting = text.get(..end_of(text, width.saturating_sub(1))).unwrap_or_default();
    let is_in_word = text.get(fitting.len()..).is_some_and(|rest| !rest.starts_with(' '));
    // A long word alone must not make the line empty.
    let whole_words = fitting.rsplit_once(' ').map(|(words, _)| words);
    let shown = whole_words.filter(|words| is_in_word && words.width() * 2 >= width).unwrap_or(fitting);
    format!("{}…", shown.trim_end())
}

/// The byte at which the first `width` columns of a text end.
fn end_of(text: &str, width: usize) -> usize {
    let mut used = 0;
    let is_outside = |c: char| {
        used += c.width().unwrap_or_default();
        used > width
    };
    text.find(is_outside).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let check = |text: &str, width, expected: &[&str]| assert_eq!(wrap(text, width), expected, "{text}");
        check("", 10, &[""]);
        check("one two three", 9, &["one two", "three"]);
        check("one two three", 13, &["one two three"]);
        check("a kailani1.one.microsoft.com b", 10, &["a", "kailani1.o", "ne.microso", "ft.com b"]);
        check("日本語日本語", 5, &["日本", "語日", "本語"]);
    }

    #[test]
    fn a_truncated_line_ends_after_a_word() {
        let check = |text: &str, width, expected: &str| assert_eq!(truncate(text, width), expected, "{text}");
        check("one two three", 13, "one two three");
        check("one two three", 12, "one two…");
        check("one two three", 8, "one two…");
        check("kailani1.one.microsoft.com", 10, "kailani1.…");
        check("a kailani1.one.microsoft.com", 20, "a kailani1.one.micr…");
        check("日本語日本語", 5, "日本…");
    }
}
