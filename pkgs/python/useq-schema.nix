# The field's own format for what a microscope does, with the library that reads and unrolls it: a sequence written for
# another program runs here, and the other way round. nixpkgs lacks it; it is pure Python over what nixpkgs has.
{
  lib,
  buildPythonPackage,
  fetchPypi,
  hatch-vcs,
  hatchling,
  numpy,
  psygnal,
  pydantic,
  pytestCheckHook,
  pyyaml,
  shapely,
  typing-extensions,
}:

buildPythonPackage rec {
  pname = "useq-schema";
  version = "0.9.2";
  pyproject = true;

  src = fetchPypi {
    pname = "useq_schema";
    inherit version;
    hash = "sha256-qEo3T3NMBEHGPstGPRUNrkRJ4hU0e/2ZDIwTcRGEu/E=";
  };

  build-system = [
    hatch-vcs
    hatchling
  ];

  dependencies = [
    numpy
    pydantic
    shapely
    typing-extensions
  ];

  optional-dependencies.yaml = [ pyyaml ];

  nativeCheckInputs = [
    psygnal
    pytestCheckHook
    pyyaml
  ];

  pythonImportsCheck = [ "useq" ];

  meta = {
    description = "Schema for multi-dimensional microscopy experiments";
    license = lib.licenses.bsd3;
  };
}
