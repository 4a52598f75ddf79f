# The example of a vendor plugin in C.
{ lib, stdenv }:

stdenv.mkDerivation {
  pname = "nixel-plugin-example-c";
  version = "1.0.0";

  src = lib.fileset.toSource {
    root = ./..;
    fileset = lib.fileset.unions [
      ../include
      ./Makefile
      ./speak.c
      ./thermometer.c
    ];
  };
  sourceRoot = "source/example-c";

  makeFlags = [ "PREFIX=$(out)" ];
  enableParallelBuilding = true;
  doCheck = true;

  meta = {
    description = "Example of a nixel vendor plugin in C: a simulated thermometer, and the header that it follows";
    platforms = lib.platforms.linux;
  };
}
