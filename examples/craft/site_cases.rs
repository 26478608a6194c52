//! Cases with a site file.
//!
//! In:  a case name.
//! Out: a capture and its site file; expected and unexpected traffic alternate, so that a false positive shows too.
//! Not: how references match; see `reference_cases`.

use super::Files;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::capture_file::pcap;
use super::conversation::Client;
use super::conversation::End;
use super::conversation::Server;
use super::conversation::TcpConversation;
use super::conversation::Trace;
use super::encapsulation::ETHERNET;
use super::finish_tls;
use super::frame::SYN;
use super::hello_record;
use super::messages;
use super::messages::filler;
use super::v4;

/// A case: its name, what it shows, and how its files are made.
pub type Case = (&'static str, &'static str, fn() -> Files);

pub const CASES: &[Case] = &[
    (
        "site-lrs",
        "a site with LRS: its own region is expected, the paired region and a third region are not",
        || regions("LRS"),
    ),
    (
        "site-grs",
        "the traffic of site-lrs with GRS: the paired region and the discovery name are required too",
        || regions("GRS"),
    ),
    (
        "site-accounts",
        "the storage account of the site, an account of another tenant, an endpoint with internet routing, and SMB",
        accounts,
    ),
    (
        "site-private-endpoints",
        "private endpoints: used, resolved to a public address, without a DNS response in the capture, and bypassed",
        private,
    ),
    (
        "site-shared-endpoint",
        "two of the four names of a Storage Sync Service at one private address, and two at an address of their own",
        shared_endpoint,
    ),
    (
        "site-proxy",
        "a declared proxy that is used and bypassed, and a resolver that the site does not declare",
        proxy,
    ),
    (
        "site-roles",
        "connections between declared roles: documented, documented only in the opposite direction, not documented, and of a role \
         that no host has",
        roles,
    ),
    ("site-allow", "exceptions of the site: in force, expired but still used, and never used", allow),
    ("site-tunnels", "IKE, ESP, WireGuard and GRE to external gateways, and GRE within the site", tunnels),
    (
        "site-tags",
        "service tags that confirm an address, contradict it, and identify a flow without a name",
        tags,
    ),
    (
        "site-tags-other-region",
        "a storage account and a server without a name, at addresses in the service tags of another region",
        other_regions,
    ),
    (
        "site-placeholders",
        "names that match placeholders filled by the site file, and names that do not; an Arc gateway that is refused, and a name \
         that must be public at a private address",
        placeholders,
    ),
    ("site-blocked", "a required endpoint that is refused, in a capture long enough to expect it", blocked),
    ("site-not-observed", "half an hour without a connection to the required sync service", quiet),
];

/// A capture and its site file.
pub fn files(write_trace: impl FnOnce(&mut Trace), site: &str) -> Files {
    let mut trace = Trace::default();
    write_trace(&mut trace);
    vec![
        ("capture.pcap".into(), pcap(ETHERNET, &trace.records)),
        ("site.toml".into(), site.trim_start().as_bytes().to_vec()),
    ]
}

/// A server in the cloud.
pub const fn cloud_server(host: u8) -> End {
    (v4(20, 60, 40, host), 443)
}

/// A complete TLS connection.
pub fn tls_connection(trace: &mut Trace, port: u16, server: End, name: &str) {
    let mut tcp = TcpConversation::new((SERVER, port), server, [1000, 5000]);
    tcp.open(trace);
    tcp.send(trace, Client, &hello_record(name));
    finish_tls(&mut tcp, trace);
}

/// A query for the first name of `chain`; the response holds the CNAME chain and the server's address.
fn resolve(trace: &mut Trace, id: u16, chain: &[&str], server: End) {
    let mut answers: Vec<Vec<u8>> =
        chain.windows(2).map(|step| messages::resource(step[0], 5, &messages::labels(step[1]))).collect();
    let std::net::IpAddr::V4(address) = server.0 else { return };
    answers.push(messages::resource(chain[chain.len() - 1], 1, &address.octets()));
    let (query, response) =
        (messages::query(id, chain[0], 1), messages::response(id, chain[0], 1, 0, [&answers, &[]]));
    trace.dns_exchange(SERVER, RESOLVER, 40000 + id, &query, &response);
}

fn regions(redundancy: &str) -> Files {
    let write_trace = |trace: &mut Trace| {
        for (port, name) in [
            (50001, SYNC),
            (50002, "northeurope01.afs.azure.net"),
            (50003, "tm-westeurope01.afs.azure.net"),
            (50004, "southeastasia01.afs.azure.net"),
            (50005, "polandcentral01.afs.azure.net"),
            (50006, STORAGE),
        ] {
            tls_connection(trace, port, cloud_server((port - 50000) as u8), name);
        }
    };
    let site = format!(
        r#"
# Sync in West Europe, storage with {redundancy}.
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "West Europe"
redundancy = "{redundancy}"
storage-accounts = ["contosofs"]
"#
    );
    files(write_trace, &site)
}

fn accounts() -> Files {
    let write_trace = |trace: &mut Trace| {
        resolve(trace, 1, &[STORAGE], cloud_server(1));
        tls_connection(trace, 50001, cloud_server(1), STORAGE);
        tls_connection(trace, 50002, cloud_server(2), "contosofs-secondary.file.core.windows.net");
        tls_connection(trace, 50003, cloud_server(3), "stranger.blob.core.windows.net");
        tls_connection(trace, 50004, cloud_server(4), "contosofs-internetrouting.file.core.windows.net");
        let mut smb = TcpConversation::new((SERVER, 50005), (cloud_server(1).0, 445), [1000, 5000]);
        smb.open(trace);
        // MS-SMB2 2.2.3: NEGOTIATE, one dialect.
        let header = [&[0xfe, b'S', b'M', b'B', 64, 0][..], &[0; 58]].concat();
        let negotiate = [&header[..], &[36, 0, 1, 0], &[0; 32], &[0x11, 3]].concat();
        let framed = [&(negotiate.len() as u32).to_be_bytes()[..], &negotiate].concat();
        smb.send(trace, Client, &framed);
        smb.send(trace, Server, &framed);
        smb.close(trace);
    };
    files(
        write_trace,
        r#"
[azure-file-sync]
storage-accounts = ["contosofs"]
"#,
    )
}

fn private() -> Files {
    let write_trace = |trace: &mut Trace| {
        let zone = "contosofs.privatelink.file.core.windows.net";
        let (right, hosts, outside) = ((v4(10, 9, 0, 4), 443), (v4(10, 7, 0, 4), 443), cloud_server(1));
        resolve(trace, 1, &[STORAGE, zone], right);
        tls_connection(trace, 50001, right, STORAGE);
        let (leaked, leaked_zone) =
            ("archivefs.file.core.windows.net", "archivefs.privatelink.file.core.windows.net");
        resolve(trace, 2, &[leaked, leaked_zone], outside);
        tls_connection(trace, 50002, outside, leaked);
        tls_connection(trace, 50003, hosts, "handmade.file.core.windows.net");
        resolve(trace, 3, &["publicfs.file.core.windows.net"], cloud_server(2));
        tls_connection(trace, 50004, cloud_server(2), "publicfs.file.core.windows.net");
        // A service without private endpoints has public addresses only.
        tls_connection(trace, 50005, cloud_server(3), "login.microsoftonline.com");
    };
    files(
        write_trace,
        r#"
[private-endpoints]
networks = ["10.9.0.0/24"]
"#,
    )
}

fn shared_endpoint() -> Files {
    let write_trace = |trace: &mut Trace| {
        let names = [("management", 4), ("syncp", 5), ("syncs", 5), ("monitoring", 6)];
        for (id, (role, host)) in (1..).zip(names) {
            let name = format!("contososync{role}.westeurope.afs.azure.net");
            let zone = format!("contososync{role}.westeurope.privatelink.afs.azure.net");
            let server = (v4(10, 9, 0, host), 443);
            resolve(trace, id, &[&name, &zone], server);
            tls_connection(trace, 50000 + id, server, &name);
        }
    };
    files(
        write_trace,
        r#"
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "West Europe"
redundancy = "LRS"
sync-services = ["contososync"]

[private-endpoints]
networks = ["10.9.0.0/24"]
"#,
    )
}

fn proxy() -> Files {
    let write_trace = |trace: &mut Trace| {
        let mut through = TcpConversation::new((SERVER, 50001), (v4(10, 1, 0, 8), 8080), [1000, 5000]);
        through.open(trace);
        through.send(
            trace,
            Client,
            format!("CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n\r\n").as_bytes(),
        );
        through.send(trace, Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
        through.send(trace, Client, &hello_record(SYNC));
        finish_tls(&mut through, trace);
        resolve(trace, 1, &[STORAGE], cloud_server(1));
        tls_connection(trace, 50002, cloud_server(1), STORAGE);
        let (query, response) = (
            messages::query(2, "vendor.example", 1),
            messages::response(2, "vendor.example", 1, 3, [&[], &[]]),
        );
        trace.dns_exchange(SERVER, v4(9, 9, 9, 9), 40002, &query, &response);
    };
    files(
        write_trace,
        r#"
[proxy]
addresses = ["10.1.0.8:8080"]

[dns]
resolvers = ["10.1.0.53"]
"#,
    )
}

fn roles() -> Files {
    let write_trace = |trace: &mut Trace| {
        let center = v4(10, 1, 9, 9);
        let mut connect = |from: End, to: End| {
            let mut tcp = TcpConversation::new(from, to, [1000, 5000]);
            tcp.open(trace);
            tcp.close(trace);
        };
        connect((center, 50001), (SERVER, 5985));
        connect((center, 50002), (SERVER, 445));
        connect((center, 50003), (SERVER, 8088));
        connect((SERVER, 50004), (center, 5985));
        connect((SERVER, 50005), (v4(10, 1, 0, 5), 3343));
        // Refused, on a port that the documents give to a role that no host has.
        let mut refused = TcpConversation::new((v4(10, 1, 4, 20), 50006), (SERVER, 40343), [1000, 5000]);
        refused.segment(trace, Client, SYN, &[]);
        refused.reset(trace, Server);
        trace.datagram(Client, (SERVER, 3343), (v4(10, 1, 0, 5), 3343), &filler(5, 60));
        trace.datagram(Server, (SERVER, 3343), (v4(10, 1, 0, 5), 3343), &filler(6, 60));
    };
    files(
        write_trace,
        r#"
[site]
products = ["azure-stack-hci"]

[roles]
servers = ["10.1.0.0/28"]
cluster-servers = ["10.1.0.0/28"]
windows-admin-center = ["10.1.9.9"]
"#,
    )
}

fn allow() -> Files {
    let write_trace = |trace: &mut Trace| {
        tls_connection(trace, 50001, (v4(203, 0, 113, 9), 443), "backup.vendor.example");
        tls_connection(trace, 50002, (v4(203, 0, 113, 10), 443), "licence.vendor.example");
        tls_connection(trace, 50003, (v4(203, 0, 113, 11), 443), "other.vendor.example");
    };
    files(
        write_trace,
        r#"
[[allow]]
name = "backup.vendor.example"
reason = "backup of the file server, ticket 4711"
expires = 2026-12-31

[[allow]]
name = "licence.vendor.example"
reason = "licence server, until the move"
expires = 2025-12-31

[[allow]]
network = "198.51.100.0/24"
port = 443
reason = "monitoring"
expires = 2026-12-31
"#,
    )
}

fn tunnels() -> Files {
    let write_trace = |trace: &mut Trace| {
        let gateway = v4(203, 0, 113, 1);
        // RFC 7296 §3.1: an IKE_SA_INIT header without payloads.
        let ike = [&filler(7, 8)[..], &[0; 8], &[0, 0x20, 34, 8], &[0; 4], &28u32.to_be_bytes()].concat();
        trace.datagram(Client, (SERVER, 500), (gateway, 500), &ike);
        // RFC 4303 §2: SPI and sequence number.
        trace.packet(
            Client,
            SERVER,
            gateway,
            50,
            &[&[0, 0, 0x12, 0x34, 0, 0, 0, 1][..], &filler(8, 64)].concat(),
        );
        // A WireGuard handshake initiation has 148 bytes, the response 92.
        let handshake = [&[1, 0, 0, 0][..], &filler(9, 144)].concat();
        let answer = [&[2, 0, 0, 0][..], &filler(10, 88)].concat();
        trace.datagram(Client, (SERVER, 51820), (v4(203, 0, 113, 2), 51820), &handshake);
        trace.datagram(Server, (SERVER, 51820), (v4(203, 0, 113, 2), 51820), &answer);
        // RFC 2784 §2: a payload of unknown protocol type; to an external gateway, then within the site.
        let gre = [&[0, 0, 0x9a, 0x9a][..], &filler(11, 40)].concat();
        trace.packet(Client, SERVER, v4(203, 0, 113, 3), 47, &gre);
        trace.packet(Client, SERVER, v4(10, 1, 0, 9), 47, &gre);
    };
    files(write_trace, "\n# Tunnels are reported without any setting.\n")
}

fn tags() -> Files {
    let write_trace = |trace: &mut Trace| {
        tls_connection(trace, 50001, (v4(52, 1, 2, 3), 443), SYNC);
        tls_connection(trace, 50002, (v4(203, 0, 113, 7), 443), "northeurope01.afs.azure.net");
        tls_connection(trace, 50003, (v4(203, 0, 113, 8), 443), "graph.microsoft.com");
        tls_connection(trace, 50006, (v4(52, 7, 7, 8), 443), "westus01.afs.azure.net");
        let mut without_name = |port, server| {
            let mut tcp = TcpConversation::new((SERVER, port), server, [1000, 5000]);
            tcp.open(trace);
            tcp.send(trace, Client, &filler(21, 40));
            tcp.send(trace, Server, &filler(22, 40));
            tcp.close(trace);
        };
        without_name(50004, (v4(52, 1, 2, 9), 443));
        without_name(50005, (v4(52, 7, 7, 7), 443));
    };
    let text = tag_file(&[("StorageSyncService", "", "52.1.2.0/24"), ("AzureCloud", "", "52.0.0.0/8")]);
    let mut files = files(
        write_trace,
        r#"
# The service tag file was written for this case, in Microsoft's published format.
[service-tags]
file = "ServiceTags_Public_20260105.json"
"#,
    );
    files.push(("ServiceTags_Public_20260105.json".into(), text.into_bytes()));
    files
}

/// A service tag file of these tags: name, region and prefix.
fn tag_file(tags: &[(&str, &str, &str)]) -> String {
    let tag = |(name, region, prefix): &(&str, &str, &str)| {
        let service = name.split('.').next().unwrap_or(name);
        format!(
            r#"    {{"name": "{name}", "id": "{name}", "properties": {{"changeNumber": 1, "region": "{region}", "platform": "Azure", "systemService": "{service}", "addressPrefixes": ["{prefix}"], "networkFeatures": []}}}}"#
        )
    };
    let list = tags.iter().map(tag).collect::<Vec<_>>().join(",\n");
    format!("{{\n  \"changeNumber\": 7,\n  \"cloud\": \"Public\",\n  \"values\": [\n{list}\n  ]\n}}\n")
}

fn other_regions() -> Files {
    let write_trace = |trace: &mut Trace| {
        tls_connection(trace, 50001, (v4(20, 60, 1, 4), 443), STORAGE);
        tls_connection(trace, 50002, (v4(20, 60, 2, 4), 443), "archivefs.file.core.windows.net");
        let mut without_name = TcpConversation::new((SERVER, 50003), (v4(52, 1, 9, 9), 443), [1000, 5000]);
        without_name.open(trace);
        without_name.send(trace, Client, &filler(21, 40));
        without_name.send(trace, Server, &filler(22, 40));
        without_name.close(trace);
    };
    let mut files = files(
        write_trace,
        r#"
[azure-file-sync]
region = "West Europe"
redundancy = "LRS"

# The service tag file was written for this case, in Microsoft's published format.
[service-tags]
file = "ServiceTags_Public_20260105.json"
"#,
    );
    let text = tag_file(&[
        ("Storage.WestEurope", "westeurope", "20.60.1.0/24"),
        ("Storage.EastUS", "eastus", "20.60.2.0/24"),
        ("StorageSyncService.EastUS", "eastus", "52.1.9.0/24"),
    ]);
    files.push(("ServiceTags_Public_20260105.json".into(), text.into_bytes()));
    files
}

fn placeholders() -> Files {
    let write_trace = |trace: &mut Trace| {
        for (port, name) in [
            (50001, "contosovault.vault.azure.net"),
            (50002, "stranger.vault.azure.net"),
            (50003, "contosowitness.blob.core.windows.net"),
            (50004, "strangewitness.blob.core.windows.net"),
            (50005, "0a1b2c3d.gw.arc.azure.com"),
        ] {
            tls_connection(trace, port, cloud_server((port - 50000) as u8), name);
        }
        let gateway = cloud_server(6);
        resolve(trace, 1, &["0a1b2c3d.gw.arc.azure.com"], gateway);
        let mut refused = TcpConversation::new((SERVER, 50006), gateway, [1000, 5000]);
        refused.segment(trace, Client, SYN, &[]);
        refused.reset(trace, Server);
        tls_connection(trace, 50007, (v4(10, 9, 0, 7), 443), "gbl.his.arc.azure.com");
    };
    files(
        write_trace,
        r#"
[site]
products = ["azure-stack-hci"]

[azure-stack-hci]
region = "West Europe"
key-vaults = ["contosovault"]
arc-gateways = ["0a1b2c3d"]
witness-storage-accounts = ["contosowitness"]
"#,
    )
}

/// The site file of the cases about requirements.
const REQUIREMENTS_SITE: &str = r#"
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "West Europe"
redundancy = "LRS"
"#;

fn blocked() -> Files {
    let write_trace = |trace: &mut Trace| {
        tls_connection(trace, 50001, cloud_server(2), "login.windows.net");
        trace.wait(31 * 60_000);
        for port in [50002, 50003] {
            let mut refused = TcpConversation::new((SERVER, port), cloud_server(1), [1000, 5000]);
            resolve(trace, port - 50000, &[SYNC], cloud_server(1));
            refused.segment(trace, Client, super::SYN, &[]);
            refused.reset(trace, Server);
        }
    };
    files(write_trace, REQUIREMENTS_SITE)
}

fn quiet() -> Files {
    let write_trace = |trace: &mut Trace| {
        tls_connection(trace, 50001, cloud_server(2), "login.windows.net");
        trace.wait(31 * 60_000);
        tls_connection(trace, 50002, cloud_server(2), "login.windows.net");
    };
    files(write_trace, REQUIREMENTS_SITE)
}
