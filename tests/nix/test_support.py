"""The support module in a small system: keys only, a view that nobody else can open, and what it refuses."""

import minimal_systems
import nix_tools
import pytest
from minimal_systems import bad, evaluate, properties, words

WITH = """
  nixel.support.enable = true;
  users.users.technician.isNormalUser = true;
  users.users.operator.isNormalUser = true;
"""

BAD = {
    "nobody": (WITH + "nixel.support.users = [ ];", 'Set nixel.support.users = [ "technician" ]'),
    "unknown": (
        WITH + 'nixel.support.users = [ "anna" ];',
        "nixel.support.users names anna, which is no account of this system",
    ),
    "no accounts": ("nixel.support.enable = true;", "Enable nixel.provisioning"),
    **{
        f"{key} = {value}": (
            WITH + f"services.openssh.settings.{key} = lib.mkForce {value};",
            "nixel.support lets nobody in by ssh with a password, and root not at all",
        )
        for key, value in (
            ("PasswordAuthentication", "true"),
            ("KbdInteractiveAuthentication", "true"),
            ("PermitRootLogin", '"prohibit-password"'),
        )
    },
    "view of nobody": (
        WITH + 'nixel.support.vnc = { enable = true; user = "anna"; };',
        "nixel.support.vnc.user is anna, which is no account of this system",
    ),
    "view of no X server": (
        WITH + 'nixel.support.vnc = { enable = true; session = "x11"; };',
        "Set services.xserver.enable = true",
    ),
}


@pytest.fixture(scope="module")
def refused(nixpkgs):
    return bad({**BAD, "good": (WITH + "nixel.support.vnc.enable = true;", ""), "off": ("", "")})


@pytest.mark.parametrize("name", BAD)
def test_a_bad_combination_is_refused_with_what_to_set(refused, name):
    assert any(BAD[name][1] in words(message) for message in refused[name]), refused[name]


def test_a_good_one_is_not_and_none_is_without_the_module(refused):
    assert not any("nixel" in message for message in refused["good"] + refused["off"])


def test_every_option_is_described_with_an_example(nixpkgs):
    assert minimal_systems.undescribed("nixel.support") == []


VIEWS = {
    "wayland": "",
    "wayland-control": "control = true;",
    "x11": 'session = "x11";',
    "x11-control": 'session = "x11"; control = true;',
}


@pytest.fixture(scope="module")
def system(nixpkgs):
    views = "".join(
        f"""{name} = (evaluated {{ {WITH}
              nixel.support.vnc = {{ enable = true; {options} }};
              services.xserver.enable = {"true" if "x11" in name else "false"};
            }}).systemd.user.units."nixel-vnc.service".text;"""
        for name, options in VIEWS.items()
    )
    return evaluate(
        f"""let
          plain = evaluated {{ {WITH} }};
          seen = evaluated {{ {WITH} nixel.support.vnc.enable = true; }};
        in {{
          sshd = {{ inherit (plain.services.openssh.settings) PasswordAuthentication KbdInteractiveAuthentication
            PermitRootLogin AllowGroups X11Forwarding AllowTcpForwarding PermitOpen; }};
          enabled = plain.services.openssh.enable;
          keys = plain.services.openssh.authorizedKeysFiles;
          members = plain.users.groups.nixel-service.members;
          packages = map (package: package.pname or package.name) plain.environment.systemPackages;
          configuration = plain.environment.etc."nixel/support.toml".source.drvAttrs.value;
          tmpfiles = seen.systemd.tmpfiles.settings."10-nixel-vnc";
          ports = seen.networking.firewall.allowedTCPPorts;
          closed = (evaluated {{ {WITH} nixel.support.openFirewall = false; }}).networking.firewall.allowedTCPPorts;
          without = plain.systemd.user.units ? "nixel-vnc.service";
          views = {{ {views} }};
          toplevel = seen.system.build.toplevel.drvPath;
        }}"""
    )


def test_the_system_instantiates(system):
    assert nix_tools.on_host(system["toplevel"]).is_file()


def test_only_a_key_lets_anyone_in(system):
    sshd = system["sshd"]
    assert system["enabled"]
    assert (sshd["PasswordAuthentication"], sshd["KbdInteractiveAuthentication"]) == (False, False)
    assert sshd["PermitRootLogin"] == "no"
    assert sshd["AllowGroups"] == ["nixel-service"]
    assert system["members"] == ["technician"]
    assert not any("%h" in path for path in system["keys"])


def test_ssh_is_no_way_into_the_network_behind_the_instrument(system):
    assert system["sshd"]["AllowTcpForwarding"] == "local"
    assert all(
        target.startswith(("localhost:", "127.0.0.1:")) for target in system["sshd"]["PermitOpen"].split()
    )


def test_the_firewall_lets_in_ssh_alone_or_nothing(system):
    assert system["ports"] == [22]
    assert system["closed"] == []


def test_the_tools_and_the_bundle_are_there(system):
    assert {"nixel-update", "pciutils", "usbutils", "tcpdump", "strace"} <= set(system["packages"])
    assert system["configuration"] == {
        "safety-events": "/var/lib/nixel-safety/events.jsonl",
        "data": ["/var/lib/nixel-imaging"],
    }


def test_there_is_no_view_unless_it_is_asked_for(system):
    assert not system["without"]


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_opens_no_port_and_shows_without_control_unless_that_is_asked_for(system, name):
    unit = properties(system["views"][name])
    assert unit["ConditionUser"] == ["operator"]
    (start,) = unit["ExecStart"]
    assert "/run/nixel-vnc/view" in start
    if name.startswith("wayland"):
        assert "--unix-socket" in start
        assert ("--disable-input" in start) == ("control" not in name)
    else:
        assert "-rfbport=-1" in start
        accepted = "1" if "control" in name else "0"
        assert f"-AcceptKeyEvents={accepted}" in start
        assert f"-AcceptPointerEvents={accepted}" in start


def test_only_the_service_group_reaches_the_view(system):
    (folder,) = system["tmpfiles"].values()
    assert folder["d"]["mode"] == "2750"
    assert (folder["d"]["user"], folder["d"]["group"]) == ("operator", "nixel-service")
