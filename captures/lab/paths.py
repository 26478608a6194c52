"""Scenarios of paths: what tunnels, routes and addresses do that is no filter, and filters that make up their mind late."""
from scenarios import *

innocent('clamped-mss', 'full-size packets do not pass, and the router clamps the MSS so that there are none',
         router=TO + ' tcp flags & syn == syn tcp option maxseg size set 1200; ip saddr 20.60.{n}.0/24 tcp flags & syn == syn tcp option maxseg size set 1200; '
         + TO + ' meta length > 1300 drop; ip saddr 20.60.{n}.0/24 meta length > 1300 drop')(
    lambda w: (w.healthy(), tls('contosofs.file.core.windows.net', w.server(FAT), upload=12000, timeout=7, version=T12)))
innocent('asymmetric', 'the SYN-ACK of every connection takes another way than the capture sees', after=lambda frames: [f for f in frames if f[2][23] != 6 or f[2][47] != 0x12])(spoken(V12, version=T12))


@innocent('resumed', 'a session is resumed: no certificate is shown')
@quiet
def resumed(w):
    one = context(T12)
    session = None
    for _ in range(2):
        with socket.create_connection((w.server(V12), 443), timeout=6) as plain, one.wrap_socket(plain, server_hostname=FILTERED, session=session) as s:
            s.sendall(request(FILTERED))
            s.recv(4096)
            session = s.session


@innocent('traceroute', 'somebody counts the hops to a server, over UDP', 'weak')
@quiet
def traceroute(w):
    w.healthy()
    for hops in range(1, 4):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            s.sendto(bytes(32), (w.server(), 33433 + hops))
            time.sleep(0.2)


guilty('reset-after-handshake', 'reset-after-handshake', 'weak', 'the router resets as soon as the handshake is complete',
       router=TO + ' tcp flags & (syn | ack) == ack meta length < 60 reject with tcp reset')(name_filter)


def uploads(w):
    w.healthy()
    look_up(FILTERED)
    tls(FILTERED, w.server(V12), version=T12, timeout=12)


guilty('silent-after-data', 'silent-after-data', 'weak', 'TLS is set up, and then the router drops what the client says',
       router=TO + ' tcp dport 443 @ih,0,32 0x17030300 drop')(uploads)
guilty('reset-after-data', 'reset-after-data', 'weak', 'TLS is set up, and then the router resets when the client says more',
       router=TO + ' tcp dport 443 @ih,0,32 0x17030300 reject with tcp reset')(uploads)
guilty('block-page-200', 'block-page', 'certain', 'a page that names a box says 200')(page(KNOWN_TEXT))
guilty('block-page-for-list', 'block-page', 'weak', 'a page comes in place of a revocation list')(page(BODY, 'crl.microsoft.com', '/pki/crl/x.crl'))
