//! Finds captures in archives: zip, tar, and compressed tar.
//!
//! In:  a file.
//! Out: its members, each of which can be opened on its own, or the reason why it cannot.
//! Not: archives in archives, or in streams: those are refused with what to do.
//!
//! Members are read where they are, and decompressed as a stream: nothing is extracted. What an archive claims is bounded: the
//! number of members, the size of its directory, and how far it expands.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::CompressionMethod;
use zip::ZipArchive;

use super::block::BlockReader;
use super::block::RawReader;
use super::block::RawSource;
use super::compress::DecompressingReader;

/// Members of one archive.
const MEMBER_LIMIT: usize = 10_000;
/// Members of a compressed tar archive: each is found by decompressing what is before it.
const COMPRESSED_TAR_LIMIT: usize = 64;
/// Bytes of a zip archive's directory, so that damage cannot fill the memory.
const DIRECTORY_LIMIT: u64 = 16 << 20;
/// Captures compress to a tenth, empty bytes to a thousandth: what expands further, and to more than a gigabyte, is a bomb.
const EXPANSION_LIMIT: u64 = 200;
const EXPANSION_FREE: u64 = 1 << 30;

const BLOCK_LEN: usize = 64 << 10;
/// A tar header, with its mark.
const TAR_HEADER_LEN: usize = 512;
const TAR_MARK: std::ops::Range<usize> = 257..262;

/// A file in an archive.
#[derive(Debug)]
pub(super) struct Member {
    archive: PathBuf,
    /// Its name in the archive.
    name: String,
    place: Result<MemberPlace, &'static str>,
    /// Its length when it is decompressed.
    pub(super) size: u64,
}

/// Where the bytes of a member are.
#[derive(Debug)]
enum MemberPlace {
    Zip {
        offset: u64,
        compressed: u64,
        is_deflated: bool,
        crc32: u32,
    },
    /// Of the file.
    Tar {
        offset: u64,
    },
    /// Of the decompressed file.
    CompressedTar {
        offset: u64,
    },
}

/// The members of an archive, in its order; `None` if the file is none.
pub(super) fn members(path: &Path) -> Option<Result<Vec<Arc<Member>>, String>> {
    let kind = archive_kind(path)?;
    let listed = match kind {
        ArchiveKind::Zip => zip_members(path),
        ArchiveKind::Tar => open_at(path, 0).and_then(|file| tar_members(path, file, None)),
        ArchiveKind::CompressedTar => {
            let compressed_len = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            decompress(path).and_then(|bytes| tar_members(path, bytes, Some(compressed_len)))
        }
    };
    Some(listed.map_err(|error| format!("{}: {error}", kind.name())))
}

/// The member that a path names: an archive, and a name in it.
pub(super) fn member_of(path: &Path) -> Option<Arc<Member>> {
    let archive = path.ancestors().skip(1).find(|ancestor| ancestor.is_file())?;
    let members = members(archive)?.ok()?;
    members.into_iter().find(|member| member.path() == path)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveKind {
    Zip,
    Tar,
    CompressedTar,
}

impl ArchiveKind {
    const fn name(self) -> &'static str {
        match self {
            ArchiveKind::Zip => "zip archive",
            ArchiveKind::Tar => "tar archive",
            ArchiveKind::CompressedTar => "compressed tar archive",
        }
    }
}

/// Recognizes archives by content, not by name.
fn archive_kind(path: &Path) -> Option<ArchiveKind> {
    let mut head = Vec::with_capacity(TAR_HEADER_LEN);
    File::open(path).ok()?.take(TAR_HEADER_LEN as u64).read_to_end(&mut head).ok()?;
    if is_zip(&head) {
        return Some(ArchiveKind::Zip);
    }
    if is_tar(&head) {
        return Some(ArchiveKind::Tar);
    }
    let mut bytes = decompress(path).ok()?;
    bytes.0.compression()?;
    bytes.0.fill(TAR_HEADER_LEN);
    is_tar(bytes.0.window().bytes()).then_some(ArchiveKind::CompressedTar)
}

/// APPNOTE.TXT §4.3.7: the header of the first file; §4.3.16: the end of an empty archive.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// POSIX.1-1988 `ustar`, and what GNU tar writes.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(TAR_MARK) == Some(&b"ustar"[..])
}

impl Member {
    /// The path of the archive, and in it the name of the member.
    pub(super) fn path(&self) -> PathBuf {
        let mut path = self.archive.clone().into_os_string();
        path.push("/");
        path.push(&self.name);
        PathBuf::from(path)
    }

    /// Why it cannot be read.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.place.as_ref().err().copied()
    }

    /// Opens it; the bytes are decompressed.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let place = self.place.as_ref().map_err(|reason| io::Error::other(*reason))?;
        match *place {
            MemberPlace::Zip { offset, compressed, is_deflated, crc32 } => {
                let bytes = open_at(&self.archive, offset)?.take(compressed);
                let bytes: Box<dyn Read + Send> = match is_deflated {
                    true => Box::new(DeflateDecoder::new(bytes).take(self.size.saturating_add(1))),
                    false => Box::new(bytes),
                };
                Ok(Box::new(CheckedReader { bytes, crc: Crc::new(), crc32, left: self.size }))
            }
            MemberPlace::Tar { offset } => Ok(Box::new(open_at(&self.archive, offset)?.take(self.size))),
            MemberPlace::CompressedTar { offset } => {
                let mut bytes = decompress(&self.archive)?;
                io::copy(&mut (&mut bytes).take(offset), &mut io::sink())?;
                Ok(Box::new(bytes.take(self.size)))
            }
        }
    }
}

fn open_at(path: &Path, offset: u64) -> io::Result<BufReader<File>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(BufReader::with_capacity(BLOCK_LEN, file))
}

/// Reports a member that is shorter than its archive says, or damaged.
struct CheckedReader {
    bytes: Box<dyn Read + Send>,
    crc: Crc,
    crc32: u32,
    left: u64,
}

impl Read for CheckedReader {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.read(space)?;
        self.crc.update(space.get(..len).unwrap_or_default());
        let is_wrong = match self.left.checked_sub(len as u64) {
            None => true,
            Some(left) => {
                self.left = left;
                len == 0 && !space.is_empty() && (left > 0 || self.crc.sum() != self.crc32)
            }
        };
        if is_wrong {
            return Err(io::Error::other("the member of the zip archive is damaged"));
        }
        Ok(len)
    }
}

fn zip_members(path: &Path) -> io::Result<Vec<Arc<Member>>> {
    let mut file = open_at(path, 0)?;
    let listed = check_directory(&mut file)?;
    let mut zip = ZipArchive::new(file)?;
    let mut members = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index)?;
        if !entry.is_file() {
            continue;
        }
        let (size, compressed) = (entry.size(), entry.compressed_size());
        let is_deflated = entry.compression() == CompressionMethod::DEFLATE;
        let is_supported = is_deflated || entry.compression() == CompressionMethod::Stored;
        let place = match entry.data_start() {
            _ if entry.encrypted() => Err("encrypted: extract it with its password first"),
            _ if is_bomb(size, compressed) => Err("expands to more than 200 times its size: not read"),
            _ if !is_supported => Err("compressed with a method other than deflate: extract it first"),
            Some(offset) => Ok(MemberPlace::Zip { offset, compressed, is_deflated, crc32: entry.crc32() }),
            None => Err("its place in the zip archive is not known"),
        };
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        members.push(Arc::new(Member { archive: path.to_owned(), name, place, size }));
    }
    if listed > zip.len() as u64 {
        // The directory of `ZipArchive` has one file of each name.
        let name = "(files with the name of another)".to_owned();
        let place = Err("only the last file of each name is read: extract the archive first");
        members.push(Arc::new(Member { archive: path.to_owned(), name, place, size: 0 }));
    }
    Ok(members)
}

const fn is_bomb(size: u64, compressed: u64) -> bool {
    size > EXPANSION_FREE && size / EXPANSION_LIMIT > compressed
}

/// How many members the directory of a zip archive lists, if it is not too large.
fn check_directory(file: &mut BufReader<File>) -> io::Result<u64> {
    // §4.3.16: the end record has 22 bytes and a comment; §4.3.14, §4.3.15: for large archives, another is before it.
    const END_LEN: u64 = 22 + 0xffff;
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(len.saturating_sub(END_LEN)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let number = |at: usize, len: usize| {
        let bytes = tail.get(at..at + len).unwrap_or_default();
        bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let last = |mark: &[u8]| tail.windows(mark.len()).rposition(|bytes| bytes == mark);
    let large = last(b"PK\x06\x06").map(|at| (number(at + 32, 8), number(at + 40, 8)));
    let end = last(b"PK\x05\x06").map(|at| (number(at + 10, 2), number(at + 12, 4)));
    let is_large = end.is_some_and(|(members, directory)| members == 0xffff || directory == 0xffff_ffff);
    let sizes = if is_large { large } else { end };
    file.seek(SeekFrom::Start(0))?;
    match sizes {
        Some((members, directory)) if members <= MEMBER_LIMIT as u64 && directory <= DIRECTORY_LIMIT => {
            Ok(members)
        }
        Some((members, _)) => Err(io::Error::other(format!("{members} members: extract it first"))),
        None => Err(io::Error::other("truncated: its directory is missing")),
    }
}

/// `compressed_len`: the length of a compressed archive.
fn tar_members(path: &Path, bytes: impl Read, compressed_len: Option<u64>) -> io::Result<Vec<Arc<Member>>> {
    let limit = if compressed_len.is_some() { COMPRESSED_TAR_LIMIT } else { MEMBER_LIMIT };
    // More is not decompressed to find members.
    let expanded =
        compressed_len.map_or(u64::MAX, |len| len.saturating_mul(EXPANSION_LIMIT).max(EXPANSION_FREE));
    let mut archive = tar::Archive::new(bytes.take(expanded));
    let mut members = Vec::new();
    for entry in archive.entries()? {
        let entry = match entry {
            Ok(entry) => entry,
            // A truncated archive still has the members before its end.
            Err(_) if !members.is_empty() => break,
            Err(error) => return Err(error),
        };
        let kind = entry.header().entry_type();
        if !kind.is_file() && !kind.is_contiguous() && !kind.is_gnu_sparse() {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let place = match compressed_len {
            _ if kind.is_gnu_sparse() => Err("a sparse file: extract it first"),
            _ if members.len() >= limit => Err("too many files in one archive: extract it first"),
            Some(_) if offset.saturating_add(size) > expanded => {
                Err("expands to more than 200 times its size: not read")
            }
            Some(_) => Ok(MemberPlace::CompressedTar { offset }),
            None => Ok(MemberPlace::Tar { offset }),
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_last = place.is_err() && members.len() >= limit;
        members.push(Arc::new(Member { archive: path.to_owned(), name, place, size }));
        if is_last {
            break;
        }
    }
    Ok(members)
}

/// The decompressed bytes of a file.
struct DecompressedBytes(DecompressingReader);

fn decompress(path: &Path) -> io::Result<DecompressedBytes> {
    let raw = RawReader::new(RawSource::File(File::open(path)?), None, Arc::default());
    Ok(DecompressedBytes(DecompressingReader::new(BlockReader::new(raw, BLOCK_LEN), BLOCK_LEN)))
}

/// The bytes of a file, decompressed and not converted.
pub(super) fn decompress_only(path: &Path) -> io::Result<impl Read + Send + use<>> {
    let raw = RawReader::new(RawSource::File(File::open(path)?), None, Arc::default());
    let raw = BlockReader::new(raw, BLOCK_LEN);
    Ok(DecompressedBytes(DecompressingReader::decompressing(raw, BLOCK_LEN)))
}

impl Read for DecompressedBytes {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.fill(1);
        let bytes = self.0.window().bytes();
        let len = bytes.len().min(space.len());
        if let (Some(to), Some(from)) = (space.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.0.mark_used(len);
        match self.0.error() {
            Some(error) if len == 0 => Err(io::Error::other(error.to_owned())),
            _ => Ok(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::Capture;
    use super::super::Input;
    use super::super::InputFacts;
    use super::super::InputOutcome;
    use super::super::InputPlan;
    use super::super::test_support::CaptureBuilder;
    use super::super::test_support::read_all;
    use super::*;

    fn capture(second: u32) -> Vec<u8> {
        let mut capture = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
        for frame in 0..200 {
            capture.record(second, frame, &[frame as u8; 90]);
        }
        capture.bytes
    }

    /// A zip archive (APPNOTE.TXT §4.3) of files, each deflated or stored, with general purpose flags.
    fn zip(files: &[(&str, &[u8], bool, u16)]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, bytes, is_deflated, flags) in files {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            let packed = if *is_deflated { encoder.finish().unwrap() } else { bytes.to_vec() };
            let mut crc = Crc::new();
            crc.update(bytes);
            let mut fields =
                [20u16, *flags, if *is_deflated { 8 } else { 0 }, 0, 33].map(u16::to_le_bytes).concat();
            fields
                .extend([crc.sum(), packed.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat());
            fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
            let offset = out.len() as u32;
            out.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), &packed].concat());
            directory.extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 10], &offset.to_le_bytes()].concat());
            directory.extend(name.as_bytes());
        }
        let count = (files.len() as u16).to_le_bytes();
        let sizes = [directory.len() as u32, out.len() as u32].map(u32::to_le_bytes).concat();
        [out, directory, [b"PK\x05\x06\0\0\0\0", &count[..], &count, &sizes, &[0, 0]].concat()].concat()
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Frames, and `name outcome` of each input of an archive.
    fn check(name: &str, bytes: &[u8], frames: usize, expected: &[&str]) -> Vec<InputFacts> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut of_both = Vec::new();
        for input in [folder.path().to_owned(), path] {
            let plan = InputPlan { inputs: vec![Input::Path(input)], ..InputPlan::default() };
            let (seen, facts) = read_all(Capture::open(plan).unwrap()).unwrap();
            assert_eq!(seen.len(), frames);
            assert!(seen.iter().map(|frame| frame.1).is_sorted(), "merged by time");
            let inputs: Vec<String> = facts
                .iter()
                .map(|one| {
                    let path = one.path.as_ref().unwrap().strip_prefix(folder.path()).unwrap();
                    let outcome = match &one.outcome {
                        InputOutcome::Read => "read",
                        InputOutcome::Skipped(why) | InputOutcome::Refused(why) => why,
                        InputOutcome::NotReached => "not reached",
                    };
                    format!("{} {outcome}", path.display())
                })
                .collect();
            assert_eq!(inputs, expected);
            of_both = facts;
        }
        of_both
    }

    #[test]
    fn captures_in_archives_are_read_like_files() {
        let (late, early) = (capture(20), capture(10));
        let files: [(&str, &[u8]); 3] =
            [("late.pcap", &late), ("sub/early.pcap", &early), ("README.md", b"# text")];
        let expected = |name: &str| {
            ["sub/early.pcap read", "late.pcap read", "README.md text file, not a capture"]
                .map(|line| format!("{name}/{line}"))
        };
        let of_zip = zip(&files.map(|(name, bytes)| (name, bytes, name.starts_with("sub"), 0)));
        for (name, bytes) in [
            ("a.zip", of_zip),
            ("a.tar", tar(&files)),
            ("a.tar.gz", gzip(&tar(&files))),
            ("named.otherwise", tar(&files)),
        ] {
            let expected = expected(name);
            check(name, &bytes, 400, &expected.each_ref().map(String::as_str));
        }
    }

    #[test]
    fn members_are_compressed_captures_too() {
        let packed = gzip(&capture(1));
        let facts = check("a.zip", &zip(&[("x.pcap.gz", &packed, false, 0)]), 200, &["a.zip/x.pcap.gz read"]);
        assert_eq!((facts[0].compression, facts[0].raw_bytes), (Some("gzip"), packed.len() as u64));
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let bytes = capture(1);
        let inner = zip(&[("x.pcap", &bytes, true, 0)]);
        let files: [(&str, &[u8], bool, u16); 4] = [
            ("a.pcap", b"replaced by the next", true, 0),
            ("a.pcap", &bytes, true, 0),
            ("inner.zip", &inner, true, 0),
            ("secret.pcap", &bytes, true, 1),
        ];
        check(
            "a.zip",
            &zip(&files),
            200,
            &[
                "a.zip/a.pcap read",
                "a.zip/(files with the name of another) only the last file of each name is read: extract the archive first",
                "a.zip/inner.zip zip archive in a stream or in another archive: extract it first",
                "a.zip/secret.pcap encrypted: extract it with its password first",
            ],
        );
    }

    #[test]
    fn a_damaged_archive_does_not_hide_what_is_whole() {
        let (one, two) = (capture(1), capture(2));
        let mut bytes = zip(&[("one.pcap", &one, false, 0), ("two.pcap", &two, false, 0)]);
        let at = bytes.windows(90).rposition(|window| window == [7; 90]).unwrap();
        bytes[at] ^= 0xff;
        let facts = check("a.zip", &bytes, 400, &["a.zip/one.pcap read", "a.zip/two.pcap read"]);
        assert_eq!(facts.iter().map(|one| one.damage_count).collect::<Vec<_>>(), [0, 1]);
        // Any prefix and any byte: no panic, and no more frames than there are.
        for len in (0..bytes.len()).step_by(199) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes[..len]).unwrap();
            let _ = members(file.path());
        }
        for at in bytes.len() - 200..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &damaged).unwrap();
            if let Some(Ok(members)) = members(file.path()) {
                for member in members {
                    let opened =
                        member.open().map(|bytes| io::copy(&mut bytes.take(1 << 20), &mut io::sink()));
                    drop(opened);
                }
            }
        }
    }

    #[test]
    fn archives_that_claim_too_much_are_refused() {
        assert!(is_bomb(2 << 30, 1 << 20) && !is_bomb(2 << 30, 100 << 20) && !is_bomb(1 << 20, 10));
        let mut bytes = zip(&[("x.pcap", &capture(1), true, 0)]);
        let end = bytes.len() - 22;
        bytes[end + 10..end + 12].copy_from_slice(&60_000u16.to_le_bytes());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let error = members(file.path()).unwrap().unwrap_err();
        assert_eq!(error, "zip archive: 60000 members: extract it first");
        // A compressed tar archive of many files is decompressed once for each.
        let bytes = capture(1);
        let names: Vec<String> = (0..100).map(|number| format!("{number}.pcap")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &bytes[..])).collect();
        std::fs::write(file.path(), gzip(&tar(&files))).unwrap();
        let members = members(file.path()).unwrap().unwrap();
        let refused: Vec<_> = members.iter().filter_map(|member| member.refusal()).collect();
        assert_eq!((members.len(), refused.len()), (COMPRESSED_TAR_LIMIT + 1, 1));
    }

    #[test]
    fn a_path_names_a_member() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.zip");
        std::fs::write(&archive, zip(&[("sub/x.pcap", &capture(1), true, 0)])).unwrap();
        assert!(member_of(&archive.join("sub/x.pcap")).is_some());
        assert!(member_of(&archive.join("y.pcap")).is_none());
        assert!(member_of(&folder.path().join("none/x.pcap")).is_none());
    }
}
