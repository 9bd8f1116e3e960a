// @ts-check
// The Connect protocol over fetch, in JSON: unary calls and the stream Follow.

const SERVICE = '/hubbub.v1.ChatService/';
// A larger envelope can't be from Hubbub.
const ENVELOPE_BYTES_MAX = 8 << 20;
const CALL_TIMEOUT_MS = 20_000;
const SLOW_MS = 5_000;

/** The failure of a call or a stream. The code is `unavailable` if no response arrived. */
export class CallError extends Error {
  /** @param {string} code @param {string} message @param {number} [retryMs] */
  constructor(code, message, retryMs = 0) {
    super(message);
    this.code = code;
    this.retryMs = retryMs;
  }

  /** Whether the same call may succeed later. */
  get passing() {
    return ['unavailable', 'resource_exhausted', 'deadline_exceeded', 'aborted', 'canceled', 'internal', 'unknown'].includes(this.code);
  }
}

/** @type {{slow: (waits: boolean) => void}} */
export const net = { slow: () => {} };

/** @param {unknown} error */
export const asCallError = (error) =>
  error instanceof CallError ? error : new CallError('unavailable', 'no answer from the server');

/** @param {Response} response */
async function failure(response) {
  const retryMs = Number(response.headers.get('retry-after') ?? 0) * 1000 || 0;
  const byStatus = { 401: 'unauthenticated', 403: 'permission_denied', 404: 'not_found', 429: 'resource_exhausted' };
  const status = response.status;
  try {
    const { code, message } = await response.json();
    if (typeof code === 'string') return new CallError(code, String(message ?? code), retryMs);
  } catch {}
  // The response is from a proxy, not from Hubbub.
  const code = /** @type {Record<number, string>} */ (byStatus)[status] ?? (status >= 500 ? 'unavailable' : 'unknown');
  return new CallError(code, `the server answered with status ${status}`, retryMs);
}

/**
 * A request for JSON. Calls that wait for a long time are reported to `net.slow`.
 * @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] @returns {Promise<any>}
 */
export async function request(method, path, body, signal) {
  const slow = setTimeout(() => net.slow(true), SLOW_MS);
  const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
  try {
    const response = await fetch(path, {
      method,
      cache: 'no-store',
      headers: body === undefined ? {} : { 'content-type': 'application/json', 'connect-protocol-version': '1' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    net.slow(false);
    if (!response.ok) throw await failure(response);
    return await response.json();
  } catch (error) {
    net.slow(false);
    throw asCallError(error);
  } finally {
    clearTimeout(slow);
  }
}

/** @param {string} method @param {object} message @param {AbortSignal} [signal] */
export const call = (method, message, signal) => request('POST', SERVICE + method, message, signal);

/**
 * Follows rooms. Ends, or throws a CallError, when the stream ends. `heard` is called whenever bytes arrive.
 * @param {Wire.FollowRequest} message @param {AbortSignal} signal @param {() => void} heard
 * @returns {AsyncGenerator<Wire.Event[]>}
 */
export async function* follow(message, signal, heard) {
  const json = new TextEncoder().encode(JSON.stringify(message));
  const body = new Uint8Array(5 + json.length);
  new DataView(body.buffer).setUint32(1, json.length);
  body.set(json, 5);
  const slow = setTimeout(() => net.slow(true), SLOW_MS);
  const response = await fetch(`${SERVICE}Follow`, {
    method: 'POST',
    cache: 'no-store',
    headers: { 'content-type': 'application/connect+json', 'connect-protocol-version': '1' },
    body,
    signal,
  }).finally(() => {
    clearTimeout(slow);
    net.slow(false);
  });
  heard();
  if (!response.ok || !response.body) throw await failure(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  /** @type {Uint8Array} */
  let bytes = new Uint8Array(0);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new CallError('unavailable', 'the connection was lost');
      heard();
      if (bytes.length) {
        const both = new Uint8Array(bytes.length + value.length);
        both.set(bytes);
        both.set(value, bytes.length);
        bytes = both;
      } else bytes = value;
      while (bytes.length >= 5) {
        const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
        if (size > ENVELOPE_BYTES_MAX) throw new CallError('internal', 'not a Hubbub server');
        if (bytes.length < 5 + size) break;
        const answer = JSON.parse(decoder.decode(bytes.subarray(5, 5 + size)));
        const last = bytes[0] & 2;
        bytes = bytes.subarray(5 + size);
        if (last) {
          if (answer.error) throw new CallError(answer.error.code ?? 'unknown', answer.error.message ?? 'the stream ended');
          return;
        }
        if (answer.events) yield answer.events;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
