"""The virtual microscope at its socket: requests, frames, and the relay that feeds its light."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from nixel.acquisition.cameras.wire import LONGEST_REQUEST, Header, Kind
from nixel.acquisition.virtual.microscope_camera import CameraError

if TYPE_CHECKING:
    from pathlib import Path

    from nixel.acquisition.virtual.microscope_camera import Camera

__all__ = ["Relay", "Server"]

_PATIENCE = 5  # s; a client that takes nothing for so long is gone
_MOST_CONNECTIONS = 16
_MOST_BUFFERS = 64


class Relay:
    """The light's relay, as the virtual panel tells.

    Parameters
    ----------
    panel : Path, optional
        The panel's socket. Without it the light always has power; with one that does not answer it never has.
    """

    def __init__(self, panel: Path | None) -> None:
        self._panel = panel
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def powered(self) -> bool:
        """Whether it has picked up."""
        if self._panel is None:
            return True
        with self._lock:
            try:
                return b" relay=1 " in self._ask(self._panel)
            except OSError:
                self._hang_up()
                return False

    def _ask(self, panel: Path) -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(0.5)
            self._socket.connect(str(panel))
        self._socket.sendall(b"STATE\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = self._socket.recv(4096)
            if not part:
                raise ConnectionResetError("the panel hung up")
            answer += part
        return answer.rstrip() + b" "

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Connection:
    """One client: a thread of its own hears its requests, the camera's thread sends it frames."""

    def __init__(self, sock: socket.socket, camera: Camera) -> None:
        self._socket, self._camera = sock, camera
        self._sending = threading.Lock()
        self._counting = threading.Lock()
        self._buffers = 0

    def serve(self) -> None:
        """Answer until it hangs up."""
        try:
            with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
                while (line := lines.readline(LONGEST_REQUEST + 1)).endswith(b"\n"):
                    self._hear(line)
        finally:
            # In this order: whoever sees the connection end may open the camera anew.
            self._camera.stop(self)
            self._socket.close()

    def take_buffer(self) -> bool:
        """Take one of its buffers."""
        with self._counting:
            if self._buffers == 0:
                return False
            self._buffers -= 1
            return True

    def deliver(self, frame: bytes, sequence: int, began: float, lost: int) -> None:
        """Send a frame."""
        self._send(Header(Kind.FRAME, len(frame), sequence, began, lost), frame)

    def _send(self, header: Header, payload: bytes) -> None:
        with self._sending:
            try:
                self._socket.sendall(header.pack())
                self._socket.sendall(payload)
            except OSError:
                # Part of a message may have gone: whatever follows could not be read.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                raise

    def _hear(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise CameraError("EINVAL", f"a request that is an object, not {request!r}")
            reply = self._answer(request)
        except CameraError as error:
            reply = {"error": error.code, "text": str(error)}
        except (ValueError, TypeError, KeyError) as error:
            reply = {"error": "EINVAL", "text": f"a request as its description says ({error!r})"}
        if reply is not None:
            text = json.dumps(reply).encode()
            self._send(Header(Kind.REPLY, len(text)), text)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any] | None:
        camera = self._camera
        match request:
            case {"op": "queue"}:
                with self._counting:
                    self._buffers = min(self._buffers + 1, _MOST_BUFFERS)
                return None
            case {"op": "info"}:
                return {"ok": camera.info()}
            case {"op": "format", "format": str(name), "rows": int(rows), "columns": int(columns)}:
                return {"ok": camera.format(self, name, rows, columns)}
            case {"op": "get", "control": str(control)}:
                return {"ok": {"value": camera.get(control)}}
            case {"op": "set", "control": str(control), "value": value}:
                return {"ok": {"value": camera.set(self, control, value)}}
            case {"op": "start", "buffers": int(buffers)} if 1 <= buffers <= _MOST_BUFFERS:
                with self._counting:
                    self._buffers = buffers
                camera.start(self)
                return {"ok": {}}
            case {"op": "stop"}:
                camera.stop(self)
                return {"ok": {}}
        raise CameraError("EINVAL", "info, format, get, set, start, queue or stop, with what belongs to it")


class Server:
    """Listens at a Unix socket.

    Parameters
    ----------
    path : Path
        A socket that nobody listens at any more is replaced.
    camera : Camera

    Raises
    ------
    OSError
        It cannot be made, or something else is there.
    """

    def __init__(self, path: Path, camera: Camera) -> None:
        self._path, self._camera = path, camera
        if path.exists() and not path.is_socket():
            raise FileExistsError(17, "something that is no socket is in the way", str(path))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        self._listener.bind(str(fresh))
        fresh.chmod(0o666)
        self._listener.listen(_MOST_CONNECTIONS)
        self._inode = fresh.stat().st_ino
        fresh.replace(path)
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def accept(self) -> None:
        """Serve whoever comes, until the socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                if not self._places.acquire(blocking=False):
                    accepted.close()
                    continue
                # Sending alone has a time limit: a client may be silent for as long as it likes.
                limit = struct.pack("ll", _PATIENCE, 0)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        try:
            _Connection(accepted, self._camera).serve()
        finally:
            self._places.release()

    def close(self) -> None:
        """Hang up, and remove the socket if it is still ours."""
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
