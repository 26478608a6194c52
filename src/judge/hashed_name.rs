//! Host names as keys: hashed once, compared by value.
//!
//! In:  a host name.
//! Out: a key for tables, alone or together with a client.
//! Not: what is known about the name; see `policy::name_table`.
//!
//! Two keys are equal when their names are, however often the name table has evicted the name in between.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::Equivalent;

use crate::base::Address;
use crate::base::HostName;

/// A host name with its hash.
#[derive(Clone, Debug)]
pub(super) struct HashedName {
    name: Arc<HostName>,
    hash: u64,
}

impl HashedName {
    /// All names that are compared with each other need the same hasher.
    pub(super) fn new(name: HostName, hasher: &impl BuildHasher) -> HashedName {
        let hash = hasher.hash_one(&name);
        HashedName { name: Arc::new(name), hash }
    }

    /// The name, for rows to share.
    pub(super) fn shared(&self) -> &Arc<HostName> {
        &self.name
    }
}

impl Deref for HashedName {
    type Target = HostName;

    fn deref(&self) -> &HostName {
        &self.name
    }
}

impl PartialEq for HashedName {
    fn eq(&self, other: &HashedName) -> bool {
        self.hash == other.hash && self.name == other.name
    }
}

impl Eq for HashedName {}

impl Hash for HashedName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl std::fmt::Display for HashedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

/// A client and a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientName {
    pub(super) client: Address,
    pub(super) name: HashedName,
}

/// The same, borrowed for lookups: a lookup touches no reference count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientNameRef<'a> {
    pub(super) client: Address,
    pub(super) name: &'a HashedName,
}

impl ClientNameRef<'_> {
    pub(super) fn to_owned(self) -> ClientName {
        ClientName { client: self.client, name: self.name.clone() }
    }
}

impl Equivalent<ClientName> for ClientNameRef<'_> {
    fn equivalent(&self, key: &ClientName) -> bool {
        self.client == key.client && *self.name == key.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_equal_keys_wherever_they_are_stored() {
        let hasher = foldhash::fast::RandomState::default();
        let key = |name: &str| HashedName::new(HostName::from_wire_text(name.as_bytes()).unwrap(), &hasher);
        let (one, again, other) = (key("a.example"), key("A.example"), key("b.example"));
        assert_eq!(one, again);
        assert_ne!(one, other);
        let borrowed = ClientNameRef { client: Address(1), name: &again };
        let owned = ClientName { client: Address(1), name: one };
        assert!(borrowed.equivalent(&owned));
        assert_eq!(hasher.hash_one(borrowed), hasher.hash_one(&owned));
        assert!(!ClientNameRef { client: Address(2), name: &again }.equivalent(&owned));
    }
}
