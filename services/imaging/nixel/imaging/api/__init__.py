"""The HTTP interface: FastAPI, problem details (RFC 9457), server-sent events."""

from nixel.imaging.api.app import create_app

__all__ = ["create_app"]
