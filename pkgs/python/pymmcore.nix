# Micro-Manager's device control layer. Not in nixpkgs, and worth its expression: hundreds of device adapters exist for
# it and for nothing else. The registry has wheels of it for x86_64 only; built from its source, which brings the core
# along, it is there for both.
{
  lib,
  buildPythonPackage,
  fetchPypi,
  meson-python,
  numpy,
  pytestCheckHook,
  swig,
}:

buildPythonPackage (finalAttrs: {
  pname = "pymmcore";
  version = "12.5.1.75.0";
  pyproject = true;

  src = fetchPypi {
    inherit (finalAttrs) pname version;
    hash = "sha256-MOfcR9dv13T8SzSyfHdWXW1SPYGVddu0cxsEA1wSPXY=";
  };

  # They are programs here, and no Python packages; SWIG is another one of the same series (see `broken`).
  postPatch = ''
    substituteInPlace pyproject.toml \
      --replace-fail '"ninja",' "" \
      --replace-fail '"swig ==4.4.0",' ""
  '';

  build-system = [
    meson-python
    numpy
  ];
  nativeBuildInputs = [ swig ];
  # The core's own tests would have a library fetched.
  mesonFlags = [
    "-Dmmdevice:tests=disabled"
    "-Dwrap_mode=nodownload"
  ];
  dependencies = [ numpy ];

  nativeCheckInputs = [ pytestCheckHook ];
  pythonImportsCheck = [ "pymmcore" ];

  meta = {
    description = "Python bindings for MMCore, Micro-Manager's device control layer";
    license = lib.licenses.lgpl21Only;
    platforms = lib.platforms.linux;
    # Its bindings use names (PyString_Check) that SWIG 4.5 no longer defines.
    broken = lib.versionAtLeast swig.version "4.5";
  };
})
