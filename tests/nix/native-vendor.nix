# What vendor packages and plugins need beyond native.nix: autoPatchelf, dpkg and Rust, of this machine's own tools and
# nixpkgs' own hooks.
#
# It proves that our expressions, their scripts and those hooks do together what they say, and that the result loads and
# answers. It does not prove that nixpkgs' compilers, loader and libraries do, nor anything about aarch64.
{
  # A nixpkgs tree.
  nixpkgs,
}:

final: prev:
let
  inherit (prev) lib;

  # One file of nixpkgs, without the tree around it.
  file = name: /. + "${nixpkgs}/${name}";

  # A program of /usr under the name of the package that has it in nixpkgs.
  standIn =
    name: attributes:
    prev.runCommand name { meta.mainProgram = name; } ''
      mkdir -p $out/bin
      ln -s /usr/bin/${name} $out/bin/
    ''
    // attributes;

  # A folder with the machine's C library and nothing else, and where its loader is: what nixpkgs' wrapper of binutils
  # knows of glibc.
  libc = prev.runCommand "libc" { } ''
    mkdir -p $out/lib $out/nix-support
    folder=$(dirname "$(gcc -print-file-name=libc.so.6)")
    for library in c m dl pthread rt; do ln -s "$folder"/lib$library.so.* $out/lib/; done
    ln -s "$folder"/ld-linux-*.so.* $out/lib/
    readelf --program-headers --wide /bin/sh |
      sed -n 's/.*program interpreter: \(.*\)]/\1/p' > $out/nix-support/dynamic-linker
    echo $out > $out/nix-support/orig-libc
  '';
in
{
  pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [
    (python: _: {
      pyelftools = python.toPythonModule (
        prev.runCommand "pyelftools" { } ''
          mkdir -p $out/${python.python.sitePackages}
          ln -s /usr/lib/python3/dist-packages/elftools $out/${python.python.sitePackages}/
        ''
      );
    })
  ];

  dpkg = prev.makeSetupHook { name = "dpkg"; } (file "pkgs/by-name/dp/dpkg/setup-hook.sh");

  auto-patchelf =
    prev.runCommand "auto-patchelf" { python = final.python3.withPackages (packages: [ packages.pyelftools ]); }
      ''
        install -Dm755 ${file "pkgs/by-name/au/auto-patchelf/source/auto-patchelf.py"} $out/bin/auto-patchelf
        sed -i "1s,.*,#!$python/bin/python3," $out/bin/auto-patchelf
      '';
  autoPatchelfHook =
    prev.makeSetupHook
      {
        name = "auto-patchelf-hook";
        propagatedBuildInputs = [ final.auto-patchelf ];
      }
      (
        prev.writeText "hook" ''
          source ${file "pkgs/by-name/au/autoPatchelfHook/auto-patchelf.sh"}
          knowLibc() { export NIX_BINTOOLS=${libc}; }
          postInstallHooks+=(knowLibc)
        ''
      );

  zlib = prev.runCommand "zlib" { } ''
    mkdir -p $out/lib
    ln -s "$(gcc -print-file-name=libz.so.1)" $out/lib/
    test -e $out/lib/libz.so.1
  '';

  cargo = standIn "cargo" { };
  rustc = standIn "rustc" {
    targetPlatforms = lib.platforms.linux;
    badTargetPlatforms = [ ];
  };
  rustPlatform = final.makeRustPlatform {
    inherit (final) cargo rustc;
    # It only notes in a program what went into it.
    cargo-auditable.meta.broken = true;
  };
}
