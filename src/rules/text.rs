//! Text of a rule file.
//!
//! In:  the packed rules inside the program, which stay where they are, or the text of a file, which is copied.
//! Out: a string.

use std::borrow::Borrow;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::de::Error;
use serde::de::Visitor;

/// A string of a rule file. The rules inside the program are not copied when a run starts: there are thousands of strings, and a
/// run needs few of them.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleText(Cow<'static, str>);

impl Deref for RuleText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

// Equality, order and hash are those of the string.
impl Borrow<str> for RuleText {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for RuleText {
    fn from(text: &str) -> RuleText {
        RuleText(Cow::Owned(text.to_owned()))
    }
}

impl From<String> for RuleText {
    fn from(text: String) -> RuleText {
        RuleText(Cow::Owned(text))
    }
}

impl fmt::Display for RuleText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

impl fmt::Debug for RuleText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl<'de: 'static> Deserialize<'de> for RuleText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RuleText, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de: 'static> Visitor<'de> for TextVisitor {
    type Value = RuleText;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<RuleText, E> {
        Ok(RuleText(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RuleText, E> {
        Ok(text.into())
    }
}
