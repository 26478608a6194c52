//! The rule files that travel inside the program. A new document is a file and a line.

macro_rules! rule_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../rules/", $name)))),*]
    };
}

/// Name and contents of every rule file.
pub(super) const FILES: &[(&str, &str)] = rule_files!["azure-file-sync@2019-06-24.toml",];
