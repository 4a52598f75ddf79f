"""Vendors' software: a .deb with the usual faults becomes a package that answers, a stubborn program gets its /usr, and
what cannot be set right is refused in words that say what to declare."""

import base64
import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import nix_tools
import pytest
import vendor_build

DRIVER = nix_tools.ROOT / "tests" / "nix" / "example-driver"
# Published with the release of 3D Slicer 5.10.0 for Linux.
SLICER_URL = "https://slicer-packages.kitware.com/api/v1/item/6911b598ac7b1c95e7934427/download"
SLICER_SHA512 = (
    "2ea56b6f0c027fa73c832b23c34948e69b1b5124edf337a35f6a062f5cb78e7f"
    "eb792c11bc02a4986f26e458ddfd954b00255953018bf6cc7d73834aba9f0267"
)

real = [pytest.mark.slow, pytest.mark.timeout(1800)]


def make_deb(folder, *more):
    for program in ("cc", "dpkg-deb"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine to make the example driver's .deb with")
    deb = folder / "luxmeter.deb"
    subprocess.run([DRIVER / "build", deb, folder, *more], check=True)
    return deb


@pytest.fixture(scope="session")
def deb(tmp_path_factory):
    return make_deb(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="session")
def stubborn_deb(tmp_path_factory):
    return make_deb(tmp_path_factory.mktemp("stubborn"), "stubborn")


@pytest.fixture
def build(nixpkgs, deb, stubborn_deb):
    """Build an attribute of vendor.nix."""
    if vendor_build.why_not():
        pytest.skip(f"Nix, packages built for real: {vendor_build.why_not()}")
    return functools.partial(vendor_build.build, deb=deb, stubbornDeb=stubborn_deb)


def dynamic(path):
    """The loader's entries of a program or library, by kind."""
    said = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
    entries = {}
    for kind, value in re.findall(r"\((\w+)\).*\[(.*)\]", said):
        entries.setdefault(kind, []).append(value)
    return entries


def test_the_example_driver_has_the_usual_faults(deb):
    """Or the tests below would prove nothing."""
    library = deb.parent / "root/usr/local/lib/libluxmeter.so.1.2.0"
    entries = dynamic(library)
    assert entries["RUNPATH"] == ["/usr/local/lib"]
    assert "libz.so.1" not in entries["NEEDED"]
    assert b"\0/usr/local/lib/luxmeter/libluxcalibration.so\0" in library.read_bytes()
    assert "libcuda.so.1" in dynamic(deb.parent / "root/usr/local/lib/luxmeter/libluxgpu.so")["NEEDED"]


def test_the_same_sources_make_the_same_deb(deb, tmp_path):
    assert make_deb(tmp_path).read_bytes() == deb.read_bytes()


class TestFromDeb:
    pytestmark = real

    def test_it_does_not_run_while_its_fault_is_waved_through(self, build):
        status, said = vendor_build.run(f"{build('unmended')}/bin/luxmeter")
        assert status != 0
        assert "undefined symbol: crc32" in said

    def test_it_answers_once_its_faults_are_declared(self, build):
        # cbf43926 is what every CRC-32 answers to "123456789"; 0.25 lux a count, 1000 counts.
        assert vendor_build.run(f"{build('luxmeter')}/bin/luxmeter") == (0, "LUX-1 cbf43926: 250 lx\n")

    def test_another_program_can_load_it(self, build):
        code = (
            "import ctypes, sys; library = ctypes.CDLL(sys.argv[1]); library.lux_identity.restype = ctypes.c_char_p;"
            "library.lux_read.restype = ctypes.c_double; print(library.lux_identity().decode(), library.lux_read())"
        )
        library = f"{build('luxmeter')}/lib/libluxmeter.so.1"
        assert vendor_build.run("/usr/bin/python3", "-c", code, library) == (0, "LUX-1 cbf43926 250.0\n")

    def test_nothing_in_it_looks_outside_of_the_store(self, build):
        package = build("luxmeter")
        entries = dynamic(nix_tools.on_host(package) / "lib/libluxmeter.so.1.2.0")
        assert {"libz.so.1", "libluxbus.so.0"} <= set(entries["NEEDED"])
        folders = entries["RUNPATH"][0].split(":")
        assert f"{package}/lib" in folders
        # Where NixOS has the graphics driver, for the library that may stay missing.
        assert [folder for folder in folders if not folder.startswith("/nix/store/")] == [
            "/run/opengl-driver/lib"
        ]
        for path in nix_tools.on_host(package).rglob("*"):
            if path.is_file():
                assert b"/usr/local" not in path.read_bytes(), path

    def test_texts_name_the_new_places(self, build):
        package = build("luxmeter")
        rules = (nix_tools.on_host(package) / "lib/udev/rules.d/99-luxmeter.rules").read_text()
        assert f'RUN+="{package}/bin/luxmeter-setup"' in rules
        said = f"library = {package}/lib/libluxmeter.so.1\n"
        assert vendor_build.run(f"{package}/bin/luxmeter-setup") == (0, said)

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            # The library that has the symbol is within reach: the line to write is given.
            (
                "symbol",
                [
                    "libluxmeter.so.1.2.0 uses crc32",
                    'alsoNeeds."lib/libluxmeter.so.1.2.0" = [ "libz.so.1" ];',
                ],
            ),
            (
                "library",
                [
                    "libluxmeter.so.1.2.0 uses crc32",
                    "add the package that does",
                    'symbolsFromHost = [ "crc32" ]',
                ],
            ),
            (
                "driver",
                ["libluxgpu.so needs libcuda.so.1", "nix-locate", 'mayStayMissing = [ "libcuda.so.1" ];'],
            ),
            (
                "misnamed",
                ['alsoNeeds."lib/libluxmeter.so.1": the package has no program or library of that name'],
            ),
            ("program", ["programs: there is no opt/luxmeter/viewer"]),
            ("place", ["bin/stubborn still names /usr/local/share/luxmeter/luxmeter.conf", "fhs"]),
        ],
    )
    def test_what_is_not_declared_is_refused_in_words(self, build, fault, says):
        with pytest.raises(nix_tools.NixError) as refused:
            build(f"refused.{fault}")
        for part in says:
            assert part in str(refused.value)
        assert "docs/vendor.md" in str(refused.value)

    def test_it_is_unfree_unless_it_says_otherwise(self, build):
        with pytest.raises(nix_tools.NixError, match="unfree"):
            build("luxmeter", unfree=False)

    def test_the_same_deb_makes_the_same_package(self, build, nixpkgs):
        package = build("luxmeter")
        [derivation] = nixpkgs.run("nix-store", "--query", "--deriver", package).split()
        # Builds it once more and compares.
        nixpkgs.run("nix-store", "--realise", "--check", derivation)


class TestFhs:
    pytestmark = real

    def test_a_stubborn_program_finds_its_place(self, build):
        places = build("stubbornPlaces")
        status, said = vendor_build.run(f"{places}/program")
        assert status == 1
        assert "/usr/local/share/luxmeter/luxmeter.conf: No such file" in said
        # What bubblewrap does with the whole of it.
        inside = f"mount --bind {places}/usr/local /usr/local && exec {places}/program"
        # A private Nix is in a mount namespace of its own already.
        private = nix_tools.prefix() != Path("/")
        fence = [] if private else ["unshare", "--mount", "--map-root-user"]
        status, said = vendor_build.run(*fence, "sh", "-c", inside)
        assert status == 0, said
        assert said.startswith("library = /nix/store/")

    def test_a_place_that_is_not_its_to_make_is_refused(self, nixpkgs):
        call = '(pkgs: (pkgs.fhs { pname = "x"; version = "1"; program = "/x"; places."/etc/x" = "/y"; }).drvPath)'
        with pytest.raises(nix_tools.NixError, match=r"under /usr, /opt and /srv.*found\s.*/etc/x"):
            evaluate_with(nixpkgs, call)


def evaluate_with(nixpkgs, function, system="x86_64-linux"):
    """Apply a function to nixpkgs with our overlay; its JSON."""
    arguments = f'{{ system = "{system}"; overlays = [ (import {nixpkgs.ROOT}/pkgs) ]; }}'
    tree = f'import "{nixpkgs.in_store("nixpkgs")}" {arguments}'
    said = nixpkgs.run("nix", "eval", "--impure", "--json", "--expr", f"{function} ({tree})")
    return json.loads(said)


class TestSlicer:
    def test_it_is_what_its_makers_published(self, nixpkgs):
        derivation = nixpkgs.evaluate("packages.x86_64-linux.slicer.drvPath")
        assert re.fullmatch(r"/nix/store/[^/]+-slicer-5\.10\.0\.drv", derivation)
        needed = nixpkgs.run("nix-store", "--query", "--requisites", derivation).split()
        [source] = [path for path in needed if path.endswith("-Slicer-5.10.0-linux-amd64.tar.gz.drv")]
        [described] = json.loads(nixpkgs.run("nix", "derivation", "show", source)).values()
        attributes = json.loads(described["env"]["__json"])
        assert attributes["urls"] == [SLICER_URL]
        algorithm, digest = attributes["outputHash"].split("-", 1)
        assert (algorithm, base64.b64decode(digest).hex()) == ("sha512", SLICER_SHA512)

    def test_it_is_offered_where_it_runs_only(self, nixpkgs):
        assert "slicer" in nixpkgs.evaluate("packages.x86_64-linux", apply="builtins.attrNames")
        assert "slicer" not in nixpkgs.evaluate("packages.aarch64-linux", apply="builtins.attrNames")
        assert evaluate_with(nixpkgs, "(pkgs: pkgs.slicer.meta.platforms)", "aarch64-linux") == [
            "x86_64-linux"
        ]

    def test_it_finds_a_desktops_libraries_and_a_menu(self, nixpkgs):
        libraries = evaluate_with(
            nixpkgs, "(pkgs: map (each: pkgs.lib.getName each) (pkgs.slicer.args.targetPkgs pkgs))"
        )
        # One for each of what a Qt program with three-dimensional windows asks of a desktop.
        assert {"libx11", "libxcb", "libglvnd", "libxkbcommon", "fontconfig", "dbus", "nss"} <= set(libraries)
        assert "applications" in evaluate_with(nixpkgs, "(pkgs: pkgs.slicer.args.extraInstallCommands)")


ACCEPTED = "nixel.vendor.podman = { enable = true; acceptUnreproducible = true; };"
BAD_OPTIONS = [
    (
        "nixel.vendor.podman.enable = true;",
        ["provenance ends at the image", "nixel.vendor.podman.acceptUnreproducible = true"],
    ),
    (
        "nixel.vendor.virtualbox.enable = true;",
        ["real time suffers", "nixel.vendor.virtualbox.acceptUnreproducible = true"],
    ),
    (
        'nixel.vendor.virtualbox = { enable = true; acceptUnreproducible = true; users = [ "nobody-here" ]; };',
        ["names nobody-here, which is no account", "users.users.NAME"],
    ),
    (
        ACCEPTED + 'virtualisation.oci-containers.containers.viewer.image = "example.org/viewer:latest";',
        ["container viewer is named by a tag", "@sha256:", "imageFile"],
    ),
    (
        ACCEPTED + "virtualisation.oci-containers.containers.viewer ="
        f' {{ image = "example.org/viewer@sha256:{"0" * 64}"; privileged = true; }};',
        ["viewer is privileged", "safety daemon", "privileged = false"],
    ),
]


class TestLastResorts:
    @staticmethod
    def evaluate(nixpkgs, options, function, system="x86_64-linux"):
        tree, module = nixpkgs.in_store("nixpkgs"), nixpkgs.ROOT / "nixos" / "modules" / "vendor.nix"
        rest = (
            '{ system.stateVersion = "26.05"; boot.loader.grub.enable = false;'
            ' fileSystems."/" = { device = "/dev/x"; fsType = "ext4"; }; }'
        )
        machine = (
            f'import "{tree}/nixos/lib/eval-config.nix" '
            f'{{ system = "{system}"; modules = [ {module} {rest} {{ {options} }} ]; }}'
        )
        return json.loads(
            nixpkgs.run("nix", "eval", "--impure", "--json", "--expr", f"({function}) ({machine})")
        )

    def failures(self, nixpkgs, options, **more):
        function = (
            "machine: map (each: each.message)"
            " (builtins.filter (each: !each.assertion) machine.config.assertions)"
        )
        return self.evaluate(nixpkgs, options, function, **more)

    @pytest.mark.parametrize(("options", "says"), BAD_OPTIONS)
    def test_a_bad_choice_is_refused_in_words(self, nixpkgs, options, says):
        [message] = self.failures(nixpkgs, options)
        for part in says:
            assert part in message

    def test_virtualbox_is_refused_on_the_microscope(self, nixpkgs):
        options = "nixel.vendor.virtualbox = { enable = true; acceptUnreproducible = true; };"
        assert "x86_64 only" in "".join(self.failures(nixpkgs, options, system="aarch64-linux"))

    def test_nothing_is_on_by_itself(self, nixpkgs):
        function = (
            "machine: with machine.config.virtualisation; [ podman.enable virtualbox.host.enable"
            " machine.config.nixel.vendor.podman.enable machine.config.nixel.vendor.virtualbox.enable ]"
        )
        assert self.evaluate(nixpkgs, "", function) == [False] * 4

    def test_what_is_accepted_is_there(self, nixpkgs):
        options = (
            "nixel.vendor.podman = { enable = true; acceptUnreproducible = true; };"
            'nixel.vendor.virtualbox = { enable = true; acceptUnreproducible = true; users = [ "operator" ]; };'
            "users.users.operator.isNormalUser = true;"
        )
        assert self.failures(nixpkgs, options) == []
        function = (
            "machine: with machine.config; [ virtualisation.podman.enable virtualisation.virtualbox.host.enable"
            ' (builtins.elem "vboxdrv" boot.kernelModules) users.groups.vboxusers.members ]'
        )
        assert self.evaluate(nixpkgs, options, function) == [True, True, True, ["operator"]]

    def test_every_option_says_what_it_is(self, nixpkgs):
        function = (
            "machine: let inherit (machine.pkgs) lib; in"
            " map (each: { inherit (each) name description; example = each ? example; })"
            " (lib.filter (each: each.visible) (lib.optionAttrSetToDocList machine.options.nixel.vendor))"
        )
        options = self.evaluate(nixpkgs, "", function)
        assert len(options) == 5
        for option in options:
            assert option["description"], option["name"]
            assert option["example"], option["name"]
