//! Tests of reading all inputs as one capture.

use std::fs;

use super::*;
use crate::capture::test_support::CaptureBuilder;
use crate::capture::test_support::read_all;

/// A folder with pcap files; each frame has its file's name as bytes, and a time in seconds.
fn folder(files: &[(&str, &[u32])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, secs) in files {
        let mut craft = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
        for second in *secs {
            craft.record(*second, 0, name.as_bytes());
        }
        fs::write(folder.path().join(name), &craft.bytes).unwrap();
    }
    folder
}

fn plan(folder: &tempfile::TempDir, names: &[&str]) -> InputPlan {
    let inputs = names.iter().map(|name| Input::Path(folder.path().join(name))).collect();
    InputPlan { inputs, hash: InputHash::Sha256, ..InputPlan::default() }
}

/// Reads the files, named in any order: `name second` for each frame.
fn check(files: &[(&str, &[u32])], expected: &[&str]) {
    let folder = folder(files);
    let mut names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    for _ in 0..names.len() {
        names.rotate_left(1);
        let (seen, facts) = read_all(Capture::open(plan(&folder, &names)).unwrap()).unwrap();
        let seen: Vec<String> = seen
            .iter()
            .map(|one| format!("{} {}", String::from_utf8_lossy(&one.4), one.1 / 1_000_000_000))
            .collect();
        assert_eq!(seen, expected);
        let sizes: u64 = facts.iter().map(|one| one.raw_bytes).sum();
        let lens: u64 = names.iter().map(|name| fs::metadata(folder.path().join(name)).unwrap().len()).sum();
        assert_eq!(sizes, lens);
        assert!(facts.iter().all(|one| one.complete && one.hash.as_ref().unwrap().len() == 64));
    }
}

#[test]
fn files_are_merged_in_order_of_time() {
    check(&[("b", &[1, 2]), ("a", &[3, 4])], &["b 1", "b 2", "a 3", "a 4"]);
    check(&[("a", &[1, 5]), ("b", &[2, 3, 9]), ("c", &[4])], &["a 1", "b 2", "b 3", "c 4", "a 5", "b 9"]);
    check(&[("b", &[1, 1]), ("a", &[1, 1])], &["a 1", "a 1", "b 1", "b 1"]);
    check(&[("a", &[5, 1, 6]), ("b", &[2, 5])], &["b 2", "b 5", "a 5", "a 1", "a 6"]);
    check(&[("a", &[]), ("b", &[1])], &["b 1"]);
}

#[test]
fn inputs_are_numbered_in_the_final_order() {
    let folder = folder(&[("late", &[9]), ("early", &[1]), ("none", &[])]);
    fs::write(folder.path().join("README"), "text").unwrap();
    let all = InputPlan { inputs: vec![Input::Path(folder.path().to_owned())], ..InputPlan::default() };
    let (_, facts) = read_all(Capture::open(all).unwrap()).unwrap();
    let inputs: Vec<(u32, &str, bool)> = facts
        .iter()
        .map(|one| (one.file.0, one.name.rsplit('/').next().unwrap(), one.outcome == InputOutcome::Read))
        .collect();
    assert_eq!(inputs, [(0, "early", true), (1, "late", true), (2, "none", true), (3, "README", false)]);
    assert_eq!(facts[3].outcome, InputOutcome::Skipped("text file, not a capture".to_owned()));
}

#[test]
fn a_file_that_is_not_a_capture_does_not_stop_the_others() {
    let folder = folder(&[("a", &[1])]);
    fs::write(folder.path().join("text"), "text").unwrap();
    let (seen, facts) = read_all(Capture::open(plan(&folder, &["text", "a"])).unwrap()).unwrap();
    assert_eq!(
        (seen.len(), &facts[1].outcome),
        (1, &InputOutcome::Refused("text file, not a capture".to_owned()))
    );
    let only_input = Capture::open(plan(&folder, &["text"])).err().unwrap().to_string();
    assert!(
        only_input.starts_with("cannot read capture: ")
            && only_input.ends_with("text: text file, not a capture"),
        "{only_input}"
    );
    assert!(matches!(Capture::open(plan(&folder, &["a", "missing"])), Err(Error::NotFound { .. })));
}

#[test]
fn more_files_at_a_time_than_stay_open() {
    let names: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
    let files: Vec<(&str, &[u32])> = names.iter().map(|name| (name.as_str(), &[1, 3][..])).collect();
    let folder = folder(&files);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut capture = Capture::open(plan(&folder, &names)).unwrap();
    let mut chunk = Chunk::default();
    let mut most_open = 0;
    let mut frames = 0;
    while capture.next(&mut chunk) {
        frames += chunk.frames.len();
        most_open = most_open.max(capture.open_files);
    }
    assert_eq!((frames, most_open, capture.open_files), (600, 300, 0));
}

#[test]
fn streams_are_merged_with_files() {
    let folder = folder(&[("a", &[1, 5]), ("b", &[3, 7])]);
    let stream = fs::File::open(folder.path().join("b")).unwrap();
    let inputs =
        vec![Input::Stream("pipe".to_owned(), Box::new(stream)), Input::Path(folder.path().join("a"))];
    let (seen, facts) = read_all(
        Capture::open(InputPlan { inputs, hash: InputHash::Sha256, ..InputPlan::default() }).unwrap(),
    )
    .unwrap();
    let order: Vec<&[u8]> = seen.iter().map(|one| &*one.4).collect();
    assert_eq!(order, [b"a", b"b", b"a", b"b"]);
    assert_eq!((facts[1].name.as_str(), facts[1].hash.is_some()), ("pipe", true));
}

#[test]
fn the_frame_limit_ends_the_capture() {
    let folder = folder(&[("a", &[1, 2, 3]), ("b", &[4])]);
    let limited = InputPlan { frame_limit: Some(2), ..plan(&folder, &["a", "b"]) };
    let (seen, facts) = read_all(Capture::open(limited).unwrap()).unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (facts[0].delivered, facts[0].complete, &facts[1].outcome),
        (2, false, &InputOutcome::NotReached)
    );
}

#[test]
fn a_file_may_grow_or_shrink_while_it_is_read() {
    let folder = folder(&[("a", &[1, 2, 3]), ("b", &[1])]);
    let path = folder.path().join("a");
    let whole = fs::read(&path).unwrap();
    let capture = Capture::open(plan(&folder, &["a", "b"])).unwrap();
    fs::write(&path, [&whole[..], &whole[24..]].concat()).unwrap();
    let (seen, facts) = read_all(capture).unwrap();
    assert_eq!((seen.len(), &*facts[0].notes[0]), (7, "grew from 75 to 126 bytes while it was read"));
    fs::write(&path, &whole).unwrap();
    let capture = Capture::open(plan(&folder, &["a", "b"])).unwrap();
    fs::write(&path, &whole[..50]).unwrap();
    let (seen, facts) = read_all(capture).unwrap();
    assert_eq!((seen.len(), &*facts[0].notes[0]), (2, "shrank from 75 to 50 bytes while it was read"));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_once() {
    let folder = folder(&[("a", &[1, 2])]);
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let bytes = fs::read(folder.path().join("a")).unwrap();
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::write(pipe, bytes).unwrap())
    };
    let (seen, facts) = read_all(Capture::open(plan(&folder, &["pipe"])).unwrap()).unwrap();
    writer.join().unwrap();
    assert_eq!((seen.len(), facts[0].complete), (2, true));
    let all = InputPlan { inputs: vec![Input::Path(folder.path().to_owned())], ..InputPlan::default() };
    let (_, facts) = read_all(Capture::open(all).unwrap()).unwrap();
    assert_eq!(
        facts[1].outcome,
        InputOutcome::Skipped("not a regular file".to_owned()),
        "a pipe in a folder is not opened"
    );
}

#[cfg(feature = "live")]
#[test]
fn a_filter_does_not_change_frame_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut craft = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
    craft.record(1, 0, &[0; 20]).record(2, 0, &[0; 60]).record(3, 0, &[0; 10]).record(4, 0, &[0; 70]);
    fs::write(folder.path().join("a"), &craft.bytes).unwrap();
    let filtered = InputPlan { filter: Some("greater 50".to_owned()), ..plan(&folder, &["a"]) };
    let (seen, facts) = read_all(Capture::open(filtered).unwrap()).unwrap();
    assert_eq!(seen.iter().map(|one| one.0).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((facts[0].frames, facts[0].filtered, facts[0].delivered), (4, 2, 2));
    let broken = InputPlan { filter: Some("tcp and and".to_owned()), ..plan(&folder, &["a"]) };
    assert!(matches!(Capture::open(broken), Err(Error::Filter(_))));
}

#[test]
fn a_capture_may_be_moved_to_another_thread() {
    const fn check<T: Send>() {}
    check::<Capture>();
    check::<Chunk>();
}

proptest::proptest! {
    #[test]
    fn random_and_damaged_bytes_never_panic_and_add_up(
        kind in 0..6_usize,
        edits in proptest::collection::vec((0..4000_usize, 0..=255_u8, 0..40_usize), 0..8),
        noise in proptest::collection::vec(0..=255_u8, 0..600),
        piece_len in 1..5000_usize,
    ) {
        let mut craft = if kind % 2 == 0 { CaptureBuilder::pcap(kind == 2, 0xa1b2_c3d4, 1) } else { CaptureBuilder::pcapng(kind == 3) };
        if kind % 2 == 1 {
            craft.interface(1, |_| {});
        }
        for number in 0..40 {
            let bytes = vec![number as u8; 3 * number];
            if kind % 2 == 0 { craft.record(1000 + number as u32, 7, &bytes); } else { craft.packet(0, number as u64, &bytes); }
        }
        let mut bytes = craft.bytes;
        for (at, byte, len) in edits {
            let at = at.min(bytes.len());
            match byte % 3 {
                0 => { bytes.drain(at..(at + len).min(bytes.len())); }
                1 => { bytes.splice(at..at, vec![byte; len]); }
                _ => { if let Some(place) = bytes.get_mut(at) { *place = byte; } }
            }
        }
        bytes.extend(&noise);
        if kind >= 4 {
            bytes.drain(..bytes.len() - noise.len());
        }
        // `read` checks that every byte is accounted for.
        let whole = super::super::test_support::read(&bytes);
        let in_pieces = super::super::test_support::read_in_pieces(&bytes, piece_len);
        proptest::prop_assert_eq!(whole.ok().map(|(seen, _)| seen), in_pieces.ok().map(|(seen, _)| seen));
    }
}

#[test]
fn a_folder_without_captures_is_refused() {
    let folder = folder(&[("a", &[1, 2])]);
    for name in ["texts", "mixed"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("notes"), "no capture").unwrap();
        fs::write(folder.path().join(name).join("further"), "no capture").unwrap();
    }
    fs::copy(folder.path().join("a"), folder.path().join("mixed/copy")).unwrap();
    let (_, facts) = read_all(Capture::open(plan(&folder, &["a", "texts", "mixed"])).unwrap()).unwrap();
    let refused: Vec<&str> = facts
        .iter()
        .filter(|one| matches!(one.outcome, InputOutcome::Refused(_)))
        .map(|one| one.name.rsplit_once("/").unwrap().1)
        .collect();
    assert_eq!(refused, ["further"], "{facts:?}");
    let skipped = facts.iter().filter(|one| matches!(one.outcome, InputOutcome::Skipped(_)));
    assert_eq!(skipped.count(), 3);
}
