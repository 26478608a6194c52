//! Hosts to which the capture holds no packet: that nothing answers them proves nothing.
//!
//! In:  judged flows as they end.
//! Out: sentences for the summary.
//! Not: attempts whose silence proves something; see `diagnosis::outcome`.

use crate::base::Address;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::catalogue::InconclusiveReason;
use crate::judge::rows::FlowRow;
use crate::judge::text::counted;

/// Hosts that are kept: seven eighths of a power of two is what a hash table holds without growing.
const MAX_HOSTS: usize = 7 << 5;

/// Hosts that are named; the others are counted.
const MAX_NAMED: usize = 4;

/// The attempts of one host.
#[derive(Debug)]
struct Attempts {
    count: u64,
    first: Endpoint,
}

/// The attempts of hosts to which the capture held no packet when they ended.
#[derive(Debug)]
pub(in crate::judge) struct UnheardHosts(BoundedMap<Address, Attempts>);

impl Default for UnheardHosts {
    fn default() -> UnheardHosts {
        UnheardHosts(BoundedMap::new(MAX_HOSTS))
    }
}

impl UnheardHosts {
    /// Adds a judged flow that has ended.
    pub(in crate::judge) fn add(&mut self, row: &FlowRow) {
        let is_repeated_attempt = row.protocol == proto::TCP
            && row.assessment.reason() == Some(InconclusiveReason::OneSidedCapture)
            && row.packets.first().is_some_and(|sent| *sent >= 2)
            && row.bytes == [0, 0];
        if !is_repeated_attempt {
            return;
        }
        match self.0.get(&row.client.address) {
            Some(attempts) => attempts.count += 1,
            None => self.0.insert(row.client.address, Attempts { count: 1, first: row.server }),
        }
    }

    /// A sentence for each host of which nothing more is known. Starts anew.
    pub(in crate::judge) fn take_sentences(&mut self, is_known: impl Fn(Address) -> bool) -> Vec<String> {
        let mut hosts: Vec<(Address, Attempts)> =
            std::mem::take(self).0.into_entries().filter(|(host, _)| !is_known(*host)).collect();
        hosts.sort_unstable_by_key(|(host, _)| *host);
        let further = hosts.len().saturating_sub(MAX_NAMED);
        let sentence = |(host, Attempts { count, first }): &(Address, Attempts)| {
            let first = format!("{} port {}", first.address, first.port);
            let attempts = match count {
                1 => format!("1 attempt to connect, to {first}, gets no reply"),
                _ => format!("{} to connect get no reply, the first to {first}", counted(*count, "attempt")),
            };
            format!(
                "no packet to {host} is in the capture: {attempts}; either the network drops the attempts or the \
                 replies, or the replies were not captured. Capture on the host itself"
            )
        };
        let mut sentences: Vec<String> = hosts.iter().take(MAX_NAMED).map(sentence).collect();
        if further > 0 {
            sentences.push(format!("the same holds for {}", counted(further as u64, "further host")));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::judge::assessment::Assessment;
    use crate::judge::test_support;

    fn row(client: u128, packets: [u64; 2]) -> FlowRow {
        let mut row = test_support::flow_row(Address(client), Address(99), Time(0));
        row.assessment = Assessment::inconclusive(InconclusiveReason::OneSidedCapture);
        (row.packets, row.bytes) = (packets, [0, 0]);
        row
    }

    #[test]
    fn hosts_without_any_packet_to_them_are_named() {
        let mut hosts = UnheardHosts::default();
        hosts.add(&row(1, [4, 0]));
        hosts.add(&row(1, [4, 0]));
        hosts.add(&row(2, [1, 0]));
        hosts.add(&row(3, [4, 0]));
        let sentences = hosts.take_sentences(|host| host == Address(3));
        assert_eq!(sentences.len(), 1);
        assert!(sentences[0].contains("2 attempts to connect get no reply, the first to"), "{sentences:?}");
        for host in 10..16 {
            hosts.add(&row(host, [4, 0]));
        }
        let sentences = hosts.take_sentences(|_| false);
        assert_eq!(sentences.len(), MAX_NAMED + 1);
        assert!(sentences[0].contains("1 attempt to connect, to"), "{sentences:?}");
        assert!(sentences[MAX_NAMED].contains("2 further hosts"), "{sentences:?}");
        assert!(hosts.take_sentences(|_| false).is_empty());
    }
}
