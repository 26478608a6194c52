//! The command line, checked: whatever is here can be done as far as can be known before the first frame.

use std::fs::File;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use ipnet::IpNet;

use super::args::Analyze;
use super::args::FailOn;
use super::args::Format;
use super::args::Hash;
use super::args::Judgement;
use super::args::Live;
use crate::report::Overwrite;
use crate::report::reason;

/// What `analyze` is to do.
#[derive(Clone, Debug)]
pub struct AnalyzePlan {
    /// Files and folders in the order of the command line; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Bytes in all inputs; none when one of them is no file.
    pub total_bytes: Option<u64>,
    /// The evidence folder.
    pub output: Option<PathBuf>,
    /// What the folder may hold before.
    pub overwrite: Overwrite,
    /// What goes to standard output.
    pub format: Format,
    /// From which severity on findings are a failure.
    pub fail_on: FailOn,
    /// How much is said.
    pub speech: Speech,
    /// The site file.
    pub site: Option<PathBuf>,
    /// The rules' folder; the built-in rules without one.
    pub rules: Option<PathBuf>,
    /// Ids of the documents to judge by; the newest of each when empty.
    pub documents: Vec<String>,
    /// Networks whose hosts are audited, besides those of the site file.
    pub servers: Vec<IpNet>,
    /// Capture filter; only with the feature `live`.
    pub filter: Option<String>,
    /// Stop after so many frames.
    pub count: Option<NonZeroU64>,
    /// How many threads work.
    pub threads: NonZeroUsize,
    /// How inputs are hashed.
    pub hash: Hash,
    /// What may be held at once.
    pub bounds: Bounds,
}

/// Why a build without libpcap cannot do something, and what helps.
pub(super) const WITHOUT_LIBPCAP: &str = "this program was built without libpcap; install its development files \
     (libpcap-dev, libpcap-devel) and build again with the feature `live`, which is on by default";

/// What may be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Flows followed at once.
    pub flows: NonZeroU32,
    /// Bytes of streams held of all flows together.
    pub stream_bytes: usize,
    /// Bytes of names, about.
    pub name_bytes: usize,
    /// Distinct findings kept.
    pub findings: usize,
}

/// What the program itself takes, with its rules and the blocks between its threads, in MiB.
const OWN_MIB: u32 = 64;

/// What a flow and its case take, measured with floods of attempts; and a finding, with its sentence.
const FLOW_BYTES: usize = 1536;
const FINDING_BYTES: usize = 1536;

impl Bounds {
    /// For files: so many flows, and of the rest what no honest capture needs.
    fn of_flows(flows: NonZeroU32) -> Bounds {
        Bounds {
            flows,
            stream_bytes: crate::flow::FlowLimits::default().held_bytes,
            name_bytes: crate::judge::JudgeLimits::default().name_bytes,
            findings: crate::judge::JudgeLimits::default().findings,
        }
    }

    /// All that fits so many MiB: half for flows, an eighth for streams, a quarter for names, a sixteenth for findings. What
    /// is left is for rows under way.
    fn within(mib: u32) -> Bounds {
        let bytes = (mib.saturating_sub(OWN_MIB).max(1) as usize) << 20;
        let flows = u32::try_from(bytes / 2 / FLOW_BYTES).unwrap_or(u32::MAX);
        Bounds {
            flows: NonZeroU32::new(flows).unwrap_or(NonZeroU32::MIN),
            stream_bytes: bytes / 8,
            name_bytes: bytes / 4,
            findings: (bytes / 16 / FINDING_BYTES).min(crate::judge::JudgeLimits::default().findings),
        }
    }
}

/// How much is said besides the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Errors.
    Quiet,
    /// Progress and a summary that fits a screen.
    Plain,
    /// All of it.
    Verbose,
}

/// The documented rules that a `rules` command looks at.
#[derive(Clone, Debug)]
pub struct RulesPlan {
    /// Their folder; the built-in rules without one.
    pub rules: Option<PathBuf>,
}

/// What a site file is to be begun from.
#[derive(Clone, Debug)]
pub struct SurveyPlan {
    /// Files and folders in the order of the command line; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The rules' folder; the built-in rules without one.
    pub rules: Option<PathBuf>,
}

impl AnalyzePlan {
    /// Checks what was typed.
    pub(super) fn check(typed: Analyze) -> anyhow::Result<AnalyzePlan> {
        let total_bytes = captures(&typed.files)?;
        let Judgement { site, rules, documents, server } = typed.judgement;
        if let Some(site) = &site {
            let what = "site file";
            if site.is_dir() {
                bail!("cannot read {what}: {}: is a folder", site.display());
            }
            readable(site, what)?;
        }
        if let Some(rules) = &rules {
            rules_folder(rules)?;
        }
        if typed.filter.is_some() && !cfg!(feature = "live") {
            bail!("cannot use a capture filter: {WITHOUT_LIBPCAP}");
        }
        let speech = match (typed.quiet, typed.verbose) {
            (true, _) => Speech::Quiet,
            (_, true) => Speech::Verbose,
            _ => Speech::Plain,
        };
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(AnalyzePlan {
            files: typed.files,
            total_bytes,
            output: typed.output,
            overwrite: if typed.force { Overwrite::Any } else { Overwrite::Ours },
            format: typed.format,
            fail_on: typed.fail_on,
            speech,
            site,
            rules,
            documents,
            servers: server.iter().map(|text| network(text)).collect::<anyhow::Result<_>>()?,
            filter: typed.filter,
            count: typed.count,
            threads: typed.threads.unwrap_or_else(cores),
            hash: typed.hash,
            bounds: Bounds::of_flows(typed.max_flows),
        })
    }
}

/// What `live` is to do.
#[derive(Clone, Debug)]
pub struct LivePlan {
    /// What it has in common with `analyze`; its files are the interfaces' names.
    pub common: AnalyzePlan,
    /// Bytes kept of each frame.
    pub snaplen: u32,
    /// The kernel's ring in MiB.
    pub buffer: u32,
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Where frames are written.
    pub write: Option<PathBuf>,
    /// A file of frames ends at this size.
    pub rotate_size: Option<u64>,
    /// A file of frames ends at this age.
    pub rotate_time: Option<Duration>,
    /// Evidence is closed after this time.
    pub every: Option<Duration>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// What may be held, in MiB.
    pub memory: u32,
    /// Whom root becomes.
    pub user: Option<String>,
    /// Nothing is done with rights that could not be given up.
    pub require_sandbox: bool,
}

impl LivePlan {
    /// Checks what was typed.
    pub(super) fn check(typed: Live) -> anyhow::Result<LivePlan> {
        if !cfg!(feature = "live") {
            bail!("cannot capture: {WITHOUT_LIBPCAP}");
        }
        for (at, name) in typed.interface.iter().enumerate() {
            if typed.interface.iter().take(at).any(|earlier| earlier == name) {
                bail!("interface given twice: {name}");
            }
        }
        if let Some(folder) =
            typed.write.as_deref().and_then(Path::parent).filter(|path| !path.as_os_str().is_empty())
            && !folder.is_dir()
        {
            bail!("cannot write frames: {}: no such folder", folder.display());
        }
        if let Some(path) = &typed.write {
            frames_to(path, typed.format, typed.rotate_size.is_some() || typed.rotate_time.is_some())?;
        }
        let bounds = Bounds::within(typed.memory);
        let common = AnalyzePlan::check(Analyze {
            files: Vec::new(),
            output: typed.output,
            force: typed.force,
            format: typed.format,
            fail_on: typed.fail_on,
            quiet: typed.quiet,
            verbose: typed.verbose,
            judgement: typed.judgement,
            filter: typed.filter,
            count: typed.count,
            threads: Some(NonZeroUsize::MIN),
            hash: Hash::None,
            max_flows: bounds.flows,
        })?;
        Ok(LivePlan {
            common: AnalyzePlan {
                files: typed.interface.into_iter().map(PathBuf::from).collect(),
                bounds,
                ..common
            },
            snaplen: typed.snaplen,
            buffer: typed.buffer,
            duration: typed.duration,
            write: typed.write,
            rotate_size: typed.rotate_size,
            rotate_time: typed.rotate_time,
            every: typed.every,
            metrics: typed.metrics,
            memory: typed.memory,
            user: typed.user,
            require_sandbox: typed.require_sandbox,
        })
    }
}

/// Checks that frames can go there.
fn frames_to(path: &Path, format: Format, rotates: bool) -> anyhow::Result<()> {
    let is_output = path == Path::new("-");
    let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
    if rotates && (is_output || path.exists() && !is_file) {
        bail!("cannot begin another file of what is no file: {}", path.display());
    }
    if is_output && format != Format::Table {
        bail!("cannot write frames and records to standard output both: give -w a file");
    }
    if is_output && std::io::stdout().is_terminal() {
        bail!("cannot write frames to a terminal: give -w a file, or pipe them to a program");
    }
    Ok(())
}

/// Bytes kept of a frame: 0 is all that there are, as for tcpdump.
pub(super) fn snap_len(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Ok(SNAP_LEN),
        Ok(len @ 64..=SNAP_LEN) => Ok(len),
        _ => Err(format!("from 64 to {SNAP_LEN}, or 0 for as much as there is")),
    }
}

/// The longest frame that libpcap gives.
const SNAP_LEN: u32 = 262_144;

/// `90s`, `10m`, `1h`, `1d`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let seconds = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a number with s, m, h or d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number with s, m, h or d".to_owned())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..=3_153_600_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("from a second to a hundred years".to_owned()),
    }
}

/// `100M`, `1G`; a number alone is bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let shift = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("a number with K, M, G or T".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or_else(|| "more than nothing".to_owned())
}

/// `9105` on loopback, or an address with its port.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    // Names are not looked up; this one is no question.
    let numbers = text.replacen("localhost:", "127.0.0.1:", 1);
    numbers.parse().map_err(|_| "a port, or an address with its port".to_owned())
}

impl RulesPlan {
    /// Checks what was typed.
    pub(super) fn check(rules: Option<PathBuf>) -> anyhow::Result<RulesPlan> {
        if let Some(folder) = &rules {
            rules_folder(folder)?;
        }
        Ok(RulesPlan { rules })
    }
}

impl SurveyPlan {
    /// Checks what was typed.
    pub(super) fn check(files: Vec<PathBuf>, rules: Option<PathBuf>) -> anyhow::Result<SurveyPlan> {
        captures(&files)?;
        let RulesPlan { rules } = RulesPlan::check(rules)?;
        Ok(SurveyPlan { files, rules })
    }
}

/// The length of captures that can be read, all together; none when one of them is no file.
fn captures(files: &[PathBuf]) -> anyhow::Result<Option<u64>> {
    let mut total_bytes = Some(0);
    for (at, file) in files.iter().enumerate() {
        if files.iter().take(at).any(|earlier| earlier == file) {
            bail!("capture given twice: {}", file.display());
        }
        let bytes = readable(file, "capture")?;
        total_bytes = total_bytes.zip(bytes).map(|(total, bytes)| total + bytes);
    }
    Ok(total_bytes)
}

/// The length of a file that can be read; none for what has no length, such as a pipe.
fn readable(path: &Path, what: &str) -> anyhow::Result<Option<u64>> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let fail = |why: String| anyhow::anyhow!("cannot read {what}: {}: {why}", path.display());
    // A named pipe is not opened here: opening waits for its writer, and closing would cut it off.
    let metadata = std::fs::metadata(path).map_err(|error| fail(reason(&error)))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    File::open(path).map_err(|error| fail(reason(&error)))?;
    Ok(Some(metadata.len()))
}

fn rules_folder(path: &Path) -> anyhow::Result<()> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| anyhow::anyhow!("cannot read rules: {}: {}", path.display(), reason(&error)))?;
    if !metadata.is_dir() {
        bail!("cannot read rules: {}: not a folder", path.display());
    }
    Ok(())
}

/// `10.1.0.0/24`, or an address for itself alone.
fn network(text: &str) -> anyhow::Result<IpNet> {
    let network = match text.parse::<std::net::IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().with_context(|| format!("not a network or address: {text}"))?,
    };
    Ok(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::super::args::Command;
    use super::super::args::Typed;
    use super::*;
    use clap::Parser as _;

    fn plan(arguments: &[&str]) -> anyhow::Result<AnalyzePlan> {
        let typed = Typed::try_parse_from(["afs-audit", "analyze"].iter().chain(arguments))?;
        match typed.command {
            Command::Analyze(analyze) => AnalyzePlan::check(*analyze),
            _ => unreachable!(),
        }
    }

    fn check_refused(arguments: &[&str], expected: &str) {
        assert_eq!(plan(arguments).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_cannot_be_done_is_said_before_the_first_frame() {
        check_refused(&["no-such.pcap"], "cannot read capture: no-such.pcap: no such file or folder");
        check_refused(&["-", "-"], "capture given twice: -");
        check_refused(&["-", "--site", "no.toml"], "cannot read site file: no.toml: no such file or folder");
        check_refused(&["-", "--rules", "Cargo.toml"], "cannot read rules: Cargo.toml: not a folder");
        check_refused(&["-", "--server", "10.1.0.0/33"], "not a network or address: 10.1.0.0/33");
        #[cfg(not(feature = "live"))]
        check_refused(&["-", "-f", "tcp"], &format!("cannot use a capture filter: {WITHOUT_LIBPCAP}"));
    }

    #[test]
    fn times_sizes_and_addresses() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(duration("0s").is_err() && duration("5y").is_err() && duration("m").is_err());
        assert_eq!((size("100M"), size("1GiB"), size("7")), (Ok(100 << 20), Ok(1 << 30), Ok(7)));
        assert!(size("0").is_err() && size("1X").is_err());
        assert_eq!(listen("9105").map(|a| a.to_string()), Ok("127.0.0.1:9105".to_owned()));
        assert_eq!(listen("localhost:9105").map(|a| a.to_string()), Ok("127.0.0.1:9105".to_owned()));
        assert_eq!(listen("[::1]:9105").map(|a| a.to_string()), Ok("[::1]:9105".to_owned()));
        assert!(listen("localhost").is_err() && listen("example.com:9105").is_err());
        assert_eq!((snap_len("0"), snap_len("64")), (Ok(262_144), Ok(64)));
        assert!(snap_len("63").is_err() && snap_len("262145").is_err());
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let made =
            plan(&["Cargo.toml", "--server", "10.1.0.4,fd00::5/64", "--server", "10.2.3.4/8"]).unwrap();
        let servers: Vec<String> = made.servers.iter().map(IpNet::to_string).collect();
        assert_eq!(servers, ["10.1.0.4/32", "fd00::/64", "10.0.0.0/8"]);
        assert!(made.total_bytes.is_some_and(|bytes| bytes > 1000));
        assert_eq!((made.format, made.hash, made.fail_on), (Format::Table, Hash::Blake3, FailOn::Low));
        assert_eq!(made.bounds.flows.get(), 1_000_000);
        assert_eq!(plan(&["Cargo.toml", "-"]).unwrap().total_bytes, None);
        assert_eq!(plan(&["src"]).unwrap().total_bytes, None);
    }
}
