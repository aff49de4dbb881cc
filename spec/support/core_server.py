"""A server that misbehaves in exact ways, on raw sockets, for spec/live/core_spec.lua.

usage: core_server.py [certificate key]

Prints one line: the ports "plain reset full refused tls tls12 eager_tls eager_tls12 eager_plain" and the process id. What a request gets is in its path.
The server ends when it is told to (GET /stop), killed, or after five minutes.
"""
import os
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

seen = []  # "METHOD path" of each request that was read whole
kept = []  # sockets that must stay open


def listen(backlog=50):
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", 0))
    server.listen(backlog)
    return server, server.getsockname()[1]


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_request(connection, buffered):
    """The whole request as bytes, and what came after it; None at the end of the connection."""
    while b"\r\n\r\n" not in buffered:
        more = connection.recv(65536)
        if not more:
            return None, b""
        buffered += more
    head, rest = buffered.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    length = int(length.group(1)) if length else 0
    while len(rest) < length:
        more = connection.recv(65536)
        if not more:
            return None, b""
        rest += more
    return head + b"\r\n\r\n" + rest[:length], rest[length:]


def answer(body, status="200 OK", extra=""):
    head = "HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), extra)
    return head.encode() + body


def respond(connection, request, path, number):
    """True while the connection goes on."""
    if path == "/echo":
        connection.sendall(answer(request))
    elif path.startswith("/seen"):
        wanted = urllib.parse.unquote(path.partition("?")[2])
        connection.sendall(answer(b"%d" % sum(wanted in line for line in seen)))
    elif path.startswith("/length/"):
        connection.sendall(answer(b"x" * int(path.rsplit("/", 1)[1])))
    elif path == "/endless":
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    elif path.startswith("/then/"):
        # An answer, and a moment later bytes that nobody asked for.
        connection.sendall(answer(b"first"))
        time.sleep(0.03)
        connection.sendall(bytes.fromhex(path[6:]))
    elif path.startswith("/bytes/"):
        # /bytes/HEX-HEX sends these bytes as they are, with a pause at each "-"; "." at the end: and goes on.
        for number, part in enumerate(path[7:].rstrip(".").split("-")):
            if number > 0:
                time.sleep(0.05)
            connection.sendall(bytes.fromhex(part))
        return path.endswith(".")
    elif path.startswith("/headers/"):
        line = "X-Filler: " + "y" * 88 + "\r\n"
        connection.sendall(answer(b"ok", extra=line * (int(path.rsplit("/", 1)[1]) // 100)))
    elif path.startswith("/long-header/"):
        connection.sendall(answer(b"ok", extra="X-Long: " + "y" * int(path.rsplit("/", 1)[1]) + "\r\n"))
    elif path == "/interims":
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Wrong: 1\r\n\r\n" * 1000 + answer(b"ok"))
    elif path == "/interim":
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Wrong: 1\r\n\r\n")
        connection.sendall(answer(b"ok", "201 Created", "X-Right: 1\r\n"))
    elif path == "/interim-only":
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Wrong: 1\r\n\r\n")
        return False
    elif path == "/malformed":
        connection.sendall(b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok")
    elif path == "/cut-chunk":
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
        return False
    elif path == "/partial":
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        return False
    elif path == "/redirect":
        connection.sendall(answer(b"", "302 Found", "Location: /echo\r\n"))
    elif path == "/garbage":
        connection.sendall(b"good day\r\n\r\n")
        return False
    elif path == "/old":
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
        return False
    elif path == "/reset":
        reset(connection)
        return False
    elif path == "/nothing":
        return False
    elif path.startswith("/second-dies"):
        if number > 1:
            return False
        connection.sendall(answer(b"first"))
    elif path.startswith("/second-resets"):
        if number > 1:
            reset(connection)
            return False
        connection.sendall(answer(b"first"))
    elif path == "/slow":
        time.sleep(0.3)
        connection.sendall(answer(b"slow"))
    elif path == "/late":
        time.sleep(1.5)
        connection.sendall(answer(b"late"))
    elif path == "/silent":
        time.sleep(20)
        return False
    elif path == "/stop":
        connection.sendall(answer(b"bye"))
        os._exit(0)
    else:
        connection.sendall(answer(b"no such path", "404 Not Found"))
    return True


def serve(connection, context):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        buffered, number = connection.recv(65536), 0
        early = re.match(rb"POST /early/(\d+) ", buffered)
        if early:
            # The body is longer than all buffers on the way: most of it is still unsent then.
            connection.sendall(answer(b"ok", early.group(1).decode() + " Early", "Connection: close\r\n"))
            time.sleep(0.3)
            connection.close()
            return
        while True:
            request, buffered = read_request(connection, buffered)
            if request is None:
                break
            method, path = request.decode("latin-1").split(" ")[:2]
            number += 1
            seen.append(method + " " + path)
            if not respond(connection, request, path, number):
                break
        connection.close()
    except OSError:
        pass


def answer_at_once(connection, context):
    """The answer comes before the request, which is then read."""
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        # On a busy machine the request may be here first. An answer would be a true one then.
        if not select.select([connection], [], [], 0)[0]:
            connection.sendall(answer(b"[]"))
        connection.settimeout(5)
        connection.recv(65536)
        connection.close()
    except OSError:
        pass


def accept(server, context=None, serve=serve):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection, context), daemon=True).start()


def accept_and_reset(server):
    while True:
        reset(server.accept()[0])


def fill(server, port):
    """Leaves no room in the queue of a socket that nobody accepts from: further connections hang."""
    kept.append(server)
    for _ in range(8):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        kept.append(client)
    time.sleep(0.1)


def main():
    plain, plain_port = listen()
    resetting, reset_port = listen()
    full, full_port = listen(0)
    fill(full, full_port)
    unused = socket.socket()
    unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
    threading.Thread(target=accept, args=(plain,), daemon=True).start()
    threading.Thread(target=accept_and_reset, args=(resetting,), daemon=True).start()
    eager, eager_port = listen()
    threading.Thread(target=accept, args=(eager, None, answer_at_once), daemon=True).start()
    tls_ports = [0, 0, 0, 0]
    if len(sys.argv) == 3:
        for place, version in enumerate((ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[1], sys.argv[2])
            context.minimum_version = context.maximum_version = version
            secure, tls_ports[place] = listen()
            threading.Thread(target=accept, args=(secure, context), daemon=True).start()
            eager, tls_ports[place + 2] = listen()
            threading.Thread(target=accept, args=(eager, context, answer_at_once), daemon=True).start()
    print(plain_port, reset_port, full_port, unused.getsockname()[1], *tls_ports, eager_port, os.getpid(), flush=True)
    time.sleep(300)


main()
