"""Runs a command on a terminal that is 77 columns wide, and prints what it wrote.

usage: core_terminal.py COMMAND [ARGUMENT…]
"""
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 77, 0, 0))
child = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave)
child.wait()
os.close(slave)
text = b""
try:
    while True:
        part = os.read(master, 4096)
        if not part:
            break
        text += part
except OSError:  # how Linux says that the other end is closed
    pass
sys.stdout.write(text.decode())
