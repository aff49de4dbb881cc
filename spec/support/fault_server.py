#!/usr/bin/env python3
"""An HTTP server that injects faults at the socket and keeps a ledger, for the specs.

    fault_server.py [--tls CERT KEY]

Listens on 127.0.0.1, prints its port on one line, and ends when stdin does, or on SIGTERM. Plays
POST /v1/batch/contacts and GET /v1/inboxes. Control is JSON over plain HTTP on the same port, with --tls too:

    POST /_control/script             array of steps; each API request takes the next one
    POST /_control/connection_script  array of steps; each accepted connection takes the next one
    POST /_control/default            the step for requests that find the script used up
    POST /_control/reset              forget everything
    GET  /_control/ledger             what happened

A control call is a connection as well, so it would use up a pending connection step. Every control answer therefore
names `control_port`, a second port that serves control calls alone and takes no steps.

A step: status headers body delay process list ok fault refuse_phones size chunked, and keep_body, which puts the
request's text in the ledger; all optional. `process` says what becomes of the contacts, also when the answer is lost:
"all" (default for a 200), "none", or "valid" (malformed phones are not stored, but listed).

In the ledger a request is in flight until just before the last byte of its answer is sent, so that a client that is
quick with its next request is not accused of an overlap; or until its client left. Numbers begin at 1. `stored` of a
request says whether the server acted on it. `phones` of a broken upload are those in the part that was read.
"""

import argparse
import collections
import contextlib
import email.utils
import json
import os
import re
import select
import socket
import ssl
import struct
import threading
import time
import urllib.parse
import uuid

CONNECTION_FAULTS = {"reset_on_accept", "close_on_accept", "stall_on_accept"}
UPLOAD_FAULTS = {"reset_before_read", "reset_mid_upload", "timeout_mid_upload"}
SILENT_FAULTS = {"reset_after_read", "close_after_read", "timeout_after_read"}
ANSWER_FAULTS = """reset_in_headers reset_in_body stall_in_body truncated wrong_length_short oversized oversized_headers
chunked_broken chunked_truncated close_delimited http10 not_json html garbage continue_first informational_only redirect
deep_json keepalive_close""".split()
REQUEST_FAULTS = UPLOAD_FAULTS.union(SILENT_FAULTS, ANSWER_FAULTS)
STEP_KEYS = set("status headers body delay process list ok fault refuse_phones size chunked keep_body".split())
SUBSTITUTES = {
    "not_json": ("application/json", b'{"result": "ok", this is not JSON'),
    "html": ("text/html; charset=utf-8", b"<!DOCTYPE html>\n<html><body><h1>Hello</h1></body></html>\n"),
    "deep_json": ("application/json", b"[" * 100_000 + b"]" * 100_000),
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
NO_ANSWERS = {"garbage": b"\x00\x01\xfe\xffno protocol\x00\r\n\r\n\x7f\x80", "informational_only": CONTINUE}
CLOSING = {"truncated", "chunked_broken", "chunked_truncated", "close_delimited", "http10"}
REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
ERROR_CODES = {400: "bad_data", 401: "unauthorized", 403: "denied", 404: "not_found", 429: "rate_limited"}
VALID_PHONE = re.compile(r"[1-9][0-9]{6,14}\Z")
PHONE_IN_TEXT = re.compile(rb'"phone"\s*:\s*"([^"\\]*)"')
BLOCK = b"a" * 65536
PAUSE = 0.03  # lets the client see what was sent before the reset that follows it


def check_step(step, faults):
    if not isinstance(step, dict) or set(step) - STEP_KEYS:
        raise ValueError("not a step, or one with an unknown key: %r" % (step,))
    if step.get("fault", "") not in faults | {"", None} or step.get("process", "all") not in ("all", "none", "valid"):
        raise ValueError("a fault or a process that cannot stand here: %r" % (step,))
    return step


def refusal(code, message):
    return json.dumps({"error_code": code, "message": message})


def refuse_constant(name):
    raise ValueError(name + " is not JSON")


class Request:
    """One API request as the ledger shows it, and what is needed to see its client leave."""

    SHOWN = """t_accept t_start t_end connection request_id method path query headers phones listed bytes complete
    stored step status body""".split()

    def __init__(self, link, book):
        self.link, self.book, self.t_accept, self.t_end = link, book, link.t_accept, None
        self.connection = self.method = self.path = self.query = self.step = self.status = self.body = None
        self.t_start, self.request_id = time.monotonic(), str(uuid.uuid4())
        self.headers, self.phones, self.phone_set, self.listed = {}, [], set(), []
        self.bytes, self.complete, self.stored, self.number, self.beside = 0, False, False, 0, ()

    def note_phones(self, phones):
        self.phones, self.phone_set = phones, set(phones)

    def note_part(self, part):
        """Phones that stand in a body that broke off."""
        self.note_phones([phone.decode("latin-1") for phone in PHONE_IN_TEXT.findall(part)])


class Book:
    """The scripts, the store and the ledger. A reset starts a new one; requests finish in the one they began in."""

    def __init__(self):
        self.lock = threading.RLock()
        self.script, self.connection_script, self.default = collections.deque(), collections.deque(), {}
        self.requests, self.active = [], {}
        self.stored, self.contacts, self.ids = collections.Counter(), {}, {}
        self.connections = self.max_in_flight = self.trap_hits = 0

    def next_step(self, only=None):
        """The step of the next request; with `only`, nothing is taken unless it has that fault."""
        with self.lock:
            step = self.script[0] if self.script else self.default
            if only and step.get("fault") != only:
                return None
            return self.script.popleft() if self.script else step

    def prune(self):
        """End the requests whose client left, even where their own thread has not noticed yet."""
        poll = select.poll()
        for request in self.active.values():
            poll.register(request.link.sock, select.POLLRDHUP)
        gone = {descriptor for descriptor, _ in poll.poll(0)}
        for request in list(self.active.values()):
            if request.link.sock.fileno() in gone or request.link.left_while_jammed():
                self.finish(request)

    def begin(self, request):
        with self.lock:
            self.prune()
            request.connection = request.link.number_in(self)
            # Where the client left before we came to its bytes, nothing of it is in flight any more.
            request.beside = () if request.link.has_left() else tuple(self.active.values())
            self.requests.append(request)
            request.number = len(self.requests)
            self.active[request.number] = request
            self.max_in_flight = max(self.max_in_flight, len(self.active))

    def finish(self, request):
        with self.lock:
            if self.active.pop(request.number, None):
                request.t_end = time.monotonic()

    def handle(self, request, contacts, problem):
        """Do with the contacts what the step says; the status and the text of the answer."""
        step = request.step
        status = step.get("status", 302 if step.get("fault") == "redirect" else 200)
        if problem and status == 200 and "body" not in step:
            return problem
        if refused := request.phone_set.intersection(step.get("refuse_phones", ())):
            return 400, refusal("bad_data", "phone: " + ", ".join(sorted(refused)))
        process = step.get("process", "all" if status == 200 else "none")
        listed = self.store(request, contacts, process)
        if step.get("list", "existing") != "existing":
            wanted, given = step["list"], dict(zip(request.phones, contacts))
            listed = [] if wanted == "none" else [given.get(phone, {"phone": phone}) for phone in wanted]
        if "body" in step:
            return status, step["body"] if isinstance(step["body"], str) else json.dumps(step["body"])
        if status != 200:
            return status, "" if status in (204, 304) else refusal(ERROR_CODES.get(status, "error"), "scripted")
        if request.path == "/v1/inboxes":
            return status, "[]"
        request.listed = [item.get("phone") for item in listed]
        return status, json.dumps(listed) if listed else step.get("ok", '"ok"')

    def store(self, request, contacts, process):
        overwrite = urllib.parse.parse_qs(request.query).get("overwrite") == ["true"]
        listed = []
        with self.lock:
            request.stored = process != "none" and bool(contacts)
            for phone, contact in zip(request.phones, contacts):
                if phone in self.contacts and not overwrite:
                    # What an account holds has an id.
                    listed.append({**self.contacts[phone], "id": self.ids.setdefault(phone, len(self.ids) + 1)})
                elif process == "valid" and not VALID_PHONE.match(phone):
                    listed.append(contact)
                elif process != "none":
                    self.stored[phone] += 1
                    self.contacts[phone] = contact
        return listed

    def ledger(self):
        with self.lock:
            self.prune()
            overlap, doubles, order = set(), set(), {}
            for request in self.requests:
                for other in request.beside:
                    overlap |= request.phone_set & other.phone_set
                counts = collections.Counter(request.phones)
                doubles.update(phone for phone, count in counts.items() if count > 1)
                for phone in request.phone_set:
                    order.setdefault(phone, []).append(request.number)
            shown = {name: getattr(self, name) for name in ("connections", "max_in_flight", "trap_hits")}
            shown["requests"] = [{name: getattr(request, name) for name in request.SHOWN} for request in self.requests]
            shown["arrivals"] = [request.t_start for request in self.requests]
            shown.update(stored=dict(self.stored), contacts=dict(self.contacts), order=order)
            return {**shown, "overlap": sorted(overlap), "doubles": sorted(doubles)}


class Connection:
    """One accepted connection, served by a thread of its own."""

    def __init__(self, server, sock, control_only):
        self.server, self.sock, self.control_only = server, sock, control_only
        self.t_accept, self.peer_port = time.monotonic(), sock.getpeername()[1]
        self.buffer, self.secure, self.jammed, self.poisoned = b"", False, False, False
        self.book, self.counted_in, self.number, self.internal = server.book, None, None, control_only

    def number_in(self, book):
        if self.counted_in is not book:
            with book.lock:
                book.connections += 1
                self.counted_in, self.number = book, book.connections
        return self.number

    def reset(self, request=None):
        if request:
            request.book.finish(request)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        return False

    def close(self):
        if self.secure and self.sock.fileno() >= 0:
            with contextlib.suppress(OSError, ValueError):
                self.sock.settimeout(0)  # say close_notify, but do not wait for the client's
                self.sock.unwrap()
        self.sock.close()

    def has_left(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return bool(poll.poll(0)) or self.left_while_jammed()

    def left_while_jammed(self):
        """Whether the client closed while our full window holds its FIN back; only the kernel's table knows."""
        if not self.jammed:  # we read on, so the FIN comes through
            return False
        ends = "0100007F:%04X 0100007F:%04X" % (self.peer_port, self.server.port)
        with open("/proc/net/tcp", encoding="ascii") as table:
            return any(ends + " " + state in line for line in table for state in ("04", "05", "06", "07", "0B"))

    def wait_until_left(self, seconds=float("inf")):
        """Wait, reading nothing, until the client is gone (true) or the time is up (false)."""
        end, poll = time.monotonic() + seconds, select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        while (left := end - time.monotonic()) > 0:
            if poll.poll(min(left, 0.05) * 1000) or self.left_while_jammed():
                return True
        return False

    def wait_for_bytes(self):
        """The first bytes of the next request, left unread; nothing where the client closed."""
        seen = socket.socket.recv(self.sock, 64, socket.MSG_PEEK)
        if self.secure and (seen[:1] == b"\x15" or seen[:1] == b"\x17" and seen[3:5] == b"\x00\x13"):
            return b""  # a TLS alert, in the clear or encrypted: the client says goodbye
        return seen

    def take(self, size):
        """Take that many bytes, or as many as came before the end."""
        taken, self.buffer = bytearray(self.buffer[:size]), self.buffer[size:]
        while len(taken) < size and (data := self.sock.recv(min(size - len(taken), 65536))):
            taken += data
        return bytes(taken)

    def send_last(self, request, pieces):
        """Send the pieces; the request ends before the last one, which is what lets the client go on."""
        for piece in pieces[:-1]:
            self.sock.sendall(piece)
        request.book.finish(request)
        self.sock.sendall(pieces[-1])

    def run(self, step):
        try:
            if step:
                self.number_in(self.book)
                self.wait_until_left(step.get("delay", 0))
            fault = step.get("fault")
            if fault == "reset_on_accept":
                self.reset()
            elif fault == "stall_on_accept":
                self.jammed = True
                self.wait_until_left()
            elif fault != "close_on_accept":
                if self.server.tls and not self.control_only and self.wait_for_bytes()[:1] == b"\x16":
                    self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
                    self.secure = True
                while self.serve_one():
                    pass
        except (OSError, ValueError):
            pass  # the client left in the middle, or what it sent is no HTTP
        finally:
            if not self.internal and self.counted_in is None:
                self.number_in(self.book)
            self.close()

    def serve_one(self):
        seen = self.buffer or self.wait_for_bytes()
        if not seen:
            return False
        book = self.server.book
        request = Request(self, book)
        if not self.control_only and not self.poisoned and (self.secure or b" /_" not in seen):
            request.step = book.next_step(only="reset_before_read")
        try:
            if request.step:
                book.begin(request)
                return self.reset(request)
            while b"\r\n\r\n" not in self.buffer and (data := self.sock.recv(65536)):
                self.buffer += data
            head, whole, self.buffer = self.buffer.partition(b"\r\n\r\n")
            if not whole:
                book.begin(request)
                return False
            lines = head.decode("latin-1").split("\r\n")
            request.method, target, version = lines[0].split(" ", 2)
            request.path, _, request.query = target.partition("?")
            for line in lines[1:]:
                name, _, value = line.partition(":")
                name, value = name.strip().lower(), value.strip()
                earlier = request.headers.get(name)
                request.headers[name] = value if earlier is None else earlier + ", " + value
            closing = version == "HTTP/1.0" or request.headers.get("connection", "").lower() == "close"
            if request.path.startswith("/_control/"):
                self.internal = True
                return self.serve_control(request) and not closing
            if self.control_only or (self.server.tls and not self.secure):
                return self.send_json(400, {"message": "only control calls are served here"}, again=False)
            if request.path == "/_trap":
                with book.lock:
                    book.trap_hits += 1
                return self.send_json(200, "ok", again=False)
            book.begin(request)
            return self.serve_api(request) and not closing
        finally:
            book.finish(request)

    def serve_api(self, request):
        book = request.book
        step = {"fault": "close_after_read", "process": "none"} if self.poisoned else book.next_step()
        request.step, fault = step, step.get("fault")
        size = int(request.headers.get("content-length", 0))
        if fault in UPLOAD_FAULTS:
            part = self.take(size // 2)
            request.bytes, self.jammed = len(part), True
            request.note_part(part)
            return not self.wait_until_left() if fault == "timeout_mid_upload" else self.reset(request)
        if request.headers.get("expect", "").lower() == "100-continue" and len(self.buffer) < size:
            self.sock.sendall(CONTINUE)
        body = self.take(size)
        request.bytes, request.complete = len(body), len(body) == size
        if not request.complete:
            request.note_part(body)
            return False
        if step.get("keep_body"):
            request.body = body.decode("utf-8", "replace")
        status, text = book.handle(request, *self.contacts_of(request, body))
        if self.wait_until_left(float("inf") if fault == "timeout_after_read" else step.get("delay", 0)):
            return False
        if fault in SILENT_FAULTS:
            return self.reset(request) if fault == "reset_after_read" else False
        return self.answer(request, status, text)

    def contacts_of(self, request, body):
        """The contacts of a request and, where it is not as the API wants it, status and text of the refusal."""
        known = {"/v1/batch/contacts": "POST", "/v1/inboxes": "GET"}
        if known.get(request.path) != request.method:
            return [], (404, refusal("not_found", "no such call"))
        if request.method == "GET":
            return [], None
        try:
            contacts = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
            if not isinstance(contacts, list) or not all(isinstance(item, dict) for item in contacts):
                raise ValueError("the body is an array of contacts")
        except (ValueError, RecursionError) as error:
            return [], (400, refusal("bad_data", str(error)))
        phones = [item.get("phone") for item in contacts]
        request.note_phones([phone if isinstance(phone, str) else json.dumps(phone) for phone in phones])
        return contacts, None

    def answer(self, request, status, text):
        step, fault = request.step, request.step.get("fault")
        if fault in NO_ANSWERS:
            self.send_last(request, [NO_ANSWERS[fault]])
            return False
        kind, body = SUBSTITUTES.get(fault, ("application/json", text.encode("utf-8", "surrogatepass")))
        size, pieces = len(body), [body]
        if fault == "oversized":
            size = int(step.get("size", 64 << 20))
            pieces = [b'"', *[BLOCK] * ((size - 2) // len(BLOCK)), BLOCK[: (size - 2) % len(BLOCK)], b'"']
        date = email.utils.formatdate(usegmt=True)
        headers = {"Date": date, "Content-Type": kind, "X-Request-Id": request.request_id}
        if fault == "redirect":
            headers["Location"] = "%s://127.0.0.1:%d/_trap" % ("https" if self.secure else "http", self.server.port)
        elif fault == "oversized_headers":
            headers.update(("X-Filler-%d" % n, "a" * 1000) for n in range(int(step.get("size", 1 << 20)) // 1000 + 1))
        if step.get("chunked") or fault in ("chunked_broken", "chunked_truncated"):
            headers["Transfer-Encoding"] = "chunked"
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece]
            ends = {"chunked_broken": b"not-a-size\r\nrest\r\n0\r\n\r\n", "chunked_truncated": b""}
            pieces.append(ends.get(fault, b"0\r\n\r\n"))
        elif fault in ("close_delimited", "http10"):
            headers["Connection"] = "close"
        elif status not in (204, 304):
            wrong = {"truncated": size + 1000, "wrong_length_short": size // 2}
            headers["Content-Length"] = wrong.get(fault, size)
        head = self.head_of(status, headers, step, "HTTP/1.0" if fault == "http10" else "HTTP/1.1")
        if fault == "continue_first":
            self.sock.sendall(CONTINUE + EARLY_HINTS)
        if fault == "reset_in_headers":
            return self.send_part(request, head[: len(head) // 2])
        request.status = status
        if fault in ("reset_in_body", "stall_in_body"):
            whole = b"".join(pieces)
            return self.send_part(request, head + whole[: len(whole) // 2])
        self.poisoned = fault == "keepalive_close"
        self.send_last(request, [head + pieces[0], *filter(None, pieces[1:])])
        return fault not in CLOSING and b"\r\nconnection: close\r\n" not in head.lower()

    def send_part(self, request, data):
        self.sock.sendall(data)
        if request.step["fault"] == "stall_in_body":
            return not self.wait_until_left()
        time.sleep(PAUSE)
        return self.reset(request)

    def head_of(self, status, headers, step, version):
        """The head of an answer. A header of the step replaces ours; null drops it, an array repeats it."""
        wanted = step.get("headers") or {}
        replaced = {name.lower() for name in wanted}
        fields = [(name, value) for name, value in headers.items() if name.lower() not in replaced]
        for name, value in wanted.items():
            fields += [(name, item) for item in (value if isinstance(value, list) else [value])]
        lines = ["%s %d %s" % (version, status, REASONS.get(status, "Scripted"))]
        lines += ["%s: %s" % (name, value) for name, value in fields if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def send_json(self, status, value, again=True):
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Content-Length": len(body)}
        self.sock.sendall(self.head_of(status, headers, {}, "HTTP/1.1") + body)
        return again

    def serve_control(self, request):
        body = self.take(int(request.headers.get("content-length", 0)))
        name, book = request.path[len("/_control/") :], request.book
        try:
            answer = {"control_port": self.server.control_port}
            if (request.method, name) == ("GET", "ledger"):
                return self.send_json(200, {**book.ledger(), **answer})
            if request.method != "POST" or name not in ("script", "connection_script", "default", "reset"):
                return self.send_json(404, {"message": "no such control call"})
            if name == "reset":
                self.server.book = Book()
            elif name == "default":
                book.default = check_step(json.loads(body), REQUEST_FAULTS)
            else:
                faults = REQUEST_FAULTS if name == "script" else CONNECTION_FAULTS
                setattr(book, name, collections.deque(check_step(step, faults) for step in json.loads(body)))
        except (ValueError, TypeError) as error:
            return self.send_json(400, {"message": str(error)})
        return self.send_json(200, answer)


class Server:
    def __init__(self, tls):
        self.tls, self.book = tls, Book()
        self.listener, self.control_listener = (socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in "12")
        self.port, self.control_port = (s.getsockname()[1] for s in (self.listener, self.control_listener))

    def accept(self, listener, control_only):
        while True:
            with contextlib.suppress(OSError):  # where the client left before it was accepted
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(self, sock, control_only)
                script = () if control_only else self.book.connection_script
                step = script.popleft() if script else {}
                threading.Thread(target=connection.run, args=(step,), daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description="HTTP server that injects faults at the socket")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    options, tls = parser.parse_args(), None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*options.tls)
        tls.set_alpn_protocols(["http/1.1"])
    server = Server(tls)
    for acceptor in ((server.listener, False), (server.control_listener, True)):
        threading.Thread(target=server.accept, args=acceptor, daemon=True).start()
    print(server.port, flush=True)
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
