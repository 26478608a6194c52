"""Ordinary situations that look like a fault of the firewall, and are none."""
import struct

from packets import Tcp, filler, sized
from sites import DECLARED_PROXY, ENDPOINTS, FILES, FILES_AT, LOGIN, LOGIN_AT, ONE, ONE_V6, PROXY, SYNC, SYNC_AT, TWO, azure_local, file_sync, sign_in, situation, use, work

DIRECTORY = '10.1.0.61'
SQUID = 'Via: 1.1 proxy.contoso.example (squid/6.6)\r\n'


def remote_management(trace, client, server):
    """A request of Windows Remote Management."""
    tcp = Tcp(trace, client, server, 5985).open()
    tcp.send(0, b'POST /wsman HTTP/1.1\r\nHost: node2:5985\r\nContent-Length: 0\r\n\r\n')
    tcp.send(1, b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n').close()


# ---------------------------------------------------------------- who answered
@situation(file_sync(more=DECLARED_PROXY))
def destination_refuses_through_the_proxy(trace):
    for name in (SYNC, FILES, LOGIN):
        trace.connect(ONE, PROXY, name)
    for url, status, server in (('ocsp.digicert.com/a', '503 Service Unavailable', 'ECAcc (ama/8A2D)'),
                                ('crl3.digicert.com/a.crl', '403 Forbidden', 'ECS (ama/8A2D)'),
                                ('crl.microsoft.com/pki/crl/a.crl', '403 Forbidden', 'AkamaiGHost')):
        trace.http(ONE, PROXY, url, status, f'Server: {server}\r\n{SQUID}', port=8080, is_proxied=True)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_forwards_a_refusal_of_a_server(trace):
    for name in (SYNC, FILES, LOGIN):
        trace.connect(ONE, PROXY, name)
    trace.http(ONE, PROXY, 'crl.microsoft.com/pki/crl/a.crl', '403 Forbidden', f'Server: nginx\r\n{SQUID}', port=8080, is_proxied=True)


@situation(file_sync())
def download_that_its_server_forbids(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'download.windowsupdate.com', '23.50.2.5')
    trace.http(ONE, '23.50.2.5', 'download.windowsupdate.com/d/x.cab', '403 Forbidden', 'Server: ECAcc (ama/8A2D)\r\nX-Cache: 403-HIT\r\n', b'<?xml version="1.0"')


@situation(file_sync())
def refusal_of_which_the_sender_is_not_known(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'crl.microsoft.com', '23.50.2.5')
    trace.http(ONE, '23.50.2.5', 'crl.microsoft.com/pki/crl/a.crl', '403 Forbidden', '', b'<html>Forbidden')


@situation(file_sync())
def proxy_on_the_path_cannot_reach_the_host(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'download.windowsupdate.com', '23.50.2.5')
    trace.http(ONE, '23.50.2.5', 'download.windowsupdate.com/d/x.cab', '503 Service Unavailable', f'Server: squid/6.6\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n{SQUID}', b'<html>')


# ---------------------------------------------------------------- hosts of the site
@situation(azure_local().replace('[dns]', f'active-directory = ["{DIRECTORY}"]\n\n[dns]'))
def host_of_the_site_is_down(trace):
    sign_in(trace)
    sign_in(trace, TWO)
    for port in (389, 9389, 445, 135):
        trace.dropped(ONE, DIRECTORY, port)
    sign_in(trace)


@situation(azure_local())
def cluster_node_does_not_serve_for_a_while(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    remote_management(trace, ONE, TWO)
    trace.wait(60)
    for port in (5985, 445):
        trace.dropped(ONE, TWO, port)
    trace.refused(ONE, TWO, 5985)
    trace.wait(20)
    remote_management(trace, ONE, TWO)
    for client in (ONE, TWO):
        sign_in(trace, client)


@situation(azure_local())
def remote_management_without_https(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    for _ in range(3):
        trace.refused(ONE, TWO, 5986)
        remote_management(trace, ONE, TWO)


@situation(azure_local())
def updates_from_other_nodes(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    for _ in range(2):
        trace.refused(ONE, TWO, 7680)


@situation(file_sync())
def updates_from_other_computers_on_the_internet(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dropped(ONE, '198.51.100.142', 7680)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_restarts(trace):
    for wait in (60, 0):
        for name in (SYNC, FILES, LOGIN):
            trace.connect(ONE, PROXY, name)
        if wait:
            trace.dropped(ONE, PROXY, 8080)
            trace.wait(wait)


@situation(file_sync())
def address_of_a_content_network_out_of_use(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    for address in ('23.50.9.1', '23.50.9.2'):
        trace.dns(ONE, 'crl.microsoft.com', address)
    trace.dropped(ONE, '23.50.9.1', 80)
    trace.http(ONE, '23.50.9.2', 'crl.microsoft.com/pki/crl/a.crl')


@situation(azure_local())
def administrator_tries_a_shell_that_a_node_does_not_offer(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    trace.refused('10.1.9.9', ONE, 22)


@situation(azure_local().replace('[dns]', f'active-directory = ["{DIRECTORY}"]\n\n[dns]'))
def time_from_the_domain_controller(trace):
    sign_in(trace)
    trace.dns(ONE, 'time.windows.com', '168.61.215.74')
    for _ in range(4):
        trace.udp(ONE, 123, '168.61.215.74', 123, b'\x23' + bytes(47))
        trace.wait(5)
    for _ in range(3):
        trace.udp(ONE, 123, DIRECTORY, 123, b'\xdb' + bytes(47))
        trace.wait(0.01)
        trace.udp(DIRECTORY, 123, ONE, 123, b'\xdc' + bytes(47))
        trace.wait(20)


@situation(azure_local())
def dynamic_port_of_a_node_dropped(trace):
    for client in (ONE, TWO):
        sign_in(trace, client)
    Tcp(trace, ONE, TWO, 135).open().send(0, filler(72)).send(1, filler(60)).close()
    trace.dropped(ONE, TWO, 49668)


@situation(file_sync(more=ENDPOINTS))
def way_to_the_private_endpoints_interrupted(trace):
    sign_in(trace)
    names = [FILES] + [f'contoso{service}.westeurope.afs.azure.net' for service in ('management', 'syncs', 'syncp')]
    for index, name in enumerate(names):
        front, zone = name.split('.', 1)
        trace.dns(ONE, name, f'{front}.privatelink.{zone}', f'10.9.0.{4 + index}')
        trace.dropped(ONE, f'10.9.0.{4 + index}')


# ---------------------------------------------------------------- destinations that the site does not need
@situation(file_sync())
def account_of_somebody_else_dropped(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'archivefs.file.core.windows.net', '20.60.41.2')
    trace.dropped(ONE, '20.60.41.2')


@situation(file_sync(more=DECLARED_PROXY))
def proxy_forbids_an_account_of_somebody_else(trace):
    for name in (SYNC, FILES, LOGIN):
        trace.connect(ONE, PROXY, name)
    for _ in range(2):
        trace.connect(ONE, PROXY, 'stranger.blob.core.windows.net', '403 Forbidden')


@situation(file_sync())
def instance_of_another_region_dropped(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'eastus01.afs.azure.net', '52.138.7.2')
    trace.dropped(ONE, '52.138.7.2')


@situation(file_sync())
def name_of_which_only_a_wildcard_is_known_dropped(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'kms.core.windows.net', '52.138.7.2')
    trace.dropped(ONE, '52.138.7.2')


# ---------------------------------------------------------------- names
@situation(file_sync())
def dns_over_tcp_dropped(trace):
    work(trace)
    labels = b''.join(sized(1, label.encode()) for label in SYNC.split('.')) + b'\0'
    for number in range(7, 10):
        port, question = trace.port(), labels + struct.pack('>HH', 1, 1)
        trace.udp(ONE, port, '10.1.0.53', 53, struct.pack('>HHHHHH', number, 0x0100, 1, 0, 0, 0) + question)
        trace.wait(0.004)
        trace.udp('10.1.0.53', 53, ONE, port, struct.pack('>HHHHHH', number, 0x8380, 1, 0, 0, 0) + question)
        trace.dropped(ONE, '10.1.0.53', 53)
    work(trace)


@situation(file_sync().replace('resolvers = ["10.1.0.53"]', 'resolvers = ["2001:db8:1::53"]'))
def nat64_with_addresses_of_the_site(trace):
    for name, address in ((SYNC, 'fd00:64::348a:14'), (FILES, 'fd00:64::143c:2804'), (LOGIN, 'fd00:64::14be:a002')):
        trace.dns(ONE_V6, name, address, resolver='2001:db8:1::53')
        trace.https(ONE_V6, address, name)


@situation(file_sync())
def activation_of_windows_under_a_name_of_storage(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'azkms.core.windows.net', '20.118.99.224')
    Tcp(trace, ONE, '20.118.99.224', 1688).open().send(0, filler(200)).send(1, filler(200)).close()


@situation(file_sync().replace('"azure-file-sync"]', '"azure-file-sync", "azure-stack-hci"]') + '\n[azure-stack-hci]\nregion = "West Europe"\n')
def download_from_an_account_of_microsoft(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    use(trace, ONE, 'oaasguestconfigwcuss1.blob.core.windows.net', '20.60.41.9')


@situation(file_sync())
def older_connectivity_test_of_windows(trace):
    work(trace)
    use(trace, ONE, SYNC, SYNC_AT)
    trace.dns(ONE, 'www.msftncsi.com', '23.50.1.1')
    trace.http(ONE, '23.50.1.1', 'www.msftncsi.com/ncsi.txt', body=b'Microsoft NCSI')
