# What `nix flake check` builds beyond the packages: a test in a virtual machine for each module, and the options'
# documentation.
{ inputs, pkgs }:
let
  inherit (pkgs) lib;
  modules = removeAttrs inputs.self.nixosModules [ "default" ];

  testOf =
    name:
    let
      file = ./tests + "/${name}.nix";
    in
    assert lib.assertMsg (builtins.pathExists file)
      "nixos/modules has the module ${name}, and nixos/tests/${name}.nix, its test, does not exist: write it.";
    pkgs.testers.runNixOSTest {
      imports = [ file ];
      name = "nixel-${name}";
      # All machines of all tests share these packages, which have our overlay: a nixpkgs of its own for each is twice
      # the memory.
      defaults = {
        imports = [ inputs.self.nixosModules.default ];
        disabledModules = [ { key = "nixel-overlay"; } ];
      };
    };

  options = inputs.self.nixosConfigurations.demo-vm.options;
in
lib.mapAttrs' (name: _: lib.nameValuePair "vm-${name}" (testOf name)) modules
// {
  inherit (pkgs) nixel;
  option-documentation =
    (pkgs.nixosOptionsDoc {
      options = {
        inherit (options) nixel;
        services = { inherit (options.services) nixel; };
      };
    }).optionsCommonMark;
}
