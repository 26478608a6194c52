//! Boxes that have been emptied, on their way back to be filled again.
//!
//! An opening and a closing travel from one thread to another, one of each per flow. An allocator that has to give memory
//! back across threads locks; a box that goes round does not.

use crate::flow::FlowEnd;
use crate::flow::FlowStart;

/// Emptied boxes. What is in them means nothing.
#[derive(Debug, Default)]
pub struct BoxPool {
    /// Of openings.
    pub openings: Vec<Box<FlowStart>>,
    /// Of closings.
    pub closings: Vec<Box<FlowEnd>>,
}

impl BoxPool {
    /// Adds others.
    pub fn take_in(&mut self, mut others: BoxPool) {
        self.openings.append(&mut others.openings);
        self.closings.append(&mut others.closings);
    }
}

/// A box with `value` in it, an old one if there is one.
pub(super) fn fill<T>(box_pool: &mut Vec<Box<T>>, value: T) -> Box<T> {
    match box_pool.pop() {
        Some(mut boxed) => {
            *boxed = value;
            boxed
        }
        None => Box::new(value),
    }
}
