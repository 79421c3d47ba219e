// JSON as people type it: where it is wrong, and what was expected there. Browsers say so each in their own way, or not. Pure.

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** {value} or {problem, line, column}; empty text is null. */
export function readJson(text) {
  if (text.trim() === "") return { value: null };
  try {
    return { value: JSON.parse(text) };
  } catch {
    const { offset, expected } = firstProblem(text);
    const before = text.slice(0, offset).split("\n");
    return { problem: `expected ${expected}`, line: before.length, column: before[before.length - 1].length + 1 };
  }
}

/** Reads as far as the text is right. States: value, first (value or ]), key, firstKey (key or }), colon, after. */
function firstProblem(text) {
  const open = [];
  let state = "value";
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at += match[0].length;
    return match !== null;
  };
  for (;;) {
    take(SPACE);
    const here = text[at];
    if ((state === "first" && here === "]") || (state === "firstKey" && here === "}") || (state === "after" && open.length && here === open[open.length - 1])) {
      open.pop();
      at += 1;
      state = "after";
    } else if (state === "value" || state === "first") {
      if (here === "{" || here === "[") {
        open.push(here === "{" ? "}" : "]");
        at += 1;
        state = here === "{" ? "firstKey" : "first";
      } else if (take(STRING) || take(SCALAR)) state = "after";
      else return { offset: at, expected: here === '"' ? "the end of this string, on its line" : state === "first" ? "a value or ]" : "a value" };
    } else if (state === "key" || state === "firstKey") {
      if (!take(STRING)) return { offset: at, expected: here === '"' ? "the end of this name, on its line" : `a name in double quotes${state === "firstKey" ? " or }" : ""}` };
      state = "colon";
    } else if (state === "colon") {
      if (here !== ":") return { offset: at, expected: "a colon" };
      at += 1;
      state = "value";
    } else if (open.length && here === ",") {
      at += 1;
      state = open[open.length - 1] === "}" ? "key" : "value";
    } else {
      return { offset: at, expected: open.length ? `a comma or ${open[open.length - 1]}` : "nothing more" };
    }
  }
}
