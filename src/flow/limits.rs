//! What the flow table may hold, how long it waits, and what it counts.
//!
//! In:  nothing.
//! Out: bounds and counters.
//! Not: who keeps them.

/// Bounds and time-outs. Seconds are frame time.
#[derive(Clone, Copy, Debug)]
pub struct FlowLimits {
    /// Live flows in all; beyond it the longest idle are pushed out.
    pub flows: usize,
    /// Bytes held per side of a conversation until they can be read.
    pub stream_bytes: usize,
    /// Bytes held of all conversations together; beyond it the longest idle are no longer listened to.
    pub held_bytes: usize,
    /// Tells how a conversation stands as soon as it was ended or rejected, besides at its close.
    pub report_interim: bool,
    /// SYN without an answer: longer than the longest pause between two SYN of one attempt (32 s on Linux).
    pub attempt_secs: u32,
    /// TCP with a handshake, or seen from the middle.
    pub open_secs: u32,
    /// TCP that one side has closed.
    pub half_closed_secs: u32,
    /// TCP that is over, or datagrams that were answered: what still straggles in belongs to it.
    pub closed_secs: u32,
    /// UDP and everything without connections.
    pub datagram_secs: u32,
}

impl Default for FlowLimits {
    fn default() -> Self {
        FlowLimits {
            flows: 1 << 20,
            stream_bytes: 64 << 10,
            held_bytes: 512 << 20,
            report_interim: false,
            attempt_secs: 60,
            open_secs: 3600,
            half_closed_secs: 300,
            closed_secs: 10,
            datagram_secs: 60,
        }
    }
}

/// What the table did, for the manifest. Each packet is in `packets` or in `icmp_attached`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FlowCounts {
    /// Packets counted in a conversation of their own.
    pub packets: u64,
    /// ICMP errors noted in the conversation that they quote.
    pub icmp_attached: u64,
    /// Payload bytes of `packets`, as long as on the wire.
    pub payload_bytes: u64,
    /// Conversations opened.
    pub opened: u64,
    /// Of these, pushed out of a full table.
    pub evicted: u64,
    /// Streams given up because a side's cap was reached.
    pub capped_streams: u64,
    /// Conversations no longer listened to, because all together held too much.
    pub reassembly_stopped: u64,
    /// Streams that lack bytes the receiver acknowledged, or that a snap length cut.
    pub cut_streams: u64,
    /// Most conversations live at once, summed over the parts of the table.
    pub peak: u64,
}

impl FlowCounts {
    /// What was counted since `before`; the peak is that of the whole run.
    pub fn since(self, before: FlowCounts) -> FlowCounts {
        FlowCounts {
            packets: self.packets - before.packets,
            icmp_attached: self.icmp_attached - before.icmp_attached,
            payload_bytes: self.payload_bytes - before.payload_bytes,
            opened: self.opened - before.opened,
            evicted: self.evicted - before.evicted,
            capped_streams: self.capped_streams - before.capped_streams,
            reassembly_stopped: self.reassembly_stopped - before.reassembly_stopped,
            cut_streams: self.cut_streams - before.cut_streams,
            peak: self.peak,
        }
    }
}

impl std::ops::AddAssign for FlowCounts {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.icmp_attached += other.icmp_attached;
        self.payload_bytes += other.payload_bytes;
        self.opened += other.opened;
        self.evicted += other.evicted;
        self.capped_streams += other.capped_streams;
        self.reassembly_stopped += other.reassembly_stopped;
        self.cut_streams += other.cut_streams;
        self.peak += other.peak;
    }
}
