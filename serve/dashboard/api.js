// Requests to the server's HTTP API, with a time limit.

const TIMEOUT_MS = 8_000;

/** Fetch JSON from the server. An error response is thrown as an `Error` with its HTTP `status`. */
export async function getJson(path, timeoutMs = TIMEOUT_MS) {
  const response = await fetch(path, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw Object.assign(new Error(`${path} answered ${response.status}`), { status: response.status });
  return response.json();
}

/**
 * Send JSON to the server, and return the JSON of its answer, or null. `body` may be null. An error response is thrown as an
 * `Error` with the server's own words, its HTTP `status`, the problem's `reason` and the whole `problem`.
 */
export async function sendJson(method, path, body, timeoutMs = TIMEOUT_MS) {
  const content = body === null ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(path, { method, signal: AbortSignal.timeout(timeoutMs), ...content });
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  const error = new Error(problem.detail ?? `the server answered ${response.status}`);
  throw Object.assign(error, { status: response.status, reason: problem.reason, problem });
}
