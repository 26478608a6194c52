//! The cost, for plain Ethernet, of features that only mirror ports and tunnels need.
//!
//! ```text
//! cargo bench --bench plain            bulk and flows, which the bench `audit` makes
//! cargo bench --bench plain -- FILE…   your own captures
//! ```
//!
//! First, the plain frames of each capture are copied: Ethernet without tags, unfragmented IP packets, TLS, HTTP and DNS on their
//! own ports (TCP 443, 80 and 53, UDP 53). Then the stages capture, decode, flow and read process them as on the first thread of
//! the program, compared with the same pipeline with one stage removed or reduced: no deduplication; a decoder without fragments,
//! tags and tunnels; readers for TLS, HTTP and DNS on their ports only, without detection of the client. All variants alternate
//! in one run. The result is the median over the rounds of the ratios of CPU time of the thread.
//!
//! The first thread is not the whole program: judging, writing and hashing have their own threads. The CPU time of the whole
//! program is measured on the same frames in the same run, so that the cost is also given as a share of it.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::fs::File;
use std::io::BufWriter;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::Address;
use afs_audit::base::port;
use afs_audit::base::proto;
use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Frame;
use afs_audit::capture::InputHash;
use afs_audit::capture::LinkType;
use afs_audit::decode;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::decode::Dedup;
use afs_audit::decode::Encapsulation;
use afs_audit::decode::Packet;
use afs_audit::decode::TcpHeader;
use afs_audit::decode::Transport;
use afs_audit::flow;
use afs_audit::flow::At;
use afs_audit::flow::Endpoint;
use afs_audit::flow::FlowEnd;
use afs_audit::flow::FlowRef;
use afs_audit::flow::FlowStart;
use afs_audit::flow::FlowTable;
use afs_audit::flow::Payload;
use afs_audit::flow::ReadProgress;
use afs_audit::flow::StreamConsumer;
use afs_audit::flow::StreamEnd;
use afs_audit::read::ConversationState;
use afs_audit::read::Dispatcher;
use etherparse::Ipv4HeaderSlice;
use etherparse::Ipv6HeaderSlice;
use etherparse::TcpSlice;
use etherparse::UdpHeaderSlice;
#[cfg(unix)]
use nix::sys::resource::UsageWho;
#[cfg(unix)]
use nix::sys::resource::getrusage;
#[cfg(unix)]
use nix::sys::time::TimeValLike;
#[cfg(unix)]
use nix::time::ClockId;

/// The allocator of the program.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measured rounds, after one warm-up round.
const ROUNDS: usize = 9;

/// Passes of each variant in a round, to spread the influence of other load.
const PASSES: usize = 3;

/// The ports of DNS, HTTP and TLS.
const PLAIN_PORTS: [u16; 3] = [port::DNS, port::HTTP, port::HTTPS];

/// Highest accepted extra cost, as a ratio.
const ALLOWED: f64 = 0.05;

/// Limit of bytes copied from a capture.
const COPIED: usize = 600_000_000;

type Variant = (&'static str, fn(&Path) -> VariantCounts);

const VARIANTS: &[Variant] = &[
    ("first thread", |path| {
        run(path, FullDecoder(Decoder::new(decode::FragmentLimits::default())), true, Dispatcher::default())
    }),
    ("  without deduplication", |path| {
        run(path, FullDecoder(Decoder::new(decode::FragmentLimits::default())), false, Dispatcher::default())
    }),
    ("  plain decoder", |path| run(path, PlainDecoder, true, Dispatcher::default())),
    ("  plain readers", |path| {
        run(
            path,
            FullDecoder(Decoder::new(decode::FragmentLimits::default())),
            true,
            PlainReaders(Dispatcher::default()),
        )
    }),
    ("  all three", |path| run(path, PlainDecoder, false, PlainReaders(Dispatcher::default()))),
];

fn main() {
    let arguments: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").map(PathBuf::from).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let made = ["bulk.pcap", "flows.pcap"].map(|name| folder.join(name)).to_vec();
    for capture in if arguments.is_empty() { made } else { arguments } {
        if capture.exists() {
            let plain = folder.join("plain.pcap");
            copy(&capture, &plain);
            println!("{}, plain frames:", capture.display());
            compare(&plain, &folder);
            std::fs::remove_file(plain).unwrap();
        } else {
            eprintln!("not run: no {}; `cargo bench --bench audit` generates it", capture.display());
        }
    }
}

/// Copies the plain frames.
fn copy(from: &Path, to: &Path) {
    let mut capture =
        Capture::from_reader("bench", Box::new(File::open(from).unwrap()), InputHash::None).unwrap();
    let mut out = BufWriter::new(File::create(to).unwrap());
    let mut chunk = Chunk::default();
    let mut copied = 0;
    // Nanoseconds, version 2.4, Ethernet.
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.write_all(&word.to_le_bytes()).unwrap();
    }
    while copied < COPIED && capture.next(&mut chunk) {
        for frame in chunk.frames() {
            let is_plain = |packet: Packet<'_>| {
                let is_plain_port = |port| {
                    PLAIN_PORTS.contains(&port) && (port == port::DNS || packet.protocol == proto::TCP)
                };
                is_plain_port(packet.src_port) || is_plain_port(packet.dst_port)
            };
            if !plain(&frame).is_some_and(is_plain) {
                continue;
            }
            let seconds = frame.time.secs();
            let nanos = frame.time.0 - seconds * 1_000_000_000;
            for word in [seconds as u32, nanos as u32, frame.bytes.len() as u32, frame.wire_len] {
                out.write_all(&word.to_le_bytes()).unwrap();
            }
            out.write_all(frame.bytes).unwrap();
            copied += frame.bytes.len();
        }
    }
    out.flush().unwrap();
}

fn compare(capture: &Path, folder: &Path) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); VARIANTS.len()];
    let mut counts = vec![VariantCounts::default(); VARIANTS.len()];
    let mut program = Vec::new();
    for round in 0..=ROUNDS {
        for rotate in 0..VARIANTS.len() {
            // The order of the variants rotates.
            let index = (rotate + round) % VARIANTS.len();
            let (_, run) = VARIANTS.get(index).unwrap();
            let (begun, _) = cpu_time();
            for _ in 0..PASSES {
                *counts.get_mut(index).unwrap() = run(capture);
            }
            let (ended, _) = cpu_time();
            if round > 0 {
                times.get_mut(index).unwrap().push((ended - begun) / PASSES as f64);
            }
        }
        let evidence = folder.join("evidence");
        let (_, begun) = cpu_time();
        let mut audit = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
        audit.arg("analyze").arg(capture).arg("-o").arg(&evidence).args(["--quiet", "--fail-on", "never"]);
        assert!(audit.status().unwrap().success());
        if round > 0 {
            program.push(cpu_time().1 - begun);
        }
    }
    let whole = times.first().unwrap();
    let program = median(program);
    let reference = counts.first().unwrap();
    println!("  {} packets, {} flows; CPU seconds", reference.packets, reference.flows);
    println!("  whole program            {program:>7.3} s");
    for ((name, _), (times, seen)) in VARIANTS.iter().zip(times.iter().zip(&counts)) {
        assert_eq!(seen, reference, "{name}: all variants see the same frames");
        let own = median(times.clone());
        print!("  {name:<24} {own:>7.3} s");
        if std::ptr::eq(whole, times) {
            println!();
            continue;
        }
        let more = median(whole.iter().zip(times).map(|(whole, without)| whole / without - 1.0).collect());
        let of_all = median(whole.iter().zip(times).map(|(whole, without)| whole - without).collect());
        let verdict = if more <= ALLOWED { "" } else { "   more than 5 % of the thread" };
        let share = of_all / (program - of_all) * 100.0;
        println!("  {:>5.1} % of the thread, {share:>5.1} % of the program{verdict}", more * 100.0);
    }
}

/// Counts of a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct VariantCounts {
    packets: u64,
    flows: u64,
}

/// Capture, decode, flow and read, as on the first thread of an audit.
fn run<L: StreamConsumer<State = ConversationState> + DiscardObservations>(
    path: &Path,
    mut decoder: impl FrameDecoder,
    removes_duplicates: bool,
    mut consumer: L,
) -> VariantCounts {
    let file = File::open(path).unwrap();
    let mut capture = Capture::from_reader("bench", Box::new(file), InputHash::None).unwrap();
    let mut dedup = removes_duplicates.then(Dedup::default);
    let mut table = FlowTable::new(flow::FlowLimits::default());
    let mut chunk = Chunk::default();
    let (mut order, mut now, mut packets) = (0, i64::MIN, 0);
    let mut at = At { order, frame: Default::default(), time: Default::default() };
    while capture.next(&mut chunk) {
        for frame in chunk.frames() {
            order += 2;
            at = At { order, frame: frame.frame_ref, time: frame.time };
            if frame.time.secs() > now {
                now = frame.time.secs();
                table.tick(now, at, &mut consumer);
            }
            let decoded = decoder.decode(&frame);
            let Decoded::Packet(packet) = &decoded else { continue };
            if let Some(dedup) = &mut dedup {
                if dedup.is_duplicate(packet, frame.time) {
                    continue;
                }
                if let Some(scope) = dedup.merged_scope(packet) {
                    table.accept(&Packet { scope, ..*packet }, at, &mut consumer);
                    continue;
                }
            }
            packets += 1;
            table.accept(packet, at, &mut consumer);
        }
        consumer.discard();
    }
    table.finish(at, &mut consumer);
    consumer.discard();
    VariantCounts { packets, flows: table.counts().opened }
}

/// Decodes frames.
trait FrameDecoder {
    fn decode<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a>;
}

/// The decoder of the program.
struct FullDecoder(Decoder);

impl FrameDecoder for FullDecoder {
    #[inline]
    fn decode<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.0.decode(frame)
    }
}

/// Decodes Ethernet with unfragmented IP packets of TCP and UDP only.
struct PlainDecoder;

impl FrameDecoder for PlainDecoder {
    #[inline]
    fn decode<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        match plain(frame) {
            Some(packet) => Decoded::Packet(packet),
            None => Decoded::NotIp(0),
        }
    }
}

#[inline(always)]
fn plain<'a>(frame: &Frame<'a>) -> Option<Packet<'a>> {
    if frame.link != LinkType::ETHERNET {
        return None;
    }
    let ip = frame.bytes.get(14..)?;
    let cut = (frame.wire_len as usize).saturating_sub(frame.bytes.len());
    let (src, dst, protocol, ttl, ip_id, header_len, len) = match frame.bytes.get(12..14)? {
        [0x08, 0x00] => {
            let header = Ipv4HeaderSlice::from_slice(ip).ok()?;
            if header.more_fragments() || header.fragments_offset().value() != 0 {
                return None;
            }
            let len = usize::from(header.total_len()).checked_sub(header.slice().len())?;
            let ends = (Address::v4(header.source()), Address::v4(header.destination()));
            let protocol = header.protocol().0;
            (ends.0, ends.1, protocol, header.ttl(), header.identification(), header.slice().len(), len)
        }
        [0x86, 0xdd] => {
            let header = Ipv6HeaderSlice::from_slice(ip).ok()?;
            let len = usize::from(header.payload_length());
            let ends = (Address::v6(header.source()), Address::v6(header.destination()));
            (ends.0, ends.1, header.next_header().0, header.hop_limit(), 0, header.slice().len(), len)
        }
        _ => return None,
    };
    let body = ip.get(header_len..)?;
    let body = body.get(..len).unwrap_or(body);
    let (src_port, dst_port, transport, payload) = match protocol {
        6 => {
            let tcp = TcpSlice::from_slice(body).ok()?;
            let bytes = tcp.header_slice();
            let header = TcpHeader {
                seq: tcp.sequence_number(),
                ack: tcp.acknowledgment_number(),
                flags: *bytes.get(13)?,
                window: tcp.window_size(),
                options: bytes.get(20..)?,
            };
            let payload = body.get(bytes.len()..)?;
            (tcp.source_port(), tcp.destination_port(), Transport::Tcp(header), payload)
        }
        17 => {
            let udp = UdpHeaderSlice::from_slice(body).ok()?;
            (udp.source_port(), udp.destination_port(), Transport::Udp, body.get(8..)?)
        }
        _ => return None,
    };
    let payload_len = u32::try_from(payload.len() + cut).unwrap_or(u32::MAX);
    Some(Packet {
        src,
        dst,
        src_port,
        dst_port,
        protocol,
        ttl,
        ip_id,
        was_fragmented: false,
        scope: 0,
        encapsulation: &Encapsulation::NONE,
        transport,
        payload,
        payload_len,
        host_report: None,
        adapter: None,
    })
}

/// Discards its observations, as after judging.
trait DiscardObservations {
    fn discard(&mut self);
}

impl DiscardObservations for Dispatcher {
    fn discard(&mut self) {
        self.out.clear();
    }
}

/// The readers of the program, for plain ports only.
struct PlainReaders(Dispatcher);

fn is_plain(flow: &FlowRef) -> bool {
    PLAIN_PORTS.contains(&flow.server.port)
}

impl DiscardObservations for PlainReaders {
    fn discard(&mut self) {
        self.0.discard();
    }
}

impl StreamConsumer for PlainReaders {
    type State = ConversationState;

    fn opened(&mut self, flow: &FlowRef, flow_start: FlowStart, at: At) {
        self.0.opened(flow, flow_start, at);
    }

    fn swapped(&mut self, flow: &FlowRef, at: At) {
        self.0.swapped(flow, at);
    }

    fn sender_is_client(&self, _: u8, _: Endpoint, _: Endpoint, _: &[u8]) -> Option<bool> {
        None
    }

    fn stream(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        payload: Payload<'_>,
    ) -> ReadProgress {
        if is_plain(flow) { self.0.stream(flow, state, payload) } else { ReadProgress::Done }
    }

    fn stream_ended(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        payload: Payload<'_>,
        why: StreamEnd,
    ) {
        if is_plain(flow) {
            self.0.stream_ended(flow, state, payload, why);
        }
    }

    fn datagram(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        payload: Payload<'_>,
        wire_len: u32,
    ) -> ReadProgress {
        if !is_plain(flow) {
            return ReadProgress::Done;
        }
        self.0.datagram(flow, state, payload, wire_len)
    }

    fn held(&self, state: &ConversationState) -> usize {
        self.0.held(state)
    }

    fn finish(&mut self, flow: &FlowRef, state: &mut ConversationState, at: At) {
        self.0.finish(flow, state, at);
    }

    fn closed(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At) {
        self.0.closed(flow, flow_end, at);
    }
}

/// CPU time of this thread and of ended child processes, in seconds.
#[cfg(unix)]
fn cpu_time() -> (f64, f64) {
    let thread = ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap();
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = children.user_time().num_microseconds() + children.system_time().num_microseconds();
    (thread.num_nanoseconds() as f64 / 1e9, micros as f64 / 1e6)
}

/// Wall-clock time, on systems without CPU clocks.
#[cfg(not(unix))]
fn cpu_time() -> (f64, f64) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    (now, now)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
