"""A port whose queue of waiting connections is full, so that connecting to it takes for ever.

Prints its port on one line, and ends when its standard input does.
"""
import socket
import sys

listener = socket.create_server(("127.0.0.1", 0), backlog=0)
waiting = []
while len(waiting) < 16:
    client = socket.socket()
    client.settimeout(0.2)
    try:
        client.connect(listener.getsockname())
    except TimeoutError:
        break
    finally:
        waiting.append(client)
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
