//! Parses untrusted bytes with bounds checks.
//!
//! In:  a slice.
//! Out: integers and sub-slices, or [`Truncated`] with the name of the missing field and its offset.
//! Not: what the bytes mean.

/// The bytes end before or inside a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The field, for example `"extension length"`.
    pub wanted: &'static str,
    /// Its offset in the cursor's bytes.
    pub at: usize,
}

impl std::fmt::Display for Truncated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} truncated at byte {}", self.wanted, self.at)
    }
}

impl std::error::Error for Truncated {}

/// Reads fields from a slice, never beyond its end. Integers are big-endian unless the name says otherwise.
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

    /// Number of bytes left.
    #[inline]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// True when nothing is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The bytes that are left, without reading them.
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

    /// The next `len` bytes, or as many as are left.
    #[inline]
    pub fn take_up_to(&mut self, len: usize) -> &'a [u8] {
        let rest = self.rest();
        let taken = rest.get(..len).unwrap_or(rest);
        self.at += taken.len();
        taken
    }

    /// A cursor over the next `len` bytes, which cannot read beyond them.
    #[inline]
    pub fn sub(&mut self, len: impl Into<usize>, wanted: &'static str) -> Result<Cursor<'a>, Truncated> {
        self.take(len.into(), wanted).map(Cursor::new)
    }

    /// Skips `len` bytes.
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
    fn fields_are_read_in_order_and_a_missing_one_is_named() {
        let mut c = Cursor::new(&[1, 0, 2, 0, 0, 3, 9]);
        assert_eq!(c.u8("a"), Ok(1));
        assert_eq!(c.u16("b"), Ok(2));
        assert_eq!(c.u24("c"), Ok(3));
        assert_eq!(c.u16("d"), Err(Truncated { wanted: "d", at: 6 }));
        assert_eq!(c.left(), 1, "a failed read uses no bytes");
        assert_eq!(c.take_up_to(5), &[9]);
        assert!(c.is_empty());
    }

    #[test]
    fn a_sub_cursor_cannot_exceed_its_parent() {
        let mut c = Cursor::new(&[1, 2, 3]);
        assert!(c.sub(4usize, "body").is_err());
        let mut inner = c.sub(2usize, "body").unwrap();
        assert_eq!(inner.u16("x"), Ok(0x0102));
        assert!(inner.u8("y").is_err());
        assert_eq!(c.u8("z"), Ok(3));
    }
}
