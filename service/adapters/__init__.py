"""Formats of files that become events: each is a reader, found by its name.

A reader is a module with `FILES` and `read`, or a mapping file (`service.adapters.mapping`).
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from features.errors import CocokError, EventError
from features.events import Event
from service.log_files import Advance

Found = tuple[Path, int, Event | EventError]
MODULES = ("events", "mturk", "toloka")


class Read(Protocol):
    """Turn files into events."""

    def __call__(self, files: Sequence[Path], advance: Advance, /) -> Iterator[Found]:
        """Yield each event, or the refusal that stands in its place, with its file and its line or row from 1.

        Order in time is the importer's to make; events of one instant stay in the order in which they are yielded.

        Args:
            files: what the user named, in order, folders replaced by the files in them that fit `Format.files`.
            advance: told now and then how many bytes were read since it was last told.

        Raises:
            CocokError: the files as a whole cannot be read in this format.
        """


class Format(NamedTuple):
    """A format of files.

    Attributes:
        files: patterns of the names of its files, as in ``*.ndjson``.
        read: its reader.
    """

    files: tuple[str, ...]
    read: Read


class _Module(Protocol):
    FILES: tuple[str, ...]
    read: Read


def formats() -> tuple[str, ...]:
    """Return the names of all formats in this package, those of the shipped mappings last."""
    return (*MODULES, *sorted(_shipped()))


def find_format(name: str) -> Format:
    """Return the format called ``name``; what is heavy about it is imported only now.

    Args:
        name: one of `formats`, or the path of a mapping file ending in ``.toml``.

    Raises:
        CocokError: there is no such format, or the mapping file is wrong.
    """
    if name in MODULES:
        module = cast(_Module, import_module(f"{__name__}.{name}"))
        return Format(module.FILES, module.read)
    path = Path(name) if name.endswith(".toml") else _shipped().get(name)
    if path is None:
        supported = f"{', '.join(formats())} and the path of a mapping file ending in .toml"
        raise CocokError(f"--format {name} is not supported; supported: {supported}")
    from service.adapters.mapping import load_mapping

    return load_mapping(path)


def _shipped() -> dict[str, Path]:
    folder = Path(str(files(__name__).joinpath("mappings")))
    return {path.stem: path for path in folder.glob("*.toml")}
