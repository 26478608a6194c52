//! Tests of decode as a whole: from frames to packets.

mod any_bytes;
mod damage;
mod encapsulations;
mod fragments;
mod icmp;
mod link_types;
