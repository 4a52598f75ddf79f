"""What a machine refuses to take over ssh: it stays as it is, and its history has a line that says why."""

import re

import pushing
import pytest
import systems
from pushing import in_system, settles

pytestmark = pytest.mark.usefixtures("deployer")
DAY = 24 * 3600
YEAR = 365 * DAY


@pytest.fixture(scope="module")
def machine(lab, old):
    """One machine for all that changes nothing."""
    made = lab.start("alpha", system=old)
    yield made
    lab.remove(made)


@pytest.fixture(scope="module")
def other_key(lab):
    """A key that no machine trusts."""
    lab.make_key("stranger-1")
    return "stranger-1"


def _refused(machine, old, done, words, *, lines=1):
    assert done.returncode == 2, done.stderr
    assert re.search(words, done.stdout + done.stderr), done.stdout + done.stderr
    assert systems.calls(machine) == []
    if lines:
        assert re.search(words, " ".join(pushing.history(machine)[-1]["why"]))


def test_another_machines_system(lab, machine, old):
    beta = systems.build(lab, "beta", "1.1", 2000)
    announced = lab.developer.run(f"nixel-update announce beta={beta} --key /root/{pushing.KEY}.key")
    with settles(machine, in_system(old), "refused"):
        _refused(machine, old, pushing.receive(machine, announced), "for the machine 'beta'.*is 'alpha'")
    # deploy.sh does not even send it.
    with settles(machine, in_system(old)):
        _refused(machine, old, pushing.push(lab, machine, beta), "made for beta, not for alpha", lines=0)


def test_another_product(lab, machine, old):
    other = systems.build(lab, "alpha", "1.1", 2000, product="toaster")
    with settles(machine, in_system(old), "refused"):
        _refused(machine, old, pushing.push(lab, machine, other), "for the product 'toaster'.*is 'nixel'")


def test_an_older_system(lab, machine, old):
    older = systems.build(lab, "alpha", "0.9", 900)
    with settles(machine, in_system(old), "refused"):
        _refused(
            machine, old, pushing.push(lab, machine, older), "is older than the running one.*--allow-older"
        )


def test_a_key_that_the_machine_does_not_trust(lab, machine, old, new, other_key):
    with settles(machine, in_system(old), "refused"):
        done = pushing.push(lab, machine, new, key=other_key)
        _refused(machine, old, done, f"signed by '{other_key}', and this machine trusts {pushing.KEY}")


def test_a_key_that_only_has_the_name_of_a_trusted_one(lab, machine, old, new):
    lab.developer.run(
        f"nix key generate-secret --key-name {pushing.KEY} > /root/impostor.key; chmod 600 /root/*.key"
    )
    with settles(machine, in_system(old), "refused"):
        done = pushing.push(lab, machine, new, key="impostor")
        _refused(machine, old, done, "the key is another")


def test_a_content_addressed_system(lab, machine, old, new):
    path = systems.content_addressed(lab, new)
    with settles(machine, in_system(old)):
        _refused(machine, old, pushing.push(lab, machine, path), "content-addressed", lines=0)
    # A developer whose own check says nothing: the manifest is made by hand, and well signed.
    _, manifest = pushing.announce(lab, "alpha", new)
    toplevel = next(each for each in manifest["paths"] if each["path"] == manifest["system"]["path"])
    toplevel["ca"] = f"fixed:r:{toplevel['nar_hash']}"
    with settles(machine, in_system(old), "refused"):
        done = pushing.receive(machine, pushing.signed(lab, manifest))
        _refused(machine, old, done, "is content-addressed: anyone could have made it")


def test_a_manifest_altered_on_the_way(lab, machine, old, new):
    announced = lab.developer.run(f"nixel-update announce alpha={new} --key /root/{pushing.KEY}.key")
    signature, _, content = announced.partition("\n")
    altered = {
        "a letter": f"{signature}\n{content.replace('imaging', 'imagine', 1)}",
        "a byte more": f"{announced} ",
        "cut off": announced[:-100],
        "another signature": f"{signature[:-6]}AAAA==\n{content}",
        "no signature": content,
    }
    for how, text in altered.items():
        with settles(machine, in_system(old), "refused"):
            done = pushing.receive(machine, text)
            assert done.returncode == 2, how
            assert "Traceback" not in done.stderr
    assert systems.calls(machine) == []


def test_a_well_signed_manifest_that_is_none(lab, machine, old, new):
    _, manifest = pushing.announce(lab, "alpha", new)
    paths = manifest["paths"]
    wrong = {
        "a path too few": {**manifest, "paths": paths[1:]},
        "a path too many": {
            **manifest,
            "paths": [*paths, {**paths[-1], "path": f"{paths[-1]['path']}z", "references": []}],
        },
        "a path elsewhere": {
            **manifest,
            "paths": [{**paths[0], "path": "/nix/store/../../etc/passwd"}, *paths[1:]],
        },
        "of another format": {**manifest, "format": 2},
        "no manifest": {"hello": "world"},
        "no object": [],
    }
    for how, document in wrong.items():
        with settles(machine, in_system(old), "refused"):
            done = pushing.receive(machine, pushing.signed(lab, document))
            assert done.returncode == 2, how
            assert "Traceback" not in done.stderr
    assert systems.calls(machine) == []


@pytest.mark.parametrize("source", ["true", "head -c 100000 /dev/urandom", "yes '{}' | head -c 1000000"])
def test_garbage_for_an_announcement(machine, old, source):
    with settles(machine, in_system(old), "refused"):
        done = machine.attempt(f"({source}) | nixel-update receive")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_announcement_without_an_end(machine, old):
    # Of what never ends only so much is read, into memory that is bounded.
    with settles(machine, in_system(old), "refused"):
        done = machine.attempt("yes | (ulimit -v 300000; exec nixel-update receive)")
    assert done.returncode == 2
    assert "has more than" in done.stderr


def test_a_system_of_the_future(lab, machine, old):
    now = int(lab.developer.run("date +%s"))
    future = systems.build(lab, "alpha", "9.9", now + 2 * YEAR)
    with settles(machine, in_system(old), "refused"):
        _refused(machine, old, pushing.push(lab, machine, future), "clock says .* the system on offer is of")
