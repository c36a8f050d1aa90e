"""The engines: what turns requests into completions, and answers into embeddings, on Ray Data.

In: an engine's section of the configuration. Out: all that the rest of the program asks of an engine. A new engine is a
folder here: in `__init__.py` its fields, a class that is an `EngineSection`; in `answering.py` a function `answering`, from such
a section and the address of a store to an `Answer`. The class has an entry in `Engine` or `Embedder` of `tasks.config`, which
imports the fields of all engines and no `answering`: what takes seconds, or is not installed everywhere, is imported there, or
in the methods that need it.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from ray.data import Dataset

MOST_ROWS = 1_000_000
"""Of a block: it is held in memory as a whole."""
Example = dict[str, str | None]
"""What stands for all requests of one kind: by role a text, or None where they have no such turn."""
Answer = Callable[["Dataset"], "Dataset"]
"""From a Ray Dataset of where blocks of wanted rows stand (`blocks.cut`) to one of what `blocks.commit` says.

A function from one to the other, so that an engine with a processor of its own fits as an actor does.
"""


class EngineSection(Section, ABC):
    """An engine with its settings, and all that is known of it.

    Every field but `kind` is named in one of two: `IDENTITY` are those that can change an answer and so are part of
    `identity()`, `PLACE` those that say only where or how fast it is made. A field in neither or in both is a TypeError
    as soon as the class is made.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = ()
    PLACE: ClassVar[tuple[str, ...]] = ("block_rows",)

    kind: str
    block_rows: int = Field(32, ge=1, le=MOST_ROWS)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:  # noqa: ANN401 (pydantic's signature)
        """Raise TypeError where `IDENTITY` and `PLACE` do not share out the fields."""
        named = Counter((*cls.IDENTITY, *cls.PLACE))
        fields = Counter(cls.model_fields.keys() - {"kind"})
        if wrong := sorted((named - fields) + (fields - named)):
            raise TypeError(
                f"{cls.__name__}: every field but `kind` belongs in one of IDENTITY and PLACE: mend {', '.join(wrong)}"
            )

    @property
    def title(self) -> str:
        """What messages call it: its model, or its kind where it has none."""
        return str(getattr(self, "model", self.kind))

    @property
    def gpus(self) -> int:
        """GPUs that it holds while it runs; an endpoint's are not ours to count."""
        return 0

    @property
    def workers(self) -> int:
        """Machines that it runs on, each with an equal share of its GPUs."""
        return 1

    @property
    def positions(self) -> int | None:
        """The most tokens of prompt and answer, where that is a setting; what was too long fits as soon as this is raised."""
        return None

    @abstractmethod
    def identity(self) -> str:
        """Name and revision of the model, and what else changes its answers: the store keeps them under this.

        Raises:
            ModelError: the folder is missing or holds no model; a model on the hub comes without its revision.
        """

    def weights(self) -> str:
        """Name and revision of the model alone, whatever it runs with; raises ModelError as `identity` does."""
        return self.identity()

    def check(self, runs_here: bool) -> None:
        """Find what it needs on this machine, which is more where it `runs_here`; raises ModelError."""
        self.identity()

    def check_requests(self, examples: Sequence[Example], runs_here: bool) -> None:
        """Find out whether its model can be asked all that a run will send, without asking it; raises ModelError."""

    def answering(self, store: str) -> Answer:
        """The function that has blocks answered and commits them to `store`, on the connected cluster: that of `answering.py`."""
        beside = import_module(f"{type(self).__module__}.answering")
        answer: Answer = beside.answering(self, store)
        return answer
