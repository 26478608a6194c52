//! What the capture lacks, and what that means for conclusions that rest on silence.
//!
//! In:  flows as they end; drops that a live source reports.
//! Out: whether silence around a flow proves anything; sentences for the summary.
//! Not: what an assessment rests on; see `catalogue::ShownBy`.
//!
//! A receiver that acknowledges bytes which the capture does not hold proves that frames are missing. A conversation with packets
//! in one direction only proves that the capture is one-sided.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::Time;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::text::counted;
use crate::judge::text::is_or_are;

/// Hosts with missing frames that are kept.
const MAX_HOSTS: usize = 1 << 12;

/// One missing byte in this many is too much for silence to prove anything.
const MAX_MISSING_SHARE: u64 = 100;

/// Fewer missing bytes than this, about ten full segments, are not a share yet.
const MIN_MISSING: u64 = 15_000;

/// Separate times of a host, and of all hosts, at which frames are missing; closer ones are joined.
const MAX_HOST_SPANS: usize = 16;
const MAX_SPANS: usize = 1 << 10;

/// Missing frames of a host cast doubt on its silence for this long before and after.
const DOUBT_NANOS: i64 = 5_000_000_000;

/// Reported drops cast doubt for this long before and after.
const DROP_NANOS: i64 = 1_000_000_000;

/// Drop intervals that are kept; the oldest are removed first.
const MAX_DROP_INTERVALS: usize = 4096;

/// What is known of missing frames so far.
#[derive(Debug)]
pub(in crate::judge) struct CaptureLoss {
    /// Bytes that were acknowledged and are missing, and payload bytes in the capture.
    acked_unseen: u64,
    captured: u64,
    /// Conversations with missing bytes.
    flows_with_gaps: u64,
    /// Conversations with retransmissions whose data differs.
    flows_with_differing_data: u64,
    directions: Directions,
    tls: TlsFlows,
    /// When conversations with missing bytes took place: by host, and all.
    lossy_hosts: BoundedMap<Address, TimeSpans>,
    lossy: TimeSpans,
    drops: DropIntervals,
}

/// TCP conversations that got beyond an attempt, by the directions that the capture holds.
#[derive(Clone, Copy, Debug, Default)]
struct Directions {
    both: u64,
    client_only: u64,
    server_only: u64,
}

/// Answered TLS flows to documented names.
#[derive(Clone, Copy, Debug, Default)]
struct TlsFlows {
    all: u64,
    without_certificate: u64,
}

impl Default for CaptureLoss {
    fn default() -> CaptureLoss {
        CaptureLoss {
            acked_unseen: 0,
            captured: 0,
            flows_with_gaps: 0,
            flows_with_differing_data: 0,
            directions: Directions::default(),
            tls: TlsFlows::default(),
            lossy_hosts: BoundedMap::new(MAX_HOSTS),
            lossy: TimeSpans::default(),
            drops: DropIntervals::default(),
        }
    }
}

impl CaptureLoss {
    /// From now on silence proves nothing.
    pub(in crate::judge) fn distrust_silence(&mut self) {
        self.drops.always = true;
    }

    /// `dropped` frames are missing since the heartbeat before this one.
    pub(in crate::judge) fn heartbeat(&mut self, time: Time, dropped: u64) {
        self.drops.heartbeat(time, dropped);
    }

    /// Adds a conversation.
    pub(super) fn add(&mut self, client: Address, flow_end: &FlowEnd) {
        let Some(tcp) = &flow_end.tcp else { return };
        let acked_unseen: u64 = tcp.sides.iter().map(|side| side.acked_unseen_bytes).sum();
        self.captured += flow_end.bytes.iter().sum::<u64>();
        // A keep-alive retransmits one byte, whose value does not matter (RFC 9293 §3.8.4).
        let has_differing_data = tcp.sides.iter().any(|side| side.differing > side.keep_alives);
        self.flows_with_differing_data += u64::from(has_differing_data);
        if matches!(tcp.handshake, Handshake::Unseen | Handshake::Complete) {
            match flow_end.packets {
                [_, 0] => self.directions.client_only += 1,
                [0, _] => self.directions.server_only += 1,
                _ => self.directions.both += 1,
            }
        }
        // In a one-sided flow everything that the other side acknowledges is missing, which is no loss.
        if acked_unseen == 0 || flow_end.packets.contains(&0) {
            return;
        }
        self.acked_unseen += acked_unseen;
        self.flows_with_gaps += 1;
        let span = (flow_end.first_seen, flow_end.last_seen);
        self.lossy.add(span, MAX_SPANS);
        match self.lossy_hosts.get(&client) {
            Some(spans) => spans.add(span, MAX_HOST_SPANS),
            None => {
                let mut spans = TimeSpans::default();
                spans.add(span, MAX_HOST_SPANS);
                self.lossy_hosts.insert(client, spans);
            }
        }
    }

    /// Adds an answered TLS flow to a documented name.
    pub(in crate::judge) fn add_tls(&mut self, has_certificate: bool) {
        self.tls.all += 1;
        self.tls.without_certificate += u64::from(!has_certificate);
    }

    /// Whether frames of a flow may be missing from the capture.
    pub(super) fn may_have_lost(&mut self, client: Address, flow_end: &FlowEnd) -> bool {
        if self.drops.overlap(flow_end.first_seen, flow_end.last_seen) {
            return true;
        }
        let begin = Time(flow_end.first_seen.0.saturating_sub(DOUBT_NANOS));
        let end = Time(flow_end.last_seen.0.saturating_add(DOUBT_NANOS));
        let sent = self.acked_unseen + self.captured;
        let is_lossy = self.acked_unseen >= MIN_MISSING && self.acked_unseen > sent / MAX_MISSING_SHARE;
        (is_lossy && self.lossy.overlap(begin, end))
            || self.lossy_hosts.get(&client).is_some_and(|spans| spans.overlap(begin, end))
    }

    /// Whether frames were dropped around `time`.
    pub(in crate::judge) fn dropped_at(&self, time: Time) -> bool {
        self.drops.overlap(time, time)
    }

    /// What a reader of the evidence should know of the interval that ends. Starts the next one; reported drops stay.
    pub(in crate::judge) fn take_sentences(&mut self) -> Vec<String> {
        let drops = std::mem::take(&mut self.drops);
        let ended = std::mem::replace(self, CaptureLoss { drops, ..CaptureLoss::default() });
        let Directions { both, client_only, server_only } = ended.directions;
        let TlsFlows { all, without_certificate } = ended.tls;
        let mut sentences = Vec::new();
        for (one_sided, missing) in [(client_only, "server"), (server_only, "client")] {
            if one_sided > 0 {
                sentences.push(format!(
                    "{one_sided} of {} {} one-sided: no packets from the {missing} were captured",
                    counted(both + client_only + server_only, "TCP flow"),
                    is_or_are(one_sided)
                ));
            }
        }
        if ended.acked_unseen > 0 {
            sentences.push(format!(
                "{} in {} {} missing from the capture",
                counted(ended.acked_unseen, "acknowledged byte"),
                counted(ended.flows_with_gaps, "TCP flow"),
                is_or_are(ended.acked_unseen)
            ));
        }
        if ended.flows_with_differing_data > 0 {
            sentences.push(format!(
                "{} {} retransmissions with different data; the first data was used",
                counted(ended.flows_with_differing_data, "TCP flow"),
                if ended.flows_with_differing_data == 1 { "contains" } else { "contain" }
            ));
        }
        if without_certificate > 0 {
            let flows = match (without_certificate, all) {
                (1, 1) => "the only TLS flow to a documented name showed no certificate".to_owned(),
                (some, all) if some == all => {
                    format!(
                        "none of the {} to documented names showed a certificate",
                        counted(all, "TLS flow")
                    )
                }
                (some, all) => {
                    format!(
                        "{some} of {} to documented names showed no certificate",
                        counted(all, "TLS flow")
                    )
                }
            };
            sentences.push(format!(
                "{flows} (TLS 1.3, or a resumed session), so TLS inspection cannot be ruled out"
            ));
        }
        sentences
    }
}

/// Times, in order; no two touch.
#[derive(Clone, Debug, Default)]
struct TimeSpans(SmallVec<[(Time, Time); 1]>);

impl TimeSpans {
    /// Adds a span. Of more than `max` spans the two that are closest to each other become one.
    fn add(&mut self, (first, last): (Time, Time), max: usize) {
        let begin = self.0.partition_point(|(_, end)| *end < first);
        let end = self.0.partition_point(|(start, _)| *start <= last);
        let touched = self.0.get(begin..end).unwrap_or_default();
        let first = touched.first().map_or(first, |(start, _)| first.min(*start));
        let last = touched.last().map_or(last, |(_, end)| last.max(*end));
        self.0.drain(begin..end.max(begin));
        self.0.insert(begin, (first, last));
        if self.0.len() <= max {
            return;
        }
        let gap = |pair: &[(Time, Time)]| match pair {
            [(_, end), (start, _)] => start.since(*end),
            _ => u64::MAX,
        };
        let closest = self.0.windows(2).enumerate().min_by_key(|(_, pair)| gap(pair)).map(|(place, _)| place);
        if let Some(place) = closest {
            let (_, end) = self.0.remove(place + 1);
            if let Some((_, last)) = self.0.get_mut(place) {
                *last = end;
            }
        }
    }

    /// Whether any span and this one have a time in common.
    fn overlap(&self, begin: Time, end: Time) -> bool {
        let place = self.0.partition_point(|(_, last)| *last < begin);
        self.0.get(place).is_some_and(|(first, _)| *first <= end)
    }
}

/// When a live capture dropped frames.
#[derive(Debug, Default)]
struct DropIntervals {
    /// In order; no two touch.
    intervals: VecDeque<(Time, Time)>,
    last_heartbeat: Option<Time>,
    /// At any time.
    always: bool,
}

impl DropIntervals {
    fn heartbeat(&mut self, time: Time, dropped: u64) {
        let from = self.last_heartbeat.unwrap_or(Time::MIN);
        self.last_heartbeat = Some(time);
        if dropped == 0 {
            return;
        }
        match self.intervals.back_mut() {
            Some((_, to)) if *to >= from => *to = time,
            _ => self.intervals.push_back((from, time)),
        }
        if self.intervals.len() > MAX_DROP_INTERVALS {
            self.intervals.pop_front();
        }
    }

    /// Whether frames were dropped between two times or shortly before or after.
    fn overlap(&self, first: Time, last: Time) -> bool {
        let begin = Time(first.0.saturating_sub(DROP_NANOS));
        let end = Time(last.0.saturating_add(DROP_NANOS));
        self.always || self.intervals.iter().rev().any(|(from, to)| *from <= end && *to >= begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::test_support;

    const CLIENT: Address = Address(4);

    const fn at(second: i64) -> Time {
        Time(second * 1_000_000_000)
    }

    fn flow_end(seconds: [i64; 2], packets: [u64; 2], captured: u64, acked_unseen: u64) -> FlowEnd {
        let mut tcp = test_support::tcp_summary(Handshake::Complete);
        tcp.sides[1].acked_unseen_bytes = acked_unseen;
        let mut flow_end = test_support::flow_end(at(seconds[0]), at(seconds[1]));
        (flow_end.packets, flow_end.bytes, flow_end.tcp) = (packets, [captured, 0], Some(tcp));
        flow_end
    }

    #[test]
    fn missing_frames_cast_doubt_on_silence_close_by() {
        let mut loss = CaptureLoss::default();
        loss.add(CLIENT, &flow_end([100, 110], [9, 9], 1_000_000, 1_460));
        let silent = |from| flow_end([from, from + 20], [3, 0], 0, 0);
        assert!(loss.may_have_lost(CLIENT, &silent(112)));
        assert!(loss.may_have_lost(CLIENT, &silent(76)));
        assert!(!loss.may_have_lost(CLIENT, &silent(200)), "long after");
        assert!(!loss.may_have_lost(Address(5), &silent(105)), "another host");
        loss.add(Address(6), &flow_end([300, 310], [9, 9], 0, 20_000));
        assert!(loss.may_have_lost(Address(5), &silent(105)), "one byte in a hundred is too much");
        assert!(loss.may_have_lost(Address(5), &silent(290)));
        assert!(!loss.may_have_lost(Address(5), &silent(200)), "no frame is missing at that time");
    }

    #[test]
    fn times_of_loss_are_joined_where_they_touch_or_are_too_many() {
        let mut spans = TimeSpans::default();
        for (first, last) in [(10, 20), (50, 60), (15, 30), (100, 110)] {
            spans.add((at(first), at(last)), 3);
        }
        assert_eq!(spans.0[..], [(at(10), at(30)), (at(50), at(60)), (at(100), at(110))]);
        assert!(
            spans.overlap(at(25), at(26)) && spans.overlap(at(0), at(10)) && !spans.overlap(at(31), at(49))
        );
        spans.add((at(200), at(210)), 3);
        assert_eq!(spans.0[..], [(at(10), at(60)), (at(100), at(110)), (at(200), at(210))]);
        spans.add((at(0), at(300)), 3);
        assert_eq!(spans.0[..], [(at(0), at(300))]);
    }

    #[test]
    fn a_share_of_missing_bytes_needs_ten_full_segments() {
        let silent = flow_end([105, 125], [3, 0], 0, 0);
        for (missing, expected) in [(MIN_MISSING - 1, false), (MIN_MISSING, true)] {
            let mut loss = CaptureLoss::default();
            loss.add(CLIENT, &flow_end([100, 110], [9, 9], 0, missing));
            assert_eq!(loss.may_have_lost(Address(5), &silent), expected, "{missing}");
        }
    }

    #[test]
    fn a_one_sided_flow_is_not_a_loss() {
        let mut loss = CaptureLoss::default();
        loss.add(CLIENT, &flow_end([1, 2], [9, 0], 100, 50_000));
        loss.add(CLIENT, &flow_end([1, 2], [9, 9], 100, 0));
        let mut differing = flow_end([1, 2], [9, 9], 100, 0);
        differing.tcp.as_mut().unwrap().sides[0].differing = 1;
        loss.add(CLIENT, &differing);
        assert!(!loss.may_have_lost(CLIENT, &flow_end([1, 2], [3, 0], 0, 0)));
        assert_eq!(
            loss.take_sentences(),
            [
                "1 of 3 TCP flows is one-sided: no packets from the server were captured",
                "1 TCP flow contains retransmissions with different data; the first data was used"
            ]
        );
        assert!(loss.take_sentences().is_empty());
    }

    #[test]
    fn hidden_certificates_are_counted() {
        let sentence = |all, without_certificate| {
            let tls = TlsFlows { all, without_certificate };
            let mut loss = CaptureLoss { tls, ..CaptureLoss::default() };
            loss.take_sentences().concat()
        };
        assert_eq!(sentence(2, 0), "");
        assert!(
            sentence(1, 1).starts_with("the only TLS flow to a documented name showed no certificate (TLS")
        );
        assert!(
            sentence(3, 3).starts_with("none of the 3 TLS flows to documented names showed a certificate")
        );
        assert!(sentence(3, 1).starts_with("1 of 3 TLS flows to documented names showed no certificate"));
    }

    #[test]
    fn reported_drops_cast_doubt_between_two_heartbeats() {
        let mut loss = CaptureLoss::default();
        loss.heartbeat(at(10), 0);
        loss.heartbeat(at(11), 7);
        loss.heartbeat(at(12), 0);
        assert!(loss.dropped_at(at(10)) && loss.dropped_at(at(11)) && !loss.dropped_at(at(20)));
        loss.take_sentences();
        assert!(loss.dropped_at(at(11)), "a rotation does not undo a drop");
        loss.distrust_silence();
        assert!(loss.dropped_at(at(20)));
    }
}
