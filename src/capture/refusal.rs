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
    (b"PK\x07\x08", "part of a split zip archive: join the parts first (`zip -s 0 FILE.zip --out NEW.zip`)"),
    (b"RTSS", "Network Monitor 1.x capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"TRSNIFF data    \x1a", "Sniffer capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"XCP\0", "NetXRay or Windows Sniffer capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"\x05VNF", "Visual Networks capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"\x7fver", "OmniPeek capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"iptrace 1.0", "AIX iptrace capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"iptrace 2.0", "AIX iptrace capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"TR\0\x64\0", "HP-UX nettl capture: convert it first (`editcap -F pcapng FILE NEW`)"),
    (b"ElfFile\0", "Windows event log, not a capture"),
    (b"MSCF", "CAB archive: extract it first (`expand -F:* FILE FOLDER` on Windows)"),
];

/// Text of a packet dump: what shows it, who prints it, and how to get a capture there.
struct TextDump {
    /// Each has to be there, in one of its forms.
    shows: &'static [&'static [&'static str]],
    what: &'static str,
}

const fn dump(shows: &'static [&'static [&'static str]], what: &'static str) -> TextDump {
    TextDump { shows, what }
}

const FORTIGATE: &str = "text output of `diagnose sniffer packet` of a FortiGate, not a capture: download the file of Network > Diagnostics > \
                         Packet Capture, or convert the output of `diagnose sniffer packet any '' 6 0 l` with fgt2eth";
const ASA: &str = "text output of `show capture` of a Cisco ASA, not a capture: copy it with `copy /pcap capture:NAME tftp://SERVER/NAME.pcap`";

/// The first that fits counts.
const TEXT_DUMPS: &[TextDump] = &[
    dump(&[&["interfaces=["], &["filters=["]], FORTIGATE),
    dump(&[&["diagnose sniffer packet", "diag sniffer packet"]], FORTIGATE),
    // Lines without the two that begin an output: an interface, a direction, and the flags in words.
    dump(
        &[
            &[" -> "],
            &[" in ", " out ", " -- "],
            &[": syn ", ": ack ", ": psh ", ": fin ", ": rst ", ": udp "],
        ],
        FORTIGATE,
    ),
    dump(&[&["packets captured", "packet captured", "packets shown", "packet shown"]], ASA),
    dump(&[&[" > "], &[": S ", ": . ack ", ": P "], &[" win "]], ASA),
    dump(
        &[&["PktGroupId"], &["Appearance"]],
        "text output of `pktmon etl2txt`, not a capture: give the .etl file that it was made from",
    ),
    dump(
        &[&["tcpdump: listening on", "tcpdump: verbose output suppressed", ": Flags ["]],
        "text output of tcpdump, not a capture: write one with `tcpdump -s 0 -w FILE`",
    ),
    dump(
        &[&[" \u{2192} "], &[" TCP ", " TLS", " DNS ", " UDP ", " HTTP"]],
        "text output of tshark, not a capture: write one with `tshark -w FILE`",
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
    let text = text_of(head)?;
    let shows =
        |dump: &&TextDump| dump.shows.iter().all(|any| any.iter().any(|marker| text.contains(marker)));
    if let Some(dump) = TEXT_DUMPS.iter().find(shows) {
        return Some(dump.what);
    }
    is_hex_dump(&text).then_some("hex dump, not a capture: convert it first (`text2pcap FILE NEW`)")
}

/// The bytes as text, if they are text: also UTF-16, which PowerShell writes.
fn text_of(head: &[u8]) -> Option<String> {
    let units = |from: fn([u8; 2]) -> u16| -> Vec<u16> {
        head.chunks_exact(2).skip(1).filter_map(|pair| pair.first_chunk::<2>().copied()).map(from).collect()
    };
    let text = match head {
        [0xff, 0xfe, ..] => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(head).into_owned(),
    };
    let is_text =
        |symbol: char| !symbol.is_control() || matches!(symbol, '\t' | '\n' | '\r' | '\x1b' | '\x08');
    text.chars().all(is_text).then_some(text)
}

/// Whether these bytes are text.
pub(super) fn is_text(head: &[u8]) -> bool {
    text_of(head).is_some()
}

/// An offset of four digits or more, and bytes of two: `0010  02 00 5e`, `0x0010:  0200 5e00`.
fn is_hex_dump(text: &str) -> bool {
    let is_hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_line = |line: &str| {
        let mut words = line.split_whitespace();
        let offset = words.next().unwrap_or_default().trim_end_matches(':').trim_start_matches("0x");
        let bytes: Vec<&str> = words.take(8).collect();
        let is_bytes = |word: &&str| matches!(word.len(), 2 | 4) && is_hex(word);
        offset.len() >= 4
            && is_hex(offset)
            && offset.ends_with('0')
            && bytes.len() == 8
            && bytes.iter().all(is_bytes)
    };
    text.lines().filter(|line| is_line(line)).count() >= 2
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
        check(
            b"2026-06-21 10:00:00.123456 port1 in 10.20.0.5.50001 -> 20.61.0.9.443: syn 123456",
            "text output of `diagnose sniffer packet` of a FortiGate",
        );
        check(
            b"  1: 10:11:12.123 10.0.0.5.5 > 20.6.0.9.443: S 12:12(0) win 8192 <mss 1460>",
            "text output of `show capture`",
        );
        check(
            b"10:00:00.123456 IP 10.20.0.5.50001 > 20.61.0.9.443: Flags [S], seq 1, win 64240, length 0",
            "text output of tcpdump",
        );
        check(
            b"[13]0000.0000 [Microsoft-Windows-PktMon] PktGroupId 1, PktNumber 1, Appearance 1",
            "text output of `pktmon",
        );
        check(b"0000  02 00 00 00 00 02 02 00 00 00\n0010  00 3c 00 00 40 00 40 06 00 01\n", "hex dump");
        let utf16: Vec<u8> =
            "\u{feff}2 packets shown\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&utf16, "text output of `show capture` of a Cisco ASA");
        check(b"a mail: we sent S > 5 and win the lottery", "");
        check(b"packets shown\x00\x01", "");
    }
}
