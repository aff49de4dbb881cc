"""Keeps calls in flight: nginx_calls.py PORT PATH COUNT. Each client asks again when it has its answer; their starts are
spread over a second, and stay so. Ends with its input, and prints how many answers were good and how many were not."""
import asyncio
import sys

port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
answers = {True: 0, False: 0}


async def client(number):
    await asyncio.sleep(number / count)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        # Chunked, as nginx sends what Lua prints: to the last chunk.
        await reader.readuntil(b"0\r\n\r\n")
        answers[head.startswith(b"HTTP/1.1 200 ")] += 1


async def main():
    clients = [asyncio.ensure_future(client(number)) for number in range(count)]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in clients:
        if task.done():
            answers[False] += 1
        task.cancel()
    print(answers[True], answers[False])


asyncio.run(main())
