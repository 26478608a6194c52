//! Limits, time-outs and counters of the flow table.
//!
//! In:  nothing.
//! Out: their types and default values.
//! Not: what happens when a limit is reached.

/// Limits and time-outs. Seconds are frame time.
#[derive(Clone, Copy, Debug)]
pub struct FlowLimits {
    /// Live flows. At the limit, the longest idle ones are evicted.
    pub flows: usize,
    /// Bytes held per side of a flow until the consumer can read them.
    pub stream_bytes: usize,
    /// Bytes held for all flows together. At the limit, reassembly stops for the longest idle ones.
    pub held_bytes: usize,
    /// Also report a flow as soon as it is closed, reset or rejected, and not only at its end.
    pub report_interim: bool,
    /// TCP: SYN without a SYN-ACK. More than the longest pause between two SYNs of one attempt (32 s on Linux).
    pub attempt_secs: u32,
    /// TCP: established, or seen midstream.
    pub open_secs: u32,
    /// TCP: one side has sent FIN.
    pub half_closed_secs: u32,
    /// TCP: closed; or datagrams without an outstanding response. Later packets still belong to the flow.
    pub closed_secs: u32,
    /// UDP and all other protocols without connections.
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

/// Counters of the table, for the manifest. Each packet is in `packets`, in `icmp_attached` or in `late_packets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FlowCounts {
    /// Packets counted in a flow of their own.
    pub packets: u64,
    /// ICMP errors attached to the flow that they quote.
    pub icmp_attached: u64,
    /// Packets of TCP connections that had ended, without anything new. They are in no row.
    pub late_packets: u64,
    /// Of `packets`: attempts that the host itself dropped.
    pub dropped_attempts: u64,
    /// Payload bytes of `packets`, on the wire.
    pub payload_bytes: u64,
    /// Flows opened.
    pub opened: u64,
    /// Flows evicted from a full table.
    pub evicted: u64,
    /// Streams ended because one side held too many bytes.
    pub capped_streams: u64,
    /// Flows whose reassembly was stopped because all flows together held too many bytes.
    pub reassembly_stopped: u64,
    /// Streams ended because of missing bytes that the receiver ACKed, or because of the snap length.
    pub cut_streams: u64,
    /// Most flows live at once, summed over the shards.
    pub peak: u64,
}

impl FlowCounts {
    /// A packet that was counted is a late one.
    pub(super) const fn add_late(&mut self, payload_len: u64) {
        self.packets -= 1;
        self.payload_bytes -= payload_len;
        self.late_packets += 1;
    }

    /// The counts since `before`; `peak` is that of the whole run.
    pub fn since(self, before: FlowCounts) -> FlowCounts {
        FlowCounts {
            packets: self.packets - before.packets,
            icmp_attached: self.icmp_attached - before.icmp_attached,
            late_packets: self.late_packets - before.late_packets,
            dropped_attempts: self.dropped_attempts - before.dropped_attempts,
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
        self.late_packets += other.late_packets;
        self.dropped_attempts += other.dropped_attempts;
        self.payload_bytes += other.payload_bytes;
        self.opened += other.opened;
        self.evicted += other.evicted;
        self.capped_streams += other.capped_streams;
        self.reassembly_stopped += other.reassembly_stopped;
        self.cut_streams += other.cut_streams;
        self.peak += other.peak;
    }
}
