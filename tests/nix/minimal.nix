# The smallest system that a module can be looked at in. `evaluated` is its configuration, `messages` what its
# assertions refuse it for.
{ nixpkgs, modules }:
let
  machine =
    configuration:
    (import (nixpkgs + "/nixos/lib/eval-config.nix") {
      system = null;
      modules = [
        modules.default
        {
          nixpkgs.hostPlatform = "x86_64-linux";
          system.stateVersion = "26.05";
          networking.hostName = "bare";
          boot.loader.grub.enable = false;
          fileSystems = {
            "/" = {
              device = "none";
              fsType = "tmpfs";
            };
            "/boot" = {
              device = "/dev/disk/by-label/BOOT";
              fsType = "vfat";
              options = [ "umask=0077" ];
            };
          };
        }
        configuration
      ];
    });
in
{
  evaluated = configuration: (machine configuration).config;
  inherit (machine { }) options;
  messages =
    configuration:
    map (each: each.message) (
      builtins.filter (each: !each.assertion) (machine configuration).config.assertions
    );
}
