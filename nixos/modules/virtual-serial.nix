# What simulates the serial devices of an instrument: for each whose line is where such a unit makes it, a unit.
{
  config,
  lib,
  utils,
  ...
}:

let
  cfg = config.nixel.instrument.virtual;
  hardening = import ../lib/hardening.nix;
  programs = {
    grbl-stage = "nixel-virtual-grbl";
    line-sensor = "nixel-virtual-environment";
    scpi-supply = "nixel-virtual-supply";
  };
  unit = name: "nixel-virtual-${name}";
  line = name: "/run/${unit name}/line";
  inherit (config.nixel.instrument) tables;
  camera = lib.findFirst (device: (device.adapter or null) == "virtual-camera") null (
    lib.attrValues (tables.devices or { })
  );
  # The stage that carries the sensor of a virtual microscope tells it where it is.
  carries = name: camera != null && (tables.microscope.focus.stage or null) == name;
  devices = lib.filterAttrs (
    name: device: programs ? ${device.adapter or ""} && (device.path or "") == line name
  ) (tables.devices or { });
in
{
  imports = [ ./imaging.nix ];

  config = lib.mkIf (cfg.enable && config.services.nixel.imaging.enable) {
    systemd.services = lib.mapAttrs' (
      name: device:
      lib.nameValuePair (unit name) {
        description = "nixel virtual ${name}";
        wantedBy = [ "multi-user.target" ];
        serviceConfig = hardening // {
          Type = "exec";
          Restart = "on-failure";
          # A pseudo-terminal belongs to whoever made it, and the imaging service has to open it.
          User = "nixel-imaging";
          Group = "nixel-imaging";
          RuntimeDirectory = unit name;
          ExecStart = utils.escapeSystemdExecArgs (
            [
              (lib.getExe' cfg.package programs.${device.adapter})
              "--link"
              (line name)
            ]
            ++ lib.optionals (carries name) [
              "--microscope"
              (camera.path or "/run/nixel-virtual-microscope/microscope")
              "--instrument"
              config.nixel.instrument.path
            ]
          );
        };
      }
    ) devices;
  };
}
