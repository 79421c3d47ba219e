// Addresses of pages: `#/functions/default/orders::create?view=json`. Pure, but for `go` and `replaceQuery`.

/** {path: [segments], query: {…}} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return {
    path: path.split("/").filter(Boolean).map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page; empty values of `query` are left out. */
export function to(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(path, query = {}) {
  location.hash = to(path, query);
}

/** Remembers filters in the address without a step in the history. */
export function replaceQuery(query) {
  const { path } = parse(location.hash);
  history.replaceState(null, "", to(path, query));
}
