//! Decodes a frame layer by layer.
//!
//! In:  one frame.
//! Out: a [`Decoded`]; counts that add up to the frames.
//! Not: any protocol's header; each has its reader.

use crate::base::Cursor;
use crate::base::LinkAddress;
use crate::base::proto;
use crate::capture::Frame;
use crate::capture::LinkType;

use super::ether;
use super::fragment::Fragment;
use super::fragment::FragmentCounts;
use super::fragment::FragmentLimits;
use super::fragment::FragmentTable;
use super::fragment::JoinedDatagram;
use super::ip;
use super::ip::IpPacket;
use super::ip::IpPayload;
use super::layer::DecodeState;
use super::layer::LayerSlice;
use super::layer::NextLayer;
use super::layer::Stop;
use super::layer::TunnelEvidence;
use super::link;
use super::other_link;
use super::packet::DamageKind;
use super::packet::Decoded;
use super::packet::Packet;
use super::packet::PacketDamage;
use super::packet::Transport;
use super::transport;
use super::tunnel;

/// The results for the frames. The variants of [`Decoded`] add up to `frames`.
///
/// Checksums are not verified: a capture on the sender sees them before its network card has computed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeCounts {
    /// Frames decoded.
    pub frames: u64,
    /// Frames with a packet.
    pub packets: u64,
    /// FragmentTable held until the others arrive, and duplicates of them.
    pub fragments: u64,
    /// Frames without IP.
    pub not_ip: u64,
    /// Frames of an unknown link type.
    pub unknown_link: u64,
    /// Frames that cannot be read.
    pub unreadable: u64,
    /// Frames with a header that the capture truncated.
    pub truncated: u64,
    /// Frames with a malformed header.
    pub broken: u64,
    /// Packets whose IP length exceeds the frame on the wire.
    pub beyond_frame: u64,
    /// Packets of 802.11 aggregates after the first. Only the first of a frame is read.
    pub aggregated: u64,
    /// The results for fragments, including those inside tunnels.
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
            truncated: self.truncated - before.truncated,
            broken: self.broken - before.broken,
            beyond_frame: self.beyond_frame - before.beyond_frame,
            aggregated: self.aggregated - before.aggregated,
            fragment: self.fragment.since(before.fragment),
        }
    }

    /// What was counted here and in `other`.
    pub fn and(self, other: DecodeCounts) -> DecodeCounts {
        DecodeCounts {
            frames: self.frames + other.frames,
            packets: self.packets + other.packets,
            fragments: self.fragments + other.fragments,
            not_ip: self.not_ip + other.not_ip,
            unknown_link: self.unknown_link + other.unknown_link,
            unreadable: self.unreadable + other.unreadable,
            truncated: self.truncated + other.truncated,
            broken: self.broken + other.broken,
            beyond_frame: self.beyond_frame + other.beyond_frame,
            aggregated: self.aggregated + other.aggregated,
            fragment: self.fragment.and(other.fragment),
        }
    }

    /// True if every frame is accounted for, and after [`Decoder::finish`] every fragment.
    pub fn add_up(&self) -> bool {
        let frames = self.packets
            + self.fragments
            + self.not_ip
            + self.unknown_link
            + self.unreadable
            + self.truncated
            + self.broken;
        let fragment = &self.fragment;
        let fragments =
            fragment.joined_fragments + fragment.lost_fragments + fragment.duplicates + fragment.refused;
        frames == self.frames && fragments == fragment.fragments
    }
}

/// Decodes frames one after the other.
#[derive(Debug)]
pub struct Decoder {
    state: DecodeState,
    fragments: FragmentTable,
    counts: DecodeCounts,
    /// The payload of the datagram that the current frame completed.
    joined: Vec<u8>,
    /// A second buffer, for a datagram inside the one in `joined`.
    spare: Vec<u8>,
}

/// Where decoding of a frame ended.
enum End<'b> {
    Packet(Packet<'b>),
    Fragment(Fragment<'b>),
    Stop(Stop),
}

/// Headers in one frame: tags, tunnels, and those between them. Only a crafted frame has more.
const STEP_LIMIT: usize = 64;

impl Decoder {
    /// A decoder that holds at most as many fragments as `limits` allow.
    pub fn new(limits: FragmentLimits) -> Self {
        Decoder {
            state: DecodeState::new(),
            fragments: FragmentTable::new(limits),
            counts: DecodeCounts::default(),
            joined: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Decodes a frame.
    #[inline]
    pub fn decode<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.counts.frames += 1;
        // The common case in one function, so that the packet is written once: Ethernet, IP, TCP, or UDP without a tunnel.
        if let Some((ether_type, inside, adapter)) = plain_ethernet(frame)
            && let Some(mut ip) = plain_ip(ether_type, inside)
        {
            ip.header.adapter = adapter;
            if ip.protocol == proto::TCP
                && let Some((ports, tcp, payload)) = transport::parse_whole_tcp(ip.body)
            {
                self.counts.packets += 1;
                let transport = Transport::Tcp(tcp);
                return Decoded::Packet(ip.header.packet(proto::TCP, ports, transport, payload));
            }
            if ip.protocol == proto::UDP
                && let Some((ports, payload)) = transport::parse_whole_udp(ip.body)
                && tunnel::over_udp(ports.0, ports.1).is_none()
            {
                self.counts.packets += 1;
                return Decoded::Packet(ip.header.packet(proto::UDP, ports, Transport::Udp, payload));
            }
        }
        self.decode_tagged(frame)
    }

    /// The same with VLAN tags, which are common at mirror ports.
    #[inline(never)]
    fn decode_tagged<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        if let Some((ether::VLAN | ether::SERVICE_VLAN, _, adapter)) = plain_ethernet(frame)
            && let Some(mut ip) = plain_tagged(&mut self.state, frame)
        {
            ip.header.adapter = adapter;
            let packet = match ip.protocol {
                proto::TCP => transport::parse_whole_tcp(ip.body).map(|(ports, tcp, payload)| {
                    ip.header.packet(proto::TCP, ports, Transport::Tcp(tcp), payload)
                }),
                proto::UDP => transport::parse_whole_udp(ip.body)
                    .filter(|((src_port, dst_port), _)| tunnel::over_udp(*src_port, *dst_port).is_none())
                    .map(|(ports, payload)| ip.header.packet(proto::UDP, ports, Transport::Udp, payload)),
                _ => None,
            };
            if let Some(packet) = packet {
                self.counts.packets += 1;
                let encapsulation = &self.state.encapsulation;
                return Decoded::Packet(Packet { scope: encapsulation.scope(), encapsulation, ..packet });
            }
        }
        self.decode_any(frame)
    }

    /// The counts so far.
    pub fn counts(&self) -> DecodeCounts {
        DecodeCounts { fragment: self.fragments.counts, ..self.counts }
    }

    /// Drops the fragments that are still held: no more frames come.
    pub fn finish(&mut self) {
        self.fragments.finish();
    }

    #[inline(never)]
    fn decode_any<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.state.clear();
        let start = NextLayer::Link(frame.link, LayerSlice::frame(frame));
        let end = decode_layers(&mut self.state, start, None);
        self.counts.aggregated += u64::from(self.state.aggregated);
        match end {
            End::Fragment(fragment) => match self.join(&fragment, frame) {
                Ok(Some(datagram)) => self.decode_joined(datagram, frame),
                Ok(None) => self.count_fragment(),
                Err(stop) => conclude(&mut self.counts, &self.state, End::Stop(stop)),
            },
            End::Packet(packet) => {
                let packet = self.add_quoted_ports(packet, frame);
                conclude(&mut self.counts, &self.state, End::Packet(packet))
            }
            End::Stop(stop) => {
                let stop = other_link::reason(frame, &stop).map_or(stop, Stop::Unreadable);
                conclude(&mut self.counts, &self.state, End::Stop(stop))
            }
        }
    }

    /// Adds ports to an ICMP error that quotes a later fragment, if the first fragment of that datagram was seen.
    fn add_quoted_ports<'a>(&mut self, mut packet: Packet<'a>, frame: &Frame<'_>) -> Packet<'a> {
        if let Transport::Icmp { quoted: Some(quoted), .. } = &mut packet.transport
            && quoted.fragment.is_some()
            && let Some(ports) = self.fragments.ports(quoted, self.state.encapsulation.scope(), frame.time)
        {
            (quoted.src_port, quoted.dst_port) = ports;
            self.state.joined = true;
        }
        packet
    }

    fn join(&mut self, fragment: &Fragment<'_>, frame: &Frame<'_>) -> Result<Option<JoinedDatagram>, Stop> {
        let scope = self.state.encapsulation.scope();
        self.fragments.accept(fragment, scope, frame.time, &mut self.joined)
    }

    /// Decodes a joined datagram, which may contain a tunnel with another fragment.
    fn decode_joined<'a>(&'a mut self, mut datagram: JoinedDatagram, frame: &Frame<'a>) -> Decoded<'a> {
        self.state.joined = true;
        let mut depth = self.state.encapsulation.headers().len();
        // FragmentTable inside fragments: each iteration is one tunnel deeper, and the depth is limited.
        for _ in 0..STEP_LIMIT {
            let End::Fragment(fragment) = decode_datagram(&mut self.state, datagram.ip(&self.joined)) else {
                break;
            };
            depth = self.state.encapsulation.headers().len();
            let scope = self.state.encapsulation.scope();
            match self.fragments.accept(&fragment, scope, frame.time, &mut self.spare) {
                Ok(Some(inner)) => datagram = inner,
                Ok(None) => return self.count_fragment(),
                Err(stop) => return conclude(&mut self.counts, &self.state, End::Stop(stop)),
            }
            std::mem::swap(&mut self.joined, &mut self.spare);
        }
        // Decoded again, because the borrow of the buffer can be returned only from here.
        self.state.encapsulation.truncate(depth);
        let end = decode_datagram(&mut self.state, datagram.ip(&self.joined));
        conclude(&mut self.counts, &self.state, end)
    }

    fn count_fragment<'a>(&mut self) -> Decoded<'a> {
        self.counts.fragments += 1;
        Decoded::Fragment
    }
}

/// Counts the result of a frame, and converts it for later stages.
fn conclude<'a>(counts: &mut DecodeCounts, state: &'a DecodeState, end: End<'a>) -> Decoded<'a> {
    let stop = match end {
        End::Packet(packet) => {
            counts.packets += 1;
            counts.beyond_frame += u64::from(state.exceeds_frame);
            return Decoded::Packet(Packet {
                was_fragmented: state.joined,
                scope: state.encapsulation.scope(),
                encapsulation: &state.encapsulation,
                ..packet
            });
        }
        // Joined datagrams whose tunnels contain more and more fragments.
        End::Fragment(_) => Stop::TooDeep,
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
                layer: "encapsulation",
                wanted: "nesting depth",
                offset: 0,
                kind: DamageKind::Broken,
            })
        }
        Stop::Damaged(damage) => {
            match damage.kind {
                DamageKind::Truncated => counts.truncated += 1,
                DamageKind::Broken => counts.broken += 1,
            }
            Decoded::Damaged(damage)
        }
    }
}

/// The EtherType of an Ethernet frame, what follows it, and the adapter that sent it.
#[inline(always)]
fn plain_ethernet<'b>(frame: &Frame<'b>) -> Option<(u16, LayerSlice<'b>, Option<LinkAddress>)> {
    if frame.link != LinkType::ETHERNET {
        return None;
    }
    let mut c = Cursor::new(frame.bytes);
    c.skip(6, "receiver").ok()?;
    let adapter = LinkAddress::from_parts(c.u16("sender").ok()?, c.u32("sender").ok()?);
    let ether_type = c.u16("ether type").ok()?;
    Some((ether_type, LayerSlice::frame(frame).after(14), adapter))
}

/// An IP packet that is not a fragment and fits into its frame.
#[inline(always)]
fn plain_ip(ether_type: u16, inside: LayerSlice<'_>) -> Option<IpPacket<'_>> {
    let ip = match ether_type {
        ether::IPV4 => ip::parse_v4(inside),
        ether::IPV6 => ip::parse_v6_base(inside),
        _ => return None,
    };
    ip.ok().filter(|ip| ip.fragment.is_none() && !ip.exceeds_frame)
}

/// The same after one or two VLAN tags.
#[inline(always)]
fn plain_tagged<'b>(state: &mut DecodeState, frame: &Frame<'b>) -> Option<IpPacket<'b>> {
    state.clear();
    let mut c = Cursor::new(frame.bytes);
    c.skip(12, "addresses").ok()?;
    for _ in 0..3 {
        let ether_type = c.u16("ether type").ok()?;
        if !matches!(ether_type, ether::VLAN | ether::SERVICE_VLAN) {
            return plain_ip(ether_type, LayerSlice::frame(frame).after(c.at()));
        }
        ether::push_vlan(state, c.u16("tag").ok()?).ok()?;
    }
    None
}

/// Decodes a joined datagram.
fn decode_datagram<'b>(state: &mut DecodeState, mut ip: IpPacket<'b>) -> End<'b> {
    let mut attempt = None;
    match decode_ip(state, &mut ip, &mut attempt) {
        IpStep::NextLayer(next) => decode_layers(state, next, attempt),
        IpStep::End(end) => end,
    }
}

/// A packet that may be a tunnel, while its payload is decoded as one.
struct TunnelAttempt<'b> {
    carrier: IpPacket<'b>,
    evidence: TunnelEvidence,
    /// Number of tags and tunnels around the carrier.
    depth: usize,
}

/// What follows an IP header.
enum IpStep<'b> {
    NextLayer(NextLayer<'b>),
    End(End<'b>),
}

/// Decodes header after header.
fn decode_layers<'b>(
    state: &mut DecodeState,
    start: NextLayer<'b>,
    mut attempt: Option<TunnelAttempt<'b>>,
) -> End<'b> {
    let mut next = start;
    for _ in 0..STEP_LIMIT {
        let step = match next {
            NextLayer::Read(reader, layer) => reader(state, layer),
            NextLayer::Link(number, layer) => link::read(state, number, layer),
            NextLayer::EtherType(number, layer) => ether::read(state, number, layer),
            NextLayer::Ip(layer) => match ip::parse(layer) {
                Ok(mut ip) => match decode_ip(state, &mut ip, &mut attempt) {
                    IpStep::NextLayer(next) => Ok(next),
                    IpStep::End(End::Stop(stop)) => Err(stop),
                    IpStep::End(end) => return end,
                },
                Err(stop) => Err(stop),
            },
        };
        next = match step {
            Ok(next) => next,
            Err(stop) => return fall_back(state, attempt, stop),
        };
    }
    End::Stop(Stop::TooDeep)
}

/// Decodes an IP packet: to its end, or to the reader of a tunnel's header.
#[inline]
fn decode_ip<'b>(
    state: &mut DecodeState,
    ip: &mut IpPacket<'b>,
    attempt: &mut Option<TunnelAttempt<'b>>,
) -> IpStep<'b> {
    state.exceeds_frame |= ip.exceeds_frame;
    if let Err(stop) = ip::skip_remaining_extensions(ip) {
        return IpStep::End(End::Stop(stop));
    }
    if let Some(position) = ip.fragment {
        let fragment = Fragment { header: ip.header, protocol: ip.protocol, position, body: ip.body };
        return IpStep::End(End::Fragment(fragment));
    }
    match ip::payload(ip) {
        Ok(IpPayload::Packet(packet)) => IpStep::End(End::Packet(packet)),
        Ok(IpPayload::Tunnel(evidence, reader, layer)) => {
            state.ends = Some((ip.header.src, ip.header.dst));
            *attempt =
                Some(TunnelAttempt { carrier: *ip, evidence, depth: state.encapsulation.headers().len() });
            IpStep::NextLayer(NextLayer::Read(reader, layer))
        }
        Err(stop) => IpStep::End(End::Stop(stop)),
    }
}

/// Decides after a stop whether the innermost IP packet is a tunnel at all. If not, it is the result.
#[cold]
fn fall_back<'b>(state: &mut DecodeState, attempt: Option<TunnelAttempt<'b>>, stop: Stop) -> End<'b> {
    let Some(attempt) = attempt else {
        return End::Stop(stop);
    };
    let is_packet = match (attempt.evidence, stop) {
        (_, Stop::TooDeep) => false,
        (_, Stop::Opaque) => true,
        (TunnelEvidence::ProtocolNumber, _) => false,
        // ARP in VXLAN is a valid payload; an unknown EtherType is noise.
        (TunnelEvidence::Port, Stop::NotIp(number)) => ether::name(number).is_none(),
        (TunnelEvidence::Port, _) => true,
    };
    if !is_packet {
        return End::Stop(stop);
    }
    state.encapsulation.truncate(attempt.depth);
    match ip::packet(&attempt.carrier) {
        Ok(packet) => End::Packet(packet),
        Err(stop) => End::Stop(stop),
    }
}
