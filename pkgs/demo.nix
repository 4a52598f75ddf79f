# `nix run`: the whole instrument, simulated.
{ nixel, writeShellApplication }:

writeShellApplication {
  name = "nixel-demo";
  runtimeInputs = [ nixel ];
  text = ''exec nixel demo "$@"'';
  meta = {
    description = "The whole instrument, simulated: a scan, a picture, the page";
    inherit (nixel.meta) platforms;
  };
}
