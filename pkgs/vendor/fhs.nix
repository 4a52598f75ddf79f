# A program that insists on a distribution's file system: it gets a /usr of its own, in a mount namespace.
#
#   fhs {
#     pname = "acme-viewer";
#     version = "5.2";
#     program = "${tree}/bin/viewer";
#     libraries = pkgs: [ pkgs.libGL pkgs.zlib ];
#     places."/usr/local/share/acme" = "${tree}/share/acme";
#   }
#
# For programs, never for a library that is to be loaded into ours: the namespace is the program's alone.
{ lib, buildFHSEnv }:

{
  pname,
  version,
  # The command that is run, by its absolute path.
  program,
  # Packages whose bin/, lib/ and share/ are to be in /usr.
  libraries ? _: [ ],
  # Absolute path that the program insists on, to what is to be found there.
  places ? { },
  # Shell code that sets what the program wants in its environment.
  profile ? "",
  # Made by makeDesktopItem.
  desktopItem ? null,
  meta ? { },
}:

let
  # /bin and /lib are links into /usr there; /nix, /etc, /proc, /dev and /tmp are not the program's to shape.
  allowed = place: builtins.match "/(usr|opt|srv)/.*[^/]" place != null;
  refused = lib.filter (place: !allowed place) (lib.attrNames places);
in
assert lib.assertMsg (refused == [ ]) ''
  ${pname}: fhs can only make places under /usr, /opt and /srv, without a slash at their end; found
  ${lib.concatStringsSep ", " refused}.
'';
buildFHSEnv {
  inherit pname version profile;
  targetPkgs = libraries;
  runScript = program;

  extraBuildCommands = lib.concatStrings (
    lib.mapAttrsToList (place: target: ''
      mkdir -p "$out${dirOf place}"
      ln -s ${target} "$out${place}"
    '') places
  );

  extraInstallCommands = lib.optionalString (desktopItem != null) ''
    mkdir -p $out/share
    ln -s ${desktopItem}/share/applications $out/share/applications
  '';

  meta = {
    license = lib.licenses.unfree;
    mainProgram = pname;
    platforms = lib.platforms.linux;
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  }
  // meta;
}
