# An instrument of typed settings passes the program's own check when the system is built, and is what the daemon reads.
{
  nodes.machine =
    { lib, ... }:
    {
      nixel.instrument = {
        settings = lib.importTOML ../../src/acquisition/nixel/acquisition/instruments/virtual-scanner.toml;
        virtual.enable = true;
      };
      services.nixel.safety.enable = true;
    };

  testScript =
    { nodes, ... }:
    ''
      machine.wait_for_unit("nixel-safety.service")
      machine.succeed("nixel-safety check ${nodes.machine.nixel.instrument.path}")
      machine.succeed("systemctl show -P ExecStart nixel-safety | grep -F ${nodes.machine.nixel.instrument.path}")
    '';
}
