# npm's lock file, less what another platform needs: the bindings of build tools for a dozen systems, which npm would
# leave out when it installs, are not even fetched.
{
  lib,
  packageLock,
  # What npm calls them: os, cpu, libc.
  platform,
}:

let
  inherit (packageLock) packages;

  # A list of names, or of names that are excluded by "!"; an empty one allows everything.
  allows =
    listed: value:
    lib.elem value listed
    || (lib.all (lib.hasPrefix "!") listed && !lib.elem "!${value}" listed);
  fits =
    entry: lib.all (key: allows (entry.${key} or [ ]) platform.${key}) (lib.attrNames platform);

  # Where node finds a dependency of the package at `path`: beside it or in a folder above, or nowhere.
  locate =
    path: name:
    let
      candidate = lib.optionalString (path != "") "${path}/" + "node_modules/${name}";
      folders = lib.splitString "/node_modules/" "/${path}";
      parent = lib.removePrefix "/" (lib.concatStringsSep "/node_modules/" (lib.init folders));
    in
    if packages ? ${candidate} then
      [ candidate ]
    else if path == "" then
      [ ]
    else
      locate parent name;

  needs =
    path:
    let
      entry = packages.${path};
      names = lib.attrNames (
        entry.dependencies or { }
        // entry.optionalDependencies or { }
        // entry.peerDependencies or { }
        // lib.optionalAttrs (path == "") (entry.devDependencies or { })
      );
    in
    lib.filter (found: fits packages.${found}) (lib.concatMap (locate path) names);

  wanted = map (item: item.key) (
    lib.genericClosure {
      startSet = [ { key = ""; } ];
      operator = item: map (key: { inherit key; }) (needs item.key);
    }
  );

  # An optional dependency that is not there is not asked for either.
  prune =
    path: entry:
    entry
    // lib.optionalAttrs (entry ? optionalDependencies) {
      optionalDependencies = lib.filterAttrs (
        name: _: lib.any (found: lib.elem found wanted) (locate path name)
      ) entry.optionalDependencies;
    };
in
packageLock // { packages = lib.mapAttrs prune (lib.getAttrs wanted packages); }
