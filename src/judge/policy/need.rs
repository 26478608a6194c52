//! How much the site needs a destination.
//!
//! In:  the rows that name it, the verdict on a flow.
//! Out: a need, by which findings are graded and ordered.
//! Not: whether the destination was reached; see `policy::requirements`.

use super::Policy;
use super::name_table::KnownName;
use super::verdict::Verdict;
use crate::judge::vocabulary::DestinationVerdict;
use crate::judge::vocabulary::PortVerdict;
use crate::rules::ReferenceId;
use crate::rules::RequirementLevel;

/// Who needs a destination, from the greatest need to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Other destinations are reached through it: a proxy, the site's Arc gateway.
    Carrier,
    /// The site file names a product, region or resource that requires it.
    Required,
    /// A document of an audited product lists it.
    Documented,
    /// The site's own exception allows it.
    SiteApproved,
    /// Only documents about Windows Server itself list it.
    OperatingSystem,
    /// It exists inside a cloud's virtual networks only: elsewhere nothing can answer.
    CloudPlatform,
    /// Nothing names the address: it may be any of the above.
    Unidentified,
    /// No document lists it, or not on this port; or it is not the site's.
    Undocumented,
}

impl Need {
    /// Whether the audited products or the site need the destination, so that it has to be allowed.
    pub const fn is_ours(self) -> bool {
        matches!(self, Need::Carrier | Need::Required | Need::Documented | Need::SiteApproved)
    }
}

impl Policy {
    /// The need for a flow's destination and port.
    pub(in crate::judge) fn need_of_flow(&self, verdict: &Verdict<'_>) -> Need {
        match verdict.destination {
            Some(DestinationVerdict::SiteApproved) => Need::SiteApproved,
            Some(DestinationVerdict::Documented | DestinationVerdict::DocumentedBroad)
                if verdict.port == Some(PortVerdict::Not443) =>
            {
                Need::Undocumented
            }
            Some(DestinationVerdict::Documented | DestinationVerdict::DocumentedBroad)
                if verdict.known.is_some_and(|known| known.class.is_not_of_site()) =>
            {
                Need::Undocumented
            }
            Some(DestinationVerdict::Documented | DestinationVerdict::DocumentedBroad) => {
                verdict.known.map_or(Need::Documented, |known| match self.need_of_name(known) {
                    // The row that documents the flow names no host.
                    Need::Undocumented => Need::Documented,
                    need => need,
                })
            }
            Some(DestinationVerdict::Unidentified) => Need::Unidentified,
            Some(DestinationVerdict::Unexpected) => Need::Undocumented,
            None => Need::Documented,
        }
    }

    /// The need for a name, whatever the port.
    pub(in crate::judge) fn need_of_name(&self, known: &KnownName) -> Need {
        let ids = &known.references.ids;
        if ids.is_empty() || known.class.is_not_of_site() {
            return Need::Undocumented;
        }
        if self.carried_by(known).is_some() {
            return Need::Carrier;
        }
        let is_required = |id: &ReferenceId| {
            self.rules.reference(*id).level == RequirementLevel::Required && self.required.has(*id)
        };
        let is_background = |id: &ReferenceId| self.rules.reference(*id).document.background;
        if ids.iter().any(is_required) {
            Need::Required
        } else if ids.iter().all(is_background) {
            Need::OperatingSystem
        } else {
            Need::Documented
        }
    }
}
