"""Every method of the SDK's clients, with one credential. What the server is to answer
is contract §18."""
from intuno_sdk import Agent
from intuno_sdk.models import WorkflowDef

import networks
from world import AGENTS, NOBODY, ask, failed, is_uuid, methods, refused


def check(world, client):
    agent = discovery(world, client)
    conversation = invoking(world, client, agent)
    demo_agent(client)
    failures(world, client)
    own_agents(world, client)
    conversations(world, client, conversation)
    a2a(client)
    networks.check(world, client)
    tasks_not_served(client)
    workflows_not_served(client)
    missed = methods(client.kind) - client.called
    assert not missed, f"methods of the SDK that nothing checks: {sorted(missed)}"


def is_agent_of_somebody_else(agent, registered):
    assert isinstance(agent, Agent), agent
    assert (agent.id, agent.agent_id, agent.name) == (registered.id, registered.agent_id, registered.name), agent
    assert agent.description == registered.description and agent.auth_type == "public" and agent.is_active, agent
    assert agent.tags == registered.tags and agent.category == registered.category, agent
    assert agent.input_schema == registered.input_schema and agent.created_at == registered.created_at, agent
    assert agent.endpoint is None, f"an endpoint is for its owner only: {agent.endpoint}"


def discovery(world, client):
    found = client.discover("Echo Chamber", limit=3)
    assert 1 <= len(found) <= 3, found
    is_agent_of_somebody_else(found[0], world.echo)
    assert 0 <= found[0].similarity_score <= 4, found[0]
    assert len(client.discover("agents of these checks", limit=1)) == 1
    assert world.secret.agent_id not in [a.agent_id for a in client.discover("Olga's Secret", limit=50)]
    refused(422, "validation_error", client.discover, "anything", limit=51)

    agent = client.get_agent(world.echo.agent_id)
    is_agent_of_somebody_else(agent, world.echo)
    assert agent.similarity_score is None, agent
    for missing in (world.secret.agent_id, world.echo.id, "no-such-agent-00000000", "agent:acme:weather:1.0"):
        refused(404, "not_found", client.get_agent, missing)

    new = {a.agent_id: a for a in client.list_new_agents(days=7, limit=100)}
    is_agent_of_somebody_else(new[world.echo.agent_id], world.echo)
    assert world.secret.agent_id not in new
    assert len(client.list_new_agents(days=1, limit=2)) == 2
    # olga has invoked it.
    trending = {a.agent_id: a for a in client.list_trending_agents(window_days=7, limit=100)}
    is_agent_of_somebody_else(trending[world.echo.agent_id], world.echo)
    assert world.list.name in [a.name for a in tool_search(client, "List Maker")]
    return agent


def tool_search(client, words):
    """What the SDK's tools do where discovery has no agent of that name: a list, by hand."""
    answer = client.run(client.sdk._http_client.get("/registry/agents", params={"search": words, "limit": 5}))
    assert answer.status_code == 200, answer.text
    return [Agent(**agent) for agent in answer.json()]


def invoking(world, client, agent):
    """Returns the id of a conversation of two exchanges, each of a question and an answer."""
    first = client.succeeded(client.invoke(world.echo.agent_id, {"message": f"hello from {client}"}))
    assert first.data == {"message": f"you said: hello from {client}"}, first
    assert first.status_code == 200 and is_uuid(first.conversation_id) and first.credits_charged is None, first

    second = client.succeeded(client.invoke(
        world.echo.agent_id, {"message": "again"}, conversation_id=first.conversation_id, external_user_id=f"customer of {client}"))
    assert second.conversation_id == first.conversation_id, second
    # An existing message as the question: no second copy of it is kept.
    asked = messages(client, first.conversation_id)[2]["id"]
    third = client.succeeded(client.invoke(
        world.echo.agent_id, {"message": "again"}, conversation_id=first.conversation_id, message_id=asked))
    assert third.conversation_id == first.conversation_id, third
    kept = [(m["role"], m["content"]) for m in messages(client, first.conversation_id)]
    assert kept == [("user", f"hello from {client}"), ("assistant", f"you said: hello from {client}"),
                    ("user", "again"), ("assistant", "you said: again"), ("assistant", "you said: again")], kept

    # The agent itself invokes, each time in a new conversation; an answer that is no object is wrapped.
    result = client.succeeded(client.invoke_agent(agent, message="by the agent"))
    assert result.data == {"message": "you said: by the agent"} and result.conversation_id != first.conversation_id, result
    assert client.succeeded(client.invoke(world.list.agent_id, {})).data == {"result": [1, "two", None]}
    return first.conversation_id


def demo_agent(client):
    """Found by a question, and asked it: an agent that is there from the start."""
    question = "what is 17.5 % of 240?"
    agent = client.discover(question, limit=1)[0]
    assert agent.name == "Calculator" and agent.endpoint is None, agent
    result = client.succeeded(client.invoke_agent(agent, message=question))
    assert "42" in result.data["reply"].replace(".", " ").split(), result


def messages(client, conversation):
    """The conversation's messages as its owner sees them, also where the credential may not."""
    return ask(200, "GET", f"/conversations/{conversation}/messages", client.person.eyes)


def failures(world, client):
    failed(500, client.invoke, world.fail.agent_id, {"message": "hello"})
    # In a conversation of somebody else: as in one that does not exist.
    failed(404, client.invoke, world.echo.agent_id, {"message": "hello"}, conversation_id=world.foreign)
    failed(404, client.invoke, world.echo.agent_id, {"message": "hello"}, conversation_id=NOBODY)
    failed(404, client.invoke, world.echo.agent_id, {"message": "hello"}, message_id=NOBODY)
    client.person.outcomes["failure"] += 4
    # These find no agent, so that nothing is logged.
    for nothing in (world.secret.agent_id, "no-such-agent-00000000", "agent:acme:weather:1.0"):
        failed(404, client.invoke, nothing, {"message": "hello"})
    refused(422, "validation_error", client.invoke, world.echo.agent_id, {"message": "hello"}, conversation_id="not an id")
    refused(422, "validation_error", client.invoke, world.echo.agent_id, ["not an object"])


def own_agents(world, client):
    """A private agent is there for its owner, endpoint included, and for nobody else."""
    kind = "Async" if client.asynchronous else "Sync"
    mine = client.person.register(f"{kind} Diary of {client.person.name}", "/echo", visibility="private")
    agent = client.discover(mine.name, limit=1)[0]
    assert agent.agent_id == mine.agent_id and agent.endpoint == AGENTS + "/echo", agent
    result = client.succeeded(client.invoke_agent(agent, message="dear diary"))
    assert result.data == {"message": "you said: dear diary"}, result
    ask(404, "GET", f"/registry/agents/{mine.agent_id}", world.olga.eyes)


def conversations(world, client, conversation):
    calls = (
        (client.list_conversations, ()), (client.get_conversation, (conversation,)), (client.get_messages, (conversation,)),
        (client.get_message, (conversation, messages(client, conversation)[0]["id"])),
    )
    if client.person.delegated:
        # Nobody acts for a user here.
        for method, args in calls:
            refused(401, "not_authenticated", method, *args)
        return
    person = client.person
    one = client.get_conversation(conversation)
    assert (one.id, one.user_id, one.title, one.integration_id) == (conversation, person.id, None, person.integration), one
    assert one.external_user_id == f"customer of {client}" and one.created_at and one.updated_at, one
    every = client.list_conversations()
    assert one in every and {c.user_id for c in every} == {person.id}, every
    assert client.list_conversations(external_user_id=f"customer of {client}") == [one]
    assert client.list_conversations(external_user_id="nobody's") == []
    assert client.list_conversations(integration_id=NOBODY) == []
    if person.integration:
        assert client.list_conversations(integration_id=person.integration) == every

    said = client.get_messages(conversation)
    assert [m.role for m in said] == ["user", "assistant", "user", "assistant", "assistant"], said
    assert said[0].content == f"hello from {client}" and said[0].metadata == {"message": said[0].content}, said[0]
    assert said[0].agent_id is None and said[1].agent_id == world.echo.agent_id, said
    assert said[1].metadata == {"message": said[1].content} and said[1].conversation_id == conversation, said[1]
    assert client.get_messages(conversation, limit=2, offset=1) == said[1:3]
    for message in said:
        assert client.get_message(conversation, message.id) == message
    # What is somebody else's is as what does not exist.
    for unknown in (world.foreign, NOBODY):
        refused(404, "not_found", client.get_conversation, unknown)
        refused(404, "not_found", client.get_messages, unknown)
        refused(404, "not_found", client.get_message, unknown, said[0].id)
    refused(404, "not_found", client.get_message, conversation, NOBODY)


def a2a(client):
    agent = client.import_a2a_agent(AGENTS + "/a2a")
    assert agent.name == "Card Reader" and agent.agent_id.startswith("a2a-card-reader-"), agent
    assert agent.category == "a2a" and {"a2a", "external", "reading-cards"} <= set(agent.tags), agent
    assert agent.input_schema["required"] == ["message"] and agent.endpoint == AGENTS + "/a2a/rpc", agent
    again = client.import_a2a_agent(AGENTS + "/a2a")
    assert again.agent_id == agent.agent_id, "the same card became a second agent"
    assert again.description != agent.description, "importing again did not read the card again"
    result = client.succeeded(client.invoke_agent(again, message="hello"))
    assert result.data["content"] == "the agent of the card heard: hello" and result.data["state"], result
    refused(400, "card_not_found", client.import_a2a_agent, AGENTS + "/echo")
    if client.person.delegated:
        refused(401, "not_authenticated", client.preview_a2a_card, AGENTS + "/a2a")
        refused(401, "not_authenticated", client.refresh_a2a_agent, agent.agent_id)
        return
    card = client.preview_a2a_card(AGENTS + "/a2a")
    assert card["name"] == "Card Reader" and card["skills"][0]["name"] == "Reading Cards", card
    refused(400, "card_not_found", client.preview_a2a_card, AGENTS + "/echo")
    refused(400, "unsafe_url", client.preview_a2a_card, "http://169.254.169.254/")
    fresh = client.refresh_a2a_agent(agent.agent_id)
    assert fresh.agent_id == agent.agent_id and fresh.description != again.description, fresh
    refused(404, "not_found", client.refresh_a2a_agent, "a2a-no-such-agent-00000000")


# --- What is not served yet: each of these is a 404, until it becomes a check. ---


def tasks_not_served(client):
    refused(404, "not_found", client.create_task, "find out the weather", {"city": "Rome"}, idempotency_key="one")
    refused(404, "not_found", client.create_task, "find out the weather", async_mode=True)
    refused(404, "not_found", client.get_task, NOBODY)


# --- What never will be: contract §15. ---


def workflows_not_served(client):
    workflow = WorkflowDef(name="nothing", steps=[])
    calls = {
        client.create_workflow: (workflow,), client.get_workflow: (NOBODY,), client.list_workflows: (),
        client.run_workflow: (NOBODY,), client.get_execution: (NOBODY,), client.cancel_execution: (NOBODY,),
        client.get_process_table: (NOBODY,),
    }
    for method, args in calls.items():
        refused(404, "not_found", method, *args)
