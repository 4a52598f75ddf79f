# The machines, as data.
{ inputs }:
let
  inherit (inputs) self;
  # Which machine a system is for, and how new it is, is known here: an update of one machine does not fit another.
  machine =
    host: modules:
    inputs.nixpkgs.lib.nixosSystem {
      modules = [
        self.nixosModules.default
        {
          nixel.update = {
            inherit host;
            date = self.lastModified;
            revision = self.rev or self.dirtyRev or "";
            trustedKeys = import ./keys.nix;
          };
        }
      ]
      ++ modules;
    };
  boards = inputs.nixos-hardware.nixosModules;
in
builtins.mapAttrs machine {
  scanner = [
    inputs.disko.nixosModules.disko
    ./scanner.nix
  ];
  microscope = [
    boards.raspberry-pi-4
    ./microscope.nix
  ];
  # The same instrument on the newer board.
  microscope-pi5 = [
    boards.raspberry-pi-5
    ./microscope.nix
  ];
  demo-vm = [ ./demo-vm.nix ];
}
