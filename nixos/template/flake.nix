{
  description = "An instrument of my own";

  # Where nixel comes from: its address, or this name after `nix registry add nixel ADDRESS`.
  inputs.nixel.url = "flake:nixel";

  outputs =
    { nixel, ... }:
    {
      nixosConfigurations.bench = nixel.inputs.nixpkgs.lib.nixosSystem {
        modules = [
          nixel.nixosModules.default
          {
            networking.hostName = "bench";
            nixpkgs.hostPlatform = "x86_64-linux";
            system.stateVersion = "26.05";

            # Your machine: how it starts, and where its disks are. The root is in memory.
            boot.loader.systemd-boot.enable = true;
            fileSystems = {
              "/boot" = {
                device = "/dev/disk/by-label/BOOT";
                fsType = "vfat";
              };
              "/nix" = {
                device = "/dev/disk/by-label/store";
                fsType = "ext4";
              };
              "/var" = {
                device = "/dev/disk/by-label/state";
                fsType = "ext4";
              };
            };

            nixel = {
              base.enable = true;
              # Your instrument: simulated to begin with. Put real devices in, set simulated to false in both places,
              # and take the virtual scanner away.
              instrument = {
                virtual.enable = true;
                settings = {
                  instrument = {
                    name = "bench";
                    kind = "scanner";
                    description = "The scanner on my bench";
                    simulated = true;
                  };
                  devices = {
                    daq = {
                      adapter = "scpi-daq";
                      control = "127.0.0.1:5025";
                      data = "127.0.0.1:5026";
                      timeout = "2 s";
                      drive_field_per_volt = [
                        "20 mT/V"
                        "20 mT/V"
                      ];
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
                    limits = {
                      drive_field = "14 mT";
                      transmit_time = "120 s";
                    };
                  };
                  safety = {
                    rate = "100 Hz";
                    lease = "500 ms";
                    operator_group = "nixel-operator";
                    surveillance = {
                      adapter = "serial-surveillance";
                      path = "/dev/nixel/surveillance";
                      simulated = true;
                    };
                    interlocks = {
                      coil-temperature = {
                        kind = "limit";
                        source = "analog:0";
                        unit = "degC";
                        warn = "50 degC";
                        trip = "60 degC";
                        sensor = "pt1000-class-b";
                        part = "drive-coil";
                        max_age = "250 ms";
                      };
                      emergency-stop = {
                        kind = "boolean";
                        source = "digital:0";
                        healthy = true;
                        max_age = "250 ms";
                        emergency_stop = true;
                        message = "the emergency stop is pulled";
                      };
                    };
                    outputs.amplifier = {
                      sink = "ac";
                      gated_by = [
                        "coil-temperature"
                        "emergency-stop"
                      ];
                    };
                  };
                };
              };
            };

            services.nixel = {
              safety.enable = true;
              imaging.enable = true;
            };
          }
        ];
      };
    };
}
