"""The HTTP interface around a real service, on a simulated bench: answers, errors, events, drift."""

import io
import json
import re
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from whole_system import SMALL_CALIBRATION, wait_until

from nixel.imaging.api.app import describe

OPENAPI = Path(__file__).resolve().parent.parent / "openapi.json"


def test_the_committed_description_is_the_interface():
    assert json.loads(OPENAPI.read_text()) == describe(), "the interface has changed: run `make openapi`"


@pytest.fixture(scope="module")
def system(shared_service):
    """A service with one calibration and one scan."""
    bench, service = shared_service
    bench.arm()
    service.client.perform({"kind": "calibration", "protocol": SMALL_CALIBRATION})
    service.client.perform({"kind": "scan", "protocol": {"frames": 2, "averages": 5, "seed": 4}})
    return service


@pytest.fixture
def http(system):
    with httpx.Client(base_url=system.url, trust_env=False, timeout=30) as client:
        yield client


def is_problem(response, status):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == status
    assert problem["instance"] == response.request.url.path
    return problem["detail"]


def test_a_finished_scan_is_all_there(http):
    run = http.get("/api/v1/runs").json()[0]
    assert (run["kind"], run["state"], run["simulated"]) == ("scan", "done", True)
    assert run["progress"] is None
    picture = http.get(f"/api/v1/pictures/{run['picture_ids'][0]}").json()
    dataset = http.get(f"/api/v1/datasets/{run['dataset_ids'][0]}").json()
    calibration = http.get(f"/api/v1/datasets/{picture['calibration_id']}").json()
    record = picture["provenance"]
    assert record["inputs"] == {"measurement": dataset["sha256"], "calibration": calibration["sha256"]}
    assert record["seed"] == dataset["provenance"]["seed"] == 4
    assert record["simulated"] is True
    assert record["system"]["store_path"] is not None or "in for the system" in record["system"]["note"]
    detail = http.get(f"/api/v1/runs/{run['id']}").json()
    assert [event["kind"] for event in detail["events"]] == [
        "queued",
        "started",
        "dataset",
        "picture",
        "done",
    ]


def test_files_come_whole(http):
    dataset = http.get("/api/v1/datasets").json()[0]
    body = http.get(f"/api/v1/datasets/{dataset['id']}/file").content
    assert len(body) == dataset["size"]
    assert body.startswith(b"\x89HDF\r\n\x1a\n")
    picture = http.get("/api/v1/pictures").json()[0]
    preview = http.get(f"/api/v1/pictures/{picture['id']}/preview.png")
    assert preview.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(preview.content))
    assert image.size == (500, 500)
    assert image.text["Title"] == "Simulated MPI picture"
    assert json.loads(image.text["nixel:provenance"]) == picture["provenance"]


def test_lists_go_on_where_they_left_off(http):
    everything = [run["id"] for run in http.get("/api/v1/runs").json()]
    first = http.get("/api/v1/runs?limit=1").json()
    assert [run["id"] for run in first] == everything[:1]
    rest = http.get(f"/api/v1/runs?before={first[0]['id']}").json()
    assert [run["id"] for run in rest] == everything[1:]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/api/v1/runs/999", None, 404, "There is no run 999"),
        ("GET", "/api/v1/datasets/999", None, 404, "There is no dataset 999"),
        ("GET", "/api/v1/pictures/999/preview.png", None, 404, "There is no picture 999"),
        ("GET", "/api/v1/pictures/one", None, 422, "picture_id"),
        ("GET", "/api/v1/runs?limit=0", None, 422, "limit"),
        ("GET", "/nowhere", None, 404, "Not Found"),
        ("DELETE", "/api/v1/runs", None, 405, "Method Not Allowed"),
        ("POST", "/api/v1/runs", {"kind": "dance"}, 422, "kind"),
        ("POST", "/api/v1/runs", {"kind": "scan", "colour": "red"}, 422, "colour"),
        ("POST", "/api/v1/runs", {"kind": "scan", "protocol": {"frame": 3}}, 409, "frame"),
        ("POST", "/api/v1/runs", {"kind": "scan", "protocol": {"frames": 0}}, 409, "frames"),
        ("POST", "/api/v1/runs", {"kind": "scan", "reconstruction": {"iterations": -1}}, 409, "iterations"),
        (
            "POST",
            "/api/v1/runs",
            {"kind": "scan", "calibration_id": 2},
            409,
            "expected the number of a calibration",
        ),
        (
            "POST",
            "/api/v1/runs",
            {"kind": "calibration", "protocol": {"field_of_view": [20, 20]}},
            409,
            "field_of_view",
        ),
        ("POST", "/api/v1/runs/2/cancel", {}, 409, "has ended already"),
        ("POST", "/api/v1/safety/stop", {"reason": "x" * 300}, 422, "reason"),
    ],
)
def test_wrong_requests_are_problems_that_change_nothing(http, method, path, body, status, words):
    before = http.get("/api/v1/runs").json()
    assert words in is_problem(http.request(method, path, json=body), status)
    assert http.get("/api/v1/runs").json() == before


def test_another_hosts_name_is_refused(http):
    # A page elsewhere that gives its own name this machine's address must not reach the scanner.
    assert http.get("/api/v1/status", headers={"Host": "evil.example"}).status_code == 400


def test_a_form_of_another_page_starts_nothing(http):
    # Browsers send such a request to any address without asking; only JSON, which they ask for, is taken.
    answer = http.post("/api/v1/runs", content='{"kind": "scan"}', headers={"Content-Type": "text/plain"})
    is_problem(answer, 422)


def test_a_file_that_is_gone_is_a_problem(http, system):
    picture = http.get("/api/v1/pictures").json()[0]
    path = system.data / picture["path"]
    moved = path.rename(path.with_suffix(".moved"))
    try:
        assert "restore it" in is_problem(http.get(f"/api/v1/pictures/{picture['id']}/file"), 410)
    finally:
        moved.rename(path)


def test_events_tell_a_run_from_beginning_to_end(http, system):
    seen = []

    def listen():
        with (
            httpx.Client(base_url=system.url, trust_env=False, timeout=30) as client,
            client.stream("GET", "/api/v1/events") as stream,
        ):
            assert stream.headers["content-type"].startswith("text/event-stream")
            topic = None
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    topic = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    seen.append((topic, json.loads(line.removeprefix("data: "))))
                    if topic == "run" and seen[-1][1]["state"] == "done":
                        return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    wait_until(lambda: any(topic == "safety" for topic, _ in seen), what="the safety state")
    run = system.client.perform({"kind": "scan", "protocol": {"frames": 2, "averages": 5, "seed": 5}})
    thread.join(20)
    assert not thread.is_alive()
    states = [data["state"] for topic, data in seen if topic == "run" and data["id"] == run["id"]]
    assert states[0] == "queued"
    assert states[-1] == "done"
    stages = [data["progress"]["stage"] for topic, data in seen if topic == "run" and data["progress"]]
    assert set(stages) >= {"background", "frames", "reconstructing"}
    safety = [data["state"] for topic, data in seen if topic == "safety"]
    assert "ENERGISED" in safety
    assert [data["kind"] for topic, data in seen if topic == "event" and data["run_id"] == run["id"]][
        -1
    ] == "done"


def test_no_answer_invites_a_script_from_elsewhere(http):
    policy = http.get("/api/v1/status").headers["content-security-policy"]
    assert re.search(r"default-src 'self'", policy)


def test_status_says_which_system_answers(http):
    status = http.get("/api/v1/status").json()
    assert status["instrument"]["name"] == "virtual-scanner"
    assert status["instrument"]["simulated"] is True
    assert status["software"]["versions"]["numpy"] == np.__version__


def test_a_sequence_file_is_read_and_planned_whatever_its_language(http):
    texts = {
        "scan.toml": 'kind = "scan"\nframes = 2\n',
        "scan.yaml": "kind: scan\nframes: 2\n",
        "scan.json": '{"kind": "scan", "frames": 2}',
    }
    answers = [
        http.post("/api/v1/sequences", json={"name": name, "text": text}) for name, text in texts.items()
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    first = answers[0].json()
    assert (first["kind"], first["protocol"]) == ("scan", {"frames": 2})
    assert (
        first["plan"] == http.post("/api/v1/plans", json={"kind": "scan", "protocol": {"frames": 2}}).json()
    )
    assert [answer.json() for answer in answers[1:]] == [first, first]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("scan.txt", "", 'the ending ".txt"'),
        ("scan.toml", "kind = ", "no TOML"),
        ("scan.toml", 'kind = "scan"\nframe = 2', "did you mean frames?"),
        ("scan.toml", 'kind = "scan"\npatches = [["40 mm", "0 mm"]]', "scanner.limits.focus_field, 20 mT"),
        ("stack.yaml", "channels: [{config: green}]", "expected a microscope"),
    ],
)
def test_a_sequence_file_that_cannot_be_run_is_refused_with_the_reason(http, name, text, message):
    before = http.get("/api/v1/runs").json()
    assert message in is_problem(http.post("/api/v1/sequences", json={"name": name, "text": text}), 409)
    assert http.get("/api/v1/runs").json() == before
