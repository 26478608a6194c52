//! What other users put where a live run writes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use super::testbed::*;

/// Another user. No account is needed.
const OTHER: u32 = 54_321;

/// A folder that every user can write to, and a file of the user of the run in it.
fn shared_folder(testbed: &Testbed) -> (std::path::PathBuf, std::path::PathBuf) {
    let folder = testbed.unique_path("shared");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let victim = folder.join("victim");
    fs::write(&victim, "of value").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o666)).unwrap();
    (folder, victim)
}

fn give(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
}

/// Runs until the first frame; `live` is expected to refuse to start.
fn check_refused(testbed: &Testbed, arguments: &[&str], reason: &str) {
    let arguments = [["-i", testbed.device.as_str(), "-c", "1"].as_slice(), arguments].concat();
    let mut live = testbed.spawn(&[], &arguments, Stdio::null());
    live.assert_exits(2);
    assert!(live.stderr().contains(reason), "{}", live.stderr());
}

#[test]
fn frames_are_not_saved_through_links_and_in_files_of_others() {
    let Some(testbed) = Testbed::new() else { return };
    let (folder, victim) = shared_folder(&testbed);
    let link = folder.join("frames.pcapng");
    symlink(&victim, &link).unwrap();
    give(&link, OTHER);
    check_refused(&testbed, &["-w", text(&link)], "a symbolic link of the user with ID 54321");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "of value");

    let file = folder.join("other.pcapng");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    give(&file, OTHER);
    check_refused(&testbed, &["-w", text(&file)], "a file of the user with ID 54321");
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}

#[test]
fn saved_frames_can_be_read_by_their_owner_only() {
    let Some(testbed) = Testbed::new() else { return };
    let (folder, _) = shared_folder(&testbed);
    let (frames, evidence) = (folder.join("frames.pcapng"), folder.join("evidence"));
    let arguments = ["-i", &testbed.device, "-w", text(&frames), "--fail-on", "never", "-c", "1"];
    for (more, mode) in [([].as_slice(), 0o600), (&["-o", text(&evidence), "--umask", "027"], 0o640)] {
        let mut live = testbed.start_live(&[arguments.as_slice(), more].concat());
        testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
        live.assert_exits(0);
        assert_eq!(fs::metadata(&frames).unwrap().permissions().mode() & 0o777, mode);
        fs::remove_file(&frames).unwrap();
    }
}

#[test]
fn intervals_are_not_written_through_links_of_others() {
    let Some(testbed) = Testbed::new() else { return };
    let (folder, victim) = shared_folder(&testbed);
    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o777)).unwrap();
    let link = folder.join("evidence");
    symlink(&elsewhere, &link).unwrap();
    give(&link, OTHER);
    check_refused(&testbed, &["-o", text(&link), "--every", "1h"], "a symbolic link of");

    // In the folder itself: what looks like the rest of an earlier run.
    let evidence = folder.join("intervals");
    fs::create_dir(&evidence).unwrap();
    fs::set_permissions(&evidence, fs::Permissions::from_mode(0o777)).unwrap();
    for (name, target) in [(".unfinished", &elsewhere), ("flows.csv", &victim), ("old.unfinished", &victim)] {
        symlink(target, evidence.join(name)).unwrap();
        give(&evidence.join(name), OTHER);
    }
    let mut live = testbed.start_live(&[
        "-i",
        &testbed.device,
        "-o",
        text(&evidence),
        "--every",
        "1s",
        "--fail-on",
        "never",
    ]);
    wait_until("an interval", || interval_folders(&evidence).len() > 1);
    live.stop(0);
    for interval in interval_folders(&evidence) {
        verified_manifest(&interval);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "of value");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}
