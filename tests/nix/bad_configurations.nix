# Configurations that must be refused: what is wrong with a good machine, and what its owner must read about it.
# Given the flake's machines, answers the messages found and the sentences expected.
machines:
let
  table = {
    no-instrument = {
      instrument = {
        file = null;
        virtual.enable = false;
      };
      expected = [
        "there is no instrument to serve"
        "Set nixel.instrument.settings"
      ];
    };
    two-instruments = {
      instrument.settings = tables "demo-vm";
      expected = [ "both settings and file are set" ];
    };
    virtual-scanner-of-a-real-one = {
      on = "scanner";
      instrument.virtual.enable = true;
      expected = [
        "puts a virtual scanner behind an instrument that says it is real"
        "instrument.simulated = true"
      ];
    };
    virtual-scanner-without-safety = {
      safety.enable = false;
      imaging.enable = false;
      expected = [ "services.nixel.safety.enable = true" ];
    };
    virtual-scanner-without-a-data-acquisition = {
      instrument = {
        file = null;
        settings = tables "demo-vm" // {
          devices = { };
        };
      };
      expected = [ "needs a scanner with a DAQ" ];
    };
    real-with-virtual-devices = {
      on = "microscope";
      instrument.settings.instrument.simulated = false;
      expected = [
        "camera, light cannot be of an instrument that is not simulated"
        "nixel.instrument.settings.safety.gpio.simulated is true although the instrument is a real one"
      ];
    };
    kind-without-its-table = {
      on = "scanner";
      instrument.settings.instrument.kind = "microscope";
      expected = [ ''kind is "microscope", which wants the table of that name'' ];
    };
    gate-that-does-not-exist = {
      on = "scanner";
      instrument.settings.safety.outputs.amplifier.gated_by = [ "window" ];
      expected = [ "amplifier is gated by window, which is not an interlock" ];
    };
    interlock-that-gates-nothing = {
      on = "scanner";
      instrument.settings.safety.interlocks.window = {
        kind = "boolean";
        source = "digital:1";
        healthy = true;
        max_age = "250 ms";
      };
      expected = [ "window gates no output" ];
    };
    surveillance-that-cannot-be-opened = {
      on = "scanner";
      safety.devices = [ ];
      expected = [ ''Set services.nixel.safety.devices = [ "char-ttyUSB" ]'' ];
    };
    gpio-chip-that-cannot-be-opened = {
      on = "microscope";
      instrument.settings.safety.gpio = {
        adapter = "gpio";
        simulated = false;
      };
      expected = [ ''Set services.nixel.safety.devices = [ "char-gpiochip" ]'' ];
    };
    devices-of-a-group-that-is-not-there = {
      on = "scanner";
      safety.deviceGroups = [ "laboratory" ];
      expected = [ "names laboratory, which no module creates" ];
    };
    imaging-without-safety = {
      on = "scanner";
      safety.enable = false;
      expected = [ "services.nixel.imaging needs the safety daemon" ];
    };
    page-for-others-without-a-name = {
      imaging.hostName = null;
      expected = [ "Set services.nixel.imaging.hostName" ];
    };
    firewall-open-for-nobody = {
      imaging.address = "127.0.0.1";
      expected = [ "opens a port that nobody outside can use" ];
    };
    data-acquisition-out-of-reach = {
      on = "scanner";
      imaging.reach = [ "localhost" ];
      expected = [ ''Set services.nixel.imaging.reach = [ "10.10.0.2" ]'' ];
    };
    device-node-that-imaging-cannot-open = {
      on = "scanner";
      instrument.settings.devices.stage = {
        adapter = "grbl-stage";
        path = "/dev/nixel/stage";
      };
      expected = [
        "the instrument has devices at /dev/nixel/stage"
        "Set services.nixel.imaging.devices"
      ];
    };
    loopback-out-of-reach = {
      imaging.reach = [ "10.10.0.2" ];
      expected = [ "does not allow 127.0.0.1" ];
    };
    state-in-memory = {
      on = "scanner";
      fileSystems = {
        "/".fsType = "tmpfs";
        "/nix".fsType = "ext4";
      };
      expected = [ ''Set fileSystems."/var"'' ];
    };
    store-in-memory = {
      on = "scanner";
      fileSystems = {
        "/".fsType = "tmpfs";
        "/var".fsType = "ext4";
      };
      expected = [ ''Set fileSystems."/nix"'' ];
    };
    default-password = {
      users.users.operator = {
        isNormalUser = true;
        initialPassword = "nixel";
      };
      expected = [
        "users.users.operator.initialPassword: no account has a password that is known before the machine is"
      ];
    };
    accounts-by-hand = {
      users.mutableUsers = true;
      expected = [ "Leave users.mutableUsers = false" ];
    };
    update-by-itself = {
      system.autoUpgrade.enable = true;
      expected = [ "behind its operator's back" ];
    };
    containers-without-nvidia = {
      nixel.gpu = {
        enable = true;
        driver = "mesa";
        containers = true;
      };
      expected = [ ''Set nixel.gpu.driver = "nvidia"'' ];
    };
    two-names-for-one-converter = {
      nixel.devices = {
        enable = true;
        serial.one = converter;
        serial.two = converter;
      };
      expected = [ "more than one name for 0403:6001" ];
    };
    cache-without-keys = {
      nixel.cache.enable = true;
      expected = [
        "Set nixel.cache.signingKeyFile"
        "Set nixel.cache.certificate"
      ];
    };
    cache-in-the-clear = {
      nixel.cache.from."http://cache.example" =
        "cache-1:eIGQXcGQpc00x6/XFcyacLEUmC07u4RAEHt5Y8vdglo=";
      expected = [ "http://cache.example is not reached over TLS" ];
    };
  };

  converter = {
    vendor = "0403";
    product = "6001";
  };
  tables = name: machines.${name}.config.nixel.instrument.tables;

  # Everything of a row is stronger than what the machine says itself.
  judge =
    row:
    let
      machine = machines.${row.on or "demo-vm"};
      inherit (machine.pkgs) lib;
      force = value: if isPlain value then lib.mapAttrs (_: force) value else lib.mkForce value;
      isPlain = value: builtins.isAttrs value && !(value ? _type);
      changed = machine.extendModules {
        modules = [
          (force (
            removeAttrs row [
              "on"
              "expected"
              "instrument"
              "safety"
              "imaging"
              "fileSystems"
            ]
          ))
          { nixel.instrument = force (row.instrument or { }); }
          {
            services.nixel = {
              safety = force (row.safety or { });
              imaging = force (row.imaging or { });
            };
          }
          (lib.optionalAttrs (row ? fileSystems) { fileSystems = lib.mkForce row.fileSystems; })
        ];
      };
    in
    {
      inherit (row) expected;
      found = map (each: each.message) (
        builtins.filter (each: !each.assertion) changed.config.assertions
      );
    };
in
builtins.mapAttrs (_: judge) table
