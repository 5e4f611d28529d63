"""Files that must be there after a power cut."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Bring what was renamed or deleted in a folder to the disk, where the system knows how."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
