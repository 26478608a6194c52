"""Scenarios that no kernel does at will, written from bytes behind a real conversation: what balancers, stacks and boxes do.

In:  a scenario's frames, from which the client's address is taken.
Out: the same with a conversation behind them.
"""
from scenarios import *

SYN, FIN, RST, PSH, ACK = 2, 1, 4, 8, 16
OTHER_STACK, BALANCER, BOX_NEAR_BY = 241, 113, 126
HOPS = 128, 52
ANSWER = b'\x16\x03\x03\0\x2e\x02\0\0\x2a\x03\x03' + bytes(33) + b'\xc0\x30\0\0\x02\0\0'
DATA = b'\x17\x03\x03\0\x40' + bytes(64)


class Talk:
    """One connection, seen from beside the path; both sides have time stamps."""
    def __init__(self, frames, port=443, server='20.60.99.1', cport=50123, moment=None, numbers=(1000, 7000)):
        self.client = next(data[26:30] for _, _, data in frames if data[12:14] == b'\x08\0')
        self.server = ipaddress.ip_address(server).packed
        self.ports, self.moment, self.made = (cport, port), moment or frames[-1][0] + 300_000_000, []
        self.next, self.idents = list(numbers), [1, 30000]

    def wait(self, seconds):
        self.moment += int(seconds * 10**9)
        return self

    def put(self, side, flags, payload=b'', seq=None, ack=None, options=None, ttl=None, ident=None, window=64240):
        """`side` 0 is the client. What repeats has a `seq` of its own."""
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
        """An ICMP error to the client about the last frame."""
        quoted = self.made[-1][2][14:42]
        return self.packet((source, self.client), 1, struct.pack('>BBHI', kind, code, 0, 1300 if (kind, code) == (3, 4) else 0) + quoted, **more)

    def handshake(self):
        return self.put(0, SYN).wait(0.02).put(1, SYN | ACK).put(0, ACK)

    def say(self, side, payload):
        return self.put(side, PSH | ACK, payload).wait(0.02).put(1 - side, ACK)

    def greet(self):
        return self.say(0, hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0]).say(1, ANSWER)

    def close(self):
        return self.put(0, FIN | ACK).wait(0.02).put(1, FIN | ACK).put(0, ACK)

    def reset(self, **more):
        """As a kernel resets what it does not know: no options, identification 0."""
        return self.put(1, RST, **({'options': b'', 'ident': 0} | more))


def resolver(frames):
    return next(data[30:34] for _, _, data in frames if data[12:14] == b'\x08\0')


def led(asked, *addresses):
    """The answer to a question: these addresses."""
    records = b''.join(b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + ipaddress.ip_address(address).packed for address in addresses)
    return asked[:2] + struct.pack('>5H', 0x8180, 1, len(addresses), 0, 0) + asked[12:] + records


def writes(register, **more):
    """A scenario whose second half is written: `talk(frames)` makes a Talk."""
    def keep(talk):
        register(made='crafted', after=lambda frames: frames + talk(frames).made, **more)(World.healthy)
        return talk
    return keep


def good(name, what, most='none'):
    return writes(lambda **more: innocent(name, what, most, **more))


def bad(name, signature, confidence, what):
    return writes(lambda **more: guilty(name, signature, confidence, what, **more))


# ---------------------------------------------------------------- innocent
@good('idle-reset', 'a balancer resets what was connected in advance and not used for four minutes: from elsewhere, without time stamp')
def idle_reset(frames):
    return Talk(frames).handshake().wait(240).reset(ttl=BALANCER, ident=54321)


@good('idle-forgotten', 'the first hello comes after five minutes; a balancer has forgotten the connection and resets')
def idle_forgotten(frames):
    return Talk(frames).handshake().wait(300).put(0, PSH | ACK, hello(HEALTHY)[0]).reset(ttl=BALANCER)


@good('idle-swallowed', 'after an hour of silence nobody knows the connection any more, and nobody says so')
def idle_swallowed(frames):
    talk = Talk(frames).handshake().greet().wait(3600)
    first = talk.next[0]
    for pause in (0.3, 0.6, 1.2, 2.4, 4.8, 9.6):
        talk.put(0, PSH | ACK, DATA, seq=first).wait(pause)
    return talk


@good('idle-closed', 'the server resets an answered connection that was idle for two minutes')
def idle_closed(frames):
    return Talk(frames).handshake().greet().wait(120).put(1, RST | ACK)


@good('reset-of-other-stack', 'a server that is overloaded resets: its stack begins to count hops elsewhere, and knows no time stamp', 'weak')
def other_stack(frames):
    return Talk(frames).handshake().put(0, PSH | ACK, hello(HEALTHY)[0]).wait(0.02).reset(ttl=OTHER_STACK + 2)


@good('zero-window', 'the server has no room for six seconds; the client asks again and again')
def zero_window(frames):
    talk = Talk(frames).handshake().greet().put(0, PSH | ACK, DATA * 20).put(1, ACK, window=0)
    for pause in (0.3, 0.6, 1.2, 2.4):
        talk.wait(pause).put(0, ACK, seq=talk.next[0] - 1).wait(0.02).put(1, ACK, window=0)
    return talk.wait(1).put(1, ACK).say(0, DATA).say(1, DATA).close()


@good('window-probes', 'the same, by a client whose probes repeat a whole segment')
def window_probes(frames):
    talk = Talk(frames).handshake().greet()
    first = talk.next[0]
    talk.put(0, PSH | ACK, DATA * 20).put(1, ACK, ack=first, window=0)
    for pause in (0.3, 0.6, 1.2, 2.4, 4.8):
        talk.wait(pause).put(0, PSH | ACK, DATA * 20, seq=first).wait(0.02).put(1, ACK, ack=first, window=0)
    return talk.put(1, ACK).say(1, DATA).close()


@good('late-syn-ack', 'the answer to the first of three SYN comes after three seconds')
def late_syn_ack(frames):
    talk = Talk(frames).put(0, SYN)
    for pause in (1, 2):
        talk.wait(pause).put(0, SYN, seq=1000)
    return talk.wait(0.3).put(1, SYN | ACK).put(0, ACK).greet().close()


@good('syn-ack-again', 'the acknowledgement is lost behind the capture: the server says SYN-ACK again when it has been asked already (SYN cookies)')
def syn_ack_again(frames):
    talk, said = Talk(frames).handshake(), hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0]
    talk.put(0, PSH | ACK, said).wait(1).put(1, SYN | ACK, seq=7000).put(0, ACK)
    return talk.put(0, PSH | ACK, said, seq=1001).wait(0.02).say(1, ANSWER).close()


@good('challenge-ack', 'address translation uses a port again: the server challenges the new SYN, is told, and accepts the next')
def challenge_ack(frames):
    old = Talk(frames).handshake().greet()
    new = Talk(frames, moment=old.moment + 3_000_000_000, numbers=(900000, 700000)).put(0, SYN)
    challenge = Talk(frames, moment=new.moment, numbers=tuple(old.next)).put(1, ACK)
    new.wait(0.001).put(0, RST, seq=old.next[0]).wait(1).put(0, SYN, seq=900000).wait(0.02).put(1, SYN | ACK).put(0, ACK).greet().close()
    new.made = sorted(old.made + new.made + challenge.made)
    return new


@good('policed', 'a line that is policed: full-size segments are lost and sent again, others of the same size pass')
def policed(frames):
    talk, full = Talk(frames).handshake().greet(), DATA * 20
    first = talk.next[0]
    talk.put(0, ACK, full).put(0, ACK, full).put(0, PSH | ACK, DATA)
    passed = struct.pack('>HBBII', 0x0101, 5, 10, first + len(full), talk.next[0])
    for pause in (0.2, 0.4, 0.8, 1.6):
        talk.wait(pause).put(1, ACK, ack=first, options=passed).put(0, ACK, full, seq=first)
    return talk.wait(3).put(0, RST | ACK)


@good('answers-rotate', 'a question is repeated, and each copy is answered with another of many addresses')
def answers_rotate(frames):
    talk, asked = Talk(frames), query(HEALTHY, ident=7)
    for message in (asked, asked):
        talk.wait(0.4).datagram((talk.client, resolver(frames)), (50300, 53), message)
    for last in (1, 2):
        talk.wait(0.4).datagram((resolver(frames), talk.client), (53, 50300), led(asked, f'20.50.2.{last}'))
    return talk


@good('server-complains', 'the client leaves in the middle of a handshake, and the server complains with an alert')
def server_complains(frames):
    talk = Talk(frames).handshake().say(0, hello(HEALTHY, ssl.TLSVersion.TLSv1_2)[0]).put(0, FIN | ACK).wait(0.02)
    return talk.put(1, PSH | ACK, b'\x15\x03\x03\0\x02\x02\x32').put(1, FIN | ACK).put(0, ACK)


@good('not-modified', 'the connection test of Windows is answered: nothing new')
def not_modified(frames):
    talk = Talk(frames, 80).handshake().say(0, request('www.msftconnecttest.com', '/connecttest.txt'))
    return talk.say(1, b'HTTP/1.1 304 Not Modified\r\n\r\n').close()


@good('proxy-407-plain', 'plain HTTP through a proxy: 407 is the first leg, then the page comes')
def proxy_407_plain(frames):
    asked = request('crl.microsoft.com', 'http://crl.microsoft.com/pki/x.crl')
    talk = Talk(frames, 3128, '10.80.0.9').handshake().say(0, asked).say(1, b'HTTP/1.1 407 Sign in\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n')
    return talk.say(0, asked.replace(b'\r\n\r\n', b'\r\nProxy-Authorization: NTLM TlRM\r\n\r\n')).say(1, b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi').close()


# One sign alone: something is reset, and nobody can say that it was forged.
for sign, what, more in (('hop-limit', 'another hop limit', {'ttl': BALANCER}), ('identification', 'another IP identification', {'ident': 9999}),
                         ('no-time-stamp', 'no time stamp', {'options': b''})):
    good('one-sign-' + sign, f'a server resets a hello, and its reset has {what}: one sign is none', 'weak')(
        lambda frames, more=more: Talk(frames).handshake().put(0, PSH | ACK, hello(HEALTHY)[0]).wait(0.02).put(1, RST | ACK, **more))


# ---------------------------------------------------------------- guilty
@bad('injected-before-syn-ack', 'reset-injected', 'strong', 'a forged refusal arrives before the SYN-ACK of the server, from nearer by')
def injected_before_syn_ack(frames):
    talk = Talk(frames).put(0, SYN).put(1, RST | ACK, seq=0, ttl=BOX_NEAR_BY, options=b'', ident=54321)
    return talk.wait(0.02).put(1, SYN | ACK).put(0, RST, options=b'', ident=0)


@bad('reset-in-tunnel', 'reset-after-client-hello', 'weak', 'a proxy says 200, reads the hello inside the tunnel, and resets')
def reset_in_tunnel(frames):
    talk = Talk(frames, 3128, '10.80.0.9').handshake().say(0, f'CONNECT {FILTERED}:443 HTTP/1.1\r\nHost: {FILTERED}:443\r\n\r\n'.encode())
    return talk.say(1, b'HTTP/1.1 200 Connection established\r\n\r\n').say(0, hello(FILTERED)[0]).put(1, RST | ACK)


@bad('version-refused-by-client', 'tls-client-refused-version', 'weak', 'somebody chooses TLS 1.0; the client refuses it with an alert')
def version_refused_by_client(frames):
    older = ANSWER.replace(b'\x03\x03', b'\x03\x01')
    talk = Talk(frames).handshake().say(0, hello(FILTERED)[0]).say(1, older)
    return talk.put(0, PSH | ACK, b'\x15\x03\x03\0\x02\x02\x46').close()


@bad('too-big-ignored', 'pmtu-black-hole', 'strong', 'the router says packet too big, and the client goes on as before')
def too_big_ignored(frames):
    talk, full = Talk(frames).handshake().greet(), DATA * 20
    first = talk.next[0]
    for pause in (0.2, 0.4, 0.8, 1.6, 3.2):
        talk.put(0, ACK, full, seq=first).wait(0.001).error(3, 4).wait(pause)
    return talk.put(0, RST | ACK)


@bad('dns-forged-denial', 'dns-two-answers', 'strong', 'a forged denial comes before the resolver says where the name leads')
def dns_forged_denial(frames):
    talk, asked = Talk(frames), query(FILTERED, ident=7)
    denial = asked[:2] + struct.pack('>5H', 0x8183, 1, 0, 0, 0) + asked[12:]
    back = (resolver(frames), talk.client), (53, 50300)
    talk.wait(0.4).datagram((talk.client, resolver(frames)), (50300, 53), asked)
    return talk.wait(0.002).datagram(*back, denial).wait(0.01).datagram(*back, led(asked, '20.60.1.1'))


@good('balancer-gives-up', 'a balancer accepts for a server that takes the request and does not answer; the balancer resets', 'weak')
def balancer_gives_up(frames):
    talk = Talk(frames).put(0, SYN).wait(0.02).put(1, SYN | ACK, ttl=BALANCER, ident=50000).put(0, ACK)
    talk.put(0, PSH | ACK, hello(HEALTHY)[0]).wait(0.02).put(1, ACK, ident=9000)
    return talk.wait(0.7).put(1, RST | ACK, options=b'', ttl=BALANCER, ident=50022)


@good('resets-behind-the-end', 'the client is gone before the last answer; a translator repeats its reset with numbers of its own')
def resets_behind_the_end(frames):
    talk = Talk(frames).handshake().greet().put(0, FIN | ACK).wait(0.02).put(1, PSH | ACK, DATA)
    talk.put(0, RST, options=b'', ident=0)
    return talk.put(1, RST | ACK).put(1, RST | ACK, seq=talk.next[1] + 90_000, ttl=255)


@good('nobody-takes-datagrams', 'the server says itself that nobody listens to QUIC; TCP works', 'weak')
def nobody_takes_datagrams(frames):
    talk = Talk(frames).handshake().greet().close()
    for pause in (0.3, 0.6):
        talk.datagram((talk.client, talk.server), (50124, 443), b'\xc0' + bytes(1199), hops=HOPS[0]).wait(0.02)
        talk.error(3, 3, talk.server, hops=HOPS[1]).wait(pause)
    return talk


# ---------------------------------------------------------------- innocent: what cannot be told
@good('lost-race', 'a client tries two addresses of a name a quarter of a second apart; the second answers, the first is given up')
def lost_race(frames):
    asked, ports = query(FILTERED, ident=9), (50301, 53)
    first = Talk(frames).datagram((Talk(frames).client, resolver(frames)), ports, asked).wait(0.01)
    first.datagram((resolver(frames), first.client), ports[::-1], led(asked, '20.60.99.1', '20.60.99.2')).put(0, SYN)
    second = Talk(frames, server='20.60.99.2', cport=50124, moment=first.moment + 250_000_000).handshake()
    second.say(0, hello(FILTERED, ssl.TLSVersion.TLSv1_2)[0]).say(1, ANSWER).wait(70).close()
    second.made = first.made + second.made
    return second


@good('single-attempt', 'one SYN without an answer, and no second: a client that looks who is there')
def single_attempt(frames):
    alone = Talk(frames, server='20.60.99.2', cport=50124).put(0, SYN)
    later = Talk(frames, moment=alone.moment).wait(90).handshake().greet().close()
    later.made = alone.made + later.made
    return later


@good('too-short-to-tell', 'two SYN within a second, and the client goes elsewhere')
def too_short(frames):
    short = Talk(frames, server='20.60.99.2', cport=50124).put(0, SYN).wait(1).put(0, SYN, seq=1000)
    later = Talk(frames, moment=short.moment).wait(90).handshake().greet().close()
    later.made = short.made + later.made
    return later


@good('client-gives-up', 'a client takes its SYN back with a reset before anybody has answered')
def client_gives_up(frames):
    return Talk(frames).put(0, SYN).wait(0.4).put(0, RST, seq=1001, options=b'')


@good('answer-unseen', 'the capture begins behind the SYN-ACK: a repeated SYN is answered with an acknowledgement')
def answer_unseen(frames):
    return Talk(frames, numbers=(1000, 7001)).put(0, SYN).wait(0.02).put(1, ACK)


@good('closed-by-server', 'a server takes leave, and resets the request that crosses its farewell')
def closed_by_server(frames):
    talk = Talk(frames).handshake().put(1, FIN | ACK)
    return talk.put(0, PSH | ACK, hello(HEALTHY)[0], ack=7001).wait(0.02).put(1, RST, seq=7002, options=b'', ident=0)


@good('too-big-before-an-answer', 'the router says packet too big to the first datagrams; the client goes on over TCP')
def too_big_before_an_answer(frames):
    talk = Talk(frames)
    for _ in range(2):
        talk.wait(0.3).datagram((talk.client, talk.server), (50124, 443), b'\xc0' + bytes(1339), flags=0x4000).wait(0.001).error(3, 4)
    return talk.handshake().greet().close()


@good('parameter-problem', 'a router finds fault with the header of a SYN (ICMP type 12); the next SYN is answered')
def parameter_problem(frames):
    fault = Talk(frames, server='20.60.99.2', cport=50124).put(0, SYN).wait(0.001).error(12, 0)
    later = Talk(frames, moment=fault.moment).wait(1).handshake().greet().close()
    later.made = fault.made + later.made
    return later


@good('sweep', 'somebody asks for port 443 of thirty hosts in a row, and most of them do not exist')
def sweep(frames):
    asked = [Talk(frames, server=f'20.60.99.{host}', cport=50200 + host, moment=frames[-1][0] + host * 20_000_000) for host in range(1, 31)]
    for talk in asked:
        talk.put(0, SYN).wait(1).put(0, SYN, seq=1000).wait(3).put(0, SYN, seq=1000)
    later = Talk(frames).wait(90).handshake().greet().close()
    later.made = sorted(frame for talk in (*asked, later) for frame in talk.made)
    return later


# ---------------------------------------------------------------- guilty: alerts that servers seldom send
for word, number, signature, what in (
        ('unexpected-message', 10, 'tls-alert-unexpected-message', 'a hello that came too early or too late'),
        ('illegal-parameter', 47, 'tls-alert-illegal-parameter', 'a hello with values that cannot be'),
        ('decode-error', 50, 'tls-alert-decode-error', 'a hello that cannot be read: something changed it'),
        ('decrypt-error', 51, 'tls-alert-decrypt-error', 'a handshake that does not verify'),
        ('insufficient-security', 71, 'tls-cipher-refused', 'suites that are too weak'),
        ('inappropriate-fallback', 86, 'tls-alert-inappropriate-fallback', 'a client that fell back to an older version'),
        ('no-application-protocol', 120, 'tls-alert-no-application-protocol', 'no protocol of those that the client offered'),
        ('certificate-expired', 45, 'tls-client-certificate-refused', 'a certificate of the client that has run out'),
        ('missing-extension', 109, 'tls-alert-other', 'a hello without something that it needs')):
    bad('alert-' + word, signature, 'weak', 'the other side refuses: ' + what)(
        lambda frames, number=number: Talk(frames).handshake().say(0, hello(FILTERED, ssl.TLSVersion.TLSv1_2)[0])
        .put(1, PSH | ACK, bytes((21, 3, 3, 0, 2, 2, number))).close())


@bad('handshake-refused-by-client', 'tls-client-refused-handshake', 'weak', 'the client refuses what the other side chose')
def handshake_refused_by_client(frames):
    return Talk(frames).handshake().say(0, hello(FILTERED, ssl.TLSVersion.TLSv1_2)[0]).say(1, ANSWER).put(0, PSH | ACK, bytes((21, 3, 3, 0, 2, 2, 47))).close()


# ---------------------------------------------------------------- guilty: one service of many
@bad('one-service-cut', 'tcp-unanswered', 'weak', 'a host whose other services answer at once; one of its ports is silent')
def one_service_cut(frames):
    begun = frames[-1][0]
    answered = [Talk(frames, port=port, cport=50200 + port, moment=begun + number * 400_000_000).handshake().say(1, b'SSH-2.0-lab\r\n').close()
                for number, port in enumerate((22, 88, 135, 389, 464, 636, 3268, 3269, 5985, 9389))]
    cut = Talk(frames, port=445, cport=51000, moment=begun + 4_100_000_000).put(0, SYN).wait(1).put(0, SYN, seq=1000).wait(3).put(0, SYN, seq=1000)
    later = Talk(frames).wait(90).handshake().greet().close()
    later.made = sorted(frame for talk in (*answered, cut, later) for frame in talk.made)
    return later
