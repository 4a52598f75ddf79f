"""What a transaction does to a machine, and nothing of how: the one interface between deciding and doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.update.system import Found
    from nixel.update.transaction.model import Check


class EffectError(Exception):
    """An effect did not come about.

    Parameters
    ----------
    why
        Sentences for a person: what was tried, what was found, what to do.
    """

    def __init__(self, *why: str) -> None:
        super().__init__(" ".join(why))
        self.why = why


class Effects(Protocol):
    """The machine.

    Whatever fails raises `EffectError`; any other exception is taken for a failure too. Every effect may be asked for
    again after it was done, or done in part: the program may have been killed in it, and a unit that it had started
    for it may still run. `within` is a limit in s that the effect holds itself to.
    """

    def copy(self, progress: Callable[[int, int], None]) -> None:
        """Copy the new system into the store; `progress` is told the bytes done and the bytes in all."""

    def keep_reachable(self, system: str) -> None:
        """Keep a system from being collected as garbage; it may not be in the store yet."""

    def let_go(self) -> None:
        """End that, for every system."""

    def snapshot(self, system: str, within: float) -> dict[str, Any]:
        """Ask the running system's health what there is, to compare with after the switch."""

    def switch(self, system: str, within: float) -> tuple[str, ...]:
        """Switch to a system without making it the boot default; returns what the switch complained about."""

    def check(self, system: str, before: dict[str, Any] | None, within: float) -> tuple[Check, ...]:
        """Run a system's health check; returns what each check found, passed or not."""

    def await_confirmation(self, identifier: str, within: float) -> str:
        """Wait for somebody to confirm a transaction; returns who did."""

    def set_default(self, system: str) -> None:
        """Make a system what the next start brings; returns when that is on the disk."""

    def restart(self) -> None:
        """Have the machine restart; returns when it has been told to."""

    def prune(self) -> None:
        """Remove the generations that are not to be kept."""

    def now(self) -> float:
        """Tell the time, in s since 1970; never fails."""

    def boottime(self) -> float:
        """Tell the time since the machine's start, in s; never fails."""

    def boot_id(self) -> str:
        """Name the machine's present start."""

    def look(self) -> Found:
        """Look which system runs and which the next start brings."""
