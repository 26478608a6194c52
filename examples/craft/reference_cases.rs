//! Cases of matching references: by printed or corrected name and port, region, cloud, product and role.
//!
//! In:  a case name.
//! Out: its capture and site file.
//! Not: verdicts; the expected rows beside the capture hold them.

use super::Files;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::conversation::Client;
use super::conversation::End;
use super::conversation::Server;
use super::conversation::TcpConversation;
use super::conversation::Trace;
use super::finish_tls;
use super::hello_record;
use super::messages::filler;
use super::site_cases::Case;
use super::site_cases::cloud_server;
use super::site_cases::files;
use super::site_cases::tls_connection;
use super::v4;

pub const CASES: &[Case] = &[
    (
        "site-misprints",
        "references matched as printed and as corrected: names, ports, a port without a host, a glob, a placeholder without a value",
        misprints,
    ),
    ("site-legacy-names", "legacy names satisfy the requirements of a site with RA-GRS", legacy),
    (
        "site-us-government",
        "a site in the US Government cloud: endpoints of its region, of the paired region and of the public cloud",
        government,
    ),
    (
        "site-new-region",
        "a region that no document lists: its own endpoints, and those of another region",
        new_region,
    ),
    (
        "site-products",
        "names that two products document, in a capture long enough to expect an endpoint that is used every 15 minutes",
        products,
    ),
    (
        "site-datagrams",
        "UDP and ICMP between declared roles: documented, documented only in the opposite direction, not documented, and unanswered",
        datagrams,
    ),
    (
        "site-undeclared-proxy",
        "documented names requested through proxies that the site does not declare",
        other_proxy,
    ),
];

/// One TLS connection for each name, each to its own address.
fn connect_to_all(trace: &mut Trace, names: &[&str]) {
    for (port, name) in (50001..).zip(names) {
        tls_connection(trace, port, cloud_server((port - 50000) as u8), name);
    }
}

fn exchange(trace: &mut Trace, port: u16, server: End, payloads: [&[u8]; 2]) {
    let mut tcp = TcpConversation::new((SERVER, port), server, [1000, 5000]);
    tcp.open(trace);
    tcp.send(trace, Client, payloads[0]);
    tcp.send(trace, Server, payloads[1]);
    tcp.close(trace);
}

fn misprints() -> Files {
    let write_trace = |trace: &mut Trace| {
        let names = [
            "dp.azurestackchi.azure.us",
            "dp.azurestackhci.azure.us",
            "tm-kailani.cae.one.microsoft.com",
            "tm-kailani-cae.one.microsoft.com",
            "wustat.windows.com",
            "azgnrelay01.servicebus.windows.net",
            "contosowitness.blob.core.windows.net",
        ];
        connect_to_all(trace, &names);
        let request = b"GET / HTTP/1.1\r\nHost: wustat.windows.com\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        exchange(trace, 50021, (v4(20, 60, 40, 21), 80), [request, answer]);
        exchange(trace, 50022, (v4(20, 60, 40, 22), 9418), [b"0032git-upload-pack /project\0", b"0000"]);
    };
    files(
        write_trace,
        r#"
# Older documents, for their misprints.
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
        |trace| connect_to_all(trace, &names),
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
        |trace| connect_to_all(trace, &names),
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
        |trace| connect_to_all(trace, &names),
        r#"
[site]
products = ["azure-file-sync"]

[azure-file-sync]
region = "Italy North"
"#,
    )
}

fn products() -> Files {
    let write_trace = |trace: &mut Trace| {
        connect_to_all(trace, &["management.azure.com", "login.microsoftonline.com", SYNC]);
        trace.wait(16 * 60_000);
        tls_connection(trace, 50010, cloud_server(10), STORAGE);
    };
    files(
        write_trace,
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
    let write_trace = |trace: &mut Trace| {
        let mut exchange = |from: End, to: End| {
            trace.datagram(Client, from, to, &filler(31, 60));
            trace.datagram(Server, from, to, &filler(32, 60));
        };
        exchange((manager, 50001), (SERVER, 3343));
        exchange((manager, 50002), (SERVER, 137));
        exchange((SERVER, 50003), (manager, 137));
        exchange((manager, 50004), (SERVER, 4999));
        // RFC 792: echo request and echo reply.
        let mut echo = |from, to, id: u8| {
            for (side, kind) in [(Client, 8), (Server, 0)] {
                let mut message = vec![kind, 0, 0, 0, 0, id, 0, 1, 1, 2, 3, 4];
                let sum = super::frame::checksum(&[&message]);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let [source, target] = if side == Client { [from, to] } else { [to, from] };
                trace.packet(side, source, target, 1, &message);
            }
        };
        echo(manager, SERVER, 1);
        echo(SERVER, node, 2);
        echo(SERVER, center, 3);
        // Heartbeats and echo requests that nothing replies to.
        let silent = v4(10, 1, 0, 6);
        for sequence in 1..5 {
            trace.wait(1500);
            trace.datagram(Client, (SERVER, 3343), (silent, 3343), &filler(33, 60));
            let mut message = vec![8, 0, 0, 0, 0, 4, 0, sequence, 1, 2, 3, 4];
            let sum = super::frame::checksum(&[&message]);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            trace.packet(Client, SERVER, silent, 1, &message);
        }
    };
    files(
        write_trace,
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
    let write_trace = |trace: &mut Trace| {
        for (port, proxy) in [(50001, v4(10, 1, 0, 8)), (50002, v4(10, 1, 0, 9)), (50003, v4(203, 0, 113, 9))]
        {
            let mut through = TcpConversation::new((SERVER, port), (proxy, 8080), [1000, 5000]);
            through.open(trace);
            let request = format!("CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n\r\n");
            through.send(trace, Client, request.as_bytes());
            through.send(trace, Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
            through.send(trace, Client, &hello_record(SYNC));
            finish_tls(&mut through, trace);
        }
    };
    let site = format!("\n[proxy]\naddresses = [\"10.1.0.8:8080\"]\n\n[dns]\nresolvers = [\"{RESOLVER}\"]\n");
    files(write_trace, &site)
}
