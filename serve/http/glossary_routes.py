"""Routes for a team's glossaries. A change reaches the open meetings within a second (`flows.jobs.glossary_refresh`)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from operators.characters import require_storable
from operators.errors import InvalidInputError
from operators.fields import Language, Name, StrictModel, to_invalid_input_error
from operators.glossary import target_text
from operators.glossary_csv import parse_rows
from operators.meeting_config import Term
from operators.team_glossary import GlossaryTerm, TermHits, look_up
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.glossary_hits import count_hits
from serve.http.problems import problem_responses
from storage.glossaries import glossary_queries
from storage.glossaries.glossary_records import GlossaryEntryRecord, GlossaryRecord
from storage.postgres import meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/glossaries", tags=["glossaries"])

MAX_PAGE = 500
"""Most entries of a page."""
MAX_LOOKUP_CHARS = 20_000
"""Maximum length of a text to look terms up in, in characters."""
MAX_LISTED_TERMS = 5_000
"""Most terms of a language that are listed."""
MAX_LISTED_ERRORS = 100
"""Most invalid lines of an import that are listed."""
CSV_NAME = "the CSV text"
"""What errors call the body of an import."""

_TERM_EXAMPLE: JsonDict = {"term": "road map", "translations": {"pt": "roteiro", "de": "Fahrplan"}, "priority": 10}
Description = Annotated[str, Field(max_length=2_000), AfterValidator(require_storable)]


class GlossaryList(BaseModel):
    """The glossaries, by name."""

    glossaries: list[GlossaryRecord]


class CreateGlossaryRequest(StrictModel):
    """A new glossary."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Products"}]})

    name: Name
    description: Description = ""


class ChangeGlossaryRequest(StrictModel):
    """What changes of a glossary."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Names of our products."}]})

    name: Name | None = None
    description: Description | None = None

    @model_validator(mode="after")
    def _require_change(self) -> ChangeGlossaryRequest:
        if self.name is None and self.description is None:
            raise ValueError("must have `name` or `description`")
        return self


class EntryPage(BaseModel):
    """Entries, by term. Send `after` to get the next page; it is null on the last page."""

    entries: list[GlossaryEntryRecord]
    after: UUID | None


class EntryRequest(GlossaryTerm):
    """A term, with its translations by language."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TERM_EXAMPLE]})

    __hash__ = GlossaryTerm.__hash__


class ChangeEntryRequest(StrictModel):
    """What changes of an entry. `translations` replaces all of the present ones."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"translations": {"pt": "roteiro"}}]})

    term: Name | None = None
    translations: dict[Language, Name] | None = None
    do_not_translate: bool | None = None
    case_sensitive: bool | None = None
    whole_word: bool | None = None
    notes: str | None = None
    priority: int | None = None


class InvalidLine(BaseModel):
    """An invalid line of an import: its number, and what would be accepted."""

    line: int
    field: str
    detail: str


class ImportEntriesResult(BaseModel):
    """What an import did: new and replaced entries, and the invalid lines, of which the first ones are listed."""

    added: int
    replaced: int
    invalid: int
    errors: list[InvalidLine]


class LookupRequest(StrictModel):
    """A text to look terms up in, and the language of their translations."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "The road map is done.", "language": "pt"}]})

    text: Annotated[str, Field(max_length=MAX_LOOKUP_CHARS)]
    language: Language


class LookupResult(BaseModel):
    """The terms of a text, in its order. Of overlapping terms the longest counts."""

    terms: list[Term]


class TermList(BaseModel):
    """Terms with a translation in a language, of all glossaries, those with the highest priority first."""

    terms: list[GlossaryTerm]


class GlossaryStats(BaseModel):
    """Statistics of a glossary.

    `translations` counts translations by language, and `meetings` the open meetings to which it is attached. For a meeting,
    `hits` has the terms that were said. `hit_rate` is the part of their translations that have the term's translation.
    """

    entries: int
    translations: dict[str, int]
    meetings: int
    hits: list[TermHits] | None
    hit_rate: float | None


@router.get("")
async def list_glossaries(services: ServicesDep) -> GlossaryList:
    """List the glossaries, by name."""
    async with services.database.connect() as conn:
        return GlossaryList(glossaries=await glossary_queries.list_glossaries(conn, DEFAULT_TEAM_ID))


@router.post("", status_code=201, responses=problem_responses(409))
async def create_glossary(request: CreateGlossaryRequest, services: ServicesDep) -> GlossaryRecord:
    """Create a glossary. Attach it to a meeting by `glossary_ids` of the meeting's config."""
    async with services.database.begin() as conn:
        return await glossary_queries.create_glossary(conn, DEFAULT_TEAM_ID, request.name, request.description)


@router.get("/terms/{language}")
async def list_terms(language: Language, services: ServicesDep) -> TermList:
    """List the terms of all glossaries that have a translation in a language, or that stay as they are."""
    async with services.database.connect() as conn:
        terms = await glossary_queries.read_terms_of_team(conn, DEFAULT_TEAM_ID)
    return TermList(terms=[term for term in terms if target_text(term, language) is not None][:MAX_LISTED_TERMS])


@router.post("/lookup")
async def look_up_in_all(request: LookupRequest, services: ServicesDep) -> LookupResult:
    """Look up the terms of a text in all glossaries."""
    async with services.database.connect() as conn:
        terms = await glossary_queries.read_terms_of_team(conn, DEFAULT_TEAM_ID)
    return await _look_up(terms, request)


@router.get("/{glossary_id}", responses=problem_responses(404))
async def get_glossary(glossary_id: UUID, services: ServicesDep) -> GlossaryRecord:
    """Get a glossary, without its entries."""
    async with services.database.connect() as conn:
        return await glossary_queries.read_glossary(conn, DEFAULT_TEAM_ID, glossary_id)


@router.patch("/{glossary_id}", responses=problem_responses(404, 409))
async def change_glossary(glossary_id: UUID, request: ChangeGlossaryRequest, services: ServicesDep) -> GlossaryRecord:
    """Change the name or the description of a glossary."""
    async with services.database.begin() as conn:
        return await glossary_queries.change_glossary(
            conn, DEFAULT_TEAM_ID, glossary_id, request.name, request.description
        )


@router.delete("/{glossary_id}", status_code=204, response_class=Response, responses=problem_responses(404))
async def delete_glossary(glossary_id: UUID, services: ServicesDep) -> None:
    """Delete a glossary. Open meetings go on without its terms."""
    async with services.database.begin() as conn:
        await glossary_queries.delete_glossary(conn, DEFAULT_TEAM_ID, glossary_id)


@router.get("/{glossary_id}/stats", responses=problem_responses(404))
async def get_glossary_stats(
    glossary_id: UUID,
    services: ServicesDep,
    meeting_id: Annotated[UUID | None, Query(description="A meeting whose translations are searched.")] = None,
) -> GlossaryStats:
    """Get statistics of a glossary, and of its terms in a meeting."""
    async with services.database.connect() as conn:
        glossary = await glossary_queries.read_glossary(conn, DEFAULT_TEAM_ID, glossary_id)
        translations = await glossary_queries.count_by_language(conn, glossary_id)
        attached = await glossary_queries.find_attached_meetings(conn, DEFAULT_TEAM_ID, glossary_id)
    hits = None if meeting_id is None else await _count_hits(services, glossary_id, meeting_id)
    said = sum(each.said for each in hits or ())
    return GlossaryStats(
        entries=glossary.entries,
        translations=translations,
        meetings=len(attached),
        hits=hits,
        hit_rate=round(sum(each.hits for each in hits or ()) / said, 4) if said else None,
    )


@router.get("/{glossary_id}/entries", responses=problem_responses(404))
async def list_entries(
    glossary_id: UUID,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    after: UUID | None = None,
) -> EntryPage:
    """List the entries of a glossary, by term."""
    async with services.database.connect() as conn:
        # One more than the page shows whether there is a next page.
        entries = await glossary_queries.list_entries(conn, DEFAULT_TEAM_ID, glossary_id, limit + 1, after)
    page = entries[:limit]
    return EntryPage(entries=page, after=page[-1].id if len(entries) > limit else None)


@router.post("/{glossary_id}/entries", status_code=201, responses=problem_responses(404, 409))
async def create_entry(glossary_id: UUID, request: EntryRequest, services: ServicesDep) -> GlossaryEntryRecord:
    """Add a term to a glossary."""
    async with services.database.begin() as conn:
        entry = await glossary_queries.create_entry(
            conn, DEFAULT_TEAM_ID, glossary_id, GlossaryTerm(**request.model_dump())
        )
    return entry


@router.patch("/{glossary_id}/entries/{entry_id}", responses=problem_responses(404, 409))
async def change_entry(
    glossary_id: UUID, entry_id: UUID, request: ChangeEntryRequest, services: ServicesDep
) -> GlossaryEntryRecord:
    """Change a term of a glossary."""
    changes: dict[str, Any] = request.model_dump(exclude_unset=True, exclude_none=True)
    async with services.database.begin() as conn:
        known = await glossary_queries.read_entry(conn, DEFAULT_TEAM_ID, glossary_id, entry_id)
        try:
            term = GlossaryTerm(**(known.model_dump(exclude={"id"}) | changes))
        except ValidationError as error:
            raise to_invalid_input_error(error) from None
        entry = await glossary_queries.change_entry(conn, DEFAULT_TEAM_ID, glossary_id, entry_id, term)
    return entry


@router.delete(
    "/{glossary_id}/entries/{entry_id}", status_code=204, response_class=Response, responses=problem_responses(404)
)
async def delete_entry(glossary_id: UUID, entry_id: UUID, services: ServicesDep) -> None:
    """Delete a term of a glossary."""
    async with services.database.begin() as conn:
        await glossary_queries.delete_entry(conn, DEFAULT_TEAM_ID, glossary_id, entry_id)


@router.post(
    "/{glossary_id}/import",
    responses=problem_responses(404, 409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "term,do_not_translate,pt,de\nroad map,,roteiro,Fahrplan\nParley,yes,,\n",
                }
            },
        }
    },
)
async def import_entries(
    glossary_id: UUID,
    request: Request,
    services: ServicesDep,
    replace: Annotated[bool, Query(description="Whether all present entries are deleted first.")] = False,
) -> ImportEntriesResult:
    """Import terms from CSV: a row for each term, a column for each language.

    The first row names the columns: `term`, `do_not_translate`, `case_sensitive`, `whole_word`, `notes`, `priority`, and language
    tags. An invalid line fails alone, and is listed.
    """
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInputError(CSV_NAME, "must be text in UTF-8") from None
    rows = await asyncio.to_thread(lambda: list(parse_rows(text, CSV_NAME, GlossaryTerm)))
    errors = [
        InvalidLine(line=row.line, field=row.error.field, detail=row.error.fix) for row in rows if row.error is not None
    ]
    terms = [row.term for row in rows if row.term is not None]
    async with services.database.begin() as conn:
        added, replaced = await glossary_queries.import_entries(
            conn, DEFAULT_TEAM_ID, glossary_id, terms, replaces=replace
        )
    return ImportEntriesResult(added=added, replaced=replaced, invalid=len(errors), errors=errors[:MAX_LISTED_ERRORS])


@router.post("/{glossary_id}/lookup", responses=problem_responses(404))
async def look_up_in_glossary(glossary_id: UUID, request: LookupRequest, services: ServicesDep) -> LookupResult:
    """Look up the terms of a text in a glossary."""
    async with services.database.connect() as conn:
        terms = await glossary_queries.read_terms(conn, DEFAULT_TEAM_ID, glossary_id)
    return await _look_up(terms, request)


async def _look_up(terms: list[GlossaryTerm], request: LookupRequest) -> LookupResult:
    plain = tuple(term.to_term() for term in terms)
    # A long text takes a while, and the replica serves others meanwhile.
    found = await asyncio.to_thread(look_up, plain, request.text, request.language)
    return LookupResult(terms=list(found))


async def _count_hits(services: Services, glossary_id: UUID, meeting_id: UUID) -> list[TermHits]:
    async with services.database.connect() as conn:
        terms = [term.to_term() for term in await glossary_queries.read_terms(conn, DEFAULT_TEAM_ID, glossary_id)]
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        sentences = await transcript_queries.read_sentences(conn, DEFAULT_TEAM_ID, meeting_id)
        captions = await transcript_queries.read_captions(conn, DEFAULT_TEAM_ID, meeting_id)
    return await asyncio.to_thread(count_hits, terms, sentences, captions)
