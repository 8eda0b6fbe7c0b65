"""An agent that knows nothing but next_action and the server's instructions: from a file to named minutes.

Over stdio, with the time limit of the strictest clients on each call, and a client that is killed half way.
"""

import json
import re
from collections import Counter, defaultdict

import pytest
from rawclient import ROOT, RawServer

from pipeline import models

MEETING = ROOT / "tests" / "data" / "syn_en_meeting_a.opus"
REFERENCE = ROOT / "tests" / "data" / "syn_en_meeting_a.segments.json"
CALL_LIMIT_S = 45
PRECISE = (
    "compute_type=float32"  # products of 8-bit numbers, and so words, differ from processor to processor
)

# "Priya, could you …": who is called speaks next. "Morning Maya.": who is greeted has just spoken.
CALLED = re.compile(r"(?:^|[.?!,] )(?!Hi|Hello|Okay|Sorry)([A-Z][a-z]+), (?:can|could|would|will|do)\b")
GREETED = re.compile(r"\b(?:[Mm]orning|[Hh]ello|[Hh]i|[Tt]hanks),? ([A-Z][a-z]+)\b")


class Agent:
    """Calls what it is told to call, and remembers what it has read."""

    def __init__(self, server):
        self.server, self.pages, self.last = server, [], None

    def call(self, tool, arguments):
        number = self.server.begin("tools/call", {"name": tool, "arguments": arguments})
        answer = self.server.answer(number, CALL_LIMIT_S)
        assert not answer.get("isError"), answer["content"][0]["text"]
        self.last = answer["structuredContent"]
        if self.last.get("segments"):
            self.pages.append(self.last["segments"])
        return self.last

    def step(self):
        """The next action, exactly as it was given; false when there is none."""
        action = self.last.get("next_action")
        if action is None:
            return False
        self.call(action["tool"], action["arguments"])
        return True

    @property
    def segments(self):
        return [segment for page in self.pages for segment in page]

    def names(self):
        """Label to name, by who is called and who is greeted."""
        votes = defaultdict(Counter)
        for before, line, after in zip(self.segments, self.segments[1:], self.segments[2:], strict=False):
            for pattern, who in ((CALLED, after), (GREETED, before)):
                for name in pattern.findall(line["text"]):
                    if who["speaker"] != line["speaker"]:
                        votes[who["speaker"]][name] += 1
        return {label: counted.most_common(1)[0][0] for label, counted in votes.items()}


@pytest.fixture
def start(tmp_path):
    """Starts servers on one state; the models are the user's."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").symlink_to(models.cache_root())
    servers = []

    def make():
        servers.append(RawServer(tmp_path / "state", "--allow-dir", MEETING.parent, "--option", PRECISE))
        servers[-1].initialize()
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__()


def spoken_by(segments, label):
    """The name of the reference whose speech a label covers most."""
    shared = Counter()
    for line in json.loads(REFERENCE.read_text()):
        for segment in segments:
            if segment["speaker"] == label:
                both = min(line["end"], segment["end"]) - max(line["start"], segment["start"])
                shared[line["speaker"]] += max(0.0, both)
    return shared.most_common(1)[0][0]


@pytest.mark.slow
def test_an_agent_gets_from_a_file_to_named_minutes_through_a_restart(start):
    first = start()
    agent = Agent(first)
    agent.call("transcribe_diarized", {"file_path": str(MEETING), "wait_s": 1})
    while agent.last["status"] in ("queued", "running") and agent.last["progress"]["fraction"] < 0.1:
        agent.call("get_job", {"job_id": agent.last["job_id"], "wait_s": 1})
    assert agent.last["status"] == "running", "the machine was faster than this test"
    first.process.kill()
    first.process.wait()

    agent.server = start()
    while agent.step():
        if agent.last.get("speakers") and "quotes" in agent.last["speakers"][0]:
            break  # the evidence: from here on the agent decides
    sheet = agent.last
    assert {speaker["id"] for speaker in sheet["speakers"]} >= {"SPEAKER_00", "SPEAKER_01", "SPEAKER_02"}
    assert [s["id"] for s in agent.segments] == list(range(len(agent.segments)))

    names = agent.names()
    assert set(names.values()) == {"Maya", "Daniel", "Priya"}
    shown = {quote["text"] for speaker in sheet["speakers"] for quote in speaker["quotes"]}
    assert any("Maya" in text for text in shown)
    labelled = agent.call("label_speakers", {"transcript_id": sheet["transcript_id"], "labels": names})
    assert {s["id"]: s["name"] for s in labelled["speakers"] if "name" in s} == names
    for label, name in names.items():
        assert spoken_by(agent.segments, label) == name

    minutes = []
    for segment in sorted(agent.segments, key=lambda s: s["end"] - s["start"])[-6:]:
        checked = {"query": segment["text"], "exact": True, "transcript_id": sheet["transcript_id"]}
        found = agent.call("search_transcripts", checked)
        assert found["match"] == "exact"
        quote = found["quotes"][0]
        minutes.append(f"[{quote['start']:.1f}] {quote['speaker_name']}: {quote['text']}")
    assert len(minutes) == 6
    invented = {"query": "we ship on Friday the fifth of May", "exact": True}
    assert agent.call("search_transcripts", invented)["match"] == "none"
