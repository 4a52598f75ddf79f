"""The worker process: Micro-Manager's core and the adapters that it loads, called over a connection.

``python -m nixel.acquisition.adapters.micromanager.worker DESCRIPTOR``. Lengths are Micro-Manager's here (µm), times
its ms; `core`, on the other side, has SI units.
"""

from __future__ import annotations

import sys

from nixel.acquisition.adapters.micromanager.operations import Operations
from nixel.acquisition.workers.serve import serve


def main() -> None:
    """Answer calls until the connection closes."""
    operations = Operations()
    serve(int(sys.argv[1]), operations.methods(), operations.end)


if __name__ == "__main__":
    main()
