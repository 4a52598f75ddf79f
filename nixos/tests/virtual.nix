# A hand at the virtual front panel reaches the safety daemon over the virtual wires.
{
  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./demo.nix ];
      environment.systemPackages = [ pkgs.nixel ];
    };

  testScript = ''
    machine.wait_for_unit("nixel-virtual-scanner.service")
    machine.wait_until_succeeds("nixel-safety reset && nixel-safety arm")
    machine.succeed("nixel simulate emergency-stop pull")
    machine.wait_until_succeeds("nixel-safety status | grep -q FAULT", timeout=10)
    machine.fail("nixel-safety reset")
    machine.succeed("nixel simulate emergency-stop release")
    machine.wait_until_succeeds("nixel-safety reset", timeout=10)
  '';
}
