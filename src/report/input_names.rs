//! The names of inputs in rows.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;

use crate::base::FileId;
use crate::base::WireText;

/// Names of the inputs.
#[derive(Clone, Debug, Default)]
pub struct InputNames {
    /// By [`FileId`].
    pub files: Vec<String>,
}

impl InputNames {
    /// The shortest distinct names, so that rows do not depend on where a folder is: the file name, and for inputs of the same
    /// file name as many parent folders as it takes. Standard input (`-`) is `stdin`. Names are printable.
    pub fn of(paths: &[PathBuf]) -> InputNames {
        let mut depths: Vec<usize> = paths.iter().map(|path| depth_in_archive(path)).collect();
        let named = paths.iter().zip(&depths);
        let mut files: Vec<String> = named.map(|(path, depth)| tail(path, *depth)).collect();
        let longest = paths.iter().map(|path| path.components().count()).max().unwrap_or_default();
        for _ in 1..longest {
            let mut uses: HashMap<&str, u32> = HashMap::new();
            for name in &files {
                *uses.entry(name).or_default() += 1;
            }
            let shared: Vec<bool> = files.iter().map(|name| uses.get(name.as_str()) > Some(&1)).collect();
            if !shared.contains(&true) {
                break;
            }
            for (at, path) in paths.iter().enumerate() {
                if let (Some(true), Some(depth), Some(name)) =
                    (shared.get(at), depths.get_mut(at), files.get_mut(at))
                {
                    *depth += 1;
                    *name = tail(path, *depth);
                }
            }
        }
        InputNames { files }
    }

    /// The name of an input; empty if it has none.
    pub fn file(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", String::as_str)
    }
}

/// How many parts a name has at least: a file in an archive is named with it.
fn depth_in_archive(path: &Path) -> usize {
    const ARCHIVES: [&str; 6] = [".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.zst"];
    let is_archive = |part: std::path::Component<'_>| {
        let name = part.as_os_str().to_string_lossy().to_ascii_lowercase();
        ARCHIVES.iter().any(|end| name.ends_with(end))
    };
    let folders = path.parent().into_iter().flat_map(Path::components);
    let depth = folders.rev().position(is_archive);
    depth.map_or(1, |depth| depth + 2)
}

/// The last `depth` parts of a path, printable.
fn tail(path: &Path, depth: usize) -> String {
    if path == Path::new("-") {
        return "stdin".to_owned();
    }
    let parts = path.components().count();
    let tail: PathBuf = path.components().skip(parts.saturating_sub(depth)).collect();
    WireText::new(tail.as_os_str().as_encoded_bytes(), 4096).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: &[&str]) {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        assert_eq!(InputNames::of(&paths).files, expected);
    }

    #[test]
    fn names_are_short_and_distinct() {
        check(&["/srv/a/x.pcap", "b/y.pcap", "-"], &["x.pcap", "y.pcap", "stdin"]);
        check(&["/srv/a/x.pcap", "/srv/b/x.pcap", "z/y.pcap"], &["a/x.pcap", "b/x.pcap", "y.pcap"]);
        check(&["x.pcap", "b/x.pcap"], &["x.pcap", "b/x.pcap"]);
        check(&["a/c/x", "b/c/x", "b/d/x"], &["a/c/x", "b/c/x", "d/x"]);
        check(&["a\u{1b}[31m.pcap"], &["a\\x1b[31m.pcap"]);
        check(&["/srv/trace.zip/a/x.etl", "t.tar.gz/x.pcap"], &["trace.zip/a/x.etl", "t.tar.gz/x.pcap"]);
        check(&[], &[]);
    }
}
