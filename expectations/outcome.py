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

    @property
    def refuses(self) -> bool:
        """Whether it keeps a candidate from being published."""
        return self.outcome == "crashed" or (self.outcome == "violated" and self.severity == "critical")


@dataclass(frozen=True)
class GateOutcome:
    """The gate's answer: whether to publish, and every rule's result."""

    passed: bool
    results: tuple[RuleResult, ...]


def why_refused(outcome: GateOutcome) -> str:
    """What the first rule that refuses says: later ones are often broken by what broke it. Empty where none refuses."""
    return next((result.said for result in outcome.results if result.refuses), "").rstrip(".")
