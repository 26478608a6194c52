//! The command line as typed. The help, the man page and the completions are printed from here.

use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use crate::judge::Severity;

/// Audit what servers talk to, from packet captures
///
/// Reads captures of Azure File Sync and Azure Stack HCI servers behind a firewall, and tells who each server really
/// talked to, whether the documents allow it, and whether the network got in the way. It never sends a packet.
#[derive(Debug, Parser)]
#[command(
    name = "afs-audit",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_long_help = AFTER)]
pub(super) struct Typed {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Colour the text: by default only where a terminal shows it and NO_COLOR is not set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
}

const AFTER: &str = "\
Examples:
  afs-audit analyze office.pcapng
      Read one capture and print a summary.
  afs-audit analyze captures/*.pcapng.gz --site contoso.toml -o evidence/
      Read many, judge them by a site's own settings, and keep the evidence.
  afs-audit explain AFS202
      Say what a finding means, what causes it and what to do.

Exit status:
  0  nothing to report
  1  findings, or evidence that is not as it was
  2  the job could not be done";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Analyze(Box<Analyze>),
    Live(Box<Live>),
    Interfaces(Interfaces),
    Explain(Explain),
    /// List, show, check and compare the rules that were written from documents
    #[command(subcommand)]
    Rules(Rules),
    /// Begin a site file
    #[command(subcommand)]
    Site(Site),
    Verify(Verify),
    Completions(Completions),
    Man(Man),
}

/// Read captures and judge what is in them
///
/// Reads pcap, pcapng and other capture files, plain or compressed. Prints a summary, and with -o keeps every flow,
/// DNS answer and finding as rows that name the frames which prove them.
#[derive(Debug, Args)]
#[command(after_long_help = ANALYZE_AFTER)]
pub(super) struct Analyze {
    /// Captures to read, or folders of them; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Write the evidence into this folder, which is created if it is not there
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub(super) output: Option<PathBuf>,
    /// Write into a folder that is not empty and not ours; files of other names stay
    #[arg(long, requires = "output", help_heading = "Output")]
    pub(super) force: bool,
    /// What goes to standard output; with `csv` and `jsonl` the summary goes to standard error
    #[arg(long, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub(super) format: Format,
    /// Exit with 1 when there is a finding this severe or more
    #[arg(long, value_name = "SEVERITY", default_value = "low", help_heading = "Output")]
    pub(super) fail_on: FailOn,
    /// No progress and no summary: errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub(super) quiet: bool,
    /// All findings and destinations in the summary, not only those that fit a screen
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,

    #[command(flatten)]
    pub(super) judgement: Judgement,

    /// Read only frames that match a capture filter in the syntax of tcpdump
    #[arg(short, long, value_name = "BPF", help_heading = "Reading")]
    pub(super) filter: Option<String>,
    /// Stop after this many frames
    #[arg(short, long, value_name = "FRAMES", help_heading = "Reading")]
    pub(super) count: Option<NonZeroU64>,
    /// Threads to work with; by default one per core. The output does not depend on it
    #[arg(long, value_name = "N", help_heading = "Reading")]
    pub(super) threads: Option<NonZeroUsize>,
    /// Hash of each input for the manifest. BLAKE3 keeps up with reading; SHA-256 is for procedures that ask for it
    #[arg(long, value_name = "ALGORITHM", default_value = "blake3", help_heading = "Reading")]
    pub(super) hash: Hash,

    /// Flows followed at once; the longest silent one is closed for one more
    #[arg(long, value_name = "N", default_value = "1000000", help_heading = "Bounds")]
    pub(super) max_flows: NonZeroU32,
}

// A comment for readers of the code alone: clap would print a doc comment in place of the command's own.
// What flows are held against, by whatever command.
#[derive(Debug, Args)]
pub(super) struct Judgement {
    /// What is special about the site: regions, networks, exceptions (TOML)
    #[arg(long, value_name = "FILE", help_heading = "Judgement")]
    pub(super) site: Option<PathBuf>,
    /// Judge by the rules in this folder in place of those built in
    #[arg(long, value_name = "DIR", help_heading = "Judgement")]
    pub(super) rules: Option<PathBuf>,
    /// Judge by these documents, as `azure-file-sync@2019-06-24`; by default the newest of each
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Judgement")]
    pub(super) documents: Vec<String>,
    /// Audit the hosts in this network or at this address, as `10.1.0.0/24`; can be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = "Judgement")]
    pub(super) server: Vec<String>,
}

const ANALYZE_AFTER: &str = "\
Examples:
  afs-audit analyze office.pcapng --server 10.1.0.4
      Audit one server and print a summary.
  afs-audit analyze captures/*.pcapng.gz --site contoso.toml -o evidence/
      Judge by a site's own settings and keep the evidence.
  tcpdump -r office.pcap -w - 'port 443' | afs-audit analyze - --format jsonl | jq 'select(.record == \"finding\")'
      Read from a pipe, and print every record as one JSON object a line.

Formats:
  table  the summary
  csv    flow rows; findings and DNS answers are in the folder of -o and in jsonl
  jsonl  every record, one object a line: its `record` is flow, dns, finding or requirement";

/// Capture from interfaces and judge as it happens
///
/// Runs until it is stopped (Ctrl-C, SIGTERM, -c, --duration) and leaves the same evidence as `analyze` does. Opens the
/// interfaces, then gives its rights up. On a terminal it shows what is wrong now; in a pipe it prints a line for each new
/// finding, or with `jsonl` every record as flows end. SIGHUP closes the evidence and begins anew.
#[derive(Debug, Args)]
#[command(after_long_help = LIVE_AFTER)]
pub(super) struct Live {
    /// Interface to capture on, or `any`; can be repeated
    #[arg(
        short,
        long,
        required = true,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Capture"
    )]
    pub(super) interface: Vec<String>,
    /// Capture only frames that match a filter in the syntax of tcpdump
    #[arg(short, long, value_name = "BPF", help_heading = "Capture")]
    pub(super) filter: Option<String>,
    /// Bytes kept of each frame; 0 is as much as there is
    #[arg(short, long, value_name = "BYTES", default_value = "262144", value_parser = super::plan::snap_len, help_heading = "Capture")]
    pub(super) snaplen: u32,
    /// End after this many frames
    #[arg(short, long, value_name = "FRAMES", help_heading = "Capture")]
    pub(super) count: Option<NonZeroU64>,
    /// End after this time, as `90s`, `10m`, `1h` or `1d`
    #[arg(long, value_name = "TIME", value_parser = super::plan::duration, help_heading = "Capture")]
    pub(super) duration: Option<std::time::Duration>,
    /// The kernel's ring for each interface, in MiB
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=2047), help_heading = "Capture")]
    pub(super) buffer: u32,
    /// Write the frames to this file or named pipe too, as pcapng; never at the cost of capture. `-` is standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Capture")]
    pub(super) write: Option<PathBuf>,
    /// Begin another file at this size, as `100M` or `1G`: FILE-00001.pcapng and so on; what is there stays
    #[arg(long, value_name = "SIZE", requires = "write", value_parser = super::plan::size, help_heading = "Capture")]
    pub(super) rotate_size: Option<u64>,
    /// Begin another file after this time
    #[arg(long, value_name = "TIME", requires = "write", value_parser = super::plan::duration, help_heading = "Capture")]
    pub(super) rotate_time: Option<std::time::Duration>,

    /// Write the evidence into this folder, which is created if it is not there
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub(super) output: Option<PathBuf>,
    /// Write into a folder that is not empty and not ours; files of other names stay
    #[arg(long, requires = "output", help_heading = "Output")]
    pub(super) force: bool,
    /// Close the evidence after each such time and begin anew, in a folder of DIR named after its beginning. Without it the
    /// evidence is complete when the run ends, and a crash or a full disk loses all of it
    #[arg(long, value_name = "TIME", requires = "output", value_parser = super::plan::duration, help_heading = "Output")]
    pub(super) every: Option<std::time::Duration>,
    /// What goes to standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub(super) format: Format,
    /// Exit with 1 when there is a finding this severe or more
    #[arg(long, value_name = "SEVERITY", default_value = "low", help_heading = "Output")]
    pub(super) fail_on: FailOn,
    /// No view and no summary: errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub(super) quiet: bool,
    /// All findings and destinations in the summary, not only those that fit a screen
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,
    /// Serve Prometheus metrics at this address, as `9105` (on loopback) or `10.1.0.5:9105`
    #[arg(long, value_name = "ADDR", value_parser = super::plan::listen, help_heading = "Output")]
    pub(super) metrics: Option<std::net::SocketAddr>,

    #[command(flatten)]
    pub(super) judgement: Judgement,

    /// Memory to stay below, in MiB, the kernel's rings not counted
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = clap::value_parser!(u32).range(128..), help_heading = "Bounds")]
    pub(super) memory: u32,
    /// User to become when started as root; by default the one who called sudo, else `nobody`
    #[arg(long, value_name = "NAME", help_heading = "Rights")]
    pub(super) user: Option<String>,
    /// Do not run unless the rights could be given up
    #[arg(long, help_heading = "Rights")]
    pub(super) require_sandbox: bool,
}

const LIVE_AFTER: &str = "\
Examples:
  afs-audit live -i eth0 --site contoso.toml
      Watch a span port, and show what is wrong as it happens.
  afs-audit live -i eth0 -o evidence/ --every 1h -w frames/eth0.pcapng --rotate-size 1G
      Keep evidence by the hour, and the frames too.
  afs-audit live -i any -c 1000 --format jsonl
      Print every record of the next thousand frames as one JSON object a line.

Losses:
  Frames that the kernel, the interface or this program had no room for are counted and shown. A flow that
  was silent while frames were lost is `inconclusive`, never blocked.";

/// List the interfaces that could be captured on
#[derive(Debug, Args)]
pub(super) struct Interfaces {
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: Format,
}

/// Explain a finding or a signature, or list all that there are
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A finding's code, as AFS202, or a word of the column `signature`, as tcp-unanswered
    pub(super) code: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Rules {
    /// List the documents and how many rules each has
    List(RulesFrom),
    /// Print the rules of a document, or one rule
    Show {
        /// A document's or a rule's id
        id: String,
        #[command(flatten)]
        from: RulesFrom,
    },
    /// Check that all rules can be read and that no two contradict
    Check(RulesFrom),
    /// Say what changed between two documents
    Diff {
        /// The earlier document's id
        old: String,
        /// The later document's id
        new: String,
        #[command(flatten)]
        from: RulesFrom,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Print a commented site file, filled from captures of the site
    ///
    /// Region, storage accounts, servers, resolvers and proxy are those that were seen. Read every line before you rely on
    /// it: what was seen need not be right.
    Init {
        /// Captures to read, or folders of them; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        from: RulesFrom,
    },
}

#[derive(Debug, Args)]
pub(super) struct RulesFrom {
    /// Rules in this folder in place of those built in
    #[arg(long, value_name = "DIR")]
    pub(super) rules: Option<PathBuf>,
}

/// Check that evidence is as it was written
///
/// Computes the hashes of the outputs again, and of those inputs that are still where they were.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// An evidence folder
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Print nothing: the exit status says it
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Print completions for a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

/// Print the manual page, in the format of man(7)
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Of a command; by default of the whole
    pub(super) command: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

/// What goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A summary for people
    Table,
    /// Flow rows
    Csv,
    /// All records, one JSON object a line
    Jsonl,
}

/// The hash of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    /// What others can check with the tools they have
    Sha256,
    /// Faster for large inputs
    Blake3,
    /// Inputs are not hashed
    None,
}

/// From which severity on findings are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Any finding
    Info,
    /// Should be looked at
    Low,
    /// Should be changed
    Medium,
    /// Breaks the service or the rules
    High,
    /// No finding
    Never,
}

impl FailOn {
    /// The least severity that is a failure.
    pub const fn least(self) -> Option<Severity> {
        match self {
            FailOn::Info => Some(Severity::Info),
            FailOn::Low => Some(Severity::Low),
            FailOn::Medium => Some(Severity::Medium),
            FailOn::High => Some(Severity::High),
            FailOn::Never => None,
        }
    }
}
