"""The worker process of one plugin's device: ``python -m nixel.acquisition.plugins.worker DESCRIPTOR FILE``."""

from __future__ import annotations

import sys
from typing import Any

from nixel.acquisition.plugins.library import Holder, Library
from nixel.acquisition.workers.serve import Refusal, serve

__all__ = ["main"]


class _Server:
    def __init__(self, path: str) -> None:
        self._path = path
        self._holder: Holder | None = None

    def open(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Load the library, open its device and return what both are."""
        if self._holder is not None:
            raise Refusal("open", "the device is open already")
        library = Library(self._path)
        about = {"version": library.version, "name": library.name()}
        self._holder = Holder(library, settings)
        try:
            return {**about, "properties": self._holder.properties()}
        except Refusal:
            self.close()
            raise

    def get(self, name: str) -> Any:  # noqa: ANN401
        """Read a property."""
        return self._opened().get(name)

    def set(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Write a property."""
        self._opened().set(name, value)

    def close(self) -> None:
        """Give the device back, if there is one."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.free()

    def _opened(self) -> Holder:
        if self._holder is None:
            raise Refusal("closed", "the device is not open")
        return self._holder


def main() -> None:
    """Serve until the other side closes the connection or is gone; the device is given back then."""
    descriptor, path = sys.argv[1:]
    server = _Server(path)
    serve(int(descriptor), {"open": server.open, "get": server.get, "set": server.set}, server.close)


if __name__ == "__main__":
    main()
