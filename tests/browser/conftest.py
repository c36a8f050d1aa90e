"""What browser tests share: one served site, whose own deployment the walk in `test_ui.py` has for itself."""

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.browser.walk import write_walk
from tests.served import LOGIN, Site, served


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("served")
    with served(folder, write_walk(folder)) as site:
        yield site


@pytest.fixture(scope="session")
def own_runs(site: Site) -> Iterator[Site]:
    """The site, as the server of what this process runs."""
    with temporary_settings({PREFECT_API_URL: site.api, PREFECT_API_AUTH_STRING: LOGIN}):
        yield site
