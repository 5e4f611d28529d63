"""The project's own format: log files of events (`docs/event-log.md`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from features.errors import EventError
from features.events import decode_event
from service.adapters import Found
from service.log_files import SUFFIXES, Advance, read_lines

FILES = tuple(f"*{suffix}" for suffix in SUFFIXES)


def read(files: Sequence[Path], advance: Advance) -> Iterator[Found]:
    """Yield the events of log files with their line numbers, refused lines as errors."""
    for file in files:
        for number, line in read_lines(file, advance):
            if isinstance(line, EventError):
                yield file, number, line
                continue
            try:
                yield file, number, decode_event(line)
            except EventError as error:
                yield file, number, error
