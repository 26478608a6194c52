//! `afs-audit`.

use std::process::ExitCode;

/// Rows are built on one thread and freed on the next; the system's allocator takes a lock for each.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    afs_audit::cli::main()
}
