"""Carries events from the threads that work to the clients that watch."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Notice:
    """One thing that clients are told: what it is about, and its newest state."""

    topic: str
    data: dict[str, Any]


class Hub:
    """Fan-out to any number of watchers, which can never delay whoever publishes.

    A watcher's queue is bounded; one that does not keep up loses its oldest notices. Each notice is the whole newest
    state of its topic, so what is lost is only the way there.
    """

    def __init__(self, capacity: int = 100) -> None:
        self._capacity = capacity
        self._watchers: dict[asyncio.Queue[Notice], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        """Tell every watcher; from any thread."""
        notice = Notice(topic, data)
        with self._lock:
            watchers = list(self._watchers.items())
        for queue, loop in watchers:
            try:
                loop.call_soon_threadsafe(self._offer, queue, notice)
            except RuntimeError:  # its event loop has ended, and the watcher with it
                with self._lock:
                    self._watchers.pop(queue, None)

    @staticmethod
    def _offer(queue: asyncio.Queue[Notice], notice: Notice) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(notice)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Queue[Notice]]:
        """A queue that receives what is published from now on; to be called within an event loop."""
        queue: asyncio.Queue[Notice] = asyncio.Queue(self._capacity)
        with self._lock:
            self._watchers[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            with self._lock:
                self._watchers.pop(queue, None)
