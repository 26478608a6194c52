//! The JSON Schema of the records, generated from the tables of columns (draft 2020-12).

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::column::Column;
use super::column::ColumnType;
use super::column::TableRow;
use super::facts::LimitKind;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::ProblemChange;
use crate::judge::ProblemState;
use crate::judge::RequirementRow;

/// The kinds of records: the values of the key `record`.
pub const RECORDS: [&str; 7] =
    [FlowRow::RECORD, DnsRow::RECORD, FindingRow::RECORD, RequirementRow::RECORD, PROBLEM, NOT_DONE, LIMIT];

/// Records that are no rows of a table.
const PROBLEM: &str = "problem";
const NOT_DONE: &str = "not-done";
const LIMIT: &str = "limit";

/// The schema of one kind of record, or of all of them and of the lines that are no rows of a table. `further` are the kinds of
/// later stages.
pub fn json_schema(record: Option<&str>, further: Vec<(&'static str, Value)>) -> Value {
    let mut kinds = vec![
        (FlowRow::RECORD, record_schema::<FlowRow>()),
        (DnsRow::RECORD, record_schema::<DnsRow>()),
        (FindingRow::RECORD, record_schema::<FindingRow>()),
        (RequirementRow::RECORD, record_schema::<RequirementRow>()),
    ];
    kinds.extend(further);
    kinds.extend([(PROBLEM, problem_schema()), (NOT_DONE, not_done_schema()), (LIMIT, limit_schema())]);
    let selected = kinds.iter().find(|(kind, _)| Some(*kind) == record).map(|(_, schema)| schema.clone());
    let mut schema = selected.unwrap_or_else(|| {
        let refs: Vec<Value> =
            kinds.iter().map(|(kind, _)| json!({"$ref": format!("#/$defs/{kind}")})).collect();
        let definitions: Map<String, Value> =
            kinds.into_iter().map(|(kind, schema)| (kind.to_owned(), schema)).collect();
        json!({"title": "afs-audit records", "oneOf": refs, "$defs": definitions})
    });
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    }
    schema
}

/// A part of the job that was not done. It is not a row of a table.
fn not_done_schema() -> Value {
    json!({
        "title": "not-done record: a part of the job that was not done",
        "type": "object",
        "properties": {"record": {"const": "not-done"}, "reason": {"type": "string", "minLength": 1}},
        "required": ["record", "reason"],
    })
}

/// What makes results less certain. It is not a row of a table.
fn limit_schema() -> Value {
    let kinds: Vec<&str> = LimitKind::ALL.iter().map(|kind| kind.as_str()).collect();
    json!({
        "title": "limit record: what the capture does not show, damage of an input, or a limit of the program that was reached",
        "type": "object",
        "properties": {
            "record": {"const": "limit"},
            "kind": {"enum": kinds},
            "message": {"type": "string", "minLength": 1},
        },
        "required": ["record", "kind", "message"],
    })
}

/// A change of a problem of a live run. It is not a row of a table.
fn problem_schema() -> Value {
    let words = |words: &[&str]| json!({"enum": words});
    let changes: Vec<&str> = ProblemChange::ALL.iter().map(|word| word.as_str()).collect();
    let states: Vec<&str> = ProblemState::ALL.iter().map(|word| word.as_str()).collect();
    let time = || type_schema(ColumnType::Time);
    let finding = |name: &str| {
        let column = FindingRow::COLUMNS.iter().find(|column| column.name == name);
        column.map_or(Value::Null, column_schema)
    };
    json!({
        "title": "problem record: a finding of a live run that has recovered, has begun again or lasts for another hour",
        "type": "object",
        "properties": {
            "record": {"const": "problem"},
            "change": words(&changes),
            "time": time(),
            "state": words(&states),
            "code": finding("code"),
            "severity": finding("severity"),
            "audited_host": finding("audited_host"),
            "target": finding("target"),
            "mechanism": finding("mechanism"),
            "first_seen": time(),
            "last_seen": time(),
            "count": type_schema(ColumnType::Integer),
            "message": finding("message"),
        },
        "required": [
            "record", "change", "time", "state", "code", "severity", "target", "first_seen", "last_seen", "count", "message",
        ],
    })
}

/// The schema of a row. Other keys are permitted: a later version may add columns.
pub(crate) fn record_schema<R: TableRow>() -> Value {
    let mut properties = Map::new();
    properties.insert("record".to_owned(), json!({"const": R::RECORD}));
    properties.extend(R::COLUMNS.iter().map(|column| (column.name.to_owned(), column_schema(column))));
    let required: Vec<&str> = std::iter::once("record")
        .chain(R::COLUMNS.iter().filter(|column| column.is_required).map(|column| column.name))
        .collect();
    json!({
        "title": format!("{} record, a row of {}", R::RECORD, R::FILE),
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

fn column_schema<R>(column: &Column<R>) -> Value {
    let mut schema = type_schema(column.kind);
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), column.about.into());
    }
    schema
}

fn type_schema(kind: ColumnType) -> Value {
    match kind {
        ColumnType::Integer => json!({"type": "integer", "minimum": 0}),
        ColumnType::Time => json!({"type": "string", "format": "date-time"}),
        ColumnType::Address => json!({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
        ColumnType::Flag => json!({"const": true}),
        ColumnType::Text => json!({"type": "string", "minLength": 1}),
        ColumnType::Enum(words) => json!({"type": "string", "enum": words()}),
        ColumnType::Frame => json!({
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "#[1-9][0-9]*$"}],
        }),
        ColumnType::List(element) => {
            json!({"type": "array", "items": type_schema(*element), "minItems": 1})
        }
    }
}
