"""One good candidate, which tests copy before they spoil it."""

import pytest

from tasks.release.candidate import Candidate
from tests.expectations.small import candidate_of, share


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """A candidate with rows in every file of its datasets. Tests read it and change nothing."""
    prompts = [f"How do I plant {number} tulips?" for number in range(16)]
    made = candidate_of(tmp_path_factory.mktemp("candidate"), prompts, change=share(0.5))
    assert all(file["rows"] for file in made.files if file["path"].startswith(("prompts/", "qa/", "dual/", "single/")))
    return made
