# The page of the imaging service, as static files.
#
# npm's lock file holds names, versions and hashes, and no addresses. So each package is fetched as a derivation of its
# own, of a fixed output, by npm itself, which knows where packages are (or is told by whoever builds, with
# npm_config_registry).
{
  cacert,
  importNpmLock,
  lib,
  nodejs,
  stdenv,
  stdenvNoCC,
}:

let
  folder = ../services/imaging;
  web = folder + "/web";
  package = lib.importJSON (web + "/package.json");
  lock = import ./npm-lock.nix {
    inherit lib;
    packageLock = lib.importJSON (web + "/package-lock.json");
    platform = {
      os = "linux";
      cpu = stdenv.buildPlatform.node.arch;
      libc = if stdenv.buildPlatform.isMusl then "musl" else "glibc";
    };
  };

  fetch =
    path:
    { version, integrity, ... }@entry:
    let
      name = entry.name or (lib.last (lib.splitString "node_modules/" path));
      package = "${name}@${version}";
    in
    stdenvNoCC.mkDerivation {
      name = "${lib.strings.sanitizeDerivationName name}-${version}.tgz";
      nativeBuildInputs = [ nodejs ];
      buildCommand = ''
        export HOME=$TMPDIR
        : "''${NODE_EXTRA_CA_CERTS:=${cacert}/etc/ssl/certs/ca-bundle.crt}"
        export NODE_EXTRA_CA_CERTS
        npm pack --ignore-scripts --no-progress --loglevel=error ${lib.escapeShellArg package}
        mv ./*.tgz $out
      '';
      outputHash = integrity;
      outputHashMode = "flat";
      impureEnvVars = lib.fetchers.proxyImpureEnvVars ++ [
        "NODE_EXTRA_CA_CERTS"
        "npm_config_registry"
      ];
    };
in
stdenv.mkDerivation {
  pname = package.name;
  inherit (package) version;

  src = lib.fileset.toSource {
    root = folder;
    fileset = lib.fileset.unions [
      (folder + "/openapi.json")
      (web + "/index.html")
      (web + "/package.json")
      (web + "/package-lock.json")
      (web + "/public")
      (web + "/src")
      (web + "/test")
      (web + "/tsconfig.json")
      (web + "/vite.config.ts")
    ];
  };
  sourceRoot = "source/web";

  nativeBuildInputs = [
    nodejs
    importNpmLock.npmConfigHook
  ];
  npmDeps = importNpmLock {
    inherit package;
    packageLock = lock;
    packageSourceOverrides = lib.mapAttrs fetch (removeAttrs lock.packages [ "" ]);
  };

  buildPhase = ''
    runHook preBuild
    npm run build -- --logLevel warn
    runHook postBuild
  '';

  doCheck = true;
  checkPhase = ''
    runHook preCheck
    npm run check
    npm test
    runHook postCheck
  '';

  installPhase = ''
    runHook preInstall
    cp -r dist $out
    runHook postInstall
  '';

  meta = {
    inherit (package) description;
    platforms = lib.platforms.linux;
  };
}
