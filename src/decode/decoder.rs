//! Walks through the layers of a frame.
//!
//! In:  one frame.
//! Out: the one [`Decoded`] that it is; counts that add up to the frames.
//! Not: any layer's header; those are the readers' work.

use crate::base::Cursor;
use crate::base::proto;
use crate::capture::Frame;
use crate::capture::LinkType;

use super::ether;
use super::fragment::FragmentCounts;
use super::fragment::FragmentLimits;
use super::fragment::Fragments;
use super::fragment::LostDatagram;
use super::fragment::Piece;
use super::fragment::Whole;
use super::ip;
use super::ip::Inside;
use super::ip::Ip;
use super::link;
use super::packet::DamageKind;
use super::packet::Decoded;
use super::packet::Packet;
use super::packet::PacketDamage;
use super::packet::Transport;
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
pub struct DecodeCounts {
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
    /// Packets of 802.11 aggregates behind the first, which stands for its frame.
    pub aggregated: u64,
    /// What happened to the fragments, including those inside tunnels.
    pub fragment: FragmentCounts,
}

impl DecodeCounts {
    /// What was counted since `before`.
    pub fn since(self, before: DecodeCounts) -> DecodeCounts {
        DecodeCounts {
            frames: self.frames - before.frames,
            packets: self.packets - before.packets,
            fragments: self.fragments - before.fragments,
            not_ip: self.not_ip - before.not_ip,
            unknown_link: self.unknown_link - before.unknown_link,
            unreadable: self.unreadable - before.unreadable,
            cut: self.cut - before.cut,
            broken: self.broken - before.broken,
            beyond_frame: self.beyond_frame - before.beyond_frame,
            aggregated: self.aggregated - before.aggregated,
            fragment: self.fragment.since(before.fragment),
        }
    }

    /// True when every frame, and once [`Decoder::finish`] was called every fragment, is accounted for.
    pub fn add_up(&self) -> bool {
        let ends = self.packets
            + self.fragments
            + self.not_ip
            + self.unknown_link
            + self.unreadable
            + self.cut
            + self.broken;
        let fragment = &self.fragment;
        let fates =
            fragment.joined_fragments + fragment.lost_fragments + fragment.duplicates + fragment.refused;
        ends == self.frames && fates == fragment.fragments
    }
}

/// Opens frames one after the other.
#[derive(Debug)]
pub struct Decoder {
    walk: Walk,
    fragments: Fragments,
    counts: DecodeCounts,
    /// The payload of the datagram that the current frame completed.
    joined: Vec<u8>,
    /// Where the next one is written, while `joined` is still read.
    spare: Vec<u8>,
}

/// Where a walk ended.
enum End<'b> {
    Packet(Packet<'b>),
    Piece(Piece<'b>),
    Stop(Stop),
}

/// Headers in one frame: tags, tunnels, and what lies between them. Only a crafted frame has more.
const STEP_LIMIT: usize = 64;

impl Decoder {
    /// A decoder that keeps at most what `limits` allow.
    pub fn new(limits: FragmentLimits) -> Self {
        Decoder {
            walk: Walk::new(),
            fragments: Fragments::new(limits),
            counts: DecodeCounts::default(),
            joined: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Opens a frame.
    #[inline]
    pub fn packet<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.counts.frames += 1;
        // The common case in one piece, written once and in place: Ethernet, IP, TCP, or UDP that is no tunnel.
        if let Some((ether_type, inside)) = plain_ethernet(frame)
            && let Some(ip) = plain_ip(ether_type, inside)
        {
            if ip.protocol == proto::TCP
                && let Some((ports, tcp, payload)) = transport::whole_tcp(ip.body)
            {
                self.counts.packets += 1;
                let transport = Transport::Tcp(tcp);
                return Decoded::Packet(ip.header.packet(proto::TCP, ports, transport, payload));
            }
            if ip.protocol == proto::UDP
                && let Some((ports, payload)) = transport::whole_udp(ip.body)
                && tunnel::over_udp(ports.0, ports.1).is_none()
            {
                self.counts.packets += 1;
                return Decoded::Packet(ip.header.packet(proto::UDP, ports, Transport::Udp, payload));
            }
        }
        self.other(frame)
    }

    /// The same inside VLAN tags, as mirror ports send it; then all the rest.
    #[inline(never)]
    fn other<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        if let Some((ether::VLAN | ether::SERVICE_VLAN, _)) = plain_ethernet(frame)
            && let Some(ip) = plain_tagged(&mut self.walk, frame)
        {
            let packet = match ip.protocol {
                proto::TCP => transport::whole_tcp(ip.body).map(|(ports, tcp, payload)| {
                    ip.header.packet(proto::TCP, ports, Transport::Tcp(tcp), payload)
                }),
                proto::UDP => transport::whole_udp(ip.body)
                    .filter(|((src_port, dst_port), _)| tunnel::over_udp(*src_port, *dst_port).is_none())
                    .map(|(ports, payload)| ip.header.packet(proto::UDP, ports, Transport::Udp, payload)),
                _ => None,
            };
            if let Some(packet) = packet {
                self.counts.packets += 1;
                let wrapping = &self.walk.wrapping;
                return Decoded::Packet(Packet { scope: wrapping.scope(), wrapping, ..packet });
            }
        }
        self.any(frame)
    }

    /// The counts so far.
    pub fn counts(&self) -> DecodeCounts {
        DecodeCounts { fragment: self.fragments.counts, ..self.counts }
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
        let end = walk(&mut self.walk, start);
        self.counts.aggregated += u64::from(self.walk.aggregated);
        match end {
            End::Piece(piece) => match self.join(&piece, frame) {
                Ok(Some(whole)) => self.whole(whole, frame),
                Ok(None) => self.kept(),
                Err(stop) => tell(&mut self.counts, &self.walk, End::Stop(stop)),
            },
            End::Packet(packet) => {
                let packet = self.located(packet, frame);
                tell(&mut self.counts, &self.walk, End::Packet(packet))
            }
            end => tell(&mut self.counts, &self.walk, end),
        }
    }

    /// An ICMP error that quotes a later fragment names no ports; those of its datagram are known where that passed by.
    fn located<'a>(&mut self, mut packet: Packet<'a>, frame: &Frame<'_>) -> Packet<'a> {
        if let Transport::Icmp { quoted: Some(quoted), .. } = &mut packet.transport
            && quoted.fragment.is_some()
            && let Some(ports) = self.fragments.ports(quoted, self.walk.wrapping.scope(), frame.time)
        {
            (quoted.src_port, quoted.dst_port) = ports;
            self.walk.joined = true;
        }
        packet
    }

    fn join(&mut self, piece: &Piece<'_>, frame: &Frame<'_>) -> Result<Option<Whole>, Stop> {
        let scope = self.walk.wrapping.scope();
        self.fragments.accept(piece, scope, frame.frame_ref, frame.time, &mut self.joined)
    }

    /// Opens a joined datagram, which may hold a tunnel with yet another fragment.
    fn whole<'a>(&'a mut self, mut whole: Whole, frame: &Frame<'a>) -> Decoded<'a> {
        self.walk.joined = true;
        let mut depth = self.walk.wrapping.layers().len();
        // Fragments inside fragments inside …: each round is one layer of tunnel deeper, and those are limited.
        for _ in 0..STEP_LIMIT {
            let End::Piece(piece) = walk_datagram(&mut self.walk, whole.ip(&self.joined)) else {
                break;
            };
            depth = self.walk.wrapping.layers().len();
            let scope = self.walk.wrapping.scope();
            match self.fragments.accept(&piece, scope, frame.frame_ref, frame.time, &mut self.spare) {
                Ok(Some(inner)) => whole = inner,
                Ok(None) => return self.kept(),
                Err(stop) => return tell(&mut self.counts, &self.walk, End::Stop(stop)),
            }
            std::mem::swap(&mut self.joined, &mut self.spare);
        }
        // Once more from the same place, now for good: the borrow of the buffer can leave this function only here.
        self.walk.wrapping.truncate(depth);
        let end = walk_datagram(&mut self.walk, whole.ip(&self.joined));
        tell(&mut self.counts, &self.walk, end)
    }

    fn kept<'a>(&mut self) -> Decoded<'a> {
        self.counts.fragments += 1;
        Decoded::Fragment
    }
}

/// Counts an end and puts it into words.
fn tell<'a>(counts: &mut DecodeCounts, walk: &'a Walk, end: End<'a>) -> Decoded<'a> {
    let stop = match end {
        End::Packet(packet) => {
            counts.packets += 1;
            counts.beyond_frame += u64::from(walk.beyond);
            return Decoded::Packet(Packet {
                was_fragmented: walk.joined,
                scope: walk.wrapping.scope(),
                wrapping: &walk.wrapping,
                ..packet
            });
        }
        // Joined datagrams whose tunnels hold fragments without end.
        End::Piece(_) => Stop::TooDeep,
        End::Stop(stop) => stop,
    };
    match stop {
        Stop::NotIp(ether_type) => {
            counts.not_ip += 1;
            Decoded::NotIp(ether_type)
        }
        Stop::UnknownLink(link) => {
            counts.unknown_link += 1;
            Decoded::UnknownLink(link)
        }
        Stop::Unreadable(what) => {
            counts.unreadable += 1;
            Decoded::Unreadable(what)
        }
        Stop::Opaque => {
            counts.unreadable += 1;
            Decoded::Unreadable("tunnel")
        }
        Stop::TooDeep => {
            counts.broken += 1;
            Decoded::Damaged(PacketDamage {
                layer: "wrapping",
                wanted: "end of nesting",
                at: 0,
                fate: DamageKind::Broken,
            })
        }
        Stop::Damaged(damage) => {
            match damage.fate {
                DamageKind::Truncated => counts.cut += 1,
                DamageKind::Broken => counts.broken += 1,
            }
            Decoded::Damaged(damage)
        }
    }
}

/// The ether type of an Ethernet frame, and what follows it.
#[inline(always)]
fn plain_ethernet<'b>(frame: &Frame<'b>) -> Option<(u16, View<'b>)> {
    if frame.link != LinkType::ETHERNET {
        return None;
    }
    let mut c = Cursor::new(frame.bytes);
    c.skip(12, "addresses").ok()?;
    let ether_type = c.u16("ether type").ok()?;
    Some((ether_type, View::frame(frame).after(14)))
}

/// IP that is whole and has nothing between its header and its transport.
#[inline(always)]
fn plain_ip(ether_type: u16, inside: View<'_>) -> Option<Ip<'_>> {
    let ip = match ether_type {
        ether::IPV4 => ip::v4(inside),
        ether::IPV6 => ip::v6_first(inside),
        _ => return None,
    };
    ip.ok().filter(|ip| ip.fragment.is_none() && !ip.beyond)
}

/// The same behind one or two VLAN tags.
#[inline(always)]
fn plain_tagged<'b>(walk: &mut Walk, frame: &Frame<'b>) -> Option<Ip<'b>> {
    walk.clear();
    let mut c = Cursor::new(frame.bytes);
    c.skip(12, "addresses").ok()?;
    for _ in 0..3 {
        let ether_type = c.u16("ether type").ok()?;
        if !matches!(ether_type, ether::VLAN | ether::SERVICE_VLAN) {
            return plain_ip(ether_type, View::frame(frame).after(c.at()));
        }
        ether::note_vlan(walk, c.u16("tag").ok()?).ok()?;
    }
    None
}

/// Follows the readers from header to header.
fn walk<'b>(walk: &mut Walk, start: Next<'b>) -> End<'b> {
    follow(walk, start, None)
}

/// The same from the inside of a joined datagram.
fn walk_datagram<'b>(walk: &mut Walk, mut ip: Ip<'b>) -> End<'b> {
    let mut doubt = None;
    match open(walk, &mut ip, &mut doubt) {
        Open::Next(next) => follow(walk, next, doubt),
        Open::End(end) => end,
    }
}

/// A packet that may be a tunnel, while we look inside.
struct Doubt<'b> {
    around: Ip<'b>,
    trust: Trust,
    depth: usize,
}

enum Open<'b> {
    Next(Next<'b>),
    End(End<'b>),
}

fn follow<'b>(walk: &mut Walk, start: Next<'b>, mut doubt: Option<Doubt<'b>>) -> End<'b> {
    let mut next = start;
    for _ in 0..STEP_LIMIT {
        let step = match next {
            Next::Read(reader, view) => reader(walk, view),
            Next::Link(number, view) => link::read(walk, number, view),
            Next::EtherType(number, view) => ether::read(walk, number, view),
            Next::Ip(view) => match ip::header(view) {
                Ok(mut ip) => match open(walk, &mut ip, &mut doubt) {
                    Open::Next(next) => Ok(next),
                    Open::End(End::Stop(stop)) => Err(stop),
                    Open::End(end) => return end,
                },
                Err(stop) => Err(stop),
            },
        };
        next = match step {
            Ok(next) => next,
            Err(stop) => return settle(walk, doubt, stop),
        };
    }
    End::Stop(Stop::TooDeep)
}

/// Looks into an IP packet: the end, or the reader of a tunnel's header.
#[inline]
fn open<'b>(walk: &mut Walk, ip: &mut Ip<'b>, doubt: &mut Option<Doubt<'b>>) -> Open<'b> {
    walk.beyond |= ip.beyond;
    if let Err(stop) = ip::complete(ip) {
        return Open::End(End::Stop(stop));
    }
    if let Some(place) = ip.fragment {
        let piece = Piece { header: ip.header, protocol: ip.protocol, place, body: ip.body };
        return Open::End(End::Piece(piece));
    }
    match ip::inside(ip) {
        Ok(Inside::Packet(packet)) => Open::End(End::Packet(packet)),
        Ok(Inside::Tunnel(trust, reader, view)) => {
            walk.ends = Some((ip.header.src, ip.header.dst));
            *doubt = Some(Doubt { around: *ip, trust, depth: walk.wrapping.layers().len() });
            Open::Next(Next::Read(reader, view))
        }
        Err(stop) => Open::End(End::Stop(stop)),
    }
}

/// What stopped the walk may say that the innermost packet is no tunnel, or none that we can read.
#[cold]
fn settle<'b>(walk: &mut Walk, doubt: Option<Doubt<'b>>, stop: Stop) -> End<'b> {
    let Some(doubt) = doubt else {
        return End::Stop(stop);
    };
    let is_packet = match (doubt.trust, stop) {
        (_, Stop::TooDeep) => false,
        (_, Stop::Opaque) => true,
        (Trust::Sure, _) => false,
        // ARP in VXLAN is a fine inside; an ether type that nobody knows is noise.
        (Trust::Guess, Stop::NotIp(number)) => ether::name(number).is_none(),
        (Trust::Guess, _) => true,
    };
    if !is_packet {
        return End::Stop(stop);
    }
    walk.wrapping.truncate(doubt.depth);
    match ip::packet(&doubt.around) {
        Ok(packet) => End::Packet(packet),
        Err(stop) => End::Stop(stop),
    }
}
