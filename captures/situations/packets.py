"""Packets of made-up conversations: DNS, TCP, TLS, HTTP and proxies, as a mirror port would capture them.

The same calls give the same bytes. Standard library only.
"""
import hashlib, ipaddress, random, struct

SYN, ACK, FIN, RST, PSH = 2, 16, 1, 4, 8
START = 1785000000.0    # 2026-07-25 17:20:00 UTC
STEP = 0.0012           # between two frames
SEGMENT = 1460

MICROSOFT = [('C', 'US'), ('O', 'Microsoft Corporation'), ('CN', 'Microsoft Azure RSA TLS Issuing CA 04')]


def filler(length, seed=1):
    """Bytes in place of random or encrypted ones."""
    return hashlib.shake_128(str(seed).encode()).digest(length)


def sized(size, data):
    return len(data).to_bytes(size, 'big') + data


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


# ---------------------------------------------------------------- TLS (RFC 8446, RFC 5246)
def record(content_type, data):
    return bytes([content_type, 3, 3]) + sized(2, data)


def extension(kind, data):
    return struct.pack('>H', kind) + sized(2, data)


def client_hello(name, padding=0):
    extensions = (extension(0, sized(2, b'\0' + sized(2, name.encode()))) + extension(10, sized(2, b'\0\x1d\0\x17'))
                  + extension(13, sized(2, b'\4\3\x08\4\4\1')) + extension(43, b'\4\3\4\3\3')
                  + extension(51, sized(2, b'\0\x1d' + sized(2, filler(32)))))
    if padding:
        extensions += extension(21, bytes(padding))
    body = (b'\3\3' + filler(32, name) + sized(1, filler(32, 2)) + sized(2, b'\x13\1\x13\2\xc0\x30\xc0\x2f') + b'\1\0'
            + sized(2, extensions))
    return record(22, b'\1' + sized(3, body))


def server_hello_13():
    extensions = extension(43, b'\3\4') + extension(51, b'\0\x1d' + sized(2, filler(32, 8)))
    body = b'\3\3' + filler(32, 7) + sized(1, filler(32, 2)) + b'\x13\2\0' + sized(2, extensions)
    return record(22, b'\2' + sized(3, body)) + record(20, b'\1') + record(23, filler(900, 9))


def server_hello_12(certificate):
    """TLS 1.2, in which the certificate is readable."""
    body = b'\3\3' + filler(32, 7) + sized(1, filler(32, 6)) + b'\xc0\x30\0' + sized(2, extension(0xff01, b'\0'))
    chain = sized(3, sized(3, certificate))
    return (record(22, b'\2' + sized(3, body)) + record(22, b'\x0b' + sized(3, chain))
            + record(22, b'\x0c' + sized(3, filler(300, 6))) + record(22, b'\x0e\0\0\0'))


# ---------------------------------------------------------------- certificates (RFC 5280, X.690)
ATTRIBUTES = {'C': b'\x55\4\6', 'O': b'\x55\4\x0a', 'CN': b'\x55\4\3'}


def der(tag, data):
    length = len(data)
    if length < 128:
        return bytes([tag, length]) + data
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, 'big') + data


def distinguished_name(parts):
    values = (der(0x30, der(6, ATTRIBUTES[key]) + der(0x0c, value.encode())) for key, value in parts)
    return der(0x30, b''.join(der(0x31, value) for value in values))


def certificate(name, issuer):
    algorithm = der(0x30, der(6, bytes.fromhex('2a864886f70d01010b')) + der(5, b''))
    rsa = der(0x30, der(6, bytes.fromhex('2a864886f70d010101')) + der(5, b''))
    key = der(0x30, rsa + der(3, b'\0' + der(0x30, der(2, b'\0' + filler(256, 3)) + der(2, b'\1\0\1'))))
    names = der(0x30, der(0x82, name.encode()))
    extensions = der(0xa3, der(0x30, der(0x30, der(6, b'\x55\x1d\x11') + der(4, names))))
    validity = der(0x30, der(0x17, b'260101000000Z') + der(0x17, b'270101000000Z'))
    body = der(0x30, der(0xa0, der(2, b'\2')) + der(2, filler(8, 4)) + algorithm + distinguished_name(issuer) + validity
               + distinguished_name([('CN', name)]) + key + extensions)
    return der(0x30, body + algorithm + der(3, b'\0' + filler(256, 5)))


# ---------------------------------------------------------------- frames
class Trace:
    def __init__(self):
        self.time, self.frames, self.ip_id, self.last_port = START, [], 0x1000, 50000
        self.adapters = {}      # addresses that are those of another host
        self.vlan, self.snap_length = None, 65535

    def wait(self, seconds):
        self.time += seconds

    def port(self):
        self.last_port += 1
        return self.last_port

    def packet(self, source, target, protocol, body):
        a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
        self.time += STEP
        hops = 128 if a.is_private else 54
        if a.version == 4:
            self.ip_id = (self.ip_id + 1) & 0xffff
            head = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(body), self.ip_id, 0x4000, hops, protocol, 0, a.packed, b.packed)
            head = head[:10] + struct.pack('>H', checksum(head)) + head[12:]
        else:
            head = struct.pack('>IHBB16s16s', 0x60000000, len(body), protocol, hops, a.packed, b.packed)

        def mac(address):
            host = self.adapters.get(str(address), str(address)) if address.is_private else 'router'
            return b'\2\0' + hashlib.md5(host.encode()).digest()[:4]
        tag = b'' if self.vlan is None else struct.pack('>HH', 0x8100, self.vlan)
        self.frames.append((self.time, mac(b) + mac(a) + tag + (b'\x08\0' if a.version == 4 else b'\x86\xdd') + head + body))

    def transport(self, source, target, protocol, body, checksum_at):
        a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
        pseudo = a.packed + b.packed + struct.pack('>II', len(body), protocol)
        body = body[:checksum_at] + struct.pack('>H', checksum(pseudo + body)) + body[checksum_at + 2:]
        self.packet(source, target, protocol, body)

    def udp(self, source, source_port, target, target_port, data):
        self.transport(source, target, 17, struct.pack('>HHHH', source_port, target_port, 8 + len(data), 0) + data, 6)

    def icmpv6_error(self, router, client, port, server, code):
        """Destination unreachable (RFC 4443 section 3.1), about a SYN to port 443."""
        a, b = ipaddress.ip_address(client), ipaddress.ip_address(server)
        quoted = (struct.pack('>IHBB16s16s', 0x60000000, 20, 6, 63, a.packed, b.packed) + struct.pack('>HHI', port, 443, 0)
                  + struct.pack('>IBBHHH', 0, 0x50, SYN, 64240, 0, 0))
        self.transport(router, client, 58, struct.pack('>BBHI', 1, code, 0, 0) + quoted, 2)

    # ------------------------------------------------------------ DNS (RFC 1035)
    def dns(self, client, name, *answers, rcode=0, resolver='10.1.0.53', queries=1, is_answered=True):
        """A query and its response. `answers` are addresses, and names that aliases lead to."""
        def labels(text):
            return b''.join(sized(1, label.encode()) for label in text.split('.')) + b'\0'
        number, port = random.Random(name + str(len(self.frames))).randrange(65536), self.port()
        is_v6 = any(':' in answer for answer in answers)
        question = labels(name) + struct.pack('>HH', 28 if is_v6 else 1, 1)
        for query in range(queries):
            self.wait(1 if query else 0)
            self.udp(client, port, resolver, 53, struct.pack('>HHHHHH', number, 0x0100, 1, 0, 0, 0) + question)
        if not is_answered:
            return
        self.wait(0.004)
        owner, records = name, b''
        for answer in answers:
            try:
                address = ipaddress.ip_address(answer)
                kind, data = (1 if address.version == 4 else 28), address.packed
            except ValueError:
                kind, data = 5, labels(answer)
            records += labels(owner) + struct.pack('>HHI', kind, 1, 60) + sized(2, data)
            owner = answer if kind == 5 else owner
        head = struct.pack('>HHHHHH', number, 0x8180 | rcode, 1, len(answers), 0, 0)
        self.udp(resolver, 53, client, port, head + question + records)
        self.wait(0.002)

    # ------------------------------------------------------------ conversations
    def https(self, client, server, name):
        """A complete TLS 1.3 connection."""
        tcp = Tcp(self, client, server, 443).open()
        tcp.send(0, client_hello(name)).send(1, server_hello_13()).exchange().close()

    def https_with(self, client, server, name, issuer, certificate_name=None, rejects=False):
        """A TLS 1.2 connection with this certificate, which the client may reject."""
        tcp = Tcp(self, client, server, 443).open().send(0, client_hello(name))
        tcp.send(1, server_hello_12(certificate(certificate_name or name, issuer)))
        if not rejects:
            tcp.send(0, record(22, filler(70)) + record(20, b'\1') + record(22, filler(40))).send(1, record(20, b'\1')).exchange()
        else:
            tcp.send(0, record(21, b'\2\x30'))
        tcp.close()

    def dropped(self, client, server, port=443):
        """SYNs without a reply."""
        tcp = Tcp(self, client, server, port)
        for seconds in (1, 2, 4, 2):
            tcp.segment(0, SYN)
            tcp.numbers[0] -= 1
            self.wait(seconds)

    def refused(self, client, server, port=443):
        tcp = Tcp(self, client, server, port)
        for _ in range(3):
            tcp.segment(0, SYN)
            tcp.segment(1, RST | ACK)
            tcp.numbers[0] -= 1
            self.wait(0.5)

    def silent_after_hello(self, client, server, hello):
        """A ClientHello that is sent again and again."""
        tcp = Tcp(self, client, server, 443).open()
        first = tcp.numbers[0]
        for attempt in range(5):
            tcp.numbers[0] = first
            tcp.segment(0, ACK | PSH, hello[:SEGMENT])
            if hello[SEGMENT:] and attempt == 0:
                tcp.segment(0, ACK | PSH, hello[SEGMENT:])
            self.wait(0.3 * 2 ** attempt)
        tcp.segment(0, RST | ACK)

    def reset_after_hello(self, client, server, name):
        tcp = Tcp(self, client, server, 443).open()
        tcp.segment(0, ACK | PSH, client_hello(name))
        tcp.segment(1, RST | ACK)

    def http(self, client, server, url, status='200 OK', fields='', body=b'ok', port=80, is_proxied=False):
        host, path = url.split('/', 1)
        target = f'http://{url}' if is_proxied else f'/{path}'
        tcp = Tcp(self, client, server, port).open()
        tcp.send(0, f'GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode())
        tcp.send(1, f'HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n'.encode() + body).close()

    def connect(self, client, proxy, name, status='200 Connection established', fields='', reply=None, port=8080):
        """A TLS connection through a proxy, or the proxy's refusal."""
        tcp = Tcp(self, client, proxy, port).open()
        tcp.send(0, f'CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n'.encode())
        tcp.send(1, f'HTTP/1.1 {status}\r\n{fields}\r\n'.encode())
        if status.startswith('200'):
            tcp.send(0, client_hello(name)).send(1, reply or server_hello_13()).exchange()
        tcp.close()

    def write(self, path):
        with open(path, 'wb') as file:
            file.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, self.snap_length, 1))
            for time, frame in self.frames:
                captured = frame[:self.snap_length]
                file.write(struct.pack('<IIII', int(time), int(time % 1 * 1e6), len(captured), len(frame)) + captured)


class Tcp:
    """A connection; sides are 0, the client, and 1."""

    def __init__(self, trace, client, server, port):
        client_port = trace.port()
        self.trace, self.ends = trace, [(client, client_port), (server, port)]
        self.numbers = [random.Random(client_port + side).randrange(1 << 30) for side in (0, 1)]

    def segment(self, side, flags, data=b''):
        (source, source_port), (target, target_port) = self.ends[side], self.ends[1 - side]
        options = b'\2\4\5\xb4\1\3\3\x08\1\1\4\2' if flags & SYN else b''
        acknowledged = self.numbers[1 - side] if flags & ACK else 0
        head = struct.pack('>HHIIBBHHH', source_port, target_port, self.numbers[side], acknowledged,
                           (20 + len(options)) // 4 << 4, flags, 64240, 0, 0)
        self.trace.transport(source, target, 6, head + options + data, 16)
        self.numbers[side] += len(data) + bool(flags & SYN) + bool(flags & FIN)

    def open(self):
        self.segment(0, SYN)
        self.trace.wait(0.01)
        self.segment(1, SYN | ACK)
        self.segment(0, ACK)
        return self

    def send(self, side, data):
        for at in range(0, len(data), SEGMENT):
            self.segment(side, ACK | PSH, data[at:at + SEGMENT])
        self.trace.wait(0.005)
        self.segment(1 - side, ACK)
        return self

    def exchange(self):
        """Encrypted requests and responses."""
        for _ in range(2):
            self.send(0, record(23, filler(300))).send(1, record(23, filler(700)))
        return self

    def close(self):
        self.segment(0, FIN | ACK)
        self.segment(1, FIN | ACK)
        self.segment(0, ACK)
