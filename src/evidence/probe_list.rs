//! Lists the commands that show whether a server reaches the endpoints that the capture did not show.
//!
//! In:  the required endpoints of an evidence folder.
//! Out: commands to run on each server while a capture runs, by phase and level, as text or as a PowerShell script.
//! Not: the answer. This program sends nothing; the next capture shows what happened.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::allowlist::AllowLevel;
use super::allowlist::checked_destination;
use super::allowlist::documented_endpoints;
use super::allowlist::level;
use super::proxies::ProxyServer;
use super::proxies::SiteProxies;
use crate::base::port;
use crate::base::proto;
use crate::judge::RequirementRow;
use crate::report::CitedRow;
use crate::report::ReadError;
use crate::report::StoredEvidence;
use crate::report::TableRow as _;
use crate::rules::Ports;
use crate::rules::ServiceKind;

/// Endpoints of all servers that are kept.
const LIMIT: usize = 100_000;

/// What to try from each server.
#[derive(Debug, Default)]
pub struct ProbeList {
    /// By server; none for the site as a whole.
    by_server: BTreeMap<Option<IpAddr>, ServerProbes>,
    /// Endpoints that did not fit.
    pub left_out: u64,
}

/// What to try from one server.
#[derive(Debug, Default)]
struct ServerProbes {
    /// The proxy that its requests go through.
    proxy: Option<ProxyServer>,
    /// In the order of phases and levels.
    probes: BTreeMap<(Phase, AllowLevel), Vec<ProbeCommand>>,
    /// Patterns, which name nothing that could be tried.
    patterns: BTreeSet<String>,
    /// Names with ports of other protocols than TCP.
    other_ports: BTreeSet<String>,
    /// Names that the site file does not give.
    unfilled: BTreeSet<String>,
}

/// When a site uses an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// During installation, registration or removal only.
    Deployment,
    /// When updates are searched and downloaded.
    Update,
    /// Always.
    Daily,
}

impl Phase {
    fn of(level: AllowLevel, row: &CitedRow) -> Phase {
        if level == AllowLevel::InstallTime {
            Phase::Deployment
        } else if row.service_kind == ServiceKind::Update.word() {
            Phase::Update
        } else {
            Phase::Daily
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Deployment => "deployment",
            Phase::Update => "update",
            Phase::Daily => "daily",
        })
    }
}

/// A name and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProbeCommand {
    host: String,
    port: u16,
}

impl ProbeCommand {
    /// The URL for curl; none for a port that does not speak HTTP.
    fn url(&self) -> Option<String> {
        match self.port {
            port::HTTPS => Some(format!("https://{}/", self.host)),
            port::HTTP => Some(format!("http://{}/", self.host)),
            _ => None,
        }
    }
}

impl ProbeList {
    /// The endpoints that were not observed. `levels` restricts them; empty means all.
    pub fn new(evidence: &StoredEvidence, levels: &[AllowLevel]) -> Result<ProbeList, ReadError> {
        let mut list = ProbeList::default();
        let mut kept = 0;
        evidence.for_each_row(RequirementRow::FILE, |row| {
            let level = level(row.raw("level"));
            if row.raw("state") != "not-observed" || !(levels.is_empty() || levels.contains(&level)) {
                return;
            }
            if kept >= LIMIT {
                list.left_out += 1;
                return;
            }
            kept += 1;
            let server = list.by_server.entry(row.raw("server").parse().ok()).or_default();
            for endpoint in documented_endpoints(row, evidence) {
                server.unfilled.extend(endpoint.unfilled);
                let hosts = endpoint.hosts.iter().filter_map(|host| checked_destination(host));
                for host in hosts {
                    server.add((Phase::of(level, &endpoint.cited), level), &host, &endpoint.cited.ports);
                }
            }
        })?;
        if !list.is_empty() {
            let proxies = SiteProxies::read(evidence)?;
            for (server, probes) in &mut list.by_server {
                probes.proxy = proxies.of(*server);
            }
        }
        Ok(list)
    }

    /// Whether nothing has to be tried.
    pub fn is_empty(&self) -> bool {
        self.by_server.is_empty()
    }

    /// Commands to copy, by server.
    pub fn to_text(&self) -> String {
        let mut out = String::from(
            "Start a capture, run these commands on each server, and audit the capture: only that shows where a connection ends.\n",
        );
        for (server, probes) in &self.by_server {
            // Writing into a String cannot fail.
            let via = match &probes.proxy {
                Some(proxy) => format!(", through the proxy {}", proxy.address),
                None => String::new(),
            };
            let _ = write!(out, "\n{}: {}{via}\n{}", server_text(*server), probes.number(), probes.to_text());
        }
        out
    }

    /// A script that runs the commands of the server that it is started on.
    pub fn to_powershell(&self) -> String {
        let mut out = String::from(
            "# Written by afs-audit. Run it on each server while a capture runs: it tries the endpoints that were not observed.\n\
             $probes = @{\n",
        );
        for (server, of_server) in &self.by_server {
            let key = server.map_or_else(|| "any".to_owned(), |server| server.to_string());
            let _ = writeln!(out, "    '{key}' = @(");
            let all = of_server
                .probes
                .iter()
                .flat_map(|(when, probes)| probes.iter().map(move |probe| (when, probe)));
            let lines: Vec<String> = all
                .map(|((phase, level), ProbeCommand { host, port })| {
                    format!(
                        "        @{{ Phase = '{phase}'; Level = '{level}'; Name = '{host}'; Port = {port} }}"
                    )
                })
                .collect();
            let _ = writeln!(out, "{}\n    )", lines.join("\n"));
        }
        out.push_str("}\n$proxies = @{\n");
        for (server, of_server) in &self.by_server {
            if let Some(proxy) = &of_server.proxy {
                let key = server.map_or_else(|| "any".to_owned(), |server| server.to_string());
                let _ = writeln!(out, "    '{key}' = '{}'", proxy.url());
            }
        }
        out.push_str(SCRIPT);
        out
    }
}

/// What the script does with the lists. It prints objects, so that they can be piped to `Export-Csv`.
const SCRIPT: &str = r#"}
$own = @('any') + @(Get-NetIPAddress | ForEach-Object { ($_.IPAddress -split '%')[0] })
$found = @($probes.Keys | Where-Object { $own -contains $_ })
if ($found.Count -eq 0) { Write-Warning "no list for this server: $($own -join ', ')" }
foreach ($server in $found) {
    $proxy = $proxies[$server]
    foreach ($probe in $probes[$server]) {
        $resolved = $null
        $connected = $null
        $through = @()
        if ($proxy) {
            # The proxy resolves the name and connects.
            $through = @('--proxy', $proxy)
        } else {
            $resolved = [bool](Resolve-DnsName -Name $probe.Name -ErrorAction SilentlyContinue)
            $tcp = Test-NetConnection -ComputerName $probe.Name -Port $probe.Port -WarningAction SilentlyContinue
            $connected = $tcp.TcpTestSucceeded
        }
        $scheme = switch ($probe.Port) { 443 { 'https' } 80 { 'http' } default { $null } }
        $http = if ($scheme) { & curl.exe @through --silent --output NUL --max-time 15 --write-out '%{http_code}' "${scheme}://$($probe.Name)/" }
        [pscustomobject]@{
            Server = $server; Phase = $probe.Phase; Level = $probe.Level; Name = $probe.Name; Port = $probe.Port
            Proxy = $proxy; Resolved = $resolved; Connected = $connected; HttpStatus = $http
        }
    }
}
"#;

/// A server, or all of them.
fn server_text(server: Option<IpAddr>) -> String {
    server.map_or_else(|| "any server".to_owned(), |server| server.to_string())
}

impl ServerProbes {
    fn add(&mut self, when: (Phase, AllowLevel), host: &str, ports: &str) {
        if host.contains('*') {
            self.patterns.insert(host.to_owned());
            return;
        }
        for range in Ports::parse(ports).unwrap_or_default().ranges() {
            if range.protocol != proto::TCP || range.from != range.to {
                self.other_ports.insert(format!("{host} ({ports})"));
                continue;
            }
            let probe = ProbeCommand { host: host.to_owned(), port: range.from };
            let is_known = self.probes.values().flatten().any(|known| *known == probe);
            if !is_known {
                self.probes.entry(when).or_default().push(probe);
            }
        }
    }

    /// `12 endpoints`.
    fn number(&self) -> String {
        crate::report::count(self.probes.values().map(Vec::len).sum::<usize>() as u64, "endpoint")
    }

    fn to_text(&self) -> String {
        let mut out = String::new();
        let mut resolved = BTreeSet::new();
        let mut other_ports = self.other_ports.clone();
        let through = self.proxy.map(|proxy| format!("--proxy {} ", proxy.url())).unwrap_or_default();
        for ((phase, level), probes) in &self.probes {
            let _ = writeln!(out, "  {phase}, {level}");
            for probe in probes {
                let ProbeCommand { host, port } = probe;
                // The proxy resolves the name and connects: what the server does itself would bypass it.
                if self.proxy.is_none() {
                    if resolved.insert(host) {
                        let _ = writeln!(out, "    Resolve-DnsName -Name {host}");
                    }
                    let _ = writeln!(out, "    Test-NetConnection -ComputerName {host} -Port {port}");
                }
                match probe.url() {
                    Some(url) => {
                        let command = "curl.exe --silent --show-error --output NUL --max-time 15";
                        let _ = writeln!(out, "    {command} {through}{url}");
                    }
                    None if self.proxy.is_some() => {
                        other_ports.insert(format!("{host} ({port}/tcp)"));
                    }
                    None => {}
                }
            }
        }
        let remarks = [
            ("patterns, of which the documents give no name to try", &self.patterns),
            ("ports that these commands cannot try", &other_ports),
            ("names that the site file does not give", &self.unfilled),
        ];
        for (what, names) in remarks.iter().filter(|(_, names)| !names.is_empty()) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ = writeln!(out, "  {what}: {}", names.join(", "));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(endpoints: &[(AllowLevel, &str, &str)]) -> ProbeList {
        let mut server = ServerProbes::default();
        for (level, host, ports) in endpoints {
            server.add((Phase::of(*level, &CitedRow::default()), *level), host, ports);
        }
        ProbeList { by_server: [(Some([10, 1, 0, 4].into()), server)].into(), left_out: 0 }
    }

    #[test]
    fn a_name_is_resolved_once_and_each_port_is_tried() {
        let list = list(&[
            (AllowLevel::InstallTime, "b.example.com", "443/tcp"),
            (AllowLevel::Required, "a.example.com", "80/tcp, 443/tcp"),
            (AllowLevel::Recommended, "a.example.com", "443/tcp"),
        ]);
        let text = list.to_text();
        let commands: Vec<&str> =
            text.lines().map(str::trim).filter(|line| line.contains("a.example.com")).collect();
        assert_eq!(
            commands,
            [
                "Resolve-DnsName -Name a.example.com",
                "Test-NetConnection -ComputerName a.example.com -Port 80",
                "curl.exe --silent --show-error --output NUL --max-time 15 http://a.example.com/",
                "Test-NetConnection -ComputerName a.example.com -Port 443",
                "curl.exe --silent --show-error --output NUL --max-time 15 https://a.example.com/",
            ]
        );
        assert!(text.contains("10.1.0.4: 3 endpoints\n  deployment, install-time\n"), "{text}");
        assert!(text.find("  deployment, install-time").unwrap() < text.find("  daily, required").unwrap());
    }

    #[test]
    fn endpoints_of_updates_have_a_phase_of_their_own() {
        let update = CitedRow { service_kind: "update".to_owned(), ..CitedRow::default() };
        assert_eq!(Phase::of(AllowLevel::Required, &update), Phase::Update);
        assert_eq!(Phase::of(AllowLevel::InstallTime, &update), Phase::Deployment);
        assert_eq!(Phase::of(AllowLevel::Recommended, &CitedRow::default()), Phase::Daily);
    }

    #[test]
    fn what_cannot_be_tried_is_named() {
        let mut list = list(&[
            (AllowLevel::Required, "*.example.com", "443/tcp"),
            (AllowLevel::Required, "time.example.com", "123/udp"),
            (AllowLevel::Required, "bus.example.com", "5671/tcp"),
        ]);
        let unfilled = BTreeSet::from(["NAME.vault.azure.net".to_owned()]);
        list.by_server.values_mut().for_each(|server| server.unfilled.clone_from(&unfilled));
        let text = list.to_text();
        assert!(text.contains("site file does not give: NAME.vault.azure.net\n"), "{text}");
        assert!(text.contains("no name to try: *.example.com\n"), "{text}");
        assert!(text.contains("cannot try: time.example.com (123/udp)\n"), "{text}");
        assert!(text.contains("-Port 5671") && !text.contains("curl"), "{text}");
    }

    #[test]
    fn a_server_with_a_proxy_tries_through_it_only() {
        let mut list = list(&[
            (AllowLevel::Required, "a.example.com", "443/tcp"),
            (AllowLevel::Required, "bus.example.com", "5671/tcp"),
        ]);
        let proxy = ProxyServer { address: ([10, 0, 0, 8], 8080).into(), is_socks: false };
        list.by_server.values_mut().for_each(|server| server.proxy = Some(proxy));
        let text = list.to_text();
        assert!(text.contains("10.1.0.4: 2 endpoints, through the proxy 10.0.0.8:8080\n"), "{text}");
        assert!(
            text.contains("--max-time 15 --proxy http://10.0.0.8:8080 https://a.example.com/\n"),
            "{text}"
        );
        assert!(!text.contains("Resolve-DnsName") && !text.contains("Test-NetConnection"), "{text}");
        assert!(text.contains("cannot try: bus.example.com (5671/tcp)\n"), "{text}");
        let script = list.to_powershell();
        assert!(script.contains("$proxies = @{\n    '10.1.0.4' = 'http://10.0.0.8:8080'\n}\n"), "{script}");
    }

    #[test]
    fn the_script_has_a_list_for_each_server() {
        let script = list(&[(AllowLevel::Required, "a.example.com", "443/tcp")]).to_powershell();
        let expected = "    '10.1.0.4' = @(\n        @{ Phase = 'daily'; Level = 'required'; Name = 'a.example.com'; Port = 443 }\n    )\n}\n";
        assert!(script.contains(expected), "{script}");
        for [open, close] in [["{", "}"], ["(", ")"], ["[", "]"]] {
            assert_eq!(
                script.matches(open).count(),
                script.matches(close).count(),
                "{open}{close}: {script}"
            );
        }
    }
}
