//! Declared hosts that a run has not seen.
//!
//! In:  for each interval of a run, the networks of servers that opened no flow.
//! Out: what was not done, and remarks about the site file.
//! Not: which hosts those are; that is for `judge`.

use ipnet::IpNet;

use super::run_facts;
use crate::judge::AbsentHosts;
use crate::judge::JudgeResult;
use crate::judge::host_text;
use crate::report::RunFacts;

/// How much of what is audited the facts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it: a server without a flow was not audited as asked for.
    Whole,
    /// A part of a capture, or an interval of a live run, in which a server may be idle.
    Part,
}

/// Networks of servers that opened no flow.
#[derive(Clone, Debug, Default)]
pub(super) struct SilentServers {
    networks: Vec<IpNet>,
    audited_hosts: u64,
}

impl SilentServers {
    /// Those of an interval.
    pub(super) fn of(judgement: &JudgeResult) -> SilentServers {
        SilentServers {
            networks: judgement.silent_servers.clone(),
            audited_hosts: judgement.tally.audited_hosts,
        }
    }

    /// Those that opened no flow in the interval before either.
    #[cfg(any(test, all(feature = "live", unix)))]
    #[must_use]
    pub(super) fn and_before(mut self, before: Option<&SilentServers>) -> SilentServers {
        if let Some(before) = before {
            self.networks.retain(|net| before.networks.contains(net));
            self.audited_hosts += before.audited_hosts;
        }
        self
    }

    /// Adds them to the facts of a run. One that was named on the command line was not audited as asked for, and a run that audits
    /// none of those that the site file declares says nothing about the site.
    pub(super) fn report(&self, named: &[IpNet], extent: Extent, facts: &mut RunFacts) {
        let (named, declared): (Vec<IpNet>, Vec<IpNet>) =
            self.networks.iter().partition(|net| named.contains(net));
        let mut not_done: Vec<String> = named
            .iter()
            .map(|net| format!("no flow of server {} (--server) in the capture", host_text(net)))
            .collect();
        if !declared.is_empty() {
            let declared: Vec<String> = declared.iter().map(host_text).collect();
            let hint = format!(
                "no flow of {} in the capture, which [roles] declares as servers",
                run_facts::some_of(&declared)
            );
            match self.audited_hosts {
                0 => not_done.push(format!("no host was audited: {hint}")),
                _ => facts.site_warnings.push(hint),
            }
        }
        match extent {
            Extent::Part => facts.warnings.append(&mut not_done),
            Extent::Whole => facts.not_done.append(&mut not_done),
        }
    }
}

/// The other hosts that the site file declares and the capture does not show: a misspelt address, or another place.
pub(super) fn absent_hosts_sentence(absent: &[AbsentHosts]) -> Option<String> {
    let keys: Vec<String> =
        absent.iter().map(|absent| format!("{} {}", absent.key, run_facts::some_of(&absent.hosts))).collect();
    (!keys.is_empty()).then(|| format!("declared hosts without a flow in the capture: {}", keys.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_server_is_silent_if_it_opened_no_flow_in_any_interval() {
        let silent =
            |networks: &[&str], audited_hosts| SilentServers { networks: nets(networks), audited_hosts };
        let named = nets(&["10.1.0.4/32"]);
        let check = |silent: &SilentServers, extent, not_done: &[&str], site: &[&str], warnings: &[&str]| {
            let mut facts = RunFacts::default();
            silent.report(&named, extent, &mut facts);
            assert_eq!(facts.not_done, not_done);
            assert_eq!((facts.site_warnings, facts.warnings), (to_strings(site), to_strings(warnings)));
        };
        let first = silent(&["10.1.0.4/32", "10.2.0.0/16"], 1);
        let server = "no flow of server 10.1.0.4 (--server) in the capture";
        let role = "no flow of 10.2.0.0/16 in the capture, which [roles] declares as servers";
        check(&first, Extent::Whole, &[server], &[role], &[]);
        check(&first, Extent::Part, &[], &[role], &[server]);
        check(&silent(&["10.2.0.0/16"], 0).and_before(Some(&first)), Extent::Whole, &[], &[role], &[]);
        check(&silent(&["10.1.0.4/32"], 3).and_before(Some(&first)), Extent::Whole, &[server], &[], &[]);
        let nobody = format!("no host was audited: {role}");
        let idle = silent(&["10.2.0.0/16"], 0);
        check(&idle.clone().and_before(Some(&idle)), Extent::Whole, &[&nobody], &[], &[]);
    }

    fn to_strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn hosts_are_listed_by_key() {
        let absent =
            |key: &str, hosts: &[&str]| AbsentHosts { key: key.to_owned(), hosts: to_strings(hosts) };
        assert_eq!(absent_hosts_sentence(&[]), None);
        assert_eq!(
            absent_hosts_sentence(&[
                absent("[roles] time-servers", &["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"]),
                absent("[proxy]", &["10.0.0.8:8080"]),
            ])
            .unwrap(),
            "declared hosts without a flow in the capture: [roles] time-servers 10.1.0.1, 10.1.0.2, 10.1.0.3, and 1 more; \
             [proxy] 10.0.0.8:8080"
        );
    }
}
