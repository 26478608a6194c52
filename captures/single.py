#!/usr/bin/env python3
"""Records the cases of this folder that show one situation each; `lab/run` records the lab of blocked and normal traffic.

Uses real kernels, a real resolver and real TLS implementations, in separate network namespaces.

  sudo captures/single.py            record all cases, into the folders next to this file
  sudo captures/single.py demo smb   record these cases

Two namespaces are connected by a veth pair: `site` holds the audited servers; `world` holds the router, the resolver and
every server on the internet. No packet leaves them. tcpdump captures on the site's interface, as a mirror port would. Needs
root, iproute2, nftables, dnsmasq, tcpdump and openssl, and nothing but the standard library of Python.
"""
import contextlib, os, pathlib, signal, socket, ssl, subprocess, sys, tempfile, threading, time

HERE = pathlib.Path(__file__).resolve().parent
SITE, WORLD = 'afs-single-site', 'afs-single-world'
FS1, FS2 = '10.1.0.4', '10.1.0.5'
RESOLVER, ROUTER = '10.1.0.53', '10.1.0.1'
OUTSIDER = '198.51.100.77'

# Names by server address. The addresses are in ranges that Azure and others use; no packet is sent to the real ones.
HOSTS = {
    '20.60.40.4': ['contosofs.file.core.windows.net'],
    '20.60.40.9': ['othertenant.blob.core.windows.net'],
    '52.138.0.20': ['westeurope01.afs.azure.net', 'kailani6.one.microsoft.com', 'telemetry.one.microsoft.com'],
    '52.138.0.21': ['northeurope01.afs.azure.net'],
    '52.138.0.22': ['uksouth01.afs.azure.net'],
    '20.190.160.2': ['login.windows.net', 'login.microsoftonline.com'],
    '20.50.2.10': ['management.azure.com'],
    '23.32.0.17': ['ocsp.msocsp.com', 'www.microsoft.com'],
    '93.184.215.14': ['updates.vendor.example'],
    '93.184.215.15': ['shell.vendor.example'],
    '2603:1030:1000::40:4': [],
}
CNAMES = {'contosofs.file.core.windows.net': 'file.ams20prdstr05a.store.core.windows.net'}
MANY = 'many.vendor.example'


def sh(*command, check=True, **more):
    return subprocess.run(command, check=check, capture_output=True, text=True, **more)


def inside(name, *command):
    return ('ip', 'netns', 'exec', name, *command)


# ---------------------------------------------------------------- namespaces
def build(work):
    demolish()
    for name in (SITE, WORLD):
        sh('ip', 'netns', 'add', name)
        sh(*inside(name, 'ip', 'link', 'set', 'lo', 'up'))
    sh('ip', 'link', 'add', 'span0', 'netns', SITE, 'type', 'veth', 'peer', 'name', 'span1', 'netns', WORLD)
    for address in (FS1, FS2):
        sh(*inside(SITE, 'ip', 'address', 'add', address + '/24', 'dev', 'span0'))
    sh(*inside(SITE, 'ip', 'address', 'add', 'fd00:a::4/64', 'dev', 'span0', 'nodad'))
    sh(*inside(WORLD, 'ip', 'address', 'add', 'fd00:a::1/64', 'dev', 'span1', 'nodad'))
    for address in (ROUTER, RESOLVER):
        sh(*inside(WORLD, 'ip', 'address', 'add', address + '/24', 'dev', 'span1'))
    for address in [*HOSTS, OUTSIDER]:
        length = '/128' if ':' in address else '/32'
        sh(*inside(WORLD, 'ip', 'address', 'add', address + length, 'dev', 'lo'))
    for name, link in ((SITE, 'span0'), (WORLD, 'span1')):
        sh(*inside(name, 'ip', 'link', 'set', link, 'up'))
        # One segment per frame, as on a physical link: no segmentation offload.
        sh(*inside(name, 'ip', 'link', 'set', link, 'gso_max_segs', '1'), check=False)
    sh(*inside(SITE, 'ip', 'route', 'add', 'default', 'via', ROUTER))
    sh(*inside(SITE, 'ip', '-6', 'route', 'add', 'default', 'via', 'fd00:a::1'))
    # Two SYN retransmissions, so that an unanswered attempt ends within seconds.
    sh(*inside(SITE, 'sysctl', '-qw', 'net.ipv4.tcp_syn_retries=2'))
    sh(*inside(SITE, 'sysctl', '-qw', 'net.ipv4.tcp_syn_linear_timeouts=0'), check=False)
    os.makedirs(f'/etc/netns/{SITE}', exist_ok=True)
    pathlib.Path(f'/etc/netns/{SITE}/resolv.conf').write_text(f'nameserver {RESOLVER}\noptions timeout:1 attempts:2\n')
    certificates(work)


def demolish():
    for name in (SITE, WORLD):
        for pid in sh('ip', 'netns', 'pids', name, check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        sh('ip', 'netns', 'delete', name, check=False)
    with contextlib.suppress(FileNotFoundError):
        os.remove(f'/etc/netns/{SITE}/resolv.conf')
        os.rmdir(f'/etc/netns/{SITE}')


def certificates(work):
    """Two certificate authorities: one named like Microsoft's, one like that of a TLS-inspecting proxy."""
    for ca, name in (('microsoft', '/C=US/O=Microsoft Corporation/CN=Lab TLS Issuing CA'), ('inspection', '/O=Contoso Proxy/CN=Contoso Inspection CA')):
        sh('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650',
           '-subj', name, '-keyout', f'{work}/{ca}.key', '-out', f'{work}/{ca}.crt')
        names = sorted({name for names in HOSTS.values() for name in names})
        config = f'{work}/{ca}.cnf'
        pathlib.Path(config).write_text('subjectAltName=' + ','.join('DNS:' + name for name in names[:6]) + '\n')
        sh('openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj',
           '/O=Microsoft Corporation/CN=*.file.core.windows.net', '-keyout', f'{work}/{ca}-leaf.key', '-out', f'{work}/{ca}-leaf.csr')
        sh('openssl', 'x509', '-req', '-in', f'{work}/{ca}-leaf.csr', '-CA', f'{work}/{ca}.crt', '-CAkey', f'{work}/{ca}.key',
           '-CAcreateserial', '-days', '3650', '-extfile', config, '-out', f'{work}/{ca}-leaf.crt')
        chain = pathlib.Path(f'{work}/{ca}-chain.crt')
        chain.write_text(pathlib.Path(f'{work}/{ca}-leaf.crt').read_text() + pathlib.Path(f'{work}/{ca}.crt').read_text())


def resolver(work):
    lines = ['no-resolv', 'no-hosts', 'bind-interfaces', f'listen-address={RESOLVER}', 'user=root', 'log-facility=/dev/null',
             'local=/example/', 'local=/net/', 'local=/com/']
    for address, names in HOSTS.items():
        for name in names:
            lines.append(f'host-record={CNAMES.get(name, name)},{address}')
            if name in CNAMES:
                lines.append(f'cname={name},{CNAMES[name]}')
    lines += [f'host-record={MANY},203.0.113.{n}' for n in range(1, 60)]
    path = pathlib.Path(work, 'dnsmasq.conf')
    path.write_text('\n'.join(lines) + '\n')
    return subprocess.Popen(inside(WORLD, 'dnsmasq', '-k', '-C', str(path)))


# ---------------------------------------------------------------- code that runs in a namespace (this file, with `--inside`)
def serve(work):
    """Serves every address: TLS on 443 and 8443 (one address sends an SSH banner instead), HTTP on 80, plain TCP on 445."""
    def tls(minimum, maximum, ca):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = minimum, maximum
        if maximum < V12:
            context.set_ciphers(OLD)
        context.load_cert_chain(f'{work}/{ca}-chain.crt', f'{work}/{ca}-leaf.key')
        context.set_alpn_protocols(['h2', 'http/1.1'])
        return context
    contexts = {443: tls(V12, V13, 'microsoft'), 8443: tls(V12, V13, 'microsoft')}
    exceptions = {'20.60.40.9': tls(V12, V12, 'inspection'), '52.138.0.22': tls(V11, V11, 'microsoft')}

    def answer(connection, port, address):
        with contextlib.suppress(OSError, ssl.SSLError):
            connection.settimeout(5)
            if address == '93.184.215.15':
                connection.sendall(b'SSH-2.0-lab\r\n')
            elif port in contexts:
                connection = exceptions.get(address, contexts[port]).wrap_socket(connection, server_side=True)
            if connection.recv(4096):
                connection.sendall(b'HTTP/1.1 200 OK\r\nServer: lab\r\nContent-Length: 5\r\n\r\nhello')
        with contextlib.suppress(OSError):
            connection.close()

    def listen(family, port):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(('', port))
        listener.listen(32)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection, port, connection.getsockname()[0]), daemon=True).start()
    for family in (socket.AF_INET, socket.AF_INET6):
        for port in (80, 443, 445, 8443):
            threading.Thread(target=listen, args=(family, port), daemon=True).start()
    print('ready', flush=True)
    time.sleep(600)


def connect(source, name, *, address=None, port=443, sni=True, versions=None, ciphers=None, plain=None):
    """Resolves a name, connects, sends a request, closes."""
    try:
        if address is None:
            address = socket.getaddrinfo(name, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
        connection = socket.create_connection((address, port), timeout=9, source_address=(source, 0))
        if plain is None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(['h2', 'http/1.1'])
            if versions:
                context.minimum_version, context.maximum_version = versions
            if ciphers:
                context.set_ciphers(ciphers)
            connection = context.wrap_socket(connection, server_hostname=name if sni else None)
            plain = b'GET / HTTP/1.1\r\nHost: ' + name.encode() + b'\r\n\r\n'
        connection.sendall(plain)
        connection.recv(4096)
        connection.close()
    except OSError as error:
        print(name, error, file=sys.stderr)


HTTP = lambda name, path='/': f'GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: Microsoft-CryptoAPI/10.0\r\n\r\n'.encode()
V11, V12, V13 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
OLD = 'DEFAULT@SECLEVEL=0'
STORAGE, SYNC = 'contosofs.file.core.windows.net', 'westeurope01.afs.azure.net'


def working_site(source=FS1):
    connect(source, 'login.windows.net')
    connect(source, 'management.azure.com')
    connect(source, 'ocsp.msocsp.com', port=80, plain=HTTP('ocsp.msocsp.com', '/status'))
    connect(source, SYNC)
    connect(source, STORAGE)
    connect(source, STORAGE, versions=(V12, V12))


def demo():
    working_site()
    # From here on, the second server is the client.
    for route in ('default via ' + ROUTER, '10.1.0.0/24 dev span0'):
        sh('ip', 'route', 'replace', *route.split(), 'src', FS2)
    # Its firewall rules block two sync endpoints; it also connects to destinations that are not documented.
    connect(FS2, 'login.windows.net')
    connect(FS2, SYNC)
    connect(FS2, 'northeurope01.afs.azure.net')
    connect(FS2, 'updates.vendor.example')
    connect(FS2, STORAGE, port=80, plain=HTTP(STORAGE, '/share/plan.docx'))
    connect(FS2, STORAGE, port=445, plain=b'\0\0\0\x2e\xfeSMB@\0\1\0' + bytes(36))
    connect(FS2, 'othertenant.blob.core.windows.net', versions=(V12, V12))
    connect(FS2, 'gone.afs.azure.net')
    connect(FS2, 'x', address='203.0.113.200', sni=False)


# Case: the client's actions, the firewall rules of the router (nftables), and what the case shows.
CASES = {
    'demo': (demo, [f'ip saddr {FS2} ip daddr 52.138.0.20 drop', f'ip saddr {FS2} ip daddr 52.138.0.21 reject with icmp type admin-prohibited'],
             'a small site with two servers: one works; the other is blocked and connects to destinations it should not use'),
    'working-site': (working_site, [], 'a sync server that reaches every endpoint it needs: TLS 1.3, TLS 1.2 with a visible certificate, OCSP on port 80'),
    'tcp-refused': (lambda: connect(FS1, SYNC), ['ip daddr 52.138.0.20 tcp dport 443 reject with tcp reset'], 'a SYN answered with a RST'),
    'tcp-unanswered': (lambda: connect(FS1, SYNC), ['ip daddr 52.138.0.20 drop'], 'a SYN retransmitted twice without a reply'),
    'icmp-admin-prohibited': (lambda: connect(FS1, SYNC), ['ip daddr 52.138.0.20 reject with icmp type admin-prohibited'], 'a SYN answered with ICMP communication administratively prohibited'),
    'icmp-host-unreachable': (lambda: connect(FS1, SYNC), ['ip daddr 52.138.0.20 reject with icmp type host-unreachable'], 'a SYN answered with ICMP host unreachable'),
    'unexpected': (lambda: connect(FS1, 'updates.vendor.example'), [], 'a destination that no document lists'),
    'legacy-region-name': (lambda: connect(FS1, 'kailani6.one.microsoft.com'), [], 'the legacy name of a documented region'),
    'documented-broad': (lambda: connect(FS1, 'telemetry.one.microsoft.com'), [], 'a name that matches only a wildcard that its document calls too broad'),
    'not-443': (lambda: connect(FS1, STORAGE, port=8443), [], 'TLS to a storage name on a port that is not documented for it'),
    'smb': (lambda: connect(FS1, STORAGE, port=445, plain=b'\0\0\0\x2e\xfeSMB@\0\1\0' + bytes(36)), [], 'SMB to a storage name'),
    'http-to-storage': (lambda: connect(FS1, STORAGE, port=80, plain=HTTP(STORAGE)), [], 'plain HTTP to a storage name'),
    'ssh-on-443': (lambda: connect(FS1, 'shell.vendor.example', plain=b'SSH-2.0-OpenSSH_9.2\r\n'), [], 'SSH on port 443'),
    'tls11-only-client': (lambda: connect(FS1, SYNC, versions=(V11, V11), ciphers=OLD), [], 'a client that offers TLS 1.1 at most'),
    'tls11-chosen-by-server': (lambda: connect(FS1, 'uksouth01.afs.azure.net', versions=(V11, V12), ciphers=OLD), [], 'a documented server that chooses TLS 1.1'),
    'unsupported-cipher-suites': (lambda: connect(FS1, SYNC, versions=(V12, V12), ciphers='ECDHE-ECDSA-CHACHA20-POLY1305'), [], 'a client that offers no cipher suite that the sync service accepts'),
    'no-sni': (lambda: connect(FS1, 'x', address='20.60.40.4', sni=False), [], 'TLS without SNI to an address without a DNS name'),
    'name-contradiction': (lambda: connect(FS1, 'updates.vendor.example', address=(socket.gethostbyname(STORAGE))), [],
                      'SNI and DNS name the same server differently'),
    'tls-inspection': (lambda: connect(FS1, 'othertenant.blob.core.windows.net', versions=(V12, V12)), [], "a server certificate from an issuer that is not Microsoft's: TLS inspection"),
    'inbound': ('inbound', [], 'an inbound connection from an external host'),
    'dns-nxdomain': (lambda: connect(FS1, 'gone.afs.azure.net'), [], 'an NXDOMAIN response for a documented name'),
    'dns-unanswered': (lambda: connect(FS1, SYNC), [f'ip daddr {RESOLVER} udp dport 53 drop'], 'queries without a response'),
    'dns-tcp': (lambda: connect(FS1, MANY, port=443), ['ip daddr 203.0.113.0/24 reject with tcp reset'], 'a DNS response too long for UDP: truncated, then repeated over TCP'),
    'ipv6': (lambda: connect('fd00:a::4', STORAGE, address='2603:1030:1000::40:4'), [], 'TLS over IPv6'),
}


def record(case, work):
    action, firewall, shows = CASES[case]
    folder = HERE / case
    folder.mkdir(exist_ok=True)
    rules = 'flush ruleset\n' + 'table inet firewall {\n chain in {\n  type filter hook prerouting priority -150;\n }\n chain local {\n' \
        '  type filter hook input priority 0;\n' + ''.join(f'  {rule}\n' for rule in firewall) + ' }\n}\n'
    sh(*inside(WORLD, 'nft', '-f', '-'), input=rules)
    raw = pathlib.Path(work, 'raw.pcap')
    tcpdump = subprocess.Popen(inside(SITE, 'tcpdump', '-i', 'span0', '-w', str(raw), '-U', '--immediate-mode', '-Z', 'root', 'ip or (ip6 and tcp)'),
                               stderr=subprocess.PIPE, text=True)
    tcpdump.stderr.readline()
    where = WORLD if action == 'inbound' else SITE
    sh(*inside(where, sys.executable, __file__, '--inside', case, work), timeout=120)
    time.sleep(.3)
    tcpdump.terminate()
    tcpdump.wait()
    sh(*inside(SITE, 'ip', 'route', 'replace', 'default', 'via', ROUTER, 'src', FS1))
    sh(*inside(SITE, 'ip', 'route', 'replace', '10.1.0.0/24', 'dev', 'span0', 'src', FS1))
    # Copy rather than rename: the folder may be on another file system.
    (folder / 'capture.pcap').write_bytes(raw.read_bytes())
    (folder / 'README.md').write_text(f'# {case}\n\n{shows[0].upper()}{shows[1:]}.\n\nMade by `captures/single.py {case}`.\n')


def main():
    if sys.argv[1:2] == ['--inside']:
        case, work = sys.argv[2:4]
        if case == 'serve':
            return serve(work)
        action = CASES[case][0]
        if action == 'inbound':
            return connect(OUTSIDER, 'x', address=FS1, port=443, plain=b'hello')
        return action()
    if os.geteuid():
        sys.exit('single.py: needs root, for network namespaces')
    with tempfile.TemporaryDirectory() as work:
        servers = []
        try:
            build(work)
            servers.append(resolver(work))
            servers.append(subprocess.Popen(inside(WORLD, sys.executable, __file__, '--inside', 'serve', work), stdout=subprocess.PIPE, text=True))
            servers[-1].stdout.readline()
            # The server for the case `inbound`.
            servers.append(subprocess.Popen(inside(SITE, sys.executable, '-c',
                'import socket\ns=socket.create_server(("10.1.0.4",443))\nwhile True:\n c,_=s.accept(); c.recv(99); c.sendall(b"hi"); c.close()')))
            for case in sys.argv[1:] or CASES:
                print(case, flush=True)
                record(case, work)
        finally:
            for server in servers:
                server.kill()
                server.wait()
            demolish()


if __name__ == '__main__':
    main()
