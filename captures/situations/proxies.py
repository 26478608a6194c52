"""Situations of servers that reach the internet through a proxy."""
from packets import ACK, FIN, PSH, RST, Tcp, client_hello, server_hello_13
from sites import ONE, TWO, PROXY, SYNC, SYNC_AT, FILES, FILES_AT, LOGIN, MANAGEMENT, LOCAL, LOCAL_AT, ARC, ARC_AT, GATEWAY, file_sync, azure_local, DECLARED_PROXY, situation


@situation(azure_local(more=DECLARED_PROXY))
def proxy_not_used(trace):
    for name in (LOGIN, MANAGEMENT):
        trace.connect(ONE, PROXY, name)
    trace.dns(ONE, ARC, ARC_AT)
    for _ in range(2):
        trace.dropped(ONE, ARC_AT)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_silent(trace):
    trace.dns(ONE, 'proxy.contoso.example', PROXY)
    for _ in range(3):
        trace.dropped(ONE, PROXY, 8080)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_refuses_connections(trace):
    for _ in range(3):
        trace.refused(ONE, PROXY, 8080)


@situation(azure_local(more=DECLARED_PROXY))
def proxy_asks_for_credentials(trace):
    for name in (LOGIN, MANAGEMENT, ARC):
        trace.connect(ONE, PROXY, name, '407 Proxy Authentication Required', 'Proxy-Authenticate: NTLM\r\n')


@situation(file_sync(more=DECLARED_PROXY))
def proxy_fails_once(trace):
    for name in (LOGIN, MANAGEMENT, SYNC, FILES):
        trace.connect(ONE, PROXY, name)
    trace.connect(ONE, PROXY, SYNC, '502 Bad Gateway', 'Via: 1.1 px (squid/6)\r\n')
    trace.wait(5)
    trace.connect(ONE, PROXY, SYNC)


@situation(azure_local(more=DECLARED_PROXY))
def proxy_cannot_reach_anything(trace):
    for name in (LOGIN, MANAGEMENT, LOCAL):
        trace.connect(ONE, PROXY, name, '504 Gateway Timeout', 'Via: 1.1 px (squid/6)\r\n')


@situation(file_sync(more=DECLARED_PROXY))
def proxy_forbids_one_server(trace):
    for client, status in ((ONE, '200 OK'), (TWO, '403 Forbidden')):
        trace.connect(client, PROXY, FILES)
        for _ in range(2):
            trace.connect(client, PROXY, SYNC, status)


@situation(azure_local(more=DECLARED_PROXY))
def proxy_forbids_one_needed_name_among_many(trace):
    for name in ('www.bing.com', 'edge.microsoft.com', 'api.dropbox.com', 'updates.vendor.example', LOCAL):
        trace.connect(ONE, PROXY, name, '403 Forbidden')
    trace.connect(ONE, PROXY, LOGIN)


@situation(azure_local(settings='\narc-gateways = ["0a1b2c3d"]', more=DECLARED_PROXY))
def proxy_forbids_the_arc_gateway(trace):
    trace.connect(ONE, PROXY, LOGIN)
    for _ in range(3):
        trace.connect(ONE, PROXY, GATEWAY, '403 Forbidden')


@situation(file_sync(more=DECLARED_PROXY))
def proxy_other_than_declared(trace):
    trace.connect(ONE, PROXY, FILES)
    trace.connect(ONE, '10.0.0.9', SYNC, port=3128)


@situation(file_sync())
def proxy_undeclared_falls_silent(trace):
    for _ in range(2):
        trace.connect(ONE, PROXY, SYNC)
    for _ in range(3):
        trace.dropped(ONE, PROXY, 8080)


@situation(azure_local())
def proxy_undeclared_in_the_cloud_falls_silent(trace):
    trace.dns(ONE, 'gateway.swg.example', '203.0.113.9')
    trace.connect(ONE, '203.0.113.9', LOGIN, port=9480)
    for _ in range(3):
        trace.dropped(ONE, '203.0.113.9', 9480)


@situation(file_sync())
def proxy_undeclared_accepts_and_does_not_answer(trace):
    trace.connect(ONE, PROXY, LOGIN)
    for name in (FILES, SYNC):
        tcp = Tcp(trace, ONE, PROXY, 8080).open()
        request = f'CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n'.encode()
        for seconds in (0.3, 0.6, 1.2, 2.4, 4.8, 9.6):
            tcp.segment(0, ACK | PSH, request)
            tcp.numbers[0] -= len(request)
            trace.wait(seconds)
    trace.wait(30)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_resets_the_tunnel_of_one_name(trace):
    trace.connect(ONE, PROXY, FILES)
    for _ in range(2):
        tcp = Tcp(trace, ONE, PROXY, 8080).open()
        tcp.send(0, f'CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n\r\n'.encode())
        tcp.send(1, b'HTTP/1.1 200 Connection established\r\n\r\n')
        tcp.segment(0, ACK | PSH, client_hello(SYNC))
        tcp.segment(1, RST | ACK)


@situation(azure_local())
def proxy_undeclared_and_a_program_that_does_not_use_it(trace):
    for name in (LOGIN, MANAGEMENT, LOCAL):
        trace.connect(ONE, PROXY, name)
    trace.dns(ONE, LOCAL, LOCAL_AT)
    for _ in range(2):
        trace.refused(ONE, LOCAL_AT)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_silent_and_another_takes_over(trace):
    trace.connect(ONE, PROXY, LOGIN)
    for _ in range(3):
        trace.dropped(ONE, PROXY, 8080)
    for name in (LOGIN, SYNC, FILES):
        trace.connect(ONE, '10.0.0.9', name)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_silent_and_programs_that_try_without_it(trace):
    trace.connect(ONE, PROXY, LOGIN)
    trace.wait(30)
    for name, address in ((SYNC, SYNC_AT), (FILES, FILES_AT)):
        trace.dropped(ONE, PROXY, 8080)
        trace.dns(ONE, name, address)
        trace.dropped(ONE, address)


@situation(azure_local(more=DECLARED_PROXY))
def proxy_overloaded(trace):
    for name in (LOGIN, MANAGEMENT, LOCAL):
        trace.connect(ONE, PROXY, name, '503 Service Unavailable')


@situation(azure_local(settings='\narc-gateways = ["0a1b2c3d"]', more=DECLARED_PROXY))
def proxy_resets_the_tunnel_of_the_arc_gateway(trace):
    for name in (LOGIN, MANAGEMENT):
        trace.connect(ONE, PROXY, name)
    for _ in range(2):
        tcp = Tcp(trace, ONE, PROXY, 8080).open()
        tcp.send(0, f'CONNECT {GATEWAY}:443 HTTP/1.1\r\nHost: {GATEWAY}:443\r\n\r\n'.encode())
        tcp.send(1, b'HTTP/1.1 200 Connection established\r\n\r\n')
        tcp.segment(0, ACK | PSH, client_hello(GATEWAY))
        tcp.segment(1, RST | ACK)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_not_used_for_revocation_hosts(trace):
    for name in (LOGIN, SYNC, FILES):
        trace.connect(ONE, PROXY, name)
    for index, name in enumerate(('crl3.digicert.com', 'ocsp.digicert.com')):
        trace.dns(ONE, name, f'192.229.221.{90 + index}')
        trace.dropped(ONE, f'192.229.221.{90 + index}', 80)


@situation(azure_local(more=DECLARED_PROXY))
def proxy_and_an_agent_that_looks_for_the_platform(trace):
    for name in (LOGIN, MANAGEMENT):
        trace.connect(ONE, PROXY, name)
    for port in (80, 32526):
        trace.dropped(ONE, '168.63.129.16', port)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_with_credentials_that_work(trace):
    for name in (LOGIN, SYNC, FILES):
        request = f'CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n'.encode()
        tcp = Tcp(trace, ONE, PROXY, 8080).open().send(0, request + b'\r\n')
        tcp.send(1, b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n')
        tcp.send(0, request + b'Proxy-Authorization: Negotiate YII=\r\n\r\n').send(1, b'HTTP/1.1 200 OK\r\n\r\n')
        tcp.send(0, client_hello(name)).send(1, server_hello_13()).exchange().close()


@situation(file_sync(more=DECLARED_PROXY))
def proxy_opens_a_tunnel_in_which_nothing_answers(trace):
    trace.connect(ONE, PROXY, FILES)
    for _ in range(2):
        tcp = tunnel(trace, SYNC)
        trace.wait(30)
        tcp.close()
    trace.connect(ONE, PROXY, FILES)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_closes_the_tunnel_of_one_name(trace):
    trace.connect(ONE, PROXY, FILES)
    for _ in range(2):
        tcp = tunnel(trace, SYNC)
        trace.wait(0.5)
        tcp.segment(1, FIN | ACK)
        tcp.segment(0, FIN | ACK)
        tcp.segment(1, ACK)


def tunnel(trace, name):
    """A tunnel that the proxy opens, and a ClientHello in it."""
    tcp = Tcp(trace, ONE, PROXY, 8080).open()
    tcp.send(0, f'CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n'.encode())
    return tcp.send(1, b'HTTP/1.1 200 Connection established\r\n\r\n').send(0, client_hello(name))


@situation(file_sync(more=DECLARED_PROXY))
def proxy_cannot_reach_anything_for_one_server(trace):
    for client, status in ((ONE, '200 OK'), (TWO, '502 Bad Gateway')):
        for name in (LOGIN, SYNC, FILES):
            trace.connect(client, PROXY, name, status)


@situation(azure_local(more=DECLARED_PROXY))
def proxy_and_a_time_server_that_is_dropped(trace):
    trace.connect(ONE, PROXY, LOGIN)
    trace.dns(ONE, 'time.windows.com', '168.61.215.74')
    for _ in range(4):
        trace.udp(ONE, 123, '168.61.215.74', 123, b'\x23' + b'\0' * 47)
        trace.wait(8)
    trace.connect(ONE, PROXY, LOGIN)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_over_tls(trace):
    for _ in range(3):
        tcp = Tcp(trace, ONE, PROXY, 8080).open().send(0, client_hello('proxy.contoso.example'))
        tcp.send(1, server_hello_13()).exchange().close()


@situation(file_sync(more=DECLARED_PROXY))
def proxy_silent_and_nothing_else(trace):
    for _ in range(3):
        trace.dropped(ONE, PROXY, 8080)


@situation(file_sync(more=DECLARED_PROXY))
def proxy_closes_the_connection_that_it_asks_for_credentials_on(trace):
    for name in (SYNC, FILES, LOGIN):
        for _ in range(4):
            trace.connect(ONE, PROXY, name, '407 Proxy Authentication Required', 'Proxy-Authenticate: Negotiate\r\n')
            trace.connect(ONE, PROXY, name)
            trace.wait(10)
