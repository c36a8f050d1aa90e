from pathlib import Path

from infra import storage
from tasks.release.candidate import remove_unjudged


def test_only_candidates_that_the_gate_has_judged_stay(root: str) -> None:
    folder = storage.join(root, "candidates")
    judged, same, half = "2026.11.27-aaaaaaaa", "2026.11.28-aaaaaaaa", "2026.11.29-cccccccc"
    remove_unjudged(root)
    for name in (judged, same, half):
        storage.write_bytes(storage.join(folder, name, "prompts", "train.parquet"), b"rows")
        if name != half:
            storage.write_bytes(storage.join(folder, name, "gate", "verdict.json"), b"{}")
    storage.write_bytes(storage.join(folder, half, "gate", "docs", "index.html"), b"page")
    remove_unjudged(root)
    # Some buckets go on naming folders that are empty.
    assert {uri.removeprefix(f"{folder}/").split("/")[0] for uri in storage.found_below(folder)} == {judged, same}


def test_what_another_process_tries_among_the_candidates_is_left_to_it(tmp_path: Path) -> None:
    with storage.tried_at(str(tmp_path / "candidates")) as tried:
        storage.write_bytes(f"{tried}/last", b"")
        remove_unjudged(str(tmp_path))
        assert storage.exists(f"{tried}/last")
    assert not storage.exists(tried)
