"""How commands print JSON."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from service.cli.console import print_json


@dataclass
class _Estimate:
    value: float
    high: float


def test_what_is_not_finite_is_null_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"share": math.nan, "name": "NaN", "rows": 3}, {"share": np.float64("inf")}, (-math.inf, 0.5, None, True)]
    print_json({"tables": {"rows": rows}, "estimate": _Estimate(0.5, math.inf)})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == {
        "tables": {"rows": [{"share": None, "name": "NaN", "rows": 3}, {"share": None}, [None, 0.5, None, True]]},
        "estimate": {"value": 0.5, "high": None},
    }
