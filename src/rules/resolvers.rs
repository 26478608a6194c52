//! Public resolvers with DNS over HTTPS (RFC 8484).
//!
//! In:  `rules/public-resolvers.tsv`, which is inside the program.
//! Out: the port of a resolver with a given name.
//! Not: whether a site may use it.

use std::sync::LazyLock;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

const FILE: &str = include_str!("../../rules/public-resolvers.tsv");

static RESOLVERS: LazyLock<HashMap<&str, u16, FixedState>> = LazyLock::new(|| rows().collect());

/// Name and port of each row.
fn rows() -> impl Iterator<Item = (&'static str, u16)> {
    FILE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut cells = line.split('\t');
        Some((cells.next()?, cells.next()?.parse().ok()?))
    })
}

/// The port on which `name`, in lower case, offers DNS over HTTPS, if that is documented.
pub fn doh_port(name: &str) -> Option<u16> {
    RESOLVERS.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HostName;

    #[test]
    fn rows_are_complete_sorted_and_unique() {
        let mut before = "";
        for line in FILE.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let [name, port, operator, source] = cells[..] else { unreachable!("{line}") };
            assert!(HostName::from_wire_text(name.as_bytes()).is_some_and(|known| known.as_str() == name));
            assert!(port.parse::<u16>().is_ok() && !operator.is_empty() && !source.is_empty(), "{line}");
            assert!(before < name, "sorted and unique: {line}");
            before = name;
        }
        assert_eq!(doh_port("dns.google"), Some(443));
        assert_eq!(doh_port("google"), None);
    }
}
