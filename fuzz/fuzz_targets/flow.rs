//! Fuzzes the flow table and the readers with packets of a few hosts in any order: no panic, and each packet is in one flow.
#![no_main]

use afs_audit::base::FrameRef;
use afs_audit::base::Time;
use afs_audit::capture::Frame;
use afs_audit::capture::LinkType;
use afs_audit::decode;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::flow::At;
use afs_audit::flow::FlowLimits;
use afs_audit::flow::FlowTable;
use afs_audit::flow::SHARDS;
use afs_audit::read::Dispatcher;
use afs_audit::read::Fact;
use libfuzzer_sys::fuzz_target;

/// Raw IP.
const RAW: LinkType = LinkType(101);

/// Bytes that describe a packet: addresses and protocol, TCP flags, seconds since the last packet, sequence and
/// acknowledgement numbers, window, payload length.
const DESCRIPTION_LEN: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let limits = FlowLimits { flows: 8, ..FlowLimits::default() };
    let mut table = FlowTable::new(limits);
    let mut dispatcher = Dispatcher::default();
    let mut decoder = Decoder::new(decode::FragmentLimits::default());
    let mut rest = bytes;
    let (mut number, mut seconds, mut packets) = (0, 1_700_000_000, 0);
    let mut at = At { order: 0, frame: FrameRef::default(), time: Time::default() };
    while let Some((description, tail)) = rest.split_first_chunk::<DESCRIPTION_LEN>() {
        let (payload, tail) = tail.split_at(usize::from(description[7]).min(tail.len()));
        rest = tail;
        let packet = packet(description, payload);
        number += 1;
        seconds += i64::from(description[2]);
        at = At {
            order: number * 2 + 1,
            frame: FrameRef { number, ..FrameRef::default() },
            time: Time(seconds * 1_000_000_000),
        };
        table.tick(seconds, at, &mut dispatcher);
        let frame = Frame {
            frame_ref: at.frame,
            time: at.time,
            link: RAW,
            wire_len: packet.len() as u32,
            bytes: &packet,
        };
        if let Decoded::Packet(packet) = decoder.decode(&frame) {
            packets += 1;
            table.accept(&packet, at, &mut dispatcher);
        }
        // Each shard of the table holds at least some flows, however small the limit.
        assert!(table.live() <= 64 * SHARDS);
    }
    table.finish(at, &mut dispatcher);
    assert_eq!(table.live(), 0);
    let counts = table.counts();
    assert_eq!(counts.packets + counts.icmp_attached, packets);
    let (mut opened, mut closed, mut counted) = (0, 0, 0);
    for observation in dispatcher.out {
        match observation.fact {
            Fact::FlowStarted(_) => opened += 1,
            Fact::FlowEnded(flow_end) => {
                closed += 1;
                counted += flow_end.packets.iter().sum::<u64>();
            }
            _ => {}
        }
    }
    assert_eq!((opened, closed, counted), (counts.opened, counts.opened, counts.packets));
});

/// Builds an IPv4 packet between one of two clients and one of four ports: TCP, UDP, or an ICMP error that quotes the payload.
fn packet(description: &[u8; DESCRIPTION_LEN], payload: &[u8]) -> Vec<u8> {
    let [addresses, flags, _, high, seq, ack, window, _] = *description;
    let protocol = [6, 6, 17, 1][usize::from(addresses >> 6)];
    let client = (u32::from(addresses & 1) + 0x0a01_0004, 50_000 + u16::from(addresses >> 1 & 1));
    let server = (0x1434_0101, [443, 53, 80, 8080][usize::from(addresses >> 2 & 3)]);
    let (from, to) = if addresses >> 4 & 1 == 0 { (client, server) } else { (server, client) };
    let numbers = |low: u8| (u32::from(high) << 24 | u32::from(low)).to_be_bytes();
    let body = match protocol {
        6 => {
            let mut tcp = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
            tcp.extend(numbers(seq));
            tcp.extend(numbers(ack));
            tcp.extend([0x50, flags, window, 0, 0, 0, 0, 0]);
            tcp
        }
        17 => {
            let len = (8 + payload.len()) as u16;
            [from.1.to_be_bytes(), to.1.to_be_bytes(), len.to_be_bytes(), [0; 2]].concat()
        }
        _ => vec![flags, seq, 0, 0, 0, 0, 0, 0],
    };
    let len = (20 + body.len() + payload.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend(len.to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    ip.extend(from.0.to_be_bytes());
    ip.extend(to.0.to_be_bytes());
    ip.extend(body);
    ip.extend(payload);
    ip
}
