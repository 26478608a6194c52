//! The words that judging uses in its rows, each with what `explain` prints about it.
//!
//! In:  nothing: these are tables.
//! Out: finding codes, mechanisms of blocking, reasons for `inconclusive`.
//! Not: when they apply; see `diagnosis` and `finding`.

mod code;
mod drop_advice;
mod entry;
mod mechanism;
mod reason;
mod statement_subject;
mod texts;

pub use code::FindingCode;
pub use entry::FindingEntry;
pub use mechanism::Mechanism;
pub use mechanism::MechanismEntry;
pub use reason::InconclusiveReason;

pub(super) use drop_advice::drop_advice;
pub(super) use entry::Compared;
pub(super) use entry::ConfidenceSource;
pub(super) use entry::Proof;
pub(super) use entry::TargetKind;
pub(super) use mechanism::ShownBy;
pub(super) use mechanism::Stops;
pub(super) use statement_subject::StatementSubject;

/// What `explain` prints about a finding or a mechanism.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    /// What it looks like on the wire.
    pub looks_like: &'static str,
    /// What usually causes it.
    pub cause: &'static str,
    /// What to do.
    pub recommendation: &'static str,
    /// What else it could be.
    pub alternatives: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error code that an administrator sees on the server leads to what the wire shows: those of the troubleshooting
    /// pages of Azure File Sync (2025-08-25, 2025-01-23) that have an effect on the wire.
    #[test]
    fn documented_error_codes_are_in_the_texts() {
        for code in [
            "0x80072ee7",
            "0x80072ee2",
            "0x80072efe",
            "0x80072efd",
            "0x80c83081",
            "0x80c8309a",
            "0x80c83060",
            "0xc00000c4",
            "0x80072f8f",
            "0x800b0109",
            "0x80c87014",
            "0x80c83078",
        ] {
            let general = FindingCode::ALL.iter().map(|code| code.entry().texts);
            let mut texts = general.chain(Mechanism::ALL.iter().map(|mechanism| mechanism.texts()));
            assert!(
                texts.any(|texts| texts.cause.contains(code) || texts.alternatives.contains(code)),
                "{code}"
            );
        }
    }

    #[test]
    fn each_word_has_one_meaning() {
        let ascending = |words: &[&str]| words.is_sorted() && words.windows(2).all(|pair| pair[0] != pair[1]);
        let codes: Vec<&str> = FindingCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(ascending(&codes), "{codes:?}");
        let reasons: Vec<&str> = InconclusiveReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(ascending(&reasons), "{reasons:?}");
        let mut mechanisms: Vec<&str> = Mechanism::ALL.iter().map(|mechanism| mechanism.as_str()).collect();
        mechanisms.sort_unstable();
        assert!(ascending(&mechanisms), "{mechanisms:?}");
    }

    #[test]
    fn words_are_read_in_either_case() {
        assert_eq!(FindingCode::parse("afs202"), Some(FindingCode::ConnectionUnanswered));
        assert_eq!(Mechanism::parse("TCP-Refused"), Some(Mechanism::TcpRefused));
        assert_eq!(InconclusiveReason::parse("lost-race"), Some(InconclusiveReason::LostRace));
        assert_eq!(FindingCode::parse("AFS999"), None);
    }
}
