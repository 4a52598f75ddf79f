{
  alembic,
  callPackage,
  fastapi,
  httpx,
  lib,
  nixel-acquisition,
  nixel-reconstruction,
  nixel-safety,
  pillow,
  rich,
  sqlalchemy,
  sse-starlette,
  threadpoolctl,
  typer,
  uvicorn,
}:

callPackage ./distribution.nix { } {
  name = "imaging";
  folder = ../../services/imaging;
  description = "The imaging service of nixel: jobs, provenance, the page and the nixel command";
  dependencies = [
    alembic
    fastapi
    httpx
    nixel-acquisition
    nixel-reconstruction
    nixel-safety
    pillow
    rich
    sqlalchemy
    sse-starlette
    threadpoolctl
    typer
    uvicorn
  ];
}
