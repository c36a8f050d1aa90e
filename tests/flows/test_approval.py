"""What a person is shown is what would be published; in the Prefect UI it is tried in `tests/browser`."""

from pathlib import Path
from typing import Any

import pytest

from expectations.outcome import GateOutcome
from flows.preferences_to_candidate import Examined
from flows.running import approval
from infra import storage
from tasks.config import Approval
from tasks.errors import StorageError
from tests.tasks.release import releases


@pytest.mark.parametrize("changed", [True, False])
def test_nobody_is_asked_with_a_page_that_was_made_while_a_file_was_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    candidate, files = releases.write(str(tmp_path))

    def describe(*_: object) -> str:
        if changed:
            storage.write_bytes(f"{candidate.uri}/README.md", b"other")
        return "a page"

    shown, asked = list[Any](), list[Any]()
    monkeypatch.setattr(approval, "can_wait", lambda: True)
    monkeypatch.setattr(approval, "answer", lambda key: None)
    monkeypatch.setattr(approval, "forget", lambda key: None)
    monkeypatch.setattr(approval, "describe_candidate", describe)
    monkeypatch.setattr(approval, "create_markdown_artifact", lambda **named: shown.append(named["markdown"]))
    monkeypatch.setattr(approval, "suspend", lambda *named: asked.append(named))
    config = releases.config().model_copy(update={"approval": Approval()})
    examined = Examined(candidate, files, GateOutcome(True, ()), None)
    if changed:
        with pytest.raises(StorageError, match=r"README\.md was changed since the gate looked at it"):
            approval.ask_for_approval(config, examined, str(tmp_path))
    else:
        approval.ask_for_approval(config, examined, str(tmp_path))
    assert (shown, len(asked)) == (([], 0) if changed else (["a page"], 1))
