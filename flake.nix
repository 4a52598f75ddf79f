{
  description = "nixel: an imaging appliance, operating system included";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    # The Pi's kernel, firmware and device trees.
    nixos-hardware = {
      url = "github:NixOS/nixos-hardware";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    # The scanner's disk as data, so that an installation needs no hand-made partitions.
    disko = {
      url = "github:nix-community/disko";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { self, nixpkgs, ... }@inputs:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgsFor = lib.genAttrs systems (
        system:
        import nixpkgs {
          inherit system;
          overlays = [ self.overlays.default ];
        }
      );
      forAllSystems = function: lib.mapAttrs (_: function) pkgsFor;
      images = import ./nixos/images.nix { inherit (self) nixosConfigurations; };
    in
    {
      overlays.default = import ./pkgs;
      packages = forAllSystems (
        pkgs: import ./pkgs/exported.nix pkgs // images.${pkgs.stdenv.hostPlatform.system} or { }
      );
      apps = forAllSystems (pkgs: {
        default = {
          type = "app";
          program = lib.getExe pkgs.nixel-demo;
          meta.description = "The whole instrument, simulated: a scan, a picture, the page";
        };
      });
      nixosModules = import ./nixos/modules { inherit inputs; };
      nixosConfigurations = import ./nixos/hosts { inherit inputs; };
      checks = forAllSystems (pkgs: import ./nixos/checks.nix { inherit inputs pkgs; });
      devShells = forAllSystems (pkgs: {
        default = pkgs.callPackage ./pkgs/shell.nix { };
      });
      formatter = forAllSystems (pkgs: pkgs.nixfmt-tree);
      templates = rec {
        instrument = {
          path = ./nixos/template;
          description = "An instrument of your own in one file";
        };
        default = instrument;
      };
    };
}
