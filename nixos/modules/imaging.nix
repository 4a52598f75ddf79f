# The imaging service: jobs, pictures, the HTTP interface and the page, behind a socket that systemd opens.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.services.nixel.imaging;
  safety = config.services.nixel.safety;
  hardening = import ../lib/hardening.nix;

  loopback = host: host == "localhost" || host == "::1" || lib.hasPrefix "127." host;
  host = if lib.hasInfix ":" cfg.address then "[${cfg.address}]" else cfg.address;

  # Whom the instrument file says the service must speak to.
  hosts = lib.unique (
    lib.concatMap (
      device:
      map (key: lib.head (lib.match "(.*):[0-9]+" device.${key})) (
        builtins.filter (key: device ? ${key}) [
          "control"
          "data"
        ]
      )
    ) (lib.attrValues (config.nixel.instrument.tables.devices or { }))
  );
  nodes = lib.unique (
    builtins.filter (lib.hasPrefix "/dev/") (
      map (device: device.path or "") (lib.attrValues (config.nixel.instrument.tables.devices or { }))
    )
  );
  beyond = builtins.filter (
    host:
    if loopback host then
      !builtins.elem "localhost" cfg.reach
    else
      builtins.all (to: to == "localhost") cfg.reach
  ) hosts;
in
{
  imports = [
    ./instrument.nix
    ./safety.nix
  ];

  options.services.nixel.imaging = {
    enable = lib.mkEnableOption "the imaging service and its page";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.nixel;
      defaultText = lib.literalExpression "pkgs.nixel";
      example = lib.literalExpression "pkgs.nixel";
      description = "The commands and the page.";
    };

    address = lib.mkOption {
      type = lib.types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = "The address that the page is served at.";
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 8642;
      example = 80;
      description = "The port that the page is served at. systemd opens it, so it may be a low one.";
    };

    hostName = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "scanner.hospital.example";
      description = ''
        The name or address by which browsers on other machines call this one. Requests under any other name are
        refused, so that a foreign page cannot reach the service by giving its own name this machine's address.
      '';
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether to open the port to other machines.";
    };

    reach = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "localhost" ];
      example = [ "10.10.0.2" ];
      description = ''
        The addresses to which the service may open connections of its own, as systemd's `IPAddressAllow=` writes them:
        those of the data acquisition. An empty list takes the network away altogether. Who may reach the page is
        another matter, decided by `address` and the firewall.
      '';
    };

    devices = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "/dev/.+|(char|block)-.+");
      default = [ ];
      example = [ "char-ttyUSB" ];
      description = ''
        The device nodes that the service may open, as systemd's `DeviceAllow=` names them. Prefer a class (`char-ttyUSB`,
        `char-video4linux`) for what can be unplugged: a path is looked up once, when the service starts. What is reached
        over a network, and what is simulated, needs none.
      '';
    };

    deviceGroups = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "dialout" ];
      example = [
        "nixel-serial"
        "nixel-camera"
      ];
      description = "The groups that own those device nodes.";
    };

    dataFolder = lib.mkOption {
      type = lib.types.str;
      default = "/var/lib/nixel-imaging";
      readOnly = true;
      example = "/var/lib/nixel-imaging";
      description = "Where datasets, pictures and the database are. For other modules to read.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = safety.enable;
        message = ''
          services.nixel.imaging needs the safety daemon, which alone may energise the instrument.
          Set services.nixel.safety.enable = true; for a simulated instrument too.
        '';
      }
      {
        assertion = loopback cfg.address || cfg.hostName != null;
        message = ''
          services.nixel.imaging.address is ${cfg.address}, but the service would answer to the name localhost only.
          Set services.nixel.imaging.hostName to the name by which other machines call this one.
        '';
      }
      {
        assertion = cfg.openFirewall -> !loopback cfg.address;
        message = ''
          services.nixel.imaging.openFirewall opens a port that nobody outside can use: the service listens on ${cfg.address}.
          Set services.nixel.imaging.address = "0.0.0.0", or leave the firewall closed.
        '';
      }
      {
        assertion = beyond == [ ];
        message = ''
          services.nixel.imaging.reach does not allow ${lib.concatStringsSep ", " beyond}, where the instrument has devices.
          Set services.nixel.imaging.reach = [ ${lib.concatMapStringsSep " " (host: "\"${host}\"") hosts} ].
        '';
      }
      {
        assertion = nodes != [ ] -> cfg.devices != [ ];
        message = ''
          services.nixel.imaging may open no device node, but the instrument has devices at ${lib.concatStringsSep ", " nodes}.
          Set services.nixel.imaging.devices to what they are, such as [ "char-ttyUSB" ] or [ "char-video4linux" ].
        '';
      }
    ];

    environment.systemPackages = [ cfg.package ];
    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall cfg.port;

    users.users.nixel-imaging = {
      isSystemUser = true;
      group = safety.operatorGroup;
      description = "nixel imaging service";
    };

    systemd.sockets.nixel-imaging = {
      description = "nixel imaging service";
      wantedBy = [ "sockets.target" ];
      socketConfig = {
        ListenStream = "${host}:${toString cfg.port}";
        # An address that a cable has yet to bring does not keep the socket from coming up.
        FreeBind = true;
      };
    };

    systemd.services.nixel-imaging = {
      description = "nixel imaging service";
      requires = [ "nixel-imaging.socket" ];
      # It asks the safety daemon and waits for it, but neither starts, stops nor restarts with it.
      wants = [ "nixel-safety.service" ];
      after = [
        "nixel-imaging.socket"
        "nixel-safety.service"
      ];

      serviceConfig =
        hardening
        // {
          Type = "exec";
          Restart = "on-failure";
          RestartSec = "2s";
          User = "nixel-imaging";
          # The lease that keeps an output on is for operators, and operators may read what was measured.
          Group = safety.operatorGroup;
          UMask = "0027";
          StateDirectory = "nixel-imaging";
          StateDirectoryMode = "0750";
          ExecStart = utils.escapeSystemdExecArgs [
            (lib.getExe' cfg.package "nixel")
            "serve"
            "--instrument"
            config.nixel.instrument.path
            "--safety-socket"
            safety.socket
            "--data"
            cfg.dataFolder
            # The socket is inherited; this is the name that the service answers to.
            "--host"
            (if cfg.hostName != null then cfg.hostName else cfg.address)
          ];
        }
        // lib.optionalAttrs (cfg.reach != [ ]) {
          # The data acquisition speaks TCP. The service may open connections to it and to nobody else: the lists of a
          # service do not bind the sockets that it inherits (those have the socket unit's), so that the page stays
          # reachable from everywhere while the service itself reaches next to nothing.
          PrivateNetwork = false;
          RestrictAddressFamilies = [
            "AF_UNIX"
            "AF_INET"
            "AF_INET6"
          ];
          IPAddressAllow = cfg.reach;
        }
        // lib.optionalAttrs (cfg.devices != [ ]) {
          # Real devices stand in the real /dev; all but the named ones are refused by the device policy.
          PrivateDevices = false;
          DeviceAllow = map (device: "${device} rw") cfg.devices;
          SupplementaryGroups = cfg.deviceGroups;
        };
    };
  };
}
