//! Opens an interface with libpcap.
//!
//! In:  its name and a [`LiveCapturePlan`].
//! Out: a non-blocking capture; an error that says what to do.
//! Not: reading frames.

use pcap::Active;

use super::list::is_network_interface;
use super::plan::LiveCapturePlan;
use super::plan::LiveError;
use super::stats::CaptureStats;
use crate::base::WireText;
use crate::capture::FilterError;
use crate::capture::LinkType;

/// How long the kernel may keep a block that is not full. A longer time means fewer wake-ups, a shorter one earlier findings.
pub(super) const KERNEL_TIMEOUT_MILLIS: i32 = 50;

pub(super) struct OpenInterface {
    pub(super) capture: pcap::Capture<Active>,
    pub(super) link: LinkType,
    pub(super) is_promiscuous: bool,
}

/// Opens an interface: with the kernel's default ring buffer (immediate mode uses an older version of it, which drops frames),
/// and promiscuous if possible.
pub(super) fn open_interface(
    name: &str,
    plan: &LiveCapturePlan,
    stats: &CaptureStats,
) -> Result<OpenInterface, LiveError> {
    let activate = |is_promiscuous: bool| {
        let inactive = pcap::Capture::from_device(name)?
            .snaplen(plan.snap_len as i32)
            .buffer_size((plan.buffer_mib.min(2047) << 20) as i32)
            .timeout(KERNEL_TIMEOUT_MILLIS)
            .promisc(is_promiscuous);
        let inactive =
            if cfg!(target_os = "linux") { inactive.precision(pcap::Precision::Nano) } else { inactive };
        inactive.open()
    };
    let mut is_promiscuous = name != "any";
    let opened = activate(is_promiscuous).or_else(|error| {
        if !libpcap_message(&error).to_lowercase().contains("promisc") {
            return Err(error);
        }
        is_promiscuous = false;
        let capture = activate(false)?;
        stats.report(&format!(
            "{name}: promiscuous mode is not available; only the host's own traffic is seen"
        ));
        Ok(capture)
    });
    let mut capture = opened.map_err(|error| live_error(name, &libpcap_message(&error)))?;
    if !is_network_interface(name) {
        // libpcap opens the packet log of the Linux firewall and other sources, but some of them cannot be read without waiting.
        let message = "not a network interface; `afs-audit interfaces` lists these".to_owned();
        return Err(LiveError::Other { interface: name.to_owned(), message });
    }
    if name == "any" {
        // Version 2 of the cooked header also has the interface of a frame. But only into version 1 does libpcap reinsert the
        // VLAN tag that the kernel removes.
        let _ = capture.set_datalink(pcap::Linktype(LinkType::LINUX_SLL.0.into()));
    }
    if let Some(filter) = &plan.filter {
        capture.filter(filter, true).map_err(|error| FilterError::Invalid(libpcap_message(&error)))?;
    }
    let link = match capture.get_datalink().0 {
        // The number of DLT_RAW differs between systems.
        12 | 14 => LinkType::RAW,
        number => LinkType(number as u16),
    };
    let capture = capture
        .setnonblock()
        .map_err(|error| LiveError::Other { interface: name.to_owned(), message: libpcap_message(&error) })?;
    Ok(OpenInterface { capture, link, is_promiscuous })
}

/// The message of libpcap, which alone distinguishes its errors.
pub(super) fn libpcap_message(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn live_error(name: &str, message: &str) -> LiveError {
    let interface = name.to_owned();
    if message.contains("not permitted") || message.contains("ermission") {
        let program = std::env::current_exe()
            .map_or_else(|_| "afs-audit".to_owned(), |path| path.display().to_string());
        return LiveError::NoPermission { interface, program };
    }
    if message.contains("No such device") || message.contains("exist") {
        let devices = pcap::Device::list().unwrap_or_default();
        return LiveError::NoInterface { advice: suggest_interface(name, &devices), interface };
    }
    if message.contains("not up") || message.contains("is down") {
        return LiveError::Down { interface };
    }
    LiveError::Other { interface, message: message.to_owned() }
}

/// A similar name, and the interfaces that are up.
fn suggest_interface(name: &str, devices: &[pcap::Device]) -> String {
    let nearest = devices
        .iter()
        .map(|device| (strsim::jaro_winkler(name, &device.name), printable(&device.name)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.8);
    let up: Vec<String> =
        devices.iter().filter(|device| device.flags.is_up()).map(|device| printable(&device.name)).collect();
    match nearest {
        Some((_, nearest)) => format!("did you mean {nearest}? Available: {}", up.join(", ")),
        None if up.is_empty() => "no interface is visible".to_owned(),
        None => format!("available: {}", up.join(", ")),
    }
}

/// Names and descriptions of interfaces may have been chosen by others: printable text.
pub(super) fn printable(text: &str) -> String {
    WireText::new(text.as_bytes(), text.len()).to_string()
}
