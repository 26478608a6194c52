//! Opens interfaces, before rights are given up.
//!
//! In:  a [`LiveCapturePlan`].
//! Out: open captures, and their threads when it begins; why one cannot be had.
//! Not: a frame.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use crossbeam_channel::bounded;
use pcap::Active;

use super::LiveCapture;
use super::LiveCapturePlan;
use super::LiveError;
use super::QUEUE;
use super::block_writer::BlockWriter;
use super::list::printable;
use super::now;
use super::stats::CaptureStats;
use super::worker::InterfaceWorker;
use crate::base::WireText;
use crate::capture::FilterError;
use crate::capture::Interface;
use crate::capture::LinkType;
use crate::capture::filter::Filter;
#[cfg(target_os = "linux")]
use crate::capture::rebind::Kept;
use crate::capture::save::FrameSaver;

/// How long the kernel may keep a block that is not full. More wakes us less often, less shows findings earlier.
pub(super) const KERNEL_WAIT_MILLIS: i32 = 50;

/// Interfaces that are open; nothing is read yet. Rights can be given up now.
pub struct Devices {
    ports: Vec<InterfaceWorker>,
    plan: Arc<LiveCapturePlan>,
    gauges: Arc<CaptureStats>,
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)
    }
}

impl Devices {
    /// Opens all interfaces.
    pub fn open(plan: LiveCapturePlan) -> Result<Devices, LiveError> {
        if let Some(filter) = &plan.filter {
            Filter::new(filter)?;
        }
        let gauges = Arc::new(CaptureStats::new(&plan.interfaces));
        let plan = Arc::new(plan);
        let now = Instant::now();
        let mut ports = Vec::new();
        for (place, name) in plan.interfaces.iter().enumerate() {
            let Opened { capture, link, promiscuous } = open(name, &plan, &gauges)?;
            #[cfg(not(target_os = "linux"))]
            let _ = promiscuous;
            ports.push(InterfaceWorker {
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
    pub fn gauges(&self) -> Arc<CaptureStats> {
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

    /// Begins to capture. `stop` ends it, `rotate` asks once for new evidence.
    pub fn start(
        self,
        stop: Arc<AtomicBool>,
        rotate: Arc<AtomicBool>,
        saver: Option<FrameSaver>,
    ) -> std::io::Result<LiveCapture> {
        let interfaces = self.interfaces();
        let (give, pieces) = bounded(QUEUE);
        let halt = Arc::new(AtomicBool::new(false));
        let clock = now();
        for gauge in &self.gauges.ports {
            gauge.seen_until.store(clock.0, Ordering::Relaxed);
        }
        for port in self.ports {
            let gauges = Arc::clone(&self.gauges);
            let filler = BlockWriter::new(port.place, port.link, give.clone(), Arc::clone(&gauges));
            let halt = Arc::clone(&halt);
            thread::Builder::new().name("capture".to_owned()).spawn(move || port.watch(filler, &halt))?;
        }
        let mut live = LiveCapture::new(pieces, self.gauges, self.plan);
        live.clock = clock;
        (live.interfaces, live.saver) = (interfaces, saver);
        (live.stop, live.rotate, live.halt) = (stop, rotate, halt);
        live.begin_facts();
        Ok(live)
    }
}

pub(super) struct Opened {
    pub(super) capture: pcap::Capture<Active>,
    pub(super) link: LinkType,
    pub(super) promiscuous: bool,
}

/// Opens an interface as we want it: the kernel's ring in its default mode (the immediate mode is older and loses frames),
/// promiscuous where that can be had.
pub(super) fn open(name: &str, plan: &LiveCapturePlan, gauges: &CaptureStats) -> Result<Opened, LiveError> {
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
pub(super) fn words(error: &pcap::Error) -> String {
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
