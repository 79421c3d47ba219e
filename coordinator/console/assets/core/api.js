// Requests to the coordinator that served this page.

import { getToken } from "./session.js";

const TIMEOUT = 35_000; // ms: calls may take 30 s

/** `status` 0: the server was not reached. `code` is the server's, if it said one; `details` what else it said. */
export class Failure extends Error {
  constructor(status, code, message, details = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/** GET; `query` without its empty values. */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return request("GET", text ? `${path}?${text}` : path, undefined, signal);
}

export function post(path, body = {}) {
  return request("POST", path, body);
}

export function put(path, body) {
  return request("PUT", path, body);
}

export function remove(path) {
  return request("DELETE", path);
}

async function request(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  if (getToken()) headers.Authorization = `Bearer ${getToken()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: signal || AbortSignal.timeout(TIMEOUT),
    });
  } catch (error) {
    if (signal && signal.aborted) throw error;
    throw new Failure(0, "unreachable", "The coordinator does not answer.");
  }
  const text = await response.text();
  const answer = parsed(text);
  if (!response.ok) {
    const { error = {}, ...details } = answer || {};
    throw new Failure(response.status, error.code || "", error.message || meaning(response.status), details);
  }
  return answer;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function meaning(status) {
  if (status === 401) return "This needs a token.";
  if (status === 403) return "The token does not allow this.";
  if (status === 404) return "There is no such thing (any more).";
  if (status === 429) return "Too many requests. Try again in a moment.";
  return `The coordinator answered with status ${status}.`;
}

/** A path segment of anything. */
export function segment(text) {
  return encodeURIComponent(text);
}
