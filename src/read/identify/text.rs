//! Identifies text protocols.
//!
//! In:  the first bytes of a side.
//! Out: SMTP, FTP, IMAP, POP3, SSH, SIP, syslog, SSDP.
//! Not: their contents.

use super::probe_result;
use crate::read::http::probe_start;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;

/// Bytes read of a line until its end.
const LINE_LIMIT: usize = 512;

/// Recognises a line that starts with `start` and passes `test`, which gets it in upper case, without its end.
fn probe_line(bytes: &[u8], start: &[u8], test: impl Fn(&[u8]) -> bool) -> Probe {
    match probe_start(bytes, start) {
        Probe::Yes => {}
        other => return other,
    }
    match bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default().to_ascii_uppercase();
            probe_result(
                line.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\r')) && test(&line),
            )
        }
        None if bytes.len() >= LINE_LIMIT => Probe::No,
        None => Probe::Maybe(bytes.len() + 1),
    }
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|part| part == word)
}

/// `Yes` when either probe matches, `Maybe` when either is undecided.
fn either(first: Probe, second: impl FnOnce() -> Probe) -> Probe {
    match first {
        Probe::Yes => Probe::Yes,
        Probe::No => second(),
        Probe::Maybe(need) => match second() {
            Probe::Yes => Probe::Yes,
            Probe::Maybe(other) => Probe::Maybe(need.min(other)),
            Probe::No => first,
        },
    }
}

/// SMTP: RFC 5321 §3.1 and §4.1.1.1. STARTTLS may follow.
pub(crate) const SMTP: ReaderSpec = ReaderSpec {
    name: "smtp",
    transport: ReaderTransport::Tcp,
    probe: |sample| either(smtp_hello(sample), || smtp_greeting(sample)),
    sender_is_client: |sample| match (smtp_hello(sample), smtp_greeting(sample)) {
        (Probe::Yes, _) => Some(true),
        (_, Probe::Yes) => Some(false),
        _ => None,
    },
    on_match: OnMatch::WatchForTls,
};

fn smtp_hello(sample: &Sample<'_>) -> Probe {
    either(probe_line(sample.bytes, b"EHLO ", |_| true), || probe_line(sample.bytes, b"HELO ", |_| true))
}

fn smtp_greeting(sample: &Sample<'_>) -> Probe {
    let on_smtp_port = matches!(sample.from_port, 25 | 587 | 2525);
    probe_line(sample.bytes, b"220", |line| {
        matches!(line.get(3), Some(b' ' | b'-'))
            && !contains(line, b"FTP")
            && (on_smtp_port || contains(line, b"SMTP"))
    })
}

/// FTP: RFC 959 §4.2. AUTH TLS may follow.
pub(crate) const FTP: ReaderSpec = ReaderSpec {
    name: "ftp",
    transport: ReaderTransport::Tcp,
    probe: ftp,
    sender_is_client: |sample| (ftp(sample) == Probe::Yes).then_some(false),
    on_match: OnMatch::WatchForTls,
};

fn ftp(sample: &Sample<'_>) -> Probe {
    probe_line(sample.bytes, b"220", |line| {
        matches!(line.get(3), Some(b' ' | b'-')) && (sample.from_port == 21 || contains(line, b"FTP"))
    })
}

/// IMAP: RFC 9051 §7.1. STARTTLS may follow.
pub(crate) const IMAP: ReaderSpec = ReaderSpec {
    name: "imap",
    transport: ReaderTransport::Tcp,
    probe: imap,
    sender_is_client: |sample| (imap(sample) == Probe::Yes).then_some(false),
    on_match: OnMatch::WatchForTls,
};

fn imap(sample: &Sample<'_>) -> Probe {
    let test = |line: &[u8]| sample.from_port == 143 || contains(line, b"IMAP");
    either(probe_line(sample.bytes, b"* OK ", test), || probe_line(sample.bytes, b"* PREAUTH ", test))
}

/// POP3: RFC 1939 §4. STLS may follow.
pub(crate) const POP3: ReaderSpec = ReaderSpec {
    name: "pop3",
    transport: ReaderTransport::Tcp,
    probe: pop3,
    sender_is_client: |sample| (pop3(sample) == Probe::Yes).then_some(false),
    on_match: OnMatch::WatchForTls,
};

fn pop3(sample: &Sample<'_>) -> Probe {
    probe_line(sample.bytes, b"+OK", |line| sample.from_port == 110 || contains(line, b"POP"))
}

/// SSH: RFC 4253 §4.2.
pub(crate) const SSH: ReaderSpec = ReaderSpec {
    name: "ssh",
    transport: ReaderTransport::Tcp,
    probe: |sample| either(probe_start(sample.bytes, b"SSH-2.0-"), || probe_start(sample.bytes, b"SSH-1.")),
    sender_is_client: |_| None,
    on_match: OnMatch::Stop,
};

/// SIP: RFC 3261 §7.
pub(crate) const SIP: ReaderSpec = ReaderSpec {
    name: "sip",
    transport: ReaderTransport::Both,
    probe: sip,
    sender_is_client: |sample| (sip(sample) == Probe::Yes).then(|| !sample.bytes.starts_with(SIP_RESPONSE)),
    on_match: OnMatch::Stop,
};

/// RFC 3261 §7.2.
const SIP_RESPONSE: &[u8] = b"SIP/2.0 ";
/// RFC 3261 §7.1, RFC 3262, RFC 3265, RFC 3311, RFC 3428, RFC 3515, RFC 3903, RFC 6086.
const SIP_METHODS: &[&[u8]] = &[
    b"INVITE sip",
    b"REGISTER sip",
    b"OPTIONS sip",
    b"ACK sip",
    b"BYE sip",
    b"CANCEL sip",
    b"SUBSCRIBE sip",
    b"NOTIFY sip",
    b"MESSAGE sip",
    b"PRACK sip",
    b"UPDATE sip",
    b"REFER sip",
    b"PUBLISH sip",
    b"INFO sip",
];

fn sip(sample: &Sample<'_>) -> Probe {
    SIP_METHODS.iter().fold(probe_start(sample.bytes, SIP_RESPONSE), |best, method| {
        either(best, || probe_start(sample.bytes, method))
    })
}

/// Syslog: RFC 3164 §4.1, RFC 5424 §6. A number in angle brackets proves little, so on other ports a date must follow.
pub(crate) const SYSLOG: ReaderSpec = ReaderSpec {
    name: "syslog",
    transport: ReaderTransport::Udp,
    probe: |sample| probe_result(syslog(sample)),
    sender_is_client: |sample| syslog(sample).then_some(true),
    on_match: OnMatch::Stop,
};

fn syslog(sample: &Sample<'_>) -> bool {
    let Some(rest) = sample.bytes.strip_prefix(b"<") else { return false };
    let Some(end) = rest.iter().take(4).position(|byte| *byte == b'>') else { return false };
    let (number, text) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    let priority = std::str::from_utf8(number).ok().and_then(|number| number.parse::<u16>().ok());
    // 24 facilities with eight severities each.
    let known = priority.is_some_and(|priority| priority < 192) && number.iter().all(u8::is_ascii_digit);
    let text = text.get(1..).unwrap_or_default();
    const MONTHS: &[&[u8]] = &[
        b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ", b"Nov ",
        b"Dec ",
    ];
    let dated = text.starts_with(b"1 ") || MONTHS.iter().any(|month| text.starts_with(month));
    known && (dated || (sample.to_port == 514 && text.first().is_some_and(|byte| *byte >= b' ')))
}

/// SSDP: UPnP Device Architecture §1.3, HTTP messages in datagrams.
pub(crate) const SSDP: ReaderSpec = ReaderSpec {
    name: "ssdp",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        let requests = [&b"M-SEARCH * HTTP/1.1\r\n"[..], b"NOTIFY * HTTP/1.1\r\n"];
        let is_response = sample.has_port(1900) && sample.bytes.starts_with(b"HTTP/1.1 200 OK\r\n");
        probe_result(is_response || requests.iter().any(|start| sample.bytes.starts_with(start)))
    },
    sender_is_client: |_| None,
    on_match: OnMatch::Stop,
};
