"""What a mapping file makes of rows."""

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import CocokError
from service.adapters.mapping.columns import Row, Scope, View
from service.adapters.mapping.targets import Target
from service.adapters.mapping.values import compiled
from tests.service.adapters.mapped import Export, rows, task, worker


def closing(source: str) -> str:
    """A block that closes the tasks of a source."""
    return f"""
    [[events]]
    source = "{source}"
    type = "task_closed"
    event_id = "c{{id}}"
    at = "2026-03-01T12:00:00Z"
    fields = {{ task_id = "{{id}}" }}
    """


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return Export(tmp_path)


def test_given_templates_then_they_are_filled_and_a_missing_value_leaves_the_field_out(export: Export) -> None:
    export.write("rows.csv", "id,name\n7,seven\n8,\n")
    events = export.read(task('title = "{name} ({id}) {{x}}"\ncategory = "fixed"', event='event_id = "job-{id}"'))
    assert [event["event_id"] for event in events] == ["job-7", "job-8"]
    assert events[0]["title"] == "seven (7) {x}"
    assert "title" not in events[1]
    assert events[1]["category"] == "fixed"


def test_given_several_templates_then_the_first_with_a_value_counts_and_the_default_comes_last(export: Export) -> None:
    export.write("rows.csv", "a,b\n1,2\n,3\n,\n")
    events = export.read(task('title = { text = ["a{a}", "b{b}"], default = "none" }'))
    assert [event["title"] for event in events] == ["a1", "b3", "none"]


@pytest.mark.parametrize("default", ['"general"', '["general"]'])
def test_given_a_default_for_a_list_then_one_text_or_several_may_be_written(export: Export, default: str) -> None:
    export.write("rows.csv", 'kinds\n""\na|b\n')
    events = export.read(task(f'skills = {{ text = "{{kinds}}", split = "|", default = {default} }}'))
    assert [event["skills"] for event in events] == [["general"], ["a", "b"]]


def test_given_a_map_then_texts_are_looked_up_and_unknown_ones_refused_kept_or_dropped(export: Export) -> None:
    export.write("rows.csv", "kind\nx\ny\n")
    look_up = 'category = {{ text = "{{kind}}", map = {{ x = "writing" }}{} }}'
    known, refused = export.read(task(look_up.format("")))
    assert known["category"] == "writing"
    assert refused.startswith('rows.csv 2: `category`: found "y", which `map` lacks')
    assert export.read(task(look_up.format(', unmapped = "keep"')))[1]["category"] == "y"
    assert "category" not in export.read(task(look_up.format(', unmapped = "drop"')))[1]


def test_given_names_of_countries_and_languages_then_their_codes_are_known(export: Export) -> None:
    export.write("rows.csv", "land,tongues\nUnited Kingdom,English|Indonesian\nID,de\nAtlantis,\n")
    fields = """country = { text = "{land}", map = "countries" }
        languages = { text = "{tongues}", split = "|", map = "languages" }"""
    british, indonesian, unknown = export.read(worker(fields))
    assert (british["country"], british["languages"]) == ("GB", ["en", "id"])
    assert (indonesian["country"], indonesian["languages"]) == ("ID", ["de"])
    assert unknown.startswith('rows.csv 3: `country`: found "Atlantis", which the table of countries lacks')


def test_given_a_text_with_separators_then_it_is_split_into_names_each_once(export: Export) -> None:
    export.write("rows.csv", "skills\npython; sql ;;python\n;\n")
    some, none = export.read(task('skills = { text = "{skills}", split = ";" }'))
    assert some["skills"] == ["python", "sql"]
    assert "skills" not in none


def test_given_one_text_for_a_list_then_it_is_a_list_of_one(export: Export) -> None:
    export.write("rows.csv", "skill\npython\n")
    assert export.read(task('skills = "{skill}"'))[0]["skills"] == ["python"]


@pytest.mark.parametrize(
    ("style", "text", "amount"),
    [
        ("1234.5", "1234.50", "1234.5"),
        ("1,234.5", "$1,234.50", "1234.5"),
        ("1,234.5", "999", "999"),
        ("1,234.5", "USD 1,000,000", "1000000"),
        ("1.234,5", "1.234,50 €", "1234.5"),
        ("1.234,5", "Rp 15.000", "15000"),
        ("1.234,5", "Rp15.000", "15000"),
        ("1 234,5", "1 234,50 kr", "1234.5"),
        ("1 234,5", "1\u00a0234\u00a0567,5", "1234567.5"),
        ("1 234,5", "1\u202f234,50\u202f€", "1234.5"),
        ("1'234.5", "CHF 1'234.50", "1234.5"),
        ("1,234", "¥1,234", "1234"),
        ("1234,5", "12,5", "12.5"),
        ("1234.5", ".5", "0.5"),
    ],
)
def test_given_a_manner_of_writing_numbers_then_an_amount_is_read(
    export: Export, style: str, text: str, amount: str
) -> None:
    export.write("rows.csv", f'pay\n"{text}"\n')
    money = f'reward = {{ amount = {{ text = "{{pay}}", number = "{style}" }}, currency = "USD" }}'
    assert export.read(task(money))[0]["reward"] == {"amount": amount, "currency": "USD"}


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("1234.5", "1,234"),
        ("1,234.5", "1,23"),
        ("1.234,5", "1.5"),
        ("1,234.5", "about 5"),
        ("1,234.5", "$"),
        ("1234.5", "1-2"),
    ],
)
def test_given_a_number_in_another_manner_then_it_is_refused_with_row_and_field(
    export: Export, style: str, text: str
) -> None:
    export.write("rows.csv", f'pay\n"{text}"\n')
    money = f'reward = {{ amount = {{ text = "{{pay}}", number = "{style}" }}, currency = "USD" }}'
    (refused,) = export.read(task(money))
    assert refused.startswith(f'rows.csv 1: `reward.amount`: found "{text}", expected a number like {style}')
    assert refused.endswith("(events[0], task_posted)")


@given(
    amount=st.decimals(min_value=0, max_value=10**9, places=2), style=st.sampled_from(["1,234.5", "1.234,5", "1 234,5"])
)
@settings(max_examples=200, deadline=None)
def test_a_number_written_in_a_manner_is_read_back_exactly(amount: Any, style: str) -> None:
    group, point = style[1], style[-2]
    text = f"{amount:,.2f}".replace(",", "\0").replace(".", point).replace("\0", group)
    get = compiled({"text": "{x}", "number": style}, Target("decimal"), View(Scope("s")), "x")
    assert get(Row(Path(), 1, {"x": text})) == str(amount)


def test_given_no_amount_then_there_is_no_money_and_without_a_currency_it_is_refused(export: Export) -> None:
    export.write("rows.csv", "pay,currency\n,EUR\n5,\n6,EUR\n")
    nothing, refused, money = export.read(task('reward = { amount = "{pay}", currency = "{currency}" }'))
    assert "reward" not in nothing
    assert refused.startswith("rows.csv 2: `reward.currency`: missing")
    assert money["reward"] == {"amount": "6", "currency": "EUR"}


@pytest.mark.parametrize(
    ("how", "text", "at"),
    [
        ("", "2026-03-01T19:00:00+07:00", "2026-03-01T12:00:00Z"),
        ('zone = "Asia/Jakarta"', "2026-03-01 19:00", "2026-03-01T12:00:00Z"),
        ('zone = "UTC"', "2026-03-01", "2026-03-01T00:00:00Z"),
        ('time = "%d/%m/%Y %H:%M", zone = "Europe/Berlin"', "01/07/2026 14:00", "2026-07-01T12:00:00Z"),
        ('time = "%d %b %Y %H:%M:%S %z"', "01 Mar 2026 14:00:00 +0200", "2026-03-01T12:00:00Z"),
        ('time = "unix"', "1772366400.5", "2026-03-01T12:00:00.5Z"),
        ('time = "unix_ms"', "1772366400250", "2026-03-01T12:00:00.25Z"),
        ('time = { since = 2026-03-01T00:00:00Z, unit = "h" }', "12", "2026-03-01T12:00:00Z"),
        ('time = { since = 1899-12-30T00:00:00Z, unit = "d" }', "46082.5", "2026-03-01T12:00:00Z"),
        ('time = "unix", plus = "31h"', "1772366400", "2026-03-02T19:00:00Z"),
        ('time = "unix", plus = { text = "1.5", unit = "min" }', "1772366400", "2026-03-01T12:01:30Z"),
    ],
)
def test_given_a_manner_of_writing_times_then_an_instant_is_read(export: Export, how: str, text: str, at: str) -> None:
    export.write("rows.csv", f"until\n{text}\n")
    event = export.read(task(f'expires_at = {{ text = "{{until}}"{", " if how else ""}{how} }}'))[0]
    assert pd.Timestamp(event["expires_at"]) == pd.Timestamp(at)


@pytest.mark.parametrize(
    ("how", "text", "words"),
    [
        ("", "2026-03-01T19:00:00", "has no time zone; name one in `zone`"),
        ("", "9999-12-31T23:59:59-05:00", "beyond all calendars"),
        ('zone = "Asia/Jakarta"', "0001-01-01T00:00:00", "beyond all calendars"),
        ('plus = "31h"', "9999-12-31T23:59:59Z", "beyond all calendars"),
        ('plus = { text = "{until}", unit = "d" }, time = "unix"', "1e9", "beyond all calendars"),
        ("", "tomorrow", "expected a time like 2026-03-01T12:00:00Z"),
        ('time = "%d/%m/%Y", zone = "UTC"', "2026-03-01", "expected a time like %d/%m/%Y"),
        ('time = "unix"', "1e30", "beyond all calendars"),
        ('time = "unix"', "noon", "expected a number like 1234.5"),
    ],
)
def test_given_a_time_in_another_manner_then_it_is_refused(export: Export, how: str, text: str, words: str) -> None:
    export.write("rows.csv", f"until\n{text}\n")
    (refused,) = export.read(task(f'expires_at = {{ text = "{{until}}"{", " if how else ""}{how} }}'))
    assert refused.startswith("rows.csv 1: `expires_at`: found")
    assert words in refused


@pytest.mark.parametrize("number", ["1e999999999", "1e400"])
def test_given_a_number_beyond_all_bounds_then_it_is_refused(export: Export, number: str) -> None:
    export.write("rows.csv", f"n\n{number}\n")
    for field in ("estimated_minutes", "slots"):
        (refused,) = export.read(task(f'{field} = "{{n}}"'))
        assert refused.startswith(f"rows.csv 1: `{field}`: ")
    pd.DataFrame({"n": [float("inf")]}).to_parquet(export.folder / "rows.parquet")
    (refused,) = export.read(task('slots = "{n}"', name="rows.parquet"))
    assert "found inf, expected a finite number" in refused


def test_given_durations_in_other_units_then_they_become_those_of_the_field(export: Export) -> None:
    export.write("rows.csv", 'ms,h\n90000,"0,5"\n')
    fields = """time_limit_minutes = { text = "{ms}", unit = "ms" }
        estimated_minutes = { text = "{h}", unit = "h", number = "1.234,5" }"""
    event = export.read(task(fields))[0]
    assert (event["time_limit_minutes"], event["estimated_minutes"]) == (1.5, 30)


def test_given_whole_numbers_as_text_then_fields_and_qualifications_hold_numbers(export: Export) -> None:
    export.write("rows.csv", "n\n3\n80.0\n3.5\n")
    whole, float_, half = export.read(task('slots = "{n}"'))
    assert (whole["slots"], float_["slots"]) == (3, 80)
    assert '`slots`: found "3.5", expected a whole number' in half
    values = [event["qualifications"]["test"] for event in export.read(worker('qualifications = { test = "{n}" }'))]
    assert values == [3, 80, "3.5"]


def test_given_skills_with_levels_then_a_map_may_stand_for_the_list(export: Export) -> None:
    export.write("rows.csv", "py\n0.5\n")
    assert export.read(worker('skills = { python = "{py}", sql = 1 }'))[0]["skills"] == {"python": 0.5, "sql": 1.0}


def test_given_conditions_then_only_rows_that_meet_all_of_them_give_an_event(export: Export) -> None:
    export.write("rows.csv", "id,state,end\n1,new,\n2,done,x\n3,done,\n4,,x\n")

    def ids(when: str) -> list[str]:
        event = f'event_id = "{{id}}"\nwhen = {when}'
        return [found["event_id"] for found in export.read(task("", event=event))]

    assert ids('"{end}"') == ["2", "4"]
    assert ids('{ text = "{state}", in = ["done"] }') == ["2", "3"]
    assert ids('{ text = "{state}", not_in = ["done"] }') == ["1", "4"]
    assert ids('{ text = "{end}", empty = true }') == ["1", "3"]
    assert ids('["{state}", "{end}"]') == ["2"]
    assert ids('{ text = "{state}-{end}", in = ["done-x"] }') == ["2"]


def test_given_the_known_values_of_a_condition_then_a_row_with_another_one_is_refused(export: Export) -> None:
    export.write("rows.csv", 'state\ndone\nopen\n""\nvoid\n')
    event = 'event_id = "{@row}"\nwhen = { text = "{state}", in = ["done"], known = ["open"] }'
    done, refused = export.read(task("", event=event))
    assert done["event_id"] == "1"
    assert refused == 'rows.csv 4: found "void" in {state}, expected one of done, open (events[0], task_posted)'


def _not_utf_8() -> bytes:
    """A Parquet file whose foot names a column in no encoding."""
    held = pa.BufferOutputStream()
    pq.write_table(pa.table({"column": [1]}), held, store_schema=False)
    return bytes(held.getvalue()).replace(b"column", b"col\xffmn")


NOT_UTF_8 = _not_utf_8()

JOINED = """
    [[sources]]
    name = "jobs"
    files = ["jobs.csv"]
    joins = [
      { name = "client", source = "clients", on = "{client}", key = "{id}" },
      { name = "floors", source = "floors", on = "{id}", key = "{job}" },
    ]
    [[sources]]
    name = "clients"
    files = ["clients.csv"]
    [[sources]]
    name = "floors"
    files = ["floors.csv"]
    [[events]]
    source = "jobs"
    type = "task_posted"
    event_id = "{id}"
    at = "2026-03-01T12:00:00Z"
    [events.fields]
    task_id = "{id}"
    requester_id = "{client.name}"
    [events.fields.requirements]
    from = "floors"
    [events.fields.requirements.each]
    attribute = "qualification:{@item.test}"
    comparator = "ge"
    value = { text = "{@item.least}", number = "1234.5" }
"""


def test_given_joins_then_rows_of_other_files_give_values_and_lists(export: Export) -> None:
    export.write("jobs.csv", "id,client\n1,a\n2,b\n3,c\n")
    export.write("clients.csv", "id,name\na,Anna\nb,Ben\nb,Bea\n")
    export.write("floors.csv", "job,test,least\n1,typing,80\n1,english,60.5\n")
    first, second, third = export.read(JOINED)
    assert first["requester_id"] == "Anna"
    assert first["requirements"] == [
        {"attribute": "qualification:typing", "comparator": "ge", "value": 80},
        {"attribute": "qualification:english", "comparator": "ge", "value": 60.5},
    ]
    assert "2 rows of `client` belong to it, such as rows 2 and 3 of clients.csv" in second
    assert third.startswith("jobs.csv 3: `requester_id`: missing")


def test_given_no_file_for_a_joined_source_then_nothing_is_read(export: Export) -> None:
    export.write("jobs.csv", "id,client\n1,a\n")
    export.write("clients.csv", "id,name\na,Anna\n")
    with pytest.raises(CocokError, match=r"no file fits floors\.csv: the source `floors`, which others join"):
        export.read(JOINED)


def test_given_a_source_without_files_then_the_others_are_read(export: Export) -> None:
    export.write("rows.csv", "id\n1\n")
    more = '[[sources]]\nname = "more"\nfiles = ["more.csv"]\n'
    more += closing("more")
    assert len(export.read(task("") + more)) == 1


def test_given_rows_of_one_list_then_they_are_one_event_in_the_order_of_a_column(export: Export) -> None:
    export.write("rows.csv", "list,task,rank,shown\nl1,a,10,yes\nl2,c,1,yes\nl1,b,9,yes\nl1,d,1,no\n,e,1,yes\n")
    mapping = rows(
        "feed_served",
        """feed_id = "{list}"
        worker_id = "w"
        [events.fields.items]
        from = "@group"
        order = "{@item.rank}"
        where = { text = "{@item.shown}", in = ["yes"] }
        each = { task_id = "{@item.task}", position = "{@index}" }""",
        event='event_id = "{list}"\ngroup = "{list}"',
    )
    first, second = export.read(mapping)
    assert first["items"] == [{"task_id": "b", "position": 1}, {"task_id": "a", "position": 2}]
    assert second["items"] == [{"task_id": "c", "position": 1}]


def test_given_the_latest_of_a_group_then_its_row_gives_the_values(export: Export) -> None:
    export.write("rows.csv", "id,level,day,skill\na,1,01,x\na,3,09,y\na,2,05,z\nb,1,,x\nb,4,02,y\n")
    event = 'event_id = "{id}-{day}"\ngroup = "{id}"\nlatest = true'
    fields = 'qualifications = { level = "{level}" }\nskills = { from = "@group", each = "{@item.skill}" }'
    at = 'at = { text = "2026-03-{day}", zone = "UTC" }'
    mapping = worker(fields, event=event).replace('at = "2026-03-01T12:00:00Z"', at)
    found = [(each["event_id"], each["qualifications"]["level"], each["skills"]) for each in export.read(mapping)]
    assert found == [("a-09", 3, ["x", "y", "z"]), ("b-02", 4, ["x", "y"])]
    export.write("rows.csv", "id,level,day,skill\na,1,01,x\na,3,99,y\n")
    refused, event = export.read(mapping)
    assert refused.startswith('rows.csv 2: `at`: found "2026-03-99", expected a time')
    assert (event["event_id"], event["skills"]) == ("a-01", ["x"])


def test_given_names_that_look_like_numbers_then_they_are_ordered_as_texts(export: Export) -> None:
    export.write("rows.csv", "name\nNan\nBob\n3\nsNaN\nInfinity\nNan\n")
    skills = 'skills = { from = "@group", order = "{@item.name}", each = "{@item.name}" }'
    (event,) = export.read(worker(skills, event='event_id = "e"\ngroup = "all"'))
    assert event["skills"] == ["3", "Bob", "Infinity", "Nan", "sNaN"]


def test_given_a_list_column_then_each_of_its_items_gives_an_event(export: Export) -> None:
    export.lines("rows.ndjson", {"id": 1, "seen": ["a", "b"]}, {"id": 2, "seen": []}, {"id": 3}, {"id": 4, "seen": "c"})
    mapping = rows(
        "task_viewed",
        'worker_id = "w"\ntask_id = "{@item}"',
        event='event_id = "{id}-{@index}"\nexplode = "{seen}"',
        name="rows.ndjson",
    )
    found = export.read(mapping)
    assert [event["event_id"] for event in found] == ["1-1", "1-2", "4-1"]
    assert [event["task_id"] for event in found] == ["a", "b", "c"]


def test_given_a_text_that_is_split_then_it_may_explode_too(export: Export) -> None:
    export.write("rows.csv", "seen\na|b\n")
    event = 'event_id = "{@index}"\nexplode = { text = "{seen}", split = "|" }'
    found = export.read(rows("task_viewed", 'worker_id = "w"\ntask_id = "{@item}"', event=event))
    assert [event["task_id"] for event in found] == ["a", "b"]


def test_given_nested_objects_then_paths_lead_into_them(export: Export) -> None:
    job = {
        "pay": {"value": 12.5, "unit": {"code": "EUR"}},
        "skills": [{"name": "sql"}, {"name": None}],
        "a.b": "dotted",
    }
    export.lines("rows.ndjson", job, {"pay": None, "skills": None})
    fields = """reward = { amount = "{pay.value}", currency = "{pay.unit.code}" }
        skills = { from = "skills", each = "{@item.name}" }
        category = "{a.b}" """
    full, bare = export.read(task(fields, name="rows.ndjson"))
    assert full["reward"] == {"amount": "12.5", "currency": "EUR"}
    assert full["skills"] == ["sql"]
    assert full["category"] == "dotted"
    assert not {"reward", "skills", "category"} & bare.keys()


def test_given_a_table_in_parquet_then_its_columns_keep_their_types(export: Export) -> None:
    frame = pd.DataFrame(
        {
            "id": [1, 2],
            "until": pd.to_datetime(["2026-03-02T00:00:00Z", None]),
            "slots": [3.0, None],
            "skills": [["sql"], None],
        }
    )
    frame.to_parquet(export.folder / "rows.parquet")
    fields = 'title = "{id}"\nexpires_at = "{until}"\nslots = "{slots}"\nskills = "{skills}"'
    full, bare = export.read(task(fields, name="rows.parquet"))
    assert full["title"] == "1"
    assert full["expires_at"] == "2026-03-02T00:00:00Z"
    assert (full["slots"], full["skills"]) == (3, ["sql"])
    assert not {"expires_at", "slots", "skills"} & bare.keys()


@pytest.mark.parametrize("column", ["until", "ends.at"])
@pytest.mark.parametrize("int96", [False, True])
def test_given_nanoseconds_in_parquet_then_they_are_times_of_microseconds(
    export: Export, int96: bool, column: str
) -> None:
    moments = pa.array([1767225600000001999], pa.timestamp("ns"))
    table = pa.table({"until": moments, "ends": pa.StructArray.from_arrays([moments], ["at"])})
    pq.write_table(table, export.folder / "rows.parquet", use_deprecated_int96_timestamps=int96)
    until = f'expires_at = {{ text = "{{{column}}}", time = "iso", zone = "Asia/Jakarta" }}'
    (event,) = export.read(task(until, name="rows.parquet"))
    assert event["expires_at"] == "2025-12-31T17:00:00.000001Z"


def test_given_a_value_in_parquet_that_python_cannot_hold_then_its_row_alone_is_refused(export: Export) -> None:
    column = pa.array([400_000 * 365 * 86_400, 0], pa.timestamp("s", "UTC"))
    pq.write_table(pa.table({"until": column}), export.folder / "rows.parquet")
    refused, event = export.read(task('expires_at = "{until}"', name="rows.parquet"))
    assert refused == "rows.parquet 1: `until`: holds a value that cannot be read: date value out of range"
    assert event["expires_at"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(2)])
def test_given_bytes_in_parquet_then_they_are_text_and_what_is_none_is_refused(
    export: Export, kind: pa.DataType
) -> None:
    names = pa.array([b"a1", b"\xff\xfe"], kind)
    inside = pa.StructArray.from_arrays([names], ["name"])
    for column, named in (("name", "name"), ("x.name", "x")):
        pq.write_table(pa.table({"name": names, "x": inside}), export.folder / "rows.parquet")
        event, refused = export.read(task(f'title = "{{{column}}}"', name="rows.parquet"))
        assert event["title"] == "a1"
        assert refused.startswith(f"rows.parquet 2: `{named}`: holds a value that cannot be read: ")


@pytest.mark.parametrize(
    ("name", "source", "text"),
    [
        ("rows.csv", 'delimiter = ";"\nencoding = "cp1252"', "name;pay\nMüller;5\n".encode("cp1252")),
        ("rows.csv", "", b"\xef\xbb\xbfname,pay\r\nM\xc3\xbcller,5\r\n"),
        ("rows.tsv", "", "name\tpay\nMüller\t5\n".encode()),
        ("rows.csv.gz", "", gzip.compress("name,pay\nMüller,5\n".encode(), mtime=0)),
        ("rows.dat", 'format = "csv"', 'name,pay\n"Müller",5\n\n'.encode()),
        ("rows.csv", 'missing = ["NA"]', "name,pay\n Müller ,NA\n".encode()),
    ],
)
def test_given_a_file_as_programs_write_them_then_it_is_read(
    export: Export, name: str, source: str, text: bytes
) -> None:
    export.write(name, text)
    (event,) = export.read(task('title = "{name}"\nslots = "{pay}"', source=source, name=name))
    assert event["title"] == "Müller"
    assert event.get("slots") == (None if b"NA" in text else 5)


def test_given_broken_rows_then_the_others_are_read(export: Export) -> None:
    export.write("rows.csv", "a,b\n1,2\n3\n4,5,6\n7,8\n")
    first, short, long, last = export.read(task('title = "{a}{b}"'))
    assert (first["title"], last["title"]) == ("12", "78")
    assert short == "rows.csv 2: has 1 cells, the header names 2 columns"
    assert long == "rows.csv 3: has 3 cells, the header names 2 columns"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "rows.csv",
            b'a\n1\n"2\n3\n4',
            "rows.csv 2: cannot be read as CSV: unexpected end of data; from this row on the file",
        ),
        ("rows.csv", b'a\n1\n"2\n3\n"4', "',' expected after '\"'; from this row on the file is not read"),
        ("rows.csv", b"a\n\xff\n", "rows.csv 1: the text is not valid utf-8-sig; set `encoding` of the source `rows`"),
        (
            "rows.csv",
            b"a,\xff\n1,2\n",
            "rows.csv 1: the header is not valid utf-8-sig; set `encoding` of the source `rows`",
        ),
        ("rows.csv.gz", gzip.compress(b"a\n1\n", mtime=0)[:-6], "cannot be read"),
        ("rows.ndjson", b'{"a": 1}\n[1]\n', "rows.ndjson 2: is no JSON object"),
        ("rows.parquet", b"PAR1", "rows.parquet 1: cannot be read as Parquet"),
        ("rows.parquet", NOT_UTF_8, "rows.parquet 1: cannot be read as Parquet"),
    ],
)
def test_given_a_file_that_breaks_off_then_what_is_wrong_is_a_refusal(
    export: Export, name: str, text: bytes, words: str
) -> None:
    export.write(name, text)
    assert words in export.read(task('title = "{a}"', name=name))[-1]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b'3,"12" screen"', "rows.csv 3: cannot be read as CSV"),
        (b"3,caf\xe9", "rows.csv 3: the text is not valid utf-8-sig; set `encoding` of the source `rows`"),
    ],
)
def test_given_a_bad_cell_then_its_row_alone_is_refused(export: Export, bad: bytes, words: str) -> None:
    lines = [b"%d,x" % number for number in range(1, 1001)]
    lines[2] = bad
    export.write("rows.csv", b"id,name\n" + b"\n".join(lines))
    found = export.read(task('title = "{name}"', event='event_id = "{id}"'))
    assert [place for place, event in enumerate(found, 1) if isinstance(event, str)] == [3]
    assert found[2].startswith(words)
    assert "from this row on" not in found[2]
    assert [event["event_id"] for event in found[3:]] == [str(number) for number in range(4, 1001)]


def test_given_a_long_cell_then_it_and_the_rows_after_it_are_read(export: Export) -> None:
    export.write("rows.csv", f"id,log\n1,{'y' * 300_000}\n2,\n")
    assert [event["title"] for event in export.read(task('title = "{id}"'))] == ["1", "2"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.ndjson", "rows.parquet"])
def test_given_a_column_that_is_not_there_then_file_and_column_are_named(export: Export, name: str) -> None:
    if name.endswith("parquet"):
        pd.DataFrame({"id": [1]}).to_parquet(export.folder / name)
    else:
        export.write(name, "id\n1\n" if name.endswith("csv") else '{"id": 1}\n')
    words = rf"{name}: has no column `titel`, which events\[0\]\.fields\.title of the mapping names; its columns are id"
    with pytest.raises(CocokError, match=words):
        export.read(task('title = "{titel}"', name=name))
    assert len(export.read(task('title = "{titel}"', name=name, source='optional = ["titel"]'))) == 1


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_given_a_column_twice_then_the_file_is_refused(export: Export, name: str) -> None:
    export.write("rows.csv", "id,id\n1,2\n")
    pq.write_table(pa.Table.from_arrays([[1], [2]], names=["id", "id"]), export.folder / "rows.parquet")
    with pytest.raises(CocokError, match="the column `id` is there twice"):
        export.read(task("", name=name))


def test_given_an_event_that_the_contract_refuses_then_row_and_field_are_named(export: Export) -> None:
    export.write("rows.csv", "country\nIndonesia\n")
    (refused,) = export.read(worker('country = "{country}"'))
    assert refused.startswith("rows.csv 1: `country`: ")
    assert refused.endswith("(events[0], worker_updated)")


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (task('titel = "x"'), "events[0].fields.titel: task_posted has no such field"),
        (task('reward = { amount = "{a}", curency = "EUR" }'), "events[0].fields.reward.curency: no such field"),
        (task('title = { text = "{a}", colour = 1 }'), "events[0].fields.title: unknown key `colour`"),
        (task('title = "{a"'), 'events[0].fields.title: "{a" has an open brace'),
        (task('slots = "many"'), 'events[0].fields.slots: found "many", expected a number'),
        (
            task('skills = [{ text = "{a}", number = "1234.5" }]'),
            "events[0].fields.skills[0].number: the field is a text",
        ),
        (task('title = { text = "{a}", unit = "h" }'), "events[0].fields.title.unit: the field is a text"),
        (task('slots = { text = "{a}", number = "1,23" }'), "events[0].fields.slots.number"),
        (task('expires_at = { text = "{a}", zone = "Jakarta" }'), "expires_at.zone: no time zone is called"),
        (task('expires_at = { text = "{a}", time = "dmy" }'), "events[0].fields.expires_at.time: write"),
        (task('expires_at = { text = "{a}", plus = "long" }'), "events[0].fields.expires_at.plus: write a duration"),
        (task('title = "{@item}"'), "events[0].fields.title: `@item` has a meaning only in"),
        (task('title = "{@rank}"'), "events[0].fields.title: `@rank` means nothing here"),
        (task('title = { a = "{b}" }'), "events[0].fields.title: the field is a text"),
        (
            task('requirements = { from = "x", each = { text = "{@item}", splt = "," } }'),
            "requirements.each: unknown key `splt`",
        ),
        (rows("task_gone", 'task_id = "t"'), 'events[0].type: "task_gone" is no event'),
        (
            task("", source='joins = [{ name = "x", source = "y", on = "{a}", key = "{a}" }]'),
            "sources[0].joins[0].source",
        ),
        (task("", event='event_id = "e"\nwhen = "always"'), 'events[0].when: "always" is the same for all rows'),
        (task("", event='event_id = "e"\nwhen = { text = "{a}", in = ["b"], empty = true }'), "events[0].when"),
        (
            task("", event='event_id = "e"\nwhen = { text = "{a}", known = ["b"] }'),
            "events[0].when: `known` belongs to",
        ),
        (task("", event='event_id = "e"\nlatest = true'), "events[0]: `latest` belongs to `group`"),
        (task("", source='encodng = "x"'), "sources[0]: unknown key `encodng`"),
        (task("", source='encoding = "x"'), 'sources[0]: no encoding is called "x"'),
        (task("", source='encoding = "undefined"'), 'sources[0]: no encoding is called "undefined"'),
        (task("", source='encoding = "a\\u0000"'), "sources[0]: no encoding is called"),
        (task('expires_at = { text = "{a}", time = "%d/%d/%Y" }'), "events[0].fields.expires_at.time: no format of"),
        (
            task('expires_at = { text = "{a}", plus = "9999999999999d" }'),
            "expires_at.plus: is longer than any calendar",
        ),
        (task('expires_at = { text = "{a}", plus = "1.2.3h" }'), "events[0].fields.expires_at.plus: write a duration"),
        (task('expires_at = { text = "{a}", plus = ".h" }'), "events[0].fields.expires_at.plus: write a duration"),
        (task("") + '[sampled_lists]\nlead = "99999999999999d"', "sampled_lists.lead: is longer than any calendar"),
        (task("") + '[sampled_lists]\napart = "99999999999999d"', "sampled_lists.apart: is longer than any calendar"),
        ("sources = []", "sources: Expected `array` of length >= 1"),
        ("x = ", "no valid TOML"),
    ],
)
def test_given_a_wrong_mapping_then_the_error_names_the_path_in_it(export: Export, mapping: str, words: str) -> None:
    export.write("rows.csv", "a\n1\n")
    with pytest.raises(CocokError) as caught:
        export.read(mapping)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(export.folder / "mapping.toml"))


def test_given_blocks_of_one_instant_then_they_keep_the_order_of_the_mapping(export: Export) -> None:
    export.write("rows.csv", "id\n1\n2\n")
    block = closing("rows")
    both = export.read(task("", event='event_id = "p{id}"') + block)
    assert [event["event_id"] for event in both] == ["p1", "c1", "p2", "c2"]


def test_given_a_block_of_groups_then_it_keeps_its_place_too(export: Export) -> None:
    export.write("rows.csv", "id\n1\n2\n")
    before, after = closing("rows"), closing("rows").replace("c{id}", "d{id}")
    grouped = task("", event='event_id = "g{id}"\ngroup = "{id}"')
    head, block = grouped.split("[[events]]")
    found = export.read(f"{head}{before}[[events]]{block}{after}")
    assert [event["event_id"] for event in found] == ["c1", "c2", "g1", "g2", "d1", "d2"]


def test_given_rows_that_are_read_for_several_blocks_then_a_broken_one_is_refused_once(export: Export) -> None:
    export.write("rows.csv", "id\n1\n2,3\n")
    found = export.read(task("", event='event_id = "g{id}"\ngroup = "{id}"') + closing("rows"))
    assert [event if isinstance(event, str) else event["event_id"] for event in found] == [
        "rows.csv 2: has 2 cells, the header names 1 columns",
        "g1",
        "c1",
    ]
