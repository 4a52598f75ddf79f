"""Routes: datasets and pictures, and their files."""

from http import HTTPStatus
from typing import TypeVar

from fastapi import APIRouter
from fastapi.responses import FileResponse
from sqlalchemy import select

from nixel.imaging.answers import DatasetAnswer, PictureAnswer
from nixel.imaging.api.dependencies import Service
from nixel.imaging.api.problems import ProblemError
from nixel.imaging.api.runs import Before, Limit
from nixel.imaging.service import ImagingService
from nixel.imaging.store import Dataset, Picture

router = APIRouter(tags=["data"])


Row = TypeVar("Row", Dataset, Picture)


def _find(service: ImagingService, table: type[Row], number: int) -> Row:
    with service.database.session() as session:
        row = session.get(table, number)
        if row is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no {table.__name__.lower()} {number}.")
        return row


def _file(service: ImagingService, path: str, media_type: str) -> FileResponse:
    file = service.folder.path / path
    if not file.is_file():
        raise ProblemError(
            HTTPStatus.GONE, f"{path} was in the data folder and is not any more: restore it from a copy."
        )
    return FileResponse(file, media_type=media_type, filename=file.name, content_disposition_type="inline")


@router.get("/datasets")
def datasets(service: Service, limit: Limit = 50, before: Before = None) -> list[DatasetAnswer]:
    """The datasets, newest first."""
    query = select(Dataset).order_by(Dataset.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Dataset.id < before)
    with service.database.session() as session:
        return [DatasetAnswer.model_validate(row) for row in session.scalars(query)]


@router.get("/datasets/{dataset_id}")
def dataset(service: Service, dataset_id: int) -> DatasetAnswer:
    """One dataset."""
    return DatasetAnswer.model_validate(_find(service, Dataset, dataset_id))


@router.get("/datasets/{dataset_id}/file", response_class=FileResponse)
def dataset_file(service: Service, dataset_id: int) -> FileResponse:
    """The dataset's file (MDF, HDF5); images are a folder (OME-Zarr), which has no such file."""
    path = _find(service, Dataset, dataset_id).path
    if (service.folder.path / path).is_dir():
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"dataset-{dataset_id} is a folder (OME-Zarr), not a file: open {service.folder.path / path} itself.",
        )
    return _file(service, path, "application/x-hdf5")


@router.get("/pictures")
def pictures(service: Service, limit: Limit = 50, before: Before = None) -> list[PictureAnswer]:
    """The pictures, newest first."""
    query = select(Picture).order_by(Picture.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Picture.id < before)
    with service.database.session() as session:
        return [PictureAnswer.model_validate(row) for row in session.scalars(query)]


@router.get("/pictures/{picture_id}")
def picture(service: Service, picture_id: int) -> PictureAnswer:
    """One picture and everything that made it."""
    return PictureAnswer.model_validate(_find(service, Picture, picture_id))


@router.get("/pictures/{picture_id}/file", response_class=FileResponse)
def picture_file(service: Service, picture_id: int) -> FileResponse:
    """The picture's file (MDF, HDF5)."""
    return _file(service, _find(service, Picture, picture_id).path, "application/x-hdf5")


@router.get("/pictures/{picture_id}/preview.png", response_class=FileResponse)
def picture_preview(service: Service, picture_id: int) -> FileResponse:
    """The picture as PNG."""
    return _file(service, _find(service, Picture, picture_id).preview_path, "image/png")
