// Starts servers and browsers for the tests, and ends only what it started.

import { spawn, execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const run = promisify(execFile);
const START_MS = 10_000;
export const WAIT_MS = 10_000;

/** A program of Hubbub: from the environment, or next to the server. */
export function program(name) {
  const variable = { hubbub: 'HUBBUB_CLIENT', 'hubbub-server': 'HUBBUB_SERVER', 'hubbub-repeat': 'HUBBUB_REPEAT' }[name];
  const server = process.env.HUBBUB_SERVER ?? '';
  const found = process.env[variable] || path.join(path.dirname(server), name);
  if (!server || !existsSync(found)) throw new Error(`no ${name}: set HUBBUB_SERVER to the path of hubbub-server (and ${variable}, if it is elsewhere)`);
  return path.resolve(found);
}

const BROWSERS = [process.env.HUBBUB_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export async function startBrowser() {
  const executablePath = BROWSERS.find((file) => file && existsSync(file));
  if (!executablePath) throw new Error('no Chromium: run tools/install-deps browser, or set HUBBUB_CHROMIUM to its path');
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/** Waits until `probe` gives something, and gives it. */
export async function until(what, probe, ms = WAIT_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export class Server {
  http = 0;
  grpc = 0;
  log = '';
  child = null;

  /** A server with a data folder of its own. */
  static async start(...flags) {
    const server = new Server();
    server.flags = flags;
    server.data = await mkdtemp(path.join(tmpdir(), 'hubbub-page-'));
    await server.run();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.http}`;
  }

  /** Starts it, on the same ports as before. */
  async run() {
    this.log = '';
    const args = ['--listen', `127.0.0.1:${this.grpc}`, '--http', `127.0.0.1:${this.http}`, '--data', this.data, ...this.flags];
    const child = spawn(program('hubbub-server'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    child.stdout.on('data', (bytes) => (this.log += bytes));
    child.stderr.on('data', (bytes) => (this.log += bytes));
    await until(`the server's addresses in its log:\n${this.log}`, () => {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${this.log}`);
      const http = this.log.match(/(?:HTTP on |http:\/\/)127\.0\.0\.1:(\d+)/);
      const grpc = this.log.match(/listening on 127\.0\.0\.1:(\d+)/);
      if (http && grpc) [this.http, this.grpc] = [Number(http[1]), Number(grpc[1])];
      return http && grpc;
    }, START_MS);
  }

  /** Ends it: at once, as a power cut would, or with a signal that lets it drain. */
  async kill(signal = 'SIGKILL') {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async stop() {
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  /** A call, as a program would make it. */
  async call(method, message) {
    const response = await fetch(`${this.url}/hubbub.v1.ChatService/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(message),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method}: ${answer.code}: ${answer.message}`);
    return answer;
  }

  post(room, sender, body, more = {}) {
    return this.call('PostMessage', { room, sender, body, ...more });
  }

  /** Posts many messages, in order. */
  async fill(room, count, sender = 'bob', text = (n) => `message ${n}`) {
    for (let n = 1; n <= count; n++) await this.post(room, sender, text(n));
  }

  /** All bodies of a room. */
  async bodies(room) {
    const bodies = [];
    for (let afterSeq = '0'; ; ) {
      const { events = [] } = await this.call('ListMessages', { room, pageSize: 1000, afterSeq });
      if (!events.length) return bodies;
      for (const event of events) bodies.push(event.message?.body ?? '');
      afterSeq = events.at(-1).seq;
    }
  }

  /** Runs a command of the operator. */
  async operator(...args) {
    const { stdout } = await run(program('hubbub-server'), [...args, '--data', this.data], { timeout: 10_000 });
    return stdout;
  }

  /** Runs the terminal client. */
  async client(...args) {
    const env = { ...process.env, HOME: this.data, XDG_CONFIG_HOME: this.data, HUBBUB_SERVER: '', HUBBUB_CLIENT: '' };
    const { stdout } = await run(program('hubbub'), ['--server', `127.0.0.1:${this.grpc}`, ...args], { timeout: 10_000, env });
    return stdout;
  }
}

/** Pages of one person, and every complaint of the browser about them. */
export class Person {
  complaints = [];
  /** Messages of the console that a test expects, such as those about a server that is away. */
  expected = [];

  static async enter(browser, server, name, options = {}) {
    const person = new Person();
    person.server = server;
    const { storage = {}, ...context } = options;
    person.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', timezoneId: 'Europe/Berlin', ...context });
    await person.context.addInitScript((entries) => {
      for (const [key, value] of Object.entries(entries)) if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
      addEventListener('securitypolicyviolation', (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
    }, { ...(name ? { 'hubbub.name': name } : {}), ...storage });
    return person;
  }

  async page(address = '/', { connected = true } = {}) {
    const page = await this.context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && this.complain(m.text()));
    page.on('pageerror', (e) => this.complain(String(e.stack ?? e)));
    page.on('dialog', (d) => (this.complain(`a dialog: ${d.message()}`), d.dismiss()));
    await page.goto(this.server.url + address);
    if (connected) await page.locator('#status.connected').waitFor({ state: 'attached' });
    return page;
  }

  complain(text) {
    if (!this.expected.some((pattern) => pattern.test(text))) this.complaints.push(text);
  }

  async leave() {
    await this.context.close();
    if (this.complaints.length) throw new Error(`the browser complained:\n  ${this.complaints.join('\n  ')}`);
  }
}

/** What a browser says when a server is away. */
export const AWAY = /Failed to load resource: (net::ERR_|the server responded with a status of 503)/;

/** The texts of the timeline, in order. */
export const texts = (page) => page.locator('#list .body').allInnerTexts();

/** Waits for a text in the timeline. */
export const seen = (page, text) => page.locator('#list .body', { hasText: text }).last().waitFor();

export async function say(page, text) {
  await page.locator('#text').fill(text);
  await page.locator('#text').press('Enter');
}

/** Makes a page believe that it is hidden, or in view again: a headless browser shows every page. */
export const hide = (page, hidden) =>
  page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => state === 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden ? 'hidden' : 'visible');

/** The row with this text as its body. */
export const rowOf = (page, text) => page.locator('#list > li').filter({ has: page.locator('.body', { hasText: text }) }).last();
