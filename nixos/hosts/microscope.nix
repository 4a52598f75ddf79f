# The lensless microscope on a Raspberry Pi. Which board is the caller's (nixos/hosts/default.nix).
{ lib, ... }:

let
  shipped = lib.importTOML ../../src/acquisition/nixel/acquisition/instruments/virtual-microscope.toml;
in
{
  imports = [ ./microscope-card.nix ];

  networking.hostName = "microscope";
  nixpkgs.hostPlatform = "aarch64-linux";
  system.stateVersion = "26.05";

  # The sensor is named rather than found: a camera that is not there is then an error, not another camera.
  hardware.raspberry-pi.configtxt = {
    settings.all.camera_auto_detect = false;
    deviceTreeOverlays.all = [
      { vc4-kms-v3d = { }; }
      { imx219 = { }; }
    ];
  };

  nixel = {
    base = {
      enable = true;
      # The longest that the board's watchdog can wait.
      watchdog = "15s";
      rootSize = "256M";
    };
    provisioning = {
      enable = true;
      bootPartition = "/boot/firmware";
    };
    support.enable = true;
    update.enable = true;
    devices = {
      enable = true;
      camera = true;
      gpio = true;
    };

    # Camera, light and panel are simulated; the processor's temperature is the board's own.
    instrument.virtual.enable = true;
    # Simulated, and it says so: the sensor is in the device tree, but its adapter has been tried on no board yet.
    instrument.settings = {
      instrument = {
        name = "microscope";
        kind = "microscope";
        description = "Simulated lensless microscope with an IMX219 sensor";
        simulated = true;
      };
      devices = {
        camera = {
          adapter = "virtual-camera";
          sensor = "imx219";
          exposure = "2 ms";
          gain = 1.0;
        };
        light.adapter = "virtual-light";
        inherit (shipped.devices) stage environment;
      };
      microscope = {
        wavelength = "532 nm";
        medium_index = 1.0;
        pixel_size = "1.12 um";
        shape = [
          2464
          3280
        ];
        distance_range = [
          "0.3 mm"
          "3 mm"
        ];
        # Its stage carries the sensor, as the shipped one does.
        inherit (shipped.microscope) focus;
        limits = {
          exposure = "100 ms";
          on_time = "10 s";
        };
      };
      inherit (shipped) safety;
    };
  };

  services.nixel = {
    safety.enable = true;
    imaging = {
      enable = true;
      # Its camera is on a ribbon cable: there is nothing to reach over a network.
      reach = [ ];
    };
  };
}
