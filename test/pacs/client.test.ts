/** What the client decides without a server: pauses, credentials, addresses, queries. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { authorization } from '../../src/pacs/auth.js';
import { isDicomWebAddress, rootOf } from '../../src/pacs/client.js';
import { PacsError, TransientError } from '../../src/pacs/error.js';
import { checked, parseQuery } from '../../src/pacs/query.js';
import { pauseMs, RETRIES, retryAfter, withRetries } from '../../src/pacs/retry.js';

const QUICK = { ...RETRIES, tries: 4, baseMs: 1, mostMs: 2 };

describe('retries', () => {
  it('pauses within a range that doubles up to the cap, and never less than Retry-After', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.option(fc.integer({ min: 0, max: 200_000 })),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (attempt, asked, random) => {
          const pause = pauseMs(attempt, asked, { ...RETRIES, random: () => random });
          expect(pause).toBeGreaterThanOrEqual(asked ?? 0);
          expect(pause).toBeLessThanOrEqual(Math.max(asked ?? 0, 30_000, 0));
          expect(pause).toBeCloseTo(
            Math.max(asked ?? 0, random * Math.min(30_000, 500 * 2 ** (attempt - 1))),
          );
        },
      ),
    );
  });

  it('reads Retry-After in seconds and as a date (the forms of RFC 9110 section 10.2.3)', () => {
    const now = Date.UTC(1999, 11, 31, 23, 59, 0);
    expect(retryAfter('120', now)).toBe(120_000);
    expect(retryAfter('Fri, 31 Dec 1999 23:59:59 GMT', now)).toBe(59_000);
    expect(retryAfter('Fri, 31 Dec 1999 23:58:00 GMT', now)).toBe(0);
    expect(retryAfter('soon', now)).toBeNull();
    expect(retryAfter(undefined, now)).toBeNull();
  });

  it('tries transient failures again, up to its number of tries', async () => {
    let calls = 0;
    const third = await withRetries(async (attempt) => {
      calls++;
      if (attempt < 3) throw new TransientError('busy');
      return Promise.resolve(attempt);
    }, QUICK);
    expect([third, calls]).toEqual([3, 3]);
    calls = 0;
    const never = withRetries(() => Promise.reject(new TransientError(`busy ${++calls}`)), QUICK);
    await expect(never).rejects.toThrow('busy 4 (tried 4 times)');
  });

  it('gives up at once what another try cannot change', async () => {
    let calls = 0;
    const refused = withRetries(() => Promise.reject(new PacsError(`refused ${++calls}`)), QUICK);
    await expect(refused).rejects.toThrow('refused 1');
    const later = withRetries(() => Promise.reject(new TransientError('busy', 3_600_000)), QUICK);
    await expect(later).rejects.toThrow('busy; it asks to wait 3600 s');
  });

  it('stops waiting when it is told to stop', async () => {
    const stop = new AbortController();
    const waiting = withRetries(
      () => {
        setTimeout(() => stop.abort(new Error('stopped')), 5);
        return Promise.reject(new TransientError('busy', 200_000));
      },
      QUICK,
      stop.signal,
    );
    await expect(waiting).rejects.toThrow();
  });
});

describe('credentials', () => {
  it('come from the environment', () => {
    expect(authorization({})).toBeNull();
    expect(authorization({ PRECESS_DICOMWEB_TOKEN: 'mF_9.B5f-4.1JqM' })).toBe('Bearer mF_9.B5f-4.1JqM');
    // The examples of RFC 7617 sections 2 and 2.1.
    expect(
      authorization({ PRECESS_DICOMWEB_USER: 'Aladdin', PRECESS_DICOMWEB_PASSWORD: 'open sesame' }),
    ).toBe('Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==');
    expect(authorization({ PRECESS_DICOMWEB_USER: 'test', PRECESS_DICOMWEB_PASSWORD: '123£' })).toBe(
      'Basic dGVzdDoxMjPCow==',
    );
  });

  it.each([
    { PRECESS_DICOMWEB_TOKEN: 'secret', PRECESS_DICOMWEB_USER: 'secret' },
    { PRECESS_DICOMWEB_USER: 'secret' },
    { PRECESS_DICOMWEB_PASSWORD: 'secret' },
    { PRECESS_DICOMWEB_TOKEN: 'secret\r\nX: y' },
    { PRECESS_DICOMWEB_USER: 'secret:', PRECESS_DICOMWEB_PASSWORD: 'secret' },
  ])('are refused when they contradict, without being shown (%#)', (env) => {
    expect(() => authorization(env)).toThrow(PacsError);
    expect(() => authorization(env)).not.toThrow(/secret/);
  });
});

describe('addresses', () => {
  it('are DICOMweb roots', () => {
    expect(rootOf('dicomweb+https://host:8443/dicom-web/').href).toBe('https://host:8443/dicom-web/');
    expect(rootOf('dicomweb+http://127.0.0.1/x').href).toBe('http://127.0.0.1/x');
    expect(isDicomWebAddress('dicomweb+https://host')).toBe(true);
    expect(isDicomWebAddress('scans/dicomweb+https')).toBe(false);
  });

  it.each([
    'https://host',
    'dicomweb+ftp://host',
    'dicomweb+https://u:secret@host/',
    'dicomweb+https://host/?a=b',
  ])('refuses %s', (address) => {
    expect(() => rootOf(address)).toThrow(PacsError);
    expect(() => rootOf(address)).not.toThrow(/secret/);
  });
});

describe('queries', () => {
  it('are divided into keys of studies and of series', () => {
    expect(
      parseQuery('Modality=MR&StudyDate=20200101-20201231&SeriesDescription=t2*&00080050=A%201'),
    ).toEqual({
      study: [
        ['StudyDate', '20200101-20201231'],
        ['00080050', 'A 1'],
      ],
      series: [['SeriesDescription', 't2*']],
    });
    for (const text of ['', 'Modality=MR&ModalitiesInStudy=MR'])
      expect(parseQuery(text)).toEqual({ study: [], series: [] });
  });

  it.each(['Modality=CT', 'ModalitiesInStudy=CT', 'limit=5', 'offset=1', 'includefield=all', 'a b=c', '=x'])(
    'refuses %s',
    (text) => expect(() => parseQuery(text)).toThrow(PacsError),
  );

  it('put only UIDs into paths', () => {
    expect(checked('1.2.840.10008.1.2')).toBe('1.2.840.10008.1.2');
    for (const uid of ['', '../..', '1.2/3', '1..2', '1'.repeat(65)])
      expect(() => checked(uid)).toThrow(PacsError);
  });
});
