"""`--cluster`: where the blocks of a large job are done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.reconstruction.cluster import Cluster

HELP = "Do blocks of frames in N processes here, or on the workers of a Dask scheduler."
METAVAR = "local:N|tcp://HOST:8786"


def where(text: str) -> int | str:
    """Number of processes, or the address of a scheduler."""
    kind, _, count = text.partition(":")
    if kind == "local" and count.isascii() and count.isdigit() and int(count) > 0:
        return int(count)
    if "://" not in text:
        raise UserError(
            f'--cluster: found "{text}"; expected a number of processes such as "local:4", or a scheduler\'s address '
            'such as "tcp://10.0.0.5:8786"'
        )
    return text


@contextmanager
def cluster_at(text: str | None, workers: int) -> Iterator["Cluster | None"]:
    """Open what `--cluster` names; None if it names nothing."""
    if text is None:
        yield None
        return
    from nixel.reconstruction.cluster import Cluster, JobError

    try:
        with Cluster(where(text), threads=workers) as cluster:
            yield cluster
    except JobError as error:
        raise UserError(f"--cluster {text}: {error}") from error
    except ConnectionError as error:
        raise UserError(f"--cluster {text}: {error}; is it running, and with this version?") from error
