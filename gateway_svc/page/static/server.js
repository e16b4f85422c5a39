// Requests to the gateway, with the session's CSRF token; failures are Problems that tell what, where and how to fix it.

/** Why the gateway did not do what was asked. */
export class Problem extends Error {
  constructor(status, told) {
    super(told.what || told.title || `The gateway answered ${status}`);
    this.status = status;
    this.reason = told.why || "";
    this.hint = told.hint || "";
    this.detail = told.detail || this.message;
  }
}

let session = { signedIn: false, asksForToken: false, csrfToken: "", viewerUrl: "", version: "" };

/** What the gateway said of the session. */
export function currentSession() {
  return session;
}

/** Ask for the session anew. */
export async function loadSession() {
  session = await request("GET", "/api/session");
  return session;
}

/** Begin a session with the token of the installation. */
export async function signIn(token) {
  session = await request("POST", "/api/session", { token });
}

/** End it. */
export async function signOut() {
  session = await request("DELETE", "/api/session");
}

/** The JSON at a path. */
export function get(path, signal) {
  return request("GET", path, undefined, signal);
}

/** Ask for something to be done. A session that has ended meanwhile is begun anew where no token is needed. */
export async function post(path, body = {}) {
  try {
    return await request("POST", path, body);
  } catch (problem) {
    if (problem.reason !== "CSRF_TOKEN_MISSING") throw problem;
    await loadSession();
    return request("POST", path, body);
  }
}

/** A POST whose answer comes line by line, each a JSON document that is given to `onLine`. */
export async function postLines(path, body, signal, onLine) {
  const headers = { "content-type": "application/json", "x-csrf-token": session.csrfToken };
  const answer = await reach(path, { method: "POST", headers, body: JSON.stringify(body), signal, credentials: "same-origin" });
  if (!answer.ok) throw await problemOf(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) onLine(JSON.parse(line));
  }
}

/** A GET whose body the caller reads. */
export async function fetchBody(path, headers, signal) {
  const answer = await reach(path, { headers, signal, credentials: "same-origin" });
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function request(method, path, body, signal) {
  const headers = { accept: "application/json" };
  if (method !== "GET") headers["x-csrf-token"] = session.csrfToken;
  if (body !== undefined) headers["content-type"] = "application/json";
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await reach(path, { method, headers, body: sent, signal, credentials: "same-origin" });
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { what: "The gateway does not answer", hint: "It is tried again by itself." });
  }
}

async function problemOf(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // A proxy in between answers as it likes.
  }
  const problem = new Problem(answer.status, told);
  if (answer.status === 401) window.dispatchEvent(new CustomEvent("signed-out"));
  return problem;
}
