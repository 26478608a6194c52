//! Lists of ports as rule and site files write them: `443`, `80, 443`, `123/udp`, `5001-65535/tcp`, `icmp`.
//!
//! In:  the text.
//! Out: ranges of ports with their protocol.

use std::fmt;

use smallvec::SmallVec;

use crate::base::proto;

const PROTOCOLS: &[(&str, u8)] =
    &[("tcp", proto::TCP), ("udp", proto::UDP), ("icmp", proto::ICMP), ("icmpv6", proto::ICMPV6)];

/// A range of ports of one protocol, both ends included; the whole range if the protocol has no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PortRange {
    /// IP protocol number.
    pub protocol: u8,
    /// First port.
    pub from: u16,
    /// Last port.
    pub to: u16,
}

impl PortRange {
    /// Number of ports minus one.
    pub const fn width(self) -> u16 {
        self.to - self.from
    }

    const fn has_ports(self) -> bool {
        matches!(self.protocol, proto::TCP | proto::UDP)
    }
}

/// A set of port ranges, in written order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Ports(SmallVec<[PortRange; 2]>);

impl Ports {
    /// One proto::TCP port.
    pub fn tcp(port: u16) -> Ports {
        Ports(SmallVec::from_iter([PortRange { protocol: proto::TCP, from: port, to: port }]))
    }

    /// Parses a list of ports; the error is the reason.
    pub fn parse(text: &str) -> Result<Ports, String> {
        let mut ranges = SmallVec::new();
        for part in text.split(',').map(str::trim) {
            ranges.push(parse_range(part).ok_or_else(|| format!("not a port: `{part}`"))?);
        }
        Ok(Ports(ranges))
    }

    /// True when the set has this port of this protocol; the port is of no account for proto::ICMP.
    pub fn contains(&self, protocol: u8, port: u16) -> bool {
        self.narrowest(protocol, port).is_some()
    }

    /// Width of the narrowest range that has this port.
    pub fn narrowest(&self, protocol: u8, port: u16) -> Option<u16> {
        let fits =
            |s: &&PortRange| s.protocol == protocol && (!s.has_ports() || (s.from..=s.to).contains(&port));
        self.0.iter().filter(fits).map(|s| s.width()).min()
    }

    /// True if both sets have a port in common.
    pub fn overlaps(&self, other: &Ports) -> bool {
        let common =
            |a: &PortRange, b: &PortRange| a.protocol == b.protocol && a.from <= b.to && b.from <= a.to;
        self.0.iter().any(|a| other.0.iter().any(|b| common(a, b)))
    }

    /// True if there is a port of this protocol.
    pub fn has_protocol(&self, protocol: u8) -> bool {
        self.0.iter().any(|range| range.protocol == protocol)
    }

    /// True if there is no range.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges as written.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }
}

fn parse_range(text: &str) -> Option<PortRange> {
    let number = |word: &str| PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    if let Some(protocol) = number(text).filter(|p| matches!(*p, proto::ICMP | proto::ICMPV6)) {
        return Some(PortRange { protocol, from: 0, to: u16::MAX });
    }
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, word)) => (ports, number(word).filter(|p| matches!(*p, proto::TCP | proto::UDP))?),
        None => (text, proto::TCP),
    };
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let (from, to) = (parse_port(from)?, parse_port(to)?);
    (from <= to).then_some(PortRange { protocol, from, to })
}

/// Digits only: `parse` alone would also take a sign.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            let word = PROTOCOLS.iter().find(|(_, p)| *p == range.protocol).map_or("ip", |(word, _)| word);
            match *range {
                s if !s.has_ports() => f.write_str(word)?,
                PortRange { from, to, .. } if from == to => write!(f, "{from}/{word}")?,
                PortRange { from, to, .. } => write!(f, "{from}-{to}/{word}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_notation_of_rule_files() {
        let check = |text: &str, expected: &str| {
            let shown = Ports::parse(text).map(|ports| ports.to_string());
            assert_eq!(shown.as_deref().unwrap_or_else(|e| e), expected);
        };
        check("443", "443/tcp");
        check("80, 443", "80/tcp, 443/tcp");
        check("123/udp", "123/udp");
        check("5001-65535/tcp", "5001-65535/tcp");
        check("icmp, icmpv6", "icmp, icmpv6");
        check("", "not a port: ``");
        check("0", "not a port: `0`");
        check("+80", "not a port: `+80`");
        check("65536", "not a port: `65536`");
        check("443/icmp", "not a port: `443/icmp`");
        check("90-80", "not a port: `90-80`");
    }

    #[test]
    fn contains_its_ports_only() {
        let ports = Ports::parse("5001-65535/tcp, 445/tcp, icmp").unwrap();
        assert!(
            ports.contains(proto::TCP, 5001)
                && ports.contains(proto::TCP, 65535)
                && ports.contains(proto::TCP, 445)
        );
        assert!(!ports.contains(proto::TCP, 5000) && !ports.contains(proto::UDP, 6000));
        assert!(ports.contains(proto::ICMP, 0) && !ports.contains(proto::ICMPV6, 0));
        assert!(ports.overlaps(&Ports::tcp(6600)) && !ports.overlaps(&Ports::tcp(135)));
    }
}
