//! Names and findings appear within two seconds of the packet that proves them.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;

use super::testbed::*;

/// What is promised.
const PROMISED: Duration = Duration::from_secs(2);

/// Signs of one kind in a round; the one in the middle counts.
const SIGNS: usize = 5;

/// A machine with better things to do is given so many rounds.
const ROUNDS: usize = 4;

/// Lines as they come, each with the time of its coming.
fn lines(live: &mut Run) -> mpsc::Receiver<(Timestamp, String)> {
    let out = BufReader::new(live.child.stdout.take().unwrap());
    let (give, take) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if give.send((Timestamp::now(), line)).is_err() {
                return;
            }
        }
    });
    take
}

/// How long after its packet a line came that says this.
fn delay(lines: &mpsc::Receiver<(Timestamp, String)>, what: &str, time: impl Fn(&str) -> String) -> Duration {
    loop {
        let (came, line) = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited in vain: {what}"));
        if line.contains(what) {
            let packet: Timestamp = time(&line).parse().unwrap();
            return came.duration_since(packet).try_into().unwrap_or_default();
        }
    }
}

/// Some round keeps the promise.
fn check(what: &str, mut sign: impl FnMut(usize) -> Duration) {
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let mut delays: Vec<Duration> = (0..SIGNS).map(|number| sign(round * SIGNS + number)).collect();
        delays.sort();
        if delays[SIGNS / 2] <= PROMISED {
            return;
        }
        all.push(delays);
    }
    panic!("{what}: {all:?}");
}

#[test]
fn what_is_proved_is_told_within_two_seconds() {
    let Some(mut lab) = Testbed::new() else { return };
    lab.serve();
    // Many hosts that refuse.
    run(&["ip", "-n", &lab.far, "route", "add", "local", "198.51.100.0/24", "dev", "lo"]);
    let arguments = [&["-i", lab.device.as_str()], SERVER.as_slice()].concat();
    let mut text = lab.live_into(Stdio::piped(), &arguments);
    let mut json = lab.live_into(Stdio::piped(), &[arguments.as_slice(), &["--format", "jsonl"]].concat());
    let (told, records) = (lines(&mut text), lines(&mut json));
    let begin = |line: &str| line.split(' ').next().unwrap().to_owned();
    let key = |line: &str, key: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record[key].as_str().unwrap().to_owned()
    };
    check("a name in a hello", |number| {
        // The conversation goes on for long: nothing is told because it ends.
        let name = format!("name-{number}.example.net");
        let mut talk = lab.traffic_begins(&["linger", "203.0.113.5", &name]);
        let late = delay(&told, &format!("AFS101 10.77.0.1 connected to {name}"), begin);
        assert!(talk.child.try_wait().unwrap().is_none(), "it goes on");
        late
    });
    check("an answer of DNS", |number| {
        let name = format!("asked-{number}.example.net");
        lab.traffic(&["ask", "10.77.0.2", &name]);
        delay(&records, &name, |line| key(line, "time"))
    });
    check("a refusal", |number| {
        let address = format!("198.51.100.{}", number + 1);
        lab.traffic(&["refused", &address, "1"]);
        delay(&told, &format!("AFS201 10.77.0.1 could not connect to {address} port 444"), begin)
    });
}
