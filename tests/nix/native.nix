# Our overlay on a nixpkgs whose tools are this machine's own: what our derivations say is done for real, in seconds and
# without a binary cache, where nixpkgs' own way begins with building a compiler.
#
# It proves that our expressions, nixpkgs' hooks and our sources fit together: sources are complete, wheels are built and
# hold their data, every run-time dependency is declared, the tests pass on what was installed, programs are wrapped so
# that they start, the page is built from the lock alone. It does not prove that nixpkgs' versions of Python, NumPy,
# Node and the rest do (test_packages.py compares their versions with what we ask for), nor anything about aarch64.
{
  # A nixpkgs tree.
  nixpkgs,
  # Where tools/nix-builders put third-party Python packages and npm.
  site,
  npm,
  # Whether what is built stands in the store with all that it needs, and so runs on another machine; its tests are not
  # run again then. Otherwise third-party Python is used where it is, which saves a copy of it.
  portable ? false,
}:

import nixpkgs {
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
    (import ./native-tools.nix { inherit npm; })
    (import ./native-python.nix { inherit site portable; })
  ];
}
