# A system for another machine is refused, the health check looks at the machine that it runs on, and a stick is
# mounted where it can do nothing and is announced, never installed.
{ lib, ... }:

{
  nodes.machine =
    { pkgs, ... }:
    {
      nixel.update = {
        enable = true;
        host = "bench";
        # Of the machine that tests, whose clock is right.
        date = 1767225600;
        trustedKeys = [ "test-1:eIGQXcGQpc00x6/XFcyacLEUmC07u4RAEHt5Y8vdglo=" ];
        checks.command.own.command = [
          (lib.getExe' pkgs.coreutils "test")
          "!"
          "-e"
          "/tmp/broken"
        ];
        checks.command.own.within = 2;
      };
      users.users.technician = {
        isNormalUser = true;
        extraGroups = [ "nixel-service" ];
      };
      specialisation = {
        foreign.configuration.nixel.update.host = lib.mkForce "microscope";
        same.configuration.environment.etc."after-the-switch".text = "yes";
      };

      boot.loader.systemd-boot.enable = true;
      boot.loader.timeout = 0;
      virtualisation = {
        useBootLoader = true;
        useEFIBoot = true;
        mountHostNixStore = true;
        qemu.options =
          let
            # A stick as a stranger would bring it: the right label, and nothing on it.
            stick = pkgs.runCommand "stick.img" { nativeBuildInputs = [ pkgs.dosfstools ]; } ''
              truncate --size 64M $out
              mkfs.vfat -n NIXEL-1 $out
            '';
          in
          [
            "-drive id=stick,if=none,format=raw,readonly=on,file=${stick}"
            "-device qemu-xhci"
            "-device usb-storage,drive=stick,removable=on,id=stick"
          ];
      };
    };

  testScript = ''
    import json

    machine.wait_for_unit("multi-user.target")
    machine.wait_for_unit("nixel-update-resume.service")
    running = machine.succeed("readlink /run/current-system").strip()
    identity = json.loads(machine.succeed("cat /run/current-system/nixel/system.json"))
    assert (identity["product"], identity["host"]) == ("nixel", "bench"), identity

    with subtest("the health check"):
        machine.succeed("/run/current-system/nixel/health snapshot > /tmp/before.json")
        machine.succeed("/run/current-system/nixel/health check --before /tmp/before.json")
        machine.succeed("touch /tmp/broken")
        status, out = machine.execute("/run/current-system/nixel/health check --before /tmp/before.json")
        failed = [each["name"] for each in json.loads(out)["checks"] if not each["passed"]]
        assert (status, failed) == (1, ["command-own"]), out
        machine.succeed("rm /tmp/broken")

    with subtest("a system for another machine"):
        out = machine.fail("/run/current-system/specialisation/foreign/bin/switch-to-configuration test 2>&1")
        assert "This system is for nixel microscope, and this machine is nixel bench" in out, out
        assert machine.succeed("readlink /run/current-system").strip() == running

    with subtest("what a switch leaves alone"):
        began = machine.succeed("systemctl show --value --property ExecMainStartTimestamp nixel-update-resume")
        machine.succeed("touch /var/lib/nixel-update/transaction.json")
        machine.succeed("/run/current-system/specialisation/same/bin/switch-to-configuration test")
        machine.succeed("test -e /etc/after-the-switch")
        again = machine.succeed("systemctl show --value --property ExecMainStartTimestamp nixel-update-resume")
        assert began == again
        machine.succeed("rm /var/lib/nixel-update/transaction.json")

    with subtest("a stick"):
        machine.wait_for_file("/run/nixel-update/motd")
        options = machine.succeed("findmnt --noheadings --output OPTIONS /run/nixel-update/stick").split(",")
        assert {"ro", "nosuid", "nodev", "noexec"} <= {each.strip() for each in options}, options
        machine.succeed("grep 'A stick is plugged in' /run/issue.d/nixel-update.issue")
        assert machine.succeed("readlink /run/booted-system").strip() == running
        machine.send_monitor_command("device_del stick")
        machine.wait_until_fails("test -e /run/nixel-update/motd")
        machine.wait_until_fails("mountpoint /run/nixel-update/stick")

    with subtest("what the technician may do as root"):
        machine.succeed("su - technician -c 'sudo -n nixel-update status'")
        machine.fail("su - technician -c 'sudo -n nixel-update status --root /tmp'")
        machine.fail("su - technician -c 'sudo -n true'")
  '';
}
