# A vendor's .deb as a package: unpacked, its files moved to where a Nix package has them, its libraries found.
#
#   fromDeb {
#     pname = "acme-camera";
#     version = "1.2.0";
#     src = fetchurl { ... };
#     libraries = [ zlib libusb1 (lib.getLib stdenv.cc.cc) ];
#     mayStayMissing = [ "libcuda.so.1" ];
#     alsoNeeds."lib/libacme.so.1.2.0" = [ "libz.so.1" ];
#   }
#
# What it cannot set right it refuses, naming the file, what is missing and what to declare. docs/vendor.md tells the
# whole story.
{
  lib,
  addDriverRunpath,
  autoPatchelfHook,
  buildPackages,
  dpkg,
  patchelf,
  stdenv,
}:

{
  pname,
  version,
  # The .deb, with that ending.
  src,
  # Packages whose libraries the vendor's files need; `lib.getLib stdenv.cc.cc` for C++.
  libraries ? [ ],
  # Libraries (names or patterns) that come with the machine's hardware, not with a package: libcuda.so.1.
  mayStayMissing ? [ ],
  # File of the package to the names of libraries that it uses without saying so.
  alsoNeeds ? { },
  # Symbols (names or patterns) that the program which loads a library brings along: "Py*".
  symbolsFromHost ? [ ],
  # Files (names or patterns) that may go on naming places which are not there any more.
  mayNameOldPlaces ? [ ],
  # Programs outside of bin/ that belong into it: "opt/acme/bin/viewer".
  programs ? [ ],
  meta ? { },
}:

let
  python = buildPackages.python3.withPackages (packages: [ packages.pyelftools ]);
  step = name: "${lib.getExe python} ${./from-deb}/${name}.py";
in
stdenv.mkDerivation {
  inherit pname version src;

  # The steps below read their lists from there.
  __structuredAttrs = true;
  strictDeps = true;

  nativeBuildInputs = [
    autoPatchelfHook
    dpkg
    patchelf
  ];
  buildInputs = libraries;

  debFile = {
    inherit
      pname
      mayStayMissing
      alsoNeeds
      symbolsFromHost
      mayNameOldPlaces
      programs
      ;
    libraryFolders = map (package: "${lib.getLib package}/lib") libraries;
  };
  autoPatchelfIgnoreMissingDeps = mayStayMissing;
  # Where NixOS keeps the libraries of the graphics driver.
  appendRunpaths = lib.optional (mayStayMissing != [ ]) "${addDriverRunpath.driverLink}/lib";

  dontConfigure = true;
  dontBuild = true;
  # What the vendor has tested stays as it is but for where it looks for things.
  dontStrip = true;
  dontPatchELF = true;

  installPhase = ''
    runHook preInstall
    ${step "place"}
    runHook postInstall
  '';

  preFixup = ''
    ${step "complete"}
    # Folders from which libraries are opened by name.
    while IFS= read -r folder; do
      appendRunpaths+=("$folder")
    done < "$NIX_BUILD_TOP/opened-folders"
  '';

  # Nothing of the package is run for it.
  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck
    ${step "leftovers"}
    runHook postInstallCheck
  '';

  meta = {
    license = lib.licenses.unfree;
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
    platforms = lib.platforms.linux;
  }
  // meta;
}
