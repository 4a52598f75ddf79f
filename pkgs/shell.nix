# `nix develop`: all that our packages, their tests and the page need, of this very nixpkgs, and our packages from
# the checkout itself, so that an edit is there at once.
{
  chromium,
  gnumake,
  lib,
  mkShell,
  nodejs,
  openssl,
  python3,
  ruff,
  shellcheck-minimal,
  uv,
  writeShellScriptBin,
}:

let
  folders = [
    "src/physics"
    "src/acquisition"
    "src/reconstruction"
    "services/safety"
    "services/update"
    "services/imaging"
  ];
  ours = packages: map (folder: packages.${"nixel-" + baseNameOf folder}) folders;
  environment = python3.withPackages (
    packages:
    lib.subtractLists (ours packages) (lib.concatMap (each: each.dependencies) (ours packages))
    ++ [
      packages.hypothesis
      packages.mypy
      packages.playwright
      packages.pytest
      packages.pytest-timeout
    ]
  );
  # The commands of our packages' pyproject.toml, run from the checkout.
  commands = lib.concatMap (
    folder:
    lib.mapAttrsToList (
      name: entry:
      let
        parts = lib.splitString ":" entry;
      in
      writeShellScriptBin name ''
        exec ${lib.getExe environment} -c '
        import sys
        from ${lib.head parts} import ${lib.last parts} as main
        sys.argv[0] = "${name}"
        sys.exit(main())' "$@"
      ''
    ) ((lib.importTOML (../. + "/${folder}/pyproject.toml")).project.scripts or { })
  ) folders;
in
mkShell {
  packages = commands ++ [
    chromium
    environment
    gnumake
    nodejs
    openssl
    ruff
    shellcheck-minimal
    uv
  ];
  shellHook = ''
    top=$(git rev-parse --show-toplevel 2>/dev/null || pwd)
    export PYTHONPATH=${lib.concatMapStringsSep ":" (folder: "$top/${folder}") folders}
    unset top
    echo "nixel: pytest, ruff, mypy and our commands (nixel, ...) run on this checkout; make page" \
      "builds the page"
  '';
}
