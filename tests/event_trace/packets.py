"""Prints the packets of event trace logs, as the independent reader dissect.etl decodes the events.

In:  logs.
Out: a line for each packet, fields separated by tabs: microseconds since 1970, process that sent it, link type,
     component, length, dropped and why, bytes.
Not: the order of time: packets come in the order of the file.

Names of components follow their packets in logs of `pktmon`, so lines are printed at the end.
"""

import sys
from datetime import datetime, timezone

from dissect.etl.etl import ETL

NDISCAP = bytes.fromhex("6e00d62e29470946b4233ee7bcd678ef")
PKTMON = bytes.fromhex("d9804f4dbdc8734dbb5b19c90402c5ac")
EVENT_HEADERS = (0x12, 0x13)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Ethernet, 802.11, raw IP.
LINK_TYPES = {1: 1, 2: 105, 3: 101}


def number(data, at, length):
    return int.from_bytes(data[at : at + length], "little")


def component_name(data):
    at = 4
    while number(data, at, 2):
        at += 2
    return data[4:at].decode("utf-16-le")


def micros(header):
    return round((header.timestamp - EPOCH).total_seconds() * 1_000_000)


def ndis_link(keywords):
    if keywords & 0x10000:
        return 105
    return 101 if keywords & 0x28200 else 1


def main():
    for path in sys.argv[1:]:
        components, unfinished, packets = {}, {}, []
        with open(path, "rb") as file:
            for buffer in ETL(file).buffers():
                processor = buffer.header.ProcessorIndex
                for record in buffer:
                    header = record.header
                    if header._marker.header_type not in EVENT_HEADERS:
                        continue
                    provider = bytes(header.header.ProviderId)
                    event = header.descriptor.id
                    data = bytes(header.payload)
                    if provider == PKTMON and event == 20:
                        components[number(data, 0, 2)] = component_name(data)
                    elif provider == PKTMON and event in (160, 170):
                        sender = header.process_id if number(data, 12, 2) == 4 else ""
                        link = LINK_TYPES.get(number(data, 14, 2), "other")
                        drop = number(data, 22, 4) if event == 170 else ""
                        logged = data[34 : 34 + number(data, 32, 2)]
                        length = number(data, 30, 2)
                        packets.append((micros(header), sender, link, number(data, 16, 2), length, drop, logged.hex()))
                    elif provider == NDISCAP and event == 1001:
                        keywords = header.descriptor.keywords
                        if keywords & 0x40000000:
                            unfinished[processor] = (header, b"")
                        begin, joined = unfinished[processor]
                        joined += data[12 : 12 + number(data, 8, 4)]
                        unfinished[processor] = (begin, joined)
                        if keywords & 0x80000000:
                            sender = begin.process_id if begin.descriptor.keywords & 0x100000000 else ""
                            link = ndis_link(begin.descriptor.keywords)
                            interface = f"interface {number(data, 4, 4)}"
                            packets.append((micros(begin), sender, link, interface, len(joined), "", joined.hex()))
        for packet in packets:
            fields = list(packet)
            if isinstance(fields[3], int):
                fields[3] = components.get(fields[3], f"component {fields[3]}")
            print(*fields, sep="\t")


main()
