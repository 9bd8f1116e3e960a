// Compares web/types.d.ts with the contract: each interface must have the fields of its message, with their types in
// canonical JSON.

import { readFile } from 'node:fs/promises';

const SCALARS = { uint64: 'string', fixed64: 'string', bytes: 'string', string: 'string', uint32: 'number', bool: 'boolean' };
const camel = (name) => name.replace(/_(\w)/g, (_, c) => c.toUpperCase());

/** The text between the brace at the end of `head` and its partner. */
function block(text, from) {
  let depth = 1;
  let at = from;
  for (; depth > 0; at++) depth += text[at] === '{' ? 1 : text[at] === '}' ? -1 : 0;
  return text.slice(from, at - 1);
}

/** The differences, in words. */
export async function differences(protoFile, typesFile) {
  const proto = (await readFile(protoFile, 'utf8')).replace(/\/\/.*/g, '');
  const types = (await readFile(typesFile, 'utf8')).replace(/\/\/.*/g, '');
  const enums = {};
  for (const [, name, body] of proto.matchAll(/enum (\w+) \{([^}]*)\}/g)) enums[name] = [...body.matchAll(/(\w+)\s*=/g)].map((m) => `'${m[1]}'`).join(' | ');
  const messages = {};
  for (const match of proto.matchAll(/\bmessage (\w+) \{/g)) {
    const fields = {};
    const body = block(proto, match.index + match[0].length).replace(/(enum|message) \w+ \{[^}]*\}/g, '');
    for (const [, repeated, type, name] of body.matchAll(/(repeated )?([\w.]+) (\w+) = \d+;/g)) {
      fields[camel(name)] = (SCALARS[type] ?? enums[type] ?? type) + (repeated ? '[]' : '');
    }
    messages[match[1]] = fields;
  }
  const faults = [];
  const interfaces = [...types.matchAll(/interface (\w+) \{([^}]*)\}/g)];
  if (interfaces.length < 20) faults.push(`only ${interfaces.length} interfaces were found`);
  for (const [, name, body] of interfaces) {
    const fields = Object.fromEntries([...body.matchAll(/(\w+)\?: (.*);/g)].map((m) => [m[1], m[2]]));
    if (!messages[name]) faults.push(`the contract has no message ${name}`);
    for (const field of new Set([...Object.keys(fields), ...Object.keys(messages[name] ?? {})])) {
      const [ours, theirs] = [fields[field], messages[name]?.[field]];
      if (ours !== theirs) faults.push(`${name}.${field} is ${ours ?? 'missing'} in types.d.ts, and ${theirs ?? 'missing'} in the contract`);
    }
  }
  return faults;
}
