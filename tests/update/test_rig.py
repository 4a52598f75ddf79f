"""What the deployment tests take for granted of their machines."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import installs
import pytest
import systems
from machine import MachineError
from systems import Call, Standing

HERE = Path(__file__).parent


def test_a_machine_comes_up_whole_in_its_system(target, old):
    machine = target("alpha", system=old)
    assert machine.run("systemctl is-system-running").strip() == "running"
    assert machine.run("systemctl --failed --no-legend") == ""
    assert systems.standing(machine) == Standing(old, old, old, old)
    assert old in machine.run("nixel-update status")
    print(f"one boot: {machine.boot_seconds:.2f} s")


def test_machines_reach_each_other_and_nothing_else(lab, target):
    target("alpha")
    for user in ("root", "technician"):
        assert lab.developer.run(f"ssh {user}@alpha id -un").strip() == user
    assert "nixel-service" in lab.developer.run("ssh technician@alpha id -Gn").split()
    for each in lab.machines.values():
        assert (
            each.run("ip -4 route") == f"10.77.0.0/24 dev eth0 proto kernel scope link src {each.address} \n"
        )
    assert lab.run(["ip", "-4", "route"]) == ""


def test_a_technician_brings_in_signed_paths_only(lab, target, old):
    target("alpha", system=old)
    other = systems.build(lab, "alpha", "1.2", 3000, key=None)
    refused = lab.developer.attempt(f"nix copy --to ssh-ng://technician@alpha {other}")
    assert refused.returncode != 0
    assert "lacks a signature by a trusted key" in refused.stderr
    systems.sign(lab, other, "nixel-lab-1")
    lab.developer.run(f"nix copy --to ssh-ng://technician@alpha {other}")
    systems.strip(lab, other)
    assert "nixel-lab-1:" not in lab.developer.run(f"nix path-info --sigs {other}")


def test_a_system_is_switched_and_records_it(target, lab, old, new):
    machine = target("alpha", system=old)
    lab.developer.run(f"nix copy --to ssh-ng://root@alpha {new}")
    machine.run(f"{new}/bin/switch-to-configuration test")
    assert systems.standing(machine) == Standing(new, old, old, old)
    machine.run(f"nix-env --profile /nix/var/nix/profiles/system --set {new}")
    assert systems.standing(machine) == Standing(new, old, old, new)
    machine.run(f"{new}/bin/switch-to-configuration boot")
    assert systems.standing(machine) == Standing(new, old, new, new)
    machine.run(f"{new}/nixel/health check")
    assert systems.calls(machine) == [Call("test", "1.1", 0), Call("boot", "1.1", 0), Call("check", "1.1", 0)]


def test_a_system_does_what_is_ordered(target, old):
    machine = target("alpha", system=old)
    switch = f"{old}/bin/switch-to-configuration"
    machine.run("rm /run/current-system")
    systems.order(machine, "test", "1.0", "fail 3")
    assert machine.attempt(f"{switch} test").returncode == 3
    assert machine.attempt("test -e /run/current-system").returncode == 1
    systems.order(machine, "test", "1.0", "fail 4 late once")
    assert machine.attempt(f"{switch} test").returncode == 4
    assert systems.standing(machine).running == old
    assert machine.attempt(f"{switch} test").returncode == 0
    systems.order(machine, "check", "1.0", "fail")
    assert machine.attempt(f"{old}/nixel/health check").returncode == 1
    systems.order(machine, "check", "1.0", "hang stubborn")
    hanging = machine.begin(f"exec {old}/nixel/health check")
    machine.wait("[ $(grep -c 'check 1.0 begin' /var/log/rig/calls.log) = 2 ]")
    machine.run("kill -TERM $(tail -n 1 /var/log/rig/calls.log | cut -d ' ' -f 2)")
    time.sleep(0.2)
    assert hanging.poll() is None
    systems.take_back(machine, "check", "1.0")
    assert hanging.wait(10) == 0
    hanging.communicate()


def test_a_lost_device_is_unhealthy(target, old):
    machine = target("alpha", system=old)
    machine.write("/etc/rig/devices/camera", "")
    machine.run(f"{old}/nixel/health snapshot > /root/before")
    assert machine.attempt(f"{old}/nixel/health check --before /root/before").returncode == 0
    machine.run("rm /etc/rig/devices/camera")
    lost = machine.attempt(f"{old}/nixel/health check --before /root/before")
    assert lost.returncode == 1
    assert "Missing: camera." in lost.stdout


@pytest.mark.parametrize("way", ["reboot", "power cut", "by itself"])
def test_a_start_brings_the_boot_default_and_keeps_the_disk(lab, target, old, new, way):
    machine = target("alpha", system=old)
    lab.developer.run(f"nix copy --to ssh-ng://root@alpha {new}")
    machine.run(f"{new}/bin/switch-to-configuration test")
    machine.run("touch /run/gone /etc/kept /var/kept")
    boot_id = machine.read("/proc/sys/kernel/random/boot_id")
    if way == "reboot":
        machine.reboot()
    elif way == "power cut":
        machine.power_cut()
        with pytest.raises(MachineError, match="not running"):
            machine.run("true")
        machine.boot()
    else:
        machine.run("systemd-run --on-active=0.2 --timer-property=AccuracySec=10ms systemctl reboot")
        machine.wait_boot(2)
    assert systems.standing(machine) == Standing(old, old, old, old)
    assert machine.run("ls -d /run/gone /etc/kept /var/kept 2>/dev/null || true").split() == [
        "/etc/kept",
        "/var/kept",
    ]
    assert machine.read("/proc/sys/kernel/random/boot_id") != boot_id
    assert float(machine.read("/proc/uptime").split()[0]) < 60
    machine.run(f"{new}/bin/switch-to-configuration boot")
    machine.reboot()
    assert systems.standing(machine) == Standing(new, new, new, old)


def test_a_machine_without_its_boot_default_does_not_start(target, old):
    machine = target("alpha", system=old)
    machine.run(f"mv {old} /nix/store/elsewhere")
    machine.power_cut()
    with pytest.raises(MachineError, match="is not in the store"):
        machine.boot()


def test_the_network_is_cut_while_a_command_runs(lab, target):
    machine = target("alpha")
    assert lab.developer.run("ssh alpha echo here") == "here\n"
    running = lab.developer.begin(
        "ssh -o ServerAliveInterval=1 -o ServerAliveCountMax=1 alpha 'touch /run/begun; sleep 60'"
    )
    machine.wait("test -e /run/begun")
    machine.cut()
    assert running.wait(20) == 255
    assert "not responding" in running.communicate()[1]
    assert lab.developer.attempt("ssh -o ConnectTimeout=1 alpha true").returncode == 255
    machine.rejoin()
    assert lab.developer.run("ssh alpha echo here") == "here\n"


def test_a_power_cut_says_nothing_to_the_other_end(lab, target):
    machine = target("alpha")
    running = lab.developer.begin("ssh -o ServerAliveInterval=0 alpha 'touch /run/begun; sleep 60'")
    machine.wait("test -e /run/begun")
    machine.power_cut()
    time.sleep(0.5)
    assert running.poll() is None
    running.kill()
    running.communicate()


def test_a_disk_runs_full(lab, target, old, new):
    machine = target("alpha", system=old)
    machine.limit_disk(machine.disk_used() + 4096)
    full = lab.developer.attempt(f"nix copy --to ssh-ng://root@alpha {new}")
    assert full.returncode != 0
    assert "disk is full" in full.stderr or "No space left on device" in full.stderr
    machine.reboot()
    assert systems.standing(machine) == Standing(old, old, old, old)
    machine.limit_disk(machine.disk_used() + 100 * 1024 * 1024)
    lab.developer.run(f"nix copy --to ssh-ng://root@alpha {new}")


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_is_far_off(target, old, years):
    machine = target("alpha", system=old)
    machine.set_clock(years * 365 * 86400)
    told = machine.run("at-its-clock date +%s; at-its-clock sh -c 'date +%s'").split()
    assert [round((int(each) - time.time()) / (365 * 86400)) for each in told] == [years] * 2
    clocks = "import time; print(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    assert all(float(each) < 60 for each in machine.run(["at-its-clock", "python3", "-c", clocks]).split())
    assert machine.run("at-its-clock systemd-run --quiet --wait --pipe echo done") == "done\n"
    assert machine.run(f"at-its-clock nix path-info {old}").strip() == old
    assert old in machine.run("nixel-update status")


def test_a_stick_is_plugged_in_and_pulled(lab, target):
    machine = target("alpha")
    stick = lab.stick("usb")
    lab.developer.run("echo hello > /lab/sticks/usb/greeting")
    assert machine.run("ls /media") == ""
    place = machine.plug("usb")
    assert machine.read(place / "greeting") == "hello\n"
    (stick / "greeting").write_text("spoilt\n")
    assert machine.read(place / "greeting") == "spoilt\n"
    machine.pull("usb")
    assert machine.attempt(f"test -e {place}/greeting").returncode == 1
    installs.discard(lab, "usb")


def test_a_big_closure_of_which_little_is_new(lab, target, old):
    started = time.monotonic()
    first = systems.build(
        lab, "alpha", "2.0", 3000, extra=[systems.many_paths(lab, [f"part-{i}" for i in range(2000)])]
    )
    second = systems.build(
        lab, "alpha", "2.1", 4000, extra=[systems.many_paths(lab, [f"part-{i}" for i in range(20, 2020)])]
    )
    assert time.monotonic() - started < 30
    for path in (first, second):
        assert len(lab.developer.run(f"nix path-info --recursive {path}").split()) > 2000
        lab.developer.run(
            f"nix store verify --recursive --sigs-needed 1 --trusted-public-keys {lab.key} {path}"
        )
    machine = target("alpha", system=first)
    there = set(machine.run("ls /nix/store").split())
    lab.developer.run(f"nix copy --to ssh-ng://technician@alpha {second}")
    fresh = {
        name[33:] for name in set(machine.run("ls /nix/store").split()) - there if not name.startswith(".")
    }
    assert fresh == {f"part-{i}" for i in range(2000, 2020)} | {"bundle", "nixos-system-alpha-2.1"}


def test_a_content_addressed_system_needs_no_signature(lab, target, new):
    machine = target("alpha")
    path = systems.content_addressed(lab, new)
    lab.developer.run(f"nix copy --to ssh-ng://technician@alpha {path}")
    assert machine.run(f"cat {path}/nixos-version") == "1.1"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_of_a_session_that_is_ended(lab, tmp_path, how):
    script = """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from lab import Lab
        with Lab() as lab:
            print(lab.pid, lab.developer._pid, lab.folder, lab.scratch, lab.tag, flush=True)
            time.sleep(60)
    """
    session = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), HERE],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    *processes, folder, scratch, tag = session.stdout.readline().split()
    # Two labs at once have the same names and addresses, and do not meet.
    assert lab.developer.run("hostname") == "developer\n"
    session.send_signal(how)
    session.wait(30)
    session.stdout.close()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{each}").exists() for each in processes):
        assert time.monotonic() < end, "the lab outlives its session"
        time.sleep(0.05)
    assert Path(folder).name not in Path("/proc/self/mountinfo").read_text()
    if how == signal.SIGINT:
        assert not Path(folder).exists()
        assert not Path(scratch).exists()
        assert not lab.seen(lab.folder / "cgroup" / tag).exists()
