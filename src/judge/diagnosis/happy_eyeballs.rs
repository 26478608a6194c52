//! Attempts that a client made at once to several addresses of one name (RFC 8305, Happy Eyeballs).
//!
//! In:  attempts as they begin, and whether they came to anything.
//! Out: whether an attempt that came to nothing lost a race that another won.
//! Not: refusals: whoever refuses was asked and answered.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::policy::name_table::KnownName;

/// Names that clients lately went to. Seven eighths of a power of two is what a hash table holds without growing.
const NAMES: usize = 7 << 10;

/// Attempts of one race that are remembered.
const RUNNERS: usize = 8;

/// Attempts of a race begin within this time of each other; RFC 8305 §5 starts the next after 250 ms, at most 2 s.
const TOGETHER_NANOS: u64 = 2_000_000_000;

/// An attempt.
#[derive(Clone, Copy, Debug)]
struct Runner {
    flow: u64,
    server: Address,
    began: Time,
    arrived: bool,
}

/// Attempts to one name, which is kept so that its place in memory stands for it.
#[derive(Debug)]
struct Race {
    _known: Arc<KnownName>,
    runners: SmallVec<[Runner; 1]>,
}

/// The races of late, by client and name.
#[derive(Debug)]
pub(in crate::judge) struct HappyEyeballs(BoundedMap<(Address, usize), Race>);

fn key(client: Address, known: &Arc<KnownName>) -> (Address, usize) {
    (client, Arc::as_ptr(known).addr())
}

impl Default for HappyEyeballs {
    fn default() -> HappyEyeballs {
        HappyEyeballs(BoundedMap::new(NAMES))
    }
}

impl HappyEyeballs {
    /// An attempt begins: flow number `flow`, to one of the name's addresses.
    pub(in crate::judge) fn begin(
        &mut self,
        client: Address,
        known: &Arc<KnownName>,
        flow: u64,
        server: Address,
        began: Time,
    ) {
        let runner = Runner { flow, server, began, arrived: false };
        let key = key(client, known);
        match self.0.get(&key) {
            Some(Race { runners, .. }) => {
                runners.retain(|other| began.since(other.began) <= TOGETHER_NANOS);
                if runners.len() < RUNNERS {
                    runners.push(runner);
                }
            }
            None => {
                let race = Race { _known: Arc::clone(known), runners: SmallVec::from_iter([runner]) };
                self.0.put(key, race);
            }
        }
    }

    /// An attempt was answered.
    pub(in crate::judge) fn arrive(&mut self, client: Address, known: &Arc<KnownName>, flow: u64) {
        let runners = self.0.get(&key(client, known)).into_iter().flat_map(|race| &mut race.runners);
        for runner in runners.filter(|runner| runner.flow == flow) {
            runner.arrived = true;
        }
    }

    /// Whether an attempt to another address, begun at the same time, was answered.
    pub(in crate::judge) fn lost(&mut self, client: Address, known: &Arc<KnownName>, flow: u64) -> bool {
        let Some(Race { runners, .. }) = self.0.get(&key(client, known)) else { return false };
        let Some(own) = runners.iter().find(|runner| runner.flow == flow).copied() else { return false };
        runners.iter().any(|other| {
            let apart = other.began.since(own.began).max(own.began.since(other.began));
            other.arrived && other.server != own.server && apart <= TOGETHER_NANOS
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HostName;
    use crate::judge::Policy;
    use crate::judge::policy::name_table::Names;
    use crate::rules::Library;
    use crate::rules::Selection;
    use crate::rules::Site;

    #[test]
    fn who_was_answered_elsewhere_lost_a_race() {
        let library = Library::embedded().unwrap();
        let rules = library.select(&Selection::default()).unwrap();
        let policy = Policy::new(Arc::new(rules), Site::default(), None);
        let name = HostName::from_wire_text(b"sync.example").unwrap();
        let name = Names::new(usize::MAX).know(&name, &policy);
        let (client, six, four) = (Address(1), Address(66), Address(44));
        let at = |millis: i64| Time(millis * 1_000_000);
        let mut races = HappyEyeballs::default();
        races.begin(client, &name, 1, six, at(1_000));
        races.begin(client, &name, 2, four, at(1_250));
        assert!(!races.lost(client, &name, 1), "nobody was answered yet");
        races.arrive(client, &name, 2);
        assert!(races.lost(client, &name, 1));
        assert!(!races.lost(client, &name, 2));
        assert!(!races.lost(Address(9), &name, 1));
        races.begin(client, &name, 3, six, at(9_000));
        assert!(!races.lost(client, &name, 3), "that was another race");
    }
}
