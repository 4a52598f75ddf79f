# A client takes from the cache what the cache has signed, over TLS, and from nobody else.
{ pkgs, ... }:

let
  # Made for this test alone; a real machine makes its own, and they never are in the store.
  secrets = pkgs.runCommand "cache-secrets" { nativeBuildInputs = [ pkgs.openssl ]; } ''
    mkdir $out
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=server \
      -addext subjectAltName=DNS:server -keyout $out/key.pem -out $out/certificate.pem
    echo "server-1:9FhO0w+7HjZrhvmzT1VlAZw4OSAlFGTgC24Seg3tmPl4gZBdwZClzTTHr9cVzJpwsRSYLTu7hEAQe3ljy92CWg==" > $out/signing-key
  '';
  folder = "/var/lib/nixel/cache";
in
{
  nodes = {
    server = {
      nixel.cache = {
        enable = true;
        hostName = "server";
        signingKeyFile = "${folder}/signing-key";
        certificate = "${folder}/certificate.pem";
        certificateKey = "${folder}/key.pem";
      };
      systemd.tmpfiles.settings.secrets.${folder}."C+" = {
        argument = "${secrets}";
      };
      system.extraDependencies = [ pkgs.emptyFile ];
    };
    client =
      { lib, ... }:
      {
        security.pki.certificateFiles = [ "${secrets}/certificate.pem" ];
        nixel.cache.from."https://server" = "server-1:eIGQXcGQpc00x6/XFcyacLEUmC07u4RAEHt5Y8vdglo=";
        nix.settings.substituters = lib.mkForce [ "https://server" ];
      };
  };

  testScript = ''
    start_all()
    server.wait_for_unit("nginx.service")
    client.wait_until_succeeds("curl --fail --silent https://server/nix-cache-info")
    client.succeed("nix-store --realise ${pkgs.emptyFile} --store /tmp/other")
  '';
}
