// Log records that came so far, newest first. Pure.

export const MOST_LOGS = 2000;

const LEVELS = [[21, "fatal", "bad"], [17, "error", "bad"], [13, "warn", "warn"], [9, "info", ""], [5, "debug", "dim"], [0, "trace", "dim"]];

/** [word, kind] of a severity number. */
export function level(number) {
  const [, word, kind] = LEVELS.find(([least]) => number >= least) || LEVELS[LEVELS.length - 1];
  return [word, kind];
}

const MADE_UP = /^[0-9a-f]{8}-[0-9a-f]{4}-/; // an instance that nobody named

/** Who wrote a record: the name its logger was given, or that of its process. */
export function writer(record) {
  return (record.attributes || {})["service.name"] || record.service_name;
}

/** The node of the cluster a record is from; "" for those of workers. */
export function nodeOf(record) {
  const id = (record.resource || {})["service.instance.id"] || "";
  return MADE_UP.test(id) ? "" : id;
}

export class Tail {
  constructor() {
    this.clear();
  }

  clear() {
    this.logs = [];
    this.known = new Set();
  }

  /** Adds what is new of `records`; returns how many that were. Records that say the same at the same time are told apart by count. */
  add(records) {
    const seen = new Map();
    const fresh = [];
    for (const record of records) {
      const same = `${record.timestamp_unix_nano} ${record.span_id} ${record.service_name} ${record.body}`;
      const repeat = seen.get(same) || 0;
      seen.set(same, repeat + 1);
      const key = `${same} ${repeat}`;
      if (!this.known.has(key)) fresh.push({ record, key, at: record.timestamp_unix_nano || record.observed_timestamp_unix_nano });
    }
    if (fresh.length === 0) return 0;
    for (const one of fresh) this.known.add(one.key);
    this.logs = [...fresh, ...this.logs].sort((a, b) => b.at - a.at);
    for (const gone of this.logs.splice(MOST_LOGS)) this.known.delete(gone.key);
    return fresh.length;
  }
}

/** Those with all words of `text` in body, service, node or attributes. */
export function withText(logs, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return logs;
  return logs.filter(({ record }) => {
    const all = `${record.body} ${record.service_name} ${nodeOf(record)} ${JSON.stringify(record.attributes || {})}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}
