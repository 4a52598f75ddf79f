# The virtual scanner, or the virtual microscope and its panel, as units behind the wires that real ones would have.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.nixel.instrument.virtual;
  hardening = import ../lib/hardening.nix;
  inherit (config.nixel.instrument) tables;
  line = "/run/nixel-virtual/surveillance";
  panel = "/run/nixel-virtual-panel/panel";
  thermal = "/run/nixel-virtual-panel/thermal";
  camera = lib.findFirst (device: (device.adapter or null) == "virtual-camera") null (
    lib.attrValues (tables.devices or { })
  );
  # Where it is reached says the instrument; the folder is what the unit makes.
  microscope = camera.path or "/run/nixel-virtual-microscope/microscope";
  hasPanel = (tables.safety.gpio.adapter or null) == "virtual-gpio";
  daq = lib.findFirst (device: (device.adapter or null) == "scpi-daq") null (
    lib.attrValues (tables.devices or { })
  );
in
{
  imports = [
    ./instrument.nix
    ./safety.nix
    ./virtual-serial.nix
  ];

  options.nixel.instrument.virtual = {
    enable = lib.mkEnableOption "the virtual scanner or microscope panel, for an instrument that says it is simulated";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.nixel;
      defaultText = lib.literalExpression "pkgs.nixel";
      example = lib.literalExpression "pkgs.nixel";
      description = "The package that has nixel-virtual-scanner, nixel-virtual-microscope and nixel-virtual-panel.";
    };

    processor = lib.mkEnableOption "a simulated temperature of the processor beside the panel, for a machine that has no thermal zones, as a virtual one";
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = tables.instrument.simulated or false;
        message = ''
          nixel.instrument.virtual.enable puts a virtual scanner behind an instrument that says it is real.
          Set nixel.instrument.settings.instrument.simulated = true, or nixel.instrument.virtual.enable = false.
        '';
      }
      {
        assertion = daq != null || hasPanel;
        message = ''
          nixel.instrument.virtual.enable needs a scanner with a DAQ: the virtual scanner listens where that DAQ is reached.
          Set nixel.instrument.settings.devices.daq with adapter = "scpi-daq", or for a microscope's panel
          nixel.instrument.settings.safety.gpio.adapter = "virtual-gpio", or nixel.instrument.virtual.enable = false.
        '';
      }
      {
        assertion = camera == null || lib.hasPrefix "/run/nixel-virtual-microscope/" microscope;
        message = ''
          nixel.instrument.virtual.enable: the virtual microscope can listen only in the folder that its unit makes, not at ${microscope}.
          Set the path of the camera and the light in nixel.instrument.settings.devices to one in /run/nixel-virtual-microscope, or leave it out.
        '';
      }
      {
        assertion = config.services.nixel.safety.enable;
        message = ''
          nixel.instrument.virtual.enable needs the safety daemon, at the other end of the virtual surveillance unit's line or of the panel's socket.
          Set services.nixel.safety.enable = true.
        '';
      }
    ];

    services.nixel.safety = {
      surveillance = lib.mkIf (daq != null) (lib.mkDefault line);
      panel = lib.mkIf hasPanel (lib.mkDefault panel);
      thermal = lib.mkIf (hasPanel && cfg.processor) (lib.mkDefault thermal);
    };

    systemd.services.nixel-virtual-panel = lib.mkIf hasPanel {
      description = "nixel virtual panel";
      wantedBy = [ "multi-user.target" ];
      before = [ "nixel-safety.service" ];
      serviceConfig = hardening // {
        Type = "exec";
        Restart = "on-failure";
        User = "nixel-safety";
        Group = "nixel-safety";
        RuntimeDirectory = "nixel-virtual-panel";
        ExecStart = utils.escapeSystemdExecArgs (
          [
            (lib.getExe' cfg.package "nixel-virtual-panel")
            "--socket"
            panel
          ]
          ++ lib.optionals cfg.processor [
            "--thermal"
            thermal
          ]
          ++ lib.optionals ((tables.safety.gpio.hold or null) != null) [
            "--hold"
            tables.safety.gpio.hold
          ]
        );

        # Hardware does not wait for a program: its relay runs just above the safety daemon.
        RestrictRealtime = false;
        LimitRTPRIO = 20;
        SystemCallFilter = hardening.SystemCallFilter ++ [ "sched_setscheduler" ];
      };
    };

    systemd.services.nixel-virtual-microscope = lib.mkIf (camera != null) {
      description = "nixel virtual microscope";
      wantedBy = [ "multi-user.target" ];
      serviceConfig = hardening // {
        Type = "exec";
        Restart = "on-failure";
        DynamicUser = true;
        RuntimeDirectory = "nixel-virtual-microscope";
        ExecStart = utils.escapeSystemdExecArgs (
          [
            (lib.getExe' cfg.package "nixel-virtual-microscope")
            "--instrument"
            config.nixel.instrument.path
            "--socket"
            microscope
          ]
          ++ lib.optionals hasPanel [
            "--panel"
            panel
          ]
        );
      };
    };

    systemd.services.nixel-virtual-scanner = lib.mkIf (daq != null) {
      description = "nixel virtual scanner";
      wantedBy = [ "multi-user.target" ];
      before = [ "nixel-safety.service" ];
      serviceConfig = hardening // {
        Type = "exec";
        Restart = "on-failure";
        # A pseudo-terminal belongs to whoever made it, and the safety daemon has to open it.
        User = "nixel-safety";
        Group = "nixel-safety";
        RuntimeDirectory = "nixel-virtual";
        ExecStart = utils.escapeSystemdExecArgs [
          (lib.getExe' cfg.package "nixel-virtual-scanner")
          "--instrument"
          config.nixel.instrument.path
          "--control"
          daq.control
          "--data"
          daq.data
          "--surveillance-link"
          line
        ];

        # It stands for hardware on a network, though on one that ends at this machine.
        PrivateNetwork = false;
        RestrictAddressFamilies = [
          "AF_UNIX"
          "AF_INET"
        ];
        IPAddressAllow = [ "localhost" ];

        # Hardware does not wait for a program: its surveillance unit runs just above the safety daemon.
        Nice = -10;
        RestrictRealtime = false;
        LimitRTPRIO = 20;
        SystemCallFilter = hardening.SystemCallFilter ++ [ "sched_setscheduler" ];
      };
    };
  };
}
