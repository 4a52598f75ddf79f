# The commands, with the page beside them.
{
  lib,
  makeWrapper,
  nixel-page,
  python3,
  runCommand,
}:

let
  environment = python3.withPackages (packages: [
    packages.nixel-imaging
    packages.nixel-update
  ]);
in
runCommand "nixel-${environment.pkgs.nixel-imaging.version}"
  {
    nativeBuildInputs = [ makeWrapper ];
    passthru = { inherit environment; };
    meta = {
      description = "An imaging instrument, from the scan to a picture that can say what made it";
      mainProgram = "nixel";
      platforms = lib.platforms.linux;
    };
  }
  ''
    mkdir -p $out/bin
    for command in nixel nixel-safety nixel-safetyd nixel-update nixel-virtual-scanner; do
      makeWrapper ${environment}/bin/$command $out/bin/$command --set-default NIXEL_PAGE ${nixel-page}
    done
  ''
