//! What the absence of traffic to a required endpoint means.
//!
//! In:  the endpoint, and how long the capture is.
//! Out: a sentence.
//! Not: whether it was used.

use super::required::RequiredEndpoint;
use super::required::RequiredEndpoints;
use crate::rules::RegionRole;
use crate::rules::RequirementLevel;
use crate::rules::RuleSet;
use crate::rules::region_slug;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// How often the agent connects by itself. Without changes a sync session starts every 30 minutes (SupportArticles-docs
/// file-sync-troubleshoot-sync-errors.md, 2025-08-25).
const SYNC_SESSION: u64 = 30 * MINUTE;

/// After so long without a sync session of a server the portal shows "No Activity"
/// (file-sync-troubleshoot-sync-errors.md).
const NO_ACTIVITY: u64 = 120 * MINUTE;

/// Why a required endpoint may not have been observed. `watched` is the capture's length in nanoseconds.
pub(super) fn absence(
    endpoints: &RequiredEndpoints,
    endpoint: &RequiredEndpoint,
    rules: &RuleSet,
    watched: u64,
) -> String {
    let requirement = &endpoint.requirement;
    let references = || requirement.references.iter().map(|id| rules.reference(*id));
    if endpoints.has_gateway && references().any(|reference| reference.arc_gateway) {
        return "the site's Arc gateway may carry it in its tunnel: its absence means nothing".to_owned();
    }
    let frequency = references().filter_map(|reference| {
        let see = reference.see.as_deref().unwrap_or_default();
        Some((reference.every_minutes?, format!("{}/{see}", reference.document.short)))
    });
    let capture = format!("the capture is {} long", duration(watched));
    if let Some((every, sentence)) = frequency.min() {
        return if watched >= u64::from(every) * MINUTE {
            format!("expected: it is used every {every} minutes ({sentence}), and {capture}")
        } else {
            format!("too short to expect it: {capture}, and it is used every {every} minutes ({sentence})")
        };
    }
    let is_own = requirement.region.as_deref().map(region_slug) == endpoints.own_region;
    match (requirement.level, requirement.role) {
        (_, Some(RegionRole::Primary)) if is_own && watched >= NO_ACTIVITY => format!(
            "expected: a sync session starts every 30 minutes, and after 2 hours without one the portal shows `No Activity`; \
             {capture}"
        ),
        (_, Some(RegionRole::Primary)) if is_own && watched >= SYNC_SESSION => {
            format!("expected: a sync session starts every 30 minutes, and {capture}")
        }
        (_, Some(RegionRole::Primary)) if is_own => {
            format!("too short to expect it: {capture}, and a sync session starts every 30 minutes")
        }
        (_, Some(_)) => "only used after a failover: its absence means nothing".to_owned(),
        (RequirementLevel::InstallTime, None) => {
            "only used at installation and registration: its absence means nothing".to_owned()
        }
        _ => format!("no document gives a frequency of use; {capture}"),
    }
}

/// A length of time in the largest unit that keeps it readable.
fn duration(nanos: u64) -> String {
    let counted = |count: u64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    match nanos {
        0..SECOND => "less than a second".to_owned(),
        SECOND..120_000_000_000 => counted(nanos / SECOND, "second"),
        _ => counted(nanos / MINUTE, "minute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Library;
    use crate::rules::Site;

    fn notes(site: &str, watched: u64) -> Vec<(String, String)> {
        let library = Library::embedded().unwrap();
        let site = Site::read("site.toml", site, &library).unwrap();
        let rules = library.select(&site.selection()).unwrap();
        let endpoints = RequiredEndpoints::new(&rules, &site);
        let note = |endpoint| absence(&endpoints, endpoint, &rules, watched);
        let what = |endpoint: &RequiredEndpoint| endpoint.requirement.what.clone();
        endpoints.list.iter().map(|endpoint| (what(endpoint), note(endpoint))).collect()
    }

    #[test]
    fn the_length_of_the_capture_decides_what_absence_means() {
        let site = "[azure-file-sync]\nregion = \"West US\"\nredundancy = \"GRS\"";
        let first = |watched| notes(site, watched).first().map(|(_, note)| note.clone()).unwrap_or_default();
        assert!(first(29 * MINUTE).starts_with("too short"));
        assert!(first(31 * MINUTE).starts_with("expected"));
        assert!(first(119 * MINUTE).starts_with("expected") && !first(119 * MINUTE).contains("No Activity"));
        assert!(first(121 * MINUTE).contains("No Activity"));
        assert!(notes(site, 0)[1].1.starts_with("only used after a failover"));
        let arc = |watched| {
            let notes = notes("[site]\nproducts = [\"azure-arc\"]\ncloud = \"public\"", watched);
            notes.into_iter().find(|(what, _)| what.contains("guestconfiguration")).unwrap().1
        };
        assert!(arc(14 * MINUTE).starts_with("too short"));
        assert!(arc(15 * MINUTE).starts_with("expected"));
        assert!(arc(15 * MINUTE).contains("arc-2026-04-01/statements/14"));
    }

    #[test]
    fn a_gateway_hides_what_goes_through_it() {
        let hidden = |gateway: &str| {
            let notes = notes(&format!("[azure-stack-hci]\nregion = \"East US\"\n{gateway}"), 0);
            notes.iter().filter(|(_, note)| note.contains("Arc gateway")).count()
        };
        assert_eq!(hidden(""), 0);
        let carried = hidden("arc-gateways = [\"abc123\"]");
        assert!(carried > 20, "{carried}");
    }

    #[test]
    fn lengths_are_printed_in_a_readable_unit() {
        assert_eq!(duration(10 * SECOND), "10 seconds");
        assert_eq!(duration(SECOND), "1 second");
        assert_eq!(duration(31 * MINUTE), "31 minutes");
        assert_eq!(duration(5), "less than a second");
    }
}
