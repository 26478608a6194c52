//! Fragments are joined in any order, within limits.

use crate::base::Time;
use crate::capture::Frame;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::FragmentLimits;
use crate::decode::test_support::*;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;

proptest! {
    #[test]
    fn fragments_in_any_order_give_the_datagram(
        payload in vec(any::<u8>(), 1..300),
        cuts in vec(1usize..12, 1..8),
        order in vec(any::<u32>(), 64),
        version in any::<bool>(),
        copies in 1usize..3,
    ) {
        let datagram = udp(5000, 6000, &payload);
        let mut pieces = Vec::new();
        let (mut at, mut cut) = (0, cuts.iter().cycle());
        while at < datagram.len() {
            let end = (at + cut.next().unwrap() * 8).min(datagram.len());
            for _ in 0..copies {
                pieces.push(fragment(version, at, &datagram[at..end], end < datagram.len()));
            }
            at = end;
        }
        let mut keyed: Vec<_> = order.into_iter().cycle().zip(pieces).collect();
        keyed.sort();
        let mut decoder = decoder();
        let mut packets = Vec::new();
        for (number, (_, bytes)) in keyed.iter().enumerate() {
            let decoded = decoder.decode(&Frame { time: Time(0), ..frame(1, bytes, number as u64) });
            if let Decoded::Packet(packet) = decoded {
                packets.push((packet.src_port, packet.payload.to_vec(), packet.was_fragmented));
            }
        }
        let several = keyed.len() / copies > 1;
        prop_assert_eq!(packets.len(), if several { 1 } else { copies });
        prop_assert_eq!(packets.pop(), Some((5000, payload, several)));
        decoder.finish();
        prop_assert!(decoder.counts().add_up());
        prop_assert_eq!(decoder.counts().fragment.lost_fragments, 0);
    }
}

#[test]
fn the_first_copy_of_a_byte_is_used() {
    let datagram = udp(5000, 6000, &[1; 24]);
    let mut other = datagram.clone();
    other[8..16].fill(9);
    let mut decoder = decoder();
    let frames = [
        fragment(false, 0, &datagram[..16], true),
        // Different data for bytes 8 to 15; 16 to 23 are new.
        fragment(false, 8, &other[8..24], true),
        // The same data for 16 to 23; the end is new.
        fragment(false, 16, &datagram[16..], false),
    ];
    assert!(matches!(decoder.decode(&frame(1, &frames[0], 1)), Decoded::Fragment));
    assert!(matches!(decoder.decode(&frame(1, &frames[1], 2)), Decoded::Fragment));
    let described = describe(&decoder.decode(&frame(1, &frames[2], 3)));
    assert_eq!(described, format!("10.1.2.3:5000 > 20.60.0.4:6000 udp {:?}/24", [1; 24]));
    let counts = decoder.counts().fragment;
    assert_eq!((counts.differing, counts.overlapping, counts.joined, counts.joined_fragments), (1, 1, 1, 3));
}

#[test]
fn fragments_are_held_for_thirty_seconds() {
    let datagram = udp(5000, 6000, &[1; 24]);
    let first = fragment(false, 0, &datagram[..16], true);
    let last = fragment(false, 16, &datagram[16..], false);
    let mut decoder = decoder();
    let _ = decoder.decode(&frame(1, &first, 1));
    assert!(matches!(decoder.decode(&frame(1, &last, 32)), Decoded::Fragment), "31 seconds later");
    assert_eq!(decoder.counts().fragment.timed_out, 1);
    decoder.finish();
    let counts = decoder.counts();
    assert_eq!((counts.fragment.unfinished, counts.fragment.lost_fragments), (1, 2));
    assert!(counts.add_up());
}

#[test]
fn memory_is_limited() {
    let mut decoder = Decoder::new(FragmentLimits { fragment_bytes: 10_000, ..FragmentLimits::default() });
    for id in 0..1_000u16 {
        let bytes = in_ethernet(&ipv4(17, id, 0x2000, (CLIENT, SERVER), &[0; 64]));
        assert!(matches!(decoder.decode(&Frame { time: Time(0), ..frame(1, &bytes, 1) }), Decoded::Fragment));
    }
    let counts = decoder.counts().fragment;
    assert_eq!(counts.fragments, 1_000);
    assert!(counts.evicted > 970 && counts.evicted < 990, "{counts:?}");
    // Beyond the longest datagram.
    let bytes = in_ethernet(&ipv4(17, 1, 0x1fff, (CLIENT, SERVER), &[0; 64]));
    assert_eq!(describe(&decoder.decode(&frame(1, &bytes, 1))), "ip fragment length Broken");
    decoder.finish();
    assert!(decoder.counts().add_up());
}

#[test]
fn different_copies_of_a_fragment_are_limited() {
    let mut decoder = decoder();
    for number in 0..3_000u16 {
        let bytes = fragment(false, 0, &join(&[&number.to_be_bytes(), &[0; 6]]), true);
        assert!(matches!(decoder.decode(&Frame { time: Time(0), ..frame(1, &bytes, 1) }), Decoded::Fragment));
    }
    let counts = decoder.counts().fragment;
    assert_eq!((counts.differing, counts.refused), (1_399, 1_600));
    decoder.finish();
    assert!(decoder.counts().add_up());
}

#[test]
fn fragments_inside_tunnels_and_tunnels_in_fragments() {
    let datagram = udp(5000, 6000, &[1; 24]);
    let expected = format!("10.1.2.3:5000 > 20.60.0.4:6000 udp {:?}/24", [1; 24]);
    // Fragments of the inner packet, each in GRE.
    let gre = |at: usize, bytes: &[u8], more: bool| {
        over_ip(47, &join(&[&hex("0000 6558"), &fragment(false, at, bytes, more)]))
    };
    let mut decoder = decoder();
    let (first, last) = (gre(0, &datagram[..16], true), gre(16, &datagram[16..], false));
    assert!(matches!(decoder.decode(&frame(1, &last, 1)), Decoded::Fragment));
    assert_eq!(describe(&decoder.decode(&frame(1, &first, 2))), expected);
    // Outer and inner packet are both fragmented: the last frame completes both.
    let outer = |inside: &[u8], id: u16| {
        let gre = join(&[&hex("0000 6558"), inside]);
        let first = in_ethernet(&ipv4(47, id, 0x2000, TUNNEL, &gre[..24]));
        (first, in_ethernet(&ipv4(47, id, 3, TUNNEL, &gre[24..])))
    };
    let mut decoder = self::decoder();
    let (a, b) = outer(&fragment(false, 0, &datagram[..16], true), 1);
    let (c, d) = outer(&fragment(false, 16, &datagram[16..], false), 2);
    for (number, bytes) in [&a, &b, &c].into_iter().enumerate() {
        assert!(matches!(decoder.decode(&frame(1, bytes, number as u64)), Decoded::Fragment));
    }
    match decoder.decode(&frame(1, &d, 4)) {
        Decoded::Packet(packet) => {
            assert_eq!(describe(&Decoded::Packet(packet)), expected);
            assert_eq!(packet.encapsulation.tunnel(), "gretap(192.0.2.1>192.0.2.2)");
            assert!(packet.was_fragmented);
        }
        other => panic!("{other:?}"),
    }
    decoder.finish();
    assert!(decoder.counts().add_up());
}

#[test]
fn a_truncated_fragment_ends_the_payload() {
    let datagram = udp(5000, 6000, &[1; 40]);
    let first = fragment(false, 0, &datagram[..24], true);
    let last = fragment(false, 24, &datagram[24..], false);
    let mut decoder = decoder();
    // 14 + 20 + 16 bytes captured of 14 + 20 + 24.
    let truncated = Frame { wire_len: first.len() as u32, ..frame(1, &first[..50], 1) };
    assert!(matches!(decoder.decode(&truncated), Decoded::Fragment));
    let described = describe(&decoder.decode(&frame(1, &last, 2)));
    assert_eq!(described, format!("10.1.2.3:5000 > 20.60.0.4:6000 udp {:?}/40", [1; 8]));
}
