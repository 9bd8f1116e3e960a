// @ts-check
// Finds links and mentions in a text. Pure logic, in linear time.

/** @typedef {{text: string} | {text: string, href: string}} Piece */

const LABEL_MAX = 72;

/**
 * Splits a text at its links. Only http and https are links, and never with a user name in them. A link shows the parsed
 * host, in ASCII: the one that the browser would connect to.
 * @param {string} text @returns {Piece[]}
 */
export function pieces(text) {
  /** @type {Piece[]} */
  const out = [];
  let from = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"'`\\^{}|\u0000-\u0020\u200b-\u200f\u2028-\u202e\u2060-\u2069]+/gi)) {
    const at = match.index;
    if (at > 0 && /[\p{L}\p{N}_]/u.test(text[at - 1])) continue;
    const raw = withoutEnd(match[0]);
    const url = parsed(raw);
    if (!url) continue;
    if (at > from) out.push({ text: text.slice(from, at) });
    const rest = url.pathname === '/' && !url.search && !url.hash ? '' : url.pathname + url.search + url.hash;
    const label = url.host + rest;
    out.push({ text: label.length > LABEL_MAX ? `${label.slice(0, LABEL_MAX)}…` : label, href: url.href });
    from = at + raw.length;
  }
  if (from < text.length) out.push({ text: text.slice(from) });
  return out;
}

/** @param {string} raw */
function parsed(raw) {
  // With a user name before the host, a link could look like one to another host.
  if (/^[^/]*\/\/[^/?#]*@/.test(raw)) return null;
  try {
    const url = new URL(raw);
    return (url.protocol === 'http:' || url.protocol === 'https:') && !url.username && !url.password && url.hostname ? url : null;
  } catch {
    return null;
  }
}

/** Removes the punctuation of the sentence around a link. @param {string} raw */
function withoutEnd(raw) {
  let open = 0;
  for (const c of raw) open += c === '(' || c === '[' ? 1 : c === ')' || c === ']' ? -1 : 0;
  let end = raw.length;
  for (; end > 0; end--) {
    const c = raw[end - 1];
    if ('.,;:!?*_~…。，、！？：'.includes(c)) continue;
    if ((c === ')' || c === ']') && open < 0) open++;
    else break;
  }
  return raw.slice(0, end);
}

const MENTIONS_MAX = 20;
const ENDS = /[.,;:!?)\]}"'…。，、！？：]+$/;

/**
 * The names that a text mentions; `*` is everybody. `known` are the names of people, which may contain blanks; any other
 * word after an `@` counts too. The rules are those of the terminal client.
 * @param {string} text @param {Iterable<string>} known @returns {string[]}
 */
export function mentioned(text, known) {
  const names = new Set();
  const people = [...known].sort((a, b) => b.length - a.length);
  for (const match of text.matchAll(/@/g)) {
    const at = match.index;
    if (at > 0 && /[\p{L}\p{N}@_.+-]/u.test(text[at - 1])) continue;
    const rest = text.slice(at + 1, at + 200);
    const word = (rest.match(/^\S+/)?.[0] ?? '').replace(ENDS, '');
    const person = people.find((name) => name.length >= word.length && rest.startsWith(name) && !/^[\p{L}\p{N}_]/u.test(rest.slice(name.length)));
    const name = person ?? (/^(all|everybody)$/i.test(word) ? '*' : word);
    if (name && !name.startsWith('@') && [...name].length <= 64 && names.size < MENTIONS_MAX) names.add(name);
  }
  return [...names];
}
