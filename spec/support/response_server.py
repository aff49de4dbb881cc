#!/usr/bin/env python3
"""A server that plays scripted answers byte by byte and keeps a ledger, for the table of answers in spec/live/responses.

    response_server.py CERT KEY

Listens on 127.0.0.1, prints the port of its control calls on one line, and ends when stdin does, or on SIGTERM.
Control is JSON over HTTP:

    POST /play    {actions, before, stores, have}: forget everything; the next connection gets the actions
    POST /idle    {actions}: perform them on the newest connection, which waits for a request; answers once they arrived
    GET  /ports   the port of each listener
    GET  /decided the client has made up its mind
    GET  /ledger  what happened since /play; waits until every connection has ended

Listeners: plain, tls12, tls13 speak HTTP/1.1; h2_tls12 and h2_tls13 speak HTTP/2. Each has a twin with `narrow_` in
front, whose sockets take only a few KiB: a client cannot finish a longer upload before the server reads it.

An action is an array: a word and its value. Bytes are given in hexadecimal; `send` takes a number of times behind them.

    read        the whole request; its contacts are stored if `stores` is true
    head        the head of the request
    part N      the head and N bytes of the body
    send BYTES  as they are, encrypted over TLS
    drip BYTES  the same, byte by byte
    raw BYTES   past the encryption
    half BYTES  only half of the encrypted bytes
    flip BYTES  encrypted, then one bit is changed
    clean       the answer of the API to the request that was read
    pause S     wait
    hold        read nothing until the client has made up its mind, that is until /decided or /ledger is called
    notify      close_notify without FIN
    end         FIN
    reset       RST
    stall       wait until the client has left

After the last action, and on every other connection, the server behaves as the API: it stores contacts and lists those
that it has already. `before` holds actions that are performed before the TLS handshake.
"""
import collections
import fcntl
import http.server
import json
import os
import select
import signal
import socket
import ssl
import struct
import sys
import termios
import threading
import time

PATIENCE = 30  # seconds until a client that never leaves is left
NARROW = 2048
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


class Gone(Exception):
    """The client has left, or the actions have ended the connection."""


class Request:
    def __init__(self, connection):
        self.connection, self.method, self.stream, self.size = connection, "", 0, 0
        self.body, self.complete, self.given_up, self.stored, self.phones = b"", False, False, False, []

    def shown(self):
        shown = {name: getattr(self, name) for name in ("connection", "method", "complete", "stored", "phones")}
        return {**shown, "bytes": len(self.body)}


class Book:
    """What is to be played, and what happened. Each /play begins a new one."""

    def __init__(self, play):
        self.lock = threading.Lock()
        self.play, self.stores = play, play.get("stores", False)
        self.contacts = {phone: {"phone": phone, "id": number + 1} for number, phone in enumerate(play.get("have", []))}
        self.stored, self.requests = collections.Counter(), []
        self.connections = self.handshakes = 0
        self.decided = threading.Event()

    def join(self):
        """The number of a new connection, and what it plays: only the first plays."""
        with self.lock:
            self.connections += 1
            return self.connections, self.play if self.connections == 1 else {}

    def store(self, request):
        """Store the contacts of the request; those that were here before are given back."""
        listed = []
        with self.lock:
            for contact in json.loads(request.body or b"[]"):
                phone = contact["phone"]
                if phone in self.contacts:
                    listed.append(self.contacts[phone])
                else:
                    self.contacts[phone] = {**contact, "id": len(self.contacts) + 1}
                    self.stored[phone] += 1
            request.stored = True
        return listed

    def ledger(self):
        with self.lock:
            return {"connections": self.connections, "handshakes": self.handshakes, "stored": dict(self.stored),
                    "requests": [request.shown() for request in self.requests]}


class Link:
    """A connection, encrypted or not. `orders` is a pipe that becomes readable when `obey` is to be called."""

    def __init__(self, sock, orders, obey):
        self.sock, self.tls, self.incoming, self.outgoing = sock, None, None, None
        self.orders, self.obey = orders, obey

    def handshake(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()
        self.flush()
        self.tls = tls

    def flush(self):
        waiting = self.outgoing.read()
        if waiting:
            self.sock.sendall(waiting)

    def bytes(self):
        while self.orders in select.select([self.sock, self.orders], [], [], PATIENCE)[0]:
            os.read(self.orders, 1)
            self.obey()
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        return data

    def feed(self):
        self.incoming.write(self.bytes())

    def receive(self):
        if not self.tls:
            return self.bytes()
        while True:
            try:
                data = self.tls.read(65536)
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()
        if not data:
            raise Gone  # the client has sent its close_notify
        return data

    def encrypted(self, data):
        if not self.tls:
            return data
        self.tls.write(data)
        return self.outgoing.read()

    def send(self, data):
        self.sock.sendall(self.encrypted(data))

    def notify(self):
        if self.tls:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass  # we do not wait for the client's close_notify
            self.flush()

    def arrived(self):
        """Wait until the client's machine has everything that was sent."""
        end = time.monotonic() + 5
        while struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0] and time.monotonic() < end:
            time.sleep(0.001)

    def wait_until_left(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            if not self.sock.recv(65536):
                break
        raise Gone

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Http1:
    """Requests and API answers of HTTP/1.1 on one connection."""

    def __init__(self, link, number):
        self.link, self.number, self.buffer = link, number, b""

    def start(self):
        pass

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.link.receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        request, lines = Request(self.number), head.decode("latin-1").split("\r\n")
        request.method = lines[0].split(" ")[0]
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                request.size = int(value)
        return request

    def body(self, request, most=None):
        size = request.size if most is None else min(len(request.body) + most, request.size)
        parts, length = [request.body, self.buffer], len(request.body) + len(self.buffer)
        while length < size:
            parts.append(self.link.receive())
            length += len(parts[-1])
        whole = b"".join(parts)
        request.body, self.buffer, request.complete = whole[:size], whole[size:], size == request.size

    def answer(self, _, text):
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
        return head.encode() + text


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(text):
    return bytes([len(text)]) + text  # shorter than 127 bytes, without Huffman's code


class Http2:
    """The same for HTTP/2. Header fields of requests are not decoded: who sends a body sends contacts."""

    def __init__(self, link, number):
        self.link, self.number, self.buffer = link, number, b""

    def start(self):
        self.link.send(frame(SETTINGS, 0, 0, b""))
        if self.take(len(PREFACE)) != PREFACE:
            raise Gone

    def take(self, size):
        while len(self.buffer) < size:
            self.buffer += self.link.receive()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def frame(self):
        """The next frame; those that only keep the connection going are answered here."""
        while True:
            head = self.take(9)
            kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
            payload = self.take(int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                self.link.send(frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                self.link.send(frame(PING, ACK, 0, payload))
            elif kind in (HEADERS, DATA, RST_STREAM, CONTINUATION):
                return kind, flags, stream, payload

    def head(self):
        kind, flags, stream, _ = self.frame()
        while kind != HEADERS:
            kind, flags, stream, _ = self.frame()
        request = Request(self.number)
        request.stream, request.complete = stream, bool(flags & END_STREAM)
        request.method = "GET" if request.complete else "POST"
        return request

    def body(self, request, most=None):
        while not request.complete and (most is None or len(request.body) < most):
            kind, flags, stream, payload = self.frame()
            if kind == RST_STREAM and stream == request.stream:
                request.complete = request.given_up = True
            if kind == DATA and stream == request.stream:
                data = payload[1:len(payload) - payload[0]] if flags & PADDED else payload
                request.body += data
                request.complete = bool(flags & END_STREAM)
                if payload and most is None:
                    size = struct.pack(">I", len(payload))
                    self.link.send(frame(8, 0, 0, size) + frame(8, 0, stream, size))

    def answer(self, request, text):
        fields = b"\x88\x00" + literal(b"content-type") + literal(b"application/json")
        return frame(HEADERS, END_HEADERS, request.stream, fields) + frame(DATA, END_STREAM, request.stream, text)


class Connection(threading.Thread):
    def __init__(self, server, sock, context, protocol):
        super().__init__(daemon=True)
        self.server, self.book, self.context, self.request = server, server.book, context, None
        self.order, self.obeyed = [], threading.Event()
        self.orders, self.wake = os.pipe()
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link = Link(sock, self.orders, self.obey)
        self.number, self.play = self.book.join()
        self.http = protocol(self.link, self.number)

    def run(self):
        try:
            self.perform(self.play.get("before", []))
            if self.context:
                self.link.handshake(self.context)
                with self.book.lock:
                    self.book.handshakes += 1
            self.http.start()
            self.perform(self.play.get("actions", []))
            while True:
                self.read(None)
                if not self.request.given_up:
                    self.answer(self.book.store(self.request))
        except (OSError, Gone, ValueError):
            pass  # the client left, what it sent is no HTTP, or the actions ended the connection
        finally:
            self.link.sock.close()
            self.server.left(self)
            self.obeyed.set()
            os.close(self.orders)
            os.close(self.wake)

    def obey(self):
        self.perform(self.order)
        self.link.arrived()
        self.obeyed.set()

    def note(self):
        """What is known of the phones of the request, also where the body broke off."""
        try:
            self.request.phones = [contact["phone"] for contact in json.loads(self.request.body)]
        except (ValueError, TypeError):
            pass

    def begin(self):
        self.request = self.http.head()
        with self.book.lock:
            self.book.requests.append(self.request)

    def read(self, most):
        if self.request is None or self.request.complete:
            self.begin()
        if not self.request.complete:
            self.http.body(self.request, most)
        self.note()

    def answer(self, listed):
        text = b"[]" if self.request.method == "GET" else json.dumps(listed).encode() if listed else b'"ok"'
        self.link.send(self.http.answer(self.request, text))

    def perform(self, actions):
        link = self.link
        for word, value, times in ((action + [None, None])[:3] for action in actions):
            data = bytes.fromhex(value) if word in ("send", "drip", "raw", "half", "flip") else b""
            if word == "read":
                self.read(None)
                if self.book.stores and not self.request.given_up:
                    self.book.store(self.request)
            elif word == "head":
                self.begin()
            elif word == "part":
                self.read(value)
            elif word == "send":
                for _ in range(times or 1):
                    link.send(data)
            elif word == "drip":
                for i in range(len(data)):
                    link.send(data[i:i + 1])
            elif word == "raw":
                link.sock.sendall(data)
            elif word == "half":
                hidden = link.encrypted(data)
                link.sock.sendall(hidden[:len(hidden) // 2])
            elif word == "flip":
                hidden = bytearray(link.encrypted(data))
                hidden[-1] ^= 1
                link.sock.sendall(hidden)
            elif word == "clean":
                self.answer(self.book.store(self.request))
            elif word == "pause":
                time.sleep(value)
            elif word == "notify":
                link.notify()
            elif word == "hold":
                self.book.decided.wait(PATIENCE)
            elif word == "end":
                link.sock.shutdown(socket.SHUT_WR)
            elif word == "reset":
                link.reset()
                raise Gone
            elif word == "stall":
                link.wait_until_left()
            else:
                raise SystemExit("no such action: " + word)


class Server:
    def __init__(self, certificate, key):
        self.book, self.changed, self.live, self.newest = Book({}), threading.Condition(), set(), None
        self.ports = {}
        versions = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}
        self.listen("plain", None, Http1)
        for name, version in versions.items():
            for prefix, protocol in (("", Http1), ("h2_", Http2)):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate, key)
                context.minimum_version = context.maximum_version = version
                context.set_alpn_protocols(["h2"] if protocol is Http2 else ["http/1.1"])
                self.listen(prefix + name, context, protocol)

    def listen(self, name, context, protocol):
        for prefix in ("", "narrow_"):
            listener = socket.socket()
            if prefix:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            self.ports[prefix + name] = listener.getsockname()[1]
            threading.Thread(target=self.accept, args=(listener, context, protocol), daemon=True).start()

    def accept(self, listener, context, protocol):
        while True:
            sock, _ = listener.accept()
            connection = Connection(self, sock, context, protocol)
            with self.changed:
                self.live.add(connection)
                self.newest = connection
            connection.start()

    def left(self, connection):
        with self.changed:
            self.live.discard(connection)
            self.changed.notify_all()

    def settled(self):
        with self.changed:
            if not self.changed.wait_for(lambda: not self.live, PATIENCE):
                raise TimeoutError("a connection does not end")

    def control(self, path, given):
        if path == "/ports":
            return self.ports
        if path == "/play":
            self.book = Book(given)
            return {}
        if path == "/idle":
            connection = self.newest
            connection.order = given["actions"]
            os.write(connection.wake, b"!")
            if not connection.obeyed.wait(PATIENCE):
                raise TimeoutError("the connection does not obey")
            return {}
        if path == "/decided":
            self.book.decided.set()
            return {}
        if path == "/ledger":
            self.book.decided.set()
            self.settled()
            return self.book.ledger()
        raise KeyError(path)


def main():
    server = Server(*sys.argv[1:3])

    class Control(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            size = int(self.headers.get("Content-Length") or 0)
            try:
                status, value = 200, server.control(self.path, json.loads(self.rfile.read(size) or b"{}"))
            except (KeyError, ValueError, OSError) as error:
                status, value = 500, {"error": repr(error)}
            text = json.dumps(value).encode()
            head = "HTTP/1.1 %d Control\r\nContent-Type: application/json\r\n" % status
            head += "Content-Length: %d\r\n\r\n" % len(text)
            self.wfile.write(head.encode() + text)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    control = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
    control.daemon_threads = True
    threading.Thread(target=control.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(control.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)


main()
