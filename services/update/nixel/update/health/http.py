"""A service that answers over HTTP: ready when it says 200 and, if asked for, the right things."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nixel.update.health.model import PATIENCE, Facts, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Http:
    """The check of kind `http`.

    Attributes
    ----------
    host, port
        Where the service listens; not looked at if there is a socket.
    socket
        The Unix socket on which it listens instead; empty if it does not.
    path
        What is asked for.
    name
        The name that the service answers to; empty for the host itself.
    expect
        What the JSON that it answers has to hold: the value by its key, keys of inner objects after a dot.
    """

    path: str
    host: str = ""
    port: int = 0
    socket: str = ""
    name: str = ""
    expect: Mapping[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The address, for a person."""
        return f"{self.socket}, {self.path}," if self.socket else f"http://{self.host}:{self.port}{self.path}"

    def snapshot(self) -> Facts:
        """Nothing: it has to be ready whatever it was before."""
        return {}

    def look(self, before: Facts | None, patience: float) -> Finding:  # noqa: ARG002 (no matter)
        """Ask once."""
        patience = min(patience, PATIENCE)
        try:
            status, body = self._get(patience)
        except TimeoutError:
            return self._bad(f"does not answer within {patience:.1f} s")
        except OSError as error:
            return self._bad(f"cannot be reached ({error.strerror or error})")
        except http.client.HTTPException as error:
            return self._bad(f"does not answer in HTTP ({type(error).__name__})")
        if status != 200:
            return self._bad(f"answers with the status {status}")
        if self.expect:
            try:
                document = json.loads(body)
            except (ValueError, RecursionError):
                return self._bad("does not answer with JSON")
            for key, wanted in self.expect.items():
                found = _at(document, key)
                if found != wanted or type(found) is not type(wanted):
                    return self._bad(f"answers with {key} = {found!r}, not {wanted!r}")
        return Finding(True, f"{self.where} answers as expected.")

    def _bad(self, what: str) -> Finding:
        return Finding(
            False,
            f"{self.where} {what}; the status 200 was expected. "
            f"Look at the service: systemctl --failed, and journalctl --boot --priority warning.",
        )

    def _get(self, patience: float) -> tuple[int, bytes]:
        line: http.client.HTTPConnection
        if self.socket:
            line = _OverSocket(self.socket, patience)
        else:
            line = http.client.HTTPConnection(self.host, self.port, timeout=patience)
        try:
            headers = {"Connection": "close"}
            if self.name or self.socket:
                headers["Host"] = self.name or "localhost"
            line.request("GET", self.path, headers=headers)
            answer = line.getresponse()
            return answer.status, answer.read(_MOST_BYTES)
        finally:
            line.close()


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _at(document: object, key: str) -> object:
    """Follow a dotted key through nested objects; `None` if it leads nowhere."""
    for step in key.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(step)
    return document
