# The daemon comes up latched, in real time, obeys operators, lets anyone stop, and is ended when it hangs.
{
  nodes.machine = {
    imports = [ ./demo.nix ];
    users.users = {
      operator = {
        isNormalUser = true;
        extraGroups = [ "nixel-operator" ];
      };
      visitor.isNormalUser = true;
    };
  };

  testScript = ''
    import json

    def status():
        return json.loads(machine.succeed("nixel-safety status --json"))

    machine.wait_for_unit("nixel-safety.service")
    machine.wait_for_unit("nixel-virtual-scanner.service")

    with subtest("it comes up latched and energises nothing"):
        assert status()["state"] == "FAULT", status()
        assert not any(status()["outputs"].values()), status()

    with subtest("it runs in real time and in locked memory"):
        machine.succeed("grep -q '\"realtime\": *true' /var/lib/nixel-safety/events.jsonl")
        machine.succeed("grep -q '\"locked\": *true' /var/lib/nixel-safety/events.jsonl")

    with subtest("operators arm, visitors do not, and anyone may stop"):
        machine.wait_until_succeeds("runuser -u operator -- nixel-safety reset")
        machine.fail("runuser -u visitor -- nixel-safety arm")
        machine.succeed("runuser -u operator -- nixel-safety arm")
        assert status()["state"] == "ARMED", status()
        machine.succeed("runuser -u visitor -- nixel-safety stop")

    with subtest("a daemon that hangs is ended and comes up latched"):
        machine.succeed("systemctl kill --signal=STOP nixel-safety.service")
        machine.wait_until_succeeds("test $(systemctl show -P NRestarts nixel-safety.service) -ge 1")
        machine.wait_for_unit("nixel-safety.service")
        assert status()["state"] == "FAULT", status()
  '';
}
