//! Lists the interfaces that can be captured on.
//!
//! In:  the system's interfaces.
//! Out: their names, addresses, state and link types.
//! Not: capture.

use super::open::libpcap_message;
use super::open::printable;
use super::plan::LiveError;

/// An interface. All texts are printable.
#[derive(Clone, Debug, serde::Serialize)]
pub struct InterfaceInfo {
    /// Its name.
    pub name: String,
    /// `up`, `down` or `up, no carrier`.
    pub state: &'static str,
    /// Its addresses, as `10.1.0.4/24`.
    pub addresses: Vec<String>,
    /// The link types it offers; unknown without the privilege to open it.
    pub link_types: Option<Vec<String>>,
    /// The description of the system.
    pub description: String,
}

/// Whether the system has it as a network interface. `/sys/class/net` may show another network namespace.
pub(super) fn is_network_interface(name: &str) -> bool {
    !cfg!(target_os = "linux") || name == "any" || nix::net::if_::if_nametoindex(name).is_ok()
}

/// The interfaces of this machine that can be captured on. Sources of other kinds, for example of Bluetooth, D-Bus or the packet
/// log of a firewall, are left out. A network interface that cannot be opened may be down, or the privilege is missing.
pub fn interfaces() -> Result<Vec<InterfaceInfo>, LiveError> {
    let devices = pcap::Device::list().map_err(|error| LiveError::Other {
        interface: "any interface".to_owned(),
        message: libpcap_message(&error),
    })?;
    let listed = devices.into_iter().map(|device| {
        let state = match (device.flags.is_up(), device.flags.is_running()) {
            (true, true) => "up",
            (true, false) => "up, no carrier",
            (false, _) => "down",
        };
        let addresses = device.addresses.iter().map(|address| {
            let prefix = address.netmask.and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
            prefix.map_or_else(|| address.addr.to_string(), |prefix| format!("{}/{prefix}", address.addr))
        });
        InterfaceInfo {
            state,
            addresses: addresses.collect(),
            link_types: link_types(&device.name),
            description: printable(&device.desc.unwrap_or_default()),
            name: printable(&device.name),
        }
    });
    Ok(listed.filter(|interface| is_network_interface(&interface.name)).collect())
}

fn link_types(name: &str) -> Option<Vec<String>> {
    let capture = pcap::Capture::from_device(name).ok()?.open().ok()?;
    let links = capture.list_datalinks().ok()?;
    Some(links.into_iter().map(|link| link.get_name().unwrap_or_else(|_| link.0.to_string())).collect())
}
