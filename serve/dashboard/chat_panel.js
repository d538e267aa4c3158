// The panel of questions about a meeting. Each claim of an answer leads to the sentences that it rests on.

import { getJson, sendJson } from "./api.js";
import { formatCount, formatOffset } from "./format.js";

const API = "/api/intelligence";
const WAIT_S = 60;
const ANSWER_TIMEOUT_MS = (WAIT_S + 10) * 1000;
const RETRY_MS = 2_000;
const MAX_READ_FAILURES = 60;
const SUPPORT_REMARKS = { unsupported: "these sentences don't say so", unchecked: "not checked against these sentences" };

const template = document.getElementById("answer");

export class ChatPanel {
  #panel;
  #meetingId;
  #showSentence;
  #conversationId;

  /**
   * @param panel the element of the panel.
   * @param meetingId the meeting's id.
   * @param showSentence is called with the id of the sentence that the reader wants to see.
   */
  constructor(panel, meetingId, showSentence) {
    this.#panel = panel;
    this.#meetingId = meetingId;
    this.#showSentence = showSentence;
    panel.addEventListener("toggle", () => panel.open && this.#loadSuggestions());
    this.#part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
  }

  async #loadSuggestions() {
    if (this.#part("datalist").childElementCount) return;
    try {
      const { suggestions } = await getJson(`${API}/sessions/${this.#meetingId}/agent/suggestions`);
      this.#part("datalist").replaceChildren(...suggestions.map((text) => new Option(text, text)));
    } catch {
      // Without suggestions the reader asks in their own words.
    }
  }

  async #ask() {
    const field = this.#part("form").elements.question;
    const question = field.value.trim();
    if (!question || field.readOnly) return;
    field.readOnly = true;
    const item = this.#addItem(question);
    try {
      this.#conversationId ??= (await sendJson("POST", `${API}/sessions/${this.#meetingId}/agent/conversations`, {})).id;
      const path = `${API}/agent/conversations/${this.#conversationId}/messages?wait_s=${WAIT_S}`;
      let message = await sendJson("POST", path, { question }, ANSWER_TIMEOUT_MS);
      while (message.status === "pending") {
        message = await this.#readAnswer(message.id);
      }
      this.#showAnswer(item, message);
      if (message.status === "ready") field.value = "";
    } catch (error) {
      // A conversation that was deleted or is full takes no question: the next one begins another.
      if (error.status === 404 || error.reason === "limit") this.#conversationId = undefined;
      this.#showProblem(item, `There is no answer: ${error.message}`);
    }
    field.readOnly = false;
    // The reader may have gone on reading meanwhile.
    if (document.activeElement === document.body) field.focus();
  }

  /** Wait for the answer to a question. While the server can't be reached, it is asked again. */
  async #readAnswer(id) {
    for (let failures = 0; ; failures++) {
      try {
        return await getJson(`${API}/agent/messages/${id}?wait_s=${WAIT_S}`, ANSWER_TIMEOUT_MS);
      } catch (error) {
        if (error.status === 404 || failures === MAX_READ_FAILURES) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #addItem(question) {
    const item = document.importNode(template.content.firstElementChild, true);
    item.querySelector(".question").textContent = question;
    item.querySelector(".remark").textContent = "Answering…";
    this.#part("ol").append(item);
    item.scrollIntoView({ block: "nearest" });
    return item;
  }

  #showAnswer(item, { status, claims, text, reason, reach, dropped_claims: droppedClaims, dropped_sentences: droppedSentences }) {
    if (status !== "ready") {
      this.#showProblem(item, `There is no answer: ${reason}`);
      return;
    }
    const content = item.querySelector(".content");
    content.replaceChildren(...claims.map((claim) => this.#claim(claim)));
    if (!claims.length) content.textContent = text;
    const remarks = [
      reach.until_s !== null && `As of ${formatOffset(reach.until_s)}`,
      reach.read < reach.sentences && `${reach.read} of ${formatCount(reach.sentences, "sentence")} read`,
      reach.behind > 0 && `${formatCount(reach.behind, "entry", "entries")} not processed yet`,
      droppedClaims > 0 && `${formatCount(droppedClaims, "claim")} left out: they name no sentence`,
      droppedSentences > 0 && `${formatCount(droppedSentences, "named sentence")} left out: they don't exist`,
    ];
    item.querySelector(".remark").textContent = remarks.filter(Boolean).join(" · ");
  }

  #claim({ text, sentences, support }) {
    const line = document.createElement("p");
    line.dir = "auto";
    line.append(text, " ");
    line.classList.toggle("unsupported", support !== "supported");
    for (const [index, { sentence_id: id, speaker, text: spoken, changed }] of sentences.entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `[${index + 1}]`;
      button.title = `${speaker}: ${spoken}`;
      button.ariaLabel = `Show the sentence of ${speaker}: ${spoken}`;
      button.addEventListener("click", () => this.#showSentence(id));
      line.append(button);
      if (changed) line.append(" (changed since the answer)");
    }
    if (SUPPORT_REMARKS[support]) line.append(` (${SUPPORT_REMARKS[support]})`);
    return line;
  }

  #showProblem(item, text) {
    const remark = item.querySelector(".remark");
    remark.textContent = text;
    remark.classList.add("problem");
  }

  #part(selector) {
    return this.#panel.querySelector(selector);
  }
}
