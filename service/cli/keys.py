"""The commands of API keys: `keys create`, `keys list`, `keys revoke`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from features.errors import CocokError
from service.cli.console import Json, out, print_json
from service.security import ApiKey, KeyStore, Scope
from service.settings import load_settings

keys = typer.Typer(
    help="""API keys: who may call the API, and what.

    Example: cocok keys create --name shop --scope read --scope write
    """,
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands of keys to the application."""
    app.add_typer(keys, name="keys")


@keys.command("create")
def create(
    name: Annotated[str, typer.Option(help="Whose key it is, for the list.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; give it once for each. admin allows everything.")],
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once. From the first key on, every call needs one.

    Example: cocok keys create --name shop --scope read --scope write
    """
    if not 0 < len(name) <= 100:
        raise CocokError("--name must have 1 to 100 characters")
    with _keys() as store:
        key, kept = store.create(name, scope)
    if as_json:
        print_json({**_wire(kept), "key": key})
        return
    typer.echo(f"Key {kept.id} for {name}, with the scopes {', '.join(sorted(kept.scopes))}. It is not shown again:")
    typer.echo(key)


@keys.command("list")
def list_(as_json: Json = False) -> None:
    """List the keys, without what is secret of them.

    Example: cocok keys list
    """
    with _keys() as store:
        found = store.list()
    if as_json:
        print_json([_wire(key) for key in found])
        return
    table = Table("id", "name", "scopes", "created", "revoked", box=None)
    for key in found:
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        table.add_row(key.id, key.name, " ".join(sorted(key.scopes)), f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    out().print(table)


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as `list` shows it.")],
    as_json: Json = False,
) -> None:
    """Refuse a key from now on; running servers notice within seconds.

    Example: cocok keys revoke 3f9a01bc
    """
    with _keys() as store:
        store.revoke(key_id)
        revoked = next(key for key in store.list() if key.id == key_id)
    if as_json:
        print_json(_wire(revoked))
        return
    typer.echo(f"Key {key_id} is revoked.")


@contextmanager
def _keys() -> Iterator[KeyStore]:
    try:
        store = KeyStore(load_settings().store_url)
        try:
            yield store
        finally:
            store.close()
    except OSError as error:
        raise CocokError(f"cannot create the folder {error.filename}: {error.strerror}; set COCOK_HOME") from error
    except SQLAlchemyError as error:
        raise CocokError(f"the store of the keys cannot be used: {getattr(error, 'orig', None) or error}") from error


def _wire(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
    }
