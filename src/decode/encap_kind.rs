//! The protocols of tags and tunnels.
//!
//! In:  nothing.
//! Out: one table: names, and whether both directions of a flow have the same ID.
//! Not: how their headers are read; see `ether`, `link` and `tunnel`.

/// What the ID of a tag or tunnel names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EncapId {
    /// A network, such as a VLAN: both directions of a flow have the same.
    Network,
    /// A session, a key or a label, perhaps of one direction only; or nothing.
    Session,
}

macro_rules! encap_kinds {
    ($($kind:ident = $name:literal, $number:expr, $id:ident;)*) => {
        /// Protocols of tags and tunnels, in no particular order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each variant is the name of its protocol")]
        pub enum EncapKind {
            $($kind,)*
        }

        impl EncapKind {
            /// All of them.
            pub const ALL: &[EncapKind] = &[$(EncapKind::$kind,)*];

            /// Its name in output.
            pub const fn name(self) -> &'static str {
                match self {
                    $(EncapKind::$kind => $name,)*
                }
            }

            /// A number for the scope. It must stay the same in every release.
            pub(super) const fn number(self) -> u64 {
                match self {
                    $(EncapKind::$kind => $number,)*
                }
            }

            const fn id(self) -> EncapId {
                match self {
                    $(EncapKind::$kind => EncapId::$id,)*
                }
            }
        }
    };
}

encap_kinds! {
    Vlan = "vlan", 1, Network;
    Mpls = "mpls", 2, Session;
    Pppoe = "pppoe", 3, Network;
    IpInIp = "ip-in-ip", 4, Session;
    Gre = "gre", 5, Session;
    Nvgre = "nvgre", 6, Network;
    Erspan = "erspan", 7, Session;
    Vxlan = "vxlan", 8, Network;
    Geneve = "geneve", 9, Network;
    GtpU = "gtp-u", 10, Session;
    Teredo = "teredo", 11, Session;
    L2tp = "l2tp", 12, Session;
    Capwap = "capwap", 13, Session;
    Lisp = "lisp", 14, Session;
    Nsh = "nsh", 15, Session;
    Esp = "esp", 16, Session;
    Macsec = "macsec", number_of("macsec"), Session;
    Pbb = "pbb", number_of("pbb"), Network;
    FabricPath = "fabricpath", number_of("fabricpath"), Session;
    Trill = "trill", number_of("trill"), Session;
    Metadata = "metadata", number_of("metadata"), Session;
    VnTag = "vntag", number_of("vntag"), Session;
    Redundancy = "redundancy", number_of("redundancy"), Session;
    ETag = "etag", number_of("etag"), Session;
    Timestamp = "timestamp", number_of("timestamp"), Session;
    Tzsp = "tzsp", number_of("tzsp"), Session;
    EtherIp = "etherip", number_of("etherip"), Session;
    Ethernet = "ethernet", number_of("ethernet"), Session;
    GreTap = "gretap", number_of("gretap"), Network;
    Eoip = "eoip", number_of("eoip"), Network;
    MplsInIp = "mpls-in-ip", number_of("mpls-in-ip"), Session;
    MplsInUdp = "mpls-in-udp", number_of("mpls-in-udp"), Session;
}

impl EncapKind {
    /// Whether both directions of a flow have the same ID.
    pub(super) fn has_shared_id(self) -> bool {
        self.id() == EncapId::Network
    }
}

/// The number of a protocol that had none in the first release.
const fn number_of(name: &str) -> u64 {
    let (bytes, mut number, mut index) = (name.as_bytes(), 1 << 31, 0);
    while let Some((byte, _)) = bytes.split_at(index).1.split_first() {
        number = (number * 31 + *byte as u64) & 0xffff_ffff;
        index += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::EncapKind;

    #[test]
    fn names_and_numbers_are_unique() {
        let names: BTreeSet<&str> = EncapKind::ALL.iter().map(|kind| kind.name()).collect();
        let numbers: BTreeSet<u64> = EncapKind::ALL.iter().map(|kind| kind.number()).collect();
        assert_eq!((names.len(), numbers.len()), (EncapKind::ALL.len(), EncapKind::ALL.len()));
    }

    #[test]
    fn numbers_stay_the_same() {
        assert_eq!([EncapKind::Vlan, EncapKind::Esp].map(EncapKind::number), [1, 16]);
        assert_eq!(EncapKind::Pbb.number(), 2_147_594_416);
    }
}
