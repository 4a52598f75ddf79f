# The Magnetic Particle Imaging scanner's workstation.
{ lib, ... }:

let
  shipped = lib.importTOML ../../src/acquisition/nixel/acquisition/instruments/virtual-scanner.toml;
in
{
  imports = [ ./scanner-disk.nix ];

  networking.hostName = "scanner";
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "26.05";

  boot = {
    loader = {
      systemd-boot.enable = true;
      # Nobody changes how an instrument starts from its keyboard.
      systemd-boot.editor = false;
      systemd-boot.configurationLimit = 10;
      efi.canTouchEfiVariables = true;
    };
    initrd.availableKernelModules = [
      "ahci"
      "nvme"
      "sd_mod"
      "usb_storage"
      "usbhid"
      "xhci_pci"
    ];
  };
  hardware.enableRedistributableFirmware = true;

  # The data acquisition has a cable and a network to itself.
  systemd.network.networks."10-daq" = {
    matchConfig.Name = "enp2s0";
    address = [ "10.10.0.1/24" ];
    linkConfig.RequiredForOnline = false;
  };

  nixel = {
    base.enable = true;
    gpu.enable = true;
    provisioning.enable = true;
    support.enable = true;
    update.enable = true;
    devices = {
      enable = true;
      serial.surveillance = {
        vendor = "0403";
        product = "6001";
      };
    };

    instrument.settings = {
      instrument = {
        name = "scanner";
        kind = "scanner";
        description = "Two-dimensional MPI scanner";
        simulated = false;
      };
      devices = {
        daq = {
          adapter = "scpi-daq";
          control = "10.10.0.2:5025";
          data = "10.10.0.2:5026";
          timeout = "2 s";
          drive_field_per_volt = [
            "20 mT/V"
            "20 mT/V"
          ];
          # The current sensors of the drive coils are on the converter's other channels.
          feedback_channels = [
            2
            3
          ];
          feedback_field_per_volt = [
            "100 mT/V"
            "100 mT/V"
          ];
          voltage_limit = [
            "0.8 V"
            "0.8 V"
          ];
          ramp = "1 ms";
        };
        robot = {
          adapter = "scpi-robot";
          daq = "daq";
          home = [
            "0 mm"
            "0 mm"
          ];
          travel = [
            "-15 mm"
            "15 mm"
          ];
        };
      };
      scanner = {
        base_frequency = "2.5 MHz";
        dividers = [
          102
          96
        ];
        drive_field = [
          "12 mT"
          "12 mT"
        ];
        gradient = [
          "-1.25 T/m"
          "-1.25 T/m"
          "2.5 T/m"
        ];
        receive_channels = 2;
        samples_per_period = 1632;
        robot = "robot";
        # By the current sensors, before every stage of a run.
        field_control = {
          tolerance = "50 uT";
          voltage_step = "0.4 V";
        };
        # The robot, the bore and what stands in it: every move is checked against it before anything moves.
        geometry = {
          clearance = "1 mm";
          sample = [
            "4 mm"
            "4 mm"
            "4 mm"
          ];
          arm = {
            low = [
              "2 mm"
              "-3 mm"
              "-3 mm"
            ];
            high = [
              "400 mm"
              "3 mm"
              "3 mm"
            ];
          };
          bores = [
            {
              name = "the bore";
              axis = "x";
              diameter = "60 mm";
              length = "300 mm";
            }
            {
              name = "the receive insert";
              axis = "x";
              diameter = "44 mm";
              length = "80 mm";
            }
          ];
        };
        limits = {
          drive_field = "14 mT";
          transmit_time = "120 s";
        };
      };
      # Wired like the simulated scanner, so that what is guarded stands in one place; the unit is a real one.
      safety = shipped.safety // {
        surveillance = {
          adapter = "serial-surveillance";
          path = "/dev/nixel/surveillance";
        };
      };
    };
  };

  services.nixel = {
    safety = {
      enable = true;
      devices = [ "char-ttyUSB" ];
      deviceGroups = [ "nixel-serial" ];
    };
    imaging = {
      enable = true;
      reach = [ "10.10.0.2" ];
    };
  };
}
