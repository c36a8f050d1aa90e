"""What the tests of this folder share: one Label Studio."""

from collections.abc import Iterator

import httpx
import pytest

from infra import label_studio
from tests.review.label_studio_server import KEY, label_studio_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with label_studio_server(tmp_path_factory.mktemp("label_studio")) as url:
        yield url


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A client of the server; what runs meanwhile finds the key in its environment."""
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    with label_studio.connect(server, KEY) as found:
        yield found
