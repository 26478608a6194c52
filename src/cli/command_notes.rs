//! Examples, exit statuses, files and environment variables of each command.
//!
//! In:  nothing: this is a table.
//! Out: what follows the options in `--help` and in the manual pages.
//! Not: the options; see `args`.

/// What is known about a command besides its options.
pub(super) struct CommandNotes {
    /// The words of the command, without the program's name; empty for the program itself.
    pub(super) command: &'static str,
    /// Command lines, and what each does.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Sections of text: heading and lines.
    pub(super) sections: &'static [(&'static str, &'static str)],
    /// Exit statuses and their meanings.
    pub(super) exit_status: &'static [(&'static str, &'static str)],
    /// Files that it reads or writes.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Environment variables that it reads, besides `NO_COLOR`.
    pub(super) environment: &'static [(&'static str, &'static str)],
}

/// Exit statuses of commands that judge nothing.
const DONE_OR_NOT: &[(&str, &str)] = &[("0", "done"), ("2", "could not be done: the message says why")];

/// Exit statuses of an audit.
const AUDIT_STATUS: &[(&str, &str)] = &[
    ("0", "no finding at or above --fail-on"),
    ("1", "findings at or above --fail-on"),
    (
        "2",
        "the job was not done completely: usage, an input that could not be read, output that could not be written, a server \
         named with --server that is not in the capture, or an interrupted run",
    ),
];

/// The files of an evidence folder.
const EVIDENCE: &[(&str, &str)] = &[
    ("DIR/flows.csv", "one row for each flow"),
    ("DIR/dns.csv", "one row for each DNS response and each unanswered query"),
    ("DIR/findings.csv", "one row for each finding"),
    (
        "DIR/requirements.csv",
        "one row for each server and documented endpoint that it needs; with a site file",
    ),
    ("DIR/report.html", "one page for people"),
    ("DIR/evidence.pcapng", "the frames that prove findings"),
    ("DIR/facts.lz4", "what was extracted from the packets, for afs-audit-judge(1)"),
    ("DIR/manifest.json", "hashes of inputs, rules and outputs, and the accounting of every frame"),
    ("DIR.unfinished", "rows of a run that has not finished, or was killed"),
];

/// The files of a live run.
const LIVE_EVIDENCE: &[(&str, &str)] = &[
    (
        "DIR/flows.csv, DIR/dns.csv, DIR/findings.csv, DIR/requirements.csv, DIR/report.html, DIR/manifest.json",
        "the evidence; see afs-audit-analyze(1)",
    ),
    ("DIR/evidence.pcapng", "with -w, the frames that prove findings"),
    ("DIR/TIME/", "with --every, the evidence of the interval that began at this time"),
    ("DIR/.unfinished, DIR.unfinished", "rows of a run or interval that has not finished, or was killed"),
    ("afs-audit.service", "the systemd unit, which writes hourly evidence to /var/lib/afs-audit/evidence"),
];

const READ_EVIDENCE: &[(&str, &str)] =
    &[("DIR/manifest.json", "the manifest; the other files of the folder are read as it lists them")];

const NONE: &[(&str, &str)] = &[];

/// All commands.
pub(super) const NOTES: &[CommandNotes] = &[
    CommandNotes {
        command: "",
        examples: &[
            ("afs-audit analyze office.pcapng", "Audit one capture and print a summary."),
            (
                "afs-audit analyze captures/*.pcapng.gz --site contoso.toml -o evidence/",
                "Audit several captures with a site file, and write an evidence folder.",
            ),
            (
                "afs-audit explain AFS202",
                "Explain a finding: what it means, what usually causes it, what to do.",
            ),
        ],
        sections: NONE,
        exit_status: &[
            ("0", "no finding at or above --fail-on"),
            (
                "1",
                "findings, or `verify` or `rules check` found a fault, or `compare` found that something got worse",
            ),
            (
                "2",
                "the job was not done completely: usage, an input that could not be read, output that could not be written, a \
                 server that is not in the capture, or an interrupted run",
            ),
        ],
        files: EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "analyze",
        examples: &[
            ("afs-audit analyze office.pcapng --server 10.1.0.4", "Audit one server and print a summary."),
            (
                "afs-audit analyze captures/*.pcapng.gz --site contoso.toml -o evidence/",
                "Audit with a site file and write an evidence folder.",
            ),
            (
                "tcpdump -r office.pcap -w - 'port 443' | afs-audit analyze - --format jsonl",
                "Read from a pipe, and print every record as one JSON object per line.",
            ),
        ],
        sections: &[(
            "Formats",
            "table  the summary\n\
             csv    flow rows; findings and DNS rows are written by -o and by jsonl\n\
             jsonl  every record, one JSON object per line: its `record` is flow, dns, finding, requirement,\n       \
             limit or not-done (`afs-audit schema` prints their JSON Schema)",
        )],
        exit_status: AUDIT_STATUS,
        files: EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "live",
        examples: &[
            (
                "afs-audit live -i eth0 --site contoso.toml",
                "Watch a mirror port and show findings as they occur.",
            ),
            (
                "afs-audit live -i eth0 -o evidence/ --every 1h -w frames/eth0.pcapng --rotate-size 1G",
                "Write hourly evidence, and the frames too; each hour has the frames that prove its findings.",
            ),
            (
                "afs-audit live -i any -c 1000 --format jsonl",
                "Print every record of the next thousand frames as one JSON object per line.",
            ),
        ],
        sections: &[
            (
                "Problems",
                "A problem is a finding over the time of the run. It is ongoing if it occurred in the last 15 minutes and nothing \
                 shows that it is over; recovered if the same host has reached the same destination since; not seen again if it \
                 did not occur for 15 minutes and nothing shows that it is over.\n\
                 What contradicts the documents, such as an undocumented destination, does not recover. Where a name has several \
                 addresses, a success at another address counts a minute after the last occurrence. A problem that comes and goes \
                 is reported at once the first three times, then at longer and longer intervals.",
            ),
            (
                "How soon a problem is reported",
                "DNS errors, resets and ICMP errors of a filter: within two seconds.\n\
                 A SYN without a reply: 5 to 6 seconds after the first SYN, if the client retransmits it within 3 seconds and the \
                 capture has packets to the client.\n\
                 A DNS query without a response: a minute after the last query.\n\
                 Everything else that only silence shows: when the flow ends.",
            ),
            (
                "Frames that prove findings",
                "With -w and -o, the evidence has them in evidence.pcapng. They are read back from the saved files when an interval or \
                 the run ends, for at most 15 seconds; the capture does not wait for it.\n\
                 A connection that ends in an interval may have begun in an earlier one. The manifest counts frames that were not \
                 saved, and those in files that have been deleted or changed since. Without -w, or with -w to a pipe, there is no \
                 evidence.pcapng: which frames prove a finding is often known minutes after they passed.",
            ),
            (
                "Dropped frames",
                "Frames dropped by the kernel, the network interface or afs-audit are counted and shown.\n\
                 A flow without a reply while frames were dropped is `inconclusive`, never `blocked-looking`.",
            ),
        ],
        exit_status: AUDIT_STATUS,
        files: LIVE_EVIDENCE,
        environment: &[
            ("SUDO_USER", "the user to run as after the interfaces are open, if --user is not given"),
            ("TERM", "whether the terminal can update the view in place"),
        ],
    },
    CommandNotes {
        command: "judge",
        examples: &[
            (
                "afs-audit judge evidence/ --site contoso.toml -o judged/",
                "Judge what an earlier run extracted under another site file.",
            ),
            (
                "afs-audit judge evidence/ --documents azure-file-sync@2019-06-24",
                "Print the summary as of an earlier version of a document.",
            ),
            (
                "afs-audit judge evidence/2026-* --site contoso.toml -o judged/",
                "Judge all intervals of `live --every` as one run.",
            ),
        ],
        sections: &[(
            "Limits",
            "The facts are those that the earlier run extracted: its capture filter, its -c and its limits hold for the new \
             evidence, too. evidence.pcapng holds the frames that the earlier run copied; the manifest counts what is missing.",
        )],
        exit_status: AUDIT_STATUS,
        files: EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "interfaces",
        examples: &[("afs-audit interfaces", "List the interfaces with their state and addresses.")],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "explain",
        examples: &[
            (
                "afs-audit explain AFS202",
                "Explain a finding: what it looks like, its usual cause, what to do.",
            ),
            ("afs-audit explain tcp-unanswered", "Explain a mechanism."),
            ("afs-audit explain", "List all findings, mechanisms and reasons."),
        ],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "rules",
        examples: &[("afs-audit rules list", "List the documents and their tables.")],
        sections: NONE,
        exit_status: &[
            ("0", "done"),
            ("1", "`rules check` found a fault"),
            ("2", "could not be done: the message says why"),
        ],
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "rules list",
        examples: &[("afs-audit rules list", "List the documents and their tables.")],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "rules show",
        examples: &[
            ("afs-audit rules show westeurope01.afs.azure.net", "Print the rows that match a host."),
            ("afs-audit rules show azure-file-sync@2019-06-24", "Print the rows of a document."),
        ],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "rules check",
        examples: &[
            ("afs-audit rules check", "Check the built-in rules."),
            ("afs-audit rules check --rules my-rules/", "Check the rules in a folder before they are used."),
        ],
        sections: NONE,
        exit_status: &[
            ("0", "no fault"),
            ("1", "faults, each printed with its file and line"),
            ("2", "the folder cannot be read"),
        ],
        files: &[("*.toml", "the rule files of the folder")],
        environment: NONE,
    },
    CommandNotes {
        command: "rules diff",
        examples: &[(
            "afs-audit rules diff azure-file-sync@2019-06-24 azure-file-sync@2024-05-13",
            "Show what changed between two editions of a document.",
        )],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "site",
        examples: &[("afs-audit site init office.pcapng > contoso.toml", "Create a draft of a site file.")],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "site init",
        examples: &[("afs-audit site init office.pcapng > contoso.toml", "Create a draft from a capture.")],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "verify",
        examples: &[
            ("afs-audit verify evidence/", "Check that nothing was changed."),
            (
                "afs-audit verify evidence/ --allowed-signers allowed_signers",
                "Also check who signed the manifest.",
            ),
        ],
        sections: NONE,
        exit_status: &[
            ("0", "every output is unchanged, and so is every input that was found"),
            (
                "1",
                "a file was changed, is missing, or is not of this run; or the digest or the signature does not match",
            ),
            ("2", "the folder cannot be verified, or ssh-keygen is missing"),
        ],
        files: &[
            ("DIR/manifest.json", "the manifest, with the hashes of all other files"),
            ("DIR/manifest.json.sig", "the signature of the manifest"),
        ],
        environment: NONE,
    },
    CommandNotes {
        command: "sign",
        examples: &[(
            "afs-audit sign evidence/ --key ~/.ssh/id_ed25519",
            "Sign the manifest with an SSH key.",
        )],
        sections: NONE,
        exit_status: &[("0", "signed"), ("2", "not signed: the message says why")],
        files: &[
            ("DIR/manifest.json", "the manifest"),
            ("DIR/manifest.json.sig", "the signature that is written"),
        ],
        environment: &[(
            "SSH_AUTH_SOCK",
            "the SSH agent, if --key names a public key; read by ssh-keygen(1)",
        )],
    },
    CommandNotes {
        command: "report",
        examples: &[(
            "afs-audit report evidence/ -o page.html",
            "Write the page of an evidence folder again.",
        )],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: READ_EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "compare",
        examples: &[
            ("afs-audit compare before/ after/", "Show what a firewall change has changed."),
            ("afs-audit compare before/ after/ --html change.html", "Also write a page for others."),
        ],
        sections: NONE,
        exit_status: &[
            ("0", "nothing got worse"),
            (
                "1",
                "an endpoint that the site needs was reached and looks blocked, or a finding of at least --fail-on is new",
            ),
            ("2", "a folder cannot be read or was changed, or no server was audited in both runs"),
        ],
        files: READ_EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "allowlist",
        examples: &[
            ("afs-audit allowlist evidence/", "Print the rules as a table."),
            (
                "afs-audit allowlist evidence/ --format fortigate > rules.txt",
                "Print commands for a firewall.",
            ),
        ],
        sections: &[(
            "Addresses",
            "`nftables` and `powershell` know addresses only. Their rules have the prefixes of the service tags that the \
             documents name, the date of the tag file, and the number of addresses that each rule opens. Destinations without \
             a service tag are not in them. What a format cannot express is printed on standard error, and never widened.\n\
             Instances of Azure File Sync get the prefixes of their region, as the document does it, and the storage accounts of \
             the site file those of the region of the sync service. With redundancy GRS, and for accounts without a redundancy in \
             the site file, the paired region is added: an account fails over to it. Where the tag file lacks one of the regions, \
             and for all else, the tag is that of all regions: only the documents of Azure File Sync tell where an endpoint is, \
             and regional tags of others, such as AzureArcInfrastructure, lack their global parts.",
        )],
        exit_status: DONE_OR_NOT,
        files: READ_EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "probe-list",
        examples: &[
            ("afs-audit probe-list evidence/", "Print commands to run on each server."),
            ("afs-audit probe-list evidence/ --format powershell > probe.ps1", "Print a script."),
        ],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: READ_EVIDENCE,
        environment: NONE,
    },
    CommandNotes {
        command: "schema",
        examples: &[("afs-audit schema finding", "Print the JSON Schema of findings.")],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "completions",
        examples: &[
            ("source <(afs-audit completions bash)", "Complete commands and options in this bash."),
            (
                "afs-audit completions bash > ~/.local/share/bash-completion/completions/afs-audit",
                "Complete them in every later bash, where bash-completion is installed.",
            ),
        ],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
    CommandNotes {
        command: "man",
        examples: &[
            ("afs-audit man | man -l -", "Show the manual page of the program."),
            ("afs-audit man rules show | man -l -", "Show the manual page of one command."),
            ("afs-audit man -o ~/.local/share/man/man1", "Write the pages of all commands."),
        ],
        sections: NONE,
        exit_status: DONE_OR_NOT,
        files: NONE,
        environment: NONE,
    },
];

/// The notes of a command, by its words.
pub(super) fn notes(command: &str) -> Option<&'static CommandNotes> {
    NOTES.iter().find(|notes| notes.command == command)
}

impl CommandNotes {
    /// The text after the options in `--help`.
    pub(super) fn help(&self) -> String {
        let mut parts = Vec::new();
        if !self.examples.is_empty() {
            let lines = self.examples.iter().map(|(line, about)| format!("\n  {line}\n      {about}"));
            parts.push(format!("Examples:{}", lines.collect::<String>()));
        }
        for (heading, text) in self.sections {
            parts.push(format!("{heading}:\n  {}", text.replace('\n', "\n  ")));
        }
        // That of most commands is as usual.
        if self.exit_status != DONE_OR_NOT {
            let lines = self.exit_status.iter().map(|(status, about)| format!("\n  {status}  {about}"));
            parts.push(format!("Exit status:{}", lines.collect::<String>()));
        }
        parts.join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command, words: &str) {
        let notes = notes(words).unwrap_or_else(|| panic!("no notes of `{words}`"));
        assert!(!notes.examples.is_empty() && !notes.exit_status.is_empty(), "{words}");
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            check(sub, format!("{words} {}", sub.get_name()).trim_start());
        }
    }

    #[test]
    fn every_command_has_examples_and_exit_statuses() {
        check(&crate::cli::command(), "");
    }

    /// Examples are commands that the program knows.
    #[test]
    fn examples_are_understood() {
        for (line, _) in NOTES.iter().flat_map(|notes| notes.examples) {
            let line =
                line.rsplit("| afs-audit ").next().filter(|_| line.contains("| afs-audit ")).unwrap_or(line);
            let own = line.trim_start_matches("source <(").trim_start_matches("afs-audit ");
            let own = own.split(['|', '>', ')']).next().unwrap_or(own);
            let words = std::iter::once("afs-audit").chain(own.split_whitespace());
            if let Err(error) = crate::cli::command().try_get_matches_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
