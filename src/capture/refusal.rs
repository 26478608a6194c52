//! Names what is no capture, and what to do with it.
//!
//! In:  the first bytes of a file, decompressed if they were compressed.
//! Out: what it is, and how to get a capture instead.
//! Not: captures.

use super::archive;

/// First bytes of archives and captures that are not read.
const NOT_READ: &[(&[u8], &str)] = &[
    (b"7z\xbc\xaf\x27\x1c", "7z archive: extract it first"),
    (b"Rar!\x1a\x07", "RAR archive: extract it first"),
    (b"BZh", "compressed with bzip2: decompress it first (`bunzip2`)"),
    (b"\x1f\x9d", "compressed with compress: decompress it first (`gzip -d`)"),
    (b"\x1f\x8b", "compressed twice: decompress it once first (`gzip -d`)"),
    (b"\xfd7zXZ\0", "compressed twice: decompress it once first (`xz -d`)"),
    (b"\x28\xb5\x2f\xfd", "compressed twice: decompress it once first (`zstd -d`)"),
    (b"\x04\x22\x4d\x18", "compressed twice: decompress it once first (`lz4 -d`)"),
    (b"RTSS", "Network Monitor 1.x capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"MSCF", "CAB archive: extract it first (`expand -F:* FILE FOLDER` on Windows)"),
];

/// What text of a packet dump contains near its beginning, who prints it, and how to get a capture there.
const TEXT_DUMPS: &[(&[&str], &str)] = &[
    (
        &["interfaces=[", "filters=["],
        "text output of `diagnose sniffer packet` of a FortiGate, not a capture: download the file of Network > Diagnostics > Packet \
         Capture, or convert the output of `diagnose sniffer packet any '' 6 0 l` with fgt2eth",
    ),
    (
        &["packets captured", "packet captured"],
        "text output of `show capture` of a Cisco ASA, not a capture: copy it with `copy /pcap capture:NAME tftp://SERVER/NAME.pcap`",
    ),
    (
        &["tcpdump: listening on", "tcpdump: verbose output suppressed"],
        "text output of tcpdump, not a capture: write one with `tcpdump -s 0 -w FILE`",
    ),
];

/// What these bytes are, if it is known and no capture.
pub(super) fn known_other(head: &[u8]) -> Option<&'static str> {
    if let Some((_, what)) = NOT_READ.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    if archive::is_zip(head) {
        return Some("zip archive in a stream or in another archive: extract it first");
    }
    if archive::is_tar(head) {
        return Some("tar archive in a stream or in another archive: extract it first");
    }
    let text = String::from_utf8_lossy(head);
    let shows = |markers: &[&str]| match markers {
        // Both lines begin such an output; one alone may be anything.
        [first, second] if first.ends_with('[') => text.contains(first) && text.contains(second),
        _ => markers.iter().any(|marker| text.contains(marker)),
    };
    TEXT_DUMPS.iter().find(|(markers, _)| shows(markers)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: &str) {
        let what = known_other(head).unwrap_or_default();
        assert!(what.starts_with(expected) && what.is_empty() == expected.is_empty(), "{what}");
    }

    #[test]
    fn archives_are_named_with_what_to_do() {
        check(b"7z\xbc\xaf\x27\x1c\0\x04", "7z archive: extract it first");
        check(b"Rar!\x1a\x07\x01\0", "RAR archive: extract it first");
        check(b"MSCF\0\0\0\0", "CAB archive: extract it first");
        check(b"RTSS\0\x01", "Network Monitor 1.x capture");
        check(b"PK\x03\x04", "zip archive in a stream");
        check(b"PK", "");
    }

    #[test]
    fn text_dumps_of_firewalls_are_named_with_the_command_that_gives_a_capture() {
        let fortigate =
            b"interfaces=[any]\nfilters=[host 10.0.0.1]\n1.2 port1 in 10.0.0.1.5 -> 10.0.0.2.443: syn 1";
        check(fortigate, "text output of `diagnose sniffer packet` of a FortiGate");
        let asa = b"4 packets captured\n\n   1: 10:00:00.1 10.0.0.1.5 > 10.0.0.2.443: S 1:1(0) win 8192";
        check(asa, "text output of `show capture` of a Cisco ASA");
        check(b"tcpdump: listening on eth0, link-type EN10MB", "text output of tcpdump");
        check(b"a text about interfaces=[any]", "");
    }
}
