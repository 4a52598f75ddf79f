"""What goes wrong with devices, said to the person who can set it right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DeviceError", "DevicesError"]


class DeviceError(RuntimeError):
    """A device that cannot be reached, or does not do what was asked of it.

    Parameters
    ----------
    what : str
        What was being done.
    where : str
        The device and its address.
    expected, found : str
    remedy : str
        What the reader can do.
    """

    def __init__(self, what: str, *, where: str, expected: str, found: str, remedy: str) -> None:
        self.what, self.where, self.expected, self.found, self.remedy = what, where, expected, found, remedy
        super().__init__(f"{where}: {what} failed: expected {expected}, found {found}. {remedy}")


class DevicesError(DeviceError):
    """Every device of an instrument that failed at once, each with its reason.

    Parameters
    ----------
    what : str
        What was being done: ``"opening"`` or ``"closing"``.
    instrument : str
    failures : mapping of str to str
        Device names with their reasons.
    """

    def __init__(self, what: str, instrument: str, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        RuntimeError.__init__(
            self,
            f"instrument {instrument}: {what} failed for {', '.join(failures)}. "
            + " ".join(f"({number}) {reason}" for number, reason in enumerate(failures.values(), start=1)),
        )
        self.what, self.where = what, f"instrument {instrument}"
        self.expected, self.found = "every device", ", ".join(failures)
        self.remedy = "Mend what each of them says."
