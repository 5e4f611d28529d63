"""Cursors: what was listed comes back whole, and of the last positions in order."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from service.cursor import decode_cursor, encode_cursor


@given(st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=40), st.text(min_size=1, max_size=9))
def test_given_what_was_listed_then_its_cursor_tells_it_and_the_order_of_the_last_nine(
    listed: list[int], worker_id: str
) -> None:
    cursor = encode_cursor(worker_id, listed)
    found = decode_cursor(worker_id, cursor)
    assert sorted(found) == sorted(listed)
    assert list(found[-9:]) == listed[-9:]
    # As the next page does it.
    assert encode_cursor(worker_id, found) == cursor
    assert len(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))) == 5 + 4 * len(listed)
