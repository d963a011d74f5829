/** Saving a review; and when somebody else saved first, both versions put together by the person who saves second. */

import { withOwnIds } from "./drafts.js";
import { assemble, merge, mergeSpeakers } from "./merge.js";
import { Model, paragraphsOf } from "./model.js";
import { element } from "./panels.js";
import { clock } from "./time.js";

/** The text as a review left it; 0: as the machine wrote it; without a number, as it is now. */
export async function fetchDocument(review) {
  const answer = await fetch(review !== undefined ? `document?review=${review}` : "document");
  if (!answer.ok) throw new Error(await problem(answer));
  return answer.json();
}

/** What the server says is wrong. */
export async function problem(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).detail ?? text;
  } catch {
    return text || answer.statusText;
  }
}

export class Saving {
  constructor(model, drafts, say, dialog) {
    Object.assign(this, { model, drafts, say, dialog });
  }

  async save() {
    if (this.isSaving) return;
    this.isSaving = true;
    this.say("Saving …");
    try {
      await this.send();
    } catch (error) {
      this.say(`Not saved: ${error.message}. Your words stay in this browser.`, "bad");
    } finally {
      this.isSaving = false;
    }
  }

  async send() {
    const sent = this.model.state;
    const answer = await fetch("reviews", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(this.model.draft()),
    });
    if (answer.status === 409) return this.resolve(await answer.json());
    if (!answer.ok) throw new Error(await problem(answer));
    this.adopt(await answer.json(), sent);
    this.say(`Saved as review ${this.model.doc.review.number}`, "good");
    this.model.dispatchEvent(new Event("saved"));
  }

  /** Take the times that the server gave to new words; what was typed meanwhile stays unsaved. */
  adopt(doc, sent) {
    const saved = doc.segments.flatMap((segment) => segment.words);
    const given = new Map(); // word as sent → word as saved
    let at = 0;
    for (const paragraph of sent.paragraphs)
      for (const word of paragraph.words) {
        const [t, s, e, c] = saved[at++] ?? [];
        if (t === word.t && (word.n || word.s !== s || word.e !== e)) given.set(word, { t, s, e, c });
      }
    const settle = ({ speakers, paragraphs }) => ({
      speakers,
      paragraphs: paragraphs.map((paragraph) => (paragraph.words.some((word) => given.has(word))
        ? { ...paragraph, words: paragraph.words.map((word) => given.get(word) ?? word) } : paragraph)),
    });
    const { model } = this, before = model.state;
    model.doc = doc;
    model.base = settle(sent);
    model.state = before === sent ? model.base : settle(before);
    model.past = model.past.map((step) => ({ ...step, state: settle(step.state) }));
    model.future = [];
    model.dispatchEvent(new CustomEvent("change", { detail: { before, caret: null } }));
    this.drafts.keep();
  }

  /** Somebody saved first: show both, and let the person choose where both changed the same words. */
  async resolve({ review, author, created_at: savedAt }) {
    const { model } = this;
    const theirDoc = await fetchDocument(review);
    const theirs = { paragraphs: paragraphsOf(theirDoc), speakers: theirDoc.speakers };
    const parts = merge(model.base, model.state, theirs);
    const conflicts = parts.filter((part) => !part.same);
    const about = `${author} saved review ${review} at ${new Date(savedAt).toLocaleString()}, after you had begun. `
      + (conflicts.length ? `Both of you changed the same words in ${conflicts.length === 1 ? "one place" : `${conflicts.length} places`}: choose.`
        : "You changed different words: nothing is lost when both are put together.");
    const choices = await this.ask(about, conflicts, author);
    if (!choices) {
      this.say(`Not saved: ${author} saved first`, "bad");
      return;
    }
    const tokens = parts.flatMap((part) => part.same ?? { mine: part.mine, theirs: part.theirs, both: [...part.theirs, ...part.mine] }[choices.shift()]);
    const speakers = mergeSpeakers(model.base.speakers, model.speakers, theirs.speakers);
    const paragraphs = withOwnIds(assemble(tokens));
    const before = model.state;
    model.doc = theirDoc;
    model.base = theirs;
    model.past.push({ state: before, caret: model.caret });
    model.show({ paragraphs, speakers }, null);
    this.drafts.keep();
    await this.send();
  }

  /** Show the conflicts; return the choice for each, or null to decide later. */
  ask(about, conflicts, author) {
    const list = this.dialog.querySelector("ol");
    this.dialog.querySelector("#merge-about").textContent = about;
    list.replaceChildren(...conflicts.map((part, k) => {
      const row = element("li"), first = part.base[0] ?? part.mine[0] ?? part.theirs[0];
      row.append(element("p", "faint", `At ${clock(first.word.s)}: “${words(part.base)}”`));
      for (const [value, label, tokens] of [["mine", "You", part.mine], ["theirs", author, part.theirs], ["both", "Both", null]]) {
        const choice = element("label"), radio = element("input");
        Object.assign(radio, { type: "radio", name: `conflict-${k}`, value, checked: value === "mine" });
        choice.append(radio, element("strong", "", label), ` ${tokens ? words(tokens) || "(deleted)" : "theirs, then yours"}`);
        row.append(choice);
      }
      return row;
    }));
    this.dialog.returnValue = "";
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => {
        const chosen = conflicts.map((_, k) => this.dialog.querySelector(`[name="conflict-${k}"]:checked`).value);
        resolve(this.dialog.returnValue === "merge" ? chosen : null);
      }, { once: true });
    });
  }
}

const words = (tokens) => tokens.map(({ word }) => word.t).join(" ");
