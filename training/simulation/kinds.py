"""The kinds of work there are, and the words tasks of each are written in. Brands are invented from syllables."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    Attributes:
        name: the category of its tasks.
        skills: what its tasks ask for.
        minutes: median typical duration, minutes.
        difficulty: skill (0..1) that a middling task needs.
        devices: where some of its tasks must be done; empty for anywhere.
        titles: skill -> language -> templates.
        descriptions: language -> templates.
    """

    name: str
    skills: tuple[str, ...]
    minutes: float
    difficulty: float
    devices: tuple[str, ...]
    titles: dict[str, dict[str, list[str]]]
    descriptions: dict[str, list[str]]


def _kind(raw: dict[str, Any]) -> Kind:
    return Kind(**{**raw, "skills": tuple(raw["titles"]), "devices": tuple(raw["devices"])})


KINDS: tuple[Kind, ...] = tuple(
    _kind(raw)
    for raw in tomllib.loads(files("training.simulation").joinpath("kinds.toml").read_text(encoding="utf-8"))["kind"]
)

SKILLS: tuple[str, ...] = tuple(skill for kind in KINDS for skill in kind.skills)
SKILLS_EACH = len(KINDS[0].skills)

TOPICS: tuple[dict[str, str], ...] = (
    {"en": "food", "id": "makanan"},
    {"en": "games", "id": "gim"},
    {"en": "savings", "id": "tabungan"},
    {"en": "fashion", "id": "busana"},
    {"en": "travel", "id": "wisata"},
    {"en": "health", "id": "kesehatan"},
    {"en": "education", "id": "pendidikan"},
    {"en": "household", "id": "rumah tangga"},
    {"en": "music", "id": "musik"},
    {"en": "farming", "id": "pertanian"},
)

PLACES = ("Jakarta", "Bandung", "Surabaya", "Medan", "Makassar", "Denpasar", "Manila", "Nairobi", "Pune")

_SYLLABLES = ("vo", "zu", "qi", "xa", "jo", "ry", "ke", "lu", "mba", "nti", "pra", "sko", "wi", "dza", "fe", "gho")


def brand(rng: np.random.Generator) -> str:
    """Return an invented name of three syllables and an ending."""
    picked = rng.choice(len(_SYLLABLES), 3, replace=False)
    return ("".join(_SYLLABLES[place] for place in picked) + ("", "x", "nq")[rng.integers(3)]).capitalize()


@dataclass(frozen=True)
class Wording:
    """The words of a batch: `title` and `description` are the same in all its tasks but for the part."""

    title: str
    description: str
    keywords: tuple[str, ...]


def write(rng: np.random.Generator, kind: Kind, skill: str, language: str, topic: int, brand_name: str) -> Wording:
    """Return the words of a batch of tasks.

    Args:
        rng: picks templates and numbers.
        kind: the kind of work.
        skill: what is asked for first.
        language: ``en`` or ``id``.
        topic: index into ``TOPICS``.
        brand_name: who it is for.
    """
    words = {
        "brand": brand_name,
        "topic": TOPICS[topic][language],
        "n": str(rng.choice((3, 5, 8, 10, 12, 15, 20, 25, 30, 50))),
        "place": PLACES[rng.integers(len(PLACES))],
    }
    titles, descriptions = kind.titles[skill][language], kind.descriptions[language]
    return Wording(
        titles[rng.integers(len(titles))].format(**words),
        descriptions[rng.integers(len(descriptions))].format(**words),
        (words["topic"], brand_name.lower()),
    )


def part(language: str, number: int, of: int) -> str:
    """Return what tells the tasks of a batch apart in their titles."""
    return "" if of == 1 else f" ({'bagian' if language == 'id' else 'part'} {number}/{of})"
