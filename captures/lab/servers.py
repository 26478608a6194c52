"""TLS and HTTP servers, resolvers and proxies of the internet, and the middleboxes in the router.

The last byte of a server's address selects its behaviour; see `scenarios.py`.
"""
import contextlib, ipaddress, socket, ssl, struct, threading, time

from scenarios import *


def contexts(work):
    def made(lowest, highest, ca='good', ciphers=None, refuse=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.minimum_version, c.maximum_version = lowest, highest
        c.load_cert_chain(f'{work}/{ca}-chain.crt', f'{work}/{ca}-leaf.key')
        c.set_alpn_protocols(['http/1.1'])
        if ciphers:
            c.set_ciphers(ciphers)
        if refuse:
            c.sni_callback = lambda *_: refuse
        return c
    alert = ssl.AlertDescription
    return {PLAIN: made(T12, T13), V12: made(T12, T12), V13: made(T13, T13), FAT: made(T12, T12, 'fat'),
            FEW_CIPHERS: made(T12, T12, ciphers='ECDHE-ECDSA-AES128-GCM-SHA256'), UNKNOWN_NAME: made(T12, T13, refuse=alert.ALERT_DESCRIPTION_UNRECOGNIZED_NAME),
            DENIED: made(T12, T13, refuse=alert.ALERT_DESCRIPTION_ACCESS_DENIED), BROKEN: made(T12, T13, refuse=alert.ALERT_DESCRIPTION_INTERNAL_ERROR)}


def message(status, body='', **headers):
    lines = [f'HTTP/1.1 {status}', *(f'{key}: {value}' for key, value in headers.items()), f'Content-Length: {len(body)}', '', body]
    return '\r\n'.join(lines).encode()


PAGES = {
    PORTAL: message('302 Found', Location='http://portal.lab.example/login'),
    FORBIDDEN: message('403 Forbidden', '<html><title>Access denied</title>This page is not allowed here.</html>', **{'Content-Type': 'text/html'}),
    ELSEWHERE: message('302 Found', Location='http://notice.lab.example/?why=category'),
    NETWORK_AUTH: message('511 Network Authentication Required', '<a href="http://portal.lab.example/">sign in</a>', **{'Content-Type': 'text/html'}),
    KNOWN_PRODUCT: message('403 Forbidden', '<html>stopped</html>', Server='squid/5.7', **{'X-Squid-Error': 'ERR_ACCESS_DENIED 0', 'Content-Type': 'text/html'}),
    KNOWN_TEXT: message('200 OK', '<html>This page has been blocked in accordance with company policy</html>', **{'Content-Type': 'text/html'}),
    HTTP_443: message('400 Bad Request', '<html>no</html>', Server='middlebox'),
    BODY: message('200 OK', '<html>The guest network welcomes you. Please sign in.</html>', **{'Content-Type': 'text/html'}),
}


@quiet
def answer_http(s, what):
    if what == SLOW:
        s.settimeout(9)
        if s.recv(4096):
            time.sleep(3)
            s.sendall(message('200 OK', 'slow'))
        return
    received = s.recv(4096)
    while received:
        test = b'connecttest.txt' in received
        s.sendall(PAGES.get(what) or message('200 OK', 'Microsoft Connect Test' if test else 'fine', Server='lab'))
        if what == RESET_AFTER:
            time.sleep(0.2)
            return abort(s)
        received = s.recv(4096)


@quiet
def answer_tls(s, what, made):
    s.settimeout(9)
    if what == SLOW:
        time.sleep(4)
    if what in INJECTED:
        time.sleep(0.05)
    if what == HTTP_443:
        s.recv(4096)
        return s.sendall(PAGES[HTTP_443])
    if what == WARNING:
        s.sendall(bytes.fromhex('15030300020170'))
    with made.get(what, made[PLAIN]).wrap_socket(s, server_side=True) as secure:
        total = 0
        while b'\r\n\r\n' not in (got := secure.recv(16384)) and got:
            total += len(got)
        secure.sendall(message('200 OK', 'hello'))
        secure.recv(16384)


def listen(family, port, answer, *more):
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(('', port))
    listener.listen(64)

    def accept_all():
        while True:
            s, _ = listener.accept()
            what = ipaddress.ip_address(s.getsockname()[0]).packed[-1]

            def one(s=s, what=what):
                with s:
                    answer(s, what, *more)
            threading.Thread(target=one, daemon=True).start()
    threading.Thread(target=accept_all, daemon=True).start()


def answer_dns(address, reply):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 53))
        while True:
            received, client = s.recvfrom(4096)
            end = 12
            while received[end]:
                end += received[end] + 1
            reply(s, client, received[:2], received[12:end + 5])


def dns_message(ident, question, rcode=0, address=None, extended=None):
    answer = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + ipaddress.ip_address(address).packed if address else b''
    opt = b'\0' + struct.pack('>HHIH', 41, 1232, 0, 6) + struct.pack('>HHH', 15, 2, extended) if extended else b''
    return ident + struct.pack('>5H', 0x8180 | rcode, 1, bool(address), 0, bool(extended)) + question + answer + opt


def crafted_reply(s, client, ident, question):
    rcode, address, extended = next((r for word, r in ((b'servfail', (2, None, None)), (b'ede15', (3, None, 15)), (b'ede17', (0, None, 17)),
                                                       (b'ede4', (0, '203.0.113.9', 4))) if word in question), (0, None, None))
    s.sendto(dns_message(ident, question, rcode, address, extended), client)


def forged_reply(s, client, ident, question):
    s.sendto(dns_message(ident, question, address='203.0.113.66'), client)
    time.sleep(0.05)
    s.sendto(dns_message(ident, question, address='20.60.1.1'), client)


@quiet
def crafted_proxy(s, what):
    received = s.recv(4096)
    if b'status' in received:
        code = received[received.find(b'status') + 6:][:3].decode()
        return s.sendall(message(f'{code} No', Via='1.1 lab'))
    if b'ntlm' in received and b'Proxy-Authorization' not in received:
        s.sendall(message('407 Proxy Authentication Required', **{'Proxy-Authenticate': 'NTLM'}))
        received = s.recv(4096)
    s.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')
    answer_tls(s, PLAIN, MADE)


@quiet
def crafted_socks(s, what):
    s.recv(4096)
    s.sendall(b'\5\0')
    s.recv(4096)
    s.sendall(b'\5\2\0\1\0\0\0\0\0\0')


MADE = {}


def serve(work):
    MADE.update(contexts(work))
    for family in (socket.AF_INET, socket.AF_INET6):
        listen(family, 443, answer_tls, MADE)
        listen(family, 80, answer_http)
    listen(socket.AF_INET, 3130, crafted_proxy)
    listen(socket.AF_INET, 1080, crafted_socks)
    for address, reply in ((CRAFTED_RESOLVER, crafted_reply), (FORGED_RESOLVER, forged_reply), (SILENT_RESOLVER, crafted_reply),
                           (REFUSING_RESOLVER, lambda s, client, ident, question: s.sendto(dns_message(ident, question, 5), client))):
        threading.Thread(target=answer_dns, args=(address, reply), daemon=True).start()
    print('ready', flush=True)
    time.sleep(600)


# ---------------------------------------------------------------- middleboxes in the router
@quiet
def intercept(s, _, context_):
    """TLS inspection: terminates TLS with its own certificate, and connects to the original server."""
    port, address = struct.unpack('>2xH4s8x', s.getsockopt(socket.SOL_IP, 80, 16))
    with context_.wrap_socket(s, server_side=True) as inner, \
            socket.create_connection((socket.inet_ntoa(address), port), timeout=5) as plain, \
            context().wrap_socket(plain, server_hostname=FILTERED) as outer:
        inner.settimeout(5)
        outer.sendall(inner.recv(16384))
        inner.sendall(outer.recv(16384))
        inner.recv(16384)


def inject(link):
    """Reads the packets that pass, and sends forged RSTs of the server, as an off-path injector does."""
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    capture.bind((link, 0))
    injector = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def reset(server, client, ports, seq, ack, flags):
        tcp = struct.pack('>HHIIBBHHH', ports[1], ports[0], seq & 0xffffffff, ack, 0x50, flags, 0, 0, 0)
        whole = server + client + struct.pack('>BBH', 0, 6, 20) + tcp
        total = sum(struct.unpack(f'>{len(whole) // 2}H', whole))
        total = (total & 0xffff) + (total >> 16)
        tcp = tcp[:16] + struct.pack('>H', ~(total + (total >> 16)) & 0xffff) + tcp[18:]
        injector.sendto(struct.pack('>BBHHHBBH', 69, 0, 40, 54321, 0, 113, 6, 0) + server + client + tcp, (socket.inet_ntoa(client), 0))
    print('ready', flush=True)
    done = set()
    while True:
        frame = capture.recv(65536)
        ip = frame[14:]
        client, server = ip[12:16], ip[16:20]
        if frame[12:14] != b'\x08\0' or ip[9] != 6 or server[:2] != bytes((20, 60)) or server[3] not in INJECTED:
            continue
        what, tcp = server[3], ip[(ip[0] & 15) * 4:struct.unpack('>H', ip[2:4])[0]]
        source, port, seq, ack = struct.unpack('>HHII', tcp[:12])
        payload = tcp[(tcp[12] >> 4) * 4:]
        at_once = what == INJECT_AT_HANDSHAKE and tcp[13] == 0x10 and not payload
        if (client, source) in done or not (at_once or payload[:1] == b'\x16'):
            continue
        done.add((client, source))
        for number in range(3 if what == INJECT_SERIES else 1):
            reset(server, client, (source, port), ack + number * 1460, seq + len(payload) if what == INJECT_ACK else 0, 0x14 if what == INJECT_ACK else 4)


def middleboxes(work):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(f'{work}/inspection-chain.crt', f'{work}/inspection-leaf.key')
    listen(socket.AF_INET, 8443, intercept, c)
    inject('wan')
