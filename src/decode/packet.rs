//! What decode hands on: the innermost packet of a frame, and what it was wrapped in.

use std::fmt;
use std::fmt::Write as _;

use crate::base::Address;
use crate::capture::LinkType;

/// What became of a frame. The counts of these add up to the frames read.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A packet, whole as far as it was captured. After the last fragment: the whole datagram.
    Packet(Packet<'a>),
    /// A fragment, kept until the others come.
    Fragment,
    /// Not IP: its ether type, or 0 for LLC without one.
    NotIp(u16),
    /// A link type that we do not know.
    UnknownLink(LinkType),
    /// Something that we know but cannot read, for example MACsec or encrypted 802.11; the name says what.
    Unreadable(&'static str),
    /// A header is cut or broken.
    Damaged(PacketDamage),
}

/// The innermost IP packet of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Sender.
    pub src: Address,
    /// Receiver.
    pub dst: Address,
    /// Sender's port; 0 where the protocol has none.
    pub src_port: u16,
    /// Receiver's port; 0 where the protocol has none.
    pub dst_port: u16,
    /// IANA protocol number of the transport.
    pub protocol: u8,
    /// IPv4 time to live or IPv6 hop limit.
    pub ttl: u8,
    /// IPv4 identification; 0 in IPv6.
    pub ip_id: u16,
    /// True when it says more than its own frame: it was put together from fragments, or quotes one whose datagram is known.
    pub was_fragmented: bool,
    /// VLAN and tunnel in one number, the same for both directions; 0 without either. Part of the flow's key.
    pub scope: u64,
    /// The tags and tunnels around the packet.
    pub wrapping: &'a Encapsulation,
    /// The transport header.
    pub transport: Transport<'a>,
    /// What was captured of the transport's payload. Never more than `payload_len`: padding is not payload.
    pub payload: &'a [u8],
    /// How long the payload was on the wire; more than `payload.len()` when the frame was cut.
    pub payload_len: u32,
}

/// A transport header.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// TCP (RFC 9293 §3.1).
    Tcp(TcpHeader<'a>),
    /// UDP.
    Udp,
    /// ICMP or ICMPv6, by the packet's protocol number.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// Identifier of an echo or timestamp message, else 0.
        id: u16,
        /// Bytes 4 to 7 as one number: next-hop MTU, gateway, pointer.
        detail: u32,
        /// The packet that an error message quotes.
        quoted: Option<Quoted>,
    },
    /// Another protocol, or a first fragment whose rest never came.
    Other,
}

/// The fields of a TCP header.
#[derive(Clone, Copy, Debug)]
pub struct TcpHeader<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; means something only with [`TcpHeader::ACK`].
    pub ack: u32,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Option bytes.
    pub options: &'a [u8],
}

impl TcpHeader<'_> {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 16;

    /// True when all of `flags` are set.
    #[inline]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// The packet that an ICMP error quotes: as much of its headers as the message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its sender.
    pub src: Address,
    /// Its receiver.
    pub dst: Address,
    /// Its protocol number.
    pub protocol: u8,
    /// Its sender's port; 0 where none is quoted.
    pub src_port: u16,
    /// Its receiver's port; 0 where none is quoted.
    pub dst_port: u16,
    /// Its TCP sequence number, where quoted.
    pub seq: Option<u32>,
    /// Its IP total length.
    pub total_len: u16,
    /// The identification of its datagram, where it is a later fragment and so has no ports of its own.
    pub fragment: Option<u32>,
}

/// Why a frame could not be read to its transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketDamage {
    /// The layer that was being read, for example `"ipv4"`.
    pub layer: &'static str,
    /// What was looked for or found wrong, for example `"header length"`.
    pub wanted: &'static str,
    /// Offset in the frame.
    pub at: u32,
    /// Cut by the capture (fewer bytes than on the wire), or broken in itself.
    pub fate: DamageKind,
}

/// Whose fault damage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DamageKind {
    /// The capture holds fewer bytes than were on the wire.
    Truncated,
    /// The bytes contradict themselves.
    Broken,
}

/// The tags and tunnels that a packet was wrapped in, outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Encapsulation {
    depth: u8,
    layers: [Layer; Encapsulation::LIMIT],
}

/// One tag or tunnel header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Which kind.
    pub kind: LayerKind,
    /// VLAN id, VNI, MPLS label, session, TEID or key; 0 where there is none.
    pub id: u32,
    /// Outer sender, where the tunnel runs over IP.
    pub src: Option<Address>,
    /// Outer receiver, where the tunnel runs over IP.
    pub dst: Option<Address>,
}

/// The kinds of wrapping. The order has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is the name of its protocol")]
pub enum LayerKind {
    Vlan,
    Mpls,
    Pppoe,
    IpInIp,
    Gre,
    Nvgre,
    Erspan,
    Vxlan,
    Geneve,
    GtpU,
    Teredo,
    L2tp,
    Capwap,
    Lisp,
    Nsh,
    Esp,
    Other(&'static str),
}

impl Encapsulation {
    /// How deep wrappings may nest before a frame counts as damaged.
    pub const LIMIT: usize = 12;

    /// Nothing around the packet.
    pub const NONE: Encapsulation = Encapsulation {
        depth: 0,
        layers: [Layer { kind: LayerKind::Vlan, id: 0, src: None, dst: None }; Encapsulation::LIMIT],
    };

    /// The layers, outermost first.
    #[inline]
    pub fn layers(&self) -> &[Layer] {
        self.layers.get(..usize::from(self.depth)).unwrap_or_default()
    }

    /// True when the packet was in no tag and no tunnel.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// Forgets all layers.
    #[inline]
    pub const fn clear(&mut self) {
        self.depth = 0;
    }

    /// Adds the next layer inwards; false when there are too many.
    pub fn push(&mut self, layer: Layer) -> bool {
        match self.layers.get_mut(usize::from(self.depth)) {
            Some(slot) => {
                *slot = layer;
                self.depth += 1;
                true
            }
            None => false,
        }
    }
    /// Forgets all layers from `depth` inwards.
    pub(super) fn truncate(&mut self, depth: usize) {
        self.depth = self.depth.min(u8::try_from(depth).unwrap_or(u8::MAX));
    }

    /// The tags and tunnels in one number, the same for both directions and on every run; 0 when nothing counts.
    ///
    /// What counts is what both directions share: VLAN ids, kinds of tunnels, network ids. Sessions, labels and keys differ
    /// by direction or by mirror. Tags without a shared id, MPLS labels among them, do not count at all: a router may take
    /// them off, so that a conversation has them one way only.
    pub fn scope(&self) -> u64 {
        let mut scope = 0;
        for layer in self.layers() {
            let id = match layer.src {
                _ if layer.kind.has_shared_id() => layer.id,
                Some(_) => 0,
                None => continue,
            };
            scope = mix(scope ^ mix(layer.kind.number() << 32 | u64::from(id)));
        }
        scope
    }

    /// The VLAN ids, outermost first: `"100;200"`; empty without one.
    pub fn vlans(&self) -> String {
        let mut text = String::new();
        for layer in self.layers().iter().filter(|layer| layer.kind == LayerKind::Vlan) {
            let separator = if text.is_empty() { "" } else { ";" };
            // Writing into a String cannot fail.
            let _ = write!(text, "{separator}{}", layer.id);
        }
        text
    }

    /// The tunnels, outermost first: `"gre / vxlan:42(10.0.0.1>10.0.0.2)"`; empty without one.
    pub fn tunnel(&self) -> String {
        let mut text = String::new();
        for layer in self.layers().iter().filter(|layer| layer.kind != LayerKind::Vlan) {
            let separator = if text.is_empty() { "" } else { " / " };
            let _ = write!(text, "{separator}{layer}");
        }
        text
    }
}

/// `"erspan:5(10.0.0.1>10.0.0.2)"`; without an id of 0, without ends where there are none.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.id != 0 {
            write!(f, ":{}", self.id)?;
        }
        if let (Some(src), Some(dst)) = (self.src, self.dst) {
            write!(f, "({src}>{dst})")?;
        }
        Ok(())
    }
}

impl LayerKind {
    /// How evidence spells it.
    pub const fn name(self) -> &'static str {
        match self {
            LayerKind::Vlan => "vlan",
            LayerKind::Mpls => "mpls",
            LayerKind::Pppoe => "pppoe",
            LayerKind::IpInIp => "ip-in-ip",
            LayerKind::Gre => "gre",
            LayerKind::Nvgre => "nvgre",
            LayerKind::Erspan => "erspan",
            LayerKind::Vxlan => "vxlan",
            LayerKind::Geneve => "geneve",
            LayerKind::GtpU => "gtp-u",
            LayerKind::Teredo => "teredo",
            LayerKind::L2tp => "l2tp",
            LayerKind::Capwap => "capwap",
            LayerKind::Lisp => "lisp",
            LayerKind::Nsh => "nsh",
            LayerKind::Esp => "esp",
            LayerKind::Other(name) => name,
        }
    }

    /// Whether both directions of a conversation have the same id.
    fn has_shared_id(self) -> bool {
        // Others whose number is a network and not a session: PBB services, bridged GRE.
        matches!(
            self,
            LayerKind::Vlan
                | LayerKind::Pppoe
                | LayerKind::Nvgre
                | LayerKind::Vxlan
                | LayerKind::Geneve
                | LayerKind::Other("pbb" | "gretap" | "eoip")
        )
    }

    /// A number for the scope, which must be the same in every version: none changes its meaning.
    fn number(self) -> u64 {
        match self {
            LayerKind::Vlan => 1,
            LayerKind::Mpls => 2,
            LayerKind::Pppoe => 3,
            LayerKind::IpInIp => 4,
            LayerKind::Gre => 5,
            LayerKind::Nvgre => 6,
            LayerKind::Erspan => 7,
            LayerKind::Vxlan => 8,
            LayerKind::Geneve => 9,
            LayerKind::GtpU => 10,
            LayerKind::Teredo => 11,
            LayerKind::L2tp => 12,
            LayerKind::Capwap => 13,
            LayerKind::Lisp => 14,
            LayerKind::Nsh => 15,
            LayerKind::Esp => 16,
            LayerKind::Other(name) => {
                name.bytes().fold(1 << 31, |number, byte| (number * 31 + u64::from(byte)) & 0xffff_ffff)
            }
        }
    }
}

/// SplitMix64's last step: every bit of the input moves every bit of the output. Never 0.
const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let z = z ^ z >> 31;
    if z == 0 { 1 } else { z }
}
