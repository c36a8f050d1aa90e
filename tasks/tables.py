"""The vocabulary: every table of the pipeline, with its key and its columns; below each, its grain.

In: nothing. Out: one `Table` a noun; a `Ref` says where one stands. Stages hand each other Refs, never rows.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

import pyarrow as pa

HARM_CATEGORIES = (
    "Endangering National Security",
    "Insulting Behavior",
    "Discriminatory Behavior",
    "Endangering Public Health",
    "Copyright Issues",
    "Violence",
    "Drugs",
    "Privacy Violation",
    "Economic Crime",
    "Mental Manipulation",
    "Human Trafficking",
    "Physical Harm",
    "Sexual Content",
    "Cybercrime",
    "Disrupting Public Order",
    "Environmental Damage",
    "Psychological Harm",
    "White-Collar Crime",
    "Animal Abuse",
)
"""The 19 categories of PKU-SafeRLHF in their published order (arXiv 2406.15513)."""


@dataclass(frozen=True)
class Table:
    """A table's name, the columns that identify a row, and all columns."""

    name: str
    key: tuple[str, ...]
    schema: pa.Schema


@dataclass(frozen=True)
class Ref:
    """Where a table stands: a Parquet address, its row count, and the hash of what it was made from."""

    uri: str
    rows: int
    fingerprint: str


TOKENS = ("input_tokens", "output_tokens", "estimated_input_tokens", "estimated_output_tokens")
"""What is counted of tokens, by its name wherever it stands."""


@dataclass(frozen=True)
class Cost:
    """What model work took in this run: rows asked and rows found in the store, tokens, and seconds.

    Tokens are those that engines told; what they did not is estimated by the texts, and stands apart. `queue_seconds` were spent
    waiting for a cluster, `start_seconds` for engines to start, `seconds` on answers; `gpu_seconds` are the last two, times the
    GPUs that were held. `errors` are what engines said of rows that they gave no answer to, and how often.
    """

    asked: int = 0
    found: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_input_tokens: int = 0
    estimated_output_tokens: int = 0
    queue_seconds: float = 0.0
    start_seconds: float = 0.0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    errors: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def tokens(self) -> int:
        """In and out, told and estimated: what a budget counts."""
        return sum(getattr(self, name) for name in TOKENS)


@dataclass(frozen=True)
class Stage:
    """What a stage hands on: its tables, what it left out, and the sum that must hold.

    `rows_in` rows of `grain` came in; `rows_kept` of them went on and `dropped.rows` were left out with a reason.
    `costs` are those of its model work, by the names of its jobs; `seconds` is the whole stage.
    """

    name: str
    grain: str
    rows_in: int
    rows_kept: int
    dropped: Ref
    tables: dict[str, Ref]
    costs: dict[str, Cost] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def cost(self) -> Cost:
        """All model work of the stage."""
        return sum(self.costs.values(), Cost())


def tables_by_name(stages: Sequence[Stage]) -> dict[str, Ref]:
    """The tables of all stages.

    Raises:
        ValueError: two stages give a table of the same name (a bug).
    """
    tables: dict[str, Ref] = {}
    for stage in stages:
        for name, ref in stage.tables.items():
            if name in tables:
                raise ValueError(f"{stage.name}: an earlier stage gives a table `{name}` too; rename one of them")
            tables[name] = ref
    return tables


def columns(**types: pa.DataType) -> pa.Schema:
    """A schema from `name=type`, in order."""
    return pa.schema(list(types.items()))


TEXT, INTEGER, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
SEVERITY = pa.int8()
HARM_CATEGORY = pa.struct([(name, FLAG) for name in HARM_CATEGORIES])

SOURCES = Table(
    "sources",
    ("row_number",),
    columns(row_number=INTEGER, place=TEXT, lines=TEXT, prompt=TEXT, prompt_source=TEXT, problem=TEXT),
)
"""One row per row of the sources of prompts, in their order; `place` is what a row is called: `row 5`, `NAME row 5`."""

PROMPTS = Table(
    "prompts",
    ("prompt_id",),
    columns(prompt_id=TEXT, prompt=TEXT, prompt_source=TEXT, cluster_id=TEXT, split=TEXT, language=TEXT),
)
"""One row per kept prompt."""

NEAR_TEXTS = Table(
    "near_texts",
    ("position",),
    columns(position=INTEGER, size=INTEGER, shared=pa.list_(INTEGER), rare=pa.list_(INTEGER)),
)
"""One row per prompt that may be nearly the same as another one: where it stands in `screened_prompts`, and hashes of its shingles."""

NEAR_DUPLICATES = Table("near_duplicates", ("position",), columns(position=INTEGER, earlier=INTEGER, similarity=REAL))
"""One row per prompt that is nearly the same as an earlier one, which stays: where both stand, and how alike they are, up to 1."""

REQUESTS = Table(
    "requests",
    ("request_id",),
    columns(
        request_id=TEXT,
        subject_id=TEXT,
        question=TEXT,
        sample=INTEGER,
        attempt=INTEGER,
        flipped=FLAG,
        rubric=TEXT,
        system=TEXT,
        user=TEXT,
        assistant=TEXT,
        temperature=REAL,
        top_p=REAL,
        max_tokens=INTEGER,
        seed=INTEGER,
        json_schema=TEXT,
        decision=TEXT,
    ),
)
"""One row per question to a model."""

COMPLETIONS = Table(
    "completions",
    ("request_id",),
    columns(
        request_id=TEXT,
        completion=TEXT,
        finish_reason=TEXT,
        input_tokens=INTEGER,
        output_tokens=INTEGER,
        seconds=REAL,
        error=TEXT,
        confidence=REAL,
    ),
)
"""One row per answered request."""

EMBEDDINGS = Table(
    "embeddings",
    ("response_id",),
    columns(response_id=TEXT, embedding=pa.list_(pa.float32()), is_cut=FLAG),
)
"""One row per embedded answer."""

RESPONSES = Table(
    "responses",
    ("request_id",),
    columns(
        request_id=TEXT,
        response_id=TEXT,
        prompt_id=TEXT,
        prompt=TEXT,
        response=TEXT,
        responder=TEXT,
        sample=INTEGER,
        temperature=REAL,
        seed=INTEGER,
        finish_reason=TEXT,
        input_tokens=INTEGER,
        output_tokens=INTEGER,
        similarity=REAL,
        embedded_in_part=FLAG,
        language=TEXT,
    ),
)
"""One row per kept answer of one responder."""

VERDICTS = Table(
    "verdicts",
    ("verdict_id",),
    columns(
        verdict_id=TEXT,
        subject_id=TEXT,
        question=TEXT,
        annotator=TEXT,
        annotator_kind=TEXT,
        rubric=TEXT,
        vote=INTEGER,
        attempt=INTEGER,
        flipped=FLAG,
        is_safe=FLAG,
        severity_level=SEVERITY,
        harm_category=pa.list_(TEXT),
        winner=SEVERITY,
        confidence=REAL,
        raw=TEXT,
        problem=TEXT,
    ),
)
"""One row per judgement by one annotator of one answer or pair."""

LABELS = Table(
    "labels",
    ("response_id",),
    columns(
        response_id=TEXT,
        is_safe=FLAG,
        harm_category=HARM_CATEGORY,
        severity_level=SEVERITY,
        votes=INTEGER,
        agreement=REAL,
        confidence=REAL,
        decided_by=TEXT,
        by_people=FLAG,
    ),
)
"""One row per labelled answer."""

PAIRS = Table(
    "pairs",
    ("pair_id",),
    columns(
        pair_id=TEXT,
        prompt_id=TEXT,
        responder=TEXT,
        response_0_id=TEXT,
        response_1_id=TEXT,
        prompt=TEXT,
        response_0=TEXT,
        response_1=TEXT,
        severity_0=SEVERITY,
        severity_1=SEVERITY,
    ),
)
"""One row per pair: two answers of one responder to one prompt."""

QUOTA_CELLS = Table(
    "quota_cells",
    ("pair_id",),
    columns(pair_id=TEXT, mix=TEXT, severity_level=INTEGER, category=TEXT, place=INTEGER),
)
"""One row per pair that could be compared."""

PAIR_QUOTAS = Table(
    "pair_quotas",
    ("mix", "severity_level", "category"),
    columns(mix=TEXT, severity_level=INTEGER, category=TEXT, quota=REAL, available=INTEGER, chosen=INTEGER),
)
"""One row per mix of safe and unsafe answers, severity and harm category."""

PREFERENCES = Table(
    "preferences",
    ("pair_id",),
    columns(
        pair_id=TEXT,
        better_response_id=SEVERITY,
        safer_response_id=SEVERITY,
        overall_response_id=SEVERITY,
        better_agreement=REAL,
        safer_agreement=REAL,
        overall_agreement=REAL,
        decided_by=TEXT,
        by_people=FLAG,
    ),
)
"""One row per judged pair."""

OPINIONS = Table(
    "opinions",
    ("annotator", "annotator_kind", "subject_id", "question"),
    columns(
        annotator=TEXT,
        annotator_kind=TEXT,
        subject_id=TEXT,
        question=TEXT,
        votes=INTEGER,
        votes_1=INTEGER,
        share_1=REAL,
        probability_1=REAL,
        opinion=SEVERITY,
        is_even=FLAG,
        first_wins=REAL,
        severity=REAL,
        harm_category=pa.list_(TEXT),
    ),
)
"""One row per opinion of one annotator on one question about an answer or pair."""

POSTERIORS = Table(
    "posteriors",
    ("subject_id", "question"),
    columns(subject_id=TEXT, question=TEXT, probability=REAL),
)
"""One row per weighed question about an answer or pair."""

CIRCLES = Table(
    "circles",
    ("pair_id", "question"),
    columns(
        prompt_id=TEXT,
        responder=TEXT,
        question=TEXT,
        pair_id=TEXT,
        response_0_id=TEXT,
        response_1_id=TEXT,
        share_1=REAL,
    ),
)
"""One row per pair and question of a prompt whose preferences are circular, as it was preferred."""

RESOLVED = Table(
    "resolved",
    ("pair_id", "question"),
    columns(pair_id=TEXT, question=TEXT, probability=REAL),
)
"""One row per pair and question of a prompt whose preferences were circular, as they are now."""

REVIEW_QUEUE = Table(
    "review_queue",
    ("subject_id",),
    columns(subject_id=TEXT, subject=TEXT, place=INTEGER, reason=TEXT),
)
"""One row per answer or pair handed to people."""

PATTERNS = Table(
    "agreement_patterns",
    ("question", "opinions"),
    columns(
        question=TEXT,
        opinions=pa.list_(pa.struct([("annotator", TEXT), ("kind", TEXT), ("value", SEVERITY)])),
        subjects=INTEGER,
    ),
)
"""One row per question and list of opinions that several annotators have of alike answers or pairs."""

AGREEMENT_QUESTIONS = ("safety", "severity", *HARM_CATEGORIES, "helpfulness", "harmlessness", "overall")
"""What annotators are compared on; a harm category asks whether they name it."""

AGREEMENT = Table(
    "agreement",
    ("question", "between", "measure"),
    columns(question=TEXT, between=TEXT, measure=TEXT, value=REAL, low=REAL, high=REAL, subjects=INTEGER),
)
"""One row per measure of agreement between annotators."""

DROPPED = Table(
    "dropped",
    ("stage", "id"),
    columns(table_name=TEXT, id=TEXT, stage=TEXT, responder=TEXT, reason=TEXT, evidence=TEXT),
)
"""One row per row that a stage left out."""


def screened(table: Table, names: Sequence[str] | None = None) -> Table:
    """One row per row that a stage looked at: `names` of `table` (default all), and why a row is left out."""
    fields = [table.schema.field(name) for name in (table.schema.names if names is None else names)]
    schema = pa.schema([pa.field("id", TEXT), *fields, pa.field("reason", TEXT), pa.field("evidence", TEXT)])
    return Table(f"screened_{table.name}", ("id",), schema)


SCREENED_LABELS, SCREENED_PREFERENCES = screened(LABELS), screened(PREFERENCES)
ANSWERS = Table("answers", ("response_id",), columns(response_id=TEXT, response=TEXT))
"""One row per distinct answer."""

SUBJECTS = Table(
    "subjects",
    ("subject_id", "question", "flipped"),
    columns(subject_id=TEXT, question=TEXT, flipped=FLAG, user=TEXT, assistant=TEXT),
)
"""One row per thing that a judge is shown."""
