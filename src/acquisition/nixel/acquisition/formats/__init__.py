"""File formats: read leniently, written strictly."""
