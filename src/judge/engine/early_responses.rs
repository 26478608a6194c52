//! Joins a DNS response with a query that is captured after it.
//!
//! In:  responses without a query, queries without a response, each with the flow.
//! Out: rows; a response waits for its query until its flow ends.
//! Not: what the response says: that is judged when it arrives.
//!
//! Two capture points or processors may stamp a response at or before its query, or record it first.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::judge::rows::DnsRow;
use crate::read::Resolution;

/// A query is stamped at most so long after its response: less than the time after which clients retransmit (Windows: one second).
const MAX_DELAY_NANOS: u64 = 900_000_000;

/// Rows that wait. Further ones do not.
const LIMIT: usize = 4096;

/// Rows of responses that wait for a query.
#[derive(Debug, Default)]
pub(super) struct EarlyResponses {
    by_flow: HashMap<u64, SmallVec<[DnsRow; 1]>>,
    count: usize,
}

impl EarlyResponses {
    /// Keeps the row of a response without a query; gives it back if no more can wait.
    pub(super) fn hold(&mut self, flow: u64, row: DnsRow) -> Option<DnsRow> {
        if self.count >= LIMIT {
            return Some(row);
        }
        self.count += 1;
        self.by_flow.entry(flow).or_default().push(row);
        None
    }

    /// The response to a query that seems to have none: with the same question, and stamped shortly before.
    pub(super) fn join(&mut self, flow: u64, query: &Resolution) -> Option<DnsRow> {
        let (frame, time) = (query.query_frame?, query.query_time?);
        let rows = self.by_flow.get_mut(&flow)?;
        let index = rows.iter().position(|row| {
            let known = &row.resolution;
            let is_same = known.query_name == query.query_name && known.query_type == query.query_type;
            is_same && time >= row.time && time.since(row.time) <= MAX_DELAY_NANOS
        })?;
        let mut row = rows.remove(index);
        self.count -= 1;
        row.resolution.query_frame = Some(frame);
        row.resolution.query_time = Some(time);
        row.resolution.query_count = query.query_count;
        Some(row)
    }

    /// The rows of a flow that has ended.
    pub(super) fn take(&mut self, flow: u64) -> SmallVec<[DnsRow; 1]> {
        if self.by_flow.is_empty() {
            return SmallVec::new();
        }
        let rows = self.by_flow.remove(&flow).unwrap_or_default();
        self.count -= rows.len();
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::base::proto;
    use crate::flow::Endpoint;
    use crate::judge::test_support;

    fn resolution(name: &str) -> Resolution {
        Resolution { query_frame: None, query_time: None, ..test_support::resolution(name, None, &[]) }
    }

    fn response(name: &str, millis: i64) -> DnsRow {
        let end = Endpoint { address: Address::v4([10, 0, 0, 1]), port: 53 };
        DnsRow {
            frame: FrameRef { number: 1, ..FrameRef::default() },
            time: Time(millis * 1_000_000),
            client: end,
            resolver: end,
            protocol: proto::UDP,
            resolution: Box::new(resolution(name)),
            resolved_addresses: Default::default(),
            capture_ended_after: None,
            unlisted_answers: 0,
            further_messages: 0,
        }
    }

    fn query(name: &str, millis: i64) -> Resolution {
        let frame = FrameRef { number: 2, ..FrameRef::default() };
        let time = Time(millis * 1_000_000);
        Resolution { query_frame: Some(frame), query_time: Some(time), query_count: 1, ..resolution(name) }
    }

    #[test]
    fn a_response_stamped_at_or_before_its_query_is_its_response() {
        let check = |name, millis, expected: bool| {
            let mut early = EarlyResponses::default();
            assert!(early.hold(7, response("a.example", 1_000)).is_none());
            let joined = early.join(7, &query(name, millis)).and_then(|row| row.resolution.query_frame);
            assert_eq!(joined.is_some(), expected, "{name} {millis}");
            assert_eq!(early.take(7).len(), usize::from(!expected));
            assert_eq!(early.count, 0);
        };
        check("a.example", 1_000, true);
        check("a.example", 1_900, true);
        check("a.example", 1_901, false);
        check("a.example", 999, false);
        check("b.example", 1_000, false);
    }

    #[test]
    fn responses_wait_in_a_bounded_number() {
        let mut early = EarlyResponses::default();
        for flow in 0..LIMIT as u64 {
            assert!(early.hold(flow, response("a.example", 0)).is_none());
        }
        assert!(early.hold(9, response("a.example", 0)).is_some());
        assert_eq!(early.take(9).len(), 1);
        assert!(early.hold(9, response("a.example", 0)).is_none());
    }
}
