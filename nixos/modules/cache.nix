# A binary cache for the instruments of a house: one machine serves its store over TLS, the others take from it what it
# has signed.
{
  config,
  lib,
  ...
}:

let
  cfg = config.nixel.cache;
  harmonia = "127.0.0.1:5000";
  inTheClear = builtins.filter (url: !lib.hasPrefix "https://" url) (lib.attrNames cfg.from);
  # A file of the configuration would be copied to the store, where everybody could read it.
  secret = lib.types.externalPath;
in
{
  options.nixel.cache = {
    enable = lib.mkEnableOption "serving this machine's store to others, signed and over TLS";

    hostName = lib.mkOption {
      type = lib.types.str;
      default = config.networking.fqdnOrHostName;
      defaultText = lib.literalExpression "config.networking.fqdnOrHostName";
      example = "cache.hospital.example";
      description = "The name by which other machines reach it; the certificate's.";
    };

    signingKeyFile = lib.mkOption {
      type = lib.types.nullOr secret;
      default = null;
      example = "/var/lib/nixel/cache/signing-key";
      description = ''
        A file on the machine with the key that signs what is served, as `nix key generate-secret` makes it. It never
        is in the configuration.
      '';
    };

    certificate = lib.mkOption {
      type = lib.types.nullOr secret;
      default = null;
      example = "/var/lib/nixel/cache/certificate.pem";
      description = "A file on the machine with the certificate and those that vouch for it.";
    };

    certificateKey = lib.mkOption {
      type = lib.types.nullOr secret;
      default = null;
      example = "/var/lib/nixel/cache/key.pem";
      description = "A file on the machine with the certificate's key.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether other machines may reach the port 443.";
    };

    from = lib.mkOption {
      type = lib.types.attrsOf (lib.types.strMatching "[^: ]+:[A-Za-z0-9+/]{43}=");
      default = { };
      example = {
        "https://cache.hospital.example" = "cache.hospital.example-1:eIGQXcGQpc00x6/XFcyacLEUmC07u4RAEHt5Y8vdglo=";
      };
      description = "The caches that this machine takes from, by address, each with the public key of its signatures.";
    };
  };

  config = lib.mkMerge [
    {
      assertions = [
        {
          assertion = inTheClear == [ ];
          message = ''
            nixel.cache.from: ${lib.concatStringsSep ", " inTheClear} is not reached over TLS.
            Set addresses that begin with https://.
          '';
        }
      ];
      nix.settings = {
        substituters = lib.attrNames cfg.from;
        trusted-public-keys = lib.attrValues cfg.from;
      };
    }
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = cfg.signingKeyFile != null;
          message = ''
            nixel.cache.enable: what is not signed is not taken by anyone.
            Set nixel.cache.signingKeyFile = "/var/lib/nixel/cache/signing-key", made there with nix key generate-secret.
          '';
        }
        {
          assertion = cfg.certificate != null && cfg.certificateKey != null;
          message = ''
            nixel.cache.enable serves over TLS alone.
            Set nixel.cache.certificate and nixel.cache.certificateKey to files on the machine.
          '';
        }
      ];

      services.harmonia.cache = {
        enable = true;
        signKeyPaths = lib.optional (cfg.signingKeyFile != null) cfg.signingKeyFile;
        settings.bind = harmonia;
      };

      services.nginx = {
        enable = true;
        recommendedTlsSettings = true;
        virtualHosts.${cfg.hostName} = {
          onlySSL = true;
          sslCertificate = cfg.certificate;
          sslCertificateKey = cfg.certificateKey;
          locations."/".proxyPass = "http://${harmonia}";
        };
      };

      networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall 443;
    })
  ];
}
