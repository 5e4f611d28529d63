from collections.abc import Iterator

import pytest

from tests.service.api.server import Api, serving


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for the tests of a module; they use ids of their own."""
    with serving(tmp_path_factory.mktemp("api") / "home") as running:
        yield running
