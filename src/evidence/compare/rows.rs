//! The row of a change, and its columns.

use std::net::IpAddr;

use crate::judge::Severity;
use crate::judge::words;
use crate::report::Cell;
use crate::report::Column;
use crate::report::ColumnType;
use crate::report::ColumnType::Address;
use crate::report::ColumnType::Enum;
use crate::report::ColumnType::Flag;
use crate::report::ColumnType::List;
use crate::report::ColumnType::Text;
use crate::report::InputNames;
use crate::report::TableRow;
use crate::report::TextOrigin;
use crate::report::columns;

words! {
    /// What a row of a comparison is about.
    Subject {
        /// A difference between the runs that limits what can be compared.
        Condition => "condition",
        /// A documented endpoint that a server needs.
        ComparedRequirement => "requirement",
        /// A finding.
        Finding => "finding",
        /// A destination of the servers.
        ComparedDestination => "destination",
    }
}

words! {
    /// How the two runs differ.
    Change {
        /// The runs were made under other conditions.
        Differs => "differs",
        /// It worked and looks blocked, or it is more severe.
        Worse => "worse",
        /// Observed, found or required only in the run after.
        New => "new",
        /// Another verdict or mechanism, neither better nor worse.
        Changed => "changed",
        /// Fewer attempts are blocked, or it is less severe.
        Better => "better",
        /// It was blocked, and every attempt after succeeded.
        Fixed => "fixed",
        /// The destination was used again without the finding.
        Gone => "gone",
        /// Observed before and not after: neither fixed nor broken.
        NotSeenAgain => "not-seen-again",
        /// The same in both runs.
        Unchanged => "unchanged",
    }
}

words! {
    /// How much the site needs what a row is about, from the greatest need to none.
    ChangeNeed {
        /// The site requires the endpoint.
        Required => "required",
        /// The documents recommend the endpoint, or it is needed at times.
        Documented => "documented",
        /// The site does not need it, as far as is known.
        None => "none",
    }
}

/// The frames that show one side of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeFrames {
    /// The input.
    pub file: String,
    /// The frames in it; `name#number` for those of another input.
    pub frames: Vec<String>,
}

/// A row of a comparison. All texts are as the evidence has them, without the guard against formulas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// What it is about.
    pub subject: Subject,
    /// How it changed.
    pub change: Change,
    /// Whether something got worse, so that the exit status is 1.
    pub is_worse: bool,
    /// How much the site needs it.
    pub need: ChangeNeed,
    /// The severity of a finding.
    pub severity: Option<Severity>,
    /// The server; none for a condition, and for the site as a whole.
    pub server: Option<IpAddr>,
    /// The endpoint, the target of a finding, the destination, or the condition.
    pub target: String,
    /// The state before; empty if there was none.
    pub before: String,
    /// The state after; empty if there is none.
    pub after: String,
    /// The message of a finding, or what a change means.
    pub message: String,
    /// Documented rows.
    pub references: Vec<String>,
    /// What shows the state before.
    pub before_frames: ChangeFrames,
    /// What shows the state after.
    pub after_frames: ChangeFrames,
}

impl ChangeRow {
    /// A row without states and texts.
    pub(super) fn new(subject: Subject, change: Change, target: &str) -> ChangeRow {
        ChangeRow {
            subject,
            change,
            is_worse: false,
            need: ChangeNeed::None,
            severity: None,
            server: None,
            target: target.to_owned(),
            before: String::new(),
            after: String::new(),
            message: String::new(),
            references: Vec::new(),
            before_frames: ChangeFrames::default(),
            after_frames: ChangeFrames::default(),
        }
    }
}

impl TableRow for ChangeRow {
    const RECORD: &'static str = "change";
    const FILE: &'static str = "the output of `compare`";
    const COLUMNS: &'static [Column<ChangeRow>] = CHANGE;
}

const TEXTS: ColumnType = List(&Text);

const CHANGE: &[Column<ChangeRow>] = columns! { ChangeRow;
    "subject": required Enum(|| Subject::ALL.iter().map(|word| word.as_str()).collect()), "what the row is about; a `condition` is a difference between the runs that limits what can be compared",
        |row, _, cell| cell.word(row.subject.as_str());
    "change": required Enum(|| Change::ALL.iter().map(|word| word.as_str()).collect()), "how it changed. `fixed`: it was blocked, and every attempt after succeeded. `not-seen-again`: observed before and not after, which proves nothing. `gone`: the destination was used again without the finding. `unchanged` only with `--verbose`",
        |row, _, cell| cell.word(row.change.as_str());
    "worse": optional Flag, "the change sets exit status 1",
        |row, _, cell| cell.flag(row.is_worse);
    "need": required Enum(|| ChangeNeed::ALL.iter().map(|word| word.as_str()).collect()), "how much the site needs the destination, as far as the requirements of the two runs show",
        |row, _, cell| cell.word(row.need.as_str());
    "severity": optional Enum(|| Severity::ALL.iter().map(|word| word.as_str()).collect()), "severity of a finding; after, if it is in both runs",
        |row, _, cell| cell.word(row.severity.map_or("", Severity::as_str));
    "server": optional Address, "the audited server; missing for a destination of several, for a condition, and for the site as a whole",
        |row, _, cell| if let Some(server) = row.server { cell.address(server.into()) };
    "target": required Text, "the endpoint, the target of the finding, the destination as `name:port/transport`, or the condition",
        |row, _, cell| untrusted(&row.target, cell);
    "before": optional Text, "state in the run before; missing if there was none",
        |row, _, cell| untrusted(&row.before, cell);
    "after": optional Text, "state in the run after; missing if there is none",
        |row, _, cell| untrusted(&row.after, cell);
    "message": optional Text, "message of the finding, or what the change means",
        |row, _, cell| untrusted(&row.message, cell);
    "references": optional TEXTS, "documented rows",
        |row, _, cell| cell.list(&row.references, |cell, id| untrusted(id, cell));
    "before_file": optional Text, "input that shows the state before",
        |row, _, cell| untrusted(&row.before_frames.file, cell);
    "before_frames": optional TEXTS, "the first frames that show the state before",
        |row, _, cell| cell.list(&row.before_frames.frames, |cell, frame| untrusted(frame, cell));
    "after_file": optional Text, "input that shows the state after",
        |row, _, cell| untrusted(&row.after_frames.file, cell);
    "after_frames": optional TEXTS, "the first frames that show the state after",
        |row, _, cell| cell.list(&row.after_frames.frames, |cell, frame| untrusted(frame, cell));
};

fn untrusted(text: &str, cell: &mut Cell) {
    cell.text(text, TextOrigin::Untrusted);
}
