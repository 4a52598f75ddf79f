"""A system's folder becomes a document: what it holds, what it leaves out, how large and how fast."""

import json
import time

import pytest
from made_systems import MadeSystems, store_path

from nixel.update import document
from nixel.update.describe import describe, locate
from nixel.update.refusal import Refusal
from nixel.update.storenames import identifier

SERVICE = "[Unit]\nDescription=nixel safety daemon\n[Service]\nExecStart=/nix/store/a/bin/it\n"


@pytest.fixture
def made(tmp_path):
    return MadeSystems(tmp_path)


def described(made, top, closure=None):
    found = describe(made.place(top), closure or {}, made.root)
    assert json.loads(json.dumps(found)) == found
    return document.parse(found, "it")


def test_says_which_system_it_is(made):
    top = made.system(host="microscope", version="0.5.0", date=1_790_000_000, inhibitors={"dbus": "broker"})
    found = described(made, top, {store_path("zlib-1.3.1"): 100, store_path("bash-5.3p3"): None})
    assert found.path == top
    assert (found.identity.host, found.identity.version) == ("microscope", "0.5.0")
    assert (found.kernel, found.systemd, found.nixos) == ("6.18.37", "259.3", "26.11")
    assert (found.interface, found.inhibitors) == ("systemd 2", {"dbus": "broker"})
    assert found.parameters == ("loglevel=4", "quiet")
    assert set(found.parts) == {"kernel", "kernel-modules", "initrd"}
    assert found.packages == {"bash": ["5.3p3"], "zlib": ["1.3.1"]}
    assert found.paths == {
        identifier(store_path("zlib-1.3.1")): 100,
        identifier(store_path("bash-5.3p3")): -1,
    }


def test_follows_links_to_the_system_inside_the_machine_alone(made):
    top = made.system()
    made.link("/run/current-system", top)
    made.link("/nix/var/nix/profiles/system-3-link", top)
    made.link("/nix/var/nix/profiles/system", "system-3-link")
    assert locate(made.place("/run/current-system"), made.root) == top
    assert locate(made.place("/nix/var/nix/profiles/system"), made.root) == top


@pytest.mark.parametrize("what", ["absent", "no store path", "no system", "another machine's"])
def test_refuses_what_is_no_system(made, tmp_path, what):
    made.system()
    place = {
        "absent": made.place("/run/current-system"),
        "no store path": made.place("/nix"),
        "no system": made.place(store_path("linux-6.18.37")),
        "another machine's": tmp_path.parent,
    }[what]
    with pytest.raises(Refusal, match="Name the folder of a NixOS system"):
        locate(place, made.root)


def test_units_with_drop_ins_instances_aliases_and_masks(made):
    units = {
        "nixel-safety.service": SERVICE,
        "nixel-safety.service.d/overrides.conf": "[Service]\nX-StopIfChanged=false\n",
        "getty@.service": "[Service]\nExecStart=/getty %i\nX-RestartIfChanged=false\n",
        "getty@tty2.service.d/overrides.conf": "[Service]\nUser=x\n",
        "masked.service": None,
    }
    top = made.system(units=units, wants=[("multi-user.target", "nixel-safety.service")])
    folder = store_path("system-units", "")
    made.link(f"{folder}/getty.target.wants/getty@tty1.service", "../getty@.service")
    made.link(f"{folder}/dbus-safety.service", "nixel-safety.service")
    found = described(made, top).units
    assert set(found) == {
        "nixel-safety.service",
        "getty@.service",
        "getty@tty1.service",
        "getty@tty2.service",
    }
    safety = found["nixel-safety.service"]
    assert safety.description == "nixel safety daemon"
    assert safety.when_changed.value == "restart"
    assert safety.wanted
    assert found["getty@tty1.service"].digest == found["getty@.service"].digest
    assert found["getty@tty2.service"].digest != found["getty@.service"].digest
    assert (found["getty@tty1.service"].wanted, found["getty@.service"].wanted) == (True, False)


def test_a_mere_store_path_in_a_unit_is_a_change(made):
    old, new = (
        described(made, made.system(salt, units={"it.service": SERVICE.replace("/a/", f"/{salt}/")})).units
        for salt in ("1", "2")
    )
    assert old["it.service"].digest != new["it.service"].digest


def test_files_below_etc_by_content_with_their_modes(made):
    path = store_path("bash-5.3p3")
    other = store_path("bash-5.3p4")
    base = {"a.conf": "a", "ssh/sshd_config": "Port 22", "shells": f"{path}/bin/bash"}
    old = described(made, made.system("1", etc=base, modes={"a.conf": "0600"})).etc
    same = described(made, made.system("2", etc=base, modes={"a.conf": "0600"})).etc
    new = made.system("3", etc={**base, "shells": f"{other}/bin/bash"}, modes={"a.conf": "0644"})
    new = described(made, new).etc
    assert set(old) == {"a.conf", "ssh/sshd_config", "shells"}
    assert old == same
    assert old["a.conf"] != new["a.conf"]
    assert old["ssh/sshd_config"] == new["ssh/sshd_config"]
    assert (old["shells"][0] == new["shells"][0], old["shells"][1] == new["shells"][1]) == (False, True)


def test_links_out_of_the_store_are_told_and_not_followed(made):
    made.write("/proc/mounts", "this machine's")
    top = made.system()
    made.link(f"{store_path('etc', '')}/etc/mtab", "/proc/mounts")
    before = described(made, top).etc
    made.place("/proc/mounts").write_text("now another")
    assert described(made, top).etc == before != {}


def test_a_package_s_folder_is_looked_through_if_it_is_small(made):
    for name, count in (("small", 3), ("large", 200)):
        for number in range(count):
            made.write(f"{store_path(name)}/{number}.rules")
    top = made.system()
    for name in ("small", "large"):
        made.link(f"{store_path('etc', '')}/etc/{name}", store_path(name))
    assert set(described(made, top).etc) == {"small/0.rules", "small/1.rules", "small/2.rules", "large/"}


def test_a_cycle_of_links_ends(made):
    top = made.system()
    made.link(f"{store_path('etc', '')}/etc/loop", store_path("loop"))
    made.link(store_path("loop"), store_path("loop"))
    assert "loop" in described(made, top).etc


def test_file_systems(made):
    fstab = "# made by NixOS\n/dev/a /var ext4 rw,noatime 0 2\nnone / tmpfs\n/dev/s none swap\n"
    assert described(made, made.system(fstab=fstab)).mounts == {
        "/var": ["/dev/a", "ext4", "rw,noatime"],
        "/": ["none", "tmpfs", ""],
    }


@pytest.fixture
def large(made):
    """As large as an instrument's system: 2,000 paths, 400 units, 1,000 files below /etc."""
    units = {f"unit-{number}.service": SERVICE + f"Nice={number}\n" * 30 for number in range(400)}
    etc = {
        f"folder-{number % 30}/a-file-with-a-name-{number}.conf": f"{number}\n" * 100
        for number in range(1000)
    }
    top = made.system(units=units, etc=etc, wants=[("multi-user.target", name) for name in units])
    closure = {store_path(f"python3.13-package{number}-1.2.{number}"): 10**6 for number in range(2000)}
    return top, closure


def test_a_large_system_is_described_within_a_second_and_a_mebibyte(made, large):
    top, closure = large
    began = time.process_time()
    found = describe(made.place(top), closure, made.root)
    taken = time.process_time() - began
    sizes = {table: len(found[table]) for table in document.TABLES}
    assert sizes == {"packages": 2000, "paths": 2000, "units": 400, "etc": 1000}
    assert found["left_out"] == {}
    assert len(json.dumps(found)) < document.MOST_BYTES
    assert taken < 1.0


def test_what_does_not_fit_is_counted(made, large):
    top, closure = large
    whole = document.parse(describe(made.place(top), closure, made.root), "it")
    cut = document.bounded(whole, 50_000)
    assert len(json.dumps(cut)) <= 50_000
    assert cut["left_out"]
    for table in document.TABLES:
        assert len(cut[table]) + cut["left_out"].get(table, 0) == len(getattr(whole, table))
    assert document.parse(cut, "it").left_out == cut["left_out"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("path", 1),
        ("packages", {"a": "1"}),
        ("paths", {"a": "1"}),
        ("paths", {"a": True}),
        ("units", {"a": {}}),
        ("units", {"a": {"digest": "x", "when_changed": "perhaps"}}),
        ("units", {"a": {"digest": "x", "when_changed": "leave", "follows": 1}}),
        ("units", {"a": 1}),
        ("etc", {"a": ["1"]}),
        ("mounts", {"/": ["a", "b"]}),
        ("parameters", "quiet"),
        ("identity", {"format": 1}),
    ],
)
def test_a_document_of_another_kind_is_refused(made, key, value):
    found = describe(made.place(made.system()), {}, made.root)
    document.parse(found, "it")
    with pytest.raises(Refusal, match="manifest"):
        document.parse({**found, key: value}, "manifest")
    with pytest.raises(Refusal, match="manifest"):
        document.parse(
            {each: found[each] for each in found if each != key} if key in found else [], "manifest"
        )
