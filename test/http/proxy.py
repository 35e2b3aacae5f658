"""A proxy for tests, which notes whom it connects to.

    python3 test/http/proxy.py LOG [CERTIFICATE KEY]

Speaks HTTP (CONNECT, and requests for whole URLs), SOCKS 4, 4a and 5, on a free
port, which it prints; with a certificate, all of that in TLS.  Each connection
becomes a line of LOG: what was spoken, the host as it was given, and the
credentials, separated by blanks.  Every host is 127.0.0.1, and so that nothing
gets lost, answers come a byte at a time.  The password is "secret".

Standard library only.
"""

import base64
import re
import socket
import socketserver
import ssl
import sys
import threading

lock = threading.Lock()


class Proxy(socketserver.BaseRequestHandler):
    def read(self, n):
        data = b""
        while len(data) < n:
            piece = self.request.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read_until(self, end):
        data = b""
        while not data.endswith(end):
            data += self.read(1)
        return data

    def say(self, data):
        for byte in data:
            self.request.sendall(bytes([byte]))

    def note(self, *words):
        with lock, open(sys.argv[1], "a") as log:
            log.write(" ".join(words) + "\n")

    def handle(self):
        try:
            first = self.read(1)
            {b"\4": self.socks4, b"\5": self.socks5}.get(first, lambda: self.http(first))()
        except (EOFError, OSError):
            pass

    def http(self, first):
        head = (first + self.read_until(b"\r\n\r\n")).decode()
        login = re.search(r"^Proxy-Authorization: Basic (\S+)", head, re.M)
        login = base64.b64decode(login[1]).decode() if login else "-"
        method, url, _ = head.split(" ", 2)
        if method == "CONNECT":
            host, _, port = url.rpartition(":")
            self.note("connect", host, login)
            return self.join(int(port), b"HTTP/1.1 200 Yes\r\nX-Proxy: test\r\n\r\n")
        host, port, path = re.match(r"http://([^/:]*):(\d+)(/.*)", url).groups()
        self.note("forward", host, login)
        head = re.sub(r"^Proxy-Authorization:.*\r\n", "", head.replace(url, path, 1), flags=re.M)
        return self.join(int(port), b"", head.encode())

    def socks4(self):
        _, port, address = self.read(1), int.from_bytes(self.read(2), "big"), self.read(4)
        user = self.read_until(b"\0")[:-1].decode() or "-"
        host = socket.inet_ntoa(address)
        if host.startswith("0.0.0."):
            host = self.read_until(b"\0")[:-1].decode()
        self.note("socks4", host, user)
        self.join(port, b"\0\x5a" + bytes(6))

    def socks5(self):
        methods = self.read(self.read(1)[0])
        login = "-"
        if 2 in methods:
            self.say(b"\5\2")
            self.read(1)
            login = self.read(self.read(1)[0]).decode() + ":" + self.read(self.read(1)[0]).decode()
            self.say(b"\1" + bytes([not login.endswith(":secret")]))
            if not login.endswith(":secret"):
                return
        else:
            self.say(b"\5\0")
        kind = self.read(4)[3]
        host = {1: lambda: socket.inet_ntoa(self.read(4)),
                3: lambda: self.read(self.read(1)[0]).decode(),
                4: lambda: socket.inet_ntop(socket.AF_INET6, self.read(16))}[kind]()
        port = int.from_bytes(self.read(2), "big")
        self.note("socks5", host, login)
        self.join(port, b"\5\0\0\3\4name\0\0")

    def join(self, port, answer, first=b""):
        with socket.create_connection(("127.0.0.1", port)) as server:
            self.say(answer)
            server.sendall(first)
            back = threading.Thread(target=self.pump, args=(server, self.request), daemon=True)
            back.start()
            self.pump(self.request, server)
            back.join()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def get_request(self):
        connection, address = super().get_request()
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, request, client_address):
        pass  # clients go away as they like


context = None
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[2:4])
open(sys.argv[1], "a").close()
server = Server(("127.0.0.1", 0), Proxy)
print(server.server_address[1], flush=True)
server.serve_forever()
