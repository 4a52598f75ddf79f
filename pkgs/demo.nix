# `nix run`: the whole instrument, simulated.
{ nixel, writeShellApplication }:

writeShellApplication {
  name = "nixel-demo";
  runtimeInputs = [ nixel ];
  text = ''exec nixel demo "$@"'';
}
