// Who we are to the server: the token, and what it lets us do.

const KEY = "iii-console-token";

let token = "";

/** Takes the token of `#token=...` out of the address bar, or the one this tab had before. */
export function readToken() {
  const match = /^#token=([^&/]+)/.exec(location.hash);
  if (match) {
    setToken(decodeURIComponent(match[1]));
    history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  } else {
    token = stored();
  }
}

export function getToken() {
  return token;
}

/** An empty one forgets. */
export function setToken(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // A browser without storage: the token lasts until the page is closed.
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY) || "";
  } catch {
    return "";
  }
}
