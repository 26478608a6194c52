//! Writes `evidence.pcapng`: the frames that prove findings, with the findings as comments.
//!
//! In:  the tables of a complete run, and its inputs, which are read a second time up to the last frame that is needed; without
//!      them, the `evidence.pcapng` of an earlier run over the same inputs. For a live run see `saved`.
//! Out: the file, and what did not get into it.
//! Not: which frames prove a finding; see `report`.

#[cfg(all(feature = "live", unix))]
pub(super) mod saved;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::plan::CopyPlan;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::Time;
use crate::capture;
use crate::capture::AnnotatedFrame;
use crate::capture::AnnotatedInterface;
use crate::capture::AnnotatedPcapng;
use crate::capture::Capture;
use crate::capture::Chunk;
use crate::capture::Frame;
use crate::capture::LinkType;
use crate::capture::SeekPoints;
use crate::report::InputNames;
use crate::report::ProvingFrames;
use crate::report::count;
use crate::report::reason;
use crate::report::verb;

/// The frames of the file and what did not get into it.
pub(super) struct EvidenceCapture {
    copied: CopiedFrames,
    interfaces: BTreeMap<InterfaceKey, CopiedInterface>,
    /// Sentences for the limits of the run.
    pub(super) limits: Vec<String>,
    /// Sentences for its warnings.
    pub(super) warnings: Vec<String>,
}

/// Input, index of the interface in it, and link type.
type InterfaceKey = (FileId, u16, LinkType);

/// An interface of the file.
struct CopiedInterface {
    /// Its index in the file.
    number: u32,
    snap_len: u32,
    name: String,
}

/// Frames that were selected.
#[derive(Default)]
struct CopiedFrames {
    frames: Vec<CopiedFrame>,
    /// Their bytes, in blocks that are never moved.
    blocks: Vec<Vec<u8>>,
}

/// Bytes of a block, unless a single frame has more.
const BLOCK_LEN: usize = 1 << 20;

/// Bytes of the file that are written at once.
const WRITE_LEN: usize = 1 << 18;

/// A frame that was selected, and the index of its interface in its input.
struct CopiedFrame {
    frame_ref: FrameRef,
    time: Time,
    link: LinkType,
    interface: u16,
    wire_len: u32,
    /// What it proves, as its index in the [`ProvingFrames`]; none if it is only near a frame that proves something.
    proof: Option<u32>,
    /// Where a live run saved it.
    saved_as: Option<Arc<str>>,
    /// Where its bytes are in [`CopiedFrames::blocks`].
    block: u32,
    bytes: Range<u32>,
}

impl CopiedFrame {
    const fn interface_key(&self) -> InterfaceKey {
        (self.frame_ref.file, self.interface, self.link)
    }
}

impl CopiedFrames {
    fn add(&mut self, frame: CopiedFrame, bytes: &[u8]) {
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= bytes.len();
        if !self.blocks.last().is_some_and(has_room) {
            self.blocks.push(Vec::with_capacity(bytes.len().max(BLOCK_LEN)));
        }
        let number = self.blocks.len() as u32 - 1;
        let Some(block) = self.blocks.last_mut() else { return };
        let start = block.len() as u32;
        block.extend_from_slice(bytes);
        self.frames.push(CopiedFrame { block: number, bytes: start..block.len() as u32, ..frame });
    }

    fn bytes_of(&self, frame: &CopiedFrame) -> &[u8] {
        let block = self.blocks.get(frame.block as usize).map(Vec::as_slice).unwrap_or_default();
        block.get(frame.bytes.start as usize..frame.bytes.end as usize).unwrap_or_default()
    }

    fn sort(&mut self) {
        // Stable: frames of the same time stay in the order of inputs and numbers.
        self.frames.sort_by_key(|frame| (frame.time, frame.frame_ref));
    }

    fn proofs(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.proof.is_some()).count() as u64
    }
}

/// What is known of the inputs from their first reading, by `FileId`.
pub(super) struct ReadInputs<'a> {
    /// As in the manifest.
    pub(super) described: &'a [Value],
    /// Where reading can go on.
    pub(super) seek_points: &'a [SeekPoints],
}

/// Reads the selected frames from the inputs.
pub(super) fn copy_frames(
    plan: &CopyPlan,
    selected: &ProvingFrames,
    inputs: &ReadInputs<'_>,
    names: &InputNames,
) -> anyhow::Result<EvidenceCapture> {
    let (mut limits, mut warnings) = (Vec::new(), Vec::new());
    let wanted = with_context(selected, plan.context);
    let readable = readable_inputs(&wanted, inputs.described, names, &mut warnings);
    let mut copied = CopiedFrames::default();
    let mut too_many = selected.left_out;
    if !readable.is_empty() {
        let reading = SecondReading { wanted: &wanted, readable: &readable, seek_points: inputs.seek_points };
        reading.copy(plan, &mut copied, &mut too_many)?;
    }
    let missing = wanted
        .iter()
        .filter(|(file, _)| readable.contains_key(file))
        .map(|(_, numbers)| numbers.iter().filter(|(_, proof)| proof.is_some()).count() as u64)
        .sum::<u64>()
        .saturating_sub(copied.proofs() + too_many);
    if missing > 0 {
        let were = verb(missing, "was", "were");
        warnings
            .push(format!("{} {were} not found when the inputs were read again", count(missing, "frame")));
    }
    if too_many > 0 {
        let did = format!("{} did not fit into evidence.pcapng", count(too_many, "frame"));
        limits.push(format!("{did}; --evidence-size permits more"));
    }
    let snap_len = u32::try_from(plan.snap_len).unwrap_or_default();
    let describe = |frame: &CopiedFrame| {
        let input = inputs.described.get(frame.frame_ref.file.0 as usize);
        let described = input
            .and_then(|input| input.get("interfaces")?.get(usize::from(frame.interface)))
            .and_then(|interface| interface.get("name")?.as_str());
        let input_name = names.file(frame.frame_ref.file);
        let name = described.map_or_else(|| input_name.to_owned(), |name| format!("{name} of {input_name}"));
        (snap_len, name)
    };
    Ok(EvidenceCapture::new(copied, describe, (limits, warnings)))
}

/// Copies the selected frames from the `evidence.pcapng` of an earlier run over the same inputs, one for each interval, with
/// `context` frames before and after each as far as that run copied them.
pub(super) fn copy_again(
    earlier: &[PathBuf],
    context: u64,
    selected: &ProvingFrames,
    names: &InputNames,
) -> anyhow::Result<EvidenceCapture> {
    let mut warnings = Vec::new();
    let wanted = with_context(selected, context);
    let (mut interfaces, mut frames) = (Vec::new(), Vec::new());
    for path in earlier {
        let Some((described, mut copied)) = read_earlier(path)? else { continue };
        let before = interfaces.len() as u32;
        copied.iter_mut().for_each(|frame| frame.interface += before);
        interfaces.extend(described);
        frames.append(&mut copied);
    }
    let by_name: HashMap<&str, u32> =
        names.files.iter().zip(0..).map(|(name, file)| (name.as_str(), file)).collect();
    let mut copied = CopiedFrames::default();
    for frame in frames {
        let place = frame.comments.last().and_then(|place| place.strip_prefix("frame ")?.split_once(" of "));
        let Some((number, file)) = place else { continue };
        let (Ok(number), Some(file)) = (number.parse(), by_name.get(file)) else { continue };
        let interface = interfaces.get(frame.interface as usize);
        let (Some(interface), Ok(index)) = (interface, u16::try_from(frame.interface)) else { continue };
        let find = |numbers: &Vec<WantedFrame>| {
            let found = numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            numbers.get(found).map(|(_, proof)| *proof)
        };
        if let Some(proof) = wanted.get(file).and_then(find) {
            let copy = CopiedFrame {
                frame_ref: FrameRef { file: FileId(*file), number },
                time: frame.time,
                link: interface.link,
                interface: index,
                wire_len: frame.wire_len,
                proof,
                saved_as: frame
                    .comments
                    .iter()
                    .rev()
                    .nth(1)
                    .filter(|comment| is_saved_as(comment))
                    .map(|comment| comment.as_str().into()),
                block: 0,
                bytes: 0..0,
            };
            copied.add(copy, &frame.bytes);
        }
    }
    let missing = (selected.places().len() as u64).saturating_sub(copied.proofs());
    if missing > 0 {
        let prove = verb(missing, "proves", "prove");
        let missing = count(missing, "frame");
        warnings.push(format!(
            "evidence.pcapng lacks {missing} that {prove} findings: the earlier evidence does not hold them; analyze the captures \
             for them"
        ));
    }
    let describe = |frame: &CopiedFrame| {
        let interface = interfaces.get(usize::from(frame.interface));
        interface.map_or((0, String::new()), |interface| (interface.snap_len, interface.name.clone()))
    };
    Ok(EvidenceCapture::new(copied, describe, (Vec::new(), warnings)))
}

/// Whether a comment tells where a live run saved the frame.
fn is_saved_as(comment: &str) -> bool {
    let place = comment.strip_prefix("saved as frame ").and_then(|place| place.split_once(" of "));
    place.is_some_and(|(number, _)| number.parse::<u64>().is_ok())
}

/// Interfaces and frames of an earlier file; none if no finding of that run had frames.
fn read_earlier(path: &Path) -> anyhow::Result<Option<(Vec<AnnotatedInterface>, Vec<AnnotatedFrame>)>> {
    let failed = |what: &str| anyhow::anyhow!("cannot read evidence: {}: {what}", path.display());
    match std::fs::read(path) {
        Ok(bytes) => {
            capture::read_annotated(&bytes).map(Some).ok_or_else(|| failed("not as this program writes it"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&reason(&error))),
    }
}

/// The number of a frame to copy, and what it proves, as its index in the [`ProvingFrames`]; none if it is context.
type WantedFrame = (u64, Option<u32>);

/// The frames to copy by input, in order.
type Wanted = BTreeMap<u32, Vec<WantedFrame>>;

fn with_context(selected: &ProvingFrames, context: u64) -> Wanted {
    let mut wanted = Wanted::new();
    for (proof, (file, number)) in (0..).zip(selected.places()) {
        let near = number.saturating_sub(context).max(1)..=number.saturating_add(context);
        wanted.entry(file).or_default().extend(near.map(|near| (near, (near == number).then_some(proof))));
    }
    for numbers in wanted.values_mut() {
        // A proof comes before the same frame as context.
        numbers.sort_unstable_by_key(|(number, proof)| (*number, proof.is_none()));
        numbers.dedup_by_key(|(number, _)| *number);
    }
    wanted
}

/// The paths of the inputs that can be read again.
fn readable_inputs(
    wanted: &Wanted,
    inputs: &[Value],
    names: &InputNames,
    warnings: &mut Vec<String>,
) -> BTreeMap<u32, PathBuf> {
    let mut readable = BTreeMap::new();
    for file in wanted.keys() {
        let path = inputs.get(*file as usize).and_then(|input| input.get("path")).and_then(Value::as_str);
        match path.map(PathBuf::from) {
            Some(path) if capture::is_readable_again(&path) => drop(readable.insert(*file, path)),
            _ => warnings.push(format!(
                "evidence.pcapng has no frames of {}: it cannot be read a second time",
                names.file(FileId(*file))
            )),
        }
    }
    readable
}

/// The inputs, to be read again for the wanted frames.
struct SecondReading<'a> {
    wanted: &'a Wanted,
    readable: &'a BTreeMap<u32, PathBuf>,
    seek_points: &'a [SeekPoints],
}

impl SecondReading<'_> {
    /// Copies the wanted frames that fit.
    fn copy(&self, plan: &CopyPlan, copied: &mut CopiedFrames, too_many: &mut u64) -> anyhow::Result<()> {
        let input = |path: &PathBuf| capture::Input::Path(path.clone());
        let mut capture = Capture::open(capture::InputPlan {
            inputs: self.readable.values().map(input).collect(),
            ..capture::InputPlan::default()
        })?;
        let by_path: HashMap<&PathBuf, u32> =
            self.readable.iter().map(|(file, path)| (path, *file)).collect();
        let files: Vec<Option<u32>> =
            capture.inputs().iter().map(|path| by_path.get(path).copied()).collect();
        // Each input's frames that are not found yet.
        let mut unread: BTreeMap<u32, &[WantedFrame]> = self
            .readable
            .keys()
            .filter_map(|file| Some((*file, self.wanted.get(file)?.as_slice())))
            .collect();
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        while !unread.is_empty() && capture.next(&mut chunk) {
            let Some(Some(file)) = files.get(chunk.file.0 as usize) else { continue };
            let Some(numbers) = unread.get_mut(file) else { continue };
            for header in &chunk.frames {
                // Numbers of an input ascend.
                while let [(number, _), later @ ..] = numbers
                    && *number < header.number
                {
                    *numbers = later;
                }
                let Some((_, proof)) = numbers.first().filter(|(number, _)| *number == header.number) else {
                    continue;
                };
                let frame = chunk.frame(header);
                let kept = frame.bytes.get(..plan.snap_len).unwrap_or(frame.bytes);
                // The fields of a block, and its comments about as long as these.
                bytes += kept.len() as u64 + 256;
                if bytes > plan.size {
                    *too_many += 1;
                    continue;
                }
                let copy = CopiedFrame {
                    frame_ref: FrameRef { file: FileId(*file), number: header.number },
                    time: header.time,
                    link: header.link,
                    interface: header.interface,
                    wire_len: header.wire_len,
                    proof: *proof,
                    saved_as: None,
                    block: 0,
                    bytes: 0..0,
                };
                copied.add(copy, kept);
            }
            let last = chunk.frames.last().map_or(0, |header| header.number);
            if numbers.last().is_none_or(|(needed, _)| *needed <= last) {
                unread.remove(file);
            } else if let Some((next, _)) = numbers.iter().find(|(number, _)| *number > last)
                && let Some(point) =
                    self.seek_points.get(*file as usize).and_then(|points| points.before(*next))
            {
                capture.skip_to(chunk.file, point);
            }
        }
        Ok(())
    }
}

impl EvidenceCapture {
    /// `describe` gives snap length and name of a frame's interface.
    fn new(
        mut copied: CopiedFrames,
        describe: impl Fn(&CopiedFrame) -> (u32, String),
        (limits, warnings): (Vec<String>, Vec<String>),
    ) -> EvidenceCapture {
        copied.sort();
        let mut interfaces: BTreeMap<InterfaceKey, CopiedInterface> = BTreeMap::new();
        for frame in &copied.frames {
            let number = interfaces.len() as u32;
            interfaces.entry(frame.interface_key()).or_insert_with(|| {
                let (snap_len, name) = describe(frame);
                CopiedInterface { number, snap_len, name }
            });
        }
        EvidenceCapture { copied, interfaces, limits, warnings }
    }

    pub(super) fn frames(&self) -> u64 {
        self.copied.frames.len() as u64
    }

    /// Writes the file: interfaces, names, frames.
    pub(super) fn write(
        &self,
        selected: &ProvingFrames,
        names: &InputNames,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut file = AnnotatedPcapng::new();
        let mut interfaces: Vec<(&InterfaceKey, &CopiedInterface)> = self.interfaces.iter().collect();
        interfaces.sort_unstable_by_key(|(_, interface)| interface.number);
        for ((_, _, link), interface) in interfaces {
            file.interface(*link, interface.snap_len, &interface.name);
        }
        file.names(selected.names.iter().map(|(address, name)| (*address, name.as_str())));
        let mut place = String::new();
        for frame in &self.copied.frames {
            let CopiedFrame { frame_ref, time, link, wire_len, proof, .. } = *frame;
            let saved_as = frame.saved_as.as_deref();
            let Some(interface) = self.interfaces.get(&frame.interface_key()) else { continue };
            let bytes = self.copied.bytes_of(frame);
            place.clear();
            // Writing into a string cannot fail.
            let _ = write!(place, "frame {} of {}", frame_ref.number, names.file(frame_ref.file));
            let proven = proof.into_iter().flat_map(|index| selected.comments(index as usize));
            let written = Frame { frame_ref, time, link, wire_len, bytes };
            file.frame(
                interface.number,
                &written,
                usize::MAX,
                proven.chain(saved_as).chain([place.as_str()]),
            );
            if file.len() >= WRITE_LEN {
                file.write_to(out)?;
            }
        }
        file.write_to(out)
    }
}
