//! Selects the frames that prove findings, for `evidence.pcapng`.
//!
//! In:  the tables of an evidence folder.
//! Out: frames by input and number, each with the comments that Wireshark shows; the names of addresses.
//! Not: the bytes of the frames.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::HashSet;
use smallvec::SmallVec;

use super::column::TableRow as _;
use super::input_names::InputNames;
use super::stored::ReadError;
use super::stored::StoredEvidence;
use super::stored::StoredRow;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;

/// Frames that are selected.
const FRAME_LIMIT: usize = 1 << 18;

/// Comments of a frame, and characters of a comment.
const COMMENT_LIMIT: usize = 16;
const COMMENT_CHARS: usize = 2000;

/// Connections that succeeded to an endpoint that looks blocked for a server: enough to compare with.
const SUCCEEDED_LIMIT: u32 = 16;

/// Names that are kept for addresses.
const NAME_LIMIT: usize = 1 << 14;

/// What Wireshark shows at a frame.
type Comments = SmallVec<[Arc<str>; 1]>;

/// The frames that prove findings.
#[derive(Debug, Default)]
pub struct ProvingFrames {
    /// Index of the input and number of the frame, and its comments, in that order.
    frames: Vec<((u32, u64), Comments)>,
    /// Names of the addresses in these frames.
    pub names: BTreeSet<(IpAddr, String)>,
    /// Frames that were not selected because there were too many.
    pub left_out: u64,
}

impl ProvingFrames {
    /// Selects the frames of findings, and handshakes and DNS exchanges of connections that look blocked.
    pub fn select(evidence: &StoredEvidence, inputs: &InputNames) -> Result<ProvingFrames, ReadError> {
        let by_name = inputs.files.iter().zip(0..).map(|(name, at)| (name.as_str(), at)).collect();
        let mut selection = FrameSelection {
            by_name,
            comments: HashMap::new(),
            selected: ProvingFrames::default(),
            names: HashSet::new(),
            references: HashMap::new(),
        };
        evidence.for_each_row(FindingRow::FILE, |row| selection.add_finding(row))?;
        evidence.for_each_row(RequirementRow::FILE, |row| selection.add_requirement(row))?;
        evidence.for_each_row(FlowRow::FILE, |row| selection.add_flow(row))?;
        // A flood of DNS responses makes this table long.
        if !selection.names.is_empty() {
            evidence.for_each_row(DnsRow::FILE, |row| selection.add_dns(row))?;
        }
        Ok(selection.into_selected())
    }

    /// Index of the input and number of each frame, in order.
    pub fn places(&self) -> impl ExactSizeIterator<Item = (u32, u64)> {
        self.frames.iter().map(|(place, _)| *place)
    }

    /// The comments of a frame.
    pub fn comments(&self, place: (u32, u64)) -> impl Iterator<Item = &str> {
        let found = self.frames.binary_search_by_key(&place, |(place, _)| *place);
        let frame = found.ok().and_then(|index| self.frames.get(index));
        frame.into_iter().flat_map(|(_, comments)| comments.iter().map(|comment| &**comment))
    }
}

struct FrameSelection<'a> {
    /// Indexes of the inputs.
    by_name: HashMap<&'a str, u32>,
    comments: HashMap<(u32, u64), Comments>,
    selected: ProvingFrames,
    /// Names whose DNS exchanges are selected.
    names: HashSet<String>,
    /// References of requirements that look blocked, each with the number of its connections that succeeded.
    references: HashMap<String, u32>,
}

impl FrameSelection<'_> {
    fn add_finding(&mut self, row: &StoredRow<'_>) {
        let comment = format!("{} {}", row.raw("code"), row.text("message"));
        self.add_frames(row, &["frames"], &comment);
        if !row.raw("mechanism").is_empty() {
            self.names.extend([row.text("name"), row.text("target")].map(str::to_owned));
        }
    }

    fn add_requirement(&mut self, row: &StoredRow<'_>) {
        let state = row.raw("state");
        if matches!(state, "blocked" | "partly-blocked") {
            let comment = format!("{state} for {}: {}", row.raw("server"), row.text("service"));
            self.add_frames(row, &["frames"], &comment);
            self.references.extend(row.list("references").into_iter().map(|id| (id, 0)));
        }
    }

    /// The handshake of a connection that looks blocked, or is one of the first to an endpoint that looks blocked for a server.
    fn add_flow(&mut self, row: &StoredRow<'_>) {
        let is_blocked = row.raw("outcome") == "blocked-looking";
        if row.raw("destination_verdict").is_empty() || !is_blocked && !self.is_comparable(row) {
            return;
        }
        let name = if row.raw("name").is_empty() { row.raw("server_ip") } else { row.text("name") };
        let reason = [row.raw("mechanism"), row.raw("inconclusive_reason")].concat();
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let comment = format!(
            "flow {}: {} to {name} port {}: {}{reason}",
            row.raw("flow_id"),
            row.raw("client_ip"),
            row.raw("server_port"),
            row.raw("outcome")
        );
        self.add_frames(row, &["first_frame", "evidence_frames", "last_frame"], &comment);
        if !row.raw("name").is_empty() {
            self.add_name(row.raw("server_ip"), name);
            self.names.insert(name.to_owned());
        }
    }

    /// Whether the connection is one of the first to an endpoint that looks blocked for a server.
    fn is_comparable(&mut self, row: &StoredRow<'_>) -> bool {
        if self.references.is_empty() {
            return false;
        }
        let mut is_comparable = false;
        for id in row.elements("references") {
            if let Some(shown) = self.references.get_mut(&*id).filter(|shown| **shown < SUCCEEDED_LIMIT) {
                *shown += 1;
                is_comparable = true;
            }
        }
        is_comparable
    }

    fn add_dns(&mut self, row: &StoredRow<'_>) {
        let name = row.text("query_name");
        if !self.names.contains(name) {
            return;
        }
        let rcode = if row.raw("rcode").is_empty() { "no response" } else { row.raw("rcode") };
        let comment =
            format!("DNS: {} queried {name} {}: {rcode}", row.raw("client_ip"), row.raw("query_type"));
        self.add_frames(row, &["query_frame", "frame"], &comment);
        for address in row.elements("resolved_addresses") {
            self.add_name(&address, name);
        }
    }

    fn add_name(&mut self, address: &str, name: &str) {
        if let (Ok(address), true) = (address.parse(), self.selected.names.len() < NAME_LIMIT) {
            self.selected.names.insert((address, name.to_owned()));
        }
    }

    /// Adds the frames of these columns: numbers in the row's file, or `name#number`.
    fn add_frames(&mut self, row: &StoredRow<'_>, columns: &[&str], comment: &str) {
        let end = match comment.len() > COMMENT_CHARS {
            true => comment.char_indices().nth(COMMENT_CHARS).map_or(comment.len(), |(end, _)| end),
            false => comment.len(),
        };
        let comment: Arc<str> = comment.get(..end).unwrap_or(comment).into();
        let own = self.by_name.get(row.text("file")).copied();
        for frame in columns.iter().flat_map(|column| row.elements(column)) {
            let (file, number) = match frame.rsplit_once('#') {
                Some((file, number)) => (self.by_name.get(file).copied(), number),
                None => (own, &*frame),
            };
            let (Some(file), Ok(number)) = (file, number.parse::<u64>()) else { continue };
            let is_full = self.comments.len() >= FRAME_LIMIT;
            if is_full && !self.comments.contains_key(&(file, number)) {
                self.selected.left_out += 1;
                continue;
            }
            let comments = self.comments.entry((file, number)).or_default();
            if comments.len() < COMMENT_LIMIT && !comments.contains(&comment) {
                comments.push(Arc::clone(&comment));
            }
        }
    }

    fn into_selected(mut self) -> ProvingFrames {
        self.selected.frames = self.comments.into_iter().collect();
        self.selected.frames.sort_unstable_by_key(|(place, _)| *place);
        self.selected
    }
}
