//! Compares a file with its recorded length and hash.
//!
//! In:  a path, a length, a hash.
//! Out: the state of the file.
//! Not: where the path comes from. Only regular files are read: a pipe or a device may never end.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Digest as _;
use sha2::Sha256;

use super::super::folder::hex;
use super::super::write_error::reason;
use super::FileState;
use crate::capture;

/// How a file was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    Sha256,
    Blake3,
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkPolicy {
    Followed,
    Refused,
}

/// Opens a regular file. Opening a pipe does not wait for its other end.
pub(super) fn open_regular(path: &Path, links: LinkPolicy) -> io::Result<File> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if links == LinkPolicy::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(io::Error::other("a symbolic link, not a file")),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// Compares a file with what the manifest says.
pub(super) fn compare(
    path: &Path,
    links: LinkPolicy,
    bytes: Option<u64>,
    expected: &(Algorithm, String),
) -> FileState {
    let (algorithm, expected) = expected;
    let file = match open_regular(path, links) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return FileState::Missing,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return compare_member(path, *algorithm, expected)
                .unwrap_or_else(|error| FileState::Unchecked(reason(&error)));
        }
        Err(error) => return FileState::Unchecked(reason(&error)),
    };
    let found_bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let is_text = path
        .extension()
        .is_some_and(|extension| ["csv", "html", "json"].iter().any(|text| extension == *text));
    let has_length = bytes.is_none_or(|bytes| bytes == found_bytes);
    let compared = compare_bytes(file, (*algorithm, expected.as_str()), has_length, is_text);
    match compared {
        Ok(FileState::Changed(_)) if !has_length => FileState::Changed(length_differs(found_bytes, bytes)),
        Ok(state) => state,
        Err(error) => FileState::Unchecked(reason(&error)),
    }
}

/// Compares a file in an archive.
fn compare_member(path: &Path, algorithm: Algorithm, expected: &str) -> io::Result<FileState> {
    let Some(mut bytes) = capture::open_member(path) else { return Ok(FileState::Missing) };
    let mut hasher = FileHasher::new(algorithm);
    let mut block = vec![0; 64 << 10];
    loop {
        let len = bytes.as_mut().map_err(|error| io::Error::other(error.to_string()))?.read(&mut block)?;
        if len == 0 {
            break;
        }
        hasher.update(block.get(..len).unwrap_or_default());
    }
    let found = hasher.finish();
    Ok(match found.eq_ignore_ascii_case(expected) {
        true => FileState::Unchanged,
        false => FileState::Changed(format!("hash {}…, was {}…", short(&found), short(expected))),
    })
}

/// Compares hashes. What differs in its line endings only differs in its length, too, and is hashed a second time.
fn compare_bytes(
    mut file: File,
    (algorithm, expected): (Algorithm, &str),
    has_length: bool,
    is_text: bool,
) -> io::Result<FileState> {
    let mut found = String::new();
    if has_length {
        let mut hasher = FileHasher::new(algorithm);
        read_blocks(&mut file, |bytes| hasher.update(bytes))?;
        found = hasher.finish();
        if found.eq_ignore_ascii_case(expected) {
            return Ok(FileState::Unchanged);
        }
    } else if is_text {
        let [lf, crlf] = hash_converted(&mut file, algorithm)?;
        match () {
            // What matches after a conversion to LF has CRLF now.
            () if lf.eq_ignore_ascii_case(expected) => return Ok(FileState::LineEndings("CRLF")),
            () if crlf.eq_ignore_ascii_case(expected) => return Ok(FileState::LineEndings("LF")),
            () => {}
        }
    }
    Ok(FileState::Changed(format!("hash {}…, was {}…", short(&found), short(expected))))
}

fn length_differs(found: u64, was: Option<u64>) -> String {
    format!("{found} bytes, was {}", was.unwrap_or_default())
}

/// The first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// The hashes of a text with all its line ends as LF, and as CRLF.
fn hash_converted(file: &mut File, algorithm: Algorithm) -> io::Result<[String; 2]> {
    let mut hashers = [b"\n".as_slice(), b"\r\n"].map(|end| (FileHasher::new(algorithm), end));
    let mut converted = Vec::new();
    let mut ends_with_cr = false;
    read_blocks(file, |bytes| {
        for (hasher, end) in &mut hashers {
            convert(bytes, ends_with_cr, end, &mut converted);
            hasher.update(&converted);
        }
        ends_with_cr = bytes.last() == Some(&b'\r');
    })?;
    Ok(hashers.map(|(mut hasher, _)| {
        if ends_with_cr {
            hasher.update(b"\r");
        }
        hasher.finish()
    }))
}

/// Passes a file on, block by block.
fn read_blocks(file: &mut File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            len => each(block.get(..len).unwrap_or_default()),
        }
    }
}

/// Writes text with all its line ends as `end`. A CR at its end is left for the next text.
fn convert(text: &[u8], follows_cr: bool, end: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut pending = follows_cr;
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(end),
            byte => {
                if pending {
                    out.push(b'\r');
                }
                if *byte != b'\r' {
                    out.push(*byte);
                }
            }
        }
        pending = *byte == b'\r';
    }
}

enum FileHasher {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl FileHasher {
    fn new(algorithm: Algorithm) -> FileHasher {
        match algorithm {
            Algorithm::Sha256 => FileHasher::Sha256(Sha256::new()),
            Algorithm::Blake3 => FileHasher::Blake3(Box::new(blake3::Hasher::new())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            FileHasher::Sha256(hasher) => hasher.update(bytes),
            FileHasher::Blake3(hasher) => drop(hasher.update(bytes)),
        }
    }

    fn finish(self) -> String {
        match self {
            FileHasher::Sha256(hasher) => hex(&hasher.finalize()),
            FileHasher::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_converted_across_blocks() {
        let check = |blocks: &[&str], expected: [&str; 2]| {
            for (end, expected) in [b"\n".as_slice(), b"\r\n"].into_iter().zip(expected) {
                let (mut all, mut out, mut follows_cr) = (Vec::new(), Vec::new(), false);
                for block in blocks {
                    convert(block.as_bytes(), follows_cr, end, &mut out);
                    all.extend_from_slice(&out);
                    follows_cr = block.ends_with('\r');
                }
                assert_eq!(String::from_utf8(all).unwrap(), expected, "{blocks:?}");
            }
        };
        check(&["a\r\nb\nc"], ["a\nb\nc", "a\r\nb\r\nc"]);
        check(&["a\r", "\nb\n"], ["a\nb\n", "a\r\nb\r\n"]);
        check(&["a\rb\r\r\n"], ["a\rb\r\n", "a\rb\r\r\n"]);
        check(&["a\r", "b"], ["a\rb", "a\rb"]);
    }

    #[test]
    fn a_text_with_other_line_ends_is_no_change_of_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, original: &str, now: &str, expected: FileState| {
            let path = folder.path().join(name);
            std::fs::write(&path, now).unwrap();
            let hash = (Algorithm::Sha256, hex(&Sha256::digest(original)));
            assert_eq!(
                compare(&path, LinkPolicy::Refused, Some(original.len() as u64), &hash),
                expected,
                "{now:?}"
            );
        };
        check("a.csv", "a\r\nb\r\n", "a\r\nb\r\n", FileState::Unchanged);
        check("a.csv", "a\r\nb\r\n", "a\nb\n", FileState::LineEndings("LF"));
        check("a.html", "a\nb\n", "a\r\nb\r\n", FileState::LineEndings("CRLF"));
        check("a.html", "a\nb\n", "a\nb\n\r", FileState::Changed("5 bytes, was 4".into()));
        check("a.csv", "a\r\nb\r\n", "a\nc\n", FileState::Changed("4 bytes, was 6".into()));
        check("a.pcapng", "a\r\nb\r\n", "a\nb\n", FileState::Changed("4 bytes, was 6".into()));
    }
}
