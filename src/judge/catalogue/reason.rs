//! Reasons for `inconclusive`: one row each.

/// Declares the reasons. A row without its text does not compile.
macro_rules! reasons {
    ($($name:ident = $word:literal, $text:literal;)*) => {
        /// Why an outcome is `inconclusive`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum InconclusiveReason {
            $(#[doc = $text] $name,)*
        }

        impl InconclusiveReason {
            /// All reasons, by word.
            pub const ALL: &[InconclusiveReason] = &[$(InconclusiveReason::$name,)*];

            /// As in the column `inconclusive_reason`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(InconclusiveReason::$name => $word,)*
                }
            }

            /// What it means.
            pub const fn text(self) -> &'static str {
                match self {
                    $(InconclusiveReason::$name => $text,)*
                }
            }
        }
    };
}

impl InconclusiveReason {
    /// The reason of this word, in upper or lower case.
    pub fn parse(word: &str) -> Option<InconclusiveReason> {
        InconclusiveReason::ALL.iter().copied().find(|reason| reason.as_str().eq_ignore_ascii_case(word))
    }
}

impl std::fmt::Display for InconclusiveReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

reasons! {
    BeganBeforeCapture = "began-before-capture",
        "only packets from a server that was contacted before the capture began; start the capture earlier";
    ClientGaveUp = "client-gave-up", "the client ended the attempt before an outcome was visible";
    ClosedByServer = "closed-by-server", "the server had already closed an idle pooled connection";
    EndedWithCapture = "ended-with-capture", "the capture ended before an outcome was visible; capture for longer";
    FramesLost = "frames-lost", "frames are missing from the capture here or close by, so that silence proves nothing";
    HalfOpen = "half-open", "a SYN-ACK without an ACK from the client: the ACK was not captured, or it was a port scan";
    IcmpError = "icmp-error", "an ICMP error that does not indicate a filter, or that is about the server's own packets";
    IcmpTimeExceeded = "icmp-time-exceeded", "a single packet whose TTL expired: traceroute";
    LostRace = "lost-race", "an attempt to another address of the same name was answered first (Happy Eyeballs)";
    NoAnswerSeen = "no-answer-seen",
        "the client sent a request and ended the conversation itself; it may not have waited long enough";
    OneSidedCapture = "one-sided-capture", "the capture holds one direction only";
    PacketTooBig = "packet-too-big", "an ICMP message asked for smaller packets, and the capture holds nothing more";
    ResetAfterData = "reset-after-data",
        "a reset after much payload: protocols that only receive end like this as well";
    ResetAfterIdle = "reset-after-idle",
        "a reset after a long idle time: load balancers and firewalls drop the state of idle connections";
    Scan = "scan",
        "one of many ports of a host, or one port of many hosts, tried within seconds: refused ports are normal in a port scan";
    SingleAttempt = "single-attempt", "one SYN and no retransmission: the client did not wait for a reply";
    TooShortToTell = "too-short-to-tell", "the attempt was observed for less than three seconds";
    Unanswered = "unanswered", "datagrams in one direction only; many protocols do not reply";
}
