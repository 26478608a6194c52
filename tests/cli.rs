//! The command line: exit status, standard output and standard error.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test cannot do fails it")]

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use assert_cmd::assert::OutputAssertExt as _;

fn afs_audit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_afs-audit"))
}

/// Runs the program and checks its exit status. `expected` must be in standard output (status 0 and 1) or in standard error
/// (status 2), and the other one empty.
fn check(arguments: &[&str], status: i32, expected: &str) -> String {
    let output = afs_audit().args(arguments).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(status), "{stdout}{stderr}");
    let (said, silent) = if status == 2 { (stderr, stdout) } else { (stdout, stderr) };
    assert!(said.contains(expected), "{said}");
    assert_eq!(silent, "");
    said
}

#[test]
fn help_goes_to_standard_output() {
    check(&["--help"], 0, "Exit status:");
    check(&["analyze", "--help"], 0, "[default: blake3]");
    check(&["--version"], 0, "afs-audit ");
    for command in ["analyze", "explain", "rules", "verify", "schema", "completions", "man"] {
        check(&[command, "-h"], 0, "Usage: afs-audit");
    }
}

/// Without libpcap, the commands of live capture exist and report what they need.
#[cfg(not(feature = "live"))]
#[test]
fn live_needs_libpcap() {
    const WHY: &str = "this program was built without libpcap; install its development files";
    check(&["live", "-i", "eth0"], 2, &format!("afs-audit: cannot capture: {WHY}"));
    check(&["interfaces"], 2, &format!("afs-audit: cannot list interfaces: {WHY}"));
    check(&["analyze", "-", "-f", "tcp"], 2, &format!("cannot use a capture filter: {WHY}"));
}

#[test]
fn a_job_that_cannot_start_ends_with_status_2() {
    check(&[], 2, "Usage:");
    check(&["analyse"], 2, "analyze");
    check(&["analyze"], 2, "<FILE>");
    check(&["analyze", "x.pcap", "--format", "xml"], 2, "jsonl");
    check(&["analyze", "x.pcap", "--threads", "0"], 2, "--threads");
    check(&["analyze", "x.pcap", "--force"], 2, "--output");
    for command in [&["analyze", "x.pcap"][..], &["live", "-i", "lo"]] {
        check(&[command, &["--memory", "127"]].concat(), 2, "127 is not in 128..");
    }
    check(&["analyze", "x.pcap", "--memory", "256", "--max-flows", "9"], 2, "cannot be used with");
    check(&["analyze", "x.pcap"], 2, "afs-audit: cannot read capture: x.pcap: no such file or folder\n");
    check(&["explain", "AFS999"], 2, "unknown finding code, mechanism or reason `AFS999`");
    check(&["verify", "no/such/folder"], 2, "no such file or folder\n");
    check(&["man", "nothing"], 2, "no such command: nothing\n");
}

#[test]
fn an_unwritable_output_is_reported_before_reading() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    check(&["analyze", "Cargo.toml", "-o", &path(&file)], 2, "cannot write evidence: ");
    check(&["analyze", "Cargo.toml", "-o", &path(&file.join("below"))], 2, "cannot write evidence: ");
    let stderr = check(&["analyze", "Cargo.toml", "-o", &path(folder.path())], 2, "--force");
    assert!(stderr.contains("not written by afs-audit"), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A capture of one SYN from 10.1.0.4 to 20.60.0.4 port 443.
fn capture() -> Vec<u8> {
    let ethernet = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0];
    let ipv4 = [0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 1, 0, 4, 20, 60, 0, 4];
    let tcp = [0xc3, 0x50, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0, 0, 0, 0];
    let frame = [ethernet.as_slice(), &ipv4, &tcp].concat();
    let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1];
    let record: [u32; 4] = [1_784_542_272, 123_456, frame.len() as u32, frame.len() as u32];
    let words = header.iter().chain(&record).flat_map(|word| word.to_le_bytes());
    words.chain(frame).collect()
}

#[test]
fn evidence_can_be_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (office, evidence) = (path("office.pcap"), path("evidence"));
    std::fs::write(&office, capture()).unwrap();
    let analyze = |more: &[&str], status, expected: &str| {
        let arguments = [["analyze", &office, "--server", "10.1.0.4"].as_slice(), more].concat();
        check(&arguments, status, expected)
    };
    let quiet = ["-q", "--fail-on", "never"];
    analyze(&["--fail-on", "never"], 0, "office.pcap: 1 frame, 94 B\n");
    let csv = analyze(&[quiet.as_slice(), &["--format", "csv"]].concat(), 0, "flow_id,community_id,file,");
    assert!(csv.contains(",office.pcap,1,1,2026-07-20T10:11:12.123456000Z,"), "{csv}");
    analyze(&[quiet.as_slice(), &["--format", "jsonl"]].concat(), 0, "{\"record\":\"flow\",\"flow_id\":1,");
    analyze(&[quiet.as_slice(), &["-o", &evidence]].concat(), 0, "");
    assert_eq!(std::fs::read_to_string(path("evidence/flows.csv")).unwrap(), csv);

    check(&["verify", &evidence], 0, "output  flows.csv: unchanged\n");
    std::fs::write(path("evidence/flows.csv"), csv.replace("443", "444")).unwrap();
    check(&["verify", &evidence], 1, "output  flows.csv: CHANGED: hash ");
    check(&["verify", "-q", &evidence], 1, "");
}

/// The evidence folder may be inside the folder that is read, also in a second run.
#[test]
fn an_evidence_folder_is_not_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/demo/capture.pcap");
    std::fs::copy(demo, folder.path().join("demo.pcap")).unwrap();
    let manifest = || {
        let run = ["analyze", ".", "-o", "evidence", "--force", "--quiet", "--fail-on", "never"];
        afs_audit().current_dir(folder.path()).args(run).assert().code(0).stdout("");
        let text = std::fs::read(folder.path().join("evidence/manifest.json")).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
        manifest["run"].take();
        manifest
    };
    let first = manifest();
    assert_eq!(first["inputs"].as_array().unwrap().len(), 1, "{first:#}");
    assert_eq!(first, manifest());
}

#[test]
fn a_pipe_closed_early_is_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let office = folder.path().join("office.pcap");
    std::fs::write(&office, capture()).unwrap();
    for format in ["table", "csv", "jsonl"] {
        let mut command = afs_audit();
        command.arg("analyze").arg(&office).args(["--fail-on", "never", "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("cannot"), "{output:?}");
        output.assert().success();
    }
}

#[test]
fn findings_are_explained() {
    let stdout =
        check(&["explain", "afs202"], 0, "AFS202 high: connection attempt or request never answered");
    assert!(!stdout.contains('\x1b'), "no colour in a pipe");
    let stdout = check(&["explain", "--color", "always"], 0, "AFS101");
    assert!(stdout.contains('\x1b'));
}

#[test]
fn completions_and_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        check(&["completions", shell], 0, "fail-on");
    }
    check(&["man"], 0, ".TH afs-audit 1");
    check(&["man", "analyze"], 0, ".TH afs-audit-analyze 1");
    check(&["man", "rules", "shwo"], 2, "no such command: shwo, did you mean `show`?");
}

/// Each command has a page with the sections that readers look for, and its command lines are not broken.
#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    check(&["man", "-o", folder.path().to_str().unwrap()], 0, "");
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 21, "{names:?}");
    for name in ["afs-audit.1", "afs-audit-live.1", "afs-audit-rules-show.1", "afs-audit-site-init.1"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    for name in &names {
        let page = std::fs::read_to_string(folder.path().join(name)).unwrap();
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "\"EXIT STATUS\"", "ENVIRONMENT", "\"SEE ALSO\""]
        {
            assert!(page.contains(&format!(".SH {section}\n")), "{name}: {section}");
        }
    }
    let page = std::fs::read_to_string(folder.path().join("afs-audit-analyze.1")).unwrap();
    assert!(page.contains(".SH FILES\n"), "{page}");
    let example =
        "\n.nf\nafs\\-audit analyze captures/*.pcapng.gz \\-\\-site contoso.toml \\-o evidence/\n.fi\n";
    assert!(page.contains(example), "{page}");
}

/// bash completes commands, options and their values at every level.
#[test]
fn bash_completes_commands_options_and_values() {
    let script = r#"
source <("$1" completions bash) || exit
shift
COMP_WORDS=(afs-audit "$@"); COMP_CWORD=$#
_afs__audit afs-audit "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
echo "${COMPREPLY[@]}"
"#;
    let complete = |words: &[&str]| {
        let program = env!("CARGO_BIN_EXE_afs-audit");
        let output = Command::new("bash").args(["-c", script, "bash", program]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete(&["an"]), "analyze");
    assert_eq!(complete(&["analyze", "--evidence-s"]), "--evidence-snaplen --evidence-size");
    assert_eq!(complete(&["analyze", "a.pcap", "--fail-on", "m"]), "medium");
    assert_eq!(complete(&["rules", "s"]), "show");
    assert_eq!(complete(&["rules", "show", "--r"]), "--rules");
    assert_eq!(complete(&["site", "init", "--ru"]), "--rules");
    assert_eq!(complete(&["probe-list", "--format", "p"]), "powershell");
    assert_eq!(complete(&["explain", "AFS42"]), "AFS421 AFS422");
    assert_eq!(complete(&["explain", "tcp-u"]), "tcp-unanswered");
    assert_eq!(complete(&["--color", "never", "allowlist", "--w"]), "--with-observed");
}

#[test]
fn a_closed_pipe_is_not_an_error_of_other_commands() {
    let diff = ["rules", "diff", "azure-file-sync@2019-06-24", "azure-file-sync@2024-05-13"];
    for arguments in [
        ["completions", "bash"].as_slice(),
        &["man", "analyze"],
        &["explain"],
        &["--help"],
        &["rules", "list"],
        &diff,
    ] {
        let mut child =
            afs_audit().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        output.assert().success().stderr("");
    }
}

/// Writing to `/dev/full` fails like writing to a full disk.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_with_status_2() {
    for arguments in [["explain"].as_slice(), &["man"], &["completions", "bash"], &["--help"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = afs_audit().args(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        if arguments != ["--help"] {
            output.assert().stderr("afs-audit: cannot write: standard output: no space left on the disk\n");
        }
    }
}

/// The completed part of the job is kept, and the exit status reports that the rest is missing.
#[test]
fn a_job_that_was_not_done_completely_ends_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/demo/capture.pcap");
    std::fs::write(folder.path().join("notes.txt"), "no capture\n").unwrap();
    let analyze = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_afs-audit"));
        let output = command.arg("analyze").arg(demo).args(args).current_dir(&folder).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, records, messages) = analyze(&["notes.txt", "-q", "--format", "jsonl", "-o", "evidence"]);
    assert_eq!(status, Some(2), "{messages}");
    assert!(messages.contains("cannot read capture: notes.txt"), "{messages}");
    assert!(
        records.contains("{\"reason\":\"cannot read capture: notes.txt")
            && records.contains("\"record\":\"flow\"")
    );
    let manifest = std::fs::read_to_string(folder.path().join("evidence/manifest.json")).unwrap();
    assert!(manifest.contains("\"not_done\": [\n    \"cannot read capture: notes.txt"), "{manifest}");
    std::fs::create_dir(folder.path().join("texts")).unwrap();
    std::fs::write(folder.path().join("texts/notes.txt"), "no capture\n").unwrap();
    let (status, _, messages) = analyze(&["texts", "-q"]);
    assert_eq!(status, Some(2), "{messages}");
    assert!(messages.contains("cannot read capture: texts/notes.txt: text file"), "{messages}");
}

/// Each server that is named, and one of those that the site file declares, must be in the capture.
#[test]
fn a_server_that_is_not_in_the_capture_ends_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/demo/capture.pcap");
    let check = |servers: &str, named: &[&str], status: i32, expected: &str| {
        let site = folder.path().join("site.toml");
        std::fs::write(&site, format!("[roles]\nservers = {servers}\n")).unwrap();
        let output = afs_audit()
            .args(["analyze", demo, "--fail-on", "never", "--site", site.to_str().unwrap()])
            .args(named)
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let named = ["--server", "10.1.0.4", "--server", "198.51.100.1"];
    check("[]", &named, 2, "no flow of server 198.51.100.1 (--server) in the capture");
    check("[]", &named[..2], 0, "1 host audited");
    check(
        "[\"192.0.2.0/28\"]",
        &[],
        2,
        "no host was audited: no flow of 192.0.2.0/28 in the capture, which [roles]",
    );
    check("[\"192.0.2.0/28\", \"10.1.0.5\"]", &[], 0, "site file: no flow of 192.0.2.0/28 in the capture");
    // A part of a capture may show no server.
    check(
        "[]",
        &["--server", "198.51.100.1", "--from", "2026-11-21T02:24:05Z"],
        0,
        "no flow of server 198.51.100.1",
    );
}

/// A misspelt address of a role must not look like a role without problems.
#[test]
fn declared_hosts_that_are_not_in_the_capture_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (site, evidence) = (folder.path().join("site.toml"), folder.path().join("evidence"));
    let declared = "[roles]\nactive-directory = [\"10.1.0.53\", \"192.0.2.53\"]\nmanagement-system = [\"192.0.2.0/28\"]\n\
                    [proxy]\naddresses = [\"192.0.2.8:8080\"]\n[dns]\nresolvers = [\"10.1.0.53\", \"192.0.2.54\"]\n\
                    [private-endpoints]\nnetworks = [\"192.0.2.64/26\"]\n";
    std::fs::write(&site, declared).unwrap();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/demo/capture.pcap");
    let expected = "declared hosts without a flow in the capture: [roles] active-directory 192.0.2.53; [roles] management-system \
                    192.0.2.0/28; [private-endpoints] 192.0.2.64/26; [dns] 192.0.2.54; [proxy] 192.0.2.8:8080";
    let run = ["analyze", demo, "--fail-on", "never", "--site", site.to_str().unwrap()];
    let output = afs_audit().args(run).args(["-o", evidence.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let summary = String::from_utf8(output.stdout).unwrap();
    let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(summary.contains(&format!("site file: {expected}")), "{summary}");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(evidence.join("manifest.json")).unwrap()).unwrap();
    assert!(manifest["warnings"].as_array().unwrap().contains(&expected.into()), "{}", manifest["warnings"]);
    let records = check(&[&run[..], &["-q", "--format", "jsonl"]].concat(), 0, "flow");
    let record = serde_json::json!({"record": "limit", "kind": "site-file", "message": expected}).to_string();
    assert!(records.lines().any(|line| line == record), "no {record}");
}

/// What limits the results is a record, too: a script sees it without the summary.
#[test]
fn json_lines_report_what_limits_the_results() {
    let folder = tempfile::tempdir().unwrap();
    let (cut, site) = (folder.path().join("cut.pcap"), folder.path().join("site.toml"));
    let demo = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/captures/demo/capture.pcap")).unwrap();
    std::fs::write(&cut, &demo[..20_000]).unwrap();
    let allow = |network: &str, year: u16| {
        format!("[[allow]]\nnetwork = \"{network}\"\nreason = \"tests\"\nexpires = {year}-12-31\n")
    };
    std::fs::write(&site, allow("0.0.0.0/0", 2027) + &allow("198.51.100.0/24", 9999)).unwrap();
    let run = ["analyze", "-q", "--fail-on", "never", "--format", "jsonl", "--site"];
    let records = check(&[&run[..], &[site.to_str().unwrap(), cut.to_str().unwrap()]].concat(), 0, "flow");
    let damage = format!("{}: truncated after frame 95", cut.display());
    for (kind, message) in [
        ("damage", &*damage),
        ("site-file", "line 1: the exception for 0.0.0.0/0 allows most destinations, documented or not"),
        (
            "site-file",
            "line 5: the exception lasts until 9999-12-31; choose a date within 5 years, so that it is reviewed",
        ),
    ] {
        let record = serde_json::json!({"record": "limit", "kind": kind, "message": message}).to_string();
        assert!(records.lines().any(|line| line == record), "no {record}");
    }
}

#[test]
fn a_number_that_must_not_be_zero_is_explained() {
    check(&["analyze", "x.pcap", "--max-flows", "0"], 2, "expected a whole number from 1 on");
}

/// A capture that ends in its first frame was not audited.
#[test]
fn a_capture_without_a_whole_frame_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.pcap");
    let demo = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/captures/demo/capture.pcap")).unwrap();
    std::fs::write(&cut, &demo[..30]).unwrap();
    check(&["analyze", "-q", cut.to_str().unwrap()], 2, "no frame could be read");
    // No traffic at all is no damage.
    std::fs::write(&cut, &demo[..24]).unwrap();
    check(&["analyze", cut.to_str().unwrap()], 0, "nothing was audited");
}

/// Whether `value` is valid; only the keywords that `afs-audit schema` uses are understood.
fn is_valid(schema: &serde_json::Value, value: &serde_json::Value, definitions: &serde_json::Value) -> bool {
    let valid = |schema: &serde_json::Value| is_valid(schema, value, definitions);
    schema.as_object().unwrap().iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "$defs" => true,
        "$ref" => valid(&definitions[rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap()]),
        "oneOf" => rule.as_array().unwrap().iter().filter(|schema| valid(schema)).count() == 1,
        "anyOf" => rule.as_array().unwrap().iter().any(valid),
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "type" => match rule.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            other => panic!("type {other}"),
        },
        "minimum" => value.as_u64() >= rule.as_u64(),
        "minLength" => value.as_str().unwrap().len() as u64 >= rule.as_u64().unwrap(),
        "minItems" => value.as_array().unwrap().len() as u64 >= rule.as_u64().unwrap(),
        "pattern" => value.as_str().unwrap().contains('#'),
        "format" => {
            let text = value.as_str().unwrap();
            match rule.as_str().unwrap() {
                "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
                "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
                "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
                other => panic!("format {other}"),
            }
        }
        "items" => value.as_array().unwrap().iter().all(|item| is_valid(rule, item, definitions)),
        "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "properties" => value
            .as_object()
            .unwrap()
            .iter()
            // A later version may add keys; this one must not print keys without a type.
            .all(|(key, value)| rule.get(key).is_some_and(|rule| is_valid(rule, value, definitions))),
        other => panic!("keyword {other}"),
    })
}

#[test]
fn every_record_is_valid_under_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&check(&["schema"], 0, "2020-12")).unwrap();
    let demo = |file: &str| format!("{}/captures/demo/{file}", env!("CARGO_MANIFEST_DIR"));
    let (capture, site) = (demo("capture.pcap"), demo("site.toml"));
    let run = ["analyze", &capture, "--site", &site, "--format", "jsonl", "-q", "--fail-on", "never"];
    let records = check(&run, 0, "{\"record\":\"flow\"");
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for line in records.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(is_valid(&schema, &record, &schema["$defs"]), "{line}");
        let kind = record["record"].as_str().unwrap().to_owned();
        if !kinds.contains_key(&kind) {
            let alone = serde_json::from_str(&check(&["schema", &kind], 0, "2020-12")).unwrap();
            assert!(is_valid(&alone, &record, &schema["$defs"]), "{line}");
        }
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["dns", "finding", "flow", "limit", "requirement"]);
    let mut changed: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    changed["server_port"] = "443".into();
    assert!(!is_valid(&schema, &changed, &schema["$defs"]), "a port is a number");
    check(
        &["schema", "flows"],
        2,
        "flow, dns, finding, requirement, problem, not-done, limit, change, allow",
    );

    // The records of the commands that read evidence.
    let folder = tempfile::tempdir().unwrap();
    let evidence = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        let run = ["analyze", &capture, "-q", "--fail-on", "never", "-o", &path];
        check(&[&run, arguments].concat(), 0, "");
        path
    };
    let (before, after) = (evidence("before", &[]), evidence("after", &["--site", &site]));
    let compare = afs_audit().args(["compare", &before, &after, "--format", "jsonl"]).output().unwrap();
    let changes = String::from_utf8(compare.stdout).unwrap();
    let allowed = check(&["allowlist", &after, "--format", "jsonl"], 0, "{\"record\":\"allow\"");
    for (kind, lines) in [("change", changes), ("allow", allowed)] {
        let alone = serde_json::from_str(&check(&["schema", kind], 0, "2020-12")).unwrap();
        assert!(!lines.is_empty());
        for line in lines.lines() {
            let record = serde_json::from_str(line).unwrap();
            assert!(is_valid(&schema, &record, &schema["$defs"]), "{line}");
            assert!(is_valid(&alone, &record, &schema["$defs"]), "{line}");
        }
    }
}

/// SIGTERM ends a run that waits for a stalled pipe. What was read is audited and kept, marked as partial.
#[test]
fn an_interrupted_run_ends_with_status_2_and_partial_evidence() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let (evidence, printed) = (folder.path().join("evidence"), folder.path().join("printed.jsonl"));
    let mut run = afs_audit()
        .args(["analyze", "-", "-q", "--format", "jsonl", "-o", evidence.to_str().unwrap()])
        .stdin(Stdio::piped())
        // A file: nobody reads a pipe while the input is written.
        .stdout(std::fs::File::create(&printed).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (header, record) = {
        let all = capture();
        (all[..24].to_vec(), all[24..].to_vec())
    };
    let mut input = run.stdin.take().unwrap();
    input.write_all(&header).unwrap();
    // More than a pipe holds: once it is written, the program is reading, and has its signal handlers.
    for _ in 0..4_000 {
        input.write_all(&record).unwrap();
    }
    let killed = Command::new("kill").args(["-s", "TERM", &run.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = run.wait_with_output().unwrap();
    drop(input);
    let (stdout, stderr) =
        (std::fs::read_to_string(&printed).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("interrupted: the rest of the input was not read"), "{stderr}");
    assert!(stdout.contains("\"record\":\"flow\"") && stdout.contains("\"record\":\"not-done\""), "{stdout}");
    let manifest = std::fs::read(evidence.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["partial"], true, "{manifest}");
    assert!(manifest["accounting"]["frames"].as_u64().unwrap() > 500, "{manifest}");
    check(&["verify", evidence.to_str().unwrap()], 0, "unchanged");
}

/// The first signal ends a run whose input has not sent a byte: standard input, or a named pipe without a writer.
#[test]
fn a_signal_ends_a_run_with_a_silent_input() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for input in ["-", pipe.to_str().unwrap()] {
        let mut run = afs_audit()
            .args(["analyze", input])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = run.stdin.take();
        // Signals are caught from then on.
        let status = format!("/proc/{}/status", run.id());
        let catches = |status: &str| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            Some(u64::from_str_radix(mask.trim(), 16).ok()? & 1 << 14 != 0)
        };
        while !catches(&std::fs::read_to_string(&status).unwrap()).unwrap_or(true) {
            std::thread::yield_now();
        }
        assert!(Command::new("kill").arg(run.id().to_string()).status().unwrap().success());
        let output = run.wait_with_output().unwrap();
        drop(stdin);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(stderr, format!("afs-audit: cannot read capture: {input}: interrupted\n"));
    }
}
