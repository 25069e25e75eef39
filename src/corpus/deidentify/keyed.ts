/** What stands for UIDs, and how far a patient's dates are moved: both from the corpus's key, so the same every time. */
import { createHmac } from 'node:crypto';

const DICOM_ROOT = '1.2.840.10008.';
const MOST_DAYS = 365;
const DAY_MS = 86_400_000;
/** The start of every study, in seconds of the day. */
const NOON = 43_200;

function digest(key: Uint8Array, kind: string, value: string): Buffer {
  return createHmac('sha256', key).update(`${kind}:${value}`).digest();
}

/**
 * The UID that stands for another: "2.25." and 128 bits of its HMAC (PS3.5 section B.2). UIDs that DICOM itself gives
 * out (SOP classes, syntaxes, well-known frames) stay as they are.
 */
export function uidFor(key: Uint8Array, uid: string): string {
  if (uid === '' || /^1\.2\.840\.10008\.[\d.]+$/.test(uid)) return uid;
  return `2.25.${BigInt(`0x${digest(key, 'uid', uid).toString('hex').slice(0, 32)}`)}`;
}

export const isOfStandard = (uid: string): boolean => uid.startsWith(DICOM_ROOT);

/** Days that all dates of a patient are moved back, 1 to 365. `patient` is the pseudonym. */
export function daysBack(key: Uint8Array, patient: string): number {
  return 1 + (digest(key, 'days', patient).readUInt32BE(0) % MOST_DAYS);
}

/**
 * A date (DA: YYYYMMDD, also YYYY.MM.DD and YYYY-MM-DD) moved back by whole days, as YYYYMMDD, so that the distance of
 * two dates of a patient stays; '' where it is no date.
 */
export function movedDate(date: string, days: number): string {
  const match = /^(\d{4})([.-]?)(\d{2})\2(\d{2})$/.exec(date.trim());
  if (match === null) return '';
  const [year, month, day] = [Number(match[1]), Number(match[3]), Number(match[4])];
  const at = new Date(Date.UTC(year, month - 1, day));
  if (at.getUTCMonth() !== month - 1 || at.getUTCDate() !== day) return '';
  return new Date(at.getTime() - days * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
}

/**
 * A time of day (TM: HHMMSS.FFFFFF, from hours on) such that the study starts at noon: distances within a study stay,
 * and when people came does not. '' where one of both is no time.
 */
export function movedTime(time: string, studyTime: string): string {
  const [at, start] = [secondsOf(time), secondsOf(studyTime)];
  if (at === null || start === null) return '';
  const seconds = (((at - Math.floor(start) + NOON) % 86_400) + 86_400) % 86_400;
  const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');
  const whole = `${two(seconds / 3600)}${two((seconds / 60) % 60)}${two(seconds % 60)}`;
  const fraction = /\.\d{1,6}$/.exec(time.trim());
  return fraction === null ? whole : whole + fraction[0];
}

function secondsOf(time: string): number | null {
  const match = /^(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.\d{1,6})?)?)?$/.exec(time.trim());
  if (match === null) return null;
  return Number(match[1]) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0);
}

/** A date with time (DT: YYYYMMDDHHMMSS.FFFFFF&ZZXX) moved as both, without its zone. */
export function movedDateTime(value: string, days: number, studyTime: string): string {
  const match = /^(\d{8})(\d{2,6}(?:\.\d{1,6})?)?(?:[+-]\d{4})?$/.exec(value.trim());
  if (match === null) return '';
  const date = movedDate(match[1]!, days);
  return date === '' ? '' : date + (match[2] === undefined ? '' : movedTime(match[2], studyTime));
}

/** "YYYYMMDD" as "YYYY-MM-DD"; null for ''. */
export const isoDate = (date: string): string | null =>
  date === '' ? null : `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`;
