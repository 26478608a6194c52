//! Runs `probe-list`: prints commands for endpoints that were not observed.

use std::io;
use std::io::Write;

use super::args::ProbeFormat;
use super::args::ProbeListArgs;
use crate::evidence::ProbeList;
use crate::report::StoredEvidence;

pub(super) fn run(args: &ProbeListArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let evidence = StoredEvidence::open(&args.folder)?;
    let levels: Vec<_> = args.levels.iter().map(|level| level.level()).collect();
    let list = ProbeList::new(&evidence, &levels)?;
    if list.is_empty() {
        let has_site = evidence.manifest().get("site").is_some();
        let why = match has_site {
            true => "every endpoint that the site needs was observed",
            false => "without a site file, the endpoints that the site needs are not known",
        };
        let _ = writeln!(io::stderr(), "afs-audit: nothing to try: {why}");
        return Ok(());
    }
    let text = match args.format {
        ProbeFormat::Text => list.to_text(),
        ProbeFormat::Powershell => list.to_powershell(),
    };
    out.write_all(text.as_bytes())?;
    if list.left_out > 0 {
        let _ = writeln!(io::stderr(), "afs-audit: {} more endpoints are not in the list", list.left_out);
    }
    Ok(())
}
