//! Boxes that have been emptied, on their way back to be filled again.
//!
//! An opening and a closing travel from one thread to another, one of each per flow. An allocator that has to give memory
//! back across threads locks; a box that goes round does not.

use crate::flow::Closing;
use crate::flow::Opening;

/// Emptied boxes. What is in them means nothing.
#[derive(Debug, Default)]
pub struct Husks {
    /// Of openings.
    pub openings: Vec<Box<Opening>>,
    /// Of closings.
    pub closings: Vec<Box<Closing>>,
}

impl Husks {
    /// Adds others.
    pub fn take_in(&mut self, mut others: Husks) {
        self.openings.append(&mut others.openings);
        self.closings.append(&mut others.closings);
    }
}

/// A box with `value` in it, an old one if there is one.
pub(super) fn fill<T>(husks: &mut Vec<Box<T>>, value: T) -> Box<T> {
    match husks.pop() {
        Some(mut husk) => {
            *husk = value;
            husk
        }
        None => Box::new(value),
    }
}
