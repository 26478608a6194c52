//! Runs capture, decode, flow and read over a capture, and keeps what each of them saw.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use afs_audit::base::Address;
use afs_audit::capture;
use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::capture::LinkType;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::decode::Dedup;
use afs_audit::decode::FragmentLimits;
use afs_audit::flow::At;
use afs_audit::flow::FlowLimits;
use afs_audit::flow::FlowTable;
use afs_audit::read::Dispatcher;
use afs_audit::read::Observation;

/// What the stages before judging saw in a capture.
#[derive(Default)]
pub struct Observed {
    /// In frame order.
    pub observations: Vec<Observation>,
    /// Source and destination of each packet, by frame number.
    pub packets: BTreeMap<u64, [(Address, u16); 2]>,
    /// Link types of frames that hold a packet.
    pub links: BTreeSet<u16>,
    /// Names of VLAN tags and tunnels around packets.
    pub layers: BTreeSet<&'static str>,
    /// Frames that could not be decoded.
    pub damaged: u64,
}

/// Opens a capture file without hashing it.
pub fn open(path: &Path) -> Result<Capture, String> {
    let inputs = vec![Input::Path(path.to_owned())];
    let plan = capture::InputPlan { inputs, hash: capture::InputHash::None, ..capture::InputPlan::default() };
    Capture::open(plan).map_err(|error| error.to_string())
}

/// Opens a capture in memory.
pub fn open_bytes(bytes: Vec<u8>) -> Capture {
    Capture::from_reader("memory", Box::new(std::io::Cursor::new(bytes)), capture::InputHash::None).unwrap()
}

/// Observes every packet; duplicates too, unless `skip_duplicates`.
pub fn observe(mut capture: Capture, skip_duplicates: bool) -> Observed {
    let mut observed = Observed::default();
    let (mut decoder, mut dedup) = (Decoder::new(FragmentLimits::default()), Dedup::default());
    let (mut table, mut dispatcher) = (FlowTable::new(FlowLimits::default()), Dispatcher::default());
    let (mut chunk, mut order, mut last) = (Chunk::default(), 0, None);
    while capture.next(&mut chunk) {
        for frame in chunk.frames() {
            order += 1;
            let at = At { order, frame: frame.frame_ref, time: frame.time };
            last = Some(at);
            let LinkType(link) = frame.link;
            let packet = match decoder.decode(&frame) {
                Decoded::Packet(packet) => packet,
                Decoded::Damaged(_) => {
                    observed.damaged += 1;
                    continue;
                }
                _ => continue,
            };
            observed.links.insert(link);
            observed.layers.extend(packet.encapsulation.headers().iter().map(|layer| layer.kind.name()));
            let ends = [(packet.src, packet.src_port), (packet.dst, packet.dst_port)];
            observed.packets.insert(frame.frame_ref.number, ends);
            if !skip_duplicates || !dedup.is_duplicate(&packet, frame.time) {
                table.accept(&packet, at, &mut dispatcher);
            }
        }
    }
    if let Some(at) = last {
        table.finish(at, &mut dispatcher);
    }
    observed.observations = dispatcher.out;
    observed
}
