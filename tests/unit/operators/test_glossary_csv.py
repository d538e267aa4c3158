from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import InvalidInputError
from operators.glossary_csv import parse_glossary, parse_rows
from operators.meeting_config import Term


def test_a_row_is_a_term_and_a_column_a_language() -> None:
    text = 'term,do_not_translate,case_sensitive,pt-br,de\nroad map,,,roteiro,"Plan, grob"\n\nIT,yes,TRUE,,\n'
    assert parse_glossary(text, "terms.csv") == (
        Term(term="road map", translations={"pt-BR": "roteiro", "de": "Plan, grob"}),
        Term(term="IT", do_not_translate=True, case_sensitive=True),
    )


def test_optional_columns_can_be_omitted() -> None:
    assert parse_glossary("pt,Term\nrua,street\n,Ana", "t") == (
        Term(term="street", translations={"pt": "rua"}),
        Term(term="Ana"),
    )
    assert parse_glossary("term", "t") == ()


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"], ids=ascii)
def test_only_csv_line_ends_separate_rows(mark: str) -> None:
    text = f"term,pt\r\nroad{mark}map,rot{mark}eiro\rAna,\n"
    assert parse_glossary(text, "t") == (
        Term(term=f"road{mark}map", translations={"pt": f"rot{mark}eiro"}),
        Term(term="Ana"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "t.csv: must begin with a row that names the columns"),
        (
            "term;do_not_translate\nAna;yes",
            "t.csv:1, column 1: must be term, do_not_translate, case_sensitive, whole_word or a language tag",
        ),
        (
            "term,klingon!\n",
            "t.csv:1, column 2: must be term, do_not_translate, case_sensitive, whole_word or a language tag",
        ),
        ("do_not_translate,pt\n", "t.csv:1: must name a column term"),
        ("term,pt,PT\n", "t.csv:1, column 3: must not name pt again"),
        ("term,do_not_translate\nAna,maybe", "t.csv:2, column do_not_translate: must be yes or no"),
        ("term,pt\n\nAna,a,b", "t.csv:3: must have 2 cells as the first row has, not 3: quote commas"),
        ("term,pt\n,a", "t.csv:2, column term: must not be blank"),
        ("pt,term\nfoo", "t.csv:2, column term: must not be blank"),
        (f"term,pt\nAna,{'x' * 201}", "t.csv:2, column pt: "),
        ("term\nAna\nBo\nana", "t.csv:4, column term: must not name a term twice: line 2 has it"),
        ('term\n"Ana', "t.csv:2: must be CSV: "),
        ("term\n" + "\n".join(map(str, range(2001))), "t.csv: "),
    ],
)
def test_an_error_names_line_column_and_fix(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_glossary(text, "t.csv")
    assert str(refused.value).startswith(words)


def test_a_line_that_is_no_csv_fails_alone() -> None:
    long_cell = "x" * 200_000
    text = f'term,pt\nAna,\n"a"b,c\n{long_cell},\nroad,"rua\nBob,\n'
    rows = list(parse_rows(text, "t", Term))
    assert [(row.line, row.term and row.term.term) for row in rows] == [
        (2, "Ana"),
        (3, None),
        (4, None),
        (5, None),
        (6, "Bob"),
    ]
    assert all("must be CSV" in str(row.error) for row in rows if row.error)


def test_the_example_in_the_docs_is_a_valid_glossary() -> None:
    page = (Path(__file__).parents[3] / "docs" / "translation.md").read_text()
    section = page.partition("## The glossary\n")[2].partition("\n## ")[0]
    example = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    assert [term.term for term in parse_glossary(example, "docs")] == ["road map", "IT", "Parley"]
