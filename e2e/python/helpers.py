"""The SDK's modules for two vendors' tool formats: what they make of agents, and what their
tools do on the server. (The one for LangChain does not import without that package.)"""
import re

from intuno_sdk.integrations import anthropic, openai

import networks
from world import AGENTS, is_uuid, refused

# What both formats accept as a tool's name.
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check(world, client):
    schemas(client.get_agent(world.echo.agent_id))
    unschemed = client.get_agent(world.list.agent_id)
    assert openai.make_openai_tools_from_agent(unschemed)[0]["function"]["parameters"]["type"] == "object"
    tools(world, client)


def is_openai(tool):
    function = tool["function"]
    assert tool["type"] == "function" and NAME.fullmatch(function["name"]) and function["description"], tool
    assert function["parameters"]["type"] == "object", tool
    return function["name"]


def is_anthropic(tool):
    assert NAME.fullmatch(tool["name"]) and tool["description"] and tool["input_schema"]["type"] == "object", tool
    return tool["name"]


def schemas(agent):
    tool, = openai.make_openai_tools_from_agent(agent)
    assert tool["function"]["parameters"] == agent.input_schema, tool
    same, = anthropic.make_anthropic_tools_from_agent(agent)
    assert same["input_schema"] == agent.input_schema and is_anthropic(same) == is_openai(tool), same
    assert anthropic.openai_tool_to_anthropic(tool) == same, same

    for one, other in (
        (openai.get_discovery_tool_openai_schema, anthropic.get_discovery_tool_anthropic_schema),
        (openai.get_task_tool_openai_schema, anthropic.get_task_tool_anthropic_schema),
    ):
        assert is_openai(one()) == is_anthropic(other())
    assert [is_openai(t) for t in openai.get_network_tools()] == [is_anthropic(t) for t in anthropic.get_network_tools()]
    for tool in openai.get_a2a_tools():
        is_openai(tool)


def tools(world, client):
    """execute_network_tool is for the asynchronous client, and the same function in both modules."""
    assert anthropic.execute_network_tool is openai.execute_network_tool

    def use(tool, **args):
        return client.run(openai.execute_network_tool(client.sdk, tool, args, client.person.name))

    found = use("intuno_discover", query="Echo Chamber")
    assert found["found"] == len(found["agents"]) >= 1, found
    first = found["agents"][0]
    assert (first["name"], first["tags"], first["category"]) == (world.echo.name, world.echo.tags, "test"), first
    assert first["description"] == world.echo.description and first["similarity_score"] >= 0, first

    imported = use("intuno_import_a2a_agent", url=AGENTS + "/a2a")
    assert imported["success"] and imported["agent_id"].startswith("a2a-card-reader-") and imported["name"] == "Card Reader", imported
    assert "card_not_found" in use("intuno_import_a2a_agent", url=AGENTS + "/echo")["error"]
    if client.person.delegated:
        refused(401, "not_authenticated", use, "intuno_preview_a2a_card", url=AGENTS + "/a2a")
    else:
        assert use("intuno_preview_a2a_card", url=AGENTS + "/a2a")["card"]["name"] == "Card Reader"

    assert "error" in use("intuno_wait_and_see")
    for tool in ("intuno_call_agent", "intuno_send_message"):
        assert "not found" in use(tool, agent_name=world.secret.name, message="hello")["error"]
    # Both in one network, which the first of them makes.
    called = use("intuno_call_agent", agent_name=world.echo.name, message="hello")
    assert called["success"] and called["agent"] == world.echo.name and "you said: hello" in called["response"], called
    sent = use("intuno_send_message", agent_name=world.echo.name, message="see you")
    assert sent["success"] and is_uuid(sent["message_id"]) and sent["status"] == "pending", sent
    network, = [n for n in client.list_networks(limit=200) if n.name == f"private-{client.person.name}-{world.echo.name}"]
    networks.delivered(client, network.id, sent["message_id"])
    client.person.deliveries["success"] += 2
