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
    Explain(Explain),
    /// List, show, check and compare the rules that were written from documents
    #[command(subcommand)]
    Rules(Rules),
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

/// Explain a finding, or list all that there are
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A finding's code, as AFS202
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
