"""The demonstration: the imaging service around a simulated scanner, and one scan through all of it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
from nixel.acquisition.virtual.truth import correlation_with_phantom
from nixel.imaging.cli.serve import default_page, listen
from nixel.imaging.client import ServiceClient
from nixel.imaging.errors import UserError
from nixel.imaging.processes import Child
from nixel.imaging.store import DataFolder
from nixel.imaging.virtual_bench import VirtualBench

INSTRUMENT = "virtual-scanner"
_PATIENCE = 20.0

Report = Callable[[str, int, int], None]


class Demo:
    """The running demonstration; a context that starts it and ends it, in order and in reverse.

    Parameters
    ----------
    folder : DataFolder
        Where it keeps its data.
    port : int
        Of the page; 0 for any that is free.

    Raises
    ------
    UserError
        On entering, before anything is changed: the port is taken, the folder is in use or cannot be written.
    """

    def __init__(self, folder: DataFolder, port: int) -> None:
        self.folder = folder
        self._port = port
        self._stack = ExitStack()
        self.has_page = default_page() is not None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            listener = stack.enter_context(listen("127.0.0.1", self._port))
            self.folder.check_free()
            self.bench = stack.enter_context(VirtualBench(INSTRUMENT))
            endpoints = [f"--endpoint={key}={address}" for key, address in self.bench.endpoints.items()]
            service = Child(
                "imaging service",
                "nixel.imaging",
                [
                    *("serve", "--instrument", INSTRUMENT, "--safety-socket", str(self.bench.safety_socket)),
                    *("--data", str(self.folder.path), "--fd", str(listener.fileno()), *endpoints),
                ],
                log=self.bench.runtime / "imaging.log",
                pass_fds=(listener.fileno(),),
            )
            self.bench.add(stack.enter_context(service))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.client = ServiceClient(self.url)
            self._await(service)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _await(self, service: Child) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            if service.process.poll() is not None:
                raise UserError(service.words() or "the imaging service ended at once")
            try:
                self.client.get("/status")
            except UserError as error:
                if time.monotonic() > deadline:
                    raise UserError(f"the imaging service did not become ready. {service.words()}") from error
                time.sleep(0.05)
            else:
                return

    def arm(self) -> None:
        """Reset and arm, as an operator would; see `VirtualBench.arm`."""
        self.bench.arm()

    def wait(self) -> None:
        """Serve until a part of the system ends; see `VirtualBench.wait`."""
        self.bench.wait()

    def calibrate(self, seed: int, report: Report) -> tuple[int, bool]:
        """Measure the system matrix, unless this folder has it for this very seed.

        Returns
        -------
        dataset : int
        measured : bool
            False if an earlier one was taken.
        """
        wanted = CalibrationProtocol(seed=seed).model_dump(mode="json")
        instrument = self.client.get("/status")["instrument"]
        for dataset in self.client.get("/datasets?limit=1000"):
            made = dataset["provenance"]
            if (
                dataset["kind"] == "calibration"
                and made["parameters"] == wanted
                and made["instrument"]["fingerprint"] == instrument["fingerprint"]
            ):
                return int(dataset["id"]), False
        run = self.client.perform({"kind": "calibration", "protocol": {"seed": seed}}, report)
        return int(run["dataset_ids"][-1]), True

    def scan(self, seed: int, calibration: int, report: Report) -> dict[str, Any]:
        """Scan the phantom and reconstruct it; describes the picture."""
        request = {"kind": "scan", "protocol": {"seed": seed}, "calibration_id": calibration}
        run = self.client.perform(request, report)
        picture = self.client.get(f"/pictures/{run['picture_ids'][-1]}")
        sample = ScanProtocol(**run["protocol"]).subject
        return {
            "id": picture["id"],
            "path": picture["path"],
            "preview": str(Path(picture["path"]).with_suffix(".png")),
            "sample": sample,
            "correlation": correlation_with_phantom(self.folder.path / picture["path"], sample),
        }
