/** Retrieves series as DICOM files (WADO-RS, PS3.18 section 10.4), into memory only. */
import type { DicomWebClient } from './client.js';
import { PacsError, TransientError } from './error.js';
import { checked, type FoundSeries, instancesOf } from './query.js';
import { sopInstanceUid } from './sop-instance.js';

/** Any transfer syntax: instances come as they are stored (PS3.18 section 8.7.3.5.2). */
export const ACCEPT_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*';

/**
 * The instances of a series, each a DICOM file in memory, in no particular order. What a broken answer brought is
 * kept: the instances that are still missing are then retrieved one by one, each tried again on its own, so that a
 * long series gets through a bad line.
 *
 * @param mostBytes Bytes of the series; more are refused.
 * @throws PacsError when the server refuses, does not answer in the end, or sends more than `mostBytes`.
 */
export async function retrieveSeries(
  client: DicomWebClient,
  series: FoundSeries,
  mostBytes: number,
): Promise<Uint8Array[]> {
  const received = new Map<string, Uint8Array>();
  const path = `/studies/${checked(series.studyUid)}/series/${checked(series.seriesUid)}`;
  const add = async (from: string): Promise<void> => {
    const held = [...received.values()].reduce((sum, { length }) => sum + length, 0);
    for await (const { body } of client.parts(from, ACCEPT_DICOM, mostBytes - held, 'retrieve a series'))
      received.set(sopInstanceUid(body), body);
  };

  const whole = await client.again(async () => {
    try {
      await add(path);
      return true;
    } catch (error) {
      // With something in hand the rest is asked for; with nothing the whole series is asked for again.
      if (error instanceof TransientError && received.size > 0) return false;
      throw error;
    }
  });
  const expected = series.instances;
  if (whole && (expected === null || received.size >= expected)) return [...received.values()];

  const uids = await instancesOf(client, series);
  for (const uid of uids)
    if (!received.has(uid)) await client.again(() => add(`${path}/instances/${checked(uid)}`));
  const missing = uids.filter((uid) => !received.has(uid)).length;
  if (missing > 0)
    throw new PacsError(
      `retrieve a series: all ${uids.length} instances must arrive, but the server sent others for ${missing} of them; ` +
        'run the command again',
    );
  return [...received.values()];
}
