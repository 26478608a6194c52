//! Runs `live` and `interfaces`.
//!
//! Everything that needs rights is opened first; then the rights are given up; then threads begin.

use std::collections::BTreeMap;
use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use anstream::ColorChoice;
use anyhow::Context as _;
use anyhow::bail;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use super::Outcome;
use super::args;
use super::args::Format;
use super::dashboard::View;
use super::dashboard::show;
use super::messages;
use super::metrics;
use super::metrics::Totals;
use super::plan::LivePlan;
use super::plan::Speech;
use super::privileges;
use super::run::arguments;
use super::run::now;
use super::run::time;
use super::run::width;
use super::seam;
use super::seam::Loaded;
use crate::base::Time;
use crate::base::WireText;
use crate::capture;
use crate::capture::CaptureStats;
use crate::capture::Devices;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::Severity;
use crate::pipeline;
use crate::report::Csv;
use crate::report::Detail;
use crate::report::Folder;
use crate::report::JsonLines;
use crate::report::Landed;
use crate::report::Manifest;
use crate::report::Names;
use crate::report::Out;
use crate::report::Overwrite;
use crate::report::Run;
use crate::report::RunFacts;
use crate::report::Sink;
use crate::report::Stream;
use crate::report::Summary;
use crate::report::UNFINISHED;
use crate::report::Unwritable;
use crate::report::set_aside;

/// Captures until it is stopped.
pub(super) fn live(plan: &LivePlan, color: ColorChoice) -> anyhow::Result<Outcome> {
    let common = &plan.common;
    let stop = seam::stop_on_signals()?;
    let rotate = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&rotate))
        .context("cannot watch for signals")?;
    let loaded = seam::load(common)?;
    let devices = Devices::open(capture_plan(plan))?;
    let gauges = devices.gauges();
    let consumer = plan
        .metrics
        .map(|address| {
            TcpListener::bind(address).map_err(|error| {
                anyhow::anyhow!("cannot serve metrics: {address}: {}", crate::report::reason(&error))
            })
        })
        .transpose()?;
    give_rights_up(plan)?;
    if plan.common.speech != Speech::Quiet {
        say_what_to_know(plan, consumer.as_ref());
    }

    // From here on with the rights that are left: what cannot be written is said now.
    let saver = plan.write.as_ref().map(|path| save(plan, path, &devices, &gauges, &stop)).transpose()?;
    let sink = Clerk::open(plan, color, Arc::clone(&gauges), loaded.clone(), Arc::clone(&stop))?;
    if let Some(consumer) = consumer {
        metrics::serve(consumer, gauges, Arc::clone(&sink.totals)).context("cannot serve metrics")?;
    }
    let line = loaded.line(common);
    let source = devices.start(Arc::clone(&stop), rotate, saver).context("cannot start a thread")?;
    // The source ends by itself when it is told to, with all that is under way; nothing here cuts it short.
    let never = AtomicBool::new(false);
    let (facts, sink) = pipeline::run_live(
        source,
        line,
        sink,
        pipeline::RunControl { progress: &mut Unwatched, stop: &never },
    );
    sink.finish(facts)
}

fn capture_plan(plan: &LivePlan) -> capture::LiveCapturePlan {
    let common = &plan.common;
    capture::LiveCapturePlan {
        interfaces: common.files.iter().map(|name| name.display().to_string()).collect(),
        filter: common.filter.clone(),
        snap_len: plan.snaplen,
        buffer_mib: plan.buffer,
        frame_limit: common.count.map(|count| count.get()),
        duration: plan.duration,
        every: plan.every,
    }
}

fn give_rights_up(plan: &LivePlan) -> anyhow::Result<()> {
    let user = privileges::user(plan.user.as_deref())?;
    let mut writable = Vec::new();
    if let Some(folder) = &plan.common.output {
        privileges::own_folder(folder, user.as_ref())?;
        writable.push(folder.clone());
    }
    if let Some(file) = plan.write.as_ref().filter(|file| *file != Path::new("-")) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        writable.push(folder.unwrap_or(Path::new(".")).to_owned());
    }
    let given = privileges::give_up(user.as_ref(), &writable)?;
    if plan.require_sandbox && !given.missing.is_empty() {
        bail!("rights could not be given up, and --require-sandbox is set: {}", given.missing.join("; "));
    }
    if plan.common.speech != Speech::Quiet {
        show(&format!("rights given up: {}\n", given.done.join(", ")));
        for missing in &given.missing {
            show(&format!("rights kept: {missing}\n"));
        }
    }
    Ok(())
}

fn save(
    plan: &LivePlan,
    path: &Path,
    devices: &Devices,
    gauges: &Arc<CaptureStats>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<capture::FrameSaver> {
    let save = capture::SavePlan {
        path: path.to_owned(),
        rotate_bytes: plan.rotate_size,
        rotate_after: plan.rotate_time,
        stop: Arc::clone(stop),
    };
    capture::FrameSaver::start(save, devices.interfaces(), Arc::clone(gauges)).map_err(|error| {
        let reason = crate::report::reason(&error);
        anyhow::anyhow!("cannot write frames: {}: {reason}{}", path.display(), advice(&reason))
    })
}

/// What is better known before a run of days than after it.
fn say_what_to_know(plan: &LivePlan, consumer: Option<&TcpListener>) {
    if let Some(address) = consumer.and_then(|consumer| consumer.local_addr().ok()) {
        let who = if address.ip().is_loopback() { "" } else { ", to whoever can reach that address" };
        show(&format!("metrics at http://{address}/metrics{who}\n"));
    }
    let is_short = plan.duration.is_some_and(|duration| duration <= LONG) || plan.common.count.is_some();
    if plan.common.output.is_some() && plan.every.is_none() && !is_short {
        show(
            "evidence is complete when the run ends: a crash or a full disk would lose all of it, \
             with --every 1h only the last hour\n",
        );
    }
}

/// Evidence of so much time is not easily had again.
const LONG: Duration = Duration::from_secs(3600);

/// What to do where the user, who may be the one whom root became, may not write.
fn advice(reason: &str) -> &'static str {
    if reason == "permission denied" {
        "; choose a folder that this user may write to, or another user with --user"
    } else {
        ""
    }
}

struct Unwatched;

impl pipeline::ProgressObserver for Unwatched {
    fn progress(&mut self, _: u64, _: u64) {}
}

/// A finding on one line.
pub(super) fn line(row: &FindingRow) -> String {
    let frame = row.frames.first().map(|frame| format!("; frame {}", frame.number)).unwrap_or_default();
    format!("{} {:<6} {} {}{frame}", row.first_seen, row.severity.as_str(), row.code, row.sentence)
}

/// Evidence of an interval on its way to the disk.
struct Landing {
    thread: JoinHandle<Result<Landed, Unwritable>>,
    since: Time,
}

/// Writes rows, shows the run, and turns evidence over.
struct Clerk {
    plan: LivePlan,
    color: ColorChoice,
    sink: Sink,
    view: View,
    gauges: Arc<CaptureStats>,
    totals: metrics::Shared,
    /// Totals at the last turn: judge counts anew at each.
    base: Totals,
    loaded: Loaded,
    stop: Arc<AtomicBool>,
    /// Standard output is a pipe.
    is_piped: bool,
    /// The frames go to standard output.
    is_taken: bool,
    /// Who read standard output has seen enough.
    is_closed: bool,
    started: Time,
    /// The interfaces' counts at the last turn.
    counted: BTreeMap<String, u64>,
    /// Evidence that is on its way to the disk.
    landing: Option<Landing>,
    /// The evidence of this interval cannot be kept; said once.
    lost: Option<String>,
    /// Some interval's evidence was lost.
    any_lost: bool,
    gravest: Option<Severity>,
    turns: u32,
    landed: Option<Landed>,
}

impl Clerk {
    fn open(
        plan: &LivePlan,
        color: ColorChoice,
        gauges: Arc<CaptureStats>,
        loaded: Loaded,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Clerk> {
        let stdout = || Box::new(io::stdout()) as Out;
        let stream = match plan.common.format {
            Format::Table => Stream::None,
            Format::Csv => Stream::Csv(Box::new(Csv::new(stdout())?)),
            Format::Jsonl => Stream::Json(JsonLines::new(stdout())),
        };
        let interfaces: Vec<String> =
            gauges.ports.iter().map(|gauge| WireText::new(gauge.name.as_bytes(), 64).to_string()).collect();
        let names = Names { files: vec![interfaces.join("+")] };
        let view = match plan.common.speech {
            Speech::Quiet => View::none(),
            _ if plan.common.format == Format::Table => View::watched(gauges.ports.len())?,
            _ => View::none(),
        };
        let mut sink = Clerk {
            plan: plan.clone(),
            color,
            sink: Sink::new(names.clone(), None, Stream::None),
            view,
            gauges,
            totals: metrics::Shared::default(),
            base: Totals::default(),
            loaded,
            stop,
            is_piped: is_piped(),
            is_taken: plan.write.as_deref() == Some(Path::new("-")),
            is_closed: false,
            started: now(),
            counted: BTreeMap::new(),
            landing: None,
            lost: None,
            any_lost: false,
            gravest: None,
            turns: 0,
            landed: None,
        };
        sink.leftovers();
        let folder = sink.folder().map_err(|error| anyhow::anyhow!("{error}{}", advice(&error.reason)))?;
        sink.sink = Sink::new(names, folder, stream);
        Ok(sink)
    }

    /// Says which evidence a run before this one could not finish. Its rows may be all that is left of days.
    fn leftovers(&self) {
        let Some(folder) = &self.plan.common.output else { return };
        let stage = std::fs::metadata(folder.join(UNFINISHED)).and_then(|about| about.modified());
        if let Ok(begun) = stage.map(time) {
            let name = free(folder, &begun.to_string());
            let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Where it cannot be moved, the folder cannot be written either: that is said next.
            let _ = set_aside(folder, &name);
        }
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(UNFINISHED) && self.plan.common.speech != Speech::Quiet {
                let path = entry.path();
                show(&format!("a run before this one did not finish its evidence: {}\n", path.display()));
            }
        }
    }

    /// The folder of the interval that begins now.
    fn folder(&self) -> Result<Option<Folder>, Unwritable> {
        let Some(output) = &self.plan.common.output else { return Ok(None) };
        let path = if self.plan.every.is_none() && self.turns == 0 {
            output.clone()
        } else {
            free(output, &self.started.to_string())
        };
        let overwrite = if path == *output { self.plan.common.overwrite } else { Overwrite::Ours };
        Folder::open(&path, overwrite).map(Some)
    }

    fn wrote(&mut self, written: Result<(), Unwritable>) {
        if let Err(error) = written {
            self.lose(&error);
        }
        if self.sink.is_stream_closed() {
            self.end_unread();
        }
    }

    /// Nobody reads what is told: the run ends, with all its evidence.
    fn end_unread(&mut self) {
        self.is_closed = true;
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The evidence of this interval is lost; the audit goes on if there is another.
    fn lose(&mut self, error: &Unwritable) {
        self.any_lost = true;
        if self.lost.is_some() {
            return;
        }
        let folder = self.sink.exchange_folder(None);
        self.lost = Some(error.to_string());
        self.lock(|totals| totals.evidence[1] += 1);
        if self.plan.every.is_some() {
            // What it takes up makes room for the next.
            drop(folder);
            self.view.say(&format!(
                "{error}; the evidence since {} is lost, trying again with the next",
                self.started
            ));
        } else {
            let rows = folder.map(|folder| format!("; rows until now are in {}", folder.leave().display()));
            self.view.say(&format!(
                "{error}; the run ends without evidence (with --every only an interval would be lost){}",
                rows.unwrap_or_default()
            ));
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the manifest says of an interval.
    fn facts(&self, seen: pipeline::RunResult) -> RunFacts {
        let losses: Vec<String> = seen
            .inputs
            .iter()
            .filter(|input| input.lost > 0)
            .map(|input| {
                format!("{}: {} frames were lost; silence proves nothing around them", input.name, input.lost)
            })
            .collect();
        let paths: Vec<PathBuf> = self.sink.names().files.iter().map(PathBuf::from).collect();
        let known = self.loaded.facts(&self.plan.common, seen.span);
        let mut facts = seam::facts(seen, known, &paths, false, args::Hash::None);
        facts.damage.extend(losses);
        for (name, count) in self.counts() {
            let before = self.counted.get(&name).copied().unwrap_or_default();
            facts.statistics.insert(name, count.saturating_sub(before));
        }
        facts
    }

    /// What the interfaces have counted since the beginning.
    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for gauge in &self.gauges.ports {
            for (what, counter) in [
                ("received", &gauge.received),
                ("dropped-by-kernel", &gauge.kernel_drops),
                ("dropped-by-interface", &gauge.interface_drops),
                ("dropped-by-us", &gauge.our_drops),
            ] {
                counts.insert(format!("live.{}.{what}", gauge.name), counter.load(Ordering::Relaxed));
            }
        }
        counts.insert("live.unsaved".to_owned(), self.gauges.unsaved());
        counts
    }

    /// Gives the folder of an interval its last rows, and takes it out.
    fn close(&mut self, facts: &RunFacts, next: Option<Folder>) -> Option<Folder> {
        self.gravest = self.gravest.max(facts.findings.iter().map(|row| row.severity).max());
        for finding in &facts.findings {
            let written = self.sink.keep_finding(finding);
            self.wrote(written);
        }
        for requirement in &facts.needs {
            let written = self.sink.requirement(requirement);
            self.wrote(written);
        }
        self.sink.exchange_folder(next)
    }

    /// Finishes a folder: what it has been given reaches the disk, then it gets its name.
    fn land(&self, folder: Folder, facts: &RunFacts) -> Result<Landed, Unwritable> {
        let run = Run { arguments: arguments(), started: self.started, ended: now() };
        folder.finish(|outputs| Manifest::new(facts, &run, outputs).to_json())
    }

    /// Takes note of a folder that has been finished beside the run; waits for it where that is wanted.
    fn settle(&mut self, is_waiting: bool) {
        let Some(Landing { thread, since }) =
            self.landing.take_if(|landing| is_waiting || landing.thread.is_finished())
        else {
            return;
        };
        match thread.join() {
            Ok(Ok(landed)) => {
                self.lock(|totals| totals.evidence[0] += 1);
                if self.plan.common.speech != Speech::Quiet {
                    self.view.say(&format!("evidence written: {}", landed.folder.display()));
                }
            }
            Ok(Err(error)) => self.lose_earlier(&error, since),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The evidence of the interval before this one is lost.
    fn lose_earlier(&mut self, error: &Unwritable, since: Time) {
        self.any_lost = true;
        self.lock(|totals| totals.evidence[1] += 1);
        self.view.say(&format!("{error}; the evidence since {since} is lost"));
    }

    fn say_what_was_said(&mut self) {
        for line in Arc::clone(&self.gauges).said() {
            self.view.say(&line);
        }
    }

    /// The end of the run.
    fn finish(mut self, facts: pipeline::RunResult) -> anyhow::Result<Outcome> {
        let facts = self.facts(facts);
        self.settle(true);
        if let Some(folder) = self.close(&facts, None) {
            match self.land(folder, &facts) {
                Ok(landed) => self.landed = Some(landed),
                Err(error) => self.lose(&error),
            }
        }
        let flushed = self.sink.flush();
        self.wrote(flushed);
        self.view.clear();
        self.say_what_was_said();
        let closed = self.is_closed;
        if self.plan.common.speech != Speech::Quiet && !closed {
            let detail =
                if self.plan.common.speech == Speech::Verbose { Detail::Full } else { Detail::Screen };
            let names = self.sink.names();
            let summary = Summary { facts: &facts, names, landed: self.landed.as_ref(), detail, width: 100 };
            // In a pipe standard output has a line for each finding, and nothing else.
            if self.plan.common.format == Format::Table && io::stdout().is_terminal() {
                Summary { width: width(true), ..summary }.write(&mut messages::stdout(self.color))?;
            } else {
                let width = width(io::stderr().is_terminal());
                // The evidence is complete, whether somebody hears of it or not.
                let _ = Summary { width, ..summary }.write(&mut messages::stderr(self.color));
            }
        }
        if self.any_lost {
            bail!(
                "{}",
                self.lost.unwrap_or_else(|| "the evidence of an earlier interval was lost".to_owned())
            );
        }
        let failed = |least| self.gravest.is_some_and(|severity| severity >= least);
        let findings = self.plan.common.fail_on.least().is_some_and(failed);
        Ok(if findings && !(closed && self.plan.common.output.is_none()) {
            Outcome::Findings
        } else {
            Outcome::NothingToReport
        })
    }
}

/// Whether standard output is a pipe.
fn is_piped() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileTypeExt as _;
    let file = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|about| about.file_type().is_fifo())
}

/// Whether the other end of the pipe was closed: that is seen here also when nothing is written for long.
fn is_unread() -> bool {
    use std::os::fd::AsFd as _;
    let out = io::stdout();
    let mut fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let asked = poll(&mut fds, PollTimeout::ZERO);
    let [out] = fds;
    asked.is_ok() && out.revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// A folder that is not there yet and that nobody has begun, named after a time.
fn free(parent: &Path, time: &str) -> PathBuf {
    // Colons are not for every file system.
    let name = format!("{}Z", time.split('.').next().unwrap_or(time).trim_end_matches('Z').replace(':', "-"));
    let is_free =
        |name: &String| !parent.join(name).exists() && !parent.join(format!("{name}{UNFINISHED}")).exists();
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let found = std::iter::once(name.clone()).chain(numbered).find(is_free);
    parent.join(found.unwrap_or(name))
}

impl pipeline::RunSink for Clerk {
    fn flow(&mut self, row: &FlowRow) {
        let written = self.sink.flow(row);
        self.wrote(written);
    }

    fn dns(&mut self, row: &DnsRow) {
        let written = self.sink.dns(row);
        self.wrote(written);
    }

    fn announce(&mut self, row: &FindingRow) {
        self.lock(|totals| *totals.findings.entry(row.code).or_default() += 1);
        self.view.finding(row);
        let written = self.sink.news(row);
        self.wrote(written);
        if self.is_taken {
            // Standard output is for the frames.
            if !self.view.is_shown() && self.plan.common.speech != Speech::Quiet {
                show(&format!("{}\n", line(row)));
            }
        } else if self.plan.common.format == Format::Table
            && !(self.view.is_shown() && io::stdout().is_terminal())
        {
            let mut out = io::stdout().lock();
            if let Err(error) = writeln!(out, "{}", line(row)).and_then(|()| out.flush())
                && error.kind() == io::ErrorKind::BrokenPipe
            {
                self.end_unread();
            }
        }
    }

    fn heartbeat(&mut self, state: &pipeline::LiveStatus) {
        let base = &self.base;
        let tally = &state.tally;
        let sum = |before: &[u64], now: &[u64], place: usize| {
            before.get(place).copied().unwrap_or_default() + now.get(place).copied().unwrap_or_default()
        };
        self.lock(|totals| {
            totals.live = state.active_flows;
            totals.opened = state.opened_flows;
            totals.evicted = state.evicted_flows;
            totals.reassembly_stopped = state.reassembly_stopped;
            totals.forgotten = state.name_evictions;
            totals.missed = base.missed + state.missed_findings;
            totals.met = state.requirements_reached;
            totals.flows = base.flows + tally.flows;
            totals.judged = base.judged + tally.judged;
            totals.dns = base.dns + tally.dns;
            totals.destinations =
                std::array::from_fn(|place| sum(&base.destinations, &tally.destinations, place));
            totals.ports = std::array::from_fn(|place| sum(&base.ports, &tally.ports, place));
            totals.outcomes = std::array::from_fn(|place| sum(&base.outcomes, &tally.outcomes, place));
        });
        let flushed = self.sink.flush();
        self.wrote(flushed);
        if self.view.is_gone() || self.is_piped && is_unread() {
            self.end_unread();
        }
        self.settle(false);
        self.say_what_was_said();
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.view.draw(&self.gauges, &totals);
    }

    fn rotate(&mut self, seen: pipeline::RunResult) {
        let facts = self.facts(seen);
        self.turns += 1;
        let began = now();
        let before = std::mem::replace(&mut self.started, began);
        let next = self.folder();
        self.started = before;
        let (next, failed) = match next {
            Ok(next) => (next, None),
            Err(error) => (None, Some(error)),
        };
        if let Some(folder) = self.close(&facts, next) {
            // The one before, where intervals are shorter than the disk is slow.
            self.settle(true);
            // A disk takes its time for an hour of rows; the rows that come meanwhile must not wait for it.
            let run = Run { arguments: arguments(), started: self.started, ended: now() };
            let finish = move || folder.finish(|outputs| Manifest::new(&facts, &run, outputs).to_json());
            let thread = thread::Builder::new().name("evidence".to_owned()).spawn(finish);
            match thread {
                Ok(thread) => self.landing = Some(Landing { thread, since: self.started }),
                Err(error) => {
                    let path = self.plan.common.output.clone().unwrap_or_default();
                    let error = Unwritable { path, reason: crate::report::reason(&error) };
                    self.lose_earlier(&error, self.started);
                }
            }
        }
        self.counted = self.counts();
        self.started = began;
        self.lost = None;
        if let Some(error) = failed {
            self.lose(&error);
        }
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.base = totals;
    }
}

/// Lists the interfaces.
pub(super) fn interfaces(format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    let listed = capture::interfaces()?;
    match format {
        Format::Jsonl => {
            for one in &listed {
                serde_json::to_writer(&mut *out, one)?;
                writeln!(out)?;
            }
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(["name", "state", "addresses", "link_types", "description"])?;
            for one in &listed {
                let links = one.link_types.as_deref().unwrap_or_default().join(";");
                let cells = [&one.name, one.state, &one.addresses.join(";"), &links, &one.description];
                csv.write_record(cells.map(|cell| cell as &str))?;
            }
            csv.flush()?;
        }
        Format::Table => {
            let wide = |text: fn(&capture::InterfaceInfo) -> usize| {
                listed.iter().map(text).max().unwrap_or_default()
            };
            let (name, state) = (wide(|one| one.name.chars().count()), wide(|one| one.state.len()));
            let links = |one: &capture::InterfaceInfo| {
                one.link_types.as_ref().map_or_else(|| "?".to_owned(), |links| links.join(","))
            };
            let link = listed.iter().map(|one| links(one).len()).max().unwrap_or_default();
            for one in &listed {
                let addresses = one.addresses.join(", ");
                let text = format!(
                    "{:<name$}  {:<state$}  {:<link$}  {addresses}  {}",
                    one.name,
                    one.state,
                    links(one),
                    one.description
                );
                writeln!(out, "{}", text.trim_end())?;
            }
            if listed.is_empty() {
                writeln!(out, "none that can be seen")?;
            }
        }
    }
    Ok(())
}
