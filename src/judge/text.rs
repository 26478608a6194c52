//! Numbers in sentences.

use crate::base;

/// A number with its noun: `1 flow`, `2 flows`.
pub(super) fn counted(number: impl Into<u64>, noun: &str) -> String {
    base::counted(number.into(), noun)
}

/// `is` for one, `are` for all other numbers.
pub(super) const fn is_or_are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// `was` for one, `were` for all other numbers.
pub(super) const fn was_or_were(number: u64) -> &'static str {
    if number == 1 { "was" } else { "were" }
}
