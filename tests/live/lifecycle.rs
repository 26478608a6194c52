//! How a live run starts, reports, rotates and ends, and what it keeps of its limits.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use super::testbed::*;

#[test]
fn the_rows_of_a_live_run_are_those_of_its_frames() {
    let Some(mut lab) = Testbed::new() else { return };
    lab.serve();
    let (evidence, frames) = (lab.path("evidence"), lab.path("frames.pcapng"));
    let mut live = lab.live(
        &[&["-i", &lab.device, "-o", text(&evidence), "-w", text(&frames)], SERVER.as_slice()].concat(),
    );
    lab.traffic(&["talk", "10.77.0.2", "one.example.com", "login.microsoftonline.com", "evil.example.net"]);
    lab.traffic(&["refused", "203.0.113.6", "3"]);
    until("the last attempt is captured", || live.stdout().contains("AFS201"));
    live.stop(1);
    let manifest = verified(&evidence);
    assert_eq!(manifest["partial"], false, "stopping is how a live run ends");

    let again = lab.path("again");
    let analyze = Command::new(PROGRAM)
        .args(["analyze", text(&frames), "-q", "-o", text(&again)])
        .args(SERVER)
        .output()
        .unwrap();
    assert_eq!(analyze.status.code(), Some(1), "{}", String::from_utf8_lossy(&analyze.stderr));
    for table in ["flows.csv", "dns.csv", "findings.csv"] {
        let saved: Vec<String> =
            rows(&again, table).iter().map(|row| row.replace("frames.pcapng", &lab.device)).collect();
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
fn names_and_refusals_are_told_while_it_runs() {
    let Some(mut lab) = Testbed::new() else { return };
    lab.serve();
    let arguments = [&["-i", lab.device.as_str()], SERVER.as_slice()].concat();
    let lines = lab.live(&arguments);
    let json = lab.live(&[arguments.as_slice(), &["--format", "jsonl"]].concat());
    lab.traffic(&["talk", "10.77.0.2", "evil.example.net"]);
    lab.traffic(&["refused", "203.0.113.6", "1"]);
    // The conversation that was refused is not closed for ten seconds of silence: these are told before.
    until("findings on standard output", || {
        let out = lines.stdout();
        out.contains("AFS101 10.77.0.1 connected to evil.example.net") && out.contains("AFS201")
    });
    until("records on standard output", || {
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
fn every_end_leaves_complete_evidence() {
    let Some(lab) = Testbed::new() else { return };
    let device = lab.device.as_str();
    for signal in ["INT", "TERM"] {
        let evidence = lab.path(signal);
        let mut live = lab.live(&["-i", device, "--fail-on", "never", "-o", text(&evidence)]);
        lab.traffic(&["datagrams", "203.0.113.5", "5", "0.01"]);
        live.signal(signal);
        live.ends(0);
        let manifest = verified(&evidence);
        assert!(manifest["accounting"]["frames"].as_u64() >= Some(5), "{signal}: {manifest}");
    }

    let evidence = lab.path("count");
    let mut live = lab.live(&["-i", device, "-c", "7", "--fail-on", "never", "-o", text(&evidence)]);
    lab.traffic(&["datagrams", "203.0.113.5", "30", "0.01"]);
    live.ends(0);
    assert_eq!(verified(&evidence)["accounting"]["frames"], 7);

    let evidence = lab.path("duration");
    let mut live = lab.live(&["-i", device, "--duration", "2s", "-o", text(&evidence)]);
    live.ends(0);
    verified(&evidence);
}

#[test]
fn what_came_before_the_end_is_there() {
    let Some(lab) = Testbed::new() else { return };
    // The first round asks who has the address.
    for round in 0..12 {
        let evidence = lab.next("evidence");
        let mut live = lab.live(&["-i", &lab.device, "--fail-on", "never", "-o", text(&evidence)]);
        lab.traffic(&["datagrams", "10.77.0.2", "5", "0", &live.child.id().to_string()]);
        live.ends(0);
        let manifest = verified(&evidence);
        assert!(manifest["accounting"]["frames"].as_u64() >= Some(5), "{round}: {manifest}");
    }
}

#[test]
fn a_closed_pipe_ends_it() {
    let Some(lab) = Testbed::new() else { return };
    let mut live = lab.live_into(Stdio::piped(), &["-i", &lab.device, "--format", "jsonl"]);
    drop(live.child.stdout.take());
    lab.traffic(&["refused", "203.0.113.6", "20"]);
    live.ends(0);
    assert!(!live.stderr().contains("afs-audit:"), "{}", live.stderr());

    // With evidence too, and when nothing is written that would be noticed.
    let evidence = lab.path("evidence");
    let mut live =
        lab.live_into(Stdio::piped(), &["-i", &lab.device, "--fail-on", "never", "-o", text(&evidence)]);
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    drop(live.child.stdout.take());
    live.ends(0);
    assert!(verified(&evidence)["accounting"]["frames"].as_u64() >= Some(5));
}

/// Where standard error is read by somebody who leaves, the audit goes on.
#[test]
fn a_closed_standard_error_changes_nothing() {
    let Some(lab) = Testbed::new() else { return };
    let evidence = lab.path("evidence");
    let mut child = Testbed::inside(&lab.near, PROGRAM)
        .args(["live", "--buffer", "16", "-i", &lab.device, "-o", text(&evidence), "--fail-on", "never"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 19];
    child.stderr.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"privileges dropped:");
    drop(child.stderr.take());
    let mut live = Run::of(child);
    until("a first folder", || {
        // It says so, to nobody.
        live.signal("HUP");
        std::thread::sleep(Duration::from_millis(100));
        intervals(&evidence).len() > 1
    });
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.stop(0);
    let all = intervals(&evidence);
    let frames: u64 =
        all.iter().map(|folder| verified(folder)["accounting"]["frames"].as_u64().unwrap()).sum();
    assert!(frames >= 5, "{frames}");
}

#[test]
fn a_crash_loses_one_interval_and_the_next_run_says_so() {
    let Some(lab) = Testbed::new() else { return };
    let evidence = lab.path("evidence");
    let arguments = ["-i", &lab.device, "-o", text(&evidence), "--every", "2s", "--fail-on", "never"];
    let live = lab.live(&arguments);
    until("two intervals", || intervals(&evidence).len() >= 2);
    live.signal("KILL");
    drop(live);
    let kept = intervals(&evidence);
    let mut live = lab.live(&arguments);
    until("it says so", || live.stderr().contains("an earlier run did not finish its evidence: "));
    until("evidence goes on", || intervals(&evidence).len() > kept.len());
    live.stop(0);
    let all = intervals(&evidence);
    assert!(all.len() > kept.len() && all.starts_with(&kept), "{all:?}");
    for folder in all {
        verified(&folder);
    }
}

#[test]
fn evidence_is_begun_anew_by_the_clock_and_by_a_signal() {
    let Some(lab) = Testbed::new() else { return };
    let evidence = lab.path("evidence");
    let mut live =
        lab.live(&["-i", &lab.device, "-o", text(&evidence), "--every", "2s", "--fail-on", "never"]);
    let mut traffic = lab.traffic_begins(&["datagrams", "203.0.113.5", "60", "0.1"]);
    until("two intervals", || intervals(&evidence).len() >= 2);
    let before = intervals(&evidence).len();
    live.signal("HUP");
    until("one more", || intervals(&evidence).len() > before);
    traffic.ends(0);
    live.stop(0);
    let all = intervals(&evidence);
    let frames: u64 =
        all.iter().map(|folder| verified(folder)["accounting"]["frames"].as_u64().unwrap()).sum();
    assert!(frames >= 60, "every frame is in one interval: {frames} in {}", all.len());
    let left: Vec<_> = fs::read_dir(&evidence).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), all.len(), "nothing unfinished stays: {left:?}");

    // Without --every the signal makes folders of the same kind.
    let evidence = lab.path("by-signal");
    let mut live = lab.live(&["-i", &lab.device, "-o", text(&evidence)]);
    live.signal("HUP");
    until("the first folder", || evidence.join("manifest.json").is_file());
    live.stop(0);
    verified(&evidence);
    assert_eq!(intervals(&evidence).len(), 1, "{}", live.stderr());
}

#[test]
fn frames_are_written_in_files_of_a_size() {
    let Some(lab) = Testbed::new() else { return };
    let frames = lab.path("frames.pcapng");
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "-w",
        text(&frames),
        "--rotate-size",
        "20K",
        "-c",
        "400",
        "--fail-on",
        "never",
    ]);
    lab.traffic(&["datagrams", "203.0.113.5", "450", "0"]);
    live.ends(0);
    let files: Vec<String> = (1..10)
        .map(|number| lab.path(&format!("frames-{number:05}.pcapng")))
        .filter(|path| path.is_file())
        .map(|path| text(&path).to_owned())
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    let again = lab.path("again");
    let analyze = Command::new(PROGRAM)
        .args(["analyze", "-q", "--fail-on", "never", "-o", text(&again)])
        .args(&files)
        .output()
        .unwrap();
    assert!(analyze.status.success(), "{}", String::from_utf8_lossy(&analyze.stderr));
    assert_eq!(verified(&again)["accounting"]["frames"], 400);
}

#[test]
fn an_interface_that_goes_away_is_waited_for() {
    let Some(lab) = Testbed::new() else { return };
    let evidence = lab.path("evidence");
    let mut live = lab.live(&["-i", &lab.device, "-i", "lo", "--fail-on", "never", "-o", text(&evidence)]);
    lab.traffic(&["datagrams", "203.0.113.5", "10", "0.01"]);
    run(&["ip", "-n", &lab.near, "link", "set", &lab.device, "down"]);
    until("it says that the interface is down", || {
        live.stderr().contains("interface is down; waiting for it")
    });
    run(&["ip", "-n", &lab.near, "link", "set", &lab.device, "up"]);
    until("it says that it is up again", || live.stderr().contains("is up again"));
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0.01"]);
    run(&["ip", "-n", &lab.near, "link", "delete", &lab.device]);
    until("it says that the interface is gone", || live.stderr().contains("captured frames are kept"));
    live.stop(0);
    let manifest = verified(&evidence);
    assert!(manifest["accounting"]["frames"].as_u64() >= Some(20), "{manifest}");
}

#[test]
fn what_cannot_be_captured_is_said_with_what_to_do() {
    let Some(lab) = Testbed::new() else { return };
    let check = |before: &[&str], arguments: &[&str], expected: &str| {
        let mut live = lab.begin(before, arguments, Stdio::null());
        live.ends(2);
        let said = live.stderr();
        assert!(said.contains("afs-audit: ") && said.contains(expected), "{expected}: {said}");
    };
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let device = lab.device.as_str();
    let setcap = format!("setcap cap_net_raw,cap_net_admin=eip {PROGRAM}");
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
    let of_root = lab.path("of-root");
    fs::create_dir(&of_root).unwrap();
    fs::write(of_root.join("something"), "").unwrap();
    let denied = "permission denied; user `nobody` cannot write there: choose another folder, or another user with --user";
    check(&[], &["-i", device, "-w", text(&of_root.join("frames.pcapng"))], denied);
    check(&[], &["-i", device, "-o", text(&of_root), "--every", "1h"], denied);
    check(&[], &["-i", device, "--metrics", "192.0.2.9:9105"], "cannot serve metrics: 192.0.2.9:9105: ");
    run(&["ip", "-n", &lab.near, "link", "set", device, "down"]);
    check(&[], &["-i", device], &format!("interface is down; bring it up with: ip link set {device} up"));
}

#[test]
fn rights_are_given_up() {
    let Some(lab) = Testbed::new() else { return };
    let live = lab.live(&["-i", &lab.device, "--require-sandbox"]);
    assert_eq!(live.status("Uid").split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    assert_eq!(live.status("Groups"), "65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(live.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(live.status("NoNewPrivs"), "1");
    assert_eq!(live.status("Seccomp"), "2", "a filter is in force");
    // Threads that capture and write were begun afterwards, and are bound as well.
    let tasks = || fs::read_dir(format!("/proc/{}/task", live.child.id())).unwrap();
    until("the threads have started", || tasks().count() >= 3);
    for task in tasks() {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(text.contains("NoNewPrivs:\t1") && text.contains("CapEff:\t0000000000000000"), "{text}");
    }
    let said = live.stderr();
    for what in ["user nobody", "no capabilities", "no_new_privs", "seccomp"] {
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn a_full_disk_loses_one_interval_and_says_so() {
    let Some(lab) = Testbed::new() else { return };
    let disk = lab.path("disk");
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "afl", text(&disk)]);
    let _mounted = Mounted(&disk);
    let evidence = disk.join("evidence");
    let mut live =
        lab.live(&["-i", &lab.device, "-o", text(&evidence), "--every", "2s", "--fail-on", "never"]);
    until("a first interval", || !intervals(&evidence).is_empty());
    let kept = intervals(&evidence);
    let ballast = disk.join("ballast");
    // Fills what is left; the error is the point.
    let _ = fs::write(&ballast, vec![0; 1 << 20]);
    lab.traffic(&["refused", "203.0.113.6", "200"]);
    until("it says what is lost", || live.stderr().contains("no space left on the disk; the evidence since"));
    fs::remove_file(&ballast).unwrap();
    let before = intervals(&evidence).len();
    until("evidence goes on", || intervals(&evidence).len() > before);
    live.stop(2);
    assert!(live.stderr().contains("afs-audit: "), "{}", live.stderr());
    for folder in kept.iter().chain(&intervals(&evidence)) {
        verified(folder);
    }
}

/// Without intervals a full disk ends the run; what it has written until then is not thrown away.
#[test]
fn a_full_disk_leaves_the_rows_of_a_run_without_intervals() {
    let Some(lab) = Testbed::new() else { return };
    let disk = lab.path("disk");
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=128k,mode=777", "afl", text(&disk)]);
    let _mounted = Mounted(&disk);
    let evidence = disk.join("evidence");
    let arguments = ["-i", &lab.device, "-o", text(&evidence), "--fail-on", "never"];
    let mut live = lab.live(&arguments);
    assert!(live.stderr().contains("with --every 1h it loses at most an hour"), "{}", live.stderr());
    let mut flood = lab.traffic_begins(&["flood", &lab.device, "names", "2000"]);
    live.ends(2);
    flood.ends(0);
    let said = live.stderr();
    assert!(said.contains("no space left on the disk; the run ends without evidence"), "{said}");
    let left = evidence.join(".unfinished");
    assert!(said.contains(&format!("; the rows written so far are in {}", text(&left))), "{said}");
    assert!(rows(&left, "dns.csv").len() > 10);
    // The next run does not throw them away either, and says where they are.
    run(&["mount", "-o", "remount,size=1m", text(&disk)]);
    let mut live = lab.live(&arguments);
    let said = live.stderr();
    let (_, aside) =
        said.split_once("an earlier run did not finish its evidence: ").unwrap_or_else(|| panic!("{said}"));
    let aside = std::path::PathBuf::from(aside.lines().next().unwrap());
    live.stop(0);
    verified(&evidence);
    assert!(rows(&aside, "dns.csv").len() > 10);
}

#[test]
fn metrics_can_be_scraped() {
    let Some(mut lab) = Testbed::new() else { return };
    lab.serve();
    let _live = lab.live(&[&["-i", &lab.device, "--metrics", "9105"], SERVER.as_slice()].concat());
    lab.traffic(&["talk", "10.77.0.2", "evil.example.net"]);
    let device = &lab.device;
    until("the finding is counted", || {
        metrics(&lab, 9105).contains("afs_audit_findings_total{code=\"AFS101\"} 1")
    });
    let page = metrics(&lab, 9105);
    assert!(metric(&page, &format!("afs_audit_frames_total{{interface=\"{device}\"}}")) > 10);
    assert_eq!(
        metric(&page, &format!("afs_audit_dropped_frames_total{{interface=\"{device}\",by=\"kernel\"}}")),
        0
    );
    assert_eq!(metric(&page, &format!("afs_audit_interface_up{{interface=\"{device}\"}}")), 1);
    assert_eq!(metric(&page, "afs_audit_dns_answers_total"), 1);
    assert!(page.contains("afs_audit_build_info{version=\""));
    // The sample alerts ask for nothing that is not there.
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
    // One that asks and says nothing more does not stop the others: it is waited for a second.
    assert!(TcpStream::connect(("127.0.0.1", 9105)).is_err(), "served inside the namespace alone");
}

/// Many who ask and never end do not keep another from his answer.
#[test]
fn metrics_are_served_among_strangers() {
    let Some(lab) = Testbed::new() else { return };
    let _live = lab.live(&["-i", &lab.device, "--metrics", "[::1]:9105"]);
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
# Longer than any question: answered all the same, and heard out.
long = connect()
long.sendall(b"POST / HTTP/1.1\r\n" + b"x" * 1_000_000)
long.shutdown(socket.SHUT_WR)
answer(long)
# Who says half and goes.
half = connect()
half.send(b"\0\xff")
half.shutdown(socket.SHUT_WR)
answer(half)
"#;
    let output = Testbed::inside(&lab.near, "python3").args(["-c", ask]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The port is taken: that is said before anything begins.
    let mut live = lab.begin(&[], &["-i", &lab.device, "--metrics", "[::1]:9105"], Stdio::null());
    live.ends(2);
    assert!(live.stderr().contains("cannot serve metrics: [::1]:9105: "), "{}", live.stderr());
}

/// A flood of 300,000 frames, of whatever kind, stays within the bound, and what was given up for it is counted.
fn check_flat(kind: &str, counted: &str) {
    // Of a debug build: its code is counted too, though it is mapped from the file.
    const BOUND_MIB: u64 = 128;
    let Some(lab) = Testbed::new() else { return };
    let evidence = lab.path("evidence");
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "--memory",
        &BOUND_MIB.to_string(),
        "--metrics",
        "9105",
        "-o",
        text(&evidence),
    ]);
    let (mut sent, mut handled, mut since) = (0, 0, Instant::now());
    loop {
        let page = metrics(&lab, 9105);
        let of = |name: &str| metric(&page, &name.replace("IF", &format!("interface=\"{}\"", lab.device)));
        let seen = of("afs_audit_frames_total{IF}");
        let lost = of("afs_audit_dropped_frames_total{IF,by=\"kernel\"}")
            + of("afs_audit_dropped_frames_total{IF,by=\"own\"}");
        if seen + lost >= sent {
            if seen > 50_000 && of(counted) > 0 {
                break;
            }
            // A machine with better things to do loses most of one, and has had enough of a few.
            assert!(sent < 1_500_000, "{kind}: {seen} seen, {lost} lost, and no bound has bitten");
            lab.traffic(&["flood", &lab.device, kind, "300000"]);
            sent += 300_000;
        } else if seen + lost > handled {
            (handled, since) = (seen + lost, Instant::now());
        }
        assert!(
            since.elapsed() < PATIENCE * 2,
            "{kind}: nothing happens: {seen} seen, {lost} lost of {sent}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let (anonymous, most) = (live.kib("RssAnon"), live.kib("VmHWM"));
    // The ring, the program's own file and what else is mapped come on top of what --memory bounds.
    let mapped = live.kib("RssFile") + live.kib("RssShmem");
    assert!(anonymous < BOUND_MIB << 10, "{kind}: {anonymous} KiB");
    assert!(most < (BOUND_MIB << 10) + mapped, "{kind}: {most} KiB at most, {mapped} KiB mapped");
    live.signal("INT");
    until("it ends", || live.child.try_wait().unwrap().is_some());
    let manifest = verified(&evidence);
    let bounds = manifest.get("limits_reached").and_then(serde_json::Value::as_array).unwrap();
    assert!(!bounds.is_empty(), "{kind}: no bound is said to have bitten");
}

#[test]
fn attempts_from_everywhere_do_not_grow_it() {
    check_flat("syn", "afs_audit_flows_evicted_total");
}

#[test]
fn a_scan_does_not_grow_it() {
    check_flat("scan", "afs_audit_findings_missed_total");
}

#[test]
fn many_names_do_not_grow_it() {
    check_flat("names", "afs_audit_names_forgotten_total");
}

#[test]
fn many_beginnings_do_not_grow_it() {
    check_flat("hellos", "afs_audit_flows_unheard_total");
}

#[test]
fn interfaces_are_listed() {
    let Some(lab) = Testbed::new() else { return };
    let output = Testbed::inside(&lab.near, PROGRAM).args(["interfaces"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let line = table.lines().find(|line| line.starts_with(&lab.device)).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("up") && line.contains("EN10MB") && line.contains("10.77.0.1/24"), "{line}");
    let output =
        Testbed::inside(&lab.near, PROGRAM).args(["interfaces", "--format", "jsonl"]).output().unwrap();
    let records = String::from_utf8(output.stdout).unwrap();
    assert!(records.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{records}");
    let output =
        Testbed::inside(&lab.near, PROGRAM).args(["interfaces", "--format", "csv"]).output().unwrap();
    let mut table = csv::Reader::from_reader(output.stdout.as_slice());
    assert_eq!(table.headers().unwrap(), vec!["name", "state", "addresses", "link_types", "description"]);
    let all: Vec<csv::StringRecord> = table.records().map(|row| row.unwrap()).collect();
    let row = all.iter().find(|row| row[0] == lab.device).unwrap();
    assert_eq!((&row[1], row[2].split(';').next()), ("up", Some("10.77.0.1/24")));
    assert_eq!(all.len(), records.lines().count());
    std::io::stderr().flush().unwrap();
}
