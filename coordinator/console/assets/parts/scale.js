// Where things are on a chart. Pure.

/** The least "nice" number that is not below `value`: 1, 2 or 5 times a power of ten. */
export function niceMax(value, least = 1) {
  const wanted = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  for (const step of [1, 2, 5]) {
    if (wanted <= step * power * 1.0001) return step * power;
  }
  return 10 * power;
}

/** The path of `values` over `times`; null makes a gap. `x` and `y` turn time and value into pixels. */
export function linePath(times, values, x, y) {
  let path = "";
  let open = false;
  for (let index = 0; index < times.length; index += 1) {
    const value = values[index];
    if (value === null || value === undefined) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${x(times[index]).toFixed(1)} ${y(value).toFixed(1)}`;
    // A point between two gaps is seen, too.
    if (!open && (values[index + 1] === null || values[index + 1] === undefined)) path += "h1";
    open = true;
  }
  return path;
}

/** The index of the point nearest to `time` (ms); -1 when there are none. */
export function nearest(times, time) {
  if (times.length === 0) return -1;
  let low = 0;
  let high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle;
  }
  return time - times[low] <= times[high] - time ? low : high;
}

const MARK_WORDS = { joined: "joined", lost: "lost", left: "left", leader: "new leader", slots: "slots moved", redis: "Redis" };
const ROWS = 4; // of labels
const CHARACTER = 6.4; // px, of the labels' type
const TOGETHER = 14; // px between marks that share a line

/** Labels for marks, in rows without overlaps: [{x, row, anchor, text, marks}]; row -1: no place. Marks close together share one. */
export function placeMarks(marks, x, width, terse = false) {
  const groups = [];
  for (const mark of marks) {
    const at = x(mark.time_ms);
    const last = groups[groups.length - 1];
    if (last && at - last.x < TOGETHER) last.marks.push(mark);
    else groups.push({ x: at, marks: [mark] });
  }
  const taken = Array(ROWS).fill(-Infinity);
  for (const group of groups) {
    const texts = [label(group.marks, terse), label(group.marks, true)];
    const found = texts.some((text) => ["start", "end"].some((anchor) => place(group, text, anchor, taken, width)));
    if (!found) Object.assign(group, { text: texts[0], anchor: "start", row: -1 });
  }
  return groups;
}

/** In the first row that has room there. */
function place(group, text, anchor, taken, width) {
  const length = text.length * CHARACTER;
  const from = anchor === "end" ? group.x - length - 8 : group.x;
  if (from + length + 8 > width && anchor === "start") return false;
  const row = taken.findIndex((end) => from > end);
  if (row < 0) return false;
  taken[row] = from + length + 14;
  Object.assign(group, { text, anchor, row });
  return true;
}

function label(marks, terse) {
  const kinds = [...new Set(marks.map((mark) => mark.kind))];
  const word = (kind) => {
    if (kind === "redis") return redis(marks);
    const same = marks.filter((mark) => mark.kind === kind).length;
    return (MARK_WORDS[kind] || kind) + (same > 1 && kind !== "slots" ? ` ×${same}` : "");
  };
  if (terse) return kinds.map(word).join(", ");
  if (marks.length === 1 && marks[0].kind !== "slots" && marks[0].kind !== "redis" && marks[0].node) {
    return `${short(marks[0].node)} ${word(marks[0].kind)}`;
  }
  if (marks.length === 1 && marks[0].kind === "redis") return marks[0].text;
  return kinds.map(word).join(", ");
}

/** What the last of them says of it. */
function redis(marks) {
  const said = marks.filter((mark) => mark.kind === "redis").pop().text;
  return said === "Redis is back" ? "Redis back" : said.startsWith("Redis cannot") ? "Redis away" : said;
}

function short(node) {
  return node.length > 18 ? `${node.slice(0, 17)}…` : node;
}
