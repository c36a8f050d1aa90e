from collections.abc import Callable

import pytest

from infra import ray_cluster

TOO_SLOW = "The current node timed out during startup.\nThis could happen because some of the raylet failed to startup."


def steps(monkeypatch: pytest.MonkeyPatch, begin: Callable[[int], None]) -> list[str]:
    """What a start does, with `begin` for what Ray does to start a cluster, and without an end of the tests' own."""
    done: list[str] = []

    def begin_or_fail(cpus: int) -> None:
        done.append(f"begin with {cpus}")
        begin(len(done))

    monkeypatch.setattr(ray_cluster, "begin", begin_or_fail)
    monkeypatch.setattr("ray.shutdown", lambda: done.append("clean up"))
    return done


def test_a_cluster_that_starts_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done = steps(monkeypatch, lambda step: None)
    ray_cluster.start(3)
    assert done == ["begin with 3"]


@pytest.mark.parametrize("error", [Exception(TOO_SLOW), RuntimeError(TOO_SLOW), ConnectionError(TOO_SLOW)])
def test_a_start_that_fails_is_cleaned_up_and_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail_first(step: int) -> None:
        if step == 1:
            raise error

    done = steps(monkeypatch, fail_first)
    ray_cluster.start(3)
    assert done == ["begin with 3", "clean up", "begin with 3"]


def test_a_start_that_fails_again_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(step: int) -> None:
        raise RuntimeError(f"{step}. step")

    done = steps(monkeypatch, fail)
    with pytest.raises(RuntimeError, match=r"3\. step"):
        ray_cluster.start(3)
    assert done == ["begin with 3", "clean up", "begin with 3"]


def test_a_start_that_somebody_cancels_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel(step: int) -> None:
        raise KeyboardInterrupt

    done = steps(monkeypatch, cancel)
    with pytest.raises(KeyboardInterrupt):
        ray_cluster.start(3)
    assert done == ["begin with 3"]
