"""The scenarios: the actions of a client, the rules of its router, and the label.

Labels are true by construction. `blocked` scenarios have the mechanism and the least confidence of the finding, `normal`
scenarios the highest confidence that a finding may have. The actions run in the client's namespace.
"""
import contextlib, ipaddress, random, re, socket, ssl, struct, subprocess, time

R, S = 'afs-lab-r', 'afs-lab-s'
CRAFTED_RESOLVER, FORGED_RESOLVER, SILENT_RESOLVER, REFUSING_RESOLVER = '10.53.0.2', '10.53.0.3', '10.53.0.4', '10.53.0.5'
PROXY = '10.80.0.1'
# The last byte of a server's address selects its behaviour.
(PLAIN, V12, V13, SLOW, RESET_AFTER, BODY, HTTP_443, INSPECTED, UNKNOWN_NAME, DENIED, BROKEN, PORTAL, FORBIDDEN, ELSEWHERE, WARNING,
 FAT, GNUTLS, SSERVER, FEW_CIPHERS, CLOSED, NETWORK_AUTH, CONTINUED, KNOWN_PRODUCT, KNOWN_TEXT) = range(1, 25)
INJECT_ONE, INJECT_SERIES, INJECT_AT_HANDSHAKE, INJECT_ACK = range(60, 64)
INJECTED = INJECT_ONE, INJECT_SERIES, INJECT_AT_HANDSHAKE, INJECT_ACK
HEALTHY = 'management.azure.com'


def sh(*command, check=True, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if check and done.returncode:
        raise RuntimeError(f'{" ".join(command)}: {done.stderr.strip()}')
    return done


def inside(name, *command):
    return ('ip', 'netns', 'exec', name, *command)


# ---------------------------------------------------------------- scenarios
class Case:
    def __init__(self, name, kind, mechanism, confidence, act, what, router='', host='', made='recorded', after=None):
        self.name, self.kind, self.mechanism, self.confidence = name, kind, mechanism, confidence
        self.act, self.what, self.router, self.host, self.made, self.after = act, what, router, host, made, after


CASES = []


def blocked(name, mechanism, confidence, what, **more):
    def keep(act):
        CASES.append(Case(name, 'blocked', mechanism, confidence, act, what, **more))
        return act
    return keep


def normal(name, what, most='none', **more):
    """`most`: the highest confidence of a finding; `weak` where the client's side cannot tell the difference."""
    def keep(act):
        CASES.append(Case(name, 'normal', '', most, act, what, **more))
        return act
    return keep


class World:
    """The addresses of a scenario."""
    def __init__(self, number, work):
        self.number, self.work = number, work
        self.client, self.resolver = f'10.9.{number}.2', f'10.9.{number}.1'

    def server(self, what=PLAIN):
        return f'20.60.{self.number}.{what}'

    def server6(self, what=PLAIN):
        return f'2603:1030:{self.number:x}::{what:x}'

    def healthy(self):
        look_up(HEALTHY)
        tls(HEALTHY, '20.50.2.1')


# ---------------------------------------------------------------- actions of clients
def query(name, kind=1, ident=None, edns=False):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\0'
    opt = b'\0' + struct.pack('>HHIH', 41, 1232, 0, 0) if edns else b''
    return struct.pack('>6H', random.randrange(65536) if ident is None else ident, 0x100, 1, 0, 0, 1 if edns else 0) + labels + struct.pack('>HH', kind, 1) + opt


def own_resolver():
    return re.search(r'default via (\S+)', sh('ip', 'route').stdout).group(1)


def look_up(name, kind=1, resolver=None, tries=2, wait=1.0, edns=False):
    """A query of a stub resolver, retransmitted until a response arrives."""
    message = query(name, kind, edns=edns)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(tries):
            s.settimeout(wait)
            s.sendto(message, (resolver or own_resolver(), 53))
            with contextlib.suppress(OSError):
                return s.recv(4096)


def quiet(action):
    """Ignores network errors: most scenarios cause them."""
    def run(*args, **more):
        with contextlib.suppress(OSError, ssl.SSLError, EOFError):
            return action(*args, **more)
    return run


def context(version=None, verify=None, ciphers=None):
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(['http/1.1'])
    if version:
        made.minimum_version = made.maximum_version = version
    if verify:
        made.load_verify_locations(verify)
        made.verify_mode = ssl.CERT_REQUIRED
    if ciphers:
        made.set_ciphers(ciphers)
    return made


def request(name, path='/'):
    return f'GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: Microsoft-CryptoAPI/10.0\r\n\r\n'.encode()


@quiet
def tls(name, address, timeout=6, version=None, verify=None, ciphers=None, upload=0, port=443, linger=False):
    with socket.create_connection((address, port), timeout=timeout) as plain:
        plain.settimeout(timeout)
        with context(version, verify, ciphers).wrap_socket(plain, server_hostname=name) as s:
            s.sendall(request(name) + b'x' * upload)
            s.recv(4096)


@quiet
def http(name, address, path='/', port=80, timeout=6):
    with socket.create_connection((address, port), timeout=timeout) as s:
        s.settimeout(timeout)
        s.sendall(request(name, path))
        s.recv(4096)
        s.recv(4096)


@quiet
def tries(address, port=443, timeout=9):
    socket.create_connection((address, port), timeout=timeout).close()


def hello(name, version=None):
    """The bytes of a ClientHello, and the offset of the SNI in them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context(version).wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    data = outgoing.read()
    return data, data.find(name.encode())


def sni_match(name):
    """An nft match for a ClientHello with this SNI: its first sixteen bytes at the offset that this client uses."""
    part = name.encode()[:16]
    return f'tcp dport 443 @ih,{hello(name)[1] * 8},{len(part) * 8} 0x{part.hex()}'


@quiet
def connect(proxy, port, target, more='', then=True):
    with socket.create_connection((proxy, port), timeout=6) as s:
        s.sendall(f'CONNECT {target}:443 HTTP/1.1\r\nHost: {target}:443\r\n{more}\r\n'.encode())
        answer = s.recv(4096)
        if b' 407 ' in answer.split(b'\r\n')[0] and then == 'again':
            s.sendall(f'CONNECT {target}:443 HTTP/1.1\r\nHost: {target}:443\r\nProxy-Authorization: NTLM TlRMTVNTUAAB\r\n\r\n'.encode())
            answer = s.recv(4096)
        if b' 200 ' in answer.split(b'\r\n')[0]:
            with context().wrap_socket(s, server_hostname=target) as secure:
                secure.sendall(request(target))
                secure.recv(4096)


def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


# ---------------------------------------------------------------- blocked: TCP and ICMP
def resolves(name, what):
    """The client's resolver resolves this name to a server with this behaviour."""
    def keep(act):
        act.names = getattr(act, 'names', {}) | {name: what}
        return act
    return keep


def attempt(w, six=False):
    w.healthy()
    if six:
        tls(HEALTHY, '2603:1030:ffff::1')
    name = 'contosofs.file.core.windows.net'
    look_up(name, 28 if six else 1)
    tls(name, w.server6() if six else w.server(), timeout=9)


TO, TO6 = 'ip daddr 20.60.{n}.0/24', 'ip6 daddr 2603:1030:{x}::/48'
blocked('silent-drop', 'tcp-unanswered', 'weak', 'the router drops every packet to the server', router=TO + ' drop')(lambda w: attempt(w))
blocked('silent-drop-v6', 'tcp-unanswered', 'weak', 'the same over IPv6', router=TO6 + ' drop')(lambda w: attempt(w, True))
blocked('refuse-reset', 'tcp-refused', 'weak', 'the router answers a SYN with a RST', router=TO + ' ip protocol tcp reject with tcp reset')(lambda w: attempt(w))
blocked('refuse-reset-v6', 'tcp-refused', 'weak', 'the same over IPv6', router=TO6 + ' meta l4proto tcp reject with tcp reset')(lambda w: attempt(w, True))
for icmp, mechanism, confidence in (
        ('net-unreachable', 'icmp-no-route', 'weak'), ('host-unreachable', 'icmp-host-unreachable', 'weak'), ('prot-unreachable', 'icmp-protocol-unreachable', 'strong'),
        ('port-unreachable', 'icmp-port-unreachable', 'strong'), ('net-prohibited', 'icmp-admin-prohibited', 'certain'),
        ('host-prohibited', 'icmp-admin-prohibited', 'certain'), ('admin-prohibited', 'icmp-admin-prohibited', 'certain')):
    blocked('reject-' + icmp, mechanism, confidence, f'the router rejects with ICMP {icmp}', router=TO + ' reject with icmp type ' + icmp)(lambda w: attempt(w))
for icmp, mechanism, confidence in (
        ('no-route', 'icmp-no-route', 'weak'), ('admin-prohibited', 'icmp-admin-prohibited', 'certain'), ('addr-unreachable', 'icmp-host-unreachable', 'weak'),
        ('port-unreachable', 'icmp-port-unreachable', 'strong'), ('policy-fail', 'icmp-policy', 'certain'), ('reject-route', 'icmp-reject-route', 'certain')):
    blocked('reject-v6-' + icmp, mechanism, confidence, f'the router rejects with ICMPv6 {icmp}', router=TO6 + ' reject with icmpv6 type ' + icmp)(lambda w: attempt(w, True))


@blocked('drop-port-443', 'tcp-unanswered', 'weak', 'only port 443 is dropped; port 80 of the same server answers', router=TO + ' tcp dport 443 drop')
def drop_port_443(w):
    w.healthy()
    http('ocsp.msocsp.com', w.server())
    look_up('contosofs.file.core.windows.net')
    tls('contosofs.file.core.windows.net', w.server(), timeout=9)


@blocked('address-filter', 'tcp-unanswered', 'weak', 'two names at one address are dropped, other addresses work', router=TO + ' drop')
def address_filter(w):
    w.healthy()
    for name in ('contosofs.file.core.windows.net', 'northeurope01.afs.azure.net'):
        look_up(name)
        tls(name, w.server(), timeout=9)


@blocked('worked-then-stopped', 'tcp-unanswered', 'weak', 'the first connection works, later ones get no reply', router=TO + ' ct state new limit rate over 1/hour burst 1 packets drop')
def worked_then_stopped(w):
    name = 'contosofs.file.core.windows.net'
    w.healthy()
    tls(name, w.server())
    tls(name, w.server(), timeout=9)


@blocked('outage', 'tcp-unanswered', 'weak', 'from some time on, everything is dropped', router='ip saddr 10.9.{n}.2 ip daddr != 20.50.0.0/16 drop')
def outage(w):
    tls(HEALTHY, '20.50.2.1')
    look_up('contosofs.file.core.windows.net')
    for what, name in ((PLAIN, 'contosofs.file.core.windows.net'), (V12, 'northeurope01.afs.azure.net')):
        tls(name, w.server(what), timeout=9)


# ---------------------------------------------------------------- blocked: after the handshake
FILTERED = 'westeurope01.afs.azure.net'


def name_filter(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server())
    tls('login.windows.net', w.server())


blocked('reset-after-hello', 'reset-after-client-hello', 'weak', 'the router resets on the SNI; another name at the same address works',
       router=TO + ' ' + sni_match(FILTERED) + ' reject with tcp reset')(name_filter)
blocked('silent-after-hello', 'silent-after-client-hello', 'weak', 'the router drops ClientHellos with this SNI',
       router=TO + ' ' + sni_match(FILTERED) + ' drop')(name_filter)


@blocked('silent-after-acknowledged-hello', 'silent-after-client-hello', 'weak', 'the ClientHello is acknowledged, but no data of the server arrives',
        router='ip saddr 20.60.{n}.0/24 meta length > 80 drop')
def silent_after_acknowledged(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server(), timeout=8)


@blocked('reset-after-hello-tls12', 'reset-after-client-hello', 'weak', 'the same SNI filter, with a client that offers TLS 1.2 only',
        router=TO + f' tcp dport 443 @ih,{hello(FILTERED, ssl.TLSVersion.TLSv1_2)[1] * 8},128 0x{FILTERED.encode()[:16].hex()} reject with tcp reset')
def reset_tls12(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server(), version=ssl.TLSVersion.TLSv1_2)


@blocked('reset-after-request', 'reset-after-request', 'weak', 'the router resets on a plain HTTP request', router=TO + ' tcp dport 80 @ih,0,32 0x47455420 reject with tcp reset')
def reset_after_request(w):
    w.healthy()
    look_up('ocsp.msocsp.com')
    http('ocsp.msocsp.com', w.server())


@blocked('silent-after-request', 'silent-after-request', 'weak', 'the router drops a plain HTTP request', router=TO + ' tcp dport 80 @ih,0,32 0x47455420 drop')
def silent_after_request(w):
    w.healthy()
    look_up('ocsp.msocsp.com')
    http('ocsp.msocsp.com', w.server())


def injected(what):
    @resolves(FILTERED, what)
    def act(w):
        w.healthy()
        look_up(FILTERED)
        tls(FILTERED, w.server(what))
    return act


blocked('injected-reset', 'reset-injected', 'strong', 'one forged RST after the ClientHello, with another TTL and IP ID and without TCP timestamps; the server answers too')(injected(INJECT_ONE))
blocked('injected-series', 'reset-injected', 'strong', 'three forged RSTs with increasing sequence numbers')(injected(INJECT_SERIES))
blocked('injected-reset-ack', 'reset-injected', 'strong', 'a forged RST with ACK')(injected(INJECT_ACK))
blocked('injected-at-handshake', 'reset-injected', 'strong', 'a forged RST right after the handshake')(injected(INJECT_AT_HANDSHAKE))


# ---------------------------------------------------------------- blocked: TLS
def tls_to(what, **more):
    @resolves(FILTERED, what)
    def act(w):
        w.healthy()
        look_up(FILTERED)
        tls(FILTERED, w.server(what), **more)
    return act


T12, T13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
blocked('alert-version', 'tls-version-refused', 'weak', 'a client that offers TLS 1.2 only, and a server that accepts TLS 1.3 only')(tls_to(V13, version=T12))
blocked('alert-handshake-failure', 'tls-alert-handshake-failure', 'weak', 'no cipher suite in common')(tls_to(FEW_CIPHERS, version=T12, ciphers='ECDHE-ECDSA-AES256-GCM-SHA384'))
blocked('alert-unrecognized-name', 'tls-alert-unrecognized-name', 'weak', 'the server does not know the SNI')(tls_to(UNKNOWN_NAME))
blocked('alert-access-denied', 'tls-alert-access-denied', 'strong', 'a TLS alert access_denied')(tls_to(DENIED))
blocked('alert-internal-error', 'tls-alert-internal-error', 'weak', 'a TLS alert internal_error')(tls_to(BROKEN))
blocked('intercepted', 'AFS109', 'strong', 'TLS inspection with its own certificate, which the client accepts')(tls_to(INSPECTED, version=T12))
blocked('intercepted-refused', 'tls-client-gave-up-on-certificate', 'strong', 'TLS inspection; the client rejects the unknown CA with an alert')(tls_to(INSPECTED, version=T12, verify='good.crt'))
blocked('http-on-443', 'http-on-443', 'strong', 'a middlebox answers the ClientHello with an HTTP response')(tls_to(HTTP_443))


@blocked('intercepted-pinned', 'tls-client-gave-up-on-certificate', 'strong', 'TLS inspection; the client pins the root certificate and closes without an alert')
@resolves(FILTERED, INSPECTED)
@quiet
def pinned(w):
    w.healthy()
    look_up(FILTERED)
    with socket.create_connection((w.server(INSPECTED), 443), timeout=5) as s:
        s.sendall(hello(FILTERED, T12)[0])
        time.sleep(0.3)
        s.recv(65536)


@blocked('alert-gnutls-client', 'tls-version-refused', 'weak', 'a GnuTLS client that offers TLS 1.2, and a server that accepts TLS 1.3 only')
@resolves(FILTERED, V13)
def alert_gnutls(w):
    w.healthy()
    look_up(FILTERED)
    subprocess.run(['gnutls-cli', '--insecure', '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.2', '--sni-hostname', FILTERED, '-p', '443', w.server(V13)],
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=8)


# ---------------------------------------------------------------- blocked: DNS
def asks(name, resolver=None, **more):
    def act(w):
        w.healthy()
        look_up(name, resolver=resolver, **more)
    return act


blocked('dns-nxdomain', 'dns-nxdomain', 'weak', 'the resolver responds NXDOMAIN')(asks('nx.file.core.windows.net'))
blocked('dns-refused', 'dns-refused', 'weak', 'the resolver responds REFUSED')(asks('refused.afs.azure.net'))
blocked('dns-empty', 'dns-empty', 'weak', 'the response holds no address')(asks('empty.file.core.windows.net'))
blocked('dns-sinkhole-zero', 'dns-sinkhole', 'strong', 'the response holds 0.0.0.0')(asks('zero.file.core.windows.net'))
blocked('dns-sinkhole-loopback', 'dns-sinkhole', 'strong', 'the response holds 127.0.0.1')(asks('loop.file.core.windows.net'))
blocked('dns-sinkhole-v6', 'dns-sinkhole', 'strong', 'the response holds ::')(asks('zero.file.core.windows.net', kind=28))
blocked('dns-block-page', 'dns-block-page', 'strong', 'the response holds the address of a known block page')(asks('page.file.core.windows.net'))
blocked('dns-private', 'dns-private-address', 'weak', 'a public service with a private address, without a private DNS zone')(asks('login.microsoftonline.com'))
blocked('dns-silent', 'dns-no-answer', 'weak', 'queries for the name are dropped, others are answered', router='ip daddr 10.53.0.4 udp dport 53 drop')(
    lambda w: (w.healthy(), look_up('westeurope01.afs.azure.net', resolver=SILENT_RESOLVER, tries=3, wait=1.5)))
blocked('dns-servfail', 'dns-servfail', 'weak', 'the resolver responds SERVFAIL', made='crafted')(asks('servfail.afs.azure.net', CRAFTED_RESOLVER))
blocked('dns-extended-blocked', 'dns-blocked-by-resolver', 'certain', 'NXDOMAIN and extended error 15', made='crafted')(asks('ede15.afs.azure.net', CRAFTED_RESOLVER, edns=True))
blocked('dns-extended-filtered', 'dns-blocked-by-resolver', 'certain', 'no address, and extended error 17', made='crafted')(asks('ede17.afs.azure.net', CRAFTED_RESOLVER, edns=True))
blocked('dns-extended-forged', 'dns-blocked-by-resolver', 'certain', 'another address, and extended error 4', made='crafted')(asks('ede4.afs.azure.net', CRAFTED_RESOLVER, edns=True))


@blocked('dns-two-answers', 'dns-two-answers', 'strong', 'a forged response before the real one')
def two_answers(w):
    w.healthy()
    look_up('westeurope01.afs.azure.net', resolver=FORGED_RESOLVER)
    time.sleep(1)


@blocked('host-firewall', 'AFS309', 'weak', "the name resolves, but the client's host firewall drops the SYN", host='tcp dport 443 ip daddr 20.60.0.0/16 drop')
def host_firewall(w):
    for _ in range(2):
        look_up(FILTERED)
        tls(FILTERED, w.server(), timeout=2)
    w.healthy()
    time.sleep(6)
    tls(HEALTHY, '20.50.2.1')


# ---------------------------------------------------------------- blocked: proxy, HTTP
@blocked('proxy-filter', 'proxy-refused', 'certain', 'the proxy refuses the name')
def proxy_filter(w):
    connect(PROXY, 3128, HEALTHY)
    connect(PROXY, 3128, 'denied.file.core.windows.net')


@blocked('proxy-unreachable', 'proxy-refused', 'strong', 'the proxy cannot connect to the server')
def proxy_unreachable(w):
    connect(PROXY, 3128, HEALTHY)
    connect(PROXY, 3128, 'closed.file.core.windows.net')


@blocked('proxy-no-credentials', 'proxy-auth-required', 'weak', 'the proxy requires authentication, and the client does not authenticate')
def proxy_auth(w):
    w.healthy()
    connect(PROXY, 3129, 'contosofs.file.core.windows.net')
    connect(PROXY, 3129, 'contosofs.file.core.windows.net')


for code in (502, 503, 504):
    blocked(f'proxy-{code}', 'proxy-refused', 'strong', f'the proxy answers {code}', made='crafted')(
        lambda w, code=code: (w.healthy(), connect(PROXY, 3130, f'status{code}.file.core.windows.net')))


@blocked('socks-refused', 'proxy-refused', 'certain', 'a SOCKS proxy refuses by ruleset', made='crafted')
@quiet
def socks_refused(w):
    w.healthy()
    name = b'contosofs.file.core.windows.net'
    with socket.create_connection((PROXY, 1080), timeout=5) as s:
        s.sendall(b'\5\1\0')
        s.recv(2)
        s.sendall(b'\5\1\0\3' + bytes([len(name)]) + name + b'\1\xbb')
        s.recv(64)


def page(what, name='ocsp.msocsp.com', path='/status'):
    @resolves(name, what)
    def act(w):
        w.healthy()
        look_up(name)
        http(name, w.server(what), path)
    return act


blocked('block-page-403', 'block-page', 'weak', 'a block page with status 403 in place of the OCSP responder')(page(FORBIDDEN))
blocked('block-page-vendor', 'block-page', 'certain', 'a block page of a known product')(page(KNOWN_PRODUCT))
blocked('block-page-redirect', 'block-page', 'weak', 'a redirect to another host in place of a revocation list')(page(ELSEWHERE, 'crl.microsoft.com', '/pki/crl/x.crl'))
blocked('captive-portal', 'captive-portal', 'certain', 'the connectivity test of Windows is redirected to a captive portal')(page(PORTAL, 'www.msftconnecttest.com', '/connecttest.txt'))
blocked('captive-511', 'captive-portal', 'certain', 'status 511, Network Authentication Required')(page(NETWORK_AUTH))


@blocked('pki-blocked', 'AFS209', 'weak', 'port 80 of revocation services is dropped, port 443 works', router=TO + ' tcp dport 80 drop')
@resolves('crl.microsoft.com', V12)
def pki_blocked(w):
    w.healthy()
    for name, what in (('ocsp.msocsp.com', PLAIN), ('crl.microsoft.com', V12)):
        look_up(name)
        http(name, w.server(what), timeout=9)


# ---------------------------------------------------------------- blocked: path MTU
@blocked('black-hole-upload', 'pmtu-black-hole', 'strong', 'full-size packets of the client are dropped without ICMP',
        router=TO + ' meta length > 1300 drop')
def black_hole_upload(w):
    w.healthy()
    look_up('contosofs.file.core.windows.net')
    tls('contosofs.file.core.windows.net', w.server(), upload=12000, timeout=7, version=T12)


@blocked('black-hole-download', 'pmtu-black-hole', 'strong', 'full-size packets of the server are dropped: the certificate never arrives',
        router='ip saddr 20.60.{n}.0/24 meta length > 1300 drop')
@resolves('contosofs.file.core.windows.net', FAT)
def black_hole_download(w):
    w.healthy()
    look_up('contosofs.file.core.windows.net')
    tls('contosofs.file.core.windows.net', w.server(FAT), timeout=7, version=T12)


# ---------------------------------------------------------------- normal
def windows(frames, refused, then):
    """Adds the SYNs of Windows, which repeats a refused SYN after half a second."""
    at, _, last = frames[-1]
    ethernet = bytes(12) + b'\x08\0'
    client = next(data[26:30] for _, _, data in frames if data[12:14] == b'\x08\0')
    server = ipaddress.ip_address('20.60.99.1').packed
    moment, made = at + 300_000_000, []

    def frame(by_client, flags, seq, ack, payload=b'', options=b''):
        nonlocal moment
        moment += 15_000_000
        ports = (50123, 443) if by_client else (443, 50123)
        tcp = struct.pack('>HHIIBBHHH', *ports, seq, ack, (20 + len(options)) // 4 << 4, flags, 64240, 0, 0) + options + payload
        ends = (client, server) if by_client else (server, client)
        data = ethernet + struct.pack('>BBHHHBBH', 69, 0, 20 + len(tcp), len(made) + 1, 0x4000, 128 if by_client else 110, 6, 0) + ends[0] + ends[1] + tcp
        made.append((moment, len(data), data))
    mss = bytes.fromhex('020405b40103030801010402')
    for _ in range(refused):
        frame(True, 2, 1000, 0, options=mss)
        frame(False, 0x14, 0, 1001)
        moment += 470_000_000
    if then:
        said, answer = hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0], b'\x16\x03\x03\0\x2e\x02\0\0\x2a\x03\x03' + bytes(33) + b'\xc0\x30\0\0\x02\0\0'
        frame(True, 2, 1000, 0, options=mss)
        frame(False, 0x12, 7000, 1001, options=mss)
        frame(True, 0x10, 1001, 7001)
        frame(True, 0x18, 1001, 7001, said)
        frame(False, 0x18, 7001, 1001 + len(said), answer)
        frame(True, 0x11, 1001 + len(said), 7001 + len(answer))
        frame(False, 0x11, 7001 + len(answer), 1002 + len(said))
        frame(True, 0x10, 1002 + len(said), 7002 + len(answer))
    return made


normal('fine-tls12', 'working TLS 1.2')(tls_to(V12, version=T12))
normal('fine-tls13', 'working TLS 1.3')(tls_to(V13))
normal('fine-gnutls', 'working TLS, GnuTLS server')(tls_to(GNUTLS))
normal('fine-s-server', 'working TLS, OpenSSL server')(tls_to(SSERVER))
normal('fine-v6', 'working TLS over IPv6')(lambda w: (w.healthy(), tls(FILTERED, w.server6())))
normal('server-down', "no listener on the port: the server's kernel refuses", 'weak')(lambda w: (w.healthy(), tries(w.server(), 444)))
normal('host-down', 'no host at the address, and no ICMP error', 'weak', router='ip daddr 20.60.{n}.9 drop')(lambda w: (w.healthy(), tries(w.server(9))))
normal('slow-server', 'the server needs four seconds')(tls_to(SLOW, timeout=9))
normal('reset-after-answer', 'the server resets after its response')(page(RESET_AFTER))
normal('continued', 'a request on a connection that was idle for long')(page(CONTINUED))
normal('warning-alert', 'a warning alert about the name, and the connection continues', made='crafted')(tls_to(WARNING, version=T12))


normal('syn-after-reset', 'the first SYN is refused, Windows sends it again, and the connection works', made='crafted',
         after=lambda frames: frames + windows(frames, refused=1, then=True))(World.healthy)
normal('refused-repeatedly', 'one refused connect() of Windows: four SYNs, four RSTs', 'weak', made='crafted',
         after=lambda frames: frames + windows(frames, refused=4, then=False))(World.healthy)


@normal('client-abort', 'the client resets before it sends data')
@quiet
def client_abort(w):
    w.healthy()
    abort(socket.create_connection((w.server(), 443)))


@normal('client-abort-after-hello', 'the client resets while it waits for the server')
@quiet
def client_abort_after_hello(w):
    w.healthy()
    s = socket.create_connection((w.server(SLOW), 443))
    s.sendall(hello(FILTERED)[0])
    time.sleep(0.5)
    abort(s)


@normal('client-close-after-hello', 'the client closes while it waits for the server')
@quiet
def client_close_after_hello(w):
    w.healthy()
    s = socket.create_connection((w.server(SLOW), 443))
    s.sendall(hello(FILTERED)[0])
    time.sleep(0.5)
    s.close()


@normal('happy-eyeballs', 'Happy Eyeballs: IPv6 and IPv4 race, and the slower attempt is abandoned', router=TO6 + ' drop')
@quiet
def happy_eyeballs(w):
    six = socket.socket(socket.AF_INET6)
    six.setblocking(False)
    six.connect_ex((w.server6(), 443))
    time.sleep(0.25)
    tls(FILTERED, w.server())
    six.close()


@normal('idle', 'a connection that is idle, then closed')
@quiet
def idle(w):
    s = socket.create_connection((w.server(SLOW), 80))
    time.sleep(5)
    s.close()


@normal('preconnect', 'a preconnect of a browser that is never used')
@quiet
def preconnect(w):
    w.healthy()
    s = socket.create_connection((w.server(), 443))
    time.sleep(3)
    s.close()


@normal('half-close', 'the client closes its direction and continues to read')
@quiet
def half_close(w):
    s = socket.create_connection((w.server(SLOW), 80))
    s.sendall(request('ocsp.msocsp.com'))
    s.shutdown(socket.SHUT_WR)
    s.settimeout(6)
    s.recv(4096)


@normal('keep-alive', 'keep-alive probes on an idle connection')
@quiet
def keep_alive(w):
    s = socket.create_connection((w.server(), 80))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        s.setsockopt(socket.IPPROTO_TCP, option, 1)
    s.sendall(request('ocsp.msocsp.com'))
    s.recv(4096)
    time.sleep(4)
    s.close()


@normal('port-reuse', 'several connections from one client port')
@quiet
def port_reuse(w):
    for _ in range(3):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((w.client, 45000))
        s.settimeout(4)
        s.connect((w.server(), 80))
        s.sendall(request('ocsp.msocsp.com'))
        s.recv(4096)
        abort(s)


@normal('scan', 'a port scan of one host: every port refuses')
def scan(w):
    w.healthy()
    for port in range(20, 32):
        tries(w.server(), port, 1)


@normal('loss', '30 % packet loss in both directions', 'weak', router='ip saddr {{10.9.{n}.2, 20.60.{n}.0/24}} ip daddr {{10.9.{n}.2, 20.60.{n}.0/24}} numgen random mod 10 < 3 drop')
def loss(w):
    w.healthy()
    for _ in range(2):
        tls(FILTERED, w.server(), timeout=14)


@normal('unreachable-once', 'one ICMP host unreachable during a route change; the next attempt works', 'weak',
          router=TO + ' tcp flags & (syn | ack) == syn limit rate over 1/hour burst 1 packets accept; ip daddr 20.60.{n}.0/24 tcp flags & (syn | ack) == syn reject with icmp type host-unreachable')
def unreachable_once(w):
    w.healthy()
    for _ in range(2):
        tls(FILTERED, w.server(), timeout=9)


@normal('too-big-obeyed', 'ICMP packet too big, and the client reduces its segment size', after='mtu')
def too_big_obeyed(w):
    w.healthy()
    tls('contosofs.file.core.windows.net', w.server(), upload=12000, timeout=7, version=T12)


@normal('proxy-407-first', '407 as the first step of NTLM; the second CONNECT succeeds', made='crafted')
def proxy_407(w):
    w.healthy()
    connect(PROXY, 3130, 'ntlm.file.core.windows.net', then='again')


@normal('proxy-fine', 'CONNECT through a proxy')
def proxy_fine(w):
    connect(PROXY, 3128, HEALTHY)
    connect(PROXY, 3128, 'contosofs.file.core.windows.net')


normal('redirect-documented', 'an intended redirect: go.microsoft.com to another host')(page(ELSEWHERE, 'go.microsoft.com', '/fwlink/?linkid=1'))
normal('connect-test', 'the connectivity test of Windows succeeds')(page(PLAIN, 'www.msftconnecttest.com', '/connecttest.txt'))
normal('dns-suffix', 'NXDOMAIN for a name with a search suffix; the name itself resolves')(
    lambda w: (look_up('management.azure.com.corp.example'), w.healthy()))
normal('dns-no-v6', 'a name without an AAAA record')(lambda w: (look_up(HEALTHY, 28), w.healthy()))
normal('dns-retry', 'the first query is lost, the second is answered', router='ip daddr 10.53.0.1 limit rate over 1/hour burst 1 packets accept; ip daddr 10.53.0.1 udp dport 53 drop')(
    lambda w: w.healthy())
normal('dns-other-server', 'one resolver responds REFUSED, the next resolves')(
    lambda w: (look_up(HEALTHY, resolver=REFUSING_RESOLVER, tries=1, wait=0.6), w.healthy()))
normal('private-link', 'a private endpoint with its private DNS zone')(
    lambda w: (w.healthy(), look_up('linked.file.core.windows.net')))


normal('began-late', 'the capture begins after the handshake', after=lambda frames: frames[len(frames) // 2:])(tls_to(V12, version=T12))
normal('ended-early', 'the capture ends during the handshake', after=lambda frames: frames[:-9])(tls_to(V13))
normal('one-sided-out', 'a one-sided capture: packets of the client only', after='client')(lambda w: (attempt(w), tls(FILTERED, w.server())))
normal('one-sided-in', 'a one-sided capture: packets of the servers only', after='server')(lambda w: (attempt(w), tls(FILTERED, w.server())))
normal('duplicates', 'every frame is captured twice', after=lambda frames: [copy for frame in frames for copy in (frame, frame)])(tls_to(V12, version=T12))
normal('snap-length', 'a snap length of 96 bytes', after=lambda frames: [(at, wire, data[:96]) for at, wire, data in frames])(tls_to(V12, version=T12))
normal('reordered', 'neighbouring frames are captured out of order', after=lambda frames: [f for pair in zip(frames[1::2], frames[::2]) for f in pair])(tls_to(V12, version=T12))
