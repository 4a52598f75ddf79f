# The simulated instrument's units as its machine has them, with programs that can be built and run here.
#
# The configuration is the host demo-vm itself, with updates and provisioning switched on beside it. Only its package
# set is another: native.nix's, in which the tools of nixpkgs are those of a Debian machine. Built, it is a folder:
#
#   units/         the text of every unit of ours, as systemd is to read it
#   tmpfiles.d/    what is to be made before they start
#   sysusers.d/    the accounts and groups that the modules declare
#   etc/           files below /etc
#
# Its closure holds every program that the units name. What it proves and what not: instrument.py.
{
  nixpkgs,
  site,
  npm,
}:
let
  pkgs =
    (import ../nix/native.nix {
      inherit nixpkgs site npm;
      portable = true;
    }).appendOverlays
      [ (import ./stand-ins.nix) ];
  inherit (pkgs) lib;

  # Our packages are in the set already.
  modules = import ../../nixos/modules { inputs.self.overlays.default = _: _: { }; };

  inherit
    (import (nixpkgs + "/nixos/lib/eval-config.nix") {
      system = null;
      modules = [
        modules.default
        ../../nixos/hosts/demo-vm.nix
        {
          nixpkgs = {
            inherit pkgs;
            hostPlatform = lib.mkForce pkgs.stdenv.hostPlatform;
          };
          nixel = {
            provisioning.enable = true;
            update = {
              enable = true;
              host = "demo-vm";
              date = 1700000000;
              trustedKeys = [ ];
            };
          };
        }
      ];
    })
    config
    ;

  ours = lib.hasPrefix "nixel-";
  # The first stage's are not among them: it makes the root file system, of which a container has one.
  units = lib.filterAttrs (name: unit: ours name && unit.enable) config.systemd.units;
  rules = map (package: { ${package.name} = "${package}/lib/tmpfiles.d/${package.name}"; }) (
    builtins.filter (package: lib.hasInfix "-nixel" (package.name or "")) config.systemd.tmpfiles.packages
  );

  # Those accounts that a module of ours declares, and their groups: what userborn makes on the machine.
  accounts = lib.filterAttrs (
    name: _:
    ours name
    || builtins.elem name [
      "operator"
      "technician"
    ]
  ) config.users.users;
  groups = lib.unique (
    builtins.filter ours (lib.attrNames config.users.groups)
    ++ lib.concatMap (user: [ user.group ] ++ user.extraGroups) (lib.attrValues accounts)
  );
  sysusers =
    map (group: "g ${group} -") groups
    ++ lib.mapAttrsToList (
      name: user:
      "u ${name} -:${user.group} \"${user.description}\" - ${
        if user.isNormalUser then "/bin/sh" else "/usr/sbin/nologin"
      }"
    ) accounts
    ++ lib.concatLists (
      lib.mapAttrsToList (name: user: map (group: "m ${name} ${group}") user.extraGroups) accounts
    );

  folder = name: files: {
    inherit name;
    path = pkgs.linkFarm name files;
  };
in
pkgs.linkFarm "nixel-system" [
  (folder "units" (lib.mapAttrs (name: unit: pkgs.writeText name unit.text) units))
  (folder "sysusers.d" { "nixel.conf" = pkgs.writeText "nixel.conf" (lib.concatLines sysusers); })
  (folder "tmpfiles.d" (lib.mergeAttrsList rules))
  (folder "etc" { "nixel/update.toml" = config.environment.etc."nixel/update.toml".source; })
]
