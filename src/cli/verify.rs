//! Runs `verify`: prints for each file of an evidence folder whether it is unchanged.

use std::io::Write;

use anyhow::Context as _;

use super::ExitOutcome;
use super::args::VerifyArgs;
use super::signature;
use super::signature::SignatureState;
use crate::base::WireText;
use crate::report::FileCheck;
use crate::report::FileRole;
use crate::report::FileState;
use crate::report::SIGNATURE;
use crate::report::Verification;
use crate::report::verify_folder;

/// Files that are printed.
const SHOWN: usize = 1000;

pub(super) fn run(args: &VerifyArgs, out: &mut dyn Write) -> anyhow::Result<ExitOutcome> {
    let verified = verify_folder(&args.folder)?;
    let is_digest = args.digest.as_ref().map(|digest| *digest == verified.manifest_sha256);
    let signature = check_signature(args, &verified)?;
    if !args.quiet {
        print_files(&verified, out)?;
        if verified.is_partial {
            writeln!(out, "the run was partial: it did not read all of its input")?;
        }
        if let Some(text) = signature_text(&signature, args) {
            writeln!(out, "{text}")?;
        }
        let is_proven = is_digest == Some(true) || matches!(signature, Some(SignatureState::Good(_)));
        let text = match is_digest {
            Some(true) => "as given",
            Some(false) => "DIFFERS from the given one: the manifest was changed, or is of another run",
            None if is_proven => "not compared",
            None => {
                "compare it with the one that the run printed (--digest), or check a signature (--allowed-signers)"
            }
        };
        writeln!(out, "SHA-256 of manifest.json: {}", verified.manifest_sha256)?;
        writeln!(out, "                          {text}")?;
        out.flush()?;
    }
    let has_bad_signature = matches!(signature, Some(SignatureState::Bad(_)));
    let differs = verified.differs() || is_digest == Some(false) || has_bad_signature;
    Ok(if differs { ExitOutcome::Findings } else { ExitOutcome::Clean })
}

/// The state of the signature; none if it is not to be checked.
fn check_signature(args: &VerifyArgs, verified: &Verification) -> anyhow::Result<Option<SignatureState>> {
    let Some(signers) = &args.allowed_signers else { return Ok(None) };
    let path = args.signature.clone().unwrap_or_else(|| args.folder.join(SIGNATURE));
    signature::verify(&verified.manifest, &path, signers, args.identity.as_deref())
        .context("cannot check the signature")
        .map(Some)
}

fn signature_text(state: &Option<SignatureState>, args: &VerifyArgs) -> Option<String> {
    let printable = |text: &str| WireText::new(text.as_bytes(), 4096).as_str().to_owned();
    match state {
        Some(SignatureState::Good(by)) => Some(format!("signature: good, by {}", printable(by))),
        Some(SignatureState::Bad(why)) => Some(format!("signature: BAD: {}", printable(why))),
        None if args.folder.join(SIGNATURE).exists() => {
            Some(format!("signature: {SIGNATURE} is not checked without --allowed-signers"))
        }
        None => None,
    }
}

fn print_files(verified: &Verification, out: &mut dyn Write) -> std::io::Result<()> {
    // Differences first, if not all files are shown.
    let (differ, others): (Vec<&FileCheck>, Vec<&FileCheck>) =
        verified.files.iter().partition(|file| verified.files.len() > SHOWN && !is_unchanged(&file.state));
    for file in differ.iter().chain(&others).take(SHOWN) {
        let role = match (&file.state, file.role) {
            (FileState::Foreign | FileState::OtherInterval, _) => "other",
            (_, FileRole::Output) => "output",
            (_, FileRole::Input) => "input",
        };
        // A name from a manifest that may have been changed: it must not control the terminal.
        let name = WireText::new(file.name.as_bytes(), 4096);
        writeln!(out, "{role:<6}  {name}: {}", state_text(file))?;
    }
    let more = verified.files.len().saturating_sub(SHOWN);
    if more > 0 {
        writeln!(out, "{more} more files")?;
    }
    if verified.unchecked_inputs > 0 {
        writeln!(out, "{} more inputs, not checked", verified.unchecked_inputs)?;
    }
    Ok(())
}

const fn is_unchanged(state: &FileState) -> bool {
    matches!(state, FileState::Unchanged | FileState::UnchangedAt(_) | FileState::OtherInterval)
}

fn state_text(file: &FileCheck) -> String {
    let printable = |text: &str| WireText::new(text.as_bytes(), 4096).as_str().to_owned();
    match &file.state {
        FileState::Unchanged => "unchanged".to_owned(),
        FileState::UnchangedAt(path) => format!("unchanged, found at {}", printable(&path.to_string_lossy())),
        FileState::LineEndings(now) => format!("line endings converted to {now}; the content is unchanged"),
        FileState::Changed(how) => format!("CHANGED: {}", printable(how)),
        FileState::Missing if file.role == FileRole::Output => "MISSING".to_owned(),
        FileState::Missing => "not found, not checked".to_owned(),
        FileState::Unlisted => {
            "MISSING in the manifest, although every run like this one writes it".to_owned()
        }
        FileState::Foreign => "NOT OF THIS RUN: the manifest does not list it".to_owned(),
        FileState::OtherInterval => "of another interval or an unfinished run, not checked".to_owned(),
        FileState::Unchecked(why) => format!("not checked: {}", printable(why)),
    }
}
