//! Every finding there is: its stable code and what `explain` prints.

mod blocked;
mod signatures;
mod site;

pub use signatures::Signature;
pub use signatures::reason;
pub use signatures::reasons;
pub use signatures::signature;
pub use signatures::signatures;

use crate::judge::rows::Severity;

/// What a finding's code means.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// Stable code.
    pub code: &'static str,
    /// How much it matters, unless a check says otherwise.
    pub severity: Severity,
    /// A few words.
    pub title: &'static str,
    /// What it looks like on the wire.
    pub looks_like: &'static str,
    /// What usually causes it.
    pub cause: &'static str,
    /// What to do.
    pub action: &'static str,
    /// What else it could be.
    pub else_could_be: &'static str,
}

/// The explanation of a code, whatever its case.
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    catalogue().find(|entry| entry.code.eq_ignore_ascii_case(code))
}

/// All findings, by code.
pub fn catalogue() -> impl Iterator<Item = &'static Explanation> {
    TRAFFIC.iter().chain(blocked::BLOCKED).chain(site::SITE)
}

const TRAFFIC: &[Explanation] = &[
    Explanation {
        code: "AFS101",
        severity: Severity::Medium,
        title: "destination not documented",
        looks_like: "an audited server opened a connection to a name that no row of the documents in force allows; there is no row to \
                     cite, so the finding cites the sentences by which the documents ask for a list of what is allowed",
        cause: "software other than the audited product on the server, or an endpoint that a newer document adds",
        action: "find the program that opened it; remove it, or add an exception with a reason and an expiry to the site file",
        else_could_be: "a newer edition of the document may list the name: run again with --rules or another document date",
    },
    Explanation {
        code: "AFS102",
        severity: Severity::Low,
        title: "documented only by a wildcard that the document calls too broad",
        looks_like: "the only row that matches is a wildcard, and its document warns that more than the product lies under it",
        cause: "another service of the same provider, or a regional instance that the document's table does not list",
        action: "allow the explicit regional names instead of the wildcard, and check what the destination is",
        else_could_be: "a region opened after the document was written",
    },
    Explanation {
        code: "AFS103",
        severity: Severity::High,
        title: "not on 443 where 443 is demanded",
        looks_like: "a flow to a documented name on a port that its row does not give",
        cause: "a program that uses the name in another way, or a proxy or port mapping on the path",
        action: "find the program; the documents move data and metadata over HTTPS on port 443 only",
        else_could_be: "an explicit proxy: declare it in the site file",
    },
    Explanation {
        code: "AFS104",
        severity: Severity::High,
        title: "unencrypted HTTP to a sync or storage name",
        looks_like: "a plain HTTP request whose Host is a sync service or storage name",
        cause: "a program that does not use TLS; the product itself never does this",
        action: "stop the program: what it sends can be read and changed on the path",
        else_could_be: "a captive portal check that reuses the name",
    },
    Explanation {
        code: "AFS105",
        severity: Severity::High,
        title: "inbound connection from outside",
        looks_like: "a public address opened a connection to an audited server",
        cause: "a published port or a missing inbound rule; no documented service connects to the agent",
        action: "close the inbound rule: the documents need outbound connections only",
        else_could_be: "a capture outside of the address translation, or a scan that was answered",
    },
    Explanation {
        code: "AFS106",
        severity: Severity::Low,
        title: "no name known for a destination",
        looks_like: "a flow to a public address with no server name, no DNS answer and no request that names it; the finding cites the \
                     sentences by which the documents ask for a list of what is allowed",
        cause: "a program that connects to addresses, a name looked up before the capture began, or encrypted DNS",
        action: "start the capture before the server looks names up, or add the service tag file to the site file",
        else_could_be: "a flow that began before the capture",
    },
    Explanation {
        code: "AFS107",
        severity: Severity::Medium,
        title: "two sources name a flow differently",
        looks_like: "the TLS hello names one host, and DNS or the request around it names another; the finding cites the rows of both",
        cause: "a shared address with several names, domain fronting, or a stale DNS answer",
        action: "compare both names in the row: if only one is documented, find the program that opened the flow",
        else_could_be: "one address behind a content network that answers for many names",
    },
    Explanation {
        code: "AFS108",
        severity: Severity::Medium,
        title: "not TLS on port 443",
        looks_like: "a conversation on TCP port 443 whose bytes are another protocol: plain HTTP, SSH and the like",
        cause: "a program that uses the open port for something else, or a proxy that listens there",
        action: "find the program; what it sends may be readable on the path",
        else_could_be: "an explicit proxy on port 443: declare it in the site file",
    },
    Explanation {
        code: "AFS109",
        severity: Severity::High,
        title: "certificate by an issuer that is in no list",
        looks_like: "the server of a documented name shows a certificate (TLS 1.2 or older) whose issuer is neither named in the \
                     lists of issuers in force nor of an organization named there",
        cause: "a box on the path that opens TLS: Azure File Sync pins its roots and stops working behind it (0x800b0109, \
                CERT_E_UNTRUSTEDROOT), Azure Local does not support it, and its environment checker calls it SSL decryption and \
                re-encryption",
        action: "exempt the documented names from TLS inspection",
        else_could_be: "a new authority: look for a newer list of issuers; under TLS 1.3 and in resumed sessions certificates are not visible, and the summary says of how many flows",
    },
    Explanation {
        code: "AFS110",
        severity: Severity::High,
        title: "client offers no TLS that the services take",
        looks_like: "a ClientHello to a documented name whose highest version is older than TLS 1.2",
        cause: "an old system, or one on which TLS 1.2 was switched off; Azure File Sync took TLS 1.0 and 1.1 away on 2020-08-01",
        action: "enable TLS 1.2 on the server, for .NET and for WinHTTP",
        else_could_be: "another program on the server than the audited product",
    },
    Explanation {
        code: "AFS111",
        severity: Severity::High,
        title: "client offers none of the cipher suites",
        looks_like: "a ClientHello of TLS 1.2 to a name of Azure File Sync without any of ECDHE_RSA with AES 256 GCM SHA384, \
                     AES 128 GCM SHA256, AES 256 CBC SHA384, AES 128 CBC SHA256",
        cause: "an order of cipher suites set by policy; the agent logs 9301 with 0x80c87014",
        action: "add one of the four suites to the server's order of cipher suites",
        else_could_be: "another program on the server than the agent",
    },
    Explanation {
        code: "AFS112",
        severity: Severity::High,
        title: "server's side chose a TLS that the services gave up",
        looks_like: "a ServerHello of SSL 3.0, TLS 1.0 or 1.1 for a documented name",
        cause: "a box in the server's place that opens TLS and is older than the services, which take TLS 1.2 and newer since \
                2020-08-01; the agent logs 9301 with 0x80c87014",
        action: "find who answers: compare the certificate's issuer; exempt the documented names from TLS inspection",
        else_could_be: "a service of another kind at the same name",
    },
    Explanation {
        code: "AFS201",
        severity: Severity::High,
        title: "connection refused",
        looks_like: "a connection attempt answered by a reset, or by an ICMP error",
        cause: "a firewall that rejects, or nothing listening at the address; the server shows 0x80072efd (cannot connect) or \
                0x80072ee2 (time-out)",
        action: "allow the flow in the firewall that the frames name; check that the address is the right one",
        else_could_be: "a service that was down at that time",
    },
    Explanation {
        code: "AFS202",
        severity: Severity::High,
        title: "connection attempt never answered",
        looks_like: "the same SYN sent again and again, or behind a handshake the same request, or what came later, and nothing \
                     at all comes back",
        cause: "a firewall that drops in silence: at once, or when it has read the name in the hello; or no route; the server \
                shows 0x80072ee2 (time-out)",
        action: "allow the destination in the firewall; check routes to it",
        else_could_be: "a capture that sees only one direction, or a server that was down",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What an administrator sees on the server leads to what the wire shows: the codes of the troubleshooting pages of
    /// Azure File Sync (2025-08-25, 2025-01-23) that have a picture on the wire.
    #[test]
    fn documented_errors_are_named() {
        for code in [
            "0x80072ee7",
            "0x80072ee2",
            "0x80072efe",
            "0x80072efd",
            "0x80c83081",
            "0x80c8309a",
            "0x80c83060",
            "0xc00000c4",
            "0x80072f8f",
            "0x800b0109",
            "0x80c87014",
            "0x80c83078",
        ] {
            let own = signatures().filter_map(Signature::explanation);
            assert!(
                catalogue()
                    .copied()
                    .chain(own)
                    .any(|entry| entry.cause.contains(code) || entry.else_could_be.contains(code)),
                "{code}"
            );
        }
    }

    #[test]
    fn codes_and_signatures_are_told_once() {
        let mut codes: Vec<&str> = catalogue().map(|entry| entry.code).collect();
        let mut words: Vec<&str> = signatures().map(|entry| entry.word).collect();
        for list in [&mut codes, &mut words] {
            let all = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), all);
        }
    }
}
