// Makes the pictures of docs/pictures: wide and narrow, light and dark. Arguments: the folder.

import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { Person, Server, rowOf, say, seen, startBrowser } from './harness.mjs';

const folder = process.argv[2] ?? 'docs/pictures';
const BYTES_MAX = 100_000;

const browser = await startBrowser();
const server = await Server.start();
try {
  for (const [room, count] of [['builds', 12], ['garden', 3], ['lobby', 2], ['ops', 7], ['reading-room', 1]]) {
    await server.fill(room, count, room === 'builds' ? 'ci' : 'eve', (n) => `message ${n}`);
  }
  await server.post('builds', 'bob', '@ann the release is ready for you', { mentions: ['ann'] });
  await server.post('tea', 'bob', 'The kettle in the small kitchen is descaled. It should be quicker now.');
  await server.post('tea', 'eve', 'Thank you! I noticed the difference this morning.');
  const question = await server.post('tea', 'farid', 'Shall we try the Darjeeling that Eve brought, or is it too early for second flush?');
  await server.post('tea', 'eve', 'Second flush is never too early 🙂', { replyToSeq: question.seq });
  await server.post('tea', 'eve', 'There is a guide to steeping times at https://example.org/teas/darjeeling?flush=2, in short:\n  •  90 °C, not boiling\n  •  3 minutes, then taste');
  const meeting = await server.post('tea', 'bob', 'The meeting is moved to 15:00, in the reading room.');
  for (const [sender, emoji] of [['farid', '👍'], ['eve', '👍'], ['cid', '🫖']]) await server.call('SetReaction', { room: 'tea', sender, messageSeq: meeting.seq, emoji });
  await server.call('SetPin', { room: 'tea', sender: 'bob', messageSeq: meeting.seq });
  await server.call('ChangeRoom', { room: 'tea', sender: 'bob', topic: 'Leaves, water, and whoever is around' });
  await server.post('tea', 'נועה', 'שלום לכולם, אני מביאה עוגיות');
  await server.post('tea', 'cid', 'waves', { kind: 'KIND_ACTION' });
  const read = JSON.stringify(Object.fromEntries((await server.call('ListRooms', {})).rooms.map(({ name, epoch, headSeq }) => [name, [name === 'builds' ? 9 : name === 'ops' ? 3 : Number(headSeq), epoch]])));
  await mkdir(folder, { recursive: true });
  const guests = [];
  for (const name of ['bob', 'eve', 'farid']) {
    const guest = await Person.enter(browser, server, name);
    await guest.page('/#/tea');
    guests.push(guest);
  }
  for (const [shape, width, height] of [['wide', 1060, 690], ['narrow', 390, 780]]) {
    for (const colorScheme of ['light', 'dark']) {
      const narrow = shape === 'narrow';
      const ann = await Person.enter(browser, server, 'ann', { viewport: { width, height }, colorScheme, isMobile: narrow, hasTouch: narrow, storage: { 'hubbub.read': read } });
      const page = await ann.page('/#/tea');
      await seen(page, 'waves');
      if (colorScheme === 'light' && !narrow) {
        await say(page, 'On my way, with the blue pot');
        await seen(page, 'On my way');
      }
      await page.mouse.move(5, 5);
      await rowOf(page, 'On my way').waitFor();
      await page.waitForTimeout(500);
      const file = path.join(folder, `page-${shape}-${colorScheme}.png`);
      await page.screenshot({ path: file });
      const { size } = await stat(file);
      console.log(`${file}: ${size} bytes`);
      if (size > BYTES_MAX) throw new Error(`${file} has more than ${BYTES_MAX} bytes`);
      await ann.leave();
    }
  }
  for (const guest of guests) await guest.leave();
} finally {
  await browser.close();
  await server.stop();
}
