from pathlib import Path

import pytest

from infra import storage
from tasks.config import load
from tasks.errors import ConfigError, ModelError
from tasks.preflight import ROOMS, SIGNS, check, surrounding
from tests.conftest import write_config


@pytest.mark.parametrize("sign", SIGNS)
def test_a_storage_inside_the_folder_of_another_one_is_found_and_one_beside_it_is_not(root: str, sign: str) -> None:
    storage.write_bytes(f"{root}/{sign}/x" if sign == "tables/completions" else f"{root}/{sign}", b"")
    assert [surrounding(f"{root}/{room}{below}") for room in ROOMS for below in ("", "/a/b")] == [root] * 2 * len(ROOMS)
    assert surrounding(f"{root}/tables/mine/tables/a") == root
    for beside in ("", "/a", "/mytables/a", "-tables/releases/a"):
        assert surrounding(root + beside) is None


@pytest.mark.parametrize("sign", SIGNS)
def test_a_folder_that_is_named_as_one_of_a_storage_is_none_by_that(root: str, sign: str) -> None:
    # What a storage inside it has is no sign of another one around it.
    storage.write_bytes(f"{root}/tables/releases/a/{sign}/x", b"")
    assert surrounding(f"{root}/tables/releases/a") is None
    assert surrounding("/releases/a") is None
    assert surrounding("s3://releases") is None


def test_numbers_that_come_to_more_than_a_run_can_hold_are_refused_together(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    most = (
        path.read_text().replace("samples = 2", "samples = 1000").replace("label_votes = 3", "preference_votes = 1000")
    )
    path.write_text(most.replace("[diversity]", "[diversity]\nalternatives = 100"))
    with pytest.raises(ConfigError, match=r"preferences by judge: 12 prompts come to [0-9,]+ of them"):
        check(load(str(path)).model_copy(update={"responders": load(str(path)).responders * 2}))
    path.write_text(path.read_text() + "[pairs]\nbudget = 9\n")
    check(load(str(path)))


def test_a_model_whose_name_no_disk_takes_is_one_line(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    for kind in ("transformers", "vllm"):
        engine = f'kind = "{kind}", model = "{"a" * 300}"'
        path.with_name(f"{kind}.toml").write_text(
            path.read_text().replace('kind = "scripted", block_rows = 8, journal', f"{engine} }}\n#", 1)
        )
        with pytest.raises(ModelError, match="mend its path"):
            check(load(str(path.with_name(f"{kind}.toml"))))
