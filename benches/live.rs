//! Live capture compared with tcpdump and dumpcap: the rate at which each drops its first frame.
//!
//! `cargo bench --bench live` sends frames at increasing rates through a veth pair between two network namespaces, for one
//! program after the other. `cargo bench --bench live -- soak 600` sends at full rate for 600 seconds, prints the memory of the
//! audit, and fails if it grows. Needs root.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_afs-audit");
const NEAR: &str = "afl-bench-near";
const FAR: &str = "afl-bench-far";

/// Rates in thousands of frames per second; the last is the full rate of one sender.
const RATES: &[u64] = &[100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, u64::MAX / 1000];

/// Duration of each rate.
const SECS: u64 = 8;

/// Length of a frame in bytes.
const LEN: usize = 320;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["send", rate, secs] => send(rate, secs),
        ["soak", secs] => in_lab(|| soak(secs.parse()?)),
        [] => in_lab(compare),
        _ => Err("what is wanted: nothing, or: soak SECONDS".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {} (this bench needs root): {stderr}", arguments.join(" ")).into())
}

/// The namespaces; removed at the end, also after an error.
fn in_lab(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let make = || -> Result<()> {
        run("ip", &["netns", "add", NEAR])?;
        run("ip", &["netns", "add", FAR])?;
        run("ip", &["link", "add", "near", "netns", NEAR, "type", "veth", "peer", "far", "netns", FAR])?;
        for (netns, name) in [(NEAR, "near"), (FAR, "far")] {
            // No router solicitations among the frames.
            run("ip", &["-n", netns, "link", "set", name, "addrgenmode", "none"])?;
            run("ip", &["-n", netns, "link", "set", name, "up"])?;
        }
        Ok(())
    };
    let done = make().and_then(|()| work());
    for netns in [NEAR, FAR] {
        let _ = run("ip", &["netns", "delete", netns]);
    }
    done
}

fn inside(netns: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns, program]);
    command
}

/// Starts a sender in the far namespace.
fn sender(rate: u64, secs: u64) -> Result<Child> {
    let own = std::env::current_exe()?;
    let mut command = inside(FAR, own.to_str().ok_or("this program's path is no text")?);
    Ok(command.args(["send", &rate.to_string(), &secs.to_string()]).stdout(Stdio::piped()).spawn()?)
}

/// Frames of TLS connections: a hundred frames each, 64 connections at a time.
struct Traffic {
    flows: Vec<(u32, u32)>,
    next: usize,
    opened: u32,
    frame: Vec<u8>,
    /// Bytes that client and server have sent before each step.
    sent: Vec<(u32, u32)>,
}

impl Traffic {
    fn new() -> Traffic {
        let mut frame = vec![0; LEN];
        put(&mut frame, 0, &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0]);
        put(&mut frame, 16, &((LEN - 14) as u16).to_be_bytes());
        put(&mut frame, 22, &[64, 6]);
        put(&mut frame, 46, &[0x50, 0x18, 4, 0]);
        let mut sent = vec![(0, 0)];
        for at in 0..100 {
            let (mut client, mut server) = sent.last().copied().unwrap_or_default();
            let len = match at {
                0 | 1 | 98 | 99 => 1,
                2 => 0,
                _ => LEN as u32 - 54,
            };
            *if is_by_client(at) { &mut client } else { &mut server } += len;
            sent.push((client, server));
        }
        let flows = (0..64).map(|number| (number, number * 100 / 64)).collect();
        Traffic { flows, next: 0, opened: 64, frame, sent }
    }

    fn frame(&mut self) -> &[u8] {
        self.next = (self.next + 1) % self.flows.len();
        let Some((id, step)) = self.flows.get_mut(self.next) else { return &[] };
        let (number, at) = (*id, *step);
        *step += 1;
        if *step == 100 {
            (*id, *step) = (self.opened, 0);
            self.opened = self.opened.wrapping_add(1);
        }
        let client = [10, 77, (number >> 8) as u8 % 4, number as u8];
        let server = [203, 0, 113, (number >> 4) as u8];
        let port = (1024 + number % 60_000) as u16;
        let by_client = is_by_client(at);
        let (flags, len) = match at {
            0 => (2, 0),
            1 => (0x12, 0),
            2 => (0x10, 0),
            98 | 99 => (0x11, 0),
            _ => (0x18, LEN - 54),
        };
        let frame = &mut self.frame;
        let (from, to) = if by_client { (client, server) } else { (server, client) };
        put(frame, 26, &from);
        put(frame, 30, &to);
        let ports = if by_client { [port, 443] } else { [443, port] };
        put(frame, 34, &ports.map(u16::to_be_bytes).concat());
        let (own, other) = self.sent.get(at as usize).copied().unwrap_or_default();
        let (own, other) = if by_client { (own, other) } else { (other, own) };
        put(frame, 38, &own.to_be_bytes());
        put(frame, 42, &other.to_be_bytes());
        put(frame, 47, &[flags]);
        put(frame, 16, &((40 + len) as u16).to_be_bytes());
        if len > 0 {
            // RFC 8446 §4.1.2: a ClientHello with SNI; then application data.
            if at == 3 {
                hello(frame, len, number)
            } else {
                put(frame, 54, &[0x17, 3, 3, 0x40, 0])
            };
        }
        &self.frame
    }
}

/// Handshake, ClientHello, data mostly from the server, FIN.
fn is_by_client(at: u32) -> bool {
    match at {
        0 | 2 | 3 | 98 => true,
        1 | 99 => false,
        other => other % 8 == 0,
    }
}

fn hello(frame: &mut [u8], len: usize, number: u32) {
    let name = format!("host-{:04}.file.core.windows.net", number % 2000);
    let mut sni = ((name.len() + 3) as u16).to_be_bytes().to_vec();
    sni.push(0);
    sni.extend((name.len() as u16).to_be_bytes());
    sni.extend(name.as_bytes());
    let mut extensions = vec![0, 0];
    extensions.extend((sni.len() as u16).to_be_bytes());
    extensions.extend(sni);
    // The rest is padding (RFC 7685).
    let room = len - 9 - 43 - 2 - extensions.len() - 4;
    extensions.extend([0, 21]);
    extensions.extend((room as u16).to_be_bytes());
    extensions.resize(extensions.len() + room, 0);
    let mut body = vec![3, 3];
    body.resize(34, 7);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![0x16, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    put(frame, 54, &record);
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(room) = frame.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// Sends at a rate in thousands of frames per second, and prints the number of frames and the microseconds.
fn send(rate: &str, secs: &str) -> Result<()> {
    let rate = rate.parse::<u64>()?.saturating_mul(1000);
    let length = Duration::from_secs(secs.parse()?);
    let mut out = pcap::Capture::from_device("far")?.snaplen(64).open()?;
    let mut traffic = Traffic::new();
    let (mut sent, mut failed) = (0_u64, 0_u64);
    let begun = Instant::now();
    loop {
        let passed = begun.elapsed();
        if passed >= length {
            break;
        }
        let due = (passed.as_micros() as u64).saturating_mul(rate / 1000) / 1000;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(20));
            continue;
        }
        for _ in 0..due.saturating_sub(sent).min(64) {
            match out.sendpacket(traffic.frame()) {
                Ok(()) => sent += 1,
                Err(_) => failed += 1,
            }
        }
    }
    println!("{sent} {} {failed}", begun.elapsed().as_micros());
    Ok(())
}

/// Frames and microseconds of a sender that has ended.
fn done(sender: Child) -> Result<(u64, u64)> {
    let output = sender.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace().map(str::parse);
    match (words.next(), words.next()) {
        (Some(sent), Some(micros)) => Ok((sent?, micros?)),
        _ => Err("the sender could not send".into()),
    }
}

/// A program in the comparison: its name, command, and number of captured frames.
struct ComparedProgram {
    name: &'static str,
    command: fn(&Path) -> Command,
    captured: fn(&Path, &str) -> Option<u64>,
    /// Text on standard error once it captures.
    ready: &'static str,
}

const PROGRAMS: &[ComparedProgram] = &[
    ComparedProgram {
        name: "afs-audit",
        command: |folder| {
            let mut command = inside(NEAR, PROGRAM);
            command.args(["live", "-i", "near", "--server", "10.77.0.0/16", "--fail-on", "never", "-o"]);
            command.arg(folder.join("evidence"));
            command
        },
        captured: |folder, _| {
            let text = fs::read(folder.join("evidence/manifest.json")).ok()?;
            let manifest: serde_json::Value = serde_json::from_slice(&text).ok()?;
            manifest.get("accounting")?.get("frames")?.as_u64()
        },
        ready: "privileges dropped",
    },
    ComparedProgram {
        name: "tcpdump -B 65536",
        command: |_| {
            let mut command = inside(NEAR, "tcpdump");
            command.args(["-i", "near", "-w", "/dev/null", "-B", "65536", "-n"]);
            command
        },
        captured: |_, stderr| number_before(stderr, " packets captured"),
        ready: "listening on",
    },
    ComparedProgram {
        name: "dumpcap -B 64",
        command: |_| {
            let mut command = inside(NEAR, "dumpcap");
            command.args(["-i", "near", "-w", "/dev/null", "-B", "64", "-q"]);
            command
        },
        captured: |_, stderr| number_after(stderr, "Packets received/dropped on interface 'near': "),
        ready: "File: ",
    },
];

fn number_before(text: &str, what: &str) -> Option<u64> {
    text.get(..text.find(what)?)?.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn number_after(text: &str, what: &str) -> Option<u64> {
    text.get(text.find(what)? + what.len()..)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Starts a program, and waits until it captures.
fn start(program: &ComparedProgram, folder: &Path) -> Result<Child> {
    let stderr = folder.join("stderr");
    let mut child = (program.command)(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr)?)
        .spawn()?;
    let begun = Instant::now();
    while !fs::read_to_string(&stderr)?.contains(program.ready) {
        if child.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            return Err(format!("{}: {}", program.name, fs::read_to_string(&stderr)?).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    Ok(child)
}

fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    Ok(folder)
}

fn stop(mut child: Child) -> Result<()> {
    run("kill", &["-s", "INT", &child.id().to_string()])?;
    child.wait()?;
    Ok(())
}

fn compare() -> Result<()> {
    println!("{LEN} byte frames for {SECS} s at each rate; lost frames of those sent");
    println!(
        "{:>18}  {}",
        "frames/s sent",
        PROGRAMS.iter().map(|c| format!("{:>22}", c.name)).collect::<String>()
    );
    let mut first: Vec<Option<u64>> = vec![None; PROGRAMS.len()];
    for rate in RATES {
        let mut line = String::new();
        let mut speeds = Vec::new();
        for (program, first) in PROGRAMS.iter().zip(&mut first) {
            let folder = folder()?;
            let child = start(program, folder.path())?;
            let (sent, micros) = done(sender(*rate, SECS)?)?;
            // Time to empty the capture buffer.
            std::thread::sleep(Duration::from_millis(700));
            stop(child)?;
            let stderr = fs::read_to_string(folder.path().join("stderr"))?;
            let got = (program.captured)(folder.path(), &stderr)
                .ok_or_else(|| format!("{} did not print the number of frames: {stderr}", program.name))?;
            let lost = sent
                .checked_sub(got)
                .ok_or_else(|| format!("{} got {got} frames of {sent}", program.name))?;
            let speed = sent.saturating_mul(1_000_000) / micros.max(1);
            speeds.push(speed.to_string());
            if lost > 0 && first.is_none() {
                *first = Some(speed);
            }
            line += &format!("{:>22}", format!("{lost} ({:.3} %)", lost as f64 * 100.0 / sent.max(1) as f64));
        }
        println!(
            "{:>18}  {line}   sent at {}",
            if *rate > 1_000_000 { "all".to_owned() } else { (rate * 1000).to_string() },
            speeds.join(", ")
        );
    }
    for (program, first) in PROGRAMS.iter().zip(first) {
        match first {
            Some(rate) => println!("{}: first loss at {rate} frames/s", program.name),
            None => println!("{}: no loss at any rate", program.name),
        }
    }
    Ok(())
}

/// Memory of a process in MiB: anonymous, and peak resident.
fn memory(child: &Child) -> Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let mib = |key| number_after(&text.replace(['\t', ' '], ""), key).map(|kib| kib / 1024);
    Ok((mib("RssAnon:").ok_or("no RssAnon")?, mib("VmHWM:").ok_or("no VmHWM")?))
}

/// Sums the frames of finished intervals and removes their folders.
fn count_and_remove(evidence: &Path, audited: &mut u64, lost: &mut u64) -> Result<()> {
    for entry in fs::read_dir(evidence)?.flatten() {
        let Ok(text) = fs::read(entry.path().join("manifest.json")) else { continue };
        let manifest: serde_json::Value = serde_json::from_slice(&text)?;
        let number = |pointer: &str| manifest.pointer(pointer).and_then(serde_json::Value::as_u64);
        *audited += number("/accounting/frames").ok_or("no count of frames")?;
        *lost += number("/inputs/0/reported_drops").ok_or("no count of losses")?;
        fs::remove_dir_all(entry.path())?;
    }
    Ok(())
}

fn soak(secs: u64) -> Result<()> {
    let folder = folder()?;
    let stderr = folder.path().join("stderr");
    let evidence = folder.path().join("evidence");
    let child = inside(NEAR, PROGRAM)
        .args(["live", "-i", "near", "--memory", "512", "--every", "60s", "--fail-on", "never", "-o"])
        .arg(&evidence)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr)?)
        .spawn()?;
    std::thread::sleep(Duration::from_secs(1));
    let (mut audited, mut lost) = (0, 0);
    let sender = sender(u64::MAX / 1000, secs)?;
    let begun = Instant::now();
    let mut seen = Vec::new();
    println!("{:>8} {:>14} {:>12}", "seconds", "anonymous MiB", "most MiB");
    while begun.elapsed() < Duration::from_secs(secs) {
        std::thread::sleep(Duration::from_secs((secs / 60).clamp(1, 10)));
        let (own, most) = memory(&child)?;
        println!("{:>8} {own:>14} {most:>12}", begun.elapsed().as_secs());
        seen.push(own);
        count_and_remove(&evidence, &mut audited, &mut lost)?;
    }
    let (sent, micros) = done(sender)?;
    stop(child)?;
    count_and_remove(&evidence, &mut audited, &mut lost)?;
    let speed = |frames: u64| frames.saturating_mul(1_000_000) / micros.max(1);
    println!("sent {sent} frames at {} frames/s", speed(sent));
    println!("audited {audited} at {} frames/s, {lost} lost and counted", speed(audited));
    if audited + lost != sent {
        return Err(format!("{} frames are not accounted for", sent.abs_diff(audited + lost)).into());
    }
    let (early, late) = seen.split_at(seen.len() / 2);
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or_default();
    let (early, late) = (most(early), most(late));
    println!("most in the first half: {early} MiB, in the second: {late} MiB");
    if late > early + early / 10 + 16 {
        return Err("it grows".into());
    }
    Ok(())
}
