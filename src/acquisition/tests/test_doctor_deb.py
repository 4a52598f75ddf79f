"""The doctor on .debs: honest ones, and those that want something else than to be read."""

import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from elf_files import ar, archive, compiled, deb, everything_below, for_machine, link, of_kind, only, packed

from nixel.acquisition.doctor.deb import DebError, read_deb
from nixel.acquisition.doctor.examine import Doctor, DoctorError
from nixel.acquisition.doctor.findings import Severity
from nixel.acquisition.doctor.packages import deb_place, debian_library
from nixel.acquisition.doctor.report import as_text

RULES = """# RUN+="/opt/no/comment"
SUBSYSTEM=="usb", ATTR{idVendor}=="1234", GROUP="acme", MODE="0660", RUN+="/opt/acme/bin/reset %k"
SUBSYSTEM=="usb", RUN+="/usr/sbin/gone", GROUP="plugdev"
"""
POSTINST = """#!/bin/sh
set -e
# modprobe is not called here
getent group acme || groupadd --system acme
install -m644 /opt/acme/acme.conf /etc/acme.conf
udevadm control --reload-rules
"""
FIELDS = "Package: acme\nArchitecture: amd64\nDepends: libc6 (>= 2.28), libusb-1.0-0, zlib1g |\n other, acme-common\n"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    """A place of its own for temporary files, of which none may be left."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield
    assert not everything_below(place)


@pytest.fixture
def acme(tmp_path):
    """Name to bytes, of a vendor's files: a program and the two libraries that it came with."""
    bus = compiled(
        tmp_path / "build", "libacmebus.so.1", "int bus(void) { return 1; }", "-Wl,-soname,libacmebus.so.1"
    )
    source = (
        "int bus(void);\n"
        'const char *a(void) { return "/opt/acme/lib/libacmebus.so.1"; }\n'
        'const char *b(void) { return "/opt/acme/acme.conf"; }\n'
        "int camera(void) { return bus(); }"
    )
    camera = compiled(tmp_path / "build", "libacme.so.2", source, bus, "-Wl,-rpath,$ORIGIN")
    forgot = compiled(tmp_path / "build", "libforgot.so", "int bus(void);\nint g(void) { return bus(); }")
    return {path.name: path.read_bytes() for path in (bus, camera, forgot)}


def whole(acme):
    return [
        ("./opt/acme/", None),
        ("./opt/acme/lib/", None),
        ("./opt/acme/acme.conf", "x = 1\n"),
        ("./opt/acme/bin/reset", "#!/bin/sh\n"),
        ("./opt/acme/lib/libacmebus.so.1", acme["libacmebus.so.1"]),
        ("./opt/acme/lib/libacme.so.2", acme["libacme.so.2"]),
        link("./opt/acme/lib/libacme.so", "libacme.so.2"),
        ("./lib/udev/rules.d/99-acme.rules", RULES),
    ]


@pytest.mark.parametrize("packing", ["xz", "gz", "bz2", "zst", ""])
def test_a_package_however_it_is_packed(tmp_path, acme, packing):
    report = Doctor().examine(deb(tmp_path / "acme.deb", whole(acme), packing=packing))
    assert report.package == "acme"
    assert {elf.place for elf in report.elves} == {
        "/opt/acme/lib/libacme.so.2",
        "/opt/acme/lib/libacmebus.so.1",
    }
    # Its own library is found by $ORIGIN, where it would be installed.
    assert report.loads


def test_it_can_be_of_dpkgs_own_making(tmp_path, acme):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb on this machine")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    fields = "Version: 1\nMaintainer: N <n@example.com>\nDescription: x\n"
    (root / "DEBIAN/control").write_text(f"Package: acme\nArchitecture: all\n{fields}")
    library = root / "usr/lib/libforgot.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(acme["libforgot.so"])
    for packing in ("xz", "gzip", "zstd", "none"):
        made = tmp_path / f"{packing}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", f"-Z{packing}", "--build", root, made], check=True)
        assert only(Doctor().examine(made), "symbol").items == ("bus",)


def test_what_the_vendor_forgot(tmp_path, acme):
    entries = [*whole(acme), ("./opt/acme/plugins/libforgot.so", acme["libforgot.so"])]
    report = Doctor().examine(deb(tmp_path / "acme.deb", entries))
    finding = only(report, "symbol")
    assert finding.file == "/opt/acme/plugins/libforgot.so"
    assert finding.facts["provider"]["where"] == "package"
    assert finding.facts["provider"]["place"] == "/opt/acme/lib/libacmebus.so.1"
    assert 'alsoNeeds."opt/acme/plugins/libforgot.so" = [ "libacmebus.so.1" ];' in report.advice.from_deb()
    # It is the package's own: no package of nixpkgs is named for it.
    assert finding.advice.libraries == ()


def test_what_it_names(tmp_path, acme):
    report = Doctor().examine(deb(tmp_path / "acme.deb", whole(acme)))
    found = {finding.items: finding.severity for finding in of_kind(report, "place") if finding.items}
    assert found == {
        ("/opt/acme/acme.conf",): Severity.RISK,
        ("/opt/acme/lib/libacmebus.so.1",): Severity.NOTE,
        ("/usr/sbin/gone",): Severity.RISK,
    }
    assert report.advice.may_name_old_places == ("opt/acme/lib/libacme.so.2",)
    assert report.advice.nixos == ("services.udev.packages = [ acme ];", "users.groups.acme = { };")


def test_its_scripts_and_what_it_depends_on(tmp_path, acme):
    made = deb(tmp_path / "acme.deb", whole(acme), control=[("./postinst", POSTINST)], fields=FIELDS)
    report = Doctor().examine(made)
    script = only(report, "script")
    assert script.facts["does"] == ["makes a group", "tells udev of new rules", "writes to /etc/acme.conf"]
    assert set(script.advice.nixos) == {"users.groups.GROUP = { };", "services.udev.packages = [ acme ];"}
    assert only(report, "dependency").facts["depends"] == {
        "libusb-1.0-0": "libusb1",
        "zlib1g": "zlib",
        "acme-common": None,
    }
    assert "postinst" in as_text(report)


@pytest.mark.parametrize(
    ("package", "library"),
    [
        ("libusb-1.0-0", "libusb-1.0.so.0"),
        ("libssl3t64", "libssl.so.3"),
        ("libboost-filesystem1.74.0", "libboost_filesystem.so.1.74.0"),
        ("libhdf5-103", "libhdf5.so.103"),
        ("libstdc++6", "libstdc++.so.6"),
        ("python3", None),
        ("adduser", None),
    ],
)
def test_debians_names_of_libraries(package, library):
    assert debian_library(package) == library


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/usr/local/lib/libx.so.1", "lib/libx.so.1"),
        ("/usr/lib/x86_64-linux-gnu/libx.so", "lib/libx.so"),
        ("/usr/sbin/x", "bin/x"),
        ("/opt/acme/lib/libx.so", "opt/acme/lib/libx.so"),
    ],
)
def test_places_are_named_as_from_deb_has_them(old, new):
    assert deb_place(old) == new


def test_a_link_to_what_the_package_lacks(tmp_path, acme):
    entries = [*whole(acme), link("./usr/lib/libother.so", "../../opt/other/libother.so.1")]
    finding = only(Doctor().examine(deb(tmp_path / "acme.deb", entries)), "package")
    assert finding.severity is Severity.RISK
    assert finding.facts == {"target": "/opt/other/libother.so.1"}


def test_folders_that_are_links(tmp_path, acme):
    """The library is needed by a folder that is a link, as Debian's /lib is."""
    source = "int bus(void);\nint g(void) { return bus(); }"
    bus = tmp_path / "build/libacmebus.so.1"
    user = compiled(tmp_path, "user.so", source, bus, "-Wl,-rpath,/srv/acme/current/lib").read_bytes()
    entries = [
        ("./srv/acme/v2/lib/libacmebus.so.1", acme["libacmebus.so.1"]),
        link("./srv/acme/current", "v2"),
        ("./usr/lib/user.so", user),
    ]
    report = Doctor().examine(deb(tmp_path / "acme.deb", entries))
    assert not of_kind(report, "library")
    assert not of_kind(report, "symbol")
    # Links that go in a circle end.
    circle = [link("./srv/acme/current", "other"), link("./srv/acme/other", "current"), entries[-1]]
    assert only(Doctor().examine(deb(tmp_path / "circle.deb", circle)), "library")


def test_all_of_it_for_another_machine(tmp_path, acme):
    number = 183 if os.uname().machine != "aarch64" else 62
    for_machine(tmp_path / "build/libforgot.so", tmp_path / "other.so", number)
    made = deb(tmp_path / "acme.deb", [("./usr/lib/other.so", (tmp_path / "other.so").read_bytes())])
    assert only(Doctor().examine(made), "machine").severity is Severity.FAULT


class TestHostile:
    """Whatever is in a .deb: nothing is written beside the folder that is its own, and the answer comes soon."""

    def refused(self, path, says, **options):
        before = everything_below(path.parent) - {"temporary"}
        with pytest.raises(DoctorError, match=says) as error:
            Doctor(**options).examine(path)
        assert str(path) in str(error.value)
        assert {name for name in everything_below(path.parent) if not name.startswith("temporary")} == before

    def test_names_that_lead_out(self, tmp_path, acme):
        elf = acme["libforgot.so"]
        entries = [("../../escaped.so", elf), ("/absolute.so", elf), ("./a/../../escaped.so", elf)]
        before = everything_below(tmp_path)
        report = Doctor().examine(deb(tmp_path / "x.deb", entries))
        assert everything_below(tmp_path) - before == {"x.deb"}
        assert not Path("/absolute.so").exists()
        assert [finding.severity for finding in of_kind(report, "package")] == [
            Severity.FAULT,
            Severity.FAULT,
        ]
        assert {elf.place for elf in report.elves} == {"/absolute.so"}

    def test_a_link_and_a_file_through_it(self, tmp_path, acme):
        outside = tmp_path / "outside"
        outside.mkdir()
        entries = [link("./usr/lib", str(outside)), ("./usr/lib/x.so", acme["libforgot.so"])]
        Doctor().examine(deb(tmp_path / "x.deb", entries))
        assert not everything_below(outside)
        # Nor is a link to a file of this machine written through.
        target = tmp_path / "precious"
        target.write_text("mine")
        entries = [link("./x.so", str(target)), ("./x.so", acme["libforgot.so"])]
        Doctor().examine(deb(tmp_path / "y.deb", entries))
        assert target.read_text() == "mine"

    def test_devices_and_hard_links(self, tmp_path, acme):
        device = tarfile.TarInfo("./dev/null0")
        device.type = tarfile.CHRTYPE
        hard = tarfile.TarInfo("./usr/lib/shadow.so")
        hard.type, hard.linkname = tarfile.LNKTYPE, "/etc/shadow"
        report = Doctor().examine(deb(tmp_path / "x.deb", [device, hard, ("./x.so", acme["libforgot.so"])]))
        assert "neither file, folder nor link" in only(report, "package").text
        assert {elf.place for elf in report.elves} == {"/x.so"}

    @pytest.mark.parametrize("packing", ["xz", "gz", "bz2", "zst"])
    def test_a_bomb(self, tmp_path, packing):
        zeros = tarfile.TarInfo("./zeros")
        zeros.size = 64 << 20
        data = packed(zeros.tobuf() + bytes(zeros.size) + bytes(1024), packing)
        assert len(data) < 1 << 20
        path = deb(tmp_path / "bomb.deb", data, packing=packing)
        self.refused(path, f"unpacks to more than {32 << 20} B", limit=32 << 20)

    def test_a_bomb_that_is_a_library_fills_no_disk(self, tmp_path):
        library = tarfile.TarInfo("./x.so")
        library.size = 64 << 20
        data = packed(library.tobuf() + b"\x7fELF" + bytes(library.size - 4) + bytes(1024), "gz")
        path = deb(tmp_path / "bomb.deb", data, packing="gz")
        folder = tmp_path / "unpacked"
        folder.mkdir()
        with pytest.raises(DebError, match="unpacks to more than"):
            read_deb(path, folder, 8 << 20)
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 8 << 20

    def test_a_sparse_file_of_a_petabyte(self, tmp_path):
        sparse = tarfile.TarInfo("./x.so")
        header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
        header[156:157] = tarfile.GNUTYPE_SPARSE
        header[483:495] = b"\x80" + (1 << 50).to_bytes(11, "big")
        header[148:156] = b"        "
        header[148:156] = b"%06o\0 " % sum(header)
        self.refused(deb(tmp_path / "x.deb", packed(bytes(header) + bytes(1024), "xz")), "sparse")

    def test_a_name_that_a_terminal_would_obey(self, tmp_path):
        info = tarfile.TarInfo("./etc/ld.so.conf.d/\033[2Jx.conf")
        info.size = 2 << 20
        data = packed(info.tobuf() + bytes(info.size + 1024), "xz")
        self.refused(deb(tmp_path / "x.deb", data), "/\N{REPLACEMENT CHARACTER}\\[2Jx.conf has")

    def test_a_header_as_long_as_it_likes(self, tmp_path):
        info = tarfile.TarInfo("./@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
        self.refused(
            deb(tmp_path / "x.deb", packed(info.tobuf() + bytes(4096), "gz"), packing="gz"), "claims"
        )

    def test_control_that_is_too_long(self, tmp_path):
        self.refused(deb(tmp_path / "x.deb", [], fields="Package: x\n" + "X" * (2 << 20)), "at most")

    def test_cut_off_anywhere(self, tmp_path, acme):
        data = deb(tmp_path / "acme.deb", whole(acme)).read_bytes()
        for length in (*range(21, len(data), len(data) // 40), len(data) - 3):
            path = tmp_path / "cut.deb"
            path.write_bytes(data[:length])
            with pytest.raises(DoctorError, match="Download it"):
                Doctor().examine(path)

    def test_damaged_in_the_middle(self, tmp_path, acme):
        # Zstandard's checksum is left out unless it is asked for.
        for packing in ("xz", "gz", "bz2"):
            path = deb(tmp_path / "acme.deb", whole(acme), packing=packing)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(data)
            self.refused(path, "cannot be read")

    @pytest.mark.parametrize(
        ("members", "says"),
        [
            ([("debian-binary", b"2.0\n")], "no control.tar and no data.tar"),
            ([("debian-binary", b"2.0\n"), ("control.tar.xz", archive([], "xz"))], "no data.tar"),
            ([("debian-binary", b"2.0\n"), ("data.tar.rar", b"x")], "packed in a way that no .deb is"),
            ([("debian-binary", b"2.0\n"), *[("data.tar.xz", archive([], "xz"))] * 2], "two members"),
            ([("debian-binary", b"2.0\n"), ("data.tar.xz", b"")], "cannot be read"),
            ([("debian-binary", b"2.0\n"), ("data.tar.xz", b"garbage")], "cannot be read"),
        ],
    )
    def test_other_archives(self, tmp_path, members, says):
        path = tmp_path / "x.deb"
        path.write_bytes(ar(*members))
        self.refused(path, says)

    def test_a_member_that_claims_more_than_there_is(self, tmp_path):
        path = deb(tmp_path / "x.deb", [])
        data = path.read_bytes()
        at = data.index(b"data.tar") + 48
        path.write_bytes(data[:at] + b"9999999999" + data[at + 10 :])
        self.refused(path, "cut off")
        path.write_bytes(data[:at] + b"-1        " + data[at + 10 :])
        self.refused(path, "damaged")

    def test_xz_that_wants_all_memory(self, tmp_path):
        import lzma

        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
        data = lzma.compress(bytes(1024), filters=filters)
        self.refused(deb(tmp_path / "x.deb", data), "[Mm]emory")

    def test_an_elf_file_that_is_none(self, tmp_path, acme):
        damaged = bytearray(acme["libforgot.so"])
        damaged[32:40] = struct.pack("<Q", 1 << 60)
        report = Doctor().examine(deb(tmp_path / "x.deb", [("./firmware.bin", bytes(damaged))]))
        assert "damaged" in only(report, "machine").text
        assert report.healthy
