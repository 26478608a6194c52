//! `allowlist`: the rule set that a site needs, made by the program and read by the devices.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use support::prerequisites::root_with_tools;

/// Runs the program: exit status, standard output, standard error.
fn afs_audit(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

/// The evidence of a case with a site file.
fn evidence(name: &str, folder: &Path) -> String {
    let output = folder.join("evidence").to_str().unwrap().to_owned();
    let [capture, site] = ["capture.pcap", "site.toml"].map(|file| case(name).join(file));
    let [capture, site] = [&capture, &site].map(|path| path.to_str().unwrap());
    let run = ["analyze", capture, "--site", site, "-o", &output, "-q", "--fail-on", "never"];
    let (status, _, messages) = afs_audit(&run);
    assert_eq!(status, Some(0), "{messages}");
    output
}

/// The rows of `--format csv`: destination, port, level, whether it was observed, sources.
fn rows(evidence: &str, more: &[&str]) -> Vec<[String; 5]> {
    let arguments = [&["allowlist", evidence, "--format", "csv"], more].concat();
    let (status, text, messages) = afs_audit(&arguments);
    assert_eq!(status, Some(0), "{messages}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|column| column == name).unwrap();
    let columns = ["destination", "first_port", "level", "observed", "sources"].map(at);
    reader.records().map(Result::unwrap).map(|row| columns.map(|column| row[column].to_owned())).collect()
}

#[test]
fn the_list_has_what_the_site_needs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let rows = rows(&evidence, &[]);
    let has = |expected: [&str; 5]| rows.iter().any(|row| row.each_ref().map(String::as_str) == expected);
    let both = "10.1.0.4;10.1.0.5";
    assert!(has(["westeurope01.afs.azure.net", "443", "required", "reached", both]), "{rows:#?}");
    assert!(has(["northeurope01.afs.azure.net", "443", "required", "blocked", both]), "the paired region");
    assert!(has(["kailani6.one.microsoft.com", "443", "required", "not-observed", both]), "{rows:#?}");
    assert!(
        has(["contosofs.file.core.windows.net", "443", "required", "reached", both]),
        "the site's account"
    );
    assert!(has(["crl3.digicert.com", "80", "required", "not-observed", both]), "{rows:#?}");
    assert!(has(["*.update.microsoft.com", "443", "required", "not-observed", both]), "{rows:#?}");
    let destinations: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    for absent in ["*.core.windows.net", "*.afs.azure.net", "updates.vendor.example", "203.0.113.200"] {
        assert!(!destinations.contains(&absent), "{absent}");
    }
    let ports: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert!(ports.iter().all(|port| ["80", "443"].contains(port)), "no SMB: {ports:?}");
    let required = self::rows(&evidence, &["--level", "required", "--source", "10.1.0.0/24"]);
    assert!(required.iter().all(|row| row[2] == "required" && row[4] == "10.1.0.0/24"), "{required:#?}");
    // Another tenant's account is documented by a wildcard, used, and a finding.
    let used = self::rows(&evidence, &["--with-observed"]);
    assert!(used.iter().all(|row| !row[0].contains("othertenant")), "{used:#?}");
}

#[test]
fn formats_of_firewalls_are_complete() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let print = |format: &str| afs_audit(&["allowlist", &evidence, "--format", format]).1;
    let template: serde_json::Value = serde_json::from_str(&print("azure-firewall")).unwrap();
    let resource = &template["resources"][0];
    assert_eq!(resource["type"], "Microsoft.Network/firewallPolicies/ruleCollectionGroups");
    let mut fqdns = Vec::new();
    for collection in resource["properties"]["ruleCollections"].as_array().unwrap() {
        assert_eq!(collection["ruleCollectionType"], "FirewallPolicyFilterRuleCollection");
        assert_eq!(collection["action"]["type"], "Allow");
        assert!((100..=65000).contains(&collection["priority"].as_u64().unwrap()));
        for rule in collection["rules"].as_array().unwrap() {
            assert_eq!(rule["ruleType"], "ApplicationRule", "the site needs web ports only");
            assert!(rule["name"].is_string() && rule["sourceAddresses"].as_array().unwrap().len() == 2);
            assert!(["Http", "Https"].contains(&rule["protocols"][0]["protocolType"].as_str().unwrap()));
            fqdns.extend(rule["targetFqdns"].as_array().unwrap().iter().map(|name| name.to_string()));
        }
    }
    assert_eq!(fqdns.len(), rows(&evidence, &[]).len(), "every row is in a rule");
    let fortigate = print("fortigate");
    assert_eq!(fortigate.matches("\nend\n").count(), 3, "{fortigate}");
    assert_eq!(fortigate.matches(" edit ").count(), fortigate.matches("    next").count());
    let palo_alto = print("palo-alto");
    assert!(palo_alto.lines().all(|line| line.starts_with("set ")), "{palo_alto}");
    let jsonl = print("jsonl");
    let first: serde_json::Value = serde_json::from_str(jsonl.lines().next().unwrap()).unwrap();
    assert_eq!((&first["record"], &first["first_port"]), (&"allow".into(), &443.into()));
    let table = print("table");
    assert!(table.contains("wildcard: the documents give no name"), "{table}");
}

#[test]
fn devices_without_names_get_the_prefixes_of_service_tags() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let (status, _, messages) = afs_audit(&["allowlist", &evidence, "--format", "nftables"]);
    assert!(status == Some(2) && messages.contains("--service-tags"), "{messages}");
    let tags = case("site-tags").join("ServiceTags_Public_20260105.json");
    let print = |format: &str| {
        afs_audit(&["allowlist", &evidence, "--format", format, "--service-tags", tags.to_str().unwrap()])
    };
    let (status, script, _) = print("powershell");
    assert_eq!(status, Some(0));
    let commands =
        script.lines().filter(|line| line.starts_with("New-NetFirewallRule -DisplayName 'afs-audit-"));
    assert!(commands.count() > 0 && script.contains("of 2026-01-05"), "{script}");
    let (_, ruleset, messages) = print("nftables");
    assert!(messages.contains("no document gives a service tag: "), "{messages}");
    assert!(ruleset.contains("IPv4 addresses"), "{ruleset}");
    let path = folder.path().join("rules.nft");
    fs::write(&path, &ruleset).unwrap();
    if root_with_tools(&["nft"]) {
        let path_variable = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let checked =
            Command::new("nft").args(["-c", "-f"]).arg(&path).env("PATH", path_variable).output().unwrap();
        assert!(checked.status.success(), "{}{ruleset}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// Writes a service tag file. The tag with the number N has the prefix `20.N.0.0/24`.
fn tag_file(folder: &Path, tags: &[(&str, u8)]) -> String {
    let value = |(name, number): &(&str, u8)| {
        let region = name.split_once('.').map(|(_, region)| region.to_ascii_lowercase()).unwrap_or_default();
        serde_json::json!({"name": name, "id": name, "properties": {
            "changeNumber": 1, "region": region, "regionId": 0, "platform": "Azure", "systemService": "",
            "addressPrefixes": [format!("20.{number}.0.0/24")], "networkFeatures": [],
        }})
    };
    let values: Vec<serde_json::Value> = tags.iter().map(value).collect();
    let path = folder.join("ServiceTags_Public_20260105.json");
    fs::write(&path, serde_json::json!({"changeNumber": 1, "cloud": "Public", "values": values}).to_string())
        .unwrap();
    path.to_str().unwrap().to_owned()
}

/// The sync service and its storage accounts are in a region, and in the paired one after a failover.
#[test]
fn service_tags_are_those_of_the_regions_that_the_site_needs() {
    const TAGS: [(&str, u8); 8] = [
        ("StorageSyncService", 1),
        ("StorageSyncService.WestEurope", 2),
        ("StorageSyncService.NorthEurope", 3),
        ("Storage", 4),
        ("Storage.WestEurope", 5),
        ("Storage.NorthEurope", 6),
        ("Storage.EastUS", 7),
        ("AzureResourceManager", 8),
    ];
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let site = fs::read_to_string(case("demo").join("site.toml")).unwrap();
    // The numbers of the tags that are opened, for a line of the site file in place of the redundancy.
    let opened = |redundancy: &str, tags: &[(&str, u8)]| -> Vec<u8> {
        let site_file = folder.path().join("site.toml");
        fs::write(&site_file, site.replace("redundancy = \"GRS\"", redundancy)).unwrap();
        let judged = folder.path().join("judged");
        let arguments = ["judge", &evidence, "-q", "--fail-on", "never", "--force", "-o"];
        let more = [judged.to_str().unwrap(), "--site", site_file.to_str().unwrap()];
        let (status, _, messages) = afs_audit(&[arguments.as_slice(), &more].concat());
        assert_eq!(status, Some(0), "{messages}");
        let file = tag_file(folder.path(), tags);
        let format = ["--format", "nftables", "--service-tags", &file];
        let (status, text, _) = afs_audit(&[["allowlist", more[0]].as_slice(), &format].concat());
        assert_eq!(status, Some(0));
        let is_open = |number: &u8| text.contains(&format!("20.{number}.0.0/24"));
        tags.iter().map(|(_, number)| *number).filter(is_open).collect()
    };
    assert_eq!(opened("redundancy = \"GRS\"", &TAGS), [2, 3, 5, 6, 8]);
    assert_eq!(opened("redundancy = \"ZRS\"", &TAGS), [2, 5, 8]);
    // Only the primary instance is known to be required; an account may be geo-redundant.
    assert_eq!(opened("", &TAGS), [2, 5, 6, 8]);
    // A file without tags of one of the regions.
    let some: Vec<(&str, u8)> =
        TAGS.iter().filter(|(name, _)| !name.ends_with("NorthEurope")).copied().collect();
    assert_eq!(opened("redundancy = \"GRS\"", &some), [1, 2, 4, 8]);
}

#[test]
fn evidence_without_requirements_has_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence").to_str().unwrap().to_owned();
    let capture = case("demo").join("capture.pcap");
    afs_audit(&["analyze", capture.to_str().unwrap(), "-o", &evidence, "-q"]);
    let (status, _, messages) = afs_audit(&["allowlist", &evidence]);
    assert!(status == Some(2) && messages.contains("run `analyze` with a site file"), "{messages}");
}

#[test]
fn commands_try_what_was_not_observed() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let (status, text, _) = afs_audit(&["probe-list", &evidence]);
    assert_eq!(status, Some(0));
    let of_server = |server: &str| {
        let from = text.find(&format!("\n{server}: ")).unwrap();
        text[from..].split("\n\n").next().unwrap().to_owned()
    };
    let [reaches, blocked] = ["10.1.0.4", "10.1.0.5"].map(of_server);
    assert!(
        reaches.contains("Test-NetConnection -ComputerName northeurope01.afs.azure.net -Port 443"),
        "{reaches}"
    );
    assert!(!blocked.contains("northeurope01"), "it was tried: {blocked}");
    assert!(!reaches.contains("-ComputerName westeurope01"), "it was reached: {reaches}");
    assert!(
        reaches
            .contains("curl.exe --silent --show-error --output NUL --max-time 15 http://crl3.digicert.com/")
    );
    let (_, script, _) =
        afs_audit(&["probe-list", &evidence, "--format", "powershell", "--level", "install-time"]);
    assert!(
        script.contains(
            "@{ Phase = 'deployment'; Level = 'install-time'; Name = 'go.microsoft.com'; Port = 443 }"
        ),
        "{script}"
    );
    assert!(!script.contains("Level = 'required'"), "{script}");
}

/// The evidence of a situation.
fn evidence_of_situation(name: &str, folder: &Path) -> String {
    let output = folder.join(name).to_str().unwrap().to_owned();
    let [capture, site] = ["pcap", "toml"].map(|kind| case("situations").join(format!("{name}.{kind}")));
    let [capture, site] = [&capture, &site].map(|path| path.to_str().unwrap());
    let run = ["analyze", capture, "--site", site, "-o", &output, "-q", "--fail-on", "never"];
    let (status, _, messages) = afs_audit(&run);
    assert_eq!(status, Some(0), "{messages}");
    output
}

#[test]
fn where_a_proxy_is_declared_rules_are_for_it_and_commands_go_through_it() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence_of_situation("proxy-with-credentials-that-work", folder.path());
    let found = rows(&evidence, &[]);
    let sync = found.iter().find(|row| row[0] == "westeurope01.afs.azure.net").unwrap();
    assert_eq!(sync.each_ref().map(String::as_str)[1..], ["443", "required", "reached", "10.0.0.8"]);
    let (_, _, messages) = afs_audit(&["allowlist", &evidence, "--format", "fortigate"]);
    assert!(messages.contains("the servers need a rule to its port only"), "{messages}");
    let tags = case("site-tags").join("ServiceTags_Public_20260105.json");
    let on_servers =
        ["allowlist", &evidence, "--format", "powershell", "--service-tags", tags.to_str().unwrap()];
    let (_, script, messages) = afs_audit(&on_servers);
    let rules: Vec<&str> = script.lines().filter(|line| line.starts_with("New-NetFirewallRule")).collect();
    assert!(
        rules.len() == 1 && rules[0].ends_with("-RemotePort '8080' -RemoteAddress @('10.0.0.8')"),
        "{script}{messages}"
    );
    let chosen = rows(&evidence, &["--source", "10.1.0.4"]);
    assert!(chosen.iter().all(|row| row[4] == "10.1.0.4"), "{chosen:#?}");
    let (_, text, _) = afs_audit(&["probe-list", &evidence]);
    assert!(text.contains(" --proxy http://10.0.0.8:8080 http://crl3.digicert.com/"), "{text}");
    assert!(!text.contains("Test-NetConnection"), "{text}");
}

#[test]
fn a_name_that_the_site_file_does_not_give_is_no_wildcard() {
    let folder = tempfile::tempdir().unwrap();
    let given = evidence("site-placeholders", folder.path());
    let names =
        |evidence: &str| rows(evidence, &[]).into_iter().map(|row| row[0].clone()).collect::<Vec<String>>();
    assert!(names(&given).contains(&"contosovault.vault.azure.net".to_owned()));
    let (site, open) = (folder.path().join("site.toml"), folder.path().join("open"));
    fs::write(
        &site,
        "[site]\nproducts = [\"azure-stack-hci\"]\n[azure-stack-hci]\nregion = \"West Europe\"\n",
    )
    .unwrap();
    let capture = case("site-placeholders").join("capture.pcap");
    let [capture, site, open] = [&capture, &site, &open].map(|path| path.to_str().unwrap());
    afs_audit(&["analyze", capture, "--site", site, "-o", open, "-q"]);
    assert!(names(open).iter().all(|name| !name.contains("vault.azure.net")), "{:?}", names(open));
    let missing = "NAME.vault.azure.net: the site file does not give the name";
    let (_, table, _) = afs_audit(&["allowlist", open]);
    assert!(table.contains(missing), "{table}");
    let covering = "*.his.arc.azure.com:443/tcp";
    let line = table.lines().find(|line| line.contains(covering)).unwrap();
    assert!(line.ends_with("wildcard: covers 2 other destinations of this list"), "{line}");
}

#[test]
fn a_proxy_that_the_site_file_does_not_declare_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence_of_situation("proxy-undeclared-falls-silent", folder.path());
    let (_, text, _) = afs_audit(&["allowlist", &evidence]);
    assert!(text.contains("note: 10.1.0.4 sends requests to the proxy 10.0.0.8:8080"), "{text}");
    assert!(rows(&evidence, &[]).iter().all(|row| row[4] == "10.1.0.4"), "the servers stay the sources");
    let (_, text, _) = afs_audit(&["probe-list", &evidence]);
    assert!(text.contains("10.1.0.4: ") && text.contains(", through the proxy 10.0.0.8:8080"), "{text}");
}

/// A client network, a router with the rule set, and a network with the servers of the internet.
struct Router {
    client: String,
    router: String,
    internet: String,
}

impl Router {
    /// None without the right to make networks.
    fn new(addresses: &[&str]) -> Option<Router> {
        if !root_with_tools(&["ip", "nft", "python3", "sysctl"]) {
            return None;
        }
        let name = |what: &str| format!("afs-{what}-{}", std::process::id());
        let networks = Router { client: name("c"), router: name("r"), internet: name("i") };
        let Router { client, router, internet } = &networks;
        let mut script = format!(
            "set -e
             for netns in {client} {router} {internet}; do ip netns add $netns; ip -n $netns link set lo up; done
             ip link add eth0 netns {client} type veth peer name inside netns {router}
             ip link add outside netns {router} type veth peer name eth0 netns {internet}
             ip -n {client} addr add 10.1.0.4/24 dev eth0
             ip -n {client} addr add 10.1.0.5/24 dev eth0
             ip -n {client} addr add 10.1.0.9/24 dev eth0
             ip -n {router} addr add 10.1.0.1/24 dev inside
             ip -n {router} addr add 192.0.2.1/24 dev outside
             ip -n {internet} addr add 192.0.2.2/24 dev eth0
             for netns in {client} {internet}; do ip -n $netns link set eth0 up; done
             for link in inside outside; do ip -n {router} link set $link up; done
             ip -n {client} route add default via 10.1.0.1
             ip -n {internet} route add default via 192.0.2.1
             ip -n {router} route add default via 192.0.2.2
             ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1\n"
        );
        for address in addresses {
            script.push_str(&format!("ip -n {internet} addr add {address}/32 dev lo\n"));
        }
        networks.run("sh", &["-c", &script]);
        Some(networks)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let output = Command::new(program).args(arguments).env("PATH", path).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Which of these connections (client, server, port) are established.
    fn connect(&self, attempts: &[(String, String, u16)]) -> Vec<bool> {
        const SERVER: &str = "
import socket, sys
servers = [socket.create_server(('', port)) for port in (80, 443, 445)]
print('ready', flush=True)
sys.stdin.read()";
        const CLIENT: &str = "
import concurrent.futures, json, socket, sys
def connects(attempt):
    client, server, port = attempt
    try:
        socket.create_connection((server, port), 2, (client, 0)).close()
        return True
    except OSError:
        return False
attempts = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(connects, attempts))))";
        let mut server = Command::new("ip")
            .args(["netns", "exec", &self.internet, "python3", "-c", SERVER])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(server.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        let json = serde_json::to_string(attempts).unwrap();
        let found = self.run("ip", &["netns", "exec", &self.client, "python3", "-c", CLIENT, &json]);
        drop(server.stdin.take());
        server.wait().unwrap();
        serde_json::from_str(&found).unwrap()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for netns in [&self.client, &self.router, &self.internet] {
            let _ = Command::new("ip").args(["netns", "del", netns]).status();
        }
    }
}

/// The connections of the demo are tried again through a router that forwards only what the rule set accepts.
#[test]
fn a_router_with_the_list_forwards_what_the_site_needs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let flows = support::files::read_csv(&Path::new(&evidence).join("flows.csv"));
    let mut attempts: Vec<(String, String, u16)> = Vec::new();
    let mut is_needed = Vec::new();
    let list = rows(&evidence, &[]);
    for flow in flows.iter().filter(|flow| flow["transport"] == "tcp") {
        let [client, server, port, name] =
            ["client_ip", "server_ip", "server_port", "name"].map(|column| flow[column].clone());
        // No document gives a service tag for the revocation list on port 80, and the program says so.
        let has_tag = port == "443";
        let is_listed = |row: &&[String; 5]| row[0] == name && row[1] == port && row[4].contains(&client);
        is_needed.push(has_tag && list.iter().any(|row| is_listed(&row)));
        attempts.push((client, server, port.parse().unwrap()));
    }
    let addresses: std::collections::BTreeSet<&str> =
        attempts.iter().map(|(_, server, _)| server.as_str()).collect();
    let addresses: Vec<&str> = addresses.into_iter().collect();
    let Some(router) = Router::new(&addresses) else { return };
    assert_eq!(router.connect(&attempts), vec![true; attempts.len()], "without rules");

    let tag = |name: &str, prefix: &str| {
        let properties = serde_json::json!({"changeNumber": 1, "region": "", "platform": "Azure", "systemService": name,
            "addressPrefixes": [prefix], "networkFeatures": []});
        serde_json::json!({"name": name, "id": name, "properties": properties})
    };
    let tags = serde_json::json!({"changeNumber": 7, "cloud": "Public", "values": [
        tag("StorageSyncService", "52.138.0.0/24"),
        tag("Storage", "20.60.40.0/29"),
        tag("AzureActiveDirectory", "20.190.160.0/24"),
        tag("AzureResourceManager", "20.50.2.0/24"),
    ]});
    let tag_file = folder.path().join("ServiceTags_Public_20260105.json");
    fs::write(&tag_file, tags.to_string()).unwrap();
    let arguments =
        ["allowlist", &evidence, "--format", "nftables", "--service-tags", tag_file.to_str().unwrap()];
    let (status, ruleset, messages) = afs_audit(&arguments);
    assert!(status == Some(0) && messages.contains("ocsp.msocsp.com"), "{messages}");
    let rules = folder.path().join("rules.nft");
    let hook = "add chain inet afs_audit forward { type filter hook forward priority 0; policy drop; }
        add rule inet afs_audit forward ct state established,related accept
        add rule inet afs_audit forward jump azure_endpoints\n";
    fs::write(&rules, ruleset + hook).unwrap();
    router.run("ip", &["netns", "exec", &router.router, "nft", "-f", rules.to_str().unwrap()]);

    let forwarded = router.connect(&attempts);
    for ((attempt, needed), forwarded) in attempts.iter().zip(&is_needed).zip(&forwarded) {
        assert_eq!(forwarded, needed, "{attempt:?}");
    }
    let needed = is_needed.iter().filter(|needed| **needed).count();
    assert!(needed >= 6 && needed < attempts.len() - 4, "{needed} of {}", attempts.len());
    // The same servers and ports from a host that is no server of the site.
    let others: Vec<(String, String, u16)> =
        attempts.iter().map(|(_, server, port)| ("10.1.0.9".to_owned(), server.clone(), *port)).collect();
    assert_eq!(router.connect(&others), vec![false; others.len()]);
}
