"""deploy.sh as somebody meets it for the first time: its words, its refusals, and what stands beside a push."""

import json

import pushing
import pytest
import systems
from pushing import in_system, settles

pytestmark = pytest.mark.usefixtures("deployer")
DEPLOY = "/opt/nixel/deploy.sh"


def test_it_says_how_it_is_used(lab):
    done = lab.developer.attempt(f"{DEPLOY} --help")
    assert done.returncode == 0
    for command in ("build", "diff", "push", "rollback", "status", "usb write", "usb install", "key new"):
        assert f"./deploy.sh {command} " in done.stdout
    assert all(len(row) <= 120 for row in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "Put a system on a machine"),
        ("--nonsense", "--nonsense is no option"),
        ("nonsense", "nonsense is no command"),
        ("push", "name at least one host"),
        ("push 'alpha; reboot'", "is no host"),
        ("push -- alpha", "-- is no option"),
        ("push --key", "--key wants a value"),
        ("push alpha --system alpha", "expected HOST=/nix/store"),
        ("rollback", "name at least one host"),
        ("rollback alpha beta", "one host at a time"),
        ("diff alpha beta", "name one host"),
        ("usb", "expected usb write"),
        ("key", "expected key new FILE"),
        ("push alpha beta --key /root/nixel-lab-1.key", "say --yes"),
        ("push alpha", "there is no signing key at /root/.config/nixel/signing-key"),
        ("build alpha", "there is no signing key at"),
        ("usb write /tmp alpha", "there is no signing key at"),
    ],
)
def test_it_refuses_in_words(lab, words, expected):
    done = lab.developer.attempt(f"{DEPLOY} {words}")
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr


@pytest.mark.parametrize("command", ["push --yes", "status", "diff", "rollback"])
def test_a_machine_that_cannot_be_reached(lab, new, command):
    done = lab.developer.attempt(
        f"RIG_QUICK=1 {DEPLOY} {command} alpha=root@10.77.0.250 --system alpha={new} --key /root/{pushing.KEY}.key"
    )
    assert done.returncode == 1, done.stderr
    assert "the machine could not be reached" in done.stderr


def test_a_machine_that_has_no_updater(lab, new):
    # The developer's own machine, with the updater out of the way.
    lab.developer.run(
        "mv /usr/local/bin/nixel-update /root/; cat /root/.ssh/id_ed25519.pub > /etc/rig/authorized_keys"
    )
    try:
        done = lab.developer.attempt(f"{DEPLOY} status developer=root@10.77.0.1")
    finally:
        lab.developer.run("mv /root/nixel-update /usr/local/bin/")
    assert done.returncode == 1
    assert "there is no nixel-update on that machine" in done.stderr


def test_nobody_is_asked_where_nobody_can_answer(lab, target, old, new):
    machine = target("alpha", system=old)
    with settles(machine, in_system(old)):
        done = lab.developer.attempt(pushing.line("push", (machine, new)))
    assert done.returncode == 2
    assert "say --yes" in done.stderr
    assert "copying" not in done.stderr
    assert systems.calls(machine) == []


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1)])
def test_a_person_is_asked(lab, target, old, new, answer, status):
    machine = target("alpha", system=old)
    command = pushing.line("push", (machine, new))
    end, verdicts = (in_system(new, booted=old), ["kept"]) if answer == "y" else (in_system(old), [])
    with settles(machine, end, *verdicts):
        done = lab.developer.attempt(
            f"echo {answer} | script --quiet --return --command '{command}' /dev/null"
        )
    assert done.returncode == status, done.stdout
    assert "Install this on alpha?" in done.stdout
    assert ("not installed" in done.stdout) == (answer == "n")


def test_a_new_key_is_for_its_owner_only_and_is_never_overwritten(lab):
    place = "/root/keys/mine.key"
    public = lab.developer.run(f"{DEPLOY} key new {place}").strip()
    secret = lab.developer.read(place)
    assert lab.developer.run(f"stat -c %a {place}").strip() == "600"
    assert lab.developer.run(f"nix key convert-secret-to-public < {place}").strip() == public
    done = lab.developer.attempt(f"{DEPLOY} key new {place}")
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert lab.developer.read(place) == secret


FLAKE = """{
  outputs = _: {
    nixosConfigurations.alpha.config.system.build.toplevel = derivation {
      name = "nixos-system-alpha-7.0";
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-euc" "PATH=/usr/bin:/bin; mkdir -p $out/nixel; printf %s \\"$identity\\" > $out/nixel/system.json" ];
      identity = builtins.toJSON {
        format = 1; product = "nixel"; host = "alpha"; version = "7.0"; revision = ""; date = 7000;
      };
    };
    nixosConfigurations.broken.config.system.build.toplevel = throw "it does not evaluate";
  };
}
"""


def test_a_system_is_built_from_a_flake_and_signed(lab):
    lab.developer.write("/root/flake/flake.nix", FLAKE)
    command = f"{DEPLOY} build alpha --flake path:/root/flake --key /root/{pushing.KEY}.key"
    name, system = lab.developer.run(command).split()
    assert name == "alpha"
    assert json.loads(lab.developer.read(f"{system}/nixel/system.json"))["version"] == "7.0"
    assert f"{pushing.KEY}:" in lab.developer.run(f"nix path-info --sigs {system}")
    broken = lab.developer.attempt(command.replace("build alpha", "build broken"))
    assert broken.returncode == 2
    assert "it does not evaluate" in broken.stderr
    assert "the system of broken could not be built" in broken.stderr


def test_what_would_change_is_told_without_changing_anything(lab, target, old, new):
    machine = target("alpha", system=old)
    with settles(machine, in_system(old)):
        short = lab.developer.attempt(pushing.line("diff", (machine, new)))
        deep = lab.developer.attempt(pushing.line("diff", (machine, new), options="--technical"))
    assert (short.returncode, deep.returncode) == (0, 0), short.stderr + deep.stderr
    assert "imaging  1.0 -> 1.1" in short.stdout
    assert "Closures:" not in short.stdout
    # Plain words come first.
    assert deep.stdout.startswith(short.stdout)
    assert "Closures:" in deep.stdout
    assert machine.attempt(f"test -e {new}").returncode == 1


def test_the_state_of_several_machines(lab, target, old):
    beta_old = systems.build(lab, "beta", "1.0", 1000)
    alpha, beta = target("alpha", system=old), target("beta", system=beta_old)
    done = lab.developer.attempt(pushing.line("status", alpha, beta))
    assert done.returncode == 0
    for name, system in (("alpha", old), ("beta", beta_old)):
        assert any(row.startswith(f"{name}: ") and system in row for row in done.stdout.splitlines())
    assert lab.developer.attempt(pushing.line("status", alpha)).stdout == alpha.run("nixel-update status")
    beta.power_cut()
    done = lab.developer.attempt(f"RIG_QUICK=1 {pushing.line('status', alpha, beta)}")
    assert done.returncode == 1
    assert old in done.stdout
    assert "beta: NO ANSWER" in done.stderr
