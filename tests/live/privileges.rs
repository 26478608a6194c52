//! Which rights it needs, and which it keeps.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::Stdio;

use super::testbed::*;

/// What runs a command as nobody special.
const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Nothing is left, whoever it was.
fn check_confined(live: &Run) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(live.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(live.status("NoNewPrivs"), "1");
    assert_eq!(live.status("Seccomp"), "2", "a filter is in force");
}

#[test]
fn a_user_can_be_named() {
    let Some(lab) = Testbed::new() else { return };
    let of = |what: &str| {
        let output = Command::new("id").args([what, "daemon"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (user, group) = (of("-u"), of("-g"));
    let evidence = lab.path("evidence");
    let mut live = lab.live(&[
        "-i",
        &lab.device,
        "--user",
        "daemon",
        "--require-sandbox",
        "--fail-on",
        "never",
        "-o",
        text(&evidence),
    ]);
    assert!(live.stderr().contains("privileges dropped: user daemon,"), "{}", live.stderr());
    assert_eq!(live.status("Uid").split_whitespace().collect::<Vec<_>>(), [user.as_str(); 4]);
    assert_eq!(live.status("Gid").split_whitespace().collect::<Vec<_>>(), [group.as_str(); 4]);
    assert_eq!(live.status("Groups"), group);
    check_confined(&live);
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.stop(0);
    verified(&evidence);
    let owner = fs::metadata(evidence.join("manifest.json")).unwrap().uid();
    assert_eq!(owner.to_string(), user, "evidence is theirs");
}

/// Root that stays root is no sandbox.
#[test]
fn root_is_not_given_up_for_root() {
    let Some(lab) = Testbed::new() else { return };
    let mut live = lab.begin(&[], &["-i", &lab.device, "--user", "root", "--require-sandbox"], Stdio::null());
    live.ends(2);
    assert!(live.stderr().contains("--require-sandbox is set: still running as root"), "{}", live.stderr());
}

#[test]
fn who_is_not_root_does_what_the_error_says() {
    let Some(lab) = Testbed::new() else { return };
    let program = lab.path("afs-audit");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let evidence = lab.path("evidence");
    let arguments = ["-i", &lab.device, "-o", text(&evidence), "--require-sandbox", "--fail-on", "never"];
    let mut live = lab.begin_program(&NOBODY, text(&program), &arguments, Stdio::null());
    live.ends(2);
    let said = live.stderr();
    let (_, line) = said.split_once("grant the capabilities once with: ").unwrap_or_else(|| panic!("{said}"));
    run(&line.split_whitespace().collect::<Vec<_>>());

    let mut live = lab.begin_program(&NOBODY, text(&program), &arguments, Stdio::null());
    live.begins();
    assert!(live.stderr().contains("privileges dropped: no capabilities, "), "{}", live.stderr());
    assert_eq!(live.status("Uid").split_whitespace().collect::<Vec<_>>(), ["65534"; 4]);
    check_confined(&live);
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.stop(0);
    assert!(verified(&evidence)["accounting"]["frames"].as_u64() >= Some(5));
}

/// What systemd would start, with the only right that the unit gives.
#[test]
fn the_unit_starts() {
    let Some(lab) = Testbed::new() else { return };
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/afs-audit.service");
    let unit = fs::read_to_string(unit).unwrap();
    let line =
        |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(
        (line("AmbientCapabilities="), line("CapabilityBoundingSet=")),
        ("CAP_NET_RAW", "CAP_NET_RAW")
    );
    let state = lab.path("state");
    let command = line("ExecStart=").replace("${INTERFACE}", &lab.device).replace("%S", text(&state));
    let mut words = command.split(' ');
    assert_eq!((words.next(), words.next()), (Some("/usr/local/bin/afs-audit"), Some("live")));
    let arguments: Vec<&str> = words.collect();
    let only_raw =
        ["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"];
    let before = [NOBODY.as_slice(), &only_raw, &["--no-new-privs"]].concat();
    let mut live = lab.begin(&before, &arguments, Stdio::null());
    live.begins();
    check_confined(&live);
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    live.signal("TERM");
    live.ends(0);
    let [folder] = intervals(&state.join("afs-audit/evidence")).try_into().unwrap();
    assert!(verified(&folder)["accounting"]["frames"].as_u64() >= Some(5));
}

/// libpcap is a shared library: where it is missing the loader ends the program before it begins, and names it.
#[test]
fn a_missing_library_is_named() {
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
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(127), "{said}");
    assert!(said.contains("error while loading shared libraries") && said.contains("libpcap.so"), "{said}");
}
