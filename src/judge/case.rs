//! All that is known of one live flow.

use std::sync::Arc;

use smallvec::SmallVec;

use super::names::Known;
use super::names::Named;
use crate::base::FrameRef;
use crate::flow::Endpoint;
use crate::flow::Opening;
use crate::read::Ending;
use crate::read::Key;
use crate::read::NameSource;
use crate::read::Value;

/// Claims, notes and endings kept per flow. A conversation that says more is odd, not interesting.
const KEPT: usize = 24;

/// A live flow, from its opening until it is judged.
#[derive(Debug)]
pub(super) struct Case {
    /// Number in the order of opening, from 1.
    pub(super) number: u64,
    pub(super) opening: Box<Opening>,
    /// What the bytes are.
    pub(super) app: &'static str,
    /// The name that DNS last gave the server's address for this client, when the flow began.
    pub(super) dns: Option<Named>,
    /// The same for another client, where this one asked for none.
    pub(super) dns_other: Option<Named>,
    /// What was said; most flows of DNS and of refused attempts say nothing.
    pub(super) said: Option<Box<Said>>,
}

/// What was said in a flow.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) claims: SmallVec<[Claimed; 1]>,
    pub(super) notes: Vec<(Key, Value)>,
    pub(super) endings: SmallVec<[(Ending, FrameRef); 1]>,
    pub(super) oddities: u32,
    /// Names that DNS had given the server's address when the flow began and that differ from what was claimed.
    pub(super) contradicts: Option<Arc<Known>>,
}

/// A claimed name, with its rules and the frame that proves it.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) source: NameSource,
    pub(super) known: Arc<Known>,
    pub(super) port: Option<u16>,
    pub(super) frame: FrameRef,
}

impl Case {
    pub(super) fn client(&self) -> Endpoint {
        self.opening.client
    }

    pub(super) fn server(&self) -> Endpoint {
        self.opening.server
    }

    pub(super) fn said(&mut self) -> &mut Said {
        self.said.get_or_insert_with(Box::default)
    }

    pub(super) fn note(&mut self, key: Key, value: Value) {
        if !is_kept(key) {
            return;
        }
        let notes = &mut self.said().notes;
        if let Some((_, old)) = notes.iter_mut().find(|(other, _)| *other == key) {
            *old = value;
        } else if notes.len() < KEPT {
            notes.push((key, value));
        }
    }

    pub(super) fn claim(&mut self, claimed: Claimed) {
        let claims = &mut self.said().claims;
        let known = claims
            .iter()
            .any(|other| other.source == claimed.source && Arc::ptr_eq(&other.known, &claimed.known));
        if !known && claims.len() < KEPT {
            claims.push(claimed);
        }
    }

    /// The strongest claim, first come first among equals.
    pub(super) fn strongest(&self) -> Option<&Claimed> {
        self.said.as_ref()?.claims.iter().min_by_key(|claimed| claimed.source)
    }

    /// The first claim from a source.
    pub(super) fn claimed(&self, source: NameSource) -> Option<&Claimed> {
        self.said.as_ref()?.claims.iter().find(|claimed| claimed.source == source)
    }

    pub(super) fn noted(&self, key: Key) -> Option<&Value> {
        let (_, value) = self.said.as_ref()?.notes.iter().find(|(other, _)| *other == key)?;
        Some(value)
    }
}

/// Attributes that rows or checks use; the others end here.
const fn is_kept(key: Key) -> bool {
    matches!(
        key,
        Key::TlsVersion
            | Key::Alpn
            | Key::AlpnOffered
            | Key::Ech
            | Key::HelloCut
            | Key::CertificateIssuer
            | Key::CertificateNames
            | Key::HttpStatus
    )
}
