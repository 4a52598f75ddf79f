"""What a restarted service makes of every state in which the last one may have ended."""

import sqlite3
from contextlib import closing

import pytest
from whole_system import SMALL_CALIBRATION, wait_until

SCAN = {"kind": "scan", "protocol": {"frames": 2, "averages": 5, "seed": 4}}


@pytest.fixture(scope="module")
def system(shared_service):
    bench, service = shared_service
    bench.arm()
    service.client.perform({"kind": "calibration", "protocol": SMALL_CALIBRATION})
    return bench, service


@pytest.fixture
def finished(system):
    """A finished scan with its picture; the service is stopped, and the test changes what it left."""
    bench, service = system
    if bench.safety.status().state != "ARMED":
        bench.arm()
    run = service.client.perform(SCAN)
    picture = service.client.get(f"/pictures/{run['picture_ids'][0]}")
    dataset = service.client.get(f"/datasets/{run['dataset_ids'][0]}")
    service.child.stop()
    yield service, run, dataset, picture
    if service.child.process.poll() is not None:
        service.start()


def change(service, *statements):
    with closing(sqlite3.connect(service.data / "nixel.db")) as database, database:
        for statement, values in statements:
            database.execute(statement, values)


def done_again(service, run):
    service.start()

    return wait_until(
        lambda: (r := service.client.get(f"/runs/{run['id']}"))["state"] not in ("queued", "running") and r,
        what="the resumed run",
    )


def test_killed_between_the_dataset_and_its_picture(finished):
    service, run, _, picture = finished
    change(
        service,
        ("delete from pictures where id = ?", (picture["id"],)),
        ("update runs set state = 'running', finished_at = null where id = ?", (run["id"],)),
    )
    again = done_again(service, run)
    assert again["state"] == "done"
    assert again["dataset_ids"] == run["dataset_ids"]
    made = service.client.get(f"/pictures/{again['picture_ids'][0]}")
    assert made["pixels_sha256"] == picture["pixels_sha256"]
    assert made["sha256"] == picture["sha256"]


def test_killed_between_the_file_and_its_row(finished):
    service, run, dataset, picture = finished
    change(
        service,
        ("delete from pictures where id = ?", (picture["id"],)),
        ("delete from datasets where id = ?", (dataset["id"],)),
        ("update runs set state = 'running', finished_at = null where id = ?", (run["id"],)),
    )
    again = done_again(service, run)
    assert again["state"] == "done"
    kept = service.client.get(f"/datasets/{again['dataset_ids'][0]}")
    assert kept["sha256"] == dataset["sha256"]
    assert kept["provenance"] == dataset["provenance"]


def test_killed_while_measuring(finished):
    service, run, dataset, picture = finished
    part = service.data / "datasets" / f".run-{run['id']:06}.mdf.0badcafe.part"
    (service.data / dataset["path"]).rename(part)
    change(
        service,
        ("delete from pictures where id = ?", (picture["id"],)),
        ("delete from datasets where id = ?", (dataset["id"],)),
        ("update runs set state = 'running', finished_at = null where id = ?", (run["id"],)),
    )
    again = done_again(service, run)
    assert again["state"] == "interrupted"
    assert "start it again" in again["message"]
    assert again["finished_at"] is not None
    assert not part.exists()


def test_a_queued_run_is_still_queued_and_runs(finished):
    service, run, dataset, picture = finished
    (service.data / dataset["path"]).unlink()
    change(
        service,
        ("delete from pictures where id = ?", (picture["id"],)),
        ("delete from datasets where id = ?", (dataset["id"],)),
        (
            "update runs set state = 'queued', started_at = null, finished_at = null where id = ?",
            (run["id"],),
        ),
    )
    again = done_again(service, run)
    assert again["state"] == "done"
    kept = service.client.get(f"/datasets/{again['dataset_ids'][0]}")
    assert kept["sha256"] == dataset["sha256"]


def test_a_dataset_that_was_changed_is_not_reconstructed(finished):
    service, run, dataset, picture = finished
    path = service.data / dataset["path"]
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    change(
        service,
        ("delete from pictures where id = ?", (picture["id"],)),
        ("update runs set state = 'running', finished_at = null where id = ?", (run["id"],)),
    )
    again = done_again(service, run)
    assert again["state"] == "failed"
    assert "was changed after it was kept" in again["message"]
    assert again["picture_ids"] == []
