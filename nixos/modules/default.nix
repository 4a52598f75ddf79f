# The modules by name; `default` brings all of them, each doing nothing until it is enabled.
{ inputs }:
let
  modules = {
    base = ./base.nix;
    cache = ./cache.nix;
    devices = ./devices.nix;
    gpu = ./gpu.nix;
    imaging = ./imaging.nix;
    instrument = ./instrument.nix;
    provisioning = ./provisioning.nix;
    safety = ./safety.nix;
    support = ./support.nix;
    update = ./update.nix;
    vendor = ./vendor.nix;
    virtual = ./virtual.nix;
  };
  # Our packages, once, however many of the modules are imported.
  overlay = {
    key = "nixel-overlay";
    nixpkgs.overlays = [ inputs.self.overlays.default ];
  };
  withPackages = module: {
    imports = [
      module
      overlay
    ];
  };
in
builtins.mapAttrs (_: withPackages) modules
// {
  default.imports = builtins.attrValues modules ++ [ overlay ];
}
