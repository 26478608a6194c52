//! Binds a capture to an interface that was deleted and made again.
//!
//! In:  a socket whose interface is gone, and the interface's name.
//! Out: the same socket, with its ring and filter, bound to the new interface.
//! Not: opened anew. That would need the rights that were given up; to bind what is open needs none.

use std::os::fd::AsFd;

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::sys::socket::LinkAddr;
use nix::sys::socket::SetSockOpt as _;
use nix::sys::socket::bind;

/// What a capture keeps of its interface, to know it again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// linux/if_arp.h: frames of another kind would be misread.
    kind: u16,
    promiscuous: bool,
}

const OTHER: &str = "it is of another kind";

/// How it went.
pub(super) enum Return {
    /// It captures again.
    Here,
    /// There is no such interface.
    Gone,
    /// It is there, and cannot be used as before.
    Refused(&'static str),
}

impl Kept {
    /// Looks at an interface that is captured on; none for what is no interface of the system.
    pub(super) fn of(name: &str, promiscuous: bool) -> Option<Kept> {
        Some(Kept { kind: link(name).ok()?.hatype(), promiscuous })
    }

    /// Binds the socket to what has the name now.
    pub(super) fn bind(self, socket: &impl AsFd, name: &str) -> Return {
        let link = match link(name) {
            Ok(link) => link,
            Err(why) => return why,
        };
        if link.hatype() != self.kind {
            return Return::Refused(OTHER);
        }
        // packet(7): without a protocol in the address the socket keeps its own.
        if bind(std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd()), &link).is_err() {
            return Return::Refused("it cannot be bound");
        }
        let membership = libc::packet_mreq {
            mr_ifindex: link.ifindex() as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        if self.promiscuous && Membership.set(&socket, &membership).is_err() {
            return Return::Refused("it cannot be promiscuous");
        }
        Return::Here
    }
}

/// The address of the link itself.
fn link(name: &str) -> Result<LinkAddr, Return> {
    let all =
        getifaddrs().map_err(|_| Return::Refused("the system does not say which interfaces there are"))?;
    let mut why = Return::Gone;
    for interface in all.filter(|interface| interface.interface_name == name) {
        if let Some(link) = interface.address.as_ref().and_then(|address| address.as_link_addr()) {
            return Ok(*link);
        }
        // Tunnels have no address of their own.
        why = Return::Refused(OTHER);
    }
    Err(why)
}

/// packet(7): `PACKET_ADD_MEMBERSHIP`, which ends with the interface.
#[derive(Clone, Copy)]
struct Membership;

nix::setsockopt_impl!(
    Membership,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq,
    nix::sys::socket::sockopt::SetStruct<'_, libc::packet_mreq>
);
