# What `nix build .#NAME` offers, of everything that the overlay brings.
pkgs:
{
  default = pkgs.nixel;
  inherit (pkgs) nixel nixel-demo nixel-page;
  inherit (pkgs) nixel-plugin-example-c nixel-plugin-example-rust;
  inherit (pkgs.python3Packages)
    nixel-acquisition
    nixel-imaging
    nixel-physics
    nixel-reconstruction
    nixel-safety
    nixel-update
    pymmcore
    ;
}
// pkgs.lib.optionalAttrs (pkgs.stdenv.hostPlatform.system == "x86_64-linux") {
  inherit (pkgs) slicer;
}
