//! Counts each server's attempts at the endpoints that the site needs.
//!
//! In:  attempts: judged flows, and names that did not resolve.
//! Out: a row for each server and required endpoint.
//! Not: which endpoint a name belongs to.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::absence::absence;
use super::required::RequiredEndpoint;
use super::required::RequiredEndpoints;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Time;
use crate::judge::catalogue::Mechanism;
use crate::judge::policy::references::quote;
use crate::judge::rows::RequirementRow;
use crate::judge::vocabulary::RequirementState;
use crate::rules::RuleSet;

/// Pairs of a server and an endpoint that are counted; attempts of further ones are not.
const PAIRS: usize = 1 << 17;

/// Frames kept of each kind of attempt.
const FRAMES: usize = 4;

/// What an attempt shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum AttemptResult {
    /// An exchange got through.
    Reached {
        /// The address is in no service tag of the references: only the name identifies it.
        is_outside_tags: bool,
    },
    /// It looks blocked, by this mechanism.
    Blocked(Mechanism),
    /// The session was intercepted: it ended at a middlebox.
    Intercepted,
    /// Its name was contacted on a port, over a transport or for a path that no reference of the endpoint gives.
    NotAsDocumented,
    /// A handshake without payload, or an outcome that the capture does not show.
    Unclear,
}

/// One attempt of a server at an endpoint.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Attempt<'a> {
    pub(in crate::judge) server: Address,
    pub(in crate::judge) result: AttemptResult,
    pub(in crate::judge) first: Time,
    pub(in crate::judge) last: Time,
    pub(in crate::judge) frames: &'a [FrameRef],
}

/// Attempts of one kind.
#[derive(Clone, Debug, Default)]
struct Attempts {
    count: u64,
    span: Option<(Time, Time)>,
    frames: SmallVec<[FrameRef; 2]>,
}

impl Attempts {
    fn add(&mut self, attempt: &Attempt<'_>) {
        self.count += 1;
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(attempt.first), last.max(attempt.last)),
            None => (attempt.first, attempt.last),
        });
        for frame in attempt.frames {
            if self.frames.len() < FRAMES && !self.frames.contains(frame) {
                self.frames.push(*frame);
            }
        }
    }
}

/// All attempts of one server at one endpoint.
#[derive(Clone, Debug, Default)]
struct Observed {
    reached: Attempts,
    blocked: Attempts,
    unclear: Attempts,
    /// Of the last blocked attempt.
    mechanism: Option<Mechanism>,
    is_outside_tags: bool,
    is_intercepted: bool,
    is_not_as_documented: bool,
}

/// The attempts of all servers.
#[derive(Debug, Default)]
pub(in crate::judge) struct Observations {
    by_pair: HashMap<(Address, u16), Observed, foldhash::fast::RandomState>,
    /// Attempts of pairs that did not fit.
    pub(in crate::judge) missed: u64,
}

impl Observations {
    /// Counts an attempt at each of `endpoints`.
    pub(in crate::judge) fn add(&mut self, endpoints: impl Iterator<Item = u16>, attempt: &Attempt<'_>) {
        for endpoint in endpoints {
            let key = (attempt.server, endpoint);
            if self.by_pair.len() >= PAIRS && !self.by_pair.contains_key(&key) {
                self.missed += 1;
                continue;
            }
            let observed = self.by_pair.entry(key).or_default();
            match attempt.result {
                AttemptResult::Reached { is_outside_tags } => {
                    observed.reached.add(attempt);
                    observed.is_outside_tags |= is_outside_tags;
                }
                AttemptResult::Blocked(mechanism) => {
                    let is_last = observed.blocked.span.is_none_or(|(_, last)| attempt.last >= last);
                    if is_last {
                        observed.mechanism = Some(mechanism);
                    }
                    observed.blocked.add(attempt);
                }
                AttemptResult::Intercepted => {
                    observed.unclear.add(attempt);
                    observed.is_intercepted = true;
                }
                AttemptResult::NotAsDocumented => observed.is_not_as_documented = true,
                AttemptResult::Unclear => observed.unclear.add(attempt),
            }
        }
    }

    /// Endpoints that the site needs in any case, and that some server reached.
    pub(in crate::judge) fn reached(&self, endpoints: &RequiredEndpoints) -> BTreeSet<u16> {
        let reached = self.by_pair.iter().filter(|(_, observed)| observed.reached.count > 0);
        let places = reached.map(|((_, place), _)| *place).filter(|place| endpoints.is_certain(*place));
        places.collect()
    }

    /// A row for each server and endpoint, servers in order. `watched` is the capture's length in nanoseconds.
    pub(in crate::judge) fn into_rows(
        mut self,
        endpoints: &RequiredEndpoints,
        rules: &RuleSet,
        watched: u64,
    ) -> Vec<RequirementRow> {
        // A host that tried none of them may be no server of the products.
        let servers: BTreeSet<Address> = self.by_pair.keys().map(|(server, _)| *server).collect();
        let servers: Vec<Option<Address>> =
            if servers.is_empty() { vec![None] } else { servers.into_iter().map(Some).collect() };
        let mut rows = Vec::new();
        for server in servers {
            for (place, endpoint) in (0..).zip(&endpoints.list) {
                let observed = server.and_then(|server| self.by_pair.remove(&(server, place)));
                if observed.is_none() && endpoint.only_if_tried {
                    continue;
                }
                let mut row = row(endpoint, observed.unwrap_or_default(), rules, || {
                    absence(endpoints, endpoint, rules, watched)
                });
                row.server = server;
                rows.push(row);
            }
        }
        rows
    }
}

fn row(
    endpoint: &RequiredEndpoint,
    observed: Observed,
    rules: &RuleSet,
    absence: impl FnOnce() -> String,
) -> RequirementRow {
    let Observed { reached, blocked, unclear, mechanism, .. } = observed;
    let state = match (reached.count, blocked.count) {
        (0, 0) => RequirementState::NotObserved,
        (0, _) => RequirementState::Blocked,
        (_, 0) => RequirementState::Reached,
        _ => RequirementState::PartlyBlocked,
    };
    let count = reached.count + blocked.count + unclear.count;
    let note = match state {
        RequirementState::Reached | RequirementState::PartlyBlocked if observed.is_outside_tags => {
            "reached by its name at an address that is in no service tag of its references".to_owned()
        }
        RequirementState::PartlyBlocked => {
            let verb = if blocked.count == 1 { "looks" } else { "look" };
            format!("{} of {count} attempts {verb} blocked", blocked.count)
        }
        RequirementState::Reached | RequirementState::Blocked => String::new(),
        RequirementState::NotObserved if observed.is_intercepted => {
            "tried; the session ended at a device that inspects TLS, not at the endpoint".to_owned()
        }
        RequirementState::NotObserved if unclear.count > 0 => {
            "tried; the capture does not show an exchange that got through".to_owned()
        }
        RequirementState::NotObserved if observed.is_not_as_documented => {
            "its name was contacted, but not on the port, transport and path that are documented".to_owned()
        }
        RequirementState::NotObserved => absence(),
    };
    let requirement = &endpoint.requirement;
    let quoted = quote(rules, requirement.references.iter().copied());
    let mut documented_as: Vec<String> =
        requirement.references.iter().map(|id| rules.reference(*id).subject()).collect();
    documented_as.dedup();
    let spans = [&reached, &blocked, &unclear].map(|attempts| attempts.span);
    let seen = || spans.iter().flatten();
    let last_of = |attempts: &Attempts| attempts.span.map(|(_, last)| last);
    let last_state = match (last_of(&reached), last_of(&blocked)) {
        (None, None) => None,
        (reached, blocked) if blocked > reached => Some(RequirementState::Blocked),
        _ => Some(RequirementState::Reached),
    };
    // What proves the worst state comes first.
    let mut frames: SmallVec<[FrameRef; 2]> = SmallVec::new();
    for attempts in [&blocked, &reached, &unclear] {
        for frame in attempts.frames.iter().take(FRAMES) {
            // One DNS response may come before several attempts.
            if frames.len() < 2 * FRAMES && !frames.contains(frame) {
                frames.push(*frame);
            }
        }
    }
    RequirementRow {
        references: quoted.references,
        documents: quoted.documents,
        service: requirement.what.clone(),
        documented_as: documented_as.join(";"),
        level: requirement.level.word().to_owned(),
        server: None,
        state,
        mechanism,
        count,
        reached: reached.count,
        blocked: blocked.count,
        first_seen: seen().map(|(first, _)| *first).min(),
        last_seen: seen().map(|(_, last)| *last).max(),
        first_reached: reached.span.map(|(first, _)| first),
        last_reached: last_of(&reached),
        first_blocked: blocked.span.map(|(first, _)| first),
        last_blocked: last_of(&blocked),
        last_state,
        frames,
        note,
        name: endpoint.name.as_deref().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Library;
    use crate::rules::Site;

    const SERVERS: [Address; 2] = [Address::v4([10, 1, 0, 4]), Address::v4([10, 1, 0, 5])];

    /// Rows of a site after attempts at names, given as server, name, result and time.
    fn rows(site: &str, attempts: &[(usize, &str, AttemptResult, i64)]) -> Vec<RequirementRow> {
        let library = Library::embedded().unwrap();
        let site = Site::read("site.toml", site, &library).unwrap();
        let rules = library.select(&site.selection()).unwrap();
        let endpoints = RequiredEndpoints::new(&rules, &site);
        let mut observations = Observations::default();
        for (server, name, result, time) in attempts {
            let mut places: Vec<u16> = Vec::new();
            for hit in &rules.match_host(name) {
                places.extend(endpoints.satisfied_by(hit.id, name));
            }
            places.sort_unstable();
            places.dedup();
            let (first, last) = (Time(*time), Time(*time));
            let attempt = Attempt { server: SERVERS[*server], result: *result, first, last, frames: &[] };
            observations.add(places.into_iter(), &attempt);
        }
        observations.into_rows(&endpoints, &rules, 0)
    }

    fn state(rows: &[RequirementRow], server: usize, what: &str) -> Vec<RequirementState> {
        let wanted = |row: &&RequirementRow| {
            row.server == Some(SERVERS[server])
                && format!("{} {}", row.service, row.documented_as).contains(what)
        };
        rows.iter().filter(wanted).map(|row| row.state).collect()
    }

    const REACHED: AttemptResult = AttemptResult::Reached { is_outside_tags: false };
    const SITE: &str = "[azure-file-sync]\nregion = \"West US\"\nredundancy = \"LRS\"\n";

    #[test]
    fn nothing_is_required_where_no_product_is_declared() {
        assert!(rows("", &[]).is_empty());
        assert!(rows("[dns]\nresolvers = [\"10.0.0.1\"]", &[]).is_empty());
    }

    #[test]
    fn a_server_that_works_hides_no_other_server() {
        let name = "westus01.afs.azure.net";
        let rows = rows(
            SITE,
            &[(0, name, REACHED, 1), (1, name, AttemptResult::Blocked(Mechanism::TcpUnanswered), 2)],
        );
        assert_eq!(state(&rows, 0, name), [RequirementState::Reached]);
        assert_eq!(state(&rows, 1, name), [RequirementState::Blocked]);
    }

    #[test]
    fn attempts_without_a_result_reach_nothing() {
        let name = "westus01.afs.azure.net";
        for result in [AttemptResult::Unclear, AttemptResult::Intercepted] {
            let rows = rows(SITE, &[(0, name, result, 1)]);
            assert_eq!(state(&rows, 0, name), [RequirementState::NotObserved]);
            let row = rows.iter().find(|row| row.documented_as.contains(name)).unwrap();
            assert!(row.note.starts_with("tried"), "{}", row.note);
        }
    }

    #[test]
    fn a_name_that_was_contacted_otherwise_is_not_reached() {
        let name = "westus01.afs.azure.net";
        let rows = rows(SITE, &[(0, name, AttemptResult::NotAsDocumented, 1)]);
        assert_eq!(state(&rows, 0, name), [RequirementState::NotObserved]);
        let row = rows.iter().find(|row| row.documented_as.contains(name)).unwrap();
        assert_eq!((row.count, row.note.contains("its name was contacted")), (0, true), "{}", row.note);
    }

    #[test]
    fn the_last_attempt_is_told_apart_from_the_state() {
        let name = "westus01.afs.azure.net";
        let blocked = AttemptResult::Blocked(Mechanism::TcpRefused);
        let rows = rows(SITE, &[(0, name, REACHED, 5), (0, name, blocked, 9)]);
        let row = rows.iter().find(|row| row.documented_as.contains(name)).unwrap();
        assert_eq!(
            (row.state, row.mechanism),
            (RequirementState::PartlyBlocked, Some(Mechanism::TcpRefused))
        );
        assert_eq!(row.last_state, Some(RequirementState::Blocked));
        assert_eq!((row.last_reached, row.first_blocked), (Some(Time(5)), Some(Time(9))));
    }

    #[test]
    fn a_region_needs_one_name_or_three() {
        let regional = |redundancy: &str| -> Vec<String> {
            let site = format!("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"{redundancy}\"");
            let rows = rows(&site, &[]);
            rows.iter().filter(|row| row.service.contains("US")).map(|row| row.service.clone()).collect()
        };
        assert_eq!(regional("LRS"), ["Azure File Sync in West US"]);
        assert_eq!(regional("GRS").len(), 3, "{:?}", regional("GRS"));
    }

    #[test]
    fn declared_names_are_endpoints_of_their_own() {
        let site = format!(
            "{SITE}storage-accounts = [\"contosofs\"]\nsync-services = [\"contososync\"]\n\
             [private-endpoints]\nnetworks = [\"10.9.0.0/24\"]"
        );
        let rows = rows(
            &site,
            &[
                (0, "contosofs.queue.core.windows.net", REACHED, 1),
                (0, "contosofs.file.core.windows.net", AttemptResult::Blocked(Mechanism::TcpUnanswered), 2),
                (0, "contososyncsyncp.westus.afs.azure.net", REACHED, 3),
            ],
        );
        assert_eq!(state(&rows, 0, "contosofs.file"), [RequirementState::Blocked]);
        assert_eq!(state(&rows, 0, "contososyncsyncp"), [RequirementState::Reached]);
        assert_eq!(state(&rows, 0, "contososync").len(), 4);
        assert!(state(&rows, 0, "Azure File Sync in West US").is_empty());
        let local = "[site]\ncloud = \"public\"\n[azure-stack-hci]\nregion = \"East US\"\narc-gateways = [\"0a1b2c3d\"]\n\
                     witness-storage-accounts = [\"contosowit\"]";
        let rows = super::tests::rows(local, &[(0, "0a1b2c3d.gw.arc.azure.com", REACHED, 1)]);
        assert_eq!(state(&rows, 0, "0a1b2c3d.gw.arc"), [RequirementState::Reached]);
        assert_eq!(state(&rows, 0, "contosowit.blob"), [RequirementState::NotObserved]);
    }

    #[test]
    fn without_a_regional_list_what_all_lists_have_is_required() {
        let site = "[site]\ncloud = \"public\"\nproducts = [\"azure-stack-hci\"]";
        let rows = rows(site, &[(0, "dp.stackhci.azure.com", REACHED, 1)]);
        assert_eq!(state(&rows, 0, "dp.stackhci.azure.com"), [RequirementState::Reached]);
        assert!(state(&rows, 0, "eastus").is_empty());
    }

    #[test]
    fn what_other_hardware_needs_has_a_row_where_it_was_tried() {
        let name = "downloads.dell.com";
        let blocked = AttemptResult::Blocked(Mechanism::TcpUnanswered);
        let site = |hardware: &str| format!("[azure-stack-hci]\nregion = \"East US\"\n{hardware}");
        let undeclared = rows(&site(""), &[(0, name, blocked, 1)]);
        assert_eq!(state(&undeclared, 0, name), [RequirementState::Blocked]);
        assert!(state(&undeclared, 0, "thinkagile.lenovo.com").is_empty(), "not tried");
        let declared = rows(&site("hardware = \"dell\""), &[]);
        let is_dell = |row: &&RequirementRow| row.documented_as.contains(name);
        assert_eq!(declared.iter().filter(is_dell).count(), 1, "required though not tried");
    }

    #[test]
    fn a_region_says_which_cloud_is_needed() {
        let printed = |site: &str| -> String {
            rows(site, &[]).iter().map(|row| row.documented_as.clone() + " ").collect()
        };
        let sync = printed("[azure-file-sync]\nregion = \"West US\"");
        assert!(sync.contains("management.azure.com") && !sync.contains("usgovcloudapi"), "{sync}");
        let local = printed("[azure-stack-hci]\nregion = \"US Gov Virginia\"");
        assert!(local.contains("azure.us") && !local.contains("chinacloudapi"), "{local}");
        let both =
            printed("[azure-file-sync]\nregion = \"US Gov Texas\"\n[azure-stack-hci]\nregion = \"East US\"");
        assert!(both.contains("usgovcloudapi") && both.contains("management.azure.com"), "{both}");
    }
}
