//! Whether a flow succeeded, with the mechanism or the reason where it did not.

use super::catalogue::InconclusiveReason;
use super::catalogue::Mechanism;
use super::vocabulary::Confidence;
use super::vocabulary::Outcome;

/// The outcome of a flow and what explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// The server answered.
    Ok,
    /// Something on the path seems to have blocked it.
    BlockedLooking {
        /// How.
        mechanism: Mechanism,
        /// Confidence in the mechanism.
        confidence: Confidence,
    },
    /// The capture does not show enough.
    Inconclusive {
        /// Why not.
        reason: InconclusiveReason,
    },
}

impl Assessment {
    pub(super) const fn blocked(mechanism: Mechanism, confidence: Confidence) -> Assessment {
        Assessment::BlockedLooking { mechanism, confidence }
    }

    pub(super) const fn inconclusive(reason: InconclusiveReason) -> Assessment {
        Assessment::Inconclusive { reason }
    }

    /// The word of the column `outcome`.
    pub const fn outcome(self) -> Outcome {
        match self {
            Assessment::Ok => Outcome::Ok,
            Assessment::BlockedLooking { .. } => Outcome::BlockedLooking,
            Assessment::Inconclusive { .. } => Outcome::Inconclusive,
        }
    }

    /// How the flow was blocked.
    pub const fn mechanism(self) -> Option<Mechanism> {
        match self {
            Assessment::BlockedLooking { mechanism, .. } => Some(mechanism),
            Assessment::Ok | Assessment::Inconclusive { .. } => None,
        }
    }

    /// Why the outcome is inconclusive.
    pub const fn reason(self) -> Option<InconclusiveReason> {
        match self {
            Assessment::Inconclusive { reason } => Some(reason),
            Assessment::Ok | Assessment::BlockedLooking { .. } => None,
        }
    }

    /// Confidence in the mechanism.
    pub const fn confidence(self) -> Option<Confidence> {
        match self {
            Assessment::BlockedLooking { confidence, .. } => Some(confidence),
            Assessment::Ok | Assessment::Inconclusive { .. } => None,
        }
    }
}
