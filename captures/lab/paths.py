"""Scenarios of path behaviour that is not blocking, and of filters that act after the handshake."""
from scenarios import *

normal('clamped-mss', 'full-size packets are dropped, but the router clamps the MSS, so there are none',
         router=TO + ' tcp flags & syn == syn tcp option maxseg size set 1200; ip saddr 20.60.{n}.0/24 tcp flags & syn == syn tcp option maxseg size set 1200; '
         + TO + ' meta length > 1300 drop; ip saddr 20.60.{n}.0/24 meta length > 1300 drop')(
    lambda w: (w.healthy(), tls('contosofs.file.core.windows.net', w.server(FAT), upload=12000, timeout=7, version=T12)))
normal('asymmetric', 'asymmetric routing: the capture lacks the SYN-ACK of every connection', after=lambda frames: [f for f in frames if f[2][23] != 6 or f[2][47] != 0x12])(tls_to(V12, version=T12))


@normal('resumed', 'a resumed session: no certificate is sent')
@quiet
def resumed(w):
    one = context(T12)
    session = None
    for _ in range(2):
        with socket.create_connection((w.server(V12), 443), timeout=6) as plain, one.wrap_socket(plain, server_hostname=FILTERED, session=session) as s:
            s.sendall(request(FILTERED))
            s.recv(4096)
            session = s.session


@normal('traceroute', 'a UDP traceroute to a server', 'weak')
@quiet
def traceroute(w):
    w.healthy()
    for hops in range(1, 4):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            s.sendto(bytes(32), (w.server(), 33433 + hops))
            time.sleep(0.2)


blocked('reset-after-handshake', 'reset-after-handshake', 'weak', 'the router resets right after the handshake',
       router=TO + ' tcp flags & (syn | ack) == ack meta length < 60 reject with tcp reset')(name_filter)


def uploads(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server(V12), version=T12, timeout=12)


blocked('silent-after-data', 'silent-after-data', 'weak', "after the TLS handshake, the router drops the client's data",
       router=TO + ' tcp dport 443 @ih,0,32 0x17030300 drop')(uploads)
blocked('reset-after-data', 'reset-after-data', 'weak', "after the TLS handshake, the router resets on the client's data",
       router=TO + ' tcp dport 443 @ih,0,32 0x17030300 reject with tcp reset')(uploads)
blocked('block-page-200', 'block-page', 'certain', 'a block page of a known product with status 200')(page(KNOWN_TEXT))
blocked('block-page-for-list', 'block-page', 'weak', 'an HTML page in place of a revocation list')(page(BODY, 'crl.microsoft.com', '/pki/crl/x.crl'))
