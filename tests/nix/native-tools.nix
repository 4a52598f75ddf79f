# Debian's tools, linked to from where nixpkgs' would be. What they bring is what Debian's package list says.
{ npm }:

final: prev:
let
  inherit (prev) lib;

  standIn =
    package: attributes:
    prev.stdenv.mkDerivation (
      {
        inherit (package)
          name
          meta
          outputs
          passthru
          ;
        version = lib.getVersion package;
        dontUnpack = true;
        preInstall = ''
          for output in $outputs; do mkdir -p "''${!output}"; done
          mkdir -p "''${!outputBin}/bin"
        '';
      }
      // attributes
    );

  ofDebian =
    name: debian:
    standIn prev.${name} {
      installPhase = ''
        runHook preInstall
        for program in $(dpkg -L ${debian} | grep -E '^(/usr)?/bin/.'); do
          ln -s "$program" "''${!outputBin}/bin/"
        done
        runHook postInstall
      '';
    };
in
builtins.mapAttrs ofDebian {
  bashNonInteractive = "bash";
  bzip2 = "bzip2";
  coreutils = "coreutils";
  diffutils = "diffutils";
  file = "file";
  findutils = "findutils";
  gawk = "gawk";
  gnugrep = "grep";
  gnumake = "make";
  gnupatch = "patch";
  gnused = "sed";
  gnutar = "tar";
  gzip = "gzip";
  jq = "jq";
  openssl = "openssl";
  patchelf = "patchelf";
  perl = "perl-base";
  swig = "swig";
  unzip = "unzip";
  xz = "xz-utils";
}
// {
  bash = final.bashNonInteractive;
  bashInteractive = final.bashNonInteractive;

  shellcheck-minimal = ofDebian "shellcheck-minimal" "shellcheck" // {
    compiler.bootstrapAvailable = true;
  };

  cacert = standIn prev.cacert {
    installPhase = ''
      runHook preInstall
      mkdir -p $out/etc/ssl/certs
      ln -s /etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/ca-bundle.crt
    '';
  };

  # Debian's Node with npm from the registry.
  nodejs = standIn prev.nodejs {
    outputs = [ "out" ];
    src = prev.emptyDirectory;
    installPhase = ''
      runHook preInstall
      ln -s /usr/bin/node $out/bin/
      mkdir -p $out/lib/node_modules
      ln -s ${npm} $out/lib/node_modules/npm
      printf '#!/bin/sh\nexec %s %s "$@"\n' $out/bin/node ${npm}/bin/npm-cli.js > $out/bin/npm
      chmod +x $out/bin/npm
    '';
  };
}
