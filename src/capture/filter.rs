//! Filters frames with a BPF program.
//!
//! In:  an expression in the language of tcpdump; frames.
//! Out: whether a frame matches; for which link types the expression cannot be compiled.
//! Not: the compiler, which is libpcap's. Programs are run here, because libpcap's function for that takes the captured
//!      length as the length on the wire, which `greater` and `len` test.

use super::LinkType;

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// This build has no compiler.
    #[error("cannot use a filter: afs-audit was built without libpcap (feature `live`)")]
    NoCompiler,
    /// libpcap cannot compile it.
    #[error("cannot compile filter: {0}")]
    Invalid(String),
    /// libpcap would resolve this word as a host name.
    #[error(
        "syntax error in filter at character {position}: `{word}` (host names are not resolved: use an address or a number)"
    )]
    HostName {
        /// The word.
        word: String,
        /// Its first character, from 1.
        position: usize,
    },
}

/// A filter, compiled for each link type that was seen.
pub(super) struct Filter {
    expression: String,
    /// `None` if the expression cannot be compiled for the link type.
    programs: Vec<(LinkType, Option<BpfProgram>)>,
}

impl Filter {
    /// Checks the expression; an error if it cannot be compiled for any common link type.
    pub(super) fn new(expression: &str) -> Result<Filter, FilterError> {
        refuse_host_names(expression)?;
        let mut filter = Filter { expression: expression.to_owned(), programs: Vec::new() };
        if let Err(error) = BpfProgram::compile(expression, LinkType::ETHERNET) {
            // An expression for radio frames cannot be compiled for Ethernet.
            let others = [LinkType::RAW, LinkType::IEEE802_11, LinkType::LINUX_SLL];
            if !others.into_iter().any(|link| BpfProgram::compile(expression, link).is_ok()) {
                return Err(with_position(error, expression));
            }
            filter.programs.push((LinkType::ETHERNET, None));
        }
        Ok(filter)
    }

    /// The program for a link type; `None` if the expression cannot be applied to it.
    pub(super) fn program(&mut self, link: LinkType) -> Option<&BpfProgram> {
        let index = match self.programs.iter().position(|(known, _)| *known == link) {
            Some(index) => index,
            None => {
                self.programs.push((link, BpfProgram::compile(&self.expression, link).ok()));
                self.programs.len() - 1
            }
        };
        self.programs.get(index).and_then(|(_, program)| program.as_ref())
    }
}

/// Adds the position of a syntax error, which libpcap does not report: the first word after which no continuation is valid.
fn with_position(error: FilterError, expression: &str) -> FilterError {
    const CONTINUATIONS: &[&str] = &[
        "",
        " tcp",
        " 80",
        " 1-2",
        " 10.0.0.1",
        " ::1",
        " 10.0.0.0/8",
        " 0:0:0:0:0:0",
        " 0] = 0",
        "] = 0",
        " = 0",
    ];
    let FilterError::Invalid(reason) = error else { return error };
    let can_continue = |start: &str| {
        let depth = start.matches('(').count().saturating_sub(start.matches(')').count());
        let close = ")".repeat(depth);
        CONTINUATIONS.iter().any(|continuation| {
            let whole = format!("{start}{continuation}{close}");
            // libpcap also rejects expressions that match nothing, which is not a syntax error.
            BpfProgram::compile(&whole, LinkType::ETHERNET)
                .map_or_else(|error| error.to_string().contains("rejects all"), |_| true)
        })
    };
    let mut end = 0;
    for word in expression.split_whitespace() {
        let start = expression.get(end..).and_then(|rest| rest.find(word)).map_or(end, |found| end + found);
        end = start + word.len();
        if !can_continue(expression.get(..end).unwrap_or(expression)) {
            let position = expression.get(..start).unwrap_or_default().chars().count() + 1;
            return FilterError::Invalid(format!("{reason}, at character {position}: `{word}`"));
        }
    }
    FilterError::Invalid(format!("{reason}, at its end"))
}

/// Keywords of the filter language; pcap-filter(7).
const KEYWORDS: &[&str] = &[
    "aarp",
    "ack",
    "address1",
    "address2",
    "address3",
    "address4",
    "addr1",
    "addr2",
    "addr3",
    "addr4",
    "ah",
    "and",
    "arp",
    "atalk",
    "atm",
    "bcc",
    "broadcast",
    "byte",
    "carp",
    "clnp",
    "connectmsg",
    "csnp",
    "decnet",
    "direction",
    "dir",
    "dpc",
    "dst",
    "ds",
    "es-is",
    "esis",
    "esp",
    "ether",
    "fddi",
    "fisu",
    "gateway",
    "geneve",
    "greater",
    "hdpc",
    "hopc",
    "host",
    "hsio",
    "hsls",
    "icmp",
    "icmp6",
    "ifindex",
    "ifname",
    "igmp",
    "igrp",
    "iih",
    "ilmic",
    "inbound",
    "ip",
    "ip6",
    "ipx",
    "is-is",
    "isis",
    "iso",
    "l1",
    "l2",
    "lane",
    "lat",
    "len",
    "less",
    "link",
    "llc",
    "lsp",
    "lssu",
    "lsu",
    "mask",
    "metac",
    "metaconnect",
    "moprc",
    "mopdl",
    "mpls",
    "msu",
    "multicast",
    "net",
    "netbeui",
    "not",
    "nods",
    "oam",
    "oamf4",
    "oamf4ec",
    "oamf4sc",
    "on",
    "opc",
    "or",
    "outbound",
    "pim",
    "port",
    "portrange",
    "ppp",
    "pppoed",
    "pppoes",
    "proto",
    "protochain",
    "psnp",
    "ra",
    "radio",
    "rarp",
    "reason",
    "receiver",
    "rnr",
    "rset",
    "rulenum",
    "ruleset",
    "sc",
    "sca",
    "sctp",
    "sif",
    "sio",
    "sls",
    "snp",
    "src",
    "srnr",
    "stp",
    "subtype",
    "subrulenum",
    "ta",
    "tcp",
    "tr",
    "tods",
    "transmitter",
    "type",
    "udp",
    "vci",
    "vlan",
    "vpi",
    "vrrp",
    "vxlan",
    "wlan",
    "fromds",
    "dstods",
    "mgt",
    "ctl",
    "data",
    "in",
    "out",
    "pass",
    "block",
    "rr",
    "rej",
    "srej",
    "frmr",
    "sabm",
    "sabme",
    "disc",
    "ua",
    "dm",
    "xid",
    "test",
    "ui",
    "i",
    "s",
    "u",
    "hopopts",
    "inout",
    "hhopc",
    "hdst",
    "hsrc",
];

/// libpcap resolves unknown words as host names. The auditor sends no packets, so such words are refused.
fn refuse_host_names(expression: &str) -> Result<(), FilterError> {
    let mut before = "";
    let mut in_brackets = false;
    for word in expression.split_inclusive(['[', ']']).flat_map(|part| {
        part.split(|c: char| {
            !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '\\' | '[' | ']'))
        })
    }) {
        let opens_bracket = word.ends_with('[');
        let closes_bracket = word.ends_with(']');
        let word = word.trim_end_matches(['[', ']']).trim_start_matches('\\');
        // Services, protocols and types are looked up in local tables, not on the network.
        let is_local = matches!(
            before,
            "port" | "portrange" | "proto" | "protochain" | "type" | "subtype" | "ifname" | "on"
        );
        let starts_with_letter = word.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_address =
            word.contains(':') && word.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
        let is_field = word.contains('-')
            && (word.starts_with("icmp") || word.starts_with("tcp") || word.contains("is-is"));
        let is_known = KEYWORDS.contains(&word) || is_address || is_field || is_local || in_brackets;
        let is_dotted_name =
            word.contains('.') && word.contains(|c: char| c.is_ascii_alphabetic()) && !is_address;
        if (starts_with_letter && !is_known) || (is_dotted_name && !is_local) {
            // The word is a slice of the expression.
            let start = word.as_ptr().addr() - expression.as_ptr().addr();
            let position = expression.get(..start).map_or(0, |before| before.chars().count()) + 1;
            return Err(FilterError::HostName { word: word.to_owned(), position });
        }
        in_brackets = opens_bracket || (in_brackets && !closes_bracket);
        if !word.is_empty() {
            before = word;
        }
    }
    Ok(())
}

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BpfInstruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

/// A compiled filter.
#[derive(Debug)]
pub(super) struct BpfProgram(Vec<BpfInstruction>);

impl BpfProgram {
    #[cfg(not(feature = "live"))]
    fn compile(_expression: &str, _link: LinkType) -> Result<BpfProgram, FilterError> {
        Err(FilterError::NoCompiler)
    }

    #[cfg(feature = "live")]
    fn compile(expression: &str, link: LinkType) -> Result<BpfProgram, FilterError> {
        // Some link types have other numbers in libpcap than in files: pcap-common.c, linktype_to_dlt.
        let dlt = match link.0 {
            100 => 11,
            101 | 14 => 12,
            102 => 15,
            103 => 16,
            106 => 19,
            number => i32::from(number),
        };
        let invalid = |error: pcap::Error| {
            FilterError::Invalid(error.to_string().trim_start_matches("libpcap error: ").to_owned())
        };
        let dead = pcap::Capture::dead(pcap::Linktype(dlt)).map_err(invalid)?;
        let program = dead.compile(expression, true).map_err(invalid)?;
        // The pcap crate exposes instructions only as text.
        let parsed = program.get_instructions().iter().map(|one| {
            let text = one.to_string();
            let mut fields = text.split(' ').map_while(|field| field.parse::<u32>().ok());
            Some(BpfInstruction {
                code: u16::try_from(fields.next()?).ok()?,
                if_true: u8::try_from(fields.next()?).ok()?,
                if_false: u8::try_from(fields.next()?).ok()?,
                k: fields.next()?,
            })
        });
        let program = parsed.collect::<Option<Vec<_>>>().map(BpfProgram);
        program.ok_or_else(|| FilterError::Invalid("the program of libpcap cannot be read".to_owned()))
    }

    /// Whether a frame matches. All jumps are forward, so that every program ends.
    pub(super) fn matches(&self, bytes: &[u8], wire_len: u32) -> bool {
        self.run(bytes, wire_len).is_some_and(|len| len > 0)
    }

    // McCanne, Jacobson: The BSD Packet Filter, 1993; opcodes from <net/bpf.h>. `None`: a load beyond the captured bytes, so
    // that the frame does not match.
    fn run(&self, bytes: &[u8], wire_len: u32) -> Option<u32> {
        let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
        loop {
            let BpfInstruction { code, if_true, if_false, k } = *self.0.get(at)?;
            at += 1;
            match code {
                0x20 => a = u32::from_be_bytes(load(bytes, k)?),
                0x28 => a = u32::from(u16::from_be_bytes(load(bytes, k)?)),
                0x30 => a = u32::from(u8::from_be_bytes(load(bytes, k)?)),
                0x40 => a = u32::from_be_bytes(load(bytes, x.checked_add(k)?)?),
                0x48 => a = u32::from(u16::from_be_bytes(load(bytes, x.checked_add(k)?)?)),
                0x50 => a = u32::from(u8::from_be_bytes(load(bytes, x.checked_add(k)?)?)),
                0x80 => a = wire_len,
                0x81 => x = wire_len,
                0xb1 => x = u32::from(u8::from_be_bytes(load(bytes, k)?) & 15) << 2,
                0x00 => a = k,
                0x01 => x = k,
                0x60 => a = *memory.get(k as usize)?,
                0x61 => x = *memory.get(k as usize)?,
                0x02 => *memory.get_mut(k as usize)? = a,
                0x03 => *memory.get_mut(k as usize)? = x,
                0x05 => at = at.checked_add(k as usize)?,
                0x07 => x = a,
                0x87 => a = x,
                0x06 => return Some(k),
                0x16 => return Some(a),
                0x84 => a = a.wrapping_neg(),
                _ => {
                    let operand = if code & 0x08 == 0 { k } else { x };
                    match code & !0x08 {
                        0x04 => a = a.wrapping_add(operand),
                        0x14 => a = a.wrapping_sub(operand),
                        0x24 => a = a.wrapping_mul(operand),
                        0x34 => a = a.checked_div(operand)?,
                        0x44 => a |= operand,
                        0x54 => a &= operand,
                        0x64 => a = a.checked_shl(operand).unwrap_or(0),
                        0x74 => a = a.checked_shr(operand).unwrap_or(0),
                        0x94 => a = a.checked_rem(operand)?,
                        0xa4 => a ^= operand,
                        jump => {
                            let holds = match jump {
                                0x15 => a == operand,
                                0x25 => a > operand,
                                0x35 => a >= operand,
                                0x45 => a & operand != 0,
                                _ => return None,
                            };
                            at += usize::from(if holds { if_true } else { if_false });
                        }
                    }
                }
            }
        }
    }
}

fn load<const N: usize>(bytes: &[u8], at: u32) -> Option<[u8; N]> {
    bytes.get(at as usize..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: bool) {
        let is_refused = matches!(refuse_host_names(expression), Err(FilterError::HostName { .. }));
        assert_eq!(is_refused, expected, "{expression}");
    }

    #[test]
    fn words_that_libpcap_would_resolve_are_refused() {
        check("host server1", true);
        check("tcp and host contoso.example", true);
        check("host 10.0.0.1 or server2", true);
        check("net home", true);
        check("tcp port 443 and not net 10.0.0.0/8", false);
        check("tcp port https", false);
        check("ip6 host fe80::1 and ether src aa:bb:cc:dd:ee:ff", false);
        check("ip proto \\icmp or tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", false);
        check("vlan 100 && (greater 500 || len < 40)", false);
        check("icmp6[icmp6type] == icmp6-echo", false);
        check("wlan type mgt subtype beacon", false);
        check("", false);
    }

    #[test]
    fn programs_end_and_do_not_read_beyond_the_frame() {
        let one = |code, k| BpfInstruction { code, if_true: 0, if_false: 0, k };
        assert!(BpfProgram(vec![one(0x80, 0), one(0x16, 0)]).matches(&[], 7), "the length on the wire");
        assert!(!BpfProgram(vec![one(0x20, u32::MAX), one(0x06, 1)]).matches(&[1, 2, 3], 3));
        assert!(!BpfProgram(vec![one(0x34, 0), one(0x06, 1)]).matches(&[], 0), "division by zero");
        assert!(!BpfProgram(vec![one(0x05, u32::MAX)]).matches(&[], 0));
    }

    #[cfg(feature = "live")]
    #[test]
    fn the_same_frames_match_as_in_libpcap() {
        let mut frame = [0_u8; 64];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[23] = 6;
        frame[37] = 80;
        for expression in
            ["tcp", "udp", "tcp dst port 80", "ip[0] & 0xf = 5", "greater 60", "vlan", "not arp"]
        {
            let dead = pcap::Capture::dead(pcap::Linktype(1)).unwrap();
            let theirs = dead.compile(expression, true).unwrap().filter(&frame);
            let ours =
                Filter::new(expression).unwrap().program(LinkType::ETHERNET).unwrap().matches(&frame, 64);
            assert_eq!(ours, theirs, "{expression}");
        }
        let mut long = Filter::new("greater 1000").unwrap();
        assert!(
            long.program(LinkType::ETHERNET).unwrap().matches(&frame, 1500),
            "truncated frames have their length on the wire"
        );
        let refused = Filter::new("tcp porto 80").err().unwrap().to_string();
        assert!(refused.contains("at character 5: `porto`"), "{refused}");
        let refused =
            |expression| Filter::new(expression).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            refused("tcp port port").ends_with(", at character 10: `port`"),
            "{}",
            refused("tcp port port")
        );
        assert!(refused("tcp and (udp or").ends_with(", at its end"), "{}", refused("tcp and (udp or"));
        let mut radio = Filter::new("wlan type mgt").unwrap();
        assert!(radio.program(LinkType::ETHERNET).is_none());
        assert!(radio.program(LinkType(105)).is_some());
    }
}
