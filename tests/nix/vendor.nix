# What test_vendor.py and test_plugins.py build for real.
{
  # As in native.nix.
  nixpkgs,
  site,
  npm,
  # The example driver, without and with its stubborn program.
  deb ? null,
  stubbornDeb ? null,
}:

let
  pkgs = (import ./native.nix { inherit nixpkgs site npm; }).appendOverlays [
    (import ./native-vendor.nix { inherit nixpkgs; })
  ];
  inherit (pkgs) fromDeb zlib;

  package = pkgs.callPackage ./example-driver;
  # The example driver with one thing declared otherwise.
  declaring =
    arguments:
    fromDeb (
      {
        pname = "luxmeter";
        version = "1.2.0";
        src = /. + deb;
        libraries = [ zlib ];
        mayStayMissing = [ "libcuda.so.1" ];
        alsoNeeds."lib/libluxmeter.so.1.2.0" = [ "libz.so.1" ];
      }
      // arguments
    );
  stubborn = pkgs.callPackage ./example-driver/stubborn.nix {
    luxmeter = package {
      src = /. + stubbornDeb;
      mayNameOldPlaces = [ "bin/stubborn" ];
    };
  };
in
{
  inherit (pkgs) nixel-plugin-example-c nixel-plugin-example-rust;

  luxmeter = package { src = /. + deb; };
  # As it loads when its missing need is not declared but waved through.
  unmended = declaring {
    alsoNeeds = { };
    symbolsFromHost = [ "crc32" ];
  };
  refused = {
    symbol = declaring { alsoNeeds = { }; };
    library = declaring {
      alsoNeeds = { };
      libraries = [ ];
    };
    driver = declaring { mayStayMissing = [ ]; };
    misnamed = declaring { alsoNeeds."lib/libluxmeter.so.1" = [ "libz.so.1" ]; };
    program = declaring { programs = [ "opt/luxmeter/viewer" ]; };
    place = package { src = /. + stubbornDeb; };
  };

  # What fhs adds to the root file system that nixpkgs makes of its libraries, by itself: nixpkgs' own part is built by
  # a Rust program whose dependencies are not here.
  stubbornPlaces = pkgs.runCommand "stubborn-places" { } ''
    mkdir $out
    ${stubborn.args.extraBuildCommands}
    ln -s ${stubborn.args.runScript} $out/program
  '';
}
