//! Serves counts in the text format of Prometheus.
//!
//! In:  what the interfaces count, and what judge has found so far.
//! Out: an answer to whoever asks, whatever they ask for; one thread has all askers, so that none of them holds up another.
//! Not: anything that a stranger's packet says; names and addresses stay in the evidence.

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
use crate::judge::Destination;
use crate::judge::Outcome;
use crate::judge::PortVerdict;

/// What is counted since the beginning of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) live: u64,
    pub(super) opened: u64,
    pub(super) evicted: u64,
    pub(super) reassembly_stopped: u64,
    pub(super) forgotten: u64,
    pub(super) missed: u64,
    /// Needs of the site reached in this interval, and how many there are.
    pub(super) met: (u64, u64),
    pub(super) flows: u64,
    pub(super) judged: u64,
    pub(super) dns: u64,
    pub(super) destinations: [u64; 5],
    pub(super) ports: [u64; 3],
    pub(super) outcomes: [u64; 3],
    /// New findings by code.
    pub(super) findings: BTreeMap<&'static str, u64>,
    /// Evidence folders that were finished, and those that could not be.
    pub(super) evidence: [u64; 2],
}

/// Totals that another thread may look at.
pub(super) type Shared = Arc<Mutex<Totals>>;

/// Askers at once; one more takes the place of the one that has waited longest.
const ASKERS: usize = 64;

/// How long an asker has, to ask and to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a question; longer ones are answered before they end.
const QUESTION: usize = 8 << 10;

/// Answers for as long as the process lives.
pub(super) fn serve(consumer: TcpListener, gauges: Arc<CaptureStats>, totals: Shared) -> io::Result<()> {
    consumer.set_nonblocking(true)?;
    let page = move || page(&gauges, &totals.lock().unwrap_or_else(PoisonError::into_inner));
    let answer = move || {
        let mut askers: Vec<Asker> = Vec::new();
        loop {
            wait(&consumer, &askers);
            while let Some(asker) = Asker::accept(&consumer) {
                if askers.len() >= ASKERS {
                    askers.remove(0);
                }
                askers.push(asker);
            }
            askers.retain_mut(|asker| {
                asker.since.elapsed() < PATIENCE && asker.goes_on(&page).unwrap_or(false)
            });
        }
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(answer).map(drop)
}

/// Waits until somebody comes, asks or listens, or has waited too long.
fn wait(consumer: &TcpListener, askers: &[Asker]) {
    let mut fds = vec![PollFd::new(consumer.as_fd(), PollFlags::POLLIN)];
    fds.extend(askers.iter().map(|asker| {
        let wanted = if asker.has_more_to_say() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        PollFd::new(asker.stream.as_fd(), wanted)
    }));
    let timeout = if askers.is_empty() { PollTimeout::NONE } else { PollTimeout::from(1000_u16) };
    if poll(&mut fds, timeout).is_err() {
        // Interrupted, or without memory: not again at once.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One who asks.
struct Asker {
    stream: TcpStream,
    since: Instant,
    question: Vec<u8>,
    answer: Vec<u8>,
    /// Bytes of the answer that were sent.
    sent: usize,
}

impl Asker {
    fn accept(consumer: &TcpListener) -> Option<Asker> {
        let stream = match consumer.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    // As when no more files can be opened: it comes again.
                    std::thread::sleep(Duration::from_millis(100));
                }
                return None;
            }
        };
        stream.set_nonblocking(true).ok()?;
        let (question, answer) = (Vec::new(), Vec::new());
        Some(Asker { stream, since: Instant::now(), question, answer, sent: 0 })
    }

    fn has_more_to_say(&self) -> bool {
        self.sent < self.answer.len()
    }

    /// Listens and answers as far as that can be done at once; false when it is over.
    fn goes_on(&mut self, page: &impl Fn() -> String) -> io::Result<bool> {
        let mut bytes = [0; 2048];
        // Then it is another's turn.
        for _ in 0..16 {
            if self.has_more_to_say() {
                let rest = self.answer.get(self.sent..).unwrap_or_default();
                match self.stream.write(rest) {
                    Ok(sent) => self.sent += sent,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
                if !self.has_more_to_say() {
                    self.stream.shutdown(Shutdown::Write)?;
                }
                continue;
            }
            let read = match self.stream.read(&mut bytes) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            if !self.answer.is_empty() {
                // What is left of a long question is listened to: closing on it would take the answer back.
                if read == 0 {
                    return Ok(false);
                }
                continue;
            }
            self.question.extend(bytes.iter().take(read));
            let ends = |end: &[u8]| self.question.windows(end.len()).any(|some| some == end);
            if read == 0 || self.question.len() >= QUESTION || ends(b"\r\n\r\n") || ends(b"\n\n") {
                let text = page();
                self.answer = format!(
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

fn page(gauges: &CaptureStats, totals: &Totals) -> String {
    let mut page = Page(String::new());
    page.family("build_info", "gauge", "The version that runs.");
    page.row("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let each = |page: &mut Page, name: &str, help: &str, value: fn(&InterfaceStats) -> &AtomicU64| {
        page.family(name, "counter", help);
        for gauge in &gauges.ports {
            page.row(name, &[("interface", &gauge.name)], read(value(gauge)));
        }
    };
    each(&mut page, "frames_total", "Frames audited.", |gauge| &gauge.frames);
    each(&mut page, "bytes_total", "Bytes of these frames, as captured.", |gauge| &gauge.bytes);
    each(&mut page, "received_frames_total", "Frames that the kernel saw.", |gauge| &gauge.received);
    page.family("dropped_frames_total", "counter", "Frames lost, by who had no room.");
    for gauge in &gauges.ports {
        let kinds = [
            ("kernel", &gauge.kernel_drops),
            ("interface", &gauge.interface_drops),
            ("own", &gauge.our_drops),
        ];
        for (by, counter) in kinds {
            page.row("dropped_frames_total", &[("interface", &gauge.name), ("by", by)], read(counter));
        }
    }
    page.family("interface_up", "gauge", "Whether the interface is there.");
    for gauge in &gauges.ports {
        let gone = gauge.gone.load(Ordering::Relaxed);
        page.row("interface_up", &[("interface", &gauge.name)], u64::from(!gone));
    }
    page.one(
        "unsaved_frames_total",
        "counter",
        "Frames audited and not written to the file of -w.",
        gauges.unsaved(),
    );
    page.one("queue_blocks", "gauge", "Blocks that wait for the audit.", read(&gauges.queued));
    page.one("queue_capacity_blocks", "gauge", "Blocks that can wait.", CaptureStats::QUEUE);
    page.one("flows_live", "gauge", "Conversations that are followed now.", totals.live);
    page.one("flows_opened_total", "counter", "Conversations opened.", totals.opened);
    page.one("flows_evicted_total", "counter", "Conversations closed early to make room.", totals.evicted);
    page.one(
        "flows_unheard_total",
        "counter",
        "Conversations no longer listened to, to make room.",
        totals.reassembly_stopped,
    );
    page.one(
        "names_forgotten_total",
        "counter",
        "Times that a full table of names forgot its least used half.",
        totals.forgotten,
    );
    page.one("findings_missed_total", "counter", "Signs of findings that did not fit.", totals.missed);
    let (met, needs) = totals.met;
    page.one("requirements_met", "gauge", "Needs of the site reached in this interval.", met);
    page.one("requirements", "gauge", "Needs of the site.", needs);
    page.one("flows_total", "counter", "Conversations that are over.", totals.flows);
    page.one(
        "flows_judged_total",
        "counter",
        "Conversations that audited hosts opened and that are over.",
        totals.judged,
    );
    page.one("dns_answers_total", "counter", "DNS answers.", totals.dns);
    page.words(
        "destinations_total",
        "Judged flows by destination.",
        "destination",
        Destination::ALL.iter().map(|word| word.as_str()).zip(totals.destinations),
    );
    page.words(
        "ports_total",
        "Judged flows by port.",
        "port",
        PortVerdict::ALL.iter().map(|word| word.as_str()).zip(totals.ports),
    );
    page.words(
        "outcomes_total",
        "Judged flows by outcome.",
        "outcome",
        Outcome::ALL.iter().map(|word| word.as_str()).zip(totals.outcomes),
    );
    page.words(
        "findings_total",
        "New findings by code.",
        "code",
        totals.findings.iter().map(|(code, count)| (*code, *count)),
    );
    page.words(
        "evidence_total",
        "Evidence folders.",
        "state",
        ["written", "lost"].into_iter().zip(totals.evidence),
    );
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP afs_audit_{name} {help}\n# TYPE afs_audit_{name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
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

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.row(name, &[], value);
    }

    fn words<'a>(&mut self, name: &str, help: &str, label: &str, rows: impl Iterator<Item = (&'a str, u64)>) {
        self.family(name, "counter", help);
        for (word, value) in rows {
            self.row(name, &[(label, word)], value);
        }
    }
}
