//! Serves counters in the Prometheus text format.
//!
//! In:  counters of the capture, totals of the audit.
//! Out: the same HTTP response to every request. One thread serves all connections, so that none delays another.
//! Not: anything from a packet; names and addresses stay in the evidence.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;

use crate::capture::CaptureStats;
use crate::capture::InterfaceStats;
use crate::judge::DestinationVerdict;
use crate::judge::FindingCode;
use crate::judge::OpenCounts;
use crate::judge::Outcome;
use crate::judge::PortVerdict;
use crate::judge::ProblemState;
use crate::pipeline::LiveStatus;

/// Totals since the start of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveTotals {
    /// Flows that are open now.
    pub(super) active: u64,
    pub(super) opened: u64,
    pub(super) evicted: u64,
    pub(super) reassembly_stopped: u64,
    pub(super) name_evictions: u64,
    pub(super) missed_findings: u64,
    /// Required endpoints reached in this interval, and how many are required.
    pub(super) requirements_reached: (u64, u64),
    /// Flows that have ended.
    pub(super) closed: u64,
    /// Closed flows of audited hosts.
    pub(super) evaluated: u64,
    pub(super) dns: u64,
    pub(super) destinations: [u64; 5],
    pub(super) ports: [u64; 3],
    pub(super) outcomes: [u64; 3],
    /// Judged flows that are open.
    pub(super) open: OpenCounts,
    /// Problems by state.
    pub(super) problems: [u64; 3],
    /// New findings by code.
    pub(super) findings: BTreeMap<&'static str, u64>,
    /// Evidence folders written, and lost.
    pub(super) evidence_folders: [u64; 2],
}

impl LiveTotals {
    /// Takes the status of a run. Its tally counts since the last rotation; `before` are the totals at that time.
    pub(super) fn update(&mut self, before: &LiveTotals, status: &LiveStatus) {
        fn sum<const N: usize>(before: &[u64; N], since: &[u64]) -> [u64; N] {
            let at = |counts: &[u64], place: usize| counts.get(place).copied().unwrap_or_default();
            std::array::from_fn(|place| at(before, place) + at(since, place))
        }
        let tally = &status.tally;
        self.active = status.active_flows;
        self.opened = status.opened_flows;
        self.evicted = status.evicted_flows;
        self.reassembly_stopped = status.reassembly_stopped;
        self.name_evictions = status.name_evictions;
        self.missed_findings = before.missed_findings + status.missed_findings;
        self.requirements_reached = status.requirements_reached;
        self.closed = before.closed + tally.flows;
        self.evaluated = before.evaluated + tally.judged;
        self.dns = before.dns + tally.dns;
        self.destinations = sum(&before.destinations, &tally.destinations);
        self.ports = sum(&before.ports, &tally.ports);
        self.outcomes = sum(&before.outcomes, &tally.outcomes);
        self.open = status.open;
        self.problems = status.problems.states;
    }
}

/// Totals that the serving thread reads.
pub(super) type SharedTotals = Arc<Mutex<LiveTotals>>;

/// Concurrent connections. One more replaces the oldest.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request. A longer one is answered before it ends.
const MAX_REQUEST: usize = 8 << 10;

/// Serves on a thread of its own until the process ends.
pub(super) fn serve(listener: TcpListener, stats: Arc<CaptureStats>, totals: SharedTotals) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let render = move || render(&stats, &totals.lock().unwrap_or_else(PoisonError::into_inner));
    let serve_all = move || {
        let mut connections: Vec<Connection> = Vec::new();
        loop {
            wait(&listener, &connections);
            while let Some(connection) = Connection::accept(&listener) {
                if connections.len() >= MAX_CONNECTIONS {
                    connections.remove(0);
                }
                connections.push(connection);
            }
            connections.retain_mut(|connection| {
                connection.opened.elapsed() < CONNECTION_TIMEOUT
                    && connection.advance(&render).unwrap_or(false)
            });
        }
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(serve_all).map(drop)
}

/// Waits until a connection can be accepted, read or written, or may have timed out.
fn wait(listener: &TcpListener, connections: &[Connection]) {
    let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    fds.extend(connections.iter().map(|connection| {
        let events = if connection.is_sending() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        PollFd::new(connection.stream.as_fd(), events)
    }));
    let timeout = if connections.is_empty() { PollTimeout::NONE } else { PollTimeout::from(1000_u16) };
    if poll(&mut fds, timeout).is_err() {
        // Interrupted or out of memory: do not spin.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client's connection.
struct Connection {
    stream: TcpStream,
    opened: Instant,
    request: Vec<u8>,
    response: Vec<u8>,
    /// Bytes of the response that were sent.
    sent: usize,
}

impl Connection {
    fn accept(listener: &TcpListener) -> Option<Connection> {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    // For example too many open files: the listener stays readable, so do not spin.
                    std::thread::sleep(Duration::from_millis(100));
                }
                return None;
            }
        };
        stream.set_nonblocking(true).ok()?;
        let (request, response) = (Vec::new(), Vec::new());
        Some(Connection { stream, opened: Instant::now(), request, response, sent: 0 })
    }

    fn is_sending(&self) -> bool {
        self.sent < self.response.len()
    }

    /// Reads and writes as far as possible without waiting. False when the connection is done.
    fn advance(&mut self, render: &impl Fn() -> String) -> io::Result<bool> {
        let mut bytes = [0; 2048];
        // Limited, so that other connections are served too.
        for _ in 0..16 {
            if self.is_sending() {
                let rest = self.response.get(self.sent..).unwrap_or_default();
                match self.stream.write(rest) {
                    Ok(sent) => self.sent += sent,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
                if !self.is_sending() {
                    self.stream.shutdown(Shutdown::Write)?;
                }
                continue;
            }
            let read = match self.stream.read(&mut bytes) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            if !self.response.is_empty() {
                // Drain the rest of an oversized request: closing with unread data makes the kernel send RST, and the client
                // loses the response.
                if read == 0 {
                    return Ok(false);
                }
                continue;
            }
            self.request.extend(bytes.iter().take(read));
            let contains = |end: &[u8]| self.request.windows(end.len()).any(|window| window == end);
            let is_complete = contains(b"\r\n\r\n") || contains(b"\n\n");
            if read == 0 || self.request.len() >= MAX_REQUEST || is_complete {
                let text = render();
                self.response = format!(
                    "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
                    text.len()
                )
                .into_bytes();
            }
        }
        Ok(true)
    }
}

fn render(stats: &CaptureStats, totals: &LiveTotals) -> String {
    let mut out = Exposition(String::new());
    out.family("build_info", "gauge", "Version of the running program.");
    out.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    render_interfaces(stats, &mut out);
    out.counter("unsaved_frames_total", "Frames audited but not written to the file of -w.", stats.unsaved());
    out.gauge("queue_blocks", "Blocks of frames waiting for the audit.", read(&stats.queued));
    out.gauge("queue_capacity_blocks", "Blocks of frames that can wait.", CaptureStats::QUEUE);
    out.gauge("flows_live", "Active flows.", totals.active);
    out.counter("flows_opened_total", "Flows opened.", totals.opened);
    out.counter("flows_evicted_total", "Flows closed early because the flow table was full.", totals.evicted);
    out.counter(
        "flows_unheard_total",
        "Flows whose stream reassembly was stopped to save memory.",
        totals.reassembly_stopped,
    );
    out.counter("names_forgotten_total", "Evictions from the name cache.", totals.name_evictions);
    out.counter(
        "findings_missed_total",
        "Findings not kept because the limit was reached.",
        totals.missed_findings,
    );
    let (reached, required) = totals.requirements_reached;
    out.gauge("requirements_met", "Required endpoints reached in this interval.", reached);
    out.gauge("requirements", "Required endpoints.", required);
    out.counter("flows_total", "Closed flows.", totals.closed);
    out.counter("flows_judged_total", "Closed flows opened by audited hosts.", totals.evaluated);
    out.counter("dns_answers_total", "DNS responses, and queries without one.", totals.dns);
    out.counters(
        "destinations_total",
        "Flows of audited hosts by destination verdict.",
        "destination",
        DestinationVerdict::ALL.iter().map(|word| word.as_str()).zip(totals.destinations),
    );
    out.counters(
        "ports_total",
        "Flows of audited hosts by port verdict.",
        "port",
        PortVerdict::ALL.iter().map(|word| word.as_str()).zip(totals.ports),
    );
    out.counters(
        "outcomes_total",
        "Flows of audited hosts by outcome.",
        "outcome",
        Outcome::ALL.iter().map(|word| word.as_str()).zip(totals.outcomes),
    );
    out.counters(
        "findings_total",
        "New findings by code.",
        "code",
        // A counter that appears with its first finding has not increased for Prometheus.
        FindingCode::ALL.iter().map(|code| {
            let code = code.as_str();
            (code, totals.findings.get(code).copied().unwrap_or_default())
        }),
    );
    out.family("problems", "gauge", "Problems by state.");
    for (state, count) in ProblemState::ALL.iter().zip(totals.problems) {
        out.sample("problems", &[("state", state.as_str())], count);
    }
    out.counters(
        "evidence_total",
        "Evidence folders by state.",
        "state",
        ["written", "lost"].into_iter().zip(totals.evidence_folders),
    );
    out.0
}

fn render_interfaces(stats: &CaptureStats, out: &mut Exposition) {
    let mut each = |name: &str, help: &str, value: fn(&InterfaceStats) -> &AtomicU64| {
        out.family(name, "counter", help);
        for interface in &stats.interfaces {
            out.sample(name, &[("interface", &interface.name)], read(value(interface)));
        }
    };
    each("frames_total", "Frames audited.", |interface| &interface.frames);
    each("bytes_total", "Captured bytes of these frames.", |interface| &interface.bytes);
    each("received_frames_total", "Frames received by the kernel.", |interface| &interface.received);
    out.family("dropped_frames_total", "counter", "Frames dropped, by where.");
    for interface in &stats.interfaces {
        for (by, counter) in [
            ("kernel", &interface.kernel_drops),
            ("interface", &interface.interface_drops),
            ("own", &interface.queue_drops),
        ] {
            let labels = [("interface", interface.name.as_str()), ("by", by)];
            out.sample("dropped_frames_total", &labels, read(counter));
        }
    }
    out.family("interface_up", "gauge", "1 if the interface exists, 0 while the program waits for it.");
    for interface in &stats.interfaces {
        let is_gone = interface.is_gone.load(Ordering::Relaxed);
        out.sample("interface_up", &[("interface", &interface.name)], u64::from(!is_gone));
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Text in the Prometheus exposition format.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP afs_audit_{name} {help}\n# TYPE afs_audit_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{label}=\"{text}\"")
            })
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "afs_audit_{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A family with one sample for each value of a label.
    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        samples: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, "counter", help);
        for (word, value) in samples {
            self.sample(name, &[(label, word)], value);
        }
    }
}
