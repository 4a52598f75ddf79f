"""A device that another package brings: a lamp on a TCP line, its adapter, and what stands in for it.

Its driver gives some of its properties names and values that no terminal, page or address should swallow as they are.
"""

import contextlib
import socket
import socketserver
import threading
from typing import Literal

from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.devices import DeviceError, Property, PropertyTable
from nixel.acquisition.settings import Address, DeviceSettings

HOSTILE_NAME = "a/b?c=%2e..\x1b[2J[red]<b>"
HOSTILE_VALUE = "\x1b]0;owned\x07[bold]<script>alert(1)</script>\nsecond line \u202e" + "x" * 500


class LampSettings(DeviceSettings):
    addresses = ("address",)

    adapter: Literal["test-lamp"]
    address: Address


class Lamp:
    def __init__(self, name, settings):
        self.name, self.where = name, f"{name} at {settings.address}"
        self._address, self._lines, self._lock = settings.address, None, threading.Lock()
        table = self._table = PropertyTable(self.where)
        self._add(
            Property("brightness", "number", "s", "how long it burns", minimum=0.0, maximum=1.0), float, repr
        )
        self._add(Property("on", "boolean"), lambda text: text == "1", lambda on: str(int(on)))
        self._add(Property("steps", "integer", minimum=-20, maximum=20), int, str)
        self._add(Property(HOSTILE_NAME, "text"), str, str, "hostile")
        table.add(Property("banner", "text", read_only=True), lambda: HOSTILE_VALUE)
        table.add(Property("noise", "number", "V", read_only=True), lambda: float(self._ask("noise")))
        self.properties, self.get, self.set = table.properties, table.get, table.set

    def _add(self, prop, read, write, key=None):
        key = key or prop.name

        def put(value):
            self._ask(f"{key} {write(value)}")

        self._table.add(prop, lambda: read(self._ask(key)), put)

    def open(self):
        host, _, port = self._address.rpartition(":")
        try:
            self._lines = socket.create_connection((host, int(port)), 2.0).makefile("rw", newline="\n")
        except OSError as error:
            self._fail("opening", error.strerror or str(error))

    def close(self):
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def switch(self, on):
        self.set("on", on)

    def is_on(self):
        return self.get("on")

    def _ask(self, line):
        with self._lock:
            try:
                self._lines.write(f"{line}\n")
                self._lines.flush()
                answer = self._lines.readline()
            except (OSError, AttributeError, ValueError) as error:
                self._fail(line, str(error))
        if not answer:
            self._fail(line, "the connection was closed")
        return answer.rstrip("\n")

    def _fail(self, what, found):
        raise DeviceError(
            what, where=self.where, expected="a lamp", found=f"{found}\x1b[31m", remedy="Plug it in."
        )


ADAPTER = Adapter(LampSettings, lambda name, settings, _around: Lamp(name, settings))


class LampServer:
    """The lamp itself: it can be unplugged, and plugged in again at the same address."""

    def __init__(self):
        self.held = {"brightness": "0.25", "on": "0", "steps": "3", "hostile": "calm", "noise": "0.5"}
        self.connections = 0
        self.port = 0
        self.plug_in()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def plug_in(self):
        lamp, self._clients = self, []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                lamp._clients.append(self.request)
                lamp.connections += 1
                try:
                    for line in self.rfile:
                        name, _, value = line.decode().rstrip("\n").partition(" ")
                        if value:
                            lamp.held[name] = value
                        self.wfile.write(f"{lamp.held[name]}\n".encode())
                except OSError:
                    pass
                finally:
                    lamp.connections -= 1

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def unplug(self):
        self._server.shutdown()
        self._server.server_close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
