//! Walks through the layers of a frame.
//!
//! In:  one frame.
//! Out: the one [`Decoded`] that it is; counts that add up to the frames.
//! Not: any layer's header; those are the readers' work.

use crate::base::Cursor;
use crate::capture::Frame;
use crate::capture::LinkType;

use super::ether;
use super::fragment::FragmentCounts;
use super::fragment::Fragments;
use super::fragment::Limits;
use super::fragment::LostDatagram;
use super::fragment::Piece;
use super::fragment::Whole;
use super::ip;
use super::ip::protocol;
use super::link;
use super::packet::Damage;
use super::packet::Decoded;
use super::packet::Fate;
use super::packet::Packet;
use super::transport;
use super::tunnel;
use super::view::Next;
use super::view::Stop;
use super::view::Trust;
use super::view::View;
use super::view::Walk;

/// What became of the frames. The variants add up to `frames`.
///
/// Checksums are not verified: a capture on the sending machine sees them before the network card has filled them in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames taken in.
    pub frames: u64,
    /// Frames that gave a packet.
    pub packets: u64,
    /// Fragments kept for later, or copies of such.
    pub fragments: u64,
    /// Frames without IP.
    pub not_ip: u64,
    /// Frames of a link type that we do not know.
    pub unknown_link: u64,
    /// Frames that cannot be read.
    pub unreadable: u64,
    /// Frames with a header cut by the capture.
    pub cut: u64,
    /// Frames with a broken header.
    pub broken: u64,
    /// Packets whose IP header claims more bytes than the frame had on the wire.
    pub beyond_frame: u64,
    /// What happened to the fragments, including those inside tunnels.
    pub fragment: FragmentCounts,
}

/// Opens frames one after the other.
#[derive(Debug)]
pub struct Decoder {
    walk: Walk,
    fragments: Fragments,
    counts: Counts,
    /// The payload of the datagram that the current frame completed.
    joined: Vec<u8>,
    /// Where the next one is written, while `joined` is still read.
    spare: Vec<u8>,
}

/// Where a walk ended well.
enum End<'b> {
    Packet(Packet<'b>),
    Piece(Piece<'b>),
}

/// Headers in one frame: tags, tunnels, and what lies between them. Only a crafted frame has more.
const STEP_LIMIT: usize = 64;

impl Decoder {
    /// A decoder that keeps at most what `limits` allow.
    pub fn new(limits: Limits) -> Self {
        Decoder {
            walk: Walk::new(),
            fragments: Fragments::new(limits),
            counts: Counts::default(),
            joined: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Opens a frame.
    #[inline]
    pub fn packet<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.counts.frames += 1;
        if let Some(packet) = plain(frame) {
            self.counts.packets += 1;
            return Decoded::Packet(packet);
        }
        self.any(frame)
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        Counts { fragment: self.fragments.counts, ..self.counts }
    }

    /// Gives up the fragments that still wait: no more frames come.
    pub fn finish(&mut self) {
        self.fragments.finish();
    }

    /// The datagrams whose fragments never came together and that were given up since the last call; at most the
    /// first thousand of them, the counts know all.
    pub fn lost_datagrams(&mut self) -> Vec<LostDatagram> {
        self.fragments.lost()
    }

    #[inline(never)]
    fn any<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.walk.clear();
        let start = Next::Link(frame.link, View::frame(frame));
        match walk(&mut self.walk, start) {
            Ok(End::Packet(packet)) => self.told(Ok(packet)),
            Ok(End::Piece(piece)) => match self.join(&piece, frame) {
                Ok(Some(whole)) => self.whole(whole, frame),
                Ok(None) => self.kept(),
                Err(stop) => self.told(Err(stop)),
            },
            Err(stop) => self.told(Err(stop)),
        }
    }

    fn join(&mut self, piece: &Piece<'_>, frame: &Frame<'_>) -> Result<Option<Whole>, Stop> {
        let scope = self.walk.wrapping.scope();
        self.fragments.accept(piece, scope, frame.place, frame.time, &mut self.joined)
    }

    /// Opens a joined datagram, which may hold a tunnel with yet another fragment.
    fn whole<'a>(&'a mut self, mut whole: Whole, frame: &Frame<'a>) -> Decoded<'a> {
        self.walk.joined = true;
        let mut depth = self.walk.wrapping.layers().len();
        // Fragments inside fragments inside …: each round is one layer of tunnel deeper, and those are limited.
        for _ in 0..STEP_LIMIT {
            let Ok(End::Piece(piece)) = walk(&mut self.walk, Next::Ip(whole.ip(&self.joined))) else {
                break;
            };
            depth = self.walk.wrapping.layers().len();
            let scope = self.walk.wrapping.scope();
            match self.fragments.accept(&piece, scope, frame.place, frame.time, &mut self.spare) {
                Ok(Some(inner)) => whole = inner,
                Ok(None) => return self.kept(),
                Err(stop) => return self.told(Err(stop)),
            }
            std::mem::swap(&mut self.joined, &mut self.spare);
        }
        // Once more from the same place, now for good: the borrow of the buffer can leave this function only here.
        self.walk.wrapping.truncate(depth);
        let end = match walk(&mut self.walk, Next::Ip(whole.ip(&self.joined))) {
            Ok(End::Packet(packet)) => Ok(packet),
            Ok(End::Piece(_)) => Err(Stop::TooDeep),
            Err(stop) => Err(stop),
        };
        tell(&mut self.counts, &self.walk, end)
    }

    fn kept<'a>(&mut self) -> Decoded<'a> {
        self.counts.fragments += 1;
        Decoded::Fragment
    }

    fn told<'a>(&'a mut self, end: Result<Packet<'a>, Stop>) -> Decoded<'a> {
        tell(&mut self.counts, &self.walk, end)
    }
}

/// Counts an end and puts it into words.
fn tell<'a>(counts: &mut Counts, walk: &'a Walk, end: Result<Packet<'a>, Stop>) -> Decoded<'a> {
    match end {
        Ok(packet) => {
            counts.packets += 1;
            counts.beyond_frame += u64::from(walk.beyond);
            Decoded::Packet(Packet {
                was_fragmented: walk.joined,
                scope: walk.wrapping.scope(),
                wrapping: &walk.wrapping,
                ..packet
            })
        }
        Err(Stop::NotIp(ether_type)) => {
            counts.not_ip += 1;
            Decoded::NotIp(ether_type)
        }
        Err(Stop::UnknownLink(link)) => {
            counts.unknown_link += 1;
            Decoded::UnknownLink(link)
        }
        Err(Stop::Unreadable(what)) => {
            counts.unreadable += 1;
            Decoded::Unreadable(what)
        }
        Err(Stop::Opaque) => {
            counts.unreadable += 1;
            Decoded::Unreadable("tunnel")
        }
        Err(Stop::TooDeep) => {
            counts.broken += 1;
            Decoded::Damaged(Damage {
                layer: "wrapping",
                wanted: "end of nesting",
                at: 0,
                fate: Fate::Broken,
            })
        }
        Err(Stop::Damaged(damage)) => {
            match damage.fate {
                Fate::Cut => counts.cut += 1,
                Fate::Broken => counts.broken += 1,
            }
            Decoded::Damaged(damage)
        }
    }
}

/// The common case in one piece: Ethernet, IP without fragments, TCP, or UDP that is no tunnel. `None` for all else.
#[inline]
fn plain<'a>(frame: &Frame<'a>) -> Option<Packet<'a>> {
    if frame.link != LinkType::ETHERNET {
        return None;
    }
    let (ether_type, inside) = View::frame(frame)
        .read("ethernet", |c: &mut Cursor<'_>| {
            c.skip(12, "addresses")?;
            c.u16("ether type")
        })
        .ok()?;
    let ip = match ether_type {
        ether::IPV4 => ip::v4(inside),
        ether::IPV6 => ip::v6(inside),
        _ => return None,
    }
    .ok()?;
    if ip.fragment.is_some() || ip.beyond {
        return None;
    }
    match ip.protocol {
        protocol::TCP => transport::tcp(&ip.header, ip.body).ok(),
        protocol::UDP => {
            let (packet, _) = transport::udp(&ip.header, ip.body).ok()?;
            tunnel::over_udp(packet.src_port, packet.dst_port).is_none().then_some(packet)
        }
        _ => None,
    }
}

/// Follows the readers from header to header.
fn walk<'b>(walk: &mut Walk, start: Next<'b>) -> Result<End<'b>, Stop> {
    let mut next = start;
    let mut doubt: Option<Doubt<'b>> = None;
    for _ in 0..STEP_LIMIT {
        let step = match next {
            Next::Read(reader, view) => reader(walk, view),
            Next::Link(number, view) => link::read(walk, number, view),
            Next::EtherType(number, view) => ether::read(walk, number, view),
            Next::Ip(ip) => ip::inside(walk, ip),
            Next::Tunnel { around, trust, reader, inside } => {
                doubt = Some(Doubt { around, trust, depth: walk.wrapping.layers().len() });
                reader(walk, inside)
            }
            Next::Packet(packet) => return Ok(End::Packet(packet)),
            Next::Piece(piece) => return Ok(End::Piece(piece)),
        };
        next = match step {
            Ok(next) => next,
            Err(stop) => {
                return match doubt {
                    Some(doubt) if doubt.is_right(stop) => {
                        walk.wrapping.truncate(doubt.depth);
                        Ok(End::Packet(doubt.around))
                    }
                    _ => Err(stop),
                };
            }
        };
    }
    Err(Stop::TooDeep)
}

/// The innermost packet that may be a tunnel, while we look inside.
struct Doubt<'b> {
    around: Packet<'b>,
    trust: Trust,
    depth: usize,
}

impl Doubt<'_> {
    /// Whether what stopped the walk says that the packet is no tunnel, or none that we can read.
    fn is_right(&self, stop: Stop) -> bool {
        match (self.trust, stop) {
            (_, Stop::TooDeep) => false,
            (_, Stop::Opaque) => true,
            (Trust::Sure, _) => false,
            // ARP in VXLAN is a fine inside; an ether type that nobody knows is noise.
            (Trust::Guess, Stop::NotIp(number)) => ether::name(number).is_none(),
            (Trust::Guess, _) => true,
        }
    }
}
