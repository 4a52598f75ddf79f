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
      # The machines get our packages from the modules, as everybody else's do.
      node.pkgsReadOnly = false;
      defaults.imports = [ inputs.self.nixosModules.default ];
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
