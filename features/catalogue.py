"""What is known of workers and tasks by name: external ids, declared profiles, postings as their requesters wrote."""

import msgspec

from features.events import TaskPosted
from features.keyword_search import Texts
from features.packed import Postings, Profiles
from features.requirements_compiler import Compiler
from features.requirements_shape import Requirements
from features.tokens import normalise, primary_language
from features.vocabulary import UNKNOWN, Vocabulary


class Signature(msgspec.Struct, frozen=True):
    """Who may take a task: what is the same for every task of a batch, so that it is evaluated once.

    Empty sets allow everybody. Languages are primary subtags in lower case, countries in upper case.
    """

    languages: frozenset[str]
    countries: frozenset[str]
    devices: frozenset[str]
    requirements: Requirements | None


class Catalogue:
    """Names, and the part of profiles and postings that is not numbers.

    Attributes:
        workers, tasks, requesters, labels: external id <-> dense index; labels are ``kind:name``.
        profiles: worker index -> the profile in force.
        postings: task index -> the posting in force, updates applied.
        signatures: every distinct signature, in order of appearance.
        compiled: the same, ready to be evaluated.
        offers: signature, requester and category of every distinct offer -> its index.
        texts: every distinct text of a task.
    """

    def __init__(self) -> None:
        self.workers = Vocabulary()
        self.tasks = Vocabulary()
        self.requesters = Vocabulary()
        self.labels = Vocabulary()
        self.profiles = Profiles()
        self.postings = Postings()
        self.signatures: list[Signature] = []
        self.compiled = Compiler()
        self.offers: dict[tuple[int, int, int], int] = {}
        self.texts = Texts()
        self._signature_index: dict[Signature, int] = {}
        self._as_written: dict[tuple[object, ...], int] = {}

    def signature_of(self, posting: TaskPosted) -> int:
        """Return the index of the signature of a posting, adding it if it is new."""
        written = posting.languages, posting.countries, posting.devices, posting.requirements
        known = self._as_written.get(written)
        if known is not None:
            return known
        signature = Signature(
            frozenset(primary_language(tag) for tag in posting.languages or ()),
            frozenset(country.upper() for country in posting.countries or ()),
            frozenset(normalise(device) for device in posting.devices or ()),
            posting.requirements,
        )
        index = self._as_written[written] = self.add_signature(signature)
        return index

    def add_signature(self, signature: Signature) -> int:
        """Return the index of a signature, adding it if it is new."""
        index = self._signature_index.get(signature)
        if index is None:
            index = self._signature_index[signature] = len(self.signatures)
            self.signatures.append(signature)
            self.compiled.add(
                signature.requirements,
                languages=signature.languages,
                countries=signature.countries,
                devices=signature.devices,
            )
        return index

    def offer_of(self, signature: int, requester: int, category: int) -> int:
        """Return the index of an offer, adding it if it is new."""
        return self.offers.setdefault((signature, requester, category), len(self.offers))

    def erase_worker(self, external: str) -> int:
        """Forget a worker's name and profile; return the index the worker had, or ``UNKNOWN``."""
        index = self.workers.forget(external)
        if index != UNKNOWN:
            self.profiles.pop(index, None)
        return index
