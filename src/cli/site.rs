//! Runs `site init`: drafts a site file from captures.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::loaded_policy::load_library;
use super::plan::SiteDraftPlan;
use super::process::stop_on_signals;
use crate::capture;
use crate::capture::Capture;
use crate::judge::DnsRow;
use crate::judge::FlowRow;
use crate::judge::Policy;
use crate::judge::SiteDraft;
use crate::pipeline;
use crate::report::Progress;
use crate::rules::Selection;
use crate::rules::Site;

impl pipeline::RunSink for SiteDraft {
    fn flow(&mut self, row: &FlowRow) {
        self.add_flow(row);
    }

    fn dns(&mut self, row: &DnsRow) {
        self.add_dns(row);
    }
}

/// Prints a site file, filled in from the captures.
pub(super) fn init(plan: &SiteDraftPlan, out: &mut dyn Write) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let rules = Arc::new(load_library(&plan.rules)?.select(&Selection::default())?);
    let policy = Arc::new(Policy::new(rules, Site::default(), None));
    let capture = Capture::open(capture::InputPlan {
        inputs: plan.files.iter().cloned().map(PathBuf::into_os_string).map(capture::Input::named).collect(),
        stop: Arc::clone(&stop),
        ..capture::InputPlan::default()
    })?;
    let audit = pipeline::AuditPlan::of(Arc::clone(&policy));
    let control = pipeline::RunControl { progress: &mut &Progress::none(), stop: &stop };
    let (_, draft) = pipeline::run_files(capture, 1, audit, SiteDraft::new(policy), control);
    out.write_all(draft.site_file().as_bytes())?;
    Ok(())
}
