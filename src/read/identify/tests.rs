use crate::base::Side::Client;
use crate::base::Side::Server;
use crate::read::table::READERS;
use crate::read::test_harness::CLIENT_HELLO;
use crate::read::test_harness::TestConversation;
use crate::read::test_harness::play;
use proptest::prelude::*;

/// Compares the protocol of the first bytes of the server or client; "" means none.
fn check(conversation: TestConversation, from_server: bool, bytes: &[u8], expected: &str) {
    let side = if from_server { Server } else { Client };
    let expected: &[String] = &[format!("protocol {expected}")];
    let expected = if expected[0] == "protocol " { &[] } else { expected };
    assert_eq!(play(conversation, &[(side, bytes)]), expected, "{}", bytes.escape_ascii());
}

#[test]
fn first_bytes_of_streams() {
    let tcp = TestConversation::tcp;
    check(tcp(445), false, b"\x00\x00\x00\x54\xfeSMB\x40\x00", "smb");
    check(tcp(139), true, b"\x00\x00\x00\x54\xffSMBr", "smb");
    let name = [&b"\x20"[..], &[b'C'; 32], b"\x00"].concat();
    check(tcp(139), false, &[&b"\x81\x00\x00\x44"[..], &name, &name].concat(), "smb");
    check(
        tcp(3389),
        false,
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
        "rdp",
    );
    check(tcp(9000), false, b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=user\r\n", "rdp");
    check(tcp(102), false, b"\x03\x00\x00\x16\x11\xe0\x00\x00\x00\x01\x00\xc0\x01\x0a\xc1\x02", "");
    let as_req = b"\x6a\x20\x30\x1e\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a0123456789abcdefghij";
    check(tcp(88), false, &[&b"\x00\x00\x00\x22"[..], as_req].concat(), "kerberos");
    check(tcp(88), false, &[&b"\x00\x00\x00\x23"[..], as_req].concat(), "");
    check(tcp(389), false, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", "ldap");
    check(tcp(389), false, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x09\x04\x00\x80\x00", "");
    check(tcp(389), false, b"\x30\x84\x00\x00\x00\x1d\x02\x01\x01\x77\x84\x00\x00\x00\x14\x80\x12", "ldap");
    check(tcp(135), false, b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00", "dcerpc");
    check(tcp(22), true, b"SSH-2.0-OpenSSH_9\r\n", "ssh");
    check(tcp(25), true, b"220 mx.example ready\r\n", "smtp");
    check(tcp(99), true, b"220 mx.example ESMTP\r\n", "smtp");
    check(tcp(99), true, b"220 mx.example\r\n", "");
    check(tcp(99), false, b"EHLO me\r\n", "smtp");
    check(tcp(21), true, b"220 ready\r\n", "ftp");
    check(tcp(2121), true, b"220-FileZilla FTP\r\n", "ftp");
    check(tcp(143), true, b"* OK ready\r\n", "imap");
    check(tcp(110), true, b"+OK ready\r\n", "pop3");
    check(tcp(6379), true, b"+OK\r\n", "");
    check(tcp(3306), true, b"\x4a\x00\x00\x00\x0a8.0.36\x00....", "mysql");
    check(tcp(5432), false, b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "postgres");
    check(tcp(5432), false, b"\x00\x00\x00\x20\x00\x03\x00\x00user\x00me\x00", "postgres");
    check(tcp(1433), false, b"\x12\x01\x00\x2f\x00\x00\x00\x00\x00\x00\x1a\x00\x06\x01\x00\x20", "tds");
    check(tcp(5060), false, b"REGISTER sip:example SIP/2.0\r\n", "sip");
}

#[test]
fn datagrams() {
    let udp = TestConversation::udp;
    check(udp(123), false, &[&[0x23][..], &[0; 47]].concat(), "ntp");
    check(udp(124), false, &[&[0x23][..], &[0; 47]].concat(), "");
    let mut dhcp = vec![1, 1, 6, 0];
    dhcp.resize(236, 0);
    dhcp.extend(b"\x63\x82\x53\x63\x35");
    check(udp(67), false, &dhcp, "dhcp");
    let mut ike =
        b"SPISPISP\x00\x00\x00\x00\x00\x00\x00\x00\x21\x20\x22\x08\x00\x00\x00\x00\x00\x00\x00\x20".to_vec();
    ike.extend([0; 4]);
    check(udp(500), false, &ike, "ike");
    check(udp(4500), false, &[&[0; 4][..], &ike].concat(), "ike");
    check(udp(4500), false, &[&[9; 4][..], &[0; 40]].concat(), "esp-udp");
    check(udp(51820), false, &[&[1, 0, 0, 0][..], &[7; 144]].concat(), "wireguard");
    check(udp(51820), false, &[&[1, 0, 0, 0][..], &[7; 143]].concat(), "");
    check(udp(3478), false, b"\x00\x01\x00\x00\x21\x12\xa4\x42TRANSACTION!", "stun");
    check(udp(161), false, b"\x30\x10\x02\x01\x01\x04\x06public\xa0\x03\x02\x01\x01", "snmp");
    check(udp(514), false, b"<34>whatever", "syslog");
    check(udp(5514), false, b"<34>Oct 11 22:14:15 host su: x", "syslog");
    check(udp(5514), false, b"<34>whatever", "");
    check(udp(1900), false, b"M-SEARCH * HTTP/1.1\r\nHOST: x\r\n\r\n", "ssdp");
    let nbns =
        [&b"\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20"[..], &[b'E'; 32], b"\x00\x00\x20\x00\x01"];
    check(udp(137), false, &nbns.concat(), "nbns");
    check(
        udp(88),
        false,
        b"\x6a\x20\x30\x1e\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a0123456789abcdefghij",
        "kerberos",
    );
}

#[test]
fn tls_after_starttls_is_read() {
    let facts = play(
        TestConversation::tcp(25),
        &[
            (Server, b"220 mx.example ESMTP\r\n"),
            (Client, b"EHLO me\r\n"),
            (Server, b"250 STARTTLS\r\n"),
            (Client, b"STARTTLS\r\n"),
            (Server, b"220 go\r\n"),
            (Client, CLIENT_HELLO),
        ],
    );
    assert_eq!(facts[..3], ["protocol smtp", "protocol tls", "tls.offered=0x303"]);
}

/// PostgreSQL answers an SSLRequest with one byte, which could be the first byte of other protocols.
#[test]
fn a_response_is_not_probed() {
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    let facts = play(
        TestConversation::tcp(5432),
        &[
            (Client, b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
            (Server, b"S"),
            (Client, CLIENT_HELLO),
            (Server, alert),
        ],
    );
    assert_eq!(facts[..2], ["protocol postgres", "protocol tls"]);
    assert_eq!(facts.last().unwrap(), "alert Server fatal 40");
}

#[test]
fn reader_names_are_unique() {
    let mut names: Vec<&str> = READERS.iter().map(|spec| spec.name).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_on_unassigned_ports_are_not_identified(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(play(TestConversation::udp(40000), &[(Client, &bytes)]), [""; 0]);
        prop_assert_eq!(play(TestConversation::tcp(40000), &[(Client, &bytes)]), [""; 0]);
    }

    #[test]
    fn segment_boundaries_do_not_change_the_protocol(at in 1usize..40, which in 0usize..6) {
        let stream: &[u8] = [
            &b"\x00\x00\x00\x54\xfeSMB\x40\x00"[..],
            b"220 mx.example ESMTP\r\n",
            b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
            b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00",
            b"\x00\x00\x00\x22\x6a\x20\x30\x1e\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a0123456789abcdefghij",
            b"OPTIONS sip:x SIP/2.0\r\n",
        ][which];
        let (a, b) = stream.split_at(at.min(stream.len()));
        let whole = play(TestConversation::tcp(40000), &[(Client, stream)]);
        prop_assert_eq!(whole.len(), 1);
        prop_assert_eq!(play(TestConversation::tcp(40000), &[(Client, a), (Client, b)]), whole);
    }
}
