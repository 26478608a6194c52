//! Names that resolved and were never used: what a firewall on the host itself leaves behind.
//!
//! In:  what DNS gave to clients, and which of it they went to.
//! Out: findings about documented names that a client asked for again and again and never connected to.
//! Not: names asked for once: a browser looks names up in advance, and so do monitors.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::findings::Findings;
use super::findings::Sign;
use super::findings::Subject;
use super::names::Given;
use super::names::Known;
use super::names::seconds;
use super::record::Confidence;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;

/// Somebody who wants a name asks for it again; a stub asks for both families at once.
const APART_SECS: u32 = 1;

/// Whoever wants to connect does so within this time of the answer.
const SOON_NANOS: u64 = 5_000_000_000;

/// All addresses of a client's name together.
struct Asked<'a> {
    known: &'a Arc<Known>,
    used: bool,
    first: u32,
    last: (Time, FrameRef),
}

/// Adds a finding for each documented name that nobody went to. `goes`: clients that were seen to go anywhere, not through a
/// proxy. `now`: the capture's last moment.
pub(super) fn finish<'a>(
    given: impl Iterator<Item = (Address, &'a Given)>,
    goes: impl Fn(Address, &HostName) -> bool,
    now: Time,
    findings: &mut Findings,
) {
    let mut names: BTreeMap<(Address, &HostName), Asked<'_>> = BTreeMap::new();
    for (client, given) in given {
        let known = given.named.known();
        let asked = names.entry((client, &known.name)).or_insert(Asked {
            known,
            used: false,
            first: given.first,
            last: (given.last, given.named.frame()),
        });
        asked.used |= given.used;
        asked.first = asked.first.min(given.first);
        asked.last = asked.last.max((given.last, given.named.frame()));
    }
    for ((client, name), asked) in names {
        let (last, frame) = asked.last;
        let again = seconds(last).saturating_sub(asked.first) >= APART_SECS && now.since(last) >= SOON_NANOS;
        let Some(documented) = asked.known.standing.documented.as_deref() else { continue };
        if asked.used || !again || !goes(client, name) {
            continue;
        }
        let sign = Sign {
            code: "AFS309",
            confidence: Some(Confidence::Weak),
            client: Some(client),
            subject: Subject::Name(&asked.known.name),
            flow: None,
            frames: std::slice::from_ref(&frame),
            time: last,
            rules: &documented.rules,
            documents: &documented.documents,
        };
        findings.add(&sign, || {
            format!("{client} resolved {name} more than once and sent nothing to any of its addresses (resolved-never-connected)")
        });
    }
}
