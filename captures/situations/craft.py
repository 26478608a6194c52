#!/usr/bin/env python3
"""Writes the captures of this folder: situations that engineers meet, one each.

  captures/situations/craft.py            write all, next to this file
  captures/situations/craft.py hosts-     write those whose names begin so

`situations.toml` says what each shows and what the audit has to say first. Standard library only; the same bytes in every run.
"""
import pathlib, sys

sys.dont_write_bytecode = True
import ordinary  # noqa: F401 - its situations are added to all
import proxies  # noqa: F401
from packets import ACK, FIN, MICROSOFT, PSH, RST, SEGMENT, SYN, Tcp, Trace, certificate, client_hello, extension, filler, record, server_hello_12, server_hello_13, sized
from sites import ONE, TWO, ONE_V6, PROXY, SYNC, SYNC_AT, FILES, FILES_AT, LOGIN, LOGIN_AT, MANAGEMENT, MANAGEMENT_AT, LOCAL, LOCAL_AT, ARC, ARC_AT, GATEWAY, CORPORATE, file_sync, azure_local, DECLARED_PROXY, ENDPOINTS, SITUATIONS, situation, use, sign_in, work, ask_in_vain

HERE = pathlib.Path(__file__).resolve().parent


# ---------------------------------------------------------------- servers
@situation(file_sync().replace(', "2001:db8:1::/64"', ''))
def server_with_an_undeclared_ipv6_address(trace):
    trace.adapters[ONE_V6] = ONE
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.https(ONE_V6, '2603:1036::9', LOGIN)


@situation(file_sync(more=ENDPOINTS))
def private_endpoint_that_one_server_does_not_use(trace):
    trace.dns(ONE, FILES, 'contosofs.privatelink.file.core.windows.net', '10.9.0.4')
    trace.https(ONE, '10.9.0.4', FILES)
    use(trace, TWO, FILES, FILES_AT)
    for client in (ONE, TWO):
        use(trace, client, SYNC, SYNC_AT)
        sign_in(trace, client)


@situation(file_sync())
def ipv6_dropped_in_a_vlan(trace):
    trace.vlan = 20
    for index, (name, address) in enumerate(((LOGIN, LOGIN_AT), (FILES, FILES_AT), (SYNC, SYNC_AT))):
        trace.dns(ONE, name, f'2603:1036::{index + 1}')
        trace.dropped(ONE_V6, f'2603:1036::{index + 1}')
        use(trace, ONE, name, address)


# ---------------------------------------------------------------- certificates
@situation(azure_local())
def inspection_by_a_corporate_authority(trace):
    for index, name in enumerate((LOGIN, MANAGEMENT, ARC, LOCAL)):
        address = f'20.190.160.{2 + index}'
        trace.dns(ONE, name, address)
        trace.https_with(ONE, address, name, CORPORATE, rejects=index == 3)


@situation(file_sync())
def clock_of_the_server_is_wrong(trace):
    for name, address in ((LOGIN, LOGIN_AT), (SYNC, SYNC_AT), (FILES, FILES_AT)):
        for _ in range(2):
            trace.dns(ONE, name, address)
            tcp = Tcp(trace, ONE, address, 443).open().send(0, client_hello(name))
            tcp.send(1, server_hello_12(certificate(name, MICROSOFT)))
            tcp.send(0, record(21, b'\2\x2d')).close()
            trace.wait(30)


def end_after_certificate(trace, end):
    """The client answers the certificate, also with its own, and then `end` is called with the connection."""
    work(trace)
    for _ in range(3):
        trace.dns(ONE, SYNC, SYNC_AT)
        tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, client_hello(SYNC))
        tcp.send(1, server_hello_12(certificate(SYNC, MICROSOFT)))
        tcp.send(0, record(22, filler(900)) + record(20, b'\1') + record(22, filler(40)))
        end(tcp)
        trace.wait(10)


@situation(file_sync())
def alert_after_the_certificate(trace):
    end_after_certificate(trace, lambda tcp: tcp.send(1, record(21, b'\2\x28')).close())


@situation(file_sync())
def long_client_hellos_dropped(trace):
    work(trace)
    for _ in range(3):
        trace.dns(ONE, SYNC, SYNC_AT)
        trace.silent_after_hello(ONE, SYNC_AT, client_hello(SYNC, padding=1500))
        trace.wait(10)


@situation(file_sync())
def reset_after_the_certificate(trace):
    end_after_certificate(trace, lambda tcp: tcp.segment(1, RST | ACK))


@situation(file_sync())
def closed_after_the_certificate(trace):
    def end(tcp):
        tcp.segment(1, FIN | ACK)
        tcp.segment(0, FIN | ACK)
        tcp.segment(1, ACK)
    end_after_certificate(trace, end)


@situation(file_sync())
def one_attempt_of_many_refused(trace):
    work(trace)
    for attempt in range(12):
        if attempt == 6:
            tcp = Tcp(trace, ONE, SYNC_AT, 443)
            tcp.segment(0, SYN)
            tcp.segment(1, RST | ACK)
        use(trace, ONE, SYNC, SYNC_AT)
        trace.wait(60)


@situation(file_sync(more=DECLARED_PROXY))
def inspection_inside_the_proxy(trace):
    issuer = [('O', 'Contoso AG'), ('CN', 'proxy.contoso.example')]
    for name in (LOGIN, MANAGEMENT, SYNC, FILES):
        trace.connect(ONE, PROXY, name, reply=server_hello_12(certificate(name, issuer)))


@situation(file_sync())
def revocation_hosts_refused(trace):
    work(trace)
    for index, name in enumerate(('crl3.digicert.com', 'ocsp.digicert.com', 'crl.microsoft.com')):
        trace.dns(ONE, name, f'192.229.221.{90 + index}')
        trace.refused(ONE, f'192.229.221.{90 + index}', 80)


@situation(file_sync(more=DECLARED_PROXY))
def revocation_hosts_forbidden_by_the_proxy(trace):
    for name in (SYNC, FILES):
        trace.connect(ONE, PROXY, name)
    for url in ('crl3.digicert.com/a.crl', 'ocsp.digicert.com/b', 'crl.microsoft.com/pki/mscorp/crl/c.crl'):
        trace.http(ONE, PROXY, url, '403 Forbidden', 'X-Squid-Error: ERR_ACCESS_DENIED 0\r\n', port=8080, is_proxied=True)


@situation(file_sync())
def captive_portal(trace):
    trace.dns(ONE, 'www.msftconnecttest.com', '13.107.4.52')
    trace.http(ONE, '13.107.4.52', 'www.msftconnecttest.com/connecttest.txt', '302 Found', 'Location: http://portal.hotel.example/\r\n', b'')
    trace.dns(ONE, SYNC, SYNC_AT)
    trace.https_with(ONE, SYNC_AT, SYNC, [('CN', 'portal.hotel.example')], 'portal.hotel.example', rejects=True)


@situation(file_sync())
def block_page_on_443(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    for _ in range(2):
        tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, client_hello(SYNC))
        tcp.send(1, b'HTTP/1.1 403 Forbidden\r\nServer: Contoso-Filter\r\nContent-Length: 8\r\n\r\nblocked!').close()


@situation(file_sync())
def tls_alert_of_one_name(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    for _ in range(2):
        tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, client_hello(SYNC))
        tcp.send(1, record(21, b'\2\x28')).close()


@situation(file_sync())
def client_with_tls_1_0_only(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    name = extension(0, sized(2, b'\0' + sized(2, SYNC.encode())))
    body = b'\3\1' + filler(32, 1) + b'\0' + sized(2, b'\0\x2f\0\x35') + b'\1\0' + sized(2, name)
    for _ in range(2):
        tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, record(22, b'\1' + sized(3, body)))
        tcp.send(1, record(21, b'\2\x46')).close()


@situation(file_sync())
def reset_before_the_name_is_sent(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    for _ in range(2):
        tcp = Tcp(trace, ONE, SYNC_AT, 443).open()
        trace.wait(0.01)
        tcp.segment(1, RST | ACK)


@situation(file_sync())
def connection_forgotten_while_idle(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, client_hello(SYNC)).send(1, server_hello_13()).exchange()
    trace.wait(600)
    data = record(23, filler(300))
    for attempt in range(7):
        tcp.segment(0, ACK | PSH, data)
        tcp.numbers[0] -= len(data)
        trace.wait(0.3 * 2 ** attempt)
    use(trace, ONE, SYNC, SYNC_AT)


@situation(file_sync())
def frames_cut_to_96_bytes(trace):
    trace.snap_length = 96
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    for _ in range(2):
        trace.reset_after_hello(ONE, SYNC_AT, SYNC)
        trace.wait(3)


@situation(file_sync())
def dropped_after_a_capture_that_starts_late(trace):
    for _ in range(2):
        trace.https(ONE, SYNC_AT, SYNC)
    del trace.frames[:25]
    for _ in range(3):
        trace.dropped(ONE, SYNC_AT)
    sign_in(trace)


# ---------------------------------------------------------------- names
@situation(file_sync().replace('10.1.0.53', '168.63.129.16'))
def resolver_of_azure_outside_of_azure(trace):
    trace.https(ONE, FILES_AT, FILES)
    ask_in_vain(trace, SYNC, resolver='168.63.129.16', queries=3, is_answered=False)
    trace.https(ONE, FILES_AT, FILES)


@situation(file_sync())
def azure_agent_looks_for_its_platform(trace):
    work(trace)
    for port in (80, 32526):
        trace.dropped(ONE, '168.63.129.16', port)
    trace.dropped(ONE, '169.254.169.254', 80)


@situation(azure_local())
def name_unknown_to_the_resolver(trace):
    sign_in(trace)
    ask_in_vain(trace, 'westeurope.dp.kubernetesconfiguration.azure.com', rcode=3)


@situation(file_sync())
def resolver_knows_the_name_for_one_server_only(trace):
    use(trace, ONE, SYNC, SYNC_AT)
    work(trace, TWO)
    ask_in_vain(trace, SYNC, client=TWO, rcode=3)
    work(trace)


@situation(file_sync().replace('["10.1.0.53"]', '["10.1.0.53", "10.1.0.54"]'))
def one_of_two_resolvers_knows_the_name(trace):
    ask_in_vain(trace, SYNC, rcode=3)
    trace.dns(TWO, SYNC, SYNC_AT, resolver='10.1.0.54')
    trace.https(TWO, SYNC_AT, SYNC)
    work(trace)


@situation(file_sync().replace('["10.1.0.53"]', '["10.1.0.52", "10.1.0.53"]'))
def one_of_two_resolvers_silent(trace):
    for name, address in ((SYNC, SYNC_AT), (FILES, FILES_AT), (LOGIN, LOGIN_AT)):
        trace.dns(ONE, name, queries=2, is_answered=False, resolver='10.1.0.52')
        use(trace, ONE, name, address)
    trace.wait(20)
    sign_in(trace)


@situation(file_sync())
def queries_over_ipv4_and_connections_over_ipv6(trace):
    for _ in range(4):
        trace.dns(ONE, SYNC, '2603:1036::20')
        trace.https(ONE_V6, '2603:1036::20', SYNC)
        trace.wait(30)
    work(trace)


@situation(file_sync())
def resolver_fails(trace):
    sign_in(trace)
    ask_in_vain(trace, SYNC, rcode=2)


@situation(azure_local())
def resolver_silent(trace):
    for name in (LOGIN, MANAGEMENT):
        trace.dns(ONE, name, queries=4, is_answered=False)
        trace.wait(3)
    trace.https(ONE, '198.51.100.9', 'www.vendor.example')
    trace.wait(20)


@situation(azure_local())
def resolver_with_a_blocklist(trace):
    sign_in(trace)
    ask_in_vain(trace, LOCAL, '0.0.0.0')


@situation(file_sync(more=ENDPOINTS))
def zone_without_the_record(trace):
    sign_in(trace)
    ask_in_vain(trace, FILES, 'contosofs.privatelink.file.core.windows.net', rcode=3)


@situation(file_sync(more=ENDPOINTS))
def zone_with_an_empty_record(trace):
    sign_in(trace)
    ask_in_vain(trace, FILES, 'contosofs.privatelink.file.core.windows.net')


@situation(file_sync(region='US Gov Arizona', cloud='us-government', more=ENDPOINTS))
def zone_without_the_record_us_government(trace):
    use(trace, ONE, 'login.microsoftonline.us', '20.140.1.1')
    ask_in_vain(trace, 'contosofs.file.core.usgovcloudapi.net', 'contosofs.privatelink.file.core.usgovcloudapi.net', rcode=3)


@situation(azure_local(settings='\nkey-vaults = ["contosokv"]', more=ENDPOINTS))
def zone_without_the_record_of_a_key_vault(trace):
    sign_in(trace)
    ask_in_vain(trace, 'contosokv.vault.azure.net', 'contosokv.privatelink.vaultcore.azure.net', rcode=3)


@situation(azure_local())
def arc_private_link_on_azure_local(trace):
    sign_in(trace)
    trace.dns(ONE, ARC, 'gbl.privatelink.his.arc.azure.com', '10.9.0.7')
    trace.https(ONE, '10.9.0.7', ARC)


# ---------------------------------------------------------------- addresses
@situation(file_sync())
def hosts_file_with_an_old_address(trace):
    use(trace, TWO, SYNC, SYNC_AT)
    for client in (ONE, TWO):
        work(trace, client)
    for _ in range(8):
        trace.reset_after_hello(ONE, '52.138.0.99', SYNC)
        trace.wait(60)
        sign_in(trace)


@situation(file_sync(more=ENDPOINTS))
def hosts_file_with_an_old_private_endpoint(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    trace.dns(TWO, FILES, 'contosofs.privatelink.file.core.windows.net', '10.9.0.4')
    trace.https(TWO, '10.9.0.4', FILES)
    for _ in range(3):
        trace.dropped(ONE, '10.9.0.9')
        trace.wait(30)


@situation(file_sync())
def hosts_file_to_another_service(trace):
    use(trace, TWO, FILES, FILES_AT)
    sign_in(trace)
    for _ in range(3):
        trace.https_with(ONE, '20.60.99.9', FILES, MICROSOFT, '*.blob.core.windows.net', rejects=True)
        trace.wait(60)


@situation(azure_local())
def one_node_missing_in_the_rule(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
        trace.dns(client, LOCAL, LOCAL_AT)
        (trace.https(client, LOCAL_AT, LOCAL) if client == ONE else trace.refused(client, LOCAL_AT))


@situation(file_sync())
def one_node_missing_in_the_rule_for_ipv6(trace):
    for client in (ONE, TWO):
        work(trace, client)
        trace.dns(client, SYNC, '2603:1020:201::20')
    trace.https(ONE_V6, '2603:1020:201::20', SYNC)
    trace.dropped('2001:db8:1::5', '2603:1020:201::20')


@situation(azure_local())
def one_address_of_a_name_dropped(trace):
    sign_in(trace)
    use(trace, ONE, MANAGEMENT, MANAGEMENT_AT)
    trace.wait(60)
    trace.dns(ONE, MANAGEMENT, '20.50.2.11')
    trace.dropped(ONE, '20.50.2.11')


@situation(file_sync())
def nothing_passes_the_firewall(trace):
    for name, address in ((SYNC, SYNC_AT), (FILES, FILES_AT), (LOGIN, LOGIN_AT), (MANAGEMENT, MANAGEMENT_AT)):
        trace.dns(ONE, name, address)
        trace.dropped(ONE, address)


@situation(file_sync())
def outage_of_a_minute(trace):
    for is_up in (True, False, True):
        for name, address in ((SYNC, SYNC_AT), (FILES, FILES_AT)):
            trace.dns(ONE, name, address)
            (trace.https(ONE, address, name) if is_up else trace.dropped(ONE, address))
        trace.wait(60)


@situation(file_sync())
def older_name_of_the_sync_service_works(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    trace.dropped(ONE, SYNC_AT)
    use(trace, ONE, 'kailani6.one.microsoft.com', '52.138.0.30')


@situation(file_sync())
def needed_name_at_the_address_of_another(trace):
    work(trace)
    for name in (SYNC, 'www.contoso.example'):
        trace.dns(ONE, name, SYNC_AT)
    trace.dropped(ONE, SYNC_AT)


@situation(azure_local(settings='\narc-gateways = ["0a1b2c3d"]'))
def arc_gateway_and_more_dropped(trace):
    sign_in(trace)
    for name, address in ((LOCAL, LOCAL_AT), (GATEWAY, '20.61.1.4'), (ARC, ARC_AT)):
        trace.dns(ONE, name, address)
        trace.dropped(ONE, address)


@situation(file_sync())
def large_segments_dropped(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    for _ in range(2):
        tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, client_hello(SYNC)).send(1, server_hello_13()).send(0, record(23, filler(80)))
        for attempt in range(7):
            tcp.segment(0, ACK, filler(SEGMENT))
            tcp.numbers[0] -= SEGMENT
            trace.wait(0.3 * 2 ** attempt)
        tcp.segment(0, RST | ACK)
    work(trace)


@situation(file_sync())
def ipv6_dropped(trace):
    for index, name in enumerate((SYNC, FILES, LOGIN)):
        address, address_v6 = f'20.190.160.{2 + index}', f'2603:1036::{2 + index}'
        trace.dns(ONE, name, address)
        trace.dns(ONE, name, address_v6)
        trace.dropped(ONE_V6, address_v6)
        trace.https(ONE, address, name)


@situation(file_sync())
def ipv6_rejected(trace):
    trace.dns(ONE, SYNC, SYNC_AT)
    trace.dns(ONE, SYNC, '2603:1020:201::20')
    for _ in range(3):
        tcp = Tcp(trace, ONE_V6, '2603:1020:201::20', 443)
        tcp.segment(0, SYN)
        trace.icmpv6_error('2001:db8:1::1', ONE_V6, tcp.ends[0][1], '2603:1020:201::20', 1)
        trace.https(ONE, SYNC_AT, SYNC)


@situation(file_sync(redundancy='GRS'))
def paired_region_dropped(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'northeurope01.afs.azure.net', '52.138.0.21')
    trace.dropped(ONE, '52.138.0.21')


@situation(file_sync())
def worked_until_a_change(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.wait(300)
    for _ in range(2):
        trace.dns(ONE, SYNC, SYNC_AT)
        trace.dropped(ONE, SYNC_AT)
    work(trace)


@situation(file_sync())
def firewall_of_the_server_itself(trace):
    for _ in range(4):
        trace.dns(ONE, SYNC, SYNC_AT)
        trace.wait(30)
    work(trace)
    trace.wait(8)
    sign_in(trace)


@situation(file_sync(region='China East 2', cloud='china'))
def china_sync_dropped(trace):
    use(trace, ONE, 'login.partner.microsoftonline.cn', '40.72.1.1')
    trace.dns(ONE, 'chinaeast201.afs.azure.cn', '40.73.1.1')
    for _ in range(2):
        trace.dropped(ONE, '40.73.1.1')


@situation(azure_local())
def time_server_dropped(trace):
    sign_in(trace)
    trace.dns(ONE, 'time.windows.com', '168.61.215.74')
    for _ in range(4):
        trace.udp(ONE, 123, '168.61.215.74', 123, b'\x23' + b'\0' * 47)
        trace.wait(8)
    sign_in(trace)


@situation(file_sync())
def server_too_slow_once(trace):
    work(trace)
    trace.dns(ONE, SYNC, SYNC_AT)
    tcp = Tcp(trace, ONE, SYNC_AT, 443).open().send(0, client_hello(SYNC))
    trace.wait(21)
    tcp.segment(0, RST | ACK)
    trace.wait(5)
    trace.https(ONE, SYNC_AT, SYNC)


# ---------------------------------------------------------------- inside the site
@situation(azure_local())
def cluster_heartbeat_one_way(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    for _ in range(12):
        trace.udp(ONE, 3343, TWO, 3343, filler(60))
        trace.wait(1)


@situation(azure_local().replace('\n[dns]', 'windows-admin-center = ["10.1.9.9"]\n\n[dns]'))
def windows_admin_center_cannot_reach_a_node(trace):
    sign_in(trace)
    trace.dropped('10.1.9.9', ONE, 5985)


@situation(azure_local())
def cluster_port_dropped(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    trace.dropped(ONE, TWO, 5985)


@situation(azure_local())
def cluster_node_restarts(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    for is_up in (True, False, True):
        (trace.http(ONE, TWO, 'node2/wsman', port=5985) if is_up else trace.dropped(ONE, TWO, 5985))
        trace.wait(60)


# ---------------------------------------------------------------- filters that say who they are
@situation(file_sync())
def resolver_returns_a_block_page(trace):
    issuer = [('O', 'Cisco'), ('CN', 'Cisco Umbrella Secondary SubCA')]
    work(trace)
    for _ in range(2):
        trace.dns(ONE, SYNC, '146.112.61.106')
        trace.https_with(ONE, '146.112.61.106', SYNC, issuer, rejects=True)


@situation(file_sync())
def firewall_answers_with_its_sinkhole(trace):
    work(trace)
    for _ in range(2):
        trace.dns(ONE, SYNC, 'sinkhole.paloaltonetworks.com', '198.135.184.22')
        trace.dropped(ONE, '198.135.184.22')


@situation(file_sync())
def azure_firewall_denies_revocation_lists(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'crl3.digicert.com', '203.0.113.33')
    for _ in range(2):
        trace.http(ONE, '203.0.113.33', 'crl3.digicert.com/list.crl', '470 status code 470',
                   body=b'Action: Deny. Reason: No rule matched. Proceeding with default action.')


@situation(file_sync())
def zero_trust_client_gives_out_addresses(trace):
    for index, name in enumerate((LOGIN, MANAGEMENT, SYNC, FILES)):
        use(trace, ONE, name, f'100.64.1.{4 + index}')


# ---------------------------------------------------------------- nothing is blocked
@situation(file_sync())
def storage_account_of_somebody_else(trace):
    sign_in(trace)
    use(trace, ONE, 'archivefs.file.core.windows.net', FILES_AT)


@situation(file_sync())
def file_share_mounted_over_smb(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dropped(ONE, FILES_AT, 445)


@situation(file_sync())
def capture_starts_in_the_middle(trace):
    tcp = Tcp(trace, ONE, SYNC_AT, 443)
    for _ in range(6):
        tcp.exchange()
        trace.wait(10)
        trace.dns(ONE, SYNC, SYNC_AT)
    work(trace)
    trace.dns(ONE, MANAGEMENT, queries=2, is_answered=False)


def main():
    for name, (write, site) in SITUATIONS.items():
        if name.startswith(tuple(sys.argv[1:]) or ''):
            trace = Trace()
            write(trace)
            trace.write(HERE / f'{name}.pcap')
            (HERE / f'{name}.toml').write_text(site)


if __name__ == '__main__':
    main()
