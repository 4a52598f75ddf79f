"""Writing sticks on the developer's machine: what is shared, what is left out, and what stays of a broken-off try."""

import json
import re

import installs
import pytest
import systems
from installs import DATE, DAY, KEY, held, install, refused, settled, write, written

HOSTS = [f"host{i}" for i in range(10)]
BIG = 24_000_000


@pytest.fixture(scope="module")
def shared(lab):
    """What the systems of all hosts need."""
    return systems.many_paths(lab, [f"shared-{i}" for i in range(60)])


@pytest.fixture(scope="module")
def big(lab):
    """A path that takes some seconds to write: nothing can be compressed."""
    return lab.developer.run(
        f"head -c {BIG} /dev/urandom > /root/big && nix store add --mode flat /root/big"
    ).strip()


@pytest.fixture
def named(lab):
    """A name for a stick that is thrown away at the end."""
    made = []

    def name(what):
        made.append(what)
        return what

    yield name
    for each in made:
        installs.discard(lab, each)


def closure(lab, *paths):
    """What systems consist of: each path with the hash of its archive."""
    found = json.loads(lab.developer.run(["nix", "path-info", "--recursive", "--json", *paths]))
    return {path: about["narHash"] for path, about in found.items()}


def narinfos(folder):
    return {
        re.search("^StorePath: (.*)$", each.read_text(), re.MULTILINE)[1]
        for each in (folder / "cache").glob("*.narinfo")
    }


def archives(folder):
    return sorted(each.name for each in (folder / "cache" / "nar").iterdir())


def test_ten_hosts_share_what_they_have_in_common(lab, target, named, shared):
    offers = {host: systems.build(lab, host, "1.1", DATE + DAY, extra=[shared]) for host in HOSTS}
    folder = written(lab, named("ten"), offers)
    union = closure(lab, *offers.values())
    alone = sum(len(closure(lab, path)) for path in offers.values())
    assert alone > 8 * len(union), "otherwise nothing is shared"
    assert narinfos(folder) == set(union)
    # Two paths with the same content share an archive as well.
    assert len(archives(folder)) == len(set(union.values()))
    assert sorted(each.name for each in (folder / "hosts").iterdir()) == sorted(HOSTS)

    before = installs.files(folder)
    again = write(lab, "ten", offers)
    assert again.returncode == 0, again.stderr
    assert f"0 store paths written, {len(union)} were there already" in again.stdout
    after = installs.files(folder)
    # When a manifest was made stands in it: those alone are new.
    assert {name for name in after if after[name] != before.get(name)} <= {
        f"hosts/{host}{file}" for host in HOSTS for file in ("", "/manifest.json", "/manifest.sig")
    }

    machine = target("host7", system=systems.build(lab, "host7", "1.0", DATE, extra=[shared]))
    assert install(machine, machine.plug("ten", read_only=True)).returncode == 0
    assert held(machine).standing.running == offers["host7"]


def test_what_the_machines_have_is_left_out(lab, target, named, shared):
    old = systems.build(lab, "alpha", "1.0", DATE, extra=[shared])
    new = systems.build(lab, "alpha", "1.1", DATE + DAY, extra=[shared], packages={"imaging": "1.1"})
    folder = written(lab, named("since"), {"alpha": new}, "--since", old)
    assert narinfos(folder) == set(closure(lab, new)) - set(closure(lab, old))
    assert not [path for path in narinfos(folder) if "shared-" in path]
    on_it = installs.files(folder)

    machine = target("alpha", system=old)
    place = machine.plug("since", read_only=True)
    assert install(machine, place).returncode == 0
    settled(machine, new, booted=old, verdict="kept")

    bare = systems.build(lab, "alpha", "0.9", DATE - DAY, packages={"imaging": "0.9"})
    other = target("other", system=bare)
    said = refused(
        other, other.plug("since"), f"This stick leaves out what {old} consists of, and this machine lacks "
    )
    assert "Have a stick written without --since." in said
    assert installs.files(folder) == on_it


def test_a_writing_that_is_killed_is_continued(lab, target, named, shared, big):
    old = systems.build(lab, "alpha", "1.0", DATE, extra=[shared])
    new = systems.build(lab, "alpha", "1.1", DATE + DAY, extra=[shared, big])
    folder = written(lab, named("usb"), {"alpha": old})
    good = installs.files(folder)
    command = (
        f"/opt/nixel/deploy.sh usb write /lab/sticks/usb alpha --system alpha={new} --key /root/{KEY}.key"
    )
    writing = lab.developer.begin(
        f"exec systemd-run --unit=writing --quiet --collect --pipe --wait --setenv=HOME=/root {command}"
    )
    said = ""
    while " left\n" not in said:
        line = writing.stderr.readline()
        assert line, said
        said += line
    assert re.search(r"^Writing: [\d.]+ [kM]?B(ytes)? of 24\.0 MB, \d+ s left$", said, re.MULTILINE), said
    lab.developer.run("systemctl kill --signal=KILL writing")
    assert writing.wait(30) != 0
    writing.communicate()

    # What was on it is on it still, and good.
    now = installs.files(folder)
    assert {
        name: now.get(name, ("", "", "", ""))[1::2] for name in good if name not in ("cache", "cache/nar")
    } == {name: about[1::2] for name, about in good.items() if name not in ("cache", "cache/nar")}
    machine = target("alpha", system=systems.build(lab, "alpha", "0.9", DATE - DAY))
    place = machine.plug("usb")
    offer = machine.run(["nixel-update", "offer", str(place)])
    assert "Offered: nixel 1.0 for alpha" in offer

    done = write(lab, "usb", {"alpha": new})
    assert done.returncode == 0, done.stderr
    (told,) = re.findall(r"(\d+) store paths written, (\d+) were there already", done.stdout)
    assert int(told[1]) >= len(closure(lab, old)) - 3, "all that is shared with the old system was there"
    assert int(told[0]) + int(told[1]) == len(closure(lab, new))
    assert "Reading back: 24.0 MB of 24.0 MB" in done.stderr
    assert not [name for name in archives(folder) if name.endswith(".part")]
    assert install(machine, place).returncode == 0
    assert held(machine).standing.running == new


def test_a_stick_that_is_too_small_or_write_protected(lab, target, named, shared, big):
    old = systems.build(lab, "alpha", "1.0", DATE, extra=[shared])
    new = systems.build(lab, "alpha", "1.1", DATE + DAY, extra=[shared, big])
    place = lab.folder / "sticks" / named("small")
    lab.stick("small")
    lab.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place])
    try:
        folder = lab.seen(place)
        assert write(lab, "small", {"alpha": old}).returncode == 0
        manifest = (folder / "hosts/alpha/manifest.json").read_bytes()
        full = write(lab, "small", {"alpha": new})
        assert full.returncode == 1
        assert "The stick could not be written" in full.stderr
        assert "No space left on device" in full.stderr
        assert "Make room or take another stick" in full.stderr
        assert "Traceback" not in full.stderr
        assert (folder / "hosts/alpha/manifest.json").read_bytes() == manifest
        assert not list(folder.rglob("*.part"))

        lab.run(["mount", "-o", "remount,ro", place])
        before = installs.files(folder)
        protected = write(lab, "small", {"alpha": new})
        assert protected.returncode == 1
        assert "Read-only file system" in protected.stderr
        assert "Traceback" not in protected.stderr
        assert installs.files(folder) == before

        # What is whole stays good.
        machine = target("alpha", system=systems.build(lab, "alpha", "0.9", DATE - DAY))
        assert install(machine, machine.plug("small")).returncode == 0
        settled(machine, old, booted=held(machine).standing.booted, verdict="kept")
        machine.pull_all()
    finally:
        lab.run(["umount", "--lazy", place])


def test_a_folder_that_holds_other_things(lab, named):
    folder = lab.stick(named("holiday"))
    for name in ("DCIM/1.jpg", "hosts.txt", "cache/mine.txt", "cache/nar/mine.xz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    before = {name: about for name, about in installs.files(folder).items() if about[-1]}
    done = write(lab, "holiday", {"alpha": systems.build(lab, "alpha", "1.0", DATE)})
    assert done.returncode == 0, done.stderr
    after = installs.files(folder)
    assert {name: after.get(name) for name in before} == before


def test_what_cannot_be_right_is_refused_before_the_stick_is_touched(lab, named):
    folder = lab.stick(named("none"))
    alpha = systems.build(lab, "alpha", "1.0", DATE)
    for offers, options, words in (
        ({"beta": alpha}, (), "was made for alpha, not for beta"),
        ({"alpha": alpha}, ("--since", "/nix/store/" + "a" * 32 + "-x"), "is not in the store"),
        ({"alpha": alpha}, ("--note",), "wants a value"),
    ):
        done = write(lab, "none", offers, *options)
        assert (done.returncode != 0, words in done.stderr) == (True, True), done.stderr
        assert "Traceback" not in done.stderr
        assert list(folder.iterdir()) == []
