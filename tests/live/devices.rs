//! Interfaces, snap length, saved frames, and interfaces that disappear.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use super::testbed::*;

/// A filter for the datagrams of the test.
const DATAGRAMS: &str = "udp dst portrange 9000-9099";

/// The rows of `analyze` for saved frames, with the input name of the live rows.
fn rows_of(testbed: &Testbed, files: &[PathBuf], name: &str, table: &str) -> Vec<String> {
    let again = testbed.analyze(files);
    let file = |row: &String| {
        files
            .iter()
            .fold(row.clone(), |row, file| row.replace(file.file_name().unwrap().to_str().unwrap(), name))
    };
    rows(&again, table).iter().map(file).collect()
}

#[test]
fn any_captures_on_all_interfaces() {
    let Some(testbed) = Testbed::new() else { return };
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let mut live = testbed.start_live(&[
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
    testbed.traffic(&["datagrams", "127.0.0.1", "10", "0"]);
    testbed.traffic(&["datagrams", "10.77.0.2", "20", "0"]);
    live.assert_exits(0);
    let manifest = verified_manifest(&evidence);
    let link = manifest["inputs"][0]["interfaces"][0]["link_type"].as_u64();
    // LINKTYPE_LINUX_SLL: the only cooked header that keeps VLAN tags.
    assert_eq!(link, Some(113), "{manifest}");
    let flows = rows(&evidence, "flows.csv");
    let to = |address: &str| flows.iter().filter(|row| row.contains(address)).count();
    assert_eq!((to("127.0.0.1"), to("10.77.0.2")), (10, 10), "{flows:#?}");
    assert_eq!(flows, rows_of(&testbed, &[frames], "any", "flows.csv"));
}

/// The kernel removes VLAN tags from frames and reports them separately; the rows have them, on one interface and on `any`.
#[test]
fn vlan_tags_are_kept() {
    let Some(testbed) = Testbed::new() else { return };
    let run_on = |device: &str| {
        let (evidence, frames) = (testbed.unique_path("evidence"), testbed.unique_path("frames"));
        let arguments =
            ["-i", device, "-c", "15", "-o", text(&evidence), "-w", text(&frames), "--fail-on", "never"];
        (
            testbed.start_live(&[&arguments, ["-f", "not ip6 and not arp"].as_slice()].concat()),
            evidence,
            frames,
        )
    };
    for device in [testbed.device.as_str(), "any"] {
        let (mut live, evidence, frames) = run_on(device);
        let sent = Testbed::command_in(&testbed.far, "python3")
            .args([TRAFFIC, "tagged", "afl-far", "5"])
            .status()
            .unwrap();
        assert!(sent.success());
        live.assert_exits(0);
        verified_manifest(&evidence);
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
        assert_eq!(
            rows(&evidence, "flows.csv"),
            rows_of(&testbed, &[frames], device, "flows.csv"),
            "{device}"
        );
    }
}

#[test]
fn frames_are_truncated_to_the_snap_length() {
    let Some(testbed) = Testbed::new() else { return };
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let mut live = testbed
        .live()
        .evidence(&evidence)
        .saving(&frames)
        .with(&["-s", "64", "-f", DATAGRAMS, "-c", "10"])
        .start();
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    live.assert_exits(0);
    let manifest = verified_manifest(&evidence);
    let input = &manifest["inputs"][0];
    assert_eq!(input["interfaces"][0]["snap_len"], 64, "{input}");
    assert_eq!(input["frame_bytes"], 640, "{input}");
    let flows = rows(&evidence, "flows.csv");
    assert_eq!(flows.len(), 10);
    // On-wire bytes are counted, not captured bytes.
    let sent = column(&evidence, "flows.csv", "bytes_to_server");
    assert!(sent.iter().all(|bytes| bytes == "100"), "{sent:?}");
    assert_eq!(flows, rows_of(&testbed, &[frames], &testbed.device, "flows.csv"));
}

#[test]
fn saved_frames_rotate_by_time() {
    let Some(testbed) = Testbed::new() else { return };
    let frames = testbed.path("frames.pcapng");
    let mut live =
        testbed.live().saving(&frames).with(&["-f", DATAGRAMS, "--rotate-time", "1s", "-c", "45"]).start();
    // The rotation time of a file starts with its first frame.
    std::thread::sleep(Duration::from_millis(1100));
    testbed.traffic(&["datagrams", "10.77.0.2", "45", "0.1"]);
    live.assert_exits(0);
    let files: Vec<PathBuf> = (1..100)
        .map(|number| testbed.path(&format!("frames-{number:05}.pcapng")))
        .take_while(|path| path.is_file())
        .collect();
    // More than four seconds of frames; a busy machine makes fewer or more files.
    assert!(files.len() >= 2, "{files:?}");
    assert!(!frames.exists(), "the name itself is that of no file");
    let (mut all, mut last) = (0, String::new());
    for file in &files {
        let again = testbed.analyze(&[file]);
        let input = &verified_manifest(&again)["inputs"][0];
        assert_eq!(input["damage_count"], 0, "{input}");
        all += input["frames"].as_u64().unwrap();
        let first = input["first_seen"].as_str().unwrap().to_owned();
        assert!(first > last, "one after the other");
        input["last_seen"].as_str().unwrap().clone_into(&mut last);
    }
    assert_eq!(all, 45);
}

#[test]
fn saved_frames_are_not_overwritten() {
    let Some(testbed) = Testbed::new() else { return };
    let frames = testbed.path("frames.pcapng");
    for port in ["9001", "9002"] {
        let filter = format!("udp dst port {port}");
        let mut live =
            testbed.live().saving(&frames).with(&["-f", &filter, "--rotate-size", "1M", "-c", "1"]).start();
        testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
        live.assert_exits(0);
    }
    let files: Vec<PathBuf> =
        (1..3).map(|number| testbed.path(&format!("frames-{number:05}.pcapng"))).collect();
    let ports: Vec<Vec<String>> = files
        .iter()
        .map(|file| {
            let again = testbed.analyze(&[file]);
            column(&again, "flows.csv", "server_port")
        })
        .collect();
    assert_eq!(ports, [["9001"], ["9002"]]);
}

/// Saving pauses while the disk is full and continues in another file; the audit misses no frame.
#[test]
fn saving_continues_after_a_full_disk() {
    let Some(testbed) = Testbed::new() else { return };
    let (disk, evidence) = (testbed.path("disk"), testbed.path("evidence"));
    fs::create_dir(&disk).unwrap();
    run(&["mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "afl", text(&disk)]);
    let _mounted = Mount(&disk);
    let frames = disk.join("frames.pcapng");
    let mut live = testbed
        .live()
        .saving(&frames)
        .evidence(&evidence)
        .with(&["-f", DATAGRAMS, "--rotate-size", "1M"])
        .start();
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    let first = disk.join("frames-00001.pcapng");
    wait_until("the first are on the disk", || fs::metadata(&first).unwrap().len() > 10 * 142);
    let ballast = disk.join("ballast");
    // Fills the rest of the disk; the write error is expected.
    let _ = fs::write(&ballast, vec![0; 1 << 20]);
    testbed.traffic(&["datagrams", "10.77.0.2", "100", "0"]);
    wait_until("it says so", || {
        live.stderr().contains("no space left on the disk; frames are not saved until it can be")
    });
    fs::remove_file(&ballast).unwrap();
    wait_until("it says that it goes on", || live.stderr().contains("frames are saved again: "));
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    // Frames are missing in the files: the job was not done completely.
    live.stop(2);
    assert!(live.stderr().contains(" frames not written to the file of -w"), "{}", live.stderr());
    let manifest = verified_manifest(&evidence);
    assert_eq!(manifest["accounting"]["frames"], 120, "{manifest}");
    let damage = manifest["damage"].as_array().unwrap();
    assert!(
        damage.iter().any(|what| what.as_str().unwrap().contains("not written to the file of -w")),
        "{damage:?}"
    );
    let again = testbed.analyze(&[&first, &disk.join("frames-00002.pcapng")]);
    let saved = verified_manifest(&again);
    for input in saved["inputs"].as_array().unwrap() {
        assert_eq!(input["damage_count"], 0, "whole frames alone: {input}");
    }
    let unsaved = manifest["statistics"]["live.unsaved"].as_u64().unwrap();
    assert!(unsaved > 0);
    assert_eq!(saved["accounting"]["frames"].as_u64().unwrap() + unsaved, 120, "each is saved or counted");
}

/// Two runs capture the same unanswered attempt. The run that dropped frames cannot call it blocked.
#[test]
fn dropped_frames_make_silence_inconclusive() {
    let Some(testbed) = Testbed::new() else { return };
    let (all, some) = (testbed.path("all"), testbed.path("some"));
    let watch = |evidence, buffer| {
        let device =
            ["-i", testbed.device.as_str(), "--buffer", buffer, "--fail-on", "never", "-o", evidence];
        testbed.start_live(&[device.as_slice(), &SERVER].concat())
    };
    let mut sure = watch(text(&all), "64");
    let mut unsure = watch(text(&some), "1");
    // A missing reply counts only if the capture shows other packets to the client.
    testbed.traffic(&["refused", "203.0.113.6", "1"]);
    // The far namespace does not forward, so packets to other addresses are dropped.
    let mut attempt = testbed.start_traffic(&["unanswered", "192.0.2.1", "8"]);
    std::thread::sleep(Duration::from_secs(2));
    unsure.signal("STOP");
    testbed.traffic(&["flood", &testbed.device, "syn", "20000"]);
    unsure.signal("CONT");
    attempt.assert_exits(0);
    sure.stop(0);
    unsure.stop(0);
    let seen = |evidence: &Path| {
        let manifest = verified_manifest(evidence);
        let of = |name: &str| column(evidence, "flows.csv", name);
        let place = of("server_ip").iter().position(|address| address == "192.0.2.1").unwrap();
        let silence = column(evidence, "findings.csv", "code").iter().any(|code| code == "AFS202");
        (manifest["inputs"][0]["reported_drops"].as_u64().unwrap() > 0, of("outcome")[place].clone(), silence)
    };
    assert_eq!(seen(&all), (false, "blocked-looking".to_owned(), true));
    assert_eq!(seen(&some), (true, "inconclusive".to_owned(), false));
}

/// Saved files hold the drops of each interface once, so that `analyze` takes them into account.
#[test]
fn saved_files_report_dropped_frames() {
    let Some(testbed) = Testbed::new() else { return };
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let mut live = testbed
        .live()
        .saving(&frames)
        .evidence(&evidence)
        .with(&["-i", "lo", "--buffer", "1", "--rotate-size", "100K"])
        .start();
    testbed.traffic(&["datagrams", "127.0.0.1", "5", "0"]);
    live.signal("STOP");
    testbed.traffic(&["flood", &testbed.device, "syn", "20000"]);
    live.signal("CONT");
    // How many frames the kernel keeps of a burst depends on how fast it came.
    let saved_bytes = || {
        let files = (1..1000)
            .map_while(|number| fs::metadata(testbed.path(&format!("frames-{number:05}.pcapng"))).ok());
        files.map(|about| about.len()).sum::<u64>()
    };
    let (mut saved, mut since) = (0, Instant::now());
    wait_until("all that is left is saved", || {
        let now = saved_bytes();
        if now != saved {
            (saved, since) = (now, Instant::now());
        }
        saved > 10_000 && since.elapsed() > Duration::from_secs(2)
    });
    live.stop(0);
    let manifest = verified_manifest(&evidence);
    let of = |what: &str| manifest["statistics"][format!("live.{}.{what}", testbed.device)].as_u64().unwrap();
    let lost = of("dropped-by-kernel") + of("dropped-by-afs-audit");
    assert!(lost > 0, "{manifest}");
    let files: Vec<PathBuf> = (1..1000)
        .map(|number| testbed.path(&format!("frames-{number:05}.pcapng")))
        .take_while(|path| path.is_file())
        .collect();
    let again = testbed.analyze(&files);
    let inputs = verified_manifest(&again)["inputs"].as_array().unwrap().clone();
    let sum = |place: usize, what: &str| -> u64 {
        inputs.iter().map(|input| input["interfaces"][place][what].as_u64().unwrap()).sum()
    };
    assert_eq!(inputs[0]["interfaces"][0]["name"], testbed.device.as_str());
    assert_eq!(
        (sum(0, "received"), sum(0, "dropped"), sum(0, "dropped_by_system")),
        (of("received"), 0, lost)
    );
    assert_eq!((inputs[0]["interfaces"][1]["name"].as_str(), sum(1, "dropped_by_system")), (Some("lo"), 0));
}

/// Frames can be saved to a named pipe or to standard output.
#[test]
fn frames_can_be_saved_to_pipes() {
    let Some(testbed) = Testbed::new() else { return };
    let pipe = testbed.path("pipe");
    run(&["mkfifo", "-m", "666", text(&pipe)]);
    let ten = ["-f", DATAGRAMS, "-c", "10"];
    let mut named = testbed.live().saving(&pipe).with(&ten).start();
    let mut out = testbed.live().saving(Path::new("-")).with(&ten).start_into(Stdio::piped());
    let read = |name: &str, from: Stdio| {
        let evidence = testbed.unique_path("read");
        let arguments = ["analyze", name, "-q", "--fail-on", "never", "-o", text(&evidence)];
        let child = Command::new(PROGRAM).args(arguments).stdin(from).spawn().unwrap();
        (RunningProgram::of(child), evidence)
    };
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    // The reader opens the pipe late.
    let readers = [read(text(&pipe), Stdio::null()), read("-", out.child.stdout.take().unwrap().into())];
    named.assert_exits(0);
    out.assert_exits(0);
    for (mut reader, evidence) in readers {
        reader.assert_exits(0);
        let manifest = verified_manifest(&evidence);
        assert_eq!(manifest["accounting"]["frames"], 10, "{manifest}");
        assert_eq!(manifest["inputs"][0]["damage_count"], 0, "{manifest}");
    }
    // A closed standard output ends the run. Options that contradict it are errors.
    let mut live = testbed.live().saving(Path::new("-")).start_into(Stdio::piped());
    drop(live.child.stdout.take());
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.assert_exits(0);
    for more in [["--format", "jsonl"], ["--rotate-size", "1M"]] {
        let arguments = [["-i", testbed.device.as_str(), "-w", "-"].as_slice(), &more].concat();
        let mut live = testbed.spawn(&[], &arguments, Stdio::null());
        live.assert_exits(2);
        assert!(live.stderr().contains("afs-audit: cannot "), "{}", live.stderr());
    }
}

/// A pipe without a reader blocks neither the audit nor its end.
#[test]
fn a_pipe_without_reader_does_not_block() {
    let Some(testbed) = Testbed::new() else { return };
    let (pipe, evidence) = (testbed.path("pipe"), testbed.path("evidence"));
    run(&["mkfifo", "-m", "666", text(&pipe)]);
    let mut live = testbed.live().evidence(&evidence).saving(&pipe).with(&["-f", DATAGRAMS]).start();
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    live.stop(0);
    let stderr = live.stderr();
    assert!(
        stderr.contains("the last 10 frames were not saved: the output accepts no more data"),
        "{stderr}"
    );
    let manifest = verified_manifest(&evidence);
    assert_eq!(manifest["accounting"]["frames"], 10, "{manifest}");
    assert_eq!(manifest["statistics"]["live.unsaved"], 10, "{manifest}");
}

/// Without privileges an interface cannot be opened, but the open socket can be bound to a re-created one.
#[test]
fn a_recreated_interface_is_captured_again() {
    let Some(testbed) = Testbed::new() else { return };
    let (near, far, device) = (testbed.near.as_str(), testbed.far.as_str(), testbed.device.as_str());
    let (evidence, frames) = (testbed.path("evidence"), testbed.path("frames.pcapng"));
    let mut live = testbed
        .live()
        .evidence(&evidence)
        .saving(&frames)
        .with(&["-f", DATAGRAMS, "--require-sandbox", "--metrics", "9105"])
        .start();
    let is_up = format!("afs_audit_interface_up{{interface=\"{device}\"}}");
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    run(&["ip", "-n", near, "link", "delete", device]);
    wait_until("it says that the interface is gone", || {
        live.stderr().contains("captured frames are kept, trying again")
    });
    assert_eq!(metric(&metrics(&testbed, 9105), &is_up), 0);
    // Time for more than one retry, before the interface exists.
    testbed.traffic(&["datagrams", "127.0.0.1", "30", "0.1"]);
    assert!(!live.stderr().contains("is back"), "{}", live.stderr());

    testbed.connect();
    wait_until("it is back", || live.stderr().contains(&format!("{device}: interface is back\n")));
    assert_eq!(metric(&metrics(&testbed, 9105), &is_up), 1);
    let flags =
        Testbed::command_in(near, "cat").arg(format!("/sys/class/net/{device}/flags")).output().unwrap();
    let flags = String::from_utf8(flags.stdout).unwrap();
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap();
    assert!(flags & 0x100 != 0, "promiscuous as before: {flags:x}");
    // Both directions, and only what the filter accepts.
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    let back = Testbed::command_in(far, "python3")
        .args([TRAFFIC, "datagrams", "10.77.0.1", "10", "0"])
        .status()
        .unwrap();
    assert!(back.success());
    wait_until("all of them are counted", || {
        metric(&metrics(&testbed, 9105), &format!("afs_audit_frames_total{{interface=\"{device}\"}}")) >= 30
    });
    live.stop(0);
    let manifest = verified_manifest(&evidence);
    assert_eq!(manifest["accounting"]["frames"], 30, "{manifest}");
    assert_eq!(rows(&evidence, "flows.csv"), rows_of(&testbed, &[frames], device, "flows.csv"));
}

/// An interface re-created with another link type is refused: only a new start helps.
#[test]
fn a_recreated_interface_of_another_type_is_refused() {
    let Some(testbed) = Testbed::new() else { return };
    let (near, device) = (testbed.near.as_str(), testbed.device.as_str());
    let evidence = testbed.path("evidence");
    let mut live = testbed.live().evidence(&evidence).with(&["-f", DATAGRAMS]).start();
    testbed.traffic(&["datagrams", "10.77.0.2", "10", "0"]);
    run(&["ip", "-n", near, "link", "delete", device]);
    wait_until("it says that the interface is gone", || live.stderr().contains("captured frames are kept"));
    run(&["ip", "-n", near, "tuntap", "add", "dev", device, "mode", "tun"]);
    wait_until("it says what to do", || {
        live.stderr().contains(
            "interface is back, but cannot be captured on: its hardware type has changed; restart afs-audit",
        )
    });
    live.stop(0);
    assert_eq!(verified_manifest(&evidence)["accounting"]["frames"], 10);
}
