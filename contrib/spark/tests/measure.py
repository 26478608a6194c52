"""Measures the job with one, two and four tasks, for docs/fleet.md.

From this package's folder, for captures of two hours that begin at a full hour:

    python -m tests.measure --binary ../../target/release/afs-audit flows.pcap bulk.pcap

Each capture is divided into a ring of files of 15 minutes. Prints the median of the times, and the shortest and longest.
"""

import argparse
import os
import statistics
import struct
import sys
import tempfile
import time

from afs_audit_spark import __main__ as command
from afs_audit_spark import job

RING_SECONDS = 900
WINDOWS = {1: [], 2: ["--window", "1h", "--lead-in", "5m"], 4: ["--window", "30m", "--lead-in", "5m"]}


def divide(path, folder):
    """Copies a pcap file into files of a ring."""
    files = {}
    with open(path, "rb") as capture:
        header = capture.read(24)
        assert header[:4] == b"\xd4\xc3\xb2\xa1", f"{path}: not a little-endian pcap file"
        while record := capture.read(16):
            seconds, _, length, _ = struct.unpack("<IIII", record)
            number = seconds // RING_SECONDS
            if number not in files:
                files[number] = open(os.path.join(folder, f"{number}.pcap"), "wb")
                files[number].write(header)
            files[number].write(record + capture.read(length))
    for file in files.values():
        file.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("captures", nargs="+")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--master", default="local[2,4]")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    print(f"| capture | tasks | time, of {options.repeat} runs | frames read | flows | DNS | findings |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tables = [ring_of(capture, folder) for capture in options.captures]
        points = [(table, tasks) for table in tables for tasks in WINDOWS]
        times = {point: [] for point in points}
        # In turns, so that what else the machine does meets all of them; the first turn warms Spark up.
        for turn in range(options.repeat + 1):
            for table, tasks in points:
                lake = f"{table}-{tasks}"
                run = command.parse_arguments(["run", table, lake, "--binary", options.binary, "--master", options.master, *WINDOWS[tasks]])
                spark = command.session(run)
                spark.sparkContext.setLogLevel("OFF")
                start = time.monotonic()
                runs = job.run(spark, run)
                took = time.monotonic() - start
                print(f"turn {turn}: {os.path.basename(lake)}: {took:.1f} s", file=sys.stderr)
                times[table, tasks] += [took] if turn else []
                assert len(runs) == tasks and all(row["status"] == "complete" for row in runs), runs
                if turn == options.repeat:
                    print_row(spark, os.path.basename(table), lake, runs, times[table, tasks])


def ring_of(capture, folder):
    """Divides a capture; the path of its table of captures."""
    name = os.path.basename(capture).partition(".")[0]
    ring = os.path.join(folder, f"{name}.ring")
    os.mkdir(ring)
    divide(capture, ring)
    table = os.path.join(folder, name)
    with open(table, "w", encoding="utf-8") as file:
        file.write(f"site,path\nsite,{ring}/*.pcap\n")
    return table


def print_row(spark, name, lake, runs, times):
    frames = sum(row["frames"] - row["frames_not_audited"] for row in runs)
    rows = [spark.read.parquet(f"{lake}/{table}").count() for table in ("flows", "dns", "findings")]
    spread = f"{statistics.median(times):.1f} s ({min(times):.1f} to {max(times):.1f})"
    print(f"| {name} | {len(runs)} | {spread} | {' | '.join(f'{number:,}' for number in (frames, *rows))} |", flush=True)


if __name__ == "__main__":
    main()
