//! Delivers fuzzed conversations to a dispatcher, as flow would.
//!
//! In:  an IP protocol, a port, bytes: each segment is a byte of side and length, then that many bytes.
//! Out: nothing; the test is that it returns.
//! Not: packets.

use afs_audit::base::Side;
use afs_audit::flow::ReadProgress;
use afs_audit::flow::At;
use afs_audit::flow::Endpoint;
use afs_audit::flow::FlowRef;
use afs_audit::flow::Payload;
use afs_audit::flow::Slot;
use afs_audit::flow::StreamConsumer;
use afs_audit::flow::StreamEnd;
use afs_audit::read::ConversationState;
use afs_audit::read::Dispatcher;

/// Delivers the segments as a conversation with `port`.
pub fn play(protocol: u8, port: u16, mut segments: &[u8]) {
    let at = At { order: 0, frame: Default::default(), time: Default::default() };
    let client = Endpoint { port: 50000, ..Endpoint::default() };
    let server = Endpoint { port, ..Endpoint::default() };
    let flow = FlowRef { slot: Slot(0), opened: 0, client, server, protocol, from_start: true };
    let mut dispatcher = Dispatcher::default();
    let mut state = ConversationState::default();
    let mut held: [Vec<u8>; 2] = Default::default();
    let mut needed = [0; 2];
    let mut done = [false; 2];
    while let Some((head, rest)) = segments.split_first() {
        let side = if head & 0x80 == 0 { Side::Client } else { Side::Server };
        // The greatest length means all bytes that are left.
        let len = if head & 0x7f == 0x7f { rest.len() } else { usize::from(head & 0x7f).min(rest.len()) };
        let (bytes, rest) = rest.split_at(len);
        segments = rest;
        let index = side.index();
        let _ = dispatcher.sender_is_client(protocol, client, server, bytes);
        if protocol != 6 {
            let wire_len = (bytes.len() + usize::from(head & 1)) as u32;
            match dispatcher.datagram(&flow, &mut state, Payload { side, bytes, at }, wire_len) {
                ReadProgress::Done => return,
                ReadProgress::Idle => state = ConversationState::default(),
                ReadProgress::NeedMore { .. } => {}
            }
            continue;
        }
        if done[index] {
            continue;
        }
        held[index].extend_from_slice(bytes);
        if held[index].is_empty() || held[index].len() < needed[index] {
            continue;
        }
        match dispatcher.stream(&flow, &mut state, Payload { side, bytes: &held[index], at }) {
            ReadProgress::Done | ReadProgress::Idle => done[index] = true,
            ReadProgress::NeedMore { consumed, need } => {
                held[index].drain(..consumed);
                needed[index] = need;
            }
        }
    }
    for side in [Side::Client, Side::Server] {
        if protocol == 6 && !done[side.index()] {
            dispatcher.stream_ended(&flow, &mut state, Payload { side, bytes: &held[side.index()], at }, StreamEnd::FlowEnded);
        }
    }
    dispatcher.finish(&flow, &mut state, at);
}
