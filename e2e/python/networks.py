"""The SDK's network methods: contract §6 and §18."""
import time

from intuno_sdk.models import CallResult, NetworkMessage

from world import AGENTS, NOBODY, ask, is_uuid, refused


def check(world, client):
    net, ada, echo, hook = joining(world, client)
    calling(client, net, ada, echo)
    sending(client, net, ada, echo, hook)
    mailbox(client, net, ada, echo)
    strangers(world, client, net, ada)
    ensuring(world, client)
    leaving(client, net, ada, echo, hook)


def joining(world, client):
    name = f"lobby of {client}"
    net = client.create_network(name, "mesh", {"k": 1})
    assert is_uuid(net.id) and net.owner_id == client.person.id and net.created_at and net.updated_at, net
    assert (net.name, net.topology_type, net.status, net.metadata) == (name, "mesh", "active", {"k": 1}), net
    ring = client.create_network("ring", topology="ring")
    assert client.list_networks(limit=2) == [ring, net]
    assert client.get_network(net.id) == net and ring.metadata == {}, ring

    ada = client.join_network(net.id, "ada", participant_type="persona", polling_enabled=True)
    assert is_uuid(ada.id) and (ada.network_id, ada.name, ada.participant_type, ada.status) == (net.id, "ada", "persona", "active"), ada
    assert ada.polling_enabled and ada.agent_id is None and ada.callback_url is None and ada.capabilities is None, ada
    echo = client.join_network(net.id, "echo", agent_id=world.echo.id)
    assert echo.agent_id == world.echo.id and not echo.polling_enabled, echo
    hook = client.join_network(net.id, "hook", callback_url=AGENTS + "/hook")
    assert hook.callback_url == AGENTS + "/hook" and hook.participant_type == "agent", hook
    assert client.list_participants(net.id) == [ada, echo, hook]

    refused(409, "agent_already_joined", client.join_network, net.id, "echo again", agent_id=world.echo.id)
    refused(404, "not_found", client.join_network, net.id, "secret", agent_id=world.secret.id)
    refused(400, "unsafe_url", client.join_network, net.id, "inside", callback_url="http://169.254.169.254/")
    refused(422, "validation_error", client.create_network, "triangle", "triangle")
    return net, ada, echo, hook


def calling(client, net, ada, echo):
    result = client.network_call(net.id, ada.id, echo.id, f"hello from {client}", metadata={"k": 2})
    assert isinstance(result, CallResult) and result.success and is_uuid(result.message_id), result
    assert result.response == {"message": f"you said: hello from {client}"}, result
    client.person.deliveries["success"] += 1
    asked, reply = client.network_messages(net.id, channel_type="call")
    assert (asked.id, asked.status, asked.metadata_) == (result.message_id, "delivered", {"k": 2}), asked
    assert (reply.sender_participant_id, reply.recipient_participant_id, reply.in_reply_to_id) == (echo.id, ada.id, asked.id), reply
    refused(400, "recipient_not_callable", client.network_call, net.id, echo.id, ada.id, "ada only polls")


def sending(client, net, ada, echo, hook):
    for to in (echo, hook):
        sent = client.network_send(net.id, ada.id, to.id, "see you", metadata={"list": [1, "two"]})
        assert isinstance(sent, NetworkMessage) and is_uuid(sent.id) and sent.status == "pending", sent
        assert (sent.network_id, sent.content, sent.channel_type, sent.metadata_) == (net.id, "see you", "message", {"list": [1, "two"]}), sent
        assert (sent.sender_participant_id, sent.recipient_participant_id, sent.in_reply_to_id) == (ada.id, to.id, None), sent
        delivered(client, net.id, sent.id)
    client.person.deliveries["success"] += 1  # of the two only the agent's own endpoint is logged
    polled = client.network_send(net.id, echo.id, ada.id, "ada polls")
    assert client.get_inbox(net.id, ada.id, channel_type="message") == [polled]


def delivered(client, network, message):
    """Waits until the message is delivered."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status, = [m.status for m in client.network_messages(network, limit=500) if m.id == message]
        if status == "delivered":
            return
        assert status == "pending", status
        time.sleep(0.05)
    raise AssertionError(f"message {message} is not delivered")


def mailbox(client, net, ada, echo):
    mail = client.send_to_mailbox(net.id, echo.id, ada.id, "a letter", metadata={"stamp": True})
    assert (mail.channel_type, mail.status, mail.content, mail.metadata_) == ("mailbox", "pending", "a letter", {"stamp": True}), mail
    assert client.get_inbox(net.id, ada.id, channel_type="mailbox") == [mail]
    unread = client.get_inbox(net.id, ada.id)
    assert [m.channel_type for m in unread] == ["call", "message", "mailbox"], unread
    assert client.get_inbox(net.id, ada.id, limit=2) == unread[:2]
    everything = client.network_messages(net.id, limit=500)
    assert client.network_messages(net.id, limit=2) == everything[:2] and everything[-1] == mail, everything

    context = client.get_network_context(net.id, limit=2)
    assert context.network_id == net.id and [e.content for e in context.entries] == ["ada polls", "a letter"], context
    last = context.entries[-1]
    assert (last.sender, last.recipient, last.channel, last.message_id) == ("echo", "ada", "mailbox", mail.id), last
    assert abs(float(last.timestamp) - time.time()) < 60, last

    assert client.acknowledge_messages(net.id, [m.id for m in unread] + [NOBODY]) == len(unread)
    assert client.acknowledge_messages(net.id, []) == 0
    assert client.get_inbox(net.id, ada.id) == []
    read, = [m for m in client.network_messages(net.id, limit=500) if m.id == mail.id]
    assert read.status == "read", read


def strangers(world, client, net, ada):
    """A network of somebody else is as one that does not exist."""
    foreign = ask(201, "POST", "/networks", world.olga.eyes, json={"name": "olga's"})["id"]
    olga = ask(201, "POST", f"/networks/{foreign}/participants", world.olga.eyes, json={"name": "olga"})["id"]
    for network, who in ((foreign, olga), (NOBODY, NOBODY)):
        for method, args in (
            (client.get_network, ()), (client.delete_network, ()), (client.join_network, ("ada",)), (client.list_participants, ()),
            (client.leave_network, (who,)), (client.network_call, (who, who, "hello")), (client.network_send, (who, who, "hello")),
            (client.send_to_mailbox, (who, who, "hello")), (client.network_messages, ()), (client.get_inbox, (who,)),
            (client.acknowledge_messages, ([],)), (client.get_network_context, ()),
        ):
            refused(404, "not_found", method, network, *args)
        # Nor are they in a network of one's own.
        refused(404, "not_found", client.network_send, net.id, ada.id, who, "hello")
        refused(404, "not_found", client.network_send, net.id, who, ada.id, "hello")
        refused(404, "not_found", client.get_inbox, net.id, who)
    ask(204, "DELETE", f"/networks/{foreign}", world.olga.eyes)


def ensuring(world, client):
    """The second time it finds what the first has made."""
    caller = f"{client}".replace(", ", "-")  # it becomes a part of URLs
    channel = client.ensure_network(caller, "echo", target_agent_id=world.echo.id)
    network, me, echo = channel
    assert all(is_uuid(each) for each in channel), channel
    assert client.get_network(network).name == f"private-{caller}-echo"
    assert client.ensure_network(caller, "echo", target_agent_id=world.echo.id) == channel
    assert [p.id for p in client.list_participants(network)] == [me, echo]
    assert client.network_call(network, me, echo, "hello").response == {"message": "you said: hello"}
    client.person.deliveries["success"] += 1

    hooked = client.ensure_network(caller, "hook", callback_base_url=AGENTS)
    assert client.ensure_network(caller, "hook", callback_base_url=AGENTS) == hooked
    urls = [p.callback_url for p in client.list_participants(hooked[0])]
    assert urls == [f"{AGENTS}/agents/{caller}/callback", f"{AGENTS}/agents/hook/callback"], urls
    persona = client.ensure_network(caller, "nobody", caller_type="persona")
    assert [(p.participant_type, p.polling_enabled) for p in client.list_participants(persona[0])] == [("persona", True), ("agent", True)]
    client.delete_network(network)
    again = client.ensure_network(caller, "echo")
    assert again[0] != network and client.get_network(again[0]).name == f"private-{caller}-echo"


def leaving(client, net, ada, echo, hook):
    client.leave_network(net.id, echo.id)
    client.leave_network(net.id, echo.id)
    assert client.list_participants(net.id) == [ada, hook]
    refused(400, "participant_not_active", client.network_send, net.id, ada.id, echo.id, "hello")
    client.delete_network(net.id)
    refused(404, "not_found", client.get_network, net.id)
    refused(404, "not_found", client.delete_network, net.id)
    refused(404, "not_found", client.network_messages, net.id)
    assert net.id not in [n.id for n in client.list_networks(limit=200)]
