# 3D Slicer, as its makers build it: it brings its own Qt, VTK and Python, looks for everything beside itself and for
# the desktop's libraries in /usr/lib. Building it of nixpkgs' parts instead would be another Slicer than the one that
# its makers test.
{
  lib,
  fetchurl,
  fhs,
  makeDesktopItem,
  stdenvNoCC,
}:

let
  pname = "slicer";
  version = "5.10.0";

  tree = stdenvNoCC.mkDerivation {
    pname = "slicer-unpacked";
    inherit version;

    # The makers' download server names files by number.
    src = fetchurl {
      name = "Slicer-${version}-linux-amd64.tar.gz";
      url = "https://slicer-packages.kitware.com/api/v1/item/6911b598ac7b1c95e7934427/download";
      hash = "sha512-LqVrbwwCf6c8gysjw0lI5psbUSTt8zejX2oGL1y3jn/reSwRvAKkmG8m5Fjd/ZVLACVZUwGL9sx9c4NKup8CZw==";
    };

    dontConfigure = true;
    dontBuild = true;
    # As it was made, bit for bit.
    dontFixup = true;

    installPhase = ''
      runHook preInstall
      if [ ! -x Slicer ]; then
        echo "slicer: expected the program Slicer at the top of $src, found:" *
        exit 1
      fi
      mkdir $out
      cp -a . $out/
      runHook postInstall
    '';
  };
in
fhs {
  inherit pname version;
  program = "${tree}/Slicer";

  libraries = pkgs: [
    # What Qt's xcb platform plugin loads.
    pkgs.libice
    pkgs.libsm
    pkgs.libx11
    pkgs.libxcb
    pkgs.libxcb-cursor
    pkgs.libxcb-image
    pkgs.libxcb-keysyms
    pkgs.libxcb-render-util
    pkgs.libxcb-util
    pkgs.libxcb-wm
    pkgs.libxkbcommon
    # VTK's windows.
    pkgs.libGL
    pkgs.libGLU
    pkgs.libxcursor
    pkgs.libxext
    pkgs.libxfixes
    pkgs.libxi
    pkgs.libxinerama
    pkgs.libxrandr
    pkgs.libxrender
    pkgs.libxt
    # Qt's web engine and sound.
    pkgs.alsa-lib
    pkgs.dbus
    pkgs.expat
    pkgs.libcap
    pkgs.libdrm
    pkgs.libgbm
    pkgs.libpulseaudio
    pkgs.libxcomposite
    pkgs.libxdamage
    pkgs.libxkbfile
    pkgs.libxshmfence
    pkgs.libxtst
    pkgs.nspr
    pkgs.nss
    # Fonts, text and the rest of a desktop.
    pkgs.fontconfig
    pkgs.freetype
    pkgs.glib
    pkgs.libxcrypt-legacy
    pkgs.udev
    pkgs.zlib
  ];

  desktopItem = makeDesktopItem {
    name = pname;
    desktopName = "3D Slicer";
    comment = "View and analyse medical images";
    exec = "slicer %F";
    icon = "applications-science";
    categories = [
      "Science"
      "MedicalSoftware"
    ];
    mimeTypes = [
      "application/dicom"
      "application/x-nrrd"
    ];
  };

  meta = {
    description = "Viewer and workbench for three-dimensional medical images";
    homepage = "https://www.slicer.org";
    license = {
      shortName = "slicer";
      fullName = "3D Slicer Contribution and Software License Agreement";
      url = "https://github.com/Slicer/Slicer/blob/main/License.txt";
      free = true;
      redistributable = true;
    };
    # Its makers build it for no other.
    platforms = [ "x86_64-linux" ];
  };
}
