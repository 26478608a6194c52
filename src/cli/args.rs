//! The command line as typed. Help, man pages and completions are generated from here.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use ipnet::IpNet;

use super::values;
use crate::base::Time;
use crate::evidence::AllowLevel;
use crate::judge::Severity;

/// Audit servers' network destinations from packet captures
///
/// Reads captures of Azure File Sync and Azure Stack HCI (Azure Local) servers behind a firewall, and reports which
/// endpoints each server contacted, whether Microsoft's documents list them, and whether the network blocked a
/// connection. It never sends a packet.
#[derive(Debug, Parser)]
#[command(
    name = "afs-audit",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct MainArgs {
    #[command(subcommand)]
    pub(super) command: Command,
    /// When to use colours: `auto` uses them on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorMode,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Analyze(Box<AnalyzeArgs>),
    Live(Box<LiveArgs>),
    Judge(Box<JudgeArgs>),
    Interfaces(InterfacesArgs),
    Explain(ExplainArgs),
    /// Work with the built-in rules (Microsoft's documented endpoints)
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Create a site file
    #[command(subcommand)]
    Site(SiteCommand),
    Verify(VerifyArgs),
    Sign(SignArgs),
    Report(ReportArgs),
    Compare(CompareArgs),
    Allowlist(AllowlistArgs),
    ProbeList(ProbeListArgs),
    Schema(SchemaArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Audit capture files
///
/// Reads pcap, pcapng and other capture files, plain or compressed, and prints a summary. With -o it writes every flow,
/// DNS response and finding as a CSV row that names the frames proving it.
#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// Capture files, or folders of them; `-` is standard input
    #[arg(required_unless_present = "points", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Frames to add to evidence.pcapng before and after each frame that proves a finding
    #[arg(long, value_name = "FRAMES", default_value = "0", value_parser = clap::value_parser!(u64).range(..=10_000), requires = "folder", help_heading = "Output")]
    pub(super) evidence_context: u64,
    /// Bytes kept of each frame in evidence.pcapng, to leave payload out; 0 = whole frame
    #[arg(long = "evidence-snaplen", value_name = "BYTES", default_value = "0", value_parser = values::snap_len, requires = "folder", help_heading = "Output")]
    pub(super) evidence_snap_len: u32,
    /// Maximum size of evidence.pcapng, such as `64M`; frames that do not fit are counted
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = values::size, requires = "folder", help_heading = "Output")]
    pub(super) evidence_size: u64,

    #[command(flatten)]
    pub(super) policy: PolicyArgs,

    /// Name the place where a file, or the files of a folder, were captured, such as `inside=a.pcapng`; for captures on both
    /// sides of a firewall. Without it such captures are recognized by their packets, and named after their files
    #[arg(long = "point", value_name = "NAME=FILE", value_parser = values::capture_point, help_heading = "Input")]
    pub(super) points: Vec<(String, PathBuf)>,
    /// Audit only frames that match this capture filter (tcpdump syntax)
    #[arg(short, long, value_name = "BPF", help_heading = "Input")]
    pub(super) filter: Option<String>,
    /// Stop after this many frames
    #[arg(short, long, value_name = "FRAMES", value_parser = values::positive::<NonZeroU64>, help_heading = "Input")]
    pub(super) count: Option<NonZeroU64>,
    /// Report only what begins at this time or later, such as `2026-07-20T10:00:00Z`: flows by their first frame, DNS responses
    /// by their own
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "Input")]
    pub(super) from: Option<Time>,
    /// Report only what begins before this time
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = "Input")]
    pub(super) until: Option<Time>,
    /// With --from and --until: read so much before, for names and open flows, and after, for the ends of flows. Frames further
    /// away are counted only. An hour is the longest time after which an idle flow is closed
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = values::duration, help_heading = "Input")]
    pub(super) lead_in: Duration,
    /// Number of threads, by default one per core; the output does not depend on it
    #[arg(long, value_name = "N", value_parser = values::positive::<NonZeroUsize>, help_heading = "Input")]
    pub(super) threads: Option<NonZeroUsize>,
    /// Hash of each input in the manifest. BLAKE3 is as fast as reading; SHA-256 is for procedures that require it
    #[arg(long, value_name = "ALGORITHM", default_value = "blake3", help_heading = "Input")]
    pub(super) hash: HashAlgorithm,

    /// Maximum concurrent flows; when reached, the longest idle one is closed
    #[arg(long, value_name = "N", default_value = "262144", value_parser = values::positive::<NonZeroU32>, help_heading = "Limits")]
    pub(super) max_flows: NonZeroU32,
    /// Memory limit in MiB, which also bounds names, streams and findings; by default only --max-flows bounds flows
    #[arg(long = "memory", value_name = "MIB", value_parser = values::memory(), conflicts_with = "max_flows", help_heading = "Limits")]
    pub(super) memory_mib: Option<u32>,
}

// Not doc comments, here and below: clap would print them instead of the command's own.
// What a run writes, and how it ends.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Write the evidence to this folder, which is created if missing
    #[arg(short = 'o', long = "output", value_name = "DIR", help_heading = "Output")]
    pub(super) folder: Option<PathBuf>,
    /// Replace the evidence of an earlier run in DIR, or write into a folder with other files, which are kept
    #[arg(long, requires = "folder", help_heading = "Output")]
    pub(super) force: bool,
    /// Permissions that DIR and its files do not get, in octal: 077 for the owner alone, 027 to let the group read
    #[arg(long, value_name = "MASK", default_value = "077", value_parser = values::umask, help_heading = "Output")]
    pub(super) umask: u32,
    /// Bound the rows in DIR to about this size (`1G`): after half of it, flows and DNS messages of one kind become one row
    /// with a count, and the manifest says so. No facts are stored for `judge`. With --every, each interval has this size
    #[arg(long, value_name = "SIZE", requires = "folder", value_parser = values::evidence_size, help_heading = "Limits")]
    pub(super) max_evidence: Option<u64>,
    /// What to print on standard output; with `csv` and `jsonl` the summary goes to standard error
    #[arg(long, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub(super) format: OutputFormat,
    /// Exit with status 1 if there is a finding of at least this severity
    #[arg(long, value_name = "SEVERITY", default_value = "low", help_heading = "Output")]
    pub(super) fail_on: FailOn,
    /// Print errors only: no progress, no summary
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub(super) quiet: bool,
    /// Show all findings and destinations in the summary instead of one screen
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,
}

// What flows are compared with.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// Site file (TOML): region, networks, exceptions
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub(super) site: Option<PathBuf>,
    /// Use the rules in this folder instead of the built-in ones
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub(super) rules: Option<PathBuf>,
    /// Use these documents, such as `azure-file-sync@2019-06-24`; by default the newest version of each
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Policy")]
    pub(super) documents: Vec<String>,
    /// Audit the servers at this address or in this network, such as `10.1.0.0/24`; can be repeated. By default
    /// the servers of the site file; without those, every client with a private address or one that the site file
    /// declares, and every other client that contacts a documented name
    #[arg(long = "server", value_name = "CIDR", value_delimiter = ',', value_parser = values::network, help_heading = "Policy")]
    pub(super) servers: Vec<IpNet>,
}

/// Capture live traffic and report findings as they occur
///
/// Runs until it is stopped (Ctrl-C, SIGTERM, -c, --duration) and writes the same evidence as `analyze`. After opening
/// the interfaces it drops its privileges. On a terminal it shows the current state, and `q` ends it. In a pipe it prints
/// one line when a problem begins, recovers or begins again, and once an hour while it is ongoing; with `jsonl` each
/// record when its flow ends. SIGHUP closes the evidence folder and starts a new one.
#[derive(Debug, Args)]
pub(super) struct LiveArgs {
    /// Interface to capture on, or `any`; can be repeated
    #[arg(
        short,
        long = "interface",
        required = true,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Capture"
    )]
    pub(super) interfaces: Vec<String>,
    /// Capture only frames that match this capture filter (tcpdump syntax)
    #[arg(short, long, value_name = "BPF", help_heading = "Capture")]
    pub(super) filter: Option<String>,
    /// Snapshot length in bytes; 0 = whole frame
    #[arg(short, long = "snaplen", value_name = "BYTES", default_value = "262144", value_parser = values::snap_len, help_heading = "Capture")]
    pub(super) snap_len: u32,
    /// Stop after this many frames
    #[arg(short, long, value_name = "FRAMES", value_parser = values::positive::<NonZeroU64>, help_heading = "Capture")]
    pub(super) count: Option<NonZeroU64>,
    /// Stop after this time, such as `90s`, `10m`, `1h30m` or `1d`
    #[arg(long, value_name = "TIME", value_parser = values::duration, help_heading = "Capture")]
    pub(super) duration: Option<Duration>,
    /// Kernel capture buffer per interface, in MiB
    #[arg(long = "buffer", value_name = "MIB", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=2047), help_heading = "Capture")]
    pub(super) buffer_mib: u32,
    /// Also write the frames to this file or named pipe, as pcapng; `-` is standard output. If the disk cannot keep up,
    /// frames are left out of the file (and counted), never out of the audit
    #[arg(short, long, value_name = "FILE", help_heading = "Capture")]
    pub(super) write: Option<PathBuf>,
    /// Start a new file at this size (`100M`, `1G`): FILE-00001.pcapng and so on; existing files are not overwritten
    #[arg(long, value_name = "SIZE", requires = "write", value_parser = values::size, help_heading = "Capture")]
    pub(super) rotate_size: Option<u64>,
    /// Start a new file after this time
    #[arg(long, value_name = "TIME", requires = "write", value_parser = values::duration, help_heading = "Capture")]
    pub(super) rotate_time: Option<Duration>,

    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Start a new evidence folder every TIME, as a subfolder of DIR named after its start time. Without it the evidence
    /// is complete only when the run ends, and a crash or a full disk loses all of it
    #[arg(long, value_name = "TIME", requires = "folder", value_parser = values::duration, help_heading = "Output")]
    pub(super) every: Option<Duration>,
    /// With -w: frames to add to evidence.pcapng before and after each frame that proves a finding
    #[arg(long, value_name = "FRAMES", default_value = "0", value_parser = clap::value_parser!(u64).range(..=10_000), requires_all = ["folder", "write"], help_heading = "Output")]
    pub(super) evidence_context: u64,
    /// With -w: bytes kept of each frame in evidence.pcapng, to leave payload out; 0 = whole frame
    #[arg(long = "evidence-snaplen", value_name = "BYTES", default_value = "0", value_parser = values::snap_len, requires_all = ["folder", "write"], help_heading = "Output")]
    pub(super) evidence_snap_len: u32,
    /// With -w: maximum size of evidence.pcapng, such as `64M`; it is held in memory while it is made, in addition to --memory
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = values::size, requires_all = ["folder", "write"], help_heading = "Output")]
    pub(super) evidence_size: u64,
    /// Serve Prometheus metrics at this address, such as `9105` (on loopback) or `10.1.0.5:9105`
    #[arg(long, value_name = "ADDR", value_parser = values::listen_address, help_heading = "Output")]
    pub(super) metrics: Option<SocketAddr>,

    #[command(flatten)]
    pub(super) policy: PolicyArgs,

    /// Memory limit in MiB, excluding the kernel capture buffers and, with -w and -o, the frames of evidence.pcapng
    #[arg(long = "memory", value_name = "MIB", default_value = "1024", value_parser = values::memory(), help_heading = "Limits")]
    pub(super) memory_mib: u32,
    /// User to run as after opening the interfaces, if started as root; by default the user who called sudo, otherwise
    /// `nobody`
    #[arg(long, value_name = "NAME", help_heading = "Privileges")]
    pub(super) user: Option<String>,
    /// Exit if privileges cannot be dropped
    #[arg(long, help_heading = "Privileges")]
    pub(super) require_sandbox: bool,
}

/// List the interfaces that can be captured on
#[derive(Debug, Args)]
pub(super) struct InterfacesArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: OutputFormat,
}

/// Explain a finding code, a mechanism or a reason; without one, list all
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Finding code such as AFS202, mechanism such as tcp-unanswered, or reason such as lost-race
    pub(super) code: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// List the documents, their tables and the number of rows in each
    List {
        /// Output format; `csv` and `jsonl` list every row
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: OutputFormat,
        #[command(flatten)]
        rules: RulesArgs,
    },
    /// Print the rows of a document or table, or one row, or the rows that match a host
    Show {
        /// Id of a document, table or row, or a host name
        #[arg(value_name = "ID|HOST")]
        query: String,
        #[command(flatten)]
        rules: RulesArgs,
    },
    /// Check the rule files for errors and contradictions
    Check(RulesArgs),
    /// Show what changed between two documents
    Diff {
        /// Id of the earlier document
        old: String,
        /// Id of the later document
        new: String,
        #[command(flatten)]
        rules: RulesArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SiteCommand {
    /// Print a commented site file, drafted from captures of the site
    ///
    /// Region, storage accounts, servers, resolvers and proxy are taken from the traffic. Review every line before you
    /// rely on it: the traffic may be what is wrong.
    Init {
        /// Capture files, or folders of them; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        rules: RulesArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    /// Use the rules in this folder instead of the built-in ones
    #[arg(long = "rules", value_name = "DIR")]
    pub(super) folder: Option<PathBuf>,
}

/// Verify the integrity of an evidence folder
///
/// Recomputes the hashes of the outputs, and of the inputs at their recorded path or beside the evidence folder. Names files
/// in the folder that the run did not write. Who can change the folder can change its manifest, too: that is found only with
/// the digest that the run printed (--digest), or with a signature (--allowed-signers).
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Evidence folder
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// SHA-256 of manifest.json, as the run printed it
    #[arg(long, value_name = "HEX", value_parser = values::sha256)]
    pub(super) digest: Option<String>,
    /// Check the signature of the manifest against the keys in this file, in the format of ssh-keygen(1), ALLOWED SIGNERS
    #[arg(long, value_name = "FILE")]
    pub(super) allowed_signers: Option<PathBuf>,
    /// Signature; by default manifest.json.sig in DIR
    #[arg(long, value_name = "FILE", requires = "allowed_signers")]
    pub(super) signature: Option<PathBuf>,
    /// Who must have signed, as in the file of allowed signers; by default anybody in it
    #[arg(long, value_name = "NAME", requires = "allowed_signers")]
    pub(super) identity: Option<String>,
    /// No output; exit status only
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Sign the manifest of an evidence folder with an SSH key
///
/// Writes DIR/manifest.json.sig with `ssh-keygen -Y sign -n afs-audit`. The signature covers every file of the folder,
/// because the manifest has their hashes. Evidence that was changed is not signed. Check it with
/// `afs-audit verify --allowed-signers`, or with `ssh-keygen -Y verify -n afs-audit`.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// Evidence folder
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Private key, or public key whose private key is in the SSH agent
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// Write the signature to this file instead
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// Write the HTML page of an evidence folder
///
/// The page is made from the files of the folder, without the captures. It is the same as the `report.html` that the run
/// wrote, if both were made by the same version of afs-audit.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Evidence folder
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Write the page to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// Judge the facts of an evidence folder again, without the captures
///
/// Gives the rows, the report and the manifest that `analyze` would give for the same captures under another site file,
/// server list, rule folder or document date. `analyze -o` and `live -o` keep what they extracted in facts.lz4. The
/// folder must be as its manifest describes it (`verify`).
#[derive(Debug, Args)]
pub(super) struct JudgeArgs {
    /// Evidence folder with facts.lz4; of a live run with `--every`, the folders of its first and all following intervals
    #[arg(required = true, value_name = "DIR")]
    pub(super) evidence: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,

    /// Maximum concurrent flows; facts with more are refused. Needed where the earlier run was permitted more
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = values::positive::<NonZeroU32>, help_heading = "Limits")]
    pub(super) max_flows: NonZeroU32,
}

/// Compare two evidence folders
///
/// Shows which documented endpoints changed state for each server, which findings and destinations are new, and which
/// were not seen again. What was blocked and is not observed any more is never counted as fixed. Differences between the
/// runs that limit the comparison come first: other servers, other documents, another length, dropped packets.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Evidence folder of the earlier run
    #[arg(value_name = "BEFORE")]
    pub(super) before: PathBuf,
    /// Evidence folder of the later run
    #[arg(value_name = "AFTER")]
    pub(super) after: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: OutputFormat,
    /// Also write an HTML page to this file
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Least severity at which a new finding sets exit status 1
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    pub(super) fail_on: FailOn,
    /// No output; exit status only
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Show all changes instead of one screen, and what did not change
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// Print the smallest firewall rule set that a site needs
///
/// Made from the required endpoints of an evidence folder and the documented rows that it cites: sources, destinations by
/// name, ports, and the documents that ask for them. What was used and is not documented is never in it. Where the site file
/// declares a proxy inside the site, rules for TCP are for the proxy, and the servers need a rule to its port only.
#[derive(Debug, Args)]
pub(super) struct AllowlistArgs {
    /// Evidence folder of a run with a site file
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: AllowFormat,
    /// Levels that are allowed; by default required, install-time and recommended
    #[arg(long = "level", value_name = "LEVEL", value_delimiter = ',')]
    pub(super) levels: Vec<LevelArg>,
    /// Networks that the rules are for, such as `10.1.0.0/24`, in place of the audited servers or the proxy
    #[arg(long = "source", value_name = "CIDR", value_delimiter = ',', value_parser = values::network)]
    pub(super) sources: Vec<IpNet>,
    /// Also allow documented destinations that the site does not need, if they were used
    #[arg(long)]
    pub(super) with_observed: bool,
    /// Service tag file for the formats without rules for names
    #[arg(long, value_name = "FILE")]
    pub(super) service_tags: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AllowFormat {
    /// Text for people
    Table,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// JSON Lines: one JSON object per line
    Jsonl,
    /// Azure Firewall: ARM template of a rule collection group
    AzureFirewall,
    /// FortiGate: commands
    Fortigate,
    /// Palo Alto: set commands
    PaloAlto,
    /// nftables: a table with a chain that accepts
    Nftables,
    /// Windows: New-NetFirewallRule
    Powershell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LevelArg {
    /// A document requires it
    Required,
    /// Required during installation, registration or removal
    InstallTime,
    /// Recommended where the outbound firewall is restricted
    Recommended,
    /// For a feature that a site may not use
    Optional,
    /// For older installations
    Legacy,
}

impl LevelArg {
    pub(super) const fn level(self) -> AllowLevel {
        match self {
            LevelArg::Required => AllowLevel::Required,
            LevelArg::InstallTime => AllowLevel::InstallTime,
            LevelArg::Recommended => AllowLevel::Recommended,
            LevelArg::Optional => AllowLevel::Optional,
            LevelArg::Legacy => AllowLevel::Legacy,
        }
    }
}

/// Print commands that try the endpoints that were not observed
///
/// The commands (Resolve-DnsName, Test-NetConnection, curl) are to be run on the servers while a capture runs; afs-audit
/// itself sends nothing. The next audit shows what became of the connections. A server that uses a proxy, by the site file or
/// by its traffic, gets commands that go through the proxy.
#[derive(Debug, Args)]
pub(super) struct ProbeListArgs {
    /// Evidence folder of a run with a site file
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: ProbeFormat,
    /// Levels to try; by default all
    #[arg(long = "level", value_name = "LEVEL", value_delimiter = ',')]
    pub(super) levels: Vec<LevelArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProbeFormat {
    /// Commands to copy, by server
    Text,
    /// A script that tries the endpoints of the server that it runs on
    Powershell,
}

/// Print the JSON Schema of the records of `--format jsonl`
///
/// The schema follows draft 2020-12. Its types are those of the columns of the CSV files. It is of the records of
/// `analyze`, `live` and `judge`, of `compare` (`change`) and of `allowlist` (`allow`).
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Kind of record; by default one schema for all
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(crate::report::RECORDS.iter().chain(&crate::evidence::RECORDS)))]
    pub(super) record: Option<String>,
}

/// Print shell completions
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Shell to print them for
    pub(super) shell: clap_complete::Shell,
}

/// Print a manual page in man(7) format
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Command to print the page of, such as `rules show`; by default the page of afs-audit itself
    #[arg(value_name = "COMMAND")]
    pub(super) command: Vec<String>,
    /// Write the pages of all commands to this folder
    #[arg(short, long, value_name = "DIR", conflicts_with = "command")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorMode {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Text for people
    Table,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// JSON Lines: one JSON object per line
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HashAlgorithm {
    /// Can be checked with tools that every system has
    Sha256,
    /// Faster for large inputs
    Blake3,
    /// Inputs are not hashed
    None,
}

/// The least severity at which findings set the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Any finding
    Info,
    /// Worth a review
    Low,
    /// Should be fixed
    Medium,
    /// Breaks the service or violates a documented requirement
    High,
    /// Findings do not change the exit status
    Never,
}

impl FailOn {
    pub(super) const fn least_severity(self) -> Option<Severity> {
        match self {
            FailOn::Info => Some(Severity::Info),
            FailOn::Low => Some(Severity::Low),
            FailOn::Medium => Some(Severity::Medium),
            FailOn::High => Some(Severity::High),
            FailOn::Never => None,
        }
    }
}
