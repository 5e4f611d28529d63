"""A mapping file in TOML turns any CSV, NDJSON or Parquet export into events (`docs/formats/mapping.md`)."""

from pathlib import Path

from service.adapters import Format
from service.adapters.mapping.reader import Reader
from service.adapters.mapping.shape import MappingError, load

__all__ = ["MappingError", "load_mapping"]


def load_mapping(file: Path) -> Format:
    """Return the format that a mapping file describes.

    Raises:
        CocokError: the file is wrong; the message names it and the path in it.
    """
    mapping = load(file)
    try:
        reader = Reader(mapping)
    except MappingError as error:
        raise MappingError(str(file), str(error)) from error
    patterns = dict.fromkeys(pattern for source in mapping.sources for pattern in source.files)
    return Format(tuple(patterns), reader.read)
