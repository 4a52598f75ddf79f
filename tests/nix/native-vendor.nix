# Our vendor packages on a nixpkgs whose tools are this machine's own: they are built and checked for real, in seconds
# and without a binary cache.
#
# It proves that our expressions, their scripts and nixpkgs' hooks (autoPatchelf, dpkg, Rust) do together what they say,
# and that the result loads and answers. It does not prove that nixpkgs' own compilers and libraries do, nor anything
# about aarch64.
{
  # A nixpkgs tree.
  nixpkgs,
}:

let
  tools =
    final: prev:
    let
      inherit (prev) lib;

      # One file of nixpkgs, without the tree around it.
      file = name: /. + "${nixpkgs}/${name}";

      # Programs of /usr under the name of the package that has them in nixpkgs.
      standIn =
        name: programs: attributes:
        prev.stdenv.mkDerivation {
          inherit name;
          buildCommand = ''
            mkdir -p $out/bin
            for program in ${toString programs}; do ln -s /usr/bin/$program $out/bin/; done
          '';
          meta.mainProgram = lib.head (programs ++ [ name ]);
        }
        // attributes;

      # A folder with the machine's C library and nothing else, and where its loader is: what nixpkgs' wrapper of
      # binutils knows of glibc.
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
      # Two of stdenv itself, which it would build first.
      patchelf = standIn "patchelf" [ "patchelf" ] { };
      xz = standIn "xz" [ "xz" ] { };

      diffutils = standIn "diffutils" [ "diff" ] { };
      jq = standIn "jq" [ ] { };

      python3 = standIn "python3" [ "python3" ] {
        # Debian's, which has pyelftools.
        withPackages = _: final.python3;
      };

      dpkg = prev.makeSetupHook {
        name = "dpkg";
      } (file "pkgs/by-name/dp/dpkg/setup-hook.sh");

      auto-patchelf = prev.runCommand "auto-patchelf" { } ''
        install -Dm755 ${file "pkgs/by-name/au/auto-patchelf/source/auto-patchelf.py"} $out/bin/auto-patchelf
      '';
      autoPatchelfHook = prev.makeSetupHook {
        name = "auto-patchelf-hook";
        propagatedBuildInputs = [ final.auto-patchelf ];
      } (
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

      cargo = standIn "cargo" [ "cargo" ] { };
      rustc = standIn "rustc" [ "rustc" ] {
        targetPlatforms = lib.platforms.linux;
        badTargetPlatforms = [ ];
      };
      rustPlatform = final.makeRustPlatform {
        inherit (final) cargo rustc;
        # It only notes in a program what went into it.
        cargo-auditable.meta.broken = true;
      };
    };
in
import nixpkgs {
  # The example driver's licence is what a vendor's is by default.
  config.allowUnfree = true;
  # Only the first stages differ from those of Linux: a stdenv of the tools in /usr.
  stdenvStages =
    args:
    import "${nixpkgs}/pkgs/stdenv/native" {
      inherit (args)
        lib
        localSystem
        crossSystem
        config
        overlays
        ;
    };
  overlays = [
    (import ../../pkgs)
    tools
  ];
}
