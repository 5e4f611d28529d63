"""What would open tasks that are closed to a worker now: the single changes that most of them wait for.

A change is judged by making it: the worker is taken as if the fact were so, and the signatures that stand in the way
are judged again by it, so that a task counts exactly if the change alone would open it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from features.changes import APPROVALS, Change
from features.events import WorkerUpdated, instant
from features.jit import kernel
from features.layout import Record
from features.requirements import ALL_OF, LEVELS, Compiler, Facts, Program, Sheet, Variants, answer, climb, declared
from features.requirements_shape import Value
from features.state import MarketState
from matching.eligibility import BIT, Judgement
from matching.query import Query

CONSIDERED = 8
"""Changes that are tried: those that most tasks wait for."""

SAMPLED = 2_048
"""Tasks that stand for those that wait: of each signature an equal number, evenly over its tasks. How many tasks a
change opens is counted over all of them, by signature."""

MOST_APPROVALS = 10_000
"""Approvals that anyone could be asked for."""

_LANGUAGE, _COUNTRY, _DEVICE = (int(BIT[name]) for name in ("language", "country", "device"))
_REQUIREMENT = int(BIT["requirement"])
_SETS = 2
"""Sets of a signature that a worker may come to be in: languages and devices."""

_CHANGEABLE = np.uint32(_LANGUAGE | _DEVICE | _REQUIREMENT)
_ACCEPT = LEVELS.index("accept")


@dataclass(frozen=True)
class Opening:
    """What a change alone would open.

    Attributes:
        change: what would have to be so.
        approvals: how many more are needed for it, 0 for another kind of change.
        places: intp, those of the tasks in the sample of what waits.
        count: tasks in all.
    """

    change: Change
    approvals: int
    places: NDArray[np.intp]
    count: int


class Waiting(NamedTuple):
    """What waits for a single change.

    Attributes:
        ways: int32, ways x 2; a signature, and a clause of an attribute for which alone it fails.
        counts: int64, signatures; the tasks that nothing else stands against.
        tasks: int32, a sample of these.
        signatures: int32, those of the sample.
    """

    ways: NDArray[np.int32]
    counts: NDArray[np.int64]
    tasks: NDArray[np.int32]
    signatures: NDArray[np.int32]


def waiting_for_one(judgement: Judgement) -> Waiting:
    """Return what waits for a single change among judged tasks."""
    offers = judgement.offers
    against = np.zeros(len(judgement.compiled), np.uint32)
    _near(offers.bits, offers.tasks, offers.signatures, against)
    ways = _ways(judgement.compiled.program, judgement.sheet, against)
    places = _waiting(judgement.bits, judgement.places, offers.bits, offers.signatures, ways, len(against))
    counts, sample, signatures = _sampled(judgement.places, places, offers.signatures, len(against))
    return Waiting(ways, counts, judgement.tasks[sample], signatures)


@dataclass(frozen=True)
class Person:
    """Who asks, as judged.

    Attributes:
        profile: an empty one if none was given.
        record: of ``Arrays.workers``.
        now: microseconds since 1970.
        devices: those in hand, in place of the profile's.
        asked: sets that are looked at, bits of ``CODES``.
    """

    profile: WorkerUpdated
    record: Record
    now: int
    devices: tuple[str, ...] | None
    asked: int

    @classmethod
    def of(cls, state: MarketState, query: Query) -> "Person":
        """Return the worker of a query."""
        index = state.catalogue.workers.get(query.worker_id)
        profile, device = state.catalogue.profiles.get(index), query.wishes.device
        return cls(
            profile or WorkerUpdated(event_id="-", at=instant(query.now), worker_id=query.worker_id),
            state.arrays.workers[index],
            query.now,
            (device,) if device else None,
            _LANGUAGE | _COUNTRY | _DEVICE if profile else _DEVICE if device else 0,
        )

    def facts(self, compiled: Compiler) -> Facts:
        """Return what is known of the worker."""
        return compiled.facts(self.profile, self.record, self.now, self.devices)

    def with_change(self, change: Change, approvals: int) -> Sequence[tuple[str, Sequence[Value]]]:
        """Return the attributes that a change is about, with the values that they would have."""
        if approvals:
            approved = float(self.record["approved"]) + approvals
            rate = 100.0 * approved / (approved + float(self.record["rejected"]))
            return ("approved_count", (approved,)), ("approval_rate", (rate,))
        kind, _, name = change.attribute.partition(":")
        value, devices = str(change.value), None
        changed = WorkerUpdated(event_id="-", at=self.profile.at, worker_id=self.profile.worker_id)
        if kind == "qualification":
            changed = replace(changed, qualifications={name: change.held})
        elif kind == "skill":
            changed = replace(changed, skills={name: change.level})
        elif kind == "language":
            changed = replace(changed, languages=(*(self.profile.languages or ()), value))
        else:
            devices = (*(self.profile.devices or ()), value) if self.devices is None else (value,)
        return tuple(declared(changed, devices))


def openings(judgement: Judgement, waiting: Waiting, person: Person) -> Iterator[Opening]:
    """Yield what the changes open that most tasks wait for, at most ``CONSIDERED``, those that open nothing left out.

    Args:
        judgement: of all open tasks for the worker.
        waiting: what waits among them.
        person: the worker.
    """
    compiled = judgement.compiled
    hoped_for = list(_hoped_for(compiled, waiting, person.record))
    if not hoped_for:
        return
    facts = person.facts(compiled)
    variants = compiled.variants(facts, [person.with_change(change, approvals) for change, approvals in hoped_for])
    sheet = judgement.sheet._replace(clauses=judgement.sheet.clauses.copy(), nodes=judgement.sheet.nodes.copy())
    counts, places, ends = _open(compiled.program, facts, variants, waiting, person.asked, sheet)
    parts = np.split(places, ends[:-1])
    for (change, approvals), count, part in zip(hoped_for, counts.tolist(), parts, strict=True):
        if count:
            yield Opening(change, approvals, part, count)


def _hoped_for(compiled: Compiler, waiting: Waiting, record: Record) -> Iterator[tuple[Change, int]]:
    """Yield the changes that most tasks wait for, with the approvals that each needs, at most ``CONSIDERED``."""
    changes = compiled.changes
    places, counts = _hopes(waiting.ways, waiting.counts, changes.starts, changes.of_clauses, len(changes.distinct))
    found = 0
    for place in places[np.argsort(-counts, kind="stable")].tolist():
        change, approvals = changes.distinct[place], 0
        if change.attribute in APPROVALS:
            approvals = approvals_for(change, record)
            if not approvals:
                continue
        yield change, approvals
        found += 1
        if found == CONSIDERED:
            break


def approvals_for(change: Change, record: Record) -> int:
    """Return how many approvals in a row bring a change about, 0 if no number that anyone could reach does."""
    approved, rejected, wanted = float(record["approved"]), float(record["rejected"]), change.number
    if change.attribute == "approved_count":
        more = wanted - approved
    elif wanted >= 100.0:
        more = math.inf if rejected > 0.0 or wanted > 100.0 or change.comparator == "gt" else 1.0
    else:
        # 100 (a + k) / (a + k + r) = w, solved for k.
        more = wanted * rejected / (100.0 - wanted) - approved
    if not more < MOST_APPROVALS:
        return 0
    whole = max(1, math.floor(more) + 1 if change.comparator == "gt" else math.ceil(more - 1e-9))
    rate = change.attribute == "approval_rate"
    while True:
        reached = 100.0 * (approved + whole) / (approved + whole + rejected) if rate else approved + whole
        if reached > wanted or (reached == wanted and change.comparator == "ge"):
            return whole
        whole += 1


@kernel
def _near(
    bits: NDArray[np.uint32], tasks: NDArray[np.int32], signatures: NDArray[np.int32], against: NDArray[np.uint32]
) -> None:
    """Write down by signature what stands against offers with tasks that nothing but what is changeable keeps away."""
    for place in range(bits.size):
        if tasks[place] > 0 and bits[place] != 0 and bits[place] & ~_CHANGEABLE == 0:
            against[signatures[place // 2]] = bits[place]


@kernel
def _ways(program: Program, sheet: Sheet, against: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return pairs of a signature and a failing clause of it (int32, pairs x 2) whose attribute alone it fails for.

    All failing clauses of such an attribute are given: one change may have to fulfil several. Only signatures are
    looked at that something stands ``against``.
    """
    clauses, nodes = program.clauses, program.nodes
    size, longest = 0, 0
    for signature in range(against.size):
        if against[signature] != 0:
            length = program.signatures[signature].stop - program.signatures[signature].start + _SETS
            size, longest = size + length, max(longest, length)
    found, count = np.empty((size, 2), np.int32), 0
    failing = np.empty(longest, np.int32)
    owed, answers = np.zeros(sheet.nodes.size, np.bool_), np.zeros(sheet.nodes.size, np.bool_)
    # By root, where the ways stand that a tree has if no set fails: many signatures have the same tree.
    begun, ended = np.full(sheet.nodes.size, -1, np.int64), np.zeros(sheet.nodes.size, np.int64)
    for signature in range(against.size):
        bits = against[signature]
        if bits == 0:
            continue
        record = program.signatures[signature]
        start, stop = record.start, record.stop if bits & _REQUIREMENT else record.start
        sets = 0
        for bit, place in ((_LANGUAGE, record.language), (_DEVICE, record.device)):
            if bits & bit:
                failing[sets] = place
                sets += 1
        # What has to be fulfilled whatever else is: the sets, and what stands right below a root that asks for all.
        alone = sets < _SETS
        needed = clauses[failing[0]].attribute if sets else -1
        if sets == 0 and begun[start] >= 0:
            for way in range(begun[start], ended[start]):
                found[count, 0], found[count, 1] = signature, found[way, 1]
                count += 1
            continue
        if sets == 0:
            begun[start], ended[start] = count, count
        if start < stop and nodes[start].kind == ALL_OF:
            for k in range(start + 1, stop):
                node = nodes[k]
                if sheet.nodes[k] == 0 and node.parent == start and node.clause >= 0:
                    attribute = clauses[node.clause].attribute
                    alone = alone and (needed < 0 or attribute == needed)
                    if not alone:
                        break
                    needed = attribute
        if not alone:
            continue
        n = sets
        for k in range(start, stop):
            owed[k] = sheet.nodes[k] == 0 and (nodes[k].parent < 0 or owed[nodes[k].parent])
            if owed[k] and nodes[k].clause >= 0:
                failing[n] = nodes[k].clause
                n += 1
        for i in range(n):
            attribute = clauses[failing[i]].attribute
            if needed >= 0 and attribute != needed:
                continue
            if record.plain or _holds_by(program, sheet, start, stop, attribute, owed, answers):
                found[count, 0], found[count, 1] = signature, failing[i]
                count += 1
        if sets == 0:
            ended[start] = count
    return found[:count]


@kernel
def _holds_by(
    program: Program,
    sheet: Sheet,
    start: int,
    stop: int,
    attribute: int,
    owed: NDArray[np.bool_],
    answers: NDArray[np.bool_],
) -> bool:
    """Tell whether a tree would hold if every clause of an attribute did that it owes its failure to."""
    clauses, nodes = program.clauses, program.nodes
    for k in range(start, stop):
        answers[k] = nodes[k].kind == ALL_OF
    for k in range(stop - 1, start - 1, -1):
        node = nodes[k]
        if node.clause >= 0:
            answers[k] = sheet.nodes[k] != 0 or (owed[k] and clauses[node.clause].attribute == attribute)
        if node.parent >= 0 and nodes[node.parent].kind == ALL_OF:
            answers[node.parent] = answers[node.parent] and answers[k]
        elif node.parent >= 0:
            answers[node.parent] = answers[node.parent] or answers[k]
    return start == stop or bool(answers[start])


@kernel
def _waiting(
    bits: NDArray[np.uint32],
    places: NDArray[np.int32],
    of_offers: NDArray[np.uint32],
    signatures: NDArray[np.int32],
    ways: NDArray[np.int32],
    size: int,
) -> NDArray[np.int32]:
    """Return where the tasks stand (int32) that a single change may open, by their bits and a way of their offer."""
    has_way = np.zeros(size, np.bool_)
    for i in range(len(ways)):
        has_way[ways[i, 0]] = True
    wanted = np.zeros(of_offers.size, np.bool_)
    for place in range(of_offers.size):
        wanted[place] = of_offers[place] != 0 and has_way[signatures[place // 2]]
    found, count = np.empty(bits.size, np.int32), 0
    for i in range(bits.size):
        # Without a branch, since it cannot be foreseen which tasks are near.
        found[count] = i
        count += int(wanted[places[i]] & (bits[i] & ~_CHANGEABLE == 0))
    return found[:count]


@kernel
def _sampled(
    places: NDArray[np.int32], waiting: NDArray[np.int32], signatures: NDArray[np.int32], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Count waiting tasks by signature, and sample them evenly: return where they stand, and their signatures.

    All are in the sample up to ``SAMPLED``.
    """
    counts, own = np.zeros(size, np.int64), np.empty(waiting.size, np.int32)
    for i in range(waiting.size):
        own[i] = signatures[places[waiting[i]] // 2]
        counts[own[i]] += 1
    kinds = 0
    for signature in range(size):
        kinds += counts[signature] > 0
    each = waiting.size if waiting.size <= SAMPLED else max(1, SAMPLED // max(1, kinds))
    total, steps, left = 0, np.zeros(size, np.int32), np.zeros(size, np.int32)
    for signature in range(size):
        if counts[signature] > 0:
            steps[signature] = -(-counts[signature] // each)
            total += min(each, counts[signature])
    found, of_found, count = np.empty(total, np.int32), np.empty(total, np.int32), 0
    for i in range(waiting.size):
        signature = own[i]
        if left[signature] == 0:
            found[count], of_found[count] = waiting[i], signature
            count += 1
            left[signature] = steps[signature]
        left[signature] -= 1
    return counts, found[:count], of_found[:count]


@kernel
def _hopes(
    ways: NDArray[np.int32],
    waiting: NDArray[np.int64],
    starts: NDArray[np.int64],
    of_clauses: NDArray[np.int32],
    size: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the changes that tasks wait for, in the order in which clauses have them, and how many wait for each."""
    by_clause = np.zeros(starts.size - 1, np.int64)
    for i in range(len(ways)):
        by_clause[ways[i, 1]] += waiting[ways[i, 0]]
    counts, places, found = np.zeros(size, np.int64), np.empty(size, np.int64), 0
    for clause in range(by_clause.size):
        if by_clause[clause] > 0:
            for k in range(starts[clause], starts[clause + 1]):
                change = of_clauses[k]
                if counts[change] == 0:
                    places[found] = change
                    found += 1
                counts[change] += by_clause[clause]
    return places[:found], counts[places[:found]]


@kernel
def _open(
    program: Program, facts: Facts, variants: Variants, waiting: Waiting, asked: int, sheet: Sheet
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find what lets a worker in once something has changed.

    Args:
        program: what was compiled.
        facts: of the worker.
        variants: of the facts.
        waiting: what waits.
        asked: sets that are looked at, bits of ``CODES``.
        sheet: the answers before any change, written over.

    Returns:
        For each variant how many tasks wait where it lets in; the places of these in the sample, one variant after the
        other; and where the places of each end.
    """
    clauses, nodes, ways = program.clauses, program.nodes, waiting.ways
    size, sampled = len(variants.attributes), waiting.signatures
    counts, ends = np.zeros(size, np.int64), np.zeros(size, np.int64)
    places, found = np.empty(size * sampled.size, np.int64), 0
    before, opened = sheet.clauses.copy(), np.zeros(waiting.counts.size, np.bool_)
    asks, wanted = np.empty(before.size, np.int32), np.empty(len(ways), np.int32)
    for place in range(before.size):
        asks[place] = clauses[place].attribute
    for i in range(len(ways)):
        wanted[i] = asks[ways[i, 1]]
    for variant in range(size):
        attribute, other = variants.attributes[variant]
        changed = _varied(facts, variants, variant)
        for place in range(before.size):
            sheet.clauses[place] = before[place]
            if asks[place] == attribute or asks[place] == other:
                sheet.clauses[place] = answer(clauses[place], program.operands, changed)
        for i in range(len(ways)):
            signature = ways[i, 0]
            if (wanted[i] != attribute and wanted[i] != other) or opened[signature]:
                continue
            record = program.signatures[signature]
            opens = True
            for bit, place in ((_LANGUAGE, record.language), (_COUNTRY, record.country), (_DEVICE, record.device)):
                opens = opens and (asked & bit == 0 or place < 0 or sheet.clauses[place] == 1)
            if opens and record.start < record.stop:
                for k in range(record.start, record.stop):
                    sheet.nodes[k] = nodes[k].holds
                climb(nodes, record.start, record.stop, _ACCEPT, sheet.clauses, sheet.nodes)
                opens = sheet.nodes[record.start] == 1
            if opens:
                opened[signature] = True
                counts[variant] += waiting.counts[signature]
        for i in range(sampled.size):
            if opened[sampled[i]]:
                places[found] = i
                found += 1
        ends[variant] = found
        opened[:] = False
    return counts, places[:found], ends


@kernel
def _varied(facts: Facts, variants: Variants, variant: int) -> Facts:
    """Return the facts of a variant."""
    held, number = facts.held.copy(), facts.number.copy()
    start, stop = facts.start.copy(), facts.stop.copy()
    for k in range(2):
        attribute = variants.attributes[variant, k]
        held[attribute], number[attribute] = variants.held[variant, k], variants.number[variant, k]
        start[attribute], stop[attribute] = variants.start[variant, k], variants.stop[variant, k]
    return Facts(held, number, start, stop, variants.values)
