"""Embeddings as OpenAI's API and as a BigQuery remote function give them.

    python3 bench/api_server.py

Prints its port.  What it answers was made before; it counts the rows of a
request by their texts, which have one "~" each.  /v1/embeddings and /calls
give 3 floats a row, /v1/long 1,536.  Standard library only.
"""

import asyncio
import json
import random
import sys

random.seed(1)
LONG = [[random.uniform(-1, 1) for _ in range(1536)] for _ in range(100)]
replies = {}


def reply(path, rows):
    """The whole answer to so many rows."""
    if (path, rows) not in replies:
        if path == b"/calls":
            body = {"replies": [[i, 0.25, -1.5] for i in range(rows)]}
        else:
            body = {"object": "list", "model": "m", "data": [
                {"object": "embedding", "index": i,
                 "embedding": LONG[i % 100] if path == b"/v1/long" else [i, 0.25, -1.5]}
                for i in range(rows)], "usage": {"prompt_tokens": rows, "total_tokens": rows}}
        text = json.dumps(body).encode()
        replies[path, rows] = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(text)) + text
    return replies[path, rows]


class Api(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.received = b""

    def data_received(self, data):
        self.received += data
        while True:
            head, found, rest = self.received.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self.received = rest[length:]
            self.transport.write(reply(head.split(b" ", 2)[1], rest[:length].count(b"~")))


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Api, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit()
