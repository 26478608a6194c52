//! Fuzzes certificates: the Certificate message of a TLS 1.2 server, whole and in pieces.
#![no_main]

mod conversation;

use libfuzzer_sys::fuzz_target;

/// RFC 5246 §7.4.1.3: a ServerHello without session and extensions.
const SERVER_HELLO: &[u8] = &[
    22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 0, 0xc0, 0x2f, 0,
];

const CERTIFICATE: u8 = 11;
const HANDSHAKE: u8 = 22;
/// A record is no longer, RFC 5246 §6.2.1.
const RECORD_LIMIT: usize = 1 << 14;
/// The rest of the segments is one segment of the server.
const ALL_OF_SERVER: u8 = 0xff;

fuzz_target!(|bytes: &[u8]| {
    let certificate = &bytes[..bytes.len().min(RECORD_LIMIT - 10)];
    let length = |len: usize| (len as u32).to_be_bytes()[1..].to_vec();
    // RFC 5246 §7.4.2: a list of certificates, each with its length.
    let entry = [length(certificate.len()), certificate.to_vec()].concat();
    for list in [[length(entry.len()), entry].concat(), certificate.to_vec()] {
        let message = [vec![CERTIFICATE], length(list.len()), list].concat();
        let mut record = vec![HANDSHAKE, 3, 3];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        let segments = [&[ALL_OF_SERVER][..], SERVER_HELLO, &record].concat();
        conversation::play(6, 443, &segments);
    }
});
