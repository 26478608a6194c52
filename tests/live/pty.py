"""Runs a program on a pseudo-terminal: pty.py ROWS COLUMNS FILE PROGRAM ARGUMENT...

Writes the output of the program to the file without buffering, and standard input to its keyboard. Exits with its status.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios

rows, columns, path, *command = sys.argv[1:]
master, slave = os.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", int(rows), int(columns), 0, 0))
program = subprocess.Popen(
    command,
    stdin=slave,
    stdout=slave,
    stderr=slave,
    start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
)
os.close(slave)
keys = [sys.stdin.fileno()]
with open(path, "wb", buffering=0) as output:
    while True:
        ready, _, _ = select.select([master, *keys], [], [])
        if master in ready:
            try:
                shown = os.read(master, 65536)
            except OSError:
                # EIO: the last program has closed the terminal.
                break
            output.write(shown)
        elif typed := os.read(keys[0], 100):
            os.write(master, typed)
        else:
            keys = []
sys.exit(program.wait())
