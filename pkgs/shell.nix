# `nix develop`: what `make` needs, of this very nixpkgs.
{
  gnumake,
  mkShell,
  nodejs,
  python3,
  shellcheck,
  uv,
}:

mkShell {
  packages = [
    gnumake
    nodejs
    python3
    shellcheck
    uv
  ];
}
