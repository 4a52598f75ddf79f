"""The demonstration: three processes of the real system around one simulated scanner."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nixel.acquisition.instrument_file import path_of
from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
from nixel.imaging.cli.serve import default_page, listen
from nixel.imaging.client import ServiceClient
from nixel.imaging.errors import UserError
from nixel.imaging.phantom_check import correlation_with_phantom
from nixel.imaging.processes import Child
from nixel.imaging.store import DataFolder
from nixel.safety.client import SafetyClient, SafetyRefused

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
        self._children: list[Child] = []
        self.has_page = default_page() is not None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            listener = stack.enter_context(listen("127.0.0.1", self._port))
            self.folder.check_free()
            # Short, because a Unix socket's path may have about 100 characters.
            runtime = Path(tempfile.mkdtemp(prefix="nixel-"))
            stack.callback(shutil.rmtree, runtime, ignore_errors=True)
            surveillance, socket = runtime / "surveillance", runtime / "safety.sock"

            scanner = self._start(
                stack,
                Child(
                    "virtual scanner",
                    "nixel.acquisition.virtual.scanner",
                    [
                        *("--instrument", INSTRUMENT, "--control", "127.0.0.1:0", "--data", "127.0.0.1:0"),
                        *("--surveillance-link", str(surveillance)),
                    ],
                    log=runtime / "scanner.log",
                ),
            )
            wires = json.loads(scanner.first_line())
            safety = self._start(
                stack,
                Child(
                    "safety daemon",
                    "nixel.safety.daemon",
                    [
                        *("--instrument", str(path_of(INSTRUMENT)), "--socket", str(socket)),
                        *("--surveillance", str(surveillance)),
                    ],
                    log=runtime / "safety.log",
                ),
            )
            safety.first_line()
            service = self._start(
                stack,
                Child(
                    "imaging service",
                    "nixel.imaging",
                    [
                        *("serve", "--instrument", INSTRUMENT, "--safety-socket", str(socket)),
                        *(
                            "--endpoint",
                            f"daq.control={wires['control']}",
                            "--endpoint",
                            f"daq.data={wires['data']}",
                        ),
                        *("--data", str(self.folder.path), "--fd", str(listener.fileno())),
                    ],
                    log=runtime / "imaging.log",
                    pass_fds=(listener.fileno(),),
                ),
            )
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.safety_socket = socket
            self.wires: dict[str, str] = wires
            self.client = ServiceClient(self.url)
            self.safety = SafetyClient(socket)
            self._await_service(service)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack, child: Child) -> Child:
        self._children.append(stack.enter_context(child))
        return child

    def _await_service(self, service: Child) -> None:
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
        """Reset and arm the safety daemon, which comes up latched; what an operator does.

        Raises
        ------
        UserError
            If the interlocks do not become healthy.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.safety.reset()
                self.safety.arm()
            except SafetyRefused as error:
                if time.monotonic() > deadline:
                    raise UserError(f"the safety daemon refuses: {error}") from error
                time.sleep(0.05)
            else:
                return

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
                return dataset["id"], False
        run = self.client.perform({"kind": "calibration", "protocol": {"seed": seed}}, report)
        return run["dataset_ids"][-1], True

    def scan(self, seed: int, calibration: int, report: Report) -> dict[str, Any]:
        """Scan the phantom and reconstruct it; describes the picture."""
        request = {"kind": "scan", "protocol": {"seed": seed}, "calibration_id": calibration}
        run = self.client.perform(request, report)
        picture = self.client.get(f"/pictures/{run['picture_ids'][-1]}")
        path = self.folder.path / picture["path"]
        sample = ScanProtocol(**run["protocol"]).sample
        return {
            "id": picture["id"],
            "path": picture["path"],
            "preview": str(Path(picture["path"]).with_suffix(".png")),
            "sample": sample,
            "correlation": correlation_with_phantom(path, sample),
        }

    def wait(self) -> None:
        """Return only when a part of the system has ended, with an error that says which.

        Raises
        ------
        UserError
        """
        while True:
            for child in self._children:
                if child.process.poll() is not None:
                    raise UserError(
                        f"the {child.name} has ended ({child.process.returncode}). {child.words()}"
                    )
            time.sleep(0.2)
