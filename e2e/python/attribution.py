"""Who did what, as everybody's logs say it afterwards, and nobody sees anybody else."""
import json
from collections import Counter

from world import ask


def pages(person, path, limit):
    """Everything of a list, page by page."""
    everything = []
    while True:
        page = ask(200, "GET", path, person.eyes, params={"limit": limit, "offset": len(everything)})
        everything += page
        if len(page) < limit:
            return everything


def check(world, person):
    """Every row of a caller's log is his own, by what acted for him, and none is missing."""
    logs = pages(person, "/broker/logs", 50)
    assert len({row["id"] for row in logs}) == len(logs), "a log row came twice"
    for row in logs:
        assert row["caller_user_id"] == person.id and row["actor"] == person.actor, row
        invoked = row["kind"] == "invoke"
        assert invoked or row["kind"] == "network", row
        assert row["integration_id"] == (person.integration if invoked else None), row
    for kind, seen in (("invoke", person.outcomes), ("network", person.deliveries)):
        outcomes = Counter("success" if row["success"] else "failure" for row in logs if row["kind"] == kind)
        assert outcomes == seen, f"{kind}: {outcomes} logged, {seen} seen"
    missing = person.invocations - {row["id"] for row in logs}
    assert not missing, f"not in the logs: {missing}"
    sees_nobody_else(world, person, logs)


def check_owner(world):
    """Who only owns the agents sees that they were called, and neither by whom nor what was said."""
    logs = pages(world.olga, "/broker/logs", 50)
    mine = [row for row in logs if row["caller_user_id"]]
    assert [(row["caller_user_id"], row["actor"]) for row in mine] == [(world.olga.id, world.olga.actor)], mine
    others = [row for row in logs if not row["caller_user_id"]]
    assert len(others) > 20, f"only {len(others)} calls of others"
    for row in others:
        hidden = ("actor", "integration_id", "conversation_id", "message_id", "parent_invocation_id", "request_payload", "response_payload", "output")
        assert all(row[name] is None for name in hidden) and row["input"] == {}, row
        assert row["agent_id"] in (world.echo.id, world.list.id, world.fail.id), row
    sees_nobody_else(world, world.olga, logs)


def sees_nobody_else(world, person, logs):
    conversations = pages(person, "/conversations", 500)
    assert conversations and {c["user_id"] for c in conversations} == {person.id}, conversations
    messages = [ask(200, "GET", f"/conversations/{c['id']}/messages", person.eyes) for c in conversations]
    seen = json.dumps([logs, conversations, messages])
    for other in [world.olga, *world.callers]:
        if other is not person:
            assert other.id not in seen, f"{person.name} sees the id of {other.name}"
            assert f"from {other.name}" not in seen, f"{person.name} sees what {other.name} said"
