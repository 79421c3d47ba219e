// Numbers and times as people read them. Pure.

const NONE = "–";

/** 1234567 -> "1,234,567"; fractions only below 10. */
export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  return Math.round(value).toLocaleString("en-US");
}

/** A rate per second: two figures that mean something. */
export function rate(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (value === 0) return "0";
  if (value < 0.1) return "<0.1";
  if (value < 10) return value.toFixed(1);
  return count(value);
}

/** 0.0123 -> "1.2 %". */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return NONE;
  const value = share * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** Milliseconds with the unit that suits them. */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return NONE;
  if (ms === 0) return "0 ms";
  if (ms < 0.001) return "<1 µs";
  if (ms < 1) return `${figures(ms * 1000)} µs`;
  if (ms < 1000) return `${figures(ms)} ms`;
  if (ms < 60_000) return `${figures(ms / 1000)} s`;
  return span(ms);
}

function figures(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A long time in its two greatest units: "3 d 4 h". */
export function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  let rest = seconds;
  const parts = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0 || parts.length === 0) parts.push(`${amount} ${unit}`);
  }
  return parts.join(" ");
}

export function bytes(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  let amount = value;
  while (amount >= 1024 && index < units.length - 1) {
    amount /= 1024;
    index += 1;
  }
  return `${index === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${units[index]}`;
}

/** "12 s ago", "in 3 min"; `now` and `time` in ms. */
export function ago(time, now) {
  if (!time) return NONE;
  const past = now - time;
  if (Math.abs(past) < 1000) return "now";
  const text = span(Math.abs(past)).split(" ").slice(0, 2).join(" ");
  return past > 0 ? `${text} ago` : `in ${text}`;
}

/** The exact local time, with milliseconds and zone. */
export function exact(ms) {
  if (!ms) return "";
  const date = new Date(ms);
  const zone = -date.getTimezoneOffset();
  const sign = zone < 0 ? "−" : "+";
  const hours = pad(Math.floor(Math.abs(zone) / 60));
  return `${day(date)} ${clock(ms)} UTC${sign}${hours}:${pad(Math.abs(zone) % 60)}`;
}

/** 14:03:22.123 */
export function clock(ms) {
  const date = new Date(ms);
  return `${time(ms)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** 14:03:22 */
export function time(ms) {
  const date = new Date(ms);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

function day(date) {
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

function pad(value) {
  return String(value).padStart(2, "0");
}

export function plural(amount, one, many = `${one}s`) {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

/** [[0,127],[256,256]] -> "0–127, 256". */
export function ranges(pairs) {
  return pairs.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`)).join(", ");
}
