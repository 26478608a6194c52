//! Writes application messages: TLS handshakes, QUIC Initial packets, DNS messages.
//!
//! In:  names and options of a message.
//! Out: its bytes, the same in every run.
//! Not: frames.

use aes_gcm::Aes128Gcm;
use aes_gcm::KeyInit as _;
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt as _;
use hkdf::Hkdf;
use sha2::Sha256;

/// Deterministic bytes in place of random or encrypted ones.
pub fn filler(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(byte).collect()
}

fn sized<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u32).to_be_bytes();
    [&len[4 - N..], bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized::<2>(body)].concat()
}

/// Options of a ClientHello.
#[derive(Clone, Copy, Default)]
pub struct HelloOptions {
    /// Without the server_name extension.
    pub no_sni: bool,
    /// With an X25519MLKEM768 key share, and server_name after it.
    pub post_quantum: bool,
    /// With encrypted_client_hello (ECH).
    pub ech: bool,
    /// For QUIC: with quic_transport_parameters.
    pub quic: bool,
    /// ALPN protocol, in place of those for HTTP.
    pub alpn: Option<&'static str>,
}

/// A ClientHello as a handshake message: RFC 8446 §4.1.2.
pub fn hello(name: &str, options: HelloOptions) -> Vec<u8> {
    let server_name = extension(0, &sized::<2>(&[&[0][..], &sized::<2>(name.as_bytes())].concat()));
    let groups: &[u8] =
        if options.post_quantum { &[0x11, 0xec, 0, 0x1d, 0, 0x17] } else { &[0, 0x1d, 0, 0x17] };
    let mut shares = Vec::new();
    if options.post_quantum {
        shares.extend([0x11, 0xec]);
        shares.extend(sized::<2>(&filler(3, 1216)));
    }
    shares.extend([0, 0x1d]);
    shares.extend(sized::<2>(&filler(4, 32)));
    let http: &[u8] = if options.quic { b"\x02h3" } else { b"\x02h2\x08http/1.1" };
    let protocols = options.alpn.map_or(http.to_vec(), |alpn| sized::<1>(alpn.as_bytes()));
    let mut extensions = Vec::new();
    let sni = if options.no_sni { Vec::new() } else { server_name };
    if !options.post_quantum {
        extensions.extend(&sni);
    }
    extensions.extend(extension(10, &sized::<2>(groups)));
    extensions.extend(extension(13, &sized::<2>(&[4, 3, 8, 4, 4, 1])));
    extensions.extend(extension(16, &sized::<2>(&protocols)));
    extensions.extend(extension(43, &[2, 3, 4]));
    extensions.extend(extension(51, &sized::<2>(&shares)));
    if options.post_quantum {
        extensions.extend(&sni);
    }
    if options.quic {
        extensions.extend(extension(57, &[1, 4, 0x80, 0, 0x75, 0x30]));
    }
    if options.ech {
        // RFC 9849 §5: outer, HKDF-SHA256 with AES-128-GCM, config id, encapsulated key, payload.
        let body =
            [&[0, 0, 1, 0, 1, 7][..], &sized::<2>(&filler(5, 32)), &sized::<2>(&filler(6, 239))].concat();
        extensions.extend(extension(0xfe0d, &body));
    }
    let session = if options.quic { Vec::new() } else { filler(2, 32) };
    let body = [
        &[3, 3][..],
        &filler(1, 32),
        &sized::<1>(&session),
        &sized::<2>(&[0x13, 1, 0x13, 2, 0x13, 3]),
        &[1, 0],
        &sized::<2>(&extensions),
    ];
    [&[1][..], &sized::<3>(&body.concat())].concat()
}

/// A TLS 1.3 ServerHello and encrypted records: RFC 8446 §4.1.3.
pub fn server_hello() -> Vec<u8> {
    server_hello_with(&[])
}

/// The same for a session that is resumed: RFC 8446 §4.2.11.
pub fn resuming_server_hello() -> Vec<u8> {
    server_hello_with(&extension(41, &[0, 0]))
}

fn server_hello_with(more: &[u8]) -> Vec<u8> {
    let share = [&[0, 0x1d][..], &sized::<2>(&filler(8, 32))].concat();
    let extensions = [&extension(43, &[3, 4])[..], &extension(51, &share), more].concat();
    let body =
        [&[3, 3][..], &filler(7, 32), &sized::<1>(&filler(2, 32)), &[0x13, 1, 0], &sized::<2>(&extensions)];
    let message = [&[2][..], &sized::<3>(&body.concat())].concat();
    [record(22, &message), vec![20, 3, 3, 0, 1, 1], record(23, &filler(9, 900))].concat()
}

/// A TLS record: RFC 8446 §5.1.
pub fn record(content_type: u8, body: &[u8]) -> Vec<u8> {
    [&[content_type, 3, 3][..], &sized::<2>(body)].concat()
}

/// A DNS name: RFC 1035 §3.1.
pub fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.extend(sized::<1>(label.as_bytes()));
    }
    out.push(0);
    out
}

/// A resource record of class IN.
pub fn resource(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    [&labels(owner)[..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &sized::<2>(data)].concat()
}

/// A query: RFC 1035 §4.1.
pub fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let head = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    [&head[..], &labels(name), &kind.to_be_bytes(), &[0, 1]].concat()
}

/// A response with its RCODE, answer section and additional section.
pub fn response(id: u16, name: &str, kind: u16, rcode: u8, sections: [&[Vec<u8>]; 2]) -> Vec<u8> {
    let [answers, additional] = sections;
    let counts = [1, answers.len() as u16, 0, additional.len() as u16].map(u16::to_be_bytes).concat();
    let head = [&id.to_be_bytes()[..], &[0x81, 0x80 | rcode], &counts].concat();
    let question = [&labels(name)[..], &kind.to_be_bytes(), &[0, 1]].concat();
    [head, question, answers.concat(), additional.concat()].concat()
}

/// RDATA of an HTTPS or SVCB record: RFC 9460 §2.2.
pub fn svcb_data(priority: u16, target: &str, parameters: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = [&priority.to_be_bytes()[..], &labels(target)].concat();
    for (key, value) in parameters {
        out.extend(extension(*key, value));
    }
    out
}

/// RDATA of an SRV record: RFC 2782.
pub fn srv_data(port: u16, target: &str) -> Vec<u8> {
    [&[0, 0, 0, 100][..], &port.to_be_bytes(), &labels(target)].concat()
}

/// An OPT record with an extended DNS error: RFC 8914 §2.
pub fn extended_error(code: u16, text: &str) -> Vec<u8> {
    let option = extension(15, &[&code.to_be_bytes()[..], text.as_bytes()].concat());
    [&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0][..], &sized::<2>(&option)].concat()
}

/// A QUIC version: its number, Initial salt, first byte of an Initial packet, and key labels.
pub struct QuicVersion {
    version: u32,
    salt: [u8; 20],
    first: u8,
    labels: [&'static str; 3],
}

/// RFC 9001 §5.2.
pub const QUIC_1: QuicVersion = QuicVersion {
    version: 1,
    salt: *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
    first: 0xc1,
    labels: ["quic key", "quic iv", "quic hp"],
};

/// RFC 9369 §3.
pub const QUIC_2: QuicVersion = QuicVersion {
    version: 0x6b33_43cf,
    salt: *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
    first: 0xd1,
    labels: ["quicv2 key", "quicv2 iv", "quicv2 hp"],
};

/// RFC 8446 §7.1: HKDF-Expand-Label without a context.
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> [u8; N] {
    let info =
        [&(N as u16).to_be_bytes()[..], &sized::<1>(format!("tls13 {label}").as_bytes()), &[0]].concat();
    let mut out = [0; N];
    secret.expand(&info, &mut out).unwrap();
    out
}

/// The client's Initial datagrams with `hello` split into `pieces`: RFC 9001 §5, RFC 9000 §17.2.2.
pub fn initials(quic: &QuicVersion, hello: &[u8], pieces: usize) -> Vec<Vec<u8>> {
    // RFC 9000 §14.1: a client's datagrams are at least 1200 bytes long.
    const FRAMES: usize = 1200 - 44 - 16;
    let piece_len = hello.len().div_ceil(pieces);
    let packet = |(number, piece): (usize, &[u8])| {
        let mut frames = [&[6][..], &two(number * piece_len), &two(piece.len()), piece].concat();
        frames.resize(FRAMES.max(frames.len()), 0);
        protect(quic, "client in", [&client_choice(), &filler(12, 8)], number as u8, frames)
    };
    hello.chunks(piece_len).enumerate().map(packet).collect()
}

/// The server's Initial datagram with a CONNECTION_CLOSE: RFC 9000 §19.19.
pub fn initial_close(quic: &QuicVersion, code: usize) -> Vec<u8> {
    // Error code, type of the frame that is at fault, length of the reason.
    let frames = [&[0x1c][..], &two(code), &[0, 0]].concat();
    protect(quic, "server in", [&filler(12, 8), &filler(13, 8)], 0, frames)
}

/// The connection ID that the client chose for the server, from which both sides' keys are derived.
fn client_choice() -> Vec<u8> {
    filler(11, 8)
}

/// A variable-length integer of two bytes: RFC 9000 §16.
fn two(value: usize) -> [u8; 2] {
    (0x4000 | value as u16).to_be_bytes()
}

/// An Initial packet with the connection IDs of its receiver and sender: RFC 9001 §5.
fn protect(quic: &QuicVersion, label: &str, ids: [&[u8]; 2], number: u8, mut frames: Vec<u8>) -> Vec<u8> {
    let (_, initial) = Hkdf::<Sha256>::extract(Some(&quic.salt), &client_choice());
    let secret = Hkdf::<Sha256>::from_prk(&expand::<32>(&initial, label)).unwrap();
    let [key, iv, header] = quic.labels;
    let packet = Aes128Gcm::new(&expand::<16>(&secret, key).into());
    let mut nonce: [u8; 12] = expand(&secret, iv);
    nonce[11] ^= number;
    let header = Aes128::new(&expand::<16>(&secret, header).into());
    let mut head = vec![quic.first];
    head.extend(quic.version.to_be_bytes());
    head.extend(ids.map(sized::<1>).concat());
    head.push(0);
    head.extend(two(2 + frames.len() + 16));
    let number_at = head.len();
    head.extend(u16::from(number).to_be_bytes());
    let tag = packet.encrypt_inout_detached(&nonce.into(), &head, frames.as_mut_slice().into()).unwrap();
    frames.extend(tag);
    // RFC 9001 §5.4.2: the sample starts four bytes after the start of the packet number.
    let sample: [u8; 16] = frames[2..18].try_into().unwrap();
    let mut mask = sample.into();
    header.encrypt_block(&mut mask);
    head[0] ^= mask[0] & 0x0f;
    head[number_at] ^= mask[1];
    head[number_at + 1] ^= mask[2];
    [head, frames].concat()
}
