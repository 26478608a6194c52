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
use hashbrown::hash_map::Entry;
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

/// The outcome of connections that look blocked.
const BLOCKED: &str = "blocked-looking";

/// Names that are kept for addresses.
const NAME_LIMIT: usize = 1 << 14;

/// Index of the input, and number of the frame.
type FramePlace = (u32, u64);

/// What Wireshark shows at a frame.
type Comments = SmallVec<[Arc<str>; 1]>;

/// The frames that prove findings.
#[derive(Debug, Default)]
pub struct ProvingFrames {
    /// Index of the input and number of each frame, in order.
    places: Vec<FramePlace>,
    /// The comments of each.
    comments: Vec<Comments>,
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
            frames: HashMap::default(),
            selected: ProvingFrames::default(),
            names: HashSet::new(),
            references: HashMap::new(),
            without_any: HashSet::new(),
        };
        evidence.for_each_row(FindingRow::FILE, |row| selection.add_finding(row))?;
        evidence.for_each_row(RequirementRow::FILE, |row| selection.add_requirement(row))?;
        // A flood makes this table long, and the next one.
        let outcome = if selection.references.is_empty() { BLOCKED } else { "" };
        evidence.for_each_row_with(FlowRow::FILE, outcome, |row| selection.add_flow(row))?;
        if !selection.names.is_empty() {
            evidence.for_each_row(DnsRow::FILE, |row| selection.add_dns(row))?;
        }
        Ok(selection.into_selected())
    }

    /// Index of the input and number of each frame, in order.
    pub fn places(&self) -> impl ExactSizeIterator<Item = FramePlace> {
        self.places.iter().copied()
    }

    /// The comments of a frame by its index in [`ProvingFrames::places`].
    pub fn comments(&self, index: usize) -> impl Iterator<Item = &str> {
        self.comments.get(index).into_iter().flatten().map(|comment| &**comment)
    }
}

struct FrameSelection<'a> {
    /// Indexes of the inputs.
    by_name: HashMap<&'a str, u32>,
    /// Indexes in the comments of the selected frames.
    frames: HashMap<FramePlace, u32, foldhash::fast::RandomState>,
    /// Its comments are in the order in which frames were added, its places are not known yet.
    selected: ProvingFrames,
    /// Names whose DNS exchanges are selected.
    names: HashSet<String>,
    /// References of requirements that look blocked, each with the number of its connections that succeeded.
    references: HashMap<String, u32>,
    /// Lists of references in which there is none of these that needs more connections.
    without_any: HashSet<String>,
}

/// Lists of references that are remembered.
const LIST_LIMIT: usize = 4096;

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
        let is_blocked = row.raw("outcome") == BLOCKED;
        if row.raw("destination_verdict").is_empty() || !is_blocked && !self.is_comparable(row) {
            return;
        }
        let name = if row.raw("name").is_empty() { row.raw("server_ip") } else { row.text("name") };
        let reason = [row.raw("mechanism"), row.raw("inconclusive_reason")].concat();
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let port = match (row.raw("server_port"), row.raw("requested_port")) {
            (own, "") => own.to_owned(),
            (own, requested) => format!("{requested} through the proxy {}:{own}", row.raw("server_ip")),
        };
        let comment = format!(
            "flow {}: {} to {name} port {port}: {}{reason}",
            row.raw("flow_id"),
            row.raw("client_ip"),
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
        // Thousands of connections cite the same list.
        let list = row.raw("references");
        if self.references.is_empty() || self.without_any.contains(list) {
            return false;
        }
        let mut is_comparable = false;
        for id in row.elements("references") {
            if let Some(shown) = self.references.get_mut(&*id).filter(|shown| **shown < SUCCEEDED_LIMIT) {
                *shown += 1;
                is_comparable = true;
            }
        }
        if !is_comparable && self.without_any.len() < LIST_LIMIT {
            self.without_any.insert(list.to_owned());
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
            let next = self.selected.comments.len();
            let index = match self.frames.entry((file, number)) {
                Entry::Occupied(known) => *known.get() as usize,
                Entry::Vacant(_) if next >= FRAME_LIMIT => {
                    self.selected.left_out += 1;
                    continue;
                }
                Entry::Vacant(new) => {
                    new.insert(next as u32);
                    self.selected.comments.push(Comments::new());
                    next
                }
            };
            let Some(comments) = self.selected.comments.get_mut(index) else { continue };
            if comments.len() < COMMENT_LIMIT && !comments.contains(&comment) {
                comments.push(Arc::clone(&comment));
            }
        }
    }

    fn into_selected(mut self) -> ProvingFrames {
        let mut order: Vec<(FramePlace, u32)> = self.frames.into_iter().collect();
        order.sort_unstable();
        let comments = &mut self.selected.comments;
        let in_order = |(_, index): &(FramePlace, u32)| {
            comments.get_mut(*index as usize).map(std::mem::take).unwrap_or_default()
        };
        self.selected.comments = order.iter().map(in_order).collect();
        self.selected.places = order.into_iter().map(|(place, _)| place).collect();
        self.selected
    }
}
