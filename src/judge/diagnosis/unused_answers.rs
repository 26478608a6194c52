//! Names that resolved and were never used: what a firewall on the host itself leaves behind.
//!
//! In:  what DNS gave to clients, and which of it they went to.
//! Out: findings about documented names that a client asked for again and again and never connected to.
//! Not: names asked for once: a browser looks names up in advance, and so do monitors.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::judge::finding::collector::Findings;
use crate::judge::finding::collector::Occurrence;
use crate::judge::finding::collector::Target;
use crate::judge::policy::name_table::ClientAnswer;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::name_table::seconds;
use crate::judge::rows::Confidence;

/// Somebody who wants a name asks for it again; a stub asks for both families at once.
const APART_SECS: u32 = 1;

/// Whoever wants to connect does so within this time of the answer.
const SOON_NANOS: u64 = 5_000_000_000;

/// All addresses of a client's name together.
struct Asked<'a> {
    known: &'a Arc<KnownName>,
    last: (Time, FrameRef),
}

/// Adds a finding for each documented name that nobody went to. `given`: what DNS gave to clients. `goes`: clients that
/// were seen to go anywhere, not through a proxy, nor to this name at another address. `now`: the capture's last moment.
pub(in crate::judge) fn finish<'a, I: Iterator<Item = (Address, &'a ClientAnswer)>>(
    given: impl Fn() -> I,
    goes: impl Fn(Address, &Arc<KnownName>) -> bool,
    now: Time,
    findings: &mut Findings,
) {
    // Few answers are asked for again and not used; a name whose addresses change each time is not noticed.
    let again = |given: &ClientAnswer| seconds(given.last).saturating_sub(given.first) >= APART_SECS;
    let suspicious = |given: &ClientAnswer| {
        !given.used && again(given) && given.named.known().references.documented.is_some()
    };
    let mut names: BTreeMap<(Address, &HostName), Asked<'_>> = BTreeMap::new();
    for (client, given) in given().filter(|(_, given)| suspicious(given)) {
        let known = given.named.known();
        let last = (given.last, given.named.frame());
        let asked = names.entry((client, &known.name)).or_insert(Asked { known, last });
        asked.last = asked.last.max(last);
    }
    // One address that was used is enough.
    for (client, given) in given().filter(|(_, given)| given.used) {
        names.remove(&(client, &given.named.known().name));
    }
    for ((client, name), asked) in names {
        let (last, frame) = asked.last;
        let Some(documented) = asked.known.references.documented.as_deref() else { continue };
        if now.since(last) < SOON_NANOS || !goes(client, asked.known) {
            continue;
        }
        let sign = Occurrence {
            code: "AFS309",
            mechanism: "resolved-never-connected",
            confidence: Some(Confidence::Weak),
            client: Some(client),
            subject: Target::Name(&asked.known.name),
            server: None,
            flow: None,
            frames: std::slice::from_ref(&frame),
            time: last,
            rules: &documented.references,
            documents: &documented.documents,
        };
        findings.add(&sign, || {
            format!("{client} resolved {name} more than once and sent nothing to any of its addresses")
        });
    }
}
