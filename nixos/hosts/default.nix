# The machines, as data.
{ inputs }:
let
  machine =
    modules:
    inputs.nixpkgs.lib.nixosSystem {
      modules = [ inputs.self.nixosModules.default ] ++ modules;
    };
  boards = inputs.nixos-hardware.nixosModules;
in
{
  scanner = machine [
    inputs.disko.nixosModules.disko
    ./scanner.nix
  ];
  microscope = machine [
    boards.raspberry-pi-4
    ./microscope.nix
  ];
  # The same instrument on the newer board.
  microscope-pi5 = machine [
    boards.raspberry-pi-5
    ./microscope.nix
  ];
  demo-vm = machine [ ./demo-vm.nix ];
}
