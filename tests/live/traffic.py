"""Sends and serves traffic for the tests of live capture, between two network namespaces.

Uses only the standard library of Python. Each command ends by itself, except `serve`.
"""

import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time


def query(name):
    """A DNS query for an A record."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 0x4242, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def resolve(server, name):
    """Resolves a name: the last address of the response. Repeats the query until the resolver has started."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver_socket:
            resolver_socket.settimeout(10)
            resolver_socket.connect((server, 53))
            try:
                resolver_socket.send(query(name))
                answer = resolver_socket.recv(4096)
                return socket.inet_ntoa(answer[-4:])
            except OSError:
                time.sleep(0.1)
    sys.exit(f"no response for {name}")


def tls(address, name, port=443):
    """A TLS connection with this SNI and one line in each direction."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as session:
            session.send(b"hello\n")
            session.recv(100)


def connect(server, *names):
    """Resolves names and connects to them with TLS, one after the other."""
    for name in names:
        tls(resolve(server, name), name)


def linger(address, name):
    """A TLS connection with this SNI that stays idle for a minute."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, 443), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name):
            time.sleep(60)


def refused(server, count, port=444):
    """Attempts to connect to a port without a listener."""
    for _ in range(int(count)):
        with socket.socket() as one:
            one.settimeout(1)
            one.connect_ex((server, int(port)))


def unanswered(server, seconds):
    """An attempt to connect that gets no reply."""
    with socket.socket() as one:
        one.settimeout(float(seconds))
        one.connect_ex((server, 443))


def datagrams(server, count, gap, ends=None):
    """Datagrams to ports without a listener, one every `gap` seconds; then SIGTERM to the process `ends`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(int(count)):
            try:
                sender.sendto(b"x" * 100, (server, 9000 + number % 100))
            except OSError:
                # Some tests delete the interface meanwhile.
                pass
            time.sleep(float(gap))
    if ends:
        os.kill(int(ends), signal.SIGTERM)


def serve(certificate, key):
    """Serves TLS on port 443."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    def reply(plain):
        try:
            plain.settimeout(10)
            with context.wrap_socket(plain, server_side=True) as session:
                session.recv(100)
                session.send(b"hello\n")
        except OSError:
            plain.close()

    with socket.create_server(("", 443), backlog=64) as listener:
        print("ready", flush=True)
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=reply, args=(plain,), daemon=True).start()


def frame(protocol, source, target, rest):
    """An Ethernet frame with IPv4. Checksums are 0, because no host receives it."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(rest), 0, 0, 64, protocol, 0, source, target)
    return b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + b"\x08\0" + head + rest


def raw(device):
    """A packet socket."""
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender.bind((device, 0))
    return sender


def push(sender, bytes):
    """Sends a frame; retries while the queue is full."""
    while True:
        try:
            return sender.send(bytes)
        except OSError:
            time.sleep(0.001)


def tagged(device, count):
    """Datagrams without a tag, in VLAN 10, and in VLAN 10 inside VLAN 20."""
    sender = raw(device)
    for number in range(int(count)):
        for number_of_tags, tags in enumerate((b"", b"\x81\0\0\x0a", b"\x88\xa8\0\x14\x81\0\0\x0a")):
            ports = struct.pack("!4H", 2000 + 1000 * number_of_tags + number, 9000, 12, 0)
            bytes = frame(17, b"\x0a\x4d\0\1", b"\xcb\0\x71\5", ports + b"abcd")
            push(sender, bytes[:12] + tags + bytes[12:])


def syn(number):
    return struct.pack("!HHIIBBHHH", 1024 + number % 60000, 443, number, 0, 0x50, 2, 1024, 0, 0)


def flood(device, kind, count):
    """`syn`: SYNs from many ports of many hosts; `scan`: SYNs of one host to a whole /8; `names`: DNS responses, each for
    another name; `client-hellos`: connections with the first part of a long ClientHello."""
    sender = raw(device)
    for number in range(int(count)):
        spread = struct.pack("!I", 0x0A000000 + (number * 2654435761) % (1 << 24))
        if kind == "syn":
            push(sender, frame(6, spread, b"\xcb\0\x71\5", syn(number)))
        elif kind == "scan":
            push(sender, frame(6, b"\x0a\x4d\0\1", struct.pack("!I", 0x0B000000 + number), syn(number)))
        elif kind == "names":
            name = f"{number:08x}." + ".".join(["abcdefghijklmnopqrstuvwxyz"] * 3) + ".example"
            labels = query(name)[12:]
            head = struct.pack("!6H", number % 65536, 0x8180, 1, 1, 0, 0)
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + spread
            message = head + labels + answer
            port = 1024 + number % 60000
            source = struct.pack("!I", 0x0A000000 + number // 60000)
            push(sender, frame(17, b"\x0a\x4d\0\2", source, struct.pack("!4H", 53, port, 8 + len(message), 0) + message))
        elif kind == "client-hellos":
            port = struct.pack("!H", 1024 + number % 60000)
            source = struct.pack("!I", 0x0A000000 + number // 60000)
            target = b"\xcb\0\x71\5"
            start = port + struct.pack("!HIIBBHHH", 443, 0, 0, 0x50, 2, 1024, 0, 0)
            push(sender, frame(6, source, target, start))
            # The beginning of a 16 KiB record with a 32 KiB ClientHello.
            bytes = b"\x16\3\1\x40\0\1\0\x7f\xff\3\3" + b"x" * 1389
            more = port + struct.pack("!HIIBBHHH", 443, 1, 1, 0x50, 16, 1024, 0, 0) + bytes
            push(sender, frame(6, source, target, more))
        else:
            sys.exit(f"no such flood: {kind}")


if __name__ == "__main__":
    command = {f.__name__: f for f in (connect, resolve, linger, refused, unanswered, datagrams, serve, tagged, flood)}
    command[sys.argv[1]](*sys.argv[2:])
