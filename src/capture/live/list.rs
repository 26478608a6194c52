//! Lists what can be captured on.
//!
//! In:  the system's interfaces.
//! Out: their names, addresses, state and link types.
//! Not: capture.

use super::LiveError;
use super::devices::words;
use crate::base::WireText;

/// An interface that could be captured on. Names may be chosen by strangers; as they stand here they can be printed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct InterfaceInfo {
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
pub fn interfaces() -> Result<Vec<InterfaceInfo>, LiveError> {
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
        InterfaceInfo {
            state,
            addresses: addresses.collect(),
            link_types: link_types(&device.name),
            description: printable(&device.desc.unwrap_or_default()),
            name: printable(&device.name),
        }
    });
    Ok(listed.collect())
}

pub(super) fn printable(text: &str) -> String {
    WireText::new(text.as_bytes(), 256).to_string()
}

fn link_types(name: &str) -> Option<Vec<String>> {
    let capture = pcap::Capture::from_device(name).ok()?.open().ok()?;
    let links = capture.list_datalinks().ok()?;
    Some(links.into_iter().map(|link| link.get_name().unwrap_or_else(|_| link.0.to_string())).collect())
}
