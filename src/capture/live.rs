//! Captures from interfaces.
//!
//! In:  names of interfaces, through libpcap.
//! Out: [`Chunk`]s as they come, numbered in the order of their coming, and a [`Pulse`] every second; what the interfaces
//!      were ([`InputFacts`]).
//! Not: a disk. The threads that empty the rings copy each frame once and hand blocks on; when nobody takes them they drop
//!      and count, so that the ring is never what waits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use pcap::Active;
use std::os::fd::AsFd as _;

use super::Chunk;
use super::FilterError;
use super::FrameHeader;
use super::InputFacts;
use super::Interface;
use super::LinkType;
use super::Outcome;
use super::Pulse;
#[cfg(target_os = "linux")]
use super::again::Kept;
#[cfg(target_os = "linux")]
use super::again::Return;
use super::block::Pool;
use super::filter::Filter;
use super::save::Saver;
use crate::base::FileId;
use crate::base::Time;
use crate::base::WireText;

/// Bytes of a block; the longest frame that libpcap gives fits.
const BLOCK_LEN: usize = 256 << 10;

/// Blocks between the capture threads and the audit: 32 MiB, besides the kernel's rings.
const QUEUE: usize = 128;

/// Frames of one block, however small they are.
const FRAMES: usize = 2048;

/// How long the kernel may keep a block that is not full. More wakes us less often, less shows findings earlier.
const KERNEL_WAIT_MILLIS: i32 = 50;

/// How long a thread that ends goes on looking: longer than the kernel keeps a frame back, so that none is lost that came before.
const LAST_WAIT: Duration = Duration::from_millis(4 * KERNEL_WAIT_MILLIS as u64);

/// A clock that was set back must not keep it looking.
const LONGEST_LAST_WAIT: Duration = Duration::from_secs(5);

/// Frames taken from a ring before anything else is looked at: a flood must not keep a thread from ending and counting.
const ROUND: usize = 8192;

/// How long a thread waits for frames before it looks whether it should end.
const WAIT_MILLIS: u16 = 50;

/// How far the pulse's clock stays behind, so that frames that are still on their way are not late.
const BEHIND_NANOS: i64 = 1_000_000_000;

/// Wall clock and steady clock that differ by more than this between two pulses: the wall clock was set.
const SET_NANOS: i64 = 1_000_000_000;

/// How to capture.
#[derive(Clone, Debug)]
pub struct LivePlan {
    /// Names of interfaces; `any` is all of them.
    pub interfaces: Vec<String>,
    /// A BPF expression, as tcpdump takes it.
    pub filter: Option<String>,
    /// Bytes kept of each frame.
    pub snap_len: u32,
    /// The kernel's ring for each interface, in MiB.
    pub buffer_mib: u32,
    /// Ends after so many frames.
    pub frame_limit: Option<u64>,
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Evidence is begun anew after this time.
    pub every: Option<Duration>,
}

/// Why nothing can be captured.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The system does not let us.
    #[error(
        "cannot capture on {interface}: no permission; run it as root, or allow it once with: \
         setcap cap_net_raw,cap_net_admin=eip {program}"
    )]
    NoPermission {
        /// The interface.
        interface: String,
        /// This program.
        program: String,
    },
    /// There is no such interface.
    #[error("cannot capture on {interface}: no such interface; {advice}")]
    NoInterface {
        /// The interface.
        interface: String,
        /// What may have been meant, or what there is.
        advice: String,
    },
    /// It is there, and down.
    #[error("cannot capture on {interface}: it is down; bring it up with: ip link set {interface} up")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Something else; in libpcap's words.
    #[error("cannot capture on {interface}: {why}")]
    Other {
        /// The interface.
        interface: String,
        /// Why.
        why: String,
    },
}

/// What an interface has counted; read from any thread.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Its name.
    pub name: String,
    /// Frames and bytes handed on.
    pub frames: AtomicU64,
    /// Bytes of these.
    pub bytes: AtomicU64,
    /// Frames that the kernel saw, by its own count.
    pub received: AtomicU64,
    /// Frames lost because the ring was full.
    pub kernel_drops: AtomicU64,
    /// Frames lost by the interface.
    pub interface_drops: AtomicU64,
    /// Frames that we had no room for.
    pub our_drops: AtomicU64,
    /// Frames that were audited and could not be saved for want of room or disk.
    pub unsaved: AtomicU64,
    /// Frames that were saved.
    pub(super) saved: AtomicU64,
    /// It is not there at the moment.
    pub gone: AtomicBool,
    /// The time until which all its frames have been handed on or counted as lost.
    seen_until: AtomicI64,
}

impl Gauge {
    /// Everything that was lost.
    pub fn lost(&self) -> u64 {
        [&self.kernel_drops, &self.interface_drops, &self.our_drops].map(read).iter().sum()
    }
}

pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// All that can be watched while it captures.
#[derive(Debug)]
pub struct Gauges {
    /// Each interface.
    pub ports: Vec<Gauge>,
    /// Blocks waiting for the audit.
    pub queued: AtomicU64,
    says: (Sender<String>, Receiver<String>),
}

impl Gauges {
    /// Blocks that can wait.
    pub const QUEUE: u64 = QUEUE as u64;

    /// Something that a person should know.
    pub(super) fn say(&self, what: &str) {
        // Names of interfaces and files may hold what a terminal would obey. When nobody reads any more nothing is missed.
        let _ = self.says.0.try_send(WireText::new(what.as_bytes(), 1024).to_string());
    }

    /// What was said since the last call.
    pub fn said(&self) -> impl Iterator<Item = String> + '_ {
        self.says.1.try_iter()
    }

    /// Everything that was lost on all interfaces.
    pub fn lost(&self) -> u64 {
        self.ports.iter().map(Gauge::lost).sum()
    }

    /// Frames that were audited and not saved.
    pub fn unsaved(&self) -> u64 {
        self.ports.iter().map(|gauge| read(&gauge.unsaved)).sum()
    }

    /// The time until which the frames of all interfaces have been handed on.
    fn seen_until(&self) -> Time {
        let each = self.ports.iter().map(|gauge| gauge.seen_until.load(Ordering::Acquire));
        each.min().map_or(Time::MIN, Time)
    }
}

/// An interface to capture on, as long as it is there.
struct Port {
    place: u16,
    plan: Arc<LivePlan>,
    capture: pcap::Capture<Active>,
    link: LinkType,
    #[cfg(target_os = "linux")]
    kept: Option<Kept>,
    is_gone: bool,
    retried: Instant,
    asked: Instant,
    /// The counts at the last question; they are 32 bits wide and begin anew with each opening.
    before: (u32, u32, u32),
    is_down: bool,
    refused: bool,
}

/// Interfaces that are open; nothing is read yet. Rights can be given up now.
pub struct Devices {
    ports: Vec<Port>,
    plan: Arc<LivePlan>,
    gauges: Arc<Gauges>,
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)
    }
}

impl Devices {
    /// Opens all interfaces.
    pub fn open(plan: LivePlan) -> Result<Devices, LiveError> {
        if let Some(filter) = &plan.filter {
            Filter::new(filter)?;
        }
        let port = |name: &String| Gauge { name: name.clone(), ..Gauge::default() };
        let gauges = Arc::new(Gauges {
            ports: plan.interfaces.iter().map(port).collect(),
            queued: AtomicU64::new(0),
            says: bounded(64),
        });
        let plan = Arc::new(plan);
        let now = Instant::now();
        let mut ports = Vec::new();
        for (place, name) in plan.interfaces.iter().enumerate() {
            let Opened { capture, link, promiscuous } = open(name, &plan, &gauges)?;
            #[cfg(not(target_os = "linux"))]
            let _ = promiscuous;
            ports.push(Port {
                place: place as u16,
                plan: Arc::clone(&plan),
                capture,
                link,
                #[cfg(target_os = "linux")]
                kept: Kept::of(name, promiscuous),
                is_gone: false,
                retried: now,
                asked: now,
                before: (0, 0, 0),
                is_down: false,
                refused: false,
            });
        }
        Ok(Devices { ports, plan, gauges })
    }

    /// What can be watched.
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// The interfaces, as a file would describe them.
    pub fn interfaces(&self) -> Vec<Interface> {
        let resolution = if cfg!(target_os = "linux") { "10^-9" } else { "10^-6" };
        self.ports
            .iter()
            .zip(&self.gauges.ports)
            .map(|(port, gauge)| {
                let mut about = Vec::new();
                if let Some(filter) = &self.plan.filter {
                    about.push(("filter", WireText::new(filter.as_bytes(), 512)));
                }
                Interface {
                    name: Some(WireText::new(gauge.name.as_bytes(), 64)),
                    about,
                    ..Interface::new(port.link, self.plan.snap_len, resolution)
                }
            })
            .collect()
    }

    /// Begins to capture. `stop` ends it, `turn` asks once for new evidence.
    pub fn start(
        self,
        stop: Arc<AtomicBool>,
        turn: Arc<AtomicBool>,
        saver: Option<Saver>,
    ) -> std::io::Result<Live> {
        let interfaces = self.interfaces();
        let (give, pieces) = bounded(QUEUE);
        let halt = Arc::new(AtomicBool::new(false));
        let clock = now();
        for gauge in &self.gauges.ports {
            gauge.seen_until.store(clock.0, Ordering::Relaxed);
        }
        for port in self.ports {
            let gauges = Arc::clone(&self.gauges);
            let filler = Filler::new(port.place, port.link, give.clone(), Arc::clone(&gauges));
            let halt = Arc::clone(&halt);
            thread::Builder::new().name("capture".to_owned()).spawn(move || port.watch(filler, &halt))?;
        }
        let now = Instant::now();
        let mut live = Live {
            pieces,
            gauges: self.gauges,
            interfaces,
            left: self.plan.frame_limit.unwrap_or(u64::MAX),
            plan: self.plan,
            stop,
            turn,
            halt,
            saver,
            began: now,
            beat: now,
            turned: now,
            clock,
            number: 0,
            lost: 0,
            latest: Time::MIN,
            bytes: 0,
            ended: false,
            facts: InputFacts::default(),
            at_turn: Vec::new(),
        };
        live.begin_facts();
        Ok(live)
    }
}

struct Opened {
    capture: pcap::Capture<Active>,
    link: LinkType,
    promiscuous: bool,
}

/// Opens an interface as we want it: the kernel's ring in its default mode (the immediate mode is older and loses frames),
/// promiscuous where that can be had.
fn open(name: &str, plan: &LivePlan, gauges: &Gauges) -> Result<Opened, LiveError> {
    let other = |why: String| LiveError::Other { interface: name.to_owned(), why };
    let begin = |promiscuous: bool| {
        let inactive = pcap::Capture::from_device(name)?
            .snaplen(plan.snap_len as i32)
            .buffer_size((plan.buffer_mib.min(2047) << 20) as i32)
            .timeout(KERNEL_WAIT_MILLIS)
            .promisc(promiscuous);
        let inactive =
            if cfg!(target_os = "linux") { inactive.precision(pcap::Precision::Nano) } else { inactive };
        inactive.open()
    };
    let mut promiscuous = name != "any";
    let opened = begin(promiscuous).or_else(|error| {
        if !words(&error).to_lowercase().contains("promisc") {
            return Err(error);
        }
        promiscuous = false;
        let capture = begin(false)?;
        gauges.say(&format!("{name}: cannot be promiscuous; only its own traffic is seen"));
        Ok(capture)
    });
    let mut capture = opened.map_err(|error| explained(name, &words(&error)))?;
    if name == "any" {
        // LINKTYPE_LINUX_SLL. The newer header also says which interface a frame came from; but what the kernel takes out of a
        // frame, its VLAN tag, libpcap puts back into the older one alone.
        let _ = capture.set_datalink(pcap::Linktype(113));
    }
    if let Some(filter) = &plan.filter {
        capture.filter(filter, true).map_err(|error| FilterError::Refused(words(&error)))?;
    }
    let link = match capture.get_datalink().0 {
        // DLT_RAW differs between systems; in files it is 101.
        12 | 14 => LinkType(101),
        number => LinkType(number as u16),
    };
    let capture = capture.setnonblock().map_err(|error| other(words(&error)))?;
    Ok(Opened { capture, link, promiscuous })
}

/// An error in libpcap's own words, which is all that tells its errors apart.
fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn explained(name: &str, words: &str) -> LiveError {
    let interface = name.to_owned();
    if words.contains("not permitted") || words.contains("ermission") {
        let program = std::env::current_exe()
            .map_or_else(|_| "afs-audit".to_owned(), |path| path.display().to_string());
        return LiveError::NoPermission { interface, program };
    }
    if words.contains("No such device") || words.contains("exist") {
        let devices = pcap::Device::list().unwrap_or_default();
        return LiveError::NoInterface { advice: advice(name, &devices), interface };
    }
    if words.contains("not up") || words.contains("is down") {
        return LiveError::Down { interface };
    }
    LiveError::Other { interface, why: words.to_owned() }
}

/// What may have been meant by a name that is none; else all that there are.
fn advice(name: &str, devices: &[pcap::Device]) -> String {
    let near = devices
        .iter()
        .map(|device| (strsim::jaro_winkler(name, &device.name), printable(&device.name)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    let up: Vec<String> =
        devices.iter().filter(|device| device.flags.is_up()).map(|device| printable(&device.name)).collect();
    match near {
        Some((_, near)) => format!("did you mean {near}? There are: {}", up.join(", ")),
        None if up.is_empty() => "none can be seen".to_owned(),
        None => format!("there are: {}", up.join(", ")),
    }
}

impl Port {
    fn name(&self) -> &str {
        self.plan.interfaces.get(usize::from(self.place)).map_or("", String::as_str)
    }

    /// A capture thread.
    fn watch(mut self, mut filler: Filler, halt: &AtomicBool) {
        while !halt.load(Ordering::Relaxed) {
            let since = now();
            if self.is_gone {
                filler.hand_on();
                filler.is_through(since);
                thread::sleep(Duration::from_millis(u64::from(WAIT_MILLIS)));
                self.retry(&mut filler);
                continue;
            }
            let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
            // Interrupted or not, the ring is looked at next.
            let _ = poll(&mut fds, PollTimeout::from(WAIT_MILLIS));
            match self.capture.dispatch(Some(ROUND), |packet| filler.put(&packet)) {
                Ok(taken) => {
                    filler.hand_on_if_wanted();
                    if taken < ROUND {
                        filler.is_through(since);
                    }
                }
                Err(error) => {
                    self.failed(&words(&error), &filler.gauges);
                    // What is down has nothing, and holds up no clock.
                    filler.hand_on();
                    filler.is_through(since);
                }
            }
            self.ask(&filler.gauges);
        }
        // What came until now, also what lies in a block that the kernel has not given up yet; what a flood brings after it is
        // not waited for.
        let (told, begun) = (now(), Instant::now());
        while !self.is_gone {
            let waited = begun.elapsed();
            let mut fds = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(WAIT_MILLIS));
            let Ok(taken) = self.capture.dispatch(Some(ROUND), |packet| filler.put(&packet)) else { break };
            let is_all = taken < ROUND || filler.latest > told || waited > LONGEST_LAST_WAIT;
            if waited >= LAST_WAIT && is_all {
                break;
            }
        }
        filler.hand_on();
        self.asked = self.asked.checked_sub(Duration::from_secs(2)).unwrap_or(self.asked);
        self.ask(&filler.gauges);
    }

    fn failed(&mut self, words: &str, gauges: &Gauges) {
        if words.is_empty() {
            // Somebody broke the loop; nothing is wrong.
            return;
        }
        let name = self.name();
        if words.contains("went down") || words.contains("is down") {
            if !self.is_down {
                gauges.say(&format!("{name}: went down; waiting for it"));
                self.is_down = true;
            }
            thread::sleep(Duration::from_millis(u64::from(WAIT_MILLIS)));
            return;
        }
        gauges.say(&format!(
            "{name}: {}; what was captured is kept, trying again every second",
            words.to_lowercase()
        ));
        // What it counted since the last question is asked for while the socket is there.
        self.count(gauges);
        self.is_gone = true;
        self.is_down = false;
        self.refused = false;
        self.mark(gauges, true);
    }

    fn mark(&self, gauges: &Gauges, gone: bool) {
        if let Some(gauge) = gauges.ports.get(usize::from(self.place)) {
            gauge.gone.store(gone, Ordering::Relaxed);
        }
    }

    fn retry(&mut self, filler: &mut Filler) {
        if self.retried.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.retried = Instant::now();
        #[cfg(target_os = "linux")]
        let why = match self.kept.map(|kept| kept.bind(&self.capture, self.name())) {
            Some(Return::Here) => return self.is_back(&filler.gauges),
            Some(Return::Gone) => return,
            Some(Return::Refused(why)) => why,
            None => "only interfaces that have a hardware address can be bound again",
        };
        #[cfg(not(target_os = "linux"))]
        let why = "rights were given up";
        // With the rights that are left that may be possible, or not.
        match open(self.name(), &self.plan, &filler.gauges) {
            Ok(opened) => {
                self.capture = opened.capture;
                self.link = opened.link;
                self.before = (0, 0, 0);
                filler.link = opened.link;
                self.is_back(&filler.gauges);
            }
            Err(LiveError::NoPermission { .. }) if !self.refused => {
                filler.gauges.say(&format!(
                    "{}: is back, and cannot be captured on: {why}; start the audit again",
                    self.name()
                ));
                self.refused = true;
            }
            Err(_) => {}
        }
    }

    fn is_back(&mut self, gauges: &Gauges) {
        gauges.say(&format!("{}: is back", self.name()));
        self.is_gone = false;
        self.mark(gauges, false);
    }

    /// Reads the kernel's counts, once a second.
    fn ask(&mut self, gauges: &Gauges) {
        if self.asked.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.asked = Instant::now();
        self.count(gauges);
        if self.is_gone {
            return;
        }
        let up = is_up(self.name());
        if self.is_down && up {
            gauges.say(&format!("{}: is up again", self.name()));
            self.is_down = false;
        } else if !self.is_down && !up {
            gauges.say(&format!("{}: is down; waiting for it", self.name()));
            self.is_down = true;
        }
    }

    fn count(&mut self, gauges: &Gauges) {
        let Some(gauge) = gauges.ports.get(usize::from(self.place)) else { return };
        let Ok(stats) = self.capture.stats() else { return };
        let now = (stats.received, stats.dropped, stats.if_dropped);
        let before = std::mem::replace(&mut self.before, now);
        let add = |counter: &AtomicU64, now: u32, before: u32| {
            counter.fetch_add(u64::from(now.wrapping_sub(before)), Ordering::Relaxed);
        };
        add(&gauge.received, now.0, before.0);
        add(&gauge.kernel_drops, now.1, before.1);
        // Counted by the driver, and by some of them backwards.
        if now.2 >= before.2 {
            add(&gauge.interface_drops, now.2, before.2);
        }
    }
}

/// Whether an interface is up, as far as the system says.
fn is_up(name: &str) -> bool {
    // linux/if.h: IFF_UP.
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).ok();
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    flags.is_none_or(|flags| flags & 1 != 0)
}

/// A block with its frames, on its way to the audit.
struct Piece {
    bytes: Arc<Vec<u8>>,
    frames: Vec<FrameHeader>,
}

/// Copies frames into blocks.
struct Filler {
    place: u16,
    link: LinkType,
    pool: Pool,
    block: Arc<Vec<u8>>,
    used: usize,
    frames: Vec<FrameHeader>,
    latest: Time,
    began: Instant,
    out: Sender<Piece>,
    gauges: Arc<Gauges>,
}

impl Filler {
    fn new(place: u16, link: LinkType, out: Sender<Piece>, gauges: Arc<Gauges>) -> Filler {
        let mut pool = Pool::new(BLOCK_LEN);
        let block = pool.take(BLOCK_LEN);
        let (frames, latest, began) = (Vec::new(), Time::MIN, Instant::now());
        Filler { place, link, pool, block, used: 0, frames, latest, began, out, gauges }
    }

    fn put(&mut self, packet: &pcap::Packet<'_>) {
        let header = packet.header;
        let end = self.used + packet.data.len();
        if end > self.block.len() || self.frames.len() >= FRAMES {
            self.hand_on();
        }
        let begin = self.used;
        let end = begin + packet.data.len();
        let room = Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(begin..end));
        let Some(room) = room else {
            // Longer than any frame that libpcap gives.
            self.drop_frames(1);
            return;
        };
        room.copy_from_slice(packet.data);
        if self.frames.is_empty() {
            self.began = Instant::now();
        }
        self.used = end;
        // With nanosecond stamps libpcap puts nanoseconds where microseconds are in its structure.
        let unit = if cfg!(target_os = "linux") { 1 } else { 1000 };
        let time = Time::from_parts(header.ts.tv_sec, (header.ts.tv_usec as u32).wrapping_mul(unit));
        self.latest = time;
        self.frames.push(FrameHeader {
            time,
            number: 0,
            offset: begin as u32,
            captured_len: packet.data.len() as u32,
            wire_len: header.len,
            link: self.link,
            interface: self.place,
        });
    }

    /// Hands on what is there when somebody waits for it, or it has waited long enough.
    fn hand_on_if_wanted(&mut self) {
        if self.out.is_empty() || self.began.elapsed() > Duration::from_millis(20) {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        if self.frames.is_empty() {
            return;
        }
        let frames = std::mem::replace(&mut self.frames, Vec::with_capacity(FRAMES / 4));
        let count = frames.len() as u64;
        let piece = Piece { bytes: Arc::clone(&self.block), frames };
        self.used = 0;
        if self.out.try_send(piece).is_err() {
            // The block was not taken, and serves again.
            self.drop_frames(count);
            return;
        }
        let next = self.pool.take(BLOCK_LEN);
        self.pool.put(std::mem::replace(&mut self.block, next));
    }

    /// The ring held nothing more that came before `since`.
    fn is_through(&self, since: Time) {
        let gauge = self.gauges.ports.get(usize::from(self.place));
        if let (Some(gauge), true) = (gauge, self.frames.is_empty()) {
            // Behind the frames, so that whoever sees it sees them too.
            gauge.seen_until.store(since.0, Ordering::Release);
        }
    }

    fn drop_frames(&self, count: u64) {
        if let Some(gauge) = self.gauges.ports.get(usize::from(self.place)) {
            gauge.our_drops.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Frames of all interfaces, as they come.
pub struct Live {
    pieces: Receiver<Piece>,
    gauges: Arc<Gauges>,
    interfaces: Vec<Interface>,
    plan: Arc<LivePlan>,
    /// Set by whoever wants it to end.
    stop: Arc<AtomicBool>,
    /// Set by whoever wants new evidence.
    turn: Arc<AtomicBool>,
    /// Ends the capture threads.
    halt: Arc<AtomicBool>,
    saver: Option<Saver>,
    began: Instant,
    beat: Instant,
    turned: Instant,
    /// What the clock said at the last pulse.
    clock: Time,
    number: u64,
    left: u64,
    lost: u64,
    latest: Time,
    bytes: u64,
    ended: bool,
    facts: InputFacts,
    /// Received and lost by each interface at the last turn.
    at_turn: Vec<(u64, u64)>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)
    }
}

impl Live {
    /// Fills `chunk` with the next frames, a pulse, or both; false at the end.
    pub fn next(&mut self, chunk: &mut Chunk) -> bool {
        chunk.frames.clear();
        chunk.pulse = None;
        chunk.file = FileId::default();
        if self.ended {
            return false;
        }
        loop {
            let over = self.stop.load(Ordering::Relaxed)
                || self.left == 0
                || self.plan.duration.is_some_and(|duration| self.began.elapsed() >= duration);
            if over {
                self.halt.store(true, Ordering::Relaxed);
            }
            let wait =
                Duration::from_secs(1).saturating_sub(self.beat.elapsed()).min(Duration::from_millis(100));
            match self.pieces.recv_timeout(wait) {
                Ok(piece) => {
                    self.gauges.queued.store(self.pieces.len() as u64, Ordering::Relaxed);
                    self.take(piece, chunk);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.ended = true;
                    chunk.pulse = Some(self.pulse(false));
                    return true;
                }
            }
            let turn = self.turn.swap(false, Ordering::Relaxed)
                || self.plan.every.is_some_and(|every| self.turned.elapsed() >= every);
            if turn || self.beat.elapsed() >= Duration::from_secs(1) {
                chunk.pulse = Some(self.pulse(turn));
            }
            if !chunk.frames.is_empty() || chunk.pulse.is_some() {
                return true;
            }
        }
    }

    fn take(&mut self, piece: Piece, chunk: &mut Chunk) {
        let Piece { bytes, mut frames } = piece;
        // What comes after the last frame that was asked for was not lost, but never wanted.
        frames.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= frames.len() as u64;
        for frame in &mut frames {
            self.number += 1;
            frame.number = self.number;
        }
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        self.latest = last.time;
        let len: u64 = frames.iter().map(|frame| u64::from(frame.captured_len)).sum();
        self.bytes += len;
        if let Some(gauge) = self.gauges.ports.get(usize::from(first.interface)) {
            gauge.frames.fetch_add(frames.len() as u64, Ordering::Relaxed);
            gauge.bytes.fetch_add(len, Ordering::Relaxed);
        }
        self.facts.tally(&frames);
        self.facts.handed_on += frames.len() as u64;
        chunk.bytes = bytes;
        chunk.frames = frames;
        if let Some(saver) = &self.saver {
            saver.save(chunk, &self.gauges);
        }
    }

    fn pulse(&mut self, turn: bool) -> Pulse {
        let before = std::mem::replace(&mut self.beat, Instant::now());
        if turn {
            self.turned = self.beat;
        }
        let lost = self.gauges.lost();
        let mut since = lost - std::mem::replace(&mut self.lost, lost);
        let clock = now();
        let steady = i64::try_from(self.beat.duration_since(before).as_nanos()).unwrap_or(i64::MAX);
        let set = clock.0.saturating_sub(std::mem::replace(&mut self.clock, clock).0).saturating_sub(steady);
        if set.abs() > SET_NANOS {
            let way = if set > 0 { "forward, or the machine slept," } else { "back" };
            let what = format!("the clock was set {way} by {} s", (set.abs() + 500_000_000) / 1_000_000_000);
            self.gauges.say(&format!("{what}: silence around it proves nothing"));
            self.facts.note(what);
            // How long something was silent is not known.
            since = since.max(1);
        }
        // Asked before the queue is looked at: what was captured until then is in the queue, or has been taken from it. A
        // thread that could not look for long, for want of a processor or because it was stopped, lets no time pass.
        let seen = self.gauges.seen_until();
        let time = if self.pieces.is_empty() {
            self.latest.max(Time(seen.0.saturating_sub(BEHIND_NANOS)))
        } else {
            // Behind: the clock is that of the frames.
            self.latest
        };
        Pulse { time, lost: since, turn }
    }

    /// Bytes of frames so far.
    pub const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// What the capture was since the last turn.
    pub fn turn(&mut self) -> Vec<InputFacts> {
        let mut facts = std::mem::take(&mut self.facts);
        facts.raw_bytes = facts.frame_bytes;
        facts.decoded_bytes = facts.frame_bytes;
        facts.interfaces.clone_from(&self.interfaces);
        for ((interface, gauge), (received, lost)) in
            facts.interfaces.iter_mut().zip(&self.gauges.ports).zip(self.at_turn.iter().copied())
        {
            interface.received = Some(read(&gauge.received) - received);
            interface.dropped = Some(gauge.lost() - lost);
            facts.lost += gauge.lost() - lost;
        }
        self.begin_facts();
        vec![facts]
    }

    fn begin_facts(&mut self) {
        self.facts = InputFacts {
            name: WireText::new(self.plan.interfaces.join("+").as_bytes(), 512),
            outcome: Outcome::Read,
            format: Some("live"),
            complete: true,
            ..InputFacts::default()
        };
        self.at_turn = self.gauges.ports.iter().map(|gauge| (read(&gauge.received), gauge.lost())).collect();
    }

    /// Ends the capture, and tells what it was since the last turn.
    pub fn finish(mut self) -> Vec<InputFacts> {
        self.halt.store(true, Ordering::Relaxed);
        let facts = self.turn();
        if let Some(saver) = self.saver.take() {
            saver.finish(&self.gauges);
        }
        facts
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
    }
}

/// The clock; nothing but live capture may look at it.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_parts(since.as_secs() as i64, since.subsec_nanos())
}

/// An interface that could be captured on. Names may be chosen by strangers; as they stand here they can be printed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `up, no carrier`; empty where there is none.
    pub state: &'static str,
    /// Its addresses, as `10.1.0.4/24`.
    pub addresses: Vec<String>,
    /// Link types that it offers; unknown without the right to open it.
    pub link_types: Option<Vec<String>>,
    /// What the system calls it.
    pub description: String,
}

/// Whether the system knows it as a network interface.
fn has_state(name: &str) -> bool {
    !cfg!(target_os = "linux") || std::path::Path::new("/sys/class/net").join(name).exists()
}

/// The interfaces of this machine.
pub fn interfaces() -> Result<Vec<Listed>, LiveError> {
    let devices = pcap::Device::list()
        .map_err(|error| LiveError::Other { interface: "any interface".to_owned(), why: words(&error) })?;
    let listed = devices.into_iter().map(|device| {
        let state = match (device.flags.is_up(), device.flags.is_running()) {
            (true, true) => "up",
            (true, false) => "up, no carrier",
            // What is no network card, as a log of packets, knows no state.
            (false, _) if device.addresses.is_empty() && !has_state(&device.name) => "",
            (false, _) => "down",
        };
        let addresses = device.addresses.iter().map(|address| {
            let mask = address.netmask.and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
            mask.map_or_else(|| address.addr.to_string(), |mask| format!("{}/{mask}", address.addr))
        });
        Listed {
            state,
            addresses: addresses.collect(),
            link_types: link_types(&device.name),
            description: printable(&device.desc.unwrap_or_default()),
            name: printable(&device.name),
        }
    });
    Ok(listed.collect())
}

fn printable(text: &str) -> String {
    WireText::new(text.as_bytes(), 256).to_string()
}

fn link_types(name: &str) -> Option<Vec<String>> {
    let capture = pcap::Capture::from_device(name).ok()?.open().ok()?;
    let links = capture.list_datalinks().ok()?;
    Some(links.into_iter().map(|link| link.get_name().unwrap_or_else(|_| link.0.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> (Sender<Piece>, Live) {
        let plan = LivePlan {
            interfaces: vec!["a".to_owned(), "b".to_owned()],
            filter: None,
            snap_len: 64,
            buffer_mib: 1,
            frame_limit: None,
            duration: None,
            every: None,
        };
        let gauges = Gauges {
            ports: vec![Gauge::default(), Gauge::default()],
            queued: AtomicU64::new(0),
            says: bounded(64),
        };
        let (give, pieces) = bounded(QUEUE);
        let began = Instant::now();
        let live = Live {
            pieces,
            gauges: Arc::new(gauges),
            interfaces: Vec::new(),
            plan: Arc::new(plan),
            stop: Arc::default(),
            turn: Arc::default(),
            halt: Arc::default(),
            saver: None,
            began,
            beat: began,
            turned: began,
            clock: now(),
            number: 0,
            left: u64::MAX,
            lost: 0,
            latest: Time::MIN,
            bytes: 0,
            ended: false,
            facts: InputFacts::default(),
            at_turn: Vec::new(),
        };
        (give, live)
    }

    /// A thread that could not look into its ring does not know what is in it.
    #[test]
    fn no_time_passes_that_was_not_looked_at() {
        let (give, mut live) = live();
        let seen = |live: &Live, port: usize, time: i64| {
            live.gauges.ports[port].seen_until.store(time, Ordering::Relaxed);
        };
        seen(&live, 0, 50_000_000_000);
        seen(&live, 1, 9_000_000_000);
        assert_eq!(live.pulse(false).time, Time(8_000_000_000));
        seen(&live, 1, 60_000_000_000);
        assert_eq!(live.pulse(false).time, Time(49_000_000_000));
        // What waits may be older.
        live.latest = Time(10_000_000_000);
        give.send(Piece { bytes: Arc::default(), frames: Vec::new() }).unwrap();
        assert_eq!(live.pulse(false).time, Time(10_000_000_000));
    }

    #[test]
    fn a_clock_that_was_set_is_told_and_doubted() {
        let (_give, mut live) = live();
        assert_eq!(live.pulse(false).lost, 0);
        live.clock = Time(now().0 - 3_600_000_000_000);
        assert_eq!(live.pulse(false).lost, 1);
        live.clock = Time(now().0 + 60_000_000_000);
        assert_eq!(live.pulse(false).lost, 1);
        assert_eq!(live.pulse(false).lost, 0);
        let said: Vec<String> = live.gauges.said().collect();
        assert!(
            said[0].starts_with("the clock was set forward, or the machine slept, by 3600 s"),
            "{said:?}"
        );
        assert!(said[1].starts_with("the clock was set back by 60 s"), "{said:?}");
        assert_eq!(live.facts.notes.len(), 2);
    }
}
