//! Runs `live`.
//!
//! Whatever needs privileges is opened first. Then privileges are dropped. Only then are threads started, so that all of them
//! are sandboxed.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anstream::ColorChoice;
use anyhow::Context as _;
use anyhow::bail;

use super::ExitOutcome;
use super::dashboard::print_message;
use super::live_reporter::LiveReporter;
use super::loaded_policy::LoadedPolicy;
use super::metrics;
use super::plan::LivePlan;
use super::plan::Verbosity;
use super::privileges;
use super::process;
use crate::capture;
use crate::capture::CaptureStats;
use crate::capture::Devices;
use crate::pipeline;
use crate::report::Progress;
use crate::report::create_folder_for;
use crate::report::reason;

/// A run that is longer is warned about evidence that only its end completes.
const LONG_RUN: Duration = Duration::from_secs(3600);

/// Captures until it is stopped.
pub(super) fn run(plan: &LivePlan, color: ColorChoice) -> anyhow::Result<ExitOutcome> {
    let stop = process::stop_on_signals()?;
    let rotate = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&rotate))
        .context("cannot watch for signals")?;
    let policy = LoadedPolicy::load(&plan.policy)?;
    let devices = Devices::open(capture_plan(plan))?;
    let stats = devices.stats();
    let metrics_listener = plan.metrics.map(listen_for_metrics).transpose()?;
    let user = drop_privileges(plan)?;
    if plan.output.verbosity != Verbosity::Quiet {
        print_notices(plan, metrics_listener.as_ref());
    }

    // From here on with the remaining privileges: an output that they do not permit is an error before the capture starts.
    let saver = plan
        .write
        .as_ref()
        .map(|path| start_saver(plan, path, &devices, &stats, &stop))
        .transpose()
        .map_err(|error| privileges::with_advice(error, &user))?;
    let audit = policy.audit_plan(&plan.limits);
    let mut reporter = LiveReporter::open(plan, color, Arc::clone(&stats), policy, Arc::clone(&stop))
        .map_err(|error| privileges::with_advice(error, &user))?;
    if let Some(saved) = saver.as_ref().and_then(capture::FrameSaver::saved_frames) {
        reporter.copy_frames(saved, devices.interfaces());
    }
    if let Some(listener) = metrics_listener {
        metrics::serve(listener, stats, reporter.totals()).context("cannot serve metrics")?;
    }
    let source = devices.start(Arc::clone(&stop), rotate, saver).context("cannot start a thread")?;
    // `stop` ends the source, which then delivers the frames that it still holds. The pipeline must not end before that.
    let never = AtomicBool::new(false);
    let control = pipeline::RunControl { progress: &mut &Progress::none(), stop: &never };
    let (result, reporter) = pipeline::run_live(source, audit, reporter, control);
    reporter.finish(result)
}

fn capture_plan(plan: &LivePlan) -> capture::LiveCapturePlan {
    capture::LiveCapturePlan {
        interfaces: plan.interfaces.clone(),
        filter: plan.filter.clone(),
        snap_len: plan.snap_len,
        buffer_mib: plan.buffer_mib,
        frame_limit: plan.frame_limit,
        duration: plan.duration,
        every: plan.every,
    }
}

fn listen_for_metrics(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .map_err(|error| anyhow::anyhow!("cannot serve metrics: {address}: {}", reason(&error)))
}

/// Returns the user that the process then runs as.
fn drop_privileges(plan: &LivePlan) -> anyhow::Result<String> {
    let user = privileges::target_user(plan.user.as_deref())?;
    let mut writable = Vec::new();
    if let Some(folder) = &plan.output.folder {
        let (uid, gid) = user.as_ref().map_or_else(
            || (nix::unistd::Uid::effective(), nix::unistd::Gid::effective()),
            |user| (user.uid, user.gid),
        );
        create_folder_for(folder, uid.as_raw(), gid.as_raw())?;
        writable.push(folder.clone());
    }
    if let Some(file) = plan.write.as_ref().filter(|file| *file != Path::new("-")) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        writable.push(folder.unwrap_or(Path::new(".")).to_owned());
    }
    let dropped = privileges::drop_to(user.as_ref(), &writable)?;
    if plan.require_sandbox && !dropped.failed.is_empty() {
        bail!("cannot drop all privileges, and --require-sandbox is set: {}", dropped.failed.join("; "));
    }
    if plan.output.verbosity != Verbosity::Quiet {
        print_message(&format!("privileges dropped: {}", dropped.done.join(", ")));
        for failed in &dropped.failed {
            print_message(&format!("sandbox incomplete: {failed}"));
        }
    }
    Ok(dropped.user)
}

/// What should be known before a long run.
fn print_notices(plan: &LivePlan, metrics_listener: Option<&TcpListener>) {
    if let Some(address) = metrics_listener.and_then(|listener| listener.local_addr().ok()) {
        let exposure = if address.ip().is_loopback() { "" } else { ", reachable from other hosts" };
        print_message(&format!("metrics at http://{address}/metrics{exposure}"));
    }
    let is_short = plan.duration.is_some_and(|duration| duration <= LONG_RUN) || plan.frame_limit.is_some();
    if plan.output.folder.is_some() && plan.every.is_none() && !is_short {
        print_message(
            "evidence is complete only when the run ends: a crash or a full disk loses all of it; \
             with --every 1h it loses at most an hour",
        );
    }
}

fn start_saver(
    plan: &LivePlan,
    path: &Path,
    devices: &Devices,
    stats: &Arc<CaptureStats>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<capture::FrameSaver> {
    let save = capture::SavePlan {
        path: path.to_owned(),
        rotate_bytes: plan.rotate_size,
        rotate_after: plan.rotate_time,
        mode: 0o666 & !plan.output.folder_options.umask,
        stop: Arc::clone(stop),
    };
    capture::FrameSaver::start(save, devices.interfaces(), Arc::clone(stats))
        .map_err(|error| anyhow::anyhow!("cannot write frames: {}: {}", path.display(), reason(&error)))
}
