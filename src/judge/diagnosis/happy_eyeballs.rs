//! Parallel attempts of a client to several addresses of one name (RFC 8305, Happy Eyeballs).
//!
//! In:  attempts as they start, and whether they were answered.
//! Out: whether an attempt without a reply lost to another one.
//! Not: refused attempts: those were answered.

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::Time;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::hashed_name::ClientName;
use crate::judge::hashed_name::ClientNameRef;

/// Names of clients that are kept: seven eighths of a power of two is what a hash table holds without growing.
const MAX_NAMES: usize = 7 << 10;

/// Parallel attempts of one name that are kept.
const MAX_ATTEMPTS: usize = 8;

/// Parallel attempts start within this time; RFC 8305 §5 starts the next after 250 ms, at most 2 s.
const PARALLEL_NANOS: u64 = 2_000_000_000;

/// One attempt to an address of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedAttempt {
    /// Number of the flow.
    pub(super) flow: u64,
    pub(super) server: Address,
    pub(super) started: Time,
}

/// The recent attempts by client and name, each with whether it was answered.
#[derive(Debug)]
pub(super) struct HappyEyeballs(BoundedMap<ClientName, SmallVec<[(NamedAttempt, bool); 1]>>);

impl Default for HappyEyeballs {
    fn default() -> HappyEyeballs {
        HappyEyeballs(BoundedMap::new(MAX_NAMES))
    }
}

impl HappyEyeballs {
    /// An attempt starts.
    pub(super) fn start(&mut self, key: ClientNameRef<'_>, attempt: NamedAttempt) {
        match self.0.get(&key) {
            Some(attempts) => {
                attempts.retain(|(other, _)| attempt.started.since(other.started) <= PARALLEL_NANOS);
                if attempts.len() < MAX_ATTEMPTS {
                    attempts.push((attempt, false));
                }
            }
            None => self.0.insert(key.to_owned(), SmallVec::from_iter([(attempt, false)])),
        }
    }

    /// An attempt was answered.
    pub(super) fn answered(&mut self, key: ClientNameRef<'_>, flow: u64) {
        let attempts = self.0.get(&key).into_iter().flatten();
        for (_, is_answered) in attempts.filter(|(attempt, _)| attempt.flow == flow) {
            *is_answered = true;
        }
    }

    /// Whether a parallel attempt to another address was answered.
    pub(super) fn has_lost(&mut self, key: ClientNameRef<'_>, flow: u64) -> bool {
        let Some(attempts) = self.0.get(&key) else { return false };
        let Some((own, _)) = attempts.iter().find(|(attempt, _)| attempt.flow == flow).copied() else {
            return false;
        };
        attempts.iter().any(|(other, is_answered)| {
            let apart = other.started.since(own.started).max(own.started.since(other.started));
            *is_answered && other.server != own.server && apart <= PARALLEL_NANOS
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HostName;
    use crate::judge::hashed_name::HashedName;

    #[test]
    fn an_attempt_loses_to_an_answered_parallel_one() {
        let hasher = foldhash::fast::RandomState::default();
        let name = HashedName::new(HostName::from_wire_text(b"sync.example").unwrap(), &hasher);
        let client = ClientNameRef { client: Address(1), name: &name };
        let attempt = |flow, server, millis: i64| NamedAttempt {
            flow,
            server: Address(server),
            started: Time(millis * 1_000_000),
        };
        let mut attempts = HappyEyeballs::default();
        attempts.start(client, attempt(1, 66, 1_000));
        attempts.start(client, attempt(2, 44, 1_250));
        assert!(!attempts.has_lost(client, 1), "none is answered yet");
        attempts.answered(client, 2);
        assert!(attempts.has_lost(client, 1));
        assert!(!attempts.has_lost(client, 2));
        assert!(!attempts.has_lost(ClientNameRef { client: Address(9), ..client }, 1), "another client");
        attempts.start(client, attempt(3, 66, 9_000));
        assert!(!attempts.has_lost(client, 3), "long after");
    }
}
