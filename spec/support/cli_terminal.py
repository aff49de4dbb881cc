"""Runs a command with its standard error on a terminal of so many columns, and prints what the terminal received.

    cli_terminal.py COLUMNS COMMAND [ARGUMENT...]
"""

import fcntl
import os
import struct
import subprocess
import sys
import termios

outer, inner = os.openpty()
fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=inner)
os.close(inner)
received = b""
while True:
    try:
        data = os.read(outer, 65536)
    except OSError:  # the other side is closed
        break
    if not data:
        break
    received += data
process.wait()
sys.stdout.buffer.write(received)
