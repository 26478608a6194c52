//! What a command will do: its arguments, checked as far as possible before the first frame is read.

use std::fs::File;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use ipnet::IpNet;

use super::args::AnalyzeArgs;
use super::args::FailOn;
use super::args::HashAlgorithm;
use super::args::JudgeArgs;
use super::args::LiveArgs;
use super::args::OutputArgs;
use super::args::OutputFormat;
use super::args::PolicyArgs;
use super::args::RulesArgs;
use crate::base::CapturePoints;
use crate::base::TimeWindow;
use crate::capture;
use crate::flow::FlowLimits;
use crate::judge::JudgeLimits;
use crate::report::FolderOptions;
use crate::report::Overwrite;
use crate::report::reason;

/// Why a build without libpcap cannot do something, and what helps.
pub(super) const WITHOUT_LIBPCAP: &str = "this program was built without libpcap; install its development files \
     (libpcap-dev, libpcap-devel) and build again with the feature `live`, which is on by default";

/// A run of `analyze`.
#[derive(Clone, Debug)]
pub(super) struct AnalyzePlan {
    /// Files and folders in the order of the command line; `-` is standard input.
    pub(super) files: Vec<PathBuf>,
    /// Named capture points, each with one of the files.
    pub(super) points: Vec<(String, PathBuf)>,
    /// Bytes in all inputs; unknown if one of them is not a regular file.
    pub(super) total_bytes: Option<u64>,
    pub(super) output: OutputPlan,
    /// Which frames are copied to the evidence.
    pub(super) copy: CopyPlan,
    pub(super) policy: PolicyPlan,
    /// Capture filter; needs the feature `live`.
    pub(super) filter: Option<String>,
    pub(super) frame_limit: Option<u64>,
    /// The part of the inputs that is reported.
    pub(super) window: TimeWindow,
    pub(super) threads: NonZeroUsize,
    /// How inputs are hashed; not at all without a manifest to hold the hash.
    pub(super) hash: capture::InputHash,
    pub(super) limits: ResourceLimits,
}

/// What `evidence.pcapng` holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyPlan {
    /// Frames before and after each frame that proves something.
    pub(super) context: u64,
    /// Bytes kept of a frame.
    pub(super) snap_len: usize,
    /// Bytes of the file.
    pub(super) size: u64,
}

/// A run of `judge`.
#[derive(Clone, Debug)]
pub(super) struct JudgePlan {
    /// The evidence folders with the facts, in order.
    pub(super) folders: Vec<PathBuf>,
    pub(super) output: OutputPlan,
    pub(super) policy: PolicyPlan,
    /// The most flows that are open at the same time.
    pub(super) max_flows: NonZeroU32,
}

/// A run of `live`.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "live"),
    expect(dead_code, reason = "checked also where live capture is not built in")
)]
pub(super) struct LivePlan {
    pub(super) interfaces: Vec<String>,
    pub(super) output: OutputPlan,
    /// How long an evidence folder collects rows before the next one is started.
    pub(super) every: Option<Duration>,
    /// Where metrics are served.
    pub(super) metrics: Option<SocketAddr>,
    pub(super) policy: PolicyPlan,
    pub(super) filter: Option<String>,
    pub(super) snap_len: u32,
    pub(super) frame_limit: Option<u64>,
    pub(super) duration: Option<Duration>,
    /// Kernel capture buffer per interface.
    pub(super) buffer_mib: u32,
    /// What `evidence.pcapng` holds, where frames are saved.
    pub(super) copy: CopyPlan,
    /// Where frames are saved.
    pub(super) write: Option<PathBuf>,
    /// Size at which a new file of frames is started.
    pub(super) rotate_size: Option<u64>,
    /// Age at which a new file of frames is started.
    pub(super) rotate_time: Option<Duration>,
    pub(super) limits: ResourceLimits,
    /// The user to run as after opening the interfaces.
    pub(super) user: Option<String>,
    /// Whether to exit if privileges cannot be dropped.
    pub(super) require_sandbox: bool,
}

/// What a run writes, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct OutputPlan {
    /// The evidence folder.
    pub(super) folder: Option<PathBuf>,
    pub(super) folder_options: FolderOptions,
    pub(super) format: OutputFormat,
    pub(super) fail_on: FailOn,
    pub(super) verbosity: Verbosity,
}

/// What flows are compared with.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyPlan {
    /// The site file.
    pub(super) site: Option<PathBuf>,
    pub(super) rules: RulesPlan,
    /// Ids of the documents to use; the newest version of each if empty.
    pub(super) documents: Vec<String>,
    /// Networks of the audited servers, in addition to those of the site file.
    pub(super) servers: Vec<IpNet>,
}

/// Where the rules are read from.
#[derive(Clone, Debug, Default)]
pub(super) struct RulesPlan {
    /// A folder of rule files; without it, the built-in rules.
    pub(super) folder: Option<PathBuf>,
}

/// A run of `site init`.
#[derive(Clone, Debug)]
pub(super) struct SiteDraftPlan {
    /// Files and folders in the order of the command line; `-` is standard input.
    pub(super) files: Vec<PathBuf>,
    pub(super) rules: RulesPlan,
}

/// How much is printed besides the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// Errors.
    Quiet,
    /// Progress, and a summary that fits one screen.
    Normal,
    /// Progress, and a complete summary.
    Verbose,
}

/// How much a run may hold in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResourceLimits {
    /// Concurrent flows.
    pub(super) flows: NonZeroU32,
    /// Out-of-order stream bytes held for all flows together.
    pub(super) stream_bytes: usize,
    /// Approximate bytes of names.
    pub(super) name_bytes: usize,
    /// Distinct findings.
    pub(super) findings: usize,
}

/// What the program itself takes, with its rules and the blocks between its threads.
const BASE_MIB: u32 = 64;

/// What a flow takes, with its state in `judge`: measured with floods of connection attempts. And a finding with its message.
const FLOW_BYTES: usize = 1536;
const FINDING_BYTES: usize = 1536;

/// The bytes of a memory limit that tables may take.
fn divisible(mib: u32) -> usize {
    (mib.saturating_sub(BASE_MIB).max(1) as usize) << 20
}

impl ResourceLimits {
    /// For files: the given number of flows, and of everything else more than any benign capture needs.
    pub(super) fn of_flows(flows: NonZeroU32) -> ResourceLimits {
        ResourceLimits {
            flows,
            stream_bytes: FlowLimits::default().held_bytes,
            name_bytes: JudgeLimits::default().name_bytes,
            findings: JudgeLimits::default().findings,
        }
    }

    /// Divides the memory: half for flows, a quarter for names, an eighth for streams, a sixteenth for findings, half as much for
    /// rows that are needed again. The rest is for rows between threads.
    fn within(mib: u32) -> ResourceLimits {
        let bytes = divisible(mib);
        let flows = u32::try_from(bytes / 2 / FLOW_BYTES).unwrap_or(u32::MAX);
        ResourceLimits {
            flows: NonZeroU32::new(flows).unwrap_or(NonZeroU32::MIN),
            stream_bytes: bytes / 8,
            name_bytes: bytes / 4,
            findings: (bytes / 16 / FINDING_BYTES).min(JudgeLimits::default().findings),
        }
    }
}

impl AnalyzePlan {
    pub(super) fn from_args(args: AnalyzeArgs) -> anyhow::Result<AnalyzePlan> {
        // A file may be given once, or with its point, or both.
        let mut files = args.files;
        for (_, file) in &args.points {
            if !files.contains(file) {
                files.push(file.clone());
            }
        }
        for (at, (name, file)) in args.points.iter().enumerate() {
            if let Some((other, _)) = args.points.iter().take(at).find(|(_, earlier)| earlier == file) {
                bail!("capture at two points, {other} and {name}: {}", file.display());
            }
        }
        let mut names: Vec<&str> = args.points.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > CapturePoints::LIMIT {
            bail!("{} capture points: at most {} are compared", names.len(), CapturePoints::LIMIT);
        }
        if let (Some(from), Some(until)) = (args.from, args.until)
            && from >= until
        {
            bail!("nothing to report: --from {from} is not before --until {until}");
        }
        let total_bytes = check_captures(&files)?;
        check_filter(args.filter.as_deref())?;
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let output = OutputPlan::from_args(args.output, args.memory_mib);
        Ok(AnalyzePlan {
            files,
            points: args.points,
            total_bytes,
            copy: CopyPlan {
                context: args.evidence_context,
                snap_len: args.evidence_snap_len as usize,
                size: args.evidence_size,
            },
            policy: PolicyPlan::from_args(args.policy)?,
            filter: args.filter,
            frame_limit: args.count.map(|count| count.get()),
            window: TimeWindow {
                from: args.from,
                until: args.until,
                lead_in_nanos: u64::try_from(args.lead_in.as_nanos()).unwrap_or(u64::MAX),
            },
            threads: args.threads.unwrap_or_else(cores),
            hash: match args.hash {
                _ if output.folder.is_none() => capture::InputHash::None,
                HashAlgorithm::Sha256 => capture::InputHash::Sha256,
                HashAlgorithm::Blake3 => capture::InputHash::Blake3,
                HashAlgorithm::None => capture::InputHash::None,
            },
            limits: match args.memory_mib {
                Some(mib) => ResourceLimits::within(mib),
                None => ResourceLimits::of_flows(args.max_flows),
            },
            output,
        })
    }
}

impl JudgePlan {
    pub(super) fn from_args(args: JudgeArgs) -> anyhow::Result<JudgePlan> {
        Ok(JudgePlan {
            folders: args.evidence,
            output: OutputPlan::from_args(args.output, None),
            policy: PolicyPlan::from_args(args.policy)?,
            max_flows: args.max_flows,
        })
    }
}

impl LivePlan {
    pub(super) fn from_args(args: LiveArgs) -> anyhow::Result<LivePlan> {
        if !cfg!(feature = "live") {
            bail!("cannot capture: {WITHOUT_LIBPCAP}");
        }
        for (at, name) in args.interfaces.iter().enumerate() {
            if args.interfaces.iter().take(at).any(|earlier| earlier == name) {
                bail!("interface given twice: {name}");
            }
        }
        if let Some(path) = &args.write {
            let rotates = args.rotate_size.is_some() || args.rotate_time.is_some();
            check_frame_file(path, args.output.format, rotates)?;
        }
        check_filter(args.filter.as_deref())?;
        Ok(LivePlan {
            interfaces: args.interfaces,
            output: OutputPlan::from_args(args.output, Some(args.memory_mib)),
            every: args.every,
            metrics: args.metrics,
            policy: PolicyPlan::from_args(args.policy)?,
            filter: args.filter,
            snap_len: args.snap_len,
            frame_limit: args.count.map(|count| count.get()),
            duration: args.duration,
            buffer_mib: args.buffer_mib,
            copy: CopyPlan {
                context: args.evidence_context,
                snap_len: args.evidence_snap_len as usize,
                size: args.evidence_size,
            },
            write: args.write,
            rotate_size: args.rotate_size,
            rotate_time: args.rotate_time,
            limits: ResourceLimits::within(args.memory_mib),
            user: args.user,
            require_sandbox: args.require_sandbox,
        })
    }
}

impl OutputPlan {
    /// `memory_mib` is the limit of the run; none if there is none.
    fn from_args(args: OutputArgs, memory_mib: Option<u32>) -> OutputPlan {
        OutputPlan {
            folder: args.folder,
            folder_options: FolderOptions {
                overwrite: if args.force { Overwrite::Force } else { Overwrite::No },
                umask: args.umask,
                max_bytes: args.max_evidence,
                kept_bytes: memory_mib.map_or(FolderOptions::default().kept_bytes, |mib| divisible(mib) / 32),
            },
            format: args.format,
            fail_on: args.fail_on,
            verbosity: match (args.quiet, args.verbose) {
                (true, _) => Verbosity::Quiet,
                (_, true) => Verbosity::Verbose,
                _ => Verbosity::Normal,
            },
        }
    }
}

impl PolicyPlan {
    fn from_args(args: PolicyArgs) -> anyhow::Result<PolicyPlan> {
        let PolicyArgs { site, rules, documents, servers } = args;
        if let Some(site) = &site {
            if site.is_dir() {
                bail!("cannot read site file: {}: is a folder", site.display());
            }
            check_readable(site, "site file")?;
        }
        Ok(PolicyPlan { site, rules: RulesPlan::of_folder(rules)?, documents, servers })
    }
}

impl RulesPlan {
    pub(super) fn from_args(args: RulesArgs) -> anyhow::Result<RulesPlan> {
        RulesPlan::of_folder(args.folder)
    }

    fn of_folder(folder: Option<PathBuf>) -> anyhow::Result<RulesPlan> {
        if let Some(path) = &folder {
            let metadata = std::fs::metadata(path).map_err(|error| {
                anyhow::anyhow!("cannot read rules: {}: {}", path.display(), reason(&error))
            })?;
            if !metadata.is_dir() {
                bail!("cannot read rules: {}: not a folder", path.display());
            }
        }
        Ok(RulesPlan { folder })
    }
}

impl SiteDraftPlan {
    pub(super) fn from_args(files: Vec<PathBuf>, rules: RulesArgs) -> anyhow::Result<SiteDraftPlan> {
        check_captures(&files)?;
        Ok(SiteDraftPlan { files, rules: RulesPlan::from_args(rules)? })
    }
}

fn check_filter(filter: Option<&str>) -> anyhow::Result<()> {
    if filter.is_some() && !cfg!(feature = "live") {
        bail!("cannot use a capture filter: {WITHOUT_LIBPCAP}");
    }
    Ok(())
}

/// Checks that frames can be saved to `path`.
fn check_frame_file(path: &Path, format: OutputFormat, rotates: bool) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        bail!("cannot write frames: {}: no such folder", folder.display());
    }
    let is_stdout = path == Path::new("-");
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if rotates && (is_stdout || path.exists() && !is_file) {
        bail!("cannot rotate: not a regular file: {}", path.display());
    }
    if is_stdout && format != OutputFormat::Table {
        bail!("cannot write both frames and records to standard output: give -w a file");
    }
    if is_stdout && std::io::stdout().is_terminal() {
        bail!("cannot write frames to a terminal: give -w a file, or pipe the output to a program");
    }
    Ok(())
}

/// Checks that captures can be read. Their length together, or none if one of them has no length.
fn check_captures(files: &[PathBuf]) -> anyhow::Result<Option<u64>> {
    let mut total_bytes = Some(0);
    for (at, file) in files.iter().enumerate() {
        if files.iter().take(at).any(|earlier| earlier == file) {
            match file.as_path() == Path::new("-") {
                true => bail!("standard input given twice"),
                false => bail!("capture given twice: {}", file.display()),
            }
        }
        // A file in an archive has a length when it is found.
        let is_member = !file.exists() && capture::is_readable_again(file);
        let bytes = if is_member { None } else { check_readable(file, "capture")? };
        total_bytes = total_bytes.zip(bytes).map(|(total, bytes)| total + bytes);
    }
    Ok(total_bytes)
}

/// Checks that a file can be read. Its length, or none for what has no length, such as a pipe.
fn check_readable(path: &Path, what: &str) -> anyhow::Result<Option<u64>> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let fail = |why: String| anyhow::anyhow!("cannot read {what}: {}: {why}", path.display());
    // A named pipe is not opened here: opening waits for its writer, and closing ends the writer.
    let metadata = std::fs::metadata(path).map_err(|error| fail(reason(&error)))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    File::open(path).map_err(|error| fail(reason(&error)))?;
    Ok(Some(metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::super::args::Command;
    use super::super::args::MainArgs;
    use super::*;
    use clap::Parser as _;

    fn plan(arguments: &[&str]) -> anyhow::Result<AnalyzePlan> {
        let args = MainArgs::try_parse_from(["afs-audit", "analyze"].iter().chain(arguments))?;
        match args.command {
            Command::Analyze(analyze) => AnalyzePlan::from_args(*analyze),
            _ => unreachable!(),
        }
    }

    fn check_refused(arguments: &[&str], expected: &str) {
        assert_eq!(plan(arguments).unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_impossible_run_is_refused_before_the_first_frame() {
        check_refused(&["no-such.pcap"], "cannot read capture: no-such.pcap: no such file or folder");
        check_refused(&["-", "-"], "standard input given twice");
        check_refused(&["Cargo.toml", "Cargo.toml"], "capture given twice: Cargo.toml");
        check_refused(&["-", "--site", "no.toml"], "cannot read site file: no.toml: no such file or folder");
        check_refused(&["-", "--rules", "Cargo.toml"], "cannot read rules: Cargo.toml: not a folder");
        #[cfg(not(feature = "live"))]
        check_refused(&["-", "-f", "tcp"], &format!("cannot use a capture filter: {WITHOUT_LIBPCAP}"));
    }

    #[test]
    fn defaults() {
        let made =
            plan(&["Cargo.toml", "--server", "10.1.0.4,fd00::5/64", "--server", "10.2.3.4/8"]).unwrap();
        let servers: Vec<String> = made.policy.servers.iter().map(IpNet::to_string).collect();
        assert_eq!(servers, ["10.1.0.4/32", "fd00::/64", "10.0.0.0/8"]);
        assert!(made.total_bytes.is_some_and(|bytes| bytes > 1000));
        let OutputPlan { format, fail_on, verbosity, .. } = made.output;
        assert_eq!((format, fail_on, verbosity), (OutputFormat::Table, FailOn::Low, Verbosity::Normal));
        assert_eq!(made.limits.flows.get(), 262_144);
        assert_eq!(made.hash, capture::InputHash::None, "without -o there is no manifest");
        assert_eq!(plan(&["-", "-o", "evidence"]).unwrap().hash, capture::InputHash::Blake3);
        assert_eq!(plan(&["Cargo.toml", "-"]).unwrap().total_bytes, None);
        assert_eq!(plan(&["src"]).unwrap().total_bytes, None);
    }

    #[test]
    fn a_capture_is_at_one_point() {
        let made =
            plan(&["Cargo.toml", "--point", "inside=Cargo.toml", "--point", "outside=deny.toml"]).unwrap();
        assert_eq!(made.files, [Path::new("Cargo.toml"), Path::new("deny.toml")]);
        assert_eq!(plan(&["--point", "inside=Cargo.toml"]).unwrap().points.len(), 1);
        check_refused(
            &["--point", "inside=Cargo.toml", "--point", "outside=Cargo.toml"],
            "capture at two points, inside and outside: Cargo.toml",
        );
        for wrong in ["inside", "=Cargo.toml", "inside=", "a;b=Cargo.toml", "inside=-"] {
            assert!(plan(&["--point", wrong]).is_err(), "{wrong}");
        }
    }
}
