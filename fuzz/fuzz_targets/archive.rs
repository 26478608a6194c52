//! Fuzzes zip and tar archives with captures in them. No panic, bounded, and every byte of a member is accounted for.
//!
//! Members are found again by the path of their archive, so each input is written to a file.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::capture::InputPlan;
use libfuzzer_sys::fuzz_target;

/// A file for each kind of archive.
static FILES: LazyLock<[PathBuf; 3]> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-archive-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the archives");
    ["a.zip", "a.tar", "a.tar.gz"].map(|name| folder.join(name))
});

fuzz_target!(|bytes: &[u8]| {
    for path in &*FILES {
        std::fs::write(path, bytes).expect("room for an archive");
        let plan = InputPlan { inputs: vec![Input::Path(path.clone())], ..InputPlan::default() };
        let Ok(mut capture) = Capture::open(plan) else { continue };
        let mut chunk = Chunk::default();
        while capture.next(&mut chunk) {}
        for facts in capture.finish() {
            assert!(facts.adds_up(), "{facts:?}");
        }
    }
});
