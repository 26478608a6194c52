//! Reads the handshake that Google's QUIC had before TLS.
//!
//! In:  a datagram or frames with a client hello (CHLO) in the clear.
//! Out: the server's name.
//! Not: the rest of its tags.

use crate::base::Cursor;

/// The hello's tag.
const CLIENT_HELLO: &[u8] = b"CHLO";
/// The tag of the server's name, zero-padded.
const SERVER_NAME: [u8; 4] = *b"SNI\0";
/// The tags of a hello; some thirty are in use.
const TAG_LIMIT: u16 = 128;
/// How far behind the packet's headers the hello may begin.
const SEARCH_LIMIT: usize = 256;

/// The server name in a hello somewhere in the first bytes. `None`: no hello, or none that is whole up to the name.
///
/// Headers differ from version to version; the tag and the table behind it do not.
pub(crate) fn server_name(bytes: &[u8]) -> Option<&[u8]> {
    let searched = bytes.get(..SEARCH_LIMIT).unwrap_or(bytes);
    let at = searched.windows(CLIENT_HELLO.len()).position(|window| window == CLIENT_HELLO)?;
    let mut c = Cursor::new(bytes.get(at + CLIENT_HELLO.len()..)?);
    let count = c.u16_le("tag count").ok().filter(|count| *count <= TAG_LIMIT)?;
    c.skip(2, "padding").ok()?;
    let mut table = c.sub(usize::from(count) * 8, "tags").ok()?;
    let values = c.rest();
    let mut begin = 0;
    // Each row gives the end of its value; it begins where the one before ends.
    while let (Ok(tag), Ok(end)) = (table.array::<4>("tag"), table.u32_le("end of value")) {
        let end = usize::try_from(end).ok()?;
        if tag == SERVER_NAME {
            return values.get(begin..end).filter(|name| !name.is_empty());
        }
        begin = end;
    }
    None
}
