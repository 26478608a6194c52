//! What a column is: its name, its type, and how a record fills it.

use super::cell::Cell;
use super::input_names::InputNames;

/// A column of a table.
pub struct Column<R> {
    /// The CSV header and the JSON key.
    pub name: &'static str,
    /// The type of its values.
    pub kind: ColumnType,
    /// Whether every row has a value.
    pub is_required: bool,
    /// The part of a row that has the value: most rows lack some, so that their columns need not be asked.
    pub part: RowPart,
    /// What it holds, for the reference and the JSON Schema.
    pub about: &'static str,
    /// Writes the value of a record; writes nothing if it is missing.
    pub cell: fn(&R, &InputNames, &mut Cell),
}

impl<R: TableRow> Column<R> {
    /// Writes the value of a record that has these parts.
    #[inline]
    pub(super) fn fill(&self, row: &R, parts: u8, names: &InputNames, cell: &mut Cell) {
        if parts & self.part as u8 != 0 {
            return (self.cell)(row, names, cell);
        }
        if cfg!(debug_assertions) {
            let before = cell.out.len();
            (self.cell)(row, names, cell);
            assert_eq!(cell.out.len(), before, "{} has a value in a row without {:?}", self.name, self.part);
        }
    }
}

/// Parts of a row, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowPart {
    /// What rows have.
    Common = 1,
    /// What handshakes of TLS and QUIC show.
    Tls = 2,
    /// What plain HTTP shows.
    Http = 4,
    /// What few rows have.
    Rare = 8,
}

/// The type of the values of a column.
#[derive(Clone, Copy, Debug)]
pub enum ColumnType {
    /// A whole number, not negative.
    Integer,
    /// A time in UTC, RFC 3339 with nine digits.
    Time,
    /// An IPv4 or IPv6 address.
    Address,
    /// `true`, or missing.
    Flag,
    /// Text.
    Text,
    /// One of these words.
    Enum(fn() -> Vec<&'static str>),
    /// The number of a frame in the `file` of the row, or `name#number` for a frame of another file.
    Frame,
    /// A list of values.
    List(&'static ColumnType),
}

/// A record that is printed as a row.
pub trait TableRow: Sized + 'static {
    /// Its kind: the value of the JSON key `record`.
    const RECORD: &'static str;
    /// The file of its rows in an evidence folder.
    const FILE: &'static str;
    /// Its columns, in order.
    const COLUMNS: &'static [Column<Self>];

    /// The parts that it has, as bits of [`RowPart`].
    fn parts(&self) -> u8 {
        u8::MAX
    }
}

impl ColumnType {
    /// The type, as the reference names it.
    pub fn label(self) -> String {
        match self {
            ColumnType::Integer => "integer".to_owned(),
            ColumnType::Time => "time".to_owned(),
            ColumnType::Address => "address".to_owned(),
            ColumnType::Flag => "flag".to_owned(),
            ColumnType::Text => "text".to_owned(),
            ColumnType::Enum(_) => "enum".to_owned(),
            ColumnType::Frame => "frame".to_owned(),
            ColumnType::List(element) => format!("list of {}", element.label()),
        }
    }

    /// The words of an enum, or of the elements of a list of an enum.
    pub fn words(self) -> Option<Vec<&'static str>> {
        match self {
            ColumnType::Enum(words) => Some(words()),
            ColumnType::List(element) => element.words(),
            _ => None,
        }
    }
}
