// Asks the server, with patience that ends.

const PATIENCE_MS = 8_000;

/** The server's JSON answer. An answer that is an error is thrown, with its `status`. */
export async function get(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw Object.assign(new Error(`${path} answered ${response.status}`), { status: response.status });
  return response.json();
}
