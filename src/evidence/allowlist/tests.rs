use super::*;

fn row(destination: &str, port: u16) -> AllowRow {
    AllowRow {
        sources: vec!["10.1.0.4/32".parse().unwrap(), "fd00::4/128".parse().unwrap()],
        destination: destination.into(),
        protocol: "tcp",
        first_port: port,
        last_port: port,
        level: AllowLevel::Required,
        observed: Observed::NotObserved,
        is_broad: false,
        service: "sync".into(),
        references: vec!["doc/row/1".into()],
        documents: vec!["azure-file-sync@2024-05-13".into()],
        service_tags: Vec::new(),
        is_declared: false,
        regions: BTreeSet::new(),
    }
}

fn list(rows: Vec<AllowRow>) -> Allowlist {
    Allowlist { rows, ..Allowlist::default() }
}

#[test]
fn a_destination_is_a_name_or_a_pattern_and_nothing_else() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(checked_destination(text).as_deref(), expected, "{text}")
    };
    check("*.Core.Windows.net", Some("*.core.windows.net"));
    check("azgn*.servicebus.windows.net", Some("azgn*.servicebus.windows.net"));
    check("a.example\"; rm", None);
    check("a.example'b", None);
    check("a.example\nset x", None);
    check("$(x).example.com", None);
    assert_eq!(printable("a\"b'c\u{202e}\n}d"), "a_b_c___d");
}

#[test]
fn rows_of_one_port_and_level_are_one_rule() {
    let mut later = row("c.example.com", 443);
    later.level = AllowLevel::InstallTime;
    let list =
        list(vec![row("a.example.com", 443), row("b.example.com", 80), row("*.d.example.com", 443), later]);
    let rules = devices::rules(&list);
    let of = |rule: &devices::Rule<'_>| {
        let names: Vec<&str> = rule.rows.iter().map(|row| row.destination.as_str()).collect();
        format!("{}: {}", rule.name, names.join(" "))
    };
    assert_eq!(
        rules.iter().map(of).collect::<Vec<String>>(),
        [
            "afs-audit-1-required-tcp-443: a.example.com *.d.example.com",
            "afs-audit-2-required-tcp-80: b.example.com",
            "afs-audit-3-install-time-tcp-443: c.example.com",
        ]
    );
    assert_eq!(rules[0].why(), "required: azure-file-sync@2024-05-13");
}

#[test]
fn azure_firewall_has_application_rules_for_web_and_network_rules_for_other_ports() {
    let list = list(vec![
        row("*.a.example.com", 443),
        row("b.example.com", 30301),
        row("*.c.example.com", 30301),
        row("azgn*.d.example.com", 443),
    ]);
    let (text, left_out) = render_rules(&list, DeviceFormat::AzureFirewall, None);
    let template: serde_json::Value = serde_json::from_str(&text).unwrap();
    let collections = &template["resources"][0]["properties"]["ruleCollections"];
    let [network, application] = [0, 1].map(|at| collections[at]["rules"][0].clone());
    assert_eq!(network["ruleType"], "NetworkRule");
    assert_eq!(network["destinationFqdns"], serde_json::json!(["b.example.com"]));
    assert_eq!(network["destinationPorts"], serde_json::json!(["30301"]));
    assert_eq!(network["ipProtocols"], serde_json::json!(["TCP"]));
    assert_eq!(application["ruleType"], "ApplicationRule");
    assert_eq!(application["targetFqdns"], serde_json::json!(["*.a.example.com"]));
    assert_eq!(application["protocols"], serde_json::json!([{"protocolType": "Https", "port": 443}]));
    assert_eq!(application["sourceAddresses"], serde_json::json!(["10.1.0.4", "fd00::4"]));
    assert_eq!(left_out.len(), 2, "{left_out:?}");
}

#[test]
fn what_a_device_cannot_express_is_left_out_and_reported() {
    let list = list(vec![row("a.example.com", 443), row("*.b.example.com", 443), row("c*.example.com", 443)]);
    let (text, left_out) = render_rules(&list, DeviceFormat::FortiGate, None);
    for expected in [
        "    edit \"afs-audit-any.b.example.com\"\n        set type fqdn\n        set fqdn \"*.b.example.com\"\n    next\n",
        "        set subnet 10.1.0.4 255.255.255.255\n",
        "        set dstaddr \"afs-audit-a.example.com\" \"afs-audit-any.b.example.com\"\n",
        "        set tcp-portrange 443\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(
        !text.contains("c*") && left_out.iter().any(|line| line.starts_with("c*.example.com: ")),
        "{left_out:?}"
    );
    assert!(left_out.iter().any(|line| line.contains("1 IPv6 source")), "{left_out:?}");

    let (text, left_out) = render_rules(&list, DeviceFormat::PaloAlto, None);
    for expected in [
        "set address afs-audit-a.example.com fqdn a.example.com\n",
        "type \"URL List\" list [ *.b.example.com/ ]\n",
        "source [ 10.1.0.4 fd00::4 ] destination [ afs-audit-a.example.com ] application any service afs-audit-tcp-443",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("c*") && left_out.len() == 1, "{left_out:?}");
}

/// A service tag file with one IPv4 /30, a /31 inside of it, and one IPv6 prefix.
fn tags(folder: &std::path::Path) -> TagPrefixes {
    let path = folder.join("ServiceTags_Public_20260105.json");
    let prefixes = serde_json::json!(["20.60.0.0/30", "20.60.0.0/31", "2603:1030::/48"]);
    let properties = serde_json::json!({
        "changeNumber": 1, "region": "", "regionId": 0, "platform": "Azure", "systemService": "AzureStorage",
        "addressPrefixes": prefixes, "networkFeatures": [],
    });
    let file = serde_json::json!({
        "changeNumber": 1, "cloud": "Public",
        "values": [{"name": "Storage", "id": "Storage", "properties": properties}],
    });
    std::fs::write(&path, file.to_string()).unwrap();
    TagPrefixes::load(&path).unwrap()
}

#[test]
fn rules_by_address_have_the_prefixes_of_their_tags_and_say_how_many_addresses_they_open() {
    let folder = tempfile::tempdir().unwrap();
    let tags = tags(folder.path());
    let mut tagged = row("a.example.com", 443);
    tagged.service_tags = vec!["storage".into()];
    let mut unknown = row("b.example.com", 443);
    unknown.service_tags = vec!["Other".into()];
    let list = list(vec![tagged, unknown, row("c.example.com", 443)]);
    let (text, left_out) = render_rules(&list, DeviceFormat::Nftables, Some(&tags));
    for expected in [
        "Addresses of ServiceTags_Public_20260105.json of 2026-01-05",
        "Storage; opens 4 IPv4 addresses and 1 IPv6 prefix",
        "elements = { 20.60.0.0/30 }",
        "ip saddr { 10.1.0.4 } ip daddr @destinations_1_ip tcp dport 443 accept",
        "ip6 saddr { fd00::4 } ip6 daddr @destinations_1_ip6 tcp dport 443 accept",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(
        left_out,
        [
            "Other is not in the service tag file: b.example.com",
            "no document gives a service tag: c.example.com",
        ]
    );
    let (text, _) = render_rules(&list, DeviceFormat::PowerShell, Some(&tags));
    let expected = "-Direction Outbound -Action Allow -Protocol TCP -RemotePort '443' -RemoteAddress @('20.60.0.0/30', '2603:1030::/48')\n";
    assert!(text.contains(expected), "{text}");
}
