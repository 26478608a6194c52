//! `afs-audit`.

use std::process::ExitCode;

fn main() -> ExitCode {
    afs_audit::cli::main()
}
