//! Numbers in sentences.

use crate::base::grouped;

/// A number with its noun: `1 flow`, `2 flows`.
pub(super) fn counted(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `is` for one, `are` for all other numbers.
pub(super) const fn is_or_are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// `was` for one, `were` for all other numbers.
pub(super) const fn was_or_were(number: u64) -> &'static str {
    if number == 1 { "was" } else { "were" }
}
