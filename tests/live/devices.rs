//! How it captures: which interfaces, how much of each frame, and what is kept of them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::lab::*;

/// Only the datagrams that a test sends.
const DATAGRAMS: &str = "udp dst portrange 9000-9099";

/// The rows of `analyze` over saved frames, under the name that the live rows have.
fn rows_of(lab: &Lab, files: &[PathBuf], name: &str, table: &str) -> Vec<String> {
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
    let lab = Lab::new();
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
    // LINKTYPE_LINUX_SLL2, or its ancestor where libpcap is older than 1.10.
    assert!(matches!(link, Some(276 | 113)), "{manifest}");
    let flows = rows(&evidence, "flows.csv");
    let to = |address: &str| flows.iter().filter(|row| row.contains(address)).count();
    assert_eq!((to("127.0.0.1"), to("10.77.0.2")), (10, 10), "{flows:#?}");
    assert_eq!(flows, rows_of(&lab, &[frames], "any", "flows.csv"));
}

#[test]
fn frames_are_cut_to_a_length() {
    let lab = Lab::new();
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
    let lab = Lab::new();
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
    let lab = Lab::new();
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
    let lab = Lab::new();
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
    let lab = Lab::new();
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
        (manifest["inputs"][0]["lost_by_sensor"].as_u64().unwrap() > 0, of("outcome")[place].clone(), silence)
    };
    assert_eq!(seen(&all), (false, "blocked-looking".to_owned(), true));
    assert_eq!(seen(&some), (true, "inconclusive".to_owned(), false));
}

/// After the rights were given up an interface cannot be opened, but a socket that is open can be bound to the new one.
#[test]
fn an_interface_that_is_made_again_is_captured_again() {
    let lab = Lab::new();
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
        live.stderr().contains("what was captured is kept, trying again")
    });
    assert_eq!(metric(&metrics(&lab, 9105), &is_up), 0);
    // A second and more, in which it tries: what is not there is not back.
    lab.traffic(&["datagrams", "127.0.0.1", "30", "0.1"]);
    assert!(!live.stderr().contains("is back"), "{}", live.stderr());

    lab.connect();
    until("it is back", || live.stderr().contains(&format!("{device}: is back\n")));
    assert_eq!(metric(&metrics(&lab, 9105), &is_up), 1);
    let flags = Lab::inside(near, "cat").arg(format!("/sys/class/net/{device}/flags")).output().unwrap();
    let flags = String::from_utf8(flags.stdout).unwrap();
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap();
    assert!(flags & 0x100 != 0, "promiscuous as before: {flags:x}");
    // Both ways, and nothing but what the filter lets through.
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    let back =
        Lab::inside(far, "python3").args([TRAFFIC, "datagrams", "10.77.0.1", "10", "0"]).status().unwrap();
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
    let lab = Lab::new();
    let (near, device) = (lab.near.as_str(), lab.device.as_str());
    let evidence = lab.path("evidence");
    let mut live = lab.live(&["-i", device, "-f", DATAGRAMS, "-o", text(&evidence), "--fail-on", "never"]);
    lab.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    run(&["ip", "-n", near, "link", "delete", device]);
    until("it says that the interface is gone", || live.stderr().contains("what was captured is kept"));
    run(&["ip", "-n", near, "tuntap", "add", "dev", device, "mode", "tun"]);
    until("it says what to do", || {
        live.stderr()
            .contains("is back, and cannot be captured on: it is of another kind; start the audit again")
    });
    live.stop(0);
    assert_eq!(verified(&evidence)["accounting"]["frames"], 10);
}
