/**
 * The text of a programme as it is edited: paragraphs of words, speakers, undo and redo. No DOM here.
 *
 * Words and paragraphs never change in place; an edit makes new ones and keeps the rest. So undo is a list of arrays
 * that share almost everything, and what must be drawn again is what is not identical.
 *
 * Word: {t: text, s, e: start and end in ms, c: confidence or null, n: true if a person typed it,
 *        o: the machine's words in whose place it stands}.
 * Paragraph: {id, speaker, s, e, suspect, words}.
 */

const MAX_UNDO = 1000;
const PARAGRAPH_PAUSE_MS = 2000;
const PARAGRAPH_WORDS = 80;
const WITHOUT_SPACES = /^(zh|yue|ja|th|lo|km|my|bo)\b/;
/** Typing within this time of the last key is undone together with it. */
const TYPING_MS = 1200;

let lastId = 0;
const newId = () => ++lastId;

export class Model extends EventTarget {
  /** @param doc the programme as `document` of its page answers. */
  constructor(doc) {
    super();
    this.load(doc);
  }

  load(doc) {
    this.doc = doc;
    this.joiner = WITHOUT_SPACES.test(doc.language) ? "" : " ";
    this.base = { paragraphs: paragraphsOf(doc), speakers: doc.speakers };
    this.state = this.base;
    this.finished = doc.review?.finished ?? false;
    this.past = [];
    this.future = [];
    this.editedAt = 0;
  }

  get paragraphs() {
    return this.state.paragraphs;
  }

  get speakers() {
    return this.state.speakers;
  }

  get isChanged() {
    return this.state !== this.base && !(same(this.state, this.base));
  }

  index(id) {
    return this.paragraphs.findIndex((paragraph) => paragraph.id === id);
  }

  text(paragraph) {
    return paragraph.words.map((word) => word.t).join(this.joiner);
  }

  /** Make a new state the present one. `kind` joins edits of one burst of typing into one step of undo. */
  commit(state, kind, caret) {
    const now = performance.now();
    const joins = kind === "type" && this.kind === "type" && now - this.editedAt < TYPING_MS && this.past.length;
    if (!joins) {
      this.past.push({ state: this.state, caret: this.caret });
      if (this.past.length > MAX_UNDO) this.past.shift();
    }
    this.future = [];
    this.kind = kind;
    this.editedAt = now;
    this.show(state, caret);
  }

  show(state, caret) {
    const before = this.state;
    this.state = state;
    this.caret = caret;
    this.dispatchEvent(new CustomEvent("change", { detail: { before, caret } }));
  }

  undo() {
    this.step(this.past, this.future);
  }

  redo() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    const found = from.pop();
    if (!found) return;
    to.push({ state: this.state, caret: this.caret });
    this.kind = "undo";
    this.show(found.state, found.caret);
  }

  /**
   * Put `text` in the place of what lies between two points, {id, offset} in characters of a paragraph's text.
   * Words that it does not touch stay as they are; of those that it touches, equal ones keep their times.
   */
  replace(from, to, text, kind = "type") {
    const first = this.index(from.id), last = this.index(to.id);
    if (first !== last && !text) text = this.joiner; // words of two turns stay apart when the turns are joined
    const begin = this.paragraphs[first], end = this.paragraphs[last];
    const head = this.touchedBefore(begin, from.offset), tail = this.touchedAfter(end, to.offset);
    const touched = first === last
      ? begin.words.slice(head.count, begin.words.length - tail.count)
      : [...begin.words.slice(head.count), ...this.paragraphs.slice(first + 1, last).flatMap((p) => p.words),
         ...end.words.slice(0, end.words.length - tail.count)];
    const before = begin.words.slice(0, head.count), after = end.words.slice(end.words.length - tail.count);
    const bounds = [before.at(-1)?.e ?? begin.s, after[0]?.s ?? Math.max(end.e, begin.s)];
    const words = [...before, ...retimed(this.tokens(head.rest + text + tail.rest), touched, bounds), ...after];
    const merged = { ...begin, e: Math.max(begin.e, end.e), words, suspect: begin.suspect || end.suspect };
    const paragraphs = this.paragraphs.toSpliced(first, last - first + 1, merged);
    const typed = head.rest + text;
    // After a space, or where a whole word was deleted, the next letter begins a word of its own.
    const beginsWord = !typed || /\s$/u.test(typed);
    const gap = Boolean(this.joiner) && beginsWord && !tail.rest;
    const shown = [...before.map((word) => word.t), ...this.tokens(typed)].join(this.joiner);
    const offset = shown.length + (shown && beginsWord && !gap ? this.joiner.length : 0);
    const caret = { id: begin.id, offset, gap };
    const isSame = first === last && words.length === begin.words.length && words.every((word, k) => word === begin.words[k]);
    if (isSame) this.show(this.state, caret);
    else this.commit({ ...this.state, paragraphs }, kind, caret);
  }

  tokens(text) {
    const parts = text.split(/\s+/u).filter(Boolean);
    return this.joiner || !parts.length ? parts : [parts.join("")];
  }

  /** How many words end before `offset`, and the characters of the next one before it. */
  touchedBefore(paragraph, offset) {
    let at = 0, count = 0;
    for (const word of paragraph.words) {
      const end = at + word.t.length;
      if (end + this.joiner.length > offset) break;
      at = end + this.joiner.length;
      count++;
    }
    return { count, rest: paragraph.words[count]?.t.slice(0, Math.max(0, offset - at)) ?? "" };
  }

  /** How many words begin after `offset`, and the characters of the one before them after it. */
  touchedAfter(paragraph, offset) {
    let at = this.text(paragraph).length, count = 0;
    for (let index = paragraph.words.length - 1; index >= 0; index--) {
      const start = at - paragraph.words[index].t.length;
      if (start - this.joiner.length < offset) {
        const rest = paragraph.words[index].t.slice(Math.max(0, Math.min(offset, at) - start));
        return { count, rest: offset > at ? "" : rest };
      }
      at = start - this.joiner.length;
      count++;
    }
    return { count, rest: "" };
  }

  /** Begin a new paragraph at a point; a word around it is cut in two. */
  split({ id, offset }) {
    const index = this.index(id), paragraph = this.paragraphs[index];
    const head = this.touchedBefore(paragraph, offset);
    const cut = paragraph.words[head.count];
    let left = paragraph.words.slice(0, head.count), right = paragraph.words.slice(head.count);
    if (cut && head.rest === cut.t) [left, right] = [[...left, cut], right.slice(1)];
    else if (cut && head.rest) {
      const [a, b] = retimed([head.rest, cut.t.slice(head.rest.length)], [cut], [cut.s, cut.e]);
      [left, right] = [[...left, a], [b, ...right.slice(1)]];
    }
    const at = right[0]?.s ?? paragraph.e;
    const upper = { ...paragraph, e: left.at(-1)?.e ?? paragraph.s, words: left };
    const lower = { ...paragraph, id: newId(), s: at, words: right };
    const paragraphs = this.paragraphs.toSpliced(index, 1, upper, lower);
    this.commit({ ...this.state, paragraphs }, "split", { id: lower.id, offset: 0 });
    return lower.id;
  }

  speaker(id) {
    return this.speakers.find((speaker) => speaker.id === id);
  }

  /** A speaker's name, or "Speaker 2" for one without. */
  name(id) {
    const index = this.speakers.findIndex((speaker) => speaker.id === id);
    return index < 0 ? "No speaker" : this.speakers[index].name || `Speaker ${index + 1}`;
  }

  rename(id, name) {
    const clean = name.trim().replace(/\s+/gu, " ");
    const speakers = this.speakers.map((speaker) => (speaker.id === id ? { ...speaker, name: clean || null } : speaker));
    this.commit({ ...this.state, speakers }, "rename", this.caret);
  }

  /** Give every turn of one speaker to another. */
  merge(id, into) {
    const paragraphs = this.paragraphs.map((p) => (p.speaker === id ? { ...p, speaker: into } : p));
    const speakers = this.speakers.filter((speaker) => speaker.id !== id);
    this.commit({ paragraphs, speakers }, "merge", this.caret);
  }

  /** Give one turn to a speaker. */
  assign(paragraphId, speaker) {
    const paragraphs = this.paragraphs.map((p) => (p.id === paragraphId ? { ...p, speaker } : p));
    this.commit({ ...this.state, paragraphs }, "assign", this.caret);
  }

  /** Give one turn to a speaker who is not listed yet. */
  assignNew(paragraphId, name) {
    const id = `P${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
    const speakers = [...this.speakers, { id, name: name.trim() || null }];
    const paragraphs = this.paragraphs.map((p) => (p.id === paragraphId ? { ...p, speaker: id } : p));
    this.commit({ paragraphs, speakers }, "assign", this.caret);
  }

  /** What `reviews` of the page takes. */
  draft(finished = this.finished) {
    return {
      based_on: { transcript_sha256: this.doc.machine_sha256, review: this.doc.review?.number ?? null },
      finished,
      speakers: this.speakers,
      segments: this.paragraphs.filter((p) => p.words.length).map((p) => ({
        speaker: p.speaker, start_ms: p.s, end_ms: Math.max(p.s, p.e),
        words: p.words.map((word) => (word.n ? [word.t, null, null] : [word.t, word.s, word.e])),
      })),
    };
  }
}

/** Paragraphs of a document. The machine's segments are joined as its text formats join them; a person's stay. */
export function paragraphsOf(doc) {
  const paragraphs = [];
  for (const { speaker, start_ms: s, end_ms: e, suspect, words } of doc.segments) {
    const own = words.map(([t, start, end, c]) => ({ t, s: start, e: end, c }));
    const last = paragraphs.at(-1);
    const joins = !doc.review && last && last.speaker === speaker && last.suspect === suspect
      && s - last.e < PARAGRAPH_PAUSE_MS && last.words.length < PARAGRAPH_WORDS;
    if (joins) {
      last.words.push(...own);
      last.e = e;
    } else paragraphs.push({ id: newId(), speaker, s, e, suspect, words: own });
  }
  if (!paragraphs.length) paragraphs.push({ id: newId(), speaker: null, s: 0, e: doc.duration_ms, suspect: false, words: [] });
  return paragraphs;
}

/** Words for `tokens` in the place of `touched` ones: equal words stay, new ones share the time of those they replace. */
export function retimed(tokens, touched, [from, to]) {
  const old = touched.flatMap((word) => word.o ?? [word]);
  const words = [];
  let i = 0, j = 0;
  for (const [a, b] of [...common(old.map((word) => word.t), tokens), [old.length, tokens.length]]) {
    const replaced = old.slice(i, a), fresh = tokens.slice(j, b);
    if (fresh.length) {
      const start = replaced[0]?.s ?? old[a - 1]?.e ?? words.at(-1)?.e ?? from;
      const end = Math.max(start, replaced.at(-1)?.e ?? old[a]?.s ?? to);
      const total = fresh.reduce((sum, token) => sum + token.length, 0);
      let at = 0;
      fresh.forEach((t, k) => {
        const o = replaced.length === fresh.length ? [replaced[k]] : k ? [] : replaced;
        const s = o.length === 1 && replaced.length === fresh.length ? o[0].s : Math.round(start + ((end - start) * at) / total);
        at += t.length;
        const e = o.length === 1 && replaced.length === fresh.length ? o[0].e : Math.round(start + ((end - start) * at) / total);
        words.push({ t, s, e, c: null, n: true, o });
      });
    }
    if (a < old.length && b < tokens.length) words.push(old[a]);
    [i, j] = [a + 1, b + 1];
  }
  return words;
}

/** Pairs of indices of a longest common subsequence. Both are as short as what one edit touches. */
function common(a, b) {
  if (a.length * b.length > 1e6) return [];
  const best = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
  const pairs = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (best[i + 1][j] >= best[i][j + 1]) i++;
    else j++;
  }
  return pairs;
}

function same(a, b) {
  return a.speakers.length === b.speakers.length && a.paragraphs.length === b.paragraphs.length
    && a.speakers.every((speaker, i) => speaker.id === b.speakers[i].id && speaker.name === b.speakers[i].name)
    && a.paragraphs.every((p, i) => p === b.paragraphs[i] || (p.speaker === b.paragraphs[i].speaker
      && p.words.length === b.paragraphs[i].words.length && p.words.every((word, k) => word === b.paragraphs[i].words[k])));
}
