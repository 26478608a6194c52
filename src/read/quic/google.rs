//! Reads the handshake of gQUIC, Google's QUIC before TLS.
//!
//! In:  a datagram or frames with an unencrypted client hello (CHLO).
//! Out: the server name.
//! Not: the other tags.

use crate::base::Cursor;

/// The message tag of a client hello.
const CLIENT_HELLO: &[u8] = b"CHLO";
/// The tag of the server name, zero-padded.
const SERVER_NAME: [u8; 4] = *b"SNI\0";
/// Tags read of a hello; about thirty are in use.
const TAG_LIMIT: u16 = 128;
/// Bytes in which the hello must start; packet headers are shorter.
const SEARCH_LIMIT: usize = 256;

/// Finds the server name of a client hello in the first bytes; `None` without a hello, or when its name is cut.
///
/// Headers differ between versions; the message tag and the table after it do not.
pub(crate) fn find_server_name(bytes: &[u8]) -> Option<&[u8]> {
    let searched = bytes.get(..SEARCH_LIMIT).unwrap_or(bytes);
    let at = searched.windows(CLIENT_HELLO.len()).position(|window| window == CLIENT_HELLO)?;
    let mut c = Cursor::new(bytes.get(at + CLIENT_HELLO.len()..)?);
    let count = c.u16_le("tag count").ok().filter(|count| *count <= TAG_LIMIT)?;
    c.skip(2, "padding").ok()?;
    let mut table = c.sub(usize::from(count) * 8, "tags").ok()?;
    let values = c.rest();
    let mut start = 0;
    // Each row gives the end of its value, which starts at the end of the one before.
    while let (Ok(tag), Ok(end)) = (table.array::<4>("tag"), table.u32_le("end of value")) {
        let end = usize::try_from(end).ok()?;
        if tag == SERVER_NAME {
            return values.get(start..end).filter(|name| !name.is_empty());
        }
        start = end;
    }
    None
}
