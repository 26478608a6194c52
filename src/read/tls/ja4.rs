//! Computes JA4, the TLS client fingerprint.
//!
//! In:  a complete ClientHello.
//! Out: 36 characters in three parts.
//! Not: the other fingerprints of the JA4+ family, which have another licence.

use super::hello::ALPN;
use super::hello::Carrier;
use super::hello::ClientHello;
use super::hello::SERVER_NAME;
use super::hello::is_grease;
use super::hello::u16_list;
use sha2::Digest;
use sha2::Sha256;
use smallvec::SmallVec;

/// The length of a fingerprint.
pub(crate) const LEN: usize = 36;
/// Cipher suites, extensions and signature algorithms that are hashed; the counts in the first part end at 99.
const ITEM_LIMIT: usize = 256;
/// Initial capacity of a list as text: enough for usual ones.
const LIST_CAPACITY: usize = 256;

/// Computes the fingerprint: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
pub(crate) fn fingerprint(hello: &ClientHello<'_>, carrier: Carrier) -> Vec<u8> {
    let mut ciphers: SmallVec<[u16; 64]> =
        u16_list(hello.ciphers).filter(|cipher| !is_grease(*cipher)).take(ITEM_LIMIT).collect();
    ciphers.sort_unstable();
    let mut extensions: SmallVec<[u16; 32]> = hello
        .extensions
        .iter()
        .copied()
        .filter(|extension_type| !matches!(*extension_type, SERVER_NAME | ALPN))
        .take(ITEM_LIMIT)
        .collect();
    extensions.sort_unstable();

    let mut out = Vec::with_capacity(LEN);
    out.push(match carrier {
        Carrier::Tls => b't',
        Carrier::Dtls => b'd',
        Carrier::Quic => b'q',
    });
    out.extend_from_slice(match hello.highest_version() {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        0xfeff => b"d1",
        0xfefd => b"d2",
        0xfefc => b"d3",
        _ => b"00",
    });
    out.push(if hello.extensions.contains(&SERVER_NAME) { b'd' } else { b'i' });
    push_count(&mut out, ciphers.len());
    push_count(&mut out, hello.extensions.len());
    out.extend_from_slice(&alpn_characters(hello.protocols.first().copied().unwrap_or_default()));

    out.push(b'_');
    let mut list = Vec::with_capacity(LIST_CAPACITY);
    push_list(&mut list, ciphers.iter().copied());
    push_hash(&mut out, &list);
    out.push(b'_');
    list.clear();
    push_list(&mut list, extensions.iter().copied());
    let signatures = u16_list(hello.signatures).filter(|value| !is_grease(*value)).take(ITEM_LIMIT);
    if !hello.signatures.is_empty() && !list.is_empty() {
        list.push(b'_');
        push_list(&mut list, signatures);
    }
    push_hash(&mut out, &list);
    out
}

/// Two decimal digits.
fn push_count(out: &mut Vec<u8>, count: usize) {
    let count = u8::try_from(count).unwrap_or(u8::MAX).min(99);
    out.extend_from_slice(&[b'0' + count / 10, b'0' + count % 10]);
}

/// The first and last character of the first ALPN protocol, or of its hexadecimal form where either is not alphanumeric.
fn alpn_characters(protocol: &[u8]) -> [u8; 2] {
    match (protocol.first(), protocol.last()) {
        (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            [*first, *last]
        }
        (Some(first), Some(last)) => [hex(first >> 4), hex(last & 0x0f)],
        _ => *b"00",
    }
}

/// A hexadecimal digit, without a branch: a ClientHello needs about two hundred.
const fn hex(nibble: u8) -> u8 {
    b'0' + nibble + (b'a' - b'9' - 1) * (nibble > 9) as u8
}

/// Appends numbers in hexadecimal, separated by commas.
fn push_list(out: &mut Vec<u8>, values: impl Iterator<Item = u16>) {
    let mut separator: &[u8] = b"";
    for value in values {
        let [high, low] = value.to_be_bytes();
        out.extend_from_slice(separator);
        out.extend_from_slice(&[hex(high >> 4), hex(high & 15), hex(low >> 4), hex(low & 15)]);
        separator = b",";
    }
}

/// Appends the first twelve digits of the list's SHA-256; twelve zeros for an empty list.
fn push_hash(out: &mut Vec<u8>, list: &[u8]) {
    if list.is_empty() {
        out.extend_from_slice(b"000000000000");
        return;
    }
    for byte in Sha256::digest(list).iter().take(6) {
        out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(list: &str) -> Vec<u8> {
        list.split(',').flat_map(|item| u16::from_str_radix(item, 16).unwrap().to_be_bytes()).collect()
    }

    /// The example in JA4's published description.
    #[test]
    fn the_published_example() {
        let ciphers =
            bytes("1a1a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035");
        let signatures = bytes("0403,0804,0401,0503,0805,0501,0806,0601");
        let extensions = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015";
        let hello = ClientHello {
            version: 0x0303,
            ciphers: &ciphers,
            extensions: extensions.split(',').map(|item| u16::from_str_radix(item, 16).unwrap()).collect(),
            highest: 0x0304,
            name: Some(b"example.com"),
            protocols: [&b"h2"[..], b"http/1.1"].into_iter().collect(),
            signatures: &signatures,
            ech: false,
            cut: false,
            anomaly: None,
        };
        let check = |carrier, expected: &[u8]| assert_eq!(fingerprint(&hello, carrier).as_slice(), expected);
        check(Carrier::Tls, b"t13d1516h2_8daaf6152771_e5627efa2ab1");
        check(Carrier::Quic, b"q13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn an_empty_hello_gives_zeros() {
        let hello = ClientHello {
            version: 0x0301,
            ciphers: &[],
            extensions: SmallVec::new(),
            highest: 0,
            name: None,
            protocols: SmallVec::new(),
            signatures: &[],
            ech: false,
            cut: false,
            anomaly: None,
        };
        assert_eq!(fingerprint(&hello, Carrier::Tls).as_slice(), b"t10i000000_000000000000_000000000000");
        assert_eq!(alpn_characters(b"\xabz\xcd"), *b"ad");
        assert_eq!(alpn_characters(b"h"), *b"hh");
    }
}
