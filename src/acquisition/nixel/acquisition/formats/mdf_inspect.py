"""Looking into MDF files of strangers, in a process of its own.

The HDF5 library is written in C and believes what a file says: one that is damaged, or made to do harm, may break it
down or make it take all the memory there is. Whoever asks loses the child that looked, and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from nixel.acquisition.formats.mdf_model import MdfError

__all__ = ["inspect"]

_MEMORY = 2**31  # bytes of address space; libraries take about a quarter of it before the file is opened
_SECONDS = 120  # of computing: enough for some ten gigabytes of indices


def inspect(
    what: str, path: str | os.PathLike[str], *, memory: int = _MEMORY, seconds: int = _SECONDS
) -> dict[str, Any]:
    """Check or describe a file.

    Parameters
    ----------
    what
        ``"check"`` or ``"info"``.
    path
        The file.
    memory
        Bytes of address space that it may take.
    seconds
        Of computing that it may take.

    Returns
    -------
    dict
        As `Report.as_json` or `describe`.

    Raises
    ------
    MdfError
        It is no MDF file, or looking at it breaks the library down or takes too much.
    """
    # The libraries' threads would each take address space of their own.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "nixel.acquisition.formats.mdf_inspect",
        what,
        f"{memory}:{seconds}",
        os.fspath(path),
    ]
    child = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    try:
        answer: dict[str, Any] = json.loads(child.stdout)
    except ValueError:
        answer = {}
    if child.returncode != 0 or not answer:
        code = -child.returncode
        how = (
            signal.Signals(code).name
            if code in set(signal.Signals)
            else (child.stderr.splitlines() or ["no word"])[-1]
        )
        raise MdfError(
            f"{path}: expected a file that can be looked at within {memory // 2**20} MiB and {seconds} s, found one "
            f"that broke the HDF5 library down ({how}). It is damaged, or made to do harm: take a whole copy from "
            "where it was written"
        )
    if "refused" in answer:
        raise MdfError(answer["refused"])
    return answer


def main(arguments: list[str]) -> None:
    """Look at one file and print what was found as JSON."""
    what, limits, path = arguments
    for kind, limit in zip(
        (resource.RLIMIT_AS, resource.RLIMIT_CPU), map(int, limits.split(":")), strict=True
    ):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        if what == "check":
            from nixel.acquisition.formats.mdf_check import check_mdf

            answer = check_mdf(Path(path)).as_json()
        else:
            from nixel.acquisition.formats.mdf_info import describe
            from nixel.acquisition.formats.mdf_read import open_mdf

            with open_mdf(Path(path)) as mdf:
                answer = describe(mdf)
    except MdfError as error:
        answer = {"refused": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
