//! The one way to cut bytes that a stranger sent.
//!
//! In:  a slice.
//! Out: integers and sub-slices, or a [`Truncated`] that names what was looked for and where the bytes ended.
//! Not: what the bytes mean.

/// The bytes ended before what was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// What was being read, for example `"extension length"`.
    pub wanted: &'static str,
    /// Offset in the cursor's bytes where it should have begun.
    pub at: usize,
}

impl std::fmt::Display for Truncated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cut at byte {}", self.wanted, self.at)
    }
}

impl std::error::Error for Truncated {}

/// Reads big-endian fields from a slice and never past its end.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the first of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    /// Offset from the first byte.
    #[inline]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[inline]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// True when nothing is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The bytes not yet read, without reading them.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize, wanted: &'static str) -> Result<&'a [u8], Truncated> {
        match self.rest().get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(Truncated { wanted, at: self.at }),
        }
    }

    /// At most `len` bytes: what is there of them.
    #[inline]
    pub fn take_up_to(&mut self, len: usize) -> &'a [u8] {
        let rest = self.rest();
        let taken = rest.get(..len).unwrap_or(rest);
        self.at += taken.len();
        taken
    }

    /// A cursor over the next `len` bytes, which cannot read past its parent.
    #[inline]
    pub fn sub(&mut self, len: impl Into<usize>, wanted: &'static str) -> Result<Cursor<'a>, Truncated> {
        self.take(len.into(), wanted).map(Cursor::new)
    }

    /// Passes over `len` bytes.
    #[inline]
    pub fn skip(&mut self, len: usize, wanted: &'static str) -> Result<(), Truncated> {
        self.take(len, wanted).map(drop)
    }

    /// The next `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self, wanted: &'static str) -> Result<[u8; N], Truncated> {
        match self.rest().first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(Truncated { wanted, at: self.at }),
        }
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, wanted: &'static str) -> Result<u8, Truncated> {
        self.array::<1>(wanted).map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn u16(&mut self, wanted: &'static str) -> Result<u16, Truncated> {
        self.array(wanted).map(u16::from_be_bytes)
    }

    /// Three bytes, big-endian.
    #[inline]
    pub fn u24(&mut self, wanted: &'static str) -> Result<u32, Truncated> {
        self.array::<3>(wanted).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Four bytes, big-endian.
    #[inline]
    pub fn u32(&mut self, wanted: &'static str) -> Result<u32, Truncated> {
        self.array(wanted).map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    #[inline]
    pub fn u64(&mut self, wanted: &'static str) -> Result<u64, Truncated> {
        self.array(wanted).map(u64::from_be_bytes)
    }

    /// Two bytes, little-endian.
    #[inline]
    pub fn u16_le(&mut self, wanted: &'static str) -> Result<u16, Truncated> {
        self.array(wanted).map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    #[inline]
    pub fn u32_le(&mut self, wanted: &'static str) -> Result<u32, Truncated> {
        self.array(wanted).map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    #[inline]
    pub fn u64_le(&mut self, wanted: &'static str) -> Result<u64, Truncated> {
        self.array(wanted).map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_names_what_is_missing() {
        let mut c = Cursor::new(&[1, 0, 2, 0, 0, 3, 9]);
        assert_eq!(c.u8("a"), Ok(1));
        assert_eq!(c.u16("b"), Ok(2));
        assert_eq!(c.u24("c"), Ok(3));
        assert_eq!(c.u16("d"), Err(Truncated { wanted: "d", at: 6 }));
        assert_eq!(c.left(), 1, "a failed read takes nothing");
        assert_eq!(c.take_up_to(5), &[9]);
        assert!(c.is_empty());
    }

    #[test]
    fn a_sub_cursor_ends_with_its_parent() {
        let mut c = Cursor::new(&[1, 2, 3]);
        assert!(c.sub(4usize, "body").is_err());
        let mut inner = c.sub(2usize, "body").unwrap();
        assert_eq!(inner.u16("x"), Ok(0x0102));
        assert!(inner.u8("y").is_err());
        assert_eq!(c.u8("z"), Ok(3));
    }
}
