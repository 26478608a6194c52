//! Writes `evidence.pcapng`: the frames that prove findings, with the findings as comments.
//!
//! In:  the tables of a complete run, and its inputs, which are read a second time up to the last frame that is needed; without
//!      them, the `evidence.pcapng` of an earlier run over the same inputs.
//! Out: the bytes of the file, and what did not get into it.
//! Not: which frames prove a finding; see `report`.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

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

/// The file and what did not get into it.
pub(super) struct EvidenceCapture {
    pub(super) bytes: Vec<u8>,
    pub(super) frames: u64,
    /// Sentences for the limits of the run.
    pub(super) limits: Vec<String>,
    /// Sentences for its warnings.
    pub(super) warnings: Vec<String>,
}

/// Frames that were selected.
#[derive(Default)]
struct CopiedFrames {
    frames: Vec<CopiedFrame>,
    /// The bytes of all.
    bytes: Vec<u8>,
}

/// A frame that was selected, and the index of its interface in its input.
struct CopiedFrame {
    frame_ref: FrameRef,
    time: Time,
    link: LinkType,
    interface: u16,
    wire_len: u32,
    /// Proves something, and is not only near a frame that does.
    is_proof: bool,
    /// Where its bytes are in [`CopiedFrames::bytes`].
    bytes: Range<usize>,
}

impl CopiedFrames {
    fn add(&mut self, frame: CopiedFrame, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.frames.push(CopiedFrame { bytes: start..self.bytes.len(), ..frame });
    }

    fn sort(&mut self) {
        // Stable: frames of the same time stay in the order of inputs and numbers.
        self.frames.sort_by_key(|frame| (frame.time, frame.frame_ref));
    }

    fn proofs(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.is_proof).count() as u64
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
    let mut made = EvidenceCapture { bytes: Vec::new(), frames: 0, limits: Vec::new(), warnings: Vec::new() };
    let wanted = with_context(selected, plan.context);
    let readable = readable_inputs(&wanted, inputs.described, names, &mut made.warnings);
    let mut copied = CopiedFrames::default();
    let mut too_many = selected.left_out;
    if !readable.is_empty() {
        let reading = SecondReading { wanted: &wanted, readable: &readable, seek_points: inputs.seek_points };
        reading.copy(plan, &mut copied, &mut too_many)?;
    }
    let missing = wanted
        .iter()
        .filter(|(file, _)| readable.contains_key(file))
        .map(|(_, numbers)| numbers.iter().filter(|(_, is_proof)| *is_proof).count() as u64)
        .sum::<u64>()
        .saturating_sub(copied.proofs() + too_many);
    if missing > 0 {
        let were = verb(missing, "was", "were");
        made.warnings
            .push(format!("{} {were} not found when the inputs were read again", count(missing, "frame")));
    }
    if too_many > 0 {
        let did = format!("{} did not fit into evidence.pcapng", count(too_many, "frame"));
        made.limits.push(format!("{did}; --evidence-size permits more"));
    }
    copied.sort();
    made.frames = copied.frames.len() as u64;
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
    made.bytes = write_file(selected, &copied, names, describe);
    Ok(made)
}

/// Copies the selected frames from the `evidence.pcapng` of an earlier run over the same inputs, one for each interval, with
/// `context` frames before and after each as far as that run copied them.
pub(super) fn copy_again(
    earlier: &[PathBuf],
    context: u64,
    selected: &ProvingFrames,
    names: &InputNames,
) -> anyhow::Result<EvidenceCapture> {
    let mut made = EvidenceCapture { bytes: Vec::new(), frames: 0, limits: Vec::new(), warnings: Vec::new() };
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
        let find = |numbers: &Vec<(u64, bool)>| {
            let found = numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            numbers.get(found).map(|(_, is_proof)| *is_proof)
        };
        if let Some(is_proof) = wanted.get(file).and_then(find) {
            let copy = CopiedFrame {
                frame_ref: FrameRef { file: FileId(*file), number },
                time: frame.time,
                link: interface.link,
                interface: index,
                wire_len: frame.wire_len,
                is_proof,
                bytes: 0..0,
            };
            copied.add(copy, &frame.bytes);
        }
    }
    let missing = (selected.places().len() as u64).saturating_sub(copied.proofs());
    if missing > 0 {
        let prove = verb(missing, "proves", "prove");
        let missing = count(missing, "frame");
        made.warnings.push(format!(
            "evidence.pcapng lacks {missing} that {prove} findings: the earlier evidence does not hold them; analyze the captures \
             for them"
        ));
    }
    copied.sort();
    made.frames = copied.frames.len() as u64;
    let describe = |frame: &CopiedFrame| {
        let interface = interfaces.get(usize::from(frame.interface));
        interface.map_or((0, String::new()), |interface| (interface.snap_len, interface.name.clone()))
    };
    made.bytes = write_file(selected, &copied, names, describe);
    Ok(made)
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

/// The frames to copy by input, in order: `true` if the frame proves something, `false` if it is context.
type Wanted = BTreeMap<u32, Vec<(u64, bool)>>;

fn with_context(selected: &ProvingFrames, context: u64) -> Wanted {
    let mut wanted = Wanted::new();
    for (file, number) in selected.places() {
        let near = number.saturating_sub(context).max(1)..=number.saturating_add(context);
        wanted.entry(file).or_default().extend(near.map(|near| (near, near == number)));
    }
    for numbers in wanted.values_mut() {
        // A proof comes before the same frame as context.
        numbers.sort_unstable_by_key(|(number, is_proof)| (*number, !is_proof));
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
        let mut unread: BTreeMap<u32, &[(u64, bool)]> = self
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
                let Some((_, is_proof)) = numbers.first().filter(|(number, _)| *number == header.number)
                else {
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
                    is_proof: *is_proof,
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

/// The file: interfaces, names, frames. `describe` gives snap length and name of a frame's interface.
fn write_file(
    selected: &ProvingFrames,
    copied: &CopiedFrames,
    names: &InputNames,
    describe: impl Fn(&CopiedFrame) -> (u32, String),
) -> Vec<u8> {
    let mut file = AnnotatedPcapng::new();
    let mut interfaces: BTreeMap<(FileId, u16, LinkType), u32> = BTreeMap::new();
    for frame in &copied.frames {
        let key = (frame.frame_ref.file, frame.interface, frame.link);
        interfaces.entry(key).or_insert_with(|| {
            let (snap_len, name) = describe(frame);
            file.interface(frame.link, snap_len, &name)
        });
    }
    file.names(selected.names.iter().map(|(address, name)| (*address, name.as_str())));
    let mut place = String::new();
    for frame in &copied.frames {
        let CopiedFrame { frame_ref, time, link, interface, wire_len, .. } = *frame;
        let Some(number) = interfaces.get(&(frame_ref.file, interface, link)) else { continue };
        let bytes = copied.bytes.get(frame.bytes.clone()).unwrap_or_default();
        place.clear();
        // Writing into a string cannot fail.
        let _ = write!(place, "frame {} of {}", frame_ref.number, names.file(frame_ref.file));
        let comments = selected.comments((frame_ref.file.0, frame_ref.number)).chain([place.as_str()]);
        file.frame(*number, &Frame { frame_ref, time, link, wire_len, bytes }, usize::MAX, comments);
    }
    file.into_bytes()
}
