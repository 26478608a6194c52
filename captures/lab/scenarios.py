"""The scenarios: what a client does, what its router is told to do, and what that is.

A label is true by construction: `guilty` ones name the mechanism and how sure one can be at least; `innocent` ones say how
sure an accusation may be at most. Everything here runs inside the client's namespace.
"""
import contextlib, ipaddress, random, re, socket, ssl, struct, subprocess, time

R, S = 'afs-lab-r', 'afs-lab-s'
CRAFTED_RESOLVER, FORGED_RESOLVER, SILENT_RESOLVER, REFUSING_RESOLVER = '10.53.0.2', '10.53.0.3', '10.53.0.4', '10.53.0.5'
PROXY = '10.80.0.1'
# What a server does is told by the last number of its address.
(PLAIN, V12, V13, SLOW, RESET_AFTER, BODY, HTTP_443, BOX, UNKNOWN_NAME, DENIED, BROKEN, PORTAL, FORBIDDEN, ELSEWHERE, WARNING,
 FAT, GNUTLS, SSERVER, FEW_CIPHERS, CLOSED, NETWORK_AUTH, CONTINUED, KNOWN_BOX, KNOWN_TEXT) = range(1, 25)
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
    def __init__(self, name, kind, signature, confidence, act, what, router='', host='', made='real', after=None):
        self.name, self.kind, self.signature, self.confidence = name, kind, signature, confidence
        self.act, self.what, self.router, self.host, self.made, self.after = act, what, router, host, made, after


CASES = []


def guilty(name, signature, confidence, what, **more):
    def keep(act):
        CASES.append(Case(name, 'guilty', signature, confidence, act, what, **more))
        return act
    return keep


def innocent(name, what, most='none', **more):
    """`most`: how sure an accusation may be at most; `weak` where nobody on the client's side can tell the difference."""
    def keep(act):
        CASES.append(Case(name, 'innocent', '', most, act, what, **more))
        return act
    return keep


class World:
    """What a scenario sees: its own addresses, and how to act."""
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


# ---------------------------------------------------------------- how clients act
def query(name, kind=1, ident=None, edns=False):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\0'
    opt = b'\0' + struct.pack('>HHIH', 41, 1232, 0, 0) if edns else b''
    return struct.pack('>6H', random.randrange(65536) if ident is None else ident, 0x100, 1, 0, 0, 1 if edns else 0) + labels + struct.pack('>HH', kind, 1) + opt


def own_resolver():
    return re.search(r'default via (\S+)', sh('ip', 'route').stdout).group(1)


def look_up(name, kind=1, resolver=None, tries=2, wait=1.0, edns=False):
    """A stub resolver's question, repeated when nobody answers; from another port each time, as Windows does not."""
    message = query(name, kind, edns=edns)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(tries):
            s.settimeout(wait)
            s.sendto(message, (resolver or own_resolver(), 53))
            with contextlib.suppress(OSError):
                return s.recv(4096)


def quiet(action):
    """What goes wrong at a client is the point of most scenarios."""
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
    """A ClientHello's bytes, and where the name lies in them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = context(version).wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    data = outgoing.read()
    return data, data.find(name.encode())


def names(name):
    """An nft match for a ClientHello to this name: sixteen bytes at the place where this client puts them."""
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


# ---------------------------------------------------------------- guilty: TCP and ICMP
def leads(name, what):
    """The client's resolver leads this name to that server."""
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
guilty('silent-drop', 'tcp-unanswered', 'weak', 'the router drops every packet to the address', router=TO + ' drop')(lambda w: attempt(w))
guilty('silent-drop-v6', 'tcp-unanswered', 'weak', 'the same over IPv6', router=TO6 + ' drop')(lambda w: attempt(w, True))
guilty('refuse-reset', 'tcp-refused', 'weak', 'the router answers a SYN with a reset', router=TO + ' ip protocol tcp reject with tcp reset')(lambda w: attempt(w))
guilty('refuse-reset-v6', 'tcp-refused', 'weak', 'the same over IPv6', router=TO6 + ' meta l4proto tcp reject with tcp reset')(lambda w: attempt(w, True))
for word, signature, confidence in (
        ('net-unreachable', 'icmp-no-route', 'weak'), ('host-unreachable', 'icmp-host-unreachable', 'weak'), ('prot-unreachable', 'icmp-protocol-unreachable', 'strong'),
        ('port-unreachable', 'icmp-port-unreachable', 'strong'), ('net-prohibited', 'icmp-admin-prohibited', 'certain'),
        ('host-prohibited', 'icmp-admin-prohibited', 'certain'), ('admin-prohibited', 'icmp-admin-prohibited', 'certain')):
    guilty('reject-' + word, signature, confidence, f'the router rejects with ICMP {word}', router=TO + ' reject with icmp type ' + word)(lambda w: attempt(w))
for word, signature, confidence in (
        ('no-route', 'icmp-no-route', 'weak'), ('admin-prohibited', 'icmp-admin-prohibited', 'certain'), ('addr-unreachable', 'icmp-host-unreachable', 'weak'),
        ('port-unreachable', 'icmp-port-unreachable', 'strong'), ('policy-fail', 'icmp-policy', 'certain'), ('reject-route', 'icmp-reject-route', 'certain')):
    guilty('reject-v6-' + word, signature, confidence, f'the router rejects with ICMPv6 {word}', router=TO6 + ' reject with icmpv6 type ' + word)(lambda w: attempt(w, True))


@guilty('drop-port-443', 'tcp-unanswered', 'weak', 'only port 443 is dropped; port 80 of the same server answers', router=TO + ' tcp dport 443 drop')
def drop_port_443(w):
    w.healthy()
    http('ocsp.msocsp.com', w.server())
    look_up('contosofs.file.core.windows.net')
    tls('contosofs.file.core.windows.net', w.server(), timeout=9)


@guilty('address-filter', 'tcp-unanswered', 'weak', 'two names at one address, both dropped; others work', router=TO + ' drop')
def address_filter(w):
    w.healthy()
    for name in ('contosofs.file.core.windows.net', 'northeurope01.afs.azure.net'):
        look_up(name)
        tls(name, w.server(), timeout=9)


@guilty('worked-then-stopped', 'tcp-unanswered', 'weak', 'works until the rule is loaded, then nothing comes back', router=TO + ' ct state new limit rate over 1/hour burst 1 packets drop')
def worked_then_stopped(w):
    name = 'contosofs.file.core.windows.net'
    w.healthy()
    tls(name, w.server())
    tls(name, w.server(), timeout=9)


@guilty('outage', 'tcp-unanswered', 'weak', 'everything is dropped from some time on', router='ip saddr 10.9.{n}.2 ip daddr != 20.50.0.0/16 drop')
def outage(w):
    tls(HEALTHY, '20.50.2.1')
    look_up('contosofs.file.core.windows.net')
    for what, name in ((PLAIN, 'contosofs.file.core.windows.net'), (V12, 'northeurope01.afs.azure.net')):
        tls(name, w.server(what), timeout=9)


# ---------------------------------------------------------------- guilty: after the handshake
FILTERED = 'westeurope01.afs.azure.net'


def name_filter(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server())
    tls('login.windows.net', w.server())


guilty('reset-after-hello', 'reset-after-client-hello', 'weak', 'the router resets when it reads the name; another name at the same address works',
       router=TO + ' ' + names(FILTERED) + ' reject with tcp reset')(name_filter)
guilty('silent-after-hello', 'silent-after-client-hello', 'weak', 'the router drops the ClientHello that holds the name',
       router=TO + ' ' + names(FILTERED) + ' drop')(name_filter)


@guilty('silent-after-acknowledged-hello', 'silent-after-client-hello', 'weak', 'the ClientHello is acknowledged, then no data of the server passes',
        router='ip saddr 20.60.{n}.0/24 meta length > 80 drop')
def silent_after_acknowledged(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server(), timeout=8)


@guilty('reset-after-hello-tls12', 'reset-after-client-hello', 'weak', 'the same filter before a client of TLS 1.2 only',
        router=TO + f' tcp dport 443 @ih,{hello(FILTERED, ssl.TLSVersion.TLSv1_2)[1] * 8},128 0x{FILTERED.encode()[:16].hex()} reject with tcp reset')
def reset_tls12(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server(), version=ssl.TLSVersion.TLSv1_2)


@guilty('reset-after-request', 'reset-after-request', 'weak', 'the router resets when it reads a plain request', router=TO + ' tcp dport 80 @ih,0,32 0x47455420 reject with tcp reset')
def reset_after_request(w):
    w.healthy()
    look_up('ocsp.msocsp.com')
    http('ocsp.msocsp.com', w.server())


@guilty('silent-after-request', 'silent-after-request', 'weak', 'the router drops the plain request', router=TO + ' tcp dport 80 @ih,0,32 0x47455420 drop')
def silent_after_request(w):
    w.healthy()
    look_up('ocsp.msocsp.com')
    http('ocsp.msocsp.com', w.server())


def injected(what):
    @leads(FILTERED, what)
    def act(w):
        w.healthy()
        look_up(FILTERED)
        tls(FILTERED, w.server(what))
    return act


guilty('injected-reset', 'reset-injected', 'strong', 'one forged reset after the ClientHello, other TTL and IP ID, no time stamp; the server answers all the same')(injected(INJECT_ONE))
guilty('injected-series', 'reset-injected', 'strong', 'three forged resets with rising numbers')(injected(INJECT_SERIES))
guilty('injected-reset-ack', 'reset-injected', 'strong', 'a forged reset that acknowledges')(injected(INJECT_ACK))
guilty('injected-at-handshake', 'reset-injected', 'strong', 'a forged reset as soon as the handshake is complete')(injected(INJECT_AT_HANDSHAKE))


# ---------------------------------------------------------------- guilty: TLS
def spoken(what, **more):
    @leads(FILTERED, what)
    def act(w):
        w.healthy()
        look_up(FILTERED)
        tls(FILTERED, w.server(what), **more)
    return act


T12, T13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
guilty('alert-version', 'tls-version-refused', 'weak', 'a client of TLS 1.2 at a server of TLS 1.3 only')(spoken(V13, version=T12))
guilty('alert-handshake-failure', 'tls-alert-handshake-failure', 'weak', 'no cipher suite in common')(spoken(FEW_CIPHERS, version=T12, ciphers='ECDHE-ECDSA-AES256-GCM-SHA384'))
guilty('alert-unrecognized-name', 'tls-alert-unrecognized-name', 'weak', 'the server knows no such name')(spoken(UNKNOWN_NAME))
guilty('alert-access-denied', 'tls-alert-access-denied', 'strong', 'access denied in TLS')(spoken(DENIED))
guilty('alert-internal-error', 'tls-alert-internal-error', 'weak', 'internal error in TLS')(spoken(BROKEN))
guilty('intercepted', 'AFS109', 'strong', 'a box opens TLS with a certificate of its own, and the client takes it')(spoken(BOX, version=T12))
guilty('intercepted-refused', 'tls-client-gave-up-on-certificate', 'strong', 'a box opens TLS; the client does not know its authority and says so')(spoken(BOX, version=T12, verify='good.crt'))
guilty('http-on-443', 'http-on-443', 'strong', 'a box answers the ClientHello with a page')(spoken(HTTP_443))


@guilty('intercepted-pinned', 'tls-client-gave-up-on-certificate', 'strong', 'a box opens TLS; the client compares the root and closes without a word')
@leads(FILTERED, BOX)
@quiet
def pinned(w):
    w.healthy()
    look_up(FILTERED)
    with socket.create_connection((w.server(BOX), 443), timeout=5) as s:
        s.sendall(hello(FILTERED, T12)[0])
        time.sleep(0.3)
        s.recv(65536)


@guilty('alert-gnutls-client', 'tls-version-refused', 'weak', 'a client of GnuTLS that speaks TLS 1.2 at a server of TLS 1.3')
@leads(FILTERED, V13)
def alert_gnutls(w):
    w.healthy()
    look_up(FILTERED)
    subprocess.run(['gnutls-cli', '--insecure', '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.2', '--sni-hostname', FILTERED, '-p', '443', w.server(V13)],
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=8)


# ---------------------------------------------------------------- guilty: DNS
def asks(name, resolver=None, **more):
    def act(w):
        w.healthy()
        look_up(name, resolver=resolver, **more)
    return act


guilty('dns-nxdomain', 'dns-nxdomain', 'weak', 'the resolver says that the name does not exist')(asks('nx.file.core.windows.net'))
guilty('dns-refused', 'dns-refused', 'weak', 'the resolver refuses')(asks('refused.afs.azure.net'))
guilty('dns-empty', 'dns-empty', 'weak', 'the resolver knows the name and gives no address')(asks('empty.file.core.windows.net'))
guilty('dns-sinkhole-zero', 'dns-sinkhole', 'strong', 'answered with 0.0.0.0')(asks('zero.file.core.windows.net'))
guilty('dns-sinkhole-loopback', 'dns-sinkhole', 'strong', 'answered with 127.0.0.1')(asks('loop.file.core.windows.net'))
guilty('dns-sinkhole-v6', 'dns-sinkhole', 'strong', 'answered with ::')(asks('zero.file.core.windows.net', kind=28))
guilty('dns-block-page', 'dns-block-page', 'strong', 'answered with the address of a known block page')(asks('page.file.core.windows.net'))
guilty('dns-private', 'dns-private-address', 'weak', 'a public service at a private address, without a private zone')(asks('login.microsoftonline.com'))
guilty('dns-silent', 'dns-no-answer', 'weak', 'questions for the name are dropped; others are answered', router='ip daddr 10.53.0.4 udp dport 53 drop')(
    lambda w: (w.healthy(), look_up('westeurope01.afs.azure.net', resolver=SILENT_RESOLVER, tries=3, wait=1.5)))
guilty('dns-servfail', 'dns-servfail', 'weak', 'the resolver fails', made='crafted')(asks('servfail.afs.azure.net', CRAFTED_RESOLVER))
guilty('dns-extended-blocked', 'dns-blocked-by-resolver', 'certain', 'NXDOMAIN with extended error 15', made='crafted')(asks('ede15.afs.azure.net', CRAFTED_RESOLVER, edns=True))
guilty('dns-extended-filtered', 'dns-blocked-by-resolver', 'certain', 'no address, with extended error 17', made='crafted')(asks('ede17.afs.azure.net', CRAFTED_RESOLVER, edns=True))
guilty('dns-extended-forged', 'dns-blocked-by-resolver', 'certain', 'another address, with extended error 4', made='crafted')(asks('ede4.afs.azure.net', CRAFTED_RESOLVER, edns=True))


@guilty('dns-two-answers', 'dns-two-answers', 'strong', 'a forged answer comes before the real one')
def two_answers(w):
    w.healthy()
    look_up('westeurope01.afs.azure.net', resolver=FORGED_RESOLVER)
    time.sleep(1)


@guilty('host-firewall', 'AFS309', 'weak', 'the name resolves and the host itself lets no SYN out', host='tcp dport 443 ip daddr 20.60.0.0/16 drop')
def host_firewall(w):
    for _ in range(2):
        look_up(FILTERED)
        tls(FILTERED, w.server(), timeout=2)
    w.healthy()
    time.sleep(6)
    tls(HEALTHY, '20.50.2.1')


# ---------------------------------------------------------------- guilty: proxy, HTTP
@guilty('proxy-filter', 'proxy-refused', 'certain', 'the proxy refuses the name')
def proxy_filter(w):
    connect(PROXY, 3128, HEALTHY)
    connect(PROXY, 3128, 'denied.file.core.windows.net')


@guilty('proxy-unreachable', 'proxy-refused', 'strong', 'the proxy cannot reach the server')
def proxy_unreachable(w):
    connect(PROXY, 3128, HEALTHY)
    connect(PROXY, 3128, 'closed.file.core.windows.net')


@guilty('proxy-no-credentials', 'proxy-auth-required', 'weak', 'the proxy wants credentials and the client has none')
def proxy_auth(w):
    w.healthy()
    connect(PROXY, 3129, 'contosofs.file.core.windows.net')
    connect(PROXY, 3129, 'contosofs.file.core.windows.net')


for code in (502, 503, 504):
    guilty(f'proxy-{code}', 'proxy-refused', 'strong', f'the proxy answers {code}', made='crafted')(
        lambda w, code=code: (w.healthy(), connect(PROXY, 3130, f'status{code}.file.core.windows.net')))


@guilty('socks-refused', 'proxy-refused', 'certain', 'a SOCKS proxy does not allow it', made='crafted')
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
    @leads(name, what)
    def act(w):
        w.healthy()
        look_up(name)
        http(name, w.server(what), path)
    return act


guilty('block-page-403', 'block-page', 'weak', 'a page answers 403 in place of the OCSP responder')(page(FORBIDDEN))
guilty('block-page-vendor', 'block-page', 'certain', 'the page names a box that is known')(page(KNOWN_BOX))
guilty('block-page-redirect', 'block-page', 'weak', 'sent to a foreign host in place of a revocation list')(page(ELSEWHERE, 'crl.microsoft.com', '/pki/crl/x.crl'))
guilty('captive-portal', 'captive-portal', 'certain', 'the connection test of Windows is sent to a portal')(page(PORTAL, 'www.msftconnecttest.com', '/connecttest.txt'))
guilty('captive-511', 'captive-portal', 'certain', 'network authentication required')(page(NETWORK_AUTH))


@guilty('pki-blocked', 'AFS209', 'weak', 'port 80 of revocation services is dropped, 443 works', router=TO + ' tcp dport 80 drop')
@leads('crl.microsoft.com', V12)
def pki_blocked(w):
    w.healthy()
    for name, what in (('ocsp.msocsp.com', PLAIN), ('crl.microsoft.com', V12)):
        look_up(name)
        http(name, w.server(what), timeout=9)


# ---------------------------------------------------------------- guilty: path
@guilty('black-hole-upload', 'pmtu-black-hole', 'strong', 'full-size packets of the client are lost, and nobody says why',
        router=TO + ' meta length > 1300 drop')
def black_hole_upload(w):
    w.healthy()
    look_up('contosofs.file.core.windows.net')
    tls('contosofs.file.core.windows.net', w.server(), upload=12000, timeout=7, version=T12)


@guilty('black-hole-download', 'pmtu-black-hole', 'strong', 'full-size packets of the server are lost: the certificate never comes',
        router='ip saddr 20.60.{n}.0/24 meta length > 1300 drop')
@leads('contosofs.file.core.windows.net', FAT)
def black_hole_download(w):
    w.healthy()
    look_up('contosofs.file.core.windows.net')
    tls('contosofs.file.core.windows.net', w.server(FAT), timeout=7, version=T12)


# ---------------------------------------------------------------- innocent
def windows(frames, refused, then):
    """What Windows does when a SYN is refused: the same SYN again half a second later."""
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


innocent('fine-tls12', 'nothing wrong, TLS 1.2')(spoken(V12, version=T12))
innocent('fine-tls13', 'nothing wrong, TLS 1.3')(spoken(V13))
innocent('fine-gnutls', 'nothing wrong, server of GnuTLS')(spoken(GNUTLS))
innocent('fine-s-server', 'nothing wrong, server of OpenSSL')(spoken(SSERVER))
innocent('fine-v6', 'nothing wrong, IPv6')(lambda w: (w.healthy(), tls(FILTERED, w.server6())))
innocent('server-down', 'the host is there and nothing listens: its kernel refuses', 'weak')(lambda w: (w.healthy(), tries(w.server(), 444)))
innocent('host-down', 'nobody at the address and no router that says so', 'weak', router='ip daddr 20.60.{n}.9 drop')(lambda w: (w.healthy(), tries(w.server(9))))
innocent('slow-server', 'the server thinks for four seconds')(spoken(SLOW, timeout=9))
innocent('reset-after-answer', 'the server resets after it has answered')(page(RESET_AFTER))
innocent('continued', 'a request is answered on a connection that was long idle')(page(CONTINUED))
innocent('warning-alert', 'a warning about the name, and all goes on', made='crafted')(spoken(WARNING, version=T12))


innocent('syn-after-reset', 'the first SYN is refused and the same SYN is sent again, as Windows does; then it works', made='crafted',
         after=lambda frames: frames + windows(frames, refused=1, then=True))(World.healthy)
innocent('refused-repeatedly', 'one refused connect: four SYN, four resets, as Windows does', 'weak', made='crafted',
         after=lambda frames: frames + windows(frames, refused=4, then=False))(World.healthy)


@innocent('client-abort', 'the client resets before it has said anything')
@quiet
def client_abort(w):
    w.healthy()
    abort(socket.create_connection((w.server(), 443)))


@innocent('client-abort-after-hello', 'the client resets while the server thinks')
@quiet
def client_abort_after_hello(w):
    w.healthy()
    s = socket.create_connection((w.server(SLOW), 443))
    s.sendall(hello(FILTERED)[0])
    time.sleep(0.5)
    abort(s)


@innocent('client-close-after-hello', 'the client closes while the server thinks')
@quiet
def client_close_after_hello(w):
    w.healthy()
    s = socket.create_connection((w.server(SLOW), 443))
    s.sendall(hello(FILTERED)[0])
    time.sleep(0.5)
    s.close()


@innocent('happy-eyeballs', 'IPv6 and IPv4 race; the slower attempt is given up at once', router=TO6 + ' drop')
@quiet
def happy_eyeballs(w):
    six = socket.socket(socket.AF_INET6)
    six.setblocking(False)
    six.connect_ex((w.server6(), 443))
    time.sleep(0.25)
    tls(FILTERED, w.server())
    six.close()


@innocent('idle', 'a connection that is silent for long, then closed')
@quiet
def idle(w):
    s = socket.create_connection((w.server(SLOW), 80))
    time.sleep(5)
    s.close()


@innocent('preconnect', 'a browser opens a connection in advance and never uses it')
@quiet
def preconnect(w):
    w.healthy()
    s = socket.create_connection((w.server(), 443))
    time.sleep(3)
    s.close()


@innocent('half-close', 'the client closes its side and still reads')
@quiet
def half_close(w):
    s = socket.create_connection((w.server(SLOW), 80))
    s.sendall(request('ocsp.msocsp.com'))
    s.shutdown(socket.SHUT_WR)
    s.settimeout(6)
    s.recv(4096)


@innocent('keep-alive', 'keep-alive probes on an idle connection')
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


@innocent('port-reuse', 'several connections from one port')
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


@innocent('scan', 'a port scan of one host: refusals everywhere')
def scan(w):
    w.healthy()
    for port in range(20, 32):
        tries(w.server(), port, 1)


@innocent('loss', 'three packets of ten are lost, both ways', 'weak', router='ip saddr {{10.9.{n}.2, 20.60.{n}.0/24}} ip daddr {{10.9.{n}.2, 20.60.{n}.0/24}} numgen random mod 10 < 3 drop')
def loss(w):
    w.healthy()
    for _ in range(2):
        tls(FILTERED, w.server(), timeout=14)


@innocent('unreachable-once', 'the router says host unreachable once, while its routes change; the next attempt is answered', 'weak',
          router=TO + ' tcp flags & (syn | ack) == syn limit rate over 1/hour burst 1 packets accept; ip daddr 20.60.{n}.0/24 tcp flags & (syn | ack) == syn reject with icmp type host-unreachable')
def unreachable_once(w):
    w.healthy()
    for _ in range(2):
        tls(FILTERED, w.server(), timeout=9)


@innocent('too-big-obeyed', 'the router says packet too big, and the client obeys', after='mtu')
def too_big_obeyed(w):
    w.healthy()
    tls('contosofs.file.core.windows.net', w.server(), upload=12000, timeout=7, version=T12)


@innocent('proxy-407-first', '407 is the first leg of NTLM; the second CONNECT is let through', made='crafted')
def proxy_407(w):
    w.healthy()
    connect(PROXY, 3130, 'ntlm.file.core.windows.net', then='again')


@innocent('proxy-fine', 'CONNECT through a proxy')
def proxy_fine(w):
    connect(PROXY, 3128, HEALTHY)
    connect(PROXY, 3128, 'contosofs.file.core.windows.net')


innocent('redirect-documented', 'a redirect that Microsoft means: go.microsoft.com leads elsewhere')(page(ELSEWHERE, 'go.microsoft.com', '/fwlink/?linkid=1'))
innocent('connect-test', 'the connection test of Windows is answered as it should be')(page(PLAIN, 'www.msftconnecttest.com', '/connecttest.txt'))
innocent('dns-suffix', 'a search suffix does not exist, the name itself does')(
    lambda w: (look_up('management.azure.com.corp.example'), w.healthy()))
innocent('dns-no-v6', 'a name without IPv6 address')(lambda w: (look_up(HEALTHY, 28), w.healthy()))
innocent('dns-retry', 'the first question is lost, the second answered', router='ip daddr 10.53.0.1 limit rate over 1/hour burst 1 packets accept; ip daddr 10.53.0.1 udp dport 53 drop')(
    lambda w: w.healthy())
innocent('dns-other-server', 'one resolver refuses, the next answers')(
    lambda w: (look_up(HEALTHY, resolver=REFUSING_RESOLVER, tries=1, wait=0.6), w.healthy()))
innocent('private-link', 'a private endpoint with its zone')(
    lambda w: (w.healthy(), look_up('linked.file.core.windows.net')))


innocent('began-late', 'the capture begins after the handshake', after=lambda frames: frames[len(frames) // 2:])(spoken(V12, version=T12))
innocent('ended-early', 'the capture ends within a handshake', after=lambda frames: frames[:-9])(spoken(V13))
innocent('one-sided-out', 'only the client is seen', after='client')(lambda w: (attempt(w), tls(FILTERED, w.server())))
innocent('one-sided-in', 'only the servers are seen', after='server')(lambda w: (attempt(w), tls(FILTERED, w.server())))
innocent('duplicates', 'each frame is there twice', after=lambda frames: [copy for frame in frames for copy in (frame, frame)])(spoken(V12, version=T12))
innocent('snapped', 'frames cut at 96 bytes', after=lambda frames: [(at, wire, data[:96]) for at, wire, data in frames])(spoken(V12, version=T12))
innocent('reordered', 'neighbours are swapped on their way to the capture', after=lambda frames: [f for pair in zip(frames[1::2], frames[::2]) for f in pair])(spoken(V12, version=T12))
