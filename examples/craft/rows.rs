//! The cases about what the documents' rows say: how they are met, and by which region, cloud, product and role.

use super::Files;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::accepted;
use super::say::noise;
use super::site::Case;
use super::site::files;
use super::site::out;
use super::site::tls;
use super::talk::Client;
use super::talk::End;
use super::talk::Server;
use super::talk::Talk;
use super::talk::Wire;
use super::v4;
use super::whole;

pub const CASES: &[Case] = &[
    (
        "site-print",
        "rows met as printed and as meant: names, ports, a port without a host, a glob, a placeholder that nobody fills",
        print,
    ),
    ("site-legacy", "old names satisfy the needs of a site with RA-GRS", legacy),
    (
        "site-us-government",
        "a site in the Government cloud: its own names, its pair's, the public cloud's",
        government,
    ),
    ("site-new-region", "a region that no document lists: its own names, and another region's", new_region),
    (
        "site-products",
        "names that two products document, in a capture long enough for what is used every 15 minutes",
        products,
    ),
    (
        "site-datagrams",
        "UDP and ICMP between declared roles: documented, the other way round, none",
        datagrams,
    ),
    (
        "site-other-proxy",
        "documented names that are asked of proxies which the site does not declare",
        other_proxy,
    ),
];

/// One conversation in TLS for each name, each with an address of its own.
fn all(wire: &mut Wire, names: &[&str]) {
    for (port, name) in (50001..).zip(names) {
        tls(wire, port, out((port - 50000) as u8), name);
    }
}

fn exchange(wire: &mut Wire, port: u16, server: End, words: [&[u8]; 2]) {
    let mut talk = Talk::new((SERVER, port), server, [1000, 5000]);
    talk.open(wire);
    talk.say(wire, Client, words[0]);
    talk.say(wire, Server, words[1]);
    talk.close(wire);
}

fn print() -> Files {
    let play = |wire: &mut Wire| {
        let names = [
            "dp.azurestackchi.azure.us",
            "dp.azurestackhci.azure.us",
            "tm-kailani.cae.one.microsoft.com",
            "tm-kailani-cae.one.microsoft.com",
            "wustat.windows.com",
            "azgnrelay01.servicebus.windows.net",
            "contosowitness.blob.core.windows.net",
        ];
        all(wire, &names);
        let request = b"GET / HTTP/1.1\r\nHost: wustat.windows.com\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        exchange(wire, 50021, (v4(20, 60, 40, 21), 80), [request, answer]);
        exchange(wire, 50022, (v4(20, 60, 40, 22), 9418), [b"0032git-upload-pack /project\0", b"0000"]);
    };
    files(
        play,
        r#"
# Old editions, for their misprints.
[rules]
documents = [
    "azure-file-sync@2019-06-24",
    "azure-stack-hci@2021-12-14",
    "azure-stack-hci@2022-04-28",
    "azure-arc@2026-04-01",
]
"#,
    )
}

fn legacy() -> Files {
    let names = ["kailani.one.microsoft.com", "kailani1.one.microsoft.com", "tm-kailani.one.microsoft.com"];
    files(
        |wire| all(wire, &names),
        r#"
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "West US"
redundancy = "RA-GRS"
"#,
    )
}

fn government() -> Files {
    let names = [
        "usgovarizona01.afs.azure.us",
        "usgovtexas01.afs.azure.us",
        "contosofs.file.core.usgovcloudapi.net",
        "stranger.file.core.usgovcloudapi.net",
        "login.microsoftonline.us",
        SYNC,
    ];
    files(
        |wire| all(wire, &names),
        r#"
[site]
cloud = "us-government"
products = ["azure-file-sync"]

[azure-file-sync]
region = "US Gov Arizona"
redundancy = "LRS"
storage-accounts = ["contosofs"]
"#,
    )
}

fn new_region() -> Files {
    let names = ["italynorth01.afs.azure.net", "tm-italynorth01.afs.azure.net", SYNC];
    files(
        |wire| all(wire, &names),
        r#"
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "Italy North"
"#,
    )
}

fn products() -> Files {
    let play = |wire: &mut Wire| {
        all(wire, &["management.azure.com", "login.microsoftonline.com", SYNC]);
        wire.wait(16 * 60_000);
        tls(wire, 50010, out(10), STORAGE);
    };
    files(
        play,
        r#"
[site]
cloud = "public"
products = ["azure-file-sync", "azure-arc"]

[azure-file-sync]
region = "West Europe"
redundancy = "LRS"
"#,
    )
}

fn datagrams() -> Files {
    let (center, manager, node) = (v4(10, 1, 9, 9), v4(10, 1, 8, 8), v4(10, 1, 0, 5));
    let play = |wire: &mut Wire| {
        let mut both = |from: End, to: End| {
            wire.datagram(Client, from, to, &noise(31, 60));
            wire.datagram(Server, from, to, &noise(32, 60));
        };
        both((manager, 50001), (SERVER, 3343));
        both((manager, 50002), (SERVER, 137));
        both((SERVER, 50003), (manager, 137));
        both((manager, 50004), (SERVER, 4999));
        // RFC 792: an echo, and its reply.
        let mut echo = |from, to, id: u8| {
            for (side, kind) in [(Client, 8), (Server, 0)] {
                let mut message = vec![kind, 0, 0, 0, 0, id, 0, 1, 1, 2, 3, 4];
                let sum = super::frame::checksum(&[&message]);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let [source, target] = if side == Client { [from, to] } else { [to, from] };
                wire.send(side, source, target, 1, &message);
            }
        };
        echo(manager, SERVER, 1);
        echo(SERVER, node, 2);
        echo(SERVER, center, 3);
    };
    files(
        play,
        r#"
[site]
cloud = "public"
products = ["azure-stack-hci"]

[roles]
servers = ["10.1.0.0/28"]
cluster-servers = ["10.1.0.0/28"]
management-system = ["10.1.8.8"]
windows-admin-center = ["10.1.9.9"]
"#,
    )
}

fn other_proxy() -> Files {
    let play = |wire: &mut Wire| {
        for (port, proxy) in [(50001, v4(10, 1, 0, 8)), (50002, v4(10, 1, 0, 9)), (50003, v4(203, 0, 113, 9))]
        {
            let mut through = Talk::new((SERVER, port), (proxy, 8080), [1000, 5000]);
            through.open(wire);
            let request = format!("CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n\r\n");
            through.say(wire, Client, request.as_bytes());
            through.say(wire, Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
            through.say(wire, Client, &whole(SYNC));
            accepted(&mut through, wire);
        }
    };
    let site = format!("\n[proxy]\naddresses = [\"10.1.0.8:8080\"]\n\n[dns]\nresolvers = [\"{RESOLVER}\"]\n");
    files(play, &site)
}
