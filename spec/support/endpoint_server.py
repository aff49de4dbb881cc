"""A server for spec/live/endpoints_spec.lua: counts the requests that arrive, and loses responses as told.

The first part of the path says what happens; the rest is the endpoint:
  /ok       a response as the API gives it; the connection is kept
  /lost     the request is read, and the connection closed without a response
  /late     the request is read, and nothing comes
  /second   the first request of a connection has its response, the second is lost
  /stale    a response, and the connection is closed afterwards although it was said to be kept
  /busy     429 for the first request, then as /ok
  /failing  500
  /N        as /ok, with N tags
  /stuck    the same full page of tags again and again
  /broken   a full page of tags, then as /lost
  /endless  always another full page of tags
GET /_count gives the number of requests by first part of the path.

It prints its port, which may be given as argument, and ends with its standard input.
"""
import json
import os
import socket
import sys
import threading
import time

PAGE = 30
lock, counts = threading.Lock(), {}


def read_request(file):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return None
        head += line
    length = 0
    for line in head.decode().split("\r\n"):
        if line.lower().startswith("content-length:"):
            length = int(line.split(":")[1])
    method, path, _ = head.decode().split(" ", 2)
    return method, path, file.read(length)


def tag(number):
    """Tags with smaller numbers are newer."""
    return {"id": number, "tag": f"tag {number}", "color": "red", "updated": time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(1700000000 - number))}


def page_of_tags(mode, number, body):
    date = json.loads(body).get("date")
    if mode in ("stuck", "broken"):
        return [tag(i) for i in range(PAGE)]
    if mode == "endless":
        return [tag(number * PAGE + i) for i in range(PAGE)]
    return [t for t in map(tag, range(int(mode))) if date is None or t["updated"] < date][:PAGE]


def value_of(mode, number, path, body):
    if path.endswith("/v1/tags"):
        return page_of_tags(mode, number, body)
    if path.endswith("/v1/tag"):
        return {"id": number, "rev": 1, "uuid": "u"}
    if path.endswith("/v1/team"):
        return {"id": 1, "name": "T", "list_size": 1, "members": [{"id": 2, "name": "Ann", "role": "admin"}]}
    if path.endswith("/v1/contact-fields"):
        return {"fields": [{"id": 3, "title": "Plan"}]}
    if path.endswith("/v1/contacts/fields"):
        return [{"id": 4, "title": json.loads(body)[0]["title"], "duplicate": False}]
    if path.endswith("/v2/contacts/search"):
        return [{"id": 5, "phone": json.loads(body)["contact_channels"][0]["channel_ids"][0]}]
    return []


def respond(connection, status, value):
    body = json.dumps(value).encode()
    connection.sendall(b"HTTP/1.1 %d Reason\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def serve(connection):
    file, on_connection = connection.makefile("rb"), 0
    while True:
        request = read_request(file)
        if request is None:
            break
        method, path, body = request
        mode = path.split("/")[1]
        if mode == "_count":
            with lock:
                respond(connection, 200, counts)
            continue
        on_connection += 1
        with lock:
            number = counts[mode] = counts.get(mode, 0) + 1
        if mode == "lost" or mode == "second" and on_connection == 2 or mode == "broken" and number > 1:
            break
        if mode == "late":
            time.sleep(60)
        status = 429 if mode == "busy" and number == 1 else 500 if mode == "failing" else 200
        respond(connection, status, value_of(mode, number, path, body) if status == 200 else {})
        if mode == "stale":
            break
    file.close()
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def end_with_input():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
with socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), backlog=100) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
