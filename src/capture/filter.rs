//! Chooses frames by a BPF expression.
//!
//! In:  the expression, as tcpdump takes it; frames.
//! Out: yes or no for each frame; link types that the expression cannot be applied to.
//! Not: compiling, which libpcap does. Running is done here, because libpcap's way to run a program on bytes forgets
//!      how long the frame was on the wire, which `greater` and `len` ask for.

use super::LinkType;

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// This build has no compiler for it.
    #[error("cannot use a filter: this program was built without libpcap (feature `live`)")]
    NoCompiler,
    /// libpcap refused it.
    #[error("cannot compile filter: {0}")]
    Refused(String),
    /// libpcap would ask the network for it.
    #[error(
        "cannot compile filter: no word of the filter language, at character {place}: {word} (names are not looked up: use an address or a number)"
    )]
    Name {
        /// The word.
        word: String,
        /// Where it begins, in characters from 1.
        place: usize,
    },
}

/// A filter's programs, one for each link type met.
pub(super) struct Filter {
    expression: String,
    programs: Vec<(LinkType, Option<Program>)>,
}

impl Filter {
    /// Checks the expression; an error if no usual link type can have it.
    pub(super) fn new(expression: &str) -> Result<Filter, FilterError> {
        refuse_names(expression)?;
        let mut filter = Filter { expression: expression.to_owned(), programs: Vec::new() };
        // Ethernet, raw IP, 802.11, Linux cooked: an expression for radio frames does not compile for Ethernet.
        let refused = Program::compile(expression, LinkType::ETHERNET).err();
        if let Some(refused) = refused {
            let fits = |number| Program::compile(expression, LinkType(number)).is_ok();
            if ![101, 105, 113].into_iter().any(fits) {
                return Err(placed(refused, expression));
            }
            filter.programs.push((LinkType::ETHERNET, None));
        }
        Ok(filter)
    }

    /// The program for a link type; `None` if the expression does not suit it.
    pub(super) fn program(&mut self, link: LinkType) -> Option<&Program> {
        let place = match self.programs.iter().position(|(known, _)| *known == link) {
            Some(place) => place,
            None => {
                self.programs.push((link, Program::compile(&self.expression, link).ok()));
                self.programs.len() - 1
            }
        };
        self.programs.get(place).and_then(|(_, program)| program.as_ref())
    }
}

/// Says where an expression goes wrong, which libpcap does not: at the first word up to which nothing that could follow
/// makes it right.
fn placed(refused: FilterError, expression: &str) -> FilterError {
    const FOLLOWING: &[&str] = &[
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
    let FilterError::Refused(why) = refused else { return refused };
    let could_go_on = |begin: &str| {
        let depth = begin.matches('(').count().saturating_sub(begin.matches(')').count());
        let close = ")".repeat(depth);
        FOLLOWING.iter().any(|end| {
            let whole = format!("{begin}{end}{close}");
            // What can match nothing is refused as well, but it is no error of writing.
            Program::compile(&whole, LinkType::ETHERNET)
                .map_or_else(|error| error.to_string().contains("rejects all"), |_| true)
        })
    };
    let mut at = 0;
    for word in expression.split_whitespace() {
        let begin = expression.get(at..).and_then(|rest| rest.find(word)).map_or(at, |found| at + found);
        at = begin + word.len();
        if !could_go_on(expression.get(..at).unwrap_or(expression)) {
            let place = expression.get(..begin).unwrap_or_default().chars().count() + 1;
            return FilterError::Refused(format!("{why}, at character {place}: {word}"));
        }
    }
    FilterError::Refused(format!("{why}, at its end"))
}

/// Words of the filter language; pcap-filter(7).
const WORDS: &[&str] = &[
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

/// libpcap asks the resolver for words it does not know. An auditor sends nothing, so such words are refused.
fn refuse_names(expression: &str) -> Result<(), FilterError> {
    let mut before = "";
    let mut in_brackets = false;
    for word in expression.split_inclusive(['[', ']']).flat_map(|part| {
        part.split(|c: char| {
            !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '\\' | '[' | ']'))
        })
    }) {
        let opens = word.ends_with('[');
        let closes = word.ends_with(']');
        let word = word.trim_end_matches(['[', ']']).trim_start_matches('\\');
        // A service, protocol or type is looked up in a table of this machine, not on the network.
        let local = matches!(
            before,
            "port" | "portrange" | "proto" | "protochain" | "type" | "subtype" | "ifname" | "on"
        );
        let begins_with_letter = word.starts_with(|c: char| c.is_ascii_alphabetic());
        let address =
            word.contains(':') && word.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
        let field = word.contains('-')
            && (word.starts_with("icmp") || word.starts_with("tcp") || word.contains("is-is"));
        let known = WORDS.contains(&word) || address || field || local || in_brackets;
        let dotted_name = word.contains('.') && word.contains(|c: char| c.is_ascii_alphabetic()) && !address;
        if (begins_with_letter && !known) || (dotted_name && !local) {
            // The word is a part of the expression: its distance from the beginning is its place.
            let begin = word.as_ptr().addr() - expression.as_ptr().addr();
            let place = expression.get(..begin).map_or(0, |before| before.chars().count()) + 1;
            return Err(FilterError::Name { word: word.to_owned(), place });
        }
        in_brackets = opens || (in_brackets && !closes);
        if !word.is_empty() {
            before = word;
        }
    }
    Ok(())
}

/// One instruction, as `struct bpf_insn` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

/// A compiled filter.
#[derive(Debug)]
pub(super) struct Program(Vec<Instruction>);

impl Program {
    #[cfg(not(feature = "live"))]
    fn compile(_expression: &str, _link: LinkType) -> Result<Program, FilterError> {
        Err(FilterError::NoCompiler)
    }

    #[cfg(feature = "live")]
    fn compile(expression: &str, link: LinkType) -> Result<Program, FilterError> {
        // Inside libpcap some link types have other numbers than in files: pcap-common.c, linktype_to_dlt.
        let inside = match link.0 {
            100 => 11,
            101 | 14 => 12,
            102 => 15,
            103 => 16,
            106 => 19,
            number => i32::from(number),
        };
        let refused = |error: pcap::Error| {
            FilterError::Refused(error.to_string().trim_start_matches("libpcap error: ").to_owned())
        };
        let dead = pcap::Capture::dead(pcap::Linktype(inside)).map_err(refused)?;
        let program = dead.compile(expression, true).map_err(refused)?;
        // The crate shows instructions only as text.
        let parsed = program.get_instructions().iter().map(|one| {
            let text = one.to_string();
            let mut fields = text.split(' ').map_while(|field| field.parse::<u32>().ok());
            Some(Instruction {
                code: u16::try_from(fields.next()?).ok()?,
                if_true: u8::try_from(fields.next()?).ok()?,
                if_false: u8::try_from(fields.next()?).ok()?,
                k: fields.next()?,
            })
        });
        let program = parsed.collect::<Option<Vec<_>>>().map(Program);
        program.ok_or_else(|| FilterError::Refused("libpcap's program cannot be read".to_owned()))
    }

    /// Runs it on one frame. Every jump is forward, so it ends.
    pub(super) fn keeps(&self, bytes: &[u8], wire_len: u32) -> bool {
        self.run(bytes, wire_len).is_some_and(|kept| kept > 0)
    }

    // McCanne, Jacobson: The BSD Packet Filter, 1993; numbers from <net/bpf.h>. `None`: a load beyond the bytes, which
    // turns the frame away.
    fn run(&self, bytes: &[u8], wire_len: u32) -> Option<u32> {
        let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
        loop {
            let Instruction { code, if_true, if_false, k } = *self.0.get(at)?;
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

    fn check(expression: &str, looked_up: bool) {
        let refused = matches!(refuse_names(expression), Err(FilterError::Name { .. }));
        assert_eq!(refused, looked_up, "{expression}");
    }

    #[test]
    fn words_that_would_be_looked_up_are_refused() {
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
    fn programs_end_and_do_not_read_past_the_frame() {
        let one = |code, k| Instruction { code, if_true: 0, if_false: 0, k };
        assert!(Program(vec![one(0x80, 0), one(0x16, 0)]).keeps(&[], 7), "the length on the wire");
        assert!(!Program(vec![one(0x20, u32::MAX), one(0x06, 1)]).keeps(&[1, 2, 3], 3));
        assert!(!Program(vec![one(0x34, 0), one(0x06, 1)]).keeps(&[], 0), "division by zero");
        assert!(!Program(vec![one(0x05, u32::MAX)]).keeps(&[], 0));
    }

    #[cfg(feature = "live")]
    #[test]
    fn the_same_frames_as_libpcap_keeps() {
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
                Filter::new(expression).unwrap().program(LinkType::ETHERNET).unwrap().keeps(&frame, 64);
            assert_eq!(ours, theirs, "{expression}");
        }
        let mut long = Filter::new("greater 1000").unwrap();
        assert!(
            long.program(LinkType::ETHERNET).unwrap().keeps(&frame, 1500),
            "cut frames keep their length"
        );
        let refused = Filter::new("tcp porto 80").err().unwrap().to_string();
        assert!(refused.contains("at character 5: porto"), "{refused}");
        let refused =
            |expression| Filter::new(expression).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            refused("tcp port port").ends_with(", at character 10: port"),
            "{}",
            refused("tcp port port")
        );
        assert!(refused("tcp and (udp or").ends_with(", at its end"), "{}", refused("tcp and (udp or"));
        let mut radio = Filter::new("wlan type mgt").unwrap();
        assert!(radio.program(LinkType::ETHERNET).is_none());
        assert!(radio.program(LinkType(105)).is_some());
    }
}
