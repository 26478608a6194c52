//! Where the command line ends and the pipeline begins: what was typed becomes plans of the stages, and what the stages
//! counted becomes the run's facts.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use anyhow::Context as _;

use super::args;
use super::plan::AnalyzePlan;
use super::plan::RulesPlan;
use super::plan::SurveyPlan;
use crate::base::Time;
use crate::capture;
use crate::capture::Capture;
use crate::capture::InputFacts;
use crate::decode;
use crate::flow;
use crate::judge;
use crate::judge::DnsRow;
use crate::judge::FlowRow;
use crate::judge::Policy;
use crate::judge::RequirementState;
use crate::judge::Scope;
use crate::judge::SiteDraft;
use crate::pipeline;
use crate::pipeline::FrameTotals;
use crate::report::Accounting;
use crate::report::Document;
use crate::report::Names;
use crate::report::Progress;
use crate::report::RunFacts;
use crate::report::Sink;
use crate::report::Source;
use crate::report::TagSource;
use crate::report::Unwritable;
use crate::report::places;
use crate::rules;
use crate::rules::Library;
use crate::rules::RuleFileError;
use crate::rules::RuleSet;
use crate::rules::Selection;
use crate::rules::Site;
use crate::rules::Tags;

/// Reads the plan's inputs, gives every record to `sink`, and says what the run was.
///
/// Before the first record it names the inputs by `FileId` (`sink.name_inputs`); it stops early, without an error, when
/// `sink.is_closed()` or when it is interrupted.
pub(super) fn analyze(plan: &AnalyzePlan, progress: &Progress, sink: &mut Sink) -> anyhow::Result<RunFacts> {
    let stop = stop_on_signals()?;
    let loaded = load(plan)?;
    let capture = Capture::open(capture::InputPlan {
        inputs: plan.files.iter().map(|file| capture::Input::named(file.clone().into_os_string())).collect(),
        except: plan.output.as_deref().map(places).unwrap_or_default(),
        filter: plan.filter.clone(),
        hash: match plan.hash {
            // Without a folder there is no manifest that would say it.
            _ if plan.output.is_none() => capture::Hash::None,
            args::Hash::Sha256 => capture::Hash::Sha256,
            args::Hash::Blake3 => capture::Hash::Blake3,
            args::Hash::None => capture::Hash::None,
        },
        frame_limit: plan.count.map(|count| count.get()),
    })?;
    let paths: Vec<PathBuf> = capture.inputs();
    sink.name_inputs(Names::of(&paths));
    if let Some(bytes) = capture.bytes_total() {
        progress.expect(bytes);
    }
    let sink = Rows { sink, failed: None, stop: &stop };
    let workers = plan.threads.get().saturating_sub(1).max(1);
    let control = pipeline::RunControl { progress: &mut Shown(progress), stop: &stop };
    let (seen, rows) = pipeline::run_files(capture, workers, loaded.line(plan), sink, control);
    if let Some(failed) = rows.failed {
        return Err(failed.into());
    }
    let sink = rows.sink;
    for finding in &seen.judgement.findings {
        sink.finding(finding)?;
    }
    for requirement in &seen.judgement.requirements {
        sink.requirement(requirement)?;
    }
    let limited = plan.count.is_some_and(|count| seen.accounting.read.frames >= count.get());
    let known = loaded.facts(plan, seen.span);
    Ok(facts(seen, known, &paths, limited, plan.hash))
}

/// A flag that the first interrupt or request to end sets; the second ends the process at once.
pub(super) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    // A run that ends for another reason has not been asked yet.
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked))
            .context("cannot watch for signals")?;
        for flag in [&asked, &stop] {
            signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot watch for signals")?;
        }
    }
    Ok(stop)
}

/// Gives rows to the sink. After the first that cannot be written the run is stopped.
struct Rows<'a> {
    sink: &'a mut Sink,
    failed: Option<Unwritable>,
    stop: &'a AtomicBool,
}

impl Rows<'_> {
    fn wrote(&mut self, written: Result<(), Unwritable>) {
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
        if self.failed.is_some() || self.sink.is_closed() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl pipeline::RunSink for Rows<'_> {
    fn flow(&mut self, row: &FlowRow) {
        let written = self.sink.flow(row);
        self.wrote(written);
    }

    fn dns(&mut self, row: &DnsRow) {
        let written = self.sink.dns(row);
        self.wrote(written);
    }
}

struct Shown<'a>(&'a Progress);

impl pipeline::ProgressObserver for Shown<'_> {
    fn progress(&mut self, bytes: u64, frames: u64) {
        self.0.reached(bytes, frames);
    }
}

/// What a run is judged on, loaded and checked.
#[derive(Clone)]
pub(super) struct Loaded {
    policy: Arc<Policy>,
    documents: Vec<Document>,
    site: Site,
    service_tags: Option<TagSource>,
}

impl Loaded {
    /// How to audit on it.
    pub(super) fn line(&self, plan: &AnalyzePlan) -> pipeline::AuditPlan {
        let mut servers = plan.servers.clone();
        servers.extend(self.site.roles.get("servers").into_iter().flatten());
        pipeline::AuditPlan {
            policy: Arc::clone(&self.policy),
            scope: Scope::of(&servers),
            fragments: decode::FragmentLimits::default(),
            flows: flow::FlowLimits {
                flows: plan.bounds.flows.get() as usize,
                held_bytes: plan.bounds.stream_bytes,
                ..flow::FlowLimits::default()
            },
            judge: judge::JudgeLimits { findings: plan.bounds.findings, name_bytes: plan.bounds.name_bytes },
        }
    }

    /// What the manifest says of it for a capture of this time.
    pub(super) fn facts(&self, plan: &AnalyzePlan, span: Option<(Time, Time)>) -> RunFacts {
        let Loaded { documents, site, service_tags, .. } = self;
        let file = || Source { path: site.file.clone(), sha256: site.sha256.to_string() };
        RunFacts {
            documents: documents.clone(),
            rules: Some(source(plan)),
            site: (!site.file.is_empty()).then(file),
            service_tags: service_tags.clone(),
            warnings: site
                .remarks
                .iter()
                .cloned()
                .chain(service_tags.iter().filter_map(|tags| tags.warning(span)))
                .collect(),
            ..RunFacts::default()
        }
    }
}

pub(super) fn load(plan: &AnalyzePlan) -> anyhow::Result<Loaded> {
    let library = library(&RulesPlan { rules: plan.rules.clone() })?;
    let mut site = match &plan.site {
        Some(path) => Site::load(path, &library).map_err(all_of)?,
        None => Site::default(),
    };
    let mut selection = site.selection();
    if !plan.documents.is_empty() {
        selection.documents = Some(plan.documents.clone());
    }
    let rules = Arc::new(library.select(&selection)?);
    let tags = site.service_tags.as_deref().map(Tags::load).transpose()?.map(Arc::new);
    if let (Some(tags), Some(cloud)) = (tags.as_deref(), site.cloud)
        && tags.cloud() != Some(cloud)
    {
        anyhow::bail!(
            "cannot use service tags: {}: they are those of the cloud `{}`, and the site is in `{cloud}`",
            tags.file,
            tags.cloud_word
        );
    }
    if let Some(tags) = tags.as_deref().filter(|tags| tags.cloud().is_none()) {
        site.remarks.push(format!(
            "service tags are those of the cloud `{}`, which no document knows: no name is held against them",
            tags.cloud_word
        ));
    }
    let documents = rules
        .documents()
        .iter()
        .map(|document| Document { id: document.id.to_string(), sha256: document.sha256.to_string() })
        .collect();
    let service_tags = tags.as_deref().map(|tags| TagSource {
        file: tags.file.to_string(),
        sha256: tags.sha256.to_string(),
        date: tags.date.to_string(),
        change_number: tags.change_number,
        cloud: tags.cloud_word.to_string(),
    });
    let policy = Arc::new(Policy::new(rules, site.clone(), tags));
    Ok(Loaded { policy, documents, site, service_tags })
}

/// Every mistake, a line each.
fn all_of(problems: Vec<RuleFileError>) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(RuleFileError::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\nafs-audit: "))
}

fn source(plan: &AnalyzePlan) -> Source {
    let path =
        plan.rules.as_ref().map_or_else(|| "built in".to_owned(), |folder| folder.display().to_string());
    Source { path, sha256: String::new() }
}

pub(super) fn facts(
    seen: pipeline::RunResult,
    known: RunFacts,
    paths: &[PathBuf],
    limited: bool,
    hash: args::Hash,
) -> RunFacts {
    let pipeline::RunResult { inputs, accounting: frames, flows, judgement, span, stopped } = seen;
    let mut accounting = Accounting {
        bytes: inputs.iter().map(|input| input.raw_bytes).sum(),
        frames: inputs.iter().map(|input| input.frames).sum(),
        filtered: inputs.iter().map(|input| input.filtered).sum(),
        packets: frames.packets.frames,
        copies: frames.duplicates.frames,
        fragments: frames.fragments.frames,
        not_ip: frames.not_ip.iter().map(|(number, line)| (*number, line.frames)).collect(),
        unknown_link: frames.unknown_link.iter().map(|(number, line)| (*number, line.frames)).collect(),
        unreadable: frames.unreadable.iter().map(|(what, line)| ((*what).to_owned(), line.frames)).collect(),
        damaged: Default::default(),
        flows: flows.opened,
    };
    for (lines, how) in [(&frames.truncated, "cut"), (&frames.malformed, "broken")] {
        accounting.damaged.extend(
            lines.iter().map(|((layer, what), line)| (format!("{layer}: {what} {how}"), line.frames)),
        );
    }
    let mut facts = RunFacts {
        first_seen: span.map(|(first, _)| first),
        last_seen: span.map(|(_, last)| last),
        accounting,
        bounds: judgement.bounds,
        warnings: known.warnings.iter().cloned().chain(judgement.gaps).collect(),
        tally: judgement.tally,
        findings: judgement.findings,
        requirements: RequirementState::ALL
            .iter()
            .map(|state| judgement.requirements.iter().filter(|row| row.state == *state).count() as u64)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_default(),
        needs: judgement.requirements,
        partial: match (stopped, limited) {
            (true, _) => Some("interrupted".to_owned()),
            (false, true) => Some("frame limit reached".to_owned()),
            (false, false) => None,
        },
        ..known
    };
    let mut statistic = |name: &str, value: u64| facts.statistics.insert(name.to_owned(), value);
    let sum = |lines: &mut dyn Iterator<Item = &FrameTotals>| lines.map(|line| line.bytes).sum::<u64>();
    statistic("bytes.frames", frames.read.bytes);
    statistic("bytes.packets", frames.packets.bytes);
    statistic("bytes.copies", frames.duplicates.bytes);
    statistic("bytes.fragments", frames.fragments.bytes);
    statistic("bytes.not-ip", sum(&mut frames.not_ip.values()));
    statistic("bytes.unknown-link", sum(&mut frames.unknown_link.values()));
    statistic("bytes.unreadable", sum(&mut frames.unreadable.values()));
    statistic("bytes.damaged", sum(&mut frames.truncated.values().chain(frames.malformed.values())));
    statistic("flow.packets", flows.packets);
    statistic("flow.icmp-attached", flows.icmp_attached);
    statistic("flow.payload-bytes", flows.payload_bytes);
    statistic("flow.peak-live", flows.peak);
    statistic("flow.cut-streams", flows.cut_streams);
    let fragments = &frames.fragment_counts;
    statistic("fragment.joined", fragments.joined);
    statistic("fragment.overlapping", fragments.overlapping);
    statistic("fragment.differing", fragments.differing);
    statistic("fragment.duplicates", fragments.duplicates);
    statistic("fragment.timed-out", fragments.timed_out);
    statistic("fragment.unfinished", fragments.unfinished);
    statistic("packets.aggregated-unread", frames.aggregated);
    statistic("packets.beyond-frame", frames.beyond_frame);
    for (count, what) in [
        (fragments.differing, "fragments say something else where they overlap: what came first counts"),
        (fragments.overlapping, "fragments cover what was there already, and say the same"),
        (
            fragments.timed_out + fragments.unfinished,
            "fragmented datagrams never came together: what they held is not known",
        ),
        (frames.aggregated, "packets came behind others in one 802.11 frame and were not read"),
    ] {
        if count > 0 {
            facts.warnings.push(format!("{count} {what}"));
        }
    }
    for (count, what) in [
        (flows.evicted, "flows were closed early to make room for others"),
        (flows.reassembly_stopped, "conversations were no longer listened to, to make room for others"),
        (flows.capped_streams, "streams were given up: more bytes out of order than are held"),
        (fragments.evicted + fragments.refused, "fragments were dropped to make room for others"),
    ] {
        if count > 0 {
            facts.bounds.push(format!("{count} {what}"));
        }
    }
    for (input, path) in inputs.iter().zip(paths) {
        if input.missing() > 0 {
            let silence = if input.has_heavy_loss() { ": silence in it means nothing" } else { "" };
            facts.warnings.push(format!(
                "{}: the sensor says that it lost {} packets besides {} frames{silence}",
                input.name,
                input.missing(),
                input.frames
            ));
        }
        facts.damage.extend(input.damage.iter().map(|damage| format!("{}: {}", input.name, damage.what)));
        let more = input.damage_count.saturating_sub(input.damage.len() as u64);
        if more > 0 {
            facts.damage.push(format!("{}: and {more} places more", input.name));
        }
        match &input.outcome {
            capture::InputOutcome::Refused(why) => facts.damage.push(format!("{}: {why}", input.name)),
            capture::InputOutcome::PassedOver(_)
            | capture::InputOutcome::Untouched
            | capture::InputOutcome::Read => {}
        }
        facts.inputs.push(input_facts(input, path, hash));
    }
    facts
}

/// An input as the manifest prints it.
fn input_facts(input: &InputFacts, path: &std::path::Path, hash: args::Hash) -> serde_json::Value {
    let (outcome, why) = match &input.outcome {
        capture::InputOutcome::Untouched => ("not reached", None),
        capture::InputOutcome::Read => ("read", None),
        capture::InputOutcome::Refused(why) => ("refused", Some(why)),
        capture::InputOutcome::PassedOver(why) => ("passed over", Some(why)),
    };
    let about =
        |about: &[(&'static str, crate::base::WireText)]| -> serde_json::Map<String, serde_json::Value> {
            about.iter().map(|(what, text)| ((*what).to_owned(), text.as_str().into())).collect()
        };
    let interfaces: Vec<serde_json::Value> = input
        .interfaces
        .iter()
        .map(|interface| {
            serde_json::json!({
                "link_type": interface.link.0,
                "link_name": capture::link_type_name(interface.link),
                "snap_len": interface.snap_len,
                "name": interface.name,
                "time_unit": interface.resolution,
                "received": interface.received,
                "dropped": interface.dropped,
                "dropped_by_system": interface.dropped_by_system,
                "about": about(&interface.about),
            })
        })
        .collect();
    let damage: Vec<serde_json::Value> = input
        .damage
        .iter()
        .map(|damage| {
            serde_json::json!({
                "after_frame": damage.after_frame,
                "at_byte": damage.at_byte,
                "skipped_bytes": damage.skipped_bytes,
                "what": damage.what,
            })
        })
        .collect();
    let mut value = serde_json::json!({
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
        "first_seen": input.first,
        "last_seen": input.last,
        "earliest": input.earliest,
        "latest": input.latest,
        "time_ran_backwards": input.backwards,
        "clamped_times": input.clamped,
        "frames_without_time": input.untimed,
        "lost_by_sensor": input.lost,
        "blocks_passed_over": input.passed_over,
        "interfaces": interfaces,
        "about": about(&input.about),
        "damage": damage,
        "damage_count": input.damage_count,
        "notes": input.notes,
    });
    let key = match hash {
        args::Hash::Sha256 => "sha256",
        args::Hash::Blake3 => "blake3",
        args::Hash::None => return value,
    };
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), input.hash.clone().into());
    }
    value
}

impl pipeline::RunSink for SiteDraft {
    fn flow(&mut self, row: &FlowRow) {
        SiteDraft::flow(self, row);
    }

    fn dns(&mut self, row: &DnsRow) {
        SiteDraft::dns(self, row);
    }
}

/// Prints a site file, filled from captures.
pub(super) fn site_init(plan: &SurveyPlan, out: &mut dyn Write) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let library = library(&RulesPlan { rules: plan.rules.clone() })?;
    let rules = Arc::new(library.select(&Selection::default())?);
    let policy = Arc::new(Policy::new(rules, Site::default(), None));
    let capture = Capture::open(capture::InputPlan {
        inputs: plan.files.iter().map(|file| capture::Input::named(file.clone().into_os_string())).collect(),
        hash: capture::Hash::None,
        ..capture::InputPlan::default()
    })?;
    let line = pipeline::AuditPlan {
        policy: Arc::clone(&policy),
        scope: Scope::default(),
        fragments: decode::FragmentLimits::default(),
        flows: flow::FlowLimits::default(),
        judge: judge::JudgeLimits::default(),
    };
    let control = pipeline::RunControl { progress: &mut Shown(&Progress::none()), stop: &stop };
    let (_, survey) = pipeline::run_files(capture, 1, line, SiteDraft::new(policy), control);
    out.write_all(survey.site_file().as_bytes())?;
    Ok(())
}

/// Lists the documents.
pub(super) fn rules_list(plan: &RulesPlan, out: &mut dyn Write) -> anyhow::Result<()> {
    Ok(rules::list(&all_rules(plan)?, out)?)
}

/// Prints a document's rules, or one rule, and says how many there were.
pub(super) fn rules_show(plan: &RulesPlan, id: &str, out: &mut dyn Write) -> anyhow::Result<usize> {
    Ok(rules::show(&all_rules(plan)?, id, out)?)
}

/// Prints every mistake in the rules, with file and line, and says how many there were.
pub(super) fn rules_check(plan: &RulesPlan, out: &mut dyn Write) -> anyhow::Result<usize> {
    Ok(rules::check(plan.rules.as_deref(), out)?)
}

/// Prints what changed from one document to another.
pub(super) fn rules_diff(
    plan: &RulesPlan,
    old: &str,
    new: &str,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    Ok(rules::diff(&library(plan)?, old, new, out)?)
}

fn library(plan: &RulesPlan) -> anyhow::Result<Library> {
    Ok(match &plan.rules {
        Some(folder) => Library::from_dir(folder)?,
        None => Library::embedded()?,
    })
}

/// Every document, also those that newer ones replace.
fn all_rules(plan: &RulesPlan) -> anyhow::Result<RuleSet> {
    let library = library(plan)?;
    let documents = library.documents().map(|document| document.id.to_string()).collect();
    library
        .select(&Selection { documents: Some(documents), ..Selection::default() })
        .context("cannot choose rules")
}
