/** Every action has a key. Keys with Alt work everywhere; Esc and Ctrl+S too. */

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const ALT = isMac ? "⌥" : "Alt+", CTRL = isMac ? "⌘" : "Ctrl+";

/** [event.code, modifiers, action, key as shown, what it does] */
const KEYS = [
  ["Escape", "", "play", "Esc", "Play or pause"],
  ["KeyK", "alt", "play", `${ALT}K`, "Play or pause"],
  ["KeyJ", "alt", "back", `${ALT}J`, "Back 2 seconds"],
  ["KeyL", "alt", "ahead", `${ALT}L`, "Ahead 2 seconds"],
  ["ArrowUp", "alt", "faster", `${ALT}↑`, "Faster"],
  ["ArrowDown", "alt", "slower", `${ALT}↓`, "Slower"],
  ["KeyN", "alt", "nextPlace", `${ALT}N`, "Next doubtful place"],
  ["KeyN", "alt+shift", "previousPlace", `${ALT}Shift+N`, "Previous doubtful place"],
  ["KeyG", "alt", "nextSpeaker", `${ALT}G`, "Next speaker"],
  ["KeyG", "alt+shift", "previousSpeaker", `${ALT}Shift+G`, "Previous speaker"],
  ["KeyT", "alt", "here", `${ALT}T`, "Hear from the cursor"],
  ["KeyW", "alt", "toSound", `${ALT}W`, "Cursor to the word that is said"],
  ["KeyU", "alt", "turn", `${ALT}U`, "Give this turn to another speaker"],
  ["Enter", "", null, "Enter", "New turn from here (Backspace at its start joins it again)"],
  ["KeyR", "alt", "rename", `${ALT}R`, "Rename the speaker of this turn"],
  ["KeyZ", "ctrl", "undo", `${CTRL}Z`, "Undo"],
  ["KeyZ", "ctrl+shift", "redo", `${CTRL}Shift+Z`, "Redo"],
  ["KeyY", "ctrl", "redo", "", ""],
  ["KeyS", "ctrl", "save", `${CTRL}S`, "Save"],
  ["KeyH", "alt", "help", `${ALT}H`, "Show these keys"],
];

export function listen(actions) {
  addEventListener("keydown", (event) => {
    if (event.isComposing || (document.querySelector("dialog[open]") && event.code !== "KeyH")) return;
    const held = [event.altKey && "alt", (event.ctrlKey || event.metaKey) && "ctrl", event.shiftKey && "shift"].filter(Boolean).join("+");
    const found = KEYS.find(([code, modifiers, action]) => action && code === event.code && modifiers === held);
    const plain = !held && !/^(INPUT|SELECT|TEXTAREA|BUTTON|A)$/.test(event.target.tagName) && !event.target.isContentEditable;
    const action = found?.[2] ?? (plain ? { Space: "play", Slash: "help" }[event.code] : null);
    if (!actions[action]) return;
    event.preventDefault();
    actions[action]();
  });
}

export function describeKeys(list) {
  for (const [, , , key, meaning] of KEYS) {
    if (!key) continue;
    const term = document.createElement("dt"), description = document.createElement("dd");
    const shown = document.createElement("kbd");
    shown.textContent = key;
    term.append(shown);
    description.textContent = meaning;
    list.append(term, description);
  }
}
