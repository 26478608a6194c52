//! Counts for everything that the site needs whether it was reached.
//!
//! In:  the rules that the site needs, judged flows.
//! Out: a row for each need.
//! Not: whether what was not seen is blocked; absence proves little, and the row says how little.

use smallvec::SmallVec;

use crate::base::FrameRef;
use crate::base::Time;
use crate::judge::policy::quote;
use crate::judge::rows::FlowRow;
use crate::judge::rows::RequirementRow;
use crate::judge::rows::RequirementState;
use crate::rules::ReferenceId;
use crate::rules::RegionRole;
use crate::rules::Requirement;
use crate::rules::RequirementLevel;
use crate::rules::RuleSet;
use crate::rules::Site;
use crate::rules::region_slug;

/// What the site needs, and which rules satisfy it.
#[derive(Debug, Default)]
pub(in crate::judge) struct SiteRequirements {
    list: Vec<Requirement>,
    own_region: Option<String>,
    /// The site has an Arc gateway, in whose tunnel much of this is out of sight.
    has_gateway: bool,
    /// SiteRequirements by rule.
    by_rule: Vec<SmallVec<[u16; 1]>>,
}

/// Nanoseconds in a minute.
const MINUTE: u64 = 60_000_000_000;

/// How often the agent talks by itself. Without changes a sync session starts every 30 minutes (SupportArticles-docs
/// file-sync-troubleshoot-sync-errors.md, 2025-08-25).
const SYNC_SESSION: u64 = 30 * MINUTE;

/// After so long without a word from a server the portal shows "No Activity" (file-sync-troubleshoot-sync-errors.md).
const NO_ACTIVITY: u64 = 120 * MINUTE;

impl SiteRequirements {
    /// Nothing where no site file says which products are in use: then nobody said what is needed.
    pub(in crate::judge) fn new(rules: &RuleSet, site: &Site) -> SiteRequirements {
        let products = site.products_described();
        // A region lies in one cloud, and a site that names it needs nothing of the others.
        let cloud = site.cloud.or(site.cloud_of_regions);
        let mut list = rules.required(&site.sync_setup());
        for need in &mut list {
            need.references.retain(|id| {
                let rule = rules.reference(*id);
                let in_cloud =
                    rule.clouds.is_empty() || cloud.is_none_or(|cloud| rule.clouds.contains(cloud));
                let document = &rule.document;
                let in_use = document.products.iter().any(|product| products.contains(&&**product));
                // The lists of all regions together are no need of anybody.
                in_use && in_cloud && (document.region.is_none() || site.local_region.is_some())
            });
        }
        list.retain(|need| !need.references.is_empty());
        let mut by_rule: Vec<SmallVec<[u16; 1]>> = vec![SmallVec::new(); rules.iter().count()];
        for (place, need) in (0..).zip(&list) {
            for id in &need.references {
                if let Some(places) = by_rule.get_mut(id.0 as usize) {
                    places.push(place);
                }
            }
        }
        let has_gateway = site.local_names.contains_key("arc-gateway");
        SiteRequirements {
            list,
            own_region: site.sync_region.as_deref().map(region_slug),
            has_gateway,
            by_rule,
        }
    }

    /// How many there are.
    pub(in crate::judge) fn len(&self) -> usize {
        self.list.len()
    }

    /// The needs that a rule satisfies.
    pub(in crate::judge) fn of(&self, rule: ReferenceId) -> &[u16] {
        self.by_rule.get(rule.0 as usize).map_or(&[], SmallVec::as_slice)
    }
}

/// What was seen of one need.
#[derive(Clone, Debug, Default)]
struct Met {
    outcomes: [u64; 3],
    seen: Option<(Time, Time)>,
    frames: SmallVec<[FrameRef; 2]>,
}

/// What was seen of all.
#[derive(Debug, Default)]
pub(in crate::judge) struct Seen(Vec<Met>);

impl Seen {
    /// Counts a judged flow to a name that satisfies `needs`.
    pub(in crate::judge) fn add(&mut self, needs: &[u16], row: &FlowRow) {
        for need in needs.iter().map(|need| usize::from(*need)) {
            if self.0.len() <= need {
                self.0.resize(need + 1, Met::default());
            }
            let Some(met) = self.0.get_mut(need) else { continue };
            if let Some(count) = met.outcomes.get_mut(row.outcome as usize) {
                *count += 1;
            }
            met.seen = Some(match met.seen {
                Some((first, last)) => (first.min(row.first_seen), last.max(row.last_seen)),
                None => (row.first_seen, row.last_seen),
            });
            if met.frames.len() < 4 {
                met.frames.push(row.first_frame);
            }
        }
    }

    /// SiteRequirements that were reached.
    pub(in crate::judge) fn met(&self) -> u64 {
        self.0.iter().filter(|met| met.outcomes.first().is_some_and(|ok| *ok > 0)).count() as u64
    }

    /// A row for each need, in their order. `watched` is how long the capture saw anything, in nanoseconds.
    pub(in crate::judge) fn into_rows(
        self,
        needs: &SiteRequirements,
        rules: &RuleSet,
        watched: u64,
    ) -> Vec<RequirementRow> {
        let mut met = self.0;
        met.resize(needs.list.len(), Met::default());
        needs.list.iter().zip(met).map(|(need, met)| row(needs, need, met, rules, watched)).collect()
    }
}

fn row(
    needs: &SiteRequirements,
    need: &Requirement,
    met: Met,
    rules: &RuleSet,
    watched: u64,
) -> RequirementRow {
    let [ok, blocked, unclear] = met.outcomes;
    let state = match (ok, blocked) {
        (0, 0) => RequirementState::NotObserved,
        (0, _) => RequirementState::Blocked,
        (_, 0) => RequirementState::Reached,
        _ => RequirementState::PartlyBlocked,
    };
    let quoted = quote(rules, need.references.iter().copied());
    let mut printed: Vec<String> = need.references.iter().map(|id| rules.reference(*id).subject()).collect();
    printed.dedup();
    let own = need.region.as_deref().map(region_slug) == needs.own_region;
    let note = match state {
        RequirementState::PartlyBlocked => {
            let verb = if blocked == 1 { "looks" } else { "look" };
            format!("{blocked} of {} flows {verb} blocked", ok + blocked + unclear)
        }
        RequirementState::Reached | RequirementState::Blocked => String::new(),
        RequirementState::NotObserved if unclear > 0 => {
            "tried, and the capture does not show what came of it".into()
        }
        RequirementState::NotObserved
            if needs.has_gateway && need.references.iter().any(|id| rules.reference(*id).arc_gateway) =>
        {
            "the site's Arc gateway may carry it in its tunnel: not seen is no sign".to_owned()
        }
        RequirementState::NotObserved => {
            let said = need.references.iter().filter_map(|id| {
                let rule = rules.reference(*id);
                let sentence = format!("{}/{}", rule.document.short, rule.see.as_deref().unwrap_or_default());
                Some((rule.every_minutes?, sentence))
            });
            absence(need, own, said.min(), watched)
        }
    };
    RequirementRow {
        references: quoted.references,
        documents: quoted.documents,
        service: need.what.clone(),
        documented_as: printed.join(";"),
        level: need.level.word().to_owned(),
        server: None,
        state,
        count: ok + blocked + unclear,
        first_seen: met.seen.map(|(first, _)| first),
        last_seen: met.seen.map(|(_, last)| last),
        frames: met.frames,
        note,
    }
}

/// What it means that something was not seen. `said` is how often it is used, in minutes, and who says so.
fn absence(need: &Requirement, own: bool, said: Option<(u32, String)>, watched: u64) -> String {
    let minutes = watched / MINUTE;
    if let Some((every, sentence)) = said {
        return if watched >= u64::from(every) * MINUTE {
            format!(
                "expected: it is used every {every} minutes ({sentence}), and the capture is {minutes} minutes long"
            )
        } else {
            format!(
                "the capture is too short to expect it: {minutes} minutes, and it is used every {every} minutes ({sentence})"
            )
        };
    }
    match (need.level, need.role) {
        (_, Some(RegionRole::Primary)) if own && watched >= NO_ACTIVITY => format!(
            "expected: a sync session starts every 30 minutes, and after 2 hours without one the portal shows `No Activity`; the \
             capture is {minutes} minutes long"
        ),
        (_, Some(RegionRole::Primary)) if own && watched >= SYNC_SESSION => format!(
            "expected: a sync session starts every 30 minutes, and the capture is {minutes} minutes long"
        ),
        (_, Some(RegionRole::Primary)) if own => format!(
            "the capture is too short to expect it: {minutes} minutes, and a sync session starts every 30 minutes"
        ),
        (_, Some(_)) => "used after a failover only: not seen is no sign".to_owned(),
        (RequirementLevel::InstallTime, None) => {
            "used at installation and registration only: not seen is no sign".to_owned()
        }
        (
            RequirementLevel::Required
            | RequirementLevel::Recommended
            | RequirementLevel::Optional
            | RequirementLevel::Legacy,
            None,
        ) => {
            format!("no document says how often it is used; the capture is {minutes} minutes long")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Library;

    fn rows(site: &str, watched: u64) -> Vec<RequirementRow> {
        let library = Library::embedded().unwrap();
        let site = Site::read("site.toml", site, &library).unwrap();
        let rules = library.select(&site.selection()).unwrap();
        Seen::default().into_rows(&SiteRequirements::new(&rules, &site), &rules, watched)
    }

    #[test]
    fn nothing_is_needed_where_nobody_said_so() {
        assert!(rows("", 0).is_empty());
        assert!(rows("[dns]\nresolvers = [\"10.0.0.1\"]", 0).is_empty());
    }

    #[test]
    fn a_region_needs_one_name_or_three() {
        let regional = |redundancy: &str| -> Vec<String> {
            let site = format!("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"{redundancy}\"");
            let rows = rows(&site, 31 * MINUTE);
            rows.iter().filter(|row| row.service.contains("US")).map(|row| row.service.clone()).collect()
        };
        assert_eq!(regional("LRS"), ["Azure File Sync in West US"]);
        assert_eq!(regional("GRS").len(), 3, "{:?}", regional("GRS"));
    }

    #[test]
    fn a_region_says_which_cloud_is_needed() {
        let printed = |site: &str| -> String {
            rows(site, 0).iter().map(|row| row.documented_as.clone() + " ").collect()
        };
        let sync = printed("[azure-file-sync]\nregion = \"West US\"");
        assert!(sync.contains("management.azure.com") && !sync.contains("usgovcloudapi"), "{sync}");
        let local = printed("[azure-stack-hci]\nregion = \"US Gov Virginia\"");
        assert!(local.contains("azure.us") && !local.contains("chinacloudapi"), "{local}");
        let both =
            printed("[azure-file-sync]\nregion = \"US Gov Texas\"\n[azure-stack-hci]\nregion = \"East US\"");
        assert!(both.contains("usgovcloudapi") && both.contains("management.azure.com"), "{both}");
    }

    #[test]
    fn a_gateway_hides_what_goes_through_it() {
        let hidden = |gateway: &str| {
            let rows = rows(&format!("[azure-stack-hci]\nregion = \"East US\"\n{gateway}"), 0);
            rows.iter().filter(|row| row.note.contains("Arc gateway")).count()
        };
        assert_eq!(hidden(""), 0);
        let behind = hidden("arc-gateways = [\"abc123\"]");
        assert!(behind > 20, "{behind}");
    }

    #[test]
    fn absence_says_what_it_is_worth() {
        let site = "[azure-file-sync]\nregion = \"West US\"\nredundancy = \"GRS\"";
        let note = |watched| rows(site, watched).first().map(|row| row.note.clone()).unwrap_or_default();
        assert!(note(29 * MINUTE).starts_with("the capture is too short"));
        assert!(note(31 * MINUTE).starts_with("expected"));
        assert!(note(119 * MINUTE).starts_with("expected") && !note(119 * MINUTE).contains("No Activity"));
        assert!(note(121 * MINUTE).contains("No Activity"));
        assert!(rows(site, 0)[1].note.starts_with("used after a failover"));
        let arc = |watched| {
            let rows = rows("[site]\nproducts = [\"azure-arc\"]\ncloud = \"public\"", watched);
            let row = rows.into_iter().find(|row| row.documented_as.contains("guestconfiguration")).unwrap();
            row.note
        };
        assert!(arc(14 * MINUTE).starts_with("the capture is too short"));
        assert!(
            arc(15 * MINUTE).starts_with("expected")
                && arc(15 * MINUTE).contains("arc-2026-04-01/statements/14")
        );
    }
}
