import hashlib
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks.config import load
from tasks.release import manifest, release
from tasks.release.candidate import Candidate, describe_files, release_fingerprint
from tests.conftest import write_config


def test_files_are_described_alike_wherever_they_stand(root: str) -> None:
    uri = storage.join(root, "described")
    sink = io.BytesIO()
    pq.write_table(pa.table({"number": [1, 2, 3]}), sink)
    contents = {"README.md": b"# Card", "empty.txt": b"", "qa/a/train.parquet": sink.getvalue()}
    for path, content in contents.items():
        storage.write_bytes(storage.join(uri, path), content)
    for _ in range(2):
        assert list(describe_files(uri)) == [
            {
                "path": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "rows": 3 if path.endswith(".parquet") else None,
            }
            for path, content in contents.items()
        ]


def test_the_manifest_says_nothing_of_a_signed_url_but_its_path(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path)), "https://h/x.csv?X-Amz-Signature=secret")
    candidate = Candidate("2026.01.01", str(tmp_path / "candidate"), (), "f")
    described = release.describe_release(config, candidate, (), {}, None, [], str(tmp_path))
    assert described["config"]["prompts"]["source"] == "https://h/x.csv"
    assert "secret" not in json.dumps(described)


def test_a_gate_that_asks_for_another_agreement_makes_another_release(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    before = release_fingerprint(load(str(path)), [])
    assert release_fingerprint(load(str(path)), []) == before
    path.write_text(path.read_text() + '[[gate.agreement]]\nquestion = "safety"\nat_least = 0.6\n')
    assert release_fingerprint(load(str(path)), []) != before


def test_a_version_that_stands_there_or_is_claimed_by_another_is_not_taken_again(root: str) -> None:
    day = date(2026, 1, 31)
    assert release.next_version(root, "mine", day) == "2026.01.31"
    storage.write_bytes(storage.join(root, "releases", "2026.01.31", "manifest.json"), b"{}")
    assert release.next_version(root, "mine", day) == "2026.01.31.1"
    storage.create(manifest.claim_address(root, "2026.01.31.1"), b"theirs")
    assert release.next_version(root, "mine", day) == "2026.01.31.2"
    assert release.next_version(root, "theirs", day) == "2026.01.31.1"


def test_a_version_is_the_day_in_utc(tmp_path: Path) -> None:
    before = datetime.now(UTC).date()
    version = release.next_version(str(tmp_path), "mine")
    assert before <= datetime.strptime(version, "%Y.%m.%d").replace(tzinfo=UTC).date() <= datetime.now(UTC).date()
