//! What inputs are called in rows.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;

use crate::base::FileId;
use crate::base::WireText;

/// What numbers in the records stand for.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The inputs as they are called in rows, by [`FileId`].
    pub files: Vec<String>,
}

impl Names {
    /// Names for inputs: as short as tells them apart, so that rows do not depend on where a folder lies.
    ///
    /// The file's own name; where two inputs share it, with as many folders in front as it takes. Standard input (`-`)
    /// is `stdin`. Names are printable.
    pub fn of(paths: &[PathBuf]) -> Names {
        let mut depths = vec![1; paths.len()];
        let mut files: Vec<String> = paths.iter().map(|path| tail(path, 1)).collect();
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
        Names { files }
    }

    /// The name of an input; empty when there is none.
    pub fn file(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", String::as_str)
    }
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
        assert_eq!(Names::of(&paths).files, expected);
    }

    #[test]
    fn as_short_as_tells_them_apart() {
        check(&["/srv/a/x.pcap", "b/y.pcap", "-"], &["x.pcap", "y.pcap", "stdin"]);
        check(&["/srv/a/x.pcap", "/srv/b/x.pcap", "z/y.pcap"], &["a/x.pcap", "b/x.pcap", "y.pcap"]);
        check(&["x.pcap", "b/x.pcap"], &["x.pcap", "b/x.pcap"]);
        check(&["a/c/x", "b/c/x", "b/d/x"], &["a/c/x", "b/c/x", "d/x"]);
        check(&["a\u{1b}[31m.pcap"], &["a\\x1b[31m.pcap"]);
        check(&[], &[]);
    }
}
