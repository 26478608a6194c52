//! The TOML structure of a rule file, and how its errors are reported.
//!
//! In:  TOML.
//! Out: its tables and rows with their positions in the text.
//! Not: whether they are consistent; that is for `parse`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use toml::Spanned;
use toml::value::Datetime;

use super::cloud::Cloud;
use super::cloud::Clouds;
use super::reference::RegionRole;
use super::reference::RequirementLevel;
use super::reference::ServiceKind;
use super::reference::TableKind;

/// An error in a rule file, site file or service tag file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {what}: {file}:{}{message}", if *line == 0 { " ".to_owned() } else { format!("{line}: ") })]
pub struct RuleFileError {
    /// `rules`, `site file` or `service tags`.
    pub what: &'static str,
    /// The file.
    pub file: String,
    /// Line from 1; 0 if the error is in no single line.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// The line of a byte offset in `text`, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// The text of a file, or the line of the first byte that is not UTF-8.
pub(super) fn text_of<'a>(what: &'static str, file: &str, bytes: &'a [u8]) -> Result<&'a str, RuleFileError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        RuleFileError { what, file: file.to_owned(), line, message: "not UTF-8 text".to_owned() }
    })
}

/// The offsets at which lines begin, for a file with many positions to report.
pub(super) struct LineIndex(Vec<usize>);

impl LineIndex {
    pub(super) fn of(text: &str) -> LineIndex {
        LineIndex(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line of a byte offset, from 1.
    pub(super) fn at(&self, at: usize) -> usize {
        self.0.partition_point(|begin| *begin <= at) + 1
    }
}

/// Reads TOML into `T`. An error has its line and, for a misspelt word, the nearest known word.
pub(super) fn read_toml<T: serde::de::DeserializeOwned>(
    what: &'static str,
    file: &str,
    text: &str,
) -> Result<T, RuleFileError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        RuleFileError { what, file: file.to_owned(), line, message: with_suggestion(error.message()) }
    })
}

/// Rewrites serde's "unknown field `x`, expected one of `a`, `b`": of a long list only the nearest word helps.
fn with_suggestion(message: &str) -> String {
    if let Some(plain) = in_plain_words(message) {
        return plain;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let (true, Some(word)) = (is_unknown, quoted.next()) else { return message.replace('\n', ", ") };
    let known: Vec<&str> = quoted.collect();
    let unknown = if message.starts_with("unknown field") { "key" } else { "value" };
    match nearest(word, known.iter().copied()).filter(|near| !has_rival(word, near, &known)) {
        Some(near) => format!("unknown {unknown} `{word}`, did you mean `{near}`?"),
        None => format!("unknown {unknown} `{word}`; expected one of {}", known.join(", ")),
    }
}

/// Rewrites serde's "invalid type: string "a", expected a sequence" in the words of TOML's users.
pub(super) fn in_plain_words(message: &str) -> Option<String> {
    const EXPECTED: &[(&str, &str)] = &[
        ("a sequence", "a list, such as [\"…\"]"),
        ("a map", "a table"),
        ("struct ", "a table"),
        ("path string", "a text"),
        ("a string", "a text"),
        ("string or table", "a text"),
        ("a TOML datetime", "a date without quotation marks, such as 2027-01-31"),
        ("a boolean", "true or false"),
        ("u32", "a whole number"),
        ("u64", "a whole number"),
        ("u16", "a whole number up to 65535"),
    ];
    let (found, expected) = match message.strip_prefix("wanted ") {
        Some(expected) => ("", expected),
        None => message.strip_prefix("invalid type: ")?.split_once(", expected ")?,
    };
    let (_, plain) = EXPECTED.iter().find(|(word, _)| expected.starts_with(word))?;
    Some(match found {
        "" => format!("expected {plain}"),
        found => format!(
            "expected {plain}; found {}",
            found.replace("sequence", "a list").replace("map", "a table")
        ),
    })
}

/// True if another word is equally near; then none of them is suggested.
fn has_rival(word: &str, near: &str, known: &[&str]) -> bool {
    let distance = |other: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &other.to_lowercase());
    known.iter().any(|other| *other != near && distance(other) == distance(near))
}

/// The word of `known` nearest to `word`, if at most a third of its letters differ.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    let near = known.into_iter().map(|other| (distance(other), other)).min_by_key(|(far, _)| *far)?;
    (near.0 <= lower.chars().count().div_ceil(3)).then_some(near.1)
}

/// The document of `ids` nearest to `word`: by its id, or by its name without a date, then the newest of the name.
pub(crate) fn nearest_document<'a>(word: &str, ids: &[&'a str]) -> Option<&'a str> {
    let name = |id: &'a str| id.split('@').next().unwrap_or(id);
    nearest(word, ids.iter().copied()).or_else(|| {
        let near = nearest(word, ids.iter().copied().map(name))?;
        ids.iter().copied().filter(|id| name(id) == near).max()
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileShape {
    pub(super) document: Spanned<DocumentShape>,
    #[serde(default)]
    pub(super) table: Vec<Spanned<TableShape>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct DocumentShape {
    pub(super) id: Spanned<String>,
    pub(super) short: Spanned<String>,
    pub(super) title: String,
    pub(super) date: Option<Spanned<Datetime>>,
    pub(super) products: Spanned<Vec<String>>,
    #[serde(default)]
    pub(super) always: bool,
    #[serde(default)]
    pub(super) source: String,
    pub(super) retrieved: Option<Spanned<Datetime>>,
    #[serde(default)]
    pub(super) supersedes: Vec<String>,
    #[serde(default)]
    pub(super) keeps_as_legacy: Vec<String>,
    #[serde(default)]
    pub(super) includes: Vec<String>,
    #[serde(default)]
    pub(super) background: bool,
    pub(super) region: Option<String>,
    pub(super) hardware: Option<String>,
    pub(super) needs_value: Option<String>,
    #[serde(default)]
    pub(super) issuers_cover: Vec<String>,
    #[serde(default)]
    pub(super) derived_suffixes: Vec<SuffixShape>,
}

/// The suffix of another cloud, where the document says to substitute it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SuffixShape {
    pub(super) cloud: CloudWord,
    pub(super) printed: String,
    pub(super) becomes: String,
    pub(super) note: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TableShape {
    pub(super) id: Spanned<String>,
    pub(super) title: String,
    pub(super) kind: TableKind,
    pub(super) section: Option<String>,
    pub(super) printed: Option<String>,
    pub(super) service: Option<Spanned<String>>,
    pub(super) usage: Option<Spanned<String>>,
    pub(super) cloud: Option<CloudWord>,
    pub(super) service_kind: Option<ServiceKind>,
    pub(super) level: Option<RequirementLevel>,
    pub(super) ports: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) repeats: Vec<String>,
    #[serde(default)]
    pub(super) row: Vec<Spanned<RowShape>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RowShape {
    pub(super) number: Spanned<u32>,
    pub(super) printed: String,
    pub(super) service: Option<String>,
    pub(super) usage: Option<String>,
    pub(super) service_kind: Option<ServiceKind>,
    pub(super) level: Option<RequirementLevel>,
    pub(super) cloud: Option<CloudWord>,
    #[serde(default)]
    pub(super) public: Vec<Spanned<EntryShape>>,
    #[serde(default)]
    pub(super) us_government: Vec<Spanned<EntryShape>>,
    #[serde(default)]
    pub(super) china: Vec<Spanned<EntryShape>>,
    #[serde(default)]
    pub(super) every: Vec<Spanned<EntryShape>>,
    #[serde(default)]
    pub(super) urls: Vec<Spanned<EntryShape>>,
    #[serde(default)]
    pub(super) primary: Vec<Spanned<EntryShape>>,
    #[serde(default)]
    pub(super) discovery: Vec<Spanned<EntryShape>>,
    pub(super) region: Option<String>,
    pub(super) pair: Option<Spanned<String>>,
    pub(super) ports: Option<Spanned<String>>,
    pub(super) corrected_ports: Option<Spanned<String>>,
    pub(super) at_least: Option<u16>,
    pub(super) note: Option<String>,
    pub(super) repeats: Option<String>,
    pub(super) instead_of: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) tags: Vec<TagShape>,
    #[serde(default)]
    pub(super) tags_of_service: Vec<String>,
    #[serde(default)]
    pub(super) partly_tagged: bool,
    pub(super) until_version: Option<u32>,
    pub(super) cipher_suite: Option<u16>,
    #[serde(default)]
    pub(super) arc_gateway: bool,
    pub(super) action: Option<String>,
    #[serde(default)]
    pub(super) bidirectional: bool,
    pub(super) source: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) suffix: Option<String>,
    pub(super) common_name: Option<String>,
    pub(super) organization: Option<String>,
    #[serde(default)]
    pub(super) networks: Vec<Spanned<String>>,
    pub(super) about: Option<String>,
}

/// A cloud, or `every`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CloudWord {
    Public,
    UsGovernment,
    China,
    Every,
}

impl CloudWord {
    pub(super) const fn clouds(self) -> Clouds {
        match self {
            CloudWord::Public => Clouds::of(Cloud::Public),
            CloudWord::UsGovernment => Clouds::of(Cloud::UsGovernment),
            CloudWord::China => Clouds::of(Cloud::China),
            CloudWord::Every => Clouds::EVERY,
        }
    }
}

/// A URL, plain or with remarks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EntryFields {
    pub(super) url: String,
    pub(super) alias: Option<String>,
    pub(super) ports: Option<String>,
    pub(super) corrected_ports: Option<String>,
    pub(super) note: Option<String>,
    pub(super) role: Option<RegionRole>,
    #[serde(default)]
    pub(super) broad: bool,
    pub(super) see: Option<String>,
    pub(super) every_minutes: Option<u32>,
    pub(super) level: Option<RequirementLevel>,
    pub(super) repeats: Option<String>,
    #[serde(default)]
    pub(super) placeholders: BTreeMap<String, String>,
}

/// [`EntryFields`], where a plain string is the URL alone.
#[derive(Clone, Debug)]
pub(super) struct EntryShape(pub(super) EntryFields);

impl<'de> Deserialize<'de> for EntryShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = EntryShape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a table with `url`")
            }
            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<EntryShape, E> {
                Ok(EntryShape(EntryFields { url: url.to_owned(), ..EntryFields::default() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EntryShape, A::Error> {
                EntryFields::deserialize(MapAccessDeserializer::new(map)).map(EntryShape)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A service tag, plain or for one cloud.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a service tag, or a table with `tag` and `cloud`")]
pub(super) enum TagShape {
    Plain(String),
    For { tag: String, cloud: CloudWord },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_reported_with_its_line_and_a_suggestion() {
        let check = |text: &str, line: usize, message: &str| {
            let problem = read_toml::<FileShape>("rules", "x.toml", text).map(|_| ()).unwrap_err();
            assert_eq!((problem.line, problem.message.as_str()), (line, message));
        };
        let head = "[document]\nid = \"x\"\nshort = \"x\"\ntitle = \"x\"\nproducts = []\n";
        check(
            &format!("{head}retreived = 2026-11-20\n"),
            6,
            "unknown key `retreived`, did you mean `retrieved`?",
        );
        let table = format!("{head}[[table]]\nid = \"t\"\ntitle = \"t\"\n");
        check(
            &format!("{table}kind = \"endpiont\"\n"),
            9,
            "unknown value `endpiont`, did you mean `endpoint`?",
        );
        check(&format!("{head}\ntitle = \"again\"\n"), 7, "duplicate key");
    }

    #[test]
    fn distant_words_are_not_suggested() {
        assert_eq!(nearest("zzz", ["region", "cloud"]), None);
        assert_eq!(nearest("Regoin", ["region", "cloud"]), Some("region"));
        let ids = ["sync@2019-06-24", "sync@2025-08-01", "sync@2021-01-01", "certificates@2025-12-02"];
        assert_eq!(nearest_document("sync@2019-06-25", &ids), Some("sync@2019-06-24"));
        assert_eq!(nearest_document("synk", &ids), Some("sync@2025-08-01"));
        assert_eq!(nearest_document("sync", &ids), Some("sync@2025-08-01"));
        assert_eq!(nearest_document("zzzz", &ids), None);
    }
}
