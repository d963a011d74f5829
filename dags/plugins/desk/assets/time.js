/** `1:02:03`, or `2:03` below an hour. */
export function clock(ms) {
  const s = Math.floor(ms / 1000), minutes = Math.floor(s / 60);
  const two = (number) => String(number).padStart(2, "0");
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** Call `action` once, when it has not been asked for during `ms`. */
export function debounce(action, ms) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), ms);
  };
}
