//! The command line, checked: whatever is here can be done as far as can be known before the first frame.

use std::fs::File;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use ipnet::IpNet;

use super::args::Analyze;
use super::args::FailOn;
use super::args::Format;
use super::args::Hash;
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

/// What may be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Flows followed at once.
    pub flows: NonZeroU32,
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

impl AnalyzePlan {
    /// Checks what was typed.
    pub(super) fn check(typed: Analyze) -> anyhow::Result<AnalyzePlan> {
        let mut total_bytes = Some(0);
        for (at, file) in typed.files.iter().enumerate() {
            if typed.files.iter().take(at).any(|earlier| earlier == file) {
                bail!("capture given twice: {}", file.display());
            }
            let bytes = readable(file, "capture")?;
            total_bytes = total_bytes.zip(bytes).map(|(total, bytes)| total + bytes);
        }
        if let Some(site) = &typed.site {
            let what = "site file";
            if site.is_dir() {
                bail!("cannot read {what}: {}: is a folder", site.display());
            }
            readable(site, what)?;
        }
        if let Some(rules) = &typed.rules {
            rules_folder(rules)?;
        }
        if typed.filter.is_some() && !cfg!(feature = "live") {
            bail!("cannot use a capture filter: built without libpcap");
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
            site: typed.site,
            rules: typed.rules,
            documents: typed.documents,
            servers: typed.server.iter().map(|text| network(text)).collect::<anyhow::Result<_>>()?,
            filter: typed.filter,
            count: typed.count,
            threads: typed.threads.unwrap_or_else(cores),
            hash: typed.hash,
            bounds: Bounds { flows: typed.max_flows },
        })
    }
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
        check_refused(&["-", "-f", "tcp"], "cannot use a capture filter: built without libpcap");
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
