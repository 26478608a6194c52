//! Runs `verify`: prints for each file of an evidence folder whether it is unchanged.

use std::io::Write;
use std::path::Path;

use super::ExitOutcome;
use crate::base::WireText;
use crate::report::FileRole;
use crate::report::FileState;
use crate::report::verify_folder;

pub(super) fn run(folder: &Path, quiet: bool, out: &mut dyn Write) -> anyhow::Result<ExitOutcome> {
    let verified = verify_folder(folder)?;
    if !quiet {
        for file in &verified.files {
            let role = match file.role {
                FileRole::Output => "output",
                FileRole::Input => "input",
            };
            // A name from a manifest that may have been changed: it must not control the terminal.
            let name = WireText::new(file.name.as_bytes(), 4096);
            let state = match (&file.state, file.role) {
                (FileState::Unchanged, _) => "unchanged".to_owned(),
                (FileState::Changed(how), _) => format!("CHANGED: {how}"),
                (FileState::Missing, FileRole::Output) => "MISSING".to_owned(),
                (FileState::Missing, FileRole::Input) => "not found, not checked".to_owned(),
                (FileState::Unchecked(why), _) => format!("not checked: {why}"),
            };
            writeln!(out, "{role:<6}  {name}: {state}")?;
        }
        if verified.is_partial {
            writeln!(out, "the run was partial: it did not read all of its input")?;
        }
        writeln!(out, "SHA-256 of manifest.json: {}", verified.manifest_sha256)?;
        out.flush()?;
    }
    Ok(if verified.differs() { ExitOutcome::Findings } else { ExitOutcome::Clean })
}
