//! Turns the result of the pipeline into the facts that the manifest and the summary print.
//!
//! In:  a [`RunResult`], and the provenance of the policy.
//! Out: [`CaptureFacts`], which the facts file keeps; [`RunFacts`]: accounting, statistics, warnings, damage, limits reached.
//! Not: how they are printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::silent_servers;
use crate::base::FileId;
use crate::base::Time;
use crate::base::TimeWindow;
use crate::base::WireText;
use crate::capture;
use crate::capture::InputFacts;
use crate::capture::InputOutcome;
use crate::judge::JudgeResult;
use crate::pipeline;
use crate::pipeline::FrameTotals;
use crate::pipeline::RunResult;
use crate::report::Accounting;
use crate::report::InputNames;
use crate::report::PointFact;
use crate::report::PointFacts;
use crate::report::RunFacts;
use crate::report::WindowFacts;
use crate::report::count;
use crate::report::verb;

/// What a run saw of its inputs, whatever it compared them with. The facts file ends with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct CaptureFacts {
    pub(super) first_seen: Option<Time>,
    pub(super) last_seen: Option<Time>,
    pub(super) accounting: Accounting,
    /// Why not all of the input was read.
    pub(super) partial: Option<String>,
    /// So many packets were dropped that a missing reply proves nothing.
    pub(super) has_heavy_loss: bool,
    pub(super) inputs: Vec<serde_json::Value>,
    pub(super) further_captures: u64,
    /// The capture points, without the flows that are joined.
    pub(super) points: Option<PointFacts>,
    /// The part of the inputs that is reported, without the flows that had not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<WindowFacts>,
    pub(super) damage: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) limits_reached: Vec<String>,
    pub(super) statistics: BTreeMap<String, u64>,
    pub(super) not_done: Vec<String>,
    /// Frames in evidence.pcapng before and after each frame that proves a finding.
    pub(super) evidence_context: u64,
}

impl CaptureFacts {
    /// The part of a result over `paths` that is not judgement.
    pub(super) fn new(result: &RunResult, paths: &[PathBuf], hash: capture::InputHash) -> CaptureFacts {
        let RunResult { inputs, accounting: frames, flows, .. } = result;
        let mut facts = CaptureFacts {
            first_seen: result.span.map(|(first, _)| first),
            last_seen: result.span.map(|(_, last)| last),
            accounting: accounting(result),
            partial: result.stopped.then(|| "interrupted".to_owned()),
            has_heavy_loss: inputs.iter().any(InputFacts::has_heavy_loss),
            further_captures: inputs.iter().map(|input| input.further_captures).sum(),
            statistics: statistics(result),
            ..CaptureFacts::default()
        };
        let fragments = &frames.fragment_counts;
        facts.warnings.extend(warning(fragments.differing, |n| {
            let others = verb(n, "overlaps another", "overlap others");
            format!("{} {others} with different data; the first copy was used", count(n, "IP fragment"))
        }));
        facts.warnings.extend(warning(fragments.overlapping, |n| {
            let others = verb(n, "overlaps another", "overlap others");
            format!("{} {others} with the same data", count(n, "IP fragment"))
        }));
        facts.warnings.extend(warning(fragments.timed_out + fragments.unfinished, |n| {
            format!("{} could not be reassembled", count(n, "fragmented datagram"))
        }));
        facts.warnings.extend(warning(frames.aggregated, |n| {
            let was = verb(n, "was", "were");
            format!(
                "{} after the first of an aggregated 802.11 frame (A-MSDU) {was} not read",
                count(n, "packet")
            )
        }));
        facts.limits_reached.extend(warning(flows.evicted, |n| {
            format!("{} closed early because the flow table was full", count(n, "flow"))
        }));
        facts.limits_reached.extend(warning(flows.reassembly_stopped, |n| {
            format!("stream reassembly stopped for {} to save memory", count(n, "flow"))
        }));
        facts.limits_reached.extend(warning(flows.capped_streams, |n| {
            format!("{} abandoned: too many bytes out of order", count(n, "stream"))
        }));
        facts.limits_reached.extend(warning(fragments.evicted + fragments.refused, |n| {
            format!("{} dropped because the reassembly buffer was full", count(n, "IP fragment"))
        }));
        for (input, path) in inputs.iter().zip(paths) {
            add_input(&mut facts, input, path, hash);
        }
        facts.warnings.extend(passed_over(inputs));
        facts
    }

    /// Adds the part of the inputs that is reported, unless it is all of them.
    pub(super) fn add_window(&mut self, window: &TimeWindow, frames: &pipeline::FrameAccounting) {
        if window.is_unlimited() {
            return;
        }
        self.window = Some(WindowFacts {
            from: window.from,
            until: window.until,
            lead_in_secs: window.lead_in_nanos / 1_000_000_000,
            frames: frames.in_window,
            ..WindowFacts::default()
        });
    }

    /// Adds what the next interval of the run saw.
    pub(super) fn continue_with(&mut self, next: CaptureFacts) {
        self.first_seen = self.first_seen.or(next.first_seen);
        self.last_seen = next.last_seen.or(self.last_seen);
        self.accounting.add(&next.accounting);
        self.partial = next.partial.or(self.partial.take());
        self.has_heavy_loss |= next.has_heavy_loss;
        self.inputs.extend(next.inputs);
        self.further_captures += next.further_captures;
        for (name, number) in next.statistics {
            *self.statistics.entry(name).or_default() += number;
        }
        let lists = [
            (&mut self.damage, next.damage),
            (&mut self.warnings, next.warnings),
            (&mut self.limits_reached, next.limits_reached),
            (&mut self.not_done, next.not_done),
        ];
        for (list, more) in lists {
            let new: Vec<String> = more.into_iter().filter(|line| !list.contains(line)).collect();
            list.extend(new);
        }
    }

    /// Times of the earliest and the latest frame.
    pub(super) fn span(&self) -> Option<(Time, Time)> {
        self.first_seen.zip(self.last_seen)
    }
}

/// Adds the capture and the judgement to what is known of the policy.
pub(super) fn complete(policy: RunFacts, capture: CaptureFacts, judgement: JudgeResult) -> RunFacts {
    let mut facts = policy;
    facts.site_warnings.extend(judgement.site_hints);
    facts.site_warnings.extend(silent_servers::absent_hosts_sentence(&judgement.absent_hosts));
    facts.warnings.extend(judgement.gaps);
    facts.warnings.extend(capture.warnings);
    let window = capture.window.map(|window| WindowFacts {
        unfinished: judgement.unfinished.count,
        unfinished_flows: judgement.unfinished.first,
        ..window
    });
    facts.warnings.extend(window.iter().flat_map(|window| window.warnings(&capture.accounting)));
    facts.limits_reached = judgement.bounds;
    facts.limits_reached.extend(capture.limits_reached);
    // What further capture points show has no rows.
    let joined = judgement.joined;
    let (mut accounting, mut statistics) = (capture.accounting, capture.statistics);
    accounting.flows = accounting.flows.saturating_sub(joined.flows);
    for (name, number) in [("flow.packets", joined.packets), ("flow.payload-bytes", joined.payload_bytes)] {
        if let Some(all) = statistics.get_mut(name) {
            *all = all.saturating_sub(number);
        }
    }
    RunFacts {
        inputs: capture.inputs,
        further_captures: capture.further_captures,
        points: capture.points.map(|points| PointFacts {
            joined_flows: joined.flows,
            joined_packets: joined.packets,
            joined_payload_bytes: joined.payload_bytes,
            ..points
        }),
        window,
        damage: capture.damage,
        first_seen: capture.first_seen,
        last_seen: capture.last_seen,
        accounting,
        tally: judgement.tally,
        findings: judgement.findings,
        requirements: judgement.requirements,
        statistics,
        partial: capture.partial,
        not_done: capture.not_done,
        ..facts
    }
}

/// The capture points, where there are several. Which flows they have in common is judged later.
pub(super) fn points(surveyed: &pipeline::SurveyedPoints, names: &InputNames) -> Option<PointFacts> {
    let pipeline::SurveyedPoints { points, common_packets } = surveyed;
    let inputs_of = |point: usize| {
        let files = names.files.iter().zip(0..);
        let here = files.filter(|(_, file)| usize::from(points.of(FileId(*file))) == point);
        here.map(|(name, _)| name.clone()).collect()
    };
    let points_with_packets = points.iter().zip(common_packets).enumerate();
    points.are_several().then(|| PointFacts {
        joined_flows: 0,
        joined_packets: 0,
        joined_payload_bytes: 0,
        points: points_with_packets
            .map(|(at, (point, common_packets))| PointFact {
                name: point.name.to_string(),
                inputs: inputs_of(at),
                clock_ahead_nanos: point.clock_offset,
                common_packets: *common_packets,
            })
            .collect(),
    })
}

/// Which files of folders and archives were passed over, and why.
fn passed_over(inputs: &[InputFacts]) -> Option<String> {
    const NAMED: usize = 3;
    // What may hold a capture has a way to get at it.
    const HOLDS_NONE: &[&str] = &["not a capture", "not a known capture format", "empty", "without files"];
    let mut reasons: Vec<(bool, String)> = inputs
        .iter()
        .filter_map(|input| match &input.outcome {
            InputOutcome::Skipped(why) => Some((why, input)),
            _ => None,
        })
        .map(|(why, input)| {
            let holds_none = HOLDS_NONE.iter().any(|end| why.ends_with(end));
            (holds_none, format!("{} ({why})", input.name))
        })
        .collect();
    reasons.sort_by_key(|(holds_none, _)| *holds_none);
    let skipped: Vec<String> = reasons.into_iter().map(|(_, reason)| reason).collect();
    let more = skipped.len().saturating_sub(NAMED);
    let mut named = skipped.get(..NAMED).unwrap_or(&skipped).join(", ");
    if more > 0 {
        named.push_str(&format!(", and {more} more"));
    }
    warning(skipped.len() as u64, |n| format!("{} passed over: {named}", count(n, "file")))
}

/// A sentence about a number of things, if there are any.
fn warning(number: u64, sentence: impl FnOnce(u64) -> String) -> Option<String> {
    (number > 0).then(|| sentence(number))
}

fn accounting(result: &RunResult) -> Accounting {
    let RunResult { inputs, accounting: frames, flows, .. } = result;
    let sum = |number: fn(&InputFacts) -> u64| inputs.iter().map(number).sum();
    let mut accounting = Accounting {
        bytes: sum(|input| input.raw_bytes),
        frames: sum(|input| input.frames),
        filtered: sum(|input| input.filtered),
        packets: frames.packets.frames,
        duplicates: frames.duplicates.frames,
        host_drops: frames
            .host_drops
            .iter()
            .map(|(reason, totals)| (reason.to_string(), totals.frames))
            .collect(),
        fragments: frames.fragments.frames,
        not_ip: frames.not_ip.iter().map(|(number, totals)| (*number, totals.frames)).collect(),
        unknown_link: frames.unknown_link.iter().map(|(number, totals)| (*number, totals.frames)).collect(),
        unreadable: frames
            .unreadable
            .iter()
            .map(|(what, totals)| ((*what).to_owned(), totals.frames))
            .collect(),
        damaged: Default::default(),
        before_window: frames.before_window.frames,
        after_window: frames.after_window.frames,
        flows: flows.opened,
    };
    for (kinds, how) in [(&frames.truncated, "truncated"), (&frames.malformed, "malformed")] {
        accounting.damaged.extend(
            kinds.iter().map(|((layer, what), totals)| (format!("{layer}: {what} {how}"), totals.frames)),
        );
    }
    accounting
}

fn statistics(result: &RunResult) -> BTreeMap<String, u64> {
    let RunResult { accounting: frames, flows, .. } = result;
    let fragments = &frames.fragment_counts;
    let sum = |totals: &mut dyn Iterator<Item = &FrameTotals>| totals.map(|totals| totals.bytes).sum::<u64>();
    let damaged_bytes = sum(&mut frames.truncated.values().chain(frames.malformed.values()));
    let numbers = [
        ("bytes.frames", frames.read.bytes),
        ("bytes.packets", frames.packets.bytes),
        ("bytes.duplicates", frames.duplicates.bytes),
        ("bytes.host-drops", sum(&mut frames.host_drops.values())),
        ("bytes.fragments", frames.fragments.bytes),
        ("bytes.not-ip", sum(&mut frames.not_ip.values())),
        ("bytes.unknown-link", sum(&mut frames.unknown_link.values())),
        ("bytes.unreadable", sum(&mut frames.unreadable.values())),
        ("bytes.damaged", damaged_bytes),
        ("flow.packets", flows.packets),
        ("flow.icmp-attached", flows.icmp_attached),
        ("flow.late-packets", flows.late_packets),
        ("flow.host-dropped-attempts", flows.dropped_attempts),
        ("flow.payload-bytes", flows.payload_bytes),
        ("flow.peak-active", flows.peak),
        ("flow.incomplete-streams", flows.cut_streams),
        ("fragment.reassembled", fragments.joined),
        ("fragment.overlapping", fragments.overlapping),
        ("fragment.differing", fragments.differing),
        ("fragment.duplicates", fragments.duplicates),
        ("fragment.timed-out", fragments.timed_out),
        ("fragment.incomplete", fragments.unfinished),
        ("packets.aggregated-unread", frames.aggregated),
        ("packets.beyond-frame", frames.beyond_frame),
    ];
    numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn add_input(facts: &mut CaptureFacts, input: &InputFacts, path: &Path, hash: capture::InputHash) {
    let name = &input.name;
    let consequence = if input.has_heavy_loss() { ": a missing reply proves nothing here" } else { "" };
    if input.lost_buffers > 0 {
        let lost = count(input.lost_buffers, "buffer");
        let kept = crate::report::grouped(input.buffers);
        facts
            .warnings
            .push(format!("{name}: the trace session lost {lost} of events ({kept} kept){consequence}"));
    }
    let (dropped, captured) = (input.dropped_packets(), crate::report::grouped(input.frames));
    if dropped > 0 && input.format == Some("etl") {
        let lost = count(dropped, "event");
        facts
            .warnings
            .push(format!("{name}: the trace session lost {lost} ({captured} packets kept){consequence}"));
    } else if dropped > 0 {
        let dropped = count(dropped, "dropped packet");
        facts
            .warnings
            .push(format!("{name}: the capture device reports {dropped} ({captured} captured){consequence}"));
    }
    if input.translated_packets > 0 {
        facts.warnings.push(format!(
            "{name}: this host translates addresses: {} also logged with other ones ({}); their flows have the same traffic",
            count(input.translated_packets, "packet"),
            some_of(&input.translations),
        ));
    }
    if input.cut_frames > 0 {
        facts.warnings.push(format!(
            "{name}: {} of {} cut to {} bytes (snap length): names, certificates and DNS answers after that are not in the capture, \
             and what is missing is not an error of the traffic; capture whole frames: `-s 0` (tcpdump, dumpcap, afs-audit live), \
             `--pkt-size 0` (pktmon)",
            crate::report::grouped(input.cut_frames),
            count(input.frames, "frame"),
            crate::report::grouped(u64::from(input.cut_len)),
        ));
    }
    facts.damage.extend(input.damage.iter().map(|damage| format!("{name}: {}", damage.message)));
    let more = input.damage_count.saturating_sub(input.damage.len() as u64);
    if more > 0 {
        facts.damage.push(format!("{name}: {} not listed", count(more, "more damaged place")));
    }
    if let InputOutcome::Refused(why) = &input.outcome {
        facts.damage.push(format!("{name}: {why}"));
        facts.not_done.push(format!("cannot read capture: {name}: {why}"));
    }
    facts.inputs.push(input_json(input, path, hash));
}

/// The first of some texts, and how many there are beyond.
pub(super) fn some_of(texts: &[String]) -> String {
    const SHOWN: usize = 3;
    let first = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}

/// An input as the manifest prints it.
fn input_json(input: &InputFacts, path: &Path, hash: capture::InputHash) -> serde_json::Value {
    let (outcome, why) = match &input.outcome {
        InputOutcome::NotReached => ("not reached", None),
        InputOutcome::Read => ("read", None),
        InputOutcome::Refused(why) => ("unreadable", Some(why)),
        InputOutcome::Skipped(why) => ("skipped", Some(why)),
    };
    let metadata = |texts: &[(&'static str, WireText)]| -> serde_json::Map<String, serde_json::Value> {
        texts.iter().map(|(what, text)| ((*what).to_owned(), text.as_str().into())).collect()
    };
    let interfaces: Vec<serde_json::Value> = input
        .interfaces
        .iter()
        .map(|interface| {
            json!({
                "link_type": interface.link.0,
                "link_name": capture::link_type_name(interface.link),
                "snap_len": interface.snap_len,
                "name": interface.name,
                "time_unit": interface.resolution,
                "received": interface.received,
                "dropped": interface.dropped,
                "dropped_by_system": interface.dropped_by_os,
                "metadata": metadata(&interface.metadata),
            })
        })
        .collect();
    let damage: Vec<serde_json::Value> = input
        .damage
        .iter()
        .map(|damage| {
            json!({
                "after_frame": damage.after_frame,
                "at_byte": damage.at_byte,
                "skipped_bytes": damage.skipped_bytes,
                "what": damage.message,
            })
        })
        .collect();
    let mut value = json!({
        "path": path.display().to_string(),
        "name": input.name,
        "outcome": outcome,
        "why": why,
        "format": input.format,
        "compression": input.compression,
        "bytes": input.raw_bytes,
        "complete": input.complete,
        "decoded_bytes": input.decoded_bytes,
        "overhead_bytes": input.overhead_bytes,
        "frame_bytes": input.frame_bytes,
        "skipped_bytes": input.skipped_bytes,
        "frames": input.frames,
        "filtered": input.filtered,
        "cut_frames": input.cut_frames,
        "first_seen": input.first,
        "last_seen": input.last,
        "earliest": input.earliest,
        "latest": input.latest,
        "frames_earlier_than_previous": input.time_reversals,
        "clamped_times": input.clamped_times,
        "frames_without_time": input.frames_without_time,
        "reported_drops": input.reported_drops,
        "lost_buffers": input.lost_buffers,
        "translated_packets": input.translated_packets,
        "translations": input.translations,
        "skipped_blocks": input.skipped_blocks,
        "interfaces": interfaces,
        "metadata": metadata(&input.metadata),
        "damage": damage,
        "damage_count": input.damage_count,
        "further_captures": input.further_captures,
        "notes": input.notes,
    });
    if let (Some(key), Some(object)) = (hash.name(), value.as_object_mut()) {
        object.insert(key.to_owned(), input.hash.clone().into());
    }
    value
}
