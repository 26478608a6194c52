//! Tests of staging folders: links, locks, owners and permissions.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;

use super::*;

const KNOWN: &[&str] = &["rows.csv", MANIFEST];
const FORCE: FolderOptions =
    FolderOptions { overwrite: Overwrite::Force, umask: 0o077, max_bytes: None, kept_bytes: 0 };

fn open(target: &Path, options: FolderOptions) -> Result<Staging, WriteError> {
    Staging::open(target, options, KNOWN)
}

fn write(staging: Staging, text: &str) -> Result<(), WriteError> {
    staging.create("rows.csv")?.write_all(text.as_bytes()).unwrap();
    staging.create(MANIFEST)?.write_all(br#"{"tool":{"name":"afs-audit"}}"#).unwrap();
    staging.publish(KNOWN)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refusal(target: &Path, options: FolderOptions) -> String {
    open(target, options).err().unwrap().to_string()
}

#[test]
fn only_the_owner_can_read_evidence_unless_the_mask_allows_more() {
    let parent = tempfile::tempdir().unwrap();
    let private = parent.path().join("private");
    write(open(&private, FolderOptions::default()).unwrap(), "").unwrap();
    assert_eq!((mode(&private), mode(&private.join("rows.csv"))), (0o700, 0o600));
    let shared = parent.path().join("shared");
    let options = FolderOptions { umask: 0o027, ..FolderOptions::default() };
    write(open(&shared, options).unwrap(), "").unwrap();
    assert_eq!((mode(&shared), mode(&shared.join(MANIFEST))), (0o750, 0o640));
}

#[test]
fn earlier_evidence_is_replaced_only_by_force_and_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("evidence");
    write(open(&target, FolderOptions::default()).unwrap(), "old").unwrap();
    let refused = refusal(&target, FolderOptions::default());
    assert!(refused.ends_with("holds the evidence of an earlier run; --force replaces it"), "{refused}");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o750)).unwrap();
    let staging = open(&target, FORCE).unwrap();
    assert_eq!(fs::read(target.join("rows.csv")).unwrap(), b"old");
    write(staging, "new").unwrap();
    assert_eq!(fs::read(target.join("rows.csv")).unwrap(), b"new");
    assert_eq!(names(parent.path()), ["evidence"]);
    assert_eq!(names(&target), [MANIFEST, "rows.csv"]);
    assert_eq!(mode(&target), 0o750, "the folder keeps its permissions");
}

#[test]
fn other_files_are_kept_by_force() {
    let target = tempfile::tempdir().unwrap();
    fs::write(target.path().join("thesis.txt"), "only copy").unwrap();
    let refused = refusal(target.path(), FolderOptions::default());
    assert!(
        refused.ends_with("not empty, and not written by afs-audit; --force writes into it"),
        "{refused}"
    );
    write(open(target.path(), FORCE).unwrap(), "old").unwrap();
    let refused = refusal(target.path(), FolderOptions::default());
    assert!(refused.ends_with("--force replaces it"), "{refused}");
    write(open(target.path(), FORCE).unwrap(), "new").unwrap();
    assert_eq!(names(target.path()), [MANIFEST, "rows.csv", "thesis.txt"]);
    assert_eq!(fs::read(target.path().join("rows.csv")).unwrap(), b"new");
}

#[test]
fn a_staging_folder_that_is_a_symbolic_link_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let elsewhere = parent.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, parent.path().join("evidence.unfinished")).unwrap();
    let refused = refusal(&parent.path().join("evidence"), FolderOptions::default());
    assert!(refused.contains("evidence.unfinished: not a folder, but a file or link of user "), "{refused}");
    assert_eq!(names(&elsewhere), [""; 0]);
}

#[test]
fn a_symbolic_link_among_leftovers_is_not_followed() {
    let parent = tempfile::tempdir().unwrap();
    let victim = parent.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let stage = parent.path().join("evidence.unfinished");
    fs::create_dir(&stage).unwrap();
    std::os::unix::fs::symlink(&victim, stage.join("rows.csv")).unwrap();
    let target = parent.path().join("evidence");
    write(open(&target, FolderOptions::default()).unwrap(), "rows").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(fs::read(target.join("rows.csv")).unwrap(), b"rows");
}

#[test]
fn leftovers_with_other_files_are_not_removed() {
    let parent = tempfile::tempdir().unwrap();
    let stage = parent.path().join("evidence.unfinished");
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("thesis.txt"), "only copy").unwrap();
    let refused = refusal(&parent.path().join("evidence"), FORCE);
    assert!(refused.ends_with("contains thesis.txt, which is not a file of a run"), "{refused}");
    assert_eq!(fs::read(stage.join("thesis.txt")).unwrap(), b"only copy");
}

#[test]
fn a_lock_that_is_a_pipe_or_a_link_is_refused() {
    for is_pipe in [true, false] {
        let parent = tempfile::tempdir().unwrap();
        let stage = parent.path().join("evidence.unfinished");
        fs::create_dir(&stage).unwrap();
        if is_pipe {
            rustix::fs::mknodat(rustix::fs::CWD, stage.join(LOCK), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
                .unwrap();
        } else {
            std::os::unix::fs::symlink("/dev/zero", stage.join(LOCK)).unwrap();
        }
        let refused = refusal(&parent.path().join("evidence"), FolderOptions::default());
        assert!(refused.contains("its lock is "), "{refused}");
    }
}

/// Of runs that start together, those that report success wrote the evidence that is there.
#[test]
fn one_run_at_a_time_wins_the_lock() {
    let parent = tempfile::tempdir().unwrap();
    for round in 0..100 {
        let target = parent.path().join(format!("evidence-{round}"));
        let barrier = Barrier::new(8);
        let finished: Vec<usize> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8)
                .map(|run| {
                    let (target, barrier) = (&target, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let staging = open(target, FolderOptions::default()).ok()?;
                        write(staging, &run.to_string()).ok().map(|()| run)
                    })
                })
                .collect();
            runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(finished.len(), 1, "round {round}");
        assert_eq!(fs::read_to_string(target.join("rows.csv")).unwrap(), finished[0].to_string());
        assert_eq!(names(&target), [MANIFEST, "rows.csv"]);
    }
}

#[test]
fn replacing_runs_never_mix_their_files() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("evidence");
    for round in 0..50 {
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for run in 0..4 {
                let (target, barrier) = (&target, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    open(target, FORCE).and_then(|staging| write(staging, &run.to_string()))
                });
            }
        });
        assert_eq!(names(&target), [MANIFEST, "rows.csv"], "round {round}");
        assert!(has_manifest(&open_folder(&target).unwrap()).unwrap());
    }
}
