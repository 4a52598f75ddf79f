# The example of a vendor plugin in Rust.
{ lib, rustPlatform }:

rustPlatform.buildRustPackage {
  pname = "nixel-plugin-example-rust";
  inherit ((lib.importTOML ./Cargo.toml).package) version;

  src = lib.fileset.toSource {
    root = ./.;
    fileset = lib.fileset.unions [
      ./Cargo.lock
      ./Cargo.toml
      ./src
    ];
  };
  cargoLock.lockFile = ./Cargo.lock;

  # Where the plugins of every language are.
  postInstall = ''
    mkdir -p $out/lib/nixel/plugins
    mv $out/lib/libnixel_plugin_example.so $out/lib/nixel/plugins/example-rust.so
  '';

  meta = {
    description = "Example of a nixel vendor plugin in Rust: a simulated thermometer";
    platforms = lib.platforms.linux;
  };
}
