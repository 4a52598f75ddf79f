"""What goes wrong while recording."""

__all__ = ["RecordingError"]


class RecordingError(RuntimeError):
    """A recording that cannot go on, or a spool that cannot be read; the text says what to do."""
