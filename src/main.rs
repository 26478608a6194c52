//! The command `afs-audit`.

use std::process::ExitCode;

/// Flows and rows are allocated on one thread and freed on the next. The system allocator takes a lock for each of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    afs_audit::cli::main()
}
