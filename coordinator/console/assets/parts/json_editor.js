// A text area that knows JSON: it says at once what is wrong and where, and indents.

import { h } from "../core/dom.js";
import { readJson } from "./json_text.js";

export class JsonEditor {
  constructor(redraw, text = "") {
    this.redraw = redraw;
    this.text = text;
  }

  get read() {
    return readJson(this.text);
  }

  view(label, submit) {
    const { problem, line, column } = this.read;
    return h("div", { class: "editor" },
      h("div", { class: "editor-head" }, h("label", { for: "json" }, label),
        h("button", { type: "button", class: "plain small", disabled: Boolean(problem), onclick: () => this.indent() }, "Indent")),
      h("textarea", {
        id: "json", class: "code", rows: "10", spellcheck: "false", autocomplete: "off", autocapitalize: "off", value: this.text,
        "aria-invalid": String(Boolean(problem)), "aria-describedby": "json-problem",
        oninput: (event) => { this.text = event.target.value; this.redraw(); },
        onkeydown: (event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            submit();
          }
        },
      }),
      h("p", { class: "problem", id: "json-problem", "aria-live": "polite" }, problem ? `Line ${line}, column ${column}: ${problem}` : ""));
  }

  indent() {
    const { value } = this.read;
    this.text = JSON.stringify(value, null, 2);
    this.redraw();
  }
}

/** A first value for a JSON schema, so that nobody begins with nothing. Pure; `depth` ends recursion. */
export function example(schema, depth = 0) {
  if (!schema || typeof schema !== "object" || depth > 6) return {};
  if (schema.default !== undefined) return schema.default;
  if (Array.isArray(schema.examples) && schema.examples.length) return schema.examples[0];
  if (Array.isArray(schema.enum) && schema.enum.length) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "string") return "";
  if (type === "number" || type === "integer") return 0;
  if (type === "boolean") return false;
  if (type === "null") return null;
  if (type === "array") return [];
  const properties = schema.properties && typeof schema.properties === "object" ? Object.entries(schema.properties) : [];
  const required = Array.isArray(schema.required) ? new Set(schema.required) : null;
  return Object.fromEntries(properties.filter(([name]) => !required || required.has(name)).map(([name, of]) => [name, example(of, depth + 1)]));
}
