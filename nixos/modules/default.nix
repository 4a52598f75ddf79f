# The modules by name; `default` brings all of them, each doing nothing until it is enabled.
{ inputs }:
let
  modules = {
    provisioning = ./provisioning.nix;
    support = ./support.nix;
  };
in
modules
// {
  default = {
    imports = builtins.attrValues modules;
    nixpkgs.overlays = [ inputs.self.overlays.default ];
  };
}
