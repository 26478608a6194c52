//! What `explain` prints about each finding code. A code without its texts does not compile.
//!
//! The error codes that an administrator sees on the server are those of the troubleshooting pages of Azure File Sync
//! (file-sync-troubleshoot-sync-errors.md, 2025-08-25).

use super::FindingCode;
use super::Texts;

impl FindingCode {
    /// What `explain` prints.
    pub(super) const fn texts(self) -> Texts {
        match self {
            FindingCode::UndocumentedDestination => Texts {
                looks_like: "an audited server opened a connection to a name that no documented row in force allows; the finding cites the \
                             statements by which the documents ask for an allowlist",
                cause: "software other than the audited product on the server, or an endpoint that a newer document adds",
                recommendation: "find the program that opened the connection and decide whether it belongs on this server; if it does, add an \
                                 exception with a reason and an expiry date to the site file",
                alternatives: "a newer edition of the document may list the name: run again with --rules or another document date",
            },
            FindingCode::BroadWildcardOnly => Texts {
                looks_like: "the only row that matches is a wildcard of which its document warns that it covers more than the product, or a row that gives a port and no host",
                cause: "another service of the same provider, a regional instance that the document's table does not list, or any host on a port that the document opens to everywhere",
                recommendation: "check what the destination is; allow its explicit name instead of the wildcard or the port",
                alternatives: "a region that opened after the document was written",
            },
            FindingCode::UndocumentedPort => Texts {
                looks_like: "a flow to a documented name on a port that none of its rows gives",
                cause: "a program that uses the name in another way, or a proxy or port mapping on the path",
                recommendation: "find the program that uses this port: by the documents, data and metadata move over HTTPS on port 443 only",
                alternatives: "an explicit proxy: declare it in the site file",
            },
            FindingCode::CleartextHttp => Texts {
                looks_like: "a plain HTTP request whose Host is a sync service or storage name",
                cause: "a program that does not use TLS; the audited product never does this",
                recommendation: "stop the program: anyone on the path can read and change what it sends",
                alternatives: "a captive portal check that uses the name",
            },
            FindingCode::InboundConnection => Texts {
                looks_like: "a public address opened a connection to an audited server",
                cause: "a published port, or an inbound rule that is missing or too wide; no documented service connects to the agent",
                recommendation: "close the port for inbound traffic: the documents require outbound connections only",
                alternatives: "a capture taken outside the address translation, or a port scan that was answered",
            },
            FindingCode::UnidentifiedDestination => Texts {
                looks_like: "a flow to a public address without a server name, a DNS response or a request that names it; the finding cites \
                             the statements by which the documents ask for an allowlist",
                cause: "a program that connects to addresses, a name resolved before the capture began, or encrypted DNS",
                recommendation: "start the capture before the server resolves names, or add the service tag file to the site file",
                alternatives: "a flow that began before the capture",
            },
            FindingCode::NameContradiction => Texts {
                looks_like: "the ClientHello names one host, and DNS or the surrounding request names another; the finding cites the rows of both",
                cause: "one address that serves several names, domain fronting, or a stale DNS response",
                recommendation: "compare both names: if only one of them is documented, find the program that opened the flow",
                alternatives: "a content delivery network that serves many names at one address",
            },
            FindingCode::NotTlsOn443 => Texts {
                looks_like: "a conversation on TCP port 443 whose payload is another protocol: plain HTTP, SSH and the like",
                cause: "a program that uses the open port for something else, or a proxy that listens on it",
                recommendation: "find the program; what it sends may be readable on the path",
                alternatives: "an explicit proxy on port 443: declare it in the site file",
            },
            FindingCode::UnknownIssuer => Texts {
                looks_like: "the server of a documented name presents a certificate (TLS 1.2 or older) whose issuer is not on the lists of \
                             issuers in force, neither by name nor by organization",
                cause: "TLS inspection on the path: Azure File Sync pins its roots and stops working with it (0x800b0109, \
                        CERT_E_UNTRUSTEDROOT), Azure Local does not support it, and its environment checker calls it SSL decryption and \
                        re-encryption",
                recommendation: "exempt the documented names from TLS inspection",
                alternatives: "a new certificate authority: look for a newer list of issuers; in TLS 1.3 and in resumed sessions certificates \
                               are not visible, and the summary says in how many flows",
            },
            FindingCode::ClientTlsTooOld => Texts {
                looks_like: "a ClientHello to a documented name whose highest version is older than TLS 1.2",
                cause: "an old operating system, or one on which TLS 1.2 is disabled; Azure File Sync stopped accepting TLS 1.0 and 1.1 on \
                        2020-08-01",
                recommendation: "enable TLS 1.2 on the server, for .NET and for WinHTTP",
                alternatives: "a program on the server other than the audited product",
            },
            FindingCode::NoAcceptedCipherSuite => Texts {
                looks_like: "a TLS 1.2 ClientHello to a name of Azure File Sync without any of ECDHE_RSA with AES 256 GCM SHA384, AES 128 GCM \
                             SHA256, AES 256 CBC SHA384, AES 128 CBC SHA256",
                cause: "a cipher suite order set by policy; the agent logs event 9301 with 0x80c87014",
                recommendation: "add one of the four suites to the server's cipher suite order",
                alternatives: "a program on the server other than the agent",
            },
            FindingCode::ServerTlsTooOld => Texts {
                looks_like: "a ServerHello with SSL 3.0, TLS 1.0 or TLS 1.1 for a documented name",
                cause: "a TLS-inspecting middlebox that does not speak TLS 1.2, which the services have required since 2020-08-01; the \
                        agent logs event 9301 with 0x80c87014",
                recommendation: "find the device that answers: compare the certificate's issuer; exempt the documented names from TLS inspection",
                alternatives: "a service of another kind at the same name",
            },
            FindingCode::UndocumentedTransport => Texts {
                looks_like: "QUIC or other datagrams to UDP port 443 of a documented name; its rows give TCP",
                cause: "a browser or another program that prefers HTTP/3; the audited products use HTTPS over TCP",
                recommendation: "no rule for UDP 443 is needed; where UDP 443 is blocked, programs use TCP port 443 instead. Find the program if \
                                 the server must run nothing but the audited products",
                alternatives: "another protocol on UDP 443, such as a VPN: the column `app` names it where it is known",
            },
            FindingCode::MalformedName => Texts {
                looks_like: "an SNI, a Host header or a proxy request whose text is no host name: characters other than letters, digits, `-` and \
                             `_`, an empty label, a label of more than 63 octets; it matches no documented row, whatever its suffix",
                cause: "a program that sends malformed names, or one that hides its destination under a documented suffix",
                recommendation: "find the program that opened the flow; judge the destination by its address",
                alternatives: "a name in UTF-8 that should have been sent as A-labels (RFC 5890 §2.3.2.1)",
            },
            FindingCode::DocumentedElsewhere => Texts {
                looks_like: "a flow to a name that a document lists for another product, region or hardware, or in an edition that is not in \
                             force; the message names the row",
                cause: "a product or region that the site file does not name, or software that uses endpoints of an older edition",
                recommendation: "if the site has that product, gateway, region or hardware, add it to the site file; otherwise treat the \
                                 destination as undocumented",
                alternatives: "a host that several services share",
            },
            FindingCode::ConnectionRefused => Texts {
                looks_like: "a connection attempt answered by a reset or by an ICMP error",
                cause: "a firewall that rejects, or no listener at the address; the server shows 0x80072efd (cannot connect) or 0x80072ee2 \
                        (time-out)",
                recommendation: "allow the connection in the firewall that refuses it: the sender of the ICMP error, or a device that resets in the server's name; check that the address is the right one",
                alternatives: "a service that was down at that time",
            },
            FindingCode::ConnectionUnanswered => Texts {
                looks_like: "the same SYN, or after a handshake the same request or later segment, sent again and again without any reply",
                cause: "a firewall that drops silently, either at once or after it has read the SNI; or no route; the server shows 0x80072ee2 \
                        (time-out)",
                recommendation: "allow the destination in the firewall; check the routes to it",
                alternatives: "a one-sided capture, or a server that was down",
            },
            FindingCode::ConnectionReset => Texts {
                looks_like: "a reset right after the handshake, a reset or close instead of a reply to the ClientHello or request, or a reset in \
                             reply to later data",
                cause: "a filter that inspects the SNI or the HTTP request and resets connections that it does not allow; the server shows \
                        0x80072efe (connection aborted)",
                recommendation: "allow the name in the filter on the path; compare with another name at the same address",
                alternatives: "a server that resets because it is overloaded or does not serve the name",
            },
            FindingCode::InjectedReset => Texts {
                looks_like: "a reset with at least two signs of injection by a third party: a TTL or an IP identification unlike its sender's, \
                             no timestamp option where its sender uses it, earlier than the round-trip time, several in a row beyond what was \
                             sent, or a sender that continues",
                cause: "a filter beside the path that forges resets after it has read the name; the server shows 0x80072efe",
                recommendation: "find the device: the TTL of its resets tells how many hops away it is; allow the name there",
                alternatives: "a load balancer that resets on behalf of its servers: compare other connections to the same address",
            },
            FindingCode::PathMtuBlackHole => Texts {
                looks_like: "full-size segments are retransmitted without an ACK, or never arrive, while smaller ones of the same flow do",
                cause: "a tunnel or VPN with a smaller MTU, and a firewall that drops the ICMP messages about it (RFC 2923 §2.1); the server \
                        shows 0x80072ee2 (time-out)",
                recommendation: "allow ICMP type 3 code 4 and ICMPv6 type 2; clamp the MSS on the tunnel",
                alternatives: "heavy loss at that time: check whether other flows lose packets of every size; or a filter that drops a connection at its first large segment",
            },
            FindingCode::HttpReplyToClientHello => Texts {
                looks_like: "a TLS ClientHello, and a reply that begins with HTTP/1",
                cause: "a proxy or filter that answers instead of the server and does not speak TLS itself; the server shows 0x80072efe or \
                        0x80c83081",
                recommendation: "find the device that answers: the headers of its reply name most products; exempt the documented names there",
                alternatives: "a service that was set up without TLS on port 443",
            },
            FindingCode::BlockPage => Texts {
                looks_like: "plain HTTP to a documented host answered by 403 or 451, by a redirect to another domain, or by a page that names \
                             a filtering product",
                cause: "a web filter; when it blocks a revocation list the server shows 0x80072f8f",
                recommendation: "allow the host in the filter, on port 80 as well",
                alternatives: "the host's own reply to a path that it does not serve, with an expired token, or to a country; where the \
                               response names the service or its content delivery network, it is no finding",
            },
            FindingCode::DroppedByHost => Texts {
                looks_like: "Packet Monitor reports that a component of this host dropped packets of the flow by a rule, and the flow came no \
                             further; only event traces of `pktmon` show this",
                cause: "the host's own firewall or another filter of the Windows Filtering Platform, or the virtual switch: an access list, a \
                        VLAN, a quality-of-service or security policy; either the packets never left this host, or they arrived and the host dropped them",
                recommendation: "change the rule on this host: list the filters that dropped packets with `netsh wfp show netevents`, the \
                                 firewall rules with `Get-NetFirewallRule`, the settings of the virtual switch with \
                                 `Get-VMNetworkAdapterExtendedAcl` and `Get-VMNetworkAdapterVlan`; the firewall on the path is not involved",
                alternatives: "none: the host reports the drop itself",
            },
            FindingCode::RevocationHostsBlocked => Texts {
                looks_like: "flows to documented Microsoft PKI hosts on port 80 look blocked, none succeeds, and port 443 works",
                cause: "a firewall that allows outbound HTTPS but not HTTP to CRL/OCSP hosts: the documented cause of 0x80072f8f, and of \
                        time-outs while a cluster is deployed",
                recommendation: "allow the CRL and OCSP hosts of the documents on port 80",
                alternatives: "revocation status that is cached, and hosts that were down",
            },
            FindingCode::TlsRefusedByServer => Texts {
                looks_like: "a fatal alert in reply to the ClientHello: version, cipher suite, name or access refused",
                cause: "a client without TLS 1.2 or without an accepted cipher suite, or a middlebox that answers instead of the server; the \
                        agent logs event 9301 with 0x80c87014",
                recommendation: "enable TLS 1.2 with ECDHE_RSA and AES GCM or CBC suites on the client; find out which device sends the alert",
                alternatives: "a server that does not serve the name; in TLS 1.3 most alerts are encrypted and not visible",
            },
            FindingCode::CertificateRefusedByClient => Texts {
                looks_like: "the client ends the handshake after it has received the server's certificate: an alert, or a close without an alert",
                cause: "TLS inspection: the certificate was issued by another authority, and the agent pins its root; the server shows \
                        0x800b0109 (untrusted root)",
                recommendation: "exempt the documented names from TLS inspection",
                alternatives: "a root certificate that is missing on the client, or a wrong clock",
            },
            FindingCode::TlsRefusedByClient => Texts {
                looks_like: "the client answers the server's handshake messages with a fatal alert that is not about the certificate",
                cause: "a middlebox that answers instead of the server and chooses a version, a cipher suite or a parameter that the client did \
                        not offer or does not accept; the agent logs event 9301 with 0x80c87014",
                recommendation: "find the device that answers; exempt the documented names from TLS inspection",
                alternatives: "a faulty client, or one whose settings are stricter than the service",
            },
            FindingCode::ProxyRefused => Texts {
                looks_like: "a request to a proxy answered by a refusal: 403, 502, 503, 504, not allowed by the ruleset; in plain HTTP, unless \
                             the response names the destination's own server",
                cause: "a rule of the proxy, or a proxy that cannot reach the destination itself; the server shows 0x80c83081 or 0x80072efd",
                recommendation: "allow the name in the proxy; for 502 and 504 check the proxy's own outbound access and its DNS",
                alternatives: "a destination that was down at that time",
            },
            FindingCode::ProxyAuthRequired => Texts {
                looks_like: "407 as the last response to a CONNECT request",
                cause: "an agent without credentials for the proxy, or an authentication method that it does not support",
                recommendation: "set the proxy and its credentials for the agent, or exempt the server from authentication",
                alternatives: "the first round of an authentication whose second round is not in the capture",
            },
            FindingCode::CaptivePortal => Texts {
                looks_like: "HTTP 511 (network authentication required), or the Windows connectivity test answered by anything other than \
                             Microsoft's response",
                cause: "a captive portal or a guest network between the server and the internet",
                recommendation: "connect the server to a network that does not require sign-in",
                alternatives: "none: only a portal behaves like this",
            },
            FindingCode::NameDoesNotExist => Texts {
                looks_like: "NXDOMAIN for a documented name, and no successful response afterwards",
                cause: "a resolver that filters, or an internal resolver that does not forward; the server shows 0x80072ee7 (name not \
                        resolved), for storage names 0x80c8309a or 0x80c83060",
                recommendation: "let the resolver forward the name; compare with an external resolver",
                alternatives: "an account or service that does not exist, or a misspelt name",
            },
            FindingCode::ResolverRefused => Texts {
                looks_like: "REFUSED for a documented name, and no successful response afterwards",
                cause: "a resolver that does not serve this client, or a policy; the server shows 0x80072ee7",
                recommendation: "ask the resolver's operator; set the site's own resolvers on the host",
                alternatives: "a resolver that is authoritative for its own zones only and was configured by mistake",
            },
            FindingCode::ResolverFailed => Texts {
                looks_like: "SERVFAIL for a documented name, and no successful response afterwards",
                cause: "a resolver that cannot reach the name's servers, or a DNSSEC validation failure; the server shows 0x80072ee7",
                recommendation: "check the resolver's own outbound access: UDP and TCP port 53",
                alternatives: "a fault of the name's own servers at that time",
            },
            FindingCode::NoAddress => Texts {
                looks_like: "a response without any record to an A query",
                cause: "a resolver that empties the responses that it filters, or a private zone without the record; the server shows \
                        0x80072ee7, for storage names 0x80c8309a or 0x80c83060",
                recommendation: "look for the name in the private zones of the resolver; let it forward the name",
                alternatives: "a name that has IPv6 addresses only",
            },
            FindingCode::QueryUnanswered => Texts {
                looks_like: "the same query again and again without a response, while the capture holds other packets to this host",
                cause: "a firewall that drops DNS, or a resolver that is down; the server shows 0x80072ee7 or 0x80072ee2",
                recommendation: "allow DNS to the site's resolvers; check that they run",
                alternatives: "responses that take another path than the one captured",
            },
            FindingCode::Sinkhole => Texts {
                looks_like: "a response with 0.0.0.0, 127.0.0.1, :: or ::1 for a documented name, or with an alias to a filter's sinkhole",
                cause: "a resolver that sinkholes what it filters; the server shows 0x80072efd (cannot connect) or 0x80c83081",
                recommendation: "remove the name from the resolver's blocklist",
                alternatives: "a test record in a private zone",
            },
            FindingCode::PrivateAddress => Texts {
                looks_like: "a response with a private address for a documented name, and no `privatelink` name in the CNAME chain",
                cause: "an internal sinkhole, or a private zone under the public name",
                recommendation: "check the address; declare it under [private-endpoints] if it is an endpoint",
                alternatives: "a private endpoint whose zone was created by hand",
            },
            FindingCode::BlockedByResolver => Texts {
                looks_like: "an extended DNS error 4, 15, 16, 17 or 18 (RFC 8914): forged, blocked, censored, filtered, prohibited",
                cause: "a filter in the resolver; the server shows 0x80072ee7 (name not resolved) or 0x80072efd (cannot connect)",
                recommendation: "remove the name from the resolver's blocklist",
                alternatives: "none: the resolver itself reports it",
            },
            FindingCode::ResolvedNeverConnected => Texts {
                looks_like: "two or more responses for a documented name, and no packet from this client to any of its addresses, nor from a host with an address of the other family that did not query for the name itself",
                cause: "a firewall on the host itself, so that no SYN reaches the wire: the first thing that the documents say to check \
                        (FileSyncSvc.exe); the server shows 0x80072ee2, 0x80072efd or 0xc00000c4 (unexpected network error)",
                recommendation: "check the host's own firewall and the filters of its security software",
                alternatives: "a proxy that is not in the capture, a monitor that only resolves names, another network interface or path",
            },
            FindingCode::ConflictingResponses => Texts {
                looks_like: "two responses to the same query, with different addresses",
                cause: "a device on the path that answers before the resolver does",
                recommendation: "find the sender of the first response: compare the TTLs of the frames; use internal resolvers",
                alternatives: "a client that queried two resolvers from one port, or a resolver that answered twice with rotating addresses",
            },
            FindingCode::DnsBlockPage => Texts {
                looks_like: "a response with an address that a filtering resolver returns for the names that it blocks",
                cause: "a filtering resolver (see rules/middleboxes/known.toml for the addresses); the server shows 0x800b0109 (untrusted root) or \
                        0x80c83081, because the block page's host has another certificate",
                recommendation: "remove the name from the resolver's blocklist",
                alternatives: "none: the address belongs to the resolver's operator",
            },
            FindingCode::OtherRegion => Texts {
                looks_like: "a flow to an instance of Azure File Sync in a region that is neither the site's nor its paired region",
                cause: "a server that is registered with a sync service in another region, or a name left over from a move",
                recommendation: "move the server to the sync service of its own region, or correct the region and the redundancy in the site file",
                alternatives: "the site is replicated to the other region, and the site file says LRS or ZRS",
            },
            FindingCode::UnlistedRegion => Texts {
                looks_like: "a name built like those of regional instances, whose region is not in the document's table",
                cause: "a region that opened after the document was written",
                recommendation: "look for a newer edition of the document; until then only the wildcard allows the name",
                alternatives: "a name of the service that is not a regional instance",
            },
            FindingCode::OtherStorageAccount => Texts {
                looks_like: "a flow to a storage account that the site file does not list, allowed by the wildcard for storage",
                cause: "another program on the server, or data copied to a foreign account",
                recommendation: "find the program that opened the connection; add the account to the site file if it is the site's",
                alternatives: "a Microsoft-owned account for updates or diagnostics, or an account of another department",
            },
            FindingCode::InternetRouting => Texts {
                looks_like: "a storage name with `-internetrouting` after the account",
                cause: "an endpoint of the account that is published for internet routing and configured in a program",
                recommendation: "use the account's ordinary name: Azure File Sync does not support internet routing",
                alternatives: "a program other than the agent that is meant to use that endpoint",
            },
            FindingCode::SmbToStorage => Texts {
                looks_like: "an SMB connection to a storage account",
                cause: "an Azure file share that is mounted on the server",
                recommendation: "unmount the share and let the agent sync: changes made directly on the share are detected late",
                alternatives: "an administrator who opened the share once",
            },
            FindingCode::OtherCloud => Texts {
                looks_like: "a flow to a name that the documents list for another cloud than the site's: public, US Government or China",
                cause: "a program that is set up for another cloud; registration of a sync server goes to the public cloud where \
                        ARM_CLOUD_METADATA_URL is not set (file-sync-troubleshoot-installation.md, 2025-07-14)",
                recommendation: "find the program and set it up for the site's cloud; data that leaves the cloud may break its rules",
                alternatives: "a `cloud` in the site file that is not the site's; a program other than the audited products",
            },
            FindingCode::StorageInOtherRegion => Texts {
                looks_like: "the file endpoint of a storage account, at an address in the service tag of storage in a region that is neither \
                             the site's nor its paired region",
                cause: "a storage account that was created in another region than the Storage Sync Service: they have to be in the same one",
                recommendation: "check the region of the storage account; if its share belongs to a sync group, move it to the region of the \
                                 Storage Sync Service, or correct the region in the site file",
                alternatives: "a file share that no sync group uses, or a tag file that is older or newer than the capture",
            },
            FindingCode::PrivateEndpointBypassed => Texts {
                looks_like: "DNS followed a private zone and ended at a public address, and a flow went there",
                cause: "a resolver that does not hold the private zone and returns the public address",
                recommendation: "link the private DNS zone to the network, or forward the zone to a resolver that holds it",
                alternatives: "a client outside the network that the endpoint is for",
            },
            FindingCode::UnexplainedPrivateAddress => Texts {
                looks_like: "a sync or storage name at a private address, without the private zone in DNS and outside the site's endpoint \
                             networks",
                cause: "an entry in a hosts file, a private zone under the public name, or a sinkhole",
                recommendation: "check the address: declare it in [private-endpoints] if it is an endpoint, and remove it from the hosts file",
                alternatives: "a DNS response received before the capture began",
            },
            FindingCode::PublicDespitePrivateEndpoints => Texts {
                looks_like: "a flow to a public address of a name that can have a private endpoint, in a site that declares private endpoints",
                cause: "an endpoint that was not created for this account or service, or a resolver that returns the public address",
                recommendation: "create the endpoint, or correct the resolver; then close public access",
                alternatives: "a second account or service that is meant to be public",
            },
            FindingCode::PrivateAddressOfPublicName => Texts {
                looks_like: "a connection to a private address for a name that a document of the site's products wants to resolve to public \
                             addresses only",
                cause: "a private DNS zone or a private link scope for Azure Arc that is linked to the network of the servers; Azure Local does \
                        not support it",
                recommendation: "remove the private zone from the resolvers of these servers, or take the servers out of the private link scope",
                alternatives: "a transparent proxy or an address translation between the client and the capture point",
            },
            FindingCode::SharedEndpointAddress => Texts {
                looks_like: "DNS returns one private address for two of the four names of a Storage Sync Service that the site file declares",
                cause: "records that were made by hand, all with the address of one endpoint: a private endpoint of a Storage Sync Service has \
                        four addresses, one for each name",
                recommendation: "compare the records of the private DNS zone with the addresses of the private endpoint's network interface, and \
                                 give each name its own",
                alternatives: "a proxy or load balancer of the site in front of the private endpoint",
            },
            FindingCode::ProxyBypassed => Texts {
                looks_like: "a connection to a documented name that went to the destination or to another proxy, not to the declared proxy",
                cause: "a component that ignores the proxy, or whose proxy is not set or differs",
                recommendation: "set the proxy for the agent and for the machine; then block connections that bypass it",
                alternatives: "names that are meant to be reached without the proxy: allow them in the site file",
            },
            FindingCode::DirectLookup => Texts {
                looks_like: "a DNS query for a documented name by a host that should leave resolution to the proxy",
                cause: "a component that ignores the proxy and will try to connect directly",
                recommendation: "find the component by the time of the query; set its proxy",
                alternatives: "a program that resolves names and still uses the proxy",
            },
            FindingCode::UndeclaredResolver => Texts {
                looks_like: "a DNS query to an address that the site file does not list under resolvers",
                cause: "a resolver set by hand or by a program; it may not hold private zones and may disclose names outside",
                recommendation: "set the site's resolvers on the host; block DNS to others",
                alternatives: "a resolver that is missing from the site file",
            },
            FindingCode::UndocumentedRolePort => Texts {
                looks_like: "a conversation between two declared roles on a port that the port tables do not give, or only in the opposite \
                             direction; the finding cites all rows that the tables have for these roles",
                cause: "another service on these hosts, or a role that is missing from the site file",
                recommendation: "find the service; add a missing role, or an exception with a reason and an expiry date",
                alternatives: "a service that other documents require, such as DNS, Kerberos or LDAP to a domain controller",
            },
            FindingCode::ExceptionExpired => Texts {
                looks_like: "an exception of the site file whose expiry date is before the capture",
                cause: "the exception was not reviewed when it expired",
                recommendation: "remove it, or give it a new expiry date with a reason",
                alternatives: "a capture with wrong times",
            },
            FindingCode::ExceptionUnused => Texts {
                looks_like: "an exception of the site file that allowed no flow",
                cause: "what it was added for no longer exists, or was not captured",
                recommendation: "remove it if a longer capture does not use it either",
                alternatives: "a capture that is too short to hold its traffic",
            },
            FindingCode::OpaqueTunnel => Texts {
                looks_like: "IKE, ESP, AH or WireGuard between any two hosts, or GRE to or from a public address",
                cause: "a VPN of the site or of one host",
                recommendation: "find out what the tunnel carries: its contents are not part of this audit",
                alternatives: "an intended site-to-site connection, or IPsec between the site's own hosts: capture before the encryption",
            },
            FindingCode::NameAtForeignAddress => Texts {
                looks_like: "a name that belongs to a service tag, at an address that is in no tag of the file; medium where only a wildcard documents the name",
                cause: "a forged server name that passes an allowlist, or a DNS response that leads elsewhere",
                recommendation: "look up the owner of the address; block it, and find the program that opened the flow",
                alternatives: "a tag file that is older or newer than the capture, or a proxy that is not in the site file",
            },
            FindingCode::NameOutsideServiceTags => Texts {
                looks_like: "a name whose row belongs to no tag, or is too broad for one, at an address that is in none",
                cause: "a content delivery network that serves the name",
                recommendation: "none, if the owner of the address is the expected network",
                alternatives: "a forged server name: no tag says where this name must be",
            },
            FindingCode::NameOutsideItsTags => Texts {
                looks_like: "a name whose row belongs to service tags that hold all of its addresses, at an address that is only in other tags, \
                             such as AzureCloud",
                cause: "a forged server name at a rented virtual machine, a DNS response that leads elsewhere, or a range that was assigned \
                        after the tag file was written",
                recommendation: "look the address up in the tag file of the week of the capture; if it is not in a tag of the row there either, \
                                 find the program that opened the flow and what resolved the name",
                alternatives: "a tag file that is older or newer than the capture, or a proxy that is not in the site file",
            },
        }
    }
}
