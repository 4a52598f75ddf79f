# Who may open which device: a group for each kind, and names that stay the same whichever socket a cable is in.
{
  config,
  lib,
  ...
}:

let
  cfg = config.nixel.devices;

  usbId = lib.types.strMatching "[0-9a-f]{4}";
  usb =
    kind:
    lib.types.attrsOf (
      lib.types.submodule {
        options = {
          vendor = lib.mkOption {
            type = usbId;
            example = "0403";
            description = "Its USB vendor, four hexadecimal digits in lower case.";
          };
          product = lib.mkOption {
            type = usbId;
            example = "6001";
            description = "Its USB product, four hexadecimal digits in lower case.";
          };
          serial = lib.mkOption {
            type = lib.types.nullOr lib.types.str;
            default = null;
            example = "A50285BI";
            description = "Its serial number, which tells two of the same ${kind} apart.";
          };
        };
      }
    );

  rule = lib.concatStringsSep ", ";
  # A serial line is a device below the USB one; a DAQ is the USB device itself.
  usbIs =
    attribute: device:
    [
      ''${attribute}{idVendor}=="${device.vendor}"''
      ''${attribute}{idProduct}=="${device.product}"''
    ]
    ++ lib.optional (device.serial != null) ''${attribute}{serial}=="${device.serial}"'';
  given = name: group: [
    ''SYMLINK+="nixel/${name}"''
    ''GROUP="${group}"''
    ''MODE="0660"''
  ];
  serialRule =
    name: device: rule ([ ''SUBSYSTEM=="tty"'' ] ++ usbIs "ATTRS" device ++ given name "nixel-serial");
  daqRule =
    name: device:
    rule (
      [
        ''SUBSYSTEM=="usb"''
        ''ENV{DEVTYPE}=="usb_device"''
      ]
      ++ usbIs "ATTR" device
      ++ given name "nixel-daq"
    );

  identity =
    device:
    lib.concatStringsSep ":" (
      [
        device.vendor
        device.product
      ]
      ++ lib.optional (device.serial != null) device.serial
    );
  twice =
    let
      all = map identity (lib.attrValues cfg.serial);
    in
    lib.unique (builtins.filter (each: lib.count (other: other == each) all > 1) all);
in
{
  options.nixel.devices = {
    enable = lib.mkEnableOption "names, groups and kernel modules for the instrument's devices";

    serial = lib.mkOption {
      type = usb "converter";
      default = { };
      example = {
        surveillance = {
          vendor = "0403";
          product = "6001";
        };
      };
      description = "Serial lines over USB, by the name that they get under /dev/nixel; for the group nixel-serial.";
    };

    daq = lib.mkOption {
      type = usb "device";
      default = { };
      example = {
        digitiser = {
          vendor = "0bda";
          product = "2838";
        };
      };
      description = "Data acquisition over USB, by the name that it gets under /dev/nixel; for the group nixel-daq.";
    };

    gpio = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether the group nixel-gpio may use the machine's general-purpose inputs and outputs.";
    };

    camera = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether the group nixel-camera may use cameras, and the memory that they write to.";
    };

    kernelModules = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "ftdi_sio" ];
      description = "Kernel modules to load at start, for devices that do not announce themselves.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = twice == [ ];
        message = ''
          nixel.devices.serial has more than one name for ${lib.concatStringsSep ", " twice}, so which is which would be chance.
          Set the serial of each.
        '';
      }
    ];

    boot = { inherit (cfg) kernelModules; };

    users.groups = {
      nixel-serial = { };
      nixel-daq = { };
      nixel-gpio = { };
      nixel-camera = { };
    };

    services.udev.extraRules = lib.concatLines (
      lib.mapAttrsToList serialRule cfg.serial
      ++ lib.mapAttrsToList daqRule cfg.daq
      ++ lib.optional cfg.gpio ''SUBSYSTEM=="gpio", GROUP="nixel-gpio", MODE="0660"''
      ++ lib.optional cfg.camera ''SUBSYSTEM=="video4linux|media|dma_heap", GROUP="nixel-camera", MODE="0660"''
    );
  };
}
