#!/usr/bin/env python3
"""Many HTTP clients at once: crowd.py PORT PATH COUNT

Each sends one request on a connection of its own; %d in the path is its number, in four digits. Reads commands from its input: `leave N`
makes the first N close their connections. When its input has ended, and all answers are there, it prints a line for
each client that did not leave: status, a space, and the body on one line.
"""
import asyncio
import sys

port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


async def ask(number):
    target = path.replace("%d", "%04d" % number)
    status, body = 0, b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return status, body
    try:
        writer.write(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % target.encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 "):
            status = int(head[9:12])
    except OSError:
        pass
    finally:
        writer.close()
    return status, body


async def main():
    clients = [asyncio.ensure_future(ask(number + 1)) for number in range(count)]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    left = 0
    while line := await reader.readline():
        for client in clients[left:left + int(line.split()[1])]:
            client.cancel()
        left += int(line.split()[1])
    for status, body in await asyncio.gather(*clients[left:]):
        text = body.decode("utf-8", "replace")
        if text.count("\r\n") >= 3 and text.endswith("0\r\n\r\n"):  # chunked, in one chunk
            text = text.split("\r\n", 1)[1][:-7]
        print(status, " ".join(text.split()), flush=False)


asyncio.run(main())
