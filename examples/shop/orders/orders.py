"""Takes orders and keeps them: one line an order in a file on the volume, on the disk before the answer."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

PORT = 8080


class OrderBook:
    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "orders.jsonl")
        self.lock = Lock()
        self.file = open(self.path, "a", encoding="utf-8")

    def add(self, product, quantity):
        if not isinstance(product, int) or not isinstance(quantity, int) or quantity < 1:
            raise ValueError("an order names a product by number and a quantity of at least 1")
        with self.lock:
            self.file.write(json.dumps({"product": product, "quantity": quantity}) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())

    def count(self):
        with open(self.path, encoding="utf-8") as file:
            return sum(1 for _ in file)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    book = None

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "ok\n")
        elif self.path == "/orders":
            self.answer(200, f"{self.book.count()} orders so far\n")
        else:
            self.answer(404, "not found\n")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        try:
            order = json.loads(self.rfile.read(min(length, 65536)))
            self.book.add(order.get("product"), order.get("quantity"))
            self.answer(201, "thank you\n")
        except (ValueError, AttributeError) as error:
            self.answer(400, f"{error}\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


if __name__ == "__main__":
    # As the first process of its container it would otherwise ignore the request to end.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Handler.book = OrderBook(sys.argv[1] if len(sys.argv) > 1 else "/data")
    print(f"orders listens on port {PORT}", flush=True)
    Server(("", PORT), Handler).serve_forever()
