// Requests to the server's HTTP API, with a time limit.

const TIMEOUT_MS = 8_000;

/** Fetch JSON from the server. An error response is thrown as an `Error` with its HTTP `status`. */
export async function getJson(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw Object.assign(new Error(`${path} answered ${response.status}`), { status: response.status });
  return response.json();
}
