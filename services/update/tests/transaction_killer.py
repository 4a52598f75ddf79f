"""Kills an updater at every place where one may die, each time a new process on a new machine.

    python transaction_killer.py FOLDER '{"fails": [...], "asks": false}'

Every process works on a machine of its own below FOLDER, N, and ends itself with SIGKILL at the N-th place: before,
in the middle of or after an effect, before or after a record is written, in the middle of a line of the history. The
last one lives to the end. Prints one line of JSON for each: its number and its wait status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from transactions import Machine

from nixel.update import disk
from nixel.update.transaction import history
from nixel.update.transaction.journal import Journal

MOST = 200


class Fuse:
    """Ends the process at the n-th call."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Journal):
    def __init__(self, state: Path, fuse: Fuse) -> None:
        super().__init__(state)
        self.fuse = fuse

    def write(self, transaction) -> None:
        self.fuse()
        super().write(transaction)
        self.fuse()

    def remove(self) -> None:
        self.fuse()
        super().remove()
        self.fuse()


def arm(fuse: Fuse) -> None:
    """Have a line of the history written in two parts, and a record's file named only after a while."""
    whole = history._write
    settle = disk.settle

    def in_two(handle, content):
        fuse()
        os.write(handle, content[: len(content) // 2])
        fuse()
        whole(handle, content[len(content) // 2 :])
        fuse()

    def late(where):
        fuse()
        settle(where)

    history._write = in_two
    disk.settle = late


def live(folder: Path, n: int, fails, asks: bool, resumes: bool) -> None:
    fuse = Fuse(n)
    arm(fuse)
    machine = Machine(folder, fails, fuse)
    driver = machine.driver(Mortal(machine.state, fuse))
    if resumes:
        driver.resume()
    else:
        driver.run(machine.begin(asks=asks))


def kill_at(folder: Path, n: int, fails, asks: bool, resumes: bool) -> int:
    """Run one process that dies at the n-th place; gives its wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            live(folder, n, fails, asks, resumes)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def main() -> None:
    where, told = Path(sys.argv[1]), json.loads(sys.argv[2])
    for n in range(1, MOST):
        folder = where / str(n)
        Machine(folder).set_up()
        status = kill_at(folder, n, told["fails"], told["asks"], resumes=False)
        print(json.dumps({"n": n, "status": status}), flush=True)
        if not os.WIFSIGNALED(status):
            break


if __name__ == "__main__":
    main()
