//! Runs `report`: writes the HTML page of an evidence folder.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use crate::report::StoredEvidence;
use crate::report::render_report;

pub(super) fn run(folder: &Path, output: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<()> {
    let evidence = StoredEvidence::open(folder)?;
    let page = render_report(&evidence)?;
    match output {
        Some(path) => {
            fs::write(path, page).with_context(|| format!("cannot write report: {}", path.display()))?;
        }
        None => out.write_all(page.as_bytes())?,
    }
    Ok(())
}
