//! Fuzzes the manifest of an evidence folder: `verify`, and the commands that read evidence. No panic, and no name in it leads out
//! of the folder.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use afs_audit::report;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-manifest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the manifest");
    std::fs::write(folder.join("flows.csv"), "flow_id\n").expect("room for a table");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.join("manifest.json"), bytes).expect("room for a manifest");
    let _ = report::verify_folder(&FOLDER);
    if let Ok(stored) = report::StoredEvidence::open(&FOLDER) {
        let _ = stored.for_each_row("flow", |row| {
            let _ = row.text("flow_id");
        });
    }
});
