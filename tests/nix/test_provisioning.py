"""The provisioning module in a small system: what it refuses, what its units say, where the system looks."""

import re
import shutil
import subprocess

import minimal_systems
import nix_tools
import pytest
from minimal_systems import bad, evaluate, properties, words

STATE = "/var/lib/nixel-provision"
# What a system with provisioning needs besides; nixel.base sets it, and these tests look at one module.
WITH = """
  users = { mutableUsers = false; allowNoPasswordLogin = true; };
  services.userborn.enable = true;
  networking.useNetworkd = true;
  nixel.provisioning.enable = true;
"""

BAD = {
    "mutable": (
        WITH.replace("mutableUsers = false;", "mutableUsers = true;"),
        "Set users.mutableUsers = false",
    ),
    "no userborn": (
        WITH.replace("services.userborn.enable = true;", ""),
        "Set services.userborn.enable = true",
    ),
    "scripted network": (
        WITH.replace("networking.useNetworkd = true;", ""),
        "Set networking.useNetworkd = true",
    ),
    "network manager": (
        WITH + "networking.networkmanager.enable = true;",
        "networking.networkmanager.enable = false",
    ),
    "time zone": (WITH + 'time.timeZone = "Europe/Berlin";', "Set time.timeZone = null"),
    "no boot partition": (
        WITH + 'nixel.provisioning.bootPartition = "/boot/firmware";',
        "bootPartition is /boot/firmware, where no file system is mounted",
    ),
    "open boot partition": (
        WITH
        + """nixel.provisioning.bootPartition = "/firmware";
          fileSystems."/firmware" = { device = "/dev/sda1"; fsType = "vfat"; options = [ "nofail" ]; };""",
        'Set fileSystems."/firmware".options = [ "umask=0077" ]',
    ),
    **{
        f"{name} has a {kind}": (
            WITH + f'users.users.{name}.{kind} = "secret";',
            f"users.users.{name}.{kind}: no account has a password before the machine is provisioned",
        )
        for name, kind in (
            ("operator", "initialPassword"),
            ("technician", "password"),
            ("root", "initialHashedPassword"),
            ("operator", "hashedPassword"),
        )
    },
}


@pytest.fixture(scope="module")
def refused(nixpkgs):
    return bad({**BAD, "good": (WITH, ""), "off": ("", "")})


@pytest.mark.parametrize("name", BAD)
def test_a_bad_combination_is_refused_with_what_to_set(refused, name):
    assert any(BAD[name][1] in words(message) for message in refused[name]), refused[name]


def test_a_good_one_is_not_and_none_is_without_the_module(refused):
    assert refused["good"] == []
    assert not any("provisioning" in message for message in refused["off"])


def test_a_locale_that_is_none_is_a_wrong_type(nixpkgs):
    with pytest.raises(nix_tools.NixError, match=r"nixel\.provisioning\.locales"):
        evaluate('(evaluated { nixel.provisioning.locales = [ "german" ]; }).nixel.provisioning.locales')


def test_every_option_is_described_with_an_example(nixpkgs):
    assert minimal_systems.undescribed("nixel.provisioning") == []


@pytest.fixture(scope="module")
def system(nixpkgs):
    return evaluate(
        f"""let config = evaluated {{ {WITH} nixel.provisioning.locales = [ "de_DE.UTF-8" "sv_SE.UTF-8" ]; }}; in {{
          units = builtins.mapAttrs (_: unit: unit.text) {{
            inherit (config.systemd.units) "nixel-provision.service" "nixel-provision-activate.service";
          }};
          etc = builtins.mapAttrs (_: file: {{ source = toString file.source; inherit (file) mode; }}) {{
            inherit (config.environment.etc) hostname "locale.conf" localtime "vconsole.conf"
              "systemd/network/30-nixel-provisioned.network";
          }};
          users = builtins.mapAttrs (_: user: {{ inherit (user) hashedPasswordFile isNormalUser extraGroups
            hashedPassword password initialPassword initialHashedPassword; }})
            {{ inherit (config.users.users) operator technician; }};
          keys = config.services.openssh.authorizedKeysFiles;
          locales = config.i18n.supportedLocales;
          exported = config.system.build.setEnvironment.text;
          tmpfiles = config.systemd.tmpfiles.settings."10-nixel-provision";
          iwd = config.networking.wireless.iwd.enable;
          toplevel = config.system.build.toplevel.drvPath;
        }}"""
    )


def test_the_system_instantiates(system):
    assert nix_tools.on_host(system["toplevel"]).is_file()


def test_the_file_is_applied_only_where_there_is_one_and_before_anyone_enters(system):
    unit = properties(system["units"]["nixel-provision.service"])
    assert unit["ConditionPathExists"] == ["/boot/nixel.toml"]
    assert " ".join(unit["RequiresMountsFor"]).split() == ["/boot", STATE, "/var/lib/iwd"]
    before = " ".join(unit["Before"]).split()
    assert {"network-pre.target", "sshd.service", "systemd-user-sessions.service", "iwd.service"} <= set(
        before
    )
    assert unit["Type"] == ["oneshot"]
    (start,) = unit["ExecStart"]
    assert '/bin/nixel-provision" "apply" "--boot" "/boot" "--interface" "en*"' in start
    assert start.endswith('"--locale" "de_DE.UTF-8" "--locale" "sv_SE.UTF-8"')
    # A technician without a network stands before the screen.
    assert unit["StandardError"] == ["journal+console"]


@pytest.mark.parametrize(("unit", "exposure"), [("nixel-provision", 1.0), ("nixel-provision-activate", 1.5)])
def test_a_service_is_closed(system, unit, exposure, tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine (Debian: apt install systemd)")
    file = tmp_path / f"{unit}.service"
    file.write_text(system["units"][file.name])
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", file],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this machine's systemd-analyze cannot judge unit files offline: {done.stderr.strip()}")
    assert float(found[1]) <= exposure


def test_it_can_write_where_it_must_and_nowhere_else(system):
    unit = properties(system["units"]["nixel-provision.service"])
    assert unit["ProtectSystem"] == ["strict"]
    assert " ".join(unit["ReadWritePaths"]).split() == ["/boot", STATE, "/var/lib/iwd"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["PrivateNetwork"] == ["true"]


def test_what_was_applied_takes_effect_on_every_start(system):
    unit = properties(system["units"]["nixel-provision-activate.service"])
    assert "ConditionPathExists" not in unit
    assert "nixel-provision.service" in " ".join(unit["After"]).split()
    assert "systemd-user-sessions.service" in " ".join(unit["Before"]).split()
    assert unit["ExecStart"][0].endswith('/bin/nixel-provision" "activate"')
    assert unit["CapabilityBoundingSet"] == ["CAP_SYS_ADMIN"]
    # The three commands of the plan: the host name's, and the service manager's.
    path = next(value for value in unit["Environment"] if value.startswith('"PATH='))
    assert "-systemd-" in path
    assert "hostname" in path


def test_the_system_looks_where_the_program_writes(system):
    """Every path here is one that the program's own plan writes."""
    from nixel.update.provision import parse, plan
    from nixel.update.provision.plan import Link, Write

    text = """
        host-name = "a"
        locale = "de_DE.UTF-8"
        time-zone = "UTC"
        keyboard = "de"
        [network]
        address = "dhcp"
        [operator]
        ssh-keys = []
        [technician]
        ssh-keys = []
    """
    written = {effect.path for effect in plan(parse(text)) if isinstance(effect, Write | Link)}
    read = {file["source"] for file in system["etc"].values()}
    read |= {user["hashedPasswordFile"] for user in system["users"].values()}
    read |= {
        key.replace("%u", name) for key in system["keys"] if key.startswith(STATE) for name in system["users"]
    }
    read |= {f"{STATE}/keyboard"}
    assert written == read
    assert f". {STATE}/keyboard" in system["exported"]
    assert f". {STATE}/locale.conf" in system["exported"]
    assert {file["mode"] for file in system["etc"].values()} == {"direct-symlink"}


def test_what_is_declared_holds_until_something_is_provisioned(system):
    seeded = {path: next(iter(rule)) for path, rule in system["tmpfiles"].items()}
    assert seeded == {
        STATE: "d",
        "/var/lib/iwd": "d",
        f"{STATE}/hostname": "C",
        f"{STATE}/locale.conf": "C",
        f"{STATE}/localtime": "L",
        f"{STATE}/vconsole.conf": "C",
    }


def test_accounts_are_declared_and_have_no_password_of_their_own(system):
    for user in system["users"].values():
        assert user["isNormalUser"]
        for kind in ("password", "hashedPassword", "initialPassword", "initialHashedPassword"):
            assert user[kind] is None
    assert "wheel" not in system["users"]["operator"]["extraGroups"]
    assert "wheel" in system["users"]["technician"]["extraGroups"]


def test_the_locales_of_the_file_are_in_the_system(system):
    assert {"de_DE.UTF-8/UTF-8", "sv_SE.UTF-8/UTF-8"} <= set(system["locales"])
    assert system["iwd"]
