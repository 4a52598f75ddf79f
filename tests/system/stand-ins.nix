# What the units name beyond our own packages, as links to a Debian machine's: a test machine has them, and they need
# not be where the links are made.
final: prev:
let
  inherit (prev) lib;

  # What NixOS asks of them: of nixpkgs as it is, since some cannot even be evaluated without a compiler of nixpkgs' own.
  real = import prev.path { inherit (prev.stdenv.hostPlatform) system; };

  standIn =
    package: links:
    prev.stdenv.mkDerivation {
      inherit (package)
        name
        meta
        outputs
        passthru
        ;
      # NixOS looks at these two of Nix's.
      pname = lib.getName package;
      version = lib.getVersion package;
      dontUnpack = true;
      # They lead to where this builder may have nothing.
      dontCheckForBrokenSymlinks = true;
      installPhase = ''
        runHook preInstall
        for output in $outputs; do mkdir -p "''${!output}"; done
        ${links}
        runHook postInstall
      '';
    };

  programs =
    package: names:
    standIn package ''
      mkdir -p "''${!outputBin}/bin"
      for name in ${toString names}; do ln -s /usr/bin/$name "''${!outputBin}/bin/"; done
    '';
in
{
  nix = programs real.nix [
    "nix"
    "nix-env"
    "nix-store"
  ];
  systemd = programs real.systemd [
    "journalctl"
    "loginctl"
    "systemctl"
    "systemd-run"
    "udevadm"
  ];
  util-linux = programs real.util-linux [
    "mount"
    "umount"
  ];
  unixtools = prev.unixtools // {
    hostname = programs real.unixtools.hostname [ "hostname" ];
  };
  tzdata = standIn real.tzdata ''
    mkdir -p $out/share
    ln -s /usr/share/zoneinfo $out/share/
  '';
  # Every C library knows enough of C.UTF-8, whichever locales are asked for.
  glibcLocales = standIn real.glibcLocales "" // {
    override = _: final.glibcLocales;
  };

  # nixpkgs' writer of TOML is built of Rust packages from a registry. A table without tables in it looks the same in
  # JSON, value by value.
  formats = prev.formats // {
    toml =
      settings:
      prev.formats.toml settings
      // {
        generate =
          name: values:
          assert !lib.any lib.isAttrs (lib.attrValues values);
          prev.writeText name (
            lib.concatLines (lib.mapAttrsToList (key: value: "${key} = ${builtins.toJSON value}") values)
          );
      };
  };
}
