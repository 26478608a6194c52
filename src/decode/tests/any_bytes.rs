//! Any bytes give a result, and any packet is the same in any link type and encapsulation.

use super::encapsulations::ENCAPSULATIONS;
use super::link_types::LINK_FRAMES;
use crate::capture::Frame;
use crate::decode::Decoded;
use crate::decode::test_support::*;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;

proptest! {
    #[test]
    fn any_bytes_give_a_result(link in 0u16..300, bytes in vec(any::<u8>(), 0..200), more in 0u32..100) {
        let mut decoder = decoder();
        let frame = Frame { wire_len: bytes.len() as u32 + more, ..frame(link, &bytes, 1) };
        if let Decoded::Packet(packet) = decoder.decode(&frame) {
            prop_assert!(packet.payload.len() <= packet.payload_len as usize);
        }
        decoder.finish();
        prop_assert!(decoder.counts().add_up());
    }

    #[test]
    fn a_changed_byte_gives_a_result(which in 0..ENCAPSULATIONS.len(), at in any::<usize>(), value in any::<u8>(), len in any::<usize>()) {
        let mut bytes = (ENCAPSULATIONS[which].wrap)(&ipv4_syn());
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(len % bytes.len() + 1);
        let mut decoder = decoder();
        let _ = decoder.decode(&frame(1, &bytes, 1));
        decoder.finish();
        prop_assert!(decoder.counts().add_up());
    }

    #[test]
    fn any_packet_is_the_same_in_any_link_type_and_encapsulation(
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..64),
        outer in 0..ENCAPSULATIONS.len(),
        link in 0..LINK_FRAMES.len(),
    ) {
        let segment = join(&[&ports.0.to_be_bytes(), &ports.1.to_be_bytes(), &hex("00000001 00000000 50 18 ffff 0000 0000"), &payload]);
        let ip = ipv4(6, 7, 0, (CLIENT, SERVER), &segment);
        let plain = in_ethernet(&ip);
        let mut first = decoder();
        let expected = describe(&first.decode(&frame(1, &plain, 1)));
        let mut second = decoder();
        let wrapped = (ENCAPSULATIONS[outer].wrap)(&ip);
        prop_assert_eq!(describe(&second.decode(&frame(1, &wrapped, 1))), expected.clone());
        let (number, framing) = LINK_FRAMES[link];
        let framed = framing(&ip);
        prop_assert_eq!(describe(&second.decode(&frame(number, &framed, 2))), expected);
    }
}
