"""What the gate says of a candidate. Grain: one result per rule."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RuleResult:
    """What became of one rule. `failing` counts rows, or is None where the rule has none; `said` is for people."""

    suite: str
    rule: str
    severity: str
    outcome: Literal["passed", "violated", "crashed"]
    failing: int | None
    said: str


@dataclass(frozen=True)
class GateOutcome:
    """The gate's answer: whether to publish, and every rule's result."""

    passed: bool
    results: tuple[RuleResult, ...]
