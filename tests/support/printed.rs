//! Reads documents as they are printed, in Markdown.
//!
//! In:  the text of a document.
//! Out: its tables, lists, URLs, host names and JSON blocks.
//! Not: the rule files.

#![allow(clippy::indexing_slicing, reason = "a panic shows where a test failed")]

use std::collections::BTreeSet;

pub type Cells = Vec<String>;

/// Head and rows of every markdown table, each cell without the spaces around it.
pub fn tables(text: &str) -> Vec<(Cells, Vec<Cells>)> {
    let split = |line: &str| -> Cells {
        // One document leaves out the last bar of a row.
        let line = line.trim().strip_prefix('|').unwrap();
        line.strip_suffix('|').unwrap_or(line).split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let is_rule = |line: &str| !line.is_empty() && line.chars().all(|c| " |:-".contains(c));
    let lines: Vec<&str> = text.lines().collect();
    let mut tables = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if line.trim().starts_with('|') && lines.get(i + 1).is_some_and(|next| is_rule(next)) {
            let rows = lines[i + 2..].iter().take_while(|line| line.trim().starts_with('|'));
            tables.push((split(line), rows.map(|line| split(line)).collect()));
        }
    }
    tables
}

pub fn cells(printed: &str) -> Cells {
    let inner = printed.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')).unwrap_or(printed);
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Removes the markup of a URL: entities, escapes, code marks, angle brackets, notes in brackets after it.
pub fn bare(text: &str) -> String {
    let mut text = text.replace("&ast;", "*").replace(['\\', '`'], "");
    if let Some(at) = text.find("<sup>") {
        text.truncate(at);
    }
    for (open, close) in [("<http", ">"), (" (", ")")] {
        if let (Some(at), true) = (text.find(open), text.trim_end().ends_with(close)) {
            text = match open {
                " (" => text[..at].to_owned(),
                _ => text.trim_end()[at + 1..].trim_end_matches('>').to_owned(),
            };
        }
    }
    // One document prints a stray bracket after a URL.
    text.trim().trim_end_matches(']').to_owned()
}

/// True for `a.example.com, b.example.com` in one pair of code marks.
fn is_list_of_hosts(cell: &str) -> bool {
    cell.split(", ").all(|part| part.contains('.') && !part.contains(' '))
}

/// The URLs of a cell as a reader sees them.
pub fn urls(cell: &str) -> Vec<String> {
    let mut cell = cell.replace("<br />", "\n").replace("<br/>", "\n").replace("<br>", "\n");
    for word in [" OR ", " or ", ", "] {
        // Not the comma of "(Azure Public, Azure Gov)".
        if word != ", " || cell.contains("`, `") || is_list_of_hosts(&cell) {
            cell = cell.replace(word, "\n");
        }
    }
    let words = |part: &str| -> Vec<String> {
        // Some cells print hosts with a blank between them.
        let is_list =
            part.split_whitespace().all(|word| word.contains('.') && !word.contains(['(', ')', '[']));
        if is_list { part.split_whitespace().map(str::to_owned).collect() } else { vec![part.to_owned()] }
    };
    let parts = cell.split('\n').flat_map(words).map(|part| {
        let part = part.trim();
        // Prose in front of a url: "Hybrid Identity Service: `*.his…`", "install module at https://…".
        let part = part.rsplit_once(": ").map_or(part, |(_, url)| url);
        bare(part.strip_prefix("install module at ").unwrap_or(part))
    });
    parts.filter(|part| part.contains('.') && !part.contains(' ')).collect()
}

/// One space for any white space.
pub fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The host names of a text: in tables, lists, code blocks and prose.
pub fn hosts(text: &str) -> BTreeSet<String> {
    let text = text.replace("&ast;", "*").replace(['\\', '`'], "");
    // Where links lead is not what the document says.
    let mut plain = String::new();
    for (n, part) in text.split("](").enumerate() {
        plain.push_str(if n == 0 { part } else { part.split_once(')').map_or("", |(_, rest)| rest) });
        plain.push(' ');
    }
    let in_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
    let words = plain.split(|c: char| !in_host(c)).map(|word| word.trim_matches('.').to_ascii_lowercase());
    let ends = [".com", ".net", ".us", ".cn", ".io", ".org", ".ms"];
    words
        .filter(|word| ends.iter().any(|end| word.strip_suffix(end).is_some_and(|rest| !rest.is_empty())))
        .collect()
}

/// The objects of every JSON block: URL, port and note. The notes are in curly quotes, so no JSON reader accepts it.
pub fn json_blocks(text: &str) -> Vec<Vec<[String; 3]>> {
    let value = |object: &str, key: &str| {
        let rest = object.split_once(&format!("\"{key}\": ")).unwrap().1;
        let mut chars = rest.chars();
        chars.next();
        chars.take_while(|c| !matches!(c, '"' | '“' | '”')).collect::<String>()
    };
    let blocks = text.split("```json").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    blocks
        .map(|block| {
            let objects = block.split('{').skip(1);
            objects.map(|object| ["URL", "Port", "Notes"].map(|key| value(object, key))).collect()
        })
        .collect()
}

/// The bullets of a list that begins with `first`.
pub fn bullets<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let item = |line: &'a str| line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
    text.lines().skip_while(|line| item(line) != Some(first)).map_while(item).collect()
}
