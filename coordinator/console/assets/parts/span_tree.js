// Spans of a trace as rows. Pure.

export const MOST_SPANS = 10_000; // of one trace that are shown

/** Nanoseconds since 1970 are beyond exact numbers: what is shown is right to 0.3 µs. */
const NANOS = 1e6;

/**
 * Depth first, children by start: {rows, start, end, errors, services, cut}. Times in ms; a pending span ends where the trace does.
 * A row: {span, depth, index, start, end, pending, failed, children, last: index after its last descendant}.
 */
export function flatten(roots) {
  const rows = [];
  const services = new Set();
  let start = Infinity;
  let end = -Infinity;
  let errors = 0;
  let cut = false;
  // Not recursive: a trace may be as deep as it is long.
  const stack = [{ spans: sorted(roots), next: 0, row: null }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    if (top.next === top.spans.length) {
      if (top.row) top.row.last = rows.length;
      stack.pop();
      continue;
    }
    if (rows.length === MOST_SPANS) {
      cut = true;
      for (const open of stack) if (open.row) open.row.last = rows.length;
      break;
    }
    const span = top.spans[top.next++];
    const children = span.children || [];
    const row = {
      span, depth: stack.length - 1, index: rows.length, start: span.start_time_unix_nano / NANOS, end: span.end_time_unix_nano / NANOS,
      pending: !span.end_time_unix_nano, failed: span.status === "error", children: children.length, last: rows.length + 1,
    };
    rows.push(row);
    services.add(span.service_name);
    if (row.failed) errors += 1;
    start = Math.min(start, row.start);
    end = Math.max(end, row.pending ? row.start : row.end);
    if (children.length) stack.push({ spans: sorted(children), next: 0, row });
  }
  for (const row of rows) if (row.pending) row.end = end;
  return { rows, start, end, errors, services: [...services], cut };
}

function sorted(spans) {
  return [...spans].sort((a, b) => a.start_time_unix_nano - b.start_time_unix_nano);
}

/** The rows that are not inside of a folded one. */
export function unfolded(rows, folded) {
  if (folded.size === 0) return rows;
  const shown = [];
  for (let index = 0; index < rows.length;) {
    const row = rows[index];
    shown.push(row);
    index = folded.has(row.span.span_id) ? row.last : index + 1;
  }
  return shown;
}

/** Time in a span that no child covers, in ms. */
export function selfTime(rows, row) {
  const direct = [];
  for (let index = row.index + 1; index < row.last; index = rows[index].last) direct.push([Math.max(row.start, rows[index].start), Math.min(row.end, rows[index].end)]);
  let covered = 0;
  let until = row.start;
  for (const [from, to] of direct.sort((a, b) => a[0] - b[0])) {
    if (to <= Math.max(from, until)) continue; // a child may begin when its parent has ended
    covered += to - Math.max(from, until);
    until = to;
  }
  return Math.max(0, row.end - row.start - covered);
}
