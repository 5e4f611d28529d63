"""Exports of Mechanical Turk as events; the fixtures are checked against the service model that botocore ships."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from features.errors import EventError
from features.events import TaskPosted
from service.adapters.mturk import FILES, assignments, hits, instants, notices, read, workers
from service.adapters.mturk.requirements import COMPARATORS, GUARDS
from tests.service.adapters.reading import FIXTURES, found, new_of, of_type, plain, postings, written

FOLDER = FIXTURES / "mturk"
ALL = tuple(sorted(FOLDER.iterdir()))
PHOTOS = "3HITPHOTOS0000000000000000001"
SURVEY = "3HITSURVEY0000000000000000002"
OLD = "3HITOLD00000000000000000000009"


@pytest.fixture(scope="module")
def service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("mturk", "service-2"), "mturk")


def body(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def hit(**more: object) -> dict[str, Any]:
    return {"HITId": "3HIT", "HITTypeId": "3TYPE", "CreationTime": "2026-03-01T00:00:00Z", **more}


def assignment(**more: object) -> dict[str, Any]:
    return {
        "AssignmentId": "3ASSIGNMENT",
        "WorkerId": "A1",
        "HITId": "3HIT",
        "AssignmentStatus": "Submitted",
        "AcceptTime": "2026-03-01T01:00:00Z",
        "SubmitTime": "2026-03-01T01:05:00Z",
        **more,
    }


def notice(kind: str, **more: object) -> dict[str, Any]:
    event = {"EventType": kind, "EventTimestamp": "2026-03-01T02:00:00Z", "HITId": "3HIT", "HITTypeId": "3TYPE"}
    return {"Events": [event | more], "CustomerId": "A9"}


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("hits.json", "ListHITs"),
        ("assignments.ndjson", "ListAssignmentsForHIT"),
        ("qualifications.json", "ListWorkersWithQualificationType"),
    ],
)
def test_fixtures_are_responses_of_the_service_model(service: ServiceModel, name: str, operation: str) -> None:
    shape = service.operation_model(operation).output_shape
    texts = (FOLDER / name).read_text()
    documents = [json.loads(line) for line in texts.splitlines()] if name.endswith("ndjson") else [json.loads(texts)]

    for document in documents:
        report = ParamValidator().validate(document, shape)
        assert not report.has_errors(), report.generate_report()


def test_hit_types_of_the_fixture_are_those_of_the_service_model(service: ServiceModel) -> None:
    shape = service.operation_model("CreateHITType").input_shape
    (kind,) = body("hit_types.json")["HITTypes"]

    report = ParamValidator().validate({name: value for name, value in kind.items() if name != "HITTypeId"}, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize(
    ("shape", "known"),
    [
        ("Comparator", COMPARATORS),
        ("HITAccessActions", GUARDS),
        ("HITStatus", hits.STATUSES),
        ("AssignmentStatus", assignments.STATUSES),
        ("QualificationStatus", workers.STATUSES),
        ("EventType", notices.TYPES),
    ],
)
def test_closed_lists_are_those_of_the_service_model(service: ServiceModel, shape: str, known: Any) -> None:
    assert sorted(service.shape_for(shape).enum) == sorted(known)


def test_a_hit_is_a_task() -> None:
    events, refused = found(read, FOLDER / "hits.json")

    assert refused == []
    assert postings(events)[0] == {
        "at": "2026-03-02T16:00:00Z",
        "task_id": PHOTOS,
        "requester_id": "mturk",
        "title": "Label 20 photos of street signs",
        "description": "Choose the sign that is shown",
        "keywords": ["image", "labelling", "signs"],
        "reward": {"amount": "0.25", "currency": "USD"},
        "slots": 3,
        "group_id": "3TYPEPHOTOS000000000000000001",
        "time_limit_minutes": 15.0,
        "expires_at": "2026-03-09T16:00:00Z",
        "requirements": {
            "and": [
                {
                    "or": [
                        {"attribute": "approval_rate", "comparator": "ge", "value": 95, "absent": True},
                        {"attribute": "approved_count", "comparator": "lt", "value": 10},
                        *[
                            {
                                "and": [
                                    {"attribute": "approval_rate", "comparator": "gt", "value": low},
                                    {"attribute": "approved_count", "comparator": "lt", "value": min(low + 10, 95)},
                                ]
                            }
                            for low in range(10, 95, 10)
                        ],
                    ]
                },
                {"attribute": "approved_count", "comparator": "gt", "value": 500, "guards": "preview"},
                {
                    "or": [
                        {"attribute": "country", "comparator": "eq", "value": "CA", "guards": "discover"},
                        {
                            "and": [
                                {"attribute": "country", "comparator": "eq", "value": "US", "guards": "discover"},
                                {
                                    "attribute": "region",
                                    "comparator": "in",
                                    "values": ["US-WA", "WA"],
                                    "guards": "discover",
                                },
                            ]
                        },
                    ]
                },
                {"attribute": "qualification:3QUALSIGNS0000000000000000001", "comparator": "ge", "value": 80},
            ]
        },
    }


def test_what_a_hit_leaves_out_its_type_says() -> None:
    events, refused = found(read, FOLDER / "hits.json", FOLDER / "hit_types.json")

    assert refused == []
    assert postings(events)[1]["requirements"] == [
        {
            "attribute": "qualification:2F1QJWKUDD8XADTFD2Q0G6UTO95ALH",
            "comparator": "exists",
            "guards": "preview",
        },
        {"attribute": "qualification:3QUALSEENBEFORE00000000000002", "comparator": "not_exists"},
        {"attribute": "qualification:00000000000000000060", "comparator": "eq", "value": 1},
    ]


def test_a_hit_that_is_no_longer_assignable_is_closed_when_something_was_last_known_of_it() -> None:
    events, _ = found(read, FOLDER / "hits.json", FOLDER / "assignments.ndjson")

    assert of_type("task_closed", events) == [
        {"at": "2026-03-03T16:00:00Z", "task_id": SURVEY, "reason": "Reviewable"},
    ]


def test_an_assignment_is_what_the_worker_did() -> None:
    events, refused = found(read, FOLDER / "assignments.ndjson")

    assert refused == []
    told = [(event["type"], event["at"], event["worker_id"]) for event in map(plain, events)]
    assert told == [
        ("assignment_accepted", "2026-03-02T17:20:00Z", "A1WORKERONE"),
        ("assignment_submitted", "2026-03-02T17:30:00Z", "A1WORKERONE"),
        ("assignment_accepted", "2026-03-02T18:50:00Z", "A2WORKERTWO"),
        ("assignment_submitted", "2026-03-02T19:00:00Z", "A2WORKERTWO"),
        ("assignment_accepted", "2026-03-03T15:45:00Z", "A1WORKERONE"),
        ("assignment_submitted", "2026-03-03T16:00:00Z", "A1WORKERONE"),
        ("assignment_approved", "2026-03-03T20:00:00Z", "A1WORKERONE"),
        ("assignment_rejected", "2026-03-03T20:05:00Z", "A2WORKERTWO"),
    ]
    assert of_type("assignment_submitted", events)[0]["work_seconds"] == 600


def test_what_requesters_write_to_workers_stays_out_of_the_log() -> None:
    events, _ = found(read, *ALL)

    texts = json.dumps([plain(event) for event in events])
    assert "Thank you" not in texts
    assert "Not legible" not in texts
    assert "QuestionFormAnswers" not in texts


def test_an_overridden_rejection_stands_before_the_approval(tmp_path: Path) -> None:
    overridden = assignment(
        AssignmentStatus="Approved", RejectionTime="2026-03-01T03:00:00Z", ApprovalTime="2026-03-02T03:00:00Z"
    )

    events, _ = found(read, written(tmp_path, {"Assignment": overridden}))

    assert [plain(event)["type"] for event in events][-2:] == ["assignment_rejected", "assignment_approved"]


def test_a_rejection_that_was_overridden_in_the_same_second_stands_before_the_approval(tmp_path: Path) -> None:
    at = "2026-03-01T03:00:00Z"
    overridden = assignment(AssignmentStatus="Approved", RejectionTime=at, ApprovalTime=at)

    events, _ = found(read, written(tmp_path, {"Assignment": overridden}))

    assert [plain(event)["type"] for event in events][-2:] == ["assignment_rejected", "assignment_approved"]


def test_what_was_approved_by_the_passing_of_time_is_approved(tmp_path: Path) -> None:
    silent = assignment(AssignmentStatus="Approved", AutoApprovalTime="2026-03-04T01:05:00Z")

    events, _ = found(read, written(tmp_path, {"Assignment": silent}))

    assert of_type("assignment_approved", events)[0]["at"] == "2026-03-04T01:05:00Z"


def test_qualifications_are_the_profile_of_a_worker_as_it_grows() -> None:
    events, refused = found(read, FOLDER / "qualifications.json")

    assert refused == []
    profiles = of_type("worker_updated", events)
    assert [profile for profile in profiles if profile["worker_id"] == "A1WORKERONE"] == [
        {
            "at": "2026-03-01T00:00:00Z",
            "worker_id": "A1WORKERONE",
            "country": "US",
            "region": "US-WA",
            "qualifications": {"3QUALSIGNS0000000000000000001": 92},
        },
        {
            "at": "2026-03-02T00:00:00Z",
            "worker_id": "A1WORKERONE",
            "country": "US",
            "region": "US-WA",
            "qualifications": {"3QUALSIGNS0000000000000000001": 92, "2F1QJWKUDD8XADTFD2Q0G6UTO95ALH": None},
        },
    ]


def test_a_revoked_qualification_is_not_held() -> None:
    events, _ = found(read, FOLDER / "qualifications.json")

    (profile,) = [profile for profile in of_type("worker_updated", events) if profile["worker_id"] == "A2WORKERTWO"]
    assert profile["qualifications"] == {"3QUALSIGNS0000000000000000001": 85}


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("AssignmentAccepted", "assignment_accepted"),
        ("AssignmentAbandoned", "assignment_abandoned"),
        ("AssignmentReturned", "assignment_returned"),
        ("AssignmentSubmitted", "assignment_submitted"),
        ("AssignmentApproved", "assignment_approved"),
        ("AssignmentRejected", "assignment_rejected"),
    ],
)
def test_a_notice_of_an_assignment_is_its_step(tmp_path: Path, kind: str, event: str) -> None:
    events, refused = found(read, written(tmp_path, notice(kind, AssignmentId="3NEW", WorkerId="A1")))

    assert refused == []
    assert of_type(event, events) == [{"at": "2026-03-01T02:00:00Z", "worker_id": "A1", "task_id": "3HIT"}]


def test_a_notice_without_a_worker_takes_it_from_the_assignment(tmp_path: Path) -> None:
    returned = notice("AssignmentReturned", AssignmentId="3ASSIGNMENT")

    events, refused = found(read, written(tmp_path, returned, {"Assignments": [assignment()]}))

    assert refused == []
    assert of_type("assignment_returned", events)[0]["worker_id"] == "A1"


def test_a_notice_of_which_nobody_knows_the_worker_is_refused(tmp_path: Path) -> None:
    _, refused = found(read, written(tmp_path, notice("AssignmentReturned", AssignmentId="3NEW")))

    assert refused[0].startswith("`Events[0].AssignmentId`: a notice names no worker")


def test_a_step_that_the_api_tells_is_not_told_again_by_a_notice(tmp_path: Path) -> None:
    late = notice("AssignmentAccepted", AssignmentId="3ASSIGNMENT", EventTimestamp="2026-03-01T01:00:09Z")

    events, _ = found(read, written(tmp_path, late, {"Assignments": [assignment()]}))

    assert [accepted["at"] for accepted in of_type("assignment_accepted", events)] == ["2026-03-01T01:00:00Z"]


@pytest.mark.parametrize(
    ("kind", "reason"), [("HITReviewable", "reviewable"), ("HITExpired", "expired"), ("HITDisposed", "disposed")]
)
def test_a_notice_of_the_end_closes_the_task(tmp_path: Path, kind: str, reason: str) -> None:
    events, refused = found(read, written(tmp_path, notice(kind)))

    assert refused == []
    assert of_type("task_closed", events) == [{"at": "2026-03-01T02:00:00Z", "task_id": "3HIT", "reason": reason}]


def test_the_end_that_a_notice_tells_goes_before_the_status(tmp_path: Path) -> None:
    closed = {"HIT": hit(HITStatus="Disposed")}

    events, _ = found(read, written(tmp_path, closed, notice("HITDisposed")))

    assert [end["reason"] for end in of_type("task_closed", events)] == ["disposed"]


def test_a_hit_extended_after_its_end_is_offered_again_with_the_slots_that_are_left(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"HIT": hit(MaxAssignments=3)},
        {"Assignments": [assignment()]},
        notice("HITReviewable"),
        notice("HITExtended", EventTimestamp="2026-03-01T04:00:00Z"),
    )

    events, refused = found(read, file)

    assert refused == []
    assert [(posting["at"], posting["slots"]) for posting in postings(events)] == [
        ("2026-03-01T00:00:00Z", 3),
        ("2026-03-01T04:00:00Z", 2),
    ]


def test_an_end_before_the_log_can_hold_it_is_refused_and_the_rest_read(tmp_path: Path) -> None:
    events, refused = found(read, written(tmp_path, {"HIT": hit()}, notice("HITDisposed", EventTimestamp=-1)))

    assert [plain(event)["type"] for event in events] == ["task_posted", "task_updated"]
    assert len(refused) == 1
    assert refused[0].startswith("`Events[0].EventTimestamp`:")


def test_a_hit_extended_while_it_is_open_stays_as_the_api_has_it(tmp_path: Path) -> None:
    events, refused = found(read, written(tmp_path, {"HIT": hit()}, notice("HITExtended")))

    assert refused == []
    assert len(postings(events)) == 1


def test_a_created_hit_that_nothing_describes_is_refused(tmp_path: Path) -> None:
    _, refused = found(read, written(tmp_path, notice("HITCreated")))

    assert refused[0].startswith("`Events[0].HITId`: the HIT is in none of these files")


def test_a_ping_tells_nothing(tmp_path: Path) -> None:
    ping = {"Events": [{"EventType": "Ping", "EventTimestamp": "2026-03-04T00:00:00Z"}]}

    assert found(read, written(tmp_path, ping)) == ([], [])


def test_the_requester_is_the_customer_of_the_notices() -> None:
    events, _ = found(read, FOLDER / "hits.json", FOLDER / "notifications.ndjson")

    assert {posting["requester_id"] for posting in postings(events)} == {"A9REQUESTER"}


def test_a_message_within_a_message_of_sns_is_read() -> None:
    events, refused = found(read, FOLDER / "notifications.ndjson", FOLDER / "hits.json", FOLDER / "assignments.ndjson")

    assert refused == []
    assert [returned["worker_id"] for returned in of_type("assignment_returned", events)] == ["A3WORKERTHREE"]


def test_a_row_of_a_results_file_is_a_hit_and_an_assignment() -> None:
    events, refused = found(read, FOLDER / "Batch_7_batch_results.csv")

    assert refused == []
    assert postings(events) == [
        {
            "at": "2019-03-05T17:00:00Z",
            "task_id": OLD,
            "requester_id": "mturk",
            "title": "Find the typo",
            "description": "Read one line",
            "keywords": ["text", "proofreading"],
            "reward": {"amount": "0.05", "currency": "USD"},
            "slots": 2,
            "group_id": "3TYPEOLD00000000000000000000009",
            "time_limit_minutes": 5.0,
            "expires_at": "2019-03-12T16:00:00Z",
        }
    ]
    assert of_type("assignment_submitted", events)[0] == {
        "at": "2019-03-05T18:12:12Z",
        "worker_id": "A1WORKERONE",
        "task_id": OLD,
        "work_seconds": 58.0,
    }
    assert [event["worker_id"] for event in of_type("assignment_rejected", events)] == ["A2WORKERTWO"]


def test_a_hit_of_the_api_goes_before_a_results_file(tmp_path: Path) -> None:
    described = hit(HITId=OLD, QualificationRequirements=[{"QualificationTypeId": "3Q", "Comparator": "Exists"}])

    events, _ = found(read, FOLDER / "Batch_7_batch_results.csv", written(tmp_path, {"HIT": described}))

    (posting,) = postings(events)
    assert posting["requirements"] == [{"attribute": "qualification:3Q", "comparator": "exists"}]


def test_reading_again_gives_the_same_events_whatever_the_order_of_the_files() -> None:
    first, refused = found(read, *ALL)
    second, _ = found(read, *reversed(ALL))

    assert refused == []
    assert len({event.event_id for event in first}) == len(first)
    assert {event.event_id: event for event in first} == {event.event_id: event for event in second}


@pytest.mark.parametrize("status", ["Assignable", "Disposed"])
def test_a_hit_that_changed_between_two_exports_is_updated_and_not_posted_again(tmp_path: Path, status: str) -> None:
    before = hit(HITStatus=status, Description="old", Expiration="2027-03-01T00:00:00Z")
    after = before | {"Description": None}
    kind = {"HITType": {"HITTypeId": "3TYPE", "Title": "Label", "Reward": "0.05"}}

    (update,) = new_of(read, tmp_path, [{"HIT": before}], [{"HIT": after}, kind])

    assert update["type"] == "task_updated"
    assert (update["title"], update["description"]) == ("Label", None)


@pytest.mark.parametrize("more", [{"MaxAssignments": 9}, {"Expiration": "2027-04-01T00:00:00Z"}])
def test_a_hit_that_was_extended_between_two_exports_is_posted_again(tmp_path: Path, more: dict[str, Any]) -> None:
    before = hit(HITStatus="Reviewable", MaxAssignments=3, Expiration="2027-03-01T00:00:00Z")

    opened = new_of(read, tmp_path, [before], [before | more | {"HITStatus": "Assignable"}])
    ended = new_of(read, tmp_path, [before], [before | more])

    assert [event["type"] for event in opened] == ["task_posted", "task_updated"]
    assert [event["type"] for event in ended] == ["task_posted", "task_updated", "task_closed"]


def test_a_hit_whose_requester_is_known_later_stays_closed(tmp_path: Path) -> None:
    given = [{"HIT": hit()}, notice("HITReviewable")]

    new = new_of(read, tmp_path, [{"HIT": hit(HITStatus="Disposed")}], [{"HIT": hit(HITStatus="Disposed")}, *given[1:]])
    later = new_of(
        read, tmp_path, [hit(), notice("HITDisposed") | {"CustomerId": None}], [hit(), notice("HITDisposed")]
    )

    assert [event["type"] for event in new] == ["task_posted", "task_updated", "task_closed"]
    assert [event["type"] for event in later] == ["task_posted", "task_updated", "task_closed"]


def granted(kind: str, day: int, status: str = "Granted") -> dict[str, Any]:
    return {
        "QualificationTypeId": kind,
        "WorkerId": "A1",
        "GrantTime": f"2026-03-0{day}T00:00:00Z",
        "IntegerValue": 90,
        "Status": status,
    }


@pytest.mark.parametrize("after", [[granted("3A", 1), granted("3B", 2, "Revoked")], [granted("3A", 1)]])
def test_a_qualification_that_was_revoked_between_two_exports_is_no_more(
    tmp_path: Path, after: list[dict[str, Any]]
) -> None:
    before = [granted("3A", 1), granted("3B", 2)]

    (profile,) = new_of(read, tmp_path, before, after)

    assert profile["qualifications"] == {"3A": 90}


def test_the_only_qualification_of_a_worker_may_be_revoked(tmp_path: Path) -> None:
    (profile,) = new_of(read, tmp_path, [granted("3A", 1)], [granted("3A", 1, "Revoked")])

    assert "qualifications" not in profile


def test_an_assignment_that_went_on_between_two_exports_keeps_its_earlier_steps(tmp_path: Path) -> None:
    before, _ = found(read, written(tmp_path, {"Assignments": [assignment()]}))
    approved = assignment(AssignmentStatus="Approved", ApprovalTime="2026-03-02T00:00:00Z")
    after, _ = found(read, written(tmp_path, {"Assignments": [approved]}))

    assert after[:2] == before
    assert len(after) == 3


@pytest.mark.parametrize(
    "document",
    [
        hit(),
        {"HIT": hit()},
        {"HITs": [hit()], "NumResults": 1},
        [hit()],
        [{"HITs": [hit()]}],
        {"HIT": hit(), "ResponseMetadata": {"HTTPStatusCode": 200}},
    ],
)
def test_responses_and_bare_objects_are_read_alike(tmp_path: Path, document: object) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(document, indent=2))

    events, refused = found(read, file)

    assert refused == []
    assert [posting["task_id"] for posting in postings(events)] == ["3HIT"]


def test_packed_files_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress((FOLDER / "Batch_7_batch_results.csv").read_bytes()))

    assert len(found(read, packed)[0]) == len(found(read, FOLDER / "Batch_7_batch_results.csv")[0])
    assert "*.csv.gz" in FILES


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Tue Mar 05 10:11:12 PST 2019", datetime(2019, 3, 5, 18, 11, 12, tzinfo=UTC)),
        ("Fri Jul 05 10:11:12 PDT 2019", datetime(2019, 7, 5, 17, 11, 12, tzinfo=UTC)),
        ("2019-03-05T18:11:12Z", datetime(2019, 3, 5, 18, 11, 12, tzinfo=UTC)),
        ("2019-03-05 10:11:12-08:00", datetime(2019, 3, 5, 18, 11, 12, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_exports_write_them(text: str, instant: datetime) -> None:
    assert instants.instant(text) == instant


def test_times_may_be_seconds_since_1970(tmp_path: Path) -> None:
    events, _ = found(read, written(tmp_path, {"HIT": hit(CreationTime=1772323200.0)}))

    assert postings(events)[0]["at"] == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        ({"HIT": hit(CreationTime="2026-03-01T00:00:00")}, "HIT.CreationTime", "no instant that is understood"),
        ({"HIT": hit(CreationTime="Tue Mar 05 10:11:12 XYZ 2019")}, "HIT.CreationTime", "no instant"),
        ({"HIT": {"HITId": "3HIT"}}, "HIT.CreationTime", "missing"),
        ({"HITs": [hit(), hit(HITId=None)]}, "HITs[1].HITId", "missing"),
        ({"HIT": hit(Reward="5 cents")}, "HIT.Reward", "expected an amount of US dollars"),
        ({"HIT": hit(MaxAssignments=0)}, "HIT.MaxAssignments", "found 0, expected 1"),
        ({"HIT": hit(Title="x" * 2001)}, "HIT.Title", "length"),
        ({"HIT": hit(HITStatus="Paused")}, "HIT.HITStatus", 'found "Paused"'),
        ({"HIT": hit(QualificationRequirements={})}, "HIT.QualificationRequirements", "found an object"),
        (
            {"HITs": [hit(QualificationRequirements=[{"QualificationTypeId": "3Q", "Comparator": "Above"}])]},
            "HITs[0].QualificationRequirements[0].Comparator",
            'found "Above"',
        ),
        ({"Assignments": [assignment(AssignmentStatus="Lost")]}, "Assignments[0].AssignmentStatus", 'found "Lost"'),
        ({"Assignments": [assignment(SubmitTime=None)]}, "Assignments[0].SubmitTime", "missing"),
        ({"Assignments": [assignment(AssignmentStatus="Approved")]}, "Assignments[0].ApprovalTime", "missing"),
        ({"Assignments": [assignment(AssignmentStatus="Rejected")]}, "Assignments[0].RejectionTime", "missing"),
        ({"Assignments": [assignment(WorkerId="")]}, "Assignments[0].WorkerId", "missing"),
        (
            {"Qualifications": [{"QualificationTypeId": "3Q", "WorkerId": "A1"}]},
            "Qualifications[0].GrantTime",
            "missing",
        ),
        (
            {
                "Qualifications": [
                    {
                        "QualificationTypeId": "00000000000000000071",
                        "WorkerId": "A1",
                        "GrantTime": "2026-03-01T00:00:00Z",
                        "LocaleValue": {"Country": "usa"},
                    }
                ]
            },
            "Qualifications[0].LocaleValue.Country",
            "expected an ISO 3166 code",
        ),
        (notice("HITPaused"), "Events[0].EventType", 'found "HITPaused"'),
        (notice("HITDisposed", EventTimestamp="noon"), "Events[0].EventTimestamp", "no instant"),
        ({"Message": "{"}, "Message", "not valid JSON"),
        ({"Message": "[" * 200_000}, "Message", "not valid JSON"),
        ({"HIT": hit(MaxAssignments=10**400)}, "HIT.MaxAssignments", "expected a number"),
        ({"HIT": hit(CreationTime=10**400)}, "HIT.CreationTime", "no instant"),
        ({"HIT": hit(AssignmentDurationInSeconds=10**400)}, "HIT.AssignmentDurationInSeconds", "expected a number"),
        ({"Workers": []}, "", "neither a response of the API nor one of its objects"),
        ([3], "[0]", "found a number, expected an object"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(tmp_path: Path, document: object, path: str, reason: str) -> None:
    _, refused = found(read, written(tmp_path, document))

    assert len(refused) == 1
    assert refused[0].removeprefix("`").startswith(path)
    assert reason in refused[0]


def test_a_refusal_names_its_line_and_leaves_the_others_alone(tmp_path: Path) -> None:
    file = tmp_path / "export.ndjson"
    file.write_text(f'{json.dumps(hit())}\n{{"HIT": \n{json.dumps(hit(HITId="3OTHER"))}\n')

    lines = [(line, getattr(event, "task_id", "refused")) for _, line, event in read([file], lambda _: None)]

    assert sorted(set(lines)) == [(1, "3HIT"), (2, "refused"), (3, "3OTHER")]


def test_a_results_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("HITId,WorkerId\n3HIT,A1\n")

    assert found(read, file)[1] == ["`AssignmentId`: no such column; a results file of the requester site has it"]


def test_a_wrong_cell_is_refused_with_its_column_and_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    lines = (FOLDER / "Batch_7_batch_results.csv").read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2].replace('"Rejected"', '"Mislaid"')]))

    refused = [(line, str(event)) for _, line, event in read([file], lambda _: None) if isinstance(event, Exception)]

    assert [(line, text.split(":")[0]) for line, text in refused] == [(2, "`AssignmentStatus`")]


def test_a_wrong_row_of_a_results_file_leaves_the_others_alone(tmp_path: Path) -> None:
    header = b"HITId,AssignmentId,WorkerId,AssignmentStatus,CreationTime,AcceptTime,SubmitTime,Answer.x\n"
    times = b"Tue Mar 03 10:11:12 PST 2026,Tue Mar 03 10:12:12 PST 2026,Tue Mar 03 10:13:12 PST 2026"
    answers = [b"y" * 140_000, b"caf\xe9", b"ok"]
    file = tmp_path / "rows.csv"
    file.write_bytes(
        header + b"".join(b"H%d,A%d,w,Submitted,%s,%s\n" % (n, n, times, answer) for n, answer in enumerate(answers))
    )

    told = list(read([file], lambda _: None))

    assert sorted({event.task_id for _, _, event in told if isinstance(event, TaskPosted)}) == ["H0", "H2"]
    assert [(line, str(event)) for _, line, event in told if isinstance(event, EventError)] == [
        (2, "the text is not valid UTF-8; save the file as UTF-8")
    ]


def test_refusals_repeat_neither_workers_nor_free_text(tmp_path: Path) -> None:
    secret = "A1SECRETWORKER"
    broken = assignment(WorkerId=secret, AcceptTime="yesterday by " + secret)

    _, refused = found(read, written(tmp_path, {"Assignments": [broken]}))

    assert refused
    assert secret not in refused[0]
