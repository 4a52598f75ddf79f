# The commands, in one environment and with the page beside them.
#
# For a person's shell and for the imaging service. The safety daemon's unit takes nixel-safety alone, whose closure
# holds no NumPy and no web framework.
{
  lib,
  makeWrapper,
  nixel-page,
  python3,
  runCommand,
  # Whether instruments may name Micro-Manager's devices; `nixel.override { microManager = true; }`.
  microManager ? false,
}:

let
  environment = python3.withPackages (
    packages:
    [
      packages.nixel-imaging
      packages.nixel-update
    ]
    ++ lib.optionals microManager packages.nixel-acquisition.optional-dependencies.micro-manager
  );
  inherit (python3.pkgs.nixel-imaging) version;
in
runCommand "nixel-${version}"
  {
    inherit version;
    pname = "nixel";
    nativeBuildInputs = [ makeWrapper ];
    passthru = {
      inherit environment;
      page = nixel-page;
    };
    meta = {
      description = "An imaging instrument, from the scan to a picture that can say what made it";
      mainProgram = "nixel";
      platforms = lib.platforms.linux;
    };
  }
  ''
    mkdir -p $out/bin
    makeWrapper ${environment}/bin/nixel $out/bin/nixel --set-default NIXEL_PAGE ${nixel-page}
    for command in nixel-safety nixel-safetyd nixel-update nixel-provision nixel-support nixel-virtual-environment nixel-virtual-grbl nixel-virtual-microscope nixel-virtual-panel nixel-virtual-scanner nixel-virtual-supply; do
      ln -s ${environment}/bin/$command $out/bin/
    done
  ''
