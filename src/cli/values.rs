//! Parses the values of options.
//!
//! In:  text from the command line.
//! Out: durations, sizes, addresses and networks, or what was expected instead.
//! Not: which option it is.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use ipnet::IpNet;

use crate::base::Time;

/// The longest frame that libpcap delivers (`MAXIMUM_SNAPLEN`).
const MAX_SNAP_LEN: u32 = 262_144;

/// A longer run is a typing error; a `Duration` could hold it.
const HUNDRED_YEARS_SECS: u64 = 100 * 365 * 86_400;

/// Snapshot length in bytes; 0 means the whole frame, as for tcpdump.
pub(super) fn snap_len(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Ok(MAX_SNAP_LEN),
        Ok(len @ 64..=MAX_SNAP_LEN) => Ok(len),
        _ => Err(format!("expected 64 to {MAX_SNAP_LEN}, or 0 for the whole frame")),
    }
}

/// A number other than 0.
pub(super) fn positive<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number from 1 on".to_owned())
}

/// A memory limit in MiB. With less than this, a site's servers do not fit beside the rules.
pub(super) fn memory() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(128..)
}

/// A capture point: its name, and a file or folder that was captured there.
pub(super) fn capture_point(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=').map(|(name, file)| (name.trim(), file)) {
        Some((name, _)) if name.contains(';') || name.chars().any(char::is_control) => {
            Err("the name of a point contains no semicolon and no control characters".to_owned())
        }
        Some((name, file)) if !name.is_empty() && !file.is_empty() && file != "-" => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err("expected NAME=FILE, such as inside=a.pcapng".to_owned()),
    }
}

/// A SHA-256 hash in hexadecimal, as `sha256:…` or without the prefix; returned in lower case.
pub(super) fn sha256(text: &str) -> Result<String, String> {
    let digits = text.trim().strip_prefix("sha256:").unwrap_or(text.trim());
    match digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(digits.to_ascii_lowercase()),
        false => Err("expected the 64 hexadecimal digits of a SHA-256 hash".to_owned()),
    }
}

/// A file mode creation mask in octal.
pub(super) fn umask(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        // A run that may not read its own files cannot finish them.
        Ok(mask) if mask & !0o077 == 0 => Ok(mask),
        _ => Err("expected an octal number from 000 to 077".to_owned()),
    }
}

/// A time in the form of RFC 3339, such as `2026-07-20T10:00:00Z`.
pub(super) fn time(text: &str) -> Result<Time, String> {
    text.parse().map_err(|()| "expected a time such as 2026-07-20T10:00:00Z".to_owned())
}

/// `90s`, `10m`, `1h30m`, `1d`; a number without a unit is seconds. Larger units come first, each at most once.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as 90s, 10m, 1h30m or 1d".to_owned();
    let mut rest = text;
    let mut total_secs: u64 = 0;
    let mut larger_unit = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_at_first(after, |c| !c.is_ascii_alphabetic());
        let unit_secs = match unit {
            "" | "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(expected()),
        };
        if unit_secs >= larger_unit {
            return Err(expected());
        }
        let number: u64 = number.parse().map_err(|_| expected())?;
        total_secs = total_secs.saturating_add(number.saturating_mul(unit_secs));
        larger_unit = unit_secs;
        rest = after;
    }
    match total_secs {
        0 if larger_unit == u64::MAX => Err(expected()),
        1..=HUNDRED_YEARS_SECS => Ok(Duration::from_secs(total_secs)),
        _ => Err("expected 1 second to 100 years".to_owned()),
    }
}

/// `100M`, `1G`, in powers of two; a number without a unit is bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as 100M or 1G".to_owned();
    let (number, unit) = split_at_first(text, |c| !c.is_ascii_digit());
    let shift = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or_else(expected)
}

/// A size of evidence. Less holds neither the findings nor a row for each kind.
pub(super) fn evidence_size(text: &str) -> Result<u64, String> {
    let size = size(text)?;
    if size < 16 << 20 { Err("expected at least 16M".to_owned()) } else { Ok(size) }
}

/// `9105` on the loopback address, or an address with a port.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    // The program sends nothing, so it does not resolve names. This one needs no resolver.
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    numeric.parse().map_err(|_| "expected a port, or an address with a port".to_owned())
}

/// `10.1.0.0/24`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| "expected an address or a network".to_owned())?,
    };
    Ok(network.trunc())
}

fn split_at_first(text: &str, is_end: impl FnMut(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_secs), "{text}");
        };
        check("90s", Some(90));
        check("90", Some(90));
        check("10m", Some(600));
        check("1h", Some(3600));
        check("1h30m", Some(5400));
        check("1d2h3m4s", Some(93_784));
        check("1h30", Some(3630));
        for refused in
            ["", "0s", "m", "5y", "30m1h", "1h1h", "1h m", "101 d", "36501d", "99999999999999999999s"]
        {
            check(refused, None);
        }
    }

    #[test]
    fn sizes_addresses_and_networks() {
        assert_eq!((size("100M"), size("1GiB"), size("7")), (Ok(100 << 20), Ok(1 << 30), Ok(7)));
        assert_eq!(evidence_size("16M"), Ok(16 << 20));
        assert!(evidence_size("15M").is_err());
        assert!(size("0").is_err() && size("1X").is_err() && size("M").is_err());
        let check = |text: &str, expected: &str| {
            assert_eq!(listen_address(text).map(|address| address.to_string()), Ok(expected.to_owned()));
        };
        check("9105", "127.0.0.1:9105");
        check("localhost:9105", "127.0.0.1:9105");
        check("[::1]:9105", "[::1]:9105");
        assert!(listen_address("localhost").is_err() && listen_address("example.com:9105").is_err());
        assert_eq!((snap_len("0"), snap_len("64")), (Ok(262_144), Ok(64)));
        assert!(snap_len("63").is_err() && snap_len("262145").is_err());
        let networks =
            ["10.1.0.4", "fd00::5/64", "10.2.3.4/8"].map(|text| network(text).unwrap().to_string());
        assert_eq!(networks, ["10.1.0.4/32", "fd00::/64", "10.0.0.0/8"]);
        assert!(network("10.1.0.0/33").is_err() && network("server1").is_err());
    }
}
