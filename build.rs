//! Reads the rule files when the program is built, so that a run does not: an error in one of them ends the build.
//!
//! In:  `rules/*.toml`.
//! Out: `rules.packed` in `OUT_DIR`, which `src/rules/library.rs` includes.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "these modules belong to the program; a part of each is used here"
)]

use std::error::Error;
use std::path::Path;
use std::path::PathBuf;

#[path = "src/base"]
mod base {
    pub mod net;
    pub use net::port;
    pub use net::proto;
}

#[path = "src/rules"]
mod rules {
    mod cloud;
    mod derived;
    mod documents;
    mod file;
    mod packed;
    mod parse;
    mod pattern;
    mod ports;
    mod printed;
    mod reference;
    mod text;

    /// Packs the documents with these names and texts, or returns all errors as lines.
    pub fn pack(files: &[(String, String)]) -> Result<Vec<u8>, String> {
        let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let documents = documents::read_documents(texts)
            .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect::<String>())?;
        packed::pack(&documents).map_err(|error| error.to_string())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules");
    let mut files = Vec::new();
    for entry in std::fs::read_dir("rules")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    match rules::pack(&files) {
        Ok(bytes) => {
            let folder = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
            std::fs::write(Path::new(&folder).join("rules.packed"), bytes)?;
            Ok(())
        }
        Err(errors) => {
            eprint!("{errors}");
            std::process::exit(1)
        }
    }
}
