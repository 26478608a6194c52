//! The live view on a terminal.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

use super::testbed::*;

const PTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/pty.py");

/// The lines of a terminal after these bytes; supports only the control sequences of the live view.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = bytes.chars();
    while let Some(char) = chars.next() {
        match char {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "an unknown escape");
                let mut number = String::new();
                let end = loop {
                    match chars.next() {
                        Some(digit @ ('0'..='9' | ';' | '?')) => number.push(digit),
                        // The end of the bytes written so far.
                        None => return lines.iter().map(|line| line.iter().collect()).collect(),
                        Some(end) => break end,
                    }
                };
                let count = number.parse().unwrap_or(1);
                match end {
                    'A' => row = row.saturating_sub(count),
                    'B' => row += count,
                    'K' if number == "2" => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    'J' => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    'm' | 'h' | 'l' => {}
                    other => panic!("an unknown control sequence: {number}{other}"),
                }
            }
            other => {
                if lines[row].len() <= column {
                    lines[row].resize(column + 1, ' ');
                }
                lines[row][column] = other;
                column += 1;
            }
        }
        if lines.len() <= row {
            lines.resize(row + 1, Vec::new());
        }
    }
    lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn the_view_is_updated_in_place() {
    let Some(mut testbed) = Testbed::new() else { return };
    testbed.start_servers();
    let site = testbed.path("site.toml");
    fs::write(&site, "[site]\nproducts = [\"azure-file-sync\"]\n").unwrap();
    let shown = testbed.path("shown");
    let mut child = Testbed::command_in(&testbed.near, "python3")
        .args([PTY, "50", "150", text(&shown), PROGRAM, "live", "--buffer", "16", "-i", &testbed.device])
        .args(["--site", text(&site)])
        .args(SERVER)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut live = RunningProgram::of(child);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    let find = |what: &str| screen(&seen()).into_iter().find(|line| line.contains(what));
    wait_until("a view without problems", || find("no problems so far").is_some());
    assert!(find("privileges dropped: user nobody").is_some(), "{}", seen());

    testbed.traffic(&["connect", "10.77.0.2", "evil.example.net", "login.microsoftonline.com"]);
    testbed.traffic(&["refused", "203.0.113.6", "1"]);
    for words in [
        ["problems: 3 ongoing; latest last, times in UTC; q quits"].as_slice(),
        &["  ongoing: ", "medium AFS101", "evil.example.net"],
        &["  ongoing: ", "low AFS201", "203.0.113.6"],
        &["flows: ", " open, ", " ended; of audited hosts: ", "1 documented", "1 unexpected"],
        &[" ok, 1 blocked-looking, ", " inconclusive, 1 not-443; 2 DNS responses"],
        &[" of ", " required endpoints reached"],
    ] {
        wait_until_or("it is shown", || {
            let lines = screen(&seen());
            let all = |line: &String| words.iter().all(|word| line.contains(word));
            if lines.iter().any(all) { Ok(()) } else { Err(format!("{words:?} in {lines:#?}")) }
        });
    }
    let line = find("frames/s").unwrap();
    assert!(
        line.starts_with(&testbed.device)
            && line.contains("Mbit/s  0 dropped  ")
            && line.ends_with(" frames"),
        "{line}"
    );
    // Redrawn many times, always at the same position.
    wait_until("it is drawn ten times", || seen().matches("frames/s").count() > 10);
    assert_eq!(screen(&seen()).iter().filter(|line| line.contains("frames/s")).count(), 1);

    keys.write_all(b"\x03").unwrap();
    live.assert_exits(1);
    let lines = screen(&seen());
    assert!(!lines.iter().any(|line| line.contains("frames/s")), "the view is gone: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("3 findings")), "a summary stays: {lines:#?}");
}

#[test]
fn the_view_shows_dropped_frames() {
    let Some(testbed) = Testbed::new() else { return };
    let shown = testbed.path("shown");
    let child = Testbed::command_in(&testbed.near, "python3")
        .args([PTY, "50", "150", text(&shown), PROGRAM, "live", "-i", &testbed.device])
        // A capture buffer of a few hundred frames, which a flood fills.
        .args(["--buffer", "1"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let live = RunningProgram::of(child);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    wait_until("a view", || screen(&seen()).iter().any(|line| line.contains("0 dropped")));
    // The process that empties the buffer is stopped meanwhile.
    let program = live.only_child();
    run(&["kill", "-s", "STOP", &program]);
    testbed.traffic(&["flood", &testbed.device, "syn", "20000"]);
    run(&["kill", "-s", "CONT", &program]);
    wait_until("the loss", || screen(&seen()).iter().any(|line| line.contains("dropped: kernel ")));
}

/// Starts the program on a pseudo-terminal: its keyboard, and the file with its output.
fn on_terminal(
    testbed: &Testbed,
    arguments: &[&str],
) -> (RunningProgram, std::process::ChildStdin, std::path::PathBuf) {
    let own = [PROGRAM, "live", "--buffer", "16", "-i", &testbed.device];
    command_on_terminal(testbed, &[&own, arguments].concat())
}

/// The same for any command.
fn command_on_terminal(
    testbed: &Testbed,
    command: &[&str],
) -> (RunningProgram, std::process::ChildStdin, std::path::PathBuf) {
    let shown = testbed.unique_path("shown");
    let mut child = Testbed::command_in(&testbed.near, "python3")
        .args([PTY, "20", "100", text(&shown)])
        .args(command)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let keys = child.stdin.take().unwrap();
    (RunningProgram::of(child), keys, shown)
}

/// The audit continues while the terminal accepts no output, as after Ctrl-S.
#[test]
fn a_blocked_terminal_does_not_block_the_audit() {
    let Some(testbed) = Testbed::new() else { return };
    let (mut live, mut keys, shown) = on_terminal(&testbed, &["--metrics", "9105", "--fail-on", "never"]);
    let draws = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).matches("frames/s").count();
    wait_until("a view", || draws() > 1);
    keys.write_all(b"\x13").unwrap();
    // More flows than fit between the threads, and enough time to notice the blocked terminal.
    testbed.traffic(&["flood", &testbed.device, "syn", "60000"]);
    let before = draws();
    wait_until("they are counted while the view is blocked", || {
        metric(&metrics(&testbed, 9105), "afs_audit_flows_opened_total") >= 60_000
    });
    assert!(draws() <= before + 1, "the view is not drawn while it is blocked");
    keys.write_all(b"\x11").unwrap();
    wait_until("the view is drawn again", || draws() > before + 1);
    keys.write_all(b"\x03").unwrap();
    live.assert_exits(0);
}

/// What is typed does not appear, and `q` ends the run.
#[test]
fn typing_leaves_no_trace_and_q_quits() {
    let Some(testbed) = Testbed::new() else { return };
    let (mut live, mut keys, shown) = on_terminal(&testbed, &["--fail-on", "never"]);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    let draws = || seen().matches("frames/s").count();
    wait_until("a view", || draws() > 0);
    let is_echoed = || {
        let mode = Command::new("stty").args(["-F", &terminal_of(&live), "-a"]).output().unwrap();
        !String::from_utf8_lossy(&mode.stdout).contains("-echo ")
    };
    wait_until("keys are not shown", || !is_echoed());
    keys.write_all(b"\n\nabc\n").unwrap();
    let before = draws();
    wait_until("it is drawn again", || draws() > before + 1);
    let lines = screen(&seen());
    assert_eq!(lines.iter().filter(|line| line.contains("frames/s")).count(), 1, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("abc")), "{lines:#?}");
    keys.write_all(b"q").unwrap();
    live.assert_exits(0);
}

/// The terminal on which the only child of a program runs.
fn terminal_of(run: &RunningProgram) -> String {
    let link = format!("/proc/{}/fd/2", run.only_child());
    fs::read_link(link).unwrap().to_str().unwrap().to_owned()
}

/// A closed terminal ends the run, like a closed pipe.
#[test]
fn a_closed_terminal_ends_the_run() {
    let Some(testbed) = Testbed::new() else { return };
    let evidence = testbed.path("evidence");
    let (live, _keys, shown) = on_terminal(&testbed, &["-o", text(&evidence), "--every", "1h"]);
    wait_until("a view", || fs::read(&shown).unwrap_or_default().windows(8).any(|some| some == b"frames/s"));
    let program = live.only_child();
    testbed.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    drop(live);
    wait_until("it ends", || {
        let state = fs::read_to_string(format!("/proc/{program}/stat")).unwrap_or_default();
        // The process may remain a zombie for a while.
        state.is_empty() || state.contains(") Z ")
    });
    let all = interval_folders(&evidence);
    let frames: u64 =
        all.iter().map(|folder| verified_manifest(folder)["accounting"]["frames"].as_u64().unwrap()).sum();
    assert!(frames >= 5, "{frames}");
}

/// It does so as well where only standard output is on it, and there is no view.
#[test]
fn a_closed_terminal_without_a_view_ends_the_run() {
    let Some(testbed) = Testbed::new() else { return };
    let errors = testbed.unique_path("errors");
    let command = format!("exec {PROGRAM} live -i {} 2>{}", testbed.device, text(&errors));
    let (live, _keys, _shown) = command_on_terminal(&testbed, &["sh", "-c", &command]);
    let started = || fs::read_to_string(&errors).unwrap_or_default().contains("privileges dropped");
    wait_until("it captures", started);
    let program = live.only_child();
    drop(live);
    wait_until("it ends", || {
        let state = fs::read_to_string(format!("/proc/{program}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    });
}

/// After a stop and continue, the view is drawn below the output of the shell.
#[test]
fn the_view_continues_below_other_output() {
    let Some(testbed) = Testbed::new() else { return };
    let (mut live, mut keys, shown) = on_terminal(&testbed, &["--fail-on", "never"]);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    wait_until("a view", || seen().matches("frames/s").count() > 1);
    let program = live.only_child();
    run(&["kill", "-s", "STOP", &program]);
    run(&["kill", "-s", "CONT", &program]);
    let before = seen().matches("frames/s").count();
    wait_until("it is drawn again", || seen().matches("frames/s").count() > before + 2);
    let views = screen(&seen()).iter().filter(|line| line.contains("frames/s")).count();
    assert_eq!(views, 2, "the old one stays where it was");
    keys.write_all(b"\x03").unwrap();
    live.assert_exits(0);
}

/// A small terminal shows drops and the newest finding, and no line is wider than it.
#[test]
fn a_small_terminal_shows_drops_and_findings() {
    let Some(testbed) = Testbed::new() else { return };
    let shown = testbed.path("shown");
    let mut child = Testbed::command_in(&testbed.near, "python3")
        .args([PTY, "5", "40", text(&shown), PROGRAM, "live", "--buffer", "16", "-i", &testbed.device])
        .args(SERVER)
        .args(["--fail-on", "never"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut live = RunningProgram::of(child);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    wait_until("a view", || seen().contains("frames/s"));
    testbed.traffic(&["refused", "203.0.113.6", "1"]);
    let view = || {
        let lines = screen(&seen());
        let begin = lines.iter().position(|line| line.contains("frames/s"))?;
        Some(lines.get(begin..)?.iter().filter(|line| !line.is_empty()).cloned().collect::<Vec<_>>())
    };
    let starts = [testbed.device.as_str(), "  0 dropped  ", "problems: 1 ongoing", "  ongoing: "];
    wait_until_or("it is shown", || match view() {
        Some(lines)
            if lines.len() == 4 && lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)) =>
        {
            let fits = lines.iter().all(|line| line.chars().count() < 40);
            if fits { Ok(()) } else { Err(format!("{lines:#?}")) }
        }
        other => Err(format!("{other:#?}")),
    });
    keys.write_all(b"\x03").unwrap();
    live.assert_exits(0);
}
