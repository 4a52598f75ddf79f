# The page comes up when it is asked for, under its own name only, and neither safety daemon nor imaging service takes
# the other down.
{
  nodes.machine = {
    imports = [ ./demo.nix ];
    services.nixel.imaging.enable = true;
  };

  testScript = ''
    machine.wait_for_unit("nixel-imaging.socket")
    machine.wait_for_unit("nixel-safety.service")

    with subtest("the first request starts it"):
        machine.fail("systemctl is-active nixel-imaging.service")
        machine.succeed("curl --fail --silent http://127.0.0.1:8642/api/v1/status")
        machine.wait_for_unit("nixel-imaging.service")

    with subtest("it answers to its own name only"):
        machine.fail("curl --fail --silent --header 'Host: elsewhere.example' http://127.0.0.1:8642/api/v1/status")

    with subtest("what it measures is for operators"):
        machine.succeed("test $(stat --format %a:%G /var/lib/nixel-imaging) = 750:nixel-operator")

    with subtest("neither takes the other down"):
        machine.succeed("systemctl restart nixel-safety.service")
        machine.succeed("systemctl is-active nixel-imaging.service")
        machine.succeed("systemctl stop nixel-imaging.service")
        machine.succeed("systemctl is-active nixel-safety.service")
  '';
}
