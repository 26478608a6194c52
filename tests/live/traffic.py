"""Traffic for the tests of live capture, between two network namespaces of their own.

Needs nothing but Python. Each command ends by itself.
"""

import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time


def question(name):
    """An A question."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 0x4242, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def resolve(server, name):
    """The last address of the answer; a resolver that is not up yet refuses, and is asked again."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(10)
            asker.connect((server, 53))
            try:
                asker.send(question(name))
                answer = asker.recv(4096)
                return socket.inet_ntoa(answer[-4:])
            except OSError:
                time.sleep(0.1)
    sys.exit(f"no answer for {name}")


def hello(address, name, port=443):
    """A TLS session that says the name, one line each way."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as session:
            session.send(b"hello\n")
            session.recv(100)


def talk(server, *names):
    """Looks names up and talks TLS to them, one after the other."""
    for name in names:
        hello(resolve(server, name), name)


def ask(server, name):
    """Looks a name up."""
    resolve(server, name)


def linger(address, name):
    """Says the name in a hello, and says nothing more for a minute."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, 443), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name):
            time.sleep(60)


def refused(server, count, port=444):
    """Attempts to connect where nobody listens."""
    for _ in range(int(count)):
        with socket.socket() as one:
            one.settimeout(1)
            one.connect_ex((server, int(port)))


def silent(server, seconds):
    """An attempt to connect that nobody answers."""
    with socket.socket() as one:
        one.settimeout(float(seconds))
        one.connect_ex((server, 443))


def datagrams(server, count, gap, ends=None):
    """Datagrams to nobody, one each `gap` seconds; the very next thing is that the process `ends` is told to end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(int(count)):
            try:
                sender.sendto(b"x" * 100, (server, 9000 + number % 100))
            except OSError:
                # The interface may be gone: some tests want that.
                pass
            time.sleep(float(gap))
    if ends:
        os.kill(int(ends), signal.SIGTERM)


def serve(certificate, key):
    """Answers TLS on 443, until it is stopped."""
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
    """An Ethernet frame with IPv4; checksums are for those who receive, and nobody does."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(rest), 0, 0, 64, protocol, 0, source, target)
    return b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + b"\x08\0" + head + rest


def raw(device):
    """A socket that sends frames."""
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender.bind((device, 0))
    return sender


def push(sender, bytes):
    """Sends a frame; a full queue is waited for."""
    while True:
        try:
            return sender.send(bytes)
        except OSError:
            time.sleep(0.001)


def tagged(device, count):
    """Datagrams without a tag, in VLAN 10, and in VLAN 10 inside VLAN 20."""
    sender = raw(device)
    for number in range(int(count)):
        for place, tags in enumerate((b"", b"\x81\0\0\x0a", b"\x88\xa8\0\x14\x81\0\0\x0a")):
            ports = struct.pack("!4H", 2000 + 1000 * place + number, 9000, 12, 0)
            bytes = frame(17, b"\x0a\x4d\0\1", b"\xcb\0\x71\5", ports + b"abcd")
            push(sender, bytes[:12] + tags + bytes[12:])


def syn(number):
    return struct.pack("!HHIIBBHHH", 1024 + number % 60000, 443, number, 0, 0x50, 2, 1024, 0, 0)


def flood(device, kind, count):
    """`syn`: attempts from many ports of many hosts; `scan`: one host to a whole /8; `names`: DNS answers, each another
    name; `hellos`: conversations with the first half of a long hello."""
    sender = raw(device)
    for number in range(int(count)):
        spread = struct.pack("!I", 0x0A000000 + (number * 2654435761) % (1 << 24))
        if kind == "syn":
            push(sender, frame(6, spread, b"\xcb\0\x71\5", syn(number)))
        elif kind == "scan":
            push(sender, frame(6, b"\x0a\x4d\0\1", struct.pack("!I", 0x0B000000 + number), syn(number)))
        elif kind == "names":
            name = f"{number:08x}." + ".".join(["abcdefghijklmnopqrstuvwxyz"] * 3) + ".example"
            labels = question(name)[12:]
            head = struct.pack("!6H", number % 65536, 0x8180, 1, 1, 0, 0)
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + spread
            message = head + labels + answer
            port = 1024 + number % 60000
            source = struct.pack("!I", 0x0A000000 + number // 60000)
            push(sender, frame(17, b"\x0a\x4d\0\2", source, struct.pack("!4H", 53, port, 8 + len(message), 0) + message))
        elif kind == "hellos":
            port = struct.pack("!H", 1024 + number % 60000)
            source = struct.pack("!I", 0x0A000000 + number // 60000)
            target = b"\xcb\0\x71\5"
            start = port + struct.pack("!HIIBBHHH", 443, 0, 0, 0x50, 2, 1024, 0, 0)
            push(sender, frame(6, source, target, start))
            # A record of 16 KiB with a hello of 32 KiB, of which this is the beginning.
            bytes = b"\x16\3\1\x40\0\1\0\x7f\xff\3\3" + b"x" * 1389
            more = port + struct.pack("!HIIBBHHH", 443, 1, 1, 0x50, 16, 1024, 0, 0) + bytes
            push(sender, frame(6, source, target, more))
        else:
            sys.exit(f"no such flood: {kind}")


if __name__ == "__main__":
    command = {f.__name__: f for f in (talk, ask, linger, refused, silent, datagrams, serve, tagged, flood)}
    command[sys.argv[1]](*sys.argv[2:])
