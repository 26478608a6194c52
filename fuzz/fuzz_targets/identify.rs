//! Fuzzes the protocols that are identified by their first bytes, on their ports: the first byte chooses the port.
#![no_main]

mod conversation;

/// IP protocol and port.
const PORTS: &[(u8, u16)] = &[
    (6, 21),
    (6, 22),
    (6, 25),
    (6, 88),
    (6, 110),
    (6, 135),
    (6, 143),
    (6, 389),
    (6, 445),
    (6, 1433),
    (6, 3306),
    (6, 3389),
    (6, 5060),
    (6, 5432),
    (6, 5985),
    (17, 67),
    (17, 88),
    (17, 123),
    (17, 137),
    (17, 138),
    (17, 161),
    (17, 389),
    (17, 500),
    (17, 514),
    (17, 547),
    (17, 1900),
    (17, 3478),
    (17, 4500),
    (17, 5060),
    (17, 5353),
    (17, 5355),
    (17, 51820),
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, segments)) = bytes.split_first() else { return };
    let (protocol, port) = PORTS[usize::from(*first) % PORTS.len()];
    conversation::play(protocol, port, segments);
});
