# The page of the imaging service, as static files.
{
  buildNpmPackage,
  importNpmLock,
  lib,
}:
throw "nixel-page: not packaged yet"
