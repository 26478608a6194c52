"""Divides a capture point by time.

In:  the time of the first frame of each file, the length of a window.
Out: tasks: each a window and the files that have frames for it.
Not: what is in a file after its first frame.
"""

import dataclasses
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Frames of a file may be so much later than the first frame of the next one: capture programs write several files at once
# while they rotate.
ROTATION = timedelta(minutes=1)


@dataclasses.dataclass
class Task:
    """What one task audits."""

    site: str
    point: str
    day: str
    # RFC 3339; empty for the beginning and the end of the capture.
    from_time: str
    until_time: str
    files: list
    # For each file: the time of the first frame that a later window would need of it, but does not read; empty for none.
    read_until: list


def parse_time(text):
    return datetime.fromisoformat(text)


def print_time(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_duration(text):
    """`90s`, `10m`, `6h`, `1d`."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if len(text) < 2 or text[-1] not in units or not text[:-1].isdigit() or int(text[:-1]) == 0:
        raise ValueError(f"expected a duration such as 90s, 10m, 6h or 1d, not {text}")
    return timedelta(seconds=int(text[:-1]) * units[text[-1]])


def bounds(first, last, length, from_time=None, until_time=None):
    """The beginnings and ends of windows, aligned to multiples of `length`. The first has no beginning and the last no end, unless
    they are given: then frames outside of all windows do not exist."""
    start = from_time or EPOCH + (first - EPOCH) // length * length
    cuts = []
    while True:
        start = EPOCH + ((start - EPOCH) // length + 1) * length
        if start > last or (until_time and start >= until_time):
            break
        cuts.append(start)
    edges = [from_time, *cuts, until_time]
    return list(zip(edges, edges[1:]))


def divide(point, firsts, length, lead_in, from_time=None, until_time=None):
    """The tasks of a capture point. `firsts` has the time of the first frame by file; none for a file that could not be read."""
    readable = sorted((firsts[file], file) for file in point.files if firsts.get(file))
    unreadable = [file for file in point.files if not firsts.get(file)]
    if not readable:
        return [whole(point, day_of(from_time))]
    (first, _), (last, _) = readable[0], readable[-1]
    starts = [time for time, _ in readable]
    # A file ends about where the next one begins.
    ends = [time + ROTATION for time in starts[1:]] + [None]
    tasks = []
    for begin, end in bounds(first, last, length, from_time, until_time):
        chosen, read_until = [], []
        for (time, file), file_end in zip(readable, ends):
            is_before_end = end is None or time < end + lead_in
            is_after_begin = begin is None or file_end is None or file_end >= begin - lead_in
            if is_before_end and is_after_begin:
                chosen.append(file)
                read_until.append(print_time(file_end) if file_end and end else "")
        # The next file shows that the capture continues: silence at the end of the window is silence then.
        following = [file for time, file in readable if end and time >= end + lead_in][:1]
        chosen += following
        read_until += [""] * len(following)
        # The first window names what cannot be read.
        if not tasks:
            chosen += unreadable
            read_until += [""] * len(unreadable)
        day = day_of(begin or EPOCH + (first - EPOCH) // length * length)
        edges = [print_time(edge) if edge else "" for edge in (begin, end)]
        tasks.append(Task(point.site, point.point, day, *edges, chosen, read_until))
    return tasks


def whole(point, day=""):
    """A capture point as one task. Its day is that of its first frame, which the task finds."""
    return Task(point.site, point.point, day, "", "", point.files, [""] * len(point.files))


def day_of(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%d") if time else ""
