# Service-level access: a way in for a technician with a key, and what a visit needs once inside.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.nixel.support;
  toml = pkgs.formats.toml { };
  folder = "/run/nixel-vnc";
  socket = "${folder}/view";
  missing = builtins.filter (name: !(config.users.users ? ${name})) cfg.users;
  sshd = config.services.openssh.settings;

  # Both listen on a Unix socket that only its owner and the service group may open: a port on the loopback interface
  # would be open to every program on the machine.
  servers = {
    wayland = [
      (lib.getExe pkgs.wayvnc)
      "--unix-socket"
      "--render-cursor"
    ]
    ++ lib.optional (!cfg.vnc.control) "--disable-input"
    ++ [ socket ];
    x11 =
      let
        accept = if cfg.vnc.control then "1" else "0";
      in
      [
        (lib.getExe' pkgs.tigervnc "x0vncserver")
        "-rfbport=-1"
        "-rfbunixpath=${socket}"
        "-rfbunixmode=0660"
        "-SecurityTypes=None"
        "-AcceptKeyEvents=${accept}"
        "-AcceptPointerEvents=${accept}"
        "-AcceptCutText=${accept}"
        "-SendCutText=${accept}"
      ];
  };
in
{
  options.nixel.support = {
    enable = lib.mkEnableOption "service-level access by ssh, debugging tools and the support bundle";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.python3Packages.nixel-update;
      defaultText = lib.literalExpression "pkgs.python3Packages.nixel-update";
      example = lib.literalExpression "pkgs.python3Packages.nixel-update";
      description = "The package with the nixel-support command.";
    };

    users = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "technician" ];
      example = [
        "technician"
        "operator"
      ];
      description = "Who may come in by ssh, with a key; nobody may with a password.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether the firewall lets ssh in. Without it, service is by a cable's link-local address or not at all.";
    };

    tools = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [
        pkgs.ethtool
        pkgs.htop
        pkgs.i2c-tools
        pkgs.iperf3
        pkgs.lsof
        pkgs.pciutils
        pkgs.picocom
        pkgs.smartmontools
        pkgs.strace
        pkgs.tcpdump
        pkgs.usbutils
        pkgs.v4l-utils
      ];
      defaultText = lib.literalExpression "tools to look at buses, disks, networks, serial lines, cameras and processes";
      example = lib.literalExpression "[ pkgs.pciutils pkgs.usbutils pkgs.gdb ]";
      description = "What a service visit needs on a machine on which nothing can be installed.";
    };

    dataFolders = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "/.+");
      default = [ (config.services.nixel.imaging.dataFolder or "/var/lib/nixel-imaging") ];
      defaultText = lib.literalExpression "the imaging service's dataFolder";
      example = [ "/var/lib/nixel-imaging" ];
      description = "Folders of which nothing gets into a support bundle, whatever leads there.";
    };

    vnc = {
      enable = lib.mkEnableOption "a view of the operator's screen over ssh";

      session = lib.mkOption {
        type = lib.types.enum (builtins.attrNames servers);
        default = "wayland";
        example = "x11";
        description = "What draws the operator's screen: a Wayland compositor of the wlroots family, or an X server.";
      };

      user = lib.mkOption {
        type = lib.types.str;
        default = "operator";
        example = "operator";
        description = "Whose session is seen.";
      };

      control = lib.mkOption {
        type = lib.types.bool;
        default = false;
        example = true;
        description = ''
          Whether who sees the screen may also use it. Off by default: the person beside the instrument decides what
          it does.
        '';
      };
    };
  };

  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        assertions = [
          {
            assertion = missing == [ ];
            message = ''
              nixel.support.users names ${lib.concatStringsSep ", " missing}, which is no account of this system.
              Enable nixel.provisioning, which declares operator and technician, or set users.users.
            '';
          }
          {
            assertion = cfg.users != [ ];
            message = ''
              nixel.support.users is empty, so nobody could come in by ssh.
              Set nixel.support.users = [ "technician" ], or nixel.support.enable = false.
            '';
          }
          {
            assertion =
              sshd.PasswordAuthentication == false
              && sshd.KbdInteractiveAuthentication == false
              && sshd.PermitRootLogin == "no";
            message = ''
              nixel.support lets nobody in by ssh with a password, and root not at all.
              Leave PasswordAuthentication, KbdInteractiveAuthentication and PermitRootLogin of
              services.openssh.settings unset, or set nixel.support.enable = false.
            '';
          }
        ];

        users.groups.nixel-service.members = cfg.users;

        services.openssh = {
          enable = true;
          inherit (cfg) openFirewall;
          # Keys come from provisioning; a key that an account adds for itself would outlive it.
          authorizedKeysInHomedir = false;
          settings = {
            PasswordAuthentication = false;
            KbdInteractiveAuthentication = false;
            PermitRootLogin = "no";
            AllowGroups = [ "nixel-service" ];
            X11Forwarding = false;
            AllowAgentForwarding = false;
            # To the instrument's page and the screen, never into the network that the instrument stands in.
            AllowTcpForwarding = "local";
            PermitOpen = "localhost:* 127.0.0.1:*";
            AllowStreamLocalForwarding = "local";
            MaxAuthTries = 3;
          };
        };

        environment = {
          systemPackages = [ cfg.package ] ++ cfg.tools;
          etc."nixel/support.toml".source = toml.generate "support.toml" {
            safety-events = config.services.nixel.safety.events or "/var/lib/nixel-safety/events.jsonl";
            data = cfg.dataFolders;
          };
        };
      }

      (lib.mkIf cfg.vnc.enable {
        assertions = [
          {
            assertion = config.users.users ? ${cfg.vnc.user};
            message = ''
              nixel.support.vnc.user is ${cfg.vnc.user}, which is no account of this system.
              Enable nixel.provisioning, which declares operator, or set nixel.support.vnc.user.
            '';
          }
          {
            assertion = cfg.vnc.session != "x11" || config.services.xserver.enable;
            message = ''
              nixel.support.vnc.session is "x11", but no X server is enabled.
              Set services.xserver.enable = true, or nixel.support.vnc.session = "wayland".
            '';
          }
        ];

        # The group's bit makes what is created in it the service group's.
        systemd.tmpfiles.settings."10-nixel-vnc".${folder}.d = {
          inherit (cfg.vnc) user;
          group = "nixel-service";
          mode = "2750";
        };

        systemd.user.services.nixel-vnc = {
          description = "The operator's screen for a service visit";
          wantedBy = [ "graphical-session.target" ];
          partOf = [ "graphical-session.target" ];
          after = [ "graphical-session.target" ];
          unitConfig.ConditionUser = cfg.vnc.user;
          serviceConfig = {
            ExecStartPre = "${pkgs.coreutils}/bin/rm -f ${socket}";
            ExecStart = lib.escapeShellArgs servers.${cfg.vnc.session};
            Restart = "on-failure";
            RestartSec = "5s";
            UMask = "0007";
            NoNewPrivileges = true;
          };
        };
      })
    ]
  );
}
