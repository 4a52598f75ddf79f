"""The process in which rules are tried: ``python -m nixel.acquisition.plugins.checking.worker DESCRIPTOR FILE``."""

from __future__ import annotations

import sys
from typing import Any

from nixel.acquisition.plugins.checking.bench import Bench, Broken, NotApplicable
from nixel.acquisition.plugins.checking.rules import RULES
from nixel.acquisition.workers.serve import Refusal, serve

__all__ = ["main"]


class _Server:
    def __init__(self, path: str) -> None:
        self._path, self._bench = path, Bench(path, {}, 0)

    def begin(self, settings: dict[str, Any], trips: int) -> None:
        """Set how the device is opened and how often is often."""
        self._bench = Bench(self._path, settings, trips)

    def check(self, name: str) -> dict[str, Any]:
        """Try a rule; return the verdict, what there is to say, and the slowest call until now."""
        (rule,) = (rule for rule in RULES if rule.name == name)
        try:
            verdict, found = "pass", rule.test(self._bench) or ""
        except NotApplicable as reason:
            verdict, found = "none", str(reason)
        except (Broken, Refusal) as broken:
            verdict, found = "fail", str(broken)
        return {"verdict": verdict, "found": found, "slowest": self._bench.slowest}


def main() -> None:
    """Serve until the other side closes the connection."""
    descriptor, path = sys.argv[1:]
    server = _Server(path)
    # Under valgrind the interpreter alone takes its time to end.
    serve(int(descriptor), {"begin": server.begin, "check": server.check}, grace=300.0)


if __name__ == "__main__":
    main()
