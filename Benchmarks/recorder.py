"""A back end that notes when each request reached it, by the kernel's clock, and fails on demand.

The time is that of the packet (SO_TIMESTAMPNS): over loopback the moment at which the gateway sent it, however late this program gets
to run. A request is whatever one packet ends with an empty line.
"""

import array
import heapq
import itertools
import multiprocessing
import os
import select
import socket
import struct
import time

import bench

SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; the kernel's message has the same number
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
SLOWNESS = 0.4
FAULTS = ["errors", "half errors", "stall", "slow", "refused"]


class Recorder:
    """Runs in a process of its own until the end of the block."""

    def __enter__(self):
        self.port = bench.free_port()
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=Loop.start, args=(self.port, other), daemon=True)
        self.process.start()
        self.pipe.recv()
        return self

    def set(self, fault):
        """Fails in that way from now on; not at all for none. Returns the time."""
        self.pipe.send(("set", fault))
        return self.pipe.recv()

    def take(self):
        """Times of the requests since the last call, in seconds, ascending."""
        self.pipe.send(("take", None))
        return sorted(self.pipe.recv())

    def __exit__(self, *_):
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()


class Loop:
    @classmethod
    def start(cls, port, pipe):
        os.sched_setaffinity(0, {int(bench.LOAD_CPU)})
        cls(port, pipe).run()

    def __init__(self, port, pipe):
        self.port, self.pipe = port, pipe
        self.epoll = select.epoll()
        self.epoll.register(pipe.fileno(), select.EPOLLIN)
        self.connections, self.times = {}, array.array("d")
        self.fault, self.toggle = None, itertools.cycle([GOOD, ERROR])
        self.later = []  # (when, descriptor) of slow answers
        self.listen()
        pipe.send(None)

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)

    def run(self):
        while True:
            timeout = max(0, self.later[0][0] - time.time()) if self.later else -1
            for descriptor, _ in self.epoll.poll(timeout):
                if descriptor == self.pipe.fileno():
                    if not self.command():
                        return
                elif self.listener is not None and descriptor == self.listener.fileno():
                    self.accept()
                elif descriptor in self.connections:
                    self.receive(self.connections[descriptor])
            while self.later and self.later[0][0] <= time.time():
                _, descriptor = heapq.heappop(self.later)
                if descriptor in self.connections:
                    self.send(self.connections[descriptor], GOOD)

    def command(self):
        try:
            name, argument = self.pipe.recv()
        except EOFError:
            return False
        if name == "take":
            self.pipe.send(self.times)
            self.times = array.array("d")
            return True
        if argument == "refused":
            self.listener.close()
            self.listener = None
            for connection in list(self.connections.values()):
                self.close(connection)
        elif self.listener is None:
            self.listen()
        self.fault = argument
        self.pipe.send(time.time())
        return True

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            self.connections[connection.fileno()] = connection
            self.epoll.register(connection.fileno(), select.EPOLLIN)

    def receive(self, connection):
        try:
            data, ancillary, _, _ = connection.recvmsg(65536, 64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self.close(connection)
        if not data.endswith(b"\r\n\r\n"):
            return None
        self.times.append(self.arrival(ancillary))
        return self.answer(connection)

    @staticmethod
    def arrival(ancillary):
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@ll", value[:16])
                return seconds + nanoseconds / 1e9
        raise RuntimeError("the kernel tells no times of packets")

    def answer(self, connection):
        if self.fault == "stall":
            return
        if self.fault == "slow":
            heapq.heappush(self.later, (time.time() + SLOWNESS, connection.fileno()))
        elif self.fault is None:
            self.send(connection, GOOD)
        else:
            self.send(connection, ERROR if self.fault == "errors" else next(self.toggle))

    def send(self, connection, data):
        try:
            connection.send(data)
        except OSError:
            self.close(connection)

    def close(self, connection):
        if self.connections.pop(connection.fileno(), None) is not None:
            connection.close()
