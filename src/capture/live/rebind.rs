//! Binds a capture to an interface that was deleted and created again.
//!
//! In:  a socket whose interface is gone, and the interface's name.
//! Out: the same socket, with its ring buffer and filter, bound to the new interface.
//! Not: opening the interface again. That needs the privileges that were dropped; binding an open socket does not.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::sys::socket::LinkAddr;
use nix::sys::socket::SetSockOpt as _;
use nix::sys::socket::bind;

/// What is kept of an interface to recognize its successor.
#[derive(Clone, Copy, Debug)]
pub(super) struct InterfaceIdentity {
    /// `ARPHRD_*` of linux/if_arp.h. Frames of another hardware type would be misread.
    hardware_type: u16,
    is_promiscuous: bool,
}

const OTHER_HARDWARE_TYPE: &str = "its hardware type has changed";

/// Why a socket was not bound.
pub(super) enum RebindError {
    /// There is no such interface.
    NotFound,
    /// There is one, and it cannot be captured on as before: the reason.
    Refused(&'static str),
}

impl InterfaceIdentity {
    /// The identity of an interface; `None` if it is not a network interface of the system.
    pub(super) fn of(name: &str, is_promiscuous: bool) -> Option<InterfaceIdentity> {
        Some(InterfaceIdentity { hardware_type: link_address(name).ok()?.hatype(), is_promiscuous })
    }

    /// Binds the socket to the interface that has the name now.
    pub(super) fn bind(self, socket: &impl AsFd, name: &str) -> Result<(), RebindError> {
        let address = link_address(name)?;
        if address.hatype() != self.hardware_type {
            return Err(RebindError::Refused(OTHER_HARDWARE_TYPE));
        }
        // packet(7): without a protocol in the address the socket keeps its own.
        if bind(socket.as_fd().as_raw_fd(), &address).is_err() {
            return Err(RebindError::Refused("the capture socket cannot be bound to it"));
        }
        let membership = libc::packet_mreq {
            mr_ifindex: address.ifindex() as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        if self.is_promiscuous && PacketMembership.set(&socket, &membership).is_err() {
            return Err(RebindError::Refused("promiscuous mode is not available"));
        }
        Ok(())
    }
}

fn link_address(name: &str) -> Result<LinkAddr, RebindError> {
    let all = getifaddrs().map_err(|_| RebindError::Refused("the system does not list its interfaces"))?;
    let mut error = RebindError::NotFound;
    for interface in all.filter(|interface| interface.interface_name == name) {
        if let Some(address) = interface.address.as_ref().and_then(|address| address.as_link_addr()) {
            return Ok(*address);
        }
        // Some tunnel interfaces have no link address.
        error = RebindError::Refused(OTHER_HARDWARE_TYPE);
    }
    Err(error)
}

/// packet(7): `PACKET_ADD_MEMBERSHIP`, which ends with the interface.
#[derive(Clone, Copy)]
struct PacketMembership;

nix::setsockopt_impl!(
    PacketMembership,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq,
    nix::sys::socket::sockopt::SetStruct<'_, libc::packet_mreq>
);
