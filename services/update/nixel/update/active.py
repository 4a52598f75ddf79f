"""Which units run on this machine."""

from __future__ import annotations

import subprocess

_SYSTEMCTL = ("systemctl", "list-units", "--state=active,activating", "--plain", "--no-legend", "--full")
_WITHIN_S = 30


def active_units() -> frozenset[str] | None:
    """Ask systemd.

    Returns
    -------
    frozenset of str or None
        The units' names; `None` if systemd does not say.
    """
    try:
        done = subprocess.run(_SYSTEMCTL, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return frozenset(line.split()[0] for line in done.stdout.splitlines() if line.split())
