/**
 * Unsaved work in this browser, so that a closed tab loses nothing. Of a programme of four hours only what changed is
 * kept: paragraphs that are still those of the version that was opened are kept as their numbers.
 */

import { debounce } from "./time.js";

export class Drafts {
  constructor(key, model) {
    Object.assign(this, { name: `airscript:draft:${key}`, model });
    this.later = debounce(() => this.keep(), 400);
    model.addEventListener("change", () => this.later());
    addEventListener("pagehide", () => this.keep());
    document.addEventListener("visibilitychange", () => document.hidden && this.keep());
  }

  keep() {
    const { model } = this;
    if (!model.isChanged) return this.drop();
    const places = new Map(model.base.paragraphs.map((paragraph, k) => [paragraph, k]));
    const draft = {
      review: model.doc.review?.number ?? null,
      sha256: model.doc.machine_sha256,
      at: new Date().toISOString(),
      speakers: model.speakers,
      paragraphs: model.paragraphs.map((paragraph) => places.get(paragraph) ?? paragraph),
    };
    try {
      localStorage.setItem(this.name, JSON.stringify(draft));
    } catch {
      this.model.dispatchEvent(new Event("full")); // the browser's storage is full or switched off
    }
  }

  drop() {
    localStorage.removeItem(this.name);
  }

  read() {
    try {
      const draft = JSON.parse(localStorage.getItem(this.name));
      return draft?.sha256 === this.model.doc.machine_sha256 ? draft : null;
    } catch {
      return null;
    }
  }
}

/** The state that a draft holds, on the paragraphs of the version that it was made from. */
export function restored(draft, base) {
  const paragraphs = draft.paragraphs.map((kept) => {
    if (typeof kept === "number") return base.paragraphs[kept];
    return { ...kept, id: base.paragraphs.find((paragraph) => paragraph.s === kept.s)?.id ?? kept.id };
  });
  return { speakers: draft.speakers, paragraphs: withOwnIds(paragraphs) };
}

/** Paragraphs with ids that no other has: those of a draft were counted in another tab. */
export function withOwnIds(paragraphs) {
  const seen = new Set();
  return paragraphs.map((paragraph) => {
    let { id } = paragraph;
    while (seen.has(id)) id += 1_000_000;
    seen.add(id);
    return id === paragraph.id ? paragraph : { ...paragraph, id };
  });
}
