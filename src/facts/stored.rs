//! The records of the facts file.
//!
//! In:  nothing.
//! Out: types: a record as it is written, borrowed, and as it is read, owned.
//! Not: the order of records, and what surrounds them in the file.

use serde::Deserialize;
use serde::Serialize;

use crate::base::FrameRef;
use crate::base::Time;
use crate::flow::FlowEnd;
use crate::flow::FlowStart;
use crate::read::AppStatus;
use crate::read::AttributeKey;
use crate::read::AttributeValue;
use crate::read::Claim;
use crate::read::Observation;
use crate::read::Resolution;

/// What `judge` accepted in a run.
#[derive(Clone, Debug)]
pub enum Stored {
    /// A fact about a flow.
    Observation(Observation),
    /// A second of a live run has passed.
    Heartbeat {
        /// The clock.
        time: Time,
        /// Frames lost since the heartbeat before.
        lost: u64,
    },
}

/// A record: a fact and its place. Frame and time are differences to those of the record before.
#[derive(Serialize)]
pub(super) struct RecordOut<'a> {
    pub(super) slot: u32,
    pub(super) file: u32,
    pub(super) number: i64,
    pub(super) time: i64,
    pub(super) fact: FactOut<'a>,
}

/// A record as it is read.
#[derive(Deserialize)]
pub(super) struct RecordIn<'a> {
    pub(super) slot: u32,
    pub(super) file: u32,
    pub(super) number: i64,
    pub(super) time: i64,
    #[serde(borrow)]
    pub(super) fact: FactIn<'a>,
}

/// The parts of a DNS resolution that are written relative to the record's place, because they are near to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueryPlace {
    pub(super) frame: Option<FrameRef>,
    pub(super) time: Option<Time>,
    pub(super) last_time: Option<Time>,
}

/// What is written. The variants are numbered in this order: a new one goes to the end.
#[derive(Serialize)]
pub(super) enum FactOut<'a> {
    FlowStarted(&'a FlowStart),
    RolesSwapped,
    Protocol(&'a str),
    NameClaimed(&'a Claim),
    DnsResolved(QueryPlace, &'a Resolution),
    Status(&'a AppStatus),
    Attribute(AttributeKey, &'a AttributeValue),
    /// A set of attributes that gets the next number.
    NewAttributes(&'a [(AttributeKey, AttributeValue)]),
    /// The number of a set that was written before.
    KnownAttributes(u32),
    Anomaly(&'a str, &'a str),
    /// Times and frames in it are relative to the record's place.
    FlowEnded(&'a FlowEnd),
    /// Frames lost; the time is the record's.
    Heartbeat(u64),
}

/// The same as it is read.
#[derive(Deserialize)]
pub(super) enum FactIn<'a> {
    FlowStarted(Box<FlowStart>),
    RolesSwapped,
    Protocol(&'a str),
    NameClaimed(Claim),
    DnsResolved(QueryPlace, Box<Resolution>),
    Status(AppStatus),
    Attribute(AttributeKey, AttributeValue),
    NewAttributes(Vec<(AttributeKey, AttributeValue)>),
    KnownAttributes(u32),
    Anomaly(&'a str, &'a str),
    FlowEnded(Box<FlowEnd>),
    Heartbeat(u64),
}
