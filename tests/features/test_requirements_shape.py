"""Requirements as they are written: what is written the same is the same tree."""

import json
import pickle
from typing import Any

import pytest

from features import requirements_shape
from features.requirements_shape import parse, parse_once
from tests.requirements import clause


def test_given_the_same_json_then_the_very_same_tree_is_given() -> None:
    raw: list[Any] = [clause("skill:python", "ge", 1)]
    assert parse_once(raw) is parse_once(json.loads(json.dumps(raw)))
    assert parse_once(raw) == parse(raw)


def test_given_another_number_or_order_then_it_is_another_tree() -> None:
    one, other = clause("skill:python", "ge", 1), clause("country", "eq", "ID")
    trees = [parse_once(raw) for raw in ([one, other], [other, one], [one], [{**one, "value": 2}])]
    assert len(set(trees)) == 4
    assert [tree.root for tree in trees] == [
        parse(raw).root for raw in ([one, other], [other, one], [one], [{**one, "value": 2}])
    ]


def test_given_more_trees_than_are_kept_then_they_are_still_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements_shape, "MOST_PARSED", 2)
    for number in (1, 2, 3, 4, 1):
        raw = [clause("approved_count", "ge", number)]
        assert parse_once(raw) == parse(raw)


def test_given_requirements_go_to_another_process_then_their_hash_does_not() -> None:
    tree = parse([clause("country", "eq", "ID")])
    hash(tree)
    kind, given = tree.__reduce__()
    assert given == (tree.root,)
    assert pickle.loads(pickle.dumps(kind(*given))) == tree
