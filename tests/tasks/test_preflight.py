import pytest

from infra import storage
from tasks.preflight import ROOMS, SIGNS, surrounding


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
