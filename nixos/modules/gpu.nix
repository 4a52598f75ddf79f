# The graphics card: drivers, and access to it from containers.
{
  config,
  lib,
  ...
}:

let
  cfg = config.nixel.gpu;
  nvidia = cfg.driver == "nvidia";
in
{
  options.nixel.gpu = {
    enable = lib.mkEnableOption "the graphics card, for computing and for viewers";

    driver = lib.mkOption {
      type = lib.types.enum [
        "nvidia"
        "mesa"
      ];
      default = "nvidia";
      example = "mesa";
      description = "Whose driver: NVIDIA's own, which is not free software, or Mesa's.";
    };

    open = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "With NVIDIA's driver: its open kernel modules, which need a card of the Turing generation or newer.";
    };

    containers = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "With NVIDIA's driver: whether containers may use the card, described to them at every start (CDI).";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.containers -> nvidia;
        message = ''
          nixel.gpu.containers describes an NVIDIA card to containers, and nixel.gpu.driver is "${cfg.driver}".
          Set nixel.gpu.driver = "nvidia", or nixel.gpu.containers = false and pass /dev/dri to the container.
        '';
      }
    ];

    hardware.graphics.enable = true;
    hardware.nvidia-container-toolkit.enable = cfg.containers;
    services.xserver.videoDrivers = lib.optional nvidia "nvidia";
    hardware.nvidia = lib.mkIf nvidia {
      inherit (cfg) open;
      # A scan must not wait for the card to wake up.
      nvidiaPersistenced = true;
      modesetting.enable = true;
      # A graphical program to set the card up has no place on a system that is set up here.
      nvidiaSettings = false;
    };

    # Only what this module needs, by name.
    nixpkgs.config = lib.mkIf nvidia {
      allowUnfreePredicate =
        package:
        builtins.elem (lib.getName package) [
          "nvidia-persistenced"
          "nvidia-x11"
        ];
    };
  };
}
