"""The update module: what it writes is what the program reads, and nobody gets further with it than is meant."""

import json
import os
import re
import shutil
import subprocess

import minimal_systems
import nix_tools
import pytest

from nixel.update import config, identity
from nixel.update.health import config as health

KEY = "acme-20260501:eIGQXcGQpc00x6/XFcyacLEUmC07u4RAEHt5Y8vdglo="
GOOD = f"""
  nixel.update = {{ enable = true; date = 1790000000; trustedKeys = [ "{KEY}" ]; }};
  boot.loader.systemd-boot.enable = true;
"""
HOSTS = ("scanner", "microscope", "microscope-pi5")

FACTS = """machines: builtins.mapAttrs (_: machine: let inherit (machine) config; cfg = config.nixel.update; in {
  inherit (cfg) identity;
  checks = { format = 1; checks = cfg.checkTables; };
  settings = config.environment.etc."nixel/update.toml".source.value;
  nix = { inherit (config.nix.settings) substituters trusted-public-keys trusted-users require-sigs; };
  sudo = config.security.sudo.configFile;
  tmpfiles = config.systemd.tmpfiles.settings."20-nixel-update-boot" or { };
  pre = config.system.preSwitchChecks;
  builder = config.system.systemBuilderCommands;
  lastModified = cfg.date;
}) (builtins.intersectAttrs { scanner = 1; microscope = 1; microscope-pi5 = 1; } machines)"""


@pytest.fixture(scope="module")
def hosts(nixpkgs):
    return nixpkgs.evaluate("nixosConfigurations", apply=FACTS)


@pytest.mark.parametrize("host", HOSTS)
def test_the_program_understands_the_identity(hosts, host):
    found = identity.parse(hosts[host]["identity"], host)
    assert (found.product, found.host) == ("nixel", host)
    assert found.date > 1_700_000_000
    assert f"{found.version}".startswith("0.")


@pytest.mark.parametrize("host", HOSTS)
def test_the_program_understands_the_checks(hosts, host):
    checks = {each.name: each for each in health.parse(hosts[host]["checks"], host)}
    assert checks["safety-daemon"].check.socket == "/run/nixel/safety.sock"
    assert checks["http-imaging"].check.port == 8642
    assert checks["http-imaging"].check.expect["instrument.name"] == host.removesuffix("-pi5")
    assert checks["clock-system"].check.not_before == hosts[host]["lastModified"]
    assert {"disk-nix", "disk-boot", "disk-var"} <= set(checks)
    # Whether a cable is plugged in says nothing about a system.
    assert "*-wait-online.service" in checks["units-failed"].check.ignored
    assert max(each.within for each in checks.values()) < hosts[host]["settings"]["check-within"]
    if host == "scanner":
        assert checks["devices-instrument"].check.paths == ("/dev/nixel/surveillance",)
    else:
        assert "devices-instrument" not in checks  # its surveillance unit is simulated


@pytest.mark.parametrize("host", HOSTS)
def test_the_program_understands_the_settings(hosts, host):
    found = config.parse({**hosts[host]["settings"], "trusted-keys": [KEY]}, host)
    assert found.keep_generations == 5
    # As it is, it trusts nobody; its other commands, and its unit at every start, read the same file.
    assert config.parse(hosts[host]["settings"], host).trusted_keys == ()


@pytest.mark.parametrize("host", HOSTS)
def test_a_system_carries_its_identity_and_its_checks(hosts, host):
    assert re.search(r"cp /nix/store/\S+-system.json \$out/nixel/system.json", hosts[host]["builder"])
    assert re.search(r"cp /nix/store/\S+-health \$out/nixel/health", hosts[host]["builder"])


@pytest.mark.parametrize("host", HOSTS)
def test_only_root_is_trusted_and_nobody_is_asked(hosts, host):
    assert hosts[host]["nix"] == {
        "substituters": [],
        "trusted-public-keys": [],
        "trusted-users": ["root"],
        "require-sigs": True,
    }


def test_the_choice_of_the_next_start_is_synchronous_on_a_card(hosts):
    for host in ("microscope", "microscope-pi5"):
        for folder in ("/boot/nixos", "/boot/extlinux"):
            assert hosts[host]["tmpfiles"][folder]["h"]["argument"] == "+S"
    assert hosts["scanner"]["tmpfiles"] == {}
    assert "rm -f /boot/loader/loader.tmp" in hosts["scanner"]["pre"]["nixelLeftovers"]


# --- what the service group may have done as root ---

PROGRAM = "/run/current-system/sw/bin/nixel-update"
MAY = [
    "status",
    "status --json",
    "history --json",
    "offer /run/nixel-update/stick",
    "offer",
    "offer /media/x --allow-older --all",
    "set-clock 2026-05-01 14:30",
    "install",
    "install --yes",
    "install /run/nixel-update/stick --yes --allow-older",
    "install --offer 20260501-a1b2 --yes --asks-confirmation",
    "receive --allow-older",
    "diff /run/current-system - --json",
    "confirm",
    "confirm 20260501-a1b2 --wait",
    "rollback --yes",
    "rollback --offer",
]
MAY_NOT = [
    "",
    "run 1",
    "resume",
    "health check --config /home/technician/checks.json",
    "install --config /home/technician/update.toml",
    "install /x --config /y",
    "install --root /x",
    "install relative",
    "install /x /y",
    "install /x;sh",
    "install /x\n--root /",
    "install --offer --root",
    "confirm --root",
    "status --root /home/technician",
    "diff /run/current-system /etc/shadow",
    "diff /etc/shadow -",
    "set-clock $(reboot)",
    "describe /etc",
    "stick write /x --key /etc/shadow",
    "offer relative",
]


@pytest.fixture(scope="module")
def rules(hosts):
    """The regular expressions of the arguments."""
    (line,) = (row for row in hosts["scanner"]["sudo"].splitlines() if row.startswith("%nixel-service"))
    commands = line.split("(ALL:ALL)")[1].split(", ") if "(ALL:ALL)" in line else line.split(", ")
    found = [re.search(r"NOPASSWD:NOSETENV: (\S+) \^(.*)\$$", each.strip()) for each in commands]
    assert all(found), line
    assert {match[1] for match in found} == {PROGRAM}
    return [match[2] for match in found]


def test_what_the_service_group_may_and_may_not(rules):
    def allowed(arguments):
        return any(re.fullmatch(rule, arguments) for rule in rules)

    assert [each for each in MAY if not allowed(each)] == []
    assert [each for each in MAY_NOT if allowed(each)] == []


def test_sudo_understands_its_rules(hosts, tmp_path):
    visudo = shutil.which("visudo", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if visudo is None:
        pytest.skip("no visudo on this machine (Debian: apt install sudo)")
    file = tmp_path / "sudoers"
    file.write_text(hosts["scanner"]["sudo"] + "\n")
    file.chmod(0o440)
    done = subprocess.run([visudo, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- a system of another machine ---


@pytest.mark.parametrize(
    ("running", "passes"),
    [
        ({"product": "nixel", "host": "scanner"}, True),
        ({"product": "nixel", "host": "microscope"}, False),
        ({"product": "acme", "host": "scanner"}, False),
        (None, True),  # nothing to compare with, as on a machine that is installed for the first time
    ],
)
def test_a_system_for_another_machine_refuses_to_be_switched_to(hosts, tmp_path, running, passes):
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("no jq on this machine (Debian: apt install jq)")
    file = tmp_path / "system.json"
    if running is not None:
        file.write_text(json.dumps({"format": 1, **running}))
    script = re.sub(r"/nix/store/\S+/bin/jq", jq, hosts["scanner"]["pre"]["nixelHost"])
    assert script.count("/run/current-system/nixel/system.json") == 1
    script = script.replace("/run/current-system/nixel/system.json", str(file))
    shell = ["bash", "-euo", "pipefail", "-c", script, "check", "/nix/store/incoming", "test"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is passes, done
    if not passes:
        assert f"{running['product']} {running['host']}" in done.stdout
        assert "nixel scanner" in done.stdout
        assert "Take the system that was made for this machine" in done.stdout


# --- a stick is plugged in ---


@pytest.fixture(scope="module")
def scripts(nixpkgs):
    """The programs that announce a stick and take that back."""
    return nixpkgs.evaluate(
        "nixosConfigurations",
        apply="""machines:
          let unit = machines.scanner.config.systemd.services."nixel-update-offer@".serviceConfig; in
          { announce = unit.ExecStart.text; withdraw = unit.ExecStopPost.text; }""",
    )


@pytest.fixture
def machine(scripts, tmp_path):
    """Runs one of them on a machine whose /run is a folder of the test's, with a nixel-update that says something."""
    run = tmp_path / "run"
    for folder in ("nixel-update/stick", "issue.d", "bin"):
        (run / folder).mkdir(parents=True)

    def call(name, says="", status=0):
        (run / "says").write_text(says)
        program = run / "bin" / "nixel-update"
        program.write_text(f'#!/bin/sh\necho "$*" > {run}/asked\ncat {run}/says\nexit {status}\n')
        program.chmod(0o755)
        text = re.sub(r"^#!.*\n", "", scripts[name]).replace("/run/", f"{run}/")
        environment = {"PATH": f"{run}/bin:/usr/bin:/bin"}
        subprocess.run(["bash", "-c", text], env=environment, check=True)
        return run

    return call


def test_a_stick_is_announced_and_nothing_is_installed(machine):
    run = machine("announce", "This machine is scanner.\nOffered: 2.3\n")
    assert (run / "asked").read_text() == f"offer {run}/nixel-update/stick\n"
    motd = (run / "nixel-update" / "motd").read_text()
    assert "\nOffered: 2.3\n" in motd
    assert "\nNothing is installed by itself." in motd
    assert "sudo nixel-update install" in motd
    assert (run / "issue.d" / "nixel-update.issue").read_text() == motd
    assert (run / "agetty.reload").exists()
    machine("withdraw")
    assert not (run / "nixel-update" / "motd").exists()
    assert not (run / "issue.d" / "nixel-update.issue").exists()


def test_a_stick_that_is_refused_is_not_offered(machine):
    run = machine("announce", "This stick is for another machine.", status=2)
    motd = (run / "nixel-update" / "motd").read_text()
    assert "This stick is for another machine." in motd
    assert "nixel-update install" not in motd


def test_a_stick_cannot_write_to_a_terminal_what_is_no_text(machine):
    run = machine("announce", "a\x1b[2J\x07b\x00\x7f\\U µ\n")
    motd = (run / "nixel-update" / "motd").read_text()
    assert "\na[2Jb\\U µ\n" in motd
    # agetty reads backslashes in its file: \U would show who is logged in.
    assert "\na[2Jb\\\\U µ\n" in (run / "issue.d" / "nixel-update.issue").read_text()


# --- what is refused ---

BAD = {
    "no date": (
        "nixel.update = { enable = true; trustedKeys = [ ]; }; boot.loader.systemd-boot.enable = true;",
        "Set nixel.update.date = self.lastModified",
    ),
    "no boot loader": (
        "nixel.update = { enable = true; date = 1; trustedKeys = [ ]; };",
        "Set boot.loader.systemd-boot.enable = true",
    ),
    "extlinux on FAT": (
        """nixel.update = { enable = true; date = 1; trustedKeys = [ ]; };
           boot.loader.generic-extlinux-compatible.enable = true;""",
        'Set fileSystems."/boot".fsType = "ext4"',
    ),
    "fewer in the menu than are kept": (
        GOOD + "boot.loader.systemd-boot.configurationLimit = 3;",
        "the boot loader offers 3 systems only",
    ),
    "no switch": (GOOD + "system.switch.enable = false;", "system.switch.enable is false"),
    "unsigned paths": (GOOD + "nix.settings.require-sigs = false;", "nix.settings.require-sigs is false"),
    "technician trusted": (
        GOOD + 'nix.settings.trusted-users = [ "@nixel-service" ];',
        "nix.settings.trusted-users names root, @nixel-service",
    ),
    "another sudo": (
        GOOD + "security.sudo.enable = false; security.sudo-rs.enable = true;",
        "Leave security.sudo.enable = true",
    ),
    "a check longer than all of them": (
        GOOD + "nixel.update.checkWithin = 60;",
        "one of the checks may take 120 s",
    ),
    "a service at no address": (
        GOOD + 'nixel.update.checks.http.viewer.path = "/";',
        "Set port or socket, and only one of them",
    ),
    "a service at two addresses": (
        GOOD + 'nixel.update.checks.http.viewer = { path = "/"; port = 80; socket = "/run/v"; };',
        "nixel.update.checks.http: viewer is to be asked",
    ),
}


@pytest.fixture(scope="module")
def refused(nixpkgs):
    return minimal_systems.bad({"good": (GOOD, None), **BAD})


@pytest.mark.parametrize("name", BAD)
def test_what_contradicts_itself_is_refused(refused, name):
    said = [minimal_systems.words(message) for message in refused[name]]
    matching = [message for message in said if BAD[name][1] in message]
    assert matching, said
    for message in matching:
        assert re.search(r"\b(Set|Leave)\b", message)


def test_a_good_one_is_not_refused(refused):
    assert refused["good"] == []


def test_a_machine_that_trusts_nobody_says_so(nixpkgs):
    said = minimal_systems.evaluate(
        f"""map (keys: (evaluated {{ {GOOD.replace(f'[ "{KEY}" ]', "[ ]")} }}).warnings) [ 1 ]
            ++ [ (evaluated {{ {GOOD} }}).warnings ]"""
    )
    assert len(said[0]) == 1
    assert "will never take an update" in said[0][0]
    assert said[1] == []


def test_a_house_cache_is_asked_and_trusted_beside_the_keys(nixpkgs):
    other = KEY.replace("acme-20260501", "cache-1")
    found = minimal_systems.evaluate(
        f"""let c = evaluated {{ {GOOD}
              nixel.cache.from."https://cache.example" = "{other}"; }};
            in {{ inherit (c.nix.settings) substituters trusted-public-keys; }}"""
    )
    assert found == {"substituters": ["https://cache.example"], "trusted-public-keys": [KEY, other]}


def test_every_option_is_described_with_an_example(nixpkgs):
    assert minimal_systems.undescribed("nixel.update") == []


def test_a_check_can_be_taken_away_and_added(nixpkgs):
    found = minimal_systems.evaluate(
        f"""(evaluated {{ {GOOD}
              nixel.update.checks.clock.system.enable = false;
              nixel.update.checks.command.light.command = [ "/bin/light" "--on" ];
              nixel.update.checks.disk.data = {{ path = "/data"; free = 2; }}; }}).nixel.update.checkTables"""
    )
    checks = {each.name: each for each in health.parse({"format": 1, "checks": found}, "here")}
    assert "clock-system" not in checks
    assert checks["command-light"].check.argv == ("/bin/light", "--on")
    assert checks["disk-data"].check.free == 2 << 20
    assert "safety-daemon" not in checks  # no safety daemon is enabled there


def test_a_switch_neither_waits_for_nor_starts_what_ends_an_update(nixpkgs):
    text = nix_tools.evaluate(
        "nixosConfigurations",
        apply='machines: machines.scanner.config.systemd.units."nixel-update-resume.service".text',
    )
    unit = minimal_systems.properties(text)
    assert unit["Type"] == ["exec"]  # started at once
    assert unit["RemainAfterExit"] == ["true"]  # and never a second time in one run of the machine
    assert unit["X-RestartIfChanged"] == ["false"]
    assert unit["X-StopOnRemoval"] == ["false"]
    assert not any(key.startswith("Condition") for key in unit)
