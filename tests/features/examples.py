"""One full example of every type of event, as a sender would write it."""

from typing import Any

HEAD = {"event_id": "e1", "at": "2026-03-01T12:00:00Z"}
USD = {"amount": "1.5", "currency": "USD"}
ON_TASK = {"worker_id": "w1", "task_id": "t1", "feed_id": "f1"}
VERDICT = {"worker_id": "w1", "task_id": "t1", "bonus": USD, "reason": "fine"}
RATED = {"worker_id": "w1", "requester_id": "r1", "rating": 4, "task_id": "t1"}
TASK = {
    "title": "Label images",
    "reward": USD,
    "slots": 10,
    "per_worker_limit": 2,
    "group_id": "g1",
    "description": "Draw boxes",
    "category": "image",
    "skills": ["labelling"],
    "keywords": ["boxes"],
    "estimated_minutes": 5.5,
    "time_limit_minutes": 60,
    "expires_at": "2026-04-01T00:00:00Z",
    "languages": ["id", "en-GB"],
    "countries": ["ID"],
    "devices": ["phone"],
    "requirements": [
        {"attribute": "qualification:q1", "comparator": "ge", "value": 80, "guards": "preview", "absent": True},
        {"attribute": "country", "comparator": "in", "values": ["ID", "MY"]},
    ],
}

BODIES: dict[str, dict[str, Any]] = {
    "worker_updated": {
        "worker_id": "w1",
        "skills": {"labelling": 0.5, "python": 1},
        "languages": ["id"],
        "country": "ID",
        "region": "Bali",
        "qualifications": {"q1": 90, "q2": "gold", "q3": None},
        "expected_hourly": {"amount": 50000, "currency": "IDR"},
        "min_reward": USD,
        "session_minutes": 30,
        "devices": ["phone"],
        "blocked_requesters": ["r9"],
        "blocked_categories": ["adult"],
        "blocked_keywords": ["survey"],
    },
    "worker_erased": {"worker_id": "w1"},
    "task_posted": {"task_id": "t1", "requester_id": "r1", **TASK},
    "task_updated": {"task_id": "t1", **TASK},
    "task_closed": {"task_id": "t1", "reason": "done"},
    "feed_served": {
        "feed_id": "f1",
        "worker_id": "w1",
        "items": [
            {"task_id": "t1", "position": 1, "score": -0.5, "propensity": 0.25},
            {"task_id": "t2", "position": 2},
        ],
        "context": {
            "session_minutes": 30,
            "device": "phone",
            "min_reward": USD,
            "categories": ["image"],
            "exclude_task_ids": ["t9"],
            "surface": "home",
        },
        "model_version": "3",
        "policy": "swap",
        "log_seq": 17,
    },
    "feed_shown": {"feed_id": "f1", "up_to_position": 3},
    "task_viewed": ON_TASK,
    "task_saved": ON_TASK,
    "task_hidden": ON_TASK,
    "assignment_accepted": ON_TASK,
    "assignment_returned": ON_TASK,
    "assignment_abandoned": ON_TASK,
    "assignment_submitted": {**ON_TASK, "work_seconds": 63.5},
    "assignment_approved": VERDICT,
    "assignment_rejected": VERDICT,
    "requester_rated": RATED,
    "worker_rated": RATED,
}


def written(kind: str, **changes: Any) -> dict[str, Any]:
    """The full example of a type, with some fields changed."""
    return {**HEAD, "type": kind, **BODIES[kind], **changes}
