//! A testbed of two network namespaces with real servers, and the program that captures between them.

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

/// Time limit of every wait. A busy machine may need it for what usually takes two seconds.
pub(super) const WAIT_LIMIT: Duration = Duration::from_secs(60);

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_afs-audit");
pub(super) const TRAFFIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/traffic.py");

/// Programs that the tests of live capture start.
const TOOLS: [&str; 10] =
    ["ip", "dnsmasq", "openssl", "python3", "setpriv", "unshare", "setcap", "mount", "mkfifo", "kill"];

/// Audits the clients in the near namespace.
pub(super) const SERVER: [&str; 2] = ["--server", "10.77.0.0/24"];

/// Two namespaces connected by a veth pair: `near` with the audited host 10.77.0.1, `far` with all servers.
pub(super) struct Testbed {
    pub(super) near: String,
    pub(super) far: String,
    /// The end of the veth pair in `near`, where frames are captured.
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

/// Waits until a condition holds.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_until_or(what, || if holds() { Ok(()) } else { Err(String::new()) });
}

/// Waits until a condition holds; the error says what was found instead.
pub(super) fn wait_until_or(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(found) = holds() {
        assert!(begun.elapsed() < WAIT_LIMIT, "time limit reached: {what} {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Testbed {
    /// A new testbed; none where it cannot be made.
    pub(super) fn new() -> Option<Testbed> {
        if !root_with_tools(&TOOLS) {
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let (near, far) = (format!("afl-near-{id}"), format!("afl-far-{id}"));
        let folder = tempfile::tempdir().unwrap();
        // The program writes here as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let testbed = Testbed { near, far, device: format!("afl{number}"), folder, servers: Vec::new() };
        run(&["ip", "netns", "add", &testbed.near]);
        run(&["ip", "netns", "add", &testbed.far]);
        for netns in [&testbed.near, &testbed.far] {
            run(&["ip", "-n", netns, "link", "set", "lo", "up"]);
        }
        for address in ["203.0.113.5/32", "203.0.113.6/32"] {
            run(&["ip", "-n", &testbed.far, "address", "add", address, "dev", "lo"]);
        }
        testbed.connect();
        Some(testbed)
    }

    /// Creates the veth pair.
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

    pub(super) fn command_in(netns: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns, program]);
        command
    }

    /// Starts a resolver that resolves every name to 203.0.113.5, but none in `afs.azure.net`, and a TLS server there.
    pub(super) fn start_servers(&mut self) {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=testbed.example",
            ])
            .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
            .output()
            .unwrap_or_else(|error| panic!("cannot run openssl: {error}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let resolver = Testbed::command_in(&self.far, "dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--pid-file=",
            ])
            .args(["--bind-interfaces", "--interface=afl-far", "--address=/#/203.0.113.5"])
            .arg("--address=/afs.azure.net/")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.servers.push(resolver);
        let mut server = Testbed::command_in(&self.far, "python3")
            .args([TRAFFIC, "serve"])
            .args([certificate, key])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 5];
        server.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready");
        self.servers.push(server);
        // Waits until the resolver responds.
        self.traffic(&["resolve", "10.77.0.2", "ready.example.com"]);
    }

    /// Sends traffic from the audited host, and waits for its end.
    pub(super) fn traffic(&self, arguments: &[&str]) {
        self.start_traffic(arguments).assert_exits(0);
    }

    pub(super) fn start_traffic(&self, arguments: &[&str]) -> RunningProgram {
        let child = Testbed::command_in(&self.near, "python3").arg(TRAFFIC).args(arguments).spawn().unwrap();
        RunningProgram::of(child)
    }

    /// A live run on the testbed's interface. Its findings do not change the exit status.
    pub(super) fn live(&self) -> LiveRun<'_> {
        let arguments = ["-i", &self.device, "--fail-on", "never"].map(str::to_owned);
        LiveRun { testbed: self, arguments: arguments.to_vec() }
    }

    /// Analyzes saved frames, and returns the evidence folder.
    pub(super) fn analyze<P: AsRef<Path>>(&self, files: &[P]) -> PathBuf {
        let evidence = self.unique_path("again");
        let output = Command::new(PROGRAM)
            .args(["analyze", "-q", "--fail-on", "never", "-o", text(&evidence)])
            .args(files.iter().map(AsRef::as_ref))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        verified_manifest(&evidence);
        evidence
    }

    /// Starts a live run with these arguments alone, and waits until it captures.
    pub(super) fn start_live(&self, arguments: &[&str]) -> RunningProgram {
        let stdout = self.unique_path("stdout");
        let mut run = self.start_live_into(fs::File::create(&stdout).unwrap().into(), arguments);
        run.stdout_path = stdout;
        run
    }

    pub(super) fn start_live_into(&self, out: Stdio, arguments: &[&str]) -> RunningProgram {
        let mut run = self.spawn(&[], arguments, out);
        run.wait_until_capturing();
        run
    }

    /// Starts a live run with a command before the program, such as `setpriv`.
    pub(super) fn spawn(&self, before: &[&str], arguments: &[&str], out: Stdio) -> RunningProgram {
        self.spawn_program(before, PROGRAM, arguments, out)
    }

    pub(super) fn spawn_program(
        &self,
        before: &[&str],
        program: &str,
        arguments: &[&str],
        out: Stdio,
    ) -> RunningProgram {
        let stderr_path = self.unique_path("stderr");
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
            .stderr(fs::File::create(&stderr_path).unwrap())
            .spawn()
            .unwrap();
        RunningProgram { child, stderr_path, stdout_path: PathBuf::new() }
    }

    /// An unused path.
    pub(super) fn unique_path(&self, kind: &str) -> PathBuf {
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

/// A live run that has not started.
pub(super) struct LiveRun<'a> {
    testbed: &'a Testbed,
    arguments: Vec<String>,
}

impl LiveRun<'_> {
    pub(super) fn evidence(self, folder: &Path) -> Self {
        self.with(&["-o", text(folder)])
    }

    pub(super) fn saving(self, frames: &Path) -> Self {
        self.with(&["-w", text(frames)])
    }

    pub(super) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Starts it, and waits until it captures.
    pub(super) fn start(self) -> RunningProgram {
        self.testbed.start_live(&self.arguments())
    }

    /// Starts it with this standard output, and waits until it captures.
    pub(super) fn start_into(self, out: Stdio) -> RunningProgram {
        self.testbed.start_live_into(out, &self.arguments())
    }

    fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }
}

/// A running program. `ip netns exec` replaces itself with it, so it has the child's process ID.
pub(super) struct RunningProgram {
    pub(super) child: Child,
    stderr_path: PathBuf,
    stdout_path: PathBuf,
}

impl RunningProgram {
    pub(super) fn of(child: Child) -> RunningProgram {
        RunningProgram { child, stderr_path: PathBuf::new(), stdout_path: PathBuf::new() }
    }

    /// Waits until the program captures.
    pub(super) fn wait_until_capturing(&mut self) {
        wait_until("capture begins", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended at once: {}", self.stderr());
            self.stderr().contains("privileges dropped:")
        });
    }

    /// The process ID of the only child process.
    pub(super) fn only_child(&self) -> String {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let mut children = children.split_whitespace();
        let child = children.next().unwrap().to_owned();
        assert_eq!(children.next(), None);
        child
    }

    pub(super) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr_path).unwrap_or_default()
    }

    pub(super) fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout_path).unwrap_or_default()
    }

    pub(super) fn signal(&self, name: &str) {
        run(&["kill", "-s", name, &self.child.id().to_string()]);
    }

    /// Waits for the end, and checks the exit status.
    pub(super) fn assert_exits(&mut self, status: i32) {
        let mut ended = None;
        wait_until("the program ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(status), "{}", self.stderr());
    }

    pub(super) fn stop(&mut self, status: i32) {
        self.signal("INT");
        self.assert_exits(status);
    }

    /// A field of `/proc/PID/status`.
    pub(super) fn status(&self, key: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
    }

    pub(super) fn kib(&self, key: &str) -> u64 {
        self.status(key).trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Verifies an evidence folder, and returns its manifest.
pub(super) fn verified_manifest(folder: &Path) -> serde_json::Value {
    let output = Command::new(PROGRAM).args(["verify", text(folder)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The number of frames that a run captured, of its manifest.
pub(super) fn frames(manifest: &serde_json::Value) -> u64 {
    manifest["accounting"]["frames"].as_u64().unwrap()
}

/// The evidence folders of the intervals in a folder, oldest first.
pub(super) fn interval_folders(folder: &Path) -> Vec<PathBuf> {
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

/// The values of a column.
pub(super) fn column(folder: &Path, table: &str, column: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(folder.join(table)).unwrap();
    let place = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
    reader.records().map(|row| row.unwrap()[place].to_owned()).collect()
}

pub(super) struct Mount<'a>(pub(super) &'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(self.0)]).status();
    }
}

/// The metrics page of the run in the near namespace.
pub(super) fn metrics(testbed: &Testbed, port: u16) -> String {
    let ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())";
    let address = format!("http://127.0.0.1:{port}/metrics");
    let output = Testbed::command_in(&testbed.near, "python3").args(["-c", ask, &address]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn metric(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {page}")).parse().unwrap()
}
