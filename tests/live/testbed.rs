//! The lab: two network namespaces, real programs in them, and the audit beside.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::support::prerequisites::root_with_tools;

/// How long anything may take before the test fails; what is promised within two seconds has it all on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_afs-audit");
pub(super) const TRAFFIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/traffic.py");

/// Every program that the tests of live capture start.
const TOOLS: [&str; 10] =
    ["ip", "dnsmasq", "openssl", "python3", "setpriv", "unshare", "setcap", "mount", "mkfifo", "kill"];

/// Audits this side of the lab.
pub(super) const SERVER: [&str; 2] = ["--server", "10.77.0.0/24"];

/// Two namespaces with a cable between them: `near` with the audited host 10.77.0.1, `far` with everything else.
pub(super) struct Testbed {
    pub(super) near: String,
    pub(super) far: String,
    /// The cable's end in `near`; capture happens there.
    pub(super) device: String,
    folder: tempfile::TempDir,
    servers: Vec<Child>,
}

pub(super) fn run(command: &[&str]) {
    let [program, arguments @ ..] = command else { panic!("no command") };
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(output.status.success(), "{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
}

/// Waits until something is so.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_or(what, || if holds() { Ok(()) } else { Err(String::new()) });
}

/// Waits until something is so, and tells at the end what is so in its place.
pub(super) fn until_or(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(found) = holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what} {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Testbed {
    /// A new lab; none where this machine cannot make one.
    pub(super) fn new() -> Option<Testbed> {
        if !root_with_tools(&TOOLS) {
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let (near, far) = (format!("afl-near-{id}"), format!("afl-far-{id}"));
        let folder = tempfile::tempdir().unwrap();
        // The program becomes another user, who writes here too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let lab = Testbed { near, far, device: format!("afl{number}"), folder, servers: Vec::new() };
        run(&["ip", "netns", "add", &lab.near]);
        run(&["ip", "netns", "add", &lab.far]);
        for netns in [&lab.near, &lab.far] {
            run(&["ip", "-n", netns, "link", "set", "lo", "up"]);
        }
        for address in ["203.0.113.5/32", "203.0.113.6/32"] {
            run(&["ip", "-n", &lab.far, "address", "add", address, "dev", "lo"]);
        }
        lab.connect();
        Some(lab)
    }

    /// Lays the cable.
    pub(super) fn connect(&self) {
        let (near, far, device) = (self.near.as_str(), self.far.as_str(), self.device.as_str());
        run(&["ip", "link", "add", device, "netns", near, "type", "veth", "peer", "afl-far", "netns", far]);
        for (netns, name, address) in [(near, device, "10.77.0.1/24"), (far, "afl-far", "10.77.0.2/24")] {
            run(&["ip", "-n", netns, "address", "add", address, "dev", name]);
            run(&["ip", "-n", netns, "link", "set", name, "up"]);
        }
        run(&["ip", "-n", near, "route", "add", "default", "via", "10.77.0.2"]);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn inside(netns: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns, program]);
        command
    }

    /// A resolver that gives every name 203.0.113.5, and a server that answers TLS there.
    pub(super) fn serve(&mut self) {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab.example"])
            .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
            .output()
            .unwrap_or_else(|error| panic!("cannot run openssl: {error}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let resolver = Testbed::inside(&self.far, "dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--pid-file=",
            ])
            .args(["--bind-interfaces", "--interface=afl-far", "--address=/#/203.0.113.5"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.servers.push(resolver);
        let mut server = Testbed::inside(&self.far, "python3")
            .args([TRAFFIC, "serve"])
            .args([certificate, key])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 5];
        server.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready");
        self.servers.push(server);
        // From now on the first question is answered.
        self.traffic(&["ask", "10.77.0.2", "ready.example.com"]);
    }

    /// Traffic from the audited host, until it is done.
    pub(super) fn traffic(&self, arguments: &[&str]) {
        self.traffic_begins(arguments).ends(0);
    }

    pub(super) fn traffic_begins(&self, arguments: &[&str]) -> Run {
        let child = Testbed::inside(&self.near, "python3").arg(TRAFFIC).args(arguments).spawn().unwrap();
        Run::of(child)
    }

    /// Begins to capture, and waits until it does.
    pub(super) fn live(&self, arguments: &[&str]) -> Run {
        let out = self.next("out");
        let mut run = self.live_into(fs::File::create(&out).unwrap().into(), arguments);
        run.out = out;
        run
    }

    pub(super) fn live_into(&self, out: Stdio, arguments: &[&str]) -> Run {
        let mut run = self.begin(&[], arguments, out);
        run.begins();
        run
    }

    /// Starts the program behind a command that starts it.
    pub(super) fn begin(&self, before: &[&str], arguments: &[&str], out: Stdio) -> Run {
        self.begin_program(before, PROGRAM, arguments, out)
    }

    pub(super) fn begin_program(
        &self,
        before: &[&str],
        program: &str,
        arguments: &[&str],
        out: Stdio,
    ) -> Run {
        let said = self.next("said");
        let mut command = vec!["netns", "exec", &self.near];
        command.extend(before);
        command.extend([program, "live"]);
        if !arguments.contains(&"--buffer") {
            command.extend(["--buffer", "16"]);
        }
        let child = Command::new("ip")
            .args(command)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Run { child, said, out: PathBuf::new() }
    }

    /// A file of its own.
    pub(super) fn next(&self, kind: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        self.path(&format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        for netns in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "delete", netns]).status();
        }
    }
}

/// A program that runs. `ip netns exec` becomes it, so that its number is the child's.
pub(super) struct Run {
    pub(super) child: Child,
    said: PathBuf,
    out: PathBuf,
}

impl Run {
    pub(super) fn of(child: Child) -> Run {
        Run { child, said: PathBuf::new(), out: PathBuf::new() }
    }

    /// Waits until it captures.
    pub(super) fn begins(&mut self) {
        until("capture begins", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended at once: {}", self.stderr());
            self.stderr().contains("privileges dropped:")
        });
    }

    /// The number of the program that it has started.
    pub(super) fn only_child(&self) -> String {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let mut children = children.split_whitespace();
        let child = children.next().unwrap().to_owned();
        assert_eq!(children.next(), None);
        child
    }

    pub(super) fn stderr(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    pub(super) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    pub(super) fn signal(&self, name: &str) {
        run(&["kill", "-s", name, &self.child.id().to_string()]);
    }

    /// Waits for its end.
    pub(super) fn ends(&mut self, status: i32) {
        let mut ended = None;
        until("the program ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(status), "{}", self.stderr());
    }

    pub(super) fn stop(&mut self, status: i32) {
        self.signal("INT");
        self.ends(status);
    }

    /// A line of the kernel's account of the process.
    pub(super) fn status(&self, key: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
    }

    pub(super) fn kib(&self, key: &str) -> u64 {
        self.status(key).trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Checks that a folder is complete evidence, and gives its manifest.
pub(super) fn verified(folder: &Path) -> serde_json::Value {
    let output = Command::new(PROGRAM).args(["verify", text(folder)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The evidence folders in a folder, oldest first.
pub(super) fn intervals(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("manifest.json").is_file())
        .collect();
    all.sort();
    all
}

pub(super) fn rows(folder: &Path, table: &str) -> Vec<String> {
    fs::read_to_string(folder.join(table)).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// The cells of a column.
pub(super) fn column(folder: &Path, table: &str, column: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(folder.join(table)).unwrap();
    let place = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
    reader.records().map(|row| row.unwrap()[place].to_owned()).collect()
}

pub(super) struct Mounted<'a>(pub(super) &'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(self.0)]).status();
    }
}

/// The metrics page of a run in this namespace.
pub(super) fn metrics(lab: &Testbed, port: u16) -> String {
    let ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())";
    let address = format!("http://127.0.0.1:{port}/metrics");
    let output = Testbed::inside(&lab.near, "python3").args(["-c", ask, &address]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn metric(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {page}")).parse().unwrap()
}
