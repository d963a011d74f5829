/**
 * Two people edited the same version: what each of them changed is put together, and where both changed the same
 * words, a person chooses. Works on words; a word's speaker belongs to it.
 */

/** Words of a version in a row, each with the id and the speaker of its paragraph. */
function flat({ paragraphs }, names) {
  return paragraphs.flatMap((paragraph) => paragraph.words.map((word, k) => ({
    word, paragraph, isFirst: !k, key: `${word.t}\u0000${names(paragraph.speaker)}`,
  })));
}

/**
 * Merge three versions {paragraphs, speakers}.
 * Returns parts in order: {same: tokens}, or {mine: tokens, theirs: tokens, base: tokens} where both changed.
 */
export function merge(base, mine, theirs) {
  const tokens = [base, mine, theirs].map((version) => flat(version, (id) => id ?? ""));
  const [b, m, t] = tokens;
  const inMine = matches(b, m), inTheirs = matches(b, t);
  const parts = [];
  let i = 0, j = 0, k = 0;
  const add = (ib, im, it) => {
    const [old, our, their] = [b.slice(i, ib), m.slice(j, im), t.slice(k, it)];
    if (equal(our, their) || equal(old, their)) push(parts, our);
    else if (equal(old, our)) push(parts, their);
    else parts.push({ mine: our, theirs: their, base: old });
    [i, j, k] = [ib, im, it];
  };
  for (let at = 0; at < b.length; at++) {
    if (inMine[at] < 0 || inTheirs[at] < 0) continue;
    add(at, inMine[at], inTheirs[at]);
    const isFirst = m[j].isFirst !== b[at].isFirst ? m[j].isFirst : t[k].isFirst;
    push(parts, [{ ...m[j], isFirst }]);
    [i, j, k] = [at + 1, j + 1, k + 1];
  }
  add(b.length, m.length, t.length);
  return parts;
}

function push(parts, tokens) {
  if (!tokens.length) return;
  if (parts.at(-1)?.same) parts.at(-1).same.push(...tokens);
  else parts.push({ same: [...tokens] });
}

const equal = (a, b) => a.length === b.length && a.every((token, k) => token.key === b[k].key);

/** Paragraphs of chosen tokens. */
export function assemble(tokens) {
  const paragraphs = [];
  for (const { word, paragraph, isFirst } of tokens) {
    const last = paragraphs.at(-1);
    if (last && !isFirst && last.speaker === paragraph.speaker) {
      last.words.push(word);
      last.e = Math.max(last.e, word.e);
    } else paragraphs.push({ ...paragraph, s: word.s, e: Math.max(word.e, word.s), words: [word] });
  }
  const seen = new Set();
  for (const paragraph of paragraphs) {
    while (seen.has(paragraph.id)) paragraph.id += 1_000_000; // parts of one paragraph that now stand apart
    seen.add(paragraph.id);
  }
  return inOrder(paragraphs);
}

/** Times that never decrease: two people may have moved words apart. */
function inOrder(paragraphs) {
  let s = 0, e = 0;
  for (const paragraph of paragraphs)
    paragraph.words = paragraph.words.map((word) => {
      if (word.n) return word;
      const [start, end] = [Math.max(word.s, s), Math.max(word.e, e)];
      [s, e] = [start, end];
      return start === word.s && end === word.e ? word : { ...word, s: start, e: Math.max(start, end) };
    });
  return paragraphs;
}

/** Speakers of both; a name that one of them changed wins over the base's, mine over theirs. */
export function mergeSpeakers(base, mine, theirs) {
  const named = (speakers, id) => speakers.find((speaker) => speaker.id === id);
  const ids = [...new Set([...mine, ...theirs].map((speaker) => speaker.id))];
  return ids.map((id) => {
    const [b, m, t] = [named(base, id), named(mine, id), named(theirs, id)];
    return m && (!t || m.name !== b?.name) ? m : t;
  });
}

/** For each token of `a` its place in `b` in a shortest edit script; -1 for none. Myers' algorithm, ends first. */
export function matches(a, b) {
  const found = new Int32Array(a.length).fill(-1);
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head].key === b[head].key) found[head] = head++;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail).key === b.at(-1 - tail).key) {
    tail++;
    found[a.length - tail] = b.length - tail;
  }
  const n = a.length - head - tail, m = b.length - head - tail;
  for (const [i, j] of script((i, j) => a[head + i].key === b[head + j].key, n, m)) found[head + i] = head + j;
  return found;
}

const MAX_EDITS = 4000; // two versions further apart than this are one conflict where they differ

function script(isEqual, n, m) {
  const trace = [];
  let reach = new Map([[1, 0]]);
  for (let d = 0; d <= Math.min(n + m, MAX_EDITS); d++) {
    const next = new Map();
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? reach.get(k + 1) ?? 0 : (reach.get(k - 1) ?? 0) + 1;
      while (x < n && x - k < m && x - k >= 0 && isEqual(x, x - k)) x++;
      next.set(k, x);
      if (x >= n && x - k >= m) return backwards([...trace, next], n, m);
    }
    trace.push(next);
    reach = next;
  }
  return [];
}

function backwards(trace, n, m) {
  const pairs = [];
  let x = n, y = m;
  for (let d = trace.length - 1; d > 0; d--) {
    const before = trace[d - 1], k = x - y;
    const down = k === -d || (k !== d && (before.get(k - 1) ?? -1) < (before.get(k + 1) ?? -1));
    const from = down ? k + 1 : k - 1;
    const fromX = before.get(from), fromY = fromX - from;
    while (x > fromX && y > fromY && x > (down ? fromX : fromX + 1)) pairs.push([--x, --y]);
    [x, y] = [fromX, fromY];
  }
  while (x > 0 && y > 0) pairs.push([--x, --y]);
  return pairs.reverse();
}
