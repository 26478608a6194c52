//! Names and findings appear within two seconds of the packet that proves them, and a dropped SYN as soon as silence means something.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;

use super::testbed::*;

/// Largest delay between packet and report.
const DELAY_LIMIT: Duration = Duration::from_secs(2);

/// Samples in a round; their median counts.
const SAMPLES: usize = 5;

/// Rounds, because the machine may be busy.
const ROUNDS: usize = 4;

/// Lines of standard output, each with its time of arrival.
fn lines(live: &mut RunningProgram) -> mpsc::Receiver<(Timestamp, String)> {
    let out = BufReader::new(live.child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if sender.send((Timestamp::now(), line)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The delay between a packet and the line that reports it.
fn delay(lines: &mpsc::Receiver<(Timestamp, String)>, what: &str, time: impl Fn(&str) -> String) -> Duration {
    loop {
        let (came, line) = lines
            .recv_timeout(WAIT_LIMIT)
            .unwrap_or_else(|_| panic!("no line within the time limit: {what}"));
        if line.contains(what) {
            let packet: Timestamp = time(&line).parse().unwrap();
            return came.duration_since(packet).try_into().unwrap_or_default();
        }
    }
}

/// Checks that the median delay of some round is within the limit.
fn check(what: &str, mut sample: impl FnMut(usize) -> Duration) {
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let mut delays: Vec<Duration> = (0..SAMPLES).map(|number| sample(round * SAMPLES + number)).collect();
        delays.sort();
        if delays[SAMPLES / 2] <= DELAY_LIMIT {
            return;
        }
        all.push(delays);
    }
    panic!("{what}: {all:?}");
}

#[test]
fn findings_are_reported_within_two_seconds() {
    let Some(mut testbed) = Testbed::new() else { return };
    testbed.start_servers();
    // Many hosts that refuse connections.
    run(&["ip", "-n", &testbed.far, "route", "add", "local", "198.51.100.0/24", "dev", "lo"]);
    let arguments = [&["-i", testbed.device.as_str()], SERVER.as_slice()].concat();
    let mut text = testbed.start_live_into(Stdio::piped(), &arguments);
    let mut json =
        testbed.start_live_into(Stdio::piped(), &[arguments.as_slice(), &["--format", "jsonl"]].concat());
    let (text_lines, records) = (lines(&mut text), lines(&mut json));
    let begin = |line: &str| line.split(' ').next().unwrap().to_owned();
    let key = |line: &str, key: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record[key].as_str().unwrap().to_owned()
    };
    check("a name in a ClientHello", |number| {
        // The connection stays open, so the report does not depend on its end.
        let name = format!("name-{number}.example.net");
        let mut talk = testbed.start_traffic(&["linger", "203.0.113.5", &name]);
        let delay = delay(&text_lines, &format!("AFS101 10.77.0.1 connected to {name}"), begin);
        assert!(talk.child.try_wait().unwrap().is_none(), "it goes on");
        delay
    });
    check("a DNS response", |number| {
        let name = format!("asked-{number}.example.net");
        testbed.traffic(&["resolve", "10.77.0.2", &name]);
        delay(&records, &name, |line| key(line, "time"))
    });
    check("a refused connection", |number| {
        let address = format!("198.51.100.{}", number + 1);
        testbed.traffic(&["refused", &address, "1"]);
        delay(&text_lines, &format!("AFS201 10.77.0.1 could not connect to {address} port 444"), begin)
    });
    check("a name that does not exist", |number| {
        let name = format!("host-{number}.afs.azure.net");
        testbed.traffic(&["resolve", "10.77.0.2", &name]);
        delay(&text_lines, &format!("10.77.0.2 for {name} and received NXDOMAIN"), begin)
    });
}

/// Three seconds until silence means something, one to two for a late reply, one for the heartbeat; and the machine may be busy.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_dropped_syn_is_reported_before_its_flow_ends_and_again_when_it_recovers() {
    let Some(mut testbed) = Testbed::new() else { return };
    testbed.start_servers();
    let far = testbed.far.clone();
    run(&["ip", "-n", &far, "route", "add", "blackhole", "198.51.100.9/32"]);
    let arguments = [&["-i", testbed.device.as_str()], SERVER.as_slice()].concat();
    let mut live = testbed.start_live_into(Stdio::piped(), &arguments);
    let lines = lines(&mut live);
    // The capture holds packets to this host, so that silence means something.
    testbed.traffic(&["resolve", "10.77.0.2", "some.example.net"]);
    let mut attempt = testbed.start_traffic(&["unanswered", "198.51.100.9", "60"]);
    let time = |line: &str| line.split(' ').next().unwrap().to_owned();
    let waited = delay(&lines, "198.51.100.9 port 443", time);
    assert!(waited <= SILENCE_LIMIT, "{waited:?}");
    assert!(attempt.child.try_wait().unwrap().is_none(), "the client still tries");
    drop(attempt);

    run(&["ip", "-n", &far, "route", "del", "blackhole", "198.51.100.9/32"]);
    run(&["ip", "-n", &far, "route", "add", "local", "198.51.100.9/32", "dev", "lo"]);
    let mut works = testbed.start_traffic(&["linger", "198.51.100.9", "files.example.net"]);
    delay(&lines, " recovered: 10.77.0.1 ", time);
    assert!(works.child.try_wait().unwrap().is_none(), "the connection is still open");
}
