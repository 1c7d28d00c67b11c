"""What the checks need on the server: people with every kind of credential, agents of somebody
else, and what came of it, counted. It speaks HTTP without the SDK."""
import asyncio
import os
import re
from collections import Counter
from types import SimpleNamespace

import httpx
import intuno_sdk

URL = os.environ["INTUNO_BASE_URL"]
SERVICE_KEY = os.environ["AGENTS_SERVICE_API_KEY"]
# Where the agents of these checks answer: /echo, /list, /fail, and the A2A agent at /a2a.
AGENTS = os.environ["TEST_AGENTS_URL"]
PASSWORD = "correct horse battery"

raw = httpx.Client(base_url=URL, timeout=30)


def ask(status, method, path, headers, **more):
    """The parsed answer of a request that must have that status."""
    answer = raw.request(method, path, headers=headers, **more)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code}, want {status}: {answer.text}"
    return answer.json() if answer.content else None


class Person:
    """An account. credential is what the SDK gets and sent the headers that it must make of it;
    actor is what the logs must then say. eyes reads as the user, whatever the credential is."""

    def __init__(self, name):
        login = {"email": f"{name}@example.org", "password": PASSWORD}
        self.name = name
        self.id = ask(201, "POST", "/auth/register", {}, json=login)["id"]
        self.token = ask(200, "POST", "/auth/login", {}, json=login)["access_token"]
        self.eyes = {"Authorization": f"Bearer {self.token}"}
        self.delegated = False
        self.integration = None
        # What the SDK was seen to do: outcomes of invocations that found their agent.
        self.invocations, self.outcomes = set(), Counter()
        # Calls and messages to agents in networks of this user's.
        self.deliveries = Counter()

    def with_key(self):
        key = ask(201, "POST", "/auth/api-keys", self.eyes, json={"name": "sdk"})
        return self.by_key(key)

    def with_integration(self):
        self.integration = ask(201, "POST", "/integrations", self.eyes, json={"name": "shop"})["id"]
        key = ask(201, "POST", f"/integrations/{self.integration}/api-keys", self.eyes, json={"name": "sdk"})
        return self.by_key(key)

    def by_key(self, key):
        self.credential, self.sent = key["key"], {"X-API-Key": key["key"]}
        self.actor = {"type": "api_key", "id": key["id"]}
        return self

    def with_token(self):
        self.credential, self.sent = self.token, self.eyes
        self.actor = {"type": "user", "id": self.id}
        return self

    def with_service(self):
        self.credential, self.sent = SERVICE_KEY, {"X-Service-Key": SERVICE_KEY, "X-On-Behalf-Of": self.id}
        self.actor, self.delegated = {"type": "service", "id": "wisdom-agents"}, True
        return self

    def register(self, name, path, **more):
        body = {"name": name, "description": f"{name} of the SDK's checks.", "endpoint": AGENTS + path} | more
        return SimpleNamespace(**ask(201, "POST", "/registry/agents", self.sent, json=body))

    def clients(self):
        """The SDK's two clients as one kind of thing."""
        return [Client(self, intuno_sdk.IntunoClient), Client(self, intuno_sdk.AsyncIntunoClient)]


class Client:
    """A client of the SDK, synchronous or not: client.discover(...) is the answer in both
    cases, and `invoke` is also `ainvoke`. called is the methods that were used."""

    def __init__(self, person, kind):
        self.person, self.kind, self.called = person, kind, set()
        self.asynchronous = kind is intuno_sdk.AsyncIntunoClient
        self.sdk = kind(api_key=person.credential, base_url=URL)
        if person.delegated:
            # This version of the SDK has no way to act as a user: the headers that newer ones send.
            del self.sdk._http_client.headers["X-API-Key"]
            self.sdk._http_client.headers.update(person.sent)
        self.loop = asyncio.new_event_loop() if self.asynchronous else None

    def __str__(self):
        return f"{self.person.name}, {'async' if self.asynchronous else 'sync'}"

    def run(self, answer):
        return self.loop.run_until_complete(answer) if self.asynchronous else answer

    def __getattr__(self, name):
        if self.asynchronous and name == "invoke":
            name = "ainvoke"
        method = getattr(self.sdk, name)
        self.called.add(name)
        return lambda *args, **more: self.run(method(*args, **more))

    def invoke_agent(self, agent, **input_data):
        """Agent.invoke or ainvoke of an agent that the SDK returned."""
        return self.run((agent.ainvoke if self.asynchronous else agent.invoke)(input_data))

    def succeeded(self, result):
        """Checks and remembers the result of a successful invocation."""
        assert result.success and result.error is None and result.error_code is None, result
        assert 200 <= result.status_code < 300 and result.latency_ms >= 0, result
        assert result.invocation_id not in self.person.invocations, "an invocation's id came twice"
        self.person.invocations.add(result.invocation_id)
        self.person.outcomes["success"] += 1
        return result

    def close(self):
        self.run(self.sdk.close())
        if self.loop:
            self.loop.close()


def methods(kind):
    """The public methods of a client class that ask the server something."""
    return {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))} - {"close"}


def refused(status, code, attempt, *args, **more):
    """The attempt must raise the SDK's error for that answer of the server."""
    want = intuno_sdk.AuthenticationError if status == 401 else intuno_sdk.IntunoError
    try:
        result = attempt(*args, **more)
    except intuno_sdk.IntunoError as error:
        assert type(error) is want, f"{type(error).__name__}: {error}, want {want.__name__}"
        answer = getattr(error.__cause__, "response", None)
        assert answer is not None, f"not an answer of the server: {error}"
        assert (answer.status_code, answer.json()["code"]) == (status, code), f"{answer.status_code} {answer.text}"
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"], answer.text
        return
    raise AssertionError(f"it did not raise, but returned {result}")


def failed(status, attempt, *args, **more):
    """The invocation must raise the SDK's error for a failure with that status."""
    try:
        result = attempt(*args, **more)
    except intuno_sdk.InvocationError as error:
        assert str(error).endswith(f"(Status: {status})"), error
        return
    raise AssertionError(f"it did not raise, but returned {result}")


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NOBODY = "00000000-0000-4000-8000-000000000000"


def is_uuid(text):
    return isinstance(text, str) and UUID.fullmatch(text) is not None


class World:
    """Everybody, and the agents that belong to olga, who only owns them."""

    def __init__(self):
        self.olga = Person("olga").with_token()
        self.callers = [
            Person("ada").with_key(),
            Person("bob").with_token(),
            Person("eve").with_service(),
            Person("ida").with_integration(),
        ]
        schema = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
        self.echo = self.olga.register("Echo Chamber", "/echo", input_schema=schema, tags=["echo", "test"], category="test")
        self.list = self.olga.register("List Maker", "/list")
        self.fail = self.olga.register("Breakdown", "/fail")
        self.secret = self.olga.register("Olga's Secret", "/echo", visibility="private")
        # A conversation that is not any caller's.
        body = {"agent_id": self.echo.agent_id, "input": {"message": "olga talks to herself"}}
        self.foreign = ask(200, "POST", "/broker/invoke", self.olga.eyes, json=body)["conversation_id"]
        assert is_uuid(self.foreign)
