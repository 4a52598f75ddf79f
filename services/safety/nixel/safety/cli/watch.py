"""A live view of the daemon: repainted on a terminal, one line a change elsewhere; it survives the daemon's restart."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

from nixel.safety.cli.show import line, show
from nixel.safety.client import SafetyUnavailable, Status
from nixel.safety.records.event_json import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nixel.safety.client import SafetyClient

RETRY = 0.5  # s
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # another screen without a cursor, and back
_HOME, _REST, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def follow(client: SafetyClient) -> Iterator[Status | str]:
    """Follow a daemon over its ends and starts.

    Parameters
    ----------
    client
        Of a daemon that answers now.

    Yields
    ------
    Status or str
        The newest status, or why there is none.

    Raises
    ------
    SafetyUnavailable
        If no daemon answers in the beginning: the path may be wrong.
    """
    yield client.status()
    while True:
        try:
            yield from client.subscribe()
        except SafetyUnavailable as error:
            yield str(error)
            time.sleep(RETRY)


def watch(client: SafetyClient, out: TextIO | None = None) -> None:
    """Show a daemon until interrupted.

    Parameters
    ----------
    client
        Of the daemon.
    out
        Where to; the standard output if `None`.
    """
    out = sys.stdout if out is None else out
    if out.isatty():
        _repaint(client, out)
    else:
        _print(client, out)


def _print(client: SafetyClient, out: TextIO) -> None:
    before = ""
    for news in follow(client):
        now = line(news) if isinstance(news, Status) else f"GONE       {news}"
        if now != before:
            print(f"{stamp(time.time())}  {now}", file=out, flush=True)
            before = now


def _repaint(client: SafetyClient, out: TextIO) -> None:
    stream = follow(client)
    news = next(stream)  # before the screen is taken, for whoever named the wrong socket
    text = ""
    try:
        out.write(_ENTER)
        while True:
            shown = show(news) if isinstance(news, Status) else f"GONE\n  {news}"
            text = f"{stamp(time.time())}  {client.path}  (Ctrl-C ends this)\n\n{shown}"
            size = shutil.get_terminal_size()
            lines = [piece[: size.columns - 1] for piece in text.splitlines()][: size.lines - 1]
            out.write(_HOME + "".join(f"{piece}{_REST}\n" for piece in lines) + _BELOW)
            out.flush()
            news = next(stream)
    finally:
        # What was last seen stays readable after the other screen is gone.
        out.write(f"{_LEAVE}{text}\n")
        out.flush()
