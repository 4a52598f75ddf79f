# A small system for the tests of sticks, built without nixpkgs: a toplevel, a program of its own, a library that
# systems of one series share, and a text that is content-addressed, as every system has some.
#
#   nix build --file stick_systems.nix --argstr json JSON      the JSON is the identity, with `series` and `size`
{ json }:
let
  wanted = builtins.fromJSON json;
  make =
    name: environment: script:
    derivation (
      {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/sh";
        args = [
          "-euc"
          script
        ];
        PATH = "/usr/bin:/bin";
      }
      // environment
    );

  text = builtins.toFile "nixel.conf" "series = ${wanted.series}\n";

  # So large that a writing can be cut off in its middle; it does not compress.
  library =
    make "library-${wanted.series}"
      {
        inherit text;
        size = toString wanted.size;
      }
      ''
        mkdir -p $out/lib
        echo "$text" > $out/lib/settings
        ln -s settings $out/lib/link
        head -c "$size" /dev/urandom > $out/lib/library.so
        chmod +x $out/lib/library.so
      '';

  program = make "program-${wanted.identity.host}" { inherit library; } ''
    mkdir -p $out/bin
    printf '#!/bin/sh\n# %s, %s\n' "$out" "$library" > $out/bin/program
    chmod +x $out/bin/program
  '';
in
make "system-${wanted.identity.host}"
  {
    inherit program library;
    identity = builtins.toJSON wanted.identity;
    inherit (wanted.identity) version;
  }
  ''
    mkdir -p $out/nixel
    ln -s "$program" $out/sw
    printf '%s' "$identity" > $out/nixel/system.json
    printf '%s' "$version" > $out/nixos-version
  ''
