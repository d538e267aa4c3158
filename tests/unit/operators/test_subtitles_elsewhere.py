"""Subtitle files as other programs write them, and in other languages than those of test_foreign_subtitles.py."""

from __future__ import annotations

import pytest

from operators.subtitles import NOBODY
from tests.unit.operators.test_foreign_subtitles import said, subrip, vtt

FOREIGN = {
    "stream_uuid_confidence": (
        "WEBVTT\n\nNOTE Confidence: 0.91\n\n8f1d0c1e-1\n00:01.000 --> 00:02.000\nGood morning.\n\n"
        "NOTE Confidence: 0.5\n\n8f1d0c1e-2\n00:03.000 --> 00:04.000\nLet us start.",
        [(NOBODY, "Good morning."), (NOBODY, "Let us start.")],
    ),
    "ass_tags": (
        subrip("{\\an8}Good morning.", "{\\pos(192,220)}Let us start.", "{\\i1}Now{\\i0} then."),
        [(NOBODY, "Good morning."), (NOBODY, "Let us start."), (NOBODY, "Now then.")],
    ),
    "ass_newline": (subrip("Good morning,\\Nall of you."), [(NOBODY, "Good morning, all of you.")]),
    "font": (
        subrip('<font color="#ffff00">Good morning.</font>', '<FONT FACE="Arial">Let us start.</FONT>'),
        [(NOBODY, "Good morning."), (NOBODY, "Let us start.")],
    ),
    "hls": (
        "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:01.000 --> 00:02.000\nGood morning.",
        [(NOBODY, "Good morning.")],
    ),
    "lang_tags": (vtt("<lang en>Good <c.yellow.bg_blue>morning</c>.</lang>"), [(NOBODY, "Good morning.")]),
    "russian_names": (
        subrip("Анна: Доброе утро.", "Борис: Начнём.", "Анна: Хорошо."),
        [("Анна", "Доброе утро."), ("Борис", "Начнём."), ("Анна", "Хорошо.")],
    ),
    "arabic_names": (
        subrip("أحمد: صباح الخير.", "سارة: لنبدأ.", "أحمد: حسنا."),
        [("أحمد", "صباح الخير."), ("سارة", "لنبدأ."), ("أحمد", "حسنا.")],
    ),
    "hindi_names": (
        subrip("अनिल: सुप्रभात।", "रीता: शुरू करें।", "अनिल: ठीक है।"),
        [("अनिल", "सुप्रभात।"), ("रीता", "शुरू करें।"), ("अनिल", "ठीक है।")],
    ),
    "japanese_names": (
        subrip("田中：おはようございます。", "鈴木：始めましょう。", "田中：はい。"),
        [("田中", "おはようございます。"), ("鈴木", "始めましょう。"), ("田中", "はい。")],
    ),
    "foreign_sounds": (
        subrip("Anna: Dzień dobry.", "[muzyka]", "Jan: Zaczynamy.", "(śmiech)", "Anna: Dobrze."),
        [
            ("Anna", "Dzień dobry."),
            (NOBODY, "[muzyka]"),
            ("Jan", "Zaczynamy."),
            (NOBODY, "(śmiech)"),
            ("Anna", "Dobrze."),
        ],
    ),
    "russian_sounds": (
        subrip("[музыка]", "Доброе утро.", "[смех]", "Начнём.", "[аплодисменты]"),
        [
            (NOBODY, "[музыка]"),
            (NOBODY, "Доброе утро."),
            (NOBODY, "[смех]"),
            (NOBODY, "Начнём."),
            (NOBODY, "[аплодисменты]"),
        ],
    ),
    "turkish_sound_prefix": (
        subrip("[müzik] Günaydın.", "[alkış] Başlayalım.", "[müzik] Tamam."),
        [(NOBODY, "[müzik] Günaydın."), (NOBODY, "[alkış] Başlayalım."), (NOBODY, "[müzik] Tamam.")],
    ),
    "korean_sound_prefix": (
        subrip("[음악] 안녕하세요.", "[박수] 시작하겠습니다.", "[음악] 네."),
        [(NOBODY, "[음악] 안녕하세요."), (NOBODY, "[박수] 시작하겠습니다."), (NOBODY, "[음악] 네.")],
    ),
    "clock_in_text": (
        subrip("At 10:30: the budget.", "Yes.", "Then at 11:00: lunch."),
        [(NOBODY, "At 10:30: the budget."), (NOBODY, "Yes."), (NOBODY, "Then at 11:00: lunch.")],
    ),
    "roles": (
        subrip("Moderator: Welcome.", "Panelist 1: Thanks.", "Moderator: Go on."),
        [("Moderator", "Welcome."), ("Panelist 1", "Thanks."), ("Moderator", "Go on.")],
    ),
    "speaker_timestamp": (
        subrip("Speaker 1 (00:01): Welcome.", "Speaker 2 (00:02): Thanks.", "Speaker 1 (00:03): Go on."),
        [("Speaker 1", "Welcome."), ("Speaker 2", "Thanks."), ("Speaker 1", "Go on.")],
    ),
    "no_blank_crcrlf": (
        "1\r\r\n00:00:01,000 --> 00:00:02,000\r\r\nOne.\r\r\n\r\r\n2\r\r\n00:00:03,000 --> 00:00:04,000\r\r\nTwo.\r\r\n",
        [(NOBODY, "One."), (NOBODY, "Two.")],
    ),
    "dot_millis": (
        "1\n00:00:01.000 --> 00:00:02.000\nOne.\n\n2\n00:00:03.5 --> 00:00:04.25\nTwo.",
        [(NOBODY, "One."), (NOBODY, "Two.")],
    ),
    "coords": ("1\n00:00:01,000 --> 00:00:02,000  X1:40 X2:600 Y1:20 Y2:50\nOne.", [(NOBODY, "One.")]),
    "sections": (
        vtt("<v Ann>One.", "<v Bob (Guest)>Two.", "<v.loud Ann>Three."),
        [("Ann", "One."), ("Bob (Guest)", "Two."), ("Ann", "Three.")],
    ),
    "spanish_leads": (
        subrip("Pregunta: ¿cuándo empezamos?", "Respuesta: el lunes.", "Está bien."),
        [(NOBODY, "Pregunta: ¿cuándo empezamos?"), (NOBODY, "Respuesta: el lunes."), (NOBODY, "Está bien.")],
    ),
    "dutch_leads": (
        subrip("Vraag: wanneer beginnen we?", "Antwoord: op maandag.", "Let op: het is vroeg.", "Goed dan."),
        [
            (NOBODY, "Vraag: wanneer beginnen we?"),
            (NOBODY, "Antwoord: op maandag."),
            (NOBODY, "Let op: het is vroeg."),
            (NOBODY, "Goed dan."),
        ],
    ),
    "polish_leads": (
        subrip("Pytanie: kiedy zaczynamy?", "Odpowiedź: w poniedziałek.", "Uwaga: jest wcześnie.", "Dobrze więc."),
        [
            (NOBODY, "Pytanie: kiedy zaczynamy?"),
            (NOBODY, "Odpowiedź: w poniedziałek."),
            (NOBODY, "Uwaga: jest wcześnie."),
            (NOBODY, "Dobrze więc."),
        ],
    ),
    "russian_leads": (
        subrip("Вопрос: когда начнём?", "Ответ: в понедельник.", "Внимание: рано.", "Ну хорошо."),
        [
            (NOBODY, "Вопрос: когда начнём?"),
            (NOBODY, "Ответ: в понедельник."),
            (NOBODY, "Внимание: рано."),
            (NOBODY, "Ну хорошо."),
        ],
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_is_read(name: str) -> None:
    text, wanted = FOREIGN[name]
    assert said(text) == wanted
