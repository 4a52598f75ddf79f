"""An imaging service whose answers are set by hand: true to the schema, on a real port, and breakable at will."""

import json
import queue
import re
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel

from nixel.imaging.answers import (
    EventAnswer,
    InstrumentAnswer,
    InterlockAnswer,
    PictureAnswer,
    Progress,
    RunAnswer,
    RunDetail,
    SafetyAnswer,
    SequenceAnswer,
    StatusAnswer,
)
from nixel.imaging.device_answers import DeviceAnswer, DevicesAnswer, PropertyAnswer
from nixel.imaging.provenance import record, running_system, software
from nixel.imaging.store import RunKind, RunState

# As the service sends it.
POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_INSTRUMENT = {"name": "virtual-scanner", "fingerprint": "5f" * 32}

RED, GREEN, BLUE, WHITE = (230, 20, 30), (10, 200, 60), (20, 60, 240), (255, 255, 255)
PATTERN = ((RED, GREEN), (BLUE, WHITE))  # rows from the top


def preview(rows: tuple[tuple[tuple[int, int, int], ...], ...] = PATTERN, block: int = 250) -> bytes:
    """A PNG of blocks of colour."""
    image = Image.new("RGB", (len(rows[0]), len(rows)))
    image.putdata([colour for row in rows for colour in row])
    buffer = BytesIO()
    image.resize((image.width * block, image.height * block), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def run(number: int, kind: str = "scan", state: str = "done", **changes: Any) -> RunAnswer:
    """A run that began `number` minutes after ten o'clock."""
    began = datetime(2026, 3, 1, 10, number, tzinfo=UTC)
    return RunAnswer.model_validate(
        {
            "id": number,
            "kind": RunKind(kind),
            "state": RunState(state),
            "simulated": True,
            "message": "",
            "protocol": {},
            "reconstruction": {},
            "calibration_id": None,
            "requested_at": began,
            "started_at": began,
            "finished_at": began + timedelta(seconds=21) if RunState(state).final else None,
            "dataset_ids": [],
            "picture_ids": [],
            "progress": None,
            **changes,
        }
    )


def running(number: int, done: int, stage: str = "measuring") -> RunAnswer:
    """A scan under way, `done` of 100."""
    return run(number, state="running", progress=Progress(stage=stage, done=done, total=100))


def safety(state: str = "SAFE", temperature: float = 24.62, **changes: Any) -> SafetyAnswer:
    """What the safety daemon says of a scanner with two interlocks and one output."""
    interlocks = [
        InterlockAnswer(
            name="coil-temperature",
            kind="limit",
            healthy=temperature < 60,
            warning=50 <= temperature < 60,
            value=temperature,
            unit="degC",
            age_s=0.01,
            message=""
            if temperature < 50
            else f"coil-temperature is {temperature:g} degC, its limit is 60 degC",
        ),
        InterlockAnswer(
            name="emergency-stop",
            kind="boolean",
            healthy=True,
            warning=False,
            value=True,
            unit=None,
            age_s=0.01,
            message="",
        ),
        InterlockAnswer(
            name="amplifier readback",
            kind="readback",
            healthy=True,
            warning=False,
            value=state == "ENERGISED",
            unit=None,
            age_s=0.01,
            message="",
        ),
    ]
    whole = {
        "reachable": True,
        "state": state,
        "outputs": {"amplifier": state == "ENERGISED"},
        "interlocks": interlocks,
        "simulated": True,
        "what_to_do": "Nothing is on; arm when the instrument may be energised." if state == "SAFE" else "",
    }
    return SafetyAnswer.model_validate(whole | changes)


def devices(position: float = 0.0025, error: str = "", held_by: str = "", **names: str) -> DevicesAnswer:
    """What the devices say: a robot, and a lamp that answers unless it has an error."""

    def one(name: str, value: Any, text: str, kind: Any = "number", unit: str = "m") -> PropertyAnswer:
        return PropertyAnswer(
            name=name,
            kind=kind,
            unit=unit,
            description="",
            minimum=None,
            maximum=None,
            choices=[],
            read_only=True,
            value=value,
            text=text,
            error="",
        )

    robot = DeviceAnswer(
        name="robot",
        adapter="scpi-robot",
        kinds=["stage"],
        where="on daq at 127.0.0.1:5025",
        state="answers",
        error="",
        properties=[one("position_x", position, f"{position} m"), one("position_y", None, "nan m")],
    )
    lamp = DeviceAnswer(
        name="lamp",
        adapter="test-lamp",
        kinds=[],
        where="127.0.0.1:9",
        state="fails" if error else "answers",
        error=error,
        properties=[one(name, text, text, "text", "") for name, text in names.items()],
    )
    return DevicesAnswer(
        instrument="virtual-scanner",
        simulated=True,
        taken_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
        held_by=held_by,
        devices=[robot, lamp],
    )


def sequence(**changes: Any) -> SequenceAnswer:
    """What a scanner's protocol file would take."""
    plan: dict[str, Any] = {
        "instrument": "virtual-scanner",
        "duration": 125.0,
        "size": 182784,
        "frames": 14,
        "on_time": 0.334,
        "duty": 0.194,
        "heating": {"part": "drive coil x", "start": 22.0, "peak": 22.14},
        "notes": ["Not counted: heating by the focus fields."],
    }
    return SequenceAnswer.model_validate(
        {"kind": "scan", "protocol": {"frames": 10, "seed": 3}, "plan": plan | changes}
    )


def picture(number: int, run_id: int) -> PictureAnswer:
    """A picture with a whole record."""
    return PictureAnswer(
        id=number,
        run_id=run_id,
        dataset_id=2,
        calibration_id=1,
        path=f"pictures/picture-{number}.mdf",
        sha256="a1" * 32,
        pixels_sha256="b2" * 32,
        simulated=True,
        provenance=record(
            kind="picture",
            inputs={"measurement": "c3" * 32, "calibration": "d4" * 32},
            parameters={"relative_lambda": 0.01, "iterations": 50, "lowest_frequency": 30e3},
            seed=7,
            instrument=_INSTRUMENT,
            simulated=True,
        ),
        created_at=datetime(2026, 3, 1, 10, 9, tzinfo=UTC),
    )


class CannedService:
    """Serves a built page and answers by hand.

    Parameters
    ----------
    page : Path
        Folder of the built page.
    port : int
        0 for any.
    """

    def __init__(self, page: Path, port: int = 0) -> None:
        self.page = page
        self.runs: dict[int, RunAnswer] = {}
        self.pictures: dict[int, PictureAnswer] = {}
        self.safety = safety()
        self.devices = devices()
        self.sequence = sequence()
        self.preview = preview()
        self.simulated = True
        self.posted: list[tuple[str, Any]] = []
        self.refusals: dict[str, tuple[int, str]] = {}  # path to status and sentence
        self.asked: dict[str, RunAnswer] = {}  # path of a POST to what it makes of a run
        self.silent = threading.Event()  # while it is set, nothing answers and connections stay open
        # Streams by what they began with: "safety" for all that happens, "devices" for what the devices say.
        self.watchers: dict[str, list[queue.Queue[bytes | None]]] = {"safety": [], "devices": []}
        self._lock = threading.Lock()
        service = self

        class Handler(_Handler):
            canned = service

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop as a killed process does: the port is closed and every stream ends."""
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for watchers in self.watchers.values():
                while watchers:
                    watchers.pop().put(None)

    def add(self, *runs: RunAnswer) -> None:
        """Have these runs, each picture of theirs included, without telling anyone."""
        for one in runs:
            self.runs[one.id] = one
            for number in one.picture_ids:
                self.pictures[number] = picture(number, one.id)

    def tell(self, topic: str, answer: BaseModel) -> None:
        """Make it so, and tell the page."""
        if isinstance(answer, RunAnswer):
            self.add(answer)
        if isinstance(answer, SafetyAnswer):
            self.safety = answer
        if isinstance(answer, DevicesAnswer):
            self.devices = answer
        text = f"event: {topic}\r\ndata: {answer.model_dump_json()}\r\n\r\n".encode()
        with self._lock:
            for watcher in self.watchers["devices" if topic == "devices" else "safety"]:
                watcher.put(text)

    def watch(self, topic: str) -> "queue.Queue[bytes | None]":
        """A new stream; it begins with what is current."""
        watcher: queue.Queue[bytes | None] = queue.Queue()
        current: BaseModel = self.devices if topic == "devices" else self.safety
        watcher.put(f"event: {topic}\r\ndata: {current.model_dump_json()}\r\n\r\n".encode())
        with self._lock:
            self.watchers[topic].append(watcher)
        return watcher

    def leave(self, topic: str, watcher: "queue.Queue[bytes | None]") -> None:
        """A stream that nobody reads any more."""
        with self._lock:
            if watcher in self.watchers[topic]:
                self.watchers[topic].remove(watcher)

    def answer(self, path: str) -> BaseModel | list[BaseModel] | None:
        """What a GET is answered with; None where there is nothing."""
        if path == "/status":
            instrument = InstrumentAnswer(
                id=1,
                kind="scanner",
                description="Simulated two-dimensional MPI scanner",
                simulated=self.simulated,
                first_seen=datetime(2026, 3, 1, tzinfo=UTC),
                **_INSTRUMENT,
            )
            return StatusAnswer(
                version="0.1.0", instrument=instrument, system=running_system(), software=software()
            )
        if path == "/safety":
            return self.safety
        if path == "/runs":
            return [self.runs[number] for number in sorted(self.runs, reverse=True)]
        if (found := re.fullmatch(r"/runs/(\d+)", path)) and (one := self.runs.get(int(found[1]))):
            event = EventAnswer(
                id=10 * one.id,
                run_id=one.id,
                time=one.requested_at,
                kind="queued",
                text=f"Run {one.id} was asked for",
                details={},
            )
            return RunDetail(**one.model_dump(), events=[event])
        if found := re.fullmatch(r"/pictures/(\d+)", path):
            return self.pictures.get(int(found[1]))
        return None


class _Handler(BaseHTTPRequestHandler):
    canned: CannedService

    def log_message(self, *args: object) -> None:
        """Tests have their own log."""

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def _problem(self, status: int, detail: str) -> None:
        title = HTTPStatus(status).phrase
        problem = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": self.path,
        }
        self._send(status, "application/problem+json", json.dumps(problem).encode())

    def _json(self, answer: BaseModel | list[BaseModel], status: int = 200) -> None:
        body = (
            "[" + ",".join(one.model_dump_json() for one in answer) + "]"
            if isinstance(answer, list)
            else answer.model_dump_json()
        )
        self._send(status, "application/json", body.encode())

    def _wait_while_silent(self) -> None:
        while self.canned.silent.is_set():
            threading.Event().wait(0.05)

    def do_GET(self) -> None:
        self._wait_while_silent()
        path = self.path.partition("?")[0]
        if not path.startswith("/api/v1"):
            self._page(path)
        elif path == "/api/v1/events":
            self._stream("safety")
        elif path == "/api/v1/devices/events":
            self._stream("devices")
        elif path.endswith("/preview.png"):
            self._send(200, "image/png", self.canned.preview)
        elif (answer := self.canned.answer(path.removeprefix("/api/v1"))) is not None:
            self._json(answer)
        else:
            self._problem(404, f"There is no {path}.")

    def do_POST(self) -> None:
        self._wait_while_silent()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.removeprefix("/api/v1")
        self.canned.posted.append((path, body))
        if path in self.canned.refusals:
            self._problem(*self.canned.refusals[path])
        elif path == "/safety/stop":
            self._json(self.canned.safety)
        elif path == "/runs":
            one = run(max(self.canned.runs, default=0) + 1, body["kind"], "queued")
            self.canned.add(one)
            self._json(one, 202)
        elif path == "/sequences":
            self._json(self.canned.sequence)
        elif path in self.canned.asked:
            one = self.canned.asked[path]
            self.canned.add(one)
            self._json(RunDetail(**one.model_dump(), events=[]))
        else:
            self._problem(404, f"There is no {path}.")

    def _page(self, path: str) -> None:
        root = self.canned.page.resolve()
        file = (root / ("index.html" if path == "/" else path.lstrip("/"))).resolve()
        if root in file.parents and file.is_file():
            self._send(200, _TYPES.get(file.suffix, "application/octet-stream"), file.read_bytes())
        else:
            self._problem(404, f"There is no {path}.")

    def _stream(self, topic: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        watcher = self.canned.watch(topic)
        try:
            while (text := watcher.get()) is not None:
                self.wfile.write(text)
        except (BrokenPipeError, ConnectionResetError):
            self.canned.leave(topic, watcher)
