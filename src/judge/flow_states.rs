//! Holds the cases of the live flows.
//!
//! In:  cases as flows open.
//! Out: the case of a slot, to look at or to take.
//! Not: what a case says.
//!
//! A closed case's box is filled again by the next that opens.

use crate::flow::Slot;
use crate::judge::flow_state::FlowState;

/// FlowStates by slot.
#[derive(Debug, Default)]
pub(super) struct FlowStates {
    live: Vec<Option<Box<FlowState>>>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: Vec<Box<FlowState>>,
}

impl FlowStates {
    /// A flow has opened.
    pub(super) fn open(&mut self, slot: Slot, case: FlowState) {
        let boxed = match self.spare.pop() {
            Some(mut spare) => {
                *spare = case;
                spare
            }
            None => Box::new(case),
        };
        self.put(slot, boxed);
    }

    /// The case of a live flow.
    pub(super) fn get(&self, slot: Slot) -> Option<&FlowState> {
        self.live.get(slot.0 as usize)?.as_deref()
    }

    /// The same, to add to.
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut FlowState> {
        self.live.get_mut(slot.0 as usize)?.as_deref_mut()
    }

    /// Takes a case out, to be put back or closed.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Box<FlowState>> {
        self.live.get_mut(slot.0 as usize)?.take()
    }

    /// Puts a case where it was.
    pub(super) fn put(&mut self, slot: Slot, case: Box<FlowState>) {
        let place = slot.0 as usize;
        if self.live.len() <= place {
            self.live.resize_with(place + 1, || None);
        }
        if let Some(empty) = self.live.get_mut(place) {
            *empty = Some(case);
        }
    }

    /// A case that was taken is over.
    pub(super) fn close(&mut self, case: Box<FlowState>) {
        self.spare.push(case);
    }
}
