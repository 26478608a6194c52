//! How it captures: which interfaces, how much of each frame, and what is kept of them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use super::testbed::*;

/// Only the datagrams that a test sends.
const DATAGRAMS: &str = "udp dst portrange 9000-9099";

/// The rows of `analyze` over saved frames, under the name that the live rows have.
fn rows_of(lab: &Testbed, files: &[PathBuf], name: &str, table: &str) -> Vec<String> {
    let again = lab.next("again");
    let output = Command::new(PROGRAM)
        .args(["analyze", "-q", "--fail-on", "never", "-o", text(&again)])
        .args(files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    verified(&again);
    let file = |row: &String| {
        files
            .iter()
            .fold(row.clone(), |row, file| row.replace(file.file_name().unwrap().to_str().unwrap(), name))
    };
    rows(&again, table).iter().map(file).collect()
}

#[test]
fn any_is_all_interfaces() {
    let Some(lab) = Testbed::new() else { return };
    let (evidence, frames) = (lab.path("evidence"), lab.path("frames.pcapng"));
    let mut live = lab.live(&[
        "-i",
        "any",
        "-f",
        DATAGRAMS,
        "-c",
        "20",
        "-o",
        text(&evidence),
        "-w",
        text(&frames),
        "--fail-on",
        "never",
    ]);
    lab.traffic(&["datagrams", "127.0.0.1", "10", "0"]);
    lab.traffic(&["datagrams", "10.77.0.2", "20", "0"]);
    live.ends(0);
    let manifest = verified(&evidence);
    let link = manifest["inputs"][0]["interfaces"][0]["link_type"].as_u64();
    // LINKTYPE_LINUX_SLL: VLAN tags are in no other.
    assert_eq!(link, Some(113), "{manifest}");
    let flows = rows(&evidence, "flows.csv");
    let to = |address: &str| flows.iter().filter(|row| row.contains(address)).count();
    assert_eq!((to("127.0.0.1"), to("10.77.0.2")), (10, 10), "{flows:#?}");
    assert_eq!(flows, rows_of(&lab, &[frames], "any", "flows.csv"));
}

/// The kernel takes tags out of frames and says them beside; they are back in the rows, on the interface and on all.
#[test]
fn tags_are_kept() {
    let Some(lab) = Testbed::new() else { return };
    let run_on = |device: &str| {
        let (evidence, frames) = (lab.next("evidence"), lab.next("frames"));
        let arguments =
            ["-i", device, "-c", "15", "-o", text(&evidence), "-w", text(&frames), "--fail-on", "never"];
        (lab.live(&[&arguments, ["-f", "not ip6 and not arp"].as_slice()].concat()), evidence, frames)
    };
    for device in [lab.device.as_str(), "any"] {
        let (mut live, evidence, frames) = run_on(device);
        let sent =
            Testbed::inside(&lab.far, "python3").args([TRAFFIC, "tagged", "afl-far", "5"]).status().unwrap();
        assert!(sent.success());
        live.ends(0);
        verified(&evidence);
        let ports = column(&evidence, "flows.csv", "client_port");
        let mut seen: Vec<(String, String)> =
            ports.into_iter().zip(column(&evidence, "flows.csv", "vlan")).collect();
        seen.sort();
        let expected = [(2000, ""), (3000, "10"), (4000, "20;10")];
        let expected: Vec<(String, String)> = expected
            .iter()
            .flat_map(|(first, vlan)| {
                (*first..first + 5).map(|port: u16| (port.to_string(), (*vlan).to_owned()))
            })
            .collect();
        assert_eq!(seen, expected, "{device}");
        assert_eq!(rows(&evidence, "flows.csv"), rows_of(&lab, &[frames], device, "flows.csv"), "{device}");
    }
}

#[test]
fn frames_are_cut_to_a_length() {
    let Some(lab) = Testbed::new() else { return };
    let (evidence, frames) = (lab.path("evidence"), lab.path("frames.pcapng"));
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "-s",
        "64",
        "-f",
        DATAGRAMS,
        "-c",
        "10",
        "-o",
        text(&evidence),
        "-w",
        text(&frames),
        "--fail-on",
        "never",
    ]);
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    live.ends(0);
    let manifest = verified(&evidence);
    let input = &manifest["inputs"][0];
    assert_eq!(input["interfaces"][0]["snap_len"], 64, "{input}");
    assert_eq!(input["frame_bytes"], 640, "{input}");
    let flows = rows(&evidence, "flows.csv");
    assert_eq!(flows.len(), 10);
    // What was sent is counted, not what was kept of it.
    let sent = column(&evidence, "flows.csv", "bytes_to_server");
    assert!(sent.iter().all(|bytes| bytes == "100"), "{sent:?}");
    assert_eq!(flows, rows_of(&lab, &[frames], &lab.device, "flows.csv"));
}

#[test]
fn frames_are_written_in_files_of_an_age() {
    let Some(lab) = Testbed::new() else { return };
    let frames = lab.path("frames.pcapng");
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "-f",
        DATAGRAMS,
        "-w",
        text(&frames),
        "--rotate-time",
        "1s",
        "-c",
        "45",
        "--fail-on",
        "never",
    ]);
    // A file that waits for its first frame does not grow old.
    std::thread::sleep(Duration::from_millis(1100));
    lab.traffic(&["datagrams", "10.77.0.2", "45", "0.1"]);
    live.ends(0);
    let files: Vec<PathBuf> = (1..100)
        .map(|number| lab.path(&format!("frames-{number:05}.pcapng")))
        .take_while(|path| path.is_file())
        .collect();
    // More than four seconds of frames; a machine that stands still meanwhile makes fewer files, or more.
    assert!(files.len() >= 2, "{files:?}");
    assert!(!frames.exists(), "the name itself is that of no file");
    let (mut all, mut last) = (0, String::new());
    for file in &files {
        let again = lab.next("again");
        let output = Command::new(PROGRAM)
            .args(["analyze", "-q", "--fail-on", "never", "-o", text(&again), text(file)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let input = &verified(&again)["inputs"][0];
        assert_eq!(input["damage_count"], 0, "{input}");
        all += input["frames"].as_u64().unwrap();
        let first = input["first_seen"].as_str().unwrap().to_owned();
        assert!(first > last, "one after the other");
        input["last_seen"].as_str().unwrap().clone_into(&mut last);
    }
    assert_eq!(all, 45);
}

#[test]
fn frames_that_were_saved_are_not_written_over() {
    let Some(lab) = Testbed::new() else { return };
    let frames = lab.path("frames.pcapng");
    for port in ["9001", "9002"] {
        let filter = format!("udp dst port {port}");
        let mut live = lab.live(&[
            "-i",
            &lab.device,
            "-f",
            &filter,
            "-w",
            text(&frames),
            "--rotate-size",
            "1M",
            "-c",
            "1",
            "--fail-on",
            "never",
        ]);
        lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
        live.ends(0);
    }
    let files: Vec<PathBuf> = (1..3).map(|number| lab.path(&format!("frames-{number:05}.pcapng"))).collect();
    let ports: Vec<Vec<String>> = files
        .iter()
        .map(|file| {
            let again = lab.next("again");
            let output = Command::new(PROGRAM)
                .args(["analyze", "-q", "--fail-on", "never", "-o", text(&again), text(file)])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            column(&again, "flows.csv", "server_port")
        })
        .collect();
    assert_eq!(ports, [["9001"], ["9002"]]);
}

/// Saving stops where the disk is full, and goes on in another file when it no longer is; the audit misses nothing.
#[test]
fn saving_goes_on_when_a_full_disk_has_room() {
    let Some(lab) = Testbed::new() else { return };
    let (disk, evidence) = (lab.path("disk"), lab.path("evidence"));
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "afl", text(&disk)]);
    let _mounted = Mounted(&disk);
    let frames = disk.join("frames.pcapng");
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "-f",
        DATAGRAMS,
        "-w",
        text(&frames),
        "--rotate-size",
        "1M",
        "-o",
        text(&evidence),
        "--fail-on",
        "never",
    ]);
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    let first = disk.join("frames-00001.pcapng");
    until("the first are on the disk", || fs::metadata(&first).unwrap().len() > 10 * 142);
    let ballast = disk.join("ballast");
    // Fills what is left; the error is the point.
    let _ = fs::write(&ballast, vec![0; 1 << 20]);
    lab.traffic(&["datagrams", "10.77.0.2", "100", "0"]);
    until("it says so", || {
        live.stderr().contains("no space left on the disk; frames are not saved until it can be")
    });
    fs::remove_file(&ballast).unwrap();
    until("it says that it goes on", || live.stderr().contains("frames are saved again: "));
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    live.stop(0);
    let manifest = verified(&evidence);
    assert_eq!(manifest["accounting"]["frames"], 120, "{manifest}");
    let again = lab.path("again");
    let output = Command::new(PROGRAM)
        .args(["analyze", "-q", "--fail-on", "never", "-o", text(&again)])
        .args([&first, &disk.join("frames-00002.pcapng")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let saved = verified(&again);
    for input in saved["inputs"].as_array().unwrap() {
        assert_eq!(input["damage_count"], 0, "whole frames alone: {input}");
    }
    let unsaved = manifest["statistics"]["live.unsaved"].as_u64().unwrap();
    assert!(unsaved > 0);
    assert_eq!(saved["accounting"]["frames"].as_u64().unwrap() + unsaved, 120, "each is saved or counted");
}

/// Two watch the same attempt that nobody answers. The one that lost frames meanwhile cannot say that it was blocked.
#[test]
fn who_lost_frames_is_less_certain() {
    let Some(lab) = Testbed::new() else { return };
    let (all, some) = (lab.path("all"), lab.path("some"));
    let watch = |evidence, buffer| {
        let device = ["-i", lab.device.as_str(), "--buffer", buffer, "--fail-on", "never", "-o", evidence];
        lab.live(&[device.as_slice(), &SERVER].concat())
    };
    let mut sure = watch(text(&all), "64");
    let mut unsure = watch(text(&some), "1");
    // Silence says something only of a client that is seen to hear something.
    lab.traffic(&["refused", "203.0.113.6", "1"]);
    // The other end does not forward: what is for nobody there is dropped without a word.
    let mut attempt = lab.traffic_begins(&["silent", "192.0.2.1", "8"]);
    std::thread::sleep(Duration::from_secs(2));
    unsure.signal("STOP");
    lab.traffic(&["flood", &lab.device, "syn", "20000"]);
    unsure.signal("CONT");
    attempt.ends(0);
    sure.stop(0);
    unsure.stop(0);
    let seen = |evidence: &Path| {
        let manifest = verified(evidence);
        let of = |name: &str| column(evidence, "flows.csv", name);
        let place = of("server_ip").iter().position(|address| address == "192.0.2.1").unwrap();
        let silence = column(evidence, "findings.csv", "code").iter().any(|code| code == "AFS202");
        (manifest["inputs"][0]["reported_drops"].as_u64().unwrap() > 0, of("outcome")[place].clone(), silence)
    };
    assert_eq!(seen(&all), (false, "blocked-looking".to_owned(), true));
    assert_eq!(seen(&some), (true, "inconclusive".to_owned(), false));
}

/// What was lost stands in the saved frames too, by interface and once: whoever reads them is as careful.
#[test]
fn saved_frames_say_what_was_lost() {
    let Some(lab) = Testbed::new() else { return };
    let (evidence, frames) = (lab.path("evidence"), lab.path("frames.pcapng"));
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "-i",
        "lo",
        "--buffer",
        "1",
        "-w",
        text(&frames),
        "--rotate-size",
        "100K",
        "-o",
        text(&evidence),
        "--fail-on",
        "never",
    ]);
    lab.traffic(&["datagrams", "127.0.0.1", "5", "0"]);
    live.signal("STOP");
    lab.traffic(&["flood", &lab.device, "syn", "20000"]);
    live.signal("CONT");
    until("all that is left is saved", || {
        let last = fs::metadata(lab.path("frames-00003.pcapng"));
        last.is_ok_and(|about| about.len() > 0)
    });
    live.stop(0);
    let manifest = verified(&evidence);
    let of = |what: &str| manifest["statistics"][format!("live.{}.{what}", lab.device)].as_u64().unwrap();
    let lost = of("dropped-by-kernel") + of("dropped-by-afs-audit");
    assert!(lost > 0, "{manifest}");
    let files: Vec<PathBuf> = (1..1000)
        .map(|number| lab.path(&format!("frames-{number:05}.pcapng")))
        .take_while(|path| path.is_file())
        .collect();
    let again = lab.path("again");
    let output = Command::new(PROGRAM)
        .args(["analyze", "-q", "--fail-on", "never", "-o", text(&again)])
        .args(&files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let inputs = verified(&again)["inputs"].as_array().unwrap().clone();
    let sum = |place: usize, what: &str| -> u64 {
        inputs.iter().map(|input| input["interfaces"][place][what].as_u64().unwrap()).sum()
    };
    assert_eq!(inputs[0]["interfaces"][0]["name"], lab.device.as_str());
    assert_eq!(
        (sum(0, "received"), sum(0, "dropped"), sum(0, "dropped_by_system")),
        (of("received"), 0, lost)
    );
    assert_eq!((inputs[0]["interfaces"][1]["name"].as_str(), sum(1, "dropped_by_system")), (Some("lo"), 0));
}

/// A name of a pipe, or standard output, in place of a file.
#[test]
fn frames_go_through_pipes() {
    let Some(lab) = Testbed::new() else { return };
    let pipe = lab.path("pipe");
    run(&["mkfifo", "-m", "666", text(&pipe)]);
    let common = ["-i", &lab.device, "-f", DATAGRAMS, "-c", "10", "--fail-on", "never"];
    let mut named = lab.live(&[common.as_slice(), &["-w", text(&pipe)]].concat());
    let mut out = lab.live_into(Stdio::piped(), &[common.as_slice(), &["-w", "-"]].concat());
    let read = |name: &str, from: Stdio| {
        let evidence = lab.next("read");
        let arguments = ["analyze", name, "-q", "--fail-on", "never", "-o", text(&evidence)];
        let child = Command::new(PROGRAM).args(arguments).stdin(from).spawn().unwrap();
        (Run::of(child), evidence)
    };
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    // Its reader comes late.
    let readers = [read(text(&pipe), Stdio::null()), read("-", out.child.stdout.take().unwrap().into())];
    named.ends(0);
    out.ends(0);
    for (mut reader, evidence) in readers {
        reader.ends(0);
        let manifest = verified(&evidence);
        assert_eq!(manifest["accounting"]["frames"], 10, "{manifest}");
        assert_eq!(manifest["inputs"][0]["damage_count"], 0, "{manifest}");
    }
    // Whoever read standard output left: that is an end. What cannot be is said.
    let mut live = lab.live_into(Stdio::piped(), &["-i", &lab.device, "-w", "-", "--fail-on", "never"]);
    drop(live.child.stdout.take());
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.ends(0);
    for more in [["--format", "jsonl"], ["--rotate-size", "1M"]] {
        let arguments = [["-i", lab.device.as_str(), "-w", "-"].as_slice(), &more].concat();
        let mut live = lab.begin(&[], &arguments, Stdio::null());
        live.ends(2);
        assert!(live.stderr().contains("afs-audit: cannot "), "{}", live.stderr());
    }
}

/// A pipe that nobody reads holds up neither the audit nor its end.
#[test]
fn a_pipe_that_nobody_reads_is_given_up() {
    let Some(lab) = Testbed::new() else { return };
    let (pipe, evidence) = (lab.path("pipe"), lab.path("evidence"));
    run(&["mkfifo", "-m", "666", text(&pipe)]);
    let arguments = ["-i", &lab.device, "-f", DATAGRAMS, "-w", text(&pipe), "-o", text(&evidence)];
    let mut live = lab.live(&[arguments.as_slice(), &["--fail-on", "never"]].concat());
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    live.stop(0);
    let said = live.stderr();
    assert!(said.contains("the last 10 frames were not saved: the output accepts no more data"), "{said}");
    let manifest = verified(&evidence);
    assert_eq!(manifest["accounting"]["frames"], 10, "{manifest}");
    assert_eq!(manifest["statistics"]["live.unsaved"], 10, "{manifest}");
}

/// After the rights were given up an interface cannot be opened, but a socket that is open can be bound to the new one.
#[test]
fn an_interface_that_is_made_again_is_captured_again() {
    let Some(lab) = Testbed::new() else { return };
    let (near, far, device) = (lab.near.as_str(), lab.far.as_str(), lab.device.as_str());
    let (evidence, frames) = (lab.path("evidence"), lab.path("frames.pcapng"));
    let mut live = lab.live(&[
        "-i",
        device,
        "-f",
        DATAGRAMS,
        "-o",
        text(&evidence),
        "-w",
        text(&frames),
        "--fail-on",
        "never",
        "--require-sandbox",
        "--metrics",
        "9105",
    ]);
    let is_up = format!("afs_audit_interface_up{{interface=\"{device}\"}}");
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    run(&["ip", "-n", near, "link", "delete", device]);
    until("it says that the interface is gone", || {
        live.stderr().contains("captured frames are kept, trying again")
    });
    assert_eq!(metric(&metrics(&lab, 9105), &is_up), 0);
    // A second and more, in which it tries: what is not there is not back.
    lab.traffic(&["datagrams", "127.0.0.1", "30", "0.1"]);
    assert!(!live.stderr().contains("is back"), "{}", live.stderr());

    lab.connect();
    until("it is back", || live.stderr().contains(&format!("{device}: interface is back\n")));
    assert_eq!(metric(&metrics(&lab, 9105), &is_up), 1);
    let flags = Testbed::inside(near, "cat").arg(format!("/sys/class/net/{device}/flags")).output().unwrap();
    let flags = String::from_utf8(flags.stdout).unwrap();
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap();
    assert!(flags & 0x100 != 0, "promiscuous as before: {flags:x}");
    // Both ways, and nothing but what the filter lets through.
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    let back = Testbed::inside(far, "python3")
        .args([TRAFFIC, "datagrams", "10.77.0.1", "10", "0"])
        .status()
        .unwrap();
    assert!(back.success());
    until("all of them are counted", || {
        metric(&metrics(&lab, 9105), &format!("afs_audit_frames_total{{interface=\"{device}\"}}")) >= 30
    });
    live.stop(0);
    let manifest = verified(&evidence);
    assert_eq!(manifest["accounting"]["frames"], 30, "{manifest}");
    assert_eq!(rows(&evidence, "flows.csv"), rows_of(&lab, &[frames], device, "flows.csv"));
}

/// What comes back as something else would be misread: it is said that only a new start helps.
#[test]
fn an_interface_that_is_made_again_as_another_kind_is_refused() {
    let Some(lab) = Testbed::new() else { return };
    let (near, device) = (lab.near.as_str(), lab.device.as_str());
    let evidence = lab.path("evidence");
    let mut live = lab.live(&["-i", device, "-f", DATAGRAMS, "-o", text(&evidence), "--fail-on", "never"]);
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    run(&["ip", "-n", near, "link", "delete", device]);
    until("it says that the interface is gone", || live.stderr().contains("captured frames are kept"));
    run(&["ip", "-n", near, "tuntap", "add", "dev", device, "mode", "tun"]);
    until("it says what to do", || {
        live.stderr().contains(
            "interface is back, but cannot be captured on: its hardware type has changed; restart afs-audit",
        )
    });
    live.stop(0);
    assert_eq!(verified(&evidence)["accounting"]["frames"], 10);
}
