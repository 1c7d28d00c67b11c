"""Runs the published SDK against the server at INTUNO_BASE_URL, which has the service key
AGENTS_SERVICE_API_KEY and may reach the test's own agents at TEST_AGENTS_URL. A check that
fails says where; the exit status is 0 if none does."""
import sys
import time
import traceback

import attribution
import helpers
import mcp_server
import sdk
from world import World


class Report:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def run(self, name, check, *args):
        start = time.monotonic()
        try:
            check(*args)
        except Exception as error:
            while getattr(error, "exceptions", None):  # a task group's
                error, = error.exceptions
            self.failed += 1
            print(f"FAIL {name}", *traceback.format_exception(error), sep="\n", flush=True)
        else:
            self.passed += 1
            print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)


def main():
    world, report = World(), Report()
    for person in world.callers:
        clients = person.clients()
        for client in clients:
            report.run(f"every method ({client})", sdk.check, world, client)
        report.run(f"helper modules ({person.name})", helpers.check, world, clients[1])
        for client in clients:
            client.close()
        if not person.delegated and not person.integration:
            report.run(f"the SDK's MCP server ({person.name})", mcp_server.check_sdk, world, person)
        if not person.delegated:
            report.run(f"POST /mcp ({person.name})", mcp_server.check_service, world, person)
    for person in world.callers:
        report.run(f"attribution ({person.name})", attribution.check, world, person)
    report.run("attribution (the agents' owner)", attribution.check_owner, world)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


main()
