"""Crafted scenarios: behaviour of load balancers, TCP stacks and middleboxes that cannot be recorded at will.

In:  the recorded frames of a working connection, which give the client's address.
Out: the same frames, and a crafted connection after them.
"""
from scenarios import *

SYN, FIN, RST, PSH, ACK = 2, 1, 4, 8, 16
OTHER_STACK_TTL, BALANCER_TTL, NEAR_MIDDLEBOX_TTL = 241, 113, 126
HOPS = 128, 52
ANSWER = b'\x16\x03\x03\0\x2e\x02\0\0\x2a\x03\x03' + bytes(33) + b'\xc0\x30\0\0\x02\0\0'
DATA = b'\x17\x03\x03\0\x40' + bytes(64)


class Connection:
    """A TCP connection as captured between client and router; both sides use TCP timestamps."""
    def __init__(self, frames, port=443, server='20.60.99.1', cport=50123, moment=None, numbers=(1000, 7000)):
        self.client = next(data[26:30] for _, _, data in frames if data[12:14] == b'\x08\0')
        self.server = ipaddress.ip_address(server).packed
        self.ports, self.moment, self.made = (cport, port), moment or frames[-1][0] + 300_000_000, []
        self.next, self.idents = list(numbers), [1, 30000]

    def wait(self, seconds):
        self.moment += int(seconds * 10**9)
        return self

    def put(self, side, flags, payload=b'', seq=None, ack=None, options=None, ttl=None, ident=None, window=64240):
        """Adds a segment of side 0 (client) or 1 (server). A retransmission has a given `seq`."""
        self.moment += 200_000
        if options is None:
            options = bytes.fromhex('020405b40402') if flags & SYN else b''
            options += struct.pack('>HBBII', 0x0101, 8, 10, self.moment // 10**6 & 0xffffffff, 1)
        options += b'\1' * (-len(options) % 4)
        if ident is None:
            ident = self.idents[side]
            self.idents[side] += 1
        source, to = (self.ports if side == 0 else self.ports[::-1])
        acknowledged = (self.next[1 - side] if ack is None else ack) if flags & ACK else 0
        tcp = struct.pack('>HHIIBBHHH', source, to, self.next[side] if seq is None else seq, acknowledged, (20 + len(options)) // 4 << 4, flags, window, 0, 0)
        ends = (self.client, self.server) if side == 0 else (self.server, self.client)
        self.packet(ends, 6, tcp + options + payload, HOPS[side] if ttl is None else ttl, ident, 0x4000)
        if seq is None and not flags & RST:
            self.next[side] += len(payload) + bool(flags & (SYN | FIN))
        return self

    def packet(self, ends, protocol, payload, hops=64, ident=1, flags=0):
        ip = struct.pack('>BBHHHBBH', 69, 0, 20 + len(payload), ident, flags, hops, protocol, 0) + ends[0] + ends[1]
        frame = bytes(12) + b'\x08\0' + ip + payload
        self.made.append((self.moment, len(frame), frame))
        return self

    def datagram(self, ends, ports, message, **more):
        return self.packet(ends, 17, struct.pack('>4H', *ports, 8 + len(message), 0) + message, **more)

    def error(self, kind, code, source=bytes((10, 9, 0, 1)), **more):
        """Adds an ICMP error to the client that quotes the last frame."""
        quoted = self.made[-1][2][14:42]
        return self.packet((source, self.client), 1, struct.pack('>BBHI', kind, code, 0, 1300 if (kind, code) == (3, 4) else 0) + quoted, **more)

    def handshake(self):
        return self.put(0, SYN).wait(0.02).put(1, SYN | ACK).put(0, ACK)

    def send(self, side, payload):
        return self.put(side, PSH | ACK, payload).wait(0.02).put(1 - side, ACK)

    def tls_handshake(self):
        return self.send(0, hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0]).send(1, ANSWER)

    def close(self):
        return self.put(0, FIN | ACK).wait(0.02).put(1, FIN | ACK).put(0, ACK)

    def reset(self, **more):
        """Adds the RST of a kernel for an unknown connection: no options, identification 0."""
        return self.put(1, RST, **({'options': b'', 'ident': 0} | more))


def resolver(frames):
    return next(data[30:34] for _, _, data in frames if data[12:14] == b'\x08\0')


def response(asked, *addresses):
    """A response with these addresses."""
    records = b''.join(b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + ipaddress.ip_address(address).packed for address in addresses)
    return asked[:2] + struct.pack('>5H', 0x8180, 1, len(addresses), 0, 0) + asked[12:] + records


def crafted(register, **more):
    """Registers a scenario: `craft(frames)` returns the crafted connection."""
    def keep(craft):
        register(made='crafted', after=lambda frames: frames + craft(frames).made, **more)(World.healthy)
        return craft
    return keep


def crafted_normal(name, what, most='none'):
    return crafted(lambda **more: normal(name, what, most, **more))


def crafted_blocked(name, mechanism, confidence, what):
    return crafted(lambda **more: blocked(name, mechanism, confidence, what, **more))


# ---------------------------------------------------------------- normal
@crafted_normal('idle-reset', 'a load balancer resets a preconnect after four idle minutes, with another TTL and without TCP timestamps')
def idle_reset(frames):
    return Connection(frames).handshake().wait(240).reset(ttl=BALANCER_TTL, ident=54321)


@crafted_normal('idle-state-lost', 'the ClientHello is sent after five idle minutes; a load balancer has dropped the connection state and resets')
def idle_forgotten(frames):
    return Connection(frames).handshake().wait(300).put(0, PSH | ACK, hello(HEALTHY)[0]).reset(ttl=BALANCER_TTL)


@crafted_blocked('idle-dropped', 'silent-after-idle', 'weak', 'after one idle hour, the connection state is gone, and no RST is sent')
def idle_swallowed(frames):
    connection = Connection(frames).handshake().tls_handshake().wait(3600)
    first = connection.next[0]
    for pause in (0.3, 0.6, 1.2, 2.4, 4.8, 9.6):
        connection.put(0, PSH | ACK, DATA, seq=first).wait(pause)
    return connection


@crafted_normal('idle-closed', 'the server resets a used connection after two idle minutes')
def idle_closed(frames):
    return Connection(frames).handshake().tls_handshake().wait(120).put(1, RST | ACK)


@crafted_normal('reset-of-overloaded-server', 'an overloaded server resets; its stack uses another initial TTL and no TCP timestamps', 'weak')
def other_stack(frames):
    return Connection(frames).handshake().put(0, PSH | ACK, hello(HEALTHY)[0]).wait(0.02).reset(ttl=OTHER_STACK_TTL + 2)


@crafted_normal('zero-window', 'a zero window for six seconds, with window probes')
def zero_window(frames):
    connection = Connection(frames).handshake().tls_handshake().put(0, PSH | ACK, DATA * 20).put(1, ACK, window=0)
    for pause in (0.3, 0.6, 1.2, 2.4):
        connection.wait(pause).put(0, ACK, seq=connection.next[0] - 1).wait(0.02).put(1, ACK, window=0)
    return connection.wait(1).put(1, ACK).send(0, DATA).send(1, DATA).close()


@crafted_normal('window-probes', 'a zero window, with probes that repeat a whole segment')
def window_probes(frames):
    connection = Connection(frames).handshake().tls_handshake()
    first = connection.next[0]
    connection.put(0, PSH | ACK, DATA * 20).put(1, ACK, ack=first, window=0)
    for pause in (0.3, 0.6, 1.2, 2.4, 4.8):
        connection.wait(pause).put(0, PSH | ACK, DATA * 20, seq=first).wait(0.02).put(1, ACK, ack=first, window=0)
    return connection.put(1, ACK).send(1, DATA).close()


@crafted_normal('late-syn-ack', 'the SYN-ACK for the first of three SYNs arrives after three seconds')
def late_syn_ack(frames):
    connection = Connection(frames).put(0, SYN)
    for pause in (1, 2):
        connection.wait(pause).put(0, SYN, seq=1000)
    return connection.wait(0.3).put(1, SYN | ACK).put(0, ACK).tls_handshake().close()


@crafted_normal('syn-ack-again', 'the final ACK is lost after the capture point: the server repeats the SYN-ACK after the request (SYN cookies)')
def syn_ack_again(frames):
    connection, said = Connection(frames).handshake(), hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0]
    connection.put(0, PSH | ACK, said).wait(1).put(1, SYN | ACK, seq=7000).put(0, ACK)
    return connection.put(0, PSH | ACK, said, seq=1001).wait(0.02).send(1, ANSWER).close()


@crafted_normal('challenge-ack', 'NAT reuses a port: the server sends a challenge ACK, gets a RST, and accepts the next SYN')
def challenge_ack(frames):
    old = Connection(frames).handshake().tls_handshake()
    new = Connection(frames, moment=old.moment + 3_000_000_000, numbers=(900000, 700000)).put(0, SYN)
    challenge = Connection(frames, moment=new.moment, numbers=tuple(old.next)).put(1, ACK)
    new.wait(0.001).put(0, RST, seq=old.next[0]).wait(1).put(0, SYN, seq=900000).wait(0.02).put(1, SYN | ACK).put(0, ACK).tls_handshake().close()
    new.made = sorted(old.made + new.made + challenge.made)
    return new


@crafted_normal('traffic-policing', 'traffic policing: some full-size segments are lost and retransmitted, others pass')
def policed(frames):
    connection, full = Connection(frames).handshake().tls_handshake(), DATA * 20
    first = connection.next[0]
    connection.put(0, ACK, full).put(0, ACK, full).put(0, PSH | ACK, DATA)
    passed = struct.pack('>HBBII', 0x0101, 5, 10, first + len(full), connection.next[0])
    for pause in (0.2, 0.4, 0.8, 1.6):
        connection.wait(pause).put(1, ACK, ack=first, options=passed).put(0, ACK, full, seq=first)
    return connection.wait(3).put(0, RST | ACK)


@crafted_normal('answers-rotate', 'a repeated query, with another of many addresses in each response')
def answers_rotate(frames):
    connection, asked = Connection(frames), query(HEALTHY, ident=7)
    for message in (asked, asked):
        connection.wait(0.4).datagram((connection.client, resolver(frames)), (50300, 53), message)
    for last in (1, 2):
        connection.wait(0.4).datagram((resolver(frames), connection.client), (53, 50300), response(asked, f'20.50.2.{last}'))
    return connection


@crafted_normal('alert-after-client-close', 'the client closes during the handshake, and the server sends an alert')
def server_complains(frames):
    connection = Connection(frames).handshake().send(0, hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0]).put(0, FIN | ACK).wait(0.02)
    return connection.put(1, PSH | ACK, b'\x15\x03\x03\0\x02\x02\x32').put(1, FIN | ACK).put(0, ACK)


@crafted_normal('not-modified', 'the connectivity test of Windows is answered with 304')
def not_modified(frames):
    connection = Connection(frames, 80).handshake().send(0, request('www.msftconnecttest.com', '/connecttest.txt'))
    return connection.send(1, b'HTTP/1.1 304 Not Modified\r\n\r\n').close()


@crafted_normal('proxy-407-plain', 'plain HTTP through a proxy: 407 as the first step, then the response')
def proxy_407_plain(frames):
    asked = request('crl.microsoft.com', 'http://crl.microsoft.com/pki/x.crl')
    connection = Connection(frames, 3128, '10.80.0.9').handshake().send(0, asked).send(1, b'HTTP/1.1 407 Sign in\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n')
    return connection.send(0, asked.replace(b'\r\n\r\n', b'\r\nProxy-Authorization: NTLM TlRM\r\n\r\n')).send(1, b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi').close()


# One sign alone does not prove that a RST was forged.
for sign, what, more in (('ttl', 'another TTL', {'ttl': BALANCER_TTL}), ('identification', 'another IP identification', {'ident': 9999}),
                         ('no-timestamps', 'no TCP timestamps', {'options': b''})):
    crafted_normal('one-sign-' + sign, f'a server resets after the ClientHello, and its RST has {what}: one sign alone proves no injection', 'weak')(
        lambda frames, more=more: Connection(frames).handshake().put(0, PSH | ACK, hello(HEALTHY)[0]).wait(0.02).put(1, RST | ACK, **more))


# ---------------------------------------------------------------- blocked
@crafted_blocked('injected-before-syn-ack', 'reset-injected', 'strong', 'a forged RST with a higher TTL before the SYN-ACK of the server')
def injected_before_syn_ack(frames):
    connection = Connection(frames).put(0, SYN).put(1, RST | ACK, seq=0, ttl=NEAR_MIDDLEBOX_TTL, options=b'', ident=54321)
    return connection.wait(0.02).put(1, SYN | ACK).put(0, RST, options=b'', ident=0)


@crafted_blocked('reset-in-tunnel', 'reset-after-client-hello', 'weak', 'a proxy accepts CONNECT, inspects the ClientHello in the tunnel, and resets')
def reset_in_tunnel(frames):
    connection = Connection(frames, 3128, '10.80.0.9').handshake().send(0, f'CONNECT {FILTERED}:443 HTTP/1.1\r\nHost: {FILTERED}:443\r\n\r\n'.encode())
    return connection.send(1, b'HTTP/1.1 200 Connection established\r\n\r\n').send(0, hello(FILTERED)[0]).put(1, RST | ACK)


@crafted_blocked('version-refused-by-client', 'tls-client-refused-version', 'weak', 'a middlebox chooses TLS 1.0, and the client refuses with an alert')
def version_refused_by_client(frames):
    older = ANSWER.replace(b'\x03\x03', b'\x03\x01')
    connection = Connection(frames).handshake().send(0, hello(FILTERED)[0]).send(1, older)
    return connection.put(0, PSH | ACK, b'\x15\x03\x03\0\x02\x02\x46').close()


@crafted_blocked('too-big-ignored', 'pmtu-black-hole', 'strong', 'ICMP packet too big, and the client does not reduce its segment size')
def too_big_ignored(frames):
    connection, full = Connection(frames).handshake().tls_handshake(), DATA * 20
    first = connection.next[0]
    for pause in (0.2, 0.4, 0.8, 1.6, 3.2):
        connection.put(0, ACK, full, seq=first).wait(0.001).error(3, 4).wait(pause)
    return connection.put(0, RST | ACK)


@crafted_blocked('dns-forged-denial', 'dns-two-answers', 'strong', 'a forged NXDOMAIN before the response of the resolver')
def dns_forged_denial(frames):
    connection, asked = Connection(frames), query(FILTERED, ident=7)
    denial = asked[:2] + struct.pack('>5H', 0x8183, 1, 0, 0, 0) + asked[12:]
    back = (resolver(frames), connection.client), (53, 50300)
    connection.wait(0.4).datagram((connection.client, resolver(frames)), (50300, 53), asked)
    return connection.wait(0.002).datagram(*back, denial).wait(0.01).datagram(*back, response(asked, '20.60.1.1'))


@crafted_normal('load-balancer-timeout', 'a load balancer resets because its backend server does not answer the request', 'weak')
def balancer_gives_up(frames):
    connection = Connection(frames).put(0, SYN).wait(0.02).put(1, SYN | ACK, ttl=BALANCER_TTL, ident=50000).put(0, ACK)
    connection.put(0, PSH | ACK, hello(HEALTHY)[0]).wait(0.02).put(1, ACK, ident=9000)
    return connection.wait(0.7).put(1, RST | ACK, options=b'', ttl=BALANCER_TTL, ident=50022)


@crafted_normal('reset-after-close', 'the client closes before the last response, and a NAT device sends RSTs with other sequence numbers')
def resets_behind_the_end(frames):
    connection = Connection(frames).handshake().tls_handshake().put(0, FIN | ACK).wait(0.02).put(1, PSH | ACK, DATA)
    connection.put(0, RST, options=b'', ident=0)
    return connection.put(1, RST | ACK).put(1, RST | ACK, seq=connection.next[1] + 90_000, ttl=255)


@crafted_normal('quic-port-unreachable', 'the server itself answers QUIC with ICMP port unreachable; TCP works', 'weak')
def nobody_takes_datagrams(frames):
    connection = Connection(frames).handshake().tls_handshake().close()
    for pause in (0.3, 0.6):
        connection.datagram((connection.client, connection.server), (50124, 443), b'\xc0' + bytes(1199), hops=HOPS[0]).wait(0.02)
        connection.error(3, 3, connection.server, hops=HOPS[1]).wait(pause)
    return connection


# ---------------------------------------------------------------- normal: undecidable
@crafted_normal('happy-eyeballs-lost', 'a client tries two addresses of a name 250 ms apart; the second answers, the first is abandoned')
def lost_race(frames):
    asked, ports = query(FILTERED, ident=9), (50301, 53)
    first = Connection(frames).datagram((Connection(frames).client, resolver(frames)), ports, asked).wait(0.01)
    first.datagram((resolver(frames), first.client), ports[::-1], response(asked, '20.60.99.1', '20.60.99.2')).put(0, SYN)
    second = Connection(frames, server='20.60.99.2', cport=50124, moment=first.moment + 250_000_000).handshake()
    second.send(0, hello(FILTERED, ssl.TLSVersion.TLSv1_2)[0]).send(1, ANSWER).wait(70).close()
    second.made = first.made + second.made
    return second


@crafted_normal('single-attempt', 'a single SYN without a reply and without a retransmission')
def single_attempt(frames):
    alone = Connection(frames, server='20.60.99.2', cport=50124).put(0, SYN)
    later = Connection(frames, moment=alone.moment).wait(90).handshake().tls_handshake().close()
    later.made = alone.made + later.made
    return later


@crafted_normal('too-short-to-tell', 'two SYNs within a second, then the client stops')
def too_short(frames):
    short = Connection(frames, server='20.60.99.2', cport=50124).put(0, SYN).wait(1).put(0, SYN, seq=1000)
    later = Connection(frames, moment=short.moment).wait(90).handshake().tls_handshake().close()
    later.made = short.made + later.made
    return later


@crafted_normal('client-cancels', 'a client cancels its SYN with a RST before a reply')
def client_gives_up(frames):
    return Connection(frames).put(0, SYN).wait(0.4).put(0, RST, seq=1001, options=b'')


@crafted_normal('syn-ack-missing', 'the capture begins after the SYN-ACK: a repeated SYN is answered with an ACK')
def answer_unseen(frames):
    return Connection(frames, numbers=(1000, 7001)).put(0, SYN).wait(0.02).put(1, ACK)


@crafted_normal('closed-by-server', 'a server closes, and resets the request that crosses its FIN')
def closed_by_server(frames):
    connection = Connection(frames).handshake().put(1, FIN | ACK)
    return connection.put(0, PSH | ACK, hello(HEALTHY)[0], ack=7001).wait(0.02).put(1, RST, seq=7002, options=b'', ident=0)


@crafted_normal('too-big-for-datagrams', 'ICMP packet too big for the first datagrams; the client continues over TCP')
def too_big_before_an_answer(frames):
    connection = Connection(frames)
    for _ in range(2):
        connection.wait(0.3).datagram((connection.client, connection.server), (50124, 443), b'\xc0' + bytes(1339), flags=0x4000).wait(0.001).error(3, 4)
    return connection.handshake().tls_handshake().close()


@crafted_normal('parameter-problem', 'ICMP parameter problem (type 12) for a SYN; the next SYN is answered')
def parameter_problem(frames):
    fault = Connection(frames, server='20.60.99.2', cport=50124).put(0, SYN).wait(0.001).error(12, 0)
    later = Connection(frames, moment=fault.moment).wait(1).handshake().tls_handshake().close()
    later.made = fault.made + later.made
    return later


@crafted_normal('sweep', 'a sweep of port 443 over thirty hosts, most of which do not exist')
def sweep(frames):
    asked = [Connection(frames, server=f'20.60.99.{host}', cport=50200 + host, moment=frames[-1][0] + host * 20_000_000) for host in range(1, 31)]
    for connection in asked:
        connection.put(0, SYN).wait(1).put(0, SYN, seq=1000).wait(3).put(0, SYN, seq=1000)
    later = Connection(frames).wait(90).handshake().tls_handshake().close()
    later.made = sorted(frame for connection in (*asked, later) for frame in connection.made)
    return later


# ---------------------------------------------------------------- blocked: rare alerts
for alert, number, mechanism, what in (
        ('unexpected-message', 10, 'tls-alert-unexpected-message', 'unexpected_message'),
        ('illegal-parameter', 47, 'tls-alert-illegal-parameter', 'illegal_parameter'),
        ('decode-error', 50, 'tls-alert-decode-error', 'decode_error: the ClientHello was modified'),
        ('decrypt-error', 51, 'tls-alert-decrypt-error', 'decrypt_error'),
        ('insufficient-security', 71, 'tls-cipher-refused', 'insufficient_security'),
        ('inappropriate-fallback', 86, 'tls-alert-inappropriate-fallback', 'inappropriate_fallback'),
        ('no-application-protocol', 120, 'tls-alert-no-application-protocol', 'no_application_protocol'),
        ('certificate-expired', 45, 'tls-client-certificate-refused', "certificate_expired, for the client's certificate"),
        ('missing-extension', 109, 'tls-alert-other', 'missing_extension')):
    crafted_blocked('alert-' + alert, mechanism, 'weak', 'the server refuses with an alert: ' + what)(
        lambda frames, number=number: Connection(frames).handshake().send(0, hello(FILTERED, ssl.TLSVersion.TLSv1_2)[0])
        .put(1, PSH | ACK, bytes((21, 3, 3, 0, 2, 2, number))).close())


@crafted_blocked('handshake-refused-by-client', 'tls-client-refused-handshake', 'weak', 'the client refuses the parameters that the server chose')
def handshake_refused_by_client(frames):
    return Connection(frames).handshake().send(0, hello(FILTERED, ssl.TLSVersion.TLSv1_2)[0]).send(1, ANSWER).put(0, PSH | ACK, bytes((21, 3, 3, 0, 2, 2, 47))).close()


# ---------------------------------------------------------------- blocked: one service of many
@crafted_blocked('one-port-blocked', 'tcp-unanswered', 'weak', 'one port of a host without replies, while its other services answer')
def one_service_cut(frames):
    begun = frames[-1][0]
    answered = [Connection(frames, port=port, cport=50200 + port, moment=begun + number * 400_000_000).handshake().send(1, b'SSH-2.0-lab\r\n').close()
                for number, port in enumerate((22, 88, 135, 389, 464, 636, 3268, 3269, 5985, 9389))]
    cut = Connection(frames, port=445, cport=51000, moment=begun + 4_100_000_000).put(0, SYN).wait(1).put(0, SYN, seq=1000).wait(3).put(0, SYN, seq=1000)
    later = Connection(frames).wait(90).handshake().tls_handshake().close()
    later.made = sorted(frame for connection in (*answered, cut, later) for frame in connection.made)
    return later
