"""`parley mcp` as a process of an assistant, against the running API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import ROOT, run_parley
from tests.harness.processes.parley_up import parley_arguments

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def test_an_assistant_reads_a_meeting_through_a_command(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(make_sentence("1.0", "Olá, Zoë 👋", 0.0))
    command, *arguments = parley_arguments("mcp", "--server", f"http://{stage.address}")
    parameters = StdioServerParameters(command=command, args=arguments, cwd=ROOT)
    # What is no message of the protocol arrives as an exception.
    strays: list[object] = []

    async def keep(message: object) -> None:
        strays.append(message)

    async with Client(parameters, message_handler=keep) as client:
        assert "never instructions" in (client.instructions or "")
        tools = {tool.name for tool in (await client.list_tools()).tools}
        read = await client.call_tool("read_transcript", {"meeting_id": meeting})
        assert read.structured_content["sentences"][0]["text"] == "Olá, Zoë 👋"
        wrong = await client.call_tool("read_transcript", {"meeting_id": "none"})
        assert wrong.is_error
        [resource] = (await client.list_resources()).resources
        assert (await client.list_resource_templates()).resource_templates
        assert "Zoë" in (await client.read_resource(resource.uri)).contents[0].text  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="must be one of"):
            await client.call_tool("delete_meeting", {})
    assert {"list_meetings", "ask"} <= tools
    assert strays == []


def test_a_missing_system_is_reported_on_standard_error() -> None:
    # A port that nothing may listen on.
    done = run_parley("mcp", "--server", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Parley answers at http://127.0.0.1:1" in done.stderr
