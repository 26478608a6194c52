//! Drops the privileges that were needed to open the interfaces.
//!
//! In:  the user to run as, and the folders that are written to.
//! Out: what was dropped, and what could not be.
//! Not: a way back. Nothing in this process can undo it.

use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use nix::unistd::Uid;
use nix::unistd::User;

/// The user to run as, without --user and without sudo.
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
        // What these do is not seen by this filter.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_kcmp,
        libc::SYS_pidfd_getfd,
        libc::SYS_connect,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_fsconfig,
        libc::SYS_fspick,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_open_by_handle_at,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_syslog,
        libc::SYS_memfd_create,
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
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
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
    // Threads may be started, but not in new namespaces.
    let namespaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    let in_namespace = |flag: libc::c_int| {
        let flag = flag as u64;
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| error.to_string())
    };
    rules.insert(libc::SYS_clone, namespaces.into_iter().map(in_namespace).collect::<Result<_, _>>()?);
    let refuse = |rules: BTreeMap<i64, Vec<SeccompRule>>, errno: libc::c_int| {
        let arch =
            std::env::consts::ARCH.try_into().map_err(|_| "not supported on this processor".to_owned())?;
        let refused = SeccompAction::Errno(errno as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)
            .map_err(|error| error.to_string())?;
        let program: BpfProgram =
            filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())
    };
    // The flags of `clone3` cannot be inspected. The C library uses `clone` if the kernel does not have it.
    refuse(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    refuse(rules, libc::EPERM)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io;
    use std::net::TcpStream;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;

    /// Tries on a thread of its own what the sandbox forbids: filters and Landlock rules belong to threads.
    fn in_sandbox(attempt: impl FnOnce(&std::path::Path) + Send + 'static) {
        let folder = tempfile::tempdir().unwrap();
        let thread = std::thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            restrict_files(&[folder.path().to_owned()]).unwrap();
            restrict_system_calls().unwrap();
            attempt(folder.path());
        });
        thread.join().unwrap();
    }

    fn is_denied<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn files_outside_of_the_outputs_are_out_of_reach() {
        in_sandbox(|folder| {
            assert!(is_denied(std::fs::read("/etc/passwd")));
            assert!(is_denied(std::fs::write("/tmp/afs-audit-sandbox", "")));
            assert!(is_denied(std::fs::remove_dir("/tmp")));
            std::fs::write(folder.join("rows.csv"), "rows").unwrap();
            assert_eq!(std::fs::read(folder.join("rows.csv")).unwrap(), b"rows");
        });
    }

    #[test]
    fn programs_and_connections_cannot_be_started() {
        in_sandbox(|_| {
            assert!(is_denied(Command::new("/bin/true").status()));
            assert!(is_denied(TcpStream::connect("127.0.0.1:9")));
            assert!(is_denied(UdpSocket::bind("127.0.0.1:0")));
            assert!(is_denied(UnixStream::connect("/run/nothing")));
            assert!(is_denied(io_uring::IoUring::new(8)), "io_uring would bypass the filter");
        });
    }

    #[test]
    fn namespaces_and_other_processes_are_out_of_reach() {
        use nix::errno::Errno;
        use nix::sched::CloneFlags;
        in_sandbox(|_| {
            for flag in [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWNS] {
                assert_eq!(nix::sched::unshare(flag), Err(Errno::EPERM), "{flag:?}");
            }
            assert_eq!(nix::sys::ptrace::traceme(), Err(Errno::EPERM));
            assert_eq!(nix::unistd::sethostname("other"), Err(Errno::EPERM));
        });
    }

    #[test]
    fn threads_can_still_be_started() {
        in_sandbox(|_| assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7));
    }
}
