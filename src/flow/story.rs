//! What a conversation leaves behind when it is over.

use super::key::Endpoint;
use crate::base::FrameRef;
use crate::base::Time;

/// A conversation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who opened it, as far as is known.
    pub client: Endpoint,
    /// Who answered.
    pub server: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// False when its beginning was not seen (TCP without SYN).
    pub from_start: bool,
    /// ICMP: type and code of the first message, which stand for ports.
    pub icmp: Option<(u8, u8)>,
    /// VLAN ids of its first packet, outermost first, joined with `;`.
    pub vlan: Box<str>,
    /// Tunnels around its first packet, outermost first.
    pub tunnel: Box<str>,
}

/// Why a conversation is no longer followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Close {
    /// Both sides said that they are done, or one reset it, and nothing came after.
    Done,
    /// Silent for longer than its kind may be.
    Idle,
    /// A new conversation began between the same ports.
    Reused,
    /// Pushed out of a full table.
    Evicted,
    /// The capture ended first.
    CaptureEnded,
}

/// How far a TCP handshake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handshake {
    /// Began before the capture.
    Unseen,
    /// SYN, and no answer.
    Unanswered,
    /// SYN, and a reset from the other side.
    Refused,
    /// SYN and SYN-ACK, and no acknowledgement of it.
    HalfOpen,
    /// Complete.
    Complete,
}

/// All that was counted of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why it is over.
    pub close: Close,
    /// Its first frame.
    pub first_frame: FrameRef,
    /// Its last frame.
    pub last_frame: FrameRef,
    /// Time of the first frame.
    pub first_seen: Time,
    /// Time of the last frame.
    pub last_seen: Time,
    /// Packets by the client and by the server.
    pub packets: [u64; 2],
    /// Payload bytes by the client and by the server, as long as they were on the wire, repeats included.
    pub bytes: [u64; 2],
    /// What TCP told; none for other protocols.
    pub tcp: Option<TcpStory>,
    /// The last ICMP error that quotes this conversation.
    pub icmp: Option<IcmpError>,
}

/// What the headers of a TCP conversation told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpStory {
    /// How far the handshake came.
    pub handshake: Handshake,
    /// Client and server.
    pub sides: [SideStory; 2],
    /// The first SYN.
    pub syn_frame: Option<FrameRef>,
    /// The first SYN-ACK.
    pub syn_ack_frame: Option<FrameRef>,
    /// The first frame with payload by the client.
    pub data_frame: Option<FrameRef>,
    /// The first reset.
    pub reset_frame: Option<FrameRef>,
    /// Nanoseconds from SYN to SYN-ACK, 0 when not seen.
    pub handshake_rtt: u64,
    /// Both sides sent SYN before either was answered.
    pub simultaneous_open: bool,
}

/// One side of a TCP conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideStory {
    /// SYN or SYN-ACK segments.
    pub syns: u16,
    /// FIN segments.
    pub fins: u16,
    /// RST segments.
    pub resets: u16,
    /// Segments with payload.
    pub data_segments: u32,
    /// Segments that repeat bytes seen before.
    pub retransmissions: u32,
    /// Segments that filled an earlier hole.
    pub out_of_order: u32,
    /// Repeated bytes that were not the same as the first time, as far as they were still held.
    pub differing: u32,
    /// Keep-alive probes.
    pub keep_alives: u32,
    /// Times the window was closed.
    pub zero_windows: u32,
    /// Bytes that the other side acknowledged and the capture does not hold.
    pub missed_bytes: u64,
    /// Bytes that the capture does not hold, whether acknowledged or only passed over by what this side said later.
    pub absent_bytes: u64,
    /// Bytes that the other side has not acknowledged at the end.
    pub unacknowledged: u32,
}

/// An ICMP error that quotes a packet of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The frame that carried it.
    pub frame: FrameRef,
    /// Its time.
    pub time: Time,
    /// Who sent it: this names the box.
    pub from: crate::base::Address,
    /// Whose packet it quotes: an error about the server's packets is no refusal of the client's.
    pub about: crate::base::Side,
    /// True for ICMPv6.
    pub v6: bool,
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// Bytes 4 to 7 of the message: next-hop MTU and the like.
    pub detail: u32,
    /// How many such errors there were.
    pub count: u32,
}
