# The last resorts for vendors' software: a container, and a virtual machine. Both work, and both take away what the
# appliance promises of everything else; so both are asked for twice.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.nixel.vendor;

  acknowledgement =
    what:
    lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = ''
        Says that whoever answers for this instrument has read what ${what} costs it (docs/vendor.md, last resorts)
        and accepts that. Without it `enable` is refused.
      '';
    };

  acknowledged = name: cost: {
    assertion = cfg.${name}.acceptUnreproducible;
    message = ''
      nixel.vendor.${name} is a last resort and costs this instrument part of its promise:
      ${lib.concatMapStringsSep "\n" (line: "  - ${line}") cost}
      A plugin, fromDeb or fhs costs nothing of that (docs/vendor.md). If none of them can do it, set
      nixel.vendor.${name}.acceptUnreproducible = true.
    '';
  };

  containers = config.virtualisation.oci-containers.containers;
  containersThat = predicate: lib.attrNames (lib.filterAttrs (_: predicate) containers);
  byTag = containersThat (
    container: container.imageFile == null && !(lib.hasInfix "@sha256:" container.image)
  );
  privileged = containersThat (
    container: container.privileged || lib.elem "--privileged" container.extraOptions
  );

  unknown = lib.filter (user: !(config.users.users ? ${user})) cfg.virtualbox.users;
in
{
  options.nixel.vendor = {
    podman = {
      enable = lib.mkEnableOption ''
        Podman, for a vendor's program that comes as a container only. Describe the container in
        `virtualisation.oci-containers.containers`; any person's account can run one of its own, without rights that
        the account does not have'';
      acceptUnreproducible = acknowledgement "a container";
    };

    virtualbox = {
      enable = lib.mkEnableOption "VirtualBox, for a vendor's program that runs on another operating system only";
      acceptUnreproducible = acknowledgement "a virtual machine";
      users = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        example = [ "operator" ];
        description = "Accounts whose virtual machines may use the machine's USB devices (group vboxusers).";
      };
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.podman.enable {
      assertions = [
        (acknowledged "podman" [
          "a picture's provenance ends at the image: what is inside was built elsewhere, nobody knows of what;"
          "an image that its maker deletes cannot be had again, so an archived system may not start again;"
          "an update from a stick carries no image but those given by imageFile; others are fetched from a network;"
          "nothing inside is updated when a flaw is found in it."
        ])
        {
          assertion = byTag == [ ];
          message = ''
            The image of container ${lib.concatStringsSep ", " byTag} is named by a tag, and a tag means another image tomorrow.
            Name it by its content: virtualisation.oci-containers.containers.NAME.image = "HOST/IMAGE@sha256:...", or
            bring it along with imageFile.
          '';
        }
        {
          assertion = privileged == [ ];
          message = ''
            Container ${lib.concatStringsSep ", " privileged} is privileged: it could energise what only the safety daemon may.
            Set privileged = false, and name each device that it needs in virtualisation.oci-containers.containers.NAME.devices.
          '';
        }
      ];
      virtualisation.podman.enable = true;
      virtualisation.oci-containers.backend = "podman";
    })

    (lib.mkIf cfg.virtualbox.enable {
      assertions = [
        (acknowledged "virtualbox" [
          "a picture's provenance ends at the virtual disk, which changes whenever the machine in it runs;"
          "its kernel modules are built for one kernel, come from outside of it and can take the whole instrument down;"
          "real time suffers: the safety daemon shares its processors with a whole other operating system;"
          "that operating system is to be licensed, updated and kept free of malware by somebody."
        ])
        {
          assertion = pkgs.stdenv.hostPlatform.isx86_64;
          message = ''
            nixel.vendor.virtualbox: VirtualBox runs on x86_64 only, and this machine is ${pkgs.stdenv.hostPlatform.system}.
            Set nixel.vendor.virtualbox.enable = false.
          '';
        }
        {
          assertion = unknown == [ ];
          message = ''
            nixel.vendor.virtualbox.users names ${lib.concatStringsSep ", " unknown}, which is no account of this machine.
            Add users.users.NAME, or take the name out of the list.
          '';
        }
      ];
      virtualisation.virtualbox.host = {
        enable = true;
        # A network between host and guests is one more way in; a guest reaches out through NAT.
        addNetworkInterface = false;
      };
      users.groups.vboxusers.members = cfg.virtualbox.users;
    })
  ];
}
