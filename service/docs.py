"""The tables of the documentation that are written by the code they describe; `make docs` calls it.

python -m service.docs docs
"""

import sys
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from features import spec
from service.settings import Settings

BEGINS, ENDS = "<!-- the table is written by `make docs` -->", "<!-- end of the table -->"


def settings_table() -> str:
    """Return the settings as a Markdown table."""
    head = "| variable | key in `cocok.toml` | default | meaning |\n| --- | --- | --- | --- |"
    body = (
        f"| `{_variable(name, field)}` | `{name}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )
    return "\n".join([head, *body]) + "\n"


PAGES = {"features.md": spec.table, "settings.md": settings_table}
"""Page -> what writes its table."""


def with_table(text: str, table: str) -> str:
    """Return a page with the table between its two marks replaced."""
    before, rest = text.split(BEGINS)
    _, after = rest.split(ENDS)
    return f"{before}{BEGINS}\n\n{table}\n{ENDS}{after}"


def main(folder: Path) -> None:
    """Write the tables anew in the pages of a folder."""
    for name, table in PAGES.items():
        page = folder / name
        page.write_text(with_table(page.read_text(encoding="utf-8"), table()), encoding="utf-8")


def _variable(name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, AliasChoices):
        return "`, `".join(str(choice) for choice in field.validation_alias.choices if str(choice).isupper())
    return f"COCOK_{name.upper()}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return f"`{value}`" if value not in ("", {}) else "none"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
