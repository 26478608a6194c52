//! Fuzzes files that people write or download: rule files, site files and lists of service tags. No panic, and an error names its
//! line.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use afs_audit::rules::Library;
use afs_audit::rules::Site;
use afs_audit::rules::Tags;
use libfuzzer_sys::fuzz_target;

static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::embedded().expect("rules"));

/// A folder with one rule file.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-rules-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the rules");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let _ = Tags::parse("tags.json", bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let lines = text.lines().count() + 1;
        for error in Site::read("site.toml", text, &LIBRARY).err().into_iter().flatten() {
            assert!(error.line <= lines, "{error:?}");
        }
    }
    std::fs::write(FOLDER.join("rules.toml"), bytes).expect("room for a rule file");
    for error in Library::errors(&FOLDER).into_iter().flatten() {
        assert!(!error.message.is_empty());
    }
});
