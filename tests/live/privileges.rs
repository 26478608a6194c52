//! Privileges that live capture needs and drops.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::Stdio;

use super::testbed::*;

/// Runs a command as an unprivileged user.
const AS_NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Checks that no capability is left and that the sandbox is active.
fn assert_sandboxed(live: &RunningProgram) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(live.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(live.status("NoNewPrivs"), "1");
    assert_eq!(live.status("Seccomp"), "2", "a filter is in force");
}

#[test]
fn the_user_option_selects_the_user() {
    let Some(testbed) = Testbed::new() else { return };
    let of = |what: &str| {
        let output = Command::new("id").args([what, "daemon"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (user, group) = (of("-u"), of("-g"));
    let evidence = testbed.path("evidence");
    let mut live =
        testbed.live().evidence(&evidence).with(&["--user", "daemon", "--require-sandbox"]).start();
    assert!(live.stderr().contains("privileges dropped: user daemon,"), "{}", live.stderr());
    assert_eq!(live.status("Uid").split_whitespace().collect::<Vec<_>>(), [user.as_str(); 4]);
    assert_eq!(live.status("Gid").split_whitespace().collect::<Vec<_>>(), [group.as_str(); 4]);
    assert_eq!(live.status("Groups"), group);
    assert_sandboxed(&live);
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.stop(0);
    verified_manifest(&evidence);
    let owner = fs::metadata(evidence.join("manifest.json")).unwrap().uid();
    assert_eq!(owner.to_string(), user, "evidence is theirs");
}

/// A process that stays root is not sandboxed.
#[test]
fn user_root_is_refused_with_a_required_sandbox() {
    let Some(testbed) = Testbed::new() else { return };
    let mut live =
        testbed.spawn(&[], &["-i", &testbed.device, "--user", "root", "--require-sandbox"], Stdio::null());
    live.assert_exits(2);
    assert!(live.stderr().contains("--require-sandbox is set: still running as root"), "{}", live.stderr());
}

#[test]
fn the_suggested_setcap_command_is_enough() {
    let Some(testbed) = Testbed::new() else { return };
    let program = testbed.path("afs-audit");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let evidence = testbed.path("evidence");
    let arguments = ["-i", &testbed.device, "-o", text(&evidence), "--require-sandbox", "--fail-on", "never"];
    let mut live = testbed.spawn_program(&AS_NOBODY, text(&program), &arguments, Stdio::null());
    live.assert_exits(2);
    let stderr = live.stderr();
    let (_, line) =
        stderr.split_once("grant the capability once with: ").unwrap_or_else(|| panic!("{stderr}"));
    run(&line.split_whitespace().collect::<Vec<_>>());

    let mut live = testbed.spawn_program(&AS_NOBODY, text(&program), &arguments, Stdio::null());
    live.wait_until_capturing();
    let stderr = live.stderr();
    assert!(stderr.contains("privileges dropped: no capabilities, "), "{stderr}");
    assert!(!stderr.contains("promiscuous mode is not available"), "{stderr}");
    assert_eq!(live.status("Uid").split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    assert_sandboxed(&live);
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.stop(0);
    assert!(frames(&verified_manifest(&evidence)) >= 5);
}

/// The command of the systemd unit, with the only capability that the unit grants.
#[test]
fn the_systemd_unit_starts() {
    let Some(testbed) = Testbed::new() else { return };
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/afs-audit.service");
    let unit = fs::read_to_string(unit).unwrap();
    let line =
        |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(
        (line("AmbientCapabilities="), line("CapabilityBoundingSet=")),
        ("CAP_NET_RAW", "CAP_NET_RAW")
    );
    let state = testbed.path("state");
    let command = line("ExecStart=").replace("${INTERFACE}", &testbed.device).replace("%S", text(&state));
    let mut words = command.split(' ');
    assert_eq!((words.next(), words.next()), (Some("/usr/local/bin/afs-audit"), Some("live")));
    let arguments: Vec<&str> = words.collect();
    let only_raw =
        ["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"];
    let before = [AS_NOBODY.as_slice(), &only_raw, &["--no-new-privs"]].concat();
    let mut live = testbed.spawn(&before, &arguments, Stdio::null());
    live.wait_until_capturing();
    assert_sandboxed(&live);
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.signal("TERM");
    live.assert_exits(0);
    let [folder] = interval_folders(&state.join("afs-audit/evidence")).try_into().unwrap();
    assert!(frames(&verified_manifest(&folder)) >= 5);
}

/// Without the shared library libpcap, the loader ends the program with a message that names it.
#[test]
fn a_missing_libpcap_is_named() {
    let libraries = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    let line =
        libraries.lines().find(|line| line.contains("libpcap")).unwrap_or_else(|| panic!("{libraries}"));
    let library = line.split_whitespace().find(|word| word.starts_with('/')).unwrap();
    let hidden = "mount --bind /dev/null \"$(realpath \"$0\")\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", hidden, library, PROGRAM, "interfaces"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(127), "{stderr}");
    assert!(
        stderr.contains("error while loading shared libraries") && stderr.contains("libpcap.so"),
        "{stderr}"
    );
}
