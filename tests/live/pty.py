"""Runs a program on a terminal of its own: pty.py ROWS COLUMNS FILE PROGRAM ARGUMENT...

What the program shows goes to the file, byte by byte; what comes in on standard input is typed. Ends as the program does.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios

rows, columns, path, *command = sys.argv[1:]
ours, theirs = os.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", int(rows), int(columns), 0, 0))
program = subprocess.Popen(
    command,
    stdin=theirs,
    stdout=theirs,
    stderr=theirs,
    start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
)
os.close(theirs)
keys = [sys.stdin.fileno()]
with open(path, "wb", buffering=0) as seen:
    while True:
        ready, _, _ = select.select([ours, *keys], [], [])
        if ours in ready:
            try:
                shown = os.read(ours, 65536)
            except OSError:
                # Linux says so when the last program has left the terminal.
                break
            seen.write(shown)
        elif typed := os.read(keys[0], 100):
            os.write(ours, typed)
        else:
            keys = []
sys.exit(program.wait())
