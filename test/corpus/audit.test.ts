/** The audit log: every way of tampering that is tried is found, and no crash or second writer is taken for one. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Audit, AUDIT_FILE, HEAD_FILE, readAudit, recordAudit } from '../../src/corpus/audit.js';
import { createKey } from '../../src/corpus/pseudonym.js';
import { folder } from './made.js';

/** A folder with a key and `count` entries. */
async function made(count: number): Promise<string> {
  const dir = await folder();
  await createKey(dir);
  for (let n = 0; n < count; n++) await recordAudit(dir, 'ingested', { source: `so-${n}`, added: n });
  return dir;
}

const log = (dir: string): string => join(dir, AUDIT_FILE);
const lines = async (dir: string): Promise<string[]> =>
  (await readFile(log(dir), 'utf8')).split('\n').filter((line) => line !== '');
const write = (dir: string, all: readonly string[]): Promise<void> =>
  writeFile(log(dir), all.map((line) => `${line}\n`).join(''));
const broken = ({ findings }: Audit): string[] =>
  findings.filter((one) => one.broken).map(({ message }) => message);

describe('an untouched audit log', () => {
  it('verifies, whatever its entries hold', async () => {
    const details = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 });
    const dir = await made(0);
    const all: unknown[] = [];
    await fc.assert(
      fc.asyncProperty(details, fc.option(fc.string()), async (detail, operator) => {
        all.push(JSON.parse(JSON.stringify(detail)));
        await recordAudit(dir, 'rights', detail, operator);
        const audit = await readAudit(dir);
        expect(audit.findings).toEqual([]);
        expect(audit.entries.map((one) => one.detail)).toEqual(all);
        expect(audit.entries.at(-1)!.operator).toBe(operator);
      }),
      { numRuns: 40 },
    );
  });

  it('is a chain of SHA-256 that anyone can follow without the key', async () => {
    const dir = await made(3);
    let previous = '0'.repeat(64);
    for (const line of await lines(dir)) {
      const entry = JSON.parse(line) as Record<string, unknown>;
      expect(entry.previous).toBe(previous);
      const { n, at, action, operator, detail } = entry;
      const text = JSON.stringify([n, at, action, operator, detail, previous]);
      previous = createHash('sha256').update(text).digest('hex');
      expect(entry.hash).toBe(previous);
    }
    await rm(join(dir, 'key'));
    const audit = await readAudit(dir);
    expect(audit.head).toBe(previous);
    expect(audit.findings.map(({ kind, broken: bad }) => [kind, bad])).toEqual([['key', false]]);
  });

  it('is none where nothing was recorded', async () => {
    expect(await readAudit(await made(0))).toEqual({ entries: [], findings: [], head: null });
  });
});

describe('tampering', () => {
  const tampered: [string, (all: string[]) => string[], RegExp][] = [
    [
      'an entry changed',
      (all) => all.with(2, all[2]!.replace('so-2', 'so-9')),
      /entry 2 \(line 3\) was changed/,
    ],
    ['an entry removed', (all) => all.toSpliced(2, 1), /1 entries are missing before entry 3/],
    ['the first removed', (all) => all.slice(1), /1 entries are missing before entry 0|before entry 1/],
    [
      'two entries swapped',
      (all) => [all[0]!, all[2]!, all[1]!, ...all.slice(3)],
      /entry 1 .*stands behind entry 2/,
    ],
    ['an entry repeated', (all) => all.toSpliced(2, 0, all[1]!), /entry 1 .*stands behind entry 1/],
    ['the last removed', (all) => all.slice(0, -1), /1 entries are missing at the end/],
    ['half of them removed', (all) => all.slice(0, 2), /3 entries are missing at the end/],
    ['all of them removed', () => [], /5 entries are missing at the end/],
    ['a line of something else', (all) => all.with(2, '{"n":2}'), /line 3 is no entry/],
  ];

  it.each(tampered)('finds %s', async (_, change, message) => {
    const dir = await made(5);
    await write(dir, change(await lines(dir)));
    expect(broken(await readAudit(dir)).join('\n')).toMatch(message);
  });

  it.each(tampered)('still finds, after another entry was written, %s', async (_, change) => {
    const dir = await made(5);
    await write(dir, change(await lines(dir)));
    await recordAudit(dir, 'export', {});
    expect(broken(await readAudit(dir))).not.toEqual([]);
  });

  it('finds a change that the whole chain was made anew for, without the key', async () => {
    const dir = await made(5);
    let previous = '0'.repeat(64);
    const forged = (await lines(dir)).map((line) => {
      const entry = JSON.parse(line.replace('so-2', 'so-9')) as Record<string, unknown>;
      const { n, at, action, operator, detail } = entry;
      const text = JSON.stringify([n, at, action, operator, detail, previous]);
      const made = { ...entry, previous, hash: createHash('sha256').update(text).digest('hex') };
      previous = made.hash;
      return JSON.stringify(made);
    });
    await write(dir, forged);
    expect(broken(await readAudit(dir)).join('\n')).toMatch(/entry 2 .*not written with the corpus's key/);
  });

  it('finds a log or a head that is gone, and a head of an earlier state or of another corpus', async () => {
    const dir = await made(3);
    const early = await readFile(join(dir, HEAD_FILE));
    await rm(join(dir, HEAD_FILE));
    expect(broken(await readAudit(dir)).join()).toMatch(/head is missing/);
    await writeFile(join(dir, HEAD_FILE), '{');
    expect(broken(await readAudit(dir)).join()).toMatch(/head is damaged/);
    await writeFile(join(dir, HEAD_FILE), await readFile(join(await made(3), HEAD_FILE)));
    expect(broken(await readAudit(dir)).join()).toMatch(/head was not written with the corpus's key/);
    await writeFile(join(dir, HEAD_FILE), early);
    expect(broken(await readAudit(dir))).toEqual([]);
    await rm(log(dir));
    expect(broken(await readAudit(dir)).join()).toMatch(/audit\.jsonl is gone/);
  });

  it('says in the log that the head was gone', async () => {
    const dir = await made(3);
    await rm(join(dir, HEAD_FILE));
    await recordAudit(dir, 'export', {});
    const { entries, findings } = await readAudit(dir);
    expect(findings).toEqual([]);
    expect(entries.map(({ action }) => action).slice(3)).toEqual(['repair', 'export']);
    expect(entries[3]!.detail).toEqual({ found: 'the head was missing or damaged' });
  });
});

describe('crashes', () => {
  it('of an entry cut off at any byte are noted and repaired, and nothing before is lost', async () => {
    const dir = await made(3);
    const whole = await readFile(log(dir));
    const head = await readFile(join(dir, HEAD_FILE));
    await recordAudit(dir, 'export', { series: 7 });
    const longer = await readFile(log(dir));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: whole.length + 1, max: longer.length - 1 }), async (length) => {
        await writeFile(log(dir), longer.subarray(0, length));
        await writeFile(join(dir, HEAD_FILE), head);
        expect((await readAudit(dir)).findings.map(({ kind, broken: bad }) => [kind, bad])).toEqual([
          ['torn', false],
        ]);
        await recordAudit(dir, 'export', { series: 8 });
        const { entries, findings } = await readAudit(dir);
        expect(findings).toEqual([]);
        expect(entries.map(({ action }) => action).slice(3)).toEqual(['repair', 'export']);
      }),
      { numRuns: 25 },
    );
  });

  it('between an entry and its head lose neither', async () => {
    const dir = await made(3);
    const head = await readFile(join(dir, HEAD_FILE));
    await recordAudit(dir, 'export', { series: 7 });
    await writeFile(join(dir, HEAD_FILE), head);
    const { findings } = await readAudit(dir);
    expect(findings.map(({ kind, broken: bad }) => [kind, bad])).toEqual([['unconfirmed', false]]);
    await recordAudit(dir, 'export', { series: 8 });
    const after = await readAudit(dir);
    expect(after.findings).toEqual([]);
    expect(after.entries.map(({ detail }) => detail.series).slice(3)).toEqual([7, 8]);
  });

  it('do not let a foreign line in as one that the crash left', async () => {
    const dir = await made(3);
    const last = JSON.parse((await lines(dir)).at(-1)!) as { hash: string };
    const body = [3, '2026-01-01T00:00:00Z', 'export', null, {}, last.hash];
    const hash = createHash('sha256').update(JSON.stringify(body)).digest('hex');
    const [n, at, action, operator, detail, previous] = body;
    const forged = { n, at, action, operator, detail, previous, hash, mac: 'f'.repeat(64) };
    await appendFile(log(dir), `${JSON.stringify(forged)}\n`);
    expect(broken(await readAudit(dir)).join()).toMatch(/not written with the corpus's key/);
    await recordAudit(dir, 'export', {});
    expect(broken(await readAudit(dir)).join()).toMatch(/not written with the corpus's key/);
  });

  it('and tampering are told apart: a log cut inside what the head tells of', async () => {
    const dir = await made(3);
    await truncate(log(dir), (await readFile(log(dir))).length - 10);
    expect(broken(await readAudit(dir)).join()).toMatch(/1 entries are missing at the end/);
    await recordAudit(dir, 'export', {});
    expect(broken(await readAudit(dir))).not.toEqual([]);
  });
});

const WRITER = fileURLToPath(new URL('../fixtures/corpus/audit-writer.mjs', import.meta.url));

describe('several writers', () => {
  it('of one process and of others add every entry once', async () => {
    const dir = await made(0);
    const others = [0, 1, 2].map((n) => spawn(process.execPath, [WRITER, dir, String(n), '8']));
    const ended = others.map((child) => once(child, 'exit'));
    await Promise.all(Array.from({ length: 8 }, (_, n) => recordAudit(dir, 'export', { writer: 'own', n })));
    expect((await Promise.all(ended)).map(([code]) => code as number)).toEqual([0, 0, 0]);
    const { entries, findings } = await readAudit(dir);
    expect(findings).toEqual([]);
    expect(new Set(entries.map(({ detail }) => `${String(detail.writer)} ${String(detail.n)}`)).size).toBe(
      32,
    );
  });

  it('that are killed at any moment leave a log that verifies and goes on', async () => {
    const dir = await made(1);
    for (let round = 0; round < 10; round++) {
      const child = spawn(process.execPath, [WRITER, dir, String(round), '100000']);
      const before = (await readAudit(dir)).entries.length;
      while ((await readAudit(dir)).entries.length === before && child.exitCode === null) await wait(5);
      await wait(3 * round);
      child.kill('SIGKILL');
      await once(child, 'exit');
      expect(broken(await readAudit(dir))).toEqual([]);
      await recordAudit(dir, 'export', { round });
      const { findings, entries } = await readAudit(dir);
      expect(findings).toEqual([]);
      expect(entries.at(-1)!.detail).toEqual({ round });
    }
  });
});
