//! Gives up the rights that were needed to open the interfaces.
//!
//! In:  whom to become, and the folders that are written to.
//! Out: what was done, in words; or why it could not be.
//! Not: undone by anything in this process.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use nix::unistd::Uid;
use nix::unistd::User;

/// Whom to become when nobody says.
const NOBODY: &str = "nobody";

/// What was given up.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// What was done, a few words each.
    pub(super) done: Vec<String>,
    /// What could not be.
    pub(super) missing: Vec<String>,
}

/// The user to become: none when this process is nobody special already.
pub(super) fn user(named: Option<&str>) -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return match named {
            None => Ok(None),
            Some(name) => {
                let user = find(name)?;
                if user.uid != Uid::effective() {
                    bail!("cannot become another user without being root: {name}");
                }
                Ok(None)
            }
        };
    }
    if let Some(name) = named {
        return find(name).map(Some);
    }
    let caller = std::env::var("SUDO_USER").ok().filter(|name| name != "root");
    find(caller.as_deref().unwrap_or(NOBODY)).map(Some)
}

fn find(name: &str) -> anyhow::Result<User> {
    User::from_name(name).ok().flatten().with_context(|| format!("no such user: {name}"))
}

/// Creates a folder that will be written to, and gives it to that user if it is new or empty.
pub(super) fn own_folder(path: &Path, user: Option<&User>) -> anyhow::Result<()> {
    let failed = |error: &std::io::Error| {
        anyhow::anyhow!("cannot write evidence: {}: {}", path.display(), crate::report::reason(error))
    };
    std::fs::create_dir_all(path).map_err(|error| failed(&error))?;
    let empty = std::fs::read_dir(path).map_err(|error| failed(&error))?.next().is_none();
    if let (Some(user), true) = (user, empty) {
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Gives everything up. Afterwards files can be written below `writable` alone. Threads that are started later inherit it;
/// there may be no others yet.
pub(super) fn give_up(user: Option<&User>, writable: &[PathBuf]) -> anyhow::Result<Given> {
    let mut given = Given::default();
    if let Some(user) = user {
        become_user(user).with_context(|| format!("cannot become user {}", user.name))?;
        given.done.push(format!("user {}", user.name));
    }
    #[cfg(target_os = "linux")]
    confine(&mut given, writable);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = writable;
        given.missing.push("no sandbox on this system".to_owned());
    }
    if user.is_some_and(|user| user.uid.is_root()) {
        given.missing.push("still root".to_owned());
    }
    Ok(given)
}

#[cfg(target_os = "linux")]
fn become_user(user: &User) -> nix::Result<()> {
    nix::unistd::setgroups(&[user.gid])?;
    nix::unistd::setresgid(user.gid, user.gid, user.gid)?;
    nix::unistd::setresuid(user.uid, user.uid, user.uid)
}

#[cfg(not(target_os = "linux"))]
fn become_user(user: &User) -> nix::Result<()> {
    nix::unistd::setgid(user.gid)?;
    nix::unistd::setuid(user.uid)
}

#[cfg(target_os = "linux")]
fn confine(given: &mut Given, writable: &[PathBuf]) {
    let mut note = |what: &str, done: Result<(), String>| match done {
        Ok(()) => given.done.push(what.to_owned()),
        Err(why) => given.missing.push(format!("{what}: {why}")),
    };
    note("no capabilities", empty_capabilities());
    note("no new privileges", nix::sys::prctl::set_no_new_privs().map_err(|error| error.to_string()));
    note("Landlock", landlock(writable));
    note("seccomp", seccomp());
}

#[cfg(target_os = "linux")]
fn empty_capabilities() -> Result<(), String> {
    use caps::CapSet;
    // The bounding set can only be emptied by one who may; without new privileges it does not matter.
    let _ = caps::clear(None, CapSet::Bounding);
    let _ = caps::clear(None, CapSet::Ambient);
    for set in [CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The files that can still be reached: the system's counts to read, and the outputs.
#[cfg(target_os = "linux")]
fn landlock(writable: &[PathBuf]) -> Result<(), String> {
    use landlock::ABI;
    use landlock::Access as _;
    use landlock::AccessFs;
    use landlock::Ruleset;
    use landlock::RulesetAttr as _;
    use landlock::RulesetCreatedAttr as _;
    use landlock::RulesetStatus;
    use landlock::path_beneath_rules;
    const KNOWN: ABI = ABI::V4;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(Ruleset::create)
        .and_then(|rules| {
            rules.add_rules(path_beneath_rules(
                ["/sys", "/proc", "/usr/share/zoneinfo"],
                AccessFs::from_read(KNOWN),
            ))
        })
        .and_then(|rules| rules.add_rules(path_beneath_rules(writable, AccessFs::from_all(KNOWN))))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("not in this kernel".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// The system calls that an auditor has no use for once its interfaces are open: other programs, other networks, the kernel.
#[cfg(target_os = "linux")]
fn seccomp() -> Result<(), String> {
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
    // The kernel may still be asked which interfaces there are: one that was deleted may come back. With that, `bind` reaches
    // nothing but what is open.
    let netlink = libc::AF_NETLINK as u64;
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, netlink)
        .and_then(|family| SeccompRule::new(vec![family]))
        .map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_socket, vec![other]);
    let arch = std::env::consts::ARCH.try_into().map_err(|_| "not for this processor".to_owned())?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).map_err(|error| error.to_string())?;
    let program: BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
