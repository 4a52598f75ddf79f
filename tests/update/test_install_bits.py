"""One bit of a stick is another than it was: wherever it is, the machine takes nothing."""

import json
import random

import installs
import pytest
import systems
from installs import DATE, DAY, held, written

FLIPS, THROUGH_THE_COMMAND, SEED = 200, 12, 20260
# On the machine, in one process: what `nixel-update install` checks before it copies.
_VERIFY = """
import json, sys, time
from nixel.update import here
from nixel.update.refusal import Refusal
from nixel.update.stick.verify import verify
from pathlib import Path

stick, flips = Path(sys.argv[1]), json.load(sys.stdin)
machine = here.look()

def check():
    try:
        verify(stick, machine.identity.host, machine.trusted, running=machine.identity, known=machine.nix.path_info)
    except Refusal as refusal:
        return str(refusal)
    return None

def flip(name, place, bit):
    with (stick / name).open("r+b") as stream:
        stream.seek(place)
        (byte,) = stream.read(1)
        stream.seek(place)
        stream.write(bytes([byte ^ 1 << bit]))

assert check() is None, "the stick as it was written is good"
said = []
for each in flips:
    flip(*each)
    said.append(check())
    flip(*each)
assert check() is None, "the stick is good again"
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def old(lab):
    return systems.build(lab, "alpha", "1.0", DATE)


@pytest.fixture
def stick(lab):
    folder = written(lab, "bits", {"alpha": systems.build(lab, "alpha", "1.1", DATE + DAY)})
    yield folder
    installs.discard(lab, "bits")


def positions(folder):
    """Places on a stick, by chance over its bytes, and one in every file."""
    chance = random.Random(SEED)
    files = [each for each in sorted(folder.rglob("*")) if each.is_file()]
    sizes = [each.stat().st_size for each in files]
    chosen = [*range(len(files)), *chance.choices(range(len(files)), sizes, k=FLIPS - len(files))]
    chance.shuffle(chosen)
    return [
        (str(files[i].relative_to(folder)), chance.randrange(sizes[i]), chance.randrange(8)) for i in chosen
    ]


def test_a_bit_is_flipped_anywhere(lab, target, old, stick):
    machine = target("alpha", system=old)
    place = machine.plug("bits")
    flips = positions(stick)
    assert len(flips) == FLIPS
    before, content = held(machine), {name: about[-1] for name, about in installs.files(stick).items()}

    asked = ["env", "PYTHONPATH=/opt/nixel-update", "python3", "-c", _VERIFY, str(place)]
    said = json.loads(machine.run(asked, input=json.dumps(flips), within=240))
    assert [flip for flip, words in zip(flips, said, strict=True) if words is None] == []
    kinds = {name.rpartition("/")[2].rpartition(".")[2] for name, *_ in flips}
    assert kinds == {"txt", "narinfo", "xz", "json", "sig", "nix-cache-info"}
    assert held(machine) == before
    assert {name: about[-1] for name, about in installs.files(stick).items()} == content

    for name, where, bit in flips[:THROUGH_THE_COMMAND]:
        spoil(stick / name, where, bit)
        done = installs.install(machine, place)
        assert (done.returncode, done.stdout) == (2, ""), (name, where, bit, done.stderr)
        spoil(stick / name, where, bit)
    installs.untouched(machine, before, *["refused"] * THROUGH_THE_COMMAND)
    assert installs.install(machine, place).returncode == 0


def spoil(file, where, bit):
    """Flip a bit; once more, and it is as it was."""
    content = bytearray(file.read_bytes())
    content[where] ^= 1 << bit
    file.write_bytes(content)
