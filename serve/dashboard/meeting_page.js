// The page of one meeting: connects its event stream, its transcript and the facts about it.

import { getJson } from "./api.js";
import { Autoscroll } from "./autoscroll.js";
import { ChatPanel } from "./chat_panel.js";
import { ColumnHeaders } from "./column_headers.js";
import { describeConnection } from "./connection_status.js";
import { isConnectorOpen } from "./connector_status.js";
import { EventStream } from "./event_stream.js";
import { MeetingInfo } from "./meeting_info.js";
import { InsightsPanel } from "./insights_panel.js";
import { isOver, meetingProgress } from "./meeting_status.js";
import { NotesPanel } from "./notes_panel.js";
import { ScrollAnchor } from "./scroll_anchor.js";
import { SentenceEditors } from "./sentence_editors.js";
import { TranscriptView } from "./transcript_view.js";

const POLL_MS = 5_000;

/** Show a meeting and follow it. */
export function showMeeting(id) {
  new MeetingPage(id).open();
}

/** The sentence's id after the `#` of the address; null if there is none. */
function decodeHash() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

const query = (selector) => document.querySelector(selector);

class MeetingPage {
  #path;
  #meetingInfo = new MeetingInfo(query(".meeting-info"));
  #columnHeaders = new ColumnHeaders(query(".column-headers"), () => this.#updateLanguages());
  #transcriptView = new TranscriptView(query(".rows"), query(".interims"), query(".log"), (added, before, changed) =>
    this.#onPaint(added, before, changed),
  );
  #sentenceEditors;
  #notesPanel;
  #emptyNotice = query(".empty-notice"); // Kept, because it is behind the rows: a query would pass all of them each time.
  #autoscroll;
  #stream;
  #meeting; // The server's last answer.
  #previousMeeting; // Its answer at the poll before.
  #modelsText = ""; // Description of the configured engines, from the last event that has one.
  #shownEngine; // The engine that is shown as that of the latest translation.
  #isReachable = false; // Whether the last request for the meeting succeeded.
  #lastLanguages;
  #wantedSentence = decodeHash(); // The sentence that the address names, until it is shown.

  constructor(id) {
    this.#path = `/api/meetings/${id}`;
    const showSentence = (sentenceId) => this.#transcriptView.scrollTo(sentenceId);
    const sentenceOf = (sentenceId) => this.#transcriptView.sentence(sentenceId);
    this.#sentenceEditors = new SentenceEditors(query(".rows"), `${this.#path}/sentences`, sentenceOf, () => this.#onCorrected());
    this.#notesPanel = new NotesPanel(query(".notes"), id, showSentence);
    new ChatPanel(query(".chat"), id, showSentence);
    new InsightsPanel(query(".insights"), id, showSentence, () => this.#readerLanguage);
  }

  async open() {
    const { status } = (await this.#fetchMeeting()) ?? {};
    if (status === 404 || status === 422) {
      this.#showNotFound();
      return;
    }
    this.#transcriptView.initialSeq = this.#meeting?.seq ?? 0;
    const bar = query(".bar");
    new ResizeObserver(() => document.body.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
    const anchor = new ScrollAnchor(query(".rows"), [bar, query(".column-headers")]);
    this.#autoscroll = new Autoscroll(query(".scroll-to-latest"), !this.#isOver, anchor);
    this.#stream = new EventStream(`${location.origin.replace("http", "ws")}${this.#path}/events`, {
      onEvent: (event) => this.#onEvent(event),
      onConnected: () => this.#transcriptView.clearInterims(),
      onReset: () => {
        this.#transcriptView.clear();
        this.#sentenceEditors.clear();
        this.#notesPanel.clear();
      },
      onState: (state) => this.#onStreamState(state),
      checkIsOver: async () => !(await this.#fetchMeeting()) && this.#isComplete,
    });
    setInterval(() => this.#updateConnection(), 1_000);
    setInterval(() => this.#poll(), POLL_MS);
  }

  /** The language of the captions that the reader chose, or else the browser's. */
  get #readerLanguage() {
    return this.#columnHeaders.language ?? navigator.language;
  }

  get #isOver() {
    return this.#meeting !== undefined && isOver(this.#meeting);
  }

  /** Whether the meeting is over and all its events were received. */
  get #isComplete() {
    return this.#isOver && this.#meeting.seq === this.#stream.lastSeq;
  }

  #onEvent(event) {
    this.#transcriptView.enqueue(event);
    if (event.kind === "note") this.#notesPanel.apply(event.payload);
    if (event.kind !== "status") return;
    if (event.payload.models) {
      this.#modelsText = event.payload.models;
      this.#showMeetingInfo();
    }
    if (event.seq > this.#transcriptView.initialSeq) this.#onStatusEvent(event.payload);
  }

  /** Handle a `status` event: it has the new counters, or the meeting must be fetched again. */
  #onStatusEvent({ counters }) {
    if (counters === undefined || !this.#meeting) {
      this.#fetchMeeting();
      return;
    }
    this.#meeting.counters = counters;
    this.#showMeetingInfo();
  }

  /** Follow a meeting that is over again: the correction changes it. */
  async #onCorrected() {
    if (this.#stream.state.kind !== "over") return;
    await this.#fetchMeeting();
    this.#stream.resume();
  }

  #onPaint(added, before, changed) {
    this.#sentenceEditors.onChanged(changed);
    const { initialSeq, lastShownSeq, lastEngine } = this.#transcriptView;
    query(".rows").ariaBusy = String(lastShownSeq < initialSeq);
    this.#autoscroll.onContentChanged(before < initialSeq ? 0 : added);
    this.#updateLanguages();
    this.#updateEmptyNotice();
    if (lastEngine !== this.#shownEngine) this.#showMeetingInfo();
    if (this.#wantedSentence === null || lastShownSeq < initialSeq) return;
    this.#transcriptView.scrollTo(this.#wantedSentence);
    this.#wantedSentence = null;
  }

  #onStreamState({ kind }) {
    if (kind === "unknown") this.#showNotFound();
    if (kind === "over") this.#transcriptView.clearInterims();
    this.#updateLanguages();
    this.#updateEmptyNotice();
    this.#updateConnection();
  }

  #updateEmptyNotice() {
    const { kind } = this.#stream.state;
    const { initialSeq, isEmpty, lastShownSeq } = this.#transcriptView;
    const isUpToDate = (kind === "live" || kind === "over") && lastShownSeq >= initialSeq;
    this.#emptyNotice.hidden = !(isUpToDate && isEmpty);
    this.#emptyNotice.textContent = kind === "over" ? "Nothing was said." : "Nothing has been said yet.";
  }

  #updateConnection() {
    const { state } = this.#stream;
    const { label, detail } = describeConnection(state, this.#meeting);
    const line = query(".connection");
    line.dataset.state = state.kind;
    // Screen readers announce each change of the label, so an equal one is not set again.
    if (line.firstElementChild.textContent !== label) line.firstElementChild.textContent = label;
    const { text, isBehind } = state.kind === "live" ? this.#progress() : { text: detail ?? "", isBehind: false };
    line.lastElementChild.textContent = text;
    line.lastElementChild.classList.toggle("behind", isBehind);
    // Without a connection, a caption may have been made and not received.
    if (state.kind === "live") this.#transcriptView.markLate();
  }

  #progress() {
    if (this.#isReachable) return meetingProgress(this.#meeting, this.#previousMeeting);
    return { text: "progress unknown", isBehind: true };
  }

  /** Fetch the meeting and show it. Returns the error if the request failed. */
  async #fetchMeeting() {
    try {
      this.#meeting = await getJson(this.#path);
    } catch (error) {
      this.#isReachable = false;
      return error;
    }
    this.#isReachable = true;
    const title = this.#meeting.title || "Untitled meeting";
    document.title = `${title} · Parley`;
    query("h1").textContent = title;
    this.#showMeetingInfo();
    this.#updateLanguages();
  }

  #showMeetingInfo() {
    if (!this.#meeting) return;
    this.#shownEngine = this.#transcriptView.lastEngine;
    this.#meetingInfo.show(this.#meeting, this.#modelsText, this.#shownEngine);
  }

  async #poll() {
    const { kind } = this.#stream.state;
    const mayResume = kind === "over" && this.#meeting.status === "timed_out";
    // A connector ends after its meeting.
    const mayEnd = kind === "over" && this.#meeting.connector && isConnectorOpen(this.#meeting.connector);
    if (document.hidden || (kind !== "live" && !mayResume && !mayEnd)) return;
    const previous = this.#meeting;
    await this.#fetchMeeting();
    this.#previousMeeting = previous;
    if (mayResume && !this.#isComplete) this.#stream.resume();
  }

  /** Update the page after a change of its languages, of the text to show, or of whether captions are still to come. */
  #updateLanguages() {
    if (!this.#meeting) return;
    const { source_language: source, target_languages: targets } = this.#meeting.config;
    const sourceLanguage = source === "auto" ? "" : source;
    const languages = [...new Set([...targets, ...this.#transcriptView.languages])];
    const language = this.#columnHeaders.selectLanguage(languages);
    const isExpected = targets.includes(language) && this.#stream?.state.kind !== "over";
    const view = language === null ? "source" : this.#columnHeaders.selectView(this.#meeting.connector?.display_mode);
    const currentLanguages = JSON.stringify([sourceLanguage, languages, language, isExpected, view]);
    if (currentLanguages === this.#lastLanguages) return;
    this.#lastLanguages = currentLanguages;
    query(".transcript").dataset.view = view;
    this.#columnHeaders.show(sourceLanguage, language, languages, view);
    this.#meetingInfo.showExports(this.#path, language, view);
    // Without a language, the source text is read out.
    this.#transcriptView.setReader({ language: view === "source" ? null : language, isExpected, sourceLanguage });
  }

  #showNotFound() {
    document.title = "No such meeting · Parley";
    query("h1").textContent = "There is no such meeting";
    query(".unknown").hidden = false;
    for (const selector of [".connection", ".meeting-info", ".notes", ".insights", ".chat", ".transcript", ".scroll-to-latest"]) query(selector).hidden = true;
  }
}
