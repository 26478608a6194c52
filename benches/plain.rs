//! What reading everything that a span port may carry costs plain Ethernet, which needs none of it.
//!
//! ```text
//! cargo bench --bench plain            bulk and flows, which the bench `audit` makes
//! cargo bench --bench plain -- FILE…   captures of your own
//! ```
//!
//! Of each capture the plain frames are copied first: Ethernet without tags, whole IP packets, and in these TLS, HTTP and DNS
//! where they are at home, on TCP ports 443, 80 and 53 and UDP port 53. Over these go capture, decode, flow and read, as the
//! program runs them on its first thread, against the same line with a stage left out or made as plain as it can be: no look
//! for copies; a decoder that knows nothing else, no fragments, tags or tunnels; readers that are asked about the ports of
//! TLS, HTTP and DNS alone, and never who of two is the client. All take turns in one run. What counts is the time that the
//! thread itself was on a processor, and of that the median of the rounds' ratios.
//!
//! The first thread is not the whole program: judging, printing and the input's hash have threads of their own. What the
//! program takes in all is measured in the same run, by its default and on the same frames, so that a stage's time can be
//! said as a share of that, too.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]

use std::fs::File;
use std::io::BufWriter;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use afs_audit::base::Address;
use afs_audit::base::Side;
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

/// Rounds that count, after one that does not.
const ROUNDS: usize = 9;

/// Passes of a line in each round: what else the machine does is spread over them.
const PASSES: usize = 3;

/// The ports of DNS, HTTP and TLS.
const HOME: [u16; 3] = [port::DNS, port::HTTP, port::HTTPS];

/// What plain Ethernet may cost more, as a ratio.
const ALLOWED: f64 = 0.05;

/// Bytes of plain frames that are copied from a capture.
const COPIED: usize = 600_000_000;

type Line = (&'static str, fn(&Path) -> Ran);

const LINES: &[Line] = &[
    ("its first thread", |path| {
        run(path, Every(Decoder::new(decode::FragmentLimits::default())), true, Dispatcher::default())
    }),
    ("  no look for copies", |path| {
        run(path, Every(Decoder::new(decode::FragmentLimits::default())), false, Dispatcher::default())
    }),
    ("  a plain decoder", |path| run(path, Plain, true, Dispatcher::default())),
    ("  plain readers", |path| {
        run(path, Every(Decoder::new(decode::FragmentLimits::default())), true, Few(Dispatcher::default()))
    }),
    ("  all three plain", |path| run(path, Plain, false, Few(Dispatcher::default()))),
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
            println!("{}, its plain frames:", capture.display());
            compare(&plain, &folder);
            std::fs::remove_file(plain).unwrap();
        } else {
            eprintln!("NOT RUN: {} is not there; `cargo bench --bench audit` makes it", capture.display());
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
                let is_home =
                    |port| HOME.contains(&port) && (port == port::DNS || packet.protocol == proto::TCP);
                is_home(packet.src_port) || is_home(packet.dst_port)
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
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); LINES.len()];
    let mut counts = vec![Ran::default(); LINES.len()];
    let mut program = Vec::new();
    for round in 0..=ROUNDS {
        for rotate in 0..LINES.len() {
            // Each line is first, last and between once in a while.
            let place = (rotate + round) % LINES.len();
            let (_, line) = LINES.get(place).unwrap();
            let (begun, _) = busy();
            for _ in 0..PASSES {
                *counts.get_mut(place).unwrap() = line(capture);
            }
            let (ended, _) = busy();
            if round > 0 {
                times.get_mut(place).unwrap().push((ended - begun) / PASSES as f64);
            }
        }
        let evidence = folder.join("evidence");
        let (_, begun) = busy();
        let mut audit = Command::new(env!("CARGO_BIN_EXE_afs-audit"));
        audit.arg("analyze").arg(capture).arg("-o").arg(&evidence).args(["--quiet", "--fail-on", "never"]);
        assert!(audit.status().unwrap().success());
        if round > 0 {
            program.push(busy().1 - begun);
        }
    }
    let whole = times.first().unwrap();
    let program = median(program);
    let ran = counts.first().unwrap();
    println!("  {} packets, {} flows; seconds on a processor", ran.packets, ran.flows);
    println!("  the program as a whole   {program:>7.3} s");
    for ((name, _), (times, seen)) in LINES.iter().zip(times.iter().zip(&counts)) {
        assert_eq!(seen, ran, "{name}: plain frames are the same to all");
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

/// What a line saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ran {
    packets: u64,
    flows: u64,
}

/// Capture, decode, flow and read, as the audit's first thread runs them.
fn run<L: StreamConsumer<State = ConversationState> + Heard>(
    path: &Path,
    mut opener: impl Opener,
    looks_for_copies: bool,
    mut consumer: L,
) -> Ran {
    let file = File::open(path).unwrap();
    let mut capture = Capture::from_reader("bench", Box::new(file), InputHash::None).unwrap();
    let mut copies = looks_for_copies.then(Dedup::default);
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
            let decoded = opener.open(&frame);
            let Decoded::Packet(packet) = &decoded else { continue };
            if let Some(copies) = &mut copies {
                if copies.is_duplicate(packet, frame.time) {
                    continue;
                }
                if let Some(scope) = copies.merged_scope(packet) {
                    table.accept(&Packet { scope, ..*packet }, at, &mut consumer);
                    continue;
                }
            }
            packets += 1;
            table.accept(packet, at, &mut consumer);
        }
        consumer.empty();
    }
    table.finish(at, &mut consumer);
    consumer.empty();
    Ran { packets, flows: table.counts().opened }
}

/// Opens frames.
trait Opener {
    fn open<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a>;
}

/// The program's decoder.
struct Every(Decoder);

impl Opener for Every {
    #[inline]
    fn open<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
        self.0.decode(frame)
    }
}

/// Ethernet with whole IP packets of TCP and UDP, and nothing else.
struct Plain;

impl Opener for Plain {
    #[inline]
    fn open<'a>(&'a mut self, frame: &Frame<'a>) -> Decoded<'a> {
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
    })
}

/// Gives back what it was told, as judge would.
trait Heard {
    fn empty(&mut self);
}

impl Heard for Dispatcher {
    fn empty(&mut self) {
        self.out.clear();
    }
}

/// The program's readers, asked about nothing that is not plain.
struct Few(Dispatcher);

fn is_plain(flow: &FlowRef) -> bool {
    HOME.contains(&flow.server.port)
}

impl Heard for Few {
    fn empty(&mut self) {
        self.0.empty();
    }
}

impl StreamConsumer for Few {
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
        side: Side,
        bytes: &[u8],
        at: At,
    ) -> ReadProgress {
        if is_plain(flow) { self.0.stream(flow, state, side, bytes, at) } else { ReadProgress::Done }
    }

    fn stream_ended(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        side: Side,
        bytes: &[u8],
        why: StreamEnd,
        at: At,
    ) {
        if is_plain(flow) {
            self.0.stream_ended(flow, state, side, bytes, why, at);
        }
    }

    fn datagram(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        side: Side,
        bytes: &[u8],
        wire_len: u32,
        at: At,
    ) -> ReadProgress {
        if !is_plain(flow) {
            return ReadProgress::Done;
        }
        self.0.datagram(flow, state, side, bytes, wire_len, at)
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

/// Time that this thread was on a processor, and that of the children that have ended. Seconds.
#[cfg(unix)]
fn busy() -> (f64, f64) {
    let thread = ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap();
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = children.user_time().num_microseconds() + children.system_time().num_microseconds();
    (thread.num_nanoseconds() as f64 / 1e9, micros as f64 / 1e6)
}

/// Where the system is not asked: time that has passed.
#[cfg(not(unix))]
fn busy() -> (f64, f64) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    (now, now)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
