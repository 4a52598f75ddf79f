"""Many like jobs on one machine or on many, with the functions that do one of them.

A job is a function and its items: patches, blocks of frames, volumes. Where they run is an argument: in this process,
in processes of this machine, or on the workers of a `dask.distributed` scheduler. The function is the same, results
come in the order of the items, and their bits do not depend on where they ran, as long as the processors are alike.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import queue
import tempfile
import time
import uuid
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

# Of distributed, whose annotations are incomplete.
Client: TypeAlias = Any
Future: TypeAlias = Any

# Items that wait at each worker, so that none is idle while results travel; more would only fill the memory.
_AHEAD = 2
# How often an item is begun anew when what it needs was lost with a worker.
_ATTEMPTS = 5
# How often the workers are counted while nothing arrives, in seconds.
_LOOK = 1.0


class JobError(RuntimeError):
    """An item could not be done.

    Parameters
    ----------
    index : int
        Of the item, from 0.
    name : str
        Of the item.
    reason : str
    """

    def __init__(self, index: int, name: str, reason: str) -> None:
        super().__init__(index, name, reason)
        self.index, self.name, self.reason = index, name, reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(eq=False)
class Shared:
    """A large operand that every worker keeps: made by `Cluster.share`, taken by `Cluster.map`.

    Parameters
    ----------
    value : object
        Kept here, too: if the workers that hold it are lost, it is sent anew.
    """

    value: Any
    _future: Future | None = field(default=None, repr=False)

    def at(self, client: Client) -> Future:
        """The copy at the workers, sent if there is none."""
        if self._future is None or self._future.status != "finished":
            self._future = client.scatter([self.value], broadcast=True, hash=False)[0]
        return self._future


@dataclass(frozen=True)
class _Job:
    """One item with its function, as it travels; opaque, so that nothing looks into the item."""

    function: Callable[..., Any]
    item: Any
    threads: int

    def __call__(self, *shared: object) -> object:
        # For the rest of the worker's life: two jobs in one process that each put back what they found would leave
        # the limit of neither.
        threadpool_limits(self.threads)
        return self.function(self.item, *shared)


class Cluster:
    """Where jobs run.

    Parameters
    ----------
    where : None, int, str or distributed.Client
        None: in this process, one item after the other. A number: that many processes of this machine, ended with
        `close`. An address such as "tcp://10.0.0.5:8786": the workers of that scheduler. A client: its workers; it
        stays open (for connections with TLS, see `distributed.security.Security`).
    threads : int
        Threads of the numerical libraries in each process. A function that takes `workers` has its own.
    memory : int, optional
        Bytes for each process of this machine, beyond which it is stopped and its items are done elsewhere; an equal
        share of the machine's memory if left out.
    patience : float
        Seconds to wait for the scheduler, and for a worker where there is none, before giving up.

    Raises
    ------
    ValueError
        If an argument is not as said.
    ConnectionError
        If there is no scheduler at the address, or its workers run other versions of what travels between them.

    References
    ----------
    Rocklin, "Dask: Parallel computation with blocked algorithms and task scheduling", Proc. 14th Python in Science
    Conf. (2015) 126.
    """

    def __init__(
        self,
        where: Client | str | int | None = None,
        *,
        threads: int = 1,
        memory: int | None = None,
        patience: float = 60.0,
    ) -> None:
        if isinstance(where, bool) or (isinstance(where, int) and where < 1):
            raise ValueError(
                f"where: expected at least one process, an address, a client or None, found {where!r}"
            )
        if not (math.isfinite(patience) and patience > 0):
            raise ValueError(f"patience: expected a positive number of seconds, found {patience!r}")
        if memory is not None and memory <= 0:
            raise ValueError(f"memory: expected a positive number of bytes, found {memory!r}")
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise ValueError(f"threads: expected one or more, found {threads!r}")
        self.threads, self.patience = threads, patience
        self._close = contextlib.ExitStack()
        self._client: Client | None = None
        if where is not None:
            with contextlib.ExitStack() as opened:
                self._client = self._open(where, memory, opened)
                self._close = opened.pop_all()

    def _open(self, where: Client | str | int, memory: int | None, opened: contextlib.ExitStack) -> Client:
        """Start or find the workers; what must be closed is left in `opened`."""
        import distributed  # half a second that jobs in this process need not wait for

        if not isinstance(where, (int, str)):
            return where
        address = where
        if isinstance(where, int):
            # A folder of our own: a killed worker cannot tidy up.
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="nixel-cluster-"))
            address = opened.enter_context(
                distributed.LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=where,
                    threads_per_worker=1,
                    processes=True,
                    # There is no dashboard, but what it would be part of always listens: here, where nobody else is.
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    local_directory=folder,
                    memory_limit=memory or "auto",
                    silence_logs=logging.CRITICAL,  # what went wrong is told by the exceptions
                )
            )
        try:
            client = opened.enter_context(
                distributed.Client(address, timeout=self.patience, set_as_default=False)  # type: ignore[no-untyped-call]
            )
            client.wait_for_workers(1, timeout=self.patience)
            client.get_versions(check=True)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConnectionError(
                f"the scheduler at {where}: expected it with workers like this one: {error}"
            ) from error
        return client

    @property
    def address(self) -> str | None:
        """Of the scheduler, for others that want to use the same workers; None in this process."""
        return None if self._client is None else str(self._client.scheduler.address)

    def close(self) -> None:
        """End the processes that were started, close the connection that was opened."""
        self._client = None
        self._close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def share(self, value: object) -> Shared:
        """Send a large operand (a system matrix, a prepared solver) to every worker, once.

        Parameters
        ----------
        value : object
            Anything that can be pickled.

        Returns
        -------
        Shared
            To be given to any number of calls of `map`.
        """
        shared = Shared(value)
        if self._client is not None:
            shared.at(self._client)
        return shared

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        *,
        shared: Sequence[Any] = (),
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Any]:
        """Do one function for every item.

        A worker that dies costs time: its items are begun anew elsewhere, and so is the sending of what it alone held.
        An item under which workers die again and again is given up.

        Parameters
        ----------
        function : callable
            Called as function(item, *shared). It must depend on nothing else, since an item may be begun twice.
        items : iterable
            Each is sent to the worker that does it.
        shared : sequence
            Operands of every call: `Shared`, or a value, which is then sent for this call.
        names : sequence of str, optional
            What to call the items in errors; their numbers if left out.
        progress : callable, optional
            Called in this thread with (items done, items in all).

        Returns
        -------
        list
            Results in the order of the items.

        Raises
        ------
        JobError
            If the function raises (that error is its cause) or workers die under an item; the other items are given up.
        ConnectionError
            If there is no worker for `patience` seconds.
        ValueError
            If there are not as many names as items.
        """
        items = list(items)
        names = [f"item {index}" for index in range(len(items))] if names is None else list(names)
        if len(names) != len(items):
            raise ValueError(f"names: expected {len(items)}, one for each item, found {len(names)}")
        tell = progress or (lambda _done, _total: None)
        if self._client is not None:
            operands = [each if isinstance(each, Shared) else Shared(each) for each in shared]
            return _Run(self._client, function, items, operands, names, self.threads, self.patience).results(
                tell
            )
        values = [each.value if isinstance(each, Shared) else each for each in shared]
        results = []
        with threadpool_limits(self.threads):
            for index, item in enumerate(items):
                try:
                    results.append(function(item, *values))
                except Exception as error:  # whatever it is, it is told with the item's name
                    raise _failed(index, names[index], error) from error
                tell(index + 1, len(items))
        return results


def _failed(index: int, name: str, error: BaseException) -> JobError:
    return JobError(index, name, f"{type(error).__name__}: {error}")


class _Run:
    """The items of one call on their way to the workers and back."""

    def __init__(
        self,
        client: Client,
        function: Callable[..., Any],
        items: list[Any],
        shared: list[Shared],
        names: list[str],
        threads: int,
        patience: float,
    ) -> None:
        self.client, self.function, self.items, self.shared = client, function, items, shared
        self.names, self.threads, self.patience = names, threads, patience
        self.done: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        self.pending: dict[int, Future] = {}
        self.attempts = [0] * len(items)
        self.workers, self.counted = 0, -math.inf

    def results(self, tell: Callable[[int, int], None]) -> list[Any]:
        """Send the items, a few ahead of the workers, and collect what comes back."""
        total = len(self.items)
        found: dict[int, Any] = {}
        following = iter(range(total))
        try:
            while len(found) < total:
                room = _AHEAD * max(self._count(), 1) - len(self.pending)
                for index in itertools.islice(following, max(room, 0)):
                    self._send(index)
                index, future = self._next()
                if index not in self.pending or self.pending[index] is not future:
                    continue  # an earlier attempt
                del self.pending[index]
                try:
                    found[index] = future.result()
                except CancelledError:
                    self._again(index)
                    continue
                except Exception as error:  # whatever it is, it is told with the item's name
                    raise self._told(index, error) from error
                tell(len(found), total)
        finally:
            if self.pending:
                self.client.cancel(list(self.pending.values()))
        return [found[index] for index in range(total)]

    def _count(self) -> int:
        """Workers, asked for once in a while: it takes a round trip."""
        if time.monotonic() > self.counted + _LOOK:
            self.workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
            self.counted = time.monotonic()
        return self.workers

    def _send(self, index: int) -> None:
        operands = [each.at(self.client) for each in self.shared]
        job = _Job(self.function, self.items[index], self.threads)
        future = self.client.submit(job, *operands, pure=False, key=f"nixel-{index}-{uuid.uuid4().hex}")
        self.pending[index] = future
        future.add_done_callback(lambda done, index=index: self.done.put((index, done)))

    def _next(self) -> tuple[int, Future]:
        """Wait for an item, as long as there is a worker, or one may come back."""
        alone = 0.0
        while True:
            try:
                return self.done.get(timeout=_LOOK)
            except queue.Empty:
                alone = 0.0 if self._count() else alone + _LOOK
            if alone > self.patience:
                raise ConnectionError(
                    f"the scheduler at {self.client.scheduler.address}: expected a worker, found none for "
                    f"{self.patience:g} s, with {len(self.pending)} items begun"
                )

    def _again(self, index: int) -> None:
        """Begin anew an item that was lost with what it needs."""
        self.attempts[index] += 1
        if self.attempts[index] >= _ATTEMPTS:
            raise JobError(
                index, self.names[index], f"it was lost {_ATTEMPTS} times, each time with a worker"
            )
        self._send(index)

    def _told(self, index: int, error: BaseException) -> JobError:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            reason = "every worker that began it died (killed, or out of memory?)"
            return JobError(index, self.names[index], reason)
        return _failed(index, self.names[index], error)
