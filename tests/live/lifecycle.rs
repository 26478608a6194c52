//! Start, reports, rotation and end of a live run, and its limits.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use super::testbed::*;

#[test]
fn live_rows_equal_those_of_the_saved_frames() {
    let Some(mut testbed) = Testbed::new() else { return };
    testbed.start_servers();
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let mut live = testbed.start_live(
        &[&["-i", &testbed.device, "-o", text(&evidence), "-w", text(&frames)], SERVER.as_slice()].concat(),
    );
    testbed.traffic(&[
        "connect",
        "10.77.0.2",
        "one.example.com",
        "login.microsoftonline.com",
        "evil.example.net",
    ]);
    testbed.traffic(&["refused", "203.0.113.6", "3"]);
    wait_until("the last attempt is captured", || live.stdout().contains("AFS201"));
    live.stop(1);
    let manifest = verified_manifest(&evidence);
    assert_eq!(manifest["partial"], false, "stopping is how a live run ends");

    let again = testbed.path("again");
    let analyze = Command::new(PROGRAM)
        .args(["analyze", text(&frames), "-q", "-o", text(&again)])
        .args(SERVER)
        .output()
        .unwrap();
    assert_eq!(analyze.status.code(), Some(1), "{}", String::from_utf8_lossy(&analyze.stderr));
    for table in ["flows.csv", "dns.csv", "findings.csv"] {
        let saved: Vec<String> =
            rows(&again, table).iter().map(|row| row.replace("frames.pcapng", &testbed.device)).collect();
        assert_eq!(rows(&evidence, table), saved, "{table}");
    }
    assert!(rows(&evidence, "flows.csv").len() >= 9);
    assert_eq!(rows(&evidence, "dns.csv").len(), 3);
    let other: serde_json::Value =
        serde_json::from_slice(&fs::read(again.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["tally"], other["tally"]);
    assert_eq!(manifest["accounting"]["frames"], other["accounting"]["frames"]);
}

#[test]
fn names_and_refusals_are_reported_during_the_run() {
    let Some(mut testbed) = Testbed::new() else { return };
    testbed.start_servers();
    let arguments = [&["-i", testbed.device.as_str()], SERVER.as_slice()].concat();
    let lines = testbed.start_live(&arguments);
    let json = testbed.start_live(&[arguments.as_slice(), &["--format", "jsonl"]].concat());
    testbed.traffic(&["connect", "10.77.0.2", "evil.example.net"]);
    testbed.traffic(&["refused", "203.0.113.6", "1"]);
    // The refused flow expires after ten idle seconds; these findings are reported before.
    wait_until("findings on standard output", || {
        let out = lines.stdout();
        out.contains("AFS101 10.77.0.1 connected to evil.example.net") && out.contains("AFS201")
    });
    // The first one may be a DNS response that names the flow.
    let out = lines.stdout();
    let destination = out.lines().find(|line| line.contains("AFS101")).unwrap();
    assert!(destination.contains("; frames "), "{destination}");
    wait_until("records on standard output", || {
        let out = json.stdout();
        let records: Vec<serde_json::Value> =
            out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let any = |kind: &str, key: &str, value: &str| {
            records.iter().any(|record| record["record"] == kind && record[key] == value)
        };
        any("dns", "query_name", "evil.example.net")
            && any("finding", "code", "AFS101")
            && any("finding", "code", "AFS201")
    });
}

#[test]
fn every_way_to_end_leaves_complete_evidence() {
    let Some(testbed) = Testbed::new() else { return };
    let device = testbed.device.as_str();
    for signal in ["INT", "TERM"] {
        let evidence = testbed.path(signal);
        let mut live = testbed.live().evidence(&evidence).start();
        testbed.traffic(&["datagrams", "203.0.113.5", "5", "0.01"]);
        live.signal(signal);
        live.assert_exits(0);
        let manifest = verified_manifest(&evidence);
        assert!(frames(&manifest) >= 5, "{signal}: {manifest}");
    }

    let evidence = testbed.path("count");
    let mut live = testbed.live().evidence(&evidence).with(&["-c", "7"]).start();
    testbed.traffic(&["datagrams", "203.0.113.5", "30", "0.01"]);
    live.assert_exits(0);
    assert_eq!(verified_manifest(&evidence)["accounting"]["frames"], 7);

    let evidence = testbed.path("duration");
    let mut live = testbed.start_live(&["-i", device, "--duration", "2s", "-o", text(&evidence)]);
    live.assert_exits(0);
    verified_manifest(&evidence);
}

/// As with `analyze`: nobody must take it for a server without problems.
#[test]
fn a_server_that_is_not_seen_ends_the_run_with_status_2() {
    let Some(testbed) = Testbed::new() else { return };
    let device = testbed.device.as_str();
    let evidence = testbed.path("evidence");
    let servers = ["--server", "10.77.0.1", "--server", "10.77.0.99"];
    let run = ["-i", device, "--duration", "4s", "--every", "1s", "-o", text(&evidence), "--format", "jsonl"];
    let mut live = testbed.start_live_into(Stdio::piped(), &[&run[..], &servers].concat());
    // The server that is seen, is so in one interval only.
    testbed.traffic(&["datagrams", "203.0.113.5", "5", "0.01"]);
    let mut records = String::new();
    live.child.stdout.take().unwrap().read_to_string(&mut records).unwrap();
    live.assert_exits(2);
    let not_done: Vec<&str> = records.lines().filter(|line| line.contains("\"not-done\"")).collect();
    let reason = "no flow of server 10.77.0.99 (--server) in the capture";
    assert_eq!(not_done, [serde_json::json!({"record": "not-done", "reason": reason}).to_string()]);
    assert!(live.stderr().contains(reason), "{}", live.stderr());
}

#[test]
fn frames_before_the_end_are_audited() {
    let Some(testbed) = Testbed::new() else { return };
    // The first round includes ARP.
    for round in 0..12 {
        let evidence = testbed.unique_path("evidence");
        let mut live = testbed.live().evidence(&evidence).start();
        testbed.traffic(&["datagrams", "10.77.0.2", "5", "0", &live.child.id().to_string()]);
        live.assert_exits(0);
        let manifest = verified_manifest(&evidence);
        assert!(frames(&manifest) >= 5, "{round}: {manifest}");
    }
}

#[test]
fn a_closed_pipe_ends_the_run() {
    let Some(testbed) = Testbed::new() else { return };
    let mut live = testbed.start_live_into(Stdio::piped(), &["-i", &testbed.device, "--format", "jsonl"]);
    drop(live.child.stdout.take());
    testbed.traffic(&["refused", "203.0.113.6", "20"]);
    live.assert_exits(0);
    assert!(!live.stderr().contains("afs-audit:"), "{}", live.stderr());

    // With an evidence folder too, and although nothing is written to the pipe.
    let evidence = testbed.path("evidence");
    let mut live = testbed.live().evidence(&evidence).start_into(Stdio::piped());
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    drop(live.child.stdout.take());
    live.assert_exits(0);
    assert!(frames(&verified_manifest(&evidence)) >= 5);
}

/// The audit continues after the reader of standard error is gone.
#[test]
fn a_closed_standard_error_changes_nothing() {
    let Some(testbed) = Testbed::new() else { return };
    let evidence = testbed.path("evidence");
    let mut child = Testbed::command_in(&testbed.near, PROGRAM)
        .args(["live", "--buffer", "16", "-i", &testbed.device, "-o", text(&evidence), "--fail-on", "never"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 19];
    child.stderr.as_mut().unwrap().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"privileges dropped:");
    drop(child.stderr.take());
    let mut live = RunningProgram::of(child);
    wait_until("a first folder", || {
        // Each rotation prints a message to the closed pipe.
        live.signal("HUP");
        std::thread::sleep(Duration::from_millis(100));
        interval_folders(&evidence).len() > 1
    });
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.stop(0);
    let all = interval_folders(&evidence);
    let frames: u64 = all.iter().map(|folder| frames(&verified_manifest(folder))).sum();
    assert!(frames >= 5, "{frames}");
}

#[test]
fn a_crash_costs_one_interval_and_the_next_run_reports_it() {
    let Some(testbed) = Testbed::new() else { return };
    let evidence = testbed.path("evidence");
    let start = || testbed.live().evidence(&evidence).with(&["--every", "2s"]).start();
    let live = start();
    wait_until("two intervals", || interval_folders(&evidence).len() >= 2);
    live.signal("KILL");
    drop(live);
    let kept = interval_folders(&evidence);
    let mut live = start();
    wait_until("it says so", || live.stderr().contains("an earlier run did not finish its evidence: "));
    wait_until("evidence goes on", || interval_folders(&evidence).len() > kept.len());
    live.stop(0);
    let all = interval_folders(&evidence);
    assert!(all.len() > kept.len() && all.starts_with(&kept), "{all:?}");
    for folder in all {
        verified_manifest(&folder);
    }
}

#[test]
fn evidence_rotates_by_time_and_by_signal() {
    let Some(testbed) = Testbed::new() else { return };
    let evidence = testbed.path("evidence");
    let mut live = testbed.live().evidence(&evidence).with(&["--every", "2s"]).start();
    let mut traffic = testbed.start_traffic(&["datagrams", "203.0.113.5", "60", "0.1"]);
    wait_until("two intervals", || interval_folders(&evidence).len() >= 2);
    let before = interval_folders(&evidence).len();
    live.signal("HUP");
    wait_until("one more", || interval_folders(&evidence).len() > before);
    traffic.assert_exits(0);
    live.stop(0);
    let all = interval_folders(&evidence);
    let frames: u64 = all.iter().map(|folder| frames(&verified_manifest(folder))).sum();
    assert!(frames >= 60, "every frame is in one interval: {frames} in {}", all.len());
    let left: Vec<_> = fs::read_dir(&evidence).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), all.len(), "nothing unfinished stays: {left:?}");
    check_judged(&all, &testbed.path("judged"));

    // Without --every, the signal rotates the evidence too.
    let evidence = testbed.path("by-signal");
    let mut live = testbed.start_live(&["-i", &testbed.device, "-o", text(&evidence)]);
    live.signal("HUP");
    wait_until("the first folder", || evidence.join("manifest.json").is_file());
    live.stop(0);
    verified_manifest(&evidence);
    assert_eq!(interval_folders(&evidence).len(), 1, "{}", live.stderr());
}

/// Judges the facts of all intervals as one run: its flows are those of the intervals, in order.
fn check_judged(intervals: &[PathBuf], judged: &Path) {
    let judge = |folders: &[PathBuf]| {
        let arguments = ["-q", "--fail-on", "never", "--force", "-o", text(judged)];
        Command::new(PROGRAM).arg("judge").args(folders).args(arguments).output().unwrap()
    };
    let all = judge(intervals);
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    let rows = |folder: &Path| -> Vec<String> {
        let table = fs::read_to_string(folder.join("flows.csv")).unwrap();
        table.lines().skip(1).map(str::to_owned).collect()
    };
    let expected: Vec<String> = intervals.iter().flat_map(|folder| rows(folder)).collect();
    assert!(!expected.is_empty());
    assert_eq!(rows(judged), expected);
    // The first interval is judged alone, too.
    let first = &intervals[..1];
    assert!(judge(first).status.success());
    for table in ["flows.csv", "dns.csv", "findings.csv"] {
        assert_eq!(fs::read(judged.join(table)).unwrap(), fs::read(first[0].join(table)).unwrap(), "{table}");
    }
    let refused = |folders: &[PathBuf], why: &str| {
        let errors = String::from_utf8(judge(folders).stderr).unwrap();
        assert!(errors.contains(why), "{errors}");
    };
    refused(&intervals[1..], "interval 2 of a live run: its connections began before it");
    refused(&[&intervals[..1], &intervals[2..]].concat(), "does not continue");
}

#[test]
fn saved_frames_rotate_by_size() {
    let Some(testbed) = Testbed::new() else { return };
    let frames = testbed.path("frames.pcapng");
    let mut live = testbed.live().saving(&frames).with(&["--rotate-size", "20K", "-c", "400"]).start();
    testbed.traffic(&["datagrams", "203.0.113.5", "450", "0"]);
    live.assert_exits(0);
    let files: Vec<String> = (1..10)
        .map(|number| testbed.path(&format!("frames-{number:05}.pcapng")))
        .filter(|path| path.is_file())
        .map(|path| text(&path).to_owned())
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    let again = testbed.analyze(&files);
    assert_eq!(verified_manifest(&again)["accounting"]["frames"], 400);
}

#[test]
fn a_missing_interface_is_waited_for() {
    let Some(testbed) = Testbed::new() else { return };
    let evidence = testbed.path("evidence");
    let mut live = testbed.live().evidence(&evidence).with(&["-i", "lo"]).start();
    testbed.traffic(&["datagrams", "203.0.113.5", "10", "0.01"]);
    run(&["ip", "-n", &testbed.near, "link", "set", &testbed.device, "down"]);
    wait_until("it says that the interface is down", || {
        live.stderr().contains("interface is down; waiting for it")
    });
    run(&["ip", "-n", &testbed.near, "link", "set", &testbed.device, "up"]);
    wait_until("it says that it is up again", || live.stderr().contains("is up again"));
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0.01"]);
    run(&["ip", "-n", &testbed.near, "link", "delete", &testbed.device]);
    wait_until("it says that the interface is gone", || live.stderr().contains("captured frames are kept"));
    live.stop(0);
    let manifest = verified_manifest(&evidence);
    assert!(frames(&manifest) >= 20, "{manifest}");
}

#[test]
fn capture_errors_include_what_to_do() {
    let Some(testbed) = Testbed::new() else { return };
    let check = |before: &[&str], arguments: &[&str], expected: &str| {
        let mut live = testbed.spawn(before, arguments, Stdio::null());
        live.assert_exits(2);
        let stderr = live.stderr();
        assert!(stderr.contains("afs-audit: ") && stderr.contains(expected), "{expected}: {stderr}");
    };
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let device = testbed.device.as_str();
    let setcap = format!("setcap cap_net_raw=ep {PROGRAM}");
    check(&nobody, &["-i", device], &setcap);
    check(&[], &["-i", &format!("{device}x")], &format!("no such interface; did you mean {device}?"));
    check(&[], &["-i", "zzzzzz"], "no such interface; available: ");
    check(&[], &["-i", device, "-f", "tcp port 80 and and"], ", at character 17: `and`");
    check(
        &[],
        &["-i", device, "-f", "host fileserver"],
        "at character 6: `fileserver` (host names are not resolved",
    );
    check(&[], &["-i", device, "-f", "tcp prot 80"], "at character 5: `prot`");
    check(&[], &["-i", device, "--user", "no-such-user"], "no such user: no-such-user");
    let of_root = testbed.path("of-root");
    fs::create_dir(&of_root).unwrap();
    fs::write(of_root.join("something"), "").unwrap();
    let denied = "permission denied; user `nobody` cannot write there: choose another folder, or another user with --user";
    check(&[], &["-i", device, "-w", text(&of_root.join("frames.pcapng"))], denied);
    check(&[], &["-i", device, "-o", text(&of_root), "--every", "1h"], denied);
    check(&[], &["-i", device, "--metrics", "192.0.2.9:9105"], "cannot serve metrics: 192.0.2.9:9105: ");
    run(&["ip", "-n", &testbed.near, "link", "set", device, "down"]);
    check(&[], &["-i", device], &format!("interface is down; bring it up with: ip link set {device} up"));
}

#[test]
fn privileges_are_dropped() {
    let Some(testbed) = Testbed::new() else { return };
    let live = testbed.start_live(&["-i", &testbed.device, "--require-sandbox"]);
    assert_eq!(live.status("Uid").split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    assert_eq!(live.status("Groups"), "65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(live.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(live.status("NoNewPrivs"), "1");
    assert_eq!(live.status("Seccomp"), "2", "a filter is in force");
    // The threads that capture and write start afterwards, with the same restrictions.
    let tasks = || fs::read_dir(format!("/proc/{}/task", live.child.id())).unwrap();
    wait_until("the threads have started", || tasks().count() >= 3);
    for task in tasks() {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(text.contains("NoNewPrivs:\t1") && text.contains("CapEff:\t0000000000000000"), "{text}");
    }
    let stderr = live.stderr();
    for what in ["user nobody", "no capabilities", "no_new_privs", "seccomp"] {
        assert!(stderr.contains(what), "{stderr}");
    }
}

#[test]
fn a_full_disk_costs_one_interval_and_is_reported() {
    let Some(testbed) = Testbed::new() else { return };
    let disk = testbed.path("disk");
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "afl", text(&disk)]);
    let _mounted = Mount(&disk);
    let evidence = disk.join("evidence");
    let mut live = testbed.live().evidence(&evidence).with(&["--every", "2s"]).start();
    wait_until("a first interval", || !interval_folders(&evidence).is_empty());
    let kept = interval_folders(&evidence);
    let ballast = disk.join("ballast");
    // Fills the rest of the disk; the write error is expected.
    let _ = fs::write(&ballast, vec![0; 1 << 20]);
    testbed.traffic(&["refused", "203.0.113.6", "200"]);
    wait_until("it says what is lost", || {
        live.stderr().contains("no space left on the disk; the evidence since")
    });
    fs::remove_file(&ballast).unwrap();
    let before = interval_folders(&evidence).len();
    wait_until("evidence goes on", || interval_folders(&evidence).len() > before);
    live.stop(2);
    assert!(live.stderr().contains("afs-audit: "), "{}", live.stderr());
    for folder in kept.iter().chain(&interval_folders(&evidence)) {
        verified_manifest(folder);
    }
}

/// Without intervals, a full disk ends the run; the rows written so far are kept.
#[test]
fn a_full_disk_keeps_the_rows_of_a_run_without_intervals() {
    let Some(testbed) = Testbed::new() else { return };
    let disk = testbed.path("disk");
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=128k,mode=777", "afl", text(&disk)]);
    let _mounted = Mount(&disk);
    let evidence = disk.join("evidence");
    let start = || testbed.live().evidence(&evidence).start();
    let mut live = start();
    assert!(live.stderr().contains("with --every 1h it loses at most an hour"), "{}", live.stderr());
    let mut flood = testbed.start_traffic(&["flood", &testbed.device, "names", "2000"]);
    live.assert_exits(2);
    flood.assert_exits(0);
    let stderr = live.stderr();
    assert!(stderr.contains("no space left on the disk; the run ends without evidence"), "{stderr}");
    let left = evidence.join(".unfinished");
    assert!(stderr.contains(&format!("; the rows written so far are in {}", text(&left))), "{stderr}");
    assert!(rows(&left, "dns.csv").len() > 10);
    // The next run keeps them too, and prints where they are.
    run(&["mount", "-o", "remount,size=1m", text(&disk)]);
    let mut live = start();
    let stderr = live.stderr();
    let (_, aside) = stderr
        .split_once("an earlier run did not finish its evidence: ")
        .unwrap_or_else(|| panic!("{stderr}"));
    let aside = std::path::PathBuf::from(aside.lines().next().unwrap());
    live.stop(0);
    verified_manifest(&evidence);
    assert!(rows(&aside, "dns.csv").len() > 10);
}

#[test]
fn metrics_can_be_scraped() {
    let Some(mut testbed) = Testbed::new() else { return };
    testbed.start_servers();
    let _live =
        testbed.start_live(&[&["-i", &testbed.device, "--metrics", "9105"], SERVER.as_slice()].concat());
    testbed.traffic(&["connect", "10.77.0.2", "evil.example.net"]);
    let device = &testbed.device;
    wait_until("the finding is counted", || {
        metrics(&testbed, 9105).contains("afs_audit_findings_total{code=\"AFS101\"} 1")
    });
    let page = metrics(&testbed, 9105);
    assert_eq!(
        metric(&page, "afs_audit_findings_total{code=\"AFS104\"}"),
        0,
        "counters are there from the start"
    );
    assert!(metric(&page, &format!("afs_audit_frames_total{{interface=\"{device}\"}}")) > 10);
    assert_eq!(
        metric(&page, &format!("afs_audit_dropped_frames_total{{interface=\"{device}\",by=\"kernel\"}}")),
        0
    );
    assert_eq!(metric(&page, &format!("afs_audit_interface_up{{interface=\"{device}\"}}")), 1);
    assert_eq!(metric(&page, "afs_audit_dns_answers_total"), 1);
    assert!(page.contains("afs_audit_build_info{version=\""));
    // Every metric of the sample alerts exists.
    let alerts =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/afs-audit.rules.yml")).unwrap();
    let asked: Vec<&str> = alerts
        .split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .filter(|word| word.starts_with("afs_audit_"))
        .collect();
    assert!(asked.len() >= 7, "{asked:?}");
    for name in asked {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name}: {page}");
    }
    // The endpoint is reachable inside the namespace only.
    assert!(TcpStream::connect(("127.0.0.1", 9105)).is_err(), "served inside the namespace alone");
}

/// Many slow or silent clients do not block others.
#[test]
fn metrics_are_served_despite_slow_clients() {
    let Some(testbed) = Testbed::new() else { return };
    let _live = testbed.start_live(&["-i", &testbed.device, "--metrics", "[::1]:9105"]);
    let ask = r#"
import socket
def connect():
    return socket.create_connection(("::1", 9105), timeout=10)
def answer(one):
    text = b""
    while more := one.recv(65536):
        text += more
    assert text.startswith(b"HTTP/1.0 200 OK\r\n") and b"afs_audit_build_info" in text, text
silent = [connect() for _ in range(200)]
slow = [connect() for _ in range(50)]
for one in slow:
    one.send(b"GET /me")
good = connect()
good.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
answer(good)
# A request of a megabyte gets its response, and is read to its end.
long = connect()
long.sendall(b"POST / HTTP/1.1\r\n" + b"x" * 1_000_000)
long.shutdown(socket.SHUT_WR)
answer(long)
# A client that sends part of a request and closes.
half = connect()
half.send(b"\0\xff")
half.shutdown(socket.SHUT_WR)
answer(half)
"#;
    let output = Testbed::command_in(&testbed.near, "python3").args(["-c", ask]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A port in use is reported before the capture starts.
    let mut live = testbed.spawn(&[], &["-i", &testbed.device, "--metrics", "[::1]:9105"], Stdio::null());
    live.assert_exits(2);
    assert!(live.stderr().contains("cannot serve metrics: [::1]:9105: "), "{}", live.stderr());
}

/// Memory stays within `--memory` during floods of 300,000 frames, and evictions are counted.
fn check_memory_limit(kind: &str, counted: &str) {
    const LIMIT_MIB: u64 = 128;
    let Some(testbed) = Testbed::new() else { return };
    let evidence = testbed.path("evidence");
    let mut live = testbed.start_live(&[
        "-i",
        &testbed.device,
        "--memory",
        &LIMIT_MIB.to_string(),
        "--metrics",
        "9105",
        "-o",
        text(&evidence),
    ]);
    let (mut sent, mut handled, mut since) = (0, 0, Instant::now());
    loop {
        let page = metrics(&testbed, 9105);
        let of =
            |name: &str| metric(&page, &name.replace("IF", &format!("interface=\"{}\"", testbed.device)));
        let seen = of("afs_audit_frames_total{IF}");
        let lost = of("afs_audit_dropped_frames_total{IF,by=\"kernel\"}")
            + of("afs_audit_dropped_frames_total{IF,by=\"own\"}");
        if seen + lost >= sent {
            if seen > 50_000 && of(counted) > 0 {
                break;
            }
            // A busy machine drops most frames of a flood, and needs several.
            assert!(sent < 1_500_000, "{kind}: {seen} seen, {lost} dropped, and no limit reached");
            testbed.traffic(&["flood", &testbed.device, kind, "300000"]);
            sent += 300_000;
        } else if seen + lost > handled {
            (handled, since) = (seen + lost, Instant::now());
        }
        assert!(
            since.elapsed() < WAIT_LIMIT * 2,
            "{kind}: no progress: {seen} seen, {lost} dropped of {sent}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let (anonymous, most) = (live.kib("RssAnon"), live.kib("VmHWM"));
    // The capture buffer and mapped files are not part of --memory.
    let mapped = live.kib("RssFile") + live.kib("RssShmem");
    assert!(anonymous < LIMIT_MIB << 10, "{kind}: {anonymous} KiB");
    assert!(most < (LIMIT_MIB << 10) + mapped, "{kind}: {most} KiB at most, {mapped} KiB mapped");
    live.signal("INT");
    wait_until("it ends", || live.child.try_wait().unwrap().is_some());
    let manifest = verified_manifest(&evidence);
    let bounds = manifest.get("limits_reached").and_then(serde_json::Value::as_array).unwrap();
    assert!(!bounds.is_empty(), "{kind}: the manifest reports no limit");
}

#[test]
fn memory_is_bounded_in_a_syn_flood() {
    check_memory_limit("syn", "afs_audit_flows_evicted_total");
}

#[test]
fn memory_is_bounded_in_a_scan() {
    check_memory_limit("scan", "afs_audit_findings_missed_total");
}

#[test]
fn memory_is_bounded_with_many_names() {
    check_memory_limit("names", "afs_audit_names_forgotten_total");
}

#[test]
fn memory_is_bounded_with_incomplete_client_hellos() {
    check_memory_limit("client-hellos", "afs_audit_flows_unheard_total");
}

#[test]
fn interfaces_are_listed() {
    let Some(testbed) = Testbed::new() else { return };
    let output = Testbed::command_in(&testbed.near, PROGRAM).args(["interfaces"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let line =
        table.lines().find(|line| line.starts_with(&testbed.device)).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("up") && line.contains("EN10MB") && line.contains("10.77.0.1/24"), "{line}");
    let output = Testbed::command_in(&testbed.near, PROGRAM)
        .args(["interfaces", "--format", "jsonl"])
        .output()
        .unwrap();
    let records = String::from_utf8(output.stdout).unwrap();
    assert!(records.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{records}");
    let output =
        Testbed::command_in(&testbed.near, PROGRAM).args(["interfaces", "--format", "csv"]).output().unwrap();
    let mut table = csv::Reader::from_reader(output.stdout.as_slice());
    assert_eq!(table.headers().unwrap(), vec!["name", "state", "addresses", "link_types", "description"]);
    let all: Vec<csv::StringRecord> = table.records().map(|row| row.unwrap()).collect();
    let row = all.iter().find(|row| row[0] == testbed.device).unwrap();
    assert_eq!((&row[1], row[2].split(';').next()), ("up", Some("10.77.0.1/24")));
    assert_eq!(all.len(), records.lines().count());
    let others = all.iter().filter(|row| !["any", "lo", &testbed.device].contains(&&row[0]));
    let is_other = |name: &str| {
        ["nflog", "nfqueue", "usbmon", "bluetooth", "dbus"].iter().any(|kind| name.starts_with(kind))
    };
    assert!(others.clone().all(|row| !is_other(&row[0])), "{all:?}");
    std::io::stderr().flush().unwrap();
}
