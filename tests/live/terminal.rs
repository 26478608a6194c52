//! What a person sees on a terminal.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::testbed::*;

const PTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/pty.py");

/// The lines of a terminal that got these bytes; only what a view in place needs is understood.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = bytes.chars();
    while let Some(char) = chars.next() {
        match char {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "an escape that nobody knows");
                let mut number = String::new();
                let end = loop {
                    match chars.next() {
                        Some(digit @ ('0'..='9' | ';' | '?')) => number.push(digit),
                        // Cut in the middle of what is written just now.
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
                    other => panic!("a sequence that nobody knows: {number}{other}"),
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
fn a_terminal_shows_what_happens_in_place() {
    let Some(mut lab) = Testbed::new() else { return };
    lab.serve();
    let site = lab.path("site.toml");
    fs::write(&site, "[site]\nproducts = [\"azure-file-sync\"]\n").unwrap();
    let shown = lab.path("shown");
    let mut child = Testbed::inside(&lab.near, "python3")
        .args([PTY, "50", "150", text(&shown), PROGRAM, "live", "--buffer", "16", "-i", &lab.device])
        .args(["--site", text(&site)])
        .args(SERVER)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut live = Run::of(child);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    let find = |what: &str| screen(&seen()).into_iter().find(|line| line.contains(what));
    until("a view without findings", || find("no findings so far").is_some());
    assert!(find("privileges dropped: user nobody").is_some(), "{}", seen());

    lab.traffic(&["talk", "10.77.0.2", "evil.example.net", "login.microsoftonline.com"]);
    lab.traffic(&["refused", "203.0.113.6", "1"]);
    for words in [
        ["4 findings, newest last:"].as_slice(),
        &["medium AFS101", "evil.example.net"],
        &["high   AFS201", "203.0.113.6"],
        &["flows: ", " active, ", " closed and evaluated: ", "1 documented", "1 unexpected"],
        &["1 blocked-looking, ", " inconclusive, 1 not-443; 2 DNS responses"],
        &[" of ", " required endpoints reached"],
    ] {
        until_or("it is shown", || {
            let lines = screen(&seen());
            let all = |line: &String| words.iter().all(|word| line.contains(word));
            if lines.iter().any(all) { Ok(()) } else { Err(format!("{words:?} in {lines:#?}")) }
        });
    }
    let line = find("frames/s").unwrap();
    assert!(
        line.starts_with(&lab.device) && line.contains("Mbit/s  0 dropped  ") && line.ends_with(" frames"),
        "{line}"
    );
    // Drawn again and again, and always in the same place.
    until("it is drawn ten times", || seen().matches("frames/s").count() > 10);
    assert_eq!(screen(&seen()).iter().filter(|line| line.contains("frames/s")).count(), 1);

    keys.write_all(b"\x03").unwrap();
    live.ends(1);
    let lines = screen(&seen());
    assert!(!lines.iter().any(|line| line.contains("frames/s")), "the view is gone: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("4 findings")), "a summary stays: {lines:#?}");
}

#[test]
fn a_loss_is_seen_in_the_view() {
    let Some(lab) = Testbed::new() else { return };
    let shown = lab.path("shown");
    let child = Testbed::inside(&lab.near, "python3")
        .args([PTY, "50", "150", text(&shown), PROGRAM, "live", "-i", &lab.device])
        // A ring of a few hundred frames, which a flood fills before anybody looks.
        .args(["--buffer", "1"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let live = Run::of(child);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    until("a view", || screen(&seen()).iter().any(|line| line.contains("0 dropped")));
    // Who empties the ring stands still meanwhile.
    let program = live.only_child();
    run(&["kill", "-s", "STOP", &program]);
    lab.traffic(&["flood", &lab.device, "syn", "20000"]);
    run(&["kill", "-s", "CONT", &program]);
    until("the loss", || screen(&seen()).iter().any(|line| line.contains("dropped: kernel ")));
}

/// A program on a terminal, what it shows, and what is typed.
fn on_terminal(lab: &Testbed, arguments: &[&str]) -> (Run, std::process::ChildStdin, std::path::PathBuf) {
    let shown = lab.next("shown");
    let mut child = Testbed::inside(&lab.near, "python3")
        .args([PTY, "20", "100", text(&shown), PROGRAM, "live", "--buffer", "16", "-i", &lab.device])
        .args(arguments)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let keys = child.stdin.take().unwrap();
    (Run::of(child), keys, shown)
}

/// Ctrl-S, a network that hangs: the terminal takes nothing, and the audit goes on.
#[test]
fn a_terminal_that_stands_still_does_not_stop_the_audit() {
    let Some(lab) = Testbed::new() else { return };
    let (mut live, mut keys, shown) = on_terminal(&lab, &["--metrics", "9105", "--fail-on", "never"]);
    let draws = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).matches("frames/s").count();
    until("a view", || draws() > 1);
    keys.write_all(b"\x13").unwrap();
    // More flows than fit between its threads, and more seconds than it needs to notice.
    lab.traffic(&["flood", &lab.device, "syn", "60000"]);
    let before = draws();
    until("they are counted behind the view", || {
        metric(&metrics(&lab, 9105), "afs_audit_flows_opened_total") >= 60_000
    });
    assert!(draws() <= before + 1, "it stands still");
    keys.write_all(b"\x11").unwrap();
    until("it goes on", || draws() > before + 1);
    keys.write_all(b"\x03").unwrap();
    live.ends(0);
}

/// Who closes the window has seen enough, as who closes a pipe.
#[test]
fn a_terminal_that_is_closed_ends_it() {
    let Some(lab) = Testbed::new() else { return };
    let evidence = lab.path("evidence");
    let (live, _keys, shown) = on_terminal(&lab, &["-o", text(&evidence), "--every", "1h"]);
    until("a view", || fs::read(&shown).unwrap_or_default().windows(8).any(|some| some == b"frames/s"));
    let program = live.only_child();
    lab.traffic(&["datagrams", "10.77.0.2", "5", "0"]);
    drop(live);
    until("it ends", || {
        let state = fs::read_to_string(format!("/proc/{program}/stat")).unwrap_or_default();
        // Whoever adopts it may take its time to bury it.
        state.is_empty() || state.contains(") Z ")
    });
    let all = intervals(&evidence);
    let frames: u64 =
        all.iter().map(|folder| verified(folder)["accounting"]["frames"].as_u64().unwrap()).sum();
    assert!(frames >= 5, "{frames}");
}

/// Stopped and continued, it draws below what the shell has written meanwhile.
#[test]
fn a_view_goes_on_below_what_came_between() {
    let Some(lab) = Testbed::new() else { return };
    let (mut live, mut keys, shown) = on_terminal(&lab, &["--fail-on", "never"]);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    until("a view", || seen().matches("frames/s").count() > 1);
    let program = live.only_child();
    run(&["kill", "-s", "STOP", &program]);
    run(&["kill", "-s", "CONT", &program]);
    let before = seen().matches("frames/s").count();
    until("it is drawn again", || seen().matches("frames/s").count() > before + 2);
    let views = screen(&seen()).iter().filter(|line| line.contains("frames/s")).count();
    assert_eq!(views, 2, "the old one stays where it was");
    keys.write_all(b"\x03").unwrap();
    live.ends(0);
}

/// A small window shows what is lost and what is new, and nothing runs over its edge.
#[test]
fn a_small_terminal_shows_what_matters() {
    let Some(lab) = Testbed::new() else { return };
    let shown = lab.path("shown");
    let mut child = Testbed::inside(&lab.near, "python3")
        .args([PTY, "5", "40", text(&shown), PROGRAM, "live", "--buffer", "16", "-i", &lab.device])
        .args(SERVER)
        .args(["--fail-on", "never"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut live = Run::of(child);
    let seen = || String::from_utf8_lossy(&fs::read(&shown).unwrap_or_default()).into_owned();
    until("a view", || seen().contains("frames/s"));
    lab.traffic(&["refused", "203.0.113.6", "1"]);
    let view = || {
        let lines = screen(&seen());
        let begin = lines.iter().position(|line| line.contains("frames/s"))?;
        Some(lines.get(begin..)?.iter().filter(|line| !line.is_empty()).cloned().collect::<Vec<_>>())
    };
    let starts = [lab.device.as_str(), "  0 dropped  ", "2 findings, newest last:", "  "];
    until_or("it is shown", || match view() {
        Some(lines)
            if lines.len() == 4 && lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)) =>
        {
            let fits = lines.iter().all(|line| line.chars().count() < 40);
            if fits { Ok(()) } else { Err(format!("{lines:#?}")) }
        }
        other => Err(format!("{other:#?}")),
    });
    keys.write_all(b"\x03").unwrap();
    live.ends(0);
}
