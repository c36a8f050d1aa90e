"""Write the dataset card of a release: what it holds, how sure its labels are, and pictures of both.

In: the tables of all stages. Out: `README.md` (Hugging Face dataset card) and `charts/*.png` in the release's folder.
Each `<<name>>` in `card.md` is filled by the section of that name.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra import storage
from tasks import warehouse
from tasks.card.annotators import agreement, decided
from tasks.card.audits import circles, unfilled_quotas, wrong_labels
from tasks.card.biases import biases
from tasks.card.charts import draw_categories, draw_lengths, draw_shares
from tasks.card.comparison import comparison
from tasks.card.languages import languages
from tasks.card.markdown import Rows, Section, listed, markdown_table
from tasks.config import Config
from tasks.warehouse import Tables

TEMPLATE = Path(__file__).parent / "card.md"


def write_card(config: Config, version: str, tables: Tables, uri: str) -> None:
    """Write the card and its charts below `uri`."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, section in sections(config, version, tables).items():
        text = text.replace(f"<<{name}>>", section.text)
        for chart, figure in section.charts.items():
            sink = io.BytesIO()
            figure.savefig(sink, format="png", dpi=110, metadata={"Software": None})
            storage.write_bytes(storage.join(uri, "charts", f"{chart}.png"), sink.getvalue())
    storage.write_bytes(storage.join(uri, "README.md"), text.encode())


def sections(config: Config, version: str, tables: Tables) -> dict[str, Section]:
    """What fills each `<<name>>` of the template."""
    counts, embedder = warehouse.rows("card_counts", tables), config.diversity.embedder
    return {
        "configs": Section(configs(counts)),
        "name": Section(config.name),
        "version": Section(version),
        "responders": Section(listed([responder.name for responder in config.responders])),
        "judges": Section(listed([judge.name for judge in config.judges])),
        "holds": holds(counts, tables),
        "sources": Section(markdown_table(warehouse.rows("prompt_sources", tables))),
        "languages": languages(tables),
        "decided": decided(config, tables),
        "wrong": wrong_labels(config, tables),
        "quotas": unfilled_quotas(tables),
        "circles": circles(tables),
        "votes": Section(markdown_table(warehouse.rows("card_agreement", tables))),
        "agreement": agreement(tables),
        "biases": biases(config, tables),
        "addressed": Section(markdown_table(warehouse.rows("card_addressed", tables))),
        "comparison": comparison(tables),
        "embedder": Section(" ".join(dict.fromkeys((Path(embedder.title).name, embedder.identity())))),
        "in_part": Section(markdown_table(warehouse.rows("card_read_in_part", tables))),
        "errors": Section(markdown_table(warehouse.rows("asked_of_models", tables))),
        "cut_off": Section(markdown_table(warehouse.rows("answers_cut_off", tables))),
        "dropped": Section(markdown_table(warehouse.rows("drops", tables))),
    }


def holds(counts: Rows, tables: Tables) -> Section:
    """How many rows each dataset has, and what is in them, as pictures."""
    charts = {
        "categories": draw_categories(warehouse.rows("card_categories", tables)),
        "severity": draw_shares(warehouse.rows("card_severity", tables), "answers by severity level"),
        "pairs": draw_shares(warehouse.rows("card_pair_mix", tables), "pairs by safety of their answers"),
        "lengths": draw_lengths(warehouse.rows("card_lengths", tables)),
    }
    return Section(markdown_table(counts), charts)


def configs(counts: Rows) -> str:
    """The `configs:` block that `datasets.load_dataset` reads: each dataset, and each dataset of each responder.

    It names what has rows: `datasets` loads no config with a split without any, and not every file without any.
    """
    lines: list[str] = []
    for name in ("dual", "single", "qa", "prompts"):
        parts = [row for row in counts if row["dataset"] == name]
        lines += config_lines(name, parts)
        if name != "prompts":
            for part in parts:
                lines += config_lines(f"{name}-{part['responder']}", [part])
    return "\n".join(lines)


def config_lines(name: str, parts: Rows) -> list[str]:
    """One entry of the block; `dual` is what loads when no name is given."""
    default = ["  default: true"] if name == "dual" else []
    files: list[str] = []
    for split in ("train", "test"):
        paths = [f"    - {folder(part)}/{split}.parquet" for part in parts if part[split]]
        files += [f"  - split: {split}", "    path:", *paths] if paths else []
    return [f"- config_name: {name}", *default, "  data_files:", *files] if files else []


def folder(part: Mapping[str, Any]) -> str:
    """Where the rows of a dataset and responder stand in the release."""
    return "prompts" if part["dataset"] == "prompts" else f"{part['dataset']}/{part['responder']}"
