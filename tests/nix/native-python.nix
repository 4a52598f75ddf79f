# Debian's Python as nixpkgs' own, and in the place of each third-party package what pip installed from our locks.
{ site, portable }:

final: prev:
let
  inherit (prev) lib;

  # Where the files of third-party packages are taken from.
  place = if portable then "${prev.runCommand "site" { } "cp -r ${site} $out"}" else site;

  # As nixpkgs spells the name of a distribution.
  spelled = name: lib.toLower (lib.replaceStrings [ "_" "." ] [ "-" "-" ] name);

  # Name to version and description, of all that is installed.
  installed = lib.listToAttrs (
    lib.concatMap (
      entry:
      let
        parts = builtins.match "(.+)-([^-]+)\\.dist-info" entry;
      in
      lib.optional (parts != null) {
        name = spelled (lib.head parts);
        value = {
          version = lib.last parts;
          info = "${site}/${entry}";
        };
      }
    ) (lib.attrNames (builtins.readDir site))
  );

  # The names that a distribution says it requires, less its extras and what no lock brought for this platform.
  required =
    info:
    lib.filter (name: installed ? ${name}) (
      lib.concatMap (
        line:
        let
          found = builtins.match "Requires-Dist: ([A-Za-z0-9._-]+)(.*)" line;
          always = found != null && !lib.hasInfix "extra ==" (lib.last found);
        in
        lib.optional always (spelled (lib.head found))
      ) (lib.splitString "\n" (builtins.readFile "${info}/METADATA"))
    );

  # A program that a package brings, started by its module.
  launcher = python: name: module: ''
    printf '#!/bin/sh\nPYTHONPATH=%s:$PYTHONPATH exec %s -m ${module} "$@"\n' \
      ${site} ${python.interpreter} > $out/bin/${name}
    chmod +x $out/bin/${name}
  '';

  # What nixpkgs does to a package beyond installing it, where a hook relies on that.
  finish = pythonFinal: pythonPrev: {
    build = launcher pythonFinal.python "pyproject-build" "build";
    meson = launcher pythonFinal.python "meson" "mesonbuild.mesonmain";
    numpy = launcher pythonFinal.python "numpy-config" "numpy._configtool";
    meson-python = ''
      mkdir $out/nix-support
      cp ${prev.path}/pkgs/development/python-modules/meson-python/add-build-flags.sh $out/nix-support/setup-hook
    '';
    installer = ''
      rm $target/installer
      cp -r ${site}/installer $target/
      for each in ${toString pythonPrev.installer.patches}; do
        sed '/^diff .*tests/,$d' $each | patch -p2 -d $target
      done
    '';
  };

  extension =
    pythonFinal: pythonPrev:
    let
      inherit (pythonFinal) python;
    in
    lib.mapAttrs (
      name:
      { version, info }:
      pythonFinal.toPythonModule (
        final.stdenv.mkDerivation {
          pname = name;
          inherit version;
          dontUnpack = true;
          propagatedBuildInputs = map (each: pythonFinal.${each}) (required info) ++ [ python ];
          installPhase = ''
            runHook preInstall
            target=$out/${python.sitePackages}
            mkdir -p $target $out/bin
            cut -d, -f1 ${info}/RECORD | cut -d/ -f1 | sort -u | while read -r top; do
              case $top in
                .. | __pycache__) ;;
                *) ln -s ${place}/$top $target/ ;;
              esac
            done
            runHook postInstall
          '';
          postInstall = (finish pythonFinal pythonPrev).${name} or "";
          meta.description = "${name} from our locks";
        }
      )
    ) installed;

  # Of ours, which the same expressions build and test elsewhere.
  untested =
    _: pythonPrev:
    lib.mapAttrs (_: package: package.overridePythonAttrs { doCheck = false; }) (
      lib.filterAttrs (name: _: lib.hasPrefix "nixel-" name) pythonPrev
    );

  start = prev.path + "/pkgs/development/interpreters/python/sitecustomize.py";
in
{
  pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [ extension ] ++ lib.optional portable untested;

  # A virtual environment of Debian's, for such a one installs and finds packages where nixpkgs' Python does; with
  # nixpkgs' own start-up module, by which the programs of an environment know their packages.
  python313 = prev.stdenv.mkDerivation {
    pname = "python3";
    inherit (prev.python313) version meta setupHook;
    # nixpkgs overrides the interpreter to tell it what itself is; here that is known.
    passthru = prev.python313.passthru // {
      override = _: final.python313;
    };
    dontUnpack = true;
    installPhase = ''
      runHook preInstall
      /usr/bin/python3.13 -m venv --without-pip $out
      rm $out/bin/[Aa]ctivate*
      packages=$out/${prev.python313.sitePackages}
      sed 's/^in_venv = .*/in_venv = False/' ${start} > $packages/nixpkgs_start.py
      grep -q '^in_venv = False' $packages/nixpkgs_start.py
      echo 'import nixpkgs_start' > $packages/nixpkgs_start.pth
      runHook postInstall
    '';
  };
}
