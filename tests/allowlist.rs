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
        script.contains("@{ Level = 'install-time'; Name = 'go.microsoft.com'; Port = 443 }"),
        "{script}"
    );
    assert!(!script.contains("Level = 'required'"), "{script}");
}
