//! The cases with a site file: what the site's own facts make of traffic.
//!
//! Each case holds what is right beside what is not, so that a check that says too much shows as well.

use super::Files;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::accepted;
use super::file::pcap;
use super::say;
use super::say::noise;
use super::talk::Client;
use super::talk::End;
use super::talk::Server;
use super::talk::Talk;
use super::talk::Wire;
use super::v4;
use super::whole;
use super::wrap::ETHERNET;

/// A case: its name, what it shows, and how its files are made.
pub type Case = (&'static str, &'static str, fn() -> Files);

pub const CASES: &[Case] = &[
    ("site-lrs", "a site with LRS: its own region is right, the pair's and a third are not", || {
        regions("LRS")
    }),
    ("site-grs", "the same traffic, and GRS: the pair and the discovery name are needed too", || {
        regions("GRS")
    }),
    (
        "site-accounts",
        "the site's storage account, a stranger's, a route over the internet, and SMB",
        accounts,
    ),
    ("site-private-endpoints", "private endpoints: reached right, leaked, unproven, and passed by", private),
    ("site-proxy", "a declared proxy that is used, and passed by; a resolver that is not the site's", proxy),
    (
        "site-roles",
        "conversations between declared roles: documented ports, the other way round, none",
        roles,
    ),
    ("site-allow", "exceptions: in force, expired and still needed, never used", allow),
    ("site-tunnels", "IKE, ESP, WireGuard and GRE to gateways outside, and GRE inside the site", tunnels),
    ("site-tags", "service tags that speak for an address, against it, and in place of a name", tags),
    (
        "site-placeholders",
        "names that fill the placeholders of the documents, and names that do not",
        placeholders,
    ),
    (
        "site-blocked",
        "a name that the site needs is tried and refused, in a capture long enough to expect it",
        blocked,
    ),
    ("site-quiet", "half an hour without a word to the sync service", quiet),
];

/// A capture and its site file.
pub fn files(play: impl FnOnce(&mut Wire), site: &str) -> Files {
    let mut wire = Wire::default();
    play(&mut wire);
    vec![
        ("capture.pcap".into(), pcap(ETHERNET, &wire.records)),
        ("site.toml".into(), site.trim_start().as_bytes().to_vec()),
    ]
}

/// An address of the cloud.
pub const fn out(host: u8) -> End {
    (v4(20, 60, 40, host), 443)
}

/// A whole conversation in TLS.
pub fn tls(wire: &mut Wire, port: u16, server: End, name: &str) {
    let mut talk = Talk::new((SERVER, port), server, [1000, 5000]);
    talk.open(wire);
    talk.say(wire, Client, &whole(name));
    accepted(&mut talk, wire);
}

/// A question for the first name, answered along the chain with an address.
fn look_up(wire: &mut Wire, id: u16, chain: &[&str], server: End) {
    let mut answers: Vec<Vec<u8>> =
        chain.windows(2).map(|step| say::resource(step[0], 5, &say::labels(step[1]))).collect();
    let std::net::IpAddr::V4(address) = server.0 else { return };
    answers.push(say::resource(chain[chain.len() - 1], 1, &address.octets()));
    let (question, answer) =
        (say::query(id, chain[0], 1), say::response(id, chain[0], 1, 0, [&answers, &[]]));
    wire.look_up(SERVER, RESOLVER, 40000 + id, &question, &answer);
}

fn regions(redundancy: &str) -> Files {
    let play = |wire: &mut Wire| {
        for (port, name) in [
            (50001, SYNC),
            (50002, "northeurope01.afs.azure.net"),
            (50003, "tm-westeurope01.afs.azure.net"),
            (50004, "southeastasia01.afs.azure.net"),
            (50005, "polandcentral01.afs.azure.net"),
            (50006, STORAGE),
        ] {
            tls(wire, port, out((port - 50000) as u8), name);
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
    files(play, &site)
}

fn accounts() -> Files {
    let play = |wire: &mut Wire| {
        look_up(wire, 1, &[STORAGE], out(1));
        tls(wire, 50001, out(1), STORAGE);
        tls(wire, 50002, out(2), "contosofs-secondary.file.core.windows.net");
        tls(wire, 50003, out(3), "stranger.blob.core.windows.net");
        tls(wire, 50004, out(4), "contosofs-internetrouting.file.core.windows.net");
        let mut smb = Talk::new((SERVER, 50005), (out(1).0, 445), [1000, 5000]);
        smb.open(wire);
        // MS-SMB2 2.2.3: NEGOTIATE, one dialect.
        let header = [&[0xfe, b'S', b'M', b'B', 64, 0][..], &[0; 58]].concat();
        let negotiate = [&header[..], &[36, 0, 1, 0], &[0; 32], &[0x11, 3]].concat();
        let framed = [&(negotiate.len() as u32).to_be_bytes()[..], &negotiate].concat();
        smb.say(wire, Client, &framed);
        smb.say(wire, Server, &framed);
        smb.close(wire);
    };
    files(
        play,
        r#"
[azure-file-sync]
storage-accounts = ["contosofs"]
"#,
    )
}

fn private() -> Files {
    let play = |wire: &mut Wire| {
        let zone = "contosofs.privatelink.file.core.windows.net";
        let (right, hosts, outside) = ((v4(10, 9, 0, 4), 443), (v4(10, 7, 0, 4), 443), out(1));
        look_up(wire, 1, &[STORAGE, zone], right);
        tls(wire, 50001, right, STORAGE);
        let (leaked, leaked_zone) =
            ("archivefs.file.core.windows.net", "archivefs.privatelink.file.core.windows.net");
        look_up(wire, 2, &[leaked, leaked_zone], outside);
        tls(wire, 50002, outside, leaked);
        tls(wire, 50003, hosts, "handmade.file.core.windows.net");
        look_up(wire, 3, &["publicfs.file.core.windows.net"], out(2));
        tls(wire, 50004, out(2), "publicfs.file.core.windows.net");
        // What has no private endpoint is public everywhere.
        tls(wire, 50005, out(3), "login.microsoftonline.com");
    };
    files(
        play,
        r#"
[private-endpoints]
networks = ["10.9.0.0/24"]
"#,
    )
}

fn proxy() -> Files {
    let play = |wire: &mut Wire| {
        let mut through = Talk::new((SERVER, 50001), (v4(10, 1, 0, 8), 8080), [1000, 5000]);
        through.open(wire);
        through.say(
            wire,
            Client,
            format!("CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n\r\n").as_bytes(),
        );
        through.say(wire, Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
        through.say(wire, Client, &whole(SYNC));
        accepted(&mut through, wire);
        look_up(wire, 1, &[STORAGE], out(1));
        tls(wire, 50002, out(1), STORAGE);
        let (question, answer) =
            (say::query(2, "vendor.example", 1), say::response(2, "vendor.example", 1, 3, [&[], &[]]));
        wire.look_up(SERVER, v4(9, 9, 9, 9), 40002, &question, &answer);
    };
    files(
        play,
        r#"
[proxy]
addresses = ["10.1.0.8:8080"]

[dns]
resolvers = ["10.1.0.53"]
"#,
    )
}

fn roles() -> Files {
    let play = |wire: &mut Wire| {
        let center = v4(10, 1, 9, 9);
        let mut words = |from: End, to: End| {
            let mut talk = Talk::new(from, to, [1000, 5000]);
            talk.open(wire);
            talk.close(wire);
        };
        words((center, 50001), (SERVER, 5985));
        words((center, 50002), (SERVER, 445));
        words((center, 50003), (SERVER, 8088));
        words((SERVER, 50004), (center, 5985));
        words((SERVER, 50005), (v4(10, 1, 0, 5), 3343));
        wire.datagram(Client, (SERVER, 3343), (v4(10, 1, 0, 5), 3343), &noise(5, 60));
        wire.datagram(Server, (SERVER, 3343), (v4(10, 1, 0, 5), 3343), &noise(6, 60));
    };
    files(
        play,
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
    let play = |wire: &mut Wire| {
        tls(wire, 50001, (v4(203, 0, 113, 9), 443), "backup.vendor.example");
        tls(wire, 50002, (v4(203, 0, 113, 10), 443), "licence.vendor.example");
        tls(wire, 50003, (v4(203, 0, 113, 11), 443), "other.vendor.example");
    };
    files(
        play,
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
    let play = |wire: &mut Wire| {
        let gateway = v4(203, 0, 113, 1);
        // RFC 7296 §3.1: IKE_SA_INIT, a header and no payload.
        let ike = [&noise(7, 8)[..], &[0; 8], &[0, 0x20, 34, 8], &[0; 4], &28u32.to_be_bytes()].concat();
        wire.datagram(Client, (SERVER, 500), (gateway, 500), &ike);
        // RFC 4303 §2: SPI and sequence number.
        wire.send(
            Client,
            SERVER,
            gateway,
            50,
            &[&[0, 0, 0x12, 0x34, 0, 0, 0, 1][..], &noise(8, 64)].concat(),
        );
        // The first message of WireGuard has 148 bytes.
        let handshake = [&[1, 0, 0, 0][..], &noise(9, 144)].concat();
        let answer = [&[2, 0, 0, 0][..], &noise(10, 88)].concat();
        wire.datagram(Client, (SERVER, 51820), (v4(203, 0, 113, 2), 51820), &handshake);
        wire.datagram(Server, (SERVER, 51820), (v4(203, 0, 113, 2), 51820), &answer);
        // RFC 2784 §2: a payload whose type nobody knows; from outside, then inside the site.
        let gre = [&[0, 0, 0x9a, 0x9a][..], &noise(11, 40)].concat();
        wire.send(Client, SERVER, v4(203, 0, 113, 3), 47, &gre);
        wire.send(Client, SERVER, v4(10, 1, 0, 9), 47, &gre);
    };
    files(play, "\n# Tunnels are told without being asked for.\n")
}

fn tags() -> Files {
    let play = |wire: &mut Wire| {
        tls(wire, 50001, (v4(52, 1, 2, 3), 443), SYNC);
        tls(wire, 50002, (v4(203, 0, 113, 7), 443), "northeurope01.afs.azure.net");
        tls(wire, 50003, (v4(203, 0, 113, 8), 443), "graph.microsoft.com");
        let mut nameless = |port, server| {
            let mut talk = Talk::new((SERVER, port), server, [1000, 5000]);
            talk.open(wire);
            talk.say(wire, Client, &noise(21, 40));
            talk.say(wire, Server, &noise(22, 40));
            talk.close(wire);
        };
        nameless(50004, (v4(52, 1, 2, 9), 443));
        nameless(50005, (v4(52, 7, 7, 7), 443));
    };
    let prefix = |name: &str, prefix: &str| {
        format!(
            r#"    {{"name": "{name}", "id": "{name}", "properties": {{"changeNumber": 1, "region": "", "platform": "Azure", "systemService": "{name}", "addressPrefixes": ["{prefix}"], "networkFeatures": []}}}}"#
        )
    };
    let list = [prefix("StorageSyncService", "52.1.2.0/24"), prefix("AzureCloud", "52.0.0.0/8")].join(",\n");
    let text =
        format!("{{\n  \"changeNumber\": 7,\n  \"cloud\": \"Public\",\n  \"values\": [\n{list}\n  ]\n}}\n");
    let mut files = files(
        play,
        r#"
# The tag file is made for this case, in the form in which the real ones are published.
[service-tags]
file = "ServiceTags_Public_20260105.json"
"#,
    );
    files.push(("ServiceTags_Public_20260105.json".into(), text.into_bytes()));
    files
}

fn placeholders() -> Files {
    let play = |wire: &mut Wire| {
        for (port, name) in [
            (50001, "contosovault.vault.azure.net"),
            (50002, "stranger.vault.azure.net"),
            (50003, "contosowitness.blob.core.windows.net"),
            (50004, "strangewitness.blob.core.windows.net"),
            (50005, "0a1b2c3d.gw.arc.azure.com"),
        ] {
            tls(wire, port, out((port - 50000) as u8), name);
        }
    };
    files(
        play,
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

/// The site of the two cases about needs.
const NEEDS: &str = r#"
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "West Europe"
redundancy = "LRS"
"#;

fn blocked() -> Files {
    let play = |wire: &mut Wire| {
        tls(wire, 50001, out(2), "login.windows.net");
        wire.wait(31 * 60_000);
        for port in [50002, 50003] {
            let mut refused = Talk::new((SERVER, port), out(1), [1000, 5000]);
            look_up(wire, port - 50000, &[SYNC], out(1));
            refused.segment(wire, Client, super::SYN, &[]);
            refused.reset(wire, Server);
        }
    };
    files(play, NEEDS)
}

fn quiet() -> Files {
    let play = |wire: &mut Wire| {
        tls(wire, 50001, out(2), "login.windows.net");
        wire.wait(31 * 60_000);
        tls(wire, 50002, out(2), "login.windows.net");
    };
    files(play, NEEDS)
}
