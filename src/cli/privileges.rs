//! Drops the privileges that were needed to open the interfaces.
//!
//! In:  the user to run as, and the folders that are written to.
//! Out: what was dropped, and what could not be.
//! Not: a way back. Nothing in this process can undo it.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use nix::unistd::Uid;
use nix::unistd::User;

use crate::report::reason;

/// The user to run as if none is named and nobody called sudo.
const UNPRIVILEGED_USER: &str = "nobody";

#[derive(Debug, Default)]
pub(super) struct DroppedPrivileges {
    /// The user that the process now runs as.
    pub(super) user: String,
    /// What was dropped or confined.
    pub(super) done: Vec<String>,
    /// What could not be, and why.
    pub(super) failed: Vec<String>,
}

/// The user to run as; none if this process is unprivileged already.
pub(super) fn target_user(named: Option<&str>) -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return match named {
            None => Ok(None),
            Some(name) => {
                let user = find_user(name)?;
                if user.uid != Uid::effective() {
                    bail!("cannot run as another user without being root: {name}");
                }
                Ok(None)
            }
        };
    }
    if let Some(name) = named {
        return find_user(name).map(Some);
    }
    let caller = std::env::var("SUDO_USER").ok().filter(|name| name != "root");
    find_user(caller.as_deref().unwrap_or(UNPRIVILEGED_USER)).map(Some)
}

fn find_user(name: &str) -> anyhow::Result<User> {
    User::from_name(name).ok().flatten().with_context(|| format!("no such user: {name}"))
}

/// Creates an output folder, and makes the user its owner if it is empty.
pub(super) fn create_folder_for(path: &Path, user: Option<&User>) -> anyhow::Result<()> {
    let failed = |error: &std::io::Error| {
        anyhow::anyhow!("cannot write evidence: {}: {}", path.display(), reason(error))
    };
    std::fs::create_dir_all(path).map_err(|error| failed(&error))?;
    let is_empty = std::fs::read_dir(path).map_err(|error| failed(&error))?.next().is_none();
    if let (Some(user), true) = (user, is_empty) {
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Adds to an error about an output which user must be able to write there: it is rarely the user who typed the command.
pub(super) fn with_advice(error: anyhow::Error, user: &str) -> anyhow::Error {
    if error.to_string().ends_with("permission denied") {
        return anyhow::anyhow!(
            "{error}; user `{user}` cannot write there: choose another folder, or another user with --user"
        );
    }
    error
}

/// Drops everything. Afterwards only files below `writable` can be written. Threads started later inherit this; there must be none
/// yet.
pub(super) fn drop_to(user: Option<&User>, writable: &[PathBuf]) -> anyhow::Result<DroppedPrivileges> {
    // Looked up first: in the sandbox the user database cannot be read.
    let uid = user.map_or_else(Uid::effective, |user| user.uid);
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let mut dropped = DroppedPrivileges { user: name, ..DroppedPrivileges::default() };
    if let Some(user) = user {
        switch_user(user).with_context(|| format!("cannot switch to user {}", user.name))?;
        dropped.done.push(format!("user {}", user.name));
    }
    #[cfg(target_os = "linux")]
    enter_sandbox(&mut dropped, writable);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = writable;
        dropped.failed.push("no sandbox on this system".to_owned());
    }
    if user.is_some_and(|user| user.uid.is_root()) {
        dropped.failed.push("still running as root".to_owned());
    }
    Ok(dropped)
}

#[cfg(target_os = "linux")]
fn switch_user(user: &User) -> nix::Result<()> {
    nix::unistd::setgroups(&[user.gid])?;
    nix::unistd::setresgid(user.gid, user.gid, user.gid)?;
    nix::unistd::setresuid(user.uid, user.uid, user.uid)
}

#[cfg(not(target_os = "linux"))]
fn switch_user(user: &User) -> nix::Result<()> {
    nix::unistd::setgid(user.gid)?;
    nix::unistd::setuid(user.uid)
}

#[cfg(target_os = "linux")]
fn enter_sandbox(dropped: &mut DroppedPrivileges, writable: &[PathBuf]) {
    let mut note = |what: &str, done: Result<(), String>| match done {
        Ok(()) => dropped.done.push(what.to_owned()),
        Err(why) => dropped.failed.push(format!("{what}: {why}")),
    };
    note("no capabilities", clear_capabilities());
    note("no_new_privs", nix::sys::prctl::set_no_new_privs().map_err(|error| error.to_string()));
    note("Landlock", restrict_files(writable));
    note("seccomp", restrict_system_calls());
}

#[cfg(target_os = "linux")]
fn clear_capabilities() -> Result<(), String> {
    use caps::CapSet;
    // Clearing the bounding set needs CAP_SETPCAP. With no_new_privs the set has no effect, so a failure is ignored.
    let _ = caps::clear(None, CapSet::Bounding);
    let _ = caps::clear(None, CapSet::Ambient);
    for set in [CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Leaves read access to the system's counters, and write access to the outputs.
#[cfg(target_os = "linux")]
fn restrict_files(writable: &[PathBuf]) -> Result<(), String> {
    use landlock::ABI;
    use landlock::Access as _;
    use landlock::AccessFs;
    use landlock::Ruleset;
    use landlock::RulesetAttr as _;
    use landlock::RulesetCreatedAttr as _;
    use landlock::RulesetStatus;
    use landlock::path_beneath_rules;
    const ABI_LEVEL: ABI = ABI::V4;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI_LEVEL))
        .and_then(Ruleset::create)
        .and_then(|rules| {
            rules.add_rules(path_beneath_rules(
                ["/sys", "/proc", "/usr/share/zoneinfo"],
                AccessFs::from_read(ABI_LEVEL),
            ))
        })
        .and_then(|rules| rules.add_rules(path_beneath_rules(writable, AccessFs::from_all(ABI_LEVEL))))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("not supported by this kernel".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// Denies the system calls that are not needed once the interfaces are open: starting programs, connecting, changing the system.
#[cfg(target_os = "linux")]
fn restrict_system_calls() -> Result<(), String> {
    use std::collections::BTreeMap;

    use nix::libc;
    use seccompiler::BpfProgram;
    use seccompiler::SeccompAction;
    use seccompiler::SeccompCmpArgLen;
    use seccompiler::SeccompCmpOp;
    use seccompiler::SeccompCondition;
    use seccompiler::SeccompFilter;
    use seccompiler::SeccompRule;
    let denied = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_connect,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_userfaultfd,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        denied.into_iter().map(|call| (call, Vec::new())).collect();
    // Netlink stays permitted: it lists the interfaces, and one that was deleted may be created again. Without sockets of other
    // families, `bind` can only be called on those that are open.
    let netlink = libc::AF_NETLINK as u64;
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, netlink)
        .and_then(|family| SeccompRule::new(vec![family]))
        .map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_socket, vec![other]);
    let arch = std::env::consts::ARCH.try_into().map_err(|_| "not supported on this processor".to_owned())?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).map_err(|error| error.to_string())?;
    let program: BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
