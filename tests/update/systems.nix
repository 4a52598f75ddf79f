# Systems for the test machines, as an updater sees NixOS's: what stands in the toplevel, and what it refers to. Built
# without nixpkgs, by Debian's tools, in the developer's machine of the lab.
#
#   nix build --file systems.nix --argstr json JSON      systems.py writes the JSON and says what may be in it
{ json }:
let
  wanted = builtins.fromJSON json;

  make =
    name: environment: script:
    derivation (
      {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/bash";
        args = [
          "-euc"
          # Bash would become its last command, and Nix kills a builder that has closed its output, as coreutils do
          # some time before they end.
          "${script}exit 0"
        ];
        PATH = "/usr/bin:/bin";
      }
      // environment
    );

  package =
    name: version:
    make "${name}-${version}"
      {
        program = name;
        inherit version;
      }
      ''
        mkdir -p $out/bin
        printf '#!/bin/sh\necho %s %s\n' "$program" "$version" > "$out/bin/$program"
        chmod +x "$out/bin/$program"
      '';
  packages = builtins.attrValues (builtins.mapAttrs package wanted.packages);

  # A part of the boot is known by where it stands in the store, so it is a path of its own.
  part =
    name: file:
    make "${name}-${wanted.kernel}" { inherit file; } ''
      mkdir -p "$(dirname "$out/$file")"
      basename "$out" > "$out/$file"
    '';

  sw = make "system-path" { inherit packages; } ''
    mkdir -p $out/bin
    for each in $packages; do ln -s $each/bin/* $out/bin/; done
  '';

  unit =
    name: text:
    make "unit-${name}.service"
      {
        unit = "${name}.service";
        inherit text;
      }
      ''
        mkdir $out
        printf '%s\n' "$text" > "$out/$unit"
      '';
  units = builtins.attrValues (builtins.mapAttrs unit wanted.services);

  etc =
    make "etc"
      {
        inherit units;
        files = builtins.toJSON wanted.files;
      }
      ''
        mkdir -p $out/etc/systemd/system
        for each in $units; do ln -s $each/*.service $out/etc/systemd/system/; done
        printf '%s' "$files" | jq -r 'to_entries[] | [.key, (.value | @base64)] | @tsv' |
          while read -r name text; do
            mkdir -p "$(dirname "$out/etc/$name")"
            base64 -d <<<"$text" > "$out/etc/$name"
          done
      '';
in
make "nixos-system-${wanted.identity.host}-${wanted.identity.version}"
  {
    inherit sw etc;
    kernel = part "linux" "bzImage";
    initrd = part "initrd-linux" "initrd";
    modules = part "linux-modules" "lib/modules/version";
    identity = builtins.toJSON wanted.identity;
    inherit (wanted.identity) version;
    # Paths that stand in the store already.
    extra = map builtins.storePath wanted.extra;
    switch = ./switch-to-configuration.sh;
    health = ./health.sh;
    orders = ./orders.sh;
  }
  ''
    mkdir -p $out/bin $out/nixel
    printf '%s\n' "$identity" > $out/nixel/system.json
    printf '%s' "$version" > $out/nixos-version
    printf 'x86_64-linux' > $out/system
    printf 'quiet loglevel=4' > $out/kernel-params
    ln -s $kernel/bzImage $out/kernel
    ln -s $initrd/initrd $out/initrd
    ln -s $modules $out/kernel-modules
    ln -s $etc/etc $out/etc
    ln -s $sw $out/sw
    for each in $extra; do echo $each; done > $out/nixel/extra
    cp $switch $out/bin/switch-to-configuration
    cp $health $out/nixel/health
    cp $orders $out/nixel/orders.sh
    chmod +x $out/bin/switch-to-configuration $out/nixel/health
  ''
