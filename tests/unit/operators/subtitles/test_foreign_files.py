"""Subtitle files of other programs, in other languages than those of test_parser.py."""

from __future__ import annotations

import pytest

from operators.subtitles import UNKNOWN_SPEAKER, parse_subtitles
from tests.unit.operators.subtitles.test_parser import make_srt, make_vtt, read_speakers_and_texts

FOREIGN = {
    "stream_uuid_confidence": (
        "WEBVTT\n\nNOTE Confidence: 0.91\n\n8f1d0c1e-1\n00:01.000 --> 00:02.000\nGood morning.\n\n"
        "NOTE Confidence: 0.5\n\n8f1d0c1e-2\n00:03.000 --> 00:04.000\nLet us start.",
        [(UNKNOWN_SPEAKER, "Good morning."), (UNKNOWN_SPEAKER, "Let us start.")],
    ),
    "ass_tags": (
        make_srt("{\\an8}Good morning.", "{\\pos(192,220)}Let us start.", "{\\i1}Now{\\i0} then."),
        [(UNKNOWN_SPEAKER, "Good morning."), (UNKNOWN_SPEAKER, "Let us start."), (UNKNOWN_SPEAKER, "Now then.")],
    ),
    "ass_newline": (make_srt("Good morning,\\Nall of you."), [(UNKNOWN_SPEAKER, "Good morning, all of you.")]),
    "font": (
        make_srt('<font color="#ffff00">Good morning.</font>', '<FONT FACE="Arial">Let us start.</FONT>'),
        [(UNKNOWN_SPEAKER, "Good morning."), (UNKNOWN_SPEAKER, "Let us start.")],
    ),
    "hls": (
        "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:01.000 --> 00:02.000\nGood morning.",
        [(UNKNOWN_SPEAKER, "Good morning.")],
    ),
    "lang_tags": (
        make_vtt("<lang en>Good <c.yellow.bg_blue>morning</c>.</lang>"),
        [(UNKNOWN_SPEAKER, "Good morning.")],
    ),
    "russian_names": (
        make_srt("Анна: Доброе утро.", "Борис: Начнём.", "Анна: Хорошо."),
        [("Анна", "Доброе утро."), ("Борис", "Начнём."), ("Анна", "Хорошо.")],
    ),
    "arabic_names": (
        make_srt("أحمد: صباح الخير.", "سارة: لنبدأ.", "أحمد: حسنا."),
        [("أحمد", "صباح الخير."), ("سارة", "لنبدأ."), ("أحمد", "حسنا.")],
    ),
    "hindi_names": (
        make_srt("अनिल: सुप्रभात।", "रीता: शुरू करें।", "अनिल: ठीक है।"),
        [("अनिल", "सुप्रभात।"), ("रीता", "शुरू करें।"), ("अनिल", "ठीक है।")],
    ),
    "japanese_names": (
        make_srt("田中：おはようございます。", "鈴木：始めましょう。", "田中：はい。"),
        [("田中", "おはようございます。"), ("鈴木", "始めましょう。"), ("田中", "はい。")],
    ),
    "foreign_sounds": (
        make_srt("Anna: Dzień dobry.", "[muzyka]", "Jan: Zaczynamy.", "(śmiech)", "Anna: Dobrze."),
        [
            ("Anna", "Dzień dobry."),
            (UNKNOWN_SPEAKER, "[muzyka]"),
            ("Jan", "Zaczynamy."),
            (UNKNOWN_SPEAKER, "(śmiech)"),
            ("Anna", "Dobrze."),
        ],
    ),
    "russian_sounds": (
        make_srt("[музыка]", "Доброе утро.", "[смех]", "Начнём.", "[аплодисменты]"),
        [
            (UNKNOWN_SPEAKER, "[музыка]"),
            (UNKNOWN_SPEAKER, "Доброе утро."),
            (UNKNOWN_SPEAKER, "[смех]"),
            (UNKNOWN_SPEAKER, "Начнём."),
            (UNKNOWN_SPEAKER, "[аплодисменты]"),
        ],
    ),
    "turkish_sound_prefix": (
        make_srt("[müzik] Günaydın.", "[alkış] Başlayalım.", "[müzik] Tamam."),
        [
            (UNKNOWN_SPEAKER, "[müzik] Günaydın."),
            (UNKNOWN_SPEAKER, "[alkış] Başlayalım."),
            (UNKNOWN_SPEAKER, "[müzik] Tamam."),
        ],
    ),
    "korean_sound_prefix": (
        make_srt("[음악] 안녕하세요.", "[박수] 시작하겠습니다.", "[음악] 네."),
        [
            (UNKNOWN_SPEAKER, "[음악] 안녕하세요."),
            (UNKNOWN_SPEAKER, "[박수] 시작하겠습니다."),
            (UNKNOWN_SPEAKER, "[음악] 네."),
        ],
    ),
    "clock_in_text": (
        make_srt("At 10:30: the budget.", "Yes.", "Then at 11:00: lunch."),
        [
            (UNKNOWN_SPEAKER, "At 10:30: the budget."),
            (UNKNOWN_SPEAKER, "Yes."),
            (UNKNOWN_SPEAKER, "Then at 11:00: lunch."),
        ],
    ),
    "roles": (
        make_srt("Moderator: Welcome.", "Panelist 1: Thanks.", "Moderator: Go on."),
        [("Moderator", "Welcome."), ("Panelist 1", "Thanks."), ("Moderator", "Go on.")],
    ),
    "speaker_timestamp": (
        make_srt("Speaker 1 (00:01): Welcome.", "Speaker 2 (00:02): Thanks.", "Speaker 1 (00:03): Go on."),
        [("Speaker 1", "Welcome."), ("Speaker 2", "Thanks."), ("Speaker 1", "Go on.")],
    ),
    "no_blank_crcrlf": (
        "1\r\r\n00:00:01,000 --> 00:00:02,000\r\r\nOne.\r\r\n\r\r\n2\r\r\n00:00:03,000 --> 00:00:04,000\r\r\nTwo.\r\r\n",
        [(UNKNOWN_SPEAKER, "One."), (UNKNOWN_SPEAKER, "Two.")],
    ),
    "dot_millis": (
        "1\n00:00:01.000 --> 00:00:02.000\nOne.\n\n2\n00:00:03.5 --> 00:00:04.25\nTwo.",
        [(UNKNOWN_SPEAKER, "One."), (UNKNOWN_SPEAKER, "Two.")],
    ),
    "coords": ("1\n00:00:01,000 --> 00:00:02,000  X1:40 X2:600 Y1:20 Y2:50\nOne.", [(UNKNOWN_SPEAKER, "One.")]),
    "sections": (
        make_vtt("<v Ann>One.", "<v Bob (Guest)>Two.", "<v.loud Ann>Three."),
        [("Ann", "One."), ("Bob (Guest)", "Two."), ("Ann", "Three.")],
    ),
    "spanish_leads": (
        make_srt("Pregunta: ¿cuándo empezamos?", "Respuesta: el lunes.", "Está bien."),
        [
            (UNKNOWN_SPEAKER, "Pregunta: ¿cuándo empezamos?"),
            (UNKNOWN_SPEAKER, "Respuesta: el lunes."),
            (UNKNOWN_SPEAKER, "Está bien."),
        ],
    ),
    "dutch_leads": (
        make_srt("Vraag: wanneer beginnen we?", "Antwoord: op maandag.", "Let op: het is vroeg.", "Goed dan."),
        [
            (UNKNOWN_SPEAKER, "Vraag: wanneer beginnen we?"),
            (UNKNOWN_SPEAKER, "Antwoord: op maandag."),
            (UNKNOWN_SPEAKER, "Let op: het is vroeg."),
            (UNKNOWN_SPEAKER, "Goed dan."),
        ],
    ),
    "polish_leads": (
        make_srt("Pytanie: kiedy zaczynamy?", "Odpowiedź: w poniedziałek.", "Uwaga: jest wcześnie.", "Dobrze więc."),
        [
            (UNKNOWN_SPEAKER, "Pytanie: kiedy zaczynamy?"),
            (UNKNOWN_SPEAKER, "Odpowiedź: w poniedziałek."),
            (UNKNOWN_SPEAKER, "Uwaga: jest wcześnie."),
            (UNKNOWN_SPEAKER, "Dobrze więc."),
        ],
    ),
    "russian_leads": (
        make_srt("Вопрос: когда начнём?", "Ответ: в понедельник.", "Внимание: рано.", "Ну хорошо."),
        [
            (UNKNOWN_SPEAKER, "Вопрос: когда начнём?"),
            (UNKNOWN_SPEAKER, "Ответ: в понедельник."),
            (UNKNOWN_SPEAKER, "Внимание: рано."),
            (UNKNOWN_SPEAKER, "Ну хорошо."),
        ],
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_file_is_parsed(name: str) -> None:
    text, wanted = FOREIGN[name]
    assert read_speakers_and_texts(text) == wanted


def test_cues_at_the_same_time_are_not_rolling_captions() -> None:
    text = "\n\n".join(f"00:00:01.000 --> {end}\nOkay." for end in ("00:00:01.001", "00:00:01.001", "00:00:02.000"))
    cues = parse_subtitles(f"WEBVTT\n\n{text}\n").cues
    assert [cue.text for cue in cues] == ["Okay."] * 3
