"""The forms in which attributes of requirements and their values are compared."""

from functools import lru_cache

from features.requirements_shape import Value
from features.tokens import normalise, primary_language


@lru_cache(maxsize=1 << 14)
def attribute_of(written: str) -> str:
    """Return the form in which an attribute's name is compared: skills as everywhere, ids of qualifications exactly."""
    return f"skill:{normalise(written[6:])}" if written.startswith("skill:") else written


def compared(attribute: str, value: Value) -> Value:
    """Return the form in which a value of an attribute is compared."""
    if isinstance(value, str):
        if attribute == "language":
            return primary_language(value)
        if attribute == "country":
            return value.upper()
        if attribute in ("region", "device"):
            return normalise(value)
    return value
