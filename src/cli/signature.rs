//! Signs the manifest of an evidence folder with an SSH key, and checks the signature, with `ssh-keygen -Y`.
//!
//! In:  a manifest; a key, or a signature and the keys that are trusted.
//! Out: a signature; whether it is good, and whose it is.
//! Not: keys and cryptography; they are those of OpenSSH.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;

use super::args::SignArgs;
use crate::report::MANIFEST;
use crate::report::SIGNATURE;
use crate::report::StoredEvidence;
use crate::report::reason;
use crate::report::verify_folder;

/// What a signature is for: one made for another purpose is not valid here.
const NAMESPACE: &str = "afs-audit";

/// The longest signature or list of signers that is read.
const LENGTH_LIMIT: u64 = 1 << 20;

/// Whether a signature is good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SignatureState {
    /// By this signer.
    Good(String),
    /// Not by a trusted key, or not of this manifest.
    Bad(String),
}

/// Runs `sign`.
pub(super) fn sign(args: &SignArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    // Changed evidence is not signed.
    StoredEvidence::open(&args.folder)?;
    let manifest = verify_folder(&args.folder)?.manifest;
    let path = args.output.clone().unwrap_or_else(|| args.folder.join(SIGNATURE));
    if path.exists() {
        bail!("cannot write the signature: {}: the file exists", path.display());
    }
    let arguments = [
        OsStr::new("-Y"),
        "sign".as_ref(),
        "-n".as_ref(),
        NAMESPACE.as_ref(),
        "-f".as_ref(),
        args.key.as_ref(),
    ];
    let signed = ssh_keygen(&arguments, &manifest)?;
    if !signed.status.success() || !signed.stdout.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        bail!("cannot sign {MANIFEST}: {}", last_line(&signed.stderr));
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("cannot write the signature: {}", path.display()))?;
    file.write_all(&signed.stdout)
        .with_context(|| format!("cannot write the signature: {}", path.display()))?;
    writeln!(out, "signature: {}", path.display())?;
    Ok(())
}

/// Checks a signature of a manifest. Without an identity, any signer of the list is accepted.
pub(super) fn verify(
    manifest: &[u8],
    signature: &Path,
    signers: &Path,
    identity: Option<&str>,
) -> anyhow::Result<SignatureState> {
    for path in [signature, signers] {
        let found = std::fs::metadata(path)
            .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), reason(&error)))?;
        if !found.is_file() || found.len() > LENGTH_LIMIT {
            bail!("{}: not a signature or a list of signers", path.display());
        }
    }
    let files = [OsStr::new("-s"), signature.as_ref(), "-f".as_ref(), signers.as_ref()];
    let identity = match identity {
        Some(identity) => identity.to_owned(),
        None => {
            let found = ssh_keygen(
                &[&[OsStr::new("-Y"), "find-principals".as_ref()], files.as_slice()].concat(),
                b"",
            )?;
            // Principals of one line of the list are separated by commas; any of them will do.
            let text = String::from_utf8_lossy(&found.stdout).into_owned();
            match text.lines().next().and_then(|line| line.split(',').next()) {
                Some(first) if found.status.success() && !first.is_empty() => first.to_owned(),
                _ => {
                    return Ok(SignatureState::Bad(format!("by a key that is not in {}", signers.display())));
                }
            }
        }
    };
    let purpose = [
        OsStr::new("-Y"),
        "verify".as_ref(),
        "-n".as_ref(),
        NAMESPACE.as_ref(),
        "-I".as_ref(),
        identity.as_ref(),
    ];
    let verified = ssh_keygen(&[purpose.as_slice(), &files].concat(), manifest)?;
    Ok(match verified.status.success() {
        true => SignatureState::Good(identity),
        false => {
            let line = match last_line(&verified.stderr) {
                line if line.is_empty() => last_line(&verified.stdout),
                line => line,
            };
            SignatureState::Bad(line)
        }
    })
}

/// Runs ssh-keygen with `input` as its standard input. It asks for the passphrase of a key on the terminal.
fn ssh_keygen(arguments: &[&OsStr], input: &[u8]) -> anyhow::Result<Output> {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("ssh-keygen is not installed; it is part of OpenSSH 8.1 or newer")
        }
        Err(error) => return Err(error).context("cannot run ssh-keygen"),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // It may end without reading everything, and reports why.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output().context("cannot run ssh-keygen")
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
