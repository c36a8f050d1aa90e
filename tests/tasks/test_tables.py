import pytest

from tasks.tables import Cost, Ref, Stage, tables_by_name

NOWHERE = Ref("", 0, "")


def stage(name: str, *tables: str, **costs: Cost) -> Stage:
    return Stage(name, "row", 0, 0, NOWHERE, dict.fromkeys(tables, NOWHERE), costs)


def test_two_stages_that_give_a_table_of_one_name_are_refused() -> None:
    first, second = stage("sources_to_prompts", "prompts"), stage("prompts_to_pairs", "pairs")
    assert list(tables_by_name([first, second])) == ["prompts", "pairs"]
    with pytest.raises(ValueError, match="prompts_to_better: an earlier stage gives a table `prompts` too"):
        tables_by_name([first, second, stage("prompts_to_better", "prompts")])


def test_a_stage_costs_what_all_its_model_work_costs() -> None:
    cost = stage("a", one=Cost(asked=1, found=2, seconds=0.5), other=Cost(asked=3, seconds=1)).cost
    assert cost == Cost(asked=4, found=2, seconds=1.5)
    assert stage("a").cost == Cost()
